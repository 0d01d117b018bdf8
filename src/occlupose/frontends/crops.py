"""Front ends from keypoint networks that take one upright crop of a person.

People are detected and followed, or are in given bounding boxes, for example those of a better detector.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float, UInt8

from occlupose.codecs.crops import Crop, Regions, invert, radius, transform_points, upright_regions
from occlupose.detections import NOBODY, Detections, FrameBoxes, overlap
from occlupose.frontends.detector import BoxDetector, detect_in_tiles
from occlupose.frontends.search import Tile
from occlupose.frontends.separation import separate
from occlupose.frontends.topdown import FoundRegions, RegionEstimates, TopDown, boxes_around, make_detections
from occlupose.media import Frame
from occlupose.pyramid import Pyramid
from occlupose.skeletons import COCO17, Skeleton

# crop px, pixel centres at integers; score
Keypoints = tuple[Float[np.ndarray, "person joint 2"], Float[np.ndarray, "person joint"]]

KNOWN_OVERLAP = 0.5  # a box that overlaps a known person's by more (intersection over union) is not a new person
FOLLOWING = 0.5  # presence of somebody who is followed / confidence of somebody new
MIN_SCORE = 0.3  # above it a joint counts for the person's next box


class CropNetwork(Protocol):
    """Keypoint network for crops of one person.

    Attributes:
        crop: of its input.
        skeleton: joints.
        min_joint_confidence: least score of a visible joint.
    """

    crop: Crop
    skeleton: Skeleton
    min_joint_confidence: float

    def __call__(self, crops: UInt8[np.ndarray, "person height width 3"]) -> Keypoints:
        """Keypoints in any number of RGB crops."""
        ...


@dataclass(frozen=True)
class CropKeypoints:
    """All that a network says of people in crops. Positions are crop px, pixel centres at integers.

    Attributes:
        xy: keypoints; hidden ones are inferred.
        score: confidence that each is visible, 0..1.
        peak_score: confidence of the peak that each is at, 0..1; 0 where it is at none.
        place: mean of the places where each joint may be, whether it is visible or not.
        spread: their standard deviation along an axis, px. Both are NaN if the network does not know them.
        peaks: the highest peaks of everybody's: x, y, confidence.
    """

    xy: Float[np.ndarray, "person joint 2"]
    score: Float[np.ndarray, "person joint"]
    peak_score: Float[np.ndarray, "person joint"]
    place: Float[np.ndarray, "person joint 2"]
    spread: Float[np.ndarray, "person joint"]
    peaks: Float[np.ndarray, "person joint peak 3"]

    @classmethod
    def simple(
        cls,
        xy: Float[np.ndarray, "person joint 2"],
        score: Float[np.ndarray, "person joint"],
        peaks: Float[np.ndarray, "person joint peak 3"] | None = None,
    ) -> "CropKeypoints":
        """Of a network that knows keypoints and their confidence alone, and maybe peaks."""
        if peaks is None:
            peaks = np.zeros((*score.shape, 0, 3))
        return cls(xy, score, score, np.full(xy.shape, np.nan), np.full(score.shape, np.nan), peaks)


@runtime_checkable
class DetailedNetwork(CropNetwork, Protocol):
    """A `CropNetwork` that can say more than keypoints and their confidence."""

    def detail(self, crops: UInt8[np.ndarray, "person height width 3"]) -> CropKeypoints:
        """What it knows of the people in any number of RGB crops."""
        ...


class TopDownFrontend(TopDown):
    """Keypoints by a `CropNetwork`; people are detected and followed.

    Arguments:
        name: of the front end.
        network: for crops of one person.
        detector: of people.
        min_confidence: that there is a new person; see `RegionEstimates.confidence`.
        detect_every, search_every, max_people, tiled: see TopDown.
    """

    accurate = True

    def __init__(
        self,
        name: str,
        network: CropNetwork,
        detector: BoxDetector,
        *,
        min_confidence: float = 0.25,
        detect_every: float = 1 / 3,
        search_every: float = 1 / 6,
        max_people: int | None = None,
        tiled: bool = True,
    ) -> None:
        self.name = name
        self.network = network
        self.detector = detector
        self.skeleton = network.skeleton
        self.min_joint_confidence = network.min_joint_confidence
        self.min_confidence = min_confidence
        self.min_presence = FOLLOWING * min_confidence
        super().__init__(detect_every=detect_every, search_every=search_every, max_people=max_people, tiled=tiled)

    def find(self, image: Pyramid, tiles: list[Tile], known: RegionEstimates, *, hide: bool = False) -> FoundRegions:
        found = detect_in_tiles(self.detector, image, tiles)
        new = overlap(found.boxes[:, None], boxes_around(known)).max(1, initial=0) < KNOWN_OVERLAP
        return self.network.crop.regions(found.boxes[new]), found.score[new]

    def estimate(self, image: Pyramid, regions: Regions) -> RegionEstimates:
        return estimate_regions(self.network, image, regions)

    def separate(self, estimates: RegionEstimates, before: Float[np.ndarray, "person joint 2"]) -> RegionEstimates:
        if len(before) < 2:
            return estimates
        peak_score = estimates.peak_score
        xy, new_score = separate(estimates.xy, peak_score, estimates.peaks, before, radius(estimates.regions))
        ratio = np.divide(new_score, peak_score, out=np.ones_like(new_score), where=peak_score > 0)
        score = np.minimum(estimates.score * ratio, 1)
        changed = (new_score != peak_score).any(1)
        regions = np.where(changed[:, None], _region_around(xy, score, self.network.crop), estimates.regions)
        return replace(
            estimates,
            xy=xy,
            score=score,
            presence=presence(new_score, self.skeleton),
            regions=regions,
            peak_score=new_score,
        )


class BoxFrontend:
    """Keypoints by a `CropNetwork` in given bounding boxes, frame by frame. Each person should have one box.

    Arguments:
        name: of the front end.
        boxes: of each frame, by its number; a frame without an entry has nobody.
    """

    def __init__(self, name: str, network: CropNetwork, boxes: Mapping[int, FrameBoxes]) -> None:
        self.name = name
        self.network = network
        self.skeleton = network.skeleton
        self.min_joint_confidence = network.min_joint_confidence
        self.boxes = boxes

    def reset(self) -> None:
        """Nothing to do: frames are independent."""

    def __call__(self, frame: Frame) -> Detections:
        """People in this frame, one for each box, which is returned unchanged."""
        return estimate_in_boxes(self.network, frame.pyramid, self.boxes.get(frame.index, NOBODY))


def estimate_in_boxes(network: CropNetwork, image: Pyramid, boxes: FrameBoxes) -> Detections:
    """People in these boxes of an image, with the boxes' scores."""
    regions = network.crop.regions(boxes.boxes)
    estimates = replace(estimate_regions(network, image, regions), regions=regions)
    return replace(
        make_detections(estimates, network.skeleton, image.size),
        boxes=boxes.boxes.astype(np.float32),
        box_score=boxes.score.astype(np.float32),
    )


def estimate_regions(network: CropNetwork, image: Pyramid, regions: Regions) -> RegionEstimates:
    """Keypoints in upright crops of these regions."""
    crop = network.crop
    matrices = crop.matrices(upright_regions(regions[:, :2], radius(regions)))
    crops = [image.crop(matrix, crop.width, crop.height) for matrix in matrices]
    pixels = np.array(crops, np.uint8).reshape(-1, crop.height, crop.width, 3)
    found = network.detail(pixels) if isinstance(network, DetailedNetwork) else CropKeypoints.simple(*network(pixels))
    to_image = invert(matrices)
    xy = transform_points(to_image, found.xy) + crop.shift
    peaks = transform_points(to_image[:, None], found.peaks[..., :2]) + crop.shift
    scale = np.linalg.norm(to_image[:, 0, :2], axis=1)
    return RegionEstimates(
        xy=xy,
        score=found.score,
        presence=presence(found.peak_score, network.skeleton),
        regions=_region_around(xy, found.score, crop),
        peaks=np.concatenate([peaks, found.peaks[..., 2:]], -1),
        peak_score=found.peak_score,
        place=transform_points(to_image, found.place) + crop.shift,
        spread=found.spread * scale[:, None],
    )


def presence(score: Float[np.ndarray, "person joint"], skeleton: Skeleton) -> Float[np.ndarray, " person"]:
    """Confidence that there is a person: the mean confidence of the better half of the joints, of COCO's 17 alone where
    the skeleton has them all, since faces and hands cannot be seen from far away (ours).
    """
    if set(COCO17.joints) <= set(skeleton.joints):
        score = score[:, skeleton.index(*COCO17.joints)]
    return np.sort(score, axis=1)[:, score.shape[1] // 2 :].mean(1)


def _region_around(
    xy: Float[np.ndarray, "person joint 2"], score: Float[np.ndarray, "person joint"], crop: Crop
) -> Regions:
    """Regions around the joints with enough confidence (all joints, where none has)."""
    confident = (score > MIN_SCORE) | (score <= MIN_SCORE).all(1, keepdims=True)
    low = np.where(confident[..., None], xy, np.inf).min(1)
    high = np.where(confident[..., None], xy, -np.inf).max(1)
    regions = crop.regions(np.concatenate([low, high], -1))
    return upright_regions(regions[:, :2], np.maximum(radius(regions), 4.0))
