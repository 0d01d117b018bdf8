import numpy as np
import pytest

from moving_skeletons import TREE, moving_points
from occlupose.errors import OccluposeError
from occlupose.kinematics.observations import observe
from occlupose.kinematics.prior import captured_prior
from occlupose.kinematics.solver import RigidBody
from occlupose.kinematics.start import check_view, first_motion, interpolate_gaps
from occlupose.skeletons import COCO17, H36M17, convert
from occlupose.world_frame import level_axes


@pytest.mark.parametrize("skeleton", [H36M17, COCO17], ids=lambda skeleton: skeleton.name)
def test_the_first_motion_is_near_the_joints(skeleton):
    points = moving_points(np.random.default_rng(0), 30, TREE.rest)[:, 0]
    observations = observe(TREE, convert(points, TREE.skeleton, skeleton), skeleton)
    motion = first_motion(RigidBody(TREE, captured_prior(), TREE.rest), observations, (0, -1, 0))
    places = motion.root[:, None] + TREE.place(motion.rotation, TREE.rest)[:, observations.points]
    assert (places - observations.xyz).norm(dim=-1).mean() < 0.12


@pytest.mark.parametrize("up", [(0, -1, 0), (0, 1, 0), (0, 0, 1), (3, 1, -2)])
def test_where_nothing_tells_a_person_stands_up(up):
    xyz = np.full((1, 17, 3), np.nan)
    xyz[0, 0] = (1, 2, 3)
    observations = observe(TREE, xyz, H36M17)
    motion = first_motion(RigidBody(TREE, captured_prior(), TREE.rest), observations, up)
    y = motion.rotation[0, 0, :, 1].numpy()
    np.testing.assert_allclose(y, np.array(up) / np.linalg.norm(up), atol=1e-6)
    np.testing.assert_allclose(motion.root[0], (1, 2, 3), atol=1e-6)


def test_gaps_are_on_the_line_and_ends_stay():
    values = np.full((6, 2, 3), np.nan)
    values[1, 0] = 1
    values[4, 0] = (4, 1, -2)
    filled = interpolate_gaps(values)
    np.testing.assert_allclose(filled[:, 0, 0], [1, 1, 2, 3, 4, 4])
    np.testing.assert_allclose(filled[:, 0, 2], [1, 1, 0, -1, -2, -2])
    assert np.isnan(filled[:, 1]).all()


@pytest.mark.parametrize(("fps", "up"), [(-1.0, (0, 1, 0)), (np.inf, (0, 1, 0)), (30.0, (0, np.nan, 0))])
def test_what_is_no_rate_or_direction_is_refused(fps, up):
    with pytest.raises(OccluposeError):
        check_view(fps, up)


@pytest.mark.parametrize("pitch", [0, 40, 80, 90])
def test_level_axes_are_right_forward_and_up_however_far_the_camera_looks_down(pitch):
    angle = np.radians(pitch)
    axes = level_axes((0, -2 * np.cos(angle), -2 * np.sin(angle)))
    forward = (0, -np.sin(angle), np.cos(angle))
    np.testing.assert_allclose(axes, [(1, 0, 0), forward, (0, -np.cos(angle), -np.sin(angle))], atol=1e-12)
