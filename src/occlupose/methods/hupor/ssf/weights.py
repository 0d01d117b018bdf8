"""Weights of Skeleton-guided Shape Fitting: half-precision safetensors whose header holds the networks' design."""

from pathlib import Path

from occlupose.bodies.anny import anny
from occlupose.bodies.body import BodyModel
from occlupose.bodies.cylinders import cylinders
from occlupose.errors import OccluposeError
from occlupose.methods.hupor.ssf.network import CHANNELS, SSF
from occlupose.networks import weights as weights_file

FORMAT = "occlupose ssf 1"

BODIES = {"anny": anny, "cylinders": cylinders}
"""Body models by their names in files."""


def save(ssf: SSF, path: Path) -> None:
    """Writes the weights, and what `load` needs into the header.

    Raises:
        OccluposeError: the file could not be written.
    """
    # entry names of the first version
    header = {
        "format": FORMAT,
        "body": ssf.body.name,
        "look": ssf.input_type,
        "size": str(ssf.size),
        "blocks": " ".join(map(str, ssf.blocks)),
        "width": str(ssf.width),
        "cnn": str(ssf.cnn_width),
        "hidden": " ".join(map(str, ssf.hidden)),
    }
    weights_file.save(weights_file.half_precision(ssf.state_dict()), header, path)


def load(path: Path) -> SSF:
    """The networks of a weights file, ready to use.

    Raises:
        OccluposeError: the file does not exist, is not a safetensors file, or has other networks.
    """
    body_name = weights_file.header(path).get("body")
    bodies: dict[str, BodyModel] = {name: make() for name, make in BODIES.items() if name == body_name}

    def build(header: dict[str, str]) -> SSF:
        input_type = next((known for known in CHANNELS if known == header["look"]), None)
        if input_type is None or header["body"] not in bodies:
            raise OccluposeError(f"look {header['look']}, body {header['body']}")
        return SSF(
            bodies[header["body"]],
            input_type=input_type,
            size=int(header["size"]),
            blocks=tuple(map(int, header["blocks"].split())),
            width=int(header["width"]),
            cnn_width=int(header["cnn"]),
            hidden=tuple(map(int, header["hidden"].split())),
        )

    return weights_file.load(path, build, format=FORMAT, network="SSF", command="occlupose train ssf")[0]
