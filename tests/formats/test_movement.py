"""movement's netCDF files (movement, "The movement datasets": dimensions, coordinates, data variables, attributes)."""

import numpy as np
import pytest

from floor_records import record_of, standing
from foreign_files import FPS, SCORE, SIZE, assert_lifts_as_ours, read_quietly, walkers
from occlupose import formats
from occlupose.errors import OccluposeError
from occlupose.skeletons import COCO17, H36M17
from pose_records import record, uncertain

PLURAL = ("time", "space", "keypoints", "individuals")
SINGULAR = ("time", "space", "keypoint", "individual")


def dataset(xy, names=PLURAL, **attributes):
    """Labels of the axes, variables with their axes, and attributes, of (time, individual, keypoint, 2)."""
    frames, people = xy.shape[:2]
    labels = dict(
        zip(names, (np.arange(frames) / FPS, ["x", "y"], COCO17.joints, ["Ann", "Ben"][:people]), strict=True)
    )
    position = xy.transpose(0, 3, 2, 1)
    variables = {
        "position": (position, names),
        "confidence": (np.full_like(position[:, 0], SCORE), (names[0], *names[2:])),
    }
    standard = {"fps": FPS, "time_unit": "seconds", "source_software": "DeepLabCut", "ds_type": "poses"}
    return labels, variables, standard | attributes


def netcdf4(path, labels, variables, attributes):
    """As xarray writes it with netCDF4."""
    h5py = pytest.importorskip("h5py")
    with h5py.File(path, "w") as file:
        for name, values in labels.items():
            texts = isinstance(values[0], str)
            file.create_dataset(name, data=[*values], dtype=h5py.string_dtype() if texts else None)
            file[name].make_scale(name)
        for name, (values, axes) in variables.items():
            file[name] = values
            for place, axis in enumerate(axes):
                file[name].dims[place].attach_scale(file[axis])
        for name, value in attributes.items():
            file.attrs[name] = np.bytes_(value) if isinstance(value, str) else np.array([value])
    return path


def netcdf3(path, labels, variables, attributes):
    """As xarray writes it with SciPy."""
    from scipy.io import netcdf_file

    with netcdf_file(path, "w") as file:
        for name, values in labels.items():
            file.createDimension(name, len(values))
            if isinstance(values[0], str):
                letters = np.array([[*text.ljust(14, "\0")] for text in values], "S1")
                if "string14" not in file.dimensions:
                    file.createDimension("string14", 14)
                file.createVariable(name, "c", (name, "string14"))[:] = letters
            else:
                file.createVariable(name, "d", (name,))[:] = values
        for name, (values, axes) in variables.items():
            file.createVariable(name, "d", axes)[:] = values
        for name, value in attributes.items():
            setattr(file, name, value)
    return path


every_file = pytest.mark.parametrize("write", [netcdf4, netcdf3])


@every_file
@pytest.mark.parametrize("names", [PLURAL, SINGULAR], ids=["plural", "singular"])
def test_it_lifts_as_ours(tmp_path, write, names):
    xy = walkers()
    path = write(tmp_path / "walk.nc", *dataset(xy, names))
    read = formats.read(path, size=SIZE)
    assert (read.tool, read.poses.fps, read.poses.skeleton) == ("movement", FPS, COCO17)
    assert read.notes == [f"{path}: track ids: 0 Ann, 1 Ben"]
    assert_lifts_as_ours(read, xy, COCO17, tmp_path)


@every_file
def test_another_order_of_the_axes(tmp_path, write):
    xy = walkers()[:, :1]
    labels, variables, attributes = dataset(xy)
    variables["position"] = (xy, ("time", "individuals", "keypoints", "space"))
    del variables["confidence"]
    poses = read_quietly(write(tmp_path / "a.nc", labels, variables, attributes))
    np.testing.assert_allclose(poses.xy, xy, atol=1e-3)
    assert (poses.score[poses.state > 0] == 1).all()


@every_file
def test_the_frame_rate_may_be_unknown(tmp_path, write):
    labels, variables, attributes = dataset(walkers(), time_unit="frames")
    del attributes["fps"]
    read = formats.read(write(tmp_path / "a.nc", labels, variables, attributes), size=SIZE)
    assert read.poses.fps == 30 and any("30 frames per second are assumed; give fps" in note for note in read.notes)


@every_file
def test_what_is_refused(tmp_path, write):
    def refused(change, words):
        content = dataset(walkers())
        change(*content)
        path = write(tmp_path / "a.nc", *content)
        with pytest.raises(OccluposeError, match=rf"^{path}: [^\n]*{words}[^\n]*$"):
            formats.read(path)

    refused(lambda labels, variables, attributes: attributes.update(ds_type="bboxes"), "is of type bboxes, not poses")
    refused(lambda labels, variables, attributes: labels.update(space=["y", "z"]), "has the axes y, z, not x and y")
    refused(lambda labels, variables, attributes: attributes.update(fps="fast"), "damaged")
    refused(lambda labels, variables, attributes: attributes.update(fps=1e6), "fps: is 1000000.0; it must be")
    refused(
        lambda labels, variables, attributes: variables.update(
            position=(walkers()[..., 0], ("time", "individuals", "keypoints"))
        ),
        "position has the axes time, individual, keypoint, not",
    )


def test_arrays_that_do_not_belong_together(tmp_path):
    labels, variables, attributes = dataset(walkers())
    confidence, axes = variables["confidence"]
    variables["confidence"] = (confidence[:, :3], axes)
    path = netcdf4(tmp_path / "a.nc", labels, variables, attributes)
    with pytest.raises(
        OccluposeError, match=r"^\S*a\.nc: score has shape \(\d+, 3\) beside positions of 60 people with 17"
    ):
        formats.read(path)


def test_a_damaged_netcdf3(tmp_path):
    path = netcdf3(tmp_path / "a.nc", *dataset(walkers()))
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(OccluposeError, match=r"^\S*a.nc: damaged, or not a netCDF file; write it again"):
        formats.read(path)


def test_what_is_written_in_2d_is_read_again(tmp_path):
    poses = record(5, 2, H36M17)
    (path,) = poses.export(tmp_path / "walk.nc", "nc-2d")
    read = formats.read(path, size=SIZE)
    assert read.notes == [f"{path}: track ids: 0 id_1, 1 id_4"]
    assert (read.poses.fps, read.poses.skeleton) == (poses.fps, H36M17)
    np.testing.assert_array_equal(read.poses.xy, poses.xy)
    np.testing.assert_array_equal(read.poses.state, poses.state)
    np.testing.assert_array_equal(read.poses.score, np.where(poses.state > 0, poses.score, 0))


def test_what_is_written_in_3d_is_read_again(tmp_path):
    poses = record(5, 2, H36M17)
    read = read_quietly(poses.export(tmp_path / "walk.nc")[0])
    moved = read.xyz - poses.xyz
    assert (
        np.nanmax(np.nanmax(moved, axis=(0, 1, 2)) - np.nanmin(moved, axis=(0, 1, 2))) < 1e-5
    )  # before another camera
    np.testing.assert_array_equal(read.state, poses.state)


def test_the_schema_is_movements(tmp_path):
    from scipy.io import netcdf_file

    poses = uncertain(record(5, 2, H36M17))
    (path,) = poses.export(tmp_path / "walk.nc")
    with netcdf_file(path, mmap=False) as file:
        assert (file.ds_type, file.time_unit, file.fps) == (b"poses", b"seconds", 25)
        assert file.variables["position"].dimensions == PLURAL and file.variables["position"].units == b"m"
        assert file.variables["confidence"].dimensions == ("time", "keypoints", "individuals")
        np.testing.assert_array_equal(file.variables["position"][:], poses.xyz.transpose(0, 3, 2, 1))
        np.testing.assert_array_equal(file.variables["state"][:], poses.state.transpose(0, 2, 1))
        np.testing.assert_array_equal(file.variables["spread"][:], poses.spread.transpose(0, 2, 1))
        np.testing.assert_array_equal(file.variables["covariance"][:], poses.covariance.transpose(0, 3, 2, 1))
        np.testing.assert_array_equal(file.variables["root_covariance"][:], poses.root_covariance.transpose(0, 2, 1))
        np.testing.assert_array_equal(file.variables["time"][:], poses.time)
        assert "".join(file.variables["keypoints"][1].astype(str)) == "right_hip"


def test_3d_of_others_has_no_known_unit(tmp_path):
    from scipy.io import netcdf_file

    (path,) = record(5, 2, H36M17).export(tmp_path / "walk.nc")
    with netcdf_file(path, "a") as file:
        file.source_software = "anything"
    with pytest.raises(OccluposeError, match=r"walk.nc: has the axes x, y, z, not x and y; give 2D poses in pixels"):
        formats.read(path)


def test_skeletons_and_places_in_the_world_are_variables(tmp_path):
    from scipy.io import netcdf_file

    truth = standing(people=2)
    poses = record_of(truth, H36M17)
    (path,) = poses.export(tmp_path / "walk.nc")
    with netcdf_file(path, mmap=False) as file:
        variables = file.variables
        x, forward, up = variables["position_world"][:].transpose(1, 0, 3, 2)
        np.testing.assert_allclose(np.stack([x, up, -forward], -1), truth.joints(H36M17), atol=1e-5)
        np.testing.assert_array_equal(variables["position"][:], poses.xyz.transpose(0, 3, 2, 1))
        np.testing.assert_array_equal(variables["rotation"][:], poses.rotation.transpose(0, 3, 2, 1))
        np.testing.assert_array_equal(
            variables["rotation_covariance"][:], poses.rotation_covariance.transpose(0, 3, 2, 1)
        )
        np.testing.assert_array_equal(variables["contact"][:], poses.contact.transpose(0, 2, 1))
        assert variables["position_world"].dimensions == PLURAL and variables["position_world"].units == b"m"
        assert variables["rotation"].dimensions == ("time", "quaternion", "segments", "individuals")
        assert variables["rotation_covariance"].units == b"rad^2"
        assert "".join(variables["contact_points"][2].astype(str)) == "left_big_toe"
        assert "".join(variables["quaternion"][:, 0].astype(str)) == "wxyz"
    read = read_quietly(path)
    moved = read.xyz - poses.xyz  # before another camera
    np.testing.assert_allclose(moved, np.broadcast_to(moved[0, 0, 0], moved.shape), atol=1e-5)
    flat = poses.export(tmp_path / "flat.nc", "nc-2d")[0]
    with netcdf_file(flat, mmap=False) as file:
        assert not {"position_world", "rotation", "contact"} & {*file.variables}
