"""Body height: the values that a person's height may have, and what the skeletons' bones leave out of it."""

from occlupose.errors import OccluposeError

HEAD_ABOVE_NECK = 0.14
SOLE_BELOW_ANKLE = 0.08
"""Metres from the mocap's head joint to the crown, and from ankle to sole, of an average adult. Ours."""


def check_height(height: float | None) -> None:
    """Raises OccluposeError for a height outside 0.3 to 3 m; None is accepted."""
    if height is not None and not 0.3 <= height <= 3:
        raise OccluposeError(f"height {height}: people are 0.3 to 3 metres tall; give metres")
