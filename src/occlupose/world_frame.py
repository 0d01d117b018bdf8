"""The world's axes: z up, the floor at 0, metres."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from scipy.spatial.transform import Rotation

from occlupose.covariances import to_matrix, to_six
from occlupose.errors import OccluposeError

CAMERA_UP = (0.0, -1.0, 0.0)
"""Up in the camera's axes, for a level camera."""

STEEP = 0.99
"""Cosine of the angle between the camera's axis and up from which on forward is the image's upward direction."""

Direction = tuple[float, float, float] | Float[np.ndarray, "3"]


def level_axes(up: Direction) -> Float[np.ndarray, "3 3"]:
    """Unit vectors right, forward and up, as rows: forward along the floor as the camera looks; where it looks
    straight down, to the top of the image.

    Arguments:
        up: of any length but 0.

    Raises:
        OccluposeError: up has no direction.
    """
    length = np.linalg.norm(up)
    if not 0 < length < np.inf:
        raise OccluposeError(f"up {tuple(np.asarray(up).tolist())}: has no direction; give one, as (0, -1, 0)")
    upward = np.asarray(up, float) / length
    forward = np.array([0.0, 0, 1]) if abs(upward[2]) < STEEP else np.array([0.0, -1, 0])
    forward = forward - (forward @ upward) * upward
    forward /= np.linalg.norm(forward)
    return np.stack([np.cross(forward, upward), forward, upward])


@dataclass(frozen=True, eq=False)
class WorldFrame:
    """From the camera's axes to the world's: `rotation @ point + translation`.

    z is up and 0 on the floor. The origin is straight below the camera; y points where the camera looks, along the
    floor (where it looks straight down, to the top of the image), and x to the right of it.

    Attributes:
        rotation: its rows are the world's axes in the camera frame; the last is up.
        translation: metres.
        centre: of the people, on the floor, in the world's axes; about it the uncertainty is stated.
        covariance: of a small turn of the world about x and about y through `centre`, radians, and of heights there,
            metres.
    """

    rotation: Float[np.ndarray, "3 3"]
    translation: Float[np.ndarray, "3"]
    centre: Float[np.ndarray, "3"]
    covariance: Float[np.ndarray, "3 3"]

    @classmethod
    def from_floor(
        cls,
        up: Float[np.ndarray, "3"],
        offset: float,
        centre: Float[np.ndarray, "3"] | None = None,
        covariance: Float[np.ndarray, "3 3"] | None = None,
    ) -> "WorldFrame":
        """The world above a floor in the camera frame, on which point @ up = offset.

        Arguments:
            up: of any length but 0.
            offset: metres, for an `up` of length 1.
            centre, covariance: by default the origin, and exact.

        Raises:
            OccluposeError: up has no direction.
        """
        rotation = level_axes(up)
        origin = np.array([0.0, 0, -offset])
        centre = np.zeros(3) if centre is None else centre
        return cls(rotation, origin, centre, np.zeros((3, 3)) if covariance is None else covariance)

    @property
    def up(self) -> Float[np.ndarray, "3"]:
        """In the camera frame, of length 1."""
        return self.rotation[2]

    @property
    def up_covariance(self) -> Float[np.ndarray, "3 3"]:
        """Of `up`."""
        by_turn = np.stack([self.rotation[1], -self.rotation[0]], 1)
        return by_turn @ self.covariance[:2, :2] @ by_turn.T

    @property
    def up_sigma(self) -> float:
        """Standard deviation of up in the direction in which it is most uncertain, radians."""
        return float(np.sqrt(np.linalg.eigvalsh(self.covariance[:2, :2])[-1]))

    @property
    def floor_sigma(self) -> float:
        """Standard deviation of the floor's height below the people, metres."""
        return float(np.sqrt(self.covariance[2, 2]))

    def to_world(self, xyz: Float[np.ndarray, "*any 3"]) -> Float[np.ndarray, "*any 3"]:
        """Points of the camera frame in the world, metres."""
        return xyz @ self.rotation.T + self.translation

    def to_camera(self, xyz: Float[np.ndarray, "*any 3"]) -> Float[np.ndarray, "*any 3"]:
        """The inverse of `to_world`."""
        return (xyz - self.translation) @ self.rotation

    def rotate_covariance(self, covariance: Float[np.ndarray, "*any 6"]) -> Float[np.ndarray, "*any 6"]:
        """Covariances in the world's axes (xx, yy, zz, xy, xz, yz, m^2), as of points relative to a root."""
        return to_six(self.rotation @ to_matrix(covariance) @ self.rotation.T)

    def place_covariance(
        self, covariance: Float[np.ndarray, "*any 6"], xyz: Float[np.ndarray, "*any 3"]
    ) -> Float[np.ndarray, "*any 6"]:
        """Covariances of places in the world, of those in the camera frame: with that of the world itself.

        Arguments:
            xyz: the places in the camera frame, metres.
        """
        arm = self.to_world(xyz) - self.centre
        zero = np.zeros_like(arm[..., 0])
        by_x = np.stack([zero, -arm[..., 2], arm[..., 1]], -1)
        by_y = np.stack([arm[..., 2], zero, -arm[..., 0]], -1)
        jacobian = np.stack([by_x, by_y, np.broadcast_to((0.0, 0.0, 1.0), arm.shape)], -1)
        return self.rotate_covariance(covariance) + to_six(jacobian @ self.covariance @ jacobian.mT)

    def rotate(self, quaternion: Float[np.ndarray, "*any 4"]) -> Float[np.ndarray, "*any 4"]:
        """Rotations relative to the camera's axes (w, x, y, z), as those of the pelvis, relative to the world's.

        Those relative to a parent segment stay as they are.
        """
        return turn_quaternions(self.rotation, quaternion)

    def turn(self, change: Float[np.ndarray, "3"], covariance: Float[np.ndarray, "3 3"]) -> "WorldFrame":
        """The world turned about x and y through `centre`, and with other heights there: see `covariance`."""
        turn = Rotation.from_rotvec([*change[:2], 0.0]).as_matrix()
        up = turn[2] @ self.rotation
        offset = -(turn[2] @ (self.translation - self.centre) + self.centre[2] + change[2])
        turned = WorldFrame.from_floor(up, float(offset))
        on_floor = turned.to_world(self.to_camera(self.centre)) * (1, 1, 0)
        axes = turned.rotation[:2] @ (turn @ self.rotation)[:2].T
        full = np.block([[axes, np.zeros((2, 1))], [np.zeros((1, 2)), np.ones((1, 1))]])
        return WorldFrame(turned.rotation, turned.translation, on_floor, full @ covariance @ full.T)


def turn_quaternions(
    rotation: Float[np.ndarray, "3 3"], quaternion: Float[np.ndarray, "*any 4"]
) -> Float[np.ndarray, "*any 4"]:
    """Rotations (w, x, y, z) followed by another one; NaN where unknown."""
    flat = quaternion.reshape(-1, 4)
    known = np.isfinite(flat).all(-1)
    turned = np.full(flat.shape, np.nan)
    own = Rotation.from_quat(flat[known], scalar_first=True)
    turned[known] = (Rotation.from_matrix(rotation) * own).as_quat(scalar_first=True)
    return turned.reshape(quaternion.shape)


def y_up_axes(world: WorldFrame | None) -> tuple[Float[np.ndarray, "3 3"], Float[np.ndarray, "3"]]:
    """From the camera's axes to those with y up, `rotation @ point + translation`: x right, y up, z towards the camera.

    They are x, z and -y of the world: the floor is at y = 0, and the origin on it, straight below the camera.

    Arguments:
        world: None if it is unknown: up is then that of the image, and the origin the camera.
    """
    if world is None:
        return np.diag([1.0, -1, -1]), np.zeros(3)
    right, forward, up = world.rotation
    x, y, z = world.translation
    return np.stack([right, up, -forward]), np.array([x, z, -y])
