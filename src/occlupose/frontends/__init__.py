"""Ready 2D pose estimators behind one protocol: a frame in, the people in it out."""

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from jaxtyping import Float

from occlupose.errors import OccluposeError
from occlupose.media import Frame
from occlupose.skeletons import Skeleton

__all__ = ["Frontend", "People", "build"]


@dataclass(frozen=True)
class People:
    """The people a frontend saw in one frame, in pixels of the full image.

    Attributes:
        xy: joints, in the order of the frontend's skeleton. Never NaN; a joint the network merely guesses has a low score.
        score: belief in each joint, 0..1.
        boxes: left, top, right, bottom of each person.
        box_score: belief that there is a person at all, 0..1.
    """

    xy: Float[np.ndarray, "person joint 2"]
    score: Float[np.ndarray, "person joint"]
    boxes: Float[np.ndarray, "person 4"]
    box_score: Float[np.ndarray, " person"]

    def __len__(self) -> int:
        return len(self.xy)


class Frontend(Protocol):
    """Finds people and their joints, frame after frame.

    Attributes:
        name: as given to `build`.
        skeleton: names the joints of the People it returns.
        network_seconds: time spent inside the networks since it was built.
    """

    name: str
    skeleton: Skeleton

    @property
    def network_seconds(self) -> float: ...

    def __call__(self, frame: Frame) -> People:
        """The people in this frame; what was seen in the frames before it may be used."""
        ...

    def reset(self) -> None:
        """Forget the frames before: the next one starts another video, or is another picture."""
        ...


def build(name_or_file: str | Path = "blazepose", *, threads: int = 2) -> Frontend:
    """The frontend of this name, or the one that runs this ONNX file.

    Arguments:
        name_or_file: "blazepose", or a path that ends in .onnx (`occlupose.frontends.onnx` says what must lie beside it).
        threads: processor threads the networks may use.

    Raises:
        OccluposeError: neither of these; weights that cannot be had.
    """
    if Path(name_or_file).suffix.lower() == ".onnx":
        from occlupose.frontends.onnx import OnnxPose

        return OnnxPose(Path(name_or_file), threads=threads)
    if name_or_file == "blazepose":
        from occlupose.frontends.blazepose import BlazePose

        return BlazePose(threads=threads)
    raise OccluposeError(f"{name_or_file}: no such frontend; give blazepose or an .onnx file")
