"""Images with a real person in known places: cut out of a stored frame of a video, scaled and pasted."""

from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from occlupose.detections import overlap
from occlupose.media import Frame

GREY = 128
MIN_OVERLAP = 0.5
"""Intersection over union above which somebody is found."""

with Image.open(Path(__file__).parent / "networks" / "pretrained_frame.png") as _frame:
    PERSON = np.asarray(_frame.convert("RGB"))[66:192, :44].copy()
"""A standing woman before a wall, 115 px tall."""

BODY = np.array([1, 6, 37, 121])
"""Her box in PERSON, px."""


def scaled(height: float) -> np.ndarray:
    """PERSON with a body of this height, px."""
    scale = height / (BODY[3] - BODY[1])
    method = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    return cv2.resize(PERSON, None, fx=scale, fy=scale, interpolation=method)


def paste(image: np.ndarray, person: np.ndarray, left: int, top: int) -> np.ndarray:
    """Pastes `scaled(...)` with its upper left corner there, as far as it is in the image.

    Returns:
        Box of the body, px.
    """
    height, width = person.shape[:2]
    right = min(left + width, image.shape[1])
    bottom = min(top + height, image.shape[0])
    x = max(left, 0)
    y = max(top, 0)
    image[y:bottom, x:right] = person[y - top : bottom - top, x - left : right - left]
    return np.array([left, top] * 2) + BODY * height / PERSON.shape[0]


def grey(width: int, height: int) -> np.ndarray:
    """An image of nothing."""
    return np.full((height, width, 3), GREY, np.uint8)


def crowd(height: float, columns: int, rows: int, width: int, total: int) -> tuple[np.ndarray, np.ndarray]:
    """An image of `width` x `total` px with people of this height in rows, and their boxes."""
    image = grey(width, total)
    person = scaled(height)
    boxes = []
    for row in range(rows):
        for column in range(columns):
            left = round((column + 0.5) * width / columns - person.shape[1] / 2)
            top = round((row + 0.5) * total / rows - person.shape[0] / 2)
            boxes.append(paste(image, person, left, top))
    return image, np.array(boxes)


def found(boxes: np.ndarray, people: np.ndarray) -> int:
    """How many of these people are in a box; no box is of two."""
    if not len(boxes):
        return 0
    best = overlap(people[:, None], boxes)
    who = best.argmax(1)[best.max(1) > MIN_OVERLAP]
    return len(set(who.tolist()))


def frames(images: list[np.ndarray], *, fps: float = 25.0) -> list[Frame]:
    """A video of these images."""
    return [Frame(number, number / fps, image) for number, image in enumerate(images)]
