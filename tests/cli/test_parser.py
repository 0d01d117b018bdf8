"""Arguments that cannot be parsed are refused in one line, which says what would be right."""

import pytest

from commands import assert_refused, caller
from occlupose import cli
from occlupose.cli.options import seconds
from occlupose.cli.parser import options


@pytest.fixture
def call(monkeypatch, capsys):
    return caller(monkeypatch, lambda: tuple(capsys.readouterr()))


@pytest.mark.parametrize(
    "arguments, message",
    [
        ("rnu walk.avi", "rnu: not a command of occlupose; did you mean run?"),
        ("zzz", "zzz: not a command of occlupose; give one of run, demo, "),
        ("train oanett", "oanett: not a command of occlupose train; did you mean oanet?"),
        ("train", "train: a command is missing; give one of oanet, "),
        ("--start 3 run walk.avi", "--start: options come after the command; "),
        ("run", "run: INPUT missing; see occlupose run --help"),
        ("convert smpl a.pkl", "convert smpl: --output FILE missing; see occlupose convert smpl --help"),
        ("run walk.avi --start", "--start SECONDS: a value is missing; "),
        ("run walk.avi --start abc", "--start abc: not a number; give seconds, m:ss or h:mm:ss"),
        ("run walk.avi --end 1:75", "--end 1:75: not a number; give seconds, m:ss or h:mm:ss"),
        ("run walk.avi --fov abc", "--fov abc: not a number; give degrees"),
        ("run walk.avi --fov=abc", "--fov abc: not a number; give degrees"),
        ("run walk.avi --height tall", "--height tall: not a number; give metres"),
        ("lift a.npz --up 1,2", "--up 1,2: not a direction; give x,y,z in the camera's axes, such as 0,-1,0"),
        ("lift a.npz --up up", "--up up: not a direction; give x,y,z in the camera's axes, such as 0,-1,0"),
        ("run walk.avi --up 0,1,2,3", "--up 0,1,2,3: not a direction; give x,y,z"),
        ("run walk.avi --up 0,0,0", "--up 0,0,0: has no direction; 0,-1,0 is that of a level camera"),
        ("run walk.avi --up 0,nan,1", "--up 0,nan,1: has no direction; "),
        ("run walk.avi --up=-inf,0,1", "--up -inf,0,1: has no direction; "),
        ("run walk.avi --up", "--up X,Y,Z: a value is missing; "),
        ("run walk.avi --every 1.5", "--every 1.5: not a whole number; give one, such as 2"),
        ("run walk.avi --max-people two", "--max-people two: not a whole number; give one, such as 2"),
        ("run walk.avi --max_people two", "--max-people two: not a whole number; give one, such as 2"),
        ("synth -o people --people 1 b", "--people 1 b: not a whole number; "),
        ("synth -o people --people 1", "--people MIN MAX: a value is missing; "),
        ("run walk.avi --flow none", "--flow none: not known; known are dis, raft-large, raft-small"),
        ("run -v walk.avi", "-v: not an option of run; see occlupose run --help"),
        ("run walk.avi --strat 3", "--strat: not an option of run; did you mean --start?"),
        ("demo --end 1", "--end: not an option of demo; see occlupose demo --help"),
        ("run a.avi --every 2 b.avi", "b.avi: inputs come together; give all of them before the options"),
        ("lift a.npz b.npz -o c.npz", "b.npz: one input at a time is taken; "),
        ("doctor now", "now: not an argument of doctor; see occlupose doctor --help"),
        ("train hupor --data d -o o", "train hupor: --recipe NAME|FILE missing; see occlupose train hupor --help"),
        ("train hupor --recipe smal --data d -o o", "recipe smal: not known; known are published, small, movenet, and"),
        ("train recipe hupo -o r.json", "TRAINER hupo: not known; known are dsed, hupor, "),
        ("train recipe hupor smal -o r.json", "recipe smal: not known; known are published, small, movenet, and"),
    ],
)
def test_what_cannot_be_parsed_is_refused_in_one_line(call, arguments, message):
    outcome = call(*arguments.split())
    assert_refused(outcome)
    assert outcome.err.startswith(f"occlupose: {message}"), outcome.err


def test_without_tyros_description_of_the_failure_there_is_still_one_line(call, monkeypatch):
    from tyro import _errors

    monkeypatch.delattr(_errors, "on_parse_error")
    outcome = call("run", "walk.avi", "--fov", "abc")
    assert outcome.code == 2 and outcome.err.count("\n") == 1 and "--fov" in outcome.err


@pytest.mark.parametrize(
    "text, expected",
    [("90", 90.0), ("1:30", 90.0), ("0:01.5", 1.5), ("1:00:05", 3605.0), ("2.5", 2.5), ("75:00", 4500)],
)
def test_a_time_may_have_minutes_and_hours(text, expected):
    assert seconds(text) == expected


@pytest.mark.parametrize("text", ["1:60", "1:60:00", "1:2:3:4", ":30", "1:", "-1:30", "1:-3", "a:10", "1:nan"])
def test_no_other_time_is_understood(text):
    with pytest.raises(ValueError):
        seconds(text)


def test_times_reach_the_command(monkeypatch):
    call = cli.parse_arguments(["run", "walk.avi", "--start", "1:30", "--end", "95.5"])
    assert (call.keywords["start"], call.keywords["end"], call.keywords["every"]) == (90.0, 95.5, 1)


@pytest.mark.parametrize("words", [["--up", "-0.1,-2,.5"], ["--up=-0.1,-2,.5"]])
def test_a_direction_reaches_the_command_also_if_it_begins_with_a_minus(words):
    for command in ("run", "lift"):
        call = cli.parse_arguments([command, "a.npz", *words, "--keep-lifted"])
        assert call.keywords["calibration"].up == (-0.1, -2, 0.5) and call.keywords["keep_lifted"] is True
        bare = cli.parse_arguments([command, "a.npz"])
        assert bare.keywords["calibration"].up is None and bare.keywords["keep_lifted"] is False


def test_the_options_of_a_command_are_known():
    assert options(["demo"]) == [
        "--help",
        "--no-overwrite",
        "--no-video",
        "--output",
        "--overwrite",
        "--video",
        "-h",
        "-o",
    ]
