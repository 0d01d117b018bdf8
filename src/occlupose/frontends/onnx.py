"""Any top-down pose network in an ONNX file, with a card beside it that says how to use it.

The network takes crops of people, `(batch, 3, height, width)` float32, and gives joints by one of three codecs. People are found and
followed as by BlazePose, whose detector is used. The card of `pose.onnx` is `pose.json`:

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

Fields from `grid` on may be left out; the values above are then assumed. Outputs by codec, joint j of person p:

- heatmap: `(p, j, y, x)`, the peak's value being the belief;
- simcc (Li et al. 2022): two, `(p, j, x)` and `(p, j, y)`, classes of equal width along each side, the lower peak being the belief;
- coordinates: `(p, j, 2)` or `(p, j, 3)`: x, y and the belief, 1 where it is not given.
"""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from jaxtyping import Float, UInt8
from pydantic import BaseModel, ConfigDict, Field, PositiveFloat, PositiveInt, ValidationError

from occlupose.assets import blazepose_weights
from occlupose.errors import OccluposeError
from occlupose.frontends.detector import Detector
from occlupose.frontends.regions import Regions, apply, inverse, radius, to_crop
from occlupose.frontends.topdown import Estimate, TopDown
from occlupose.pyramid import Pyramid
from occlupose.skeletons import by_name

Joints = tuple[Float[np.ndarray, "person joint 2"], Float[np.ndarray, "person joint"]]  # crop px, pixel centres at integers; belief

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


class OnnxNetwork:
    """The network in an ONNX file: crops in, joints out.

    Arguments:
        file: its card lies beside it, with the suffix .json.
        threads: of the processor.

    Attributes:
        card, skeleton: how it is used; its joints.
        seconds: spent inside the network so far.

    Raises:
        OccluposeError: onnxruntime is not installed; no card; the file is not such a network, or not the one the card describes.
    """

    def __init__(self, file: Path, *, threads: int = 2) -> None:
        self._file = file
        self._session = _session(file, threads)
        self.card = Card.load(file.with_suffix(".json"))
        self.skeleton = by_name(self.card.skeleton)
        self._input = self._session.get_inputs()[0]
        self._check()
        self.seconds = 0.0

    def __call__(self, crops: UInt8[np.ndarray, "person height width 3"]) -> Joints:
        """Joints in RGB crops of the card's size."""
        if not len(crops):
            return np.zeros((0, len(self.skeleton), 2)), np.zeros((0, len(self.skeleton)))
        channels = crops if self.card.channels == "rgb" else crops[..., ::-1]
        values = (channels - np.array(self.card.mean, np.float32)) / np.array(self.card.std, np.float32)
        batch = np.ascontiguousarray(values.transpose(0, 3, 1, 2))
        one_by_one = isinstance(self._input.shape[0], int)
        start = time.perf_counter()
        runs = [self._session.run(None, {self._input.name: part}) for part in (np.split(batch, len(batch)) if one_by_one else [batch])]
        self.seconds += time.perf_counter() - start
        xy, score = CODECS[self.card.codec]([np.concatenate(output) for output in zip(*runs, strict=True)], self.card)
        return xy.astype(np.float64), score.astype(np.float64).clip(0, 1)

    def _check(self) -> None:
        """Try the network on one empty crop.

        Raises:
            OccluposeError: it does not take or give what the card says.
        """
        card, joints = self.card, len(self.skeleton)
        taken, wanted = self._input.shape, [3, card.height, card.width]
        if len(taken) != 4 or any(isinstance(has, int) and has != side for has, side in zip(taken[1:], wanted, strict=True)):
            raise OccluposeError(f"{self._file}: its input is {taken}; the card says (batch, {', '.join(map(str, wanted))})")
        shapes = [output.shape for output in self._session.run(None, {self._input.name: np.zeros((1, *wanted), np.float32)})]
        ranks = {"heatmap": [4], "simcc": [3, 3], "coordinates": [3]}[card.codec]
        if [len(shape) for shape in shapes] != ranks or any(shape[1] != joints for shape in shapes):
            given = " and ".join(map(str, shapes))
            raise OccluposeError(f"{self._file}: its output is {given}; the card says {card.codec} of {joints} joints ({card.skeleton})")


class OnnxPose(TopDown):
    """Everybody's joints by a network from an ONNX file.

    Arguments:
        file: the network; its card lies beside it, with the suffix .json.
        threads: processor threads of each network.
        detect_every, look_every, max_people, tiled: see TopDown.

    Raises:
        OccluposeError: as OnnxNetwork; BlazePose's detector is not in the cache and cannot be fetched.
    """

    def __init__(
        self,
        file: Path,
        *,
        threads: int = 2,
        detect_every: int = 10,
        look_every: int = 2,
        max_people: int | None = None,
        tiled: bool = True,
    ) -> None:
        self.name = str(file)
        self.network = OnnxNetwork(file, threads=threads)
        self.skeleton = self.network.skeleton
        detector = Detector(blazepose_weights()["detector"], threads=threads)
        super().__init__(detector, detect_every=detect_every, look_every=look_every, max_people=max_people, tiled=tiled)

    @property
    def network_seconds(self) -> float:
        return self.detector.network.seconds + self.network.seconds

    def estimate(self, picture: Pyramid, regions: Regions) -> Estimate:
        return estimate(self.network, picture, regions)


def estimate(network: OnnxNetwork, picture: Pyramid, regions: Regions) -> Estimate:
    """What the network says of these regions, looked at upright; presence is the mean belief in the better half of the joints (ours)."""
    card = network.card
    matrices = to_crop(_circles(regions[:, :2], radius(regions)), card.width, card.height, diameter=card.height / card.padding)
    crops = [picture.cut(matrix, card.width, card.height) for matrix in matrices]
    xy, score = network(np.array(crops, np.uint8).reshape(-1, card.height, card.width, 3))
    xy = apply(inverse(matrices), xy)
    better = np.sort(score, axis=1)[:, len(network.skeleton) // 2 :]
    return Estimate(xy, score, better.mean(1), _boxed(xy, score, card.width / card.height))


def _boxed(xy: Float[np.ndarray, "person joint 2"], score: Float[np.ndarray, "person joint"], aspect: float) -> Regions:
    """Regions as high as the box, of the crop's aspect (width / height), round the joints that are seen (all, where none is)."""
    seen = (score > SEEN) | (score <= SEEN).all(1, keepdims=True)
    low = np.where(seen[..., None], xy, np.inf).min(1)
    high = np.where(seen[..., None], xy, -np.inf).max(1)
    width, height = (high - low).T
    return _circles((low + high) / 2, np.maximum(np.maximum(height, width / aspect) / 2, 4.0))


def _circles(centre: Float[np.ndarray, "person 2"], reach: Float[np.ndarray, " person"]) -> Regions:
    """Regions with their top straight above the centre: these networks are trained on upright boxes."""
    return np.concatenate([centre, centre - np.stack([0 * reach, reach], -1)], -1)


def _session(file: Path, threads: int) -> Any:
    """The file, ready to run.

    Raises:
        OccluposeError: onnxruntime is not installed; no such file; not an ONNX network.
    """
    try:
        import onnxruntime
    except ImportError as error:
        raise OccluposeError(f"{file}: needs onnxruntime; pip install 'occlupose[onnx]'") from error
    if not file.is_file():
        raise OccluposeError(f"{file}: no such file; give an ONNX network")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    try:
        return onnxruntime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's exceptions have no class in common
        raise OccluposeError(f"{file}: not an ONNX network that onnxruntime can run ({str(error).splitlines()[0]})") from error


def _from_heatmap(outputs: list[np.ndarray], card: Card) -> Joints:
    maps = outputs[0]
    people, joints, height, width = maps.shape
    y, x = np.divmod(maps.reshape(people, joints, -1).argmax(-1), width)
    row = np.take_along_axis(maps, y[..., None, None], 2)[..., 0, :]
    column = np.take_along_axis(maps, x[..., None, None], 3)[..., 0]
    cells = np.stack([x + _refined(row, x), y + _refined(column, y)], -1)
    crop, grid = np.array([card.width, card.height]), np.array([width, height])
    if card.grid == "corners":
        xy = cells * (crop - 1) / np.maximum(grid - 1, 1)
    elif card.grid == "centres":
        xy = (cells + 0.5) * crop / grid - 0.5
    else:
        xy = cells * crop / grid
    return xy, maps.max((2, 3))


def _from_simcc(outputs: list[np.ndarray], card: Card) -> Joints:
    xy = [output.argmax(-1) * side / output.shape[-1] for output, side in zip(outputs, (card.width, card.height), strict=True)]
    return np.stack(xy, -1), np.minimum(outputs[0].max(-1), outputs[1].max(-1))


def _from_coordinates(outputs: list[np.ndarray], card: Card) -> Joints:
    xy, belief = outputs[0][..., :2], outputs[0][..., 2:]
    if card.unit == "fraction":
        xy = xy * np.array([card.width, card.height]) - 0.5
    return xy, belief[..., 0] if belief.shape[-1] else np.ones(xy.shape[:2])


def _refined(line: Float[np.ndarray, "person joint cell"], peak: Float[np.ndarray, "person joint"]) -> Float[np.ndarray, "person joint"]:
    """From the highest cell to the top of the parabola through it and its neighbours, cells; 0 at the ends of the line."""
    at = np.pad(line.astype(np.float64), ((0, 0), (0, 0), (1, 1)), mode="edge")
    before, top, after = (np.take_along_axis(at, peak[..., None] + step, -1)[..., 0] for step in range(3))
    curve = before - 2 * top + after
    inner = (peak > 0) & (peak < line.shape[-1] - 1) & (curve < 0)
    return np.divide(before - after, 2 * curve, out=np.zeros_like(curve), where=inner)


CODECS: dict[str, Callable[[list[np.ndarray], Card], Joints]] = {
    "heatmap": _from_heatmap,
    "simcc": _from_simcc,
    "coordinates": _from_coordinates,
}
