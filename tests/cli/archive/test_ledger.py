"""What an archive says while it is done, and what stays of it when it is interrupted."""

import csv
import json
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

from occlupose.cli import terminal
from occlupose.cli.archive import summary
from occlupose.cli.archive.inputs import Job
from occlupose.cli.archive.ledger import Ledger
from occlupose.cli.archive.summary import Summary
from occlupose.cli.archive.worker import Result
from occlupose.cli.estimation import RunOptions
from occlupose.cli.log import EventLog
from occlupose.errors import OccluposeError
from occlupose.files import remove_leftovers

FIGURES = {"seconds": 2.5, "frames": 9, "people": 1, "visible": 0.5, "occluded": 0.25, "absent": 0.25}


@pytest.fixture
def jobs(tmp_path):
    return [Job(f"in/{name}", name, tmp_path / name, RunOptions()) for name in ("a/1.mp4", "a/2.mp4", "b.mp4", "c.mp4")]


@pytest.fixture
def ledger(jobs, tmp_path):
    """A ledger, and what it printed: messages and errors."""
    printed = (StringIO(), StringIO())
    consoles = [Console(file=file, width=200) for file in printed]
    with EventLog(tmp_path / "log.jsonl") as log:
        yield Ledger(jobs, Summary(tmp_path / "summary.csv", jobs), log, *consoles), printed


def rows(folder):
    with (folder / "summary.csv").open(newline="") as file:
        return list(csv.reader(file))


def test_lines(ledger, jobs, monkeypatch):
    account, (messages, errors) = ledger
    monkeypatch.setattr(terminal, "STATUS_SECONDS", 0.0)
    with account:
        account.skip({jobs[3]: Result("skipped", figures=FIGURES)})
        account.begin(jobs[0])
        account.report(jobs[0], "detecting", 0, 9)
        account.report(jobs[0], "detecting", 5, 9, "1 person")
        account.report(jobs[0], terminal.LIFTING, 0, None)
        account.end(
            jobs[0], Result("finished", figures=FIGURES, notes=["note: in/a/1.mp4: so", terminal.ASSUMED_CAMERA])
        )
        account.begin(jobs[1])
        account.end(jobs[1], Result("failed", "in/a/2.mp4: is empty; copy it", {"seconds": 0.1}))
        account.begin(jobs[2])
        account.end(jobs[2], Result("finished", figures=FIGURES, notes=[terminal.ASSUMED_CAMERA]))
    assert messages.getvalue().splitlines() == [
        "occlupose: 4 inputs, 1 already finished",
        "occlupose: 1 of 4 inputs; detecting a/1.mp4: 5 of 9 frames, 1 person",
        "occlupose: 1 of 4 inputs; lifting and writing a/1.mp4",
        "occlupose: note: in/a/1.mp4: so",
        f"occlupose: {terminal.ASSUMED_CAMERA}",
        "occlupose: a/1.mp4: 9 frames, 1 person, 2.5 s",
        "occlupose: b.mp4: 9 frames, 1 person, 2.5 s",
    ]
    assert errors.getvalue() == "occlupose: in/a/2.mp4: is empty; copy it\n"
    assert account.last_line().endswith("summary.csv: 2 finished, 1 already finished, 1 failed")
    assert account.has_failures


def test_the_table_is_in_the_order_of_the_inputs_and_whole_after_each(ledger, jobs, tmp_path):
    account, _ = ledger
    columns = "input output status error seconds frames people visible occluded absent".split()
    with account:
        account.skip({})
        assert rows(tmp_path) == [columns]
        for job in (jobs[1], jobs[0]):
            account.begin(job)
        account.end(jobs[1], Result("finished", figures=FIGURES))
        second = ["in/a/2.mp4", f"{tmp_path}/a/2.mp4", "finished", "", "2.5", "9", "1", "0.5", "0.25", "0.25"]
        assert rows(tmp_path) == [columns, second]
        account.end(jobs[0], Result("failed", 'a "quoted", name'))
        first = ["in/a/1.mp4", f"{tmp_path}/a/1.mp4", "failed", 'a "quoted", name', *[""] * 6]
        assert rows(tmp_path) == [columns, first, second]


def test_what_is_in_work_when_it_ends_is_interrupted(ledger, jobs, tmp_path):
    account, _ = ledger
    with pytest.raises(KeyboardInterrupt), account:
        account.begin(jobs[2])
        raise KeyboardInterrupt
    assert [row[2] for row in rows(tmp_path)] == ["status", "interrupted"]
    events = [json.loads(line)["event"] for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert events == ["started", "interrupted"]
    assert account.last_line().endswith("summary.csv: 1 interrupted, 3 not begun") and not account.has_failures


def test_the_table_is_written_if_the_log_cannot_be(ledger, jobs, tmp_path, monkeypatch):
    account, _ = ledger

    def refuse(*_, **__):
        raise OccluposeError("log.jsonl: could not be written")

    with pytest.raises(OccluposeError, match=r"log\.jsonl"), account:
        for job in jobs[:2]:
            account.begin(job)
        monkeypatch.setattr(EventLog, "write", refuse)
        account.end(jobs[0], Result("finished", figures=FIGURES))
    assert [row[2] for row in rows(tmp_path)] == ["status", "finished", "interrupted"]


def test_another_call_may_remove_the_temporary_file_of_the_table(jobs, tmp_path, monkeypatch):
    table = Summary(tmp_path / "summary.csv", jobs)
    table.add(jobs[0], Result("finished"))
    write = Path.write_text

    def write_and_lose(path, *arguments, **options):
        monkeypatch.setattr(Path, "write_text", write)
        write(path, *arguments, **options)
        assert remove_leftovers(tmp_path, ["summary"]) == [path]

    monkeypatch.setattr(Path, "write_text", write_and_lose)
    table.write()
    assert len(rows(tmp_path)) == 2


def test_names_that_are_not_utf_8(jobs, tmp_path):
    name = b"caf\xe9.mp4".decode(errors="surrogateescape")
    job = Job(name, name, Path("out") / name, RunOptions())
    summary = Summary(tmp_path / "summary.csv", [job])
    summary.add(job, Result("finished"))
    summary.write()
    assert b"\ncaf\xe9.mp4,out/caf\xe9.mp4,finished," in (tmp_path / "summary.csv").read_bytes()
    with EventLog(tmp_path / "log.jsonl") as log:
        log.write("started", name, job.folder)
    assert json.loads((tmp_path / "log.jsonl").read_text())["input"] == name


def test_a_large_table_is_written_now_and_then_and_at_the_end(ledger, jobs, tmp_path, monkeypatch):
    account, _ = ledger
    monkeypatch.setattr(summary, "LARGE", len(jobs))
    monkeypatch.setattr(summary, "PAUSE", 1e6)
    with account:
        account.skip({})
        account.begin(jobs[0])
        account.end(jobs[0], Result("finished", figures=FIGURES))
        assert len(rows(tmp_path)) == 1
        monkeypatch.setattr(summary, "PAUSE", 0.0)
        account.begin(jobs[1])
        account.end(jobs[1], Result("finished", figures=FIGURES))
        assert len(rows(tmp_path)) == 3
        monkeypatch.setattr(summary, "PAUSE", 1e6)
        account.begin(jobs[2])
        account.end(jobs[2], Result("finished", figures=FIGURES))
        assert len(rows(tmp_path)) == 3
    assert len(rows(tmp_path)) == 4
