"""Limb Joint Augmentation (LJOF, arXiv 2410.09885): grey blocks over visible limb joints.

The joints under the blocks keep their targets and weights, so that a network learns to locate joints that it cannot
see.

Only joints with v = 2 count as visible, as written in a dataset's file. MMPose's datasets clip v to 0 and 1 on loading,
after which no joint counts as visible; read the files with `formats.coco` or keep the original v.
"""

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from jaxtyping import Bool, Float, Shaped, UInt8
from torch import Generator, Tensor

from occlupose.bounds import Bounded, Fraction
from occlupose.errors import OccluposeError
from occlupose.poses import VISIBLE
from occlupose.skeletons import Skeleton

LIMB_JOINTS = tuple(
    f"{side}_{joint}" for joint in ("shoulder", "elbow", "wrist", "hip", "knee", "ankle") for side in ("left", "right")
)
"""The joints that can be covered."""

Region = Literal["crop", "box"]
Placement = Literal["joints", "anywhere"]
Images = Shaped[Tensor, "batch 3 height width"] | Shaped[Tensor, "batch height width 3"]
Image = UInt8[np.ndarray, "height width 3"] | Float[np.ndarray, "height width 3"]


@dataclass(frozen=True)
class LimbBlocks(Bounded):
    """Covers some visible limb joints of a person with uniform grey blocks (LJOF eq. 1 to 3).

    Joints outside the image are not visible (ours; the paper's crops contain the whole person). The paper does not say
    whether every image gets blocks, nor what its "human frame" is that the block size is relative to; every image and
    the crop are our defaults. Relative to the box, blocks of the same size cover 2.5 times less of a person.

    Attributes:
        joint_share: number of blocks / number of visible limb joints, rounded up (alpha in eq. 1). At 0.15, one to six
            visible joints get one block, seven to twelve get two.
        size: side of a block / side of the reference region (beta in eq. 2).
        probability: that a person gets blocks.
        relative_to: the reference region: the whole crop, or the person's bounding box before padding.
        placement: at the joints; or anywhere in the person's box, which is random erasing of equal number and area, to
            compare with (ours).

    Raises:
        OccluposeError: a share is not between 0 and 1, or the reference region is unknown.
    """

    joint_share: Fraction = 0.15
    size: Fraction = 0.20
    probability: Fraction = 1.0
    relative_to: Region = "crop"
    placement: Placement = "joints"

    @property
    def needs_boxes(self) -> bool:
        """Whether the bounding boxes of the people must be given."""
        return self.relative_to == "box" or self.placement == "anywhere"

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
            boxes: left, top, right, bottom of each person, pixels; only used if `needs_boxes`.

        Returns:
            The images with blocks, and which joints were covered; with blocks anywhere, none.

        Raises:
            OccluposeError: the images have another shape, boxes are needed but missing, or the skeleton has no limb
                joints.
        """
        device = torch.device("cpu") if generator is None else generator.device
        drawn = torch.rand(state.shape[:-1], generator=generator, device=device)
        order = torch.rand(state.shape, generator=generator, device=device)
        grey = torch.randint(256, state.shape, generator=generator, device=device, dtype=torch.uint8)
        anywhere = (*state.shape, 2 if self.placement == "anywhere" else 0)
        places = torch.rand(anywhere, generator=generator, device=device)
        made = images.clone()
        view = made if _channels_last(tuple(images.shape)) else made.movedim(1, -1)
        return made, self._cover(view, xy, state, skeleton, (drawn, order, grey, places), boxes)

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
        numbers = random.random((1, *xy.shape[:-2], self.random_count(skeleton)))
        boxes = None if boxes is None else boxes[None]
        made, blocked = self.cover_images(image[None], xy[None], state[None], skeleton, numbers, boxes)
        return made[0], blocked[0]

    def cover_images(
        self,
        images: UInt8[np.ndarray, "batch height width 3"] | Float[np.ndarray, "batch height width 3"],
        xy: Float[np.ndarray, "batch *person joint 2"],
        state: Shaped[np.ndarray, "batch *person joint"],
        skeleton: Skeleton,
        numbers: Float[np.ndarray, "batch *person number"],
        boxes: Float[np.ndarray, "batch *person 4"] | None = None,
    ) -> tuple[np.ndarray, Bool[np.ndarray, "batch *person joint"]]:
        """Cover joints in NumPy images.

        Arguments, result and errors as for a call; `numbers` are uniform random numbers from 0 to 1, `random_count` of
        them per person.
        """
        joints = len(skeleton)
        uniform = torch.tensor(numbers)
        grey = (256 * uniform[..., joints + 1 : 2 * joints + 1]).to(torch.uint8)
        places = uniform[..., 2 * joints + 1 :].unflatten(-1, (joints, -1)) if self.placement == "anywhere" else uniform
        draws = (uniform[..., 0], uniform[..., 1 : joints + 1], grey, places)
        corners = None if boxes is None else torch.tensor(boxes)
        made = images.copy()
        blocked = self._cover(torch.from_numpy(made), torch.tensor(xy), torch.tensor(state), skeleton, draws, corners)
        return made, blocked.numpy()

    def _cover(
        self,
        images: Shaped[Tensor, "batch height width 3"],
        xy: Float[Tensor, "batch *person joint 2"],
        state: Shaped[Tensor, "batch *person joint"],
        skeleton: Skeleton,
        draws: tuple[Float[Tensor, "batch *person"], Float[Tensor, "batch *person joint"], Tensor, Tensor],
        boxes: Float[Tensor, "batch *person 4"] | None,
    ) -> Bool[Tensor, "batch *person joint"]:
        """Draws blocks into the images; returns which joints are covered, of the visible limb joints all equally
        likely.

        Arguments:
            draws: random numbers that decide whether a person gets blocks and the order of the joints, 0 to 1; the
                grey of each block, 0 to 255; and the places of blocks anywhere in the box, 0 to 1. The paper has one
                constant per block; that its three channels are equal is read off the paper's figure.
        """
        drawn, order, grey, places = draws
        size = torch.tensor([images.shape[2], images.shape[1]], dtype=torch.float32, device=images.device)
        limbs = torch.tensor(_limbs(skeleton), device=images.device)
        visible = limbs & (state == VISIBLE) & (xy >= -0.5).all(-1) & (xy < size - 0.5).all(-1)
        counts = torch.tensor([self.count(joints) for joints in range(len(skeleton) + 1)], device=images.device)
        blocks = torch.where(drawn.to(images.device) < self.probability, counts[visible.sum(-1)], 0)
        rank = order.to(images.device).masked_fill(~visible, 2.0).argsort(-1).argsort(-1)
        blocked = rank < blocks[..., None]
        sides = self.size * (size if self.relative_to == "crop" else _sides(boxes).float()[..., None, :])
        flat_sides = sides.expand_as(xy).flatten(1, -2)
        centres = xy
        if self.placement == "anywhere":
            across = _sides(boxes).float()[..., None, :]
            assert boxes is not None, "_sides raises"
            centres = boxes[..., None, :2].float() + places.to(images.device).float() * across
        draw_blocks(images, centres.flatten(1, -2), flat_sides, blocked.flatten(1), grey.to(images.device).flatten(1))
        return blocked if self.placement == "joints" else torch.zeros_like(blocked)

    def random_count(self, skeleton: Skeleton) -> int:
        """Random numbers needed per person: whether there are blocks, the order of the joints, each one's grey, and
        maybe its place.
        """
        return 1 + (4 if self.placement == "anywhere" else 2) * len(skeleton)

    def count(self, visible: int) -> int:
        """Number of blocks for this number of visible limb joints (eq. 1), without floating-point error: 0.1 x 3 is
        0.3.
        """
        return math.ceil(round(self.joint_share * visible, 6))


def draw_blocks(
    images: Shaped[Tensor, "batch height width 3"],
    xy: Float[Tensor, "batch joint 2"],
    sides: Float[Tensor, "batch joint 2"],
    blocked: Bool[Tensor, "batch joint"],
    grey: UInt8[Tensor, "batch joint"],
) -> None:
    """Draws a block over each covered joint: all pixels at most half a side away from it (LJOF eq. 3). Blocks of later
    joints are in front.

    Arguments:
        images: uint8, or floating point from 0 to 1.
        xy, sides: centre, width and height of the blocks, pixels.
    """
    centre = xy[blocked].float()
    half = sides[blocked].float() / 2
    edges = torch.cat([torch.ceil(centre - half), torch.floor(centre + half) + 1], -1).clamp(0).long().tolist()
    numbers = blocked.nonzero()[:, 0].tolist()
    for number, (left, top, right, bottom), shade in zip(numbers, edges, grey[blocked].tolist(), strict=True):
        images[number, top:bottom, left:right] = shade / 255 if images.is_floating_point() else shade


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


def _sides(boxes: Float[Tensor, "*person 4"] | None) -> Float[Tensor, "*person 2"]:
    """Width and height of boxes.

    Raises:
        OccluposeError: there are none.
    """
    if boxes is None:
        raise OccluposeError(
            "blocks relative to the box: no boxes were given; give left, top, right, bottom of each person, or"
            " relative_to crop and placement joints"
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
