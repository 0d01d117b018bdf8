import numpy as np
import pytest

from occlupose.poses import Poses
from occlupose.viewer import style
from occlupose.viewer.panel import NEAR, PERIOD, Panel3D
from walking_people import make_poses, stand

SIZE = 240


def spots(panel: Panel3D, index: int) -> np.ndarray:
    """Where the joints of all people are in the panel, px."""
    view = panel.camera_at(float(panel.time[index]))
    return view.intrinsics.project(view.to_camera(panel.xyz[index].reshape(-1, 3)))


def hidden(poses: Poses, *joints: str) -> Poses:
    poses.state[:, :, poses.skeleton.index(*joints)] = 1
    return poses


def test_everyone_stays_in_the_panel_over_the_whole_turn():
    frames = round(PERIOD * 10) + 1
    runner = stand(0, 5, frames)
    runner[..., 0] += np.linspace(-4, 4, frames)[:, None]
    runner[..., 2] += 3 * np.sin(np.arange(frames) / 20)[:, None]
    panel = Panel3D(make_poses(stand(1, 4, frames), runner, pitch=15), SIZE)
    at = np.array([spots(panel, index) for index in range(frames)])
    assert np.isfinite(at).all() and at.min() > 0 and at.max() < SIZE - 1
    assert np.ptp(at[..., 0], axis=1).max() > 0.7 * SIZE  # and fill it
    turned = [panel.camera_at(time).axes[2, 0] for time in (0.0, PERIOD / 4, 3 * PERIOD / 4)]
    assert abs(turned[0]) < 0.05 and turned[1] * turned[2] < -0.3


def test_the_view_begins_where_the_camera_looks():
    panel = Panel3D(make_poses(stand(-1, 4), stand(1, 4)), SIZE)
    left, right = spots(panel, 0).reshape(2, 17, 2)
    assert left[:, 0].max() < right[:, 0].min()
    head = panel.skeleton.index("head_top")[0]
    ankle = panel.skeleton.index("left_ankle")[0]
    assert left[head, 1] < left[ankle, 1]


def test_a_positive_azimuth_looks_from_the_right():
    panel = Panel3D(make_poses(stand(0, 4)), SIZE, azimuth=np.radians(65.0))
    assert panel.camera_at(0.0).position[0] > 1


def test_a_visible_joint_has_its_colour_and_an_occluded_one_is_hollow():
    seen = Panel3D(make_poses(stand(0, 4)), SIZE)
    unseen = Panel3D(hidden(make_poses(stand(0, 4)), "left_elbow", "left_wrist"), SIZE)
    wrist = seen.skeleton.index("left_wrist")[0]
    column, row = spots(seen, 0)[wrist].round().astype(int)
    base = np.array(style.side_colour(style.person_colour(0), "left_wrist"))
    full = seen.draw(0, 0.0)[row, column].astype(int)
    hollow = unseen.draw(0, 0.0)[row, column].astype(int)
    empty = unseen.draw(None, 0.0)[row, column].astype(int)
    assert np.abs(full - base).max() < 60
    assert np.abs(hollow - base).max() > 60 and np.abs(hollow - empty).max() < 60


def test_the_near_person_covers_the_far_one():
    panel = Panel3D(make_poses(stand(0, 6), stand(0, 4)), SIZE, azimuth=0.0)
    pelvis = panel.skeleton.index("thorax")[0]
    column, row = spots(panel, 0)[len(panel.skeleton) + pelvis].round().astype(int)
    pixel = panel.draw(0, 0.0)[row, column].astype(int)
    near = np.abs(pixel - style.person_colour(1)).max()
    far = np.abs(pixel - style.person_colour(0)).max()
    assert near < 60 < far


def test_people_throw_shadows_on_the_floor():
    panel = Panel3D(make_poses(stand(0, 4)), SIZE)
    full = panel.draw(0, 0.0).astype(int).sum(-1)
    empty = panel.draw(None, 0.0).astype(int).sum(-1)
    assert ((full < 0.7 * empty) & (full > 0.2 * empty)).sum() > 50


def test_absent_people_are_not_drawn():
    poses = make_poses(stand(0, 4), stand(1, 4))
    poses.state[:, 1] = 0
    poses.xyz[:, 1] = np.nan
    poses.xy[:, 1] = np.nan
    np.testing.assert_array_equal(
        Panel3D(poses, SIZE).draw(0, 0.0), Panel3D(poses.select(person=[0]), SIZE).draw(0, 0.0)
    )


@pytest.mark.parametrize("frames", [0, 1, 5])
def test_nobody_is_an_empty_floor(frames):
    poses = make_poses(stand(0, 4, frames)).select(person=[])
    image = Panel3D(poses, SIZE).draw(None if frames == 0 else 0, 0.0)
    assert image.shape == (SIZE, SIZE, 3) and image.dtype == np.uint8
    assert len(np.unique(image.reshape(-1, 3), axis=0)) > 10


def test_lines_are_cut_where_they_pass_behind_the_view():
    view = Panel3D(make_poses(stand(0, 4)), SIZE).camera_at(0.0)
    ahead = view.position + 3.0 * view.axes[2] + 0.1 * view.axes[0]
    behind = view.position + -3.0 * view.axes[2] + 0.1 * view.axes[0]
    (line,) = view.project_segments(np.array([[ahead, behind], [behind, behind - view.axes[2]]]))
    assert line[1, 0] - (SIZE - 1) / 2 == pytest.approx(view.intrinsics.fx * 0.1 / NEAR, rel=1e-6)


def test_poses_without_depth_are_refused():
    poses = make_poses(stand(0, 4))
    poses.xyz = None
    with pytest.raises(ValueError, match="xyz"):
        Panel3D(poses, SIZE)
