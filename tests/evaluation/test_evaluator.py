from dataclasses import dataclass

import numpy as np

from occlupose.datasets.image_samples import ImageSample
from occlupose.detections import Detections
from occlupose.evaluation.evaluator import Evaluation, one_by_one
from occlupose.evaluation.predictions import ImagePredictions
from occlupose.evaluation.table import Column, Table
from occlupose.skeletons import MPI15


@dataclass
class Crowd:
    """An evaluator as somebody new would write it: the mean number of people."""

    people: int = 0
    images: int = 0

    def add(self, sample, prediction):
        self.people += len(prediction)
        self.images += 1

    def result(self):
        rows = [(("all",), {"mean": self.people / self.images})]
        columns = [Column("mean", "people in an image")]
        return Table(("images",), columns, rows, notes=[f"{self.images} images"])


def samples(*names):
    xy = np.zeros((0, 15, 2))
    state = np.zeros((0, 15), np.uint8)
    return [ImageSample(image=None, size=(4, 4), skeleton=MPI15, xy=xy, state=state, name=name) for name in names]


def find(sample):
    """As many people as the name has letters."""
    xy = np.ones((len(sample.name), 15, 2))
    return Detections(skeleton=MPI15, xy=xy, score=np.ones(xy.shape[:2]), xyz=np.ones((*xy.shape[:2], 3)))


def test_everything_goes_one_way():
    record = ImagePredictions(MPI15)
    evaluation = Evaluation(
        samples("a", "abc"), one_by_one(find), Crowd(), record, size=lambda sample: 10 * len(sample.name)
    )
    done = []
    table = evaluation.run(done.append)
    assert done == [10, 30] and evaluation.total == 40
    assert table.notes == ["2 images"] and table.rows == [(("all",), {"mean": 2})]
    assert [len(people) for people in record.by_sample.values()] == [1, 3]
    assert Evaluation(samples("abc"), record, Crowd()).run().rows == [(("all",), {"mean": 3})]


def test_a_sample_without_a_prediction_is_left_out():
    def predict(samples):
        yield samples[1], find(samples[1])

    assert Evaluation(samples("a", "abc"), predict, Crowd()).run().notes == ["1 images"]
