"""Records of people who are seen one after the other, dense and by track."""

from dataclasses import replace

import numpy as np

from occlupose.poses import FRAMES, JOINT_FIELDS, PERSON_FIELDS, Poses, append_rows
from occlupose.track_store import TrackStore
from pose_records import fitted, record, uncertain


def passing(people=5, frames=40, **options):
    """A dense record in which everybody is absent but in 12 frames of their own; in 3 of these they are hidden."""
    poses = fitted(uncertain(record(frames, people, **options)))
    return _hide(replace(poses, observed=_hide(poses.observed)))


def _hide(poses):
    frames, people = poses.state.shape[:2]
    there = np.zeros((frames, people), bool)
    for person in range(people):
        first = 7 * person % (frames - 12)
        there[first : first + 12, person] = True
        there[first + 4 : first + 7, person] = False
    absent = JOINT_FIELDS | PERSON_FIELDS
    arrays = {
        name: np.where(there.reshape(*there.shape, *[1] * (values.ndim - 2)), values, absent[name])
        for name, values in poses.arrays.items()
    }
    return replace(poses, **arrays)


def tracks_of(poses):
    """The rows of a record."""
    store = TrackStore(1000)
    for person in range(len(poses.track_id)):
        append_rows(store, *poses.rows(person))
    return store


def by_track(poses):
    """The same record, held by track; needs `FEW_PLACES` of 0."""
    observed = poses.observed and by_track(poses.observed)
    other = Poses.by_track(tracks_of(poses), poses.names, **poses.about | {"observed": observed})
    assert "xy" not in vars(other) and FRAMES in other._store.get(0)
    return other
