"""Speed of `occlupose synth`, and of its steps.

    python benchmarks/synth.py

The command itself is timed on 200 scenes of seed 1 with 4 people at 512 x 320, images and labels on disk, with one
process for each core (`whole`), then with labels alone. Its start counts. Then one process and one thread generate
scenes step by step: layout (`scene`), z-buffer and labels (`labels`), rendering (`image`) and encoding (`jpeg`).
`speedup_over_whole` compares with the speed of the command. Writes results/synth.csv and prints it.
"""

import subprocess
import sys
import tempfile
from pathlib import Path
from time import perf_counter
from typing import Annotated

import cv2
import torch
import tyro
from results import write
from rich.console import Console
from rich.table import Table

from occlupose.synth.dataset import encode_jpeg
from occlupose.synth.labels import label_scene
from occlupose.synth.layout import SceneSettings, SceneSource, sample_scene
from occlupose.synth.render import Renderer

RESULTS = Path(__file__).parent / "results"
COLUMNS = ("part", "scenes_per_second", "ms_per_scene", "speedup_over_whole")
SETTINGS = SceneSettings(seed=1, people=(4, 4))
STEPS = 40


def main(scenes: int = 200, results: Annotated[Path, tyro.conf.arg(metavar="FOLDER")] = RESULTS) -> None:
    """Time the generator.

    Args:
        scenes: number of scenes of the command.
        results: folder of the table.
    """
    seconds = {"whole": command(scenes), "labels only": command(scenes, "--labels-only")} | steps()
    rows = [
        (part, round(1 / each, 2), round(1000 * each, 1), round(seconds["whole"] / each, 2))
        for part, each in seconds.items()
    ]
    write(results / "synth.csv", COLUMNS, rows, seed=SETTINGS.seed)
    table = Table(*COLUMNS)
    for row in rows:
        table.add_row(*map(str, row))
    Console().print(table)


def command(scenes: int, *options: str) -> float:
    """Seconds per scene of the whole command."""
    with tempfile.TemporaryDirectory() as folder:
        arguments = f"synth --scenes {scenes} --seed 1 --people 4 4 -o {folder}/people".split()
        start = perf_counter()
        subprocess.run([sys.executable, "-m", "occlupose", *arguments, *options], check=True, stdout=subprocess.DEVNULL)
        return (perf_counter() - start) / scenes


def steps() -> dict[str, float]:
    """Seconds per scene of each step, in one thread."""
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    source = SceneSource.load(SETTINGS)
    renderer = Renderer()
    seconds = dict.fromkeys(("scene", "labels", "image", "jpeg"), 0.0)
    for number in range(-3, STEPS):
        if number == 0:
            seconds = dict.fromkeys(seconds, 0.0)  # warm-up
        clock = [perf_counter()]
        scene = sample_scene(source, number % STEPS)
        clock.append(perf_counter())
        label_scene(scene)
        clock.append(perf_counter())
        rendered = renderer.render(scene)
        clock.append(perf_counter())
        encode_jpeg(rendered, number % STEPS, SETTINGS.seed)
        clock.append(perf_counter())
        seconds = {part: spent + clock[place + 1] - clock[place] for place, (part, spent) in enumerate(seconds.items())}
    return {part: spent / STEPS for part, spent in seconds.items()}


if __name__ == "__main__":
    tyro.cli(main, description=__doc__)
