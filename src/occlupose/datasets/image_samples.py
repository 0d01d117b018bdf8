"""An image with its ground truth: the record that every dataset of single images is read into.

`discovery` finds and reads the datasets.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, UInt8

from occlupose.cameras import Camera
from occlupose.datasets.images import ImageRef
from occlupose.errors import OccluposeError
from occlupose.media import RGB
from occlupose.poses import ABSENT
from occlupose.skeletons import MPI15, Skeleton

NOBODY = "people without a joint in their image, left out"


@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class ImageSample:
    """An image and everybody in it who is annotated.

    Attributes:
        image: where the image is; None where there are only labels.
        size: width and height of the image, px.
        skeleton: the joints' names.
        xy: keypoints, px, pixel centres at integers; NaN where a joint is absent.
        state: 2 visible, 1 occluded, 0 absent.
        xyz: joints in the camera frame, m; NaN where unknown or absent. None in 2D.
        camera: that took the image; None where it is unknown.
        annotated: joints that the dataset annotates at all, by default all. COCO has no top of the head, so its state
            means nothing there.
        occlusion_annotated: False where the dataset does not say which joints are occluded; then no state is 1.
        sequence: the video that the image is from; "" where there is none.
        name: the image's name in files of predictions; by default SEQUENCE/FILE, or FILE without a sequence.

    Raises:
        OccluposeError: an array has the wrong shape.
    """

    image: ImageRef | None
    size: tuple[int, int]
    skeleton: Skeleton
    xy: Float[np.ndarray, "person joint 2"]
    state: UInt8[np.ndarray, "person joint"]
    xyz: Float[np.ndarray, "person joint 3"] | None = None
    camera: Camera | None = None
    annotated: Bool[np.ndarray, " joint"] = None  # type: ignore[assignment]
    occlusion_annotated: bool = True
    sequence: str = ""
    name: str = ""

    def __post_init__(self) -> None:
        if self.annotated is None:
            object.__setattr__(self, "annotated", np.ones(len(self.skeleton), bool))
        if not self.name and self.image is not None:
            name = self.image.name
            object.__setattr__(self, "name", f"{self.sequence}/{name}" if self.sequence else name)
        self._check_shapes()

    def __len__(self) -> int:
        """Number of people."""
        return len(self.xy)

    def __repr__(self) -> str:
        people = "1 person" if len(self) == 1 else f"{len(self)} people"
        name = self.name or "no image"
        return f"ImageSample({name}, {people}, {self.skeleton.name}, {'2D' if self.xyz is None else '3D'})"

    @property
    def has_depth(self) -> bool:
        """Whether depth can be learned from it."""
        return self.xyz is not None

    @property
    def z(self) -> Float[np.ndarray, "person joint"]:
        """Depth of the joints, m, of the same float type as `xy`; NaN where unknown."""
        if self.xyz is None:
            return np.full(self.state.shape, np.nan, self.xy.dtype)
        return self.xyz[..., 2].astype(self.xy.dtype)

    def read(self) -> RGB:
        """The image.

        Raises:
            OccluposeError: there are only labels, or as `ImageRef.read`.
        """
        if self.image is None:
            raise OccluposeError(f"{self.name or 'sample'}: has labels only; copy the images too, or score predictions")
        return self.image.read(self.size)

    def _check_shapes(self) -> None:
        people = len(self.xy)
        joints = len(self.skeleton)
        shapes: dict[str, tuple[int, ...]] = {
            "xy": (people, joints, 2),
            "state": (people, joints),
            "xyz": (people, joints, 3),
            "annotated": (joints,),
        }
        for name, shape in shapes.items():
            value: Any = getattr(self, name)
            if value is not None and value.shape != shape:
                raise OccluposeError(f"{name}: has shape {value.shape}; it must be {shape}")


def make_mpi15_sample(
    image: ImageRef | None,
    size: tuple[int, int],
    xy: Float[np.ndarray, "person 15 2"],
    z: Float[np.ndarray, "person 15"] | None,
    state: UInt8[np.ndarray, "person 15"],
    *,
    annotated: Bool[np.ndarray, "15"] | None = None,
    camera: Camera | None = None,
) -> ImageSample:
    """An image's MPI15 people who have a joint in it.

    Joints outside of the image are absent. Depth that is not positive and finite is unknown. 3D joints are the pixels
    back-projected to their depth.

    Arguments:
        xy, z: any value where the state is 0; z is ignored without a camera.
        annotated: all joints by default.
    """
    with np.errstate(invalid="ignore"):
        inside = ((xy >= -0.5) & (xy < np.array(size) - 0.5)).all(-1) & (state != ABSENT)
    people = inside.any(-1)
    pixels = np.where(inside[..., None], xy, np.nan)[people].astype(np.float32)
    xyz = None
    if camera is not None:
        depth = np.full(state.shape, np.nan) if z is None else z
        with np.errstate(invalid="ignore"):
            known = inside & (depth > 0) & np.isfinite(depth)
        depth = np.where(known, depth, np.nan)[people].astype(np.float32)
        xyz = camera.back_project(pixels.astype(np.float64), depth)
    return ImageSample(
        image=image,
        size=size,
        skeleton=MPI15,
        xy=pixels,
        state=np.where(inside, state, ABSENT)[people].astype(np.uint8),
        xyz=xyz,
        camera=camera,
        annotated=annotated,  # type: ignore[arg-type]
    )
