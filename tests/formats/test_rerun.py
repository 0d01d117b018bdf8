"""Recordings of rerun, read by its own reader."""

import numpy as np
import pytest

from floor_records import record_of, standing
from occlupose.errors import OccluposeError
from occlupose.skeletons import H36M17
from pose_records import record, uncertain
from walking_people import HEIGHT

chunks = pytest.importorskip("rerun.chunk")


def read(path):
    """The columns of each entity by the end of their name, lists over time."""
    entities = {}
    for chunk in chunks.RrdReader(path).stream():
        batch = chunk.to_record_batch()
        columns = {name.rpartition(":")[2]: batch.column(name).to_pylist() for name in batch.schema.names}
        entities.setdefault(chunk.entity_path, {}).update(columns)
    return entities


def test_everybody_is_in_it(tmp_path):
    poses = uncertain(record(6, 2, H36M17))
    entities = read(poses.export(tmp_path / "walk.rrd")[0])
    assert {"/people/1", "/people/4", "/image/1", "/image/4", "/image", "/"} <= {*entities}
    person = entities["/people/4"]
    known = poses.state[:, 1] > 0
    assert person["frame"] == [*range(6)]
    assert [len(points) for points in person["positions"]] == known.sum(-1).tolist()
    for name, values in {"positions": poses.xyz, "state": poses.state, "score": poses.score}.items():
        np.testing.assert_array_equal(np.concatenate(person[name]), values[:, 1][known])
    for name, values in {"spread": poses.spread, "covariance": poses.covariance}.items():
        np.testing.assert_array_equal(np.float32(np.concatenate(person[name])), values[:, 1][known])
    np.testing.assert_array_equal(np.concatenate(person["keypoint_ids"]), np.nonzero(known)[1])
    np.testing.assert_array_equal(
        np.concatenate(entities["/image/1"]["positions"]), poses.xy[:, 0][poses.state[:, 0] > 0]
    )


def test_in_2d_without_a_camera(tmp_path):
    entities = read(record(3, 1, H36M17, lifted=False, camera=False).export(tmp_path / "walk.rrd")[0])
    assert "/image/1" in entities and not {"/image", "/people/1"} & {*entities}


def test_where_rerun_is_off_one_line_says_so(tmp_path, monkeypatch):
    monkeypatch.setenv("RERUN", "off")
    with pytest.raises(
        OccluposeError, match=r"^\S*a.rrd: rerun is switched off by the environment variable RERUN; unset"
    ):
        record(3, 1, H36M17).export(tmp_path / "a.rrd")
    assert [*tmp_path.iterdir()] == []


def test_people_and_the_camera_are_in_the_world(tmp_path):
    truth = standing(people=2)
    poses = record_of(truth, H36M17)
    entities = read(poses.export(tmp_path / "walk.rrd")[0])
    x, forward, up = np.reshape(entities["/people/4"]["positions"], (5, 17, 3)).transpose(2, 0, 1)
    np.testing.assert_allclose(np.stack([x, up, -forward], -1), truth.joints(H36M17)[:, 1], atol=1e-5)
    xx, zz, yy, xz, xy, yz = np.reshape(entities["/people/4"]["covariance"], (5, 17, 6)).transpose(2, 0, 1)
    expected = truth.covariance[:, 1, truth.skeleton.index(*H36M17.joints)]
    np.testing.assert_allclose(np.stack([xx, yy, zz, xy, -xz, -yz], -1), expected, atol=1e-6)
    (place,) = entities["/image"]["translation"][0]
    (columns,) = entities["/image"]["mat3x3"][0]
    np.testing.assert_allclose(place, (0, 0, HEIGHT), atol=1e-6)
    seen = np.array(columns).reshape(3, 3).T @ poses.xyz[0, 0, 0] + place
    np.testing.assert_allclose(seen, poses.xyz_world[0, 0, 0], atol=1e-5)
    assert np.ravel(entities["/"]["xyz"][0]).tolist() == [3, 5, 1]  # rerun's numbers of right, forward and up
