"""Parses the command line into a call of one command; errors are one line."""

import re
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack, redirect_stderr, redirect_stdout, suppress
from difflib import get_close_matches
from functools import partial, update_wrapper
from inspect import cleandoc, signature
from io import StringIO
from shutil import get_terminal_size
from textwrap import fill
from typing import Annotated, Any, Union, get_args

import tyro
from tyro.conf import subcommand

from occlupose.cli.renamed import refuse_renamed, refuse_renamed_command
from occlupose.errors import OccluposeError

Command = Callable[..., None]

UNITS = {"DEGREES": "degrees", "METRES": "metres", "SECONDS": "seconds, m:ss or h:mm:ss", "GIB": "GiB"}
"""Unit of a number, by the metavar of its option."""


def parse(
    commands: dict[str, Command | dict[str, Command]], arguments: Sequence[str], *, about: str, groups: dict[str, str]
) -> Callable[[], None]:
    """The call that the arguments ask for. Help is printed and ends the program.

    Arguments:
        commands: by name; commands of a group by the name of the group.
        arguments: without the program's name.
        about: description of the program.
        groups: description of each group.

    Raises:
        OccluposeError: the arguments cannot be parsed.
    """
    words = _command_words(commands, arguments)
    rest = list(arguments[len(words) :])
    refuse_renamed(words, rest)
    chosen: Any = commands
    for word in words:
        chosen = chosen[word]
        about = groups[word] if isinstance(chosen, dict) else _docstring(chosen)
    events: list[Any] = []
    with ExitStack() as stack:
        errors = stack.enter_context(redirect_stderr(StringIO()))
        with suppress(ImportError):  # a part of tyro that may change; without it messages are less exact
            from tyro._errors import on_parse_error

            stack.enter_context(on_parse_error(events.append))
        try:
            program = " ".join(["occlupose", *words])
            return tyro.cli(_constructor(chosen, groups), prog=program, description=_wrapped(about), args=rest)
        except SystemExit as end:
            if end.code != 2:
                raise
    explanation = _explain(commands, words, rest, events[0] if events else None) or _one_line(errors.getvalue())
    raise OccluposeError(explanation)


def options(words: Sequence[str]) -> list[str]:
    """The options of a command, by its help: `--every`, `-o`, ...

    Arguments:
        words: of the command, such as ["train", "ljof"].
    """
    lines = [line.strip("│ ") for line in _help(words).splitlines()]
    shown = (re.findall(r"(?:^|, )(--?[a-z][\w.-]*)", line) for line in lines if re.match(r"--?[a-z]", line))
    return sorted({option for each in shown for option in each})


def _help(words: Sequence[str]) -> str:
    from occlupose import cli

    text = StringIO()
    with redirect_stdout(text), suppress(SystemExit):
        cli.parse_arguments([*words, "--help"])
    return re.sub(r"\x1b\[[\d;]*m", "", text.getvalue())


def _defer(command: Command) -> Callable[..., Callable[[], None]]:
    """A function with a command's arguments that returns its call, so that parsing ends before the command begins."""

    def defer(*args: Any, **kwargs: Any) -> Callable[[], None]:
        return partial(command, *args, **kwargs)

    update_wrapper(defer, command)
    del defer.__wrapped__  # type: ignore[attr-defined]  # tyro would read its docstring
    defer.__signature__ = signature(command)  # type: ignore[attr-defined]
    # where the description of an argument continues, tyro would break the line
    defer.__doc__ = re.sub(r"\n {8}(?=\S)", " ", cleandoc(command.__doc__ or ""))
    return defer


def _constructor(chosen: Any, groups: dict[str, str]) -> Any:
    """What tyro builds from the arguments: a deferred command, or a choice of those of a group.

    Only for the chosen command: tyro would search the others for a misspelt option, which loads all of their modules.
    """
    if not isinstance(chosen, dict):
        return _defer(chosen)
    about = {name: _docstring(each).partition("\n\n")[0] for name, each in chosen.items()} | groups
    members = tuple(
        Annotated[Any, subcommand(name, constructor=_constructor(each, groups), description=about[name])]
        for name, each in chosen.items()
    )
    return Union[members]  # noqa: UP007 (however many there are)


def _docstring(command: Command) -> str:
    """The docstring of a command without its arguments."""
    return cleandoc(command.__doc__ or "").partition("\nArgs:")[0].strip()


def _wrapped(text: str) -> str:
    """Paragraphs wrapped to the terminal and indented, since tyro joins other lines; indented ones are unchanged."""
    wrap = partial(fill, width=get_terminal_size().columns, initial_indent="  ", subsequent_indent="  ")
    paragraphs = text.strip().split("\n\n")
    return "\n\n".join(each if each.startswith(" ") else wrap(each) for each in paragraphs)


def _command_words(commands: dict[str, Any], arguments: Sequence[str]) -> list[str]:
    """The words that name the command or group; fewer if help or completion is asked for.

    Raises:
        OccluposeError: there is no such command.
    """
    words: list[str] = []
    known: Any = commands
    while isinstance(known, dict):
        word = next(iter(arguments[len(words) :]), None)
        if word in ("-h", "--help") or (word or "").startswith("--tyro-"):
            return words
        of = " ".join(["occlupose", *words])
        if word is None:
            raise OccluposeError(f"{' '.join(words)}: a command is missing; give one of {_join(known)}")
        if word.startswith("-"):
            raise OccluposeError(f"{word}: options come after the command; see {of} --help")
        refuse_renamed_command([*words, word])
        if word not in known:
            cure = _nearest(word, known) or f"give one of {_join(known)}"
            raise OccluposeError(f"{word}: not a command of {of}; {cure}")
        words.append(word)
        known = known[word]
    return words


def _explain(commands: dict[str, Any], words: list[str], rest: list[str], event: Any) -> str | None:
    """Why tyro does not accept the arguments, in one line; None if that is unknown.

    Arguments:
        words: name of the command.
        rest: arguments after them.
        event: tyro's description of the failure, if there is one.
    """
    name = " ".join(words)
    known = set(options(words))
    for option in _options_in(rest):
        if option not in known:
            cure = _nearest(option, known) or f"see occlupose {name} --help"
            return f"{option}: not an option of {name}; {cure}"
    kind = type(event).__name__
    if kind == "MissingArgs":
        missing = " and ".join(_invocation(each.arg) for each in event.missing_arguments)
        return f"{name}: {missing} missing; see occlupose {name} --help"
    if kind == "BadValue":
        return f"{_invocation(event.argument)}: a value is missing; see occlupose {name} --help"
    if kind == "InvalidChoice":
        choices = sorted(set(event.choices) - {"None"})
        return f"{_flag(event.argument)} {event.value}: not known; known are {_join(choices)}"
    if kind == "InstantiationFailure" and event.argument is not None:
        return _bad_value(event.argument, rest, event.message)
    if kind == "UnrecognizedArgs":
        return _one_too_many(name, event.tokens[0])
    return None


def _options_in(rest: Iterable[str]) -> Iterable[str]:
    """The options among arguments, with hyphens."""
    for argument in rest:
        if argument == "--":
            return
        if re.match(r"--?[A-Za-z]", argument):
            yield argument.partition("=")[0].replace("_", "-")


def _bad_value(argument: Any, rest: list[str], message: object) -> str:
    """The message for a value that cannot be read."""
    flag = _flag(argument)
    value = _value(argument, rest)
    types = {argument.field.type_stripped, *get_args(argument.field.type_stripped)}
    unit = UNITS.get(str(argument.lowered.metavar))
    if float in types:
        return f"{flag} {value}: not a number; give {unit or 'one, such as 0.5'}"
    if int in types:
        return f"{flag} {value}: not a whole number; give {unit or 'one, such as 2'}"
    return f"{flag} {value}: {_one_line(str(message))}"


def _value(argument: Any, rest: list[str]) -> str:
    """The value that was given for an option; "" if there is none."""
    found = ""
    for place, word in enumerate(rest):
        option, equals, value = word.partition("=")
        if option.replace("_", "-") in argument.lowered.name_or_flags:
            count = argument.lowered.nargs if isinstance(argument.lowered.nargs, int) else 1
            found = value if equals else " ".join(rest[place + 1 : place + 1 + count])
    return found


def _one_too_many(name: str, word: str) -> str:
    """A word that nothing takes: an input too many where the command has one, or in another place than the others."""
    if name == "run":
        return f"{word}: inputs come together; give all of them before the options"
    if name in ("lift", "export", "angles", "convert smpl", "convert checkpoint"):
        return f"{word}: one input at a time is taken; call occlupose {name} once for each"
    return f"{word}: not an argument of {name}; see occlupose {name} --help"


def _invocation(argument: Any) -> str:
    """An argument as help shows it: `--fov DEGREES`, `INPUT`."""
    metavar = str(argument.lowered.metavar or "")
    return metavar if argument.is_positional() else f"{_flag(argument)} {metavar}".strip()


def _flag(argument: Any) -> str:
    """The long spelling of an option; the metavar of a positional argument."""
    if argument.is_positional():
        return str(argument.lowered.metavar)
    return max(argument.lowered.name_or_flags, key=len)


def _nearest(word: str, known: Iterable[str]) -> str:
    near = get_close_matches(word, list(known), n=1)
    return f"did you mean {near[0]}?" if near else ""


def _join(names: Iterable[str]) -> str:
    return ", ".join(map(str, names))


def _one_line(message: str) -> str:
    """tyro's message without its frame, in one line."""
    return " ".join(re.sub(r"\x1b\[[\d;]*m|[│╭╮╰╯─]", " ", message).split())
