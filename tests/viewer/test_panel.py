from dataclasses import replace

import numpy as np
import pytest

from floor_records import record_of, standing
from occlupose.poses import Poses
from occlupose.skeletons import H36M17
from occlupose.viewer import style
from occlupose.viewer.panel import NEAR, PALE, PERIOD, Panel3D
from walking_people import HEIGHT, make_poses, stand

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


@pytest.mark.parametrize(("pitch", "roll"), [(0, 0), (30, 8), (-15, -20), (80, 0)])
@pytest.mark.parametrize("azimuth", [0.0, np.radians(65.0)])
def test_people_stand_upright_on_the_floor_of_their_world(pitch, roll, azimuth):
    poses = record_of(standing([{}]), H36M17, pitch=pitch, roll=roll)
    panel = Panel3D(poses, SIZE, azimuth=azimuth)
    assert panel.world is poses.world
    joint = {name: at for at, name in enumerate(panel.skeleton.joints)}
    place = panel.xyz[0, 0]
    soles = place[[joint[f"{side}_{end}"] for side in ("left", "right") for end in ("heel", "big_toe")]]
    np.testing.assert_allclose(soles[:, 2], 0, atol=0.02)
    assert (panel.floor[:, 2] == 0).all() and (panel.grid[..., 2] == 0).all()
    assert (panel.grid.min((0, 1))[:2] < soles[:, :2]).all() and (panel.grid.max((0, 1))[:2] > soles[:, :2]).all()
    at = spots(panel, 0)
    assert at[joint["head_top"], 0] == pytest.approx(at[joint["pelvis"], 0], abs=6)
    assert at[joint["head_top"], 1] < at[joint["pelvis"], 1] - 40 < at[joint["left_ankle"], 1] - 80


def test_the_real_camera_is_above_the_origin_and_looks_along_y():
    panel = Panel3D(record_of(standing([{}]), H36M17), SIZE, azimuth=0.0)
    ahead = panel.world.to_world(np.array([0, 0, 1.0])) - panel.world.translation
    np.testing.assert_allclose(panel.world.translation, (0, 0, HEIGHT), atol=1e-6)
    assert ahead[0] == pytest.approx(0, abs=1e-6) and ahead[1] > 0 > ahead[2]


def test_feet_of_skeletons_are_drawn_without_rings():
    poses = record_of(standing([{}]), H36M17, pitch=0, roll=0)
    panel = Panel3D(poses, SIZE, azimuth=0.0)
    without = Panel3D(replace(poses, rotation=None), SIZE, azimuth=0.0)
    without.distance = panel.distance
    without.centre = panel.centre
    joint = {name: at for at, name in enumerate(panel.skeleton.joints)}
    ankle, toe = spots(panel, 0)[[joint["left_ankle"], joint["left_big_toe"]]]
    column, row = (0.3 * ankle + 0.7 * toe).round().astype(int)
    colour = style.mix_colours(style.side_colour(style.person_colour(1), "left_"), style.WHITE, PALE)
    assert np.abs(panel.draw(0, 0.0)[row, column].astype(int) - colour).max() < 60
    assert np.abs(without.draw(0, 0.0)[row, column].astype(int) - colour).max() > 60


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
