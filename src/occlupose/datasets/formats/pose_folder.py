"""Folders of our own pose files, as 2D sequences without 3D ground truth."""

from collections import Counter
from dataclasses import replace
from pathlib import Path

from occlupose.datasets.sequence import PoseSequence
from occlupose.errors import OccluposeError
from occlupose.poses import Poses


def load_sequences(folder: Path, *, every: int = 1) -> list[PoseSequence]:
    """Every person of every .npz and .json pose file below a folder, from their first to their last frame, in 2D.

    If there is a .npz and a .json of one name, as `occlupose run` writes them, the .npz is read. Of lifted files only
    the 2D detections are used, not the inferred joints. A sequence is named after the file's path in the folder; if
    the file has several people, the track id follows ("walks/1.npz" gives "walks/1", or "walks/1/0" and so on). The
    subject is the same name, since the person is unknown; the action is "".

    Arguments:
        every: take every n-th frame.

    Raises:
        OccluposeError: there are no pose files or no people, a file cannot be read, or `every` is less than 1.
    """
    if every < 1:
        raise OccluposeError(f"every {every}: must be 1 (all frames) or more")
    candidates = [path for path in folder.rglob("*") if path.suffix in (".npz", ".json")]
    files = sorted(path for path in candidates if path.suffix == ".npz" or path.with_suffix(".npz") not in candidates)
    found = [
        sequence
        for file in files
        for sequence in _load_people(file, str(file.relative_to(folder).with_suffix("")), every)
    ]
    if not found:
        wrong = "no people in its files" if files else "no .npz or .json file in it"
        raise OccluposeError(f"{folder}: {wrong}; give a folder of pose files")
    name, count = Counter(sequence.name for sequence in found).most_common(1)[0]
    if count > 1:
        raise OccluposeError(f"{folder}: two sequences are called {name}; keep one file of each name")
    return found


def _load_people(file: Path, name: str, every: int) -> list[PoseSequence]:
    poses = Poses.load(file)
    observed = replace((poses.observed or poses).to_2d(), observed=None)
    result = []
    for track in observed.tracks():
        if len(track):
            own_name = f"{name}/{track.track_id}" if len(observed.track_id) > 1 else name
            motion = observed.select(slice(track.frames.start, track.frames.stop, every), person=track.track_id)
            result.append(PoseSequence(own_name, own_name, "", replace(motion, fps=observed.fps / every)))
    return result
