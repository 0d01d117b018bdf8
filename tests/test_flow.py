import sys

import cv2
import numpy as np
import pytest
import torch
from torch import nn

from occlupose.errors import OccluposeError
from occlupose.flow import DIS, RAFT, FlowSampler, build_flow, load_raft
from occlupose.occlusion.confidence import OCCLUDED, VISIBLE, classify_joints, discount_by_flow
from occlupose.pyramid import Pyramid

BOX = np.array([[60, 40, 160, 168]], np.float32)  # side 128: the flow is computed at full size
SIDE = 128
JOINTS = np.array([[[80, 60], [140, 60], [110, 100], [90, 150], [130, 150]]], np.float32)
ONE = np.array([1])


def texture(height, width, seed=0, blur=3.0):
    noise = cv2.GaussianBlur(np.random.default_rng(seed).random((height, width)).astype(np.float32), (0, 0), blur)
    grey = (255 * (noise - noise.min()) / np.ptp(noise)).astype(np.uint8)
    return np.repeat(grey[..., None], 3, 2)


def moved(image, shift, size=(240, 220)):
    """A window of this (width, height) on the image, its content moved by this much."""
    dx, dy = shift
    return cv2.warpAffine(image, np.array([[1, 0, dx - 40], [0, 1, dy - 40]], np.float32), size, flags=cv2.INTER_CUBIC)


def measure(*frames, flow=None):
    """The answers for every frame of (image, boxes, xy, ids)."""
    sampler = FlowSampler(flow)
    results = [sampler.update(Pyramid(image), *people) for image, *people in frames]
    assert results[0] is None
    return [*results[1:], sampler.finish()]


@pytest.mark.parametrize("shift", [(0, 0), (3.4, -1.7), (-6.2, 5.5), (10.3, 4.2)])
def test_moving_texture_gives_its_displacement(shift):
    world = texture(340, 340)
    first, _ = measure(
        (moved(world, (0, 0)), BOX, JOINTS, ONE), (moved(world, shift), BOX, JOINTS + np.array(shift, np.float32), ONE)
    )
    np.testing.assert_allclose(first.flow * SIDE, np.broadcast_to(shift, JOINTS.shape), atol=0.3)
    np.testing.assert_allclose(first.motion * SIDE, np.broadcast_to(shift, JOINTS.shape), atol=1e-4)


def test_flow_is_the_same_after_a_small_image():
    world = texture(340, 340)
    pair = [moved(world, shift) for shift in ((0, 0), (3.4, -1.7))]
    flow = DIS()
    before = flow(*pair)
    flow(pair[0][:50, :46], pair[1][:50, :46])
    np.testing.assert_array_equal(flow(*pair), before)


def test_a_large_person_is_measured_on_a_small_image_in_full_size_units():
    world = texture(1400, 1400, blur=12.0)
    box = BOX * 5
    joints = JOINTS * 5
    frames = [
        (moved(world, shift, (1200, 1100)), box, joints + np.array(shift, np.float32), ONE)
        for shift in ((0, 0), (17, -9))
    ]
    first, _ = measure(*frames)
    np.testing.assert_allclose(first.flow * SIDE * 5, np.broadcast_to((17, -9), JOINTS.shape), atol=0.3 * 5)


def test_a_still_joint_on_a_moving_background_is_rejected_and_a_moving_one_is_kept():
    world = texture(340, 340, blur=6.0)
    shift = np.array([22, 0], np.float32)
    still = np.array([True, False, True, False, False])
    after = np.where(still[:, None], JOINTS, JOINTS + shift)
    first, _ = measure((moved(world, (0, 0)), BOX, JOINTS, ONE), (moved(world, shift), BOX, after, ONE))
    measured = classify_joints(discount_by_flow(np.full((1, 1, 5), 0.9), first.motion[None], first.flow[None]))
    np.testing.assert_array_equal(measured[0, 0], np.where(still, OCCLUDED, VISIBLE))


def test_the_last_frame_is_compared_with_the_one_before():
    world = texture(340, 340)
    shift = np.array([4, 2], np.float32)
    _, last = measure((moved(world, (0, 0)), BOX, JOINTS, ONE), (moved(world, shift), BOX, JOINTS + shift, ONE))
    np.testing.assert_allclose(last.flow * SIDE, np.broadcast_to(-shift, JOINTS.shape), atol=0.3)
    np.testing.assert_allclose(last.motion * SIDE, np.broadcast_to(-shift, JOINTS.shape), atol=1e-4)


def test_a_person_gone_in_the_next_frame_is_compared_with_the_last_and_others_with_the_next():
    world = texture(340, 340)
    images = [moved(world, shift) for shift in ((0, 0), (3, 0), (3, 5))]
    two = (np.repeat(BOX, 2, 0), np.repeat(JOINTS, 2, 0), np.array([1, 2]))
    results = measure((images[0], *two), (images[1], *two), (images[2], BOX, JOINTS, ONE))
    np.testing.assert_allclose(results[1].flow[0] * SIDE, np.broadcast_to((0, 5), JOINTS.shape[1:]), atol=0.3)
    np.testing.assert_allclose(results[1].flow[1] * SIDE, np.broadcast_to((-3, 0), JOINTS.shape[1:]), atol=0.3)


def test_a_joint_missing_in_the_next_frame_alone_is_compared_with_the_last():
    world = texture(340, 340)
    images = [moved(world, shift) for shift in ((0, 0), (3, 0), (3, 5))]
    gone = JOINTS.copy()
    gone[0, 2] = np.nan
    _, middle, _ = measure((images[0], BOX, JOINTS, ONE), (images[1], BOX, JOINTS, ONE), (images[2], BOX, gone, ONE))
    np.testing.assert_allclose(middle.flow[0, [2, 3]] * SIDE, [[-3, 0], [0, 5]], atol=0.3)


def test_motion_follows_the_id_not_the_order():
    image = moved(texture(340, 340), (0, 0))
    two = np.concatenate([JOINTS, JOINTS + 10])
    boxes = np.repeat(BOX, 2, 0)
    first, _ = measure((image, boxes, two, np.array([1, 2])), (image, boxes, two[::-1], np.array([2, 1])))
    np.testing.assert_array_equal(first.motion, 0)


@pytest.mark.parametrize("ids", [(np.array([1]), np.array([2])), (np.array([-1]), np.array([-1]))])
def test_new_and_unconfirmed_people_have_no_motion(ids):
    image = moved(texture(340, 340), (0, 0))
    for measured in measure((image, BOX, JOINTS, ids[0]), (image, BOX, JOINTS, ids[1])):
        assert np.isnan(measured.motion).all() and np.isnan(measured.flow).all()


def test_a_joint_outside_the_image_has_motion_but_no_flow():
    image = moved(texture(340, 340), (0, 0))
    joints = JOINTS.copy()
    joints[0, 0] = (-30, 60)
    first, _ = measure((image, BOX, joints, ONE), (image, BOX, joints, ONE))
    assert np.isnan(first.flow[0, 0]).all() and not np.isnan(first.flow[0, 1:]).any()
    np.testing.assert_array_equal(first.motion, 0)


def test_nobody_and_boxes_outside_the_image_are_no_error():
    image = moved(texture(340, 340), (0, 0))
    nobody = (np.zeros((0, 4), np.float32), np.zeros((0, 5, 2), np.float32), np.zeros(0, np.int64))
    away = (image, BOX + 5000, JOINTS + 5000, ONE)
    results = measure((image, *nobody), away, away)
    assert results[0].flow.shape == (0, 5, 2)
    assert np.isnan(results[1].flow).all()


def test_a_change_of_image_size_breaks_the_flow():
    world = texture(340, 340)
    first, last = measure(
        (moved(world, (0, 0)), BOX, JOINTS, ONE), (moved(world, (0, 0), (200, 200)), BOX, JOINTS, ONE)
    )
    assert np.isnan(first.motion).all() and np.isnan(last.motion).all()


def test_a_finished_sampler_starts_again():
    image = Pyramid(moved(texture(340, 340), (0, 0)))
    sampler = FlowSampler()
    assert sampler.finish() is None
    sampler.update(image, BOX, JOINTS, ONE)
    assert np.isnan(sampler.finish().motion).all()
    assert sampler.update(image, BOX, JOINTS, ONE) is None


# ------------------------------------------------------------------------------------------------ other flows


def test_by_default_it_is_dis_on_the_grey_images():
    """OpenCV's flow of the whole image, which the box fills, averaged over five pixels by five."""
    world = np.random.default_rng(1).integers(0, 256, (200, 200, 3), dtype=np.uint8)
    first = cv2.GaussianBlur(world, (0, 0), 3)
    second = cv2.GaussianBlur(np.roll(world, (2, 3), (0, 1)), (0, 0), 3)
    dis = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_FAST)
    field = dis.calc(*(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY) for image in (first, second)), None)
    box = np.array([[30, 30, 170, 170]], np.float32)
    xy = np.array([[[60, 60], [100, 141], [150, 80]]], np.float32)
    expected = [[field[y - 2 : y + 3, x - 2 : x + 3].mean((0, 1)) for x, y in xy[0].astype(int)]]
    for flow in (None, DIS(), build_flow()):
        measured, _ = measure((first, box, xy, ONE), (second, box, xy, ONE), flow=flow)
        np.testing.assert_allclose(measured.flow * 140, expected, atol=1e-3)


class Stretch:
    """A flow by formula: x² / 100 to the right and y / 10 up, from the middle of the image."""

    sizes: list

    def __init__(self):
        self.sizes = []

    def __call__(self, first, second):
        assert first.shape == second.shape and first.dtype == second.dtype == np.uint8
        self.sizes.append(first.shape)
        y, x = np.indices(first.shape[:2]) - (np.array(first.shape[:2]).reshape(2, 1, 1) - 1) / 2
        return np.stack([x**2 / 100, -y / 10], -1)


def test_any_flow_is_used_as_it_is_averaged_over_the_patch():
    """The mean of x² over x - 2 to x + 2 is x² + 2."""
    image = moved(texture(340, 340), (0, 0), (201, 221))
    flow = Stretch()
    box = np.array([[20, 20, 181, 201]], np.float32)
    side = 181
    first, last = measure((image, box, JOINTS, ONE), (image, box, JOINTS + 1, ONE), flow=flow)
    assert flow.sizes == [(221, 201, 3)] * 2, "the box with its surroundings is all of the picture"
    for measured, xy in ((first, JOINTS), (last, JOINTS + 1)):
        x, y = (xy - (100, 110)).transpose(2, 0, 1)
        np.testing.assert_allclose(measured.flow * side, np.stack([(x**2 + 2) / 100, -y / 10], -1), atol=1e-3)
    np.testing.assert_allclose(first.motion * side, 1, atol=1e-5)


def test_a_flow_on_a_smaller_image_is_in_pixels_of_the_original():
    image = np.zeros((996, 996, 3), np.uint8)
    flow = Stretch()
    people = (image, np.array([[100, 100, 900, 900]], np.float32), np.float32([[[400, 700]]]), ONE)
    measured, _ = measure(people, people, flow=flow)
    assert flow.sizes[0] == (166, 166, 3), "a sixth: 800 px are about six times 128"
    assert measured.flow[0, 0, 1] * 800 == pytest.approx(-(700 - 995 / 2) / 10, abs=1e-3)


def test_a_flow_of_another_size_is_refused():
    image = moved(texture(340, 340), (0, 0))
    with pytest.raises(OccluposeError, match=r"returned shape \(2, 3, 2\).*height, width, 2"):
        measure(*[(image, BOX, JOINTS, ONE)] * 2, flow=lambda first, second: np.zeros((2, 3, 2)))


class Brightness(nn.Module):
    """In place of RAFT: how bright the first image is in red, and the second in green, of 0..255. Worse first."""

    def forward(self, first, second):
        for image in (first, second):
            assert image.dtype == torch.float32 and image.shape[2] % 8 == 0 and image.shape[3] % 8 == 0
            assert min(image.shape[2:]) >= 128 and image.min() >= -1 and image.max() <= 1
        assert first.min() == -1 and first.max() == 1
        right = torch.stack([first[:, 0], second[:, 1]], 1) * 127.5 + 127.5
        return [torch.zeros_like(right), right]


@pytest.mark.parametrize("size", [(16, 16), (128, 136), (131, 250), (300, 17)])
def test_raft_gets_padded_images_and_its_last_iteration_counts(size):
    first, second = np.random.default_rng(0).integers(0, 256, (2, *size, 3), dtype=np.uint8)
    first[0, 0] = 0
    first[0, 1] = 255
    field = RAFT(Brightness())(first, second)
    assert field.dtype == np.float32 and field.flags.c_contiguous
    np.testing.assert_allclose(field, np.stack([first[..., 0], second[..., 1]], -1), atol=1e-4)


def test_an_unknown_flow_is_refused():
    with pytest.raises(OccluposeError, match=r"^flow pwc: not known; give dis, raft-small, raft-large$"):
        build_flow("pwc")


@pytest.mark.parametrize("name", ["raft-small", "raft-large"])
@pytest.mark.parametrize(
    "error", ["ModuleNotFoundError('No module named torchvision')", "RuntimeError('operator torchvision::nms is not')"]
)
def test_without_a_torchvision_that_fits_the_cure_is_one_line(name, error, tmp_path, monkeypatch):
    """As where it is not installed, and as where it was built for another torch."""
    (tmp_path / "torchvision").mkdir()
    (tmp_path / "torchvision" / "__init__.py").write_text(f"raise {error}")
    for module in [module for module in sys.modules if module.partition(".")[0] == "torchvision"]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(
        OccluposeError,
        match=rf"^flow {name}: .*{torch.__version__.split('+')[0]}.*install torchvision .*dis$",
    ):
        build_flow(name)


def torchvision_fits():
    try:
        from torchvision.models import optical_flow  # noqa: F401
    except (ImportError, OSError, RuntimeError):
        return False
    return True


needs_torchvision = pytest.mark.skipif(not torchvision_fits(), reason="there is no torchvision that fits this torch")


@needs_torchvision
@pytest.mark.parametrize("size", ["small", "large"])
def test_raft_itself_takes_any_size(size):
    flow = load_raft(size, pretrained=False)
    first, second = np.random.default_rng(0).integers(0, 256, (2, 75, 141, 3), dtype=np.uint8)
    field = flow(first, second)
    assert field.shape == (75, 141, 2) and np.isfinite(field).all()


@needs_torchvision
def test_weights_of_raft_that_cannot_be_fetched_are_one_line(tmp_path, monkeypatch):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")  # nobody is there
    with pytest.raises(
        OccluposeError, match=r"^flow raft-small: torchvision cannot fetch its weights .*; go online once, or use dis$"
    ):
        build_flow("raft-small")
