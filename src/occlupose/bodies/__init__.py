"""Body models behind one protocol: joints and surface from segment rotations and shape. Anny (default), SMPL,
cylinders.
"""

from pathlib import Path

from occlupose.bodies.body import PARTS, SEGMENTS, Body, Posed, Skinned
from occlupose.errors import OccluposeError

__all__ = ["PARTS", "SEGMENTS", "Body", "Posed", "Skinned", "by_name"]


def by_name(name: str | Path) -> Skinned:
    """The body called `anny` or `cylinders`, or SMPL of a .npz.

    Raises:
        OccluposeError: there is none of that name, lists the known ones; or the file is not SMPL's.
    """
    from occlupose.bodies.anny import anny
    from occlupose.bodies.cylinders import cylinders
    from occlupose.bodies.smpl import smpl

    known = {"anny": anny, "cylinders": cylinders}
    if str(name) in known:
        return known[str(name)]()
    if Path(name).suffix == ".npz":
        return smpl(name)
    raise OccluposeError(f"{name}: not a known body; known are {', '.join(known)}, and SMPL as the path of its .npz")
