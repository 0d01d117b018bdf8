import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from occlupose.errors import OccluposeError
from occlupose.methods.lifter import network as lifter_network
from occlupose.methods.lifter.features import (
    AHEAD_CHANNELS,
    CHANNELS,
    Frames,
    View,
    rotation_to_axis,
)
from occlupose.methods.lifter.network import (
    INITIAL_SIGMA,
    JOINTS,
    OUTPUTS,
    SIGMA,
    LifterNetwork,
    _factor,
    card,
    covariances,
    decode,
    load,
    save,
)
from occlupose.networks import weights as weights_file
from occlupose.skeletons import BODY22, BODY22_TO_H36M17

STARTS = {"offset": 0, "place": 3 * JOINTS, "precision": 3 * JOINTS + 3}
"""Where numbers begin among the outputs."""

NUMBERS = st.lists(st.floats(-3, 3), min_size=6, max_size=6)
POINTS = st.tuples(st.floats(-1, 1), st.floats(-1, 1))


def outputs(**numbers):
    """One person's outputs, which say nothing but these numbers: by name the first of them and its values."""
    found = torch.zeros(1, sum(OUTPUTS))
    for name, values in numbers.items():
        found[0, STARTS[name] : STARTS[name] + len(values)] = torch.tensor(values)
    return found


def flat_joints(seed=0):
    return 0.3 * torch.randn(1, 22, 2, generator=torch.Generator().manual_seed(seed))


def view(point=(0.0, 0.0), scale=0.25):
    return View(rotation_to_axis(torch.tensor([point])), torch.tensor([scale]))


# ------------------------------------------------------------------------------------------------------------ decode


def test_a_network_that_says_nothing_puts_flat_people_where_they_are_seen():
    joints = flat_joints()
    lifted = decode(outputs(), joints, view(scale=0.2))
    flat = joints[:, BODY22_TO_H36M17]
    root = flat[:, 0]
    torch.testing.assert_close(lifted.xyz[..., :2], flat - root[:, None])
    assert (lifted.xyz[..., 2] == 0).all()
    torch.testing.assert_close(lifted.root, torch.cat([root * 0.2 * 5, torch.full((1, 1), 5.0)], 1))
    certain = INITIAL_SIGMA**2 * torch.eye(3)
    torch.testing.assert_close(covariances(lifted.factor), certain.expand(1, JOINTS, 3, 3))
    # of the place, in shares of the distance
    torch.testing.assert_close(covariances(lifted.root_factor), 25 * certain[None])


def test_offsets_are_metres_and_relative_to_the_root():
    joints = flat_joints()
    plain = decode(outputs(), joints, view())
    moved = decode(outputs(offset=(0, 0, 0, 0.1, -0.2, 0.3)), joints, view())
    expected = torch.zeros(1, JOINTS, 3)
    expected[0, 1] = torch.tensor([0.1, -0.2, 0.3])
    torch.testing.assert_close(moved.xyz - plain.xyz, expected)
    torch.testing.assert_close(moved.root, plain.root)
    moved = decode(outputs(offset=(0.1, -0.2, 0.3)), joints, view())
    torch.testing.assert_close((moved.xyz - plain.xyz)[0, 1:], -torch.tensor([0.1, -0.2, 0.3]).expand(16, 3))
    assert (moved.xyz[0, 0] == 0).all()


@settings(max_examples=40)
@given(POINTS, st.floats(0.03, 1), st.floats(-0.7, 0.7))
def test_the_root_is_on_the_ray_of_the_pelvis_at_the_distance(point, scale, closer):
    looked = view(point, scale)
    pelvis = torch.tensor([[point[0] + 0.02, point[1] - 0.01]])
    joints = torch.zeros(1, 22, 2)
    joints[:, BODY22.joints.index("pelvis")] = looked.normalise(pelvis[:, None])[:, 0]
    root = decode(outputs(place=(0, 0, closer)), joints, looked).root
    torch.testing.assert_close(root[:, :2] / root[:, 2:], pelvis, atol=1e-4, rtol=1e-4)
    along = (looked.rotation[0] @ root[0])[2].item()  # along the axis of the turned camera
    assert along == pytest.approx(math.exp(closer) / scale, rel=1e-4)
    moved = decode(outputs(place=(0.3, -0.2, closer)), joints, looked).root
    normalised = looked.normalise((moved[:, :2] / moved[:, 2:])[:, None])[:, 0]
    torch.testing.assert_close(normalised - joints[:, BODY22.joints.index("pelvis")], torch.tensor([[0.3, -0.2]]))


def test_what_is_seen_beside_the_axis_is_turned_to_the_camera():
    """Offsets and covariances are those of a camera that looks at the person."""
    joints = flat_joints()
    told = torch.randn(1, sum(OUTPUTS), generator=torch.Generator().manual_seed(1))
    looked = view((0.6, -0.3))
    ahead = decode(told, joints, view())
    beside = decode(told, joints, looked)
    to_camera = looked.rotation[0].mT
    torch.testing.assert_close(beside.xyz[0], ahead.xyz[0] @ to_camera.mT, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(beside.root[0], to_camera @ ahead.root[0], atol=1e-4, rtol=1e-5)
    turned = to_camera @ covariances(ahead.factor)[0] @ to_camera.mT
    torch.testing.assert_close(covariances(beside.factor)[0], turned, atol=1e-5, rtol=1e-3)
    turned = to_camera @ covariances(ahead.root_factor)[0] @ to_camera.mT
    torch.testing.assert_close(covariances(beside.root_factor)[0], turned, atol=1e-5, rtol=1e-3)


def test_an_uncertain_depth_is_along_the_line_of_sight():
    sigmas = (0.02, 0.02, 0.5)
    told = [math.log(INITIAL_SIGMA / sigma) for sigma in sigmas]
    looked = view((1.0, 0.0))
    lifted = decode(outputs(precision=[*told, 0, 0, 0]), flat_joints(), looked)
    covariance = covariances(lifted.factor)[0, 0]
    sight = torch.tensor([1.0, 0.0, 1.0]) / 2**0.5
    across = torch.tensor([-1.0, 0.0, 1.0]) / 2**0.5
    assert (sight @ covariance @ sight).sqrt() == pytest.approx(0.5, rel=1e-3)
    assert (across @ covariance @ across).sqrt() == pytest.approx(0.02, rel=1e-3)
    assert covariance[1, 1].sqrt() == pytest.approx(0.02, rel=1e-3)
    assert covariance[0, 2] == pytest.approx((0.5**2 - 0.02**2) / 2, rel=1e-3)


@settings(max_examples=60)
@given(NUMBERS)
def test_covariances_are_symmetric_and_positive_and_within_bounds(numbers):
    factor = _factor(torch.tensor(numbers, dtype=torch.float32)[None])
    assert (factor.triu(1) == 0).all()
    diagonal = factor[0].diagonal()
    assert (diagonal >= 1 / SIGMA[1] - 1e-4).all() and (diagonal <= 1 / SIGMA[0] + 1e-2).all()
    exact = covariances(factor.double())[0]
    torch.testing.assert_close(exact, exact.mT)
    assert (torch.linalg.eigvalsh(exact) > 0).all()
    precision = factor[0].double().mT @ factor[0].double()
    torch.testing.assert_close(exact @ precision, torch.eye(3).double(), atol=1e-5, rtol=0)


def test_the_six_numbers_of_a_covariance():
    factor = _factor(torch.tensor([0.0, math.log(2), -math.log(5), 0.1, 0.2, 0.3]))
    expected = torch.tensor([[10.0, 0, 0], [0.1 * 20, 20, 0], [0.2 * 2, 0.3 * 2, 2]])
    torch.testing.assert_close(factor, expected)


def test_nobody_may_be_decoded():
    lifted = decode(torch.zeros(0, sum(OUTPUTS)), torch.zeros(0, 22, 2), View(torch.zeros(0, 3, 3), torch.zeros(0)))
    assert lifted.xyz.shape == (0, JOINTS, 3)
    assert covariances(lifted.root_factor).shape == (0, 3, 3)


def test_all_frames_of_a_batch_are_decoded():
    torch.manual_seed(0)
    network = LifterNetwork(32, 1).eval()
    frames = Frames(
        torch.randn(2, 5, CHANNELS),
        torch.randn(2, 5, 22, 2),
        torch.ones(2, 5, 22, dtype=torch.bool),
        torch.ones(2, 5, 22, dtype=torch.bool),
        torch.zeros(2, 5, 22),
        View(rotation_to_axis(torch.randn(2, 5, 2)), torch.full((2, 5), 0.2)),
    )
    time = (torch.arange(5).double() / 10).expand(2, -1)
    lifted = network(frames, torch.randn(2, 5, AHEAD_CHANNELS), frames.joints, time, time)
    assert lifted.xyz.shape == (2, 5, JOINTS, 3)
    assert lifted.factor.shape == (2, 5, JOINTS, 3, 3)
    assert lifted.root.shape == (2, 5, 3)
    assert lifted.root_factor.shape == (2, 5, 3, 3)
    assert all(part.isfinite().all() for part in vars(lifted).values())


# ----------------------------------------------------------------------------------------------------------- weights


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    torch.manual_seed(0)
    network = LifterNetwork(32, 2)
    path = tmp_path_factory.mktemp("weights") / "lifter.safetensors"
    save(network.state_dict(), network, path)
    return network, path


def test_saved_weights_are_loaded_in_half_precision(weights, tmp_path):
    network, path = weights
    loaded = load(path)
    assert (loaded.width, loaded.depth) == (32, 2)
    assert not loaded.training
    for name, value in network.state_dict().items():
        torch.testing.assert_close(loaded.state_dict()[name], value.half().float(), rtol=0, atol=0)
    save(loaded.state_dict(), loaded, tmp_path / "again.safetensors")
    assert (tmp_path / "again.safetensors").read_bytes() == path.read_bytes()


def test_weights_of_one_head_answer_as_before(weights, tmp_path):
    """Earlier versions had one head, whose outputs were offsets, their precisions, the place and its precision."""
    torch.manual_seed(1)
    network, _ = weights
    one = torch.nn.Sequential(
        torch.nn.LayerNorm(32), torch.nn.Linear(32, 32), torch.nn.GELU(), torch.nn.Linear(32, sum(OUTPUTS))
    ).eval()
    path = tmp_path / "lifter.safetensors"
    others = {name: value for name, value in network.state_dict().items() if ".out." not in name}
    save(others | {f"transformer.out.{name}": value for name, value in one.state_dict().items()}, network, path)
    x = torch.randn(3, 32)
    offset, precision, place, root_precision = one(x).split([3 * JOINTS, 6 * JOINTS, 3, 6], -1)
    expected = torch.cat([offset, place, precision, root_precision], -1)
    torch.testing.assert_close(load(path).transformer.out(x), expected, atol=2e-3, rtol=0)


def refused(path):
    with pytest.raises(OccluposeError) as caught:
        load(path)
    assert "\n" not in str(caught.value)
    assert str(caught.value).startswith(f"{path}: ")
    assert str(caught.value).endswith("; give a file that `occlupose train lifter` wrote")
    return str(caught.value)


def test_other_weights_are_refused(weights, tmp_path):
    network, _ = weights
    path = tmp_path / "other.safetensors"
    assert "no such file" in refused(path)
    path.write_bytes(b"no weights")
    assert "not readable as weights of the lifter" in refused(path)
    weights_file.save(network.state_dict(), {"format": "occlupose oanet 1"}, path)
    assert "not the weights of the lifter (their format is 'occlupose oanet 1')" in refused(path)
    header = {"format": lifter_network.FORMAT, "width": "32", "depth": "3"}
    weights_file.save(network.state_dict(), header, path)
    assert "tensors do not match this version" in refused(path)
    for bad in ({"depth": "2"}, {"depth": "2", "width": "wide"}):
        weights_file.save(network.state_dict(), {"format": lifter_network.FORMAT, **bad}, path)
        assert "not readable as weights of the lifter" in refused(path)


def test_weights_that_are_not_numbers_are_refused(weights, tmp_path):
    network, _ = weights
    path = tmp_path / "lifter.safetensors"
    broken = {name: value.clone() for name, value in network.state_dict().items()}
    name = "transformer.embed.0.weight"
    broken[name][0, 0] = torch.nan
    save(broken, network, path)
    assert f"{name} has values that are not numbers" in refused(path)
    broken[name][0, 0] = 1e6  # too large for half precision
    save(broken, network, path)
    assert f"{name} has values that are not numbers" in refused(path)


def test_the_shipped_weights_and_their_card(monkeypatch, weights):
    _, path = weights
    path.with_suffix(".json").write_text('{"licence": "Apache-2.0"}')
    assert card(path) == {"licence": "Apache-2.0"}
    monkeypatch.setattr(lifter_network, "DEFAULT", path)
    assert card() == {"licence": "Apache-2.0"}
    assert load().width == 32
