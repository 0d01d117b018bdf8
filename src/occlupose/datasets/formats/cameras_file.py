"""The cameras of any dataset in a file of ours, `cameras.json`, which replaces the dataset's own:

    {"cameras": [{"name": "C1", "subjects": ["S1", "S2"],
                  "width": 640, "height": 480, "fx": 765.5, "fy": 766.0, "cx": 320.1, "cy": 241.9,
                  "distortion": [-0.2, 0.1, 0, 0, 0],
                  "rotation": [[1, 0, 0], [0, 0, -1], [0, 1, 0]], "translation": [0, 1, 4]}]}

In pixels; `distortion` is k1, k2, p1, p2, k3 of the Brown-Conrady model as in OpenCV (default: none). A world point X
is at `rotation` @ X + `translation` in the camera frame, metres, x right, y down, z forward. A camera without
`subjects` is for all of them. The cameras' order is that of the 2D detections.
"""

from pathlib import Path
from typing import Annotated

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from occlupose.cameras import Camera
from occlupose.datasets.calibration import CalibratedCamera
from occlupose.datasets.formats.json_files import read_json
from occlupose.errors import OccluposeError

CAMERAS = "cameras.json"

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
    entries = read_json(path, TypeAdapter(_CamerasFile), "docs/datasets.md shows such a file").cameras
    try:
        cameras = {
            subject: [entry.camera() for entry in entries if entry.subjects is None or subject in entry.subjects]
            for subject in subjects
        }
    except OccluposeError as error:
        raise OccluposeError(f"{path}: {error}") from error
    for subject, group in cameras.items():
        if not group or len({camera.name for camera in group}) != len(group):
            wrong = "two cameras of one name" if group else "no camera"
            raise OccluposeError(f"{path}: {wrong} for {subject}; give each camera once")
    return cameras
