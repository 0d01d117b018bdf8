from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from occlupose.datasets.motion import MotionClip
from occlupose.errors import OccluposeError
from occlupose.methods.lifter.augmentation import BodyAugmentation
from occlupose.methods.oanet.network import OANetOutput, shipped_network
from occlupose.methods.oanet.shipped import ShippedRecipe, make_batch, shipped_loss
from occlupose.methods.oanet.windows import MocapWindows
from occlupose.skeletons import BODY22, BODY22_TO_H36M17, COCO17, H36M17
from occlupose.synth.noise import NoiseModel

NOISE = NoiseModel.load()
EXACT = ShippedRecipe(
    batch=6,
    window=16,
    complete_probability=1.0,
    noise_probability=0.0,
    augmentation=replace(BodyAugmentation(), wrong_focal_probability=0.0),
)
COCO = torch.tensor([name in COCO17.joints for name in BODY22.joints])
H36M = torch.tensor([name in H36M17.joints for name in BODY22.joints])


def rng(seed=0):
    return torch.Generator().manual_seed(seed)


def clip(frames=300, *, seed=0, fps=120.0, name="07_01", subject="07"):
    """A clip of human size with smooth motion, y up."""
    random = np.random.default_rng(seed)
    time = np.arange(frames)[:, None, None] / fps
    rest = random.normal((0, 1, 0), (0.2, 0.4, 0.15), (22, 3))
    return MotionClip(
        name, subject, fps, (rest + 0.1 * np.sin(random.uniform(1, 4, (22, 3)) * time)).astype(np.float32)
    )


def batch(recipe=EXACT, seed=0):
    clips = [clip(seed=n, name=f"07_{n}") for n in range(3)]
    augmentation = recipe.augmentation
    windows = MocapWindows(clips, recipe.window, augmentation.speed, augmentation.still_probability)
    return make_batch(windows, NOISE, recipe, rng(seed))


def in_skeleton(batch):
    """Which joints the 2D skeleton has, for each frame."""
    return batch.in_skeleton.expand_as(batch.for_3d.observed)


def lifter(seed=0):
    """A lifter with a non-zero output, as after training."""
    torch.manual_seed(seed)
    network = shipped_network(8)
    for tcn in (network.tcn_2d, network.tcn_3d):
        nn.init.normal_(tcn.out.weight)
    return network


class Oracle(nn.Module):
    """Outputs the ground truth plus an error in 2D (in the units of the input) and in 3D (m)."""

    def __init__(self, batch, off_2d=0.0, off_3d=0.0):
        super().__init__()
        self.batch = batch
        self.off_2d = off_2d
        self.off_3d = off_3d

    def forward(self, inputs, inputs_2d):
        assert inputs is self.batch.for_3d.inputs
        assert inputs_2d is self.batch.for_2d.inputs
        return OANetOutput(self.batch.for_2d.truth + self.off_2d, self.batch.truth_3d + self.off_3d)


def off(where, *distance):
    """An error of this vector where the mask is true."""
    return where.unsqueeze(-1) * torch.tensor(distance)


@pytest.mark.parametrize("window", [0, 4, 18, -8])
def test_windows_fit_the_networks(window):
    with pytest.raises(OccluposeError, match=f"window {window}: the networks take 8 frames or more, in multiples of 4"):
        ShippedRecipe(window=window)


@pytest.mark.parametrize("name", ["width", "batch", "depth"])
def test_sizes_must_be_positive(name):
    with pytest.raises(OccluposeError, match=f"{name} -1: must be"):
        ShippedRecipe(**{name: -1})
    assert ShippedRecipe(depth=0).depth == 0


def test_a_batch_has_input_and_truth():
    made = batch(ShippedRecipe(batch=5, window=24))
    assert made.for_3d.inputs.xy.shape[:2] == (5, 24)
    assert made.for_3d.truth.shape == (5, 24, 22, 2)
    assert made.in_skeleton.shape == (5, 1, 22)
    assert made.for_3d.observed.shape == (5, 24, 22)
    assert made.truth_3d.shape == (5, 24, 17, 3)
    for value in (made.for_3d.inputs.xy, made.for_3d.truth, made.truth_3d):
        assert value.dtype == torch.float32
        assert value.isfinite().all()
    assert (made.truth_3d[:, :, 0] == 0).all()


def test_the_same_generator_gives_the_same_batch():
    recipe = ShippedRecipe(batch=5, window=24)
    one = batch(recipe, 1)
    same = batch(recipe, 1)
    other = batch(recipe, 2)
    assert torch.equal(one.for_3d.inputs.xy, same.for_3d.inputs.xy)
    assert torch.equal(one.truth_3d, same.truth_3d)
    assert not torch.equal(one.for_3d.inputs.xy, other.for_3d.inputs.xy)


def test_without_noise_and_gaps_the_input_is_the_true_2d_and_the_projection_of_the_true_3d():
    made = batch()
    assert torch.equal(made.for_3d.observed, in_skeleton(made))
    difference = (made.for_3d.inputs.xy - made.for_3d.truth)[made.for_3d.observed]
    assert difference.abs().max() < 1e-4
    # 3D joints, put at the person's distance, project onto the 2D truth
    scale = made.for_3d.inputs.scale
    flat = made.for_3d.truth[:, :, BODY22_TO_H36M17] * scale
    xyz = made.truth_3d
    # x/z of joint and pelvis give the pelvis depth by least squares; what remains is nothing
    a = torch.stack([torch.ones_like(flat[..., 0]), torch.zeros_like(flat[..., 0]), -flat[..., 0]], -1)
    b = torch.stack([torch.zeros_like(flat[..., 0]), torch.ones_like(flat[..., 0]), -flat[..., 1]], -1)
    matrix = torch.cat([a, b], 2).double()
    right = (
        torch.cat([flat[..., 0] * xyz[..., 2] - xyz[..., 0], flat[..., 1] * xyz[..., 2] - xyz[..., 1]], 2)
        .unsqueeze(-1)
        .double()
    )
    root = torch.linalg.lstsq(matrix, right).solution
    assert (matrix @ root - right).abs().max() < 1e-3  # m
    assert root[..., 2, 0].min() > 0.5


def test_2d_comes_in_coco_or_h36m_joints():
    made = batch(replace(EXACT, batch=300, h36m_probability=0.35))
    kinds = made.in_skeleton[:, 0]
    is_h36m = (kinds == H36M).all(1)
    assert ((kinds == COCO).all(1) | is_h36m).all()
    assert is_h36m.float().mean().item() == pytest.approx(0.35, abs=0.08)


@pytest.mark.parametrize(
    "recipe",
    [
        ShippedRecipe(batch=20, window=48),
        replace(EXACT, occlusion_aware=False),
        replace(EXACT, batch=20, complete_probability=0.0),
    ],
)
def test_exactly_the_observed_joints_are_certain_in_the_input(recipe):
    made = batch(recipe)
    assert torch.equal(made.for_3d.inputs.correctable == 0, made.for_3d.observed)
    assert not (made.for_3d.observed & ~made.in_skeleton).any()


def test_joints_go_missing_in_incomplete_sequences():
    made = batch(replace(EXACT, batch=300, complete_probability=0.4))
    whole = (made.for_3d.observed == made.in_skeleton).all((1, 2))
    assert 0.35 < whole.float().mean() < 0.6  # some of the others are complete by chance
    whole = (batch(replace(EXACT, batch=300, complete_probability=0.0)).for_3d.observed == in_skeleton(made)).all(
        (1, 2)
    )
    assert whole.float().mean() < 0.3


def test_noise_makes_joints_of_low_confidence_missing():
    made = batch(replace(EXACT, batch=100, noise_probability=0.5))
    whole = (made.for_3d.observed == made.in_skeleton).all((1, 2))
    assert whole.float().mean() == pytest.approx(0.5, abs=0.15)
    assert made.for_3d.observed[~whole].sum() > 0.7 * in_skeleton(made)[~whole].sum()


def test_the_2d_network_gets_the_same_people_with_joints_always_missing():
    recipe = replace(EXACT, batch=300, window=64, complete_probability=0.5)
    made = batch(recipe)
    whole = [
        (part.observed == in_skeleton(made)).all((1, 2)).float().mean().item() for part in (made.for_2d, made.for_3d)
    ]
    assert whole[0] < 0.1
    assert 0.5 < whole[1] < 0.6
    # the same joints in other units: turned and scaled back, both are the same directions
    for part in (made.for_2d, made.for_3d):
        assert torch.equal(part.inputs.correctable == 0, part.observed)
    rays = [
        torch.nn.functional.normalize(
            torch.nn.functional.pad(part.truth * part.inputs.scale, (0, 1), value=1.0) @ part.inputs.rotation,
            dim=-1,
        )
        for part in (made.for_2d, made.for_3d)
    ]
    torch.testing.assert_close(*rays, atol=1e-4, rtol=0)


def test_guesses_of_occluded_joints_become_false_positives():
    plain = replace(EXACT, batch=200, complete_probability=0.0, noise_probability=1.0, guess_probability=0.0)
    made = batch(replace(plain, guess_probability=1.0))
    part = made.for_3d
    guessed = part.false_positive
    assert not batch(plain).for_3d.false_positive.any()
    assert (guessed <= part.observed).all()
    occluded = guessed | ~part.observed
    share = (guessed & in_skeleton(made)).sum() / (occluded & in_skeleton(made)).sum()
    sure = (
        1 - NoiseModel.load().occluded_low_confidence
    )  # of the occluded joints; some of the others are below the threshold, too
    assert sure - 0.2 < share < sure + 0.1
    error = (part.inputs.xy - part.truth).norm(dim=-1)
    assert error[guessed].mean() > 2 * error[part.observed & ~guessed].mean()
    half = batch(replace(plain, guess_probability=0.5)).for_3d.false_positive
    assert 0.2 < half.sum() / guessed.sum() < 0.8
    assert not batch(replace(plain, guess_probability=1.0, noise_probability=0.0)).for_3d.false_positive.any()


def test_a_false_positive_has_the_weight_of_a_missing_joint():
    made = batch(replace(EXACT, batch=30, complete_probability=0.0, noise_probability=1.0, guess_probability=1.0))
    only = off((made.for_3d.false_positive & in_skeleton(made))[..., BODY22_TO_H36M17], 3.0, 4.0, 0.0)
    light = shipped_loss(Oracle(made, off_3d=only), made, 1.0)["position"].item()
    heavy = shipped_loss(Oracle(made, off_3d=only), made, 2.0)["position"].item()
    assert heavy > light > 0


def test_long_gaps_of_whole_limbs_are_many():
    made = batch(replace(EXACT, batch=300, window=64))
    knees = [BODY22.joints.index(f"{side}_knee") for side in ("left", "right")]
    gone = (~made.for_2d.observed[:, :, knees]).all(-1).float().unsqueeze(1)
    assert (torch.nn.functional.avg_pool1d(gone, 10, 1).amax(-1) > 0.99).float().mean() > 0.5


def test_the_baseline_has_no_missing_joints():
    made = batch(replace(EXACT, batch=100, complete_probability=0.0, noise_probability=1.0, occlusion_aware=False))
    assert torch.equal(made.for_3d.observed, in_skeleton(made))
    assert torch.equal(made.for_2d.observed, in_skeleton(made))


def test_noise_moves_the_input_and_not_the_truth():
    recipe = replace(EXACT, batch=100, noise_probability=0.5)
    made = batch(recipe)
    error = (made.for_3d.inputs.xy - made.for_3d.truth).norm(dim=-1)
    wrong = (error * made.for_3d.observed).amax((1, 2)) > 1e-4
    assert wrong.float().mean().item() == pytest.approx(0.5, abs=0.15)
    # as many metres as without noise: the axes may turn with the noisy middle, lengths may not
    clean = batch(replace(recipe, noise_probability=0.0))
    torch.testing.assert_close(made.truth_3d.norm(dim=-1), clean.truth_3d.norm(dim=-1), atol=1e-4, rtol=1e-4)


def test_a_wrong_focal_length_is_in_the_input_and_in_the_2d_truth():
    right = batch()
    wrong = batch(replace(EXACT, augmentation=replace(BodyAugmentation(), wrong_focal_probability=1.0)))
    axes = [made.for_3d.inputs.rotation[..., 2, :] for made in (wrong, right)]
    centres = [axis[..., :2] / axis[..., 2:] for axis in axes]
    scale = (centres[0] / centres[1]).flatten(1)
    torch.testing.assert_close(scale, scale[:, :1].expand_as(scale), atol=1e-3, rtol=1e-3)
    assert (scale[:, 0] != 1).all()
    assert (scale[:, 0].log().abs() <= 0.2401).all()
    assert ((wrong.for_3d.inputs.xy - wrong.for_3d.truth)[wrong.for_3d.observed]).abs().max() < 1e-4


def test_the_loss_is_zero_at_the_truth_but_for_its_own_asymmetry():
    made = batch(replace(EXACT, complete_probability=0.0))
    terms = shipped_loss(Oracle(made), made, 2.0)
    assert list(terms) == ["position", "velocity", "completion", "extension", "symmetry"]
    assert all(terms[name] == 0 for name in list(terms)[:-1])
    assert terms["symmetry"] > 0  # random bodies


def test_completion_counts_what_went_missing_and_extension_what_the_2d_skeleton_lacks():
    made = batch(ShippedRecipe(batch=12, window=16, complete_probability=0.0, guess_probability=0.0))
    missing = in_skeleton(made) & ~made.for_2d.observed
    lacking = ~in_skeleton(made)
    assert missing.any() and lacking.any()
    for where, completion, extension in ((missing, 5, 0), (lacking, 0, 0.3 * 5), (made.for_2d.observed, 0, 0)):
        terms = shipped_loss(Oracle(made, off_2d=off(where, 3.0, 4.0)), made, 2.0)
        assert terms["completion"].item() == pytest.approx(completion, rel=1e-4)
        assert terms["extension"].item() == pytest.approx(extension, rel=1e-4)
        assert terms["position"] == terms["velocity"] == 0


def test_frames_without_any_observation_do_not_count_in_the_completion():
    made = batch(ShippedRecipe(batch=12, window=16, complete_probability=0.0, guess_probability=0.0))
    made.for_2d.observed[3] = False
    made.for_2d.inputs.correctable[3] = 1
    alone = torch.zeros_like(made.for_2d.observed)
    alone[3] = True
    terms = shipped_loss(Oracle(made, off_2d=off(alone, 3.0, 4.0)), made, 2.0)
    assert terms["completion"] == terms["extension"] == 0


@pytest.mark.parametrize("weight", [1.0, 2.0, 5.0])
def test_a_missing_joint_has_more_weight_in_3d_and_one_that_the_2d_skeleton_lacks_has_not(weight):
    made = batch(ShippedRecipe(batch=12, window=16, complete_probability=0.0, guess_probability=0.0))
    missing = (in_skeleton(made) & ~made.for_3d.observed)[..., BODY22_TO_H36M17]
    lacking = ~in_skeleton(made)[..., BODY22_TO_H36M17]
    total = missing.numel() + (weight - 1) * missing.sum().item()
    for where, each in ((missing, weight), (lacking, 1.0), (~missing & ~lacking, 1.0)):
        terms = shipped_loss(Oracle(made, off_3d=off(where, 2.0, 3.0, 6.0)), made, weight)
        assert terms["position"].item() == pytest.approx(7 * each * where.sum().item() / total, rel=1e-4)
        assert terms["completion"] == terms["extension"] == 0


def test_the_velocity_term_by_hand():
    made = batch(replace(EXACT, complete_probability=0.0))
    jump = torch.zeros_like(made.truth_3d)
    jump[:, 8:] = torch.tensor([2.0, 3.0, 6.0])
    assert shipped_loss(Oracle(made, off_3d=jump), made, 2.0)["velocity"].item() == pytest.approx(7 / 15, rel=1e-4)


def test_each_term_has_gradients_for_one_network_only():
    network = lifter()
    made = batch(ShippedRecipe(batch=4, window=16, complete_probability=0.0))
    for name, term in shipped_loss(network, made, 2.0).items():
        own = network.tcn_3d
        other = network.tcn_2d
        if name in ("completion", "extension"):
            own, other = other, own
        network.zero_grad()
        term.backward(retain_graph=True)
        gradients = [weight.grad for weight in own.parameters()]
        assert all(gradient.isfinite().all() for gradient in gradients), name
        assert sum(gradient.abs().sum() for gradient in gradients) > 0, name
        assert all(weight.grad is None or (weight.grad == 0).all() for weight in other.parameters()), name


def test_without_occlusion_awareness_there_is_extension_but_no_completion():
    network = lifter()
    made = batch(ShippedRecipe(batch=4, window=16, occlusion_aware=False))
    terms = shipped_loss(network, made, 2.0)
    assert terms["completion"] == 0
    assert terms["extension"] > 0
    sum(terms.values()).backward()
    assert all(weight.grad.isfinite().all() for weight in network.parameters())
