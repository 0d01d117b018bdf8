"""The installation on a bare Debian root, which the Dockerfile and a script share; wheel and sdist."""

import os
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
INSTALL = ROOT / "install"


def test_the_image_is_made_by_the_script_and_nothing_else():
    """What works in a bare root works in the image, whose base is that root."""
    lines = (INSTALL / "Dockerfile").read_text().splitlines()
    steps = [line for line in lines if re.match(r"FROM|COPY|ADD|RUN|USER|ENV", line)]
    assert steps == [
        "FROM debian:bookworm-slim",
        "COPY . /src",
        "RUN sh /src/install/install.sh /src && rm -rf /src",
    ]
    bare = (INSTALL / "bare_root.sh").read_text()
    assert "bookworm" in bare and "sh /srv/install.sh" in bare


@pytest.mark.parametrize("name", ["install.sh", "bare_root.sh"])
def test_scripts_are_valid_and_ask_for_what_they_need(name, tmp_path):
    path = INSTALL / name
    assert subprocess.run(["sh", "-n", path]).returncode == 0
    done = subprocess.run(["sh", path], capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode != 0 and "give a " in done.stderr
    assert not list(tmp_path.iterdir())


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """A wheel, from the sdist, as installers make it."""
    folder = tmp_path_factory.mktemp("built")
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check"]
    backend = "import hatchling.build, sys; hatchling.build.build_sdist(sys.argv[1])"
    subprocess.run([*pip, "install", "--quiet", "--target", folder / "backend", "hatchling"], check=True)
    environment = os.environ | {"PYTHONPATH": str(folder / "backend")}
    subprocess.run([sys.executable, "-c", backend, folder], check=True, cwd=ROOT, env=environment)
    (sdist,) = folder.glob("*.tar.gz")
    subprocess.run([*pip, "wheel", "--quiet", "--no-deps", "--wheel-dir", folder, sdist], check=True)
    return sdist, next(folder.glob("*.whl"))


@pytest.mark.slow
def test_wheel_and_sdist_have_what_the_package_needs(built):
    sdist, wheel = built
    package = ROOT / "src" / "occlupose"
    files = {path.relative_to(package.parent).as_posix() for path in package.rglob("*") if path.is_file()}
    files = {file for file in files if "__pycache__" not in file}
    assert files <= set(zipfile.ZipFile(wheel).namelist())
    with tarfile.open(sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert {f"src/{file}" for file in files} <= names
    assert {"LICENSE", "NOTICE", "pyproject.toml", "install/install.sh"} <= names


@pytest.mark.slow
def test_a_wheel_in_an_environment_of_its_own_passes_doctor(built, tmp_path):
    """With the dependencies of this environment, so that nothing is downloaded, but without this clone."""
    _, wheel = built
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", tmp_path / "venv"], check=True)
    site = next((tmp_path / "venv").glob("lib/python*/site-packages"))
    zipfile.ZipFile(wheel).extractall(site)
    others = [path for path in sys.path if path.endswith("site-packages")]
    (site / "dependencies.pth").write_text("\n".join(others))
    code = "import occlupose, sys; from occlupose.cli import main; print(occlupose.__file__); main()"
    python = tmp_path / "venv" / "bin" / "python"
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    environment["OCCLUPOSE_CACHE"] = str(tmp_path / "cache")
    done = subprocess.run([python, "-c", code, "doctor"], capture_output=True, text=True, cwd=tmp_path, env=environment)
    assert done.returncode == 0, done.stdout + done.stderr
    assert str(site) in done.stdout.splitlines()[0] and "FAILED" not in done.stdout


@pytest.mark.slow
@pytest.mark.skipif(
    os.geteuid() != 0 or not shutil.which("debootstrap") or not os.environ.get("OCCLUPOSE_BARE_ROOT"),
    reason="needs root, debootstrap, 4 GB and OCCLUPOSE_BARE_ROOT=FOLDER",
)
def test_a_bare_debian_root_gets_a_working_command(built):
    folder = os.environ["OCCLUPOSE_BARE_ROOT"]
    subprocess.run(["sh", INSTALL / "bare_root.sh", folder, built[1]], check=True)
    done = subprocess.run(["chroot", folder, "occlupose", "--version"], capture_output=True, text=True)
    assert done.stdout.startswith("occlupose ")
