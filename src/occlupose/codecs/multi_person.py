"""Maps of all people in an image: heatmaps, three-dimensional part affinity fields, depths of torso joints (HUPOR,
arXiv 2208.00090). Behind networks for 2D keypoints (supplement 1.2, 1.3) fields are two-dimensional.

The image is fitted into an input of fixed size. Cells of the maps are `stride` px wide; cell i lies at pixel `stride (i
+ 0.5) - 0.5`, with pixel centres at integers. Networks learn the maps from coarse to fine: the first targets have wide
Gaussians and fields, the last narrow ones.

The authors' earlier code has heatmaps up to 255, fields up to 127, sums of Gaussians at the nearest cell, and limb
depths in whole centimetres. Ours: peaks and vectors of length 1, the maximum of Gaussians, joints between cells, and
depths in metres; `methods.hupor.losses` has the factors that make the losses of the finest level equal.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Literal, TypeVar

import numpy as np
import torch
from jaxtyping import Bool, Float, Int, Shaped
from torch import Tensor

from occlupose.codecs.maps import kernel_sigma
from occlupose.errors import OccluposeError
from occlupose.poses import OCCLUDED, VISIBLE
from occlupose.skeletons import MPI15, Skeleton

KERNELS = (15, 11, 9, 7, 5)
"""Width of a Gaussian in cells, from the coarsest to the finest; its sigma is OpenCV's for that size."""

TORSO = ("pelvis", "neck", "head_top", "left_shoulder", "right_shoulder", "left_hip", "right_hip")
"""Joints with depth maps."""

A = TypeVar("A", Tensor, np.ndarray)

JointSubset = Literal["visible", "hidden", "all"]
"""Joints: visible (state 2), hidden (state 1), or both. Limbs: visible (both joints visible), hidden (both joints
annotated, at least one hidden), or both.
"""


@dataclass
class PeopleBatch:
    """The people in a batch of images, in pixels of the input, padded to the same number of people.

    Attributes:
        xy: px; any value where the joint is absent.
        z: depth of joints in the camera frame, m; NaN where unknown.
        state: 2 visible, 1 occluded, 0 absent, also for padding.
        metres_per_pixel: size of a pixel of the input at a distance of one metre, 1 / (focal length x scale); NaN where
            unknown.
    """

    xy: Float[Tensor, "batch person joint 2"]
    z: Float[Tensor, "batch person joint"]
    state: Shaped[Tensor, "batch person joint"]
    metres_per_pixel: Float[Tensor, " batch"]


@dataclass(frozen=True)
class MultiPersonMaps:
    """A codec between people and maps.

    Attributes:
        width, height: of the input, px.
        stride: pixels of a cell.
        skeleton: of the joints.
        field_limbs: limbs with a field, from the first joint to the second; None: all of the skeleton.
        depth: whether fields have depth as a third component, and torso joints depth maps.

    Raises:
        OccluposeError: sides that are not multiples of the stride; depth for a skeleton without the torso joints.
    """

    width: int = 832
    height: int = 512
    stride: int = 4
    skeleton: Skeleton = MPI15
    field_limbs: tuple[tuple[str, str], ...] | None = None
    depth: bool = True

    def __post_init__(self) -> None:
        if self.stride < 1 or self.width % self.stride or self.height % self.stride or min(self.width, self.height) < 1:
            raise OccluposeError(
                f"input {self.width} x {self.height}: its sides must be multiples of the stride, {self.stride}"
            )
        if self.depth:
            self.skeleton.index(*TORSO)

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns of a map."""
        return self.height // self.stride, self.width // self.stride

    @cached_property
    def limbs(self) -> tuple[list[int], list[int]]:
        """First and second joint of every limb with a field."""
        limbs = self.skeleton.limbs if self.field_limbs is None else self.field_limbs
        ends = [self.skeleton.index(*limb) for limb in limbs]
        return [source for source, _ in ends], [target for _, target in ends]

    @property
    def components(self) -> int:
        """Components of a field: x, y and maybe depth."""
        return 3 if self.depth else 2

    def heatmaps(self, people: PeopleBatch, subset: JointSubset, level: int) -> Float[Tensor, "batch joint y x"]:
        """A Gaussian of height 1 at every joint, truncated to its kernel; the maximum where several overlap.

        Arguments:
            level: 0 is the coarsest kernel, 4 the finest.
        """
        radius = KERNELS[level] // 2
        sigma = kernel_sigma(KERNELS[level])
        chosen = joint_mask(people.state, subset) & people.xy.isfinite().all(-1)
        cells = torch.where(chosen[..., None], self._to_cells(people.xy), -(10.0**6))
        maps = people.xy.new_zeros(*people.state.shape[::2], *self.shape)
        height, width = self.shape
        rows = torch.arange(height, dtype=maps.dtype, device=maps.device)
        columns = torch.arange(width, dtype=maps.dtype, device=maps.device)
        for person in cells.unbind(1):
            across = _gaussian(columns, person[..., 0, None], sigma, radius)
            down = _gaussian(rows, person[..., 1, None], sigma, radius)
            maps = torch.maximum(maps, down[..., :, None] * across[..., None, :])
        return maps

    def fields(self, people: PeopleBatch, subset: JointSubset, level: int) -> Float[Tensor, "batch limb component y x"]:
        """The vector of every limb from its first joint to its second: its direction in the image with length 1, and
        its depth, m, if the maps have depth.

        A limb covers the cells within its radius of its line and of the bounding box of its joints. Where several limbs
        overlap, the field is their mean; unknown depths are 0 in it.

        Arguments:
            level: 0 is the widest, 4 the narrowest.
        """
        total, count = self.sum_fields(people, subset, limb_radius(level))
        return total / count.clamp_min(1)[:, :, None]

    def sum_fields(
        self, people: PeopleBatch, subset: JointSubset, radius: float
    ) -> tuple[Float[Tensor, "batch limb component y x"], Float[Tensor, "batch limb y x"]]:
        """The sum of the vectors of all limbs, and the number of limbs in each cell."""
        sources, targets = self.limbs
        chosen = limb_mask(people.state, sources, targets, subset)
        cells = torch.where((people.state > 0)[..., None], self._to_cells(people.xy), 0)
        vector = cells[:, :, targets] - cells[:, :, sources]
        length = vector.norm(dim=-1)
        chosen = chosen & (length >= 1)
        unit = vector / length.clamp_min(1)[..., None]
        value = unit
        if self.depth:
            depth = torch.nan_to_num(people.z[:, :, targets] - people.z[:, :, sources])
            value = torch.cat([unit, depth[..., None]], -1)
        low = torch.minimum(cells[:, :, sources], cells[:, :, targets]) - radius
        high = torch.maximum(cells[:, :, sources], cells[:, :, targets]) + radius
        height, width = self.shape
        x = torch.arange(width, dtype=cells.dtype, device=cells.device)
        y = torch.arange(height, dtype=cells.dtype, device=cells.device)
        total = cells.new_zeros(*chosen.shape[::2], self.components, *self.shape)
        count = cells.new_zeros(*chosen.shape[::2], *self.shape)
        for person in range(chosen.shape[1]):
            rows, limbs = chosen[:, person].nonzero(as_tuple=True)
            start = cells[rows, person][torch.arange(len(rows)), torch.tensor(sources)[limbs.cpu()]]
            along = unit[rows, person, limbs]
            left, top = low[rows, person, limbs].unbind(-1)
            right, bottom = high[rows, person, limbs].unbind(-1)
            in_columns = (x >= left[:, None]) & (x <= right[:, None])
            in_rows = (y >= top[:, None]) & (y <= bottom[:, None])
            by_x = (x - start[:, :1]) * along[:, 1:]
            by_y = (y - start[:, 1:]) * along[:, :1]
            near = (by_y[..., :, None] - by_x[..., None, :]).abs() < radius
            covers = in_rows[..., :, None] & in_columns[..., None, :] & near
            count[rows, limbs] += covers
            total[rows, limbs] += covers[:, None] * value[rows, person, limbs][:, :, None, None]
        return total, count

    def depths(
        self, people: PeopleBatch, subset: JointSubset
    ) -> tuple[Int[Tensor, "batch person 7"], Float[Tensor, "batch person 7"]]:
        """Targets of the depth maps, which exist only in the cells of the joints.

        Returns:
            Index of each joint's cell, row by row; and its depth as `normalise_depth`, NaN where there is no target.
        """
        torso = self.skeleton.index(*TORSO)
        cells, inside = self.joint_cells(people, subset)
        depth = normalise_depth(people.z[:, :, torso], people.metres_per_pixel[:, None, None])
        return cells[:, :, torso], torch.where(inside[:, :, torso], depth, torch.nan)

    def joint_cells(
        self, people: PeopleBatch, subset: JointSubset
    ) -> tuple[Int[Tensor, "batch person joint"], Bool[Tensor, "batch person joint"]]:
        """Index of each joint's cell, row by row, 0 for joints that are not in the maps or not in the subset; and which
        are.
        """
        cells = torch.floor(torch.nan_to_num(self._to_cells(people.xy), nan=-1.0) + 0.5).long()
        size = torch.tensor(self.shape[::-1], device=cells.device)
        inside = ((cells >= 0) & (cells < size)).all(-1) & joint_mask(people.state, subset)
        return torch.where(inside, cells[..., 1] * self.shape[1] + cells[..., 0], 0), inside

    def to_pixels(self, cells: A) -> A:
        """Pixels of the input; tensors or arrays."""
        return self.stride * (cells + 0.5) - 0.5

    def _to_cells(self, xy: Float[Tensor, "*batch 2"]) -> Float[Tensor, "*batch 2"]:
        return (xy + 0.5) / self.stride - 0.5


class TargetMaps:
    """All target maps of a batch, each computed on first use.

    Arguments:
        codec: the codec.
        people: the batch.
    """

    def __init__(self, codec: MultiPersonMaps, people: PeopleBatch) -> None:
        self.codec = codec
        self.people = people
        self._heatmaps: dict[tuple[JointSubset, int], Tensor] = {}
        self._field_sums: dict[tuple[JointSubset, float], tuple[Tensor, Tensor]] = {}

    def heatmaps(self, subset: JointSubset, level: int) -> Float[Tensor, "batch joint y x"]:
        """As `MultiPersonMaps.heatmaps`."""
        if (subset, level) not in self._heatmaps:
            if subset == "all":
                maps = torch.maximum(self.heatmaps("visible", level), self.heatmaps("hidden", level))
            else:
                maps = self.codec.heatmaps(self.people, subset, level)
            self._heatmaps[subset, level] = maps
        return self._heatmaps[subset, level]

    def fields(self, subset: JointSubset, level: int) -> Float[Tensor, "batch limb component y x"]:
        """As `MultiPersonMaps.fields`."""
        total, count = self._sums(subset, limb_radius(level))
        return total / count.clamp_min(1)[:, :, None]

    def _sums(self, subset: JointSubset, radius: float) -> tuple[Tensor, Tensor]:
        if (subset, radius) not in self._field_sums:
            if subset == "all":
                visible_total, visible_count = self._sums("visible", radius)
                hidden_total, hidden_count = self._sums("hidden", radius)
                total = visible_total + hidden_total
                count = visible_count + hidden_count
            else:
                total, count = self.codec.sum_fields(self.people, subset, radius)
            self._field_sums[subset, radius] = total, count
        return self._field_sums[subset, radius]


def limb_tree(skeleton: Skeleton) -> tuple[tuple[str, str], ...]:
    """The limbs of a skeleton without those between a joint and its partner on the other side. For coco17 and
    crowdpose14 these are the 16 and 13 limbs of a tree, in which a hidden joint has one way to the others (ours; the
    paper does not name its limbs).
    """
    partner = dict(zip(skeleton.joints, (skeleton.joints[index] for index in skeleton.mirror), strict=True))
    return tuple(limb for limb in skeleton.limbs if partner[limb[0]] != limb[1])


def maps_in_2d(skeleton: Skeleton, width: int, height: int, stride: int = 4) -> MultiPersonMaps:
    """The codec of maps without depth: heatmaps, and fields of the skeleton's `limb_tree`.

    Raises:
        OccluposeError: sides that are not multiples of the stride.
    """
    return MultiPersonMaps(width, height, stride, skeleton, limb_tree(skeleton), depth=False)


def _gaussian(
    cells: Float[Tensor, " cell"], centre: Float[Tensor, "batch joint 1"], sigma: float, radius: int
) -> Float[Tensor, "batch joint cell"]:
    """A Gaussian along one axis, truncated."""
    distance = (cells - centre).abs()
    return torch.exp(-(distance**2) / (2 * sigma**2)) * (distance < radius + 0.5)


def limb_radius(level: int) -> float:
    """Half the width of a limb in the fields of a level, cells; level 0 is the coarsest, 4 the finest."""
    return float(max(1, 3 - level))


def normalise_depth(z: A, metres_per_pixel: A | float) -> A:
    """Depths as the network learns them: centimetres per input pixel at that depth. Tensors or arrays."""
    return 100 * z * metres_per_pixel


def to_metres(depth: A, metres_per_pixel: A | float) -> A:
    """Inverse of `normalise_depth`, m; tensors or arrays."""
    return depth / (100 * metres_per_pixel)


def joint_mask(state: Shaped[Tensor, "*batch joint"], subset: JointSubset) -> Bool[Tensor, "*batch joint"]:
    """Which joints belong to a subset."""
    visible = state == VISIBLE
    hidden = state == OCCLUDED
    return {"visible": visible, "hidden": hidden, "all": visible | hidden}[subset]


def limb_mask(
    state: Shaped[Tensor, "*batch joint"], sources: list[int], targets: list[int], subset: JointSubset
) -> Bool[Tensor, "*batch limb"]:
    """Which limbs belong to a subset."""
    source = state[..., sources]
    target = state[..., targets]
    annotated = (source > 0) & (target > 0)
    visible = (source == VISIBLE) & (target == VISIBLE)
    return {"visible": visible, "hidden": annotated & ~visible, "all": annotated}[subset]
