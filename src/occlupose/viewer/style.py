"""Colours and strokes of the overlay and the 3D panel: solid is visible, hollow and dashed is occluded."""

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
# Okabe and Ito 2008, distinct for colour-blind viewers; blue and green are brighter, for dark images
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
def person_colour(track_id: int) -> Colour:
    """The colour of a person, RGB 0..255: the palette in turn, paler in every other round."""
    rounds, index = divmod(int(track_id), len(PALETTE))
    return mix_colours(PALETTE[index], WHITE, 0.45 * (rounds % 2))


@cache
def mix_colours(first: Colour, second: Colour, share: float) -> Colour:
    """The first colour with `share` (0..1) of the second in it."""
    mixed = np.add(first, np.subtract(second, first) * share)
    red, green, blue = mixed.round().astype(int).tolist()
    return red, green, blue


@cache
def side_colour(base: Colour, *joints: str) -> Colour:
    """The base colour, lighter if one of the joints is on the left and darker if one is on the right of the body."""
    if any(joint.startswith("left_") for joint in joints):
        return mix_colours(base, WHITE, 0.3)
    if any(joint.startswith("right_") for joint in joints):
        return mix_colours(base, INK, 0.2)
    return base


@cache
def limb_indices(skeleton: Skeleton) -> list[tuple[tuple[str, str], int, int]]:
    """The skeleton's limbs: names and indices of their two joints."""
    index = {joint: number for number, joint in enumerate(skeleton.joints)}
    return [((first, second), index[first], index[second]) for first, second in skeleton.limbs]


def to_fixed_point(points: Float[np.ndarray, "*n 2"]) -> np.ndarray:
    """Pixels as the fixed-point integers that OpenCV draws with (shift=FRACTION_BITS)."""
    return np.rint(np.clip(points, -FAR, FAR) * ONE).astype(np.int32)


def draw_line(image: np.ndarray, start: Point, end: Point, colour: Colour, width: float) -> None:
    """Draws a solid line with round ends into the image; px."""
    cv2.line(image, _fixed(start), _fixed(end), colour, max(1, round(width)), cv2.LINE_AA, FRACTION_BITS)


def draw_polylines(
    image: np.ndarray, lines: np.ndarray, colour: Colour, width: float = 1, *, closed: bool = False
) -> None:
    """Draws lines (line, point, 2) through their points into the image; px."""
    points = list(to_fixed_point(lines))
    cv2.polylines(image, points, closed, colour, max(1, round(width)), cv2.LINE_AA, FRACTION_BITS)


def fill_convex(image: np.ndarray, corners: np.ndarray, colour: Colour) -> None:
    """Fills a convex polygon (corner, 2) in the image; px."""
    cv2.fillConvexPoly(image, to_fixed_point(corners), colour, cv2.LINE_AA, FRACTION_BITS)


def draw_disc(image: np.ndarray, centre: Point, radius: float, colour: Colour) -> None:
    """Draws a filled circle into the image; px."""
    cv2.circle(image, _fixed(centre), round(radius * ONE), colour, -1, cv2.LINE_AA, FRACTION_BITS)


def tint_disc(image: np.ndarray, centre: Point, radius: float, colour: Colour, opacity: float) -> None:
    """Mixes a colour into a circle of the image; px."""
    low = np.floor(np.subtract(centre, radius)).astype(int) - 1
    high = np.ceil(np.add(centre, radius)).astype(int) + 2
    left, top = np.clip(low, 0, image.shape[1::-1]).tolist()
    right, bottom = np.clip(high, 0, image.shape[1::-1]).tolist()
    part = image[top:bottom, left:right]
    if part.size:
        painted = part.copy()
        draw_disc(painted, (centre[0] - left, centre[1] - top), radius, colour)
        part[:] = cv2.addWeighted(painted, opacity, part, 1 - opacity, 0)


def draw_ring(image: np.ndarray, centre: Point, radius: float, colour: Colour, width: float) -> None:
    """Draws a hollow circle into the image; px."""
    cv2.circle(image, _fixed(centre), round(radius * ONE), colour, max(1, round(width)), cv2.LINE_AA, FRACTION_BITS)


def _fixed(point: Point) -> tuple[int, int]:
    """One point as of `to_fixed_point`; plain numbers are faster than an array of two."""
    x, y = point
    return round(min(max(x, -FAR), FAR) * ONE), round(min(max(y, -FAR), FAR) * ONE)


def draw_dashed_line(
    image: np.ndarray,
    start: Point,
    end: Point,
    colour: Colour,
    width: float,
    edge: float = 0,
    trim: tuple[float, float] = (0, 0),
) -> None:
    """Draws a line of two or more dashes into the image, with a dash at either end; px.

    Arguments:
        width: thickness. A dash and its gap are three times as long as the line with its edge is wide, at least 8 px.
        edge: how much wider the dark outline of every dash is; 0 for none.
        trim: length that is left out at its start and end.
    """
    length = math.dist(start, end)
    if length <= sum(trim):
        return
    # fractions of the way from start to end
    first = trim[0] / length
    last = 1 - trim[1] / length
    count = min(max(round((last - first) * length / max(3 * (width + edge), 8) + 0.5), 2), 200)
    dash = (last - first) / (2 * count - 1)
    cap = min((width + edge) / 2 / length, dash / 2.1)  # round ends reach into the gaps
    starts = first + 2 * dash * np.arange(count)
    fractions = np.stack([starts + cap, starts + dash - cap], -1)
    dashes = np.array(start) + fractions[..., None] * np.subtract(end, start)
    if edge:
        draw_polylines(image, dashes, INK, width + edge)
    draw_polylines(image, dashes, colour, width)


def draw_text(image: np.ndarray, text: str, corner: tuple[float, float], height: float, colour: Colour = WHITE) -> None:
    """Writes a line of text, with its baseline from the corner (x, y); `height` of a capital letter, px."""
    origin = (round(corner[0]), round(corner[1]))
    cv2.putText(
        image, text, origin, cv2.FONT_HERSHEY_SIMPLEX, height / 21, colour, max(1, round(height / 12)), cv2.LINE_AA
    )


def text_width(text: str, height: float) -> int:
    """Width of a text, px."""
    return cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, height / 21, max(1, round(height / 12)))[0][0]


def darken_box(image: np.ndarray, left: int, top: int, right: int, bottom: int, keep: float = 0.4) -> None:
    """Darkens a box of the image in place, as the background of a text; px, clipped at the border."""
    box = image[max(top, 0) : bottom, max(left, 0) : right]
    if box.size:
        box[:] = cv2.convertScaleAbs(box, alpha=keep)
