import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from lifter_rays import random_rays
from occlupose.methods.oanet import predict
from occlupose.methods.oanet.gap_filled_inputs import GapFilledEncoder
from occlupose.methods.oanet.masked_inputs import MaskedEncoder
from occlupose.methods.oanet.network import paper_network, shipped_network
from occlupose.methods.oanet.predict import MAX_UPSAMPLING, interleave_factor, lift_rays, upsample_factor
from occlupose.networks.tcn import STRIDE
from occlupose.skeletons import H36M17

SEEDS = st.integers(0, 2**32 - 1)


def lifter(seed=0):
    """A lifter with a non-zero output, as after training."""
    torch.manual_seed(seed)
    net = shipped_network(8)
    for tcn in (net.tcn_2d, net.tcn_3d):
        torch.nn.init.normal_(tcn.out.weight)
    return net.eval()


LIFTER = lifter()


def people(count=1, seconds=2.0, fps=30.0, seed=0):
    return random_rays(count, round(seconds * fps), fps, seed)


def random_mask(rays, share=1.0, seed=0):
    return np.random.default_rng(seed).random(rays.shape[:3]) < share


def same(one, other, atol=1e-5):
    np.testing.assert_allclose(one.xyz, other.xyz, atol=atol)
    np.testing.assert_allclose(one.rays, other.rays, atol=atol)


@pytest.mark.parametrize("frames", [1, 2, 3, 7, 61])
@pytest.mark.parametrize("fps", [1.0, 10.0, 23.976, 25.0, 30.0, 50.0, 60.0, 120.0, 240.0])
def test_any_rate_and_length(fps, frames):
    rays = people(2, frames / fps, fps)
    output = lift_rays(LIFTER, rays, random_mask(rays, 0.7), fps)
    assert output.xyz.shape == (frames, 2, 17, 3)
    assert output.rays.shape == (frames, 2, 22, 2)
    for value in (output.xyz, output.rays):
        assert value.dtype == np.float32
        assert np.isfinite(value).all()
    assert (output.xyz[:, :, H36M17.joints.index("pelvis")] == 0).all()


@pytest.mark.parametrize("shape", [(0, 0), (0, 3), (5, 0)])
def test_no_frames_or_nobody(shape):
    rays = np.zeros((*shape, 22, 2), np.float32)
    output = lift_rays(LIFTER, rays, random_mask(rays), 30)
    assert output.xyz.shape == (*shape, 17, 3)
    assert output.rays.shape == (*shape, 22, 2)


@pytest.mark.parametrize("fps", [10.0, 30.0, 60.0])
def test_people_are_lifted_independently(fps):
    rays = people(3, fps=fps)
    observed = random_mask(rays, 0.6)
    together = lift_rays(LIFTER, rays, observed, fps)
    for person in range(3):
        alone = lift_rays(LIFTER, rays[:, [person]], observed[:, [person]], fps)
        np.testing.assert_allclose(together.xyz[:, person], alone.xyz[:, 0], atol=1e-5)
        np.testing.assert_allclose(together.rays[:, person], alone.rays[:, 0], atol=1e-5)


@settings(max_examples=25)
@given(SEEDS, st.sampled_from([np.nan, np.inf, 5.0]), st.sampled_from([10.0, 30.0, 60.0]))
def test_unobserved_joints_have_no_effect(seed, value, fps):
    rays = people(2, 1.0, fps, seed)
    observed = random_mask(rays, 0.6, seed)
    hidden = np.where(observed[..., None], rays, np.float32(value))
    same(lift_rays(LIFTER, rays, observed, fps), lift_rays(LIFTER, hidden, observed, fps), atol=0)


def test_the_arguments_are_not_changed():
    rays = people()
    observed = random_mask(rays, 0.5)
    before = rays.copy(), observed.copy()
    rays.flags.writeable = observed.flags.writeable = False
    lift_rays(LIFTER, rays, observed, 60)
    np.testing.assert_array_equal(rays, before[0])
    np.testing.assert_array_equal(observed, before[1])


@pytest.mark.parametrize("fps", [55.0, 60.0, 65.0])
def test_at_twice_the_rate_each_second_frame_is_as_at_the_rate(fps):
    fast = people(seconds=128 / 60, fps=60)
    observed = random_mask(fast, 0.6)
    fast_answer = lift_rays(LIFTER, fast, observed, fps)
    for phase in (0, 1):
        slow = lift_rays(LIFTER, fast[phase::2], observed[phase::2], 30)
        np.testing.assert_allclose(fast_answer.xyz[phase::2], slow.xyz, atol=1e-5)
        np.testing.assert_allclose(fast_answer.rays[phase::2], slow.rays, atol=1e-5)


def test_slow_video_is_fast_video_with_unobserved_frames():
    fast = people(seconds=3.2, fps=30)
    observed = np.zeros(fast.shape[:3], bool)
    observed[::3] = True
    slow = lift_rays(LIFTER, fast[::3], observed[::3], 10)
    dense = lift_rays(LIFTER, fast, observed, 30)
    np.testing.assert_allclose(slow.xyz, dense.xyz[::3], atol=1e-5)
    np.testing.assert_allclose(slow.rays, dense.rays[::3], atol=1e-5)


@pytest.mark.parametrize(
    ("fps", "fast", "slow"),
    [
        (0.5, 1, MAX_UPSAMPLING),
        (1, 1, MAX_UPSAMPLING),
        (5, 1, 6),
        (10, 1, 3),
        (19, 1, 2),
        (20, 1, 1),
        (25, 1, 1),
        (30, 1, 1),
        (44, 1, 1),
        (50, 2, 1),
        (60, 2, 1),
        (120, 4, 1),
        (240, 8, 1),
    ],
)
def test_the_networks_get_about_their_training_frame_rate(fps, fast, slow):
    assert (interleave_factor(fps), upsample_factor(fps)) == (fast, slow)


@pytest.mark.parametrize("fps", [10.0, 30.0, 60.0])
@pytest.mark.parametrize("seed", [0, 1])
def test_observed_joints_are_returned_unchanged_whatever_the_weights(fps, seed):
    rays = people(2, 60 / fps, fps)
    observed = random_mask(rays, 0.6)
    output = lift_rays(lifter(seed), rays, observed, fps)
    np.testing.assert_allclose(output.rays[observed], rays[observed], atol=1e-5)
    assert np.abs(output.rays - rays)[~observed].max() > 0.01  # unobserved joints are moved


def test_without_training_completed_joints_are_observed_or_interpolated():
    rays = people(2)
    observed = random_mask(rays, 0.8)
    observed[[0, -1]] = True
    output = lift_rays(shipped_network(8).eval(), rays, observed, 30)
    np.testing.assert_allclose(output.rays[observed], rays[observed], atol=1e-5)
    assert np.abs(output.rays - rays)[~observed].max() < 0.02  # smooth motion interpolated over short gaps


def test_the_result_is_in_the_axes_of_the_camera():
    """An untrained network gives a flat person, in the axes of the rotated camera."""
    rays = people()
    output = lift_rays(shipped_network(8).eval(), rays, random_mask(rays), 30)
    inputs = GapFilledEncoder()(torch.from_numpy(rays).transpose(0, 1), torch.ones(1, 60, 22, dtype=torch.bool))
    turned = output.xyz[:, 0] @ inputs.rotation[0].mT.numpy()
    np.testing.assert_allclose(turned[..., 2], 0, atol=1e-5)
    assert np.abs(output.xyz[..., 2]).max() > 0.01


@pytest.mark.parametrize("fps", [10.0, 30.0, 60.0])
def test_long_tracks_are_lifted_in_windows_to_the_same_result(fps, monkeypatch):
    rays = people(2, 400 / fps, fps)
    observed = random_mask(rays, 0.4)
    observed[60:380, 0] = False  # a gap longer than both limits
    whole = lift_rays(LIFTER, rays, observed, fps)
    for window in (1, 8, 13):
        monkeypatch.setattr(predict, "WINDOW", window)
        same(lift_rays(LIFTER, rays, observed, fps), whole)
    assert 13 * STRIDE * interleave_factor(fps) < 400


def test_lifting_does_not_change_the_network():
    before = {name: value.clone() for name, value in LIFTER.state_dict().items()}
    rays = people()
    first = lift_rays(LIFTER, rays, random_mask(rays, 0.5), 30)
    second = lift_rays(LIFTER, rays, random_mask(rays, 0.5), 30)
    same(first, second, atol=0)
    assert all(torch.equal(value, before[name]) for name, value in LIFTER.state_dict().items())
    assert all(parameter.grad is None for parameter in LIFTER.parameters())


@pytest.fixture(scope="module")
def oanet():
    torch.manual_seed(0)
    network = paper_network(8, encoder=MaskedEncoder(window=32)).eval()
    nn.init.normal_(network.tcn_3d.out.weight)
    return network


def predict_3d(oanet, xy, reliable):
    """Root-relative joints of one person at 30 frames per second."""
    return torch.from_numpy(lift_rays(oanet, xy[:, None].numpy(), reliable[:, None].numpy(), 30.0).xyz[:, 0])


def sequence(time, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(time, 17, 2, generator=generator), torch.rand(time, 17, generator=generator) < 0.8


def test_one_window_gives_the_output_of_the_networks(oanet):
    xy, reliable = sequence(32)
    with torch.inference_mode():
        torch.testing.assert_close(
            predict_3d(oanet, xy, reliable), oanet(oanet.encoder(xy[None], reliable[None])).xyz[0]
        )


@pytest.mark.parametrize("time", [1, 3, 8, 31, 33, 64, 100])
def test_any_length_in_windows(oanet, time):
    output = predict_3d(oanet, *sequence(time))
    assert output.shape == (time, 17, 3)
    assert output.isfinite().all()


def test_overlapping_windows_are_averaged(oanet):
    xy, reliable = sequence(48)
    whole = predict_3d(oanet, xy, reliable)
    first = predict_3d(oanet, xy[:32], reliable[:32])
    second = predict_3d(oanet, xy[16:], reliable[16:])
    torch.testing.assert_close(whole[:16], first[:16])
    torch.testing.assert_close(whole[16:32], (first[16:] + second[:16]) / 2)
    torch.testing.assert_close(whole[32:], second[16:])


def test_units_do_not_matter(oanet):
    xy, reliable = sequence(40)
    torch.testing.assert_close(
        predict_3d(oanet, 300 * xy + 500, reliable), predict_3d(oanet, xy, reliable), atol=1e-4, rtol=1e-4
    )


def test_nothing_gives_nothing_and_long_sequences_go_in_parts(oanet, monkeypatch):
    assert predict_3d(oanet, torch.zeros(0, 17, 2), torch.zeros(0, 17, dtype=torch.bool)).shape == (0, 17, 3)
    xy, reliable = sequence(200)
    whole = predict_3d(oanet, xy, reliable)
    monkeypatch.setattr(predict, "WINDOWS_AT_ONCE", 3)
    torch.testing.assert_close(predict_3d(oanet, xy, reliable), whole)
