"""The pages keep their word: Python runs, commands parse, links lead somewhere, files are there, tables are the
measured ones.

Fences are found by markdown-it. Of a page the Python runs from top to bottom, and with it the `occlupose` commands of
shell fences marked `run` or `assets`. A page with a fence marked `assets` needs the demonstration clip and finds
a short `video.mp4`. A fence marked `needs:MODULE` runs where this module is installed; where it is not, the rest of the
page runs and the test counts as skipped.
"""

import re
import shlex
import sys
from collections.abc import Callable
from functools import wraps
from importlib import import_module
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path
from types import ModuleType

import cv2
import pytest
import tyro
from markdown_it import MarkdownIt
from markdown_it.token import Token

from occlupose import cli
from occlupose.assets import demo_clip
from occlupose.media import VideoWriter, open_media

ROOT = Path(__file__).parents[1]
RESULTS = sorted((ROOT / "benchmarks" / "results").glob("*.md"))
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md")), *RESULTS]
COMMANDS = {
    "run": cli.run,
    "lift": cli.lift,
    "export": cli.export,
    "angles": cli.angles,
    "view": cli.view,
    "demo": cli.demo,
    "label": cli.label,
    "pseudo-label": cli.pseudo_label,
    "doctor": cli.doctor,
    "synth": cli.synth,
}
CHOICES = {"train": cli.TRAIN, "eval": cli.EVAL, "convert": cli.CONVERT}
PLAIN = {
    "pip",
    "source",
    "python -m venv",
    "git clone",
    "git show",
    "git worktree",
    "torchrun",
    "docker",
    "sh install/",
}
"""Commands of others that pages may name."""

every_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())


def fences(page: Path) -> list[Token]:
    """The fenced blocks of a page, in order."""
    return [token for token in MarkdownIt().parse(page.read_text(encoding="utf-8")) if token.type == "fence"]


def language(fence: Token) -> str:
    return fence.info.split()[0] if fence.info else ""


def commands(fence: Token) -> list[list[str]]:
    """The commands of a shell fence as words."""
    return [shlex.split(line) for line in fence.content.splitlines() if line]


def needs(page: Path) -> list[pytest.MarkDecorator]:
    return [pytest.mark.assets] if any("assets" in fence.info for fence in fences(page)) else []


def lacks(fence: Token) -> list[str]:
    """Modules that a fence needs and that are not installed."""
    modules = [word.removeprefix("needs:") for word in fence.info.split() if word.startswith("needs:")]
    return [module for module in modules if find_spec(module) is None]


def script(path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """A script as a module; modules in its folder can be imported, as when it runs."""
    monkeypatch.syspath_prepend(path.parent)
    return import_module(path.stem)


@pytest.fixture(scope="module")
def clip(tmp_path_factory) -> Path:
    """A fifth of a second of real people, small."""
    path = tmp_path_factory.mktemp("clip") / "video.mp4"
    with (
        open_media(demo_clip(), end=0.2) as source,
        VideoWriter(path, source.width // 2, source.height // 2, source.fps) as out,
    ):
        for frame in source:
            out.write(cv2.resize(frame.image, (out.width, out.height), interpolation=cv2.INTER_AREA))
    return path


@pytest.mark.parametrize(
    "page", [pytest.param(page, id=page.stem, marks=needs(page)) for page in PAGES if any(map(language, fences(page)))]
)
def test_what_a_page_shows_runs(page, request, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    if needs(page):
        Path("video.mp4").symlink_to(request.getfixturevalue("clip"))
    names = {"__name__": "page"}
    missing = {module for fence in fences(page) for module in lacks(fence)}
    for fence in fences(page):
        if lacks(fence):
            continue
        if language(fence) == "python":
            exec(compile("\n" * (fence.map[0] + 1) + fence.content, page, "exec"), names)
        elif {"run", "assets"} & set(fence.info.split()):
            for program, *words in commands(fence):
                if program == "occlupose":
                    monkeypatch.setattr(sys, "argv", [program, *words])
                    cli.main()
    if missing:
        pytest.skip(f"the rest ran; not installed: {', '.join(sorted(missing))}")


def parsed(function: Callable, words: list[str]) -> None:
    """Fails unless these are arguments of this function at the command line; the function does not run."""
    tyro.cli(wraps(function)(lambda *_, **__: None), args=words)


@every_page
def test_commands_and_their_options_exist(page, monkeypatch):
    for program, *words in (words for fence in fences(page) if language(fence) == "sh" for words in commands(fence)):
        if program == "occlupose":
            assert words[0] in (*CHOICES, *COMMANDS)
            function = CHOICES[words[0]][words.pop(1)] if words[0] in CHOICES else COMMANDS[words[0]]
            parsed(function, words[1:])
        elif program == "python" and words[0].endswith(".py"):
            parsed(script(ROOT / words[0], monkeypatch).main, words[1:])
        elif program == "make":
            assert re.search(rf"^{words[0]}:", (ROOT / "Makefile").read_text(), re.MULTILINE), words
        else:
            assert any(" ".join([program, *words]).startswith(plain) for plain in PLAIN), [program, *words]


def anchors(page: Path) -> set[str]:
    """What the headings of a page are called in links."""
    tokens = MarkdownIt().parse(page.read_text(encoding="utf-8"))
    titles = [after.content for token, after in pairwise(tokens) if token.type == "heading_open"]
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


def links(page: Path) -> list[str]:
    """Where the links and images of a page lead."""
    inline = [child for token in MarkdownIt().parse(page.read_text(encoding="utf-8")) for child in token.children or []]
    return [
        str(token.attrGet("href") or token.attrGet("src")) for token in inline if token.type in ("link_open", "image")
    ]


@every_page
def test_links_lead_somewhere(page):
    for link in links(page):
        if link.startswith("https://"):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), link
        assert not anchor or anchor in anchors(target), link


def test_the_readme_and_the_index_lead_to_every_page():
    index = ROOT / "docs" / "README.md"
    pages = {page for page in PAGES if page not in RESULTS}
    linked = {(page.parent / link).resolve() for page in (ROOT / "README.md", index) for link in links(page)}
    assert pages - linked == {ROOT / "README.md"}
    assert {page.name for page in index.parent.glob("*.md")} - set(links(index)) == {"README.md"}


@every_page
def test_files_that_are_named_are_there(page):
    named = re.findall(
        r"`((?:[\w-]+/)*[\w-]+\.(?:py|toml)|(?:benchmarks|docs|src|tests|weights)/[\w/.-]*)`",
        page.read_text(encoding="utf-8"),
    )
    places = (ROOT, ROOT / "src" / "occlupose", ROOT / "src" / "occlupose" / "methods" / "oanet")
    assert [name for name in named if not any((place / name).exists() for place in places)] == []


@every_page
def test_tables_are_the_measured_ones(page, monkeypatch):
    text = page.read_text(encoding="utf-8")
    assert script(ROOT / "benchmarks" / "tables.py", monkeypatch).fill(text) == text, "run: python benchmarks/tables.py"
