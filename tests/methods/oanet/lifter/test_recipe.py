from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from occlupose.datasets.cmu import Clip
from occlupose.errors import OccluposeError
from occlupose.methods.oanet.lifter.inputs import doubt, positions
from occlupose.methods.oanet.lifter.network import Lifter
from occlupose.methods.oanet.lifter.recipe import Recipe, loss, make_batch
from occlupose.methods.oanet.lifter.views import Views
from occlupose.methods.oanet.sequences import Sequences
from occlupose.skeletons import BODY22, BODY22_TO_H36M17, COCO17, H36M17
from occlupose.synth.noise import NoiseModel

NOISE = NoiseModel.load()
EXACT = Recipe(batch=6, window=16, complete=1.0, noise=0.0, views=replace(Views(), wrong_focal=0.0))
COCO = torch.tensor([name in COCO17.joints for name in BODY22.joints])
H36M = torch.tensor([name in H36M17.joints for name in BODY22.joints])


def rng(seed=0):
    return torch.Generator().manual_seed(seed)


def clip(frames=300, *, seed=0, fps=120.0, name="07_01", subject="07"):
    """Somebody of human size who moves smoothly, y up."""
    random = np.random.default_rng(seed)
    time = np.arange(frames)[:, None, None] / fps
    rest = random.normal((0, 1, 0), (0.2, 0.4, 0.15), (22, 3))
    return Clip(name, subject, fps, (rest + 0.1 * np.sin(random.uniform(1, 4, (22, 3)) * time)).astype(np.float32))


def batch(recipe=EXACT, seed=0):
    return make_batch(
        Sequences(
            [clip(seed=n, name=f"07_{n}") for n in range(3)], recipe.window, recipe.views.speed, recipe.views.still
        ),
        NOISE,
        recipe,
        rng(seed),
    )


def given(batch):
    """Where the 2D skeleton has a joint, for each frame."""
    return batch.given.expand_as(batch.lift.seen)


def lifter(seed=0):
    """One that says something, as after training."""
    torch.manual_seed(seed)
    network = Lifter(8)
    for tcn in (network.tcn_2d, network.tcn_3d):
        nn.init.normal_(tcn.out.weight)
    return network


class Oracle(nn.Module):
    """Answers with the truth, so far off in 2D and in 3D as it is told, m or the input's units."""

    def __init__(self, batch, off_2d=0.0, off_3d=0.0):
        super().__init__()
        self.batch = batch
        self.off_2d = off_2d
        self.off_3d = off_3d

    def forward(self, seen, practice):
        assert seen is self.batch.lift.inputs.channels
        assert practice is self.batch.fill.inputs.channels
        return self.batch.fill.truth + self.off_2d, self.batch.truth_3d + self.off_3d


def off(where, *distance):
    """Errors of this vector where something is, none elsewhere."""
    return where.unsqueeze(-1) * torch.tensor(distance)


@pytest.mark.parametrize("window", [0, 4, 18, -8])
def test_windows_fit_the_networks(window):
    with pytest.raises(OccluposeError, match=f"window {window}: the networks take 8 frames or more, in multiples of 4"):
        Recipe(window=window)


@pytest.mark.parametrize("name", ["width", "batch", "depth"])
def test_there_are_channels_and_sequences(name):
    with pytest.raises(OccluposeError, match=f"{name} -1: must be"):
        Recipe(**{name: -1})
    assert Recipe(depth=0).depth == 0


def test_a_batch_has_input_and_truth():
    made = batch(Recipe(batch=5, window=24))
    assert made.lift.inputs.channels.shape[:2] == (5, 24)
    assert made.lift.truth.shape == (5, 24, 22, 2)
    assert made.given.shape == (5, 1, 22)
    assert made.lift.seen.shape == (5, 24, 22)
    assert made.truth_3d.shape == (5, 24, 17, 3)
    for value in (made.lift.inputs.channels, made.lift.truth, made.truth_3d):
        assert value.dtype == torch.float32
        assert value.isfinite().all()
    assert (made.truth_3d[:, :, 0] == 0).all()


def test_the_same_generator_gives_the_same_batch():
    recipe = Recipe(batch=5, window=24)
    one = batch(recipe, 1)
    same = batch(recipe, 1)
    other = batch(recipe, 2)
    assert torch.equal(one.lift.inputs.channels, same.lift.inputs.channels)
    assert torch.equal(one.truth_3d, same.truth_3d)
    assert not torch.equal(one.lift.inputs.channels, other.lift.inputs.channels)


def test_without_noise_and_gaps_the_input_is_the_truth_in_2d_and_its_picture_in_3d():
    made = batch()
    assert torch.equal(made.lift.seen, given(made))
    difference = (positions(made.lift.inputs.channels) - made.lift.truth)[made.lift.seen]
    assert difference.abs().max() < 1e-4
    # 3D joints, put at the person's distance, project onto the 2D truth
    size = made.lift.inputs.size.unsqueeze(-1)
    flat = made.lift.truth[:, :, BODY22_TO_H36M17] * size
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
    made = batch(replace(EXACT, batch=300, h36m_input=0.35))
    kinds = made.given[:, 0]
    is_h36m = (kinds == H36M).all(1)
    assert ((kinds == COCO).all(1) | is_h36m).all()
    assert is_h36m.float().mean().item() == pytest.approx(0.35, abs=0.08)


@pytest.mark.parametrize(
    "recipe", [Recipe(batch=20, window=48), replace(EXACT, masks=False), replace(EXACT, batch=20, complete=0.0)]
)
def test_the_input_shows_as_seen_what_is_seen_and_nothing_else(recipe):
    made = batch(recipe)
    assert torch.equal(doubt(made.lift.inputs.channels) == 0, made.lift.seen)
    assert not (made.lift.seen & ~made.given).any()


def test_joints_go_missing_in_the_share_of_sequences_that_is_not_complete():
    made = batch(replace(EXACT, batch=300, complete=0.4))
    whole = (made.lift.seen == made.given).all((1, 2))
    assert 0.35 < whole.float().mean() < 0.6  # of the rest some miss nothing either
    assert (batch(replace(EXACT, batch=300, complete=0.0)).lift.seen == given(made)).all((1, 2)).float().mean() < 0.3


def test_in_noise_the_front_end_doubts_some_joints_which_are_missing_then():
    made = batch(replace(EXACT, batch=100, noise=0.5))
    whole = (made.lift.seen == made.given).all((1, 2))
    assert whole.float().mean() == pytest.approx(0.5, abs=0.15)
    assert made.lift.seen[~whole].sum() > 0.7 * given(made)[~whole].sum()


def test_the_2d_network_practises_on_the_same_people_of_whom_always_something_is_missing():
    recipe = replace(EXACT, batch=300, window=64, complete=0.5)
    made = batch(recipe)
    whole = [(sight.seen == given(made)).all((1, 2)).float().mean().item() for sight in (made.fill, made.lift)]
    assert whole[0] < 0.1
    assert 0.5 < whole[1] < 0.6
    # the same joints in other units: turned and scaled back, both are the same directions
    for sight in (made.fill, made.lift):
        assert torch.equal(doubt(sight.inputs.channels) == 0, sight.seen)
    rays = [
        torch.nn.functional.normalize(
            torch.nn.functional.pad(sight.truth * sight.inputs.size.unsqueeze(-1), (0, 1), value=1.0)
            @ sight.inputs.rotation,
            dim=-1,
        )
        for sight in (made.fill, made.lift)
    ]
    torch.testing.assert_close(*rays, atol=1e-4, rtol=0)


def test_hidden_joints_may_be_guessed_and_believed():
    plain = replace(EXACT, batch=200, complete=0.0, noise=1.0, guessed=0.0)
    fooled = batch(replace(plain, guessed=1.0)).lift
    assert not batch(plain).lift.fooled.any()
    assert (fooled.fooled <= fooled.seen).all()
    hidden = fooled.fooled | ~fooled.seen
    share = (fooled.fooled & given(made := batch(replace(plain, guessed=1.0)))).sum() / (hidden & given(made)).sum()
    assert 0.3 < share < 0.6  # of the hidden half is believed, and of the others some are doubted
    off = (positions(fooled.inputs.channels) - fooled.truth).norm(dim=-1)
    assert off[fooled.fooled].mean() > 2 * off[fooled.seen & ~fooled.fooled].mean()
    assert 0.2 < batch(replace(plain, guessed=0.5)).lift.fooled.sum() / fooled.fooled.sum() < 0.8
    assert not batch(replace(plain, guessed=1.0, noise=0.0)).lift.fooled.any()


def test_a_guessed_joint_weighs_as_much_as_a_missing_one():
    made = batch(replace(EXACT, batch=30, complete=0.0, noise=1.0, guessed=1.0))
    only = off((made.lift.fooled & given(made))[..., BODY22_TO_H36M17], 3.0, 4.0, 0.0)
    light, heavy = (loss(Oracle(made, off_3d=only), made, hidden)["position"].item() for hidden in (1.0, 2.0))
    assert heavy > light > 0


def test_long_gaps_of_whole_limbs_are_many():
    made = batch(replace(EXACT, batch=300, window=64))
    knees = [BODY22.joints.index(f"{side}_knee") for side in ("left", "right")]
    gone = (~made.fill.seen[:, :, knees]).all(-1).float().unsqueeze(1)
    assert (torch.nn.functional.avg_pool1d(gone, 10, 1).amax(-1) > 0.99).float().mean() > 0.5


def test_the_baseline_never_sees_a_joint_missing():
    made = batch(replace(EXACT, batch=100, complete=0.0, noise=1.0, masks=False))
    assert torch.equal(made.lift.seen, given(made))
    assert torch.equal(made.fill.seen, given(made))


def test_noise_moves_the_input_and_not_the_truth():
    recipe = replace(EXACT, batch=100, noise=0.5)
    made = batch(recipe)
    wrong = ((positions(made.lift.inputs.channels) - made.lift.truth).norm(dim=-1) * made.lift.seen).amax((1, 2)) > 1e-4
    assert wrong.float().mean().item() == pytest.approx(0.5, abs=0.15)
    # as many metres as without noise: the axes may turn with the noisy middle, lengths may not
    clean = batch(replace(recipe, noise=0.0))
    torch.testing.assert_close(made.truth_3d.norm(dim=-1), clean.truth_3d.norm(dim=-1), atol=1e-4, rtol=1e-4)


def test_a_wrong_focal_length_is_in_the_input_and_in_the_2d_truth():
    right, wrong = (batch(replace(EXACT, views=replace(Views(), wrong_focal=share))) for share in (0.0, 1.0))
    scale = (wrong.lift.inputs.anchor / right.lift.inputs.anchor).flatten(1)
    torch.testing.assert_close(scale, scale[:, :1].expand_as(scale), atol=1e-3, rtol=1e-3)
    assert (scale[:, 0] != 1).all()
    assert (scale[:, 0].log().abs() <= 0.2401).all()
    assert ((positions(wrong.lift.inputs.channels) - wrong.lift.truth)[wrong.lift.seen]).abs().max() < 1e-4


def test_the_loss_is_zero_at_the_truth_but_for_its_own_asymmetry():
    made = batch(replace(EXACT, complete=0.0))
    terms = loss(Oracle(made), made, 2.0)
    assert list(terms) == ["position", "velocity", "completion", "extension", "symmetry"]
    assert all(terms[name] == 0 for name in list(terms)[:-1])
    assert terms["symmetry"] > 0  # random bodies


def test_completion_counts_what_went_missing_and_extension_what_the_2d_skeleton_lacks():
    made = batch(Recipe(batch=12, window=16, complete=0.0, guessed=0.0))
    missing = given(made) & ~made.fill.seen
    lacking = ~given(made)
    assert missing.any() and lacking.any()
    for where, completion, extension in ((missing, 5, 0), (lacking, 0, 0.3 * 5), (made.fill.seen, 0, 0)):
        terms = loss(Oracle(made, off_2d=off(where, 3.0, 4.0)), made, 2.0)
        assert terms["completion"].item() == pytest.approx(completion, rel=1e-4)
        assert terms["extension"].item() == pytest.approx(extension, rel=1e-4)
        assert terms["position"] == terms["velocity"] == 0


def test_frames_for_which_nothing_is_known_are_nothing_to_complete():
    made = batch(Recipe(batch=12, window=16, complete=0.0, guessed=0.0))
    made.fill.seen[3] = False
    made.fill.inputs.channels[3, :, 2 * 22 : -1] = 0  # ages
    alone = torch.zeros_like(made.fill.seen)
    alone[3] = True
    terms = loss(Oracle(made, off_2d=off(alone, 3.0, 4.0)), made, 2.0)
    assert terms["completion"] == terms["extension"] == 0


@pytest.mark.parametrize("weight", [1.0, 2.0, 5.0])
def test_a_joint_that_went_missing_weighs_more_in_3d_and_one_that_the_2d_skeleton_lacks_does_not(weight):
    made = batch(Recipe(batch=12, window=16, complete=0.0, guessed=0.0))
    missing, lacking = (where[..., BODY22_TO_H36M17] for where in (given(made) & ~made.lift.seen, ~given(made)))
    total = missing.numel() + (weight - 1) * missing.sum().item()
    for where, each in ((missing, weight), (lacking, 1.0), (~missing & ~lacking, 1.0)):
        terms = loss(Oracle(made, off_3d=off(where, 2.0, 3.0, 6.0)), made, weight)
        assert terms["position"].item() == pytest.approx(7 * each * where.sum().item() / total, rel=1e-4)
        assert terms["completion"] == terms["extension"] == 0


def test_jitter_costs_as_much_wherever_it_is():
    made = batch(replace(EXACT, complete=0.0))
    jump = torch.zeros_like(made.truth_3d)
    jump[:, 8:] = torch.tensor([2.0, 3.0, 6.0])
    assert loss(Oracle(made, off_3d=jump), made, 2.0)["velocity"].item() == pytest.approx(7 / 15, rel=1e-4)


def test_every_term_teaches_its_own_network_and_not_the_other():
    network = lifter()
    made = batch(Recipe(batch=4, window=16, complete=0.0))
    for name, term in loss(network, made, 2.0).items():
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


def test_without_masks_there_is_nothing_to_complete_and_much_to_extend():
    network = lifter()
    made = batch(Recipe(batch=4, window=16, masks=False))
    terms = loss(network, made, 2.0)
    assert terms["completion"] == 0
    assert terms["extension"] > 0
    sum(terms.values()).backward()
    assert all(weight.grad.isfinite().all() for weight in network.parameters())
