"""The one way through an evaluation: a predictor goes through the samples, an evaluator scores what it predicts.

After detectron2's `DatasetEvaluator` and `inference_on_dataset`. To score something new, write an `Evaluator`.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from occlupose.evaluation.predictions import Predictions
from occlupose.evaluation.table import Table

S = TypeVar("S")
P = TypeVar("P")
S_contra = TypeVar("S_contra", contravariant=True)
P_contra = TypeVar("P_contra", contravariant=True)

Predictor = Callable[[Sequence[S]], Iterator[tuple[S, P]]]
"""Yields samples with their predictions. It may take several samples at once, and leave some out."""


class Evaluator(Protocol[S_contra, P_contra]):
    """Scores predictions by the protocol of a dataset, sample by sample."""

    def add(self, sample: S_contra, prediction: P_contra) -> None:
        """Scores the prediction of one sample."""
        ...

    def result(self) -> Table:
        """The metrics of all samples so far."""
        ...


def one_by_one(predict: Callable[[S], P]) -> Predictor[S, P]:
    """A predictor that takes the samples one by one."""
    return lambda samples: ((sample, predict(sample)) for sample in samples)


@dataclass(frozen=True, eq=False)
class Evaluation(Generic[S, P]):
    """A dataset, what predicts and what scores.

    Attributes:
        samples: the dataset.
        predictor: of the samples.
        evaluator: of the predictions.
        record: gets all predictions, to save them.
        warnings: problems of the data, one a line.
        size: number of frames of a sample, for progress.
    """

    samples: Sequence[S]
    predictor: Predictor[S, P]
    evaluator: Evaluator[S, P]
    record: Predictions[P] | None = None
    warnings: Sequence[str] = ()
    size: Callable[[S], int] = lambda sample: 1

    @property
    def total(self) -> int:
        """Number of frames."""
        return sum(map(self.size, self.samples))

    def run(self, progress: Callable[[int], None] = lambda frames: None) -> Table:
        """The metrics of all samples.

        Arguments:
            progress: called after each sample with its number of frames.

        Raises:
            OccluposeError: a sample cannot be read or predicted.
        """
        for sample, prediction in self.predictor(self.samples):
            self.evaluator.add(sample, prediction)
            if self.record is not None:
                self.record.add(sample, prediction)
            progress(self.size(sample))
        return self.evaluator.result()
