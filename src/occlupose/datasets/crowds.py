"""Everybody in a picture, in pixels and depth, as bottom-up networks learn them: one record, whatever dataset it is of."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, UInt8

from occlupose.cameras import Camera
from occlupose.datasets.pictures import Picture


@dataclass(frozen=True, eq=False)
class Crowd:
    """Everybody in a picture; MPI15 joints.

    Attributes:
        picture: where it is; None where there are labels alone.
        size: width and height of the picture, px.
        xy: joints, px, pixel centres at integers; NaN where the state is 0.
        z: depth of joints in the camera's frame, m; NaN where it is not known, or the state is 0.
        state: v: 2 visible, 1 occluded, 0 absent.
        annotated: joints that the dataset says something of at all: COCO has no tops of heads, and where none is said there may be one.
        camera: that took the picture; None where nobody knows.
    """

    picture: Picture | None
    size: tuple[int, int]
    xy: Float[np.ndarray, "person 15 2"]
    z: Float[np.ndarray, "person 15"]
    state: UInt8[np.ndarray, "person 15"]
    annotated: Bool[np.ndarray, "15"]
    camera: Camera | None = None

    def __len__(self) -> int:
        return len(self.xy)
