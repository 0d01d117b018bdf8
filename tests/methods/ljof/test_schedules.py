import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from occlupose.errors import OccluposeError
from occlupose.methods.ljof.schedules import Constant, Exponential, Linear, Step

SCHEDULES = (Constant, Step, Linear, Exponential)

share = st.floats(0, 1)


def test_the_step_at_its_edges():
    """105 of 210 epochs are half of the training, and have the weight."""
    step = Step()
    assert step(0.0) == step(104 / 210) == step(math.nextafter(0.5, 0)) == 0
    assert step(105 / 210) == step(1.0) == 0.5
    assert (Step(at=0, weight=2)(0.0), Step(at=1, weight=2)(1.0), Step(at=1, weight=2)(0.999)) == (2, 2, 0)


def test_linear_and_exponential_at_their_ends():
    assert [Linear(weight=2)(done) for done in (0, 0.25, 1)] == [0, 0.5, 2]
    between = Linear(weight=1, start=0.25, end=0.75)
    assert [between(done) for done in (0, 0.25, 0.5, 0.75, 1)] == [0, 0, 0.5, 1, 1]
    grown = Exponential(weight=3, rate=2)
    assert grown(0) == 0 and grown(1) == 3
    assert grown(0.5) == pytest.approx(3 * (math.e - 1) / (math.e**2 - 1))
    assert Constant(0.7)(0) == Constant(0.7)(1) == 0.7


@given(st.sampled_from(SCHEDULES), share, share, st.floats(0, 10))
def test_all_grow_and_end_at_the_weight(kind, one, other, weight):
    schedule = kind(weight=weight)
    early, late = sorted((one, other))
    assert 0 <= schedule(early) <= schedule(late) <= weight
    assert schedule(1) == weight
    assert kind(weight=weight) == schedule and hash(schedule) == hash(kind(weight=weight))


@pytest.mark.parametrize("kind", SCHEDULES)
def test_what_cannot_be_is_refused(kind):
    for progress in (-0.01, 1.01, math.nan):
        with pytest.raises(OccluposeError, match=r"^progress .*: a fraction of the training; must be between 0 and 1$"):
            kind()(progress)
    for weight in (-1, math.inf, math.nan):
        with pytest.raises(OccluposeError, match=r"^weight .*: must be 0 or more( and finite)?$"):
            kind(weight=weight)


def test_times_that_cannot_be_are_refused():
    with pytest.raises(OccluposeError, match=r"^at 105: must be between 0 and 1$"):
        Step(at=105)
    with pytest.raises(OccluposeError, match=r"^start 0.5, end 0.5: the end must come after the start$"):
        Linear(start=0.5, end=0.5)
    with pytest.raises(OccluposeError, match=r"^end 2: must be between 0 and 1$"):
        Linear(end=2)
    for rate in (0, -1, 101):
        with pytest.raises(OccluposeError, match=r"^rate .*: must be more than 0 and at most 100$"):
            Exponential(rate=rate)
