"""The command that tells what is installed here."""

import platform
from importlib import metadata

from rich.console import Console
from rich.table import Table

from occlupose import __version__


def doctor() -> None:
    """Print versions, weights, licences and devices: what to copy into a bug report. Needs no network."""
    import torch

    from occlupose.assets import ASSETS, cache_folder
    from occlupose.methods.oanet.lifter.weights import card

    table = Table("what", "version", "licence or place", title=f"occlupose {__version__}")
    table.add_row("python", platform.python_version(), platform.platform())
    for name in ("torch", "numpy", "scipy", "av", "opencv-python-headless", "ai-edge-litert", "onnxruntime"):
        try:
            table.add_row(name, metadata.version(name), _licence(name))
        except metadata.PackageNotFoundError:
            table.add_row(name, "not installed", "")
    lifter = card()
    table.add_row(lifter["name"], f"{lifter['parameters']:,} parameters", lifter["licence"])
    for asset in ASSETS:
        table.add_row(
            asset.name,
            f"{asset.package} {asset.version}",
            f"{asset.licence}; {'here' if asset.present else 'not fetched yet'}",
        )
    table.add_row("cache", "", str(cache_folder()))
    gpus = ", ".join(torch.cuda.get_device_name(n) for n in range(torch.cuda.device_count()))
    table.add_row("devices", f"cpu ({torch.get_num_threads()} threads)", gpus or "no GPU")
    Console().print(table)


def _licence(package: str) -> str:
    """The first that the package states."""
    stated = metadata.metadata(package)
    licences = str(stated.json.get("license_expression", "")).split(" AND ")
    classified = [line.split(" :: ")[-1] for line in stated.get_all("Classifier", []) if line.startswith("License")]
    return f"{licences[0]} and others" if len(licences) > 1 else licences[0] or ", ".join(classified)
