"""Fields of a card from the folder that MMDeploy writes: `pipeline.json` and `detail.json` beside the network.

Only what is used here is read, and checked. Formats of MMDeploy 1.3 and 0.14, which the versions between share.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import BaseModel, Field, ValidationError

from occlupose.errors import OccluposeError, unreadable
from occlupose.frontends.onnx.cards import explain
from occlupose.frontends.presets import Kind

PIPELINE = "pipeline.json"
DETAIL = "detail.json"

Pair = tuple[int, int]

SKELETONS = {"crowdpose": "crowdpose14", "aic": "aic14"}
"""Skeletons of 14 joints, by what the name of MMPose's configuration contains."""

NOT_PEOPLE = ("animal", "ap10k", "face_2d", "hand_2d", "fashion_2d")
"""Parts of the names of configurations whose joints are not those of people."""


class _Transform(BaseModel):
    """A step before the network. Sizes are width and height, px."""

    type: str
    image_size: Pair | None = None
    input_size: Pair | None = None
    size: Pair | None = None
    scale: Pair | None = None
    padding: float = 1.25
    mean: tuple[float, float, float] | None = None
    std: tuple[float, float, float] | None = None
    to_rgb: bool = False
    pad_val: float | list[float] | dict[str, float | list[float]] | None = None


class _Params(BaseModel):
    """How the output is decoded."""

    type: str | None = None
    input_size: Pair | None = None
    simcc_split_ratio: float | None = None
    export_postprocess: bool = False
    use_udp: bool = False
    heatmap_type: str = "gaussian"
    target_type: str = "GaussianHeatmap"
    blur_kernel_size: int | None = None
    modulate_kernel: int | None = None
    unbiased: bool = False
    post_process: str = "default"


class _Task(BaseModel):
    """The steps before the network, the network, or the steps after it."""

    module: str = ""
    component: str = ""
    transforms: list[_Transform] = []
    output_map: dict[str, str] = {}
    params: _Params = Field(default_factory=_Params)


class _Tasks(BaseModel):
    tasks: list[_Task]


class _Pipeline(BaseModel):
    pipeline: _Tasks


class _Codebase(BaseModel):
    config: str = ""


class _Onnx(BaseModel):
    input_shape: Pair | None = None


class _Detail(BaseModel):
    codebase: _Codebase = Field(default_factory=_Codebase)
    onnx_config: _Onnx = Field(default_factory=_Onnx)


@dataclass(frozen=True)
class Export:
    """What the files of an exported network say.

    Attributes:
        path: of pipeline.json.
        kind: of the network, as in `Preset`.
        fields: of its card; without skeleton, and of a detector without codec. Sizes that the files leave open are left
            out.
        config: name of the configuration in MMPose or MMDetection.
        names: of outputs, by those in the file, where they differ.
    """

    path: Path
    kind: Kind
    fields: dict[str, Any]
    config: str
    names: dict[str, str]

    @property
    def skeleton(self) -> str | None:
        """A skeleton of 14 joints, where the name of the configuration tells which."""
        return next((skeleton for part, skeleton in SKELETONS.items() if part in self.config), None)


def read_export(folder: Path) -> Export:
    """The exported network in this folder.

    Raises:
        OccluposeError: a file cannot be read or has another format; the network is of another kind.
    """
    path = folder / PIPELINE
    tasks = _read(path, _Pipeline).pipeline.tasks
    detail = _read(folder / DETAIL, _Detail) if (folder / DETAIL).is_file() else _Detail()
    transforms = [transform for task in tasks for transform in task.transforms]
    decoder = next((task for task in tasks if task.module in ("mmpose", "mmdet")), None)
    kind = _kind(transforms, decoder)
    if decoder is None or kind is None:
        raise OccluposeError(f"{path}: neither a pose network nor a person detector; give one of these")
    config = Path(detail.codebase.config).as_posix()
    if kind != "boxes" and any(part in config for part in NOT_PEOPLE):
        raise OccluposeError(f"{folder / DETAIL}: of {Path(config).name}, whose joints are not those of people")
    fields = _normalisation(transforms)
    if kind == "keypoints":
        fields |= _decoding(path, decoder) | {"padding": _of(transforms, "padding", 1.25)}
        size = decoder.params.input_size or _of(transforms, "image_size", None) or detail.onnx_config.input_shape
    else:
        fields |= _letterbox(transforms)
        sizes = (_of(transforms, field, None) for field in ("input_size", "size", "scale"))
        size = next(filter(None, sizes), detail.onnx_config.input_shape)
        fields |= {"codec": "people"} if kind == "people" else {}
    if size is not None:
        fields |= {"width": size[0], "height": size[1]}
    names = {name: new for task in tasks for name, new in task.output_map.items()}
    return Export(path=path, kind=kind, fields=fields, config=config, names=names)


def _read(path: Path, model: type[Any]) -> Any:
    try:
        return model.model_validate_json(path.read_bytes())
    except OSError as error:
        raise unreadable(path, error, "give the folder that MMDeploy wrote") from error
    except ValidationError as error:
        raise OccluposeError(
            f"{path}: not as MMDeploy writes it ({explain(error)}); export the network again"
        ) from error


def _kind(transforms: list[_Transform], decoder: _Task | None) -> Kind | None:
    types = {transform.type for transform in transforms}
    if "TopDownAffine" in types:
        return "keypoints"
    if decoder is None:
        return None
    return "boxes" if decoder.module == "mmdet" else "people"


def _of(transforms: list[_Transform], field: str, default: Any) -> Any:
    """The first value of a field that is given."""
    given = (getattr(each, field) for each in transforms if field in each.model_fields_set)
    return next((value for value in given if value is not None), default)


def _normalisation(transforms: list[_Transform]) -> dict[str, Any]:
    step = next((each for each in transforms if each.type == "Normalize"), _Transform(type="Normalize"))
    mean = step.mean or (0.0, 0.0, 0.0)
    std = step.std or (1.0, 1.0, 1.0)
    return {"channels": "rgb" if step.to_rgb else "bgr", "mean": mean, "std": std}


def _decoding(path: Path, decoder: _Task) -> dict[str, Any]:
    params = decoder.params
    kind = params.type or decoder.component
    if params.export_postprocess:
        raise OccluposeError(f"{path}: decodes inside the network; export it without export_postprocess")
    if "SimCC" in kind or "SimCC" in decoder.component:
        return {"codec": "simcc", "split": params.simcc_split_ratio}
    if "Regression" in kind and "Integral" not in kind:
        return {"codec": "coordinates", "unit": "fraction"}
    combined = params.heatmap_type == "combined" or params.target_type == "CombinedTarget"
    if "eatmap" not in kind or "Megvii" in kind or params.post_process == "megvii" or combined:
        raise OccluposeError(f"{path}: its codec {kind} is not known; export a network with SimCC or heatmaps")
    if params.use_udp or "UDP" in kind:
        return {"codec": "udp", "blur": params.blur_kernel_size or params.modulate_kernel or 11}
    dark = params.unbiased or params.post_process == "unbiased"
    return {"codec": "heatmap" if dark else "msra"}


def _letterbox(transforms: list[_Transform]) -> dict[str, Any]:
    value = _of(transforms, "pad_val", 0)
    if isinstance(value, dict):
        value = value.get("img", 0)
    centred = any(each.type == "LetterResize" for each in transforms)
    return {"align": "centre" if centred else "corner", "grey": round(np.mean(value))}
