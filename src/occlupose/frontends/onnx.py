"""Any top-down pose network in an ONNX file, with a card beside it that says how to use it.

The network takes crops of people, `(batch, 3, height, width)` float32, and gives joints by one of three codecs. People are found and followed as
by BlazePose, whose detector is used. The card of `pose.onnx` is `pose.json`:

    {
      "licence": "Apache-2.0",        of the weights; for the user to know
      "skeleton": "coco17",           names and order of the joints that come out
      "width": 192, "height": 256,    of the crop, px
      "codec": "heatmap",             or "simcc" or "coordinates", see below
      "grid": "stride",               heatmap only. Where its cell i lies in the crop, f being the crop's side / the heatmap's:
                                      "stride" f i; "corners" i (side - 1) / (heatmap's side - 1); "centres" f (i + 0.5) - 0.5
      "unit": "pixels",               coordinates only: of the crop, or "fraction" of its sides (edge to edge)
      "channels": "rgb",              or "bgr"
      "mean": [123.675, 116.28, 103.53], "std": [58.395, 57.12, 57.375],    in the order of the channels, of 0..255
      "padding": 1.25                 the crop's sides / the person's box
    }

The last five may be left out; those values are assumed. Outputs by codec, joint j of person p:

- heatmap: `(p, j, y, x)`, the peak's value being the belief;
- simcc: two, `(p, j, x)` and `(p, j, y)`, classes of equal width along each side (Li et al. 2022, "SimCC"), the lower peak being the belief;
- coordinates: `(p, j, 2)` or `(p, j, 3)`, x, y and belief (1 where it is not given).
"""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from jaxtyping import Float
from pydantic import BaseModel, ConfigDict, Field, PositiveFloat, PositiveInt, ValidationError

from occlupose.assets import blazepose_weights
from occlupose.errors import OccluposeError
from occlupose.frontends.detector import Detector
from occlupose.frontends.regions import Pyramid, Regions, apply, inverse, to_crop
from occlupose.frontends.topdown import Estimate, TopDown
from occlupose.skeletons import by_name

Decoded = tuple[Float[np.ndarray, "person joint 2"], Float[np.ndarray, "person joint"]]  # crop px, pixel centres at integers; belief

SEEN = 0.3  # belief above which a joint counts towards the person's next box


class Card(BaseModel):
    """How to use a network; the module's docstring describes each field."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    licence: str
    skeleton: str
    width: PositiveInt
    height: PositiveInt
    codec: Literal["heatmap", "simcc", "coordinates"]
    grid: Literal["stride", "corners", "centres"] = "stride"
    unit: Literal["pixels", "fraction"] = "pixels"
    channels: Literal["rgb", "bgr"] = "rgb"
    mean: tuple[float, float, float] = (123.675, 116.28, 103.53)
    std: tuple[PositiveFloat, PositiveFloat, PositiveFloat] = (58.395, 57.12, 57.375)
    padding: Annotated[float, Field(ge=1)] = 1.25

    @classmethod
    def load(cls, path: Path) -> "Card":
        """The card in a .json file.

        Raises:
            OccluposeError: no such file, not JSON, a field missing, unknown or out of range.
        """
        try:
            return cls.model_validate_json(path.read_bytes())
        except OSError as error:
            raise OccluposeError(f"{path}: no card for the network; put a .json file there (see occlupose.frontends.onnx)") from error
        except ValidationError as error:
            first = error.errors()[0]
            raise OccluposeError(f"{path}: {'.'.join(map(str, first['loc'])) or 'card'}: {first['msg'].lower()}") from error


class OnnxPose(TopDown):
    """A network from an ONNX file.

    Arguments:
        file: the network; its card lies beside it, with the suffix .json.
        threads: processor threads of each network.
        others: see TopDown.

    Raises:
        OccluposeError: onnxruntime is not installed; no card; the file is not such a network, or not the one the card describes.
    """

    def __init__(self, file: Path, *, threads: int = 2, **others: Any) -> None:
        self.name = str(file)
        self.card = Card.load(file.with_suffix(".json"))
        self.skeleton = by_name(self.card.skeleton)
        self._file = file
        self._session = _session(file, threads)
        self._seconds = 0.0
        self._one_by_one = isinstance(self._session.get_inputs()[0].shape[0], int)
        self._check()
        super().__init__(Detector(blazepose_weights()["detector"], threads=threads), **others)

    @property
    def network_seconds(self) -> float:
        return self.detector.network.seconds + self._seconds

    def estimate(self, picture: Pyramid, regions: Regions) -> Estimate:
        card = self.card
        matrices = to_crop(_upright(regions), card.width, card.height, diameter=card.height / card.padding)
        crops = [picture.cut(matrix, card.width, card.height) for matrix in matrices]
        xy, score = self.joints(np.array(crops, np.uint8).reshape(-1, card.height, card.width, 3))
        xy = apply(inverse(matrices), xy)
        better = np.sort(score, axis=1)[:, len(self.skeleton) // 2 :]
        return Estimate(xy, score, better.mean(1), _region(xy, score, card.width / card.height))

    def joints(self, crops: Float[np.ndarray, "person height width 3"]) -> Decoded:
        """Joints in RGB crops, 0..255."""
        order = [0, 1, 2] if self.card.channels == "rgb" else [2, 1, 0]
        values = (crops[..., order] - np.array(self.card.mean, np.float32)) / np.array(self.card.std, np.float32)
        batch = np.ascontiguousarray(values.transpose(0, 3, 1, 2).astype(np.float32))
        if not len(batch):
            return np.zeros((0, len(self.skeleton), 2)), np.zeros((0, len(self.skeleton)))
        parts = np.split(batch, len(batch)) if self._one_by_one else [batch]
        outputs = [np.concatenate(output) for output in zip(*(self._run(part) for part in parts), strict=True)]
        xy, score = CODECS[self.card.codec](outputs, self.card)
        return xy.astype(np.float64), score.astype(np.float64).clip(0, 1)

    def _run(self, batch: Float[np.ndarray, "person 3 height width"]) -> list[np.ndarray]:
        start = time.perf_counter()
        outputs = self._session.run(None, {self._session.get_inputs()[0].name: batch})
        self._seconds += time.perf_counter() - start
        return outputs

    def _check(self) -> None:
        """Try the network on an empty picture.

        Raises:
            OccluposeError: it does not take or give what the card says.
        """
        card, expected = self.card, [3, self.card.height, self.card.width]
        shape = self._session.get_inputs()[0].shape
        if len(shape) != 4 or any(isinstance(side, int) and side != wanted for side, wanted in zip(shape[1:], expected, strict=True)):
            raise OccluposeError(f"{self._file}: its input is {shape}; the card says (batch, {', '.join(map(str, expected))})")
        shapes = [list(output.shape) for output in self._run(np.zeros((1, *expected), np.float32))]
        joints = len(self.skeleton)
        fits = {
            "heatmap": lambda: len(shapes) == 1 and len(shapes[0]) == 4,
            "simcc": lambda: len(shapes) == 2 and all(len(shape) == 3 for shape in shapes),
            "coordinates": lambda: len(shapes) == 1 and len(shapes[0]) == 3 and shapes[0][2] in (2, 3),
        }
        if not fits[card.codec]() or any(shape[1] != joints for shape in shapes):
            raise OccluposeError(
                f"{self._file}: its outputs are {shapes}; the card says {card.codec} of the {joints} joints of {card.skeleton}"
            )
        self._seconds = 0.0


def _session(file: Path, threads: int) -> Any:
    try:
        import onnxruntime
    except ImportError as error:
        raise OccluposeError(f"{file}: needs onnxruntime; pip install 'occlupose[onnx]'") from error
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    if not file.is_file():
        raise OccluposeError(f"{file}: no such file; give an ONNX network")
    try:
        return onnxruntime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's exceptions have no common class
        raise OccluposeError(f"{file}: not an ONNX network that onnxruntime can run ({str(error).splitlines()[0]})") from error


def _upright(regions: Regions) -> Regions:
    """The same circles, their top straight above: these networks are trained on upright boxes."""
    centre, reach = regions[:, :2], np.linalg.norm(regions[:, 2:] - regions[:, :2], axis=-1)
    return np.concatenate([centre, centre - np.stack([0 * reach, reach], -1)], -1)


def _region(xy: Float[np.ndarray, "person joint 2"], score: Float[np.ndarray, "person joint"], aspect: float) -> Regions:
    """Upright circles as high as the box, of the crop's aspect (width / height), round the joints that are seen (all, where none is)."""
    seen = (score > SEEN) | (score <= SEEN).all(1, keepdims=True)
    low = np.where(seen[..., None], xy, np.inf).min(1)
    high = np.where(seen[..., None], xy, -np.inf).max(1)
    width, height = (high - low).T
    centre, reach = (low + high) / 2, np.maximum(np.maximum(height, width / aspect) / 2, 4.0)
    return np.concatenate([centre, centre - np.stack([0 * reach, reach], -1)], -1)


def _from_heatmap(outputs: list[np.ndarray], card: Card) -> Decoded:
    maps = outputs[0]
    people, joints, height, width = maps.shape
    y, x = np.divmod(maps.reshape(people, joints, -1).argmax(-1), width)
    rows = np.take_along_axis(maps, y[..., None, None], 2)[..., 0, :]
    columns = np.take_along_axis(maps, x[..., None, None], 3)[..., 0]
    cells = np.stack([x + _shift(rows, x), y + _shift(columns, y)], -1)
    crop, grid = np.array([card.width, card.height]), np.array([width, height])
    on_crop = {
        "stride": lambda: cells * crop / grid,
        "corners": lambda: cells * (crop - 1) / np.maximum(grid - 1, 1),
        "centres": lambda: (cells + 0.5) * crop / grid - 0.5,
    }
    return on_crop[card.grid](), maps.max((2, 3))


def _from_simcc(outputs: list[np.ndarray], card: Card) -> Decoded:
    x, y = (output.argmax(-1) / output.shape[-1] * side for output, side in zip(outputs, (card.width, card.height), strict=True))
    return np.stack([x, y], -1), np.minimum(outputs[0].max(-1), outputs[1].max(-1))


def _from_coordinates(outputs: list[np.ndarray], card: Card) -> Decoded:
    xy = outputs[0][..., :2]
    if card.unit == "fraction":
        xy = xy * np.array([card.width, card.height]) - 0.5
    return xy, outputs[0][..., 2] if outputs[0].shape[-1] == 3 else np.ones(xy.shape[:2])


def _shift(lines: Float[np.ndarray, "person joint cell"], peak: Float[np.ndarray, "person joint"]) -> Float[np.ndarray, "person joint"]:
    """From the highest cell to the top of the parabola through it and its two neighbours, cells; 0 at the ends of the line."""
    inner = peak.clip(1, max(lines.shape[-1] - 2, 1))[..., None]
    if lines.shape[-1] < 3:
        return np.zeros(peak.shape)
    before, top, after = (np.take_along_axis(lines, inner + step, -1)[..., 0].astype(np.float64) for step in (-1, 0, 1))
    curve = before - 2 * top + after
    shift = np.divide(before - after, 2 * curve, out=np.zeros_like(curve), where=curve < 0)
    return np.where(peak == inner[..., 0], shift, 0.0)


CODECS: dict[str, Callable[[list[np.ndarray], Card], Decoded]] = {
    "heatmap": _from_heatmap,
    "simcc": _from_simcc,
    "coordinates": _from_coordinates,
}
