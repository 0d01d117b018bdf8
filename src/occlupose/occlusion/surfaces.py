"""Which joints are hidden, by whom and behind what: a z-buffer of bodies and objects, with a person and a part in every
pixel.

HUPOR does not say how its fitted bodies label joints. Our rule: a joint is visible if what is in front of it at its
pixel belongs to its own person and to a part next to it, else it is hidden; outside of the picture it is absent. It
needs no threshold of depth.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum

import cv2
import numpy as np
from jaxtyping import Bool, Float, Int, UInt8

from occlupose.bodies.body import PARTS, beside
from occlupose.cameras import Camera
from occlupose.poses import ABSENT, OCCLUDED, VISIBLE
from occlupose.skeletons import Skeleton

NOTHING = -1
"""The thing in a pixel that shows none."""

NO_PART = 255
"""The part in a pixel that shows nobody."""

NEAR = 0.05
FAR = 1000.0
"""Metres between which surfaces are seen."""

WINDOW = 1
"""A joint is judged by the pixels up to this far from its own, together."""


class Reason(IntEnum):
    """Why a joint is not visible."""

    NONE = 0
    SELF = 1
    PERSON = 2
    OBJECT = 3
    OUTSIDE = 4


@dataclass(frozen=True, eq=False)
class Surface:
    """Triangles in front of a camera, metres in its frame: x right, y down, z forward.

    Attributes:
        part: of PARTS, of each vertex; None is an object.
    """

    vertices: Float[np.ndarray, "vertex 3"]
    faces: Int[np.ndarray, "face 3"]
    part: UInt8[np.ndarray, "vertex"] | None = None


@dataclass(frozen=True, eq=False)
class ZBuffer:
    """What is in front in every pixel.

    Attributes:
        depth: z, metres; inf where there is nothing.
        thing: which surface, in the order that they were given in; NOTHING where there is none.
        part: which of PARTS; NO_PART where there is nobody.
    """

    depth: Float[np.ndarray, "height width"]
    thing: Int[np.ndarray, "height width"]
    part: UInt8[np.ndarray, "height width"]


@dataclass(frozen=True, eq=False)
class Occlusion:
    """What is known of the joints of everybody in a picture.

    Attributes:
        state: 2 visible, 1 occluded, 0 absent.
        reason: a `Reason` each.
        by: the surface that hides it, in the order that they were given in; NOTHING where none does.
    """

    state: UInt8[np.ndarray, "person joint"]
    reason: UInt8[np.ndarray, "person joint"]
    by: Int[np.ndarray, "person joint"]


def zbuffer(surfaces: Sequence[Surface], camera: Camera) -> ZBuffer:
    """What a camera sees of some surfaces, sampled at the centres of its pixels. A triangle has the part of its first
    corner.
    """
    size = camera.height, camera.width
    depth = np.full(size, FAR, np.float32)
    colour = np.zeros((*size, 3), np.float32)
    # OpenCV's camera looks along -z with y up, has one focal length and looks through its middle: a shear along z makes
    # ours into one
    middle = np.array([(camera.width - 1) / 2, (camera.height - 1) / 2])
    scale = np.array([camera.fx / camera.fy, 1.0])
    shift = (np.array([camera.cx, camera.cy]) - middle) / camera.fy
    settings = cv2.TriangleRasterizeSettings()
    settings.setShadingType(cv2.RASTERIZE_SHADING_FLAT).setCullingMode(cv2.RASTERIZE_CULLING_NONE)
    view = 2 * np.arctan(camera.height / 2 / camera.fy)
    for number, surface in enumerate(surfaces):
        if not len(surface.faces):
            continue
        points, faces, part = _before(surface)
        points[:, :2] = points[:, :2] * scale + points[:, 2:] * shift
        points[:, 1:] *= -1
        ids = np.zeros((len(points), 3), np.float32)
        ids[:, 0] = (number + 1) / _IDS
        ids[:, 1] = part / _IDS
        cv2.triangleRasterize(
            points.astype(np.float32), faces.astype(np.int32), ids, colour, depth, np.eye(4), view, NEAR, FAR, settings
        )
    thing = np.rint(colour[..., 0] * _IDS).astype(np.int16) - 1
    part = np.where(thing >= 0, np.rint(colour[..., 1] * _IDS), NO_PART).astype(np.uint8)
    return ZBuffer(np.where(thing >= 0, depth, np.inf).astype(np.float32), thing, part)


def _before(
    surface: Surface,
) -> tuple[Float[np.ndarray, "vertex 3"], Int[np.ndarray, "face 3"], UInt8[np.ndarray, "vertex"]]:
    """The triangles that lie before the camera, with the parts of their vertices; what crosses NEAR is cut there, as
    OpenCV does not.
    """
    points = surface.vertices.astype(np.float64, copy=True)
    part = np.full(len(points), NO_PART, np.uint8) if surface.part is None else surface.part
    if (points[:, 2] > NEAR).all():
        return points, surface.faces, part
    ahead = (points[:, 2] > NEAR)[surface.faces]
    faces = [surface.faces[ahead.all(1)]]
    more = [points]
    parts = [part]
    count = len(points)
    for triangle in surface.faces[ahead.any(1) & ~ahead.all(1)]:
        polygon = _cut(points[triangle])
        fan = np.arange(1, len(polygon) - 1)
        more.append(polygon)
        parts.append(np.full(len(polygon), part[triangle[0]], np.uint8))
        faces.append(count + np.stack([0 * fan, fan, fan + 1], 1))
        count += len(polygon)
    return np.concatenate(more), np.concatenate(faces), np.concatenate(parts)


def _cut(corners: Float[np.ndarray, "3 3"]) -> Float[np.ndarray, "corner 3"]:
    """What of a triangle lies beyond NEAR (Sutherland and Hodgman)."""
    result = []
    for one, other in zip(corners, np.roll(corners, -1, 0), strict=True):
        if one[2] > NEAR:
            result.append(one)
        if (one[2] > NEAR) != (other[2] > NEAR):
            result.append(one + (other - one) * (_BEYOND * NEAR - one[2]) / (other[2] - one[2]))
    return np.array(result)


_BEYOND = 1.0001
"""Triangles are cut this many times NEAR away, so that rounding leaves nothing before it."""

_IDS = 4096.0
"""Numbers are drawn as colours between 0 and 1: as this many steps, all of which float32 has exactly."""


def judge(
    joints: Float[np.ndarray, "person joint 3"],
    skeleton: Skeleton,
    buffer: ZBuffer,
    camera: Camera,
    *,
    window: int = WINDOW,
) -> Occlusion:
    """Which joints are visible, which are hidden and why, and which are outside of the picture.

    A pixel hides a joint where it shows something nearer than the joint that is not one of its own person's parts next
    to it. The joint is hidden if most of the pixels around its own, of those in the picture, hide it; by what most of
    these show.

    Arguments:
        joints: metres, camera frame; person p is surface p of the buffer. NaN is absent.
        skeleton: whose joints BODY26 has, or subsets of its names.
        window: pixels to each side that are asked; 0 asks the joint's own only.
    """
    people, count = joints.shape[:2]
    xy = camera.project(joints.astype(np.float64))
    there = np.isfinite(xy).all(-1) & (joints[..., 2] > NEAR)
    place = np.rint(np.where(there[..., None], xy, -1e6)).astype(np.int64)
    inside = there & (place >= 0).all(-1) & (place < (camera.width, camera.height)).all(-1)
    steps = np.stack(np.meshgrid(*2 * [np.arange(-window, window + 1)]), -1).reshape(-1, 2)
    pixels = place[:, :, None] + steps
    asked = inside[..., None] & (pixels >= 0).all(-1) & (pixels < (camera.width, camera.height)).all(-1)
    x, y = np.where(asked[..., None], pixels, 0).transpose(3, 0, 1, 2)
    thing = buffer.thing[y, x]
    part = buffer.part[y, x]
    depth = buffer.depth[y, x]
    number = np.arange(people)[:, None, None]
    own = thing == number
    hides = asked & (depth < joints[..., 2:]) & ~(own & _beside(skeleton)[np.arange(count)[:, None], part])
    hidden = 2 * hides.sum(-1) > asked.sum(-1)
    by = np.full((people, count), NOTHING, np.int16)
    for person, joint in np.argwhere(hidden):
        by[person, joint] = np.bincount(thing[person, joint][hides[person, joint]]).argmax()
    state = np.where(inside, np.where(hidden, OCCLUDED, VISIBLE), ABSENT)
    reason = np.select(
        [~inside, ~hidden, by == number[..., 0], by < people],
        [Reason.OUTSIDE, Reason.NONE, Reason.SELF, Reason.PERSON],
        Reason.OBJECT,
    )
    return Occlusion(state.astype(np.uint8), reason.astype(np.uint8), by)


def _beside(skeleton: Skeleton) -> Bool[np.ndarray, "joint 256"]:
    """Which parts do not hide a joint."""
    table = np.zeros((len(skeleton), NO_PART + 1), bool)
    for place, joint in enumerate(skeleton.joints):
        table[place, [PARTS.index(part) for part in beside(joint)]] = True
    return table
