"""The command that describes and checks the installation."""

import json
import platform
import sys
from collections.abc import Callable
from functools import partial
from importlib import metadata
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.table import Column, Table

from occlupose import __version__
from occlupose.cli import checks
from occlupose.errors import OccluposeError, reason

PACKAGES = (
    *("torch", "torchvision", "lightning-fabric", "numpy", "scipy", "av", "opencv-python-headless", "pillow"),
    *("ai-edge-litert", "onnxruntime", "moderngl", "faster-coco-eval", "tyro"),
)
"""Packages that results may depend on; some are optional."""

FAILED = "FAILED"

WIDTH = 200
"""Columns of the table if the output is not a terminal."""


def doctor() -> None:
    """Check the installation, and print versions, weights, licences and devices, for a bug report. Needs no network.

    Checks that weights are as shipped and load, that a video can be written and read, that a known person is lifted
    correctly, that the cache can be written, the number of threads, and that installed extras work. What fails has its
    cure beside it, and the exit code is then 1.
    """
    columns = [Column(header, overflow="fold") for header in ("what", "version", "licence or place")]
    table = Table(*columns, title=f"occlupose {__version__}")
    table.add_row("python", platform.python_version(), platform.platform())
    for package in PACKAGES:
        try:
            table.add_row(package, metadata.version(package), _licence(package))
        except metadata.PackageNotFoundError:
            table.add_row(package, "not installed", "")
    for add in (_add_ffmpeg, _add_weights, _add_assets, _add_devices):
        add(table)
    extras = {f"extra {name}": partial(checks.check_extra, name) for name in checks.EXTRAS}
    outcomes = {name: _outcome(check) for name, check in (checks.CHECKS | extras).items()}
    for name, (outcome, found) in outcomes.items():
        table.add_row(f"check: {name}", outcome, escape(found))
    console = Console()
    if not console.is_terminal:
        console = Console(width=WIDTH)
    console.print(table)
    if any(outcome == FAILED for outcome, _ in outcomes.values()):
        sys.exit(1)


def _licence(package: str) -> str:
    """The first licence that a package states."""
    stated = metadata.metadata(package)
    licences = str(stated.json.get("license_expression", "")).split(" AND ")
    classified = [line.split(" :: ")[-1] for line in stated.get_all("Classifier", []) if line.startswith("License")]
    return f"{licences[0]} and others" if len(licences) > 1 else licences[0] or ", ".join(classified)


def _add_ffmpeg(table: Table) -> None:
    import av

    libraries = ("libavformat", "libavcodec")
    versions = [f"{name} {'.'.join(map(str, av.library_versions[name]))}" for name in libraries]
    table.add_row("FFmpeg", ", ".join(versions), "")


def _add_weights(table: Table) -> None:
    """A row for each network that comes with occlupose, by its card."""
    for path in sorted((Path(__file__).parents[1] / "weights").glob("*.safetensors")):
        card = json.loads(path.with_suffix(".json").read_text())
        parameters = f"{card['parameters']:,} parameters" if "parameters" in card else card.get("version", "")
        table.add_row(card["name"], parameters, card["licence"])


def _add_assets(table: Table) -> None:
    """A row for each file that is fetched at first use, and for the cache."""
    from occlupose.assets import ASSETS, cache_folder

    for asset in ASSETS:
        fetched = "here" if asset.present else "not fetched yet"
        table.add_row(asset.name, f"{asset.package} {asset.version}", f"{asset.licence}; {fetched}")
    folder = cache_folder()
    try:
        state = "" if any(folder.iterdir()) else "empty"
    except FileNotFoundError:
        state = "not there yet"
    except OSError as error:
        state = f"cannot be read ({reason(error)})"
    table.add_row("cache", state, str(folder))


def _add_devices(table: Table) -> None:
    import torch

    gpus = ", ".join(torch.cuda.get_device_name(number) for number in range(torch.cuda.device_count()))
    table.add_row("devices", f"cpu ({torch.get_num_threads()} threads)", gpus or "no GPU")
    try:
        from onnxruntime import get_available_providers
    except ImportError:
        return
    providers = [name.removesuffix("ExecutionProvider") for name in get_available_providers()]
    table.add_row("devices of onnxruntime", ", ".join(providers), "")


def _outcome(check: Callable[[], str]) -> tuple[str, str]:
    """Whether a check succeeds; and what it found, or what is wrong and the cure, in one line."""
    try:
        return "ok", check()
    except Exception as error:  # anything may be wrong with an installation
        known = isinstance(error, OccluposeError)
        message = str(error) if known else f"{type(error).__name__}: {error}; {checks.REINSTALL}"
        return FAILED, " ".join(message.split())
