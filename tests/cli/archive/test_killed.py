"""An archive of many videos that is killed again and again: the end is that of an undisturbed run."""

import json
import signal
import sys
from collections import Counter

import pytest

from archives import hidden_files, rows, start, statuses, wait_for
from commands import subprocess_of
from media_files import make_video
from pasted_people import grey, paste, scaled

pytestmark = [pytest.mark.slow, pytest.mark.skipif(sys.platform == "win32", reason="needs Unix signals")]

COUNT = 40
DAMAGED = 4
EMPTY = 3
WORKERS = 2

SIGNALS = (signal.SIGKILL, signal.SIGKILL, signal.SIGTERM)
"""What ends the runs before the last one."""


def make_archive(folder):
    """Short videos, among them damaged and empty ones and two of one name."""
    for number in range(COUNT):
        path = folder / f"{number % 4}" / ("same.mp4" if number < 2 else f"{number}.mp4")
        path.parent.mkdir(parents=True, exist_ok=True)
        if number >= COUNT - EMPTY:
            path.touch()
        elif number >= COUNT - EMPTY - DAMAGED:
            path.write_bytes(b"this is no video\n" * 50)
        else:
            make_video(path, size=(320, 240), images=[walking(number, frame) for frame in range(4 + number % 3)])
    return folder


def walking(number, frame):
    """A frame of a video: two people who move apart."""
    image = grey(320, 240)
    person = scaled(150 + number)
    paste(image, person, 80 - 4 * frame, 20 + number % 5)
    paste(image, person, 200 + 4 * frame, 30)
    return image


def results_of(root):
    """All files that were written, by place in the tree, but what tells of the time they took."""
    files = [path for path in root.rglob("*") if path.is_file() and path.name not in ("run.json", "summary.csv")]
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in files}


def begun(log):
    """The inputs that were started, a line each in order; what was cut off is left out."""
    lines = log.read_text().splitlines() if log.exists() else []
    events = [json.loads(line) for line in lines if line.endswith("}")]
    return [event["input"] for event in events if event["event"] == "started"]


@pytest.mark.parametrize("options", [[], ["--workers", str(WORKERS)], ["--ray", "local", "--workers", str(WORKERS)]])
def test_an_archive_that_is_killed_three_times(tmp_path, options):
    if "--ray" in options:
        pytest.importorskip("ray", reason="needs the extra ray (make ray)")
    archive = make_archive(tmp_path / "archive")
    common = (archive, "--no-video", "--method", "hupor")
    undisturbed = tmp_path / "undisturbed"
    assert subprocess_of("run", *common, "-o", undisturbed).code == 1
    assert sum(int(row["people"] or 0) > 0 for row in rows(undisturbed).values()) > COUNT / 2

    root = tmp_path / "killed"
    log = tmp_path / "log.jsonl"
    command = (*common, "-o", root, "--log", log, *options)
    for how in SIGNALS:
        process = start(*command)
        before = len(begun(log))
        wait_for(lambda before=before: len(begun(log)) > before + 5, process)
        process.send_signal(how)
        _, err = process.communicate()
        assert process.returncode == (130 if how == signal.SIGTERM else -how), err
    last = start(*command)
    out, err = last.communicate()
    assert last.returncode == 1 and "Traceback" not in err, err

    good = COUNT - DAMAGED - EMPTY
    assert results_of(root) == results_of(undisturbed) and len(results_of(root)) == 3 * good
    assert not hidden_files(root)
    assert list(statuses(root)) == list(statuses(undisturbed))
    wanted = {place: status == "finished" for place, status in statuses(undisturbed).items()}
    assert {place: status in ("finished", "skipped") for place, status in statuses(root).items()} == wanted
    for place, row in rows(root).items():
        same = ("error", "frames", "people", "visible", "occluded", "absent")
        assert [row[name] for name in same] == [rows(undisturbed)[place][name] for name in same]
    assert f"{DAMAGED + EMPTY} failed" in out
    repeated = Counter(begun(log))
    workers = 1 if not options else WORKERS
    more = sum(repeated[str(archive / place)] - 1 for place, is_good in wanted.items() if is_good)
    assert 0 <= more <= workers * len(SIGNALS), "more was repeated than an input of each worker"
