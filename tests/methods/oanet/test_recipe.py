from dataclasses import replace

import numpy as np
import pytest
import torch

from occlupose.cameras import Camera
from occlupose.errors import OccluposeError
from occlupose.methods.oanet import losses
from occlupose.methods.oanet.network import Duel, OANet, Refinement
from occlupose.methods.oanet.recipe import Recipe, believe, fill_loss, lift_loss, look, see
from occlupose.methods.oanet.sequences import Footage, Sequences
from occlupose.methods.oanet.views import DISTANCE, studio, virtual
from occlupose.occlusion.cylinders import hidden
from occlupose.skeletons import BODY22_TO_H36M17, H36M17
from occlupose.synth.noise import NoiseModel
from somebody import filmed, moving

NOISE = NoiseModel.load()
SMALL = Recipe(width=8, length=16, batch=8)


def rng(seed=0):
    return torch.Generator().manual_seed(seed)


def sequences(first=0, count=3):
    return Sequences([moving(seed=first + n, name=f"07_{first + n}") for n in range(count)], SMALL.length)


def batch(recipe=SMALL, flat=True, seed=0):
    return believe(look(sequences(), sequences(5) if flat else None, NOISE, recipe, rng(seed)), recipe)


def duel():
    torch.manual_seed(0)
    network = Duel(OANet(8))
    torch.nn.init.normal_(network.oanet.tcn_3d.out.weight)
    return network


def test_the_weights_are_those_of_the_paper():
    whole = Recipe()
    assert (whole.symmetry, whole.adversarial, whole.regularisation) == (0.2, 0.1, 0.1)
    assert (whole.threshold, whole.length, whole.batch) == (0.3, 128, 128)
    assert whole.fill.steps + whole.lift.steps == 100_000
    assert (whole.joint.steps, whole.joint.learning_rate, whole.lift.learning_rate) == (30_000, 1e-4, 1e-3)


@pytest.mark.parametrize(
    "change",
    [
        {"width": 0},
        {"batch": 0},
        {"depth": -1},
        {"length": 10},
        {"length": 4},
        {"labelled": 1.5},
        {"labelled": 0.0},
        {"flat": -0.1},
    ],
)
def test_what_cannot_be_is_refused(change):
    (name,) = change
    with pytest.raises(OccluposeError, match=rf"^{name} {change[name]}: .*"):
        Recipe(**change)


def test_the_studio_sees_somebody_upright_and_at_its_distance_from_four_sides():
    joints = torch.from_numpy(moving(64).joints).repeat(4, 1, 1, 1)
    seen = studio(joints, torch.arange(4))
    pelvis, head, left, right = (
        BODY22_TO_H36M17[H36M17.joints.index(name)] for name in ("pelvis", "head_top", "left_hip", "right_hip")
    )
    torch.testing.assert_close(seen[..., pelvis, 2], torch.full((4, 64), DISTANCE), atol=0.2, rtol=0)
    assert (seen[..., head, 1] < seen[..., pelvis, 1] - 0.5).all()
    side = (seen[:, 0, left, 0] - seen[:, 0, right, 0]).sign()
    assert side.sum() == 0  # from the front twice, from behind twice
    distances = [(views[:, :, None] - views[:, :, :, None]).norm(dim=-1) for views in (seen, joints)]
    torch.testing.assert_close(*distances)


def test_virtual_views_turn_bodies_and_leave_their_size():
    joints = torch.from_numpy(moving(16).joints).repeat(6, 1, 1, 1)
    seen = virtual(joints, rng())
    pelvis = BODY22_TO_H36M17[0]
    assert (seen[:, :, pelvis] == 0).all()
    torch.testing.assert_close(seen.norm(dim=-1), (joints - joints[:, :, pelvis, None]).norm(dim=-1))
    assert not torch.allclose(seen[0], seen[1])


def test_sights_tell_the_truth_beside_what_is_seen():
    joints = studio(torch.from_numpy(moving(64).joints).repeat(40, 1, 1, 1), torch.arange(40) % 4)
    sight = see(joints, NOISE, rng())
    body = joints[:, :, BODY22_TO_H36M17]
    torch.testing.assert_close(sight.truth_3d, body - body[:, :, :1])
    camera = Camera(2, 2, 1.0, 1.0, 0.0, 0.0)
    np.testing.assert_allclose(sight.truth_2d.numpy(), camera.project(body.numpy()), atol=1e-6)
    assert (hidden(body, H36M17) <= sight.hidden).all()
    assert 0 < hidden(body, H36M17).float().mean() < sight.hidden.float().mean() < 0.7
    off = (sight.xy - sight.truth_2d).norm(dim=-1)
    assert off[sight.hidden].mean() > 2 * off[~sight.hidden].mean()
    assert sight.evidence[sight.hidden].mean() < 0.7 * sight.evidence[~sight.hidden].mean()
    flat = see(body_only := joints - joints[:, :, BODY22_TO_H36M17[0], None], NOISE, rng(), perspective=False)
    torch.testing.assert_close(flat.truth_2d, body_only[:, :, BODY22_TO_H36M17, :2])


def test_without_objects_only_the_body_hides():
    joints = studio(torch.from_numpy(moving(64).joints).repeat(20, 1, 1, 1), torch.arange(20) % 4)
    sight = see(joints, NOISE, rng(), objects=False)
    assert torch.equal(sight.hidden, hidden(joints[:, :, BODY22_TO_H36M17], H36M17))
    bare = batch(replace(SMALL, objects=False), seed=4)
    assert bare.picture.believed.float().mean() > batch(seed=4).picture.believed.float().mean()


def test_sequences_with_3d_come_first():
    made = batch()
    assert made.labelled == 4
    assert made.picture.xy.shape == (8, 16, 17, 2)
    assert batch(replace(SMALL, flat=0.25)).labelled == 6
    assert batch(flat=False).labelled == 8
    torch.testing.assert_close(made.truth_3d[:, :, 0], torch.zeros(4, 16, 3))


@pytest.mark.parametrize(
    "change", [{"augmentation": 1.0}, {"batch": 1}, {"flat": 0.01}, {"augmentation": 1.0, "flat": 0.0}]
)
def test_a_batch_may_lack_any_kind_of_sequence(change):
    recipe = replace(SMALL, **change)
    for flat in (None, sequences(5), Footage([filmed()], SMALL.length)):
        made = believe(look(sequences(), flat, NOISE, recipe, rng()), recipe)
        assert len(made.picture.xy) == recipe.batch
        assert made.labelled == recipe.batch - (0 if flat is None else recipe.without)
        assert all(value.isfinite() for value in lift_loss(duel(), made, recipe).values())


def test_of_video_only_what_is_seen_teaches():
    video = Footage([filmed(), filmed(seed=1)], SMALL.length)
    made = believe(look(sequences(), video, NOISE, SMALL, rng()), SMALL)
    assert (made.labelled, len(made.picture.xy)) == (4, 8)
    assert made.annotated[:4].all() and not made.annotated[4:].any()
    ankle, wrist = H36M17.index("left_ankle", "right_wrist")
    assert made.occluded[4:, :, ankle].all()
    assert not made.occluded[4:, :, wrist].all()  # hidden never, but away in some frames
    assert (made.occluded <= ~made.picture.believed).all()
    network = duel()
    answer, _ = network(made.picture)
    expected = losses.squared_2d(answer.xy[:4], made.truth_2d[:4], made.picture.believed[:4]) / 2
    network.eval()
    assert lift_loss(network, made, SMALL, joint=True).keys() >= {"projection", "regularisation", "2d"}
    assert fill_loss(lambda _: answer.xy, made)["2d"].item() == pytest.approx(expected.item(), rel=1e-5)


def test_who_knows_no_occlusion_believes_everything():
    assert believe(look(sequences(), None, NOISE, SMALL, rng()), replace(SMALL, occlusion=False)).picture.believed.all()
    shares = [batch(replace(SMALL, threshold=b)).picture.believed.float().mean().item() for b in (0.1, 0.3, 0.5)]
    assert shares == sorted(shares, reverse=True)
    assert shares[0] < 1


def test_the_same_seed_gives_the_same_batch():
    one = batch()
    same = batch()
    other = batch(seed=1)
    assert torch.equal(one.picture.xy, same.picture.xy)
    assert not torch.equal(one.picture.xy, other.picture.xy)


def test_every_term_has_its_weight():
    made = batch(seed=3)
    network = duel().eval()
    answer, verdict = network(made.picture, made.truth_3d)
    terms = lift_loss(network, made, SMALL, joint=True)
    without = ~made.picture.believed[4:]
    expected = {
        "3d": losses.squared_3d(answer.xyz[:4], made.truth_3d) / 2,
        "projection": losses.projection(answer.xyz[4:], made.truth_2d[4:], made.picture.believed[4:]) / 2,
        "regularisation": 0.1 * losses.regularisation(answer.xyz[4:], without, H36M17) / 2,
        "symmetry": 0.2 * 4 * losses.symmetry(answer.xyz, H36M17),
        "adversarial": 0.1 * losses.adversarial(verdict.answer),
        "discrimination": losses.discrimination(verdict.real, verdict.caught),
        "2d": losses.squared_2d(answer.xy, made.truth_2d, made.picture.believed),
    }
    assert terms.keys() == expected.keys()
    for name, value in terms.items():
        assert value.item() == pytest.approx(expected[name].item(), rel=1e-5), name


@pytest.mark.parametrize(
    ("change", "gone"),
    [
        ({"symmetry": 0.0}, {"symmetry"}),
        ({"adversarial": 0.0}, {"adversarial", "discrimination"}),
        ({"regularisation": 0.0}, {"regularisation"}),
    ],
)
def test_a_part_that_weighs_nothing_is_left_out(change, gone):
    recipe = replace(SMALL, **change)
    every = lift_loss(duel(), batch(), SMALL).keys()
    assert every - lift_loss(duel(), batch(recipe), recipe).keys() == gone
    assert lift_loss(duel(), batch(flat=False), SMALL).keys() == every - {"projection", "regularisation"}


def test_the_first_stage_teaches_the_2d_network_alone():
    network = OANet(8)
    torch.nn.init.normal_(network.tcn_2d.out.weight)
    terms = fill_loss(Refinement(network), batch())
    assert terms.keys() == {"2d"}
    terms["2d"].backward()
    assert all(weight.grad is None for weight in network.tcn_3d.parameters())
    assert any(weight.grad.abs().sum() > 0 for weight in network.tcn_2d.parameters())
