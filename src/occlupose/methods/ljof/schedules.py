"""How the weight of the structure loss grows: lambda of LJOF eq. 4, by the share of the training that is done.

The paper compares four, of which a step was best. How large the weight is and when it steps is not legible in it: half,
and half-way, are ours, as are the formulas of the others that grow.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

from occlupose.errors import OccluposeError


@dataclass(frozen=True)
class Constant:
    """The same from the start.

    Raises:
        OccluposeError: the weight is below 0.
    """

    weight: float = 0.5

    def __post_init__(self) -> None:
        _check_weight(self.weight)

    def __call__(self, progress: float) -> float:
        """The weight, when this share of the training, 0 to 1, is done.

        Raises:
            OccluposeError: the share is not between 0 and 1.
        """
        _share("progress", progress)
        return self.weight


@dataclass(frozen=True)
class Step:
    """Nothing until the share `at` of the training is done; from then on the weight.

    Raises:
        OccluposeError: the weight is below 0, or `at` no share.
    """

    at: float = 0.5
    weight: float = 0.5

    def __post_init__(self) -> None:
        _check_weight(self.weight)
        _share("at", self.at)

    def __call__(self, progress: float) -> float:
        """As `Constant` has it."""
        return self.weight if _share("progress", progress) >= self.at else 0.0


@dataclass(frozen=True)
class Linear:
    """Evenly from nothing, when the share `start` is done, to the weight at `end`, which stays.

    Raises:
        OccluposeError: the weight is below 0, `start` or `end` no share, or `end` not after `start`.
    """

    weight: float = 0.5
    start: float = 0.0
    end: float = 1.0

    def __post_init__(self) -> None:
        _check_weight(self.weight)
        if _share("start", self.start) >= _share("end", self.end):
            raise OccluposeError(f"start {self.start:g}, end {self.end:g}: the end must come after the start")

    def __call__(self, progress: float) -> float:
        """As `Constant` has it."""
        done = (_share("progress", progress) - self.start) / (self.end - self.start)
        return self.weight * min(max(done, 0.0), 1.0)


@dataclass(frozen=True)
class Exponential:
    """Slowly at first and ever faster, from nothing at the start to the weight at the end: weight (e^(rate p) - 1) /
    (e^rate - 1).

    Raises:
        OccluposeError: the weight is below 0, or the rate not between 0 and 100, itself excluded.
    """

    weight: float = 0.5
    rate: float = 5.0

    def __post_init__(self) -> None:
        _check_weight(self.weight)
        if not 0 < self.rate <= 100:
            raise OccluposeError(f"rate {self.rate:g}: must be more than 0 and at most 100")

    def __call__(self, progress: float) -> float:
        """As `Constant` has it."""
        return self.weight * (math.expm1(self.rate * _share("progress", progress)) / math.expm1(self.rate))


Schedule = Constant | Step | Linear | Exponential

SCHEDULES: dict[str, Callable[..., Schedule]] = {
    "constant": Constant,
    "step": Step,
    "linear": Linear,
    "exponential": Exponential,
}
"""By the names that a command line has for them."""


def _check_weight(weight: float) -> None:
    if not 0 <= weight < math.inf:
        raise OccluposeError(f"weight {weight:g}: must be 0 or more")


def _share(name: str, value: float) -> float:
    if not 0 <= value <= 1:
        raise OccluposeError(f"{name} {value:g}: a share of the training, between 0 and 1")
    return value
