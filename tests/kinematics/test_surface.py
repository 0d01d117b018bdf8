import numpy as np
import torch

from known_fits import known_fit, without
from moving_skeletons import TREE, moving_poses
from occlupose import body_parts
from occlupose.bodies.anny import anny
from occlupose.bodies.body import SEGMENTS
from occlupose.kinematics import fit_poses
from occlupose.kinematics.body_pose import to_tree
from occlupose.kinematics.surface import measure_shape, move_body, shape_body
from occlupose.skeletons import convert

BODY = anny(captured=True)


def test_a_body_at_rest_has_the_bones_of_the_person():
    random = np.random.default_rng(0)
    offsets = TREE.rest.numpy() * random.uniform(0.85, 1.1, (len(TREE.rest), 1))
    own = shape_body(offsets.astype(np.float32), BODY)
    placed = TREE.place(to_tree(torch.eye(3).expand(1, len(SEGMENTS), 3, 3), TREE), torch.from_numpy(offsets))
    expected = convert(placed.numpy(), TREE.skeleton, own.skeleton)[0]
    joints = own.rest(own.neutral[None])[0].numpy()
    apart = joints - joints.mean(0) - expected + expected.mean(0)
    assert np.linalg.norm(apart, axis=1).max() < 2e-3
    beyond = own.template.numpy() - joints[own.skeleton.index("pelvis")] - own.heads[0].numpy()
    assert np.linalg.norm(beyond, axis=1).max() < 1.3  # nothing flies off


def test_the_average_body_stays_as_it_is():
    own = shape_body(TREE.rest.numpy().astype(np.float32), BODY)
    average = BODY.template + (BODY.blend(BODY.neutral[None]) @ BODY.directions.flatten(1)).reshape(-1, 3)
    assert np.linalg.norm(own.template - average, axis=1).mean() < 0.01


def test_the_shape_of_a_body_is_measured_from_its_bones():
    tall = BODY.neutral.clone()
    tall[body_parts.SHAPE.index("height")] = 0.8
    joints = BODY.rest(tall[None])[0].numpy()
    points = convert(joints[None], BODY.skeleton, TREE.skeleton)[0]
    offsets = points[1:] - points[list(TREE.start)]
    own = measure_shape(np.where(np.isnan(offsets), TREE.rest, offsets).astype(np.float32), BODY)
    average = measure_shape(TREE.rest.numpy().astype(np.float32), BODY)
    assert own.dtype == np.float32 and own.shape == (len(body_parts.SHAPE),)
    assert own[body_parts.SHAPE.index("height")] > average[body_parts.SHAPE.index("height")] + 0.05
    np.testing.assert_allclose(average, BODY.neutral, atol=0.05)


def test_joints_of_the_surface_are_near_those_of_the_fit():
    fit = fit_poses(moving_poses(np.random.default_rng(0), 10, people=1))
    joints = move_body(fit, 0, BODY).at(slice(None)).joints.numpy()
    errors = np.linalg.norm(joints - fit.joints(BODY.skeleton)[:, 0], axis=-1)
    assert errors.mean() < 0.01 and errors.max() < 0.05


def test_a_body_moves_where_the_person_is_known():
    fit = without(known_fit([{"left_shank": (1, 0, 0)}] * 3), [2])
    motion = move_body(fit, 0, BODY)
    assert len(motion.pose) == len(motion.translation) == len(motion.bones()[0]) == 2
