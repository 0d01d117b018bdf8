"""What the arrays of `Poses` must be, place by place."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float32

from occlupose.body_parts import SEGMENTS
from occlupose.errors import OccluposeError

UNIT_ERROR = 1e-3
"""Largest error of the length of a quaternion."""


@dataclass(frozen=True)
class ArrayChecks:
    """Refuses values that contradict each other, or `Poses`.

    Attributes:
        arrays: by their names in `Poses`, (*place, joint, ...) or (*place, ...).
        joints: names.
        places: number of axes of places.
        who: frame and track id at a place.
    """

    arrays: Mapping[str, np.ndarray]
    joints: tuple[str, ...]
    places: int
    who: Callable[..., tuple[int, int]]

    def check(self) -> None:
        """Raises OccluposeError: names the first wrong place."""
        self._check_values()
        self._check_uncertainty()
        self._check_bodies()

    def _check_values(self) -> None:
        score = self.arrays["score"]
        state = self.arrays["state"]
        xy = self.arrays["xy"]
        outside = ~((score >= 0) & (score <= 1))
        self._refuse("score", outside, "has a score outside 0..1", "scale scores to 0..1")
        self._refuse("state", state > 2, "has an unknown state", "states are 0 absent, 1 occluded, 2 visible")
        self._check_coordinates("xy", xy)
        missing = np.isnan(xy).any(-1)
        absent = state == 0
        placed = absent & ~missing
        self._refuse("state", missing & ~absent, "has no coordinates", "a joint whose xy is NaN has state 0")
        self._refuse("state", placed, "is absent but has coordinates", "a joint with state 0 has xy NaN")
        if "xyz" in self.arrays:
            xyz = self.arrays["xyz"]
            self._check_coordinates("xyz", xyz)
            placed = absent & ~np.isnan(xyz).any(-1)
            self._refuse("xyz", placed, "is absent but has coordinates", "a joint with state 0 has xyz NaN")

    def _check_uncertainty(self) -> None:
        if "spread" in self.arrays:
            spread = self.arrays["spread"]
            wrong = (spread < 0) | np.isinf(spread)
            extra = ~np.isnan(spread) & (self.arrays["state"] == 0)
            self._refuse("spread", wrong, "has a negative or infinite spread", "give pixels, NaN where unknown")
            self._refuse("spread", extra, "is absent but has a spread", "a joint with state 0 has spread NaN")
        for name in ("covariance", "root_covariance"):
            self._check_covariances(name)
        if "covariance" in self.arrays and "xyz" in self.arrays:
            unknown = np.isnan(self.arrays["xyz"]).any(-1)
            extra = ~np.isnan(self.arrays["covariance"]).any(-1) & unknown
            self._refuse("covariance", extra, "has a covariance but no xyz", "where xyz is NaN, covariance is too")

    def _check_bodies(self) -> None:
        for name in ("xyz_lifted", "rotation", "rotation_covariance", "contact"):
            if name in self.arrays and "xyz" not in self.arrays:
                raise OccluposeError(f"{name}: is there without xyz; leave it out in 2D")
        if "xyz_lifted" in self.arrays:
            lifted = self.arrays["xyz_lifted"]
            self._check_coordinates("xyz_lifted", lifted)
            placed = (self.arrays["state"] == 0) & ~np.isnan(lifted).any(-1)
            self._refuse("xyz_lifted", placed, "is absent but has coordinates", "a joint with state 0 has NaN")
        if "rotation" in self.arrays:
            rotation = self.arrays["rotation"]
            length = np.linalg.norm(rotation, axis=-1)
            wrong = (~(np.abs(length - 1) < UNIT_ERROR) & ~np.isnan(rotation).all(-1)).any(-1)
            self._refuse("rotation", wrong, "has no unit quaternion", "give w, x, y, z of length 1, or NaN for all")
        self._check_covariances("rotation_covariance")
        if "contact" in self.arrays:
            contact = self.arrays["contact"]
            outside = ~((contact >= 0) & (contact <= 1) | np.isnan(contact)).all(-1)
            self._refuse("contact", outside, "has a probability outside 0..1", "give probabilities, NaN where unknown")

    def _check_covariances(self, name: str) -> None:
        if name not in self.arrays:
            return
        if "xyz" not in self.arrays:
            raise OccluposeError(f"{name}: is there without xyz; leave it out in 2D")
        values = self.arrays[name]
        partial = np.isnan(values).any(-1) != np.isnan(values).all(-1)
        wrong = (values[..., :3] < 0).any(-1) | np.isinf(values).any(-1)
        self._refuse(name, partial, "has some covariances and lacks others", "give all six or NaN for all")
        unit = "rad^2" if name == "rotation_covariance" else "m^2"
        self._refuse(name, wrong, "has a negative or infinite variance", f"give xx, yy, zz, xy, xz, yz in {unit}")

    def _check_coordinates(self, name: str, values: Float32[np.ndarray, "*place joint d"]) -> None:
        partial = np.isnan(values).any(-1) != np.isnan(values).all(-1)
        self._refuse(name, partial, "has some coordinates and lacks others", "give all or NaN for all")
        self._refuse(name, np.isinf(values).any(-1), "is infinitely far", "missing coordinates are NaN")

    def _refuse(self, name: str, wrong: Bool[np.ndarray, "*place_joint"], fault: str, cure: str) -> None:
        if wrong.any():
            index = np.argwhere(wrong)[0].tolist()
            frame, person = self.who(*index[: self.places])
            parts = SEGMENTS if name == "rotation_covariance" else self.joints
            who = ": ".join([f"person {person}", *(parts[number] for number in index[self.places :])])
            raise OccluposeError(f"{name}: frame {frame}, {who} {fault}; {cure}")
