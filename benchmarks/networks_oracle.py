"""Compares MoveNet and NanoDet as this package runs them with the published graphs in TensorFlow.

    python benchmarks/networks_oracle.py --models MODELS --photographs PHOTOGRAPHS --tensorflow PYTHON

MODELS and PYTHON: see `tensorflow_networks.py`. PHOTOGRAPHS is a folder of .jpg files, each with the boxes of people in
a .txt file of its name: class, centre x and y, width and height, as fractions of the photograph's. Thunder gets the
square of 1.25 times the longer side of the first box, scaled to 256 x 256 pixels; MultiPose the photograph, scaled to
256 x 256; NanoDet the same at 416 x 416.

The graphs run in onnxruntime and the modules in torch, on the CPU. Positions are compared for all joints of Thunder,
for the joints and boxes of people with a confidence above 0.1 of MultiPose, and for boxes with one above 0.3 of
NanoDet; confidences of all of them, and of every person and cell. A joint is a tie where occlupose gives, within 0.1
px, the position in the cell of the weighted heatmap that comes second in TensorFlow. `smallest_margin` is of all
joints the smallest part of its value by which the best cell is above the second.
"""

import hashlib
import json
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import torch
import tyro
from jaxtyping import Float, UInt8
from results import write
from tables import markdown_table

from occlupose.networks import pretrained

COLUMNS = (
    *("network", "runtime", "pictures", "positions", "confidences", "largest_px", "largest_px_without_ties"),
    *("largest_confidence", "over_0.1_px", "ties", "smallest_margin", "confidences_over_0.001"),
)
SIDES = {"movenet_thunder": 256, "movenet_multipose": 256, "nanodet_g": 416}
FILES = {"movenet_thunder": "movenet-thunder", "movenet_multipose": "movenet-multipose", "nanodet_g": "nanodet"}
OUTPUTS = {
    "movenet_thunder": ("xy", "score"),
    "movenet_multipose": ("xy", "score", "boxes", "person_score"),
    "nanodet_g": ("boxes", "score"),
}
"""Outputs of each network, by their names in `tensorflow_networks.py`."""

PADDING = 1.25
"""Side of Thunder's crop / longer side of the box."""

PERSON = 0.1
CELL = 0.3
"""Confidence above which people of MultiPose and boxes of NanoDet are compared."""

PX = 0.1
CONFIDENCE = 0.001
"""Differences above these are counted."""

Outputs = dict[str, np.ndarray]


def check_files(models: Path) -> None:
    """Raises SystemExit unless the files with the weights are those that this package was made from."""
    for network, name in FILES.items():
        card = json.loads((pretrained.WEIGHTS / f"{network}.json").read_text())
        (expected,) = card["source"].values()
        found = hashlib.sha256((models / f"{name}.bin").read_bytes()).hexdigest()
        if found != expected:
            raise SystemExit(f"{models / name}.bin: SHA-256 is {found}; the card of {network} has {expected}")


def read(photographs: Path, count: int) -> dict[str, UInt8[np.ndarray, "picture height width 3"]]:
    """The pictures that each network gets, RGB."""
    pictures: dict[str, list[np.ndarray]] = {network: [] for network in SIDES}
    for path in sorted(photographs.glob("*.jpg"))[:count]:
        image = cv2.imread(str(path))[..., ::-1]
        first, *_ = path.with_suffix(".txt").read_text().splitlines()
        box = np.array(first.split()[1:5], float)
        pictures["movenet_thunder"].append(crop(image, box, SIDES["movenet_thunder"]))
        for network in ("movenet_multipose", "nanodet_g"):
            side = SIDES[network]
            pictures[network].append(cv2.resize(image, (side, side), interpolation=cv2.INTER_AREA))
    return {network: np.stack(images) for network, images in pictures.items()}


def crop(
    image: UInt8[np.ndarray, "height width 3"], box: Float[np.ndarray, " 4"], side: int
) -> UInt8[np.ndarray, "side side 3"]:
    """A person in a square.

    Arguments:
        box: centre x and y, width and height, as fractions of the image's.
    """
    x, y, width, height = box * (*image.shape[1::-1], *image.shape[1::-1])
    scale = side / (PADDING * max(width, height))
    matrix = np.array([[scale, 0, side / 2 - scale * x], [0, scale, side / 2 - scale * y]])
    return cv2.warpAffine(image, matrix, (side, side), flags=cv2.INTER_AREA)


def run_tensorflow(
    models: Path, pictures: dict[str, UInt8[np.ndarray, "picture height width 3"]], python: Path
) -> Outputs:
    """What the published graphs give, by "network/output"."""
    with tempfile.TemporaryDirectory() as name:
        request = Path(name) / "pictures.npz"
        answer = Path(name) / "outputs.npz"
        np.savez(request, **pictures)
        script = Path(__file__).with_name("tensorflow_networks.py")
        subprocess.run([python, script, "run", models, request, answer], check=True)
        with np.load(answer) as arrays:
            return dict(arrays)


def run_here(network: str, runtime: str, pictures: UInt8[np.ndarray, "picture height width 3"]) -> Outputs:
    """What this package gives for one picture after the other, by output.

    Arguments:
        runtime: "onnxruntime" or "torch".
    """
    names = OUTPUTS[network]
    if runtime == "onnxruntime":
        graph = pretrained.load(network, threads=1)
        found = [graph(picture[None]) for picture in pictures]
    else:
        module = pretrained.build(network)
        with torch.inference_mode():
            found = [[value.numpy() for value in module(torch.from_numpy(picture[None]))] for picture in pictures]
    return {name: np.concatenate(values) for name, values in zip(names, zip(*found, strict=True), strict=False)}


def compare(network: str, ours: Outputs, theirs: Outputs) -> tuple[object, ...]:
    """The columns after `pictures`.

    Arguments:
        theirs: outputs of TensorFlow, also `runner_up` and `margin` of MoveNet.
    """
    kept = _kept(network, theirs)
    names = [name for name in ("xy", "boxes") if name in ours]
    distances = np.concatenate([_distances(ours[name], theirs[name])[kept].ravel() for name in names])
    scores = kept if "xy" in ours else slice(None)
    differences = np.abs(ours["score"] - theirs["score"])[scores].ravel()
    if "person_score" in ours:
        differences = np.append(differences, np.abs(ours["person_score"] - theirs["person_score"]))
    ties = np.zeros(len(distances), bool)
    margin = ""
    if "runner_up" in theirs:
        second = _distances(ours["xy"], theirs["runner_up"])[kept].ravel() < PX
        ties[: len(second)] = (distances[: len(second)] > PX) & second
        seen = theirs["score"][kept] > 0
        margin = f"{theirs['margin'][kept][seen].min():.7f}"
    without = distances[~ties]
    return (
        len(distances),
        len(differences),
        f"{distances.max():.5f}",
        f"{without.max():.5f}",
        f"{differences.max():.7f}",
        int((distances > PX).sum()),
        int(ties.sum()),
        margin,
        int((differences > CONFIDENCE).sum()),
    )


def _kept(network: str, theirs: Outputs) -> np.ndarray:
    """The people or cells whose positions are compared."""
    if network == "movenet_multipose":
        return theirs["person_score"] > PERSON
    if network == "nanodet_g":
        return theirs["score"] > CELL
    return np.ones(len(theirs["score"]), bool)


def _distances(ours: np.ndarray, theirs: np.ndarray) -> np.ndarray:
    """Of joints or boxes, the largest difference of a coordinate, px."""
    return np.abs(ours - theirs).max(-1)


def rows(
    models: Path, pictures: dict[str, UInt8[np.ndarray, "picture height width 3"]], python: Path
) -> Iterator[tuple[object, ...]]:
    """The table."""
    outputs = run_tensorflow(models, pictures, python)
    for network, batch in pictures.items():
        prefix = f"{network}/"
        theirs = {key.removeprefix(prefix): value for key, value in outputs.items() if key.startswith(prefix)}
        for runtime in ("onnxruntime", "torch"):
            yield network, runtime, len(batch), *compare(network, run_here(network, runtime, batch), theirs)


def main(
    models: Path,
    photographs: Path,
    tensorflow: Path,
    count: int = 200,
    output: Path = Path(__file__).parent / "results" / "networks_oracle.csv",
) -> None:
    """Compares the networks.

    Args:
        models: folder of the published graph models.
        photographs: folder of photographs with boxes.
        tensorflow: Python interpreter of the environment of TensorFlow.
        count: of photographs, the first by name.
        output: table to write.
    """
    torch.set_num_threads(1)
    check_files(models)
    found = list(rows(models, read(photographs, count), tensorflow))
    write(output, COLUMNS, found)
    print(markdown_table([dict(zip(COLUMNS, map(str, row), strict=True)) for row in found]))


if __name__ == "__main__":
    tyro.cli(main)
