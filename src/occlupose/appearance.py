"""Appearance of people: the colours of their clothes, which tell people apart where their positions do not. Ours.

The descriptor of a person has two parts, trunk and thighs, each a histogram of the colours (CIE L*a*b*) at points that
the keypoints determine: a strip from the shoulders to the hips, and one from each hip to its knee. Two descriptors are
compared by the Bhattacharyya coefficient, one minus the square of Hellinger's distance.
"""

import math

import cv2
import numpy as np
from jaxtyping import Bool, Float

from occlupose.detections import Detections, box_sides
from occlupose.occlusion.confidence import MIN_CONFIDENCE
from occlupose.pyramid import Pyramid
from occlupose.skeletons import COCO17

__all__ = ["BINS", "PARTS", "compare_appearances", "describe_people"]

PARTS = 2
"""Trunk and thighs."""

SIDE = 128  # px, approximate longer side of a person's box in the image that is sampled
MIN_SHARE = 0.5  # of a strip's points that must be in the image and outside of other people's boxes
# half widths of the strips; the trunk takes the larger of two: seen from the front, from the side
SHOULDER_SHARE = 0.35  # of the distance of the shoulders
TRUNK_SHARE = 0.12  # of the trunk's length
THIGH_SHARE = 0.1  # of the thigh's length
# points of a strip: along it, as shares of its length (without collar, belt and knee), and across, in half widths
ALONG = np.linspace(0.1, 0.9, 12)
ACROSS = np.linspace(-1, 1, 6)
GRID = np.stack(np.meshgrid(ALONG, ACROSS, indexing="ij"), -1).reshape(-1, 2)
# histogram: steps of L*, a* and b*, the number of bins of each, and the bin of black
STEPS = np.array([12.5, 16, 16])
COUNTS = np.array([9, 9, 9])
BLACK = np.array([0, 4, 4])
STRIDES = np.array([COUNTS[1] * COUNTS[2], COUNTS[2], 1])
CORNERS = np.array(list(np.ndindex(2, 2, 2)))

BINS = int(COUNTS.prod())
"""Bins of the histogram of a part."""


def describe_people(image: Pyramid, people: Detections) -> Float[np.ndarray, "person part bin"]:
    """Descriptors of everybody in an image.

    Arguments:
        people: each person once: points inside another person's box are left out.

    Returns:
        (person, `PARTS`, `BINS`): histograms, each of sum 1; NaN where a part is not seen well enough: a keypoint has a
        confidence below 0.3, or more than half of the points are outside of the image or inside of other people's
        boxes. One thigh is enough.
    """
    points, known = _strips(people.to(COCO17))
    free = _inside(points, image.size) & ~_covered(points, people.boxes)
    free &= (known & (free.mean(-1) >= MIN_SHARE))[..., None]
    levels = np.log2(np.fmax(box_sides(people.boxes) / SIDE, 1)).astype(int)
    appearance = np.zeros((len(people), PARTS, BINS))
    for level in np.unique(levels):
        rows = levels == level
        appearance[rows] = _histograms(_colours(image, np.where(free[..., None], points, 0)[rows], level), free[rows])
    count = appearance.sum(-1, keepdims=True)
    return np.where(count > 0, appearance / np.maximum(count, 1), np.nan).astype(np.float32)


def compare_appearances(
    first: Float[np.ndarray, "*#any part bin"], second: Float[np.ndarray, "*#any part bin"]
) -> Float[np.ndarray, "*any"]:
    """Bhattacharyya coefficients, 1 for equal descriptors and 0 for disjoint ones: the mean over the parts that both
    have, NaN where there is none.
    """
    parts = np.sqrt(first * second).sum(-1)
    known = np.isfinite(parts)
    count = known.sum(-1)
    return np.where(count > 0, np.where(known, parts, 0).sum(-1) / np.maximum(count, 1), np.nan)


def _strips(
    people: Detections,
) -> tuple[Float[np.ndarray, "person strip point 2"], Bool[np.ndarray, "person strip"]]:
    """Points on the trunk and both thighs of COCO-17 people, px, and whether their joints are known."""

    def joint(name: str) -> Float[np.ndarray, "person 2"]:
        return people.xy[:, COCO17.index(name)[0]].astype(float)

    shoulders = (joint("left_shoulder") + joint("right_shoulder")) / 2
    hips = (joint("left_hip") + joint("right_hip")) / 2
    start = np.stack([shoulders, joint("left_hip"), joint("right_hip")], 1)
    axis = np.stack([hips, joint("left_knee"), joint("right_knee")], 1) - start
    length = np.linalg.norm(axis, axis=-1)
    breadth = np.linalg.norm(joint("left_shoulder") - joint("right_shoulder"), axis=-1)
    half_width = length * (TRUNK_SHARE, THIGH_SHARE, THIGH_SHARE)
    half_width[:, 0] = np.maximum(half_width[:, 0], SHOULDER_SHARE * breadth)
    normal = np.stack([-axis[..., 1], axis[..., 0]], -1) / np.maximum(length, 1e-6)[..., None]
    across = half_width[..., None] * normal
    points = start[:, :, None] + GRID[:, :1] * axis[:, :, None] + GRID[:, 1:] * across[:, :, None]
    sure = people.score >= MIN_CONFIDENCE
    trunk = sure[:, COCO17.index("left_shoulder", "right_shoulder", "left_hip", "right_hip")].all(-1)
    left = sure[:, COCO17.index("left_hip", "left_knee")].all(-1)
    right = sure[:, COCO17.index("right_hip", "right_knee")].all(-1)
    return points, np.stack([trunk, left, right], -1) & np.isfinite(points).all((-1, -2))


def _inside(points: Float[np.ndarray, "*any 2"], size: tuple[int, int]) -> Bool[np.ndarray, "*any"]:
    """Which points are in an image of this size."""
    return np.all((points > -0.5) & (points < np.array(size) - 0.5), axis=-1)


def _covered(
    points: Float[np.ndarray, "person strip point 2"], boxes: Float[np.ndarray, "person 4"]
) -> Bool[np.ndarray, "person strip point"]:
    """Which points are in the box of somebody else."""
    low = boxes[:, None, None, None, :2]
    high = boxes[:, None, None, None, 2:]
    own = np.eye(len(boxes), dtype=bool)[..., None, None]
    return np.any(np.all((points > low) & (points < high), axis=-1) & ~own, axis=0)


def _colours(
    image: Pyramid, points: Float[np.ndarray, "person strip point 2"], level: int
) -> Float[np.ndarray, "person strip point 3"]:
    """L*, a* and b* at these points of the image, px, from one of its resolutions."""
    pixels = image.level(level)
    scale = np.array([pixels.shape[1], pixels.shape[0]]) / image.size
    places = ((points + 0.5) * scale - 0.5).astype(np.float32).reshape(len(points), -1, 2)
    rgb = cv2.remap(pixels, places[..., 0], places[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    lab = cv2.cvtColor(rgb, cv2.COLOR_RGB2LAB).reshape(*points.shape[:-1], 3)
    return lab * (100 / 255, 1, 1) - (0, 128, 128)


def _histograms(
    colours: Float[np.ndarray, "person strip point 3"], counted: Bool[np.ndarray, "person strip point"]
) -> Float[np.ndarray, "person part bin"]:
    """How many points of each part have each colour; a point is shared among the eight nearest bins (trilinear)."""
    person, strip, point = np.nonzero(counted)
    part = person * PARTS + np.minimum(strip, 1)
    place = np.clip(colours[person, strip, point] / STEPS + BLACK, 0, COUNTS - 1.001)
    low = place.astype(int)
    share = (place - low)[:, None]
    weights = np.where(CORNERS, share, 1 - share).prod(-1)
    bins = (low[:, None] + CORNERS) @ STRIDES + BINS * part[:, None]
    shape = (len(colours), PARTS, BINS)
    return np.bincount(bins.ravel(), weights.ravel(), math.prod(shape)).reshape(shape)
