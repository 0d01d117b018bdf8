"""Recordings of rerun, read by its own reader."""

import numpy as np
import pytest

from occlupose.errors import OccluposeError
from occlupose.skeletons import H36M17
from pose_records import record, uncertain

chunks = pytest.importorskip("rerun.chunk")


def read(path):
    """The columns of each entity by the end of their name, lists over time."""
    entities = {}
    for chunk in chunks.RrdReader(path).stream():
        batch = chunk.to_record_batch()
        columns = {name.rpartition(":")[2]: batch.column(name).to_pylist() for name in batch.schema.names}
        entities[chunk.entity_path] = columns
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
