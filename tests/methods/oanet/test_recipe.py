from dataclasses import replace

import numpy as np
import pytest
import torch

from mocap_sequences import moving_clip, video_sequence
from occlupose.cameras import Camera
from occlupose.errors import OccluposeError
from occlupose.methods.oanet import losses
from occlupose.methods.oanet.camera_views import DISTANCE, to_studio_camera, to_virtual_view
from occlupose.methods.oanet.network import AdversarialOANet, OANetNetwork, Refinement2D
from occlupose.methods.oanet.recipe import (
    OANetRecipe,
    build_batch,
    gradient_shares,
    loss_2d,
    loss_3d,
    sample_observations,
    simulate_detections,
)
from occlupose.methods.oanet.windows import MocapWindows, VideoWindows
from occlupose.occlusion.cylinders import self_occluded
from occlupose.skeletons import BODY22_TO_H36M17, H36M17
from occlupose.synth.noise import NoiseModel

NOISE = NoiseModel.load()
SMALL = OANetRecipe(width=8, window=16, batch=8)
FILMED = replace(SMALL, virtual_view_fraction=0.0)


def rng(seed=0):
    return torch.Generator().manual_seed(seed)


def sequences(first=0, count=3):
    return MocapWindows([moving_clip(seed=first + n, name=f"07_{first + n}") for n in range(count)], SMALL.window)


def batch(recipe=SMALL, unlabelled=True, seed=0):
    return build_batch(
        sample_observations(sequences(), sequences(5) if unlabelled else None, NOISE, recipe, rng(seed)), recipe
    )


def adversarial():
    torch.manual_seed(0)
    network = AdversarialOANet(OANetNetwork(8))
    torch.nn.init.normal_(network.oanet.tcn_3d.out.weight)
    return network


def test_the_weights_are_those_of_the_paper():
    whole = OANetRecipe()
    assert (whole.symmetry_weight, whole.adversarial_weight, whole.regularisation_weight) == (0.2, 0.1, 0.1)
    assert (whole.threshold, whole.window, whole.batch) == (0.3, 128, 128)
    assert whole.stage_2d.steps + whole.stage_3d.steps == 100_000
    assert (whole.end_to_end.steps, whole.end_to_end.learning_rate, whole.stage_3d.learning_rate) == (
        30_000,
        1e-4,
        1e-3,
    )


@pytest.mark.parametrize(
    "change",
    [
        {"width": 0},
        {"batch": 0},
        {"depth": -1},
        {"window": 10},
        {"window": 4},
        {"labelled_fraction": 1.5},
        {"unit": 0.0},
        {"labelled_fraction": 0.0},
        {"unlabelled_fraction": -0.1},
    ],
)
def test_invalid_values_are_refused(change):
    (name,) = change
    with pytest.raises(OccluposeError, match=rf"^{name} {change[name]:g}: .*"):
        OANetRecipe(**change)


def test_a_studio_camera_sees_an_upright_person_at_its_distance_from_four_sides():
    joints = torch.from_numpy(moving_clip(64).joints).repeat(4, 1, 1, 1)
    seen = to_studio_camera(joints, torch.arange(4))
    pelvis = BODY22_TO_H36M17[H36M17.joints.index("pelvis")]
    head = BODY22_TO_H36M17[H36M17.joints.index("head_top")]
    left = BODY22_TO_H36M17[H36M17.joints.index("left_hip")]
    right = BODY22_TO_H36M17[H36M17.joints.index("right_hip")]
    torch.testing.assert_close(seen[..., pelvis, 2], torch.full((4, 64), DISTANCE), atol=0.2, rtol=0)
    assert (seen[..., head, 1] < seen[..., pelvis, 1] - 0.5).all()
    side = (seen[:, 0, left, 0] - seen[:, 0, right, 0]).sign()
    assert side.sum() == 0  # from the front twice, from behind twice
    distances = [(views[:, :, None] - views[:, :, :, None]).norm(dim=-1) for views in (seen, joints)]
    torch.testing.assert_close(*distances)


def test_virtual_views_rotate_bodies_and_keep_their_size():
    joints = torch.from_numpy(moving_clip(16).joints).repeat(6, 1, 1, 1)
    seen = to_virtual_view(joints, rng())
    pelvis = BODY22_TO_H36M17[0]
    assert (seen[:, :, pelvis] == 0).all()
    torch.testing.assert_close(seen.norm(dim=-1), (joints - joints[:, :, pelvis, None]).norm(dim=-1))
    assert not torch.allclose(seen[0], seen[1])


def test_simulated_detections_come_with_their_ground_truth():
    joints = to_studio_camera(torch.from_numpy(moving_clip(64).joints).repeat(40, 1, 1, 1), torch.arange(40) % 4)
    observations = simulate_detections(joints, NOISE, rng())
    body = joints[:, :, BODY22_TO_H36M17]
    torch.testing.assert_close(observations.truth_3d, body - body[:, :, :1])
    camera = Camera(2, 2, 1.0, 1.0, 0.0, 0.0)
    np.testing.assert_allclose(observations.truth_2d.numpy(), camera.project(body.numpy()), atol=1e-6)
    assert (self_occluded(body, H36M17) <= observations.occluded).all()
    assert 0 < self_occluded(body, H36M17).float().mean() < observations.occluded.float().mean() < 0.7
    off = (observations.xy - observations.truth_2d).norm(dim=-1)
    assert off[observations.occluded].mean() > 2 * off[~observations.occluded].mean()
    assert observations.score[observations.occluded].mean() < 0.7 * observations.score[~observations.occluded].mean()
    body_only = joints - joints[:, :, BODY22_TO_H36M17[0], None]
    orthographic = simulate_detections(body_only, NOISE, rng(), perspective=False)
    torch.testing.assert_close(orthographic.truth_2d, body_only[:, :, BODY22_TO_H36M17, :2])


def test_without_objects_the_body_occludes_only_itself():
    joints = to_studio_camera(torch.from_numpy(moving_clip(64).joints).repeat(20, 1, 1, 1), torch.arange(20) % 4)
    observations = simulate_detections(joints, NOISE, rng(), objects=False)
    assert torch.equal(observations.occluded, self_occluded(joints[:, :, BODY22_TO_H36M17], H36M17))
    bare = batch(replace(SMALL, objects=False), seed=4)
    assert bare.reliable.float().mean() > batch(seed=4).reliable.float().mean()


def test_sequences_with_3d_come_first():
    made = batch()
    assert made.supervised == 8  # 4 filmed, 4 virtual
    assert made.inputs.xy.shape == (12, 16, 17, 2)
    assert batch(FILMED).supervised == 4
    assert batch(replace(FILMED, unlabelled_fraction=0.25)).supervised == 6
    assert batch(FILMED, unlabelled=False).supervised == 8
    torch.testing.assert_close(made.truth_3d[:, :, 0], torch.zeros(8, 16, 3))


def test_virtual_views_come_in_addition_to_the_filmed_ones():
    filmed = sample_observations(sequences(), sequences(5), NOISE, FILMED, rng())
    both = sample_observations(sequences(), sequences(5), NOISE, SMALL, rng())
    assert torch.equal(both.xy[:4], filmed.xy[:4])
    assert len(both.xy) == len(filmed.xy) + 4
    depth = both.truth_3d[..., H36M17.joints.index("head_top"), 2]
    assert depth[:4].abs().max() < depth[4:].abs().max()  # only virtual cameras are tilted


def test_real_poses_are_of_the_same_views_as_those_of_the_network():
    filmed = sample_observations(sequences(), sequences(5), NOISE, FILMED, rng())
    both = sample_observations(sequences(), sequences(5), NOISE, SMALL, rng())
    up = [-observations.real_3d[:, 0, H36M17.joints.index("head_top"), 1] for observations in (filmed, both)]
    assert [len(heights) for heights in up] == [8, 12]
    assert up[0].min() > 0.6 and up[1][:8].min() > 0.6  # level
    assert up[1][8:].mean() < up[1][:8].mean() - 0.05  # tilted, as many as the virtual views
    assert not len(sample_observations(sequences(), None, NOISE, replace(SMALL, adversarial_weight=0.0), rng()).real_3d)


@pytest.mark.parametrize(
    "change",
    [
        {"virtual_view_fraction": 2.0},
        {"batch": 1},
        {"unlabelled_fraction": 0.01},
        {"virtual_view_fraction": 0.0, "unlabelled_fraction": 0.0},
    ],
)
def test_a_batch_may_lack_any_kind_of_sequence(change):
    recipe = replace(SMALL, **change)
    for unlabelled in (None, sequences(5), VideoWindows([video_sequence()], SMALL.window)):
        made = build_batch(sample_observations(sequences(), unlabelled, NOISE, recipe, rng()), recipe)
        filmed = recipe.batch - (0 if unlabelled is None else recipe.unlabelled)
        virtual = round(recipe.virtual_view_fraction * filmed)
        assert len(made.inputs.xy) == recipe.batch + virtual
        assert made.supervised == filmed + virtual
        assert all(value.isfinite() for value in loss_3d(adversarial(), made, recipe).values())


def test_only_the_visible_joints_of_video_contribute_to_the_loss():
    video = VideoWindows([video_sequence(), video_sequence(seed=1)], SMALL.window)
    made = build_batch(sample_observations(sequences(), video, NOISE, FILMED, rng()), FILMED)
    assert (made.supervised, len(made.inputs.xy)) == (4, 8)
    assert made.annotated[:4].all() and not made.annotated[4:].any()
    ankle, wrist = H36M17.index("left_ankle", "right_wrist")
    assert made.dropped[4:, :, ankle].all()
    assert not made.dropped[4:, :, wrist].all()  # never occluded, but absent in some frames
    assert (made.dropped <= ~made.reliable).all()
    network = adversarial()
    output, _ = network(made.inputs)
    expected = losses.squared_2d(output.xy[:4], made.truth_2d[:4], made.reliable[:4]) / 2
    network.eval()
    assert loss_3d(network, made, FILMED, end_to_end=True).keys() >= {"projection", "regularisation", "2d"}
    assert loss_2d(lambda _: output.xy, made, FILMED)["2d"].item() == pytest.approx(expected.item(), rel=1e-5)


def test_without_occlusion_awareness_every_joint_is_reliable():
    assert build_batch(
        sample_observations(sequences(), None, NOISE, SMALL, rng()), replace(SMALL, occlusion_aware=False)
    ).reliable.all()
    shares = [batch(replace(SMALL, threshold=b)).reliable.float().mean().item() for b in (0.1, 0.3, 0.5)]
    assert shares == sorted(shares, reverse=True)
    assert shares[0] < 1


def test_the_same_seed_gives_the_same_batch():
    one = batch()
    same = batch()
    other = batch(seed=1)
    assert torch.equal(one.inputs.xy, same.inputs.xy)
    assert not torch.equal(one.inputs.xy, other.inputs.xy)


def test_each_term_has_its_weight():
    made = batch(FILMED, seed=3)
    network = adversarial().eval()
    output, logits = network(made.inputs, made.real_3d)
    terms = loss_3d(network, made, FILMED, end_to_end=True)
    shares = {name: terms.pop(name) for name in [*terms] if name.startswith("share ")}
    dropped = ~made.reliable[4:]
    expected = {
        "3d": losses.squared_3d(output.xyz[:4], made.truth_3d) / 2,
        "projection": losses.projection(output.xyz[4:], made.truth_2d[4:], made.reliable[4:]) / 2,
        "regularisation": 0.1 * losses.regularisation(output.xyz[4:], dropped, H36M17) / 2,
        "symmetry": 0.2 * losses.symmetry(output.xyz, H36M17),
        "adversarial": 0.1 * sum(losses.adversarial(each.fake) for each in logits) / 2,
        "discrimination": sum(losses.discrimination(each.real, each.fake_detached) for each in logits) / 2,
        "2d": losses.squared_2d(output.xy, made.truth_2d, made.reliable),
    }
    assert terms.keys() == expected.keys()
    for name, value in terms.items():
        assert value.item() == pytest.approx(expected[name].item(), rel=1e-5), name
    assert shares.keys() == {f"share {name}" for name in expected.keys() - {"discrimination", "2d"}}


@pytest.mark.parametrize(
    ("change", "gone"),
    [
        ({"symmetry_weight": 0.0}, {"symmetry", "share symmetry"}),
        ({"adversarial_weight": 0.0}, {"adversarial", "discrimination", "share adversarial"}),
        ({"regularisation_weight": 0.0}, {"regularisation", "share regularisation"}),
    ],
)
def test_a_term_of_weight_0_is_left_out(change, gone):
    recipe = replace(SMALL, **change)
    every = loss_3d(adversarial(), batch(), SMALL).keys()
    assert every - loss_3d(adversarial(), batch(recipe), recipe).keys() == gone
    unlabelled = {"projection", "regularisation", "share projection", "share regularisation"}
    assert loss_3d(adversarial(), batch(unlabelled=False), SMALL).keys() == every - unlabelled
    quiet = loss_3d(adversarial(), batch(), replace(SMALL, log_shares=False)).keys()
    assert quiet == {name for name in every if not name.startswith("share ")}


def test_shares_are_those_of_the_gradients_on_the_poses_and_change_no_gradient():
    poses = torch.randn(2, 4, 17, 3, requires_grad=True)
    terms = {"one": poses.sum(), "other": 3 * poses.sum(), "square": (poses**2).sum()}
    shares = gradient_shares(terms, poses)
    assert sum(shares.values()).item() == pytest.approx(1)
    assert (shares["share other"] / shares["share one"]).item() == pytest.approx(3)
    norm = 2 * poses.detach().norm() / poses.numel() ** 0.5
    assert (shares["share square"] / shares["share one"]).item() == pytest.approx(norm.item(), rel=1e-5)
    assert not any(share.requires_grad for share in shares.values())


def test_the_unit_changes_the_weight_of_squared_errors_only():
    made = batch(seed=3)
    network = adversarial().eval()
    metres = loss_3d(network, made, SMALL, end_to_end=True)
    decimetres = loss_3d(network, made, replace(SMALL, unit=0.1), end_to_end=True)
    for name in ("3d", "projection", "symmetry", "2d"):
        assert decimetres[name].item() == pytest.approx(100 * metres[name].item(), rel=1e-4)
    for name in ("adversarial", "discrimination", "regularisation"):
        assert decimetres[name].item() == pytest.approx(metres[name].item(), rel=1e-5)


def test_the_first_stage_trains_the_2d_network_alone():
    network = OANetNetwork(8)
    torch.nn.init.normal_(network.tcn_2d.out.weight)
    terms = loss_2d(Refinement2D(network), batch(), SMALL)
    assert terms.keys() == {"2d"}
    terms["2d"].backward()
    assert all(weight.grad is None for weight in network.tcn_3d.parameters())
    assert any(weight.grad.abs().sum() > 0 for weight in network.tcn_2d.parameters())
