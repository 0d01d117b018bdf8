"""Body models: joints and surface from segment rotations and shape, by linear blend skinning.

A pose means the same for every body model: the rotation of each of 17 rigid segments from the model's own rest pose, in
world axes. At rest a body stands upright, y up, facing +z, its left at +x. The bones of a model follow the segments,
some of them partway between two (the spine's between pelvis and chest). Since rotations are not relative to a parent,
two matrix products place all bones of a batch of bodies. The segments are ours; skinning is SMPL's (Loper et al., 2015,
eq. 2-4).
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor

from occlupose.skeletons import BODY26, Skeleton

SIDES = ("left", "right")

FACE_OFFSET = 0.015
"""Metres in front of the ears at which the face begins; ours."""

MIN_SHARE = 1e-4
"""A joint ignores bones with a smaller weight."""

SEGMENTS = (
    *("pelvis", "chest", "head"),
    *(f"{side}_{segment}" for side in SIDES for segment in "clavicle upper_arm forearm hand thigh shank foot".split()),
)
"""The rigid segments of a pose."""

PARTS = (
    *(f"{side}_{part}" for part in ("face", "skull", "neck", "trunk") for side in SIDES),
    *(f"{side}_{part}" for side in SIDES for part in "upper_arm forearm hand thigh shank foot".split()),
)
"""Parts of the surface. Head and trunk are halved, so that the near half occludes the joints of the far one."""

_ADJACENT = {
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
    "big_toe": ("foot",),
    "heel": ("foot", "shank"),
}
"""Parts that contain or border a joint, of its own side; for joints on the midline, of both sides."""


def adjacent_parts(joint: str) -> tuple[str, ...]:
    """The parts next to a joint of BODY26 or FEET4, which do not occlude it."""
    own = [side for side in SIDES if joint.startswith(f"{side}_")]
    name = joint.removeprefix(f"{own[0]}_") if own else joint
    return tuple(f"{side}_{part}" for part in _ADJACENT[name] for side in own or SIDES)


def assign_parts(regions: list[str], rest: Float[np.ndarray, "vertex 3"], ears: float) -> UInt8[Tensor, "vertex"]:
    """The body part of each vertex, as an index of PARTS.

    Arguments:
        regions: what each vertex mostly follows: one of SEGMENTS or `neck`.
        rest: vertices of an average body at rest, metres.
        ears: z of that body's ears.
    """
    result = []
    for name, (x, _, z) in zip(regions, rest.tolist(), strict=True):
        side, _, part = name.rpartition("_")
        if name == "head":
            part = "face" if z > ears + FACE_OFFSET else "skull"
        elif name in ("pelvis", "chest") or part == "clavicle":
            side = ""
            part = "trunk"
        result.append(PARTS.index(f"{side or SIDES[x < 0]}_{part}"))
    return torch.tensor(result, dtype=torch.uint8)


@dataclass(frozen=True, eq=False)
class PosedBodies:
    """Surface and joints of posed bodies, in metres, in the axes of the rotations."""

    vertices: Float[Tensor, "batch vertex 3"]
    joints: Float[Tensor, "batch 26 3"]


@dataclass(frozen=True)
class BoneDriver:
    """What rotates a bone: `segment`, or a rotation `share` of the way from there to `towards`."""

    segment: str
    towards: str | None = None
    share: float = 0.0


@dataclass(frozen=True, eq=False)
class BodyModel:
    """A body model: its surface follows its bones by linear blend skinning.

    Attributes:
        name: of the model, as in files.
        parents: parent of each bone; -1 for the root, which comes first.
        drivers: what rotates each bone.
        template, directions: the surface at rest, and the displacement of its vertices by each blend weight, metres.
        heads, head_directions: the same for the head (start) of each bone.
        weights: skinning weights; rows sum to 1.
        faces: vertices of each triangle of the surface.
        part: body part of each vertex, as an index of PARTS.
        regressor, head_regressor: each joint as a weighted mean of vertices and of bone heads; the weights of both
            together sum to 1.
        shape_names: meaning of the numbers of a shape.
        low, high, neutral: minimum, maximum and average value of each.
        blend: blend weights from a shape.
        skeleton: of the joints.
        texture: texture coordinates, the same for every shape: vertices of an average body at rest.
        grip: additional rotation of the finger bones.
        pose_directions: pose blend shapes: the displacement of the surface at rest by each number of the bones'
            rotation matrices (without the root, relative to their parents) minus the identity, row by row; metres.
            Joints ignore it.
    """

    name: str
    parents: tuple[int, ...]
    drivers: tuple[BoneDriver, ...]
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
        """The joints at rest, with the root bone where the model has it."""
        identity = torch.eye(3).expand(len(shape), len(SEGMENTS), 3, 3)
        return self.joints(identity, shape, torch.zeros(len(shape), 3))

    def joints(
        self,
        pose: Float[Tensor, "batch 17 3 3"],
        shape: Float[Tensor, "batch shape"],
        translation: Float[Tensor, "batch 3"],
    ) -> Float[Tensor, "batch 26 3"]:
        """The joints without the surface, faster: the regressor is applied to each bone once, before posing.

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
    ) -> PosedBodies:
        """Surface and joints, differentiable in every argument.

        Arguments:
            pose: rotation of each of SEGMENTS from rest.
            shape: numbers named by `shape_names`.
            translation: of the root bone from the origin, metres.
        """
        weights = self.blend(shape)
        rotation, head, position = self._bones(pose, weights, translation)
        rest = self.template + (weights @ self.directions.flatten(1)).unflatten(1, self.template.shape)
        if self.pose_directions is not None:
            local = rotation[:, self.parents[1:]].mT @ rotation[:, 1:] - torch.eye(3)
            rest = rest + (local.flatten(1) @ self.pose_directions.flatten(1)).unflatten(1, self.template.shape)
        move = position - torch.einsum("bkij,bkj->bki", rotation, head)
        bones = torch.cat([rotation.flatten(2), move], 2)  # batch bone 12
        skin = (self.weights @ bones.permute(1, 0, 2).flatten(1)).unflatten(1, (len(pose), 12)).transpose(0, 1)
        vertices = (skin[..., :9].unflatten(-1, (3, 3)) * rest.unsqueeze(-2)).sum(-1) + skin[..., 9:]
        return PosedBodies(vertices, self.joints(pose, shape, translation))

    def bones(
        self,
        pose: Float[Tensor, "batch 17 3 3"],
        shape: Float[Tensor, "batch shape"],
        translation: Float[Tensor, "batch 3"],
    ) -> tuple[Float[Tensor, "batch bone 3 3"], Float[Tensor, "batch bone 3"]]:
        """Rotation of every bone from rest, and where its head is, metres; arguments as of a call."""
        rotation, _, position = self._bones(pose, self.blend(shape), translation)
        return rotation, position

    def lever_arms(
        self,
        pose: Float[Tensor, "batch 17 3 3"],
        shape: Float[Tensor, "batch shape"],
        translation: Float[Tensor, "batch 3"],
    ) -> tuple[Float[Tensor, "batch 26 3"], Float[Tensor, "batch 26 17 3"]]:
        """The joints, and the lever arm of each segment on each joint, for Gauss-Newton steps: a small rotation vector
        w of the segment moves the joint by w x lever.

        A bone between two segments gets a part of each rotation, which is exact to first order.
        """
        plan = self._plan
        joints, local, position = self._gathered(pose, shape, translation)
        own = torch.einsum("jp,pn,bpc->bjnc", plan.gather, plan.of_bone, local)
        parents = torch.tensor(self.parents[1:])
        # (joint, bone): weight of the joint on the bone and its descendants
        carried = (plan.gather * plan.share) @ plan.above[plan.bone][:, 1:]
        offset = position[:, 1:] - position[:, parents]
        below = torch.einsum("jm,mn,bmc->bjnc", carried, torch.eye(len(self.parents))[parents], offset)
        return joints, torch.einsum("bjnc,ns->bjsc", own + below, plan.driven)

    def _gathered(
        self,
        pose: Float[Tensor, "batch 17 3 3"],
        shape: Float[Tensor, "batch shape"],
        translation: Float[Tensor, "batch 3"],
    ) -> tuple[Float[Tensor, "batch 26 3"], Float[Tensor, "batch pair 3"], Float[Tensor, "batch bone 3"]]:
        """The joints, the contribution of each (joint, bone) pair measured from the bone's head, and the bone heads."""
        plan = self._plan
        weights = self.blend(shape)
        rotation, head, position = self._bones(pose, weights, translation)
        moment = plan.moment + torch.einsum("bk,kpc->bpc", weights, plan.moment_directions)
        local = torch.einsum("bpij,bpj->bpi", rotation[:, plan.bone], moment - plan.share[:, None] * head[:, plan.bone])
        moved = local + plan.share[:, None] * position[:, plan.bone]
        return torch.einsum("jp,bpc->bjc", plan.gather, moved), local, position

    def _bones(
        self,
        pose: Float[Tensor, "batch 17 3 3"],
        weights: Float[Tensor, "batch blend"],
        translation: Float[Tensor, "batch 3"],
    ) -> tuple[Float[Tensor, "batch bone 3 3"], Float[Tensor, "batch bone 3"], Float[Tensor, "batch bone 3"]]:
        """Rotation of every bone, its head at rest, and its posed head."""
        plan = self._plan
        rotation = pose[:, plan.segment]
        partway = interpolate_rotations(rotation[:, plan.partway], pose[:, plan.towards], plan.partway_share)
        rotation = rotation.index_copy(1, plan.partway, partway)
        if self.grip is not None:
            rotation = rotation @ self.grip
        head = self.heads + torch.einsum("bk,knc->bnc", weights, self.head_directions)
        parents = torch.tensor(self.parents[1:])
        offset = torch.einsum("bkij,bkj->bki", rotation[:, parents], head[:, 1:] - head[:, parents])
        position = translation[:, None] + torch.einsum("km,bmc->bkc", plan.above[:, 1:], offset)
        return rotation, head, position


def interpolate_rotations(
    one: Float[Tensor, "*batch 3 3"], other: Float[Tensor, "*batch 3 3"], share: Float[Tensor, "*#batch"]
) -> Float[Tensor, "*batch 3 3"]:
    """Rotations `share` of the way from one to another, by interpolating and orthonormalising their axes; smooth below
    180 degrees.
    """
    return gram_schmidt(torch.lerp(one, other, share[..., None, None].expand_as(one)))


def gram_schmidt(axes: Float[Tensor, "*batch 3 3"]) -> Float[Tensor, "*batch 3 3"]:
    """Rotations from the first two columns of matrices, by Gram-Schmidt orthonormalisation."""
    x = torch.nn.functional.normalize(axes[..., 0], dim=-1)
    y = axes[..., 1]
    y = torch.nn.functional.normalize(y - (x * y).sum(-1, keepdim=True) * x, dim=-1)
    return torch.stack([x, y, torch.linalg.cross(x, y)], -1)


@dataclass(frozen=True, eq=False)
class _Plan:
    """Values that do not depend on pose and shape. A pair is a joint and a bone that moves it.

    Attributes:
        bone: of each pair.
        share: weight of the bone; those of a joint sum to 1.
        moment: sum of the joint's vertices at rest, weighted by regressor and skinning weight.
        moment_directions: its displacement by each blend weight.
        gather: sums pairs to joints.
        of_bone: one-hot rows of `bone`.
        driven: weight of each segment in the rotation of each bone.
        above: 1 where the column's bone is the row's bone or an ancestor.
        segment: of each bone's driver.
        partway, towards, partway_share: bones between two segments, the second segment, and its share.
    """

    bone: Int[Tensor, "pair"]
    share: Float[Tensor, "pair"]
    moment: Float[Tensor, "pair 3"]
    moment_directions: Float[Tensor, "blend pair 3"]
    gather: Float[Tensor, "26 pair"]
    of_bone: Float[Tensor, "pair bone"]
    driven: Float[Tensor, "bone 17"]
    above: Float[Tensor, "bone bone"]
    segment: Int[Tensor, "bone"]
    partway: Int[Tensor, "partway"]
    towards: Int[Tensor, "partway"]
    partway_share: Float[Tensor, "partway"]


def _plan(body: BodyModel) -> _Plan:
    shares = body.regressor @ body.weights  # joint bone
    joint, bone = (shares > MIN_SHARE).nonzero(as_tuple=True)
    rows = [body.regressor[j] * body.weights[:, b] for j, b in zip(joint.tolist(), bone.tolist(), strict=True)]
    vertex_weights = torch.stack([*rows, torch.zeros(len(body.template))])[: len(rows)]  # pair vertex
    total = torch.zeros(len(shares)).index_add(0, joint, vertex_weights.sum(1))
    total = total / body.regressor.sum(1).clamp_min(MIN_SHARE)
    vertex_weights = vertex_weights / total[joint, None]  # ignored pairs do not scale a joint down
    head_joint, head_bone = body.head_regressor.nonzero(as_tuple=True)
    head_share = body.head_regressor[head_joint, head_bone]
    above = torch.zeros(len(body.parents), len(body.parents))
    for row, parent in enumerate(body.parents):
        above[row] = above[parent] if parent >= 0 else 0
        above[row, row] = 1
    partway = [bone for bone, driver in enumerate(body.drivers) if driver.towards]
    between = [body.drivers[bone] for bone in partway]
    driven = torch.zeros(len(body.parents), len(SEGMENTS))
    for row, driver in enumerate(body.drivers):
        driven[row, SEGMENTS.index(driver.segment)] += 1 - driver.share
        driven[row, SEGMENTS.index(driver.towards or driver.segment)] += driver.share
    bones = torch.cat([bone, head_bone])
    head_directions = head_share[:, None] * body.head_directions[:, head_bone]
    return _Plan(
        bone=bones,
        share=torch.cat([vertex_weights.sum(1), head_share]),
        moment=torch.cat([vertex_weights @ body.template, head_share[:, None] * body.heads[head_bone]]),
        moment_directions=torch.cat([vertex_weights @ body.directions, head_directions], 1),
        gather=torch.nn.functional.one_hot(torch.cat([joint, head_joint]), len(shares)).T.float(),
        of_bone=torch.nn.functional.one_hot(bones, len(body.parents)).float(),
        driven=driven,
        above=above,
        segment=torch.tensor([SEGMENTS.index(driver.segment) for driver in body.drivers]),
        partway=torch.tensor(partway, dtype=torch.long),
        towards=torch.tensor([SEGMENTS.index(driver.towards or "") for driver in between], dtype=torch.long),
        partway_share=torch.tensor([driver.share for driver in between]),
    )
