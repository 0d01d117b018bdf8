"""Weights of the networks of Skeleton-guided Shape Fitting: half-precision safetensors that carry what is needed to
build them.
"""

from pathlib import Path

from occlupose.bodies.anny import anny
from occlupose.bodies.body import BodyModel
from occlupose.bodies.cylinders import cylinders
from occlupose.errors import OccluposeError
from occlupose.methods.hupor.ssf.network import CHANNELS, SSF
from occlupose.networks import weights as weights_file

FORMAT = "occlupose ssf 1"

BODIES = {"anny": anny, "cylinders": cylinders}
"""By the name that a file says."""


def save(ssf: SSF, path: Path) -> None:
    """Writes the weights, and what `load` needs in the header.

    Raises:
        OccluposeError: the file could not be written.
    """
    header = {
        "format": FORMAT,
        "body": ssf.body.name,
        "look": ssf.look,
        "size": str(ssf.size),
        "blocks": " ".join(map(str, ssf.blocks)),
        "width": str(ssf.width),
        "cnn": str(ssf.cnn),
        "hidden": " ".join(map(str, ssf.hidden)),
    }
    tensors = {name: value.half() if value.is_floating_point() else value for name, value in ssf.state_dict().items()}
    weights_file.save(tensors, header, path)


def load(path: Path) -> SSF:
    """The networks of a weights file, ready to use.

    Raises:
        OccluposeError: no such file, not a safetensors file, or not one of these networks.
    """
    bodies: dict[str, BodyModel] = {
        name: make() for name, make in BODIES.items() if weights_file.header(path).get("body") == name
    }

    def build(header: dict[str, str]) -> SSF:
        size, width, cnn = (int(header[name]) for name in ("size", "width", "cnn"))
        blocks, hidden = (tuple(map(int, header[name].split())) for name in ("blocks", "hidden"))
        look = next((known for known in CHANNELS if known == header["look"]), None)
        if look is None or header["body"] not in bodies:
            raise OccluposeError(f"look {header['look']}, body {header['body']}")
        return SSF(bodies[header["body"]], look=look, size=size, blocks=blocks, width=width, cnn=cnn, hidden=hidden)

    return weights_file.load(path, build, format=FORMAT, network="SSF", command="occlupose train ssf")[0]
