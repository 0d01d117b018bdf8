"""What every body model gives, and linear blend skinning, which all of ours are.

A pose is the same for every body: how each of 17 rigid segments is turned away from the body's own rest pose, as a
rotation of the world's axes. At rest a body stands upright, y up, faces +z and has its left at +x. The bones of a model
follow the segments, some of them partway between two (the spine's between pelvis and chest). Rotations of the world
need no chain: the bones of all bodies of a batch are placed by two matrix products. Ours; the skinning itself is that
of SMPL (Loper et al., 2015, eq. 2-4).
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Protocol

import numpy as np
import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor

from occlupose.skeletons import BODY26, Skeleton

SIDES = ("left", "right")

FACE = 0.015
"""Metres before the ears at which the face begins; ours."""

LEAST = 1e-4
"""A joint does not follow a bone that moves less than this share of its vertices."""

SEGMENTS = (
    *("pelvis", "chest", "head"),
    *(f"{side}_{segment}" for side in SIDES for segment in "clavicle upper_arm forearm hand thigh shank foot".split()),
)
"""What turns as one piece."""

PARTS = (
    *(f"{side}_{part}" for part in ("face", "skull", "neck", "trunk") for side in SIDES),
    *(f"{side}_{part}" for side in SIDES for part in "upper_arm forearm hand thigh shank foot".split()),
)
"""What a surface is divided into. Head and trunk have halves, so that the near half hides the joints of the far one."""

_BESIDE = {
    "nose": ("face",),
    "eye": ("face",),
    "ear": ("face", "skull"),
    "head_top": ("face", "skull"),
    "neck_nose": ("face", "skull", "neck"),
    "thorax": ("neck", "trunk"),
    "spine": ("trunk",),
    "pelvis": ("trunk",),
    "shoulder": ("trunk", "upper_arm"),
    "elbow": ("upper_arm", "forearm"),
    "wrist": ("forearm", "hand"),
    "hand": ("hand",),
    "hip": ("trunk", "thigh"),
    "knee": ("thigh", "shank"),
    "ankle": ("shank", "foot"),
    "foot": ("foot",),
}
"""The parts that a joint lies in or at the border of, of its own side; joints on the midline have those of both."""


def beside(joint: str) -> tuple[str, ...]:
    """The parts next to a joint of BODY26: they do not hide it."""
    own = [side for side in SIDES if joint.startswith(f"{side}_")]
    name = joint.removeprefix(f"{own[0]}_") if own else joint
    return tuple(f"{side}_{part}" for part in _BESIDE[name] for side in own or SIDES)


def divide(region: list[str], place: Float[np.ndarray, "vertex 3"], ears: float) -> UInt8[Tensor, "vertex"]:
    """Which of PARTS each vertex belongs to.

    Arguments:
        region: what each vertex follows most: one of SEGMENTS or `neck`.
        place: where it is on an ordinary body at rest, metres.
        ears: the z of that body's ears.
    """
    result = []
    for name, (x, _, z) in zip(region, place.tolist(), strict=True):
        side, _, part = name.rpartition("_")
        if name == "head":
            part = "face" if z > ears + FACE else "skull"
        elif name in ("pelvis", "chest") or part == "clavicle":
            side = ""
            part = "trunk"
        result.append(PARTS.index(f"{side or SIDES[x < 0]}_{part}"))
    return torch.tensor(result, dtype=torch.uint8)


@dataclass(frozen=True, eq=False)
class Posed:
    """Bodies as they stand. Metres, in the axes that the rotations were given in."""

    vertices: Float[Tensor, "batch vertex 3"]
    joints: Float[Tensor, "batch 26 3"]


class Body(Protocol):
    """A body model."""

    @property
    def name(self) -> str:
        """What files call it."""

    @property
    def faces(self) -> Int[Tensor, "face 3"]:
        """Corners of each triangle of the surface."""

    @property
    def part(self) -> UInt8[Tensor, "vertex"]:
        """Which of PARTS each vertex belongs to."""

    @property
    def shape_names(self) -> tuple[str, ...]:
        """What the numbers of a shape mean."""

    @property
    def low(self) -> Float[Tensor, "shape"]:
        """The least that each number may be."""

    @property
    def high(self) -> Float[Tensor, "shape"]:
        """The most."""

    @property
    def neutral(self) -> Float[Tensor, "shape"]:
        """The shape of somebody ordinary."""

    @property
    def skeleton(self) -> Skeleton:
        """Of the joints."""

    def joints(
        self,
        pose: Float[Tensor, "batch 17 3 3"],
        shape: Float[Tensor, "batch shape"],
        translation: Float[Tensor, "batch 3"],
    ) -> Float[Tensor, "batch 26 3"]:
        """The joints alone, which is quicker. Arguments as of `__call__`."""

    def __call__(
        self,
        pose: Float[Tensor, "batch 17 3 3"],
        shape: Float[Tensor, "batch shape"],
        translation: Float[Tensor, "batch 3"],
    ) -> Posed:
        """Surface and joints, differentiable in every argument.

        Arguments:
            pose: how SEGMENTS are turned away from rest.
            shape: `shape_names` says what of.
            translation: of the root bone from the origin, metres.
        """


@dataclass(frozen=True)
class Drive:
    """What turns a bone: a segment, or `share` of the way from it to `towards`."""

    segment: str
    towards: str | None = None
    share: float = 0.0


@dataclass(frozen=True, eq=False)
class Skinned:
    """A body whose surface follows its bones by linear blend skinning.

    Attributes:
        name: what files call it.
        parents: of each bone, -1 for the root, which comes first.
        drives: what turns each bone.
        template, directions: the surface at rest: where a vertex is, and where each blend weight moves it, metres.
        heads, head_directions: the same for the beginning of each bone.
        weights: how far each vertex follows each bone, rows that sum to 1.
        faces, part: see `Body`.
        regressor, head_regressor: what each joint is the weighted mean of, vertices and heads of bones; both rows
            together sum to 1.
        shape_names, low, high, neutral: see `Body`.
        blend: blend weights from a shape.
        texture: where each vertex is on an average body at rest: it stays the same whatever the shape, as a place for
            paint does.
        grip: how the bones of the fingers are bent beyond what drives them.
        pose_directions: where the surface at rest moves for each number of how the bones, without the root, are turned
            away from their parents, as matrices less the unit matrix, row by row; metres. The joints leave it out.
    """

    name: str
    parents: tuple[int, ...]
    drives: tuple[Drive, ...]
    template: Float[Tensor, "vertex 3"]
    directions: Float[Tensor, "blend vertex 3"]
    heads: Float[Tensor, "bone 3"]
    head_directions: Float[Tensor, "blend bone 3"]
    weights: Float[Tensor, "vertex bone"]
    faces: Int[Tensor, "face 3"]
    part: UInt8[Tensor, "vertex"]
    regressor: Float[Tensor, "26 vertex"]
    head_regressor: Float[Tensor, "26 bone"]
    shape_names: tuple[str, ...]
    low: Float[Tensor, "shape"]
    high: Float[Tensor, "shape"]
    neutral: Float[Tensor, "shape"]
    blend: Callable[[Float[Tensor, "batch shape"]], Float[Tensor, "batch blend"]]
    skeleton: Skeleton = BODY26
    texture: Float[Tensor, "vertex 3"] = field(default_factory=lambda: torch.zeros(0, 3))
    grip: Float[Tensor, "bone 3 3"] | None = None
    pose_directions: Float[Tensor, "turn vertex 3"] | None = None

    @cached_property
    def _plan(self) -> "_Plan":
        return _plan(self)

    def rest(self, shape: Float[Tensor, "batch shape"]) -> Float[Tensor, "batch 26 3"]:
        """The joints of a body at rest, with the root bone where the model has it."""
        unturned = torch.eye(3).expand(len(shape), len(SEGMENTS), 3, 3)
        return self.joints(unturned, shape, torch.zeros(len(shape), 3))

    def joints(
        self,
        pose: Float[Tensor, "batch 17 3 3"],
        shape: Float[Tensor, "batch shape"],
        translation: Float[Tensor, "batch 3"],
    ) -> Float[Tensor, "batch 26 3"]:
        """The joints alone, without the surface: the regressor's means are taken bone by bone once, before anything
        turns.

        A joint is sum_v r_v sum_b w_vb (R_b (v - h_b) + p_b) = sum_b R_b (m_b - c_b h_b) + c_b p_b, with m_b = sum_v
        r_v w_vb v and c_b = sum_v r_v w_vb. Ours.
        """
        joints, _, _ = self._gathered(pose, shape, translation)
        return joints

    def __call__(
        self,
        pose: Float[Tensor, "batch 17 3 3"],
        shape: Float[Tensor, "batch shape"],
        translation: Float[Tensor, "batch 3"],
    ) -> Posed:
        """Surface and joints; see `Body`."""
        weights = self.blend(shape)
        turn, head, place = self._bones(pose, weights, translation)
        rest = self.template + (weights @ self.directions.flatten(1)).unflatten(1, self.template.shape)
        if self.pose_directions is not None:
            local = turn[:, self.parents[1:]].mT @ turn[:, 1:] - torch.eye(3)
            rest = rest + (local.flatten(1) @ self.pose_directions.flatten(1)).unflatten(1, self.template.shape)
        move = place - torch.einsum("bkij,bkj->bki", turn, head)
        bones = torch.cat([turn.flatten(2), move], 2)  # batch bone 12
        skin = (self.weights @ bones.permute(1, 0, 2).flatten(1)).unflatten(1, (len(pose), 12)).transpose(0, 1)
        vertices = (skin[..., :9].unflatten(-1, (3, 3)) * rest.unsqueeze(-2)).sum(-1) + skin[..., 9:]
        return Posed(vertices, self.joints(pose, shape, translation))

    def levers(
        self,
        pose: Float[Tensor, "batch 17 3 3"],
        shape: Float[Tensor, "batch shape"],
        translation: Float[Tensor, "batch 3"],
    ) -> tuple[Float[Tensor, "batch 26 3"], Float[Tensor, "batch 26 17 3"]]:
        """The joints, and how long a lever each segment has on each: a small turn w of the segment moves the joint by w
        x lever.

        For Gauss and Newton's method. Bones between two segments are taken to share their turns, as they do to first
        order.
        """
        plan = self._plan
        joints, local, place = self._gathered(pose, shape, translation)
        own = torch.einsum("jp,pn,bpc->bjnc", plan.gather, plan.of_bone, local)
        parents = torch.tensor(self.parents[1:])
        # joint bone: how far the joint follows what is below it
        carried = (plan.gather * plan.share) @ plan.above[plan.bone][:, 1:]
        offset = place[:, 1:] - place[:, parents]
        below = torch.einsum("jm,mn,bmc->bjnc", carried, torch.eye(len(self.parents))[parents], offset)
        return joints, torch.einsum("bjnc,ns->bjsc", own + below, plan.driven)

    def _gathered(
        self,
        pose: Float[Tensor, "batch 17 3 3"],
        shape: Float[Tensor, "batch shape"],
        translation: Float[Tensor, "batch 3"],
    ) -> tuple[Float[Tensor, "batch 26 3"], Float[Tensor, "batch pair 3"], Float[Tensor, "batch bone 3"]]:
        """The joints, what each bone that moves one adds to it from its own beginning, and where the bones begin."""
        plan = self._plan
        weights = self.blend(shape)
        turn, head, place = self._bones(pose, weights, translation)
        moment = plan.moment + torch.einsum("bk,kpc->bpc", weights, plan.moment_directions)
        local = torch.einsum("bpij,bpj->bpi", turn[:, plan.bone], moment - plan.share[:, None] * head[:, plan.bone])
        moved = local + plan.share[:, None] * place[:, plan.bone]
        return torch.einsum("jp,bpc->bjc", plan.gather, moved), local, place

    def _bones(
        self,
        pose: Float[Tensor, "batch 17 3 3"],
        weights: Float[Tensor, "batch blend"],
        translation: Float[Tensor, "batch 3"],
    ) -> tuple[Float[Tensor, "batch bone 3 3"], Float[Tensor, "batch bone 3"], Float[Tensor, "batch bone 3"]]:
        """How every bone is turned, where it begins at rest, and where it begins now."""
        plan = self._plan
        turn = pose[:, plan.segment]
        partway = between_turns(turn[:, plan.partway], pose[:, plan.towards], plan.partway_share)
        turn = turn.index_copy(1, plan.partway, partway)
        if self.grip is not None:
            turn = turn @ self.grip
        head = self.heads + torch.einsum("bk,knc->bnc", weights, self.head_directions)
        parents = torch.tensor(self.parents[1:])
        offset = torch.einsum("bkij,bkj->bki", turn[:, parents], head[:, 1:] - head[:, parents])
        place = translation[:, None] + torch.einsum("km,bmc->bkc", plan.above[:, 1:], offset)
        return turn, head, place


def between_turns(
    one: Float[Tensor, "*batch 3 3"], other: Float[Tensor, "*batch 3 3"], share: Float[Tensor, "*#batch"]
) -> Float[Tensor, "*batch 3 3"]:
    """Rotations some share of the way from one to another, by mixing their axes and making them square again. Smooth
    below half a turn.
    """
    return square(torch.lerp(one, other, share[..., None, None].expand_as(one)))


def square(axes: Float[Tensor, "*batch 3 3"]) -> Float[Tensor, "*batch 3 3"]:
    """The rotation that Gram and Schmidt make of the first two columns of a matrix."""
    x = torch.nn.functional.normalize(axes[..., 0], dim=-1)
    y = axes[..., 1]
    y = torch.nn.functional.normalize(y - (x * y).sum(-1, keepdim=True) * x, dim=-1)
    return torch.stack([x, y, torch.linalg.cross(x, y)], -1)


@dataclass(frozen=True, eq=False)
class _Plan:
    """What is the same for every pose and shape. A pair is a joint and a bone that moves it."""

    bone: Int[Tensor, "pair"]
    share: Float[Tensor, "pair"]
    """How far the joint follows the bone; the shares of a joint sum to 1."""
    moment: Float[Tensor, "pair 3"]
    """The joint's vertices at rest, weighted by what they follow of the bone."""
    moment_directions: Float[Tensor, "blend pair 3"]
    gather: Float[Tensor, "26 pair"]
    of_bone: Float[Tensor, "pair bone"]
    driven: Float[Tensor, "bone 17"]
    """How far each bone follows each segment."""
    above: Float[Tensor, "bone bone"]
    """1 where the second bone is the first or one that it hangs on."""
    segment: Int[Tensor, "bone"]
    partway: Int[Tensor, "partway"]
    """Bones that are turned partway between two segments."""
    towards: Int[Tensor, "partway"]
    partway_share: Float[Tensor, "partway"]


def _plan(body: Skinned) -> _Plan:
    shares = body.regressor @ body.weights  # joint bone
    joint, bone = (shares > LEAST).nonzero(as_tuple=True)
    pulls = [body.regressor[j] * body.weights[:, b] for j, b in zip(joint.tolist(), bone.tolist(), strict=True)]
    pull = torch.stack([*pulls, torch.zeros(len(body.template))])[: len(pulls)]
    total = torch.zeros(len(shares)).index_add(0, joint, pull.sum(1)) / body.regressor.sum(1).clamp_min(LEAST)
    pull = pull / total[joint, None]  # the pairs that were left out do not shorten a joint
    heads, named = body.head_regressor.nonzero(as_tuple=True)
    share = body.head_regressor[heads, named]
    above = torch.zeros(len(body.parents), len(body.parents))
    for place, parent in enumerate(body.parents):
        above[place] = above[parent] if parent >= 0 else 0
        above[place, place] = 1
    partway = [place for place, drive in enumerate(body.drives) if drive.towards]
    driven = torch.zeros(len(body.parents), len(SEGMENTS))
    for place, drive in enumerate(body.drives):
        driven[place, SEGMENTS.index(drive.segment)] += 1 - drive.share
        driven[place, SEGMENTS.index(drive.towards or drive.segment)] += drive.share
    bones = torch.cat([bone, named])
    return _Plan(
        bone=bones,
        share=torch.cat([pull.sum(1), share]),
        moment=torch.cat([pull @ body.template, share[:, None] * body.heads[named]]),
        moment_directions=torch.cat([pull @ body.directions, share[:, None] * body.head_directions[:, named]], 1),
        gather=torch.nn.functional.one_hot(torch.cat([joint, heads]), len(shares)).T.float(),
        of_bone=torch.nn.functional.one_hot(bones, len(body.parents)).float(),
        driven=driven,
        above=above,
        segment=torch.tensor([SEGMENTS.index(drive.segment) for drive in body.drives]),
        partway=torch.tensor(partway, dtype=torch.long),
        towards=torch.tensor([SEGMENTS.index(body.drives[place].towards or "") for place in partway], dtype=torch.long),
        partway_share=torch.tensor([body.drives[place].share for place in partway]),
    )
