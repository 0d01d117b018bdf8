import numpy as np
import pytest

from coco_files import boxes, document, write_images, write_json
from occlupose.codecs.crops import Crop
from occlupose.datasets.formats.coco import load
from occlupose.datasets.formats.coco_results import match_boxes
from occlupose.detections import Detections
from occlupose.evaluation.keypoints import (
    all_results,
    convert_keypoints,
    detected_boxes,
    ground_truth_boxes,
    predict_in_boxes,
    predict_in_images,
)
from occlupose.metrics import oks
from occlupose.skeletons import BLAZEPOSE33, COCO17, CROWDPOSE14


class TruePredictor:
    """Predicts the true joints of the people in the crops, or the given joints."""

    def __init__(self, data, in_boxes, crop, skeleton=COCO17):
        self.crop = crop
        self.skeleton = skeleton
        self.batches = []
        queue = [(each.id, box) for each in in_boxes for box in each.boxes]
        self._truth = iter(
            [(crop.matrices(crop.regions(box[None]))[0], self._who(data, image, box)) for image, box in queue]
        )

    @staticmethod
    def _who(data, image, box):
        return min(
            (each for each in data.people if each.image_id == image), key=lambda each: np.abs(each.box - box).sum()
        )

    def __call__(self, crops):
        self.batches.append(len(crops))
        some = [next(self._truth) for _ in crops]
        xy = np.stack([person.xy @ matrix[:, :2].T + matrix[:, 2] for matrix, person in some])
        return xy, np.full(xy.shape[:2], 0.9)


@pytest.fixture
def data(tmp_path):
    generator = np.random.default_rng(0)
    content = document("coco", generator, images=30)
    content["annotations"] = [each for each in content["annotations"] if not each["iscrowd"]]
    write_images(tmp_path, content, generator)
    write_json(tmp_path / "boxes.json", boxes(content))
    return load(write_json(tmp_path / "people.json", content), tmp_path)


@pytest.mark.parametrize("grid", ["centres", "stride", "corners"])
def test_who_knows_the_truth_scores_one(data, grid):
    in_boxes = ground_truth_boxes(data)
    assert sum(len(each.boxes) for each in in_boxes) == len(data.people)
    predictor = TruePredictor(data, in_boxes, Crop(48, 64, grid=grid))
    predictions = list(predict_in_boxes(in_boxes, predictor, COCO17))
    assert [each for each, _ in predictions] == in_boxes
    assert all({result.image for result in results} == {each.id} for each, results in predictions)
    results = all_results(predictions)
    assert sum(predictor.batches) == len(results) == len(data.people)
    assert len(predictor.batches) == 2  # people of sixteen images at once
    scores = oks.evaluate_strata(data.ground_truth, results, oks.OKSProtocol("coco", "ground truth"))
    assert scores["all"]["AP"] == scores["all"]["AR"] == 1
    assert all(each["AR"] == 1 for each in scores.values() if each.people)


def test_predictions_in_detected_boxes(data, tmp_path):
    found = match_boxes(tmp_path / "boxes.json", data.ground_truth)
    in_boxes, missing = detected_boxes(data.ground_truth, found, tmp_path)
    assert missing == []
    results = all_results(predict_in_boxes(in_boxes, TruePredictor(data, in_boxes, Crop(48, 64)), COCO17))
    assert {result.box_score for result in results} == {0.9}
    assert oks.evaluate(data.ground_truth, results, oks.OKSProtocol("coco", "detected"))["AP"] > 0.95
    assert detected_boxes(data.ground_truth, found, tmp_path, min_score=0.95) == ([], [])


def test_missing_or_unreadable_images_are_named_and_their_people_missed(data, tmp_path):
    in_boxes = ground_truth_boxes(data)
    bad = in_boxes[0].image.path
    gone = in_boxes[1].image.path
    bad.write_bytes(bad.read_bytes()[:200])
    reasons = []
    rest = [each for each in in_boxes if each.image.path != bad]
    seer = TruePredictor(data, rest, Crop(48, 64))
    results = all_results(predict_in_boxes(in_boxes, seer, COCO17, unreadable=reasons.append))
    assert len(reasons) == 1 and bad.name in reasons[0]
    assert {result.image for result in results} == {each.id for each in rest}
    assert oks.evaluate(data.ground_truth, results, oks.OKSProtocol("coco", "ground truth"))["AR"] < 1
    gone.unlink()
    assert detected_boxes(data.ground_truth, match_boxes(tmp_path / "boxes.json", data.ground_truth), tmp_path)[1] == [
        gone.name
    ]


def test_joints_that_a_network_lacks_are_in_the_middle_without_confidence():
    xy = np.random.default_rng(0).random((2, 33, 2))
    score = np.full((2, 33), 0.8)
    converted_xy, converted_score = convert_keypoints(xy, score, BLAZEPOSE33, CROWDPOSE14, np.array([[5.0, 6], [7, 8]]))
    top, neck, knee = CROWDPOSE14.index("head_top", "neck", "left_knee")
    np.testing.assert_array_equal(converted_xy[:, top], [[5, 6], [7, 8]])
    assert (converted_score[:, top] == 0).all() and (converted_score[:, [neck, knee]] == pytest.approx(0.8))
    np.testing.assert_array_equal(converted_xy[:, knee], xy[:, BLAZEPOSE33.index("left_knee")[0]])
    shoulders = BLAZEPOSE33.index("left_shoulder", "right_shoulder")
    np.testing.assert_allclose(converted_xy[:, neck], xy[:, shoulders].mean(1))


class Blind:
    """A front end that finds one person in every image, in the middle."""

    name = "blind"
    skeleton = COCO17
    resets = 0

    def reset(self):
        self.resets += 1

    def __call__(self, frame):
        height, width = frame.image.shape[:2]
        xy = np.tile(np.array([width / 2, height / 2], np.float32), (1, 17, 1))
        boxes = np.array([[0, 0, width, height]], np.float32)
        return Detections(skeleton=COCO17, xy=xy, score=np.ones((1, 17), np.float32), boxes=boxes)


def test_a_front_end_runs_on_every_image_also_those_without_people(data, tmp_path):
    frontend = Blind()
    reasons = []
    images = data.ground_truth.images.values()

    def predict():
        return list(predict_in_images(images, tmp_path, frontend, COCO17, unreadable=reasons.append))

    predictions = predict()
    assert [image for image, _ in predictions] == list(images) and all(len(results) == 1 for _, results in predictions)
    assert frontend.resets == 30 > len({person.image_id for person in data.people})
    (tmp_path / data.ground_truth.images[1].name).unlink()
    assert len(predict()) == 29
    assert len(reasons) == 1 and data.ground_truth.images[1].name in reasons[0]
