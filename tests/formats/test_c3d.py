"""C3D files, read by ezc3d."""

import numpy as np
import pytest

from floor_records import record_of, standing
from occlupose.errors import OccluposeError
from occlupose.skeletons import H36M17, WHOLEBODY133
from pose_records import record, uncertain

ezc3d = pytest.importorskip("ezc3d")


def read(path):
    """Points (time, point, xyz), residuals and masks of the first camera (time, point), and the parameters."""
    file = ezc3d.c3d(str(path))
    data = file["data"]
    points = data["points"][:3].transpose(2, 1, 0)
    parameters = {name: each["value"] for name, each in file["parameters"]["POINT"].items() if name != "__METADATA__"}
    return points, data["meta_points"]["residuals"][0].T, data["meta_points"]["camera_masks"][0].T, parameters


def test_points_are_in_millimetres_with_y_up(tmp_path):
    poses = record(6, 2, H36M17)
    points, residuals, seen, parameters = read(poses.export(tmp_path / "é.c3d")[0])
    np.testing.assert_allclose(points, poses.xyz.reshape(6, 34, 3) * (1000, -1000, -1000), rtol=1e-6)
    np.testing.assert_array_equal(residuals, np.where(poses.state > 0, 0, -1).reshape(6, 34))
    np.testing.assert_array_equal(seen, (poses.state == 2).reshape(6, 34))
    assert (parameters["RATE"], parameters["UNITS"], parameters["Y_SCREEN"]) == ([25], ["mm"], ["+Y"])
    assert [parameters["LABELS"][number] for number in (0, 33)] == ["id_1:pelvis", "id_4:right_wrist"]


def test_uncertainty_is_the_residual(tmp_path):
    poses = uncertain(record(6, 1, H36M17))
    deviation = np.sqrt(poses.covariance[..., :3].mean(-1)) * 1000
    _, residuals, _, parameters = read(poses.export(tmp_path / "a.c3d")[0])
    np.testing.assert_array_equal(residuals, np.nan_to_num(deviation.round(), nan=-1)[:, 0])
    assert residuals.max() > 10 and parameters["LABELS"] == [*H36M17.joints]


def test_large_uncertainty_is_cut(tmp_path):
    poses = uncertain(record(6, 1, H36M17))
    poses.covariance *= 1e4
    assert read(poses.export(tmp_path / "a.c3d")[0])[1].max() == 255


def test_many_points(tmp_path):
    poses = record(2, 3, WHOLEBODY133)
    points, _, _, parameters = read(poses.export(tmp_path / "a.c3d")[0])
    assert points.shape == (2, 399, 3) and len([*parameters["LABELS"], *parameters["LABELS2"]]) == 399


def test_too_many_frames(tmp_path):
    poses = record(65_536, 1, H36M17.subset(["pelvis"]), observed=None)
    with pytest.raises(OccluposeError, match=r"a.c3d: 65536 frames, C3D counts up to 65535; export a part of them$"):
        poses.export(tmp_path / "a.c3d")
    assert [*tmp_path.iterdir()] == []


def test_people_stand_on_the_floor_of_the_world(tmp_path):
    truth = standing(people=2)
    points, residuals, _, _ = read(record_of(truth, H36M17).export(tmp_path / "a.c3d")[0])
    np.testing.assert_allclose(points.reshape(5, 2, 17, 3), 1000 * truth.joints(H36M17), atol=0.01)
    assert residuals.min() >= 0
