"""Runs of `benchmarks/evidence.py` that train nothing, where its workers can import them."""

from occlupose.errors import OccluposeError


def run(arm, seed):
    """A row; or one of two errors, by the name of the arm."""
    if arm == "has a bug":
        raise ValueError("wrong")
    if arm == "diverges":
        raise OccluposeError("step 3: not a number any more")
    return [(arm, seed, "exact", "hidden found", "00", 50.0, 100.0)]
