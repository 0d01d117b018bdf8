"""The pinhole camera: x right, y down, z forward, metres; pixel centres at integers."""

import math
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from jaxtyping import Float
from pydantic import BaseModel, ConfigDict, ValidationError, model_validator

from occlupose.bounds import brief
from occlupose.errors import OccluposeError, unreadable
from occlupose.files import parse_json

FIELD_OF_VIEW = 55.0
"""Field of view on the long side, degrees, that is assumed for an unknown camera. Ours."""

MAX_SIDE = 1_000_000
"""Pixels along a side of an image. Ours."""

_FOCAL = (1e-3, 1e9)
_MAX_CENTRE = 1e9

_HINT = "give width, height and either fx, fy, cx, cy or K (3 x 3), in pixels"


@dataclass(frozen=True)
class Camera:
    """A pinhole camera without distortion or skew.

    Attributes:
        width, height: of its images, in pixels.
        fx, fy: focal lengths in pixels.
        cx, cy: principal point in pixels.
        assumed: the intrinsics are a guess; so are depths and sizes computed with them.
        up: against gravity, in the camera frame, of any length; None: unknown.

    Raises:
        OccluposeError: a size or focal length is not positive or too large, a number is not finite, or up has no
            direction.
    """

    width: int
    height: int
    fx: float
    fy: float
    cx: float
    cy: float
    assumed: bool = False
    up: tuple[float, float, float] | None = None

    def __post_init__(self) -> None:
        low, high = _FOCAL
        if not (0 < self.width <= MAX_SIDE and 0 < self.height <= MAX_SIDE):
            size = f"{brief(self.width)} x {brief(self.height)}"
            raise OccluposeError(f"camera: image size {size}; it must be positive, in pixels, at most {MAX_SIDE}")
        if not (low <= self.fx <= high and low <= self.fy <= high):
            focal = f"{self.fx}, {self.fy}; they must be positive, in pixels, {low:g} to {high:g}"
            raise OccluposeError(f"camera: focal lengths {focal}")
        if not (abs(self.cx) <= _MAX_CENTRE and abs(self.cy) <= _MAX_CENTRE):
            raise OccluposeError(f"camera: principal point {self.cx}, {self.cy}; it must be finite, in pixels")
        if self.up is not None and not 0 < math.hypot(*self.up) < math.inf:
            raise OccluposeError(f"camera: up {self.up}; it has no direction; (0, -1, 0) is that of a level camera")

    @classmethod
    def from_fov(cls, width: int, height: int, fov_degrees: float = FIELD_OF_VIEW, assumed: bool = False) -> "Camera":
        """A camera with this field of view on the long side of the image and the principal point at its centre.

        The default of 55 degrees is ours: between a phone's main camera (about 65) and webcams (45 to 60).

        Raises:
            OccluposeError: the field of view is not between 0 and 180 degrees.
        """
        if not 0 < fov_degrees < 180:
            raise OccluposeError(f"camera: field of view {fov_degrees}; it must lie between 0 and 180 degrees")
        focal = max(width, height) / 2 / math.tan(math.radians(fov_degrees) / 2)
        return cls(width, height, focal, focal, (width - 1) / 2, (height - 1) / 2, assumed)

    @classmethod
    def from_matrix(cls, matrix: Float[np.ndarray, "3 3"], width: int, height: int, assumed: bool = False) -> "Camera":
        """The camera whose intrinsic matrix K is [[fx, 0, cx], [0, fy, cy], [0, 0, 1]].

        Raises:
            OccluposeError: the matrix does not have this form.
        """
        matrix = np.asarray(matrix, np.float64)
        if matrix.shape != (3, 3) or not np.array_equal(matrix[[0, 1, 2, 2, 2], [1, 0, 0, 1, 2]], [0, 0, 0, 0, 1]):
            raise OccluposeError("camera: not an intrinsic matrix; it must be [[fx, 0, cx], [0, fy, cy], [0, 0, 1]]")
        (fx, _, cx), (_, fy, cy), _ = matrix.tolist()
        return cls(width, height, fx, fy, cx, cy, assumed)

    @classmethod
    def load(cls, path: str | Path) -> "Camera":
        """Reads a .json file with width, height and either fx, fy, cx, cy or the 3 x 3 matrix K, in pixels,
        and maybe up.

        Raises:
            OccluposeError: the file cannot be read or has other fields; names the file.
        """
        try:
            return _CameraFile.model_validate(parse_json(Path(path).read_text(encoding="utf-8"))).camera()
        except OSError as error:
            raise unreadable(path, error, "give a camera's .json file") from error
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(map(str, first["loc"])) or "camera"
            raise OccluposeError(f"{path}: {where}: {first['msg'].removeprefix('Value error, ')}; {_HINT}") from error
        except ValueError as error:
            raise OccluposeError(f"{path}: not JSON; {_HINT}") from error
        except OccluposeError as error:
            raise OccluposeError(f"{path}: {error}") from error

    @property
    def matrix(self) -> Float[np.ndarray, "3 3"]:
        """The intrinsic matrix K, float64."""
        return np.array([[self.fx, 0, self.cx], [0, self.fy, self.cy], [0, 0, 1]])

    def project(self, xyz: Float[np.ndarray, "*any 3"]) -> Float[np.ndarray, "*any 2"]:
        """Pixels of these points (metres, camera frame); NaN for points at or behind the camera."""
        depth = np.where(xyz[..., 2:] > 0, xyz[..., 2:], np.nan)
        return (xyz[..., :2] / depth * self._focal + self._centre).astype(xyz.dtype)

    def rays(self, xy: Float[np.ndarray, "*any 2"]) -> Float[np.ndarray, "*any 3"]:
        """Directions through these pixels, in the camera frame, scaled to z = 1."""
        xy1 = np.concatenate([(xy - self._centre) / self._focal, np.ones_like(xy[..., :1])], axis=-1)
        return xy1.astype(xy.dtype)

    def back_project(
        self, xy: Float[np.ndarray, "*any 2"], depth: Float[np.ndarray, "*any"]
    ) -> Float[np.ndarray, "*any 3"]:
        """Points (metres, camera frame) at these pixels with this z."""
        return self.rays(xy) * np.asarray(depth)[..., None]

    @property
    def _focal(self) -> Float[np.ndarray, "2"]:
        return np.array([self.fx, self.fy])

    @property
    def _centre(self) -> Float[np.ndarray, "2"]:
        return np.array([self.cx, self.cy])


_Row = tuple[float, float, float]


class _CameraFile(BaseModel):
    """Fields of a camera's .json file."""

    model_config = ConfigDict(extra="forbid")

    width: int
    height: int
    fx: float | None = None
    fy: float | None = None
    cx: float | None = None
    cy: float | None = None
    K: tuple[_Row, _Row, _Row] | None = None
    up: _Row | None = None

    @model_validator(mode="after")
    def _one_form(self) -> "_CameraFile":
        numbers = [self.fx, self.fy, self.cx, self.cy]
        given = sum(number is not None for number in numbers)
        if given != (4 if self.K is None else 0):
            raise ValueError("neither all of fx, fy, cx, cy nor K alone")
        return self

    def camera(self) -> Camera:
        if self.K is not None:
            return replace(Camera.from_matrix(np.array(self.K), self.width, self.height), up=self.up)
        assert self.fx is not None and self.fy is not None and self.cx is not None and self.cy is not None
        return Camera(self.width, self.height, self.fx, self.fy, self.cx, self.cy, up=self.up)


def camera_from_fov(width: int, height: int, fov: float | None = None) -> Camera:
    """A camera with this field of view on the long side, degrees; None: 55 degrees, marked as assumed.

    Raises:
        OccluposeError: the field of view is outside 1 to 170 degrees.
    """
    if fov is not None and not 1 <= fov <= 170:
        raise OccluposeError(f"fov {fov}: a field of view is 1 to 170 degrees on the long side; give degrees")
    return Camera.from_fov(width, height, FIELD_OF_VIEW if fov is None else fov, assumed=fov is None)
