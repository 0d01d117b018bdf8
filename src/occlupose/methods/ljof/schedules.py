"""Schedules of the structure loss's weight: lambda of LJOF eq. 4 as a function of the training's progress, 0 to 1.

The paper compares four and finds a step best. The weight and the time of the step are not legible in it; 0.5 and half
of the training are ours, as are the formulas of the linear and exponential schedules.
"""

import math
from dataclasses import dataclass
from typing import Annotated

from annotated_types import Interval

from occlupose.bounds import Bounded, Fraction, NonNegative
from occlupose.errors import OccluposeError


@dataclass(frozen=True)
class Constant(Bounded):
    """The same weight throughout.

    Raises:
        OccluposeError: the weight is below 0.
    """

    weight: NonNegative = 0.5

    def __call__(self, progress: float) -> float:
        """The weight at some progress of the training, 0 to 1.

        Raises:
            OccluposeError: the progress is not between 0 and 1.
        """
        _check_progress(progress)
        return self.weight


@dataclass(frozen=True)
class Step(Bounded):
    """0 before the fraction `at` of the training, the weight from then on.

    Raises:
        OccluposeError: the weight is below 0, or `at` not between 0 and 1.
    """

    at: Fraction = 0.5
    weight: NonNegative = 0.5

    def __call__(self, progress: float) -> float:
        """As `Constant`."""
        return self.weight if _check_progress(progress) >= self.at else 0.0


@dataclass(frozen=True)
class Linear(Bounded):
    """Linearly from 0 at the fraction `start` of the training to the weight at `end`, and constant from then on.

    Raises:
        OccluposeError: the weight is below 0, `start` or `end` not between 0 and 1, or `end` not after `start`.
    """

    weight: NonNegative = 0.5
    start: Fraction = 0.0
    end: Fraction = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.start >= self.end:
            raise OccluposeError(f"start {self.start:g}, end {self.end:g}: the end must come after the start")

    def __call__(self, progress: float) -> float:
        """As `Constant`."""
        ramp = (_check_progress(progress) - self.start) / (self.end - self.start)
        return self.weight * min(max(ramp, 0.0), 1.0)


@dataclass(frozen=True)
class Exponential(Bounded):
    """Exponentially from 0 at the start to the weight at the end: weight (e^(rate p) - 1) / (e^rate - 1).

    Raises:
        OccluposeError: the weight is below 0, or the rate not more than 0 and at most 100.
    """

    weight: NonNegative = 0.5
    rate: Annotated[float, Interval(gt=0, le=100)] = 5.0

    def __call__(self, progress: float) -> float:
        """As `Constant`."""
        return self.weight * (math.expm1(self.rate * _check_progress(progress)) / math.expm1(self.rate))


Schedule = Constant | Step | Linear | Exponential


def _check_progress(progress: float) -> float:
    if not 0 <= progress <= 1:
        raise OccluposeError(f"progress {progress:g}: a fraction of the training; must be between 0 and 1")
    return progress
