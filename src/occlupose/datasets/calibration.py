"""Calibrated cameras of a dataset: from its world to the camera frame, and out of lens distortion."""

from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import Float

from occlupose.cameras import Camera
from occlupose.errors import OccluposeError


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
