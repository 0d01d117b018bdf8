import cv2
import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from occlupose.cameras import Camera
from occlupose.datasets.calibration import CalibratedCamera


@given(st.floats(-0.3, 0.3), st.floats(-0.1, 0.1), st.floats(-3e-3, 3e-3), st.floats(-3e-3, 3e-3))
def test_distortion_as_opencv_makes_it_is_taken_out(k1, k2, p1, p2):
    view = CalibratedCamera(
        "a", Camera(1000, 1000, 1145, 1144, 512, 515), np.eye(3), np.zeros(3), np.array([k1, k2, p1, p2, 0])
    )
    xyz = np.random.default_rng(0).uniform((-1, -1, 4), (1, 1, 5), (50, 3))
    bent = cv2.projectPoints(xyz, np.zeros(3), np.zeros(3), view.pinhole.matrix, view.distortion)[0][:, 0]
    np.testing.assert_allclose(view.undistort(bent), view.pinhole.project(xyz), atol=0.05)


def test_what_is_missing_stays_missing_and_no_distortion_changes_nothing():
    plain = CalibratedCamera("a", Camera(1000, 1000, 1145, 1144, 512, 515), np.eye(3), np.zeros(3), np.zeros(5))
    bent = CalibratedCamera("a", plain.pinhole, np.eye(3), np.zeros(3), np.array([0.1, 0, 0, 0, 0]))
    xy = np.array([[[100.0, 200.0], [np.nan, np.nan]]])
    np.testing.assert_array_equal(plain.undistort(xy), xy)
    assert np.isnan(bent.undistort(xy)[0, 1]).all() and np.isfinite(bent.undistort(xy)[0, 0]).all()
    assert np.isnan(bent.undistort(np.full((2, 3, 2), np.nan))).all()
