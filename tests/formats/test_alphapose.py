"""AlphaPose's results with --format cmu and --format open (AlphaPose, "Output format")."""

import pytest

from foreign_files import FPS, SIZE, assert_lifts_as_ours, json_file, triples, walkers
from occlupose import formats
from occlupose.errors import OccluposeError
from occlupose.skeletons import COCO18

FORMS = {"cmu": ("bodies", "joints"), "open": ("people", "pose_keypoints_2d")}


def document(xy, form):
    """An object with a member for each image."""
    people, joints = FORMS[form]
    return {
        f"{number}.jpg": {"version": "AlphaPose v0.3", people: [{joints: triples(person)} for person in frame]}
        for number, frame in enumerate(xy)
    }


@pytest.mark.parametrize("form", FORMS)
def test_it_lifts_as_ours(tmp_path, form):
    xy = walkers(COCO18)
    path = json_file(tmp_path / "alphapose-results.json", document(xy, form))
    read = formats.read(path, fps=FPS, size=SIZE)
    assert (read.tool, read.poses.skeleton) == ("AlphaPose", COCO18)
    assert_lifts_as_ours(read, xy, COCO18, tmp_path)


def test_images_are_in_the_order_of_their_numbers(tmp_path):
    xy = walkers(COCO18)
    images = document(xy, "open")
    path = json_file(tmp_path / "a.json", {name: images[name] for name in sorted(images)})  # 0, 1, 10, 11, ...
    assert_lifts_as_ours(formats.read(path, fps=FPS, size=SIZE), xy, COCO18, tmp_path)


def test_what_is_refused(tmp_path):
    path = json_file(tmp_path / "a.json", {"0.jpg": {"bodies": [{"joints": [1, 2]}]}})
    with pytest.raises(OccluposeError, match=r"^\S*a.json: a person with 2 numbers, not three for each joint; give"):
        formats.read(path)
