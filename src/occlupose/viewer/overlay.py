"""People drawn on the picture: what was seen is solid and bright, what was inferred is hollow and dashed, what is
absent is not drawn.
"""

import numpy as np
from jaxtyping import Float, Int, UInt8

from occlupose.poses import ABSENT, OCCLUDED, VISIBLE
from occlupose.skeletons import Skeleton
from occlupose.viewer import style

FACE = ("nose", "eye", "ear", "mouth")


def draw(
    image: UInt8[np.ndarray, "height width 3"],
    xy: Float[np.ndarray, "person joint 2"],
    state: UInt8[np.ndarray, "person joint"],
    track_id: Int[np.ndarray, " person"],
    skeleton: Skeleton,
    depth: Float[np.ndarray, " person"] | None = None,
    *,
    numbered: bool = True,
) -> None:
    """Draws the people of one frame into the image, RGB, in place.

    A joint is a disc where visible and a ring where occluded; a limb is solid where both its ends are visible, dashed
    where one is occluded, and missing where one is absent. Left is lighter and right darker than the person's colour.
    Ours.

    Arguments:
        xy: the joints in this image's pixels; NaN counts as absent.
        state: 0 absent, 1 occluded, 2 visible.
        track_id: who it is; sets the colour and the label.
        depth: of each person, m; the far ones are drawn first. Without it the small ones are.
        numbered: write each person's number above them.
    """
    state = np.where(np.isfinite(xy).all(-1), state, ABSENT)
    present = [person for person in range(len(xy)) if state[person].any()]
    size = {person: _size(xy[person], state[person]) for person in present}
    far = {person: -size[person] if depth is None else np.nan_to_num(depth[person], nan=np.inf) for person in present}
    for person in sorted(present, key=lambda person: -far[person]):
        stroke = float(np.clip(0.012 * size[person], image.shape[0] / 210, image.shape[0] / 100))
        base = style.colour(int(track_id[person]))
        _person(image, xy[person], state[person], base, skeleton, stroke)
        if numbered:
            _label(
                image,
                xy[person][state[person] > ABSENT],
                int(track_id[person]),
                base,
                float(np.clip(4 * stroke, 8, 22)),
            )


def caption(image: UInt8[np.ndarray, "height width 3"], time: float) -> None:
    """Writes the legend at the bottom left and the time (s) at the bottom right, in place; above each other where it is
    narrow.
    """
    height = float(np.clip(image.shape[0] / 45, 8, 24))
    _time(image, time, height, _legend(image, height))


def clock(time: float) -> str:
    """The time in s as minutes, seconds and hundredths: '01:05.25'; hours in front from one hour on."""
    hundredths = round(max(time, 0.0) * 100)
    minutes, rest = divmod(hundredths, 6000)
    hours, minutes = divmod(minutes, 60)
    return (f"{hours}:" if hours else "") + f"{minutes:02d}:{rest // 100:02d}.{rest % 100:02d}"


def _size(xy: np.ndarray, state: np.ndarray) -> float:
    """The diagonal of the box around a person's joints, px."""
    joints = xy[state > ABSENT]
    return float(np.hypot(*(joints.max(0) - joints.min(0))))


def _person(
    image: np.ndarray, xy: np.ndarray, state: np.ndarray, base: style.Colour, skeleton: Skeleton, stroke: float
) -> None:
    """Occluded limbs first, visible ones over them, joints on top; a limb ends at the rim of an occluded joint's
    ring.
    """
    spots = xy.tolist()
    states = state.tolist()
    hole = 1.5 * stroke + 3  # radius of the ring around an occluded joint
    for names, first, second in sorted(style.limbs(skeleton), key=lambda limb: min(states[limb[1]], states[limb[2]])):
        if min(states[first], states[second]) == VISIBLE:
            style.line(image, spots[first], spots[second], style.INK, stroke + 2)
            style.line(image, spots[first], spots[second], style.sided(base, *names), stroke)
        elif min(states[first], states[second]) == OCCLUDED:
            before, after = (hole * (states[joint] == OCCLUDED) for joint in (first, second))
            paint = style.sided(base, *names)
            width = max(2.0, 0.8 * stroke)
            style.dashed(image, spots[first], spots[second], paint, width, edge=2, trim=(before, after))
    for joint, name in enumerate(skeleton.joints):
        paint = style.sided(base, name)
        shrink = 0.65 if name.endswith(FACE) else 1.0
        if states[joint] == OCCLUDED:
            rim = max(2.0, 0.6 * stroke)
            style.ring(image, spots[joint], hole, style.INK, rim + 2)
            style.ring(image, spots[joint], hole, paint, rim)
        elif states[joint] == VISIBLE:
            style.disc(image, spots[joint], shrink * (1.15 * stroke + 1.5) + 1, style.INK)
            style.disc(image, spots[joint], shrink * (1.15 * stroke + 1.5), paint)


def _label(image: np.ndarray, joints: np.ndarray, track_id: int, base: style.Colour, height: float) -> None:
    """The person's number in a box of the person's colour, above the highest joint in the image, if there is one."""
    joints = joints[((joints >= 0) & (joints < image.shape[1::-1])).all(-1)]
    if not len(joints):
        return
    words = str(track_id)
    width = style.text_width(words, height) + round(height)
    tall = round(1.8 * height)
    top = joints[joints[:, 1].argmin()]
    left = int(np.clip(top[0] - width / 2, 0, max(image.shape[1] - width, 0)))
    up = int(np.clip(top[1] - 2.2 * tall, 0, max(image.shape[0] - tall, 0)))
    image[up : up + tall, left : left + width] = base
    style.text(image, words, (left + height / 2, up + 1.4 * height), height, style.INK)


def _time(image: np.ndarray, time: float, height: float, taken: int) -> None:
    """The clock, right of the pixels that are taken or above them."""
    words = clock(time)
    floor, right = image.shape[:2]
    left = right - style.text_width(words, height) - 2 * height
    if left < taken:
        floor -= round(2.2 * height)
    style.shade(image, round(left), floor - round(2.2 * height), right, floor)
    style.text(image, words, (left + height, floor - 0.6 * height), height)


def _legend(image: np.ndarray, height: float) -> int:
    """Two swatches with their names: visible and occluded. Returns how wide they are, px."""
    entries = ("visible", "occluded")
    swatch = 3.5 * height
    widths = [swatch + 0.8 * height + style.text_width(words, height) + 1.2 * height for words in entries]
    floor = image.shape[0]
    total = round(sum(widths) + height)
    style.shade(image, 0, floor - round(2.2 * height), total, floor)
    stroke = height / 5
    middle = floor - 1.1 * height
    left = height
    for words, width in zip(entries, widths, strict=True):
        start = (left, middle)
        end = (left + swatch - height / 2, middle)
        if words == "visible":
            style.line(image, start, end, style.WHITE, stroke)
            style.disc(image, end, 0.4 * height, style.WHITE)
        else:
            style.dashed(image, start, end, style.WHITE, stroke, trim=(0, 0.45 * height))
            style.ring(image, end, 0.45 * height, style.WHITE, stroke / 2)
        style.text(image, words, (left + swatch + 0.3 * height, floor - 0.6 * height), height)
        left += width
    return total
