import csv

import numpy as np
import pytest

from coco_files import document, write_images, write_json
from occlupose.datasets.formats.coco import load
from occlupose.errors import OccluposeError
from occlupose.evaluation.evaluator import Evaluation
from occlupose.evaluation.keypoints import ground_truth_boxes
from occlupose.evaluation.oks import OKSEvaluator, protocol_of
from occlupose.metrics.oks import KeypointResult


@pytest.fixture
def data(tmp_path):
    generator = np.random.default_rng(0)
    content = document("coco", generator, images=30)
    last = [each for each in content["annotations"] if each["num_keypoints"] and not each["iscrowd"]][-1]
    del last["bbox"]
    write_images(tmp_path, content, generator)
    return load(write_json(tmp_path / "people.json", content), tmp_path)


def exact(data):
    """Everybody predicted where they are, but for the first image, which cannot be used."""

    def predict(samples):
        for sample in samples[1:]:
            people = [person for person in data.people if person.image_id == sample.id]
            yield sample, [KeypointResult(sample.id, person.xy, np.full(17, 0.9)) for person in people]

    return predict


def test_figures_go_to_a_table_and_a_file(data, tmp_path):
    evaluator = OKSEvaluator(data, frontend="nets/seer.onnx", boxes="ground truth", box_source="ground-truth")
    evaluator.skip("1.jpg: gone")
    samples = ground_truth_boxes(data)
    done = []
    table = Evaluation(samples, exact(data), evaluator).run(done.append)
    assert done == [1] * (len(samples) - 1)
    scores = evaluator.scores()
    overall, strata = table.views
    assert overall.title == "coco, ground truth boxes" and len(strata.rows) == len(scores)
    people = len(data.people) + 1
    found = len(data.people) - len(samples[0].boxes)
    assert scores["all"].people == people and scores["all"]["AR"] == pytest.approx(found / people)
    assert table.notes == [
        f"coco: {people} people of people.json; {found} predictions in ground-truth boxes",
        "people without an image or a box, who count as missed: 1",
        "images that could not be used, whose people count as missed: 1 (first 1.jpg: gone)",
    ]
    table.write_csv(tmp_path / "scores.csv")
    rows = list(csv.DictReader((tmp_path / "scores.csv").open()))
    assert [row["stratum"] for row in rows] == list(scores)
    assert rows[0]["AP"] == f"{scores['all']['AP']:.6f}" and rows[0]["people"] == str(people)
    assert (rows[0]["boxes"], rows[0]["frontend"], rows[0]["box_source"]) == (
        "ground truth",
        "seer.onnx",
        "ground-truth",
    )


@pytest.mark.parametrize(
    ("source", "words"), [("detector", "in boxes of movenet itself"), ("d.json", "in the boxes of d.json")]
)
def test_tables_name_the_boxes(data, source, words):
    table = OKSEvaluator(data, frontend="movenet", boxes="detected", box_source=source).result()
    assert table.views[0].title == "coco, detected boxes" and table.notes[0].endswith(f"; 0 predictions {words}")


@pytest.mark.parametrize(
    ("reason", "message"),
    [("a.jpg: gone", "a.jpg: gone; give the dataset's own images, or leave out --strict"), ("a: bad; b", "a: bad; b")],
)
def test_strict_refuses_an_image_that_cannot_be_used(data, reason, message):
    evaluator = OKSEvaluator(data, frontend="movenet", boxes="detected", box_source="detector", strict=True)
    with pytest.raises(OccluposeError) as refusal:
        evaluator.skip(reason)
    assert str(refusal.value) == message


def test_datasets_without_a_protocol_of_their_own_have_coco_s():
    assert [protocol_of(name) for name in ("coco", "crowdpose", "ochuman", "synth")] == [
        "coco",
        "crowdpose",
        "ochuman",
        "coco",
    ]
