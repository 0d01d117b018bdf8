"""People drawn over the image: visible joints are solid, occluded ones hollow and dashed, absent ones not drawn."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int, UInt8

from occlupose.poses import ABSENT, OCCLUDED, VISIBLE
from occlupose.skeletons import Skeleton
from occlupose.viewer import style

SMALL = ("nose", "eye", "ear", "mouth", "toe", "heel")
"""Ends of the names of joints with smaller discs: those of the face and feet."""

FINE = ("jaw", "chin", "brow", "nose_", "nostril", "eyelid", "lip", "finger", "thumb", "hand_root")
"""Parts of the names of joints that lie close together, on the face and the hands: dots with thin limbs."""


THINNEST = 1.2
"""Width of a limb at least, px."""

CAPTIONED = 160
"""Height of images from which on they have a caption, px."""

PALE = 0.25
"""Opacity of the circles of uncertainty."""


def draw_people(
    image: UInt8[np.ndarray, "height width 3"],
    xy: Float[np.ndarray, "person joint 2"],
    state: UInt8[np.ndarray, "person joint"],
    track_id: Int[np.ndarray, " person"],
    skeleton: Skeleton,
    depth: Float[np.ndarray, " person"] | None = None,
    *,
    spread: Float[np.ndarray, "person joint"] | None = None,
    numbered: bool = True,
) -> None:
    """Draws the people of one frame into the image, RGB, in place.

    A joint is a disc if visible and a ring if occluded. A limb is solid if both its joints are visible, dashed if one
    is occluded, and left out if one is absent. The left side is lighter and the right side darker. All of it is larger
    for larger people. Ours.

    Arguments:
        xy: the joints in this image's pixels; NaN counts as absent.
        state: 0 absent, 1 occluded, 2 visible.
        track_id: of each person; sets colour and label.
        depth: of each person, m; far people are drawn first. Without depth, small people are.
        spread: standard deviation of each joint, px; a pale circle of two of them is drawn where it is known.
        numbered: write the track id above each person.
    """
    state = np.where(np.isfinite(xy).all(-1), state, ABSENT)
    present = [person for person in range(len(xy)) if state[person].any()]
    size = {person: _size(xy[person], state[person]) for person in present}
    nearness = size if depth is None else {person: -np.nan_to_num(depth[person], nan=np.inf) for person in present}
    for person in sorted(present, key=nearness.__getitem__):
        stroke = float(np.clip(0.012 * size[person], max(THINNEST, image.shape[0] / 600), image.shape[0] / 50))
        base = style.person_colour(int(track_id[person]))
        if spread is not None:
            _draw_spread(image, xy[person], state[person], spread[person], base, skeleton)
        _draw_person(image, xy[person], state[person], base, skeleton, stroke)
        if numbered:
            height = float(np.clip(4 * stroke, 8, max(22, image.shape[0] / 45)))
            _draw_label(image, xy[person][state[person] > ABSENT], int(track_id[person]), base, height)


def draw_caption(image: UInt8[np.ndarray, "height width 3"], time: float) -> None:
    """Writes the legend at the bottom left and the time (s) at the bottom right, in place; in narrow images one above
    the other; nothing in images that are too small for it.
    """
    if image.shape[0] < CAPTIONED:
        return
    height = float(np.clip(image.shape[0] / 45, 8, 24))
    _draw_time(image, time, height, _draw_legend(image, height))


def format_time(time: float) -> str:
    """The time in s as minutes, seconds and hundredths: '01:05.25'; hours in front from one hour on."""
    hundredths = round(max(time, 0.0) * 100)
    minutes, rest = divmod(hundredths, 6000)
    hours, minutes = divmod(minutes, 60)
    return (f"{hours}:" if hours else "") + f"{minutes:02d}:{rest // 100:02d}.{rest % 100:02d}"


def _size(xy: np.ndarray, state: np.ndarray) -> float:
    """Diagonal of the bounding box of a person's joints, px."""
    joints = xy[state > ABSENT]
    return float(np.hypot(*(joints.max(0) - joints.min(0))))


@dataclass(frozen=True)
class _Pen:
    """Widths and radii of one person's joints of one kind and the limbs that end there, px."""

    line: float
    dash: float
    disc: float
    ring: float
    rim: float
    edge: int

    @classmethod
    def of(cls, joint: str, stroke: float) -> "_Pen":
        """The pen of a joint.

        Arguments:
            joint: its name.
            stroke: width of a limb.
        """
        disc = 1.3 * stroke + 0.5
        if any(part in joint for part in FINE):
            return cls(max(1.0, 0.3 * stroke), max(1.0, 0.3 * stroke), 0.2 * disc, 0.3 * disc + 1, 1.0, 1)
        size = 0.65 if joint.endswith(SMALL) else 1.0
        edge = 1 if stroke < 2 else 2
        return cls(stroke, max(1.5, 0.8 * stroke), size * disc, 1.7 * stroke + 1.5, max(1.5, 0.6 * stroke), edge)


def _draw_spread(
    image: np.ndarray, xy: np.ndarray, state: np.ndarray, spread: np.ndarray, base: style.Colour, skeleton: Skeleton
) -> None:
    """Tints a circle of two standard deviations around each joint whose spread is known."""
    for joint in np.flatnonzero((state > ABSENT) & (spread > 0)).tolist():
        colour = style.side_colour(base, skeleton.joints[joint])
        style.tint_disc(image, xy[joint].tolist(), 2 * float(spread[joint]), colour, PALE)


def _draw_person(
    image: np.ndarray, xy: np.ndarray, state: np.ndarray, base: style.Colour, skeleton: Skeleton, stroke: float
) -> None:
    """Occluded limbs first, visible ones over them, joints on top; limbs end at the ring of an occluded joint."""
    points = xy.tolist()
    states = state.tolist()
    pens = [_Pen.of(joint, stroke) for joint in skeleton.joints]
    limbs = sorted(style.limb_indices(skeleton), key=lambda limb: min(states[limb[1]], states[limb[2]]))
    for names, first, second in limbs:
        ends = points[first], points[second]
        pen = min(pens[first], pens[second], key=lambda pen: pen.line)
        colour = style.side_colour(base, *names)
        if min(states[first], states[second]) == VISIBLE:
            style.draw_line(image, *ends, style.INK, pen.line + pen.edge)
            style.draw_line(image, *ends, colour, pen.line)
        elif min(states[first], states[second]) == OCCLUDED:
            before = pens[first].ring * (states[first] == OCCLUDED)
            after = pens[second].ring * (states[second] == OCCLUDED)
            style.draw_dashed_line(image, *ends, colour, pen.dash, edge=pen.edge, trim=(before, after))
    for point, joint_state, pen, name in zip(points, states, pens, skeleton.joints, strict=True):
        colour = style.side_colour(base, name)
        if joint_state == OCCLUDED:
            style.draw_ring(image, point, pen.ring, style.INK, pen.rim + pen.edge)
            style.draw_ring(image, point, pen.ring, colour, pen.rim)
        elif joint_state == VISIBLE:
            style.draw_disc(image, point, pen.disc + pen.edge / 2, style.INK)
            style.draw_disc(image, point, pen.disc, colour)


def _draw_label(image: np.ndarray, joints: np.ndarray, track_id: int, base: style.Colour, height: float) -> None:
    """Writes the track id in a box of the person's colour, above the highest joint in the image, if there is one."""
    joints = joints[((joints >= 0) & (joints < image.shape[1::-1])).all(-1)]
    if not len(joints):
        return
    text = str(track_id)
    width = style.text_width(text, height) + round(height)
    tall = round(1.8 * height)
    top = joints[joints[:, 1].argmin()]
    left = int(np.clip(top[0] - width / 2, 0, max(image.shape[1] - width, 0)))
    up = int(np.clip(top[1] - 2.2 * tall, 0, max(image.shape[0] - tall, 0)))
    image[up : up + tall, left : left + width] = base
    style.draw_text(image, text, (left + height / 2, up + 1.4 * height), height, style.INK)


def _draw_time(image: np.ndarray, time: float, height: float, legend_width: int) -> None:
    """Writes the time, right of the legend or above it."""
    text = format_time(time)
    floor, right = image.shape[:2]
    left = right - style.text_width(text, height) - 2 * height
    if left < legend_width:
        floor -= round(2.2 * height)
    style.darken_box(image, round(left), floor - round(2.2 * height), right, floor)
    style.draw_text(image, text, (left + height, floor - 0.6 * height), height)


def _draw_legend(image: np.ndarray, height: float) -> int:
    """Draws samples of visible and occluded; returns their width, px."""
    entries = ("visible", "occluded")
    swatch = 3.5 * height
    widths = [swatch + 0.8 * height + style.text_width(text, height) + 1.2 * height for text in entries]
    floor = image.shape[0]
    total = round(sum(widths) + height)
    style.darken_box(image, 0, floor - round(2.2 * height), total, floor)
    stroke = height / 5
    middle = floor - 1.1 * height
    left = height
    for text, width in zip(entries, widths, strict=True):
        start = (left, middle)
        end = (left + swatch - height / 2, middle)
        if text == "visible":
            style.draw_line(image, start, end, style.WHITE, stroke)
            style.draw_disc(image, end, 0.4 * height, style.WHITE)
        else:
            style.draw_dashed_line(image, start, end, style.WHITE, stroke, trim=(0, 0.45 * height))
            style.draw_ring(image, end, 0.45 * height, style.WHITE, stroke / 2)
        style.draw_text(image, text, (left + swatch + 0.3 * height, floor - 0.6 * height), height)
        left += width
    return total
