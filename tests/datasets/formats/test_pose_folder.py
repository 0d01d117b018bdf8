from dataclasses import replace

import numpy as np
import pytest

from occlupose.datasets.formats.pose_folder import load_sequences
from occlupose.errors import OccluposeError
from occlupose.poses import ABSENT, OCCLUDED, Poses
from occlupose.skeletons import COCO17, H36M17
from pose_records import uncertain
from walking_people import make_poses, stand, walk


def people(count=1, frames=12):
    """Lifted people: H36M-17 in 2D and 3D, with COCO-17 as what was seen."""
    poses = make_poses(*(stand(number, 5, frames) for number in range(count)))
    return replace(poses, observed=replace(poses, xyz=None).to(COCO17))


def test_every_person_of_every_file_is_a_sequence_in_2d(tmp_path):
    one = make_poses(walk(lambda time: np.stack([time, 5 + time], -1), 12))
    replace(one, xyz=None).save(tmp_path / "walk.npz")
    people(2).save(tmp_path / "club" / "two.json")
    (tmp_path / "notes.txt").write_text("not poses")
    found = load_sequences(tmp_path)
    assert [sequence.name for sequence in found] == ["club/two/0", "club/two/1", "walk"]
    assert all(
        sequence.poses.xyz is None
        and sequence.poses.observed is None
        and sequence.action == ""
        and sequence.subject == sequence.name
        for sequence in found
    )
    # what was seen, not what was inferred
    assert found[0].poses.skeleton == COCO17 and found[2].poses.skeleton == H36M17
    np.testing.assert_array_equal(found[1].poses.xy[:, 0], people(2).observed.xy[:, 1])
    assert found[2].poses == replace(one, xyz=None)
    assert found[2].poses.camera == one.camera


def test_a_sequence_knows_the_spread_of_what_was_seen(tmp_path):
    lifted = uncertain(people(2))
    lifted.save(tmp_path / "two.npz")
    for person, sequence in enumerate(load_sequences(tmp_path)):
        np.testing.assert_array_equal(sequence.poses.spread[:, 0], lifted.observed.spread[:, person])
    replace(lifted, observed=None).save(tmp_path / "two.npz")
    assert load_sequences(tmp_path)[1].poses == replace(lifted.to_2d(), observed=None).select(person=1)


def test_a_sequence_lasts_from_the_first_to_the_last_detection(tmp_path):
    poses = replace(people(2), xyz=None, observed=None)
    poses.xy[:3, 1] = np.nan
    poses.state[:3, 1] = ABSENT
    poses.xy[5, 1] = np.nan
    poses.state[5, 1] = ABSENT
    poses.xy[8:, 1] = np.nan
    poses.state[8:, 1] = ABSENT
    poses.state[4, 1, 3] = OCCLUDED
    poses.save(tmp_path / "a.npz")
    whole, part = load_sequences(tmp_path)
    assert len(whole.poses) == 12 and len(part.poses) == 5
    assert part.poses.state[1, 0, 3] == OCCLUDED and (part.poses.state[2] == ABSENT).all()
    thin = load_sequences(tmp_path, every=2)[1].poses
    assert len(thin) == 3 and thin.fps == poses.fps / 2
    np.testing.assert_array_equal(thin.xy, part.poses.xy[::2])


def test_folders_without_people_are_refused(tmp_path):
    with pytest.raises(OccluposeError, match=r": no \.npz or \.json file in it; give a folder of pose files"):
        load_sequences(tmp_path)
    nobody = make_poses(stand(0, 5, 3)).select(person=[])
    replace(nobody, xyz=None).save(tmp_path / "a.npz")
    with pytest.raises(OccluposeError, match=": no people in its files; give a folder"):
        load_sequences(tmp_path)
    people().save(tmp_path / "b" / "0.npz")
    people(2).save(tmp_path / "b.npz")
    with pytest.raises(OccluposeError, match=": two sequences are called b/0; keep one file of each name"):
        load_sequences(tmp_path)
    (tmp_path / "c.json").write_text("{}")
    with pytest.raises(OccluposeError, match=r"c\.json: "):
        load_sequences(tmp_path)


def test_of_the_two_files_that_run_writes_one_is_read(tmp_path):
    people(2).save(tmp_path / "walk" / "poses.npz")
    people(2).save(tmp_path / "walk" / "poses.json")
    assert [sequence.name for sequence in load_sequences(tmp_path)] == ["walk/poses/0", "walk/poses/1"]
    with pytest.raises(OccluposeError, match="every 0: must be 1"):
        load_sequences(tmp_path, every=0)


def test_the_files_are_left_as_they_were(tmp_path):
    poses = people()
    poses.save(tmp_path / "a.npz")
    load_sequences(tmp_path)
    assert Poses.load(tmp_path / "a.npz") == poses
