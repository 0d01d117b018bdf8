"""MoveNet and NanoDet as they should be: what TensorFlow gave for cuts of a frame of `docs/images/demo.gif`.

    python tests/tensorflow_outputs.py pictures.npz
    tf/bin/python benchmarks/tensorflow_networks.py run MODELS pictures.npz tests/networks/pretrained_outputs.npz

writes the outputs again; `tensorflow_networks.py` says what `tf` and MODELS are. The cuts are not scaled, so that they
do not depend on the version of a library.
"""

import sys
from pathlib import Path

import numpy as np
from jaxtyping import UInt8
from PIL import Image

FOLDER = Path(__file__).parent / "networks"

CUTS = {
    "movenet_thunder": [(52, 0, 256, 256), (160, 72, 256, 256)],
    "movenet_multipose": [(64, 0, 256, 256)],
    "movenet_multipose/wide": [(64, 0, 256, 416)],
    "movenet_multipose/tall": [(0, 0, 416, 256)],
    "nanodet_g": [(0, 0, 416, 416)],
}
"""Top, left, height and width of cuts for each network."""


def pictures() -> dict[str, UInt8[np.ndarray, "picture height width 3"]]:
    """The cuts, RGB."""
    with Image.open(FOLDER / "pretrained_frame.png") as image:
        frame = np.array(image.convert("RGB"))
    return {
        name: np.stack([frame[top : top + height, left : left + width] for top, left, height, width in cuts])
        for name, cuts in CUTS.items()
    }


def outputs(name: str) -> dict[str, np.ndarray]:
    """What TensorFlow gave for the cuts of a name, by output."""
    with np.load(FOLDER / "pretrained_outputs.npz") as arrays:
        return {key.rpartition("/")[2]: arrays[key] for key in arrays if key.rpartition("/")[0] == name}


if __name__ == "__main__":
    np.savez(sys.argv[1], **pictures())
