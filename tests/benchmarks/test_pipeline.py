import csv
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest

from occlupose.frontends import build_frontend
from occlupose.media import Frame, VideoWriter

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture
def pipeline(monkeypatch):
    monkeypatch.syspath_prepend(BENCHMARKS)
    return import_module("pipeline")


class Clock:
    """Processor and wall time that only move when they are told to."""

    def __init__(self, pipeline, monkeypatch):
        self.cpu = 0.0
        self.wall = 0.0
        monkeypatch.setattr(pipeline, "process_time", lambda: self.cpu)
        monkeypatch.setattr(pipeline, "perf_counter", lambda: self.wall)

    def work(self, seconds):
        self.cpu += seconds
        self.wall += seconds
        return seconds

    def sleep(self, seconds):
        self.wall += seconds


def test_calls_are_timed_and_otherwise_unchanged(pipeline, monkeypatch):
    clock = Clock(pipeline, monkeypatch)
    stopwatch = pipeline.Stopwatch()
    pipeline.watch(clock, "work", stopwatch)
    assert clock.work(0.02) == 0.02
    assert clock.work(seconds=0.02) == 0.02
    Clock.work(clock, 0.02)
    with stopwatch:
        clock.sleep(0.02)
    times = pipeline.per_frame({"part": stopwatch}, 2)
    assert times["part, cpu_ms"] == pytest.approx(20)
    assert times["part, ms"] == pytest.approx(30)


@pytest.mark.parametrize("people", [1, 2, 4, 8])
def test_each_person_is_a_copy_as_large_as_the_others(pipeline, people):
    image = np.zeros((1920, 1088, 3), np.uint8)
    image[800:900, 200:300] = 255  # left of the middle
    arranged = pipeline.arrange(image, people, 1088 * 1920)
    height, width = arranged.shape[:2]
    assert height * width == pytest.approx(1088 * 1920, rel=0.05)
    columns, rows = pipeline.GRIDS[people]
    assert (height % (8 * rows), width % (8 * columns)) == (0, 0)
    tiles = arranged[..., 0].reshape(rows, height // rows, columns, width // columns).swapaxes(1, 2)
    for row in tiles:
        for number, tile in enumerate(row):
            np.testing.assert_array_equal(tile, tiles[0, 0] if number % 2 == 0 else tiles[0, 0, :, ::-1])
    assert columns * rows == people and tiles[0, 0].max() == 255


def test_a_clip_goes_back_and_forth(pipeline, tmp_path):
    video = tmp_path / "video.mp4"
    levels = (40, 120, 200)
    with VideoWriter(video, 64, 96, 60) as out:
        for level in levels:
            out.write(np.full((96, 64, 3), level, np.uint8))
    clip = pipeline.make_clip(video, tmp_path / "clip.mp4", 1, 7, pixels=64 * 96)
    frames = list(pipeline.open_media(clip))
    assert [frame.image.shape for frame in frames] == [(96, 64, 3)] * 7
    means = [frame.image.mean() for frame in frames]
    np.testing.assert_allclose(means, [40, 120, 200, 120, 40, 120, 200], atol=6)
    assert frames[-1].time == pytest.approx(6 / 60)


@pytest.mark.parametrize("name", ["movenet", "movenet-multipose"])
def test_networks_are_part_of_the_front_end(pipeline, name):
    frames = [Frame(number, number / 60, np.full((96, 64, 3), 90, np.uint8)) for number in range(3)]
    times, found = pipeline.measure_front_end(name, frames, 1)
    parts = pipeline.NETWORKS[name]
    sums = [sum(times[f"{part}, {unit}"] for part in parts) for unit in ("ms", "cpu_ms")]
    assert sums == pytest.approx([times["networks, ms"], times["networks, cpu_ms"]])
    assert 0 < times["networks, ms"] < times["front end, ms"]
    assert times["first frame, ms"] > 0
    assert times["followed"] == 0 and [len(people) for people in found] == [0, 0, 0]
    assert build_frontend(name).skeleton == found[0].skeleton
    assert set(pipeline.measure_stages(frames, found)) <= set(pipeline.STAGES)


def of_rounds(parts, followed=1.0):
    """Wall times by part, one for each round; CPU time is twice as long."""
    rounds = zip(*parts.values(), strict=True)
    return [
        {f"{part}, ms": ms for part, ms in zip(parts, times, strict=True)}
        | {f"{part}, cpu_ms": 2 * ms for part, ms in zip(parts, times, strict=True)}
        | {"followed": followed}
        for times in rounds
    ]


def test_ratios_are_of_one_round(pipeline):
    base = of_rounds({"networks": [10.0, 20.0, 40.0], "front end": [20.0, 40.0, 80.0]})
    other = of_rounds({"front end": [60.0, 120.0, 40.0]}, followed=3.5)
    rows = list(pipeline.compare({"blazepose": base, "mediapipe-full": other}))
    assert rows == [
        ["blazepose", "networks", "20.00", "10.00", "40.00", "40.00", "1.000", "1.000", "1.00"],
        ["blazepose", "front end", "40.00", "20.00", "80.00", "80.00", "1.000", "1.000", "1.00"],
        # the ratios are 3, 3 and 1/2, while that of the medians is 3/2
        ["mediapipe-full", "front end", "60.00", "40.00", "120.00", "120.00", "3.000", "3.000", "3.50"],
    ]
    assert all(len(row) + 1 == len(pipeline.FRONT_END_COLUMNS) for row in rows)


def test_stages_are_compared_with_the_networks_of_their_round(pipeline):
    rounds = of_rounds({stage: [30.0, 10.0] for stage in pipeline.STAGES} | {"networks": [10.0, 10.0]})
    rows = {stage: rest for stage, *rest in pipeline.list_stages(rounds)}
    assert tuple(rows) == pipeline.STAGES
    assert rows["networks"] == ["10.00", "10.00", "10.00", "20.00", "1.000"]
    assert rows["whole, no video"] == ["20.00", "10.00", "30.00", "40.00", "2.000"]
    peaks = {"memory, 30 s": {"MiB": 400.0}, "memory, 300 s": {"MiB": 440.4}}
    memory = list(pipeline.list_memory(peaks | {"other": {"ms": 1.0}}))
    assert memory[1] == ["memory", "300 s, MiB", "440", "", "", "", "1.101"]
    assert {len(row) for row in memory} == {len(pipeline.STAGE_COLUMNS)}
    assert list(pipeline.list_memory({})) == []


def test_an_interrupted_benchmark_resumes(pipeline, tmp_path, monkeypatch):
    measured = []

    def measure(system, people, make, threads):
        if len(measured) == 7:
            raise KeyboardInterrupt
        measured.append((people, system))
        return of_rounds({stage: [1.0] for stage in pipeline.STAGES})[0]

    monkeypatch.setattr(pipeline, "measure", measure)
    options = {
        "videos": tmp_path,
        "people": (1, 4),
        "systems": ("blazepose", "movenet-occlusion"),
        "rounds": 2,
        "memory": False,
    }
    with pytest.raises(KeyboardInterrupt):
        pipeline.main(**options, output=tmp_path / "pipeline.csv")
    measured.pop(0)
    pipeline.main(**options, output=tmp_path / "pipeline.csv")
    turns = [(people, system) for people in (1, 4) for system in ("blazepose", "movenet-occlusion")]
    assert measured == (2 * turns)[1:]
    with (tmp_path / "pipeline_front_ends.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [(row["people"], row["system"], row["part"]) for row in rows] == [
        (str(people), system, part) for people, system in turns for part in ("networks", "front end")
    ]
    assert not (tmp_path / "pipeline_runs.csv").exists()
