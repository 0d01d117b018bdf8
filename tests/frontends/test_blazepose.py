import math
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from occlupose.assets import blazepose_weights, demo_clip
from occlupose.cameras import camera_from_fov
from occlupose.errors import OccluposeError
from occlupose.estimator import track
from occlupose.frontends import build_frontend, check_options
from occlupose.frontends.blazepose import BlazePose, _upright, refine_landmarks
from occlupose.media import Frame, open_media
from occlupose.methods.oanet.estimator import OANet
from occlupose.skeletons import BLAZEPOSE33, COCO17

PLAYERS = [[270, 310, 570, 1190], [530, 750, 1000, 1760]]  # boxes at the clip's start, by eye


def test_a_trunk_points_to_the_top_of_its_circle():
    xy = np.zeros((3, 39, 2))
    xy[:, BLAZEPOSE33.index("left_shoulder", "right_shoulder")] = [[10, -50], [-10, -50]]
    xy[2, BLAZEPOSE33.index("left_shoulder", "right_shoulder")] = [60, -50]
    regions = np.array([[0.0, 0, 10, -90], [0, 0, 10, 90], [0, 0, 0, -90]])
    np.testing.assert_array_equal(_upright(xy, regions), [True, False, False])


def refined_in_plain_python(x, y, heatmap):
    """Of one landmark, cell by cell."""
    column = math.floor(x / 4)
    row = math.floor(y / 4)
    if not (0 <= column < 64 and 0 <= row < 64):
        return x, y
    cells = [(i, j) for i in range(column - 3, column + 4) for j in range(row - 3, row + 4)]
    weights = {(i, j): 1 / (1 + math.exp(-heatmap[j, i])) for i, j in cells if 0 <= i < 64 and 0 <= j < 64}
    if max(weights.values()) < 0.5:
        return x, y
    total = sum(weights.values())
    return tuple(4 * sum(cell[axis] * weight for cell, weight in weights.items()) / total for axis in (0, 1))


@given(st.integers(0, 2**32 - 1))
def test_landmarks_are_refined_as_in_plain_python(seed):
    random = np.random.default_rng(seed)
    xy = random.uniform(-20, 276, (2, 39, 2))
    heatmaps = random.normal(-4.5, 2, (2, 64, 64, 39)).astype(np.float32)
    expected = [
        [refined_in_plain_python(x, y, maps[..., number]) for number, (x, y) in enumerate(points)]
        for points, maps in zip(xy.tolist(), heatmaps, strict=True)
    ]
    refined = refine_landmarks(xy, heatmaps)
    np.testing.assert_allclose(refined, expected, atol=1e-6)
    moved = (refined != xy).any(-1)
    assert moved.any() and not moved.all()


def one_heatmap(cells, background=-80.0):
    """Logits of these confidences at (column, row), for one person with one landmark."""
    maps = np.full((1, 64, 64, 1), background, np.float32)
    for (column, row), confidence in cells.items():
        maps[0, row, column, 0] = np.log(confidence / (1 - confidence))
    return maps


@pytest.mark.parametrize(
    ("xy", "cells", "expected"),
    [
        ([81, 41], {(20, 10): 0.75, (23, 10): 0.25}, [4 * 20.75, 40]),
        ([81, 41], {(20, 10): 0.75, (20, 7): 0.25}, [80, 4 * 9.25]),
        ([83.9, 41], {(20, 10): 0.75, (24, 10): 0.9}, [80, 40]),  # column 24 is beyond the window
        ([81, 41], {(20, 10): 0.49, (21, 10): 0.49}, [81, 41]),  # nowhere confident
        ([2, 250], {(0, 62): 0.6, (3, 63): 0.3, (63, 0): 0.9}, [4 * 1, 4 * (62 + 1 / 3)]),  # at the border
        ([-1, 41], {(0, 10): 0.9}, [-1, 41]),  # outside of the crop
        ([81, 256], {(20, 63): 0.9}, [81, 256]),
        ([1e6, -1e6], {}, [1e6, -1e6]),
    ],
)
def test_a_landmark_moves_to_the_centroid_of_its_window(xy, cells, expected):
    refined = refine_landmarks(np.array([[xy]], float), one_heatmap(cells))
    np.testing.assert_allclose(refined, [[expected]], rtol=1e-6)


def test_the_window_is_cut_off_at_the_border():
    """Everywhere exactly the least confidence: the centroid is the centre of the cells that there are."""
    xy = np.array([[[0.0, 128], [255, 9]]])
    np.testing.assert_allclose(refine_landmarks(xy, np.zeros((1, 64, 64, 2))), [[[6, 128], [246, 10]]])


def test_nobody_is_refined_to_nobody():
    assert refine_landmarks(np.zeros((0, 39, 2)), np.zeros((0, 64, 64, 39))).shape == (0, 39, 2)


def test_unknown_name():
    known = r"movenet-occlusion, movenet, movenet-multipose, blazepose, rtmpose:FILE\.onnx, "
    with pytest.raises(
        OccluposeError, match=rf"^nosuch: no such front end; give {known}.*, a \.safetensors or an \.onnx"
    ):
        build_frontend("nosuch")


@pytest.mark.parametrize("file", ["", "nope.tflite"])
def test_a_missing_landmark_network_is_refused(file):
    with pytest.raises(OccluposeError, match=rf"^blazepose:{file}: no such file; give a landmark network"):
        build_frontend(f"blazepose:{file}")


def test_a_missing_package_is_refused_before_anything_is_downloaded(monkeypatch, tmp_path):
    monkeypatch.setenv("OCCLUPOSE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setitem(sys.modules, "ai_edge_litert.interpreter", None)
    for build in (BlazePose, lambda: build_frontend("blazepose"), lambda: check_options("blazepose")):
        with pytest.raises(OccluposeError, match=r"^blazepose: .* pip install '\.\[blazepose\]' in a clone"):
            build()


@pytest.fixture(scope="module")
def clip():
    with open_media(demo_clip()) as source:
        return [frame for frame in source if frame.index < 12]


@pytest.fixture(scope="module")
def blazepose():
    return BlazePose(threads=1)


def players(people):
    """Rows of the man and the woman, left to right. Whoever else is found must be the small bystander at the left
    edge.
    """
    rows = [row for row in people.boxes[:, 0].argsort() if people.boxes[row, 2] > 250]
    assert len(rows) == 2
    assert len(people) <= 3
    return rows


def follow(frontend, frames):
    frontend.reset()
    return [frontend(frame) for frame in frames]


@pytest.mark.assets
def test_the_two_people_of_the_clip(blazepose, clip):
    for people, frame in zip(follow(blazepose, clip), clip, strict=True):
        height, width = frame.image.shape[:2]
        assert ((people.boxes[:, None, :2] <= people.xy) & (people.xy <= people.boxes[:, None, 2:])).all()
        rows = players(people)
        np.testing.assert_allclose(people.boxes[rows], PLAYERS, atol=90)
        assert ((people.xy[rows] > 0) & (people.xy[rows] < [width, height])).all()
        assert (people.box_score[rows] > 0.9).all()
        shoulder = people.xy[rows, COCO17.index("left_shoulder")[0], 1]
        hip = people.xy[rows, COCO17.index("left_hip")[0], 1]
        ankle = people.xy[rows, COCO17.index("left_ankle")[0], 1]
        assert ((shoulder < hip) & (hip < ankle)).all()


@pytest.mark.assets
def test_the_woman_seen_from_behind_has_one_hidden_arm(blazepose, clip):
    """She stands half turned away; her right forearm is before her body."""
    people = follow(blazepose, clip[:1])[0]
    woman = people.score[players(people)[1]]
    assert woman.min() < 0.3
    assert woman[COCO17.index("left_shoulder", "right_shoulder", "left_hip", "right_hip")].min() > 0.9


@pytest.mark.assets
def test_the_same_frames_give_the_same_people(blazepose, clip):
    again = BlazePose(threads=1)
    for first, second in zip(follow(blazepose, clip[:4]), follow(again, clip[:4]), strict=True):
        for name in ("xy", "score", "boxes", "box_score"):
            np.testing.assert_array_equal(getattr(first, name), getattr(second, name))


@pytest.mark.assets
def test_the_landmark_network_may_be_a_file(blazepose, clip, tmp_path):
    """With some of its weights changed, it is another network."""
    content = bytearray(blazepose_weights()["landmarks"].read_bytes())
    same = tmp_path / "same.tflite"
    same.write_bytes(content)
    middle = len(content) // 2
    content[middle : middle + 100_000] = bytes(100_000)
    other = tmp_path / "other.tflite"
    other.write_bytes(content)
    expected = follow(blazepose, clip[:1])[0].xy
    frontend = build_frontend(f"blazepose:{same}", threads=1)
    assert frontend.name == f"blazepose:{same}"
    np.testing.assert_array_equal(frontend(clip[0]).xy, expected)
    assert not np.array_equal(build_frontend(f"blazepose:{other}", threads=1)(clip[0]).xy, expected)


@pytest.mark.assets
def test_another_network_is_refused_as_landmark_network():
    detector = blazepose_weights()["detector"]
    with pytest.raises(OccluposeError, match=r"pose_detection\.tflite: no input of shape \(256, 256, 3\)"):
        build_frontend(f"blazepose:{detector}")


@pytest.mark.assets
def test_small_people_are_found_by_tiles(clip):
    """The image shrunk into a corner of a large one: people of about 90 of 1200 px."""
    image = np.zeros((1200, 1200, 3), np.uint8)
    small = clip[0].image[::8, ::8]
    image[700 : 700 + small.shape[0], 300 : 300 + small.shape[1]] = small
    frame = Frame(0, 0.0, image)
    assert len(BlazePose(threads=1, tiled=False)(frame)) == 0
    people = BlazePose(threads=1)(frame)
    np.testing.assert_allclose(people.boxes[players(people)], np.array(PLAYERS) / 8 + [300, 700, 300, 700], atol=15)


@pytest.mark.assets
@pytest.mark.parametrize("shape", [(480, 640), (1, 1), (37, 1000), (1000, 37)])
def test_nobody_in_darkness_whatever_the_size(blazepose, shape):
    blazepose.reset()
    for index in range(5):
        people = blazepose(Frame(index, 0.0, np.zeros((*shape, 3), np.uint8)))
        assert people.xy.shape == (0, 17, 2)
        assert people.boxes.shape == (0, 4)


@pytest.mark.assets
def test_a_grey_image_is_accepted(blazepose, clip):
    grey = np.repeat(clip[0].image.mean(-1, keepdims=True).astype(np.uint8), 3, -1)
    blazepose.reset()
    people = blazepose(Frame(0, 0.0, grey))
    np.testing.assert_allclose(people.boxes[players(people)], PLAYERS, atol=90)


class Jittered:
    """The landmark network with its input a little off, as another decoder or scaler would bring it."""

    def __init__(self, network, jitter):
        self.network = network
        self.jitter = jitter
        self.random = np.random.default_rng(0)

    def __call__(self, image):
        return self.network(np.clip(self.jitter(self.random, image.astype(np.float32)), 0, 255).astype(np.float32))


JITTERS = {
    "last bit": lambda random, image: image * np.float32(1 / 255) * np.float32(255),
    "brightness": lambda random, image: image * (1 + random.uniform(-0.03, 0.03)),
    "noise": lambda random, image: image + random.normal(0, 2, image.shape),
}


@pytest.mark.slow
@pytest.mark.assets
@pytest.mark.parametrize("jitter", JITTERS.values(), ids=JITTERS)
def test_both_players_are_followed_throughout_however_the_input_jitters(jitter):
    frontend = BlazePose()
    frontend.landmarks = Jittered(frontend.landmarks, jitter)
    with open_media(demo_clip()) as source:
        seen = list(track(source, OANet(frontend), camera_from_fov(source.width, source.height)))
    assert all({1, 2} <= set(frame.track_id.tolist()) for frame in seen)
    # whoever else must be the small bystander at the left edge
    for other in range(3, 1 + max(max(frame.track_id) for frame in seen)):
        assert all(frame.xy[frame.track_id == other][..., 0].max(initial=0) < 250 for frame in seen)
