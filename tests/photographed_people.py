"""Small data for the training of the network for hidden joints: photographs with labels, and scenes."""

from pathlib import Path

import numpy as np
from PIL import Image

from occlupose.methods.movenet.data import TrainingData
from occlupose.methods.movenet.labels import PhotographLabels
from occlupose.methods.movenet.people import SyntheticScene
from occlupose.poses import ABSENT, OCCLUDED, VISIBLE
from occlupose.skeletons import COCO21

SIDE = 96
"""Of the stored photographs, px; they show 128 x 96."""

BOX = (40.0, 10.0, 90.0, 90.0)
"""Of the person in each photograph, px."""


def keypoints(left: float, top: float, right: float, bottom: float) -> np.ndarray:
    """COCO21 in a box: joints on a grid, none at another's place."""
    column, row = np.divmod(np.arange(len(COCO21)), 7)
    x = left + (right - left) * (column + 0.5) / 3
    y = top + (bottom - top) * (row + 0.5) / 7
    return np.stack([x, y], 1).astype(np.float32)


def write_photographs(folder: Path, count: int, *, score: float = 0.8) -> PhotographLabels:
    """Photographs of noise, and labels of a person in each."""
    folder.mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng(0)
    names = [f"{number:03}.jpg" for number in range(count)]
    for name in names:
        Image.fromarray(random.integers(0, 256, (SIDE, SIDE, 3), np.uint8)).save(folder / name)
        middle = (np.array(BOX[:2]) + BOX[2:]) / 2 / (128, SIDE)
        size = (np.array(BOX[2:]) - BOX[:2]) / (128, SIDE)
        numbers = " ".join(f"{value:.6f}" for value in (*middle, *size))
        (folder / name).with_suffix(".txt").write_text(f"0 {numbers}\n")
    return PhotographLabels(
        names=np.array(names),
        aspect=np.full(count, 4 / 3),
        image=np.arange(count),
        box=np.tile(np.array(BOX, np.float32), (count, 1)),
        xy=np.tile(keypoints(*BOX), (count, 1, 1)),
        score=np.full((count, len(COCO21)), score, np.float32),
    )


def make_scene() -> SyntheticScene:
    """Two people and an object: the first is well seen, but for one joint behind the object and one outside; the second
    is half covered by the first.
    """
    random = np.random.default_rng(1)
    surface = np.full((120, 160), -1, np.int8)
    surface[10:110, 90:140] = 1
    surface[10:110, 40:100] = 0
    surface[90:120, 40:70] = 2
    xy = np.stack([keypoints(40, 10, 100, 110), keypoints(90, 10, 140, 110)])
    state = np.full((2, len(COCO21)), VISIBLE, np.uint8)
    state[0, 6] = OCCLUDED
    state[0, 20] = ABSENT
    state[1, :7] = OCCLUDED
    return SyntheticScene(random.integers(0, 256, (*surface.shape, 3), np.uint8), surface, xy, state)


def write_scene(path: Path) -> Path:
    """A file of `make_scene`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(make_scene().to_bytes())
    return path


def write_data(folder: Path, photographs: int = 60) -> TrainingData:
    """Photographs, labels and scenes, all of them in every part."""
    labels = write_photographs(folder / "photographs", photographs)
    scenes = [write_scene(folder / "scenes" / f"{number:06}.npz") for number in range(2)]
    held_out = [write_scene(folder / "held_out" / f"{number:06}.npz") for number in range(101)]
    return TrainingData(folder / "photographs", labels, scenes, held_out)
