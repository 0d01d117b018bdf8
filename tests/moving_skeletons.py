"""Rigid skeletons that move smoothly within the ranges of their joints."""

import numpy as np
import torch

from occlupose.bodies.fitting import from_rotation_vector
from occlupose.cameras import Camera
from occlupose.kinematics.angles import from_angles
from occlupose.kinematics.body_tree import body_tree
from occlupose.poses import Poses
from occlupose.skeletons import BODY26, convert

TREE = body_tree()


def smooth(random, frames, *shape, fps=60.0):
    """Values between -1 and 1 that change a few times a second."""
    time = np.arange(frames).reshape(-1, *[1] * len(shape)) / fps
    return np.sin(random.uniform(0, 6.28, shape) + random.uniform(2, 4, shape) * time)


def moving_angles(random, frames, share=0.3):
    """(time, joint, 3) angles around the middle of their ranges, elbows and knees well bent."""
    middle = (TREE.low + TREE.high).numpy() / 2
    half = (TREE.high - TREE.low).numpy() / 2
    return middle + share * half * smooth(random, frames, *middle.shape)


def moving_rotation(random, frames):
    """(time, segment, 3, 3) of a person who also turns around the whole, not relative to parents."""
    relative = from_angles(torch.from_numpy(moving_angles(random, frames)), TREE.axes)
    pelvis = from_rotation_vector(torch.from_numpy(smooth(random, frames, 3)))
    return TREE.compose(torch.cat([pelvis[:, None], relative], 1))


def own_bones(random):
    """(bone, 3) of a person unlike the average one."""
    return TREE.rest * (0.9 * torch.from_numpy(random.uniform(0.95, 1.05, (len(TREE.rest), 1))))


def moving_points(random, frames, bones=None):
    """(time, 1, point, 3) of the tree's points, metres, walking before a camera."""
    root = np.array([0, 0, 4.0]) + 0.3 * smooth(random, frames, 3)
    places = TREE.place(moving_rotation(random, frames), own_bones(random) if bones is None else bones)
    return (root[:, None] + places.numpy())[:, None]


def moving_poses(random, frames=40, people=2, skeleton=BODY26, fps=60.0):
    """A record of such people, seen by a camera."""
    points = np.concatenate([moving_points(random, frames) for _ in range(people)], 1)
    return poses_of(points + np.arange(people)[:, None, None] * (1, 0, 0), skeleton, fps)


def poses_of(points, skeleton=BODY26, fps=60.0):
    """A record of people whose points of the tree are at these places, (time, person, point, 3), all visible."""
    return poses_of_joints(convert(points, TREE.skeleton, skeleton), skeleton, fps)


def poses_of_joints(joints, skeleton=BODY26, fps=60.0):
    """A record of people whose joints are at these places, (time, person, joint, 3), all visible."""
    camera = Camera.from_fov(1280, 960, 70)
    return Poses(
        xy=camera.project(joints),
        score=np.ones(joints.shape[:3]),
        state=np.full(joints.shape[:3], 2),
        xyz=joints,
        track_id=np.arange(joints.shape[1]) * 3 + 1,
        time=np.arange(len(joints)) / fps,
        skeleton=skeleton,
        fps=fps,
        width=1280,
        height=960,
        camera=camera,
    )
