"""Limb Joint Augmentation (LJOF, arXiv 2410.09885): grey blocks over visible limb joints.

The joints under the blocks keep their targets and weights, so that a network learns to locate joints that it cannot
see.

Only joints with v = 2 count as visible, as written in a dataset's file. MMPose's datasets clip v to 0 and 1 on loading,
after which no joint counts as visible; read the files with `formats.coco` or keep the original v.
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
"""The joints that can be covered."""

A = TypeVar("A", Tensor, np.ndarray)
Region = Literal["crop", "box"]
Images = Shaped[Tensor, "batch 3 height width"] | Shaped[Tensor, "batch height width 3"]
Image = UInt8[np.ndarray, "height width 3"] | Float[np.ndarray, "height width 3"]


@dataclass(frozen=True)
class LimbBlocks:
    """Covers some visible limb joints of a person with uniform grey blocks (LJOF eq. 1 to 3).

    Joints outside the image are not visible (ours; the paper's crops contain the whole person). The paper does not say
    whether every image gets blocks, nor what the block size is relative to; every image and the crop are our defaults.

    Attributes:
        joint_share: number of blocks / number of visible limb joints, rounded up (alpha in eq. 1). At 0.15, one to six
            visible joints get one block, seven to twelve get two.
        size: side of a block / side of the reference region (beta in eq. 2).
        probability: that a person gets blocks.
        relative_to: the reference region: the whole crop, or the person's bounding box before padding.

    Raises:
        OccluposeError: a share is not between 0 and 1, or the reference region is unknown.
    """

    joint_share: float = 0.15
    size: float = 0.20
    probability: float = 1.0
    relative_to: Region = "crop"

    def __post_init__(self) -> None:
        for name in ("joint_share", "size", "probability"):
            value = getattr(self, name)
            if not 0 <= value <= 1:
                raise OccluposeError(f"{name} {value:g}: must be a share between 0 and 1")
        if self.relative_to not in get_args(Region):
            raise OccluposeError(f"relative_to {self.relative_to}: unknown; give {' or '.join(get_args(Region))}")

    def __call__(
        self,
        images: Images,
        xy: Float[Tensor, "batch *person joint 2"],
        state: Shaped[Tensor, "batch *person joint"],
        skeleton: Skeleton,
        generator: Generator | None,
        boxes: Float[Tensor, "batch *person 4"] | None = None,
    ) -> tuple[Images, Bool[Tensor, "batch *person joint"]]:
        """Cover joints in a batch of images on any device, of one person each or of several.

        Arguments:
            images: uint8, or floating point from 0 to 1 (apply before normalisation); not modified.
            xy: keypoints, pixels; any value, also NaN, where a joint is not visible.
            state: v of each joint: 2 visible, 1 occluded, 0 not annotated.
            skeleton: of the joints.
            generator: on any device; None is torch's own, which data loaders seed in each worker.
            boxes: left, top, right, bottom of each person, pixels; needed if `relative_to` is "box".

        Returns:
            The images with blocks, and which joints were covered.

        Raises:
            OccluposeError: the images have another shape, boxes are needed but missing, or the skeleton has no limb
                joints.
        """
        height, width = images.shape[1:3] if _channels_last(tuple(images.shape)) else images.shape[2:]
        limbs = _limbs(skeleton)
        size = torch.tensor([width, height], dtype=torch.float32, device=images.device)
        visible = (state == VISIBLE) & (xy >= -0.5).all(-1) & (xy < size - 0.5).all(-1)
        blocked, grey = self.choose(visible & torch.tensor(limbs, device=images.device), generator)
        sides = self.size * (size if self.relative_to == "crop" else _sides(boxes).float()[..., None, :])
        max_blocks = self.count(sum(limbs)) * math.prod(xy.shape[1:-2])
        images = draw_blocks(
            images,
            xy.flatten(1, -2),
            sides.expand_as(xy).flatten(1, -2),
            blocked.flatten(1),
            grey.flatten(1),
            max_blocks=max_blocks,
        )
        return images, blocked

    def cover_image(
        self,
        image: Image,
        xy: Float[np.ndarray, "*person joint 2"],
        state: Shaped[np.ndarray, "*person joint"],
        skeleton: Skeleton,
        random: np.random.Generator,
        boxes: Float[np.ndarray, "*person 4"] | None = None,
    ) -> tuple[Image, Bool[np.ndarray, "*person joint"]]:
        """Cover joints in one NumPy image of one person or of several.

        Arguments, result and errors as for a call; random numbers come from `random`.
        """
        if image.ndim != 3 or image.shape[2] != 3:
            raise OccluposeError(f"image of {_format_shape(image.shape)}: must be height x width x 3")
        numbers = random.random((*xy.shape[:-2], self.random_count(skeleton)))
        blocked, grey, sides = self._choose_in(image.shape[:2], xy, state, skeleton, numbers, boxes)
        return draw_blocks_numpy(image, xy, sides, blocked, grey), blocked

    def cover_images(
        self,
        images: UInt8[np.ndarray, "batch height width 3"],
        xy: Float[np.ndarray, "batch joint 2"],
        state: Shaped[np.ndarray, "batch joint"],
        skeleton: Skeleton,
        numbers: Float[np.ndarray, "batch number"],
        boxes: Float[np.ndarray, "batch 4"] | None = None,
    ) -> tuple[UInt8[np.ndarray, "batch height width 3"], Bool[np.ndarray, "batch joint"]]:
        """Cover joints in NumPy images of one person each.

        Arguments, result and errors as for a call; `numbers` are uniform random numbers from 0 to 1, `random_count` of
        them per image.
        """
        blocked, grey, sides = self._choose_in(images.shape[1:3], xy, state, skeleton, numbers, boxes)
        columns = zip(images, xy, sides, blocked, grey, strict=True)
        return np.stack([draw_blocks_numpy(*row) for row in columns]), blocked

    def _choose_in(
        self,
        shape: tuple[int, ...],
        xy: Float[np.ndarray, "*person joint 2"],
        state: Shaped[np.ndarray, "*person joint"],
        skeleton: Skeleton,
        numbers: Float[np.ndarray, "*person number"],
        boxes: Float[np.ndarray, "*person 4"] | None,
    ) -> tuple[Bool[np.ndarray, "*person joint"], UInt8[np.ndarray, "*person joint"], Float[np.ndarray, "*person 1 2"]]:
        """The covered joints, the grey of each joint and the sides of each person's blocks, in pixels, for images of
        this height and width.
        """
        size = np.array(shape[::-1], np.float32)
        visible = (state == VISIBLE) & np.array(_limbs(skeleton)) & (xy >= -0.5).all(-1) & (xy < size - 0.5).all(-1)
        if self.relative_to == "crop":
            sides = np.broadcast_to(size, (*xy.shape[:-2], 2))
        else:
            sides = _sides(boxes).astype(np.float32)
        blocked, grey = self.choose_numpy(visible, numbers)
        return blocked, grey, self.size * sides[..., None, :]

    def random_count(self, skeleton: Skeleton) -> int:
        """Random numbers needed per person: whether there are blocks, the order of the joints, and each one's grey."""
        return 1 + 2 * len(skeleton)

    def count(self, visible: int) -> int:
        """Number of blocks for this number of visible limb joints (eq. 1), without floating-point error: 0.1 x 3 is
        0.3.
        """
        return math.ceil(round(self.joint_share * visible, 6))

    def choose(
        self, visible: Bool[Tensor, "*person joint"], generator: Generator | None
    ) -> tuple[Bool[Tensor, "*person joint"], UInt8[Tensor, "*person joint"]]:
        """The visible limb joints to cover, all equally likely, and the grey of each block, 0 to 255.

        The paper has one constant per block; that its three channels are equal is read off the paper's figure.
        """
        device = torch.device("cpu") if generator is None else generator.device
        shape = visible.shape
        drawn = torch.rand(shape[:-1], generator=generator, device=device).to(visible.device)
        order = torch.rand(shape, generator=generator, device=device).to(visible.device)
        grey = torch.randint(256, shape, generator=generator, device=device, dtype=torch.uint8).to(visible.device)
        counts = torch.tensor([self.count(joints) for joints in range(shape[-1] + 1)], device=visible.device)
        blocks = torch.where(drawn < self.probability, counts[visible.sum(-1)], 0)
        rank = order.masked_fill(~visible, 2.0).argsort(-1).argsort(-1)
        return rank < blocks[..., None], grey

    def choose_numpy(
        self, visible: Bool[np.ndarray, "*person joint"], numbers: Float[np.ndarray, "*person number"]
    ) -> tuple[Bool[np.ndarray, "*person joint"], UInt8[np.ndarray, "*person joint"]]:
        """`choose` in NumPy, from uniform random numbers from 0 to 1."""
        joints = visible.shape[-1]
        drawn = numbers[..., 0]
        order = numbers[..., 1 : joints + 1]
        grey = (256 * numbers[..., joints + 1 :]).astype(np.uint8)
        counts = np.array([self.count(count) for count in range(joints + 1)])
        blocks = np.where(drawn < self.probability, counts[visible.sum(-1)], 0)
        rank = np.where(visible, order, 2.0).argsort(-1).argsort(-1)
        return rank < blocks[..., None], grey


def draw_blocks(
    images: Images,
    xy: Float[Tensor, "batch joint 2"],
    sides: Float[Tensor, "batch joint 2"],
    blocked: Bool[Tensor, "batch joint"],
    grey: UInt8[Tensor, "batch joint"],
    *,
    max_blocks: int | None = None,
) -> Images:
    """Images with a block over each covered joint: all pixels at most half a side away from it (LJOF eq. 3). Blocks of
    later joints are in front.

    Arguments:
        images: uint8, or floating point from 0 to 1; not modified.
        xy, sides: centre, width and height of the blocks, pixels.
        max_blocks: upper limit of the number of blocks per image, which saves time.

    Raises:
        OccluposeError: the images have another shape.
    """
    last = _channels_last(tuple(images.shape))
    height, width = images.shape[1:3] if last else images.shape[2:]
    # the covered joints first, in their order
    order = blocked.logical_not().to(torch.uint8).argsort(stable=True, dim=-1)[:, :max_blocks]
    covered = blocked.gather(1, order)
    shade = grey.gather(1, order)
    if images.is_floating_point():
        shade = shade.to(images.dtype) / 255
    centre = xy.float().gather(1, order[..., None].expand(-1, -1, 2))
    half = sides.float().gather(1, order[..., None].expand(-1, -1, 2)) / 2
    low = torch.ceil(centre - half)
    high = torch.floor(centre + half)
    columns = torch.arange(width, device=images.device)
    rows = torch.arange(height, device=images.device)
    across = (columns >= low[..., :1]) & (columns <= high[..., :1]) & covered[..., None]
    down = (rows >= low[..., 1:]) & (rows <= high[..., 1:])
    for block in range(order.shape[1]):
        inside = (down[:, block, :, None] & across[:, block, None]).unsqueeze(-1 if last else 1)
        images = torch.where(inside, shade[:, block, None, None, None], images)
    return images


def draw_blocks_numpy(
    image: Image,
    xy: Float[np.ndarray, "*person joint 2"],
    sides: Float[np.ndarray, "*person #joint 2"],
    blocked: Bool[np.ndarray, "*person joint"],
    grey: UInt8[np.ndarray, "*person joint"],
) -> Image:
    """`draw_blocks` in one NumPy image."""
    image = image.copy()
    centre = xy[blocked].astype(np.float32)
    half = np.broadcast_to(sides, xy.shape)[blocked].astype(np.float32) / 2
    edges = np.concatenate([np.ceil(centre - half), np.floor(centre + half) + 1], -1).clip(0).astype(int)
    shades = grey[blocked]
    if image.dtype != np.uint8:
        shades = (shades.astype(np.float32) / 255).astype(image.dtype)
    for (left, top, right, bottom), shade in zip(edges.tolist(), shades, strict=True):
        image[top:bottom, left:right] = shade
    return image


def _limbs(skeleton: Skeleton) -> list[bool]:
    """Which joints are limb joints.

    Raises:
        OccluposeError: none is.
    """
    own = {dict(skeleton.aliases).get(joint, joint) for joint in LIMB_JOINTS}
    limbs = [joint in own for joint in skeleton.joints]
    if not any(limbs):
        raise OccluposeError(f"{skeleton.name}: has no limb joint to cover; those are {', '.join(LIMB_JOINTS)}")
    return limbs


def _sides(boxes: A | None) -> A:
    """Width and height of boxes.

    Raises:
        OccluposeError: there are none.
    """
    if boxes is None:
        raise OccluposeError(
            "block size relative to the box: no boxes were given; give left, top, right, bottom of each person, or"
            " relative_to crop"
        )
    return boxes[..., 2:] - boxes[..., :2]


def _channels_last(shape: tuple[int, ...]) -> bool:
    """Whether images of this shape have their channels last; True if both are possible.

    Raises:
        OccluposeError: they are not RGB images.
    """
    if len(shape) != 4 or 3 not in (shape[1], shape[3]):
        raise OccluposeError(
            f"images of {_format_shape(shape)}: must be batch x 3 x height x width, or batch x height x width x 3"
        )
    return shape[3] == 3


def _format_shape(shape: tuple[int, ...]) -> str:
    return " x ".join(map(str, shape))
