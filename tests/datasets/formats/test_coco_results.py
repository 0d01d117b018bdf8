import json

import numpy as np
import pytest

import coco_files as files
from coco_files import annotation, write_people
from occlupose.datasets.formats.coco import EMPTY_BOX, load_ground_truth
from occlupose.datasets.formats.coco_results import OTHER_IMAGES, load_boxes, match_boxes
from occlupose.errors import OccluposeError

RESULT = {"image_id": 4, "category_id": 1, "bbox": [10, 20, 30, 40], "score": 0.9}


def test_detections_are_people_in_order(tmp_path):
    results = [RESULT, RESULT | {"category_id": 18}, RESULT | {"image_id": "a.png", "score": 0.1}]
    (tmp_path / "results.json").write_text(json.dumps(results))
    first, second = load_boxes(tmp_path / "results.json")
    assert (first.image_id, first.box, first.score) == (4, (9.5, 19.5, 39.5, 59.5), 0.9)
    assert (second.image_id, second.score) == ("a.png", 0.1)
    assert [found.image_id for found in load_boxes(tmp_path / "results.json", category=18)] == [4]


@pytest.mark.parametrize(
    ("results", "message"),
    [
        ([RESULT | {"category_id": 18}], r"no person in it \(category_id 1\)"),
        ([], r"no person in it"),
        ({"annotations": []}, r"the file: input should be a valid (list|array)"),
        ([RESULT, RESULT | {"bbox": [1, 2, 3]}], r"1\.bbox\.3: field required"),
        ([RESULT | {"bbox": [1, 2, 3, 0]}], r"a box of image 4 has no width or height"),
        ([RESULT | {"score": 1.5}], r"0\.score: input should be less than or equal to 1"),
        ([{"image_id": 1}], r"0\.category_id: field required"),
    ],
)
def test_bad_detections_are_refused(tmp_path, results, message):
    (tmp_path / "results.json").write_text(json.dumps(results))
    with pytest.raises(
        OccluposeError, match=rf"results\.json: {message}.*; give detections in COCO's results format"
    ) as caught:
        load_boxes(tmp_path / "results.json")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("file", "count"), [("coco/test_coco_det_AP_H_56.json", 118), ("crowdpose/test_crowdpose_det_AP_40.json", 6)]
)
def test_real_detections(formats, file, count):
    found = load_boxes(formats / file)
    assert 0 < len(found) <= count
    assert all(right > left and bottom > top for left, top, right, bottom in (detection.box for detection in found))


def test_a_detectors_boxes_lie_beside_their_images(tmp_path):
    images = [{"id": number, "file_name": f"{name}.png"} for number, name in ((4, "a"), (5, "b"), (6, "c"))]
    everybody = load_ground_truth(write_people(tmp_path, annotation(image_id=4), images=images))
    results = [
        RESULT,
        RESULT | {"image_id": "b"},
        RESULT | {"image_id": "a.png", "score": 0.5},
        RESULT | {"image_id": 9},
    ]
    path = files.write_json(tmp_path / "results.json", results)
    found = match_boxes(path, everybody)
    assert {image: [box.score for box in boxes] for image, boxes in found.boxes.items()} == {4: [0.9, 0.5], 5: [0.9]}
    assert found.report.lines() == [f"{path}: {OTHER_IMAGES}: 1 (image_id 9)"]
    with pytest.raises(OccluposeError, match=r"boxes of images that the annotations do not have"):
        match_boxes(path, everybody, strict=True)


def test_detections_of_another_dataset_are_refused_by_both_names(tmp_path):
    path = files.write_json(tmp_path / "results.json", [RESULT | {"image_id": 785}])
    with pytest.raises(
        OccluposeError, match=r"results\.json: no image_id is of an image of .*people\.json, e\.g\. 785; give"
    ):
        match_boxes(path, load_ground_truth(write_people(tmp_path, annotation())))


def test_a_box_without_width_does_not_spoil_a_detectors_file(tmp_path):
    """Whatever its category; of people it is counted and named."""
    content = files.document("coco", np.random.default_rng(0))
    everybody = load_ground_truth(files.write_json(tmp_path / "people.json", content))
    good = files.boxes(content)
    flat = [good[0] | {"bbox": [5, 5, 0, 9]}, good[0] | {"bbox": [5, 5, 0, 9], "category_id": 62}]
    found = match_boxes(files.write_json(tmp_path / "boxes.json", [*good, *flat]), everybody)
    assert sum(map(len, found.boxes.values())) == len(good)
    assert found.report.counts == {EMPTY_BOX: 1}
    with pytest.raises(OccluposeError, match="width or height"):
        match_boxes(tmp_path / "boxes.json", everybody, strict=True)


def test_detections_have_the_category_of_the_people(tmp_path):
    content = files.document("coco", np.random.default_rng(0))
    for each in (*content["annotations"], *content["categories"]):
        each["category_id" if "category_id" in each else "id"] = 5
    everybody = load_ground_truth(files.write_json(tmp_path / "people.json", content))
    boxes = [each | {"category_id": 5} for each in files.boxes(content)]
    found = match_boxes(files.write_json(tmp_path / "boxes.json", boxes), everybody)
    assert sum(map(len, found.boxes.values())) == len(boxes)
