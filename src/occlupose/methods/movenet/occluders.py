"""What is put in front of people: blocks (LJOF eq. 1 to 3), objects, and people cut out of synthetic scenes.

A occluder is a patch with an opacity and an affine map into the image, so that it is drawn straight into a crop and its
joints and those behind it are known.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import cv2
import numpy as np
from jaxtyping import Bool, Float, UInt8

from occlupose.bounds import Bounded, Fraction
from occlupose.codecs.crops import invert, transform_points
from occlupose.media import RGB
from occlupose.methods.movenet.people import SyntheticScene
from occlupose.occlusion.blocks import LIMB_JOINTS, LimbBlocks
from occlupose.poses import VISIBLE
from occlupose.skeletons import COCO21

Matrix = Float[np.ndarray, "2 3"]

LIMBS = COCO21.index(*LIMB_JOINTS)
NO_JOINTS = np.zeros((0, len(COCO21), 2))
SOLID = 32
"""Sides of a plain patch, px."""
MIN_CUTOUT = 400
"""Visible pixels of a person or object that is cut out."""


@dataclass(frozen=True, eq=False)
class Occluder:
    """Something in front of a person.

    Attributes:
        pixels: RGB.
        opacity: 0 or 255.
        to_image: from its pixels to those of the image.
        joints: visible joints of people on it, in its pixels; NaN are not visible.
    """

    pixels: RGB
    opacity: UInt8[np.ndarray, "height width"]
    to_image: Matrix
    joints: Float[np.ndarray, "person 21 2"] = field(default_factory=lambda: NO_JOINTS)

    def draw(self, crop: RGB, covered: Float[np.ndarray, "height width"], matrix: Matrix) -> None:
        """Draws it into a crop.

        Arguments:
            covered: opacity of the occluders so far, 0..1; receives that of this one.
            matrix: from the image to the crop.
        """
        to_crop = compose(matrix, self.to_image)
        size = crop.shape[1::-1]
        pixels = cv2.warpAffine(self.pixels, to_crop, size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        opacity = cv2.warpAffine(self.opacity, to_crop, size, flags=cv2.INTER_LINEAR).astype(np.float32) / 255
        crop[:] = (crop + opacity[..., None] * (pixels.astype(np.float32) - crop) + 0.5).astype(np.uint8)
        np.maximum(covered, opacity, out=covered)

    def hides(self, xy: Float[np.ndarray, "*any 2"]) -> Bool[np.ndarray, "*any"]:
        """Which points of the image are behind it."""
        points = np.rint(transform_points(invert(self.to_image), np.nan_to_num(xy, nan=-1e6).reshape(-1, 2)))
        height, width = self.opacity.shape
        inside = ((points >= 0) & (points < (width, height))).all(1)
        column, row = np.where(inside[:, None], points, 0).astype(int).T
        return (inside & (self.opacity[row, column] > 127)).reshape(xy.shape[:-1])

    def joints_in_image(self) -> Float[np.ndarray, "person 21 2"]:
        """Its visible joints, px of the image."""
        return transform_points(self.to_image, self.joints)


@dataclass(frozen=True)
class OccluderSettings(Bounded):
    """How people are occluded and cut off.

    Attributes:
        blocks: Limb Joint Augmentation, with its own probability; None: no blocks.
        objects: probability of an object: a part of another photograph, or one colour, in a random outline.
        cutouts: probability of a person or an object cut out of a synthetic scene.
        lower_body: probability of an object that hides the lower part of the person, as a desk does.
        truncation: probability that the image ends within the person.

    Raises:
        OccluposeError: a value is out of range.
    """

    blocks: LimbBlocks | None = field(default_factory=lambda: LimbBlocks(probability=0.35, relative_to="box"))
    objects: Fraction = 0.3
    cutouts: Fraction = 0.3
    lower_body: Fraction = 0.12
    truncation: Fraction = 0.15


def draw_occluders(
    settings: OccluderSettings,
    random: np.random.Generator,
    box: Float[np.ndarray, "4"],
    xy: Float[np.ndarray, "21 2"],
    visible: Bool[np.ndarray, " 21"],
    photographs: Callable[[], RGB],
    scenes: Callable[[], SyntheticScene],
) -> list[Occluder]:
    """Random occluders of a person.

    Arguments:
        box: left, top, right, bottom of the person, px.
        xy, visible: keypoints, px.
        photographs: draws a photograph, for the surfaces of objects.
        scenes: draws a synthetic scene.
    """
    side = float((box[2:] - box[:2]).max())
    targets = xy[visible] if visible.any() else (box[None, :2] + box[None, 2:]) / 2
    occluders = []
    if random.random() < settings.objects:
        for _ in range(random.integers(1, 3)):
            half = side * np.exp(random.uniform(np.log(0.07), np.log(0.35), 2))
            middle = targets[random.integers(len(targets))] + random.normal(0, 0.4, 2) * half
            occluders.append(_object(random, middle, half, random.normal(0, 0.4), photographs))
    if random.random() < settings.cutouts:
        cutout = _cutout(random, targets[random.integers(len(targets))], side, scenes())
        occluders += [] if cutout is None else [cutout]
    if random.random() < settings.lower_body:
        top = box[1] + random.uniform(0.35, 0.85) * (box[3] - box[1])
        half = np.array([side * random.uniform(0.5, 1.5), side])
        occluders.append(
            _object(random, np.array([box[0::2].mean(), top + half[1]]), half, 0.0, photographs, whole=True)
        )
    blocks = settings.blocks
    if blocks is not None and random.random() < blocks.probability:
        limbs = [joint for joint in LIMBS if visible[joint]]
        sides = blocks.size * (np.full(2, 1.25 * side) if blocks.relative_to == "crop" else box[2:] - box[:2])
        for joint in random.permutation(limbs)[: blocks.count(len(limbs))].tolist():
            occluders.append(_block(int(random.integers(256)), xy[joint], sides / 2))
    return occluders


def _block(grey: int, middle: Float[np.ndarray, "2"], half: Float[np.ndarray, "2"]) -> Occluder:
    """A uniform grey block."""
    pixels = np.full((SOLID, SOLID, 3), grey, np.uint8)
    return Occluder(pixels, np.full((SOLID, SOLID), 255, np.uint8), _place(SOLID, SOLID, middle, half, 0.0))


def _object(
    random: np.random.Generator,
    middle: Float[np.ndarray, "2"],
    half: Float[np.ndarray, "2"],
    angle: float,
    photographs: Callable[[], RGB],
    *,
    whole: bool = False,
) -> Occluder:
    """An object with a random surface and outline; `whole`: with that of a rectangle."""
    size = 128
    if random.random() < 0.7:
        photograph = photographs()
        size_there = np.array(photograph.shape[1::-1])
        part = min(random.integers(60, 240), size_there.min())
        left, top = random.integers(0, np.maximum(size_there - part, 1))
        pixels = cv2.resize(photograph[top : top + part, left : left + part], (size, size))
    else:
        noise = random.normal(0, random.uniform(0, 25), (size, size, 1))
        pixels = np.clip(random.integers(0, 256, 3) + noise, 0, 255).astype(np.uint8)
    opacity = np.zeros((size, size), np.uint8)
    outline = 0 if whole else random.integers(3)
    if outline == 0:
        opacity[:] = 255
    elif outline == 1:
        cv2.ellipse(opacity, (size // 2, size // 2), (size // 2 - 1, size // 2 - 1), 0, 0, 360, 255, -1)
    else:
        angles = np.sort(random.uniform(0, 2 * np.pi, random.integers(5, 11)))
        reach = random.uniform(0.4, 1.0, len(angles)) * size / 2
        corners = size / 2 + reach[:, None] * np.stack([np.cos(angles), np.sin(angles)], 1)
        cv2.fillPoly(opacity, [corners.astype(np.int32)], 255)
    return Occluder(pixels, opacity, _place(size, size, middle, half, angle))


def _cutout(
    random: np.random.Generator, middle: Float[np.ndarray, "2"], side: float, scene: SyntheticScene
) -> Occluder | None:
    """A person, a part of one, or an object of a scene; None if there is too little of it to see."""
    chosen = random.integers(scene.surface.max() + 1) if scene.surface.max() >= 0 else -1
    mask = scene.surface == chosen
    if chosen < 0 or mask.sum() < MIN_CUTOUT:
        return None
    rows = np.flatnonzero(mask.any(1))
    columns = np.flatnonzero(mask.any(0))
    top = rows[0]
    bottom = rows[-1] + 1
    left = columns[0]
    right = columns[-1] + 1
    opacity = np.where(mask[top:bottom, left:right], 255, 0).astype(np.uint8)
    pixels = np.ascontiguousarray(scene.image[top:bottom, left:right])
    height, width = opacity.shape
    scale = side * np.exp(random.normal(0, 0.3)) / max(height, width)
    inside = np.argwhere(opacity)[random.integers((opacity > 0).sum())][::-1]
    to_image = np.array([[scale, 0, middle[0] - scale * inside[0]], [0, scale, middle[1] - scale * inside[1]]])
    if chosen >= len(scene.xy):
        return Occluder(pixels, opacity, to_image)
    seen = (scene.state[chosen] == VISIBLE)[:, None]
    joints = np.where(seen, scene.xy[chosen] - (left, top), np.nan)
    return Occluder(pixels, opacity, to_image, joints[None].astype(float))


def _place(
    width: int, height: int, middle: Float[np.ndarray, "2"], half: Float[np.ndarray, "2"], angle: float
) -> Matrix:
    """From a patch to a rectangle in the image, turned by an angle in radians."""
    cosine = np.cos(angle)
    sine = np.sin(angle)
    linear = np.array([[cosine, -sine], [sine, cosine]]) * (2 * half / (width, height))
    offset = middle - linear @ ((np.array([width, height]) - 1) / 2)
    return np.concatenate([linear, offset[:, None]], 1)


def compose(second: Matrix, first: Matrix) -> Matrix:
    """The affine map that applies the first, then the second."""
    return np.concatenate([second[:, :2] @ first[:, :2], second[:, :2] @ first[:, 2:] + second[:, 2:]], 1)


def occluded_joints(occluders: Sequence[Occluder], xy: Float[np.ndarray, "21 2"]) -> Bool[np.ndarray, " 21"]:
    """Which points are behind an occluder."""
    hidden = np.zeros(len(xy), bool)
    for occluder in occluders:
        hidden |= occluder.hides(xy)
    return hidden
