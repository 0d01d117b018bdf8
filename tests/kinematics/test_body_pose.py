import numpy as np
import torch

from moving_skeletons import TREE
from occlupose.bodies.anny import anny
from occlupose.bodies.body import SEGMENTS
from occlupose.kinematics.body_pose import from_tree, rest_rotations, to_tree
from occlupose.skeletons import BODY26


def test_a_body_model_at_rest_is_the_tree_turned_to_its_rest_pose():
    body = anny(captured=True)
    joints = dict(zip(BODY26.joints, body.rest(body.neutral[None])[0].numpy(), strict=True))
    rotation = to_tree(torch.eye(3).expand(1, len(SEGMENTS), 3, 3), TREE)
    points = dict(zip(TREE.points, TREE.place(rotation, TREE.rest)[0].numpy(), strict=True))
    for name in ("left_wrist", "right_elbow", "left_ankle", "right_foot", "head_top"):
        np.testing.assert_allclose(points[name], joints[name] - joints["pelvis"], atol=2e-3)


def test_a_pose_of_a_body_model_comes_back():
    random = np.random.default_rng(0)
    pose = torch.linalg.qr(torch.from_numpy(random.standard_normal((4, len(SEGMENTS), 3, 3)))).Q
    pose = pose * torch.linalg.det(pose)[..., None, None]
    np.testing.assert_allclose(from_tree(to_tree(pose, TREE), TREE), pose, atol=1e-12)


def test_rest_rotations_are_rotations_and_mirrored():
    rotation = rest_rotations()
    np.testing.assert_allclose(rotation @ rotation.mT, torch.eye(3).double().expand_as(rotation), atol=1e-12)
    mirror = np.diag([-1.0, 1, 1])
    left = rotation[SEGMENTS.index("left_forearm")].numpy()
    np.testing.assert_allclose(rotation[SEGMENTS.index("right_forearm")], mirror @ left @ mirror, atol=1e-9)
