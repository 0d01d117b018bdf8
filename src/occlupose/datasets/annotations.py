"""People annotated in images, with the keypoints of one skeleton: the record that COCO, CrowdPose, OCHuman and the like
are read into.
"""

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float, Int, UInt8

from occlupose.datasets.images import ImageRef
from occlupose.datasets.report import DataReport
from occlupose.media import RGB
from occlupose.poses import ABSENT, OCCLUDED, VISIBLE
from occlupose.skeletons import Skeleton


@dataclass(frozen=True, eq=False)
class PersonAnnotation:
    """One annotated person in one image.

    Attributes:
        id: of the annotation.
        image: where the image is.
        size: (width, height) of the image by the annotations, px; None where they lack it.
        box: left, top, right, bottom, px, clipped to the image.
        xy: keypoints, px; as in the file where the state is 0.
        state: v of each joint as in the file: 2 visible, 1 occluded, 0 not annotated.
        area: of the person, px^2, if annotated.
        image_id: id of the image.
    """

    id: int
    image: ImageRef
    size: tuple[int, int] | None
    box: Float[np.ndarray, "4"]
    xy: Float[np.ndarray, "joint 2"]
    state: UInt8[np.ndarray, "joint"]
    area: float | None = None
    image_id: int | None = None

    @property
    def occluded(self) -> int:
        """Number of joints annotated as occluded."""
        return int((self.state == OCCLUDED).sum())

    def read(self) -> RGB:
        """The image.

        Raises:
            OccluposeError: it cannot be read, or its size differs from the annotated one.
        """
        return self.image.read(self.size)


@dataclass(frozen=True)
class ImageInfo:
    """An image's entry in the annotations.

    Attributes:
        id: its number in the file.
        name: of its file.
        size: (width, height), px, if the entry has it.
        crowd_index: CrowdPose's crowd index, 0 to 1, if the entry has it.
    """

    id: int
    name: str
    size: tuple[int, int] | None = None
    crowd_index: float | None = None


@dataclass(frozen=True, eq=False)
class GroundTruth:
    """Everybody who is annotated, crowd regions and people without joints too, in the file's order: what predictions
    are scored against.

    Attributes:
        path: of the file.
        dataset: one of `formats.coco.DATASETS`.
        skeleton: of the joints.
        category: id of the category of people in the file.
        images: by id, images without people too.
        id: of each annotation.
        image_id: of each annotation's image.
        boxes: left, top, width, height as in the file, px from the image's edge; NaN where there is none.
        area: px^2 as in the file; NaN where there is none.
        is_crowd: regions of several people.
        num_keypoints: as in the file, by default the number of joints whose state is not 0. CrowdPose does not count
            head and neck.
        xy: keypoints, px; 0 where there are none.
        state: v of each joint.
        report: what was wrong with the file.
        description: in its info; "" without.
    """

    path: Path
    dataset: str
    skeleton: Skeleton
    category: int
    images: dict[int, ImageInfo]
    id: Int[np.ndarray, "person"]
    image_id: Int[np.ndarray, "person"]
    boxes: Float[np.ndarray, "person 4"]
    area: Float[np.ndarray, "person"]
    is_crowd: Bool[np.ndarray, "person"]
    num_keypoints: Int[np.ndarray, "person"]
    xy: Float[np.ndarray, "person joint 2"]
    state: UInt8[np.ndarray, "person joint"]
    report: DataReport
    description: str = ""

    def __len__(self) -> int:
        return len(self.id)


@dataclass(frozen=True, eq=False)
class Annotations:
    """The people of a file, in its order, with the joints of one skeleton.

    Attributes:
        skeleton: of the joints.
        people: usable for training or for evaluation in ground-truth boxes: no crowd region, with a joint, a box and an
            image that exists.
        ground_truth: everybody. Those who are not in `people` count as missed.
        report: what was wrong with the file and its images.
    """

    skeleton: Skeleton
    people: list[PersonAnnotation]
    ground_truth: GroundTruth
    report: DataReport

    def describe(self) -> dict[str, object]:
        """The training data for a card: the file's name, its SHA-256, and counts; no folder."""
        states = np.concatenate([person.state for person in self.people])
        values = {"visible": VISIBLE, "occluded": OCCLUDED, "absent": ABSENT}
        counts = {name: int((states == value).sum()) for name, value in values.items()}
        path = self.ground_truth.path
        return {
            "annotations": path.name,
            "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
            "pictures": len({person.image for person in self.people}),  # the key on published cards
            "people": len(self.people),
            "joints": counts,
        }
