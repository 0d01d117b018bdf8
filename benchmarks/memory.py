"""Memory and file size of long records with many people: lifting, skeleton fit, writing, and reading again.

    python benchmarks/memory.py
    python benchmarks/memory.py --minutes 10 --people 50

Passers-by walk through the image at 30 frames a second, each for 3 to 60 seconds (uniform), from any moment on; their
keypoints are COCO's, with errors of 2 px. One process does it all: the tracks are lifted with the shipped network,
skeletons are fitted and put on the floor, and poses.npz is written and read again, which must give the same record.
`peak_mib` is the largest resident memory of the process up to the end of each stage, with Python, torch and the
networks; `file_mib` the size of the file. `person_frames` are the frames in which somebody is there, of all people.
Adds rows to results/memory.csv and prints them.
"""

import csv
import gc
import json
import multiprocessing
import resource
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from time import perf_counter
from typing import Annotated, Any

import numpy as np
import torch
import tyro
from jaxtyping import Float
from results import write
from scipy.spatial.transform import Rotation
from tables import markdown_table
from tyro.conf import arg

from occlupose.cameras import Camera
from occlupose.kinematics import body_tree
from occlupose.methods.lifter.lifting import TrackLifter
from occlupose.poses import VISIBLE, FramePoses, Poses
from occlupose.poses_builder import PosesBuilder
from occlupose.skeletons import COCO17, convert
from occlupose.world import stand

RESULTS = Path(__file__).parent / "results"
COLUMNS = ("code", "minutes", "people", "person_frames", "stage", "seconds", "peak_mib", "file_mib")
FPS = 30
SIZE = (1280, 720)
SECONDS = (3.0, 60.0)
"""Least and most that somebody is in view."""

SPEED = 1.2
STEPS = 1.8
SWING = 0.45
"""Metres and steps per second, and the largest angle of a thigh, radians."""

HEIGHT = 1.6
"""Of the camera above the floor, metres."""

WIDE = 5.0
"""Metres to either side, between which people walk to and fro."""

NOISE = 2.0
"""Standard deviation of keypoints, px."""


def walker(frames: int, random: np.random.Generator) -> Float[np.ndarray, "time 17 3"]:
    """Somebody who walks to and fro across the view, their COCO joints in the camera frame, metres."""
    tree = body_tree()
    time = np.arange(frames) / FPS
    turn = np.zeros((frames, len(tree.segments), 3))
    phase = np.pi * STEPS * time + random.uniform(0, 2 * np.pi)
    for side, sign in (("left", 1), ("right", -1)):
        turn[:, tree.segments.index(f"{side}_thigh"), 0] = -sign * SWING * np.sin(phase)
        turn[:, tree.segments.index(f"{side}_shank"), 0] = SWING * (1 + np.sin(sign * phase + 1))
        turn[:, tree.segments.index(f"{side}_upper_arm"), 2] = -sign * 1.4
    way = (SPEED * time + random.uniform(0, 4 * WIDE)) % (4 * WIDE)
    x = np.where(way < 2 * WIDE, way - WIDE, 3 * WIDE - way)
    turn[:, 0, 1] = np.where(way < 2 * WIDE, np.pi / 2, -np.pi / 2)
    relative = Rotation.from_rotvec(turn.reshape(-1, 3)).as_matrix().reshape(frames, -1, 3, 3)
    points = tree.place(tree.compose(torch.from_numpy(relative)), tree.rest).numpy()
    points[..., 1] -= points[..., 1].min(-1, keepdims=True)
    points[..., 0] += x[:, None]
    places = points * (1, -1, -1) + (0, HEIGHT, random.uniform(5, 9))
    return convert(places, tree.skeleton, COCO17)


def crossings(
    minutes: float, people: int, seconds: tuple[float, float] = SECONDS
) -> Iterator[tuple[int, int, np.random.Generator]]:
    """Of each passer-by the first frame, their number of frames, and what the rest follows from."""
    frames = round(60 * minutes * FPS)
    for person in range(people):
        random = np.random.default_rng((0, person))
        own = min(frames, round(random.uniform(*seconds) * FPS))
        yield int(random.integers(0, frames - own + 1)), own, random


def detections(minutes: float, people: int, seconds: tuple[float, float]) -> Poses:
    """The keypoints of passers-by, 2D."""
    camera = Camera.from_fov(*SIZE)
    there: list[list[tuple[int, np.ndarray]]] = [[] for _ in range(round(60 * minutes * FPS))]
    for person, (first, frames, random) in enumerate(crossings(minutes, people, seconds), 1):
        xy = camera.project(walker(frames, random))
        for frame, places in enumerate((xy + random.normal(0, NOISE, xy.shape)).astype(np.float32), first):
            there[frame].append((person, places))
    builder = PosesBuilder(COCO17, FPS, camera)
    for frame, found in enumerate(there):
        ids = np.array([person for person, _ in found], np.int64)
        xy = np.array([places for _, places in found], np.float32).reshape(-1, 17, 2)
        inside = ((xy >= 0) & (xy < SIZE)).all(-1)
        state = (VISIBLE * inside).astype(np.uint8)
        xy[~inside] = np.nan
        builder.frames.append(FramePoses(frame / FPS, ids, xy, inside * np.float32(0.9), state))
    return builder.poses()


@dataclass(frozen=True)
class Stage:
    """What one stage took."""

    stage: str
    seconds: float
    peak_mib: float
    file_mib: float | str = ""


def peak() -> float:
    """Largest resident memory of this process so far, MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def run(minutes: float, people: int, seconds: tuple[float, float], folder: Path) -> Iterator[Stage]:
    """All stages, in this process."""
    torch.set_num_threads(1)
    start = perf_counter()

    def done(stage: str, file: Path | None = None) -> Stage:
        nonlocal start
        found = Stage(
            stage, round(perf_counter() - start, 1), round(peak()), "" if file is None else round(size(file), 1)
        )
        start = perf_counter()
        return found

    poses = detections(minutes, people, seconds)
    yield done("detections")
    lifted = TrackLifter(Camera.from_fov(*SIZE))(poses)
    del poses
    yield done("lifting")
    standing, _ = stand(lifted)
    del lifted
    yield done("skeletons")
    file = folder / "poses.npz"
    standing.save(file)
    yield done("writing", file)
    same = digest(standing)
    del standing
    gc.collect()
    if digest(Poses.load(file)) != same:
        raise ValueError(f"{file}: is not the record that was written")
    yield done("reading")


def size(file: Path) -> float:
    """MiB."""
    return file.stat().st_size / 2**20


def digest(poses: Poses) -> list[int]:
    """Of everything that people have, by person."""
    tracks = (vars(track) for track in poses.tracks())
    return [hash(tuple(np.asarray(value).tobytes() for value in track.values())) for track in tracks]


def _child(sender: Connection, limit_gib: float, *record: Any) -> None:
    resource.setrlimit(resource.RLIMIT_DATA, (round(limit_gib * 2**30),) * 2)
    try:
        for stage in run(*record):
            sender.send(stage)
    except MemoryError as error:
        sender.send(str(error) or "MemoryError")
    sender.send(None)


def measure(
    minutes: float, people: int, seconds: tuple[float, float] = SECONDS, limit_gib: float = 14.0
) -> Iterator[Stage]:
    """The stages of a record, in a process of their own; the last one says what did not fit into the limit."""
    context = multiprocessing.get_context("spawn")
    receiver, sender = context.Pipe(duplex=False)
    with tempfile.TemporaryDirectory() as folder:
        child = context.Process(target=_child, args=(sender, limit_gib, minutes, people, seconds, Path(folder)))
        child.start()
        sender.close()
        while (stage := receiver.recv()) is not None:
            if isinstance(stage, str):
                yield Stage("does not fit", 0.0, limit_gib * 1024)
            else:
                yield stage
        child.join()


def main(
    minutes: float = 60,
    people: int = 300,
    seconds: Annotated[tuple[float, float], arg(help="Least and most that somebody is in view.")] = SECONDS,
    table: Annotated[Path, arg(help="Where rows are added.")] = RESULTS / "memory.csv",
    code: Annotated[str, arg(help="What is measured, as the table names it.")] = "by track",
    limit_gib: Annotated[float, arg(help="Memory that the process may have, GiB.")] = 14.0,
) -> None:
    """Measures one record and adds it to the table."""
    frames = sum(own for _, own, _ in crossings(minutes, people, seconds))
    about = (code, f"{minutes:g}", str(people), str(frames))
    rows = list(csv.reader(table.open()))[1:] if table.exists() else []
    rows = [row for row in rows if tuple(row[:4]) != about]
    for stage in measure(minutes, people, seconds, limit_gib):
        rows.append([*about, *map(str, vars(stage).values())])
        print(json.dumps(vars(stage)), flush=True)
    write(table, COLUMNS, rows, grows=True)
    print(markdown_table([dict(zip(COLUMNS, row, strict=True)) for row in rows]))


if __name__ == "__main__":
    tyro.cli(main)
