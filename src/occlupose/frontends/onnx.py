"""Any top-down keypoint network in an ONNX file, with a card beside it that describes it.

The network takes crops of people, `(batch, 3, height, width)` float32, and returns keypoints by one of three codecs.
The card of `pose.onnx` is `pose.json`, a JSON object:

- licence: of the weights, for the user.
- skeleton: names and order of the joints, such as "coco17".
- width, height: of the crop, px.
- codec: "heatmap", "simcc" or "coordinates".
- grid: heatmap only. Position of cell i in the crop, with f = side of the crop / side of the heatmap: "stride" f i;
  "corners" i (side of the crop - 1) / (side of the heatmap - 1); "centres" f (i + 0.5) - 0.5.
- unit: coordinates only. "pixels" of the crop, or "fraction" of its sides (edge to edge).
- channels: "rgb" or "bgr".
- mean, std: in the order of the channels, of 0..255.
- padding: sides of the crop / sides of the person's box.

Fields from `grid` on are optional; `OnnxCard` has the defaults. Outputs by codec, joint j of person p:

- heatmap: `(p, j, y, x)`; the score is the value of the peak;
- simcc (Li et al. 2022): two, `(p, j, x)` and `(p, j, y)`, classes of equal width along each side; the score is the
  lower peak;
- coordinates: `(p, j, 2)` or `(p, j, 3)`: x, y and the score, 1 where it is missing.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from jaxtyping import UInt8
from pydantic import BaseModel, ConfigDict, Field, PositiveFloat, PositiveInt, ValidationError

from occlupose.codecs.crops import Crop, Grid
from occlupose.codecs.heatmaps import find_peaks
from occlupose.errors import OccluposeError
from occlupose.frontends.crops import Keypoints
from occlupose.skeletons import by_name


class OnnxCard(BaseModel):
    """Description of a network; the module's docstring describes each field."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    licence: str
    skeleton: str
    width: PositiveInt
    height: PositiveInt
    codec: Literal["heatmap", "simcc", "coordinates"]
    grid: Grid = "stride"
    unit: Literal["pixels", "fraction"] = "pixels"
    channels: Literal["rgb", "bgr"] = "rgb"
    mean: tuple[float, float, float] = (123.675, 116.28, 103.53)
    std: tuple[PositiveFloat, PositiveFloat, PositiveFloat] = (58.395, 57.12, 57.375)
    padding: Annotated[float, Field(ge=1)] = 1.25

    @classmethod
    def load(cls, path: Path) -> "OnnxCard":
        """The card in a .json file.

        Raises:
            OccluposeError: no such file, not JSON, a field missing, unknown or out of range.
        """
        try:
            return cls.model_validate_json(path.read_bytes())
        except OSError as error:
            raise OccluposeError(f"{path}: no card for the network; write one, docs/front-ends.md shows how") from error
        except ValidationError as error:
            first = error.errors()[0]
            field = ".".join(map(str, first["loc"])) or "card"
            raise OccluposeError(f"{path}: {field}: {first['msg'].lower()}") from error


class OnnxNetwork:
    """The network in an ONNX file, as a `CropNetwork`.

    Arguments:
        file: its card is beside it, with the suffix .json.
        threads: processor threads.

    Attributes:
        card: description of the network.
        crop: of its input.
        skeleton: joints.

    Raises:
        OccluposeError: onnxruntime is not installed; no card; the file is not such a network, or not the one the card
            describes.
    """

    def __init__(self, file: Path, *, threads: int = 2) -> None:
        self._file = file
        self._session = _session(file, threads)
        self.card = OnnxCard.load(file.with_suffix(".json"))
        self.crop = Crop(self.card.width, self.card.height, self.card.padding)
        self.skeleton = by_name(self.card.skeleton)
        self._input = self._session.get_inputs()[0]
        self._check()

    def __call__(self, crops: UInt8[np.ndarray, "person height width 3"]) -> Keypoints:
        """Keypoints in RGB crops of the card's size."""
        if not len(crops):
            return np.zeros((0, len(self.skeleton), 2)), np.zeros((0, len(self.skeleton)))
        channels = crops if self.card.channels == "rgb" else crops[..., ::-1]
        values = (channels - np.array(self.card.mean, np.float32)) / np.array(self.card.std, np.float32)
        batch = np.ascontiguousarray(values.transpose(0, 3, 1, 2))
        one_by_one = isinstance(self._input.shape[0], int)
        parts = np.split(batch, len(batch)) if one_by_one else [batch]
        runs = [self._run(part) for part in parts]
        xy, score = CODECS[self.card.codec]([np.concatenate(output) for output in zip(*runs, strict=True)], self.card)
        return xy.astype(np.float64), score.astype(np.float64).clip(0, 1)

    def _run(self, batch: np.ndarray) -> list[np.ndarray]:
        return self._session.run(None, {self._input.name: batch})

    def _check(self) -> None:
        """Tries the network on one empty crop.

        Raises:
            OccluposeError: its input or output is not as the card describes.
        """
        card = self.card
        joints = len(self.skeleton)
        shape = self._input.shape
        wanted = [3, card.height, card.width]
        # named axes take any size
        fits = len(shape) == 4 and all(
            not isinstance(has, int) or has == side for has, side in zip(shape[1:], wanted, strict=True)
        )
        if not fits:
            sides = ", ".join(map(str, wanted))
            raise OccluposeError(f"{self._file}: its input is {shape}; the card says (batch, {sides})")
        shapes = [output.shape for output in self._run(np.zeros((1, *wanted), np.float32))]
        ranks = {"heatmap": [4], "simcc": [3, 3], "coordinates": [3]}[card.codec]
        if [len(shape) for shape in shapes] != ranks or any(shape[1] != joints for shape in shapes):
            given = " and ".join(map(str, shapes))
            raise OccluposeError(
                f"{self._file}: its output is {given}; the card says {card.codec} of {joints} joints ({card.skeleton})"
            )


def _session(file: Path, threads: int) -> Any:
    """The file, ready to run.

    Raises:
        OccluposeError: onnxruntime is not installed; no such file; not an ONNX network.
    """
    try:
        import onnxruntime
    except ImportError as error:
        raise OccluposeError(f"{file}: needs onnxruntime; pip install onnxruntime") from error
    if not file.is_file():
        raise OccluposeError(f"{file}: no such file; give an ONNX network")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    try:
        return onnxruntime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's exceptions have no class in common
        raise OccluposeError(
            f"{file}: not an ONNX network that onnxruntime can run ({str(error).splitlines()[0]})"
        ) from error


def _from_heatmap(outputs: list[np.ndarray], card: OnnxCard) -> Keypoints:
    maps = outputs[0]
    height, width = maps.shape[2:]
    cells, score = find_peaks(maps)
    step, first = Crop(card.width, card.height, grid=card.grid).cells(width, height)
    return cells * step + first, score


def _from_simcc(outputs: list[np.ndarray], card: OnnxCard) -> Keypoints:
    x, y = outputs
    xy = [x.argmax(-1) * card.width / x.shape[-1], y.argmax(-1) * card.height / y.shape[-1]]
    return np.stack(xy, -1), np.minimum(x.max(-1), y.max(-1))


def _from_coordinates(outputs: list[np.ndarray], card: OnnxCard) -> Keypoints:
    xy = outputs[0][..., :2]
    score = outputs[0][..., 2:]
    if card.unit == "fraction":
        xy = xy * np.array([card.width, card.height]) - 0.5
    return xy, score[..., 0] if score.shape[-1] else np.ones(xy.shape[:2])


CODECS: dict[str, Callable[[list[np.ndarray], OnnxCard], Keypoints]] = {
    "heatmap": _from_heatmap,
    "simcc": _from_simcc,
    "coordinates": _from_coordinates,
}
