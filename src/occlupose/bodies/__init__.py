"""Body models (Anny, SMPL, cylinders): joints and surface from segment rotations and shape."""

from pathlib import Path

from occlupose.bodies.body import PARTS, SEGMENTS, BodyModel, PosedBodies
from occlupose.errors import OccluposeError

__all__ = ["PARTS", "SEGMENTS", "BodyModel", "PosedBodies", "by_name"]


def by_name(name: str | Path) -> BodyModel:
    """The body model `anny` or `cylinders`, or SMPL by the path of its .npz.

    Raises:
        OccluposeError: the name is unknown (the message lists the known ones), or the file is not SMPL's.
    """
    from occlupose.bodies.anny import anny
    from occlupose.bodies.cylinders import cylinders
    from occlupose.bodies.smpl import smpl

    known = {"anny": anny, "cylinders": cylinders}
    if str(name) in known:
        return known[str(name)]()
    if Path(name).suffix == ".npz":
        return smpl(name)
    raise OccluposeError(
        f"{name}: not a known body model; known are {', '.join(known)}, and SMPL as the path of its .npz"
    )
