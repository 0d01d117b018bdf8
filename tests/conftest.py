"""What holds for every test: one thread, so that results and times do not depend on the machine, and the same examples
each time.
"""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ.setdefault(variable, "1")

from hypothesis import settings  # noqa: E402 (after the variables that libraries read when imported)

settings.register_profile("same", derandomize=True, deadline=None)
settings.load_profile("same")


@pytest.fixture
def formats() -> Path:
    """A folder with a few real images and annotations, coco/, crowdpose/ and ochuman/; they may not be
    redistributed.
    """
    if "OCCLUPOSE_FORMATS" not in os.environ:
        pytest.skip("OCCLUPOSE_FORMATS names no folder with real files")
    return Path(os.environ["OCCLUPOSE_FORMATS"])


@pytest.fixture
def command(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> Callable[..., object]:
    """Runs `occlupose ...` in this process, in an empty folder."""
    from commands import caller

    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    return caller(monkeypatch, capsys.readouterr)
