"""The page of licences names what an installation brings."""

import sys
import tomllib
from importlib import import_module
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture
def licences(monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "install")
    yield import_module("licences")
    sys.modules.pop("licences")


def test_the_page_is_that_of_the_installed_packages(licences):
    assert licences.PAGE.read_text() == licences.page(), "run python install/licences.py"


def test_every_dependency_and_extra_has_a_row(licences):
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    rows = licences.known()
    for need in project["dependencies"]:
        assert rows[licences.normal(need)][1] == "occlupose", need
    for extra, needs in project["optional-dependencies"].items():
        for need in needs if extra != "dev" else ():
            assert licences.normal(need) in rows, need
    assert rows["jinja2"] == ("BSD", "torch")  # a package that another one needs


def test_a_package_without_a_licence_is_an_error(licences, monkeypatch, tmp_path):
    monkeypatch.setattr(licences, "PAGE", tmp_path / "licences.md")
    monkeypatch.setattr(licences, "find_users", lambda: {"no-such-package": "occlupose"})
    with pytest.raises(SystemExit, match="no-such-package: states no licence, or is not installed"):
        licences.page()


def test_no_dependency_of_the_core_is_copyleft(licences):
    """All of it may be linked into programs under any licence; files of two packages must stay under the MPL."""
    rows = licences.known()
    found = {name for name, (licence, _) in rows.items() if "GPL" in licence or "MPL" in licence}
    assert found <= {"tqdm", "certifi"}
