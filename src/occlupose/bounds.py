"""Bounds of numbers, declared with the fields of a dataclass and checked when it is made.

@dataclass(frozen=True)
class Recipe(Bounded):
    dropout: Fraction = 0.25
    levels: tuple[Annotated[int, Interval(ge=1, le=4)], ...] = (1, 2)
"""

from math import inf
from numbers import Integral, Real
from textwrap import shorten
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

from annotated_types import Interval

from occlupose.errors import OccluposeError

Count = Annotated[int, Interval(ge=1)]
Fraction = Annotated[float, Interval(ge=0, le=1)]
PositiveFraction = Annotated[float, Interval(gt=0, le=1)]
NonNegative = Annotated[float, Interval(ge=0, lt=inf)]
Positive = Annotated[float, Interval(gt=0, lt=inf)]
Rotation = Annotated[float, Interval(ge=0, le=180)]
Seed = Annotated[int, Interval(ge=0, lt=2**63)]

KINDS: dict[Any, tuple[type, str]] = {
    int: (Integral, "a whole number"),
    float: (Real, "a number"),
    bool: (bool, "true or false"),
    str: (str, "a text"),
}
"""What a value of an annotation must be an instance of, and that in words."""


class Bounded:
    """A dataclass whose fields are checked against their annotations: numbers and texts, choices (`Literal`), bounds
    (`Annotated` with an `Interval`), and tuples of these. Fields of other types are not checked.

    Raises:
        OccluposeError: a value that its field does not take; names the first one.
    """

    def __post_init__(self) -> None:
        for name, hint in hints(type(self)).items():
            value = getattr(self, name)
            wrong = _wrong(value, hint)
            if wrong:
                raise OccluposeError(f"{name} {brief(value)}: {wrong}")


def hints(kind: type) -> dict[str, Any]:
    """The annotations of a class's fields, by name."""
    return get_type_hints(kind, include_extras=True)


def alternatives(hint: Any) -> tuple[Any, ...]:
    """The members of a union; any other annotation alone."""
    return get_args(hint) if get_origin(hint) in (Union, UnionType) else (hint,)


def _wrong(value: object, hint: Any) -> str:
    """What a value must be according to its annotation; "" if it is that."""
    reasons = [_wrong_for_one(value, each) for each in alternatives(hint)]
    return "" if "" in reasons else reasons[0]


def _wrong_for_one(value: object, hint: Any) -> str:
    """As `_wrong`, for an annotation that is not a union."""
    origin = get_origin(hint)
    if origin is Annotated:
        kind, *bounds = get_args(hint)
        return _wrong(value, kind) or "".join(_outside(value, each) for each in bounds if isinstance(each, Interval))
    if origin is Literal:
        known = get_args(hint)
        return "" if value in known else f"not known; known are {', '.join(map(str, known))}"
    if origin is tuple:
        return _wrong_tuple(value, get_args(hint))
    if hint is NoneType:
        return "" if value is None else "must be left out"
    if hint not in KINDS:
        return ""
    instance_of, words = KINDS[hint]
    fits = isinstance(value, instance_of) and (hint is bool or not isinstance(value, bool))
    return "" if fits else f"must be {words}"


def _wrong_tuple(value: object, members: tuple[Any, ...]) -> str:
    """As `_wrong`, for an annotation `tuple[members]`."""
    if not isinstance(value, tuple):
        return "must be a list"
    if members[-1] is Ellipsis:
        members = members[:1] * len(value)
    if len(value) != len(members):
        return f"must be a list of {len(members)}"
    reasons = (_wrong(each, hint) for each, hint in zip(value, members, strict=True))
    return next((f"each {reason}" for reason in reasons if reason), "")


def _outside(value: Any, bounds: Interval) -> str:
    """What a number must be that is outside of bounds, which have a lower one; "" if it is inside."""
    low: Any = bounds.ge if bounds.gt is None else bounds.gt
    high: Any = bounds.le if bounds.lt is None else bounds.lt
    high = inf if high is None else high
    above = value > low if bounds.ge is None else value >= low
    below = value < high if bounds.le is None and bounds.lt is not None else value <= high
    if above and below:
        return ""
    if bounds.ge is not None and bounds.le is not None:
        return f"must be between {brief(low)} and {brief(high)}"
    least = f"{brief(low)} or more" if bounds.gt is None else f"more than {brief(low)}"
    most = f"at most {brief(high)}" if bounds.lt is None else f"less than {brief(high)}"
    if high == inf:
        most = "finite" if value == inf else ""
    return f"must be {least} and {most}" if most else f"must be {least}"


def brief(value: object) -> str:
    """A value as part of one line, shortened."""
    return f"{value:g}" if isinstance(value, float) else shorten(str(value), 80, placeholder=" ...")
