"""Person detectors that return bounding boxes, on whole images and on tiles of them to find small people."""

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from jaxtyping import Float, UInt8

from occlupose.codecs.letterbox import fit
from occlupose.detections import NOBODY, FrameBoxes, has_area, overlap, suppress_similar
from occlupose.frontends.search import Tile
from occlupose.pyramid import Pyramid

MAX_OVERLAP = 0.6
"""Intersection over union of two people found in different tiles; more is one person."""

BORDER = 0.01
"""Of the side of a tile: a box that comes closer to its edge is of somebody cut off there."""


class BoxDetector(Protocol):
    """Finds the people in whole images.

    Attributes:
        side: px, long side of an image that it takes without loss.
    """

    side: int

    def __call__(self, images: Sequence[UInt8[np.ndarray, "height width 3"]]) -> list[FrameBoxes]:
        """The people in each of these images, each person once, by descending score.

        Arguments:
            images: RGB, any number of them, of any size each; the detector fits them into its input. A tile of a
                larger image is an image.

        Returns:
            Boxes in pixels of each image, with pixel centres at integers, cut off at its edges; the unlikely ones are
                left out.
        """
        ...


def detect_in_tiles(detector: BoxDetector, image: Pyramid, tiles: Sequence[Tile]) -> FrameBoxes:
    """The people in some tiles, each person once, by descending score; boxes in pixels of the whole image.

    People cut off by the edge of a tile are left out, unless it is the edge of the image; so are boxes outside the
    tile, and those that are empty or not finite.
    """
    width, height = image.size
    parts = [_within(tile, width, height) for tile in tiles]
    pixels = []
    scales = []
    for left, top, right, bottom in parts:
        size = fit(right - left, bottom - top, min(detector.side, max(right - left, bottom - top)))
        scales.append(np.array([size[0] / (right - left), size[1] / (bottom - top)]))
        linear = np.diag(scales[-1])
        offset = scales[-1] * (0.5 - np.array([left, top])) - 0.5
        pixels.append(image.crop(np.concatenate([linear, offset[:, None]], 1), *size))
    boxes = [NOBODY.boxes]
    scores = [NOBODY.score]
    for part, scale, found in zip(parts, scales, detector(pixels), strict=True):
        corner = np.array(part[:2] * 2)
        placed = (found.boxes + 0.5) / np.tile(scale, 2) + corner - 0.5
        placed = np.clip(placed, corner - 0.5, np.array(part[2:] * 2) - 0.5)
        whole = has_area(placed) & np.isfinite(found.score) & _whole(placed + 0.5, part, width, height)
        boxes.append(placed[whole])
        scores.append(found.score[whole])
    every = np.concatenate(boxes)
    score = np.concatenate(scores)
    kept = suppress_similar(overlap(every[:, None], every), score, MAX_OVERLAP)
    return FrameBoxes(every[kept], score[kept])


def _within(tile: Tile, width: int, height: int) -> tuple[float, float, float, float]:
    """Left, top, right and bottom of the part of a tile that is inside the image, px, pixel edges."""
    left, top, side = tile
    right = min(max(left + side, 1.0), float(width))
    bottom = min(max(top + side, 1.0), float(height))
    return (min(max(left, 0.0), right - 1), min(max(top, 0.0), bottom - 1), right, bottom)


def _whole(
    boxes: Float[np.ndarray, "box 4"], part: tuple[float, float, float, float], width: int, height: int
) -> np.ndarray:
    """Which boxes are not cut off by an edge of the tile inside the image."""
    edges = np.array(part)
    margin = BORDER * (edges[2:] - edges[:2]).max()
    inner = (edges > 0) & (edges < np.array([width, height] * 2))
    return ~((np.abs(boxes - edges) < margin) & inner).any(1)
