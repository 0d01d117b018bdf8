"""The data of a training: labels of photographs and synthetic scenes, made once and kept in a folder.

A part of both is held out: some for the calibration, the rest for tests.
"""

import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from rich.progress import Progress

from occlupose.frontends.tflite import check_installed
from occlupose.methods.movenet.labels import PhotographLabels, find_photographs, join, write_labels
from occlupose.methods.movenet.people import write_scenes
from occlupose.methods.movenet.samples import People
from occlupose.synth.layout import SceneSettings, SceneSource

Split = Literal["train", "calibration", "test"]

SCENES = SceneSettings(seed=1, people=(1, 4), width=512, height=384)
HELD_OUT = SceneSettings(seed=2, people=(1, 4), width=512, height=384)
HELD_OUT_SCENES = 250
CALIBRATION_SCENES = 100
"""The first of those that are held out; the others are for tests."""

PARTS = 25
"""Photographs are divided by their names into this many parts: one for the calibration, two for tests."""


@dataclass(frozen=True)
class TrainingData:
    """Photographs with labels, and synthetic scenes.

    Attributes:
        photographs: folder of NAME.jpg, with boxes in NAME.txt.
        labels: of all photographs.
        scenes, held_out: files of synthetic scenes.
    """

    photographs: Path
    labels: PhotographLabels
    scenes: Sequence[Path]
    held_out: Sequence[Path]

    def people(self, split: Split) -> People:
        """The people of a part of the data."""
        labels = self.labels.of(lambda name: split_of(name) == split)
        scenes = {
            "train": self.scenes,
            "calibration": self.held_out[:CALIBRATION_SCENES],
            "test": self.held_out[CALIBRATION_SCENES:],
        }
        return People(self.photographs, labels, scenes[split])


def split_of(name: str) -> Split:
    """To which part of the data a photograph belongs, by its name."""
    part = zlib.crc32(name.encode()) % PARTS
    return "calibration" if part == 0 else "test" if part < 3 else "train"


def prepare(photographs: Path, folder: Path, scenes: int, *, progress: bool = True) -> TrainingData:
    """The data in a folder; what is missing in it is made first.

    Arguments:
        photographs: folder of NAME.jpg, with boxes in NAME.txt.
        folder: of labels and scenes.
        scenes: number of synthetic scenes for the training.
        progress: show progress bars.

    Raises:
        OccluposeError: there are no photographs, a file cannot be read or written, ai-edge-litert is not installed, or
            there is no EGL for rendering.
    """
    count = len(find_photographs(photographs))
    check_installed()
    with Progress(disable=not progress) as bar:
        train = write_scenes(folder / "scenes", SceneSource.load(SCENES), scenes)
        held_out = write_scenes(folder / "held_out", SceneSource.load(HELD_OUT), HELD_OUT_SCENES)
        train_scenes = list(bar.track(train, scenes, description="synthetic scenes"))
        test_scenes = list(bar.track(held_out, HELD_OUT_SCENES, description="synthetic scenes, held out"))
        labels = list(bar.track(write_labels(photographs, folder / "labels"), count, description="labels"))
    joined = join([PhotographLabels.load(path) for path in labels])
    return TrainingData(photographs, joined, train_scenes, test_scenes)
