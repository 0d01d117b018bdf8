import cv2
import numpy as np
import pytest
from PIL import Image

from occlupose.errors import OccluposeError
from occlupose.methods.movenet.labels import (
    CONFIDENT,
    PhotographLabels,
    agree,
    find_own,
    join,
    read_boxes,
    read_photograph,
    write_labels,
)
from occlupose.skeletons import COCO21
from pasted_people import grey, paste, scaled
from photographed_people import write_photographs


@pytest.fixture(scope="module")
def labelled(tmp_path_factory):
    """A woman of 300 px in an image of 480 x 360, stretched to a square, with her box and its labels."""
    folder = tmp_path_factory.mktemp("photographs")
    image = grey(480, 360)
    box = paste(image, scaled(300), 200, 20)
    square = cv2.resize(image, (360, 360), interpolation=cv2.INTER_AREA)
    Image.fromarray(square).save(folder / "her.png")
    Image.fromarray(square).save(folder / "her.jpg", quality=95)
    low = box[:2] / (480, 360)
    high = box[2:] / (480, 360)
    middle = (low + high) / 2
    (folder / "her.txt").write_text(f"0 {middle[0]} {middle[1]} {high[0] - low[0]} {high[1] - low[1]}\n")
    (path,) = write_labels(folder, folder / "labels", threads=1)
    return box, PhotographLabels.load(path)


# ---------------------------------------------------------------------------------------------------------- teacher


def test_the_proportions_are_restored(labelled):
    _, labels = labelled
    assert labels.names.tolist() == ["her.jpg"] and labels.aspect.tolist() == [4 / 3]


def test_joints_are_where_they_are(labelled):
    box, labels = labelled
    assert len(labels.xy) == 1
    np.testing.assert_allclose(labels.box[0], box, atol=1)
    xy = dict(zip(COCO21.joints, labels.xy[0], strict=True))
    score = dict(zip(COCO21.joints, labels.score[0], strict=True))
    height = box[3] - box[1]
    for joint, share in {"nose": 0.08, "left_shoulder": 0.18, "left_hip": 0.5, "left_knee": 0.73}.items():
        assert score[joint] >= CONFIDENT
        assert xy[joint][1] == pytest.approx(box[1] + share * height, abs=0.07 * height)
    inside = (labels.xy[0] > box[:2] - 5) & (labels.xy[0] < box[2:] + 5)
    assert inside[labels.score[0] >= CONFIDENT].all()


def test_feet_are_below_the_ankles(labelled):
    box, labels = labelled
    xy = dict(zip(COCO21.joints, labels.xy[0], strict=True))
    known = [joint for joint, score in zip(COCO21.joints, labels.score[0], strict=True) if score >= CONFIDENT]
    feet = [joint for joint in known if joint.endswith(("toe", "heel"))]
    assert len(feet) >= 2
    for joint in feet:
        ankle = xy[f"{joint.split('_')[0]}_ankle"]
        assert np.linalg.norm(xy[joint] - ankle) < 0.12 * (box[3] - box[1])
        assert xy[joint][1] > ankle[1] - 0.01 * (box[3] - box[1])


# ------------------------------------------------------------------------------------------------------------ views


def test_views_that_agree_are_averaged_by_confidence():
    xy = np.zeros((1, 1, 2))
    views = [(xy, np.array([[0.9]])), (xy + 4, np.array([[0.3]]))]
    mean, score = agree(views, np.array([100.0]))
    np.testing.assert_allclose(mean, np.full((1, 1, 2), 1.0))
    assert score[0, 0] == pytest.approx(0.6)


def test_views_that_disagree_have_no_confidence():
    xy = np.zeros((1, 1, 2))
    views = [(xy, np.array([[0.9]])), (xy + 40, np.array([[0.9]]))]
    assert agree(views, np.array([100.0]))[1] == 0
    assert agree(views, np.array([1000.0]))[1] > 0


# ------------------------------------------------------------------------------------------------------------ files


def test_labels_can_be_written_read_and_joined(tmp_path):
    labels = write_photographs(tmp_path, 3)
    parts = [labels.of(lambda name, number=number: name == f"{number:03}.jpg") for number in (0, 1, 2)]
    assert [part.names.tolist() for part in parts] == [["000.jpg"], ["001.jpg"], ["002.jpg"]]
    joined = join(parts)
    joined.save(tmp_path / "labels.npz")
    read = PhotographLabels.load(tmp_path / "labels.npz")
    for name, value in vars(labels).items():
        np.testing.assert_array_equal(getattr(read, name), value)


def test_people_stay_with_their_photographs(tmp_path):
    labels = write_photographs(tmp_path, 3)
    three = PhotographLabels(**{**vars(labels), "image": np.array([2, 0, 2])})
    some = three.of(lambda name: name != "001.jpg")
    assert some.names.tolist() == ["000.jpg", "002.jpg"] and some.image.tolist() == [1, 0, 1]
    assert three.of(lambda name: name == "001.jpg").image.tolist() == []


@pytest.mark.parametrize("content", [b"", b"no labels"])
def test_damaged_labels_are_refused(tmp_path, content):
    path = tmp_path / "a.npz"
    path.write_bytes(content)
    with pytest.raises(OccluposeError, match=r"^.*a\.npz: .*; delete it, and start again$"):
        PhotographLabels.load(path)


BOXES = [
    "0 0.5 0.5 0.2",
    "0 a b c d",
    "\x00",
    "0 .1 .2 .3 .4\n0 1 2",
    "0 .5 .5 .2 .2 .9\n" * 5,
    "0 .5 .5 .2 .2 0 .5 .5 .2 .2",
    "0 nan .5 .2 .2",
    "0 .5 .5 0 .2",
    "0 .5 .5 -.1 .2",
    "0 208 208 100 200",
]


@pytest.mark.parametrize("text", BOXES)
def test_boxes_of_another_format_are_refused(tmp_path, text):
    path = tmp_path / "a.txt"
    path.write_text(text)
    with pytest.raises(OccluposeError, match=r"^.*a\.txt: .*; each line needs five numbers"):
        read_boxes(path)


def test_boxes(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("0 0.5 0.25 0.5 0.5\n\n0 0.5 0.5 1 1\n")
    np.testing.assert_allclose(read_boxes(path), [[0.25, 0, 0.75, 0.5], [0, 0, 1, 1]])
    path.write_text("")
    assert read_boxes(path).shape == (0, 4)


def test_a_photograph_in_its_proportions(tmp_path):
    Image.fromarray(grey(90, 90)).save(tmp_path / "a.jpg")
    assert read_photograph(tmp_path / "a.jpg", 4 / 3).shape == (90, 120, 3)


# ----------------------------------------------------------------------------------------------------- whose joints


def people_at(*middles, joints=17):
    """Two or more people: joints around these points, and boxes of 100 px around others."""
    grid = np.random.default_rng(0).uniform(-40, 40, (joints, 2))
    return np.array([grid + middle for middle in middles])


def boxes_at(*middles):
    return np.array([[x - 50.0, y - 50, x + 50, y + 50] for x, y in middles])


def test_people_with_joints_of_their_own():
    xy = people_at((100, 100), (200, 100))
    confident = np.ones((2, 17), bool)
    assert find_own(xy, confident, boxes_at((100, 100), (200, 100))).tolist() == [True, True]
    confident[0, 3:] = False
    assert find_own(xy, confident, boxes_at((100, 100), (200, 100))).tolist() == [False, True]


def test_somebody_elses_joints_are_nobodys():
    """Thunder follows the clearest person in the crop, in every view."""
    xy = people_at((100, 100), (100, 100))
    confident = np.ones((2, 17), bool)
    assert find_own(xy, confident, boxes_at((100, 100), (200, 100))).tolist() == [True, False]
    assert find_own(xy, confident, boxes_at((115, 115), (100, 100))).tolist() == [False, True]


def test_nobody_has_no_joints():
    assert find_own(np.zeros((0, 17, 2)), np.zeros((0, 17), bool), np.zeros((0, 4))).shape == (0,)


def test_only_squares_may_be_stretched(tmp_path):
    Image.fromarray(grey(90, 60)).save(tmp_path / "a.jpg")
    (tmp_path / "a.txt").write_text("0 0.5 0.5 0.5 0.5")
    (path,) = write_labels(tmp_path, tmp_path / "labels", threads=1)
    assert PhotographLabels.load(path).aspect.tolist() == [1.5]


def test_a_folder_without_photographs(tmp_path):
    Image.fromarray(grey(9, 9)).save(tmp_path / "without_boxes.jpg")
    wrong = r"no photograph NAME\.jpg with boxes NAME\.txt in it; give a folder that has some$"
    with pytest.raises(OccluposeError, match=wrong):
        list(write_labels(tmp_path, tmp_path / "labels"))
