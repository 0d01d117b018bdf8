"""Records of rigid skeletons on the floor before a tilted camera, and where they truly are."""

from dataclasses import replace

import numpy as np
from scipy.spatial.transform import Rotation

from known_fits import known_fit
from moving_skeletons import TREE, poses_of
from occlupose.body_parts import BEARING
from occlupose.kinematics.result import BY_FRAME
from occlupose.world_frame import WorldFrame
from pose_records import covariances
from walking_people import HEIGHT, tilt

PITCH = 20.0
ROLL = 8.0
WALK = [{"left_thigh": (-0.1 * frame, 0, 0), "pelvis": (0, 0.3 * frame, 0)} for frame in range(5)]
"""Segments that are turned, frame by frame."""


def standing(frames=WALK, people=1):
    """People with y up, the floor at y = 0 and the camera above the origin, looking along -z; covariances at random."""
    fits = [known_fit(frames) for _ in range(people)]
    random = np.random.default_rng(0)
    own = {name: np.concatenate([getattr(fit, name) for fit in fits], 1) for name in BY_FRAME}
    own["root"] = own["root"] + np.arange(people)[:, None] * (1, 0, 0) - (0, fits[0].xyz[..., 1].min(), 0)
    own["xyz"] = own["xyz"] + (own["root"] - fits[0].root)[:, :, None]
    for name in ("covariance", "root_covariance", "turn_covariance"):
        own[name] = covariances(random, own[name].shape[:-1])
    offsets = np.concatenate([fit.bone_offsets for fit in fits])
    return replace(fits[0], bone_offsets=offsets, **{name: np.float32(values) for name, values in own.items()})


def record_of(truth, skeleton=TREE.skeleton, fps=50.0, pitch=PITCH, roll=ROLL):
    """The record of `standing` people, as the camera sees them; they touch the floor with their left heel."""
    axes = tilt(pitch, roll) @ np.diag([1.0, -1, -1])
    above = (0, HEIGHT, 0)
    poses = poses_of((truth.xyz - above) @ axes.T, skeleton, fps)
    pelvis = Rotation.from_matrix(axes) * Rotation.from_quat(
        truth.rotation[..., 0, :].reshape(-1, 4), scalar_first=True
    )
    rotation = truth.rotation.copy()
    rotation[..., 0, :] = pelvis.as_quat(scalar_first=True).reshape(rotation[..., 0, :].shape)
    contact = np.zeros((*poses.state.shape[:2], len(BEARING)))
    contact[..., BEARING.index("left_heel")] = 0.75
    six = {name: turned(getattr(truth, name), axes) for name in ("covariance", "root_covariance", "turn_covariance")}
    joints = [TREE.points.index(joint) for joint in skeleton.joints]
    return replace(
        poses,
        covariance=six["covariance"][:, :, joints],
        root_covariance=six["root_covariance"],
        xyz_lifted=poses.xyz + 0.01,
        rotation=rotation,
        rotation_covariance=six["turn_covariance"],
        contact=contact,
        bone_offsets=truth.bone_offsets,
        shape=np.full((len(truth.bone_offsets), 11), 0.5),
        world=WorldFrame.from_floor(axes @ (0, 1, 0), -HEIGHT, covariance=np.diag([0.03, 0.03, 0.02]) ** 2),
    )


def turned(covariance, axes):
    """Covariances (xx, yy, zz, xy, xz, yz) in other axes."""
    matrix = covariance[..., [0, 3, 4, 3, 1, 5, 4, 5, 2]].reshape(*covariance.shape[:-1], 3, 3)
    other = axes @ matrix @ axes.T
    return other[..., [0, 1, 2, 0, 0, 1], [0, 1, 2, 1, 2, 2]]
