"""Cards of ONNX networks: what goes in and what comes out.

The card of `pose.onnx` is `pose.json`, a JSON object. Every card has

- codec: the kind of output, see below.
- width, height: of the input, px.
- licence: of the weights, for the user.
- channels: "rgb" or "bgr".
- mean, std: in the order of the channels, of 0..255.

A network for crops of people has one of the codecs `KEYPOINT_CODECS`; output by codec, joint j of person p:

- heatmap: `(p, j, y, x)`; between the cells, the peak is that of the Gaussian through the highest cells;
- msra: the same, moved by a quarter of a cell towards the higher neighbour (`codecs.msra`);
- udp: the same, with UDP's grid and DARK's decoder (`codecs.udp`);
- simcc (Li et al. 2022): two, `(p, j, x)` and `(p, j, y)`, classes of equal width along each side;
- coordinates: `(p, j, 2)` or `(p, j, 3)`: x, y and the score, 1 where it is missing.

The score is the height of the peak, of the lower one for simcc. The card has

- skeleton: name of the joints' skeleton, such as "coco17".
- joint_names, limbs: of a skeleton of your own: names in the order of the output, and pairs of them to draw.
- grid: heatmap only. Position of cell i in the crop, with f = side of the crop / side of the heatmap: "stride" f i;
  "corners" i (side of the crop - 1) / (side of the heatmap - 1); "centres" f (i + 0.5) - 0.5.
- blur: udp only. Size of the decoder's smoothing kernel, cells.
- split: simcc only. Classes per px, to be checked.
- unit: coordinates only. "pixels" of the crop, or "fraction" of its sides (edge to edge).
- padding: sides of the crop / sides of the person's box.

A network for whole images has one of the codecs boxes, yolox or people. Its input is the image, as large as fits, and
grey beside it; its outputs, of n boxes with left, top, right, bottom in px of the input:

- boxes: `dets (image, n, 5)`, boxes and scores, and maybe `labels (image, n)`, classes;
- yolox: `(image, anchor, 5 + class)`, as YOLOX's own export leaves them: offset of the centre and logarithm of the
  size in strides of 8, 16 and 32 px; confidence; confidence of each class;
- people: `dets (image, n, 5)` and `keypoints (image, n, j, 3)`, x, y and the score.

The card has

- align: where the image is in the input, in the upper left "corner" or in the "centre".
- grey: value beside the image, 0..255.
- threshold: least score of a person.
- overlap: boxes with a larger intersection over union are one person.
- label: the class of people; boxes and yolox only.
- skeleton, joint_names, limbs: people only, as above.

Fields with a default here are optional.
"""

from pathlib import Path
from typing import Annotated, Any, Literal, get_args

import numpy as np
from jaxtyping import Float, UInt8
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    TypeAdapter,
    ValidationError,
)

from occlupose.codecs.crops import Crop, Grid
from occlupose.codecs.letterbox import Letterbox
from occlupose.errors import OccluposeError, unreadable
from occlupose.skeletons import Skeleton, build_skeleton

KeypointCodec = Literal["heatmap", "msra", "udp", "simcc", "coordinates"]
KEYPOINT_CODECS: tuple[str, ...] = get_args(KeypointCodec)

Channels = tuple[float, float, float]
Fraction = Annotated[float, Field(ge=0, le=1)]


class InputCard(BaseModel):
    """What every card has; the module's docstring describes each field."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    codec: str
    width: PositiveInt
    height: PositiveInt
    licence: str = "unknown"
    channels: Literal["rgb", "bgr"] = "rgb"
    mean: Channels = (123.675, 116.28, 103.53)
    std: tuple[PositiveFloat, PositiveFloat, PositiveFloat] = (58.395, 57.12, 57.375)

    @property
    def raw(self) -> bool:
        """Whether the network takes the values of pixels as they are."""
        return set(self.mean) == {0} and set(self.std) == {1}

    def normalise(self, images: UInt8[np.ndarray, "image height width 3"]) -> Float[np.ndarray, "image 3 height width"]:
        """Values for the network of RGB images; float32."""
        channels = images if self.channels == "rgb" else images[..., ::-1]
        values = (channels - np.array(self.mean, np.float32)) / np.array(self.std, np.float32)
        return values.transpose(0, 3, 1, 2)


class _Joints(BaseModel):
    """Joints of a network."""

    skeleton: str
    joint_names: list[str] | None = None
    limbs: list[tuple[str, str]] | None = None

    def build_skeleton(self) -> Skeleton:
        """The joints.

        Raises:
            OccluposeError: unknown skeleton without names of joints; names of joints or limbs that do not fit.
        """
        return build_skeleton(self.skeleton, self.joint_names, self.limbs)


class KeypointCard(InputCard, _Joints):
    """Card of a network that takes crops of people."""

    codec: KeypointCodec
    grid: Grid = "stride"
    blur: PositiveInt = 11
    split: PositiveFloat | None = None
    unit: Literal["pixels", "fraction"] = "pixels"
    padding: Annotated[float, Field(ge=1)] = 1.25

    @property
    def crop(self) -> Crop:
        """Crop of a person, on the grid of the codec."""
        grids: dict[str, Grid] = {"heatmap": self.grid, "udp": "corners", "coordinates": "centres"}
        return Crop(self.width, self.height, self.padding, grids.get(self.codec, "stride"))


class _ImageCard(InputCard):
    """Card of a network that takes whole images."""

    align: Literal["corner", "centre"] = "corner"
    grey: Annotated[int, Field(ge=0, le=255)] = 114
    overlap: Fraction = 0.65

    @property
    def letterbox(self) -> Letterbox:
        """How an image lies in the input."""
        return Letterbox(self.width, self.height, self.align, self.grey)


class BoxCard(_ImageCard):
    """Card of a person detector."""

    codec: Literal["boxes", "yolox"]
    threshold: Fraction = 0.3
    label: NonNegativeInt = 0


class PeopleCard(_ImageCard, _Joints):
    """Card of a network that finds people and their keypoints in whole images."""

    codec: Literal["people"]
    threshold: Fraction = 0.5


OnnxCard = KeypointCard | BoxCard | PeopleCard

_READER: TypeAdapter[Any] = TypeAdapter(Annotated[OnnxCard, Field(discriminator="codec")])


def load_card(path: Path) -> OnnxCard:
    """The card in a .json file.

    Raises:
        OccluposeError: it cannot be read, is not JSON, or a field is missing, unknown or out of range.
    """
    try:
        card = _READER.validate_json(path.read_bytes())
        if isinstance(card, _Joints):
            card.build_skeleton()
        return card
    except OccluposeError as error:
        raise OccluposeError(f"{path}: {error}") from error
    except OSError as error:
        raise unreadable(path, error, "write a card, docs/front-ends.md shows how") from error
    except ValidationError as error:
        raise OccluposeError(f"{path}: {explain(error)}") from error


def make_card(fields: dict[str, Any]) -> OnnxCard:
    """The card with these fields.

    Raises:
        OccluposeError: a field is missing, unknown or out of range.
    """
    try:
        return _READER.validate_python(fields)
    except ValidationError as error:
        raise OccluposeError(explain(error)) from error


def explain(error: ValidationError) -> str:
    """The first thing that is wrong with a card, as "field: reason"."""
    first = error.errors()[0]
    if first["type"].startswith("union_tag"):
        return f"codec: must be {', '.join(KEYPOINT_CODECS)}, boxes, yolox or people"
    location = [str(part) for part in first["loc"] if part not in (*KEYPOINT_CODECS, "boxes", "yolox", "people")]
    return f"{'.'.join(location) or 'card'}: {first['msg'].lower()}"
