"""The published kinds of networks by one word: input, output and joints, on networks that find what is painted.

The painted places are the truth; the arithmetic from them to crops and inputs is written out here once more.
"""

import numpy as np
import pytest
import torch

from occlupose.detections import FrameBoxes
from occlupose.errors import OccluposeError
from occlupose.frontends import build_frontend
from occlupose.frontends.crops import BoxFrontend, estimate_in_boxes
from occlupose.frontends.onnx import load_network
from occlupose.frontends.presets import PRESETS, split_preset
from occlupose.media import Frame
from occlupose.pyramid import Pyramid
from onnx_networks import IMAGENET, PIXELS, SimCC, UDPMaps, constant, export, paint, write_json

SIZE = {"width": 192, "height": 256}
SIMCC = ("simcc_x", "simcc_y")


@pytest.fixture(scope="module")
def rtmpose(tmp_path_factory):
    return export(tmp_path_factory.mktemp("rtmpose") / "pose.onnx", SimCC(17), **SIZE, outputs=SIMCC)


@pytest.fixture(scope="module")
def vitpose(tmp_path_factory):
    return export(tmp_path_factory.mktemp("vitpose") / "pose.onnx", UDPMaps(17), **SIZE, outputs=["output"])


CONFIDENCE = np.round(255 * (0.4 + np.arange(17) / 40)) / 255


def crops(*firsts, confidence=CONFIDENCE):
    """One crop each, with joint j as a patch of 5 x 7 px centred at first + (9 j, 13 j)."""
    images = np.zeros((len(firsts), 256, 192, 3), np.uint8)
    places = np.array([[(x + 9 * joint, y + 13 * joint) for joint in range(17)] for x, y in firsts])
    for image, joints in zip(images, places, strict=True):
        for joint, (x, y) in enumerate(joints):
            paint(image, joint, x - 2, y - 3, x + 3, y + 4, confidence[joint])
    return images, places


def test_rtmpose(rtmpose):
    """Class c of SimCC is c / 2 px of the crop; two classes per px."""
    network = load_network(f"rtmpose:{rtmpose}", threads=1)
    images, places = crops((5, 10), (12, 30))
    xy, score = network(images)
    np.testing.assert_array_equal(xy, places)
    np.testing.assert_allclose(score, np.tile(CONFIDENCE, (2, 1)), atol=2e-3)
    assert (network.crop.width, network.crop.height, network.crop.padding) == (192, 256, 1.25)
    assert network.skeleton.name == "coco17"


def test_vitpose(vitpose):
    """DARK finds the middle of a Gaussian between the cells; cell 0 is pixel 0 and cell 47 is pixel 191."""
    network = load_network(f"vitpose:{vitpose}", threads=1)
    images, places = crops((20, 21), (25, 26))
    xy, score = network(images)
    np.testing.assert_allclose(xy, places, atol=0.02)
    assert ((score > 0.9 * CONFIDENCE) & (score <= CONFIDENCE + 2e-3)).all()  # of the nearest cell
    assert network.crop.grid == "corners" and network.skeleton.name == "coco17"


@pytest.mark.parametrize(("word", "grid"), [("rtmpose", "stride"), ("vitpose", "corners")])
def test_joints_are_where_they_were_painted_in_the_image(word, grid, request):
    """A box of 192 x 256 px with a padding of 1.25 is shown at 4 / 5 of its size. Where the edge of a patch is mixed
    with black it is not found, which is at most half a pixel off, and nothing on average.
    """
    image = np.zeros((480, 640, 3), np.uint8)
    places = np.array([(300 + 13 * (joint % 5), 135 + 14 * joint) for joint in range(17)])
    for joint, (x, y) in enumerate(places):
        paint(image, joint, x - 5, y - 5, x + 5, y + 5, 0.8)
    box = np.array([[230.0, 120, 422, 376]])
    network = load_network(f"{word}:{request.getfixturevalue(word)}", threads=1)
    people = estimate_in_boxes(network, Pyramid(image), FrameBoxes(box, np.ones(1)))
    assert network.crop.grid == grid
    np.testing.assert_allclose(people.xy[0], places - 0.5, atol=0.8)
    np.testing.assert_allclose((people.xy[0] - places + 0.5).mean(0), 0, atol=0.2)
    np.testing.assert_allclose(people.boxes, box)


def test_60_people_at_once_and_nobody(rtmpose):
    network = load_network(f"rtmpose:{rtmpose}", threads=1)
    images, places = crops(*[(5 + person % 40, 10 + person % 30) for person in range(60)])
    xy, score = network(images)
    np.testing.assert_array_equal(xy, places)
    assert score.shape == (60, 17)
    assert network(images[:0])[0].shape == (0, 17, 2)


def test_people_of_20_px_and_boxes_outside_the_image(rtmpose):
    """Joints are patches of 3 x 3 px; of the second box only the upper left corner is in the image, of the third
    nothing.
    """
    image = np.zeros((60, 60, 3), np.uint8)
    places = [(21, 23), (29, 23), (21, 33), (29, 33)]
    for joint, (x, y) in enumerate(places):
        paint(image, joint, x - 1, y - 1, x + 2, y + 2, 0.8)
    boxes = FrameBoxes(np.array([[17.5, 18, 32.5, 38], [50, 50, 500, 900], [-300, 10, -200, 90]]), np.ones(3))
    network = load_network(f"rtmpose:{rtmpose}", threads=1)
    people = estimate_in_boxes(network, Pyramid(image), boxes)
    np.testing.assert_allclose(people.xy[0, :4], places, atol=0.15)
    assert (people.score[0, :4] > 0.7).all() and people.score[0, 4:].max() == 0
    assert people.score[1:].max() == 0 and np.isfinite(people.xy).all()


def test_the_order_of_the_channels_and_the_normalisation_matter(tmp_path):
    """A network of the same kind but for blue first finds nothing when it is shown red first. The blue of the patches
    is the red of none.
    """
    other = export(tmp_path / "pose.onnx", SimCC(17, IMAGENET, "bgr"), **SIZE, outputs=SIMCC)
    images, places = crops((5, 10), confidence=[131 / 255] * 17)
    assert load_network(f"rtmpose:{other}", threads=1)(images)[1].max() == 0
    card = {"licence": "own", "skeleton": "coco17", **SIZE, "codec": "simcc", "channels": "bgr"}
    write_json(other.with_suffix(".json"), card)
    np.testing.assert_array_equal(load_network(f"rtmpose:{other}", threads=1)(images)[0], places)  # the card wins
    write_json(other.with_suffix(".json"), card | {"mean": [120, 115, 100]})
    assert load_network(str(other), threads=1)(images)[1].max() == 0


def test_half_precision(tmp_path):
    file = export(tmp_path / "pose.onnx", SimCC(17).half(), **SIZE, outputs=SIMCC, dtype=torch.float16)
    images, places = crops((5, 10))
    xy, score = load_network(f"rtmpose:{file}", threads=1)(images)
    np.testing.assert_array_equal(xy[0], places[0])
    np.testing.assert_allclose(score[0], CONFIDENCE, atol=4e-3)
    assert score.dtype == np.float64


def test_pixels_as_they_are(tmp_path):
    file = export(tmp_path / "pose.onnx", SimCC(17, PIXELS), **SIZE, outputs=SIMCC, dtype=torch.uint8)
    with pytest.raises(OccluposeError, match=r"pose\.onnx: takes pixels \(uint8\); its card has mean and std;"):
        load_network(f"rtmpose:{file}", threads=1)
    card = {"skeleton": "coco17", **SIZE, "codec": "simcc", "mean": [0, 0, 0], "std": [1, 1, 1]}
    write_json(file.with_suffix(".json"), card)
    images, places = crops((5, 10))
    np.testing.assert_array_equal(load_network(str(file), threads=1)(images)[0], places)


ZEROS = {"output": np.zeros((1, 17, 64, 48), np.float32)}
ROWS = np.zeros((1, 100, 85), np.float32)


def profiles(joints, *, width=192, height=256, split=2, names=SIMCC):
    """SimCC's outputs for one crop: joint j in class j along x and 2 j along y, scores 0.5 and 0.6."""
    classes = np.arange(joints)
    x = 0.5 * np.eye(int(width * split))[classes].astype(np.float32)[None]
    y = 0.6 * np.eye(int(height * split))[2 * classes].astype(np.float32)[None]
    return dict(zip(names, (x, y), strict=True))


@pytest.mark.parametrize(("joints", "skeleton"), [(17, "coco17"), (26, "halpe26"), (133, "wholebody133")])
@pytest.mark.parametrize("size", [(192, 256), (288, 384)])
def test_the_number_of_joints_tells_the_skeleton_and_the_file_its_size(tmp_path, joints, skeleton, size):
    width, height = size
    outputs = profiles(joints, width=width, height=height)
    file = constant(tmp_path / "pose.onnx", outputs, shape=("batch", 3, height, width))
    network = load_network(f"rtmpose:{file}")
    assert network.skeleton.name == skeleton and (network.crop.width, network.crop.height) == size
    xy, score = network(np.zeros((1, height, width, 3), np.uint8))
    np.testing.assert_allclose(xy[0], np.stack([np.arange(joints) / 2, np.arange(joints)], -1))
    np.testing.assert_allclose(score, 0.5)


@pytest.mark.parametrize("names", [("a", "b"), SIMCC])
@pytest.mark.parametrize("swapped", [False, True])
def test_outputs_in_another_order(tmp_path, names, swapped):
    outputs = profiles(17, names=names)
    if swapped:
        outputs = dict(reversed(outputs.items()))
    network = load_network(f"rtmpose:{constant(tmp_path / 'pose.onnx', outputs, shape=(1, 3, 256, 192))}")
    xy, _ = network(np.zeros((2, 256, 192, 3), np.uint8))
    np.testing.assert_allclose(xy, np.tile(np.stack([np.arange(17) / 2, np.arange(17)], -1), (2, 1, 1)))


def test_what_is_not_finite_has_no_confidence(tmp_path):
    outputs = profiles(17)
    outputs["simcc_x"][0, 3, 40] = np.nan
    outputs["simcc_y"][0, 4, 40] = np.inf
    outputs["simcc_y"][0, 5] = np.nan
    network = load_network(f"rtmpose:{constant(tmp_path / 'pose.onnx', outputs, shape=(1, 3, 256, 192))}")
    xy, score = network(np.zeros((1, 256, 192, 3), np.uint8))
    assert np.isfinite(xy).all()
    np.testing.assert_array_equal(np.flatnonzero(score[0] == 0), [3, 4, 5])
    maps = np.zeros((1, 17, 64, 48), np.float32)
    maps[0, :, 20, 10] = 0.8
    maps[0, 2, 5, 5] = np.nan
    maps[0, 3] = -np.inf
    network = load_network(f"vitpose:{constant(tmp_path / 'maps.onnx', {'output': maps}, shape=(1, 3, 256, 192))}")
    xy, score = network(np.zeros((1, 256, 192, 3), np.uint8))
    assert np.isfinite(xy).all()
    np.testing.assert_array_equal(np.flatnonzero(score[0] == 0), [2, 3])


def test_confidence_above_one_is_one(tmp_path):
    outputs = {name: 3 * values for name, values in profiles(17).items()}
    network = load_network(f"rtmpose:{constant(tmp_path / 'pose.onnx', outputs, shape=(1, 3, 256, 192))}")
    assert network(np.zeros((1, 256, 192, 3), np.uint8))[1].max() == 1


@pytest.mark.parametrize(
    ("word", "outputs", "pattern"),
    [
        ("rtmpose", profiles(21), r"pose\.onnx: has 21 joints, of no skeleton that is known for rtmpose:.*joint_names"),
        (
            "rtmpose",
            {"output": np.zeros((1, 17, 64, 48), np.float32)},
            r"its output is output \(1, 17, 64, 48\); rtmpose:",
        ),
        ("rtmpose", profiles(17, split=1), r"has 192 and 256 classes for 192 x 256 px; the card says 2 per px$"),
        (
            "rtmpose",
            profiles(17, height=250),
            r"its output is simcc_x \(1, 17, 384\), simcc_y \(1, 17, 500\); rtmpose:",
        ),
        (
            "vitpose",
            profiles(17),
            r"its output is simcc_x \(1, 17, 384\), simcc_y \(1, 17, 512\); vitpose:.* says udp$",
        ),
        (
            "vitpose",
            {"a": ZEROS["output"][:, :, :60]},
            r"has maps of 48 x 60 for 192 x 256 px; .* whole strides$",
        ),
        ("rtmo", profiles(17), r"its output is simcc_x .*; rtmo:.* says dets and keypoints$"),
        ("rtmdet", profiles(17), r"its output is simcc_x .*; the card says dets \(image, n, 5\)$"),
        (
            "yolox",
            {"output": np.zeros((1, 100, 85), np.float32)},
            r"output \(1, 100, 85\); the card says \(image, 1008, 5",
        ),
    ],
)
def test_another_network_than_the_word_says_is_one_line(tmp_path, word, outputs, pattern):
    file = constant(tmp_path / "pose.onnx", outputs, shape=(1, 3, 256, 192))
    with pytest.raises(OccluposeError, match=pattern) as caught:
        load_network(f"{word}:{file}")
    assert "\n" not in str(caught.value)


def test_words_and_files():
    assert split_preset("rtmpose:a/b.onnx")[0] == "rtmpose" and split_preset("rtmpose:a/b.onnx")[1].name == "b.onnx"
    for name in ("pose.onnx", "C:pose.onnx", "rtmpose", "blazepose:a.tflite"):
        assert split_preset(name)[0] is None and str(split_preset(name)[1]) == name
    assert set(PRESETS) == {"rtmpose", "vitpose", "rtmo", "yolox", "rtmdet"}


def test_a_front_end_by_one_word(rtmpose):
    box = {0: FrameBoxes(np.array([[230.0, 120, 422, 376]]), np.array([0.7]))}
    frontend = build_frontend(f"rtmpose:{rtmpose}", boxes=box, threads=1)
    assert isinstance(frontend, BoxFrontend) and frontend.name == f"rtmpose:{rtmpose}"
    people = frontend(Frame(0, 0.0, np.zeros((480, 640, 3), np.uint8)))
    assert people.xy.shape == (1, 17, 2) and people.score.max() == 0
    assert len(frontend(Frame(1, 0.1, np.zeros((480, 640, 3), np.uint8)))) == 0
