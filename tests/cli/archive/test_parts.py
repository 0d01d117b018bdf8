"""Long videos in parts: what is joined is the undivided video, bit for bit."""

from copy import deepcopy
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from rich.console import Console

from commands import names
from hupor_detections import write_hupor
from media_files import make_video
from occlupose.cli.archive.inputs import Job
from occlupose.cli.archive.parts import Cut, Part, cut
from occlupose.cli.archive.worker import Worker
from occlupose.cli.estimation import EstimatorOptions, Files, RunOptions
from occlupose.media import open_media
from occlupose.methods.hupor.estimator import HUPOR
from occlupose.poses import Poses
from pasted_people import grey, paste, scaled

FILES = Files(json=False, preview=False, video=False)
GO_ON = SimpleNamespace(asked=False)
STOP = SimpleNamespace(asked=True)


def report(*_):
    """Tells nobody."""


def walkers(count):
    """Images of two people who walk towards each other and past; one comes late."""
    images = []
    for number in range(count):
        image = grey(320, 240)
        if number > count // 3:
            paste(image, scaled(130), 250 - 8 * number, 60)
        paste(image, scaled(160), 8 * number, 44)
        images.append(image)
    return images


def in_parts(worker, job, longest, *, change=None):
    """What a worker makes of an input that it is given in parts, copied as between machines."""
    where = worker.cut(job, longest)
    assert isinstance(where, Cut)
    found: list[Part] = []
    for number in range(len(where.times)):
        memory = found[-1].memory if found and where.follows else None
        found.append(deepcopy(worker.detect(job, where, number, deepcopy(memory), report, GO_ON)))
    if change is not None:
        found = change(found)
    return where, found, worker.do(job, report, GO_ON, found)


def do_both(worker, job, longest, **options):
    """The poses.npz of both ways, and what the parts were."""
    whole = replace(job, folder=job.folder.with_name("whole"))
    assert worker.do(whole, report, GO_ON).status == "finished"
    where, found, result = in_parts(worker, job, longest, **options)
    assert result.status == "finished", result
    assert names(job.folder) == names(whole.folder)
    return (job.folder / "poses.npz").read_bytes(), (whole.folder / "poses.npz").read_bytes(), where, found


@pytest.fixture
def default():
    """A worker with the front end that follows people."""
    return Worker(EstimatorOptions(threads=1), Console(quiet=True))


@pytest.fixture
def hupor(tmp_path):
    """A worker with a small network that looks at each frame by itself."""
    options = EstimatorOptions("hupor", weights=write_hupor(tmp_path / "net.safetensors"))
    return Worker(options, Console(quiet=True))


def job_of(video, **options):
    return Job(str(video), video.name, video.parent / "parts", RunOptions(files=FILES, **options))


def test_people_who_are_followed_are_the_same(default, tmp_path):
    video = make_video(tmp_path / "walk.mp4", size=(320, 240), images=walkers(24))
    joined, whole, where, found = do_both(default, job_of(video), 7)
    assert joined == whole
    assert where.follows and [len(part.stamps) for part in found] == [7, 7, 7, 3]
    poses = Poses.load(tmp_path / "parts" / "poses.npz")
    assert len(poses) == 24 and len(poses.track_id) >= 1  # of two small ones; how many depends on the processor
    forgetful = [
        default.detect(job_of(video), where, number, None, report, GO_ON) for number in range(len(where.times))
    ]
    assert any(
        not np.array_equal(one.xy, other.xy)
        for part, alone in zip(found[1:], forgetful[1:], strict=True)
        for one, other in zip(part.detections, alone.detections, strict=True)
    ), "the memory makes no difference, so this test shows nothing"


@pytest.mark.parametrize("options", [{"every": 2}, {"every": 3, "start": 0.55}, {"start": 1.2, "end": 3.9}, {}])
@pytest.mark.parametrize("name", ["clip.mp4", "clip.mkv"])
def test_parts_have_the_frames_of_the_whole(hupor, tmp_path, options, name):
    video = make_video(tmp_path / name, 61, fps=30 if name.endswith("mkv") else 10)
    if name.endswith("mkv"):  # times are rounded to milliseconds
        options = {key: value if key == "every" else value / 3 for key, value in options.items()}
    joined, whole, where, found = do_both(hupor, job_of(video, **options), 5)
    assert joined == whole and not where.follows
    with open_media(video, **options) as source:
        expected = [frame.time for frame in source]
    assert [time for part in found for time, _ in part.stamps] == expected
    assert [len(part.stamps) for part in found[:-1]] == [5] * (len(found) - 1)


def drop_a_frame(parts):
    return [replace(parts[0], stamps=parts[0].stamps[1:], detections=parts[0].detections[1:]), *parts[1:]]


def change_an_image(parts):
    time, checksum = parts[1].stamps[2]
    return [parts[0], replace(parts[1], stamps=[*parts[1].stamps[:2], (time, checksum ^ 1), *parts[1].stamps[3:]])]


def add_a_frame(parts):
    last = parts[-1]
    return [*parts[:-1], replace(last, stamps=last.stamps * 2, detections=last.detections * 2)]


@pytest.mark.parametrize("change", [drop_a_frame, change_an_image, add_a_frame])
def test_where_frames_differ_the_video_is_done_undivided(hupor, tmp_path, change):
    joined, whole, _, _ = do_both(hupor, job_of(make_video(tmp_path / "clip.mp4", 12)), 6, change=change)
    assert joined == whole


def test_a_varying_frame_rate_changes_nothing(hupor, tmp_path):
    times = np.cumsum([0.1, 0.02, 0.3, 0.05] * 10)
    video = make_video(tmp_path / "clip.mkv", 40, times=times.tolist())
    joined, whole, _, _ = do_both(hupor, job_of(video, every=2), 4)
    assert joined == whole


def test_what_is_not_cut(hupor, tmp_path):
    short = job_of(make_video(tmp_path / "short.mp4", 6))
    assert hupor.cut(short, 6) is None and isinstance(hupor.cut(short, 5), Cut)
    assert hupor.do(short, report, GO_ON).status == "finished"
    assert hupor.cut(short, 5) is None, "it is finished"
    (tmp_path / "broken.mp4").write_text("no video")
    assert hupor.cut(job_of(tmp_path / "broken.mp4"), 5) is None


def test_a_part_that_cannot_be_read_or_is_stopped_is_none(hupor, tmp_path, monkeypatch):
    job = job_of(make_video(tmp_path / "clip.mp4", 12))
    where = hupor.cut(job, 6)
    detect = partial(hupor.detect, job, where, 1, None, report)
    assert len(detect(GO_ON).stamps) == 6 and detect(STOP) is None
    with monkeypatch.context() as patch:
        patch.setattr(HUPOR, "detect", lambda *_: 1 / 0)
        assert detect(GO_ON) is None
    Path(job.input).write_text("no video")
    assert detect(GO_ON) is None


def test_an_error_that_nobody_expects_is_one_line_with_a_cure(hupor, tmp_path, monkeypatch):
    def fail(*_):
        raise RuntimeError("broken\n  in two")

    monkeypatch.setattr(HUPOR, "detect", fail)
    result = hupor.do(job_of(make_video(tmp_path / "clip.mp4", 3)), report, GO_ON)
    assert result.status == "failed" and "in fail" in result.traceback
    assert "clip.mp4: RuntimeError: broken in two; report it, with the traceback that" in result.error


def test_seconds_are_those_of_all_parts(hupor, tmp_path):
    job = job_of(make_video(tmp_path / "clip.mp4", 12))
    _, found, result = in_parts(hupor, job, 6, change=lambda parts: [replace(part, seconds=50.0) for part in parts])
    assert len(found) == 2 and 100 <= result.figures["seconds"] < 150


def test_borders_lie_between_frames():
    source = SimpleNamespace(kind="video", count=10, fps=5.0)
    where = cut(source, SimpleNamespace(), RunOptions(every=2, start=1.0, end=3.0), 4)
    assert where.times == [(1.0, 1.75), (1.75, 2.55), (2.55, 3.0)]
