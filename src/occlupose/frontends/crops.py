"""Networks that are shown one upright crop of a person at a time, made into front ends.

People are found and followed as by BlazePose, whose detector is used; or they are looked for only in boxes that are
given, those of a better detector say.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Protocol

import numpy as np
from jaxtyping import Float, UInt8

from occlupose.assets import blazepose_weights
from occlupose.codecs.crops import Crop, Regions, invert, radius, transform_points, upright_regions
from occlupose.detections import Detections
from occlupose.frontends.boxes import NOBODY, Boxes
from occlupose.frontends.detector import Detector
from occlupose.frontends.topdown import Estimate, TopDown, detections
from occlupose.media import Frame
from occlupose.pyramid import Pyramid
from occlupose.skeletons import Skeleton

# crop px, pixel centres at integers; belief
Joints = tuple[Float[np.ndarray, "person joint 2"], Float[np.ndarray, "person joint"]]

SEEN = 0.3  # belief above which a joint counts towards the person's next box


class CropNetwork(Protocol):
    """Crops in, joints out.

    Attributes:
        crop: what it is shown.
        skeleton: its joints.
    """

    crop: Crop
    skeleton: Skeleton

    def __call__(self, crops: UInt8[np.ndarray, "person height width 3"]) -> Joints:
        """Joints in RGB crops of the size it takes, any number of them."""
        ...


class Followed(TopDown):
    """Everybody's joints by such a network, people being found and followed.

    Arguments:
        name: of the front end.
        threads: processor threads of the detector.
        detect_every, look_every, max_people, tiled: see TopDown.

    Raises:
        OccluposeError: BlazePose's detector is not in the cache and cannot be fetched.
    """

    def __init__(
        self,
        name: str,
        network: CropNetwork,
        *,
        threads: int = 2,
        detect_every: int = 10,
        look_every: int = 2,
        max_people: int | None = None,
        tiled: bool = True,
    ) -> None:
        self.name = name
        self.network = network
        self.skeleton = network.skeleton
        detector = Detector(blazepose_weights()["detector"], threads=threads)
        super().__init__(detector, detect_every=detect_every, look_every=look_every, max_people=max_people, tiled=tiled)

    def estimate(self, picture: Pyramid, regions: Regions) -> Estimate:
        return estimate(self.network, picture, regions)


class InBoxes:
    """The joints in boxes that are given, whatever was in the frames before. No two boxes should be of one person.

    Arguments:
        name: of the front end.
        boxes: of each frame, by its number; where a frame is not listed nobody is in it.
    """

    def __init__(self, name: str, network: CropNetwork, boxes: Mapping[int, Boxes]) -> None:
        self.name = name
        self.network = network
        self.skeleton = network.skeleton
        self.boxes = boxes

    def reset(self) -> None:
        """Nothing is remembered of the frames before."""

    def __call__(self, frame: Frame) -> Detections:
        """The people in this frame: one for each box, which stays as it was given."""
        boxes = self.boxes.get(frame.index, NOBODY)
        regions = self.network.crop.regions(boxes.edges)
        seen = replace(estimate(self.network, frame.pyramid, regions), regions=regions)
        return replace(
            detections(seen, self.skeleton, frame.pyramid.size),
            boxes=boxes.edges.astype(np.float32),
            box_score=boxes.score.astype(np.float32),
        )


def estimate(network: CropNetwork, picture: Pyramid, regions: Regions) -> Estimate:
    """What the network says of these regions, looked at upright; presence is the mean belief in the better half of the
    joints (ours).
    """
    crop = network.crop
    matrices = crop.matrices(upright_regions(regions[:, :2], radius(regions)))
    crops = [picture.crop(matrix, crop.width, crop.height) for matrix in matrices]
    xy, score = network(np.array(crops, np.uint8).reshape(-1, crop.height, crop.width, 3))
    xy = transform_points(invert(matrices), xy)
    better = np.sort(score, axis=1)[:, len(network.skeleton) // 2 :]
    return Estimate(xy, score, better.mean(1), _boxed(xy, score, crop))


def _boxed(xy: Float[np.ndarray, "person joint 2"], score: Float[np.ndarray, "person joint"], crop: Crop) -> Regions:
    """Regions of the boxes round the joints that are seen (all, where none is)."""
    seen = (score > SEEN) | (score <= SEEN).all(1, keepdims=True)
    low = np.where(seen[..., None], xy, np.inf).min(1)
    high = np.where(seen[..., None], xy, -np.inf).max(1)
    boxed = crop.regions(np.concatenate([low, high], -1))
    return upright_regions(boxed[:, :2], np.maximum(radius(boxed), 4.0))
