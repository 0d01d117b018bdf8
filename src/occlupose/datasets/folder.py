"""Any folder of our own poses files, 2D only: people without a known truth in 3D."""

from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np

from occlupose.datasets.take import Take
from occlupose.errors import OccluposeError
from occlupose.poses import ABSENT, Poses


def takes(folder: Path, *, every: int = 1) -> list[Take]:
    """Every person of every .npz and .json poses file below a folder, from their first to their last frame, in 2D.

    Where there are a .npz and a .json of one name, as `occlupose run` writes them, the .npz is read. Of files that were
    lifted only what the 2D network saw is taken: inferred joints are no data. A take is called after the file's path in
    the folder, with the person's number behind it where there are several ("walks/1.npz" of one person is "walks/1",
    else "walks/1/0"). Its subject is that too, since nobody says who it is; its action is "".

    Arguments:
        every: only every n-th frame.

    Raises:
        OccluposeError: there is no such file or nobody in them, or one cannot be read; `every` is less than 1.
    """
    if every < 1:
        raise OccluposeError(f"every {every}: every n-th frame; give 1 for all of them, or more")
    both = [path for path in folder.rglob("*") if path.suffix in (".npz", ".json")]
    files = sorted(path for path in both if path.suffix == ".npz" or path.with_suffix(".npz") not in both)
    found = [take for file in files for take in _people(file, str(file.relative_to(folder).with_suffix("")), every)]
    if not found:
        raise OccluposeError(
            f"{folder}: {'nobody in its files' if files else 'no .npz or .json file in it'}; give a folder of poses"
            " files"
        )
    name, count = Counter(take.name for take in found).most_common(1)[0]
    if count > 1:
        raise OccluposeError(f"{folder}: two takes are called {name}; keep one file of each name")
    return found


def _people(file: Path, name: str, every: int) -> list[Take]:
    poses = Poses.load(file)
    seen = replace(poses.observed or poses, xyz=None, observed=None)
    there = {
        person: np.flatnonzero((seen.state[:, number] != ABSENT).any(-1))
        for number, person in enumerate(seen.track_id.tolist())
    }
    result = []
    for person, frames in there.items():
        if len(frames):
            own = f"{name}/{person}" if len(there) > 1 else name
            motion = seen.select(slice(frames[0], frames[-1] + 1, every), person=[person])
            result.append(Take(own, own, "", replace(motion, fps=seen.fps / every)))
    return result
