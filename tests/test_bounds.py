from dataclasses import dataclass
from math import inf, nan
from typing import Annotated, Literal

import numpy as np
import pytest
from annotated_types import Interval

from occlupose.bounds import Bounded, Count, Fraction, NonNegative, Positive, Seed
from occlupose.errors import OccluposeError


@dataclass(frozen=True)
class Settings(Bounded):
    name: str = "a"
    count: Count = 1
    fraction: Fraction = 0.5
    weight: NonNegative = 0.0
    rate: Positive = 1.0
    seed: Seed = 0
    norm: Annotated[float, Interval(gt=0)] = inf
    decay: Annotated[float, Interval(ge=0, lt=1)] = 0.0
    turn: Annotated[float, Interval(gt=0, le=180)] = 30.0
    flip: bool = True
    kind: Literal["one", "two"] = "one"
    optional: Positive | None = None
    pair: tuple[Count, Count] = (1, 2)
    many: tuple[Fraction, ...] = ()
    array: object = None


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"name": 5}, "name 5: must be a text"),
        ({"count": 0}, "count 0: must be 1 or more"),
        ({"count": 1.0}, "count 1: must be a whole number"),
        ({"count": True}, "count True: must be a whole number"),
        ({"count": "3"}, "count 3: must be a whole number"),
        ({"fraction": 1.5}, "fraction 1.5: must be between 0 and 1"),
        ({"fraction": nan}, "fraction nan: must be between 0 and 1"),
        ({"fraction": None}, "fraction None: must be a number"),
        ({"weight": -1}, "weight -1: must be 0 or more"),
        ({"weight": inf}, "weight inf: must be 0 or more and finite"),
        ({"rate": 0.0}, "rate 0: must be more than 0"),
        ({"seed": 2**63}, "seed 9223372036854775808: must be 0 or more and less than 9223372036854775808"),
        ({"norm": 0}, "norm 0: must be more than 0"),
        ({"norm": nan}, "norm nan: must be more than 0"),
        ({"decay": 1.0}, "decay 1: must be 0 or more and less than 1"),
        ({"turn": 181}, "turn 181: must be more than 0 and at most 180"),
        ({"flip": 1}, "flip 1: must be true or false"),
        ({"kind": "three"}, "kind three: not known; known are one, two"),
        ({"optional": -1.0}, "optional -1: must be more than 0"),
        ({"pair": (1, 0)}, "pair (1, 0): each must be 1 or more"),
        ({"pair": (1, 2, 3)}, "pair (1, 2, 3): must be a list of 2"),
        ({"pair": 1}, "pair 1: must be a list"),
        ({"many": (0.5, "x")}, "many (0.5, 'x'): each must be a number"),
    ],
)
def test_a_value_out_of_bounds_or_of_another_type_is_named(wrong, message):
    with pytest.raises(OccluposeError) as refusal:
        Settings(**wrong)
    assert str(refusal.value) == message


@pytest.mark.parametrize(
    "right",
    [
        {"count": np.int64(3)},
        {"rate": np.float32(0.5)},
        {"fraction": 1},
        {"norm": inf},
        {"decay": 0.999},
        {"optional": 2.0},
        {"many": (0, 0.5, 1)},
        {"array": np.zeros(3)},
    ],
)
def test_values_within_bounds_stay_as_they_are(right):
    assert all(getattr(Settings(**right), name) is value for name, value in right.items())


def test_a_class_may_check_more():
    @dataclass(frozen=True)
    class Range(Bounded):
        low: Fraction
        high: Fraction

        def __post_init__(self):
            super().__post_init__()
            if self.low > self.high:
                raise OccluposeError("low: must be less than high")

    with pytest.raises(OccluposeError, match="high 2: must be between 0 and 1"):
        Range(1, 2)
    with pytest.raises(OccluposeError, match="low: must be less than high"):
        Range(1, 0)
