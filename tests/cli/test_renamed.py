"""Every command and option that there ever was is still taken, or refused by a line that names the new one."""

import re
from dataclasses import is_dataclass
from functools import cache
from importlib import import_module
from pathlib import Path

import pytest

from commands import assert_refused, caller
from occlupose.bounds import alternatives, hints
from occlupose.cli.parser import options
from occlupose.cli.renamed import OPTIONS_IN_RECIPES, RENAMED_COMMANDS, RENAMED_OPTIONS, renamed
from occlupose.cli.training import RECIPES

EARLIER = {
    command: options_of.split()
    for command, _, options_of in (
        line.partition(": ")
        for line in Path(__file__).with_name("earlier_options.txt").read_text().splitlines()
        if re.match("[a-z]+( [a-z]+)?: ", line)
    )
}
"""Options by command."""

NOW = {
    command: tuple(name.partition(" -")[0] for name in RENAMED_COMMANDS.get(command, (command,))) for command in EARLIER
}
"""What each of these commands is called now."""


@pytest.fixture
def call(monkeypatch, capsys):
    return caller(monkeypatch, lambda: tuple(capsys.readouterr()))


@cache
def now(command: str) -> set[str]:
    """Options of a command."""
    return set(options(command.split()))


@pytest.mark.parametrize("earlier, commands", NOW.items())
def test_every_earlier_option_is_taken_or_its_new_spelling_named(earlier, commands):
    taken = set.union(*map(now, commands))
    new = [option for option in EARLIER[earlier] if any(renamed(command.split(), option) for command in commands)]
    assert {*EARLIER[earlier]} <= taken | {*new}


@pytest.mark.parametrize("earlier, command", [(earlier, command) for earlier in NOW for command in NOW[earlier]])
def test_nothing_that_a_command_takes_is_refused_and_what_is_named_is_taken(earlier, command):
    taken = now(command)
    assert not [option for option in taken if renamed(command.split(), option)]
    for option in EARLIER[earlier]:
        new = renamed(command.split(), option) or ""
        assert {word for word in new.split() if word.startswith("-")} <= taken, (option, new)


def fields(record, inside=""):
    """Names of the fields of a recipe, with those of nested ones after a dot; of all members of a union."""
    for name, hint in hints(record).items():
        yield inside + name
        for kind in alternatives(hint):
            if is_dataclass(kind):
                yield from fields(kind, f"{inside}{name}.")


@pytest.mark.parametrize("trainer", RECIPES)
def test_fields_that_are_named_instead_of_options_are_fields_of_the_recipe(trainer):
    module = import_module(f"occlupose.methods.{RECIPES[trainer]}")
    known = {field for recipe in module.RECIPES.values() for field in fields(type(recipe))}
    command = f"train {trainer}"
    for option in (option for earlier, names in NOW.items() if command in names for option in EARLIER[earlier]):
        new = renamed(command.split(), option) or ""
        if new.startswith("--recipe FILE with "):
            named = new.removeprefix("--recipe FILE with ").removesuffix(" in it").split(" and ")
            assert set(named) <= known, (option, new)


@pytest.mark.parametrize(
    ("earlier", "words"),
    [
        ("ljof --lja-size 0.1", "--lja-size: an earlier spelling; give --recipe FILE with blocks.size in it, see "),
        ("hupor recipe:small", "recipe:small: an earlier spelling; give --recipe small, see "),
        ("hupor --recipe.clip 2", "--recipe.clip: an earlier spelling; give --recipe FILE with max_grad_norm in it, "),
        ("oanet --recipe.no-refine", "--recipe.no-refine: an earlier spelling; give --recipe FILE with refine in it, "),
        ("oanet recipe:paper", "recipe:paper: an earlier spelling; give --recipe paper, see occlupose train oanet "),
        ("keypoints --recipe.optimisation.steps=5", "an earlier spelling; give --steps, see occlupose train"),
    ],
)
def test_an_option_that_is_now_in_recipes_is_refused(call, earlier, words):
    assert_refused(call("train", *earlier.split()), words)


def test_old_spellings_have_hyphens():
    assert not [old for old in RENAMED_OPTIONS if "_" in old]
    assert not [old for old in OPTIONS_IN_RECIPES if "_" in old]


@pytest.mark.parametrize("given", [["--start", "x"], ["--start=x"]])
def test_an_earlier_spelling_is_refused(call, given):
    outcome = call("train", "ljof", "--data", "d", *given)
    assert_refused(outcome, "--start: an earlier spelling; give --init-from, see occlupose train ljof --help")


@pytest.mark.parametrize("earlier, new", RENAMED_COMMANDS.items())
@pytest.mark.parametrize("given", [[], ["--help"], ["--data", "d"]])
def test_an_earlier_name_of_a_command_is_refused(call, earlier, new, given):
    outcome = call(*earlier.split(), *given)
    assert_refused(outcome, f"{earlier}: an earlier name; give ", *new)


@pytest.mark.parametrize("file", ["recipe.json", "recipe.long.json", "recipe_of_mine.json"])
def test_a_recipe_in_a_file_of_that_name_is_no_earlier_spelling(file):
    assert renamed(["train", "ljof"], file.replace("_", "-")) is None
    assert renamed(["train", "lifter"], "--recipe.hidden") is not None
