"""SLEAP's analysis files (SLEAP, sleap/info/write_tracking_h5: tracks, node_names, track_names, point_scores, with the
axes of MATLAB; sleap-io, "Analysis HDF5": the attribute dims).
"""

import json

import numpy as np
import pytest

from foreign_files import FPS, SCORE, SIZE, assert_lifts_as_ours, read_quietly, walkers
from occlupose import formats
from occlupose.errors import OccluposeError
from occlupose.skeletons import COCO17

h5py = pytest.importorskip("h5py")

STANDARD = ("frame", "track", "node", "xy")
MATLAB = ("track", "xy", "node", "frame")


def analysis(path, xy, *, order=MATLAB, named=False, tracks=("Ann", "Ben"), nodes=COCO17.joints):
    """An analysis file of (frame, track, node, xy)."""
    with h5py.File(path, "w") as file:
        file["node_names"] = np.array(nodes, "S")
        file["track_names"] = np.array(tracks, "S")
        score = np.where(np.isnan(xy[..., 0]), np.nan, SCORE)
        for name, values, axes in (("tracks", xy, order), ("point_scores", score, [a for a in order if a != "xy"])):
            file[name] = values.transpose([STANDARD.index(axis) for axis in axes])
            if named:
                file[name].attrs["dims"] = json.dumps(axes)
    return path


@pytest.mark.parametrize("named", [False, True])
def test_it_lifts_as_ours(tmp_path, named):
    xy = walkers()
    xy[5:9, 1, 3] = np.nan
    path = analysis(tmp_path / "walk.analysis.h5", xy, named=named)
    read = formats.read(path, fps=FPS, size=SIZE)
    assert (read.tool, read.notes) == ("SLEAP", [f"{path}: track ids: 0 Ann, 1 Ben"])
    assert_lifts_as_ours(read, xy, COCO17, tmp_path)


def test_other_orders_of_the_axes(tmp_path):
    xy = walkers()
    path = analysis(tmp_path / "a.h5", xy, order=STANDARD, named=True)
    np.testing.assert_allclose(read_quietly(path).xy, xy, atol=1e-3)


def test_one_individual_without_a_track(tmp_path):
    xy = walkers()[:, :1]
    assert read_quietly(analysis(tmp_path / "a.h5", xy, tracks=())).track_id.tolist() == [0]


def test_instances_that_people_labelled_have_no_score(tmp_path):
    path = analysis(tmp_path / "a.h5", walkers())
    with h5py.File(path, "a") as file:
        file["point_scores"][:] = np.nan
    poses = read_quietly(path)
    assert (poses.score == 1).all() and (poses.state == 2).all()


@pytest.mark.parametrize("name", ["tracks", "point_scores"])
def test_other_axes_are_refused(tmp_path, name):
    path = analysis(tmp_path / "a.h5", walkers())
    with h5py.File(path, "a") as file:
        values = file[name][()]
        del file[name]
        file[name] = values[:, :, 3:]
    with pytest.raises(
        OccluposeError, match=r"^\S*a.h5: (tracks of shape \(2, 2, 14, 30\) beside|other point_scores)[^\n]*$"
    ):
        formats.read(path)
    with h5py.File(path, "a") as file:
        del file[name]
        file[name] = values[0]
    with pytest.raises(
        OccluposeError, match=rf"^\S*a.h5: {name} of shape [^\n]*; its axes must be track, [^\n]*frame$"
    ):
        formats.read(path)


def test_arrays_in_other_files_are_not_read(tmp_path):
    other = analysis(tmp_path / "other.h5", walkers())
    path = analysis(tmp_path / "a.h5", walkers())
    with h5py.File(path, "a") as file:
        del file["tracks"]
        file["tracks"] = h5py.ExternalLink(str(other), "tracks")
    with pytest.raises(OccluposeError, match=r"a.h5: tracks lies in another file; give a file that holds everything"):
        formats.read(path)


def test_an_array_that_is_larger_than_its_file(tmp_path):
    path = analysis(tmp_path / "a.h5", walkers())
    with h5py.File(path, "a") as file:
        del file["tracks"]
        file.create_dataset("tracks", (1, 2, 17, 10**10), "f4", chunks=(1, 2, 17, 1000))
    with pytest.raises(OccluposeError, match=r"a.h5: tracks of shape .* is empty or too large; give a part of it"):
        formats.read(path)
