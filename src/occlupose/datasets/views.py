"""Where the cameras of a dataset stand, and what they see: from their world to the camera frame, and out of lens
distortion.

`cameras.json` says it for any dataset:

    {"cameras": [{"name": "C1", "subjects": ["S1", "S2"], "width": 640, "height": 480, "fx": 765.5, "fy": 766.0, "cx":
    320.1, "cy": 241.9,
                  "distortion": [-0.2, 0.1, 0, 0, 0], "rotation": [[1, 0, 0], [0, 0, -1], [0, 1, 0]], "translation": [0,
                  1, 4]}]}

Pixels; `distortion` is k1, k2, p1, p2, k3 of the Brown-Conrady model as OpenCV has it (left out: none). A point of the
world is seen at `rotation` times it plus `translation`, metres, x right, y down, z forward. Without `subjects` a camera
is everybody's. Their order is that of the 2D detections.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import cv2
import numpy as np
from jaxtyping import Float
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from occlupose.cameras import Camera
from occlupose.errors import OccluposeError

CAMERAS = "cameras.json"


@dataclass(frozen=True, eq=False)
class View:
    """One camera in a dataset's world.

    Attributes:
        name: what the dataset calls it.
        camera: the pinhole camera, without its distortion.
        rotation, translation: a point of the world, in metres, is at rotation @ point + translation in the camera
            frame.
        distortion: k1, k2, p1, p2, k3 (Brown-Conrady, as OpenCV has it).

    Raises:
        OccluposeError: the rotation is none, or a number is not finite.
    """

    name: str
    camera: Camera
    rotation: Float[np.ndarray, "3 3"]
    translation: Float[np.ndarray, "3"]
    distortion: Float[np.ndarray, "5"]

    def __post_init__(self) -> None:
        turn = self.rotation
        if not (np.allclose(turn @ turn.T, np.eye(3), atol=1e-3) and np.linalg.det(turn) > 0):
            raise OccluposeError(
                f"camera {self.name}: its rotation is none; it must be orthonormal and turn no left into right"
            )
        if not (np.isfinite(self.translation).all() and np.isfinite(self.distortion).all()):
            raise OccluposeError(f"camera {self.name}: its translation or distortion is not finite; it must be numbers")

    def from_world(self, xyz: Float[np.ndarray, "*any 3"]) -> Float[np.ndarray, "*any 3"]:
        """Points of the world in the camera frame, metres."""
        return xyz @ self.rotation.T + self.translation

    def straight(self, xy: Float[np.ndarray, "*any 2"]) -> Float[np.ndarray, "*any 2"]:
        """Pixels of the real image as the pinhole camera would have them, without distortion; NaN stays NaN."""
        result = np.array(xy, np.float64)
        known = np.isfinite(xy).all(-1)
        if self.distortion.any() and known.any():
            matrix = self.camera.matrix
            result[known] = cv2.undistortPoints(result[known][:, None], matrix, self.distortion, P=matrix)[:, 0]
        return result


_Row = tuple[float, float, float]


class _View(BaseModel):
    model_config = ConfigDict(extra="forbid")

    name: str
    subjects: list[str] | None = None
    width: int
    height: int
    fx: float
    fy: float
    cx: float
    cy: float
    distortion: tuple[float, float, float, float, float] = (0, 0, 0, 0, 0)
    rotation: tuple[_Row, _Row, _Row]
    translation: _Row

    def view(self) -> View:
        camera = Camera(self.width, self.height, self.fx, self.fy, self.cx, self.cy)
        rotation, translation, distortion = map(np.array, (self.rotation, self.translation, self.distortion))
        return View(self.name, camera, rotation, translation, distortion)


class _Views(BaseModel):
    model_config = ConfigDict(extra="forbid")

    cameras: Annotated[list[_View], Field(min_length=1)]


def read_views(path: Path, subjects: tuple[str, ...]) -> dict[str, list[View]]:
    """The cameras of each of these subjects, from a `cameras.json`.

    Raises:
        OccluposeError: the file cannot be read or says something else, or a subject has no camera or two of one name.
    """
    try:
        cameras = _Views.model_validate_json(path.read_text(encoding="utf-8")).cameras
        views = {
            name: [camera.view() for camera in cameras if camera.subjects is None or name in camera.subjects]
            for name in subjects
        }
    except OSError as error:
        raise OccluposeError(
            f"{path}: cannot be read ({(error.strerror or str(error)).lower()}); give a file of cameras"
        ) from error
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "cameras"
        raise OccluposeError(f"{path}: {where}: {first['msg']}; docs/datasets.md shows such a file") from error
    except UnicodeDecodeError as error:
        raise OccluposeError(f"{path}: not text; docs/datasets.md shows a file of cameras") from error
    except OccluposeError as error:
        raise OccluposeError(f"{path}: {error}") from error
    for subject, theirs in views.items():
        if len({view.name for view in theirs}) != len(theirs) or not theirs:
            raise OccluposeError(
                f"{path}: {'two cameras of one name' if theirs else 'no camera'} for {subject}; give each camera once"
            )
    return views
