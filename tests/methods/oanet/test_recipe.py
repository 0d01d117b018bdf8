from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from occlupose.datasets.cmu import Clip
from occlupose.errors import OccluposeError
from occlupose.methods.oanet.inputs import positions
from occlupose.methods.oanet.lifter import TARGETS, Lifter
from occlupose.methods.oanet.recipe import Recipe, Sequences, loss, make_batch
from occlupose.methods.oanet.views import Views
from occlupose.skeletons import BODY22, COCO17, H36M17
from occlupose.synth.noise import NoiseModel

NOISE = NoiseModel.load()
EXACT = Recipe(batch=6, window=16, complete=1.0, noise=0.0, views=replace(Views(), wrong_focal=0.0))
COCO = torch.tensor([name in COCO17.joints for name in BODY22.joints])
H36M = torch.tensor([name in H36M17.joints for name in BODY22.joints])


def rng(seed=0):
    return torch.Generator().manual_seed(seed)


def clip(frames=300, *, seed=0, fps=120.0, name="07_01", subject="07"):
    """Somebody of human size who moves smoothly, y up."""
    random, time = np.random.default_rng(seed), np.arange(frames)[:, None, None] / fps
    rest = random.normal((0, 1, 0), (0.2, 0.4, 0.15), (22, 3))
    return Clip(name, subject, fps, (rest + 0.1 * np.sin(random.uniform(1, 4, (22, 3)) * time)).astype(np.float32))


def straight(frames=300, fps=120.0, **options):
    """A clip in which every joint's first coordinate is the time in seconds."""
    made = clip(frames, fps=fps, **options)
    made.joints[..., 0] = (np.arange(frames) / fps)[:, None]
    return made


def batch(recipe=EXACT, seed=0, step=10**6):
    return make_batch(Sequences([clip(seed=n, name=f"07_{n}") for n in range(3)], recipe), NOISE, recipe, rng(seed), step)


def seen(batch):
    """Where the input says that a joint is seen in this very frame."""
    ages = batch.inputs.channels[..., 2 * len(BODY22) : 4 * len(BODY22)].unflatten(-1, (len(BODY22), 2))
    return (ages == 1).all(-1)


@pytest.mark.parametrize("fps", [30.0, 60.0, 120.0])
def test_windows_run_at_the_speeds_of_the_recipe(fps):
    recipe = replace(EXACT, batch=200, views=Views(speed=(0.5, 2.0), still=0.0))
    windows = Sequences([straight(round(20 * fps), fps)], recipe).draw(rng())
    assert windows.shape == (200, 16, 22, 3)
    assert windows.dtype == torch.float32
    step = windows[..., 0, 0].diff(dim=1)
    torch.testing.assert_close(step, step[:, :1].expand_as(step), atol=1e-4, rtol=0)
    speed = 30 * step[:, 0]
    assert 0.5 <= speed.min() + 1e-2 < 0.6
    assert 1.9 < speed.max() <= 2.01


def test_some_stand_still():
    recipe = replace(EXACT, batch=300, views=Views(still=0.25))
    windows = Sequences([straight()], recipe).draw(rng())
    still = (windows == windows[:, :1]).all((1, 2, 3))
    assert still.float().mean().item() == pytest.approx(0.25, abs=0.08)


def test_a_clip_shorter_than_the_window_holds_its_last_pose():
    windows = Sequences([straight(30)], replace(EXACT, window=64, batch=20, views=Views(still=0.0))).draw(rng())
    assert (windows[:, -1, 0, 0] == np.float32(29 / 120)).all()
    assert (windows.diff(dim=1)[..., 0] >= 0).all()


def test_windows_never_mix_clips():
    clips = [straight(60 + 10 * n, name=f"07_{n}", subject=f"{n}") for n in range(5)]
    for number, made in enumerate(clips):
        made.joints[..., 1] = number
    windows = Sequences(clips, replace(EXACT, batch=200)).draw(rng())
    assert (windows[..., 1] == windows[:, :1, :1, 1]).all()
    assert len(windows[:, 0, 0, 1].unique()) == 5


def test_longer_clips_are_drawn_more_often_and_no_subject_too_often():
    clips = [
        straight(3000, subject="35"),
        straight(1000, subject="07"),
        straight(12000, subject="01"),
        straight(300, fps=30.0, subject="08"),
    ]
    weight = Sequences(clips, EXACT).weight
    assert weight[0] == pytest.approx(3 * weight[1])
    assert weight[3] == pytest.approx(10)  # seconds, whatever the frame rate
    assert weight[2] == pytest.approx(0.15 * (25 + 25 / 3 + 100 + 10))


def test_without_motion_there_is_nothing_to_train_on():
    with pytest.raises(OccluposeError, match="no motion to train on"):
        Sequences([], EXACT)


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
    assert made.inputs.channels.shape[:2] == (5, 24)
    assert made.truth_2d.shape == (5, 24, 22, 2)
    assert made.known_2d.shape == (5, 24, 22)
    assert made.truth_3d.shape == (5, 24, 17, 3)
    for value in (made.inputs.channels, made.truth_2d, made.truth_3d):
        assert value.dtype == torch.float32
        assert value.isfinite().all()
    assert (made.truth_3d[:, :, 0] == 0).all()


def test_the_same_generator_gives_the_same_batch():
    recipe = Recipe(batch=5, window=24)
    one, same, other = batch(recipe, 1), batch(recipe, 1), batch(recipe, 2)
    assert torch.equal(one.inputs.channels, same.inputs.channels)
    assert torch.equal(one.truth_3d, same.truth_3d)
    assert not torch.equal(one.inputs.channels, other.inputs.channels)


def test_without_noise_and_gaps_the_input_is_the_truth_in_2d_and_its_picture_in_3d():
    made = batch()
    assert torch.equal(seen(made), made.known_2d)
    difference = (positions(made.inputs.channels) - made.truth_2d)[made.known_2d]
    assert difference.abs().max() < 1e-4
    # 3D joints, put at the person's distance, project onto the 2D truth
    size = made.inputs.size.unsqueeze(-1)
    flat = made.truth_2d[:, :, TARGETS] * size
    xyz = made.truth_3d
    # x/z of joint and pelvis give the pelvis depth by least squares; what remains is nothing
    a = torch.stack([torch.ones_like(flat[..., 0]), torch.zeros_like(flat[..., 0]), -flat[..., 0]], -1)
    b = torch.stack([torch.zeros_like(flat[..., 0]), torch.ones_like(flat[..., 0]), -flat[..., 1]], -1)
    matrix = torch.cat([a, b], 2).double()
    right = torch.cat([flat[..., 0] * xyz[..., 2] - xyz[..., 0], flat[..., 1] * xyz[..., 2] - xyz[..., 1]], 2).unsqueeze(-1).double()
    root = torch.linalg.lstsq(matrix, right).solution
    assert (matrix @ root - right).abs().max() < 1e-3  # m
    assert root[..., 2, 0].min() > 0.5


def test_2d_comes_in_coco_or_h36m_joints():
    made = batch(replace(EXACT, batch=300, h36m_input=0.35))
    kinds = made.known_2d[:, 0]
    is_h36m = (kinds == H36M).all(1)
    assert ((kinds == COCO).all(1) | is_h36m).all()
    assert is_h36m.float().mean().item() == pytest.approx(0.35, abs=0.08)
    assert torch.equal(made.known_2d, made.known_2d[:, :1].expand_as(made.known_2d))


def test_joints_go_missing_in_the_share_of_sequences_that_is_not_complete():
    made = batch(replace(EXACT, batch=300, complete=0.4))
    whole = (seen(made) == made.known_2d).all((1, 2))
    assert 0.4 < whole.float().mean() < 0.65  # of the rest a third misses nothing either
    assert not (seen(made) & ~made.known_2d).any()


def test_the_baseline_never_sees_a_joint_missing():
    made = batch(replace(EXACT, batch=100, complete=0.0, noise=1.0, masks=False))
    assert torch.equal(seen(made), made.known_2d)


def test_noise_moves_the_input_and_not_the_truth():
    recipe = replace(EXACT, batch=100, noise=0.5)
    made = batch(recipe)
    off = ((positions(made.inputs.channels) - made.truth_2d).norm(dim=-1) * made.known_2d).amax((1, 2)) > 1e-4
    assert off.float().mean().item() == pytest.approx(0.5, abs=0.15)
    # as many metres as without noise: the axes may turn with the noisy middle, lengths may not
    clean = batch(replace(recipe, noise=0.0))
    torch.testing.assert_close(made.truth_3d.norm(dim=-1), clean.truth_3d.norm(dim=-1), atol=1e-4, rtol=1e-4)


def test_a_wrong_focal_length_is_in_the_input_and_in_the_2d_truth():
    right, wrong = (batch(replace(EXACT, views=replace(Views(), wrong_focal=share))) for share in (0.0, 1.0))
    scale = (wrong.inputs.anchor / right.inputs.anchor).flatten(1)
    torch.testing.assert_close(scale, scale[:, :1].expand_as(scale), atol=1e-3, rtol=1e-3)
    assert (scale[:, 0] != 1).all()
    assert (scale[:, 0].log().abs() <= 0.2401).all()
    assert ((positions(wrong.inputs.channels) - wrong.truth_2d)[wrong.known_2d]).abs().max() < 1e-4


def test_the_loss_is_zero_at_the_truth_but_for_its_own_asymmetry():
    made = batch()

    class Oracle(nn.Module):
        def forward(self, channels, *, together):
            assert channels is made.inputs.channels
            return made.truth_2d, made.truth_3d

    terms = loss(Oracle(), made)
    assert list(terms) == ["mpjpe", "velocity", "completion", "symmetry"]
    assert all(terms[name] == 0 for name in ("mpjpe", "velocity", "completion"))
    assert terms["symmetry"] > 0  # random bodies


def test_every_term_teaches():
    torch.manual_seed(0)
    network = Lifter(8)
    for tcn in (network.tcn_2d, network.tcn_3d):
        nn.init.normal_(tcn.out.weight)
    for name, term in loss(network, batch(Recipe(batch=4, window=16))).items():
        gradients = torch.autograd.grad(term, list(network.parameters()), retain_graph=True, allow_unused=True)
        total = sum(gradient.abs().sum() for gradient in gradients if gradient is not None)
        assert torch.isfinite(total) and total > 0, name


def test_the_opening_is_the_baseline_without_masks_to_the_last_bit():
    recipe = Recipe(batch=4, window=16, complete=0.0)
    first, baseline = batch(recipe, step=recipe.opening - 1), batch(replace(recipe, masks=False))
    assert torch.equal(first.inputs.channels, baseline.inputs.channels)
    assert first.together and baseline.together
    after = batch(recipe, step=recipe.opening)
    assert not after.together
    assert seen(after).float().mean() < seen(first).float().mean()


def test_the_2d_network_learns_completion_alone_once_joints_are_missing():
    torch.manual_seed(0)
    network = Lifter(8)
    for tcn in (network.tcn_2d, network.tcn_3d):
        nn.init.normal_(tcn.out.weight)
    made = batch(Recipe(batch=4, window=16, complete=0.0))
    for together in (False, True):
        made.together = together
        network.zero_grad()
        loss(network, made)["mpjpe"].backward()
        taught = any(weight.grad is not None and weight.grad.abs().sum() > 0 for weight in network.tcn_2d.parameters())
        assert taught == together
