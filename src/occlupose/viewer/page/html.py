"""One HTML file from the template, the style, the modules and the content of a page."""

import base64
import html
import json
import re
from importlib.resources import files
from typing import Any

from occlupose import __version__

MODULES = ("arrays", "canvas", "clock", "curves", "main", "people", "picture", "space", "timeline")
"""Our modules in JavaScript, which import each other as occlupose/NAME, and three.js as three."""


def assemble(title: str, content: dict[str, Any], inside: str) -> str:
    """The whole page.

    Arguments:
        content: for JSON.
        inside: a video or image in base64; empty without one.
    """
    values = {
        "title": html.escape(title),
        "generator": f"occlupose {__version__}",
        "style": _read("style.css").strip(),
        "modules": _import_map(),
        "content": _json(content),
        "media": inside,
    }
    return re.sub(r"{{(\w+)}}", lambda match: values[match[1]], _read("page.html"))


def _import_map() -> str:
    """The modules as data in the page: imports of files are refused in pages that are files themselves."""
    sources = {f"occlupose/{name}": f"{name}.js" for name in MODULES} | {"three": "three.min.js"}
    return _json({"imports": {name: _as_address(_read(file)) for name, file in sources.items()}})


def _as_address(script: str) -> str:
    return "data:text/javascript;charset=utf-8;base64," + base64.b64encode(script.encode()).decode("ascii")


def _json(value: dict[str, Any]) -> str:
    """JSON that may stand in a script element."""
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False, allow_nan=False).replace("<", "\\u003c")


def _read(name: str) -> str:
    return (files("occlupose.viewer.page") / "web" / name).read_text(encoding="utf-8")
