"""Colours and strokes that the picture and the 3D view share: solid is seen, hollow and dashed is inferred."""

import math
from collections.abc import Sequence
from functools import cache

import cv2
import numpy as np
from jaxtyping import Float

from occlupose.skeletons import Skeleton

Colour = tuple[int, int, int]
Point = Sequence[float]  # x, y in px
WHITE: Colour = (255, 255, 255)
INK: Colour = (18, 20, 24)
# Okabe and Ito 2008, distinct for colour-blind viewers; blue and green lifted to stand on dark pictures
PALETTE: tuple[Colour, ...] = (
    (86, 180, 233),
    (240, 150, 0),
    (0, 190, 140),
    (240, 228, 66),
    (222, 120, 178),
    (235, 100, 30),
    (70, 130, 230),
)
FRACTION_BITS = 4  # OpenCV draws at sixteenths of a pixel
ONE = 1 << FRACTION_BITS
FAR = 1e5  # px; no line is drawn farther out


@cache
def colour(track_id: int) -> Colour:
    """The colour of a person, RGB 0..255: the palette in turn, washed out by a step each time it starts again."""
    lap, place = divmod(int(track_id), len(PALETTE))
    return mix(PALETTE[place], WHITE, 0.45 * (lap % 2))


@cache
def mix(first: Colour, second: Colour, share: float) -> Colour:
    """The first colour with `share` (0..1) of the second in it."""
    red, green, blue = (round(a + (b - a) * share) for a, b in zip(first, second, strict=True))
    return red, green, blue


@cache
def sided(base: Colour, *joints: str) -> Colour:
    """The base colour, lighter if one of the joints is on the left and darker if one is on the right of the body."""
    if any(joint.startswith("left_") for joint in joints):
        return mix(base, WHITE, 0.3)
    if any(joint.startswith("right_") for joint in joints):
        return mix(base, INK, 0.2)
    return base


@cache
def limbs(skeleton: Skeleton) -> list[tuple[tuple[str, str], int, int]]:
    """The skeleton's limbs: names of the two ends, and their places among the joints."""
    place = {joint: index for index, joint in enumerate(skeleton.joints)}
    return [((first, second), place[first], place[second]) for first, second in skeleton.limbs]


def fixed(points: Float[np.ndarray, "*n 2"]) -> np.ndarray:
    """Pixels as the fixed-point integers OpenCV draws with (shift=FRACTION_BITS)."""
    return np.rint(np.clip(points, -FAR, FAR) * ONE).astype(np.int32)


def line(image: np.ndarray, start: Point, end: Point, paint: Colour, width: float) -> None:
    """Draws a solid line with round ends into the image; px."""
    cv2.line(image, _fixed(start), _fixed(end), paint, max(1, round(width)), cv2.LINE_AA, FRACTION_BITS)


def disc(image: np.ndarray, centre: Point, radius: float, paint: Colour) -> None:
    """Draws a filled circle into the image; px."""
    cv2.circle(image, _fixed(centre), round(radius * ONE), paint, -1, cv2.LINE_AA, FRACTION_BITS)


def ring(image: np.ndarray, centre: Point, radius: float, paint: Colour, width: float) -> None:
    """Draws a hollow circle into the image; px."""
    cv2.circle(image, _fixed(centre), round(radius * ONE), paint, max(1, round(width)), cv2.LINE_AA, FRACTION_BITS)


def _fixed(point: Point) -> tuple[int, int]:
    """One point as `fixed` has it; plain numbers are faster than an array of two."""
    x, y = point
    return round(min(max(x, -FAR), FAR) * ONE), round(min(max(y, -FAR), FAR) * ONE)


def dashed(
    image: np.ndarray,
    start: Point,
    end: Point,
    paint: Colour,
    width: float,
    edge: float = 0,
    trim: tuple[float, float] = (0, 0),
) -> None:
    """Draws a dashed line into the image, beginning and ending with a dash, of at least two; px.

    Arguments:
        width: thickness; a dash with its gap is three times as long as the line with its edge is wide, at least 8 px.
        edge: how much wider a dark line is drawn under every dash; 0 for none.
        trim: how much of the line is left out at its start and end; where nothing is left, nothing is drawn.
    """
    length = math.dist(start, end)
    if length <= sum(trim):
        return
    # of the way from start to end
    first = trim[0] / length
    last = 1 - trim[1] / length
    count = min(max(round((last - first) * length / max(3 * (width + edge), 8) + 0.5), 2), 200)
    dash = (last - first) / (2 * count - 1)
    cap = min((width + edge) / 2 / length, dash / 2.1)  # round ends reach into the gaps
    begins = first + 2 * dash * np.arange(count)
    shares = np.stack([begins + cap, begins + dash - cap], -1)
    dashes = list(fixed(np.array(start) + shares[..., None] * np.subtract(end, start)))
    if edge:
        cv2.polylines(image, dashes, False, INK, max(1, round(width + edge)), cv2.LINE_AA, FRACTION_BITS)
    cv2.polylines(image, dashes, False, paint, max(1, round(width)), cv2.LINE_AA, FRACTION_BITS)


def text(image: np.ndarray, words: str, corner: tuple[float, float], height: float, paint: Colour = WHITE) -> None:
    """Writes one line into the image, its baseline beginning at the corner (x, y); `height` of a capital letter in
    px.
    """
    place = (round(corner[0]), round(corner[1]))
    cv2.putText(
        image, words, place, cv2.FONT_HERSHEY_SIMPLEX, height / 21, paint, max(1, round(height / 12)), cv2.LINE_AA
    )


def text_width(words: str, height: float) -> int:
    """The width in px that `text` needs."""
    return cv2.getTextSize(words, cv2.FONT_HERSHEY_SIMPLEX, height / 21, max(1, round(height / 12)))[0][0]


def shade(image: np.ndarray, left: int, top: int, right: int, bottom: int, keep: float = 0.4) -> None:
    """Darkens a box of the image in place, to write on; px, cut at the border."""
    box = image[max(top, 0) : bottom, max(left, 0) : right]
    if box.size:
        box[:] = cv2.convertScaleAbs(box, alpha=keep)
