"""What `plausibility` remembers of the people in a video."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from occlupose.occlusion.anatomy import Anatomy
from occlupose.occlusion.sides import CHOICES, NOISE, PRIOR, SPEEDS, order_joints

LAG = 1 / 3
"""Seconds for which a frame may change when later ones are known: as long as the tracker takes to confirm an id, so
that no result waits for this. A person who is gone for longer starts afresh."""

LONGEST = 1.25
"""Longest limb of a kind / the mean of people of this height, at most: bones differ by 10 % between people, and
datasets' shoulders and hips by as much.
"""


@dataclass(eq=False)
class PersonMemory:
    """What is remembered of people, one row each. Positions in px, moved with the flow; joints with sides put right."""

    number: Int[np.ndarray, " person"]
    time: Float[np.ndarray, " person"]  # of the last frame; NaN: none yet
    height: Float[np.ndarray, " person"]  # body height, px
    longest: Float[np.ndarray, "person kind"]  # longest limb of a kind / the mean of people of this height
    belief: Float[
        np.ndarray, "person choice"
    ]  # probability of each choice of swapped parts in the last frame that counts
    choice: Int[np.ndarray, " person"]  # made there
    choice_time: Float[np.ndarray, " person"]  # of that frame; NaN: none
    xy: Float[np.ndarray, "person joint 2"]  # in the last frame
    expected: Float[np.ndarray, "person joint 2"]  # by a Kalman filter that leaves out what jumps
    variance: Float[np.ndarray, "person joint"]  # of a coordinate of that when it was last corrected, body heights²
    found_time: Float[np.ndarray, "person joint"]  # when last near where it was expected; -inf: never
    left_time: Float[np.ndarray, "person joint"]  # of the last frame before it jumped away; NaN: it did not
    surprise: Float[np.ndarray, "person joint"]  # recent squared distance from there, in standard deviations
    seen_since: Float[np.ndarray, "person joint"]  # without having been hidden; -inf: before the first frame
    seen_time: Float[np.ndarray, "person joint"]  # when last seen; -inf: never
    claim_time: Float[np.ndarray, "person joint"]  # when last on another person's limb; -inf: never

    @classmethod
    def blank(cls, number: Int[np.ndarray, " person"], joints: int, kinds: int) -> "PersonMemory":
        """People who were not there before."""
        people = len(number)
        return cls(
            number=number.copy(),
            time=np.full(people, np.nan),
            height=np.full(people, np.nan),
            longest=np.full((people, kinds), LONGEST),
            belief=np.tile(PRIOR, (people, 1)),
            choice=np.zeros(people, int),
            choice_time=np.full(people, np.nan),
            xy=np.full((people, joints, 2), np.nan),
            expected=np.full((people, joints, 2), np.nan),
            variance=np.full((people, joints), np.nan),
            found_time=np.full((people, joints), -np.inf),
            left_time=np.full((people, joints), np.nan),
            surprise=np.zeros((people, joints)),
            seen_since=np.full((people, joints), -np.inf),
            seen_time=np.full((people, joints), -np.inf),
            claim_time=np.full((people, joints), -np.inf),
        )

    def select(self, rows: np.ndarray) -> "PersonMemory":
        """Some of the people."""
        return PersonMemory(**{name: values[rows] for name, values in vars(self).items()})

    def put(self, rows: np.ndarray, other: "PersonMemory", other_rows: np.ndarray) -> None:
        """Copies people from another memory."""
        for name, values in vars(self).items():
            values[rows] = getattr(other, name)[other_rows]

    def add(self, other: "PersonMemory") -> "PersonMemory":
        """The people of both."""
        return PersonMemory(
            **{name: np.concatenate([values, getattr(other, name)]) for name, values in vars(self).items()}
        )

    def swap(self, change: Int[np.ndarray, " person"], anatomy: Anatomy) -> None:
        """Swaps the sides of these choices of parts in all that is remembered."""
        order = order_joints(CHOICES[change], anatomy)
        for name in _JOINTWISE:
            setattr(self, name, reorder(getattr(self, name), order))
        self.choice = self.choice ^ change

    def move(self, rows: np.ndarray, flow: Float[np.ndarray, "person joint 2"]) -> None:
        """Moves the joints of these people with the flow at them, px; a joint without flow, or that was not where it
        was expected, with the mean of the others.
        """
        useful = np.isfinite(flow).all(-1) & (self.found_time[rows] == self.time[rows, None])
        total = np.where(useful[..., None], flow, 0).sum(1, keepdims=True)
        mean = total / np.maximum(useful.sum(1), 1)[:, None, None]
        step = np.where(useful[..., None], flow, mean)
        self.xy[rows] += step
        self.expected[rows] += step


_JOINTWISE = (
    "xy",
    "expected",
    "variance",
    "found_time",
    "left_time",
    "surprise",
    "seen_since",
    "seen_time",
    "claim_time",
)


def predict_variance(memory: PersonMemory, time: float, anatomy: Anatomy) -> Float[np.ndarray, "person joint"]:
    """Variance of a coordinate of a keypoint around where it is expected, body heights²; NaN where nothing is
    remembered, or was last found before `LAG`.
    """
    age = time - memory.found_time
    age = np.where(age < LAG, age, np.nan)
    return memory.variance + (SPEEDS[anatomy.reach] * age) ** 2 + NOISE**2


def reorder(values: np.ndarray, order: Int[np.ndarray, "person joint"]) -> np.ndarray:
    """The values of each person's joints in another order."""
    return values[np.arange(len(order))[:, None], order]
