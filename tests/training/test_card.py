import json
import subprocess
import sys
from pathlib import Path

from occlupose import __version__
from occlupose.training import card


def test_the_command_names_places_instead_of_telling_where_they_are(monkeypatch):
    monkeypatch.setattr(
        sys,
        "argv",
        ["/home/me/bin/occlupose", "train", "oanet", "--mocap=/home/me/mocap", "-o", "/tmp/x", "--seed", "3"],
    )
    places = {Path("/home/me/mocap"): "MOCAP", Path("/tmp/x"): "FOLDER", None: "WEIGHTS"}
    assert card.command(places) == "occlupose train oanet --mocap=MOCAP -o FOLDER --seed 3"


def test_a_folder_that_is_called_like_the_command_does_not_rename_it(monkeypatch):
    monkeypatch.setattr(sys, "argv", ["occlupose", "train", "refine", "--data", "train", "-o", "refine"])
    assert (
        card.command({Path("train"): "DATA", Path("refine"): "FOLDER"})
        == "occlupose train refine --data DATA -o FOLDER"
    )


def test_the_commit_is_that_of_the_checkout_and_says_when_it_was_changed(tmp_path, monkeypatch):
    def git(*arguments):
        identity = ("-c", "user.name=a", "-c", "user.email=a@b")
        return subprocess.run(
            ["git", "-C", str(tmp_path), *identity, *arguments], check=True, capture_output=True, text=True
        ).stdout.strip()

    package = tmp_path / "occlupose"
    script = tmp_path / "script.py"
    table = tmp_path / "table.csv"
    ours = package / "training" / "card.py"
    monkeypatch.setattr(card, "__file__", str(ours))
    ours.parent.mkdir(parents=True)
    assert card.commit() == ""
    git("init")
    script.write_text("one")
    table.write_text("one")
    git("add", ".")
    git("commit", "-m", "one")
    ours.write_text("one")
    assert card.commit() == "", "installed below somebody's own repository"
    git("add", ".")
    git("commit", "-m", "one")
    clean = git("rev-parse", "--short", "HEAD")
    table.write_text("two")
    assert card.commit() == card.commit(script) == clean, "what it wrote does not count"
    script.write_text("two")
    assert (card.commit(), card.commit(script)) == (clean, f"{clean}-dirty")
    ours.write_text("two")
    assert card.commit() == f"{clean}-dirty"


def test_without_git_there_is_no_commit(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert card.commit() == ""


def test_a_card_lies_beside_the_weights_and_says_where_they_come_from(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["occlupose", "train", "lifter", "-o", str(tmp_path)])
    card.write(tmp_path / "net.cmu.safetensors", {tmp_path: "FOLDER"}, name="net.cmu", metrics={})
    written = json.loads((tmp_path / "net.cmu.json").read_text())
    assert written == {
        "name": "net.cmu",
        "metrics": {},
        "version": __version__,
        "commit": card.commit(),
        "command": "occlupose train lifter -o FOLDER",
    }
