"""Calibrated cameras of a dataset: from its world to the camera frame, and out of lens distortion.

`cameras.json` describes them for any dataset:

    {"cameras": [{"name": "C1", "subjects": ["S1", "S2"],
                  "width": 640, "height": 480, "fx": 765.5, "fy": 766.0, "cx": 320.1, "cy": 241.9,
                  "distortion": [-0.2, 0.1, 0, 0, 0],
                  "rotation": [[1, 0, 0], [0, 0, -1], [0, 1, 0]], "translation": [0, 1, 4]}]}

In pixels; `distortion` is k1, k2, p1, p2, k3 of the Brown-Conrady model as in OpenCV (default: none). A world point X
is at `rotation` @ X + `translation` in the camera frame, metres, x right, y down, z forward. A camera without
`subjects` is for all of them. The cameras' order is that of the 2D detections.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import cv2
import numpy as np
from jaxtyping import Float
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from occlupose.cameras import Camera
from occlupose.errors import OccluposeError, unreadable

CAMERAS = "cameras.json"


@dataclass(frozen=True, eq=False)
class CalibratedCamera:
    """One camera in a dataset's world.

    Attributes:
        name: the dataset's name for it.
        pinhole: the camera without its distortion.
        rotation, translation: a world point X, in metres, is at rotation @ X + translation in the camera frame.
        distortion: k1, k2, p1, p2, k3 (Brown-Conrady, as in OpenCV).

    Raises:
        OccluposeError: the rotation is not a rotation, or a number is not finite.
    """

    name: str
    pinhole: Camera
    rotation: Float[np.ndarray, "3 3"]
    translation: Float[np.ndarray, "3"]
    distortion: Float[np.ndarray, "5"]

    def __post_init__(self) -> None:
        orthonormal = np.allclose(self.rotation @ self.rotation.T, np.eye(3), atol=1e-3)
        if not (orthonormal and np.linalg.det(self.rotation) > 0):
            raise OccluposeError(f"camera {self.name}: not a rotation; it must be orthonormal and must not mirror")
        if not (np.isfinite(self.translation).all() and np.isfinite(self.distortion).all()):
            raise OccluposeError(f"camera {self.name}: its translation or distortion is not finite; it must be numbers")

    def from_world(self, xyz: Float[np.ndarray, "*any 3"]) -> Float[np.ndarray, "*any 3"]:
        """World points in the camera frame, metres."""
        return xyz @ self.rotation.T + self.translation

    def undistort(self, xy: Float[np.ndarray, "*any 2"]) -> Float[np.ndarray, "*any 2"]:
        """Pixels of the real image without lens distortion, as the pinhole camera has them; NaN stays NaN."""
        result = np.array(xy, np.float64)
        known = np.isfinite(xy).all(-1)
        if self.distortion.any() and known.any():
            matrix = self.pinhole.matrix
            result[known] = cv2.undistortPoints(result[known][:, None], matrix, self.distortion, P=matrix)[:, 0]
        return result


_Row = tuple[float, float, float]


class _CameraEntry(BaseModel):
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

    def camera(self) -> CalibratedCamera:
        pinhole = Camera(self.width, self.height, self.fx, self.fy, self.cx, self.cy)
        rotation = np.array(self.rotation)
        return CalibratedCamera(self.name, pinhole, rotation, np.array(self.translation), np.array(self.distortion))


class _CamerasFile(BaseModel):
    model_config = ConfigDict(extra="forbid")

    cameras: Annotated[list[_CameraEntry], Field(min_length=1)]


def read_cameras_file(path: Path, subjects: tuple[str, ...]) -> dict[str, list[CalibratedCamera]]:
    """The cameras of each of these subjects, from a `cameras.json`.

    Raises:
        OccluposeError: the file cannot be read or has other content, or a subject has no camera or two of one name.
    """
    try:
        entries = _CamerasFile.model_validate_json(path.read_text(encoding="utf-8")).cameras
        cameras = {
            subject: [entry.camera() for entry in entries if entry.subjects is None or subject in entry.subjects]
            for subject in subjects
        }
    except OSError as error:
        raise unreadable(path, error, "give a file of cameras") from error
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "cameras"
        raise OccluposeError(f"{path}: {where}: {first['msg']}; docs/datasets.md shows such a file") from error
    except UnicodeDecodeError as error:
        raise OccluposeError(f"{path}: not text; docs/datasets.md shows a file of cameras") from error
    except OccluposeError as error:
        raise OccluposeError(f"{path}: {error}") from error
    for subject, group in cameras.items():
        if not group or len({camera.name for camera in group}) != len(group):
            wrong = "two cameras of one name" if group else "no camera"
            raise OccluposeError(f"{path}: {wrong} for {subject}; give each camera once")
    return cameras
