"""Maps of everybody in a picture: heatmaps, fields of part affinity in three dimensions, depths of torso joints (HUPOR,
arXiv 2208.00090).

The picture lies in an input of one size, and the maps on cells of it, `stride` px wide; cell i lies at pixel `stride (i
+ 0.5) - 0.5`, pixel centres being at integers. Networks learn the maps from coarse to fine: those of the first
supervision have wide Gaussians and fields, those of the last narrow ones.

The authors' earlier code has heatmaps up to 255, fields up to 127, everybody's Gaussians added up at the nearest cell,
and depths of limbs in whole centimetres. Here peaks and vectors measure 1, the highest Gaussian counts, joints lie
between cells too, and depths are metres; `methods.hupor.losses` has the factors that make the losses the same (ours).
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Literal, TypeVar

import numpy as np
import torch
from jaxtyping import Bool, Float, Int, Shaped
from torch import Tensor

from occlupose.errors import OccluposeError
from occlupose.poses import OCCLUDED, VISIBLE
from occlupose.skeletons import MPI15, Skeleton

KERNELS = (15, 11, 9, 7, 5)
"""Cells that a Gaussian is wide, from the coarsest to the finest; its sigma is OpenCV's for that size."""

TORSO = ("pelvis", "neck", "head_top", "left_shoulder", "right_shoulder", "left_hip", "right_hip")
"""Joints that say how far away somebody is."""

A = TypeVar("A", Tensor, np.ndarray)

JointSubset = Literal["visible", "hidden", "all"]
"""Of people: joints with v = 2, with v = 1, or both; limbs with both ends visible, with both annotated and one hidden
or two, or both annotated."""


@dataclass
class PeopleBatch:
    """Everybody in a batch of pictures, in pixels of the input.

    Attributes:
        xy: px; anything where the joint is absent.
        z: depth of joints in the camera's frame, m; NaN where it is not known.
        state: v: 2 visible, 1 occluded, 0 absent, also where there is nobody.
        span: metres that a pixel of the input spans at a distance of one metre, 1 / (focal length x resizing); NaN
            where it is not known.
    """

    xy: Float[Tensor, "batch person joint 2"]
    z: Float[Tensor, "batch person joint"]
    state: Shaped[Tensor, "batch person joint"]
    span: Float[Tensor, " batch"]


@dataclass(frozen=True)
class MultiPersonMaps:
    """A codec between people and maps.

    Attributes:
        width, height: of the input, px.
        stride: pixels of a cell.
        skeleton: its limbs are those of the fields, each from its first joint to its second.

    Raises:
        OccluposeError: sides that are not multiples of the stride; a skeleton without the joints of a torso.
    """

    width: int = 832
    height: int = 512
    stride: int = 4
    skeleton: Skeleton = MPI15

    def __post_init__(self) -> None:
        if self.stride < 1 or self.width % self.stride or self.height % self.stride or min(self.width, self.height) < 1:
            raise OccluposeError(
                f"input {self.width} x {self.height}: its sides must be multiples of the stride, {self.stride}"
            )
        self.skeleton.index(*TORSO)

    @property
    def shape(self) -> tuple[int, int]:
        """Cells of a map: down, across."""
        return self.height // self.stride, self.width // self.stride

    @cached_property
    def limbs(self) -> tuple[list[int], list[int]]:
        """Both ends of every limb."""
        sources, targets = zip(*(self.skeleton.index(*limb) for limb in self.skeleton.limbs), strict=True)
        return list(sources), list(targets)

    def heatmaps(self, scene: PeopleBatch, part: JointSubset, level: int) -> Float[Tensor, "batch joint y x"]:
        """A Gaussian of height 1 at every joint, the highest where several overlap; cut off as its kernel is.

        Arguments:
            level: 0 is the coarsest kernel, 4 the finest.
        """
        reach = KERNELS[level] // 2
        sigma = 0.3 * (reach - 1) + 0.8
        chosen = joint_mask(scene.state, part) & scene.xy.isfinite().all(-1)
        cells = torch.where(chosen[..., None], self._to_cells(scene.xy), -(10.0**6))
        maps = scene.xy.new_zeros(*scene.state.shape[::2], *self.shape)
        at = [torch.arange(side, dtype=maps.dtype, device=maps.device) for side in self.shape]
        for person in cells.unbind(1):
            profiles = []
            for axis, places in ((1, at[0]), (0, at[1])):
                away = (places - person[..., axis, None]).abs()
                profiles.append(torch.exp(-(away**2) / (2 * sigma**2)) * (away < reach + 0.5))
            maps = torch.maximum(maps, profiles[0][..., :, None] * profiles[1][..., None, :])
        return maps

    def fields(self, scene: PeopleBatch, part: JointSubset, level: int) -> Float[Tensor, "batch limb 3 y x"]:
        """Of every limb the way from its first joint to its second: in the picture, of length 1, and in depth, m.

        A limb lies where cells are near its line and within the box round its ends, enlarged as much; where several
        lie, it is their mean. Depths that are not known are 0, and count as such.

        Arguments:
            level: 0 is the widest, 4 the narrowest.
        """
        total, count = self._fields(scene, part, limb_radius(level))
        return total / count.clamp_min(1)[:, :, None]

    def _fields(
        self, scene: PeopleBatch, part: JointSubset, reach: float
    ) -> tuple[Float[Tensor, "batch limb 3 y x"], Float[Tensor, "batch limb y x"]]:
        """The sum of all limbs' ways, and how many lie in a cell."""
        sources, targets = self.limbs
        chosen = limb_mask(scene.state, sources, targets, part)
        cells = torch.where((scene.state > 0)[..., None], self._to_cells(scene.xy), 0)
        way = cells[:, :, targets] - cells[:, :, sources]
        length = way.norm(dim=-1)
        chosen = chosen & (length >= 1)
        unit = way / length.clamp_min(1)[..., None]
        deep = torch.nan_to_num(scene.z[:, :, targets] - scene.z[:, :, sources])
        vector = torch.cat([unit, deep[..., None]], -1)
        low = torch.minimum(cells[:, :, sources], cells[:, :, targets]) - reach
        high = torch.maximum(cells[:, :, sources], cells[:, :, targets]) + reach
        y, x = (torch.arange(side, dtype=cells.dtype, device=cells.device) for side in self.shape)
        total = cells.new_zeros(*chosen.shape[::2], 3, *self.shape)
        count = cells.new_zeros(*chosen.shape[::2], *self.shape)
        for person in range(chosen.shape[1]):
            rows, limbs = chosen[:, person].nonzero(as_tuple=True)
            start = cells[rows, person][torch.arange(len(rows)), torch.tensor(sources)[limbs.cpu()]]
            along = unit[rows, person, limbs]
            left, top = low[rows, person, limbs].unbind(-1)
            right, bottom = high[rows, person, limbs].unbind(-1)
            across = (x >= left[:, None]) & (x <= right[:, None])
            down = (y >= top[:, None]) & (y <= bottom[:, None])
            aside = (x - start[:, :1]) * along[:, 1:]
            below = (y - start[:, 1:]) * along[:, :1]
            lies = (
                down[..., :, None] & across[..., None, :] & ((below[..., :, None] - aside[..., None, :]).abs() < reach)
            )
            count[rows, limbs] += lies
            total[rows, limbs] += lies[:, None] * vector[rows, person, limbs][:, :, None, None]
        return total, count

    def depths(
        self, scene: PeopleBatch, part: JointSubset
    ) -> tuple[Int[Tensor, "batch person 7"], Float[Tensor, "batch person 7"]]:
        """How far away torso joints are, and where maps are to say so: only in the joint's own cell.

        Returns:
            Number of the cell, row by row; and the depth there as `normalised`; NaN where there is nothing to say.
        """
        torso = self.skeleton.index(*TORSO)
        xy = scene.xy[:, :, torso]
        z = scene.z[:, :, torso]
        cells = torch.floor(torch.nan_to_num(self._to_cells(xy), nan=-1.0) + 0.5).long()
        size = torch.tensor(self.shape[::-1], device=cells.device)
        inside = ((cells >= 0) & (cells < size)).all(-1) & joint_mask(scene.state[:, :, torso], part)
        number = torch.where(inside, cells[..., 1] * self.shape[1] + cells[..., 0], 0)
        return number, torch.where(inside, normalise_depth(z, scene.span[:, None, None]), torch.nan)

    def to_pixels(self, cells: A) -> A:
        """Of the input; tensors or arrays."""
        return self.stride * (cells + 0.5) - 0.5

    def _to_cells(self, xy: Float[Tensor, "*batch 2"]) -> Float[Tensor, "*batch 2"]:
        return (xy + 0.5) / self.stride - 0.5


class TargetMaps:
    """All maps of a batch, each made once, when it is first asked for.

    Arguments:
        maps: the codec.
        scene: the batch.
    """

    def __init__(self, maps: MultiPersonMaps, scene: PeopleBatch) -> None:
        self.maps = maps
        self.scene = scene
        self._heatmaps: dict[tuple[JointSubset, int], Tensor] = {}
        self._fields: dict[tuple[JointSubset, float], tuple[Tensor, Tensor]] = {}

    def heatmaps(self, part: JointSubset, level: int) -> Float[Tensor, "batch joint y x"]:
        """`SceneMaps.heatmaps`."""
        if (part, level) not in self._heatmaps:
            if part == "all":
                made = torch.maximum(self.heatmaps("visible", level), self.heatmaps("hidden", level))
            else:
                made = self.maps.heatmaps(self.scene, part, level)
            self._heatmaps[part, level] = made
        return self._heatmaps[part, level]

    def fields(self, part: JointSubset, level: int) -> Float[Tensor, "batch limb 3 y x"]:
        """`SceneMaps.fields`."""
        total, count = self._sums(part, limb_radius(level))
        return total / count.clamp_min(1)[:, :, None]

    def _sums(self, part: JointSubset, reach: float) -> tuple[Tensor, Tensor]:
        if (part, reach) not in self._fields:
            if part == "all":
                parts = zip(self._sums("visible", reach), self._sums("hidden", reach), strict=True)
                total, count = (one + other for one, other in parts)
            else:
                total, count = self.maps._fields(self.scene, part, reach)
            self._fields[part, reach] = total, count
        return self._fields[part, reach]


def limb_radius(level: int) -> float:
    """Cells that a limb reaches to each side, from the widest (0) to the narrowest (4)."""
    return float(max(1, 3 - level))


def normalise_depth(z: A, span: A | float) -> A:
    """Depths as the network learns them: centimetres that a pixel of the input spans there. Tensors or arrays."""
    return 100 * z * span


def to_metres(depth: A, span: A | float) -> A:
    """Depths that were normalised, m; tensors or arrays."""
    return depth / (100 * span)


def joint_mask(state: Shaped[Tensor, "*batch joint"], part: JointSubset) -> Bool[Tensor, "*batch joint"]:
    """Which joints a part has."""
    visible = state == VISIBLE
    hidden = state == OCCLUDED
    return visible if part == "visible" else hidden if part == "hidden" else visible | hidden


def limb_mask(
    state: Shaped[Tensor, "*batch joint"], sources: list[int], targets: list[int], part: JointSubset
) -> Bool[Tensor, "*batch limb"]:
    """Which limbs a part has."""
    one = state[..., sources]
    other = state[..., targets]
    annotated = (one > 0) & (other > 0)
    visible = (one == VISIBLE) & (other == VISIBLE)
    return visible if part == "visible" else annotated & ~visible if part == "hidden" else annotated
