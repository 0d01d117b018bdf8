import json

import numpy as np
import pytest

from media_files import make_video
from occlupose.errors import OccluposeError
from occlupose.frontends.boxes import load
from occlupose.media import open_media, write_image


def result(image, left=10, score=0.9, **changes):
    return {"image_id": image, "category_id": 1, "bbox": [left, 20, 30, 40], "score": score} | changes


def written(folder, *results):
    (folder / "boxes.json").write_text(json.dumps(results))
    return folder / "boxes.json"


@pytest.fixture
def video(tmp_path):
    with open_media(make_video(tmp_path / "a.mp4", 5)) as source:
        yield source


@pytest.fixture
def folder(tmp_path):
    for name in ("2.png", "10.png", "b.jpg"):
        write_image(tmp_path / "shots" / name, np.zeros((8, 8, 3), np.uint8))
    return open_media(tmp_path / "shots")


def lefts(boxes):
    return {number: (found.boxes[:, 0] + 0.5).tolist() for number, found in boxes.items()}


def test_numbers_are_those_of_frames(tmp_path, video):
    boxes = load(written(tmp_path, result(3, 1), result(0, 2), result(3, 3)), video)
    assert lefts(boxes) == {3: [1, 3], 0: [2]}
    np.testing.assert_array_equal(boxes[0].boxes, [[1.5, 19.5, 31.5, 59.5]])
    np.testing.assert_array_equal(boxes[0].score, [0.9])


def test_texts_are_names_of_images_with_or_without_their_suffix(tmp_path, folder):
    """In natural order: 2, 10, b."""
    boxes = load(written(tmp_path, result("10.png", 1), result("b", 2), result("2", 3), result(2, 4)), folder)
    assert lefts(boxes) == {1: [1], 2: [2, 4], 0: [3]}


def test_numbers_count_the_frames_that_are_read(tmp_path, video, folder):
    with open_media(video.name, every=2) as source:
        assert lefts(load(written(tmp_path, result(0, 1), result(2, 2), result(3, 3)), source)) == {0: [1], 2: [2]}
    with open_media(folder.name, every=2) as source:
        assert lefts(load(written(tmp_path, result("b", 1), result("10", 2)), source)) == {1: [1]}


def test_frames_that_are_not_there_and_unlikely_people_are_left_out(tmp_path, video):
    path = written(
        tmp_path, result(1, 1), result(1, 2, score=0.4), result(2, 3, score=0.1), result(99), result(-1), result("c")
    )
    assert lefts(load(path, video)) == {1: [1]}
    assert lefts(load(path, video, min_score=0.2)) == {1: [1, 2]}


def test_a_file_of_another_source_is_refused(tmp_path, video, folder):
    path = written(tmp_path, result(785), result("c.png"))
    with pytest.raises(
        OccluposeError,
        match=r"boxes\.json: no image_id is a frame of .*a\.mp4, e.g. 785; give frame numbers, from 0$",
    ):
        load(path, video)
    with pytest.raises(
        OccluposeError, match=r"of .*shots, e.g. 785; give frame numbers, from 0, or names of its images$"
    ):
        load(path, folder)
    with pytest.raises(OccluposeError, match=r"none\.json: cannot be read"):
        load(tmp_path / "none.json", video)


@pytest.mark.parametrize("bbox", [[float("nan"), 0, 9, 9], [0, 0, float("inf"), 9], [0, 0, -5, 9], [0, 0, 1e300, 9]])
def test_boxes_that_nobody_can_be_in_are_refused(tmp_path, video, bbox):
    with pytest.raises(OccluposeError, match=r"boxes.json: .*; give detections in COCO's results format"):
        load(written(tmp_path, result(0), result(0, bbox=bbox)), video)
