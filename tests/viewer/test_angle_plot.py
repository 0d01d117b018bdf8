from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from known_fits import known_fit, poses_of_fit
from occlupose.errors import OccluposeError
from occlupose.kinematics import measure_angles
from occlupose.poses import OCCLUDED
from occlupose.viewer.angle_plot import plot_angles


@pytest.fixture(scope="module")
def measured():
    fit = known_fit([{"left_shank": (0.1 * frame, 0, 0)} for frame in range(20)])
    return poses_of_fit(fit), fit.turn_y_up()


def test_hidden_intervals_are_shaded(measured, tmp_path):
    poses, fit = measured
    (seen,) = plot_angles(measure_angles(poses, fit), tmp_path / "a.png")
    hidden = poses_with(poses, "left_knee")
    (shaded,) = plot_angles(measure_angles(hidden, fit), tmp_path / "b.png")
    pictures = [np.asarray(Image.open(path).convert("RGB"), int) for path in (seen, shaded)]
    changed = np.abs(pictures[0] - pictures[1]).max(-1) > 10
    assert 0.005 < changed.mean() < 0.2 and pictures[0].shape[1] > 1000


def poses_with(poses, joint):
    """The record with a joint hidden for some frames."""
    state = poses.state.copy()
    state[8:14, 0, poses.skeleton.index(joint)] = OCCLUDED
    return replace(poses, state=state)


def test_what_is_refused(measured, tmp_path):
    poses, fit = measured
    with pytest.raises(OccluposeError, match=r"a.jpg: is no picture; give a .png"):
        plot_angles(measure_angles(poses, fit), tmp_path / "a.jpg")
    with pytest.raises(OccluposeError, match=r"a.png: no angle is known"):
        plot_angles(measure_angles(poses.select(person=[])), tmp_path / "a.png")
