"""Augmentation of motion capture: other bodies, seen by random virtual cameras.

OANet section 4.2 rotates poses about their axes and projects them orthographically. Cameras here are perspective, with
random direction, distance and focal length; bone lengths, mirroring, speed, exchanged arms and bent joints are ours.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Generator, Tensor

from occlupose.bounds import Bounded, Fraction, NonNegative, Positive
from occlupose.skeletons import BODY22
from occlupose.synth.virtual_cameras import ELEVATION, ROLL, axis_rotation, camera_rotation

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
"""Parent of each joint; a bone is named after the joint at its end."""

PROPORTIONS = ("hip", "knee", "ankle", "spine", "thorax", "neck_nose", "head", "shoulder", "elbow", "wrist")
"""Groups of bones that share a length factor, left and right."""

BENDING = {
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
"""Bending of each bone, relative to that of the upper arm."""

KNOT_SPACING = 16
"""Largest number of frames between two knots of a bending angle."""


def _bending(joint: str) -> float:
    return BENDING.get(joint.removeprefix("left_").removeprefix("right_"), 0.0)


def _group(joint: str) -> int:
    name = joint.split("_", 1)[-1] if joint.startswith(("left_", "right_")) else joint
    name = "head" if name in ("head_top", "nose", "eye", "ear") else name
    return PROPORTIONS.index(name) if name in PROPORTIONS else 0


def _chains() -> Float[Tensor, "22 22"]:
    """Rows: joints; columns: 1 for the bones from the pelvis to the joint."""
    chains = torch.zeros(len(BODY22), len(BODY22))
    for row, joint in enumerate(BODY22.joints):
        name: str | None = joint
        while name is not None:
            chains[row, BODY22.joints.index(name)] = 1
            name = PARENTS[name]
    return chains


CHAINS = _chains()
PARENT_INDEX = [BODY22.joints.index(PARENTS[joint] or joint) for joint in BODY22.joints]
GROUPS = torch.tensor([_group(joint) for joint in BODY22.joints])
JOINT_BENDING = torch.tensor([_bending(joint) for joint in BODY22.joints])
PELVIS = BODY22.joints.index("pelvis")
ARMS = [BODY22.joints.index(f"{side}_{joint}") for side in ("left", "right") for joint in ("elbow", "wrist")]
SHOULDERS = [BODY22.joints.index(f"{side}_shoulder") for side in ("left", "left", "right", "right")]


@dataclass(frozen=True)
class BodyAugmentation(Bounded):
    """Range of bodies and cameras; probabilities are per sequence. All ours, except the full turn about the vertical
    axis (paper section 4.2).
    """

    bone_scale: NonNegative = 0.045
    """Standard deviation of the relative length of each bone group. The size of the whole body does not vary: it cannot
    be told from the distance in an image, so it would be noise in the ground truth.
    """
    distance: tuple[Positive, Positive] = (2.0, 9.0)
    """Range of the distance of camera and person, metres; log-uniform."""
    elevation: tuple[float, float] = ELEVATION
    """Range of the angle by which the camera looks down on the person, degrees."""
    roll: NonNegative = ROLL
    """Standard deviation, degrees."""
    off_axis: NonNegative = 25.0
    """Largest angle between the person and the camera's axis, degrees."""
    speed: tuple[Positive, Positive] = (0.7, 1.45)
    still_probability: Fraction = 0.03
    """Probability of a motionless sequence, as in single images."""
    mirror_probability: Fraction = 0.5
    arm_exchange_probability: Fraction = 0.2
    """Probability of the arms of another sequence."""
    bend_probability: Fraction = 0.3
    """Probability of bent joints, partly constant and partly changing over time."""
    bend: NonNegative = 16.0
    """Standard deviation of the upper arm's bending, degrees about each axis."""
    tumble_probability: Fraction = 0.05
    """Probability of a random orientation: lying, diving, head down."""
    wrong_focal_probability: Fraction = 0.3
    """Probability of a focal length that is known only to within 27 %."""


def mirror_people(
    joints: Float[Tensor, "batch person time 22 3"], probability: float, generator: Generator
) -> Float[Tensor, "batch person time 22 3"]:
    """Some sequences as in a mirror, all people of a sequence together."""
    mirrored = joints[..., list(BODY22.mirror), :] * joints.new_tensor([-1.0, 1.0, 1.0])
    return torch.where(_choose(len(joints), probability, generator).unsqueeze(1), mirrored, joints)


def augment_bodies(
    joints: Float[Tensor, "batch time 22 3"], augmentation: BodyAugmentation, generator: Generator
) -> Float[Tensor, "batch time 22 3"]:
    """Other bodies: with other bone lengths, with the arms of another sequence, with bent joints."""
    batch = joints.shape[0]
    with_other_arms = _choose(batch, augmentation.arm_exchange_probability, generator)
    other_arms = exchange_arms(joints, torch.randperm(batch, generator=generator))
    joints = torch.where(with_other_arms, other_arms, joints)
    bones = joints - joints[:, :, PARENT_INDEX]
    bones[:, :, PELVIS] = joints[:, :, PELVIS]
    with_bend = _choose(batch, augmentation.bend_probability, generator)
    bones = torch.where(with_bend, bend_joints(bones, augmentation.bend, generator), bones)
    factor = torch.randn(batch, 1, len(PROPORTIONS), generator=generator).clamp(-2.5, 2.5)
    scale = 1 + augmentation.bone_scale * factor
    lengths = scale[..., GROUPS].clone()
    lengths[..., PELVIS] = 1
    return CHAINS @ (bones * lengths.unsqueeze(-1))


def bend_joints(
    bones: Float[Tensor, "batch time 22 3"], degrees: float, generator: Generator
) -> Float[Tensor, "batch time 22 3"]:
    """Bones rotated by random angles, each together with the bones after it; half of the variance is constant, half
    changes smoothly over time.
    """
    batch, time = bones.shape[:2]
    knots = torch.randn(batch, 3 * len(BODY22), time // KNOT_SPACING + 3, generator=generator)
    moving = torch.nn.functional.interpolate(knots, size=time, mode="linear", align_corners=True)
    constant = torch.randn(batch, 3 * len(BODY22), 1, generator=generator)
    angles = torch.deg2rad(torch.tensor(degrees)) * (moving + constant) / 2**0.5
    rotation = CHAINS @ (angles.unflatten(1, (len(BODY22), 3)).movedim(-1, 1) * JOINT_BENDING.unsqueeze(-1))
    # Rodrigues' formula for a rotation vector
    angle = rotation.norm(dim=-1, keepdim=True)
    axis = rotation / angle.clamp_min(1e-6)
    along = (axis * bones).sum(-1, keepdim=True) * axis
    return along + angle.cos() * (bones - along) + angle.sin() * torch.linalg.cross(axis, bones)


def exchange_arms(joints: Float[Tensor, "batch time 22 3"], order: Tensor) -> Float[Tensor, "batch time 22 3"]:
    """The arms of sequence `order[i]`, relative to its torso, on the torso of sequence i."""
    frame = torso_axes(joints)
    arms = (joints[:, :, ARMS] - joints[:, :, SHOULDERS]) @ frame
    joints = joints.clone()
    joints[:, :, ARMS] = joints[:, :, SHOULDERS] + arms[order] @ frame.mT
    return joints


def torso_axes(joints: Float[Tensor, "batch time 22 3"]) -> Float[Tensor, "batch time 3 3"]:
    """Left, up and forward directions of the torso, as columns."""
    at = BODY22.joints.index
    up = torch.nn.functional.normalize(joints[:, :, at("thorax")] - joints[:, :, PELVIS], dim=-1)
    left = joints[:, :, at("left_shoulder")] - joints[:, :, at("right_shoulder")]
    left = torch.nn.functional.normalize(left - (left * up).sum(-1, keepdim=True) * up, dim=-1)
    return torch.stack([left, up, torch.linalg.cross(left, up)], -1)


def to_random_camera(
    joints: Float[Tensor, "batch time joint 3"], augmentation: BodyAugmentation, generator: Generator
) -> Float[Tensor, "batch time joint 3"]:
    """The bodies in the frame of a random fixed camera each (metres), from a world with y up.

    Arguments:
        joints: BODY22 of whom the camera is directed at, and joints of others.
    """
    batch = joints.shape[0]

    def draw(low: float, high: float) -> Tensor:
        return torch.empty(batch).uniform_(low, high, generator=generator)

    centre = joints[:, :, PELVIS].mean(1).view(batch, 1, 1, 3)
    joints = joints - centre
    upright = torch.eye(3).expand(batch, 3, 3)
    orthogonal, triangular = torch.linalg.qr(torch.randn(batch, 3, 3, generator=generator))
    tumbled = orthogonal * triangular.diagonal(dim1=-2, dim2=-1).sign().unsqueeze(-2)  # uniform over all rotations
    tumbled = tumbled * torch.linalg.det(tumbled).view(-1, 1, 1)
    tumbles = _choose(batch, augmentation.tumble_probability, generator).squeeze(-1)
    orientation = torch.where(tumbles, tumbled, upright)
    azimuth = draw(-torch.pi, torch.pi)
    elevation = torch.deg2rad(draw(*augmentation.elevation))
    roll = torch.deg2rad(augmentation.roll * torch.randn(batch, generator=generator))
    rotation = camera_rotation(azimuth, elevation, roll) @ orientation
    across = torch.deg2rad(draw(-augmentation.off_axis, augmentation.off_axis))
    down = torch.deg2rad(draw(-augmentation.off_axis, augmentation.off_axis))
    distance = torch.exp(draw(*torch.log(torch.tensor(augmentation.distance)).tolist()))
    position = torch.stack([torch.zeros(batch), torch.zeros(batch), distance], -1).unsqueeze(-1)
    off_axis = axis_rotation(1, across) @ axis_rotation(0, down)
    in_camera = joints @ (off_axis @ rotation).mT.unsqueeze(1) + (off_axis @ position).view(batch, 1, 1, 3)
    # people who walk past the camera are kept in front of it
    nearest = in_camera[..., 2].amin((1, 2)).view(batch, 1, 1)
    in_camera[..., 2] += (0.6 - nearest).clamp_min(0)
    return in_camera


def _choose(batch: int, probability: float, generator: Generator) -> Tensor:
    return torch.rand(batch, 1, 1, 1, generator=generator) < probability
