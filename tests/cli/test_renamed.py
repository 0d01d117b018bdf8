"""Every command and option that there ever was is still taken, or refused by a line that names the new one."""

from functools import cache
from pathlib import Path

import pytest

from commands import assert_refused, caller
from occlupose.cli.parser import options, recipes
from occlupose.cli.renamed import RENAMED_COMMANDS, RENAMED_OPTIONS, renamed

EARLIER = {
    command: options_of.split()
    for command, _, options_of in (
        line.partition(": ")
        for line in Path(__file__).with_name("earlier_options.txt").read_text().splitlines()
        if ": " in line
    )
}
"""Options by command."""

NOW = {command: RENAMED_COMMANDS.get(command, (command,)) for command in EARLIER}
"""What each of these commands is called now."""


@pytest.fixture
def call(monkeypatch, capsys):
    return caller(monkeypatch, lambda: tuple(capsys.readouterr()))


@cache
def now(command: str) -> set[str]:
    """Options of a command, those of its recipes and of their variants too."""
    words = command.split()
    return {
        *options(words),
        *(option for recipe in recipes(words) if recipe not in words for option in now(f"{command} {recipe}")),
    }


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


def test_an_earlier_variant_of_a_recipe_is_refused(call):
    outcome = call("train", "hupor", "recipe:small", "recipe.design.reasoner-size:size", "--data", "d", "-o", "o")
    assert_refused(outcome, "recipe.design.reasoner-size:size: an earlier spelling; give ")
    assert "recipe.design.reasoner-size:stage-size" in recipes(["train", "hupor", "recipe:small"])


def test_old_spellings_have_hyphens():
    assert not [old for old in RENAMED_OPTIONS if "_" in old]


@pytest.mark.parametrize("given", [["--start", "x"], ["--start=x"]])
def test_an_earlier_spelling_is_refused(call, given):
    outcome = call("train", "ljof", "--data", "d", *given)
    assert_refused(outcome, "--start: an earlier spelling; give --init-from, see occlupose train ljof --help")


@pytest.mark.parametrize("earlier, new", RENAMED_COMMANDS.items())
@pytest.mark.parametrize("given", [[], ["--help"], ["--data", "d"]])
def test_an_earlier_name_of_a_command_is_refused(call, earlier, new, given):
    outcome = call(*earlier.split(), *given)
    assert_refused(outcome, f"{earlier}: an earlier name; give ", *new)
