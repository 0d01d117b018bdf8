"""Virtual cameras and virtual bodies: from a few mocap clips to the people a temporal network will meet.

OANet section 4.2 turns poses about their axes and projects them orthographically. Cameras here are perspective, with
random direction, distance and focal length; bone lengths, mirror, speed, exchanged arms and bent joints are ours.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Generator, Tensor

from occlupose.skeletons import BODY22
from occlupose.synth.views import ELEVATION, ROLL, facing, turn

PARENTS = {
    "pelvis": None,
    "left_hip": "pelvis",
    "right_hip": "pelvis",
    "left_knee": "left_hip",
    "right_knee": "right_hip",
    "left_ankle": "left_knee",
    "right_ankle": "right_knee",
    "spine": "pelvis",
    "thorax": "spine",
    "neck_nose": "thorax",
    "head_top": "neck_nose",
    "nose": "neck_nose",
    "left_eye": "neck_nose",
    "right_eye": "neck_nose",
    "left_ear": "neck_nose",
    "right_ear": "neck_nose",
    "left_shoulder": "thorax",
    "right_shoulder": "thorax",
    "left_elbow": "left_shoulder",
    "right_elbow": "right_shoulder",
    "left_wrist": "left_elbow",
    "right_wrist": "right_elbow",
}
"""The bone that ends in a joint begins in its parent."""

PROPORTIONS = ("hip", "knee", "ankle", "spine", "thorax", "neck_nose", "head", "shoulder", "elbow", "wrist")
"""Bones that change length together, left and right."""


BEND = {
    "spine": 0.3,
    "thorax": 0.3,
    "neck_nose": 0.4,
    "head_top": 0.2,
    "shoulder": 0.15,
    "elbow": 1.0,
    "wrist": 1.0,
    "knee": 0.6,
    "ankle": 0.4,
}
"""How far the bone that ends in a joint is bent, against the upper arm."""

KNOT = 16
"""Frames in which a bend changes to another, at most."""


def _bend(joint: str) -> float:
    return BEND.get(joint.removeprefix("left_").removeprefix("right_"), 0.0)


def _group(joint: str) -> int:
    name = joint.split("_", 1)[-1] if joint.startswith(("left_", "right_")) else joint
    name = "head" if name in ("head_top", "nose", "eye", "ear") else name
    return PROPORTIONS.index(name) if name in PROPORTIONS else 0


def _chains() -> Float[Tensor, "22 22"]:
    """Row: a joint; column: the bones that lead to it from the pelvis."""
    chain = torch.zeros(len(BODY22), len(BODY22))
    for number, joint in enumerate(BODY22.joints):
        name: str | None = joint
        while name is not None:
            chain[number, BODY22.joints.index(name)] = 1
            name = PARENTS[name]
    return chain


CHAINS = _chains()
PARENT_INDEX = [BODY22.joints.index(PARENTS[joint] or joint) for joint in BODY22.joints]
GROUPS = torch.tensor([_group(joint) for joint in BODY22.joints])
BENDS = torch.tensor([_bend(joint) for joint in BODY22.joints])
PELVIS = BODY22.joints.index("pelvis")
ARMS = [BODY22.joints.index(f"{side}_{joint}") for side in ("left", "right") for joint in ("elbow", "wrist")]
SHOULDERS = [BODY22.joints.index(f"{side}_shoulder") for side in ("left", "left", "right", "right")]


@dataclass(frozen=True)
class Views:
    """How bodies and cameras vary. All ours, but the full turn about the vertical axis (paper section 4.2)."""

    bone_scale: float = 0.045
    """Standard deviation of each bone group's length, relative. The size of the whole body does not vary: a picture
    cannot tell it from the distance, so that it would only be noise in the truth."""
    distance: tuple[float, float] = (2.0, 9.0)
    """Metres from camera to person; drawn evenly in its logarithm."""
    elevation: tuple[float, float] = ELEVATION
    """Degrees by which the camera looks down on the person."""
    roll: float = ROLL
    """Standard deviation, degrees."""
    off_axis: float = 25.0
    """The person stands up to this many degrees beside the camera's axis."""
    speed: tuple[float, float] = (0.7, 1.45)
    still: float = 0.03
    """Share of sequences in which the capture stands still, as in single pictures."""
    mirror: float = 0.5
    arms: float = 0.2
    """Share of sequences that take their arms from another."""
    bent: float = 0.3
    """Share of sequences whose joints are bent away from the capture's, to stay and from time to time."""
    bend: float = 16.0
    """Standard deviation of the upper arm's bend, degrees about each axis."""
    tumble: float = 0.05
    """Share of bodies turned some other way up: lying, diving, head down."""
    wrong_focal: float = 0.3
    """Share of cameras whose focal length is known only to within 27 %."""


def body(
    joints: Float[Tensor, "batch time 22 3"], views: Views, generator: Generator
) -> Float[Tensor, "batch time 22 3"]:
    """Bodies of other builds: mirrored, with other bone lengths, some with the arms of another sequence, some bent."""
    batch = joints.shape[0]
    mirrored = joints[:, :, list(BODY22.mirror)] * joints.new_tensor([-1.0, 1.0, 1.0])
    joints = torch.where(_chance(batch, views.mirror, generator), mirrored, joints)
    joints = torch.where(
        _chance(batch, views.arms, generator), exchange_arms(joints, torch.randperm(batch, generator=generator)), joints
    )
    bones = joints - joints[:, :, PARENT_INDEX]
    bones[:, :, PELVIS] = joints[:, :, PELVIS]
    bones = torch.where(_chance(batch, views.bent, generator), bend(bones, views.bend, generator), bones)
    scale = 1 + views.bone_scale * torch.randn(batch, 1, len(PROPORTIONS), generator=generator).clamp(-2.5, 2.5)
    lengths = scale[..., GROUPS].clone()
    lengths[..., PELVIS] = 1
    return CHAINS @ (bones * lengths.unsqueeze(-1))


def bend(
    bones: Float[Tensor, "batch time 22 3"], degrees: float, generator: Generator
) -> Float[Tensor, "batch time 22 3"]:
    """Bones turned by smooth random angles, each together with all that hang on it; half of the turn stays, half comes
    and goes.
    """
    batch, time = bones.shape[:2]
    knots = torch.randn(batch, 3 * len(BODY22), time // KNOT + 3, generator=generator)
    moving = torch.nn.functional.interpolate(knots, size=time, mode="linear", align_corners=True)
    staying = torch.randn(batch, 3 * len(BODY22), 1, generator=generator)
    angles = torch.deg2rad(torch.tensor(degrees)) * (moving + staying) / 2**0.5
    turns = CHAINS @ (angles.unflatten(1, (len(BODY22), 3)).movedim(-1, 1) * BENDS.unsqueeze(-1))
    # Rodrigues' formula, the axis and the angle in one vector
    angle = turns.norm(dim=-1, keepdim=True)
    axis = turns / angle.clamp_min(1e-6)
    along = (axis * bones).sum(-1, keepdim=True) * axis
    return along + angle.cos() * (bones - along) + angle.sin() * torch.linalg.cross(axis, bones)


def exchange_arms(joints: Float[Tensor, "batch time 22 3"], order: Tensor) -> Float[Tensor, "batch time 22 3"]:
    """The arms of sequence `order[i]`, as its torso carries them, on the torso of sequence i."""
    frame = torso_frame(joints)
    arms = (joints[:, :, ARMS] - joints[:, :, SHOULDERS]) @ frame
    joints = joints.clone()
    joints[:, :, ARMS] = joints[:, :, SHOULDERS] + arms[order] @ frame.mT
    return joints


def torso_frame(joints: Float[Tensor, "batch time 22 3"]) -> Float[Tensor, "batch time 3 3"]:
    """Left, up and forward of the torso as columns."""
    at = BODY22.joints.index
    up = torch.nn.functional.normalize(joints[:, :, at("thorax")] - joints[:, :, PELVIS], dim=-1)
    left = joints[:, :, at("left_shoulder")] - joints[:, :, at("right_shoulder")]
    left = torch.nn.functional.normalize(left - (left * up).sum(-1, keepdim=True) * up, dim=-1)
    return torch.stack([left, up, torch.linalg.cross(left, up)], -1)


def look(
    joints: Float[Tensor, "batch time 22 3"], views: Views, generator: Generator
) -> Float[Tensor, "batch time 22 3"]:
    """The bodies as a random still camera sees them: metres, camera frame, from a world with y up."""
    batch = joints.shape[0]

    def draw(low: float, high: float) -> Tensor:
        return torch.empty(batch).uniform_(low, high, generator=generator)

    centre = joints[:, :, PELVIS].mean(1).view(batch, 1, 1, 3)
    joints = joints - centre
    upright = torch.eye(3).expand(batch, 3, 3)
    orthogonal, triangular = torch.linalg.qr(torch.randn(batch, 3, 3, generator=generator))
    tumbled = orthogonal * triangular.diagonal(dim1=-2, dim2=-1).sign().unsqueeze(-2)  # even over all rotations
    tumbled = tumbled * torch.linalg.det(tumbled).view(-1, 1, 1)
    way_up = torch.where(_chance(batch, views.tumble, generator).squeeze(-1), tumbled, upright)
    azimuth = draw(-torch.pi, torch.pi)
    elevation = torch.deg2rad(draw(*views.elevation))
    turned = facing(azimuth, elevation, torch.deg2rad(views.roll * torch.randn(batch, generator=generator))) @ way_up
    side = torch.deg2rad(torch.stack([draw(-views.off_axis, views.off_axis), draw(-views.off_axis, views.off_axis)]))
    distance = torch.exp(draw(*torch.log(torch.tensor(views.distance)).tolist()))
    away = torch.stack([torch.zeros(batch), torch.zeros(batch), distance], -1).unsqueeze(-1)
    aside = turn(1, side[0]) @ turn(0, side[1])
    seen = joints @ (aside @ turned).mT.unsqueeze(1) + (aside @ away).view(batch, 1, 1, 3)
    # whoever walks past the camera is kept in front of it
    near = seen[..., 2].amin((1, 2)).view(batch, 1, 1)
    seen[..., 2] += (0.6 - near).clamp_min(0)
    return seen


def _chance(batch: int, share: float, generator: Generator) -> Tensor:
    return torch.rand(batch, 1, 1, 1, generator=generator) < share
