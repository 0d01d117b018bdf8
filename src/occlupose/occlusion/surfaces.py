"""Which joints are occluded, and by what: a z-buffer with the person and the body part of every pixel.

HUPOR does not say how its fitted bodies label joints. Our rule: a joint is visible if the front surface at its pixel
belongs to its own person and to a body part next to the joint, otherwise occluded; outside the image it is absent. The
rule needs no depth threshold.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum

import cv2
import numpy as np
from jaxtyping import Bool, Float, Int, UInt8

from occlupose.bodies.body import PARTS, adjacent_parts
from occlupose.cameras import Camera
from occlupose.poses import ABSENT, OCCLUDED, VISIBLE
from occlupose.skeletons import Skeleton

NO_SURFACE = -1
"""Surface number of a pixel without a surface."""

NO_PART = 255
"""Body part of a pixel without a person."""

NEAR_PLANE = 0.05
FAR_PLANE = 1000.0
"""Clipping planes, metres."""

WINDOW = 1
"""Pixels to each side of a joint's own that are tested with it."""


class OcclusionCause(IntEnum):
    """Why a joint is not visible."""

    NONE = 0
    SELF = 1
    PERSON = 2
    OBJECT = 3
    OUTSIDE = 4


@dataclass(frozen=True, eq=False)
class Surface:
    """A triangle mesh in front of a camera, in metres in the camera frame: x right, y down, z forward.

    Attributes:
        part: body part of each vertex, as an index of PARTS; None for an object.
    """

    vertices: Float[np.ndarray, "vertex 3"]
    faces: Int[np.ndarray, "face 3"]
    part: UInt8[np.ndarray, "vertex"] | None = None


@dataclass(frozen=True, eq=False)
class ZBuffer:
    """The nearest surface in every pixel.

    Attributes:
        depth: z in metres; inf where there is nothing.
        surface: number of the surface, in the order given; NO_SURFACE where there is none.
        part: body part, as an index of PARTS; NO_PART where there is no person.
    """

    depth: Float[np.ndarray, "height width"]
    surface: Int[np.ndarray, "height width"]
    part: UInt8[np.ndarray, "height width"]


@dataclass(frozen=True, eq=False)
class Occlusion:
    """Occlusion of the joints of all people in an image.

    Attributes:
        state: 2 visible, 1 occluded, 0 absent.
        cause: an `OcclusionCause` each.
        occluder: number of the surface in front of the joint, in the order given; NO_SURFACE where there is none.
    """

    state: UInt8[np.ndarray, "person joint"]
    cause: UInt8[np.ndarray, "person joint"]
    occluder: Int[np.ndarray, "person joint"]


def render_zbuffer(surfaces: Sequence[Surface], camera: Camera) -> ZBuffer:
    """The z-buffer of some surfaces, sampled at pixel centres. A triangle has the body part of its first vertex."""
    size = camera.height, camera.width
    depth = np.full(size, FAR_PLANE, np.float32)
    colour = np.zeros((*size, 3), np.float32)
    # OpenCV's camera looks along -z with y up, and has one focal length and a central principal point; a shear along z
    # maps our camera to it
    centre = np.array([(camera.width - 1) / 2, (camera.height - 1) / 2])
    scale = np.array([camera.fx / camera.fy, 1.0])
    shift = (np.array([camera.cx, camera.cy]) - centre) / camera.fy
    settings = cv2.TriangleRasterizeSettings()
    settings.setShadingType(cv2.RASTERIZE_SHADING_FLAT).setCullingMode(cv2.RASTERIZE_CULLING_NONE)
    view = 2 * np.arctan(camera.height / 2 / camera.fy)
    for number, surface in enumerate(surfaces):
        if not len(surface.faces):
            continue
        points, faces, part = _clip(surface)
        points[:, :2] = points[:, :2] * scale + points[:, 2:] * shift
        points[:, 1:] *= -1
        ids = np.zeros((len(points), 3), np.float32)
        ids[:, 0] = (number + 1) / _IDS
        ids[:, 1] = part / _IDS
        mesh = (points.astype(np.float32), faces.astype(np.int32))
        cv2.triangleRasterize(*mesh, ids, colour, depth, np.eye(4), view, NEAR_PLANE, FAR_PLANE, settings)
    numbers = np.rint(colour[..., 0] * _IDS).astype(np.int16) - 1
    part = np.where(numbers >= 0, np.rint(colour[..., 1] * _IDS), NO_PART).astype(np.uint8)
    return ZBuffer(np.where(numbers >= 0, depth, np.inf).astype(np.float32), numbers, part)


def _clip(
    surface: Surface,
) -> tuple[Float[np.ndarray, "vertex 3"], Int[np.ndarray, "face 3"], UInt8[np.ndarray, "vertex"]]:
    """Vertices, triangles and body parts beyond the near plane. OpenCV does not clip triangles that cross it."""
    points = surface.vertices.astype(np.float64, copy=True)
    part = np.full(len(points), NO_PART, np.uint8) if surface.part is None else surface.part
    if (points[:, 2] > NEAR_PLANE).all():
        return points, surface.faces, part
    ahead = (points[:, 2] > NEAR_PLANE)[surface.faces]
    faces = [surface.faces[ahead.all(1)]]
    vertices = [points]
    parts = [part]
    count = len(points)
    for triangle in surface.faces[ahead.any(1) & ~ahead.all(1)]:
        polygon = _clip_triangle(points[triangle])
        fan = np.arange(1, len(polygon) - 1)
        vertices.append(polygon)
        parts.append(np.full(len(polygon), part[triangle[0]], np.uint8))
        faces.append(count + np.stack([0 * fan, fan, fan + 1], 1))
        count += len(polygon)
    return np.concatenate(vertices), np.concatenate(faces), np.concatenate(parts)


def _clip_triangle(corners: Float[np.ndarray, "3 3"]) -> Float[np.ndarray, "corner 3"]:
    """The part of a triangle beyond the near plane, as a polygon (Sutherland and Hodgman)."""
    result = []
    for one, other in zip(corners, np.roll(corners, -1, 0), strict=True):
        if one[2] > NEAR_PLANE:
            result.append(one)
        if (one[2] > NEAR_PLANE) != (other[2] > NEAR_PLANE):
            result.append(one + (other - one) * (_CLIP_FACTOR * NEAR_PLANE - one[2]) / (other[2] - one[2]))
    return np.array(result)


_CLIP_FACTOR = 1.0001
"""Triangles are clipped at this many times NEAR_PLANE, so that rounding leaves nothing in front of it."""

_IDS = 4096.0
"""Numbers are drawn as colours between 0 and 1 in this many steps, all exact in float32."""


def find_occlusion(
    joints: Float[np.ndarray, "person joint 3"],
    skeleton: Skeleton,
    buffer: ZBuffer,
    camera: Camera,
    *,
    window: int = WINDOW,
) -> Occlusion:
    """Which joints are visible, which are occluded and why, and which are outside the image.

    A pixel occludes a joint if its surface is nearer than the joint and is not one of the person's own parts next to
    the joint. The joint is occluded if most of the pixels in the window (inside the image) occlude it; the occluder is
    the most frequent of their surfaces.

    Arguments:
        joints: metres, camera frame; person p is surface p of the buffer. NaN is absent.
        skeleton: of the joints; they must be among those of BODY26.
        window: pixels to each side that are tested; 0 tests the joint's own pixel only.
    """
    people, joint_count = joints.shape[:2]
    xy = camera.project(joints.astype(np.float64))
    in_front = np.isfinite(xy).all(-1) & (joints[..., 2] > NEAR_PLANE)
    pixel = np.rint(np.where(in_front[..., None], xy, -1e6)).astype(np.int64)
    inside = in_front & (pixel >= 0).all(-1) & (pixel < (camera.width, camera.height)).all(-1)
    steps = np.stack(np.meshgrid(*2 * [np.arange(-window, window + 1)]), -1).reshape(-1, 2)
    pixels = pixel[:, :, None] + steps
    tested = inside[..., None] & (pixels >= 0).all(-1) & (pixels < (camera.width, camera.height)).all(-1)
    x, y = np.where(tested[..., None], pixels, 0).transpose(3, 0, 1, 2)
    surface = buffer.surface[y, x]
    part = buffer.part[y, x]
    depth = buffer.depth[y, x]
    person_number = np.arange(people)[:, None, None]
    adjacent = _adjacent_parts(skeleton)[np.arange(joint_count)[:, None], part]
    occludes = tested & (depth < joints[..., 2:]) & ~((surface == person_number) & adjacent)
    occluded = 2 * occludes.sum(-1) > tested.sum(-1)
    occluder = np.full((people, joint_count), NO_SURFACE, np.int16)
    for person, joint in np.argwhere(occluded):
        occluder[person, joint] = np.bincount(surface[person, joint][occludes[person, joint]]).argmax()
    state = np.where(inside, np.where(occluded, OCCLUDED, VISIBLE), ABSENT)
    cause = np.select(
        [~inside, ~occluded, occluder == person_number[..., 0], occluder < people],
        [OcclusionCause.OUTSIDE, OcclusionCause.NONE, OcclusionCause.SELF, OcclusionCause.PERSON],
        OcclusionCause.OBJECT,
    )
    return Occlusion(state.astype(np.uint8), cause.astype(np.uint8), occluder)


def _adjacent_parts(skeleton: Skeleton) -> Bool[np.ndarray, "joint 256"]:
    """Which body parts do not occlude a joint of their own person."""
    table = np.zeros((len(skeleton), NO_PART + 1), bool)
    for row, joint in enumerate(skeleton.joints):
        table[row, [PARTS.index(part) for part in adjacent_parts(joint)]] = True
    return table
