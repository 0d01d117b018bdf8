"""Writes docs/licences.md: every package that an installation brings, with its version here and its licence.

    python install/licences.py

What a package needs is read from the packages that are installed. Extras that are not installed keep their rows, but
for a new one: install it first (pip install -e '.[NAME]' in the clone).
"""

import re
import tomllib
from collections.abc import Iterable
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "licences.md"

HEAD = """# Licences of dependencies

occlupose itself has the [Apache License 2.0](../LICENSE); [NOTICE](../NOTICE) names the weights and data that come with
it. An installation brings the packages below, with the licences that they state. FFmpeg's libraries, in `av` and
`opencv-python-headless`, have licences of their own, LGPL or GPL. The table is written by

```sh
python install/licences.py
```

| package | licence | needed by |
| --- | --- | --- |
"""

SHORT = {
    "Apache Software License": "Apache-2.0",
    "MIT License": "MIT",
    "BSD License": "BSD",
    "3-Clause BSD License": "BSD-3-Clause",
    "2-clause BSD License": "BSD-2-Clause",
    "ISC License (ISCL)": "ISC",
    "Mozilla Public License 2.0 (MPL 2.0)": "MPL-2.0",
    "Python Software Foundation License": "PSF-2.0",
    "The Unlicense (Unlicense)": "Unlicense",
}
"""Names of licences as packages have them, and their short ones."""

FILES = {
    "anny": "Apache-2.0",
    "ezc3d": "MIT",
    "faster-coco-eval": "Apache-2.0",
    "pyyaml": "MIT",
    "requests": "Apache-2.0",
    "warp-lang": "Apache-2.0",
}
"""Licences of packages that state theirs in a file only, or that this needs without installing them."""


def main() -> None:
    """Write docs/licences.md from the packages that are installed."""
    PAGE.write_text(page(), encoding="utf-8")
    print(f"{PAGE}: written")


def page() -> str:
    """The page."""
    before = known()
    users = find_users()
    lines = []
    for name in sorted(users):
        licence = licence_of(name) or FILES.get(name) or before.get(name, ("", ""))[0]
        if not licence:
            raise SystemExit(f"{name}: states no licence, or is not installed; install it, or add it to FILES")
        lines.append(f"| {name} | {licence} | {users[name]} |")
    return HEAD + "\n".join(lines) + "\n"


def known() -> dict[str, tuple[str, str]]:
    """Licence and user of each package of the page that is there."""
    text = PAGE.read_text(encoding="utf-8") if PAGE.exists() else ""
    found = re.findall(r"^\| ([\w.-]+) \| (.+?) \| (.+?) \|$", text, re.MULTILINE)
    return {name: (licence, user) for name, licence, user in found if name != "package"}


def find_users() -> dict[str, str]:
    """All packages of an installation on Linux: "occlupose", an extra, or the package that needs it."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = {name: needs for name, needs in project["optional-dependencies"].items() if name != "dev"}
    users = {normal(need): "occlupose" for need in project["dependencies"]}
    for name, needs in extras.items():
        for need in needs:
            users.setdefault(normal(need), f"extra {name}")
    waiting = list(users)
    for name in waiting:
        for need in needs_of(name):
            if need not in users:
                users[need] = name
                waiting.append(need)
    return users


def needs_of(name: str) -> Iterable[str]:
    """The packages that an installed package needs, without those for GPUs."""
    try:
        needs = metadata.requires(name) or []
    except metadata.PackageNotFoundError:
        return [other for other, (_, user) in known().items() if user == name]
    wanted = [Requirement(need) for need in needs]
    kept = [need for need in wanted if need.marker is None or need.marker.evaluate({"extra": ""})]
    return [normal(need.name) for need in kept if not re.match(r"nvidia|cuda|triton", need.name)]


def normal(need: str) -> str:
    """The name of a requirement as the index has it."""
    return re.sub(r"[-_.]+", "-", Requirement(need).name).lower()


def licence_of(name: str) -> str:
    """What an installed package states; "" if nothing or not installed."""
    try:
        stated = metadata.metadata(name)
    except metadata.PackageNotFoundError:
        return ""
    if expression := stated.get("License-Expression"):
        return expression
    classified = [line.split(" :: ")[-1] for line in stated.get_all("Classifier", []) if line.startswith("License ::")]
    names = [SHORT.get(each, each) for each in classified if each != "OSI Approved"]
    text = "".join((stated.get("License") or "").strip().splitlines()[:1])[:60]
    return ", ".join(names) or SHORT.get(text, text)


if __name__ == "__main__":
    main()
