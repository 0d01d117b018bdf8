"""An image with its ground truth: the record that every dataset of single images is read into.

`image_datasets` finds and reads the datasets.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, UInt8

from occlupose.cameras import Camera
from occlupose.datasets.formats.coco import MISSING, Annotations, PersonAnnotation
from occlupose.datasets.images import TRIED, ImageIndex, ImageRef
from occlupose.datasets.report import DataReport
from occlupose.errors import OccluposeError
from occlupose.media import RGB
from occlupose.poses import ABSENT
from occlupose.skeletons import MPI15, Skeleton, convert, convert_weakest

NECK = 0.185
"""Height of the neck above the mid-shoulder point, as a fraction of the distance from mid-hip to mid-shoulder (SMAP's
and HUPOR's code).
"""

MIN_JOINTS = 3
"""People with fewer annotated joints are left out of training, in datasets without depth (SMAP's and HUPOR's code)."""

FEW_JOINTS = f"people with fewer than {MIN_JOINTS} annotated joints, left out"
LABELS_ONLY = "images that are missing, all of this dataset: labels only"
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


def from_coco(annotations: Annotations) -> list[ImageSample]:
    """People of COCO, CrowdPose, OCHuman and the like, one MPI15 sample an image, without depth and camera.

    Joints are matched by name. The pelvis is the middle of the hips, and as visible as the less visible of them; the
    neck lies NECK above the middle of the shoulders, as visible as the least visible of pelvis and shoulders; other
    joints that the dataset lacks are not `annotated` (COCO's top of the head). People with fewer than MIN_JOINTS joints
    are left out, as the authors do, and so are images without anybody else.

    Raises:
        OccluposeError: the annotations lack an image's size.
    """
    people = defaultdict[ImageRef, list[PersonAnnotation]](list)
    for person in annotations.people:
        if (person.state != ABSENT).sum() >= MIN_JOINTS:
            people[person.image].append(person)
        else:
            annotations.report.add_note(FEW_JOINTS, f"annotation {person.id}")
    path = annotations.ground_truth.path
    return [_from_coco(image, group, annotations.skeleton, path) for image, group in people.items()]


def _from_coco(image: ImageRef, people: list[PersonAnnotation], skeleton: Skeleton, path: Path) -> ImageSample:
    size = people[0].size
    if size is None:
        raise OccluposeError(f"{path}: no width and height of {image.name}; give annotations that have them")
    state = np.stack([person.state for person in people])
    xy = np.where(state[..., None] != ABSENT, np.stack([person.xy for person in people]), np.nan)
    joints = convert(xy, skeleton, MPI15)
    states = convert_weakest(state, skeleton, MPI15)
    neck, pelvis, *shoulders = MPI15.index("neck", "pelvis", "left_shoulder", "right_shoulder")
    if not {"neck", "thorax"} & {*skeleton.joints}:
        middle = joints[:, shoulders].mean(1)
        joints[:, neck] = middle + NECK * (middle - joints[:, pelvis])
        states[:, neck] = states[:, [pelvis, *shoulders]].min(1)
    annotated = convert_weakest(np.ones(len(skeleton), bool), skeleton, MPI15)
    return make_mpi15_sample(image, size, joints, None, states, annotated=annotated)


def find_images(names: Iterable[str], folders: Sequence[Path], report: DataReport) -> dict[str, ImageRef | None]:
    """Finds images by name; missing ones are left out and reported.

    Arguments:
        folders: that the names may be relative to; the first one that has any of the first TRIED images is taken. If
            none has, every image is None: there are only labels.
    """
    wanted = list(dict.fromkeys(names))
    for folder in folders:
        index = ImageIndex(folder)
        if any(index.find(name) for name in wanted[:TRIED]):
            found = {name: index.find(name) for name in wanted}
            for name, image in found.items():
                if image is None:
                    report.add_problem(MISSING, name)
            return {name: image for name, image in found.items() if image is not None}
    for name in wanted:
        report.add_note(LABELS_ONLY, name)
    return dict.fromkeys(wanted)
