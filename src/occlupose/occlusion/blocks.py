"""Grey blocks over limb joints, which teach a network to say where a hidden joint is: Limb Joint Augmentation (LJOF,
arXiv 2410.09885).

Of the limb joints that are seen, a few are covered, and stay what is to be learnt: their targets and weights do not
change.

What counts as seen is v = 2 alone, as it stands in a dataset's file. MMPose's datasets clip v to 0 and 1 when they read
it, after which no joint is left that counts; read the files by `datasets.coco`, or keep their v beside.
"""

import math
from dataclasses import dataclass
from typing import Literal, TypeVar, get_args

import numpy as np
import torch
from jaxtyping import Bool, Float, Shaped, UInt8
from torch import Generator, Tensor

from occlupose.errors import OccluposeError
from occlupose.poses import VISIBLE
from occlupose.skeletons import Skeleton

LIMB_JOINTS = tuple(
    f"{side}_{joint}" for joint in ("shoulder", "elbow", "wrist", "hip", "knee", "ankle") for side in ("left", "right")
)
"""The joints that blocks cover."""

A = TypeVar("A", Tensor, np.ndarray)
Space = Literal["crop", "box"]
Pictures = Shaped[Tensor, "batch 3 height width"] | Shaped[Tensor, "batch height width 3"]
Picture = UInt8[np.ndarray, "height width 3"] | Float[np.ndarray, "height width 3"]


@dataclass(frozen=True)
class LimbBlocks:
    """Covers some visible limb joints of a person with blocks, each of one random grey (LJOF eq. 1 to 3).

    A joint beyond the picture is not visible (ours; the paper crops people whole). The paper does not say whether every
    picture gets blocks, nor which frame the size is relative to; that each does, and the crop, are our defaults.

    Attributes:
        number: blocks / visible limb joints, rounded up (alpha of eq. 1): at 0.15 one for up to six of them, two for
            more.
        size: sides of a block / those of the frame (beta of eq. 2).
        probability: share of the people who get blocks.
        space: which frame: the crop, or the person's box in it, before padding.

    Raises:
        OccluposeError: a share that is not between 0 and 1, a space that is none.
    """

    number: float = 0.15
    size: float = 0.20
    probability: float = 1.0
    space: Space = "crop"

    def __post_init__(self) -> None:
        for name in ("number", "size", "probability"):
            if not 0 <= getattr(self, name) <= 1:
                raise OccluposeError(f"{name} {getattr(self, name):g}: a share, between 0 and 1")
        if self.space not in get_args(Space):
            raise OccluposeError(f"space {self.space}: not known; known are {', '.join(get_args(Space))}")

    def __call__(
        self,
        pictures: Pictures,
        xy: Float[Tensor, "batch *person joint 2"],
        state: Shaped[Tensor, "batch *person joint"],
        skeleton: Skeleton,
        generator: Generator | None,
        boxes: Float[Tensor, "batch *person 4"] | None = None,
    ) -> tuple[Pictures, Bool[Tensor, "batch *person joint"]]:
        """Pictures on any device, of one person each, or of several, each of whom gets blocks of their own.

        Arguments:
            pictures: uint8, or floating point from 0 to 1 (cover first, normalise then); not changed.
            xy: px of the pictures; anything, also NaN, where a joint is not visible.
            state: v of each joint: 2 visible, 1 occluded, 0 not annotated.
            skeleton: of the joints.
            generator: on any device; None is torch's own, which data loaders seed for each of their workers.
            boxes: left, top, right, bottom of each person's box, px of the pictures; for the space `box`.

        Returns:
            The pictures with blocks, and which joints were covered.

        Raises:
            OccluposeError: pictures of another shape, boxes that are wanted and not given, a skeleton without limb
                joints.
        """
        height, width = pictures.shape[1:3] if _channels_last(tuple(pictures.shape)) else pictures.shape[2:]
        limbs = _limbs(skeleton)
        size = torch.tensor([width, height], dtype=torch.float32, device=pictures.device)
        seen = (state == VISIBLE) & (xy >= -0.5).all(-1) & (xy < size - 0.5).all(-1)
        blocked, grey = self.choose(seen & torch.tensor(limbs, device=pictures.device), generator)
        sides = self.size * (size if self.space == "crop" else _sides(boxes).float()[..., None, :])
        places = xy.flatten(1, -2)
        covered = blocked.flatten(1)
        shades = grey.flatten(1)
        most = self.count(sum(limbs)) * math.prod(xy.shape[1:-2])
        return paint(pictures, places, sides.expand_as(xy).flatten(1, -2), covered, shades, most=most), blocked

    def on_picture(
        self,
        picture: Picture,
        xy: Float[np.ndarray, "*person joint 2"],
        state: Shaped[np.ndarray, "*person joint"],
        skeleton: Skeleton,
        random: np.random.Generator,
        boxes: Float[np.ndarray, "*person 4"] | None = None,
    ) -> tuple[Picture, Bool[np.ndarray, "*person joint"]]:
        """One picture in memory, of one person or of several.

        Arguments, result and errors are those of a call; `random` decides.
        """
        if picture.ndim != 3 or picture.shape[2] != 3:
            raise OccluposeError(f"picture of {_by(picture.shape)}: must be height x width x 3")
        even = random.random((*xy.shape[:-2], self.chances(skeleton)))
        blocked, grey, sides = self._choose_in(picture.shape[:2], xy, state, skeleton, even, boxes)
        return paint_one(picture, xy, sides, blocked, grey), blocked

    def on_pictures(
        self,
        pictures: UInt8[np.ndarray, "batch height width 3"],
        xy: Float[np.ndarray, "batch joint 2"],
        state: Shaped[np.ndarray, "batch joint"],
        skeleton: Skeleton,
        even: Float[np.ndarray, "batch chance"],
        boxes: Float[np.ndarray, "batch 4"] | None = None,
    ) -> tuple[UInt8[np.ndarray, "batch height width 3"], Bool[np.ndarray, "batch joint"]]:
        """Pictures in memory, of one person each.

        Arguments, result and errors are those of a call; numbers from 0 to 1, as many of each picture as `chances`
        says, decide.
        """
        blocked, grey, sides = self._choose_in(pictures.shape[1:3], xy, state, skeleton, even, boxes)
        return np.stack([paint_one(*each) for each in zip(pictures, xy, sides, blocked, grey, strict=True)]), blocked

    def _choose_in(
        self,
        shape: tuple[int, ...],
        xy: Float[np.ndarray, "*person joint 2"],
        state: Shaped[np.ndarray, "*person joint"],
        skeleton: Skeleton,
        even: Float[np.ndarray, "*person chance"],
        boxes: Float[np.ndarray, "*person 4"] | None,
    ) -> tuple[Bool[np.ndarray, "*person joint"], UInt8[np.ndarray, "*person joint"], Float[np.ndarray, "*person 1 2"]]:
        """In pictures of this height and width: what is covered, each joint's grey, and the sides of each person's
        blocks, px.
        """
        size = np.array(shape[::-1], np.float32)
        visible = (state == VISIBLE) & np.array(_limbs(skeleton)) & (xy >= -0.5).all(-1) & (xy < size - 0.5).all(-1)
        sides = np.broadcast_to(size, (*xy.shape[:-2], 2)) if self.space == "crop" else _sides(boxes).astype(np.float32)
        return *self.choose_one(visible, even), self.size * sides[..., None, :]

    def chances(self, skeleton: Skeleton) -> int:
        """Numbers that decide on one person's blocks: whether there are any, the order of the joints, and each one's
        grey.
        """
        return 1 + 2 * len(skeleton)

    def count(self, visible: int) -> int:
        """Blocks for so many visible limb joints (eq. 1); 0.1 x 3, which is a little more than 0.3 to a computer, is
        0.3.
        """
        return math.ceil(round(self.number * visible, 6))

    def choose(
        self, visible: Bool[Tensor, "*person joint"], generator: Generator | None
    ) -> tuple[Bool[Tensor, "*person joint"], UInt8[Tensor, "*person joint"]]:
        """Which of the visible limb joints are covered, any of them as likely as another, and the grey of each one's
        block, 0 to 255.

        The paper has one constant for each block; that all three channels share it is read off its figure.
        """
        device = torch.device("cpu") if generator is None else generator.device
        shape = visible.shape
        chance = torch.rand(shape[:-1], generator=generator, device=device).to(visible.device)
        order = torch.rand(shape, generator=generator, device=device).to(visible.device)
        grey = torch.randint(256, shape, generator=generator, device=device, dtype=torch.uint8).to(visible.device)
        counts = torch.tensor([self.count(number) for number in range(shape[-1] + 1)], device=visible.device)
        wanted = torch.where(chance < self.probability, counts[visible.sum(-1)], 0)
        rank = order.masked_fill(~visible, 2.0).argsort(-1).argsort(-1)
        return rank < wanted[..., None], grey

    def choose_one(
        self, visible: Bool[np.ndarray, "*person joint"], even: Float[np.ndarray, "*person chance"]
    ) -> tuple[Bool[np.ndarray, "*person joint"], UInt8[np.ndarray, "*person joint"]]:
        """The same in NumPy, by numbers from 0 to 1."""
        joints = visible.shape[-1]
        chance = even[..., 0]
        order = even[..., 1 : joints + 1]
        grey = (256 * even[..., joints + 1 :]).astype(np.uint8)
        counts = np.array([self.count(number) for number in range(joints + 1)])
        wanted = np.where(chance < self.probability, counts[visible.sum(-1)], 0)
        rank = np.where(visible, order, 2.0).argsort(-1).argsort(-1)
        return rank < wanted[..., None], grey


def paint(
    pictures: Pictures,
    xy: Float[Tensor, "batch joint 2"],
    sides: Float[Tensor, "batch joint 2"],
    blocked: Bool[Tensor, "batch joint"],
    grey: UInt8[Tensor, "batch joint"],
    *,
    most: int | None = None,
) -> Pictures:
    """Blocks over the joints that are to be covered: the pixels at most half a side away from the joint (LJOF eq. 3),
    of the picture.

    Where two overlap, the later joint's is in front.

    Arguments:
        pictures: uint8, or floating point from 0 to 1; not changed.
        xy, sides: px; width and height of each block.
        most: blocks of a picture, where that is known to be fewer than joints: less work.

    Raises:
        OccluposeError: pictures of another shape.
    """
    last = _channels_last(tuple(pictures.shape))
    height, width = pictures.shape[1:3] if last else pictures.shape[2:]
    # the covered ones first, in their order
    at = blocked.logical_not().to(torch.uint8).argsort(stable=True, dim=-1)[:, :most]
    covered = blocked.gather(1, at)
    shade = grey.gather(1, at)
    if pictures.is_floating_point():
        shade = shade.to(pictures.dtype) / 255
    middle = xy.float().gather(1, at[..., None].expand(-1, -1, 2))
    half = sides.float().gather(1, at[..., None].expand(-1, -1, 2)) / 2
    low = torch.ceil(middle - half)
    high = torch.floor(middle + half)
    columns, rows = (torch.arange(side, device=pictures.device) for side in (width, height))
    across = (columns >= low[..., :1]) & (columns <= high[..., :1]) & covered[..., None]
    down = (rows >= low[..., 1:]) & (rows <= high[..., 1:])
    for block in range(at.shape[1]):
        inside = (down[:, block, :, None] & across[:, block, None]).unsqueeze(-1 if last else 1)
        pictures = torch.where(inside, shade[:, block, None, None, None], pictures)
    return pictures


def paint_one(
    picture: Picture,
    xy: Float[np.ndarray, "*person joint 2"],
    sides: Float[np.ndarray, "*person #joint 2"],
    blocked: Bool[np.ndarray, "*person joint"],
    grey: UInt8[np.ndarray, "*person joint"],
) -> Picture:
    """The same on one picture in memory, people one after the other."""
    picture = picture.copy()
    middle = xy[blocked].astype(np.float32)
    half = np.broadcast_to(sides, xy.shape)[blocked].astype(np.float32) / 2
    edges = np.concatenate([np.ceil(middle - half), np.floor(middle + half) + 1], -1).clip(0).astype(int)
    shades = (
        grey[blocked] if picture.dtype == np.uint8 else (grey[blocked].astype(np.float32) / 255).astype(picture.dtype)
    )
    for (left, top, right, bottom), shade in zip(edges.tolist(), shades, strict=True):
        picture[top:bottom, left:right] = shade
    return picture


def _limbs(skeleton: Skeleton) -> list[bool]:
    """Which of its joints are limb joints.

    Raises:
        OccluposeError: none is.
    """
    own = {dict(skeleton.aliases).get(joint, joint) for joint in LIMB_JOINTS}
    limbs = [joint in own for joint in skeleton.joints]
    if not any(limbs):
        raise OccluposeError(f"{skeleton.name}: has no limb joint to cover; they are {', '.join(LIMB_JOINTS)}")
    return limbs


def _sides(boxes: A | None) -> A:
    """Width and height of boxes.

    Raises:
        OccluposeError: there are none.
    """
    if boxes is None:
        raise OccluposeError(
            "blocks relative to the box: no boxes were given; give left, top, right, bottom of each person, or space"
            " crop"
        )
    return boxes[..., 2:] - boxes[..., :2]


def _channels_last(shape: tuple[int, ...]) -> bool:
    """Whether pictures of this shape have their channels last; where they could be either, they do.

    Raises:
        OccluposeError: they are no RGB pictures.
    """
    if len(shape) != 4 or 3 not in (shape[1], shape[3]):
        raise OccluposeError(
            f"pictures of {_by(shape)}: must be batch x 3 x height x width, or batch x height x width x 3"
        )
    return shape[3] == 3


def _by(shape: tuple[int, ...]) -> str:
    return " x ".join(map(str, shape))
