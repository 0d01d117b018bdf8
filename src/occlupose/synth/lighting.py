"""Light of a scene from its geometry, without OpenGL: main light, ambient light on the ground, surroundings."""

from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import Float, UInt8

from occlupose.media import RGB
from occlupose.synth.appearance import SceneAppearance, Vector
from occlupose.synth.scene import Scene

SHADOW_MAP_SIZE = 512
"""Side of the shadow map, px."""

CONTACT_MAP_SIZE = 160
"""Side of the map of ambient light on the ground, px."""


@dataclass(frozen=True, eq=False)
class Light:
    """Projection of the main light for its shadow map, and uniforms that replace those of the scene's appearance."""

    clip_from_world: Float[np.ndarray, "4 4"]
    texels: float
    camera_position: Float[np.ndarray, "3"]
    changes: dict[str, object]

    def shader_uniforms(self) -> dict[str, object]:
        """Names and values of the uniforms."""
        return {
            "light_from_world": tuple(self.clip_from_world.T.ravel().tolist()),
            "shadow_texels": self.texels,
            "eye": tuple(map(float, self.camera_position)),
            **self.changes,
        }


def place_light(scene: Scene, appearance: SceneAppearance, backdrop: RGB | None) -> Light:
    """Projection of the main light around everything that casts shadows; with a backdrop, ambient light has its
    colours.
    """
    z = np.array(appearance.sun_direction)
    x = np.cross([0.0, 1.0, 0.0], z)
    x /= np.linalg.norm(x)
    axes = np.stack([x, np.cross(z, x), z])
    casters = [person.vertices[::7] for person in scene.people] + [item.vertices for item in scene.objects]
    points = np.concatenate([*casters, np.zeros((1, 3))]) @ axes.T
    low = points.min(0) - 0.05
    high = points.max(0) + 0.05
    half = max(high[0] - low[0], high[1] - low[1]) / 2
    middle = (low + high) / 2
    scale = np.array([1 / half, 1 / half, -2 / (high[2] - low[2])])
    matrix = np.eye(4)
    matrix[:3, :3] = axes * scale[:, None]
    matrix[:3, 3] = -scale * middle
    changes: dict[str, object] = {}
    if backdrop is not None:
        small = (cv2.resize(backdrop, (8, 8), interpolation=cv2.INTER_AREA) / 255.0) ** 2.2
        for name, rows in (("sky", small[:4]), ("bounce", small[4:])):
            colour = rows.mean((0, 1)) + 0.05
            changes[name] = tuple((0.5 + 0.5 * colour / colour.mean()) * np.array(getattr(appearance, name)))
        changes["exposure"] = appearance.exposure * float(np.clip((small.mean() / 0.22) ** 0.5, 0.5, 1.5))
    return Light(matrix, SHADOW_MAP_SIZE / (2 * half), scene.camera_position, changes)


def enclosing_room(scene: Scene, appearance: SceneAppearance) -> tuple[Vector, Vector]:
    """Width, depth and height, and centre, of surroundings that contain all people, objects and the camera."""
    points = np.concatenate(
        [*(p.vertices[::50] for p in scene.people), *(t.vertices for t in scene.objects), scene.camera_position[None]]
    )
    low = points.min(0)
    high = points.max(0)
    middle = (low + high) / 2
    needed = (high - low) + 1.2
    if appearance.indoor:
        width = max(appearance.room[0], needed[0])
        depth = max(appearance.room[1], needed[2])
    else:
        width = depth = max(appearance.room[0], float(np.hypot(needed[0], needed[2])) / 2 + 5)
    room = (float(width), float(depth), max(appearance.room[2], float(high[1]) + 0.25))
    return room, (float(middle[0]), 0.0, float(middle[2]))


def contact_map(scene: Scene) -> tuple[Vector, UInt8[np.ndarray, "160 160"]]:
    """Map of the ambient light that reaches the ground near people and objects, and the square that it covers."""
    points = np.concatenate(
        [np.zeros((1, 3)), *(p.vertices[::9] for p in scene.people), *(t.vertices for t in scene.objects)]
    )
    corners = np.stack([points[:, [0, 2]].min(0), points[:, [0, 2]].max(0)])
    middle = (corners[0] + corners[1]) / 2
    half = float((corners[1] - corners[0]).max()) / 2 + 0.6
    size = CONTACT_MAP_SIZE
    cell = 2 * half / size
    near = np.zeros((size, size), np.float32)
    far = np.zeros((size, size), np.float32)
    for person in scene.people:
        x, y, z = person.vertices[::3].T
        column, row = ((np.stack([x, z]) - middle[:, None] + half) / cell).astype(np.int32)
        index = row * size + column
        low = y < 0.12
        touching = np.bincount(index[low], np.exp(-y[low] / 0.03), size**2)
        over = np.bincount(index, np.exp(-np.maximum(y, 0) / 0.45), size**2)
        near = np.maximum(near, np.minimum(touching, 1).reshape(near.shape).astype(np.float32))
        far = np.maximum(far, np.minimum(0.5 * over, 1).reshape(near.shape).astype(np.float32))
    for item in scene.objects:
        triangles = item.vertices[item.faces]
        shadows = np.rint((triangles[..., [0, 2]] - middle + half) / cell).astype(np.int32)
        for shadow, bottom in zip(shadows, triangles[..., 1].min(1).tolist(), strict=True):
            if bottom <= 0.05:
                cv2.fillConvexPoly(near, shadow, float(np.exp(-max(bottom, 0) / 0.1)))
            if bottom < 1.0:
                cv2.fillConvexPoly(far, shadow, float(np.exp(-max(bottom, 0) / 0.6)))
    dark = 0.75 * cv2.GaussianBlur(near, (0, 0), 0.035 / cell) + 0.75 * cv2.GaussianBlur(far, (0, 0), 0.17 / cell)
    return (float(middle[0]), float(middle[1]), half), (255 * np.clip(1 - dark, 0.12, 1)).astype(np.uint8)
