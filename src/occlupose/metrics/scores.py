"""Metrics of one set of people."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Scores:
    """Metrics of one set of people.

    Attributes:
        values: by the name of the metric; shares 0..1, lengths in mm, NaN where there is nothing to score.
        people: number of people in the ground truth.
        predictions: number of predictions that were scored; 0 where they are not counted.
    """

    values: dict[str, float]
    people: int
    predictions: int = 0

    def __getitem__(self, metric: str) -> float:
        return self.values[metric]
