"""Schedules of the structure loss's weight: lambda of LJOF eq. 4 as a function of the training's progress, 0 to 1.

The paper compares four and finds a step best. The weight and the time of the step are not legible in it; 0.5 and half
of the training are ours, as are the formulas of the linear and exponential schedules.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

from occlupose.errors import OccluposeError


@dataclass(frozen=True)
class Constant:
    """The same weight throughout.

    Raises:
        OccluposeError: the weight is below 0.
    """

    weight: float = 0.5

    def __post_init__(self) -> None:
        _check_weight(self.weight)

    def __call__(self, progress: float) -> float:
        """The weight at some progress of the training, 0 to 1.

        Raises:
            OccluposeError: the progress is not between 0 and 1.
        """
        _fraction("progress", progress)
        return self.weight


@dataclass(frozen=True)
class Step:
    """0 before the fraction `at` of the training, the weight from then on.

    Raises:
        OccluposeError: the weight is below 0, or `at` not between 0 and 1.
    """

    at: float = 0.5
    weight: float = 0.5

    def __post_init__(self) -> None:
        _check_weight(self.weight)
        _fraction("at", self.at)

    def __call__(self, progress: float) -> float:
        """As `Constant`."""
        return self.weight if _fraction("progress", progress) >= self.at else 0.0


@dataclass(frozen=True)
class Linear:
    """Linearly from 0 at the fraction `start` of the training to the weight at `end`, and constant from then on.

    Raises:
        OccluposeError: the weight is below 0, `start` or `end` not between 0 and 1, or `end` not after `start`.
    """

    weight: float = 0.5
    start: float = 0.0
    end: float = 1.0

    def __post_init__(self) -> None:
        _check_weight(self.weight)
        if _fraction("start", self.start) >= _fraction("end", self.end):
            raise OccluposeError(f"start {self.start:g}, end {self.end:g}: the end must come after the start")

    def __call__(self, progress: float) -> float:
        """As `Constant`."""
        ramp = (_fraction("progress", progress) - self.start) / (self.end - self.start)
        return self.weight * min(max(ramp, 0.0), 1.0)


@dataclass(frozen=True)
class Exponential:
    """Exponentially from 0 at the start to the weight at the end: weight (e^(rate p) - 1) / (e^rate - 1).

    Raises:
        OccluposeError: the weight is below 0, or the rate not more than 0 and at most 100.
    """

    weight: float = 0.5
    rate: float = 5.0

    def __post_init__(self) -> None:
        _check_weight(self.weight)
        if not 0 < self.rate <= 100:
            raise OccluposeError(f"rate {self.rate:g}: must be more than 0 and at most 100")

    def __call__(self, progress: float) -> float:
        """As `Constant`."""
        return self.weight * (math.expm1(self.rate * _fraction("progress", progress)) / math.expm1(self.rate))


Schedule = Constant | Step | Linear | Exponential

SCHEDULES: dict[str, Callable[..., Schedule]] = {
    "constant": Constant,
    "step": Step,
    "linear": Linear,
    "exponential": Exponential,
}
"""By name, as on the command line."""


def _check_weight(weight: float) -> None:
    if not 0 <= weight < math.inf:
        raise OccluposeError(f"weight {weight:g}: must be 0 or more")


def _fraction(name: str, value: float) -> float:
    if not 0 <= value <= 1:
        raise OccluposeError(f"{name} {value:g}: a fraction of the training; must be between 0 and 1")
    return value
