"""People and objects on the graphics card."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float

from occlupose.bodies.body import BodyModel
from occlupose.synth.appearance import PersonAppearance
from occlupose.synth.clothing import ClothedMesh, unit_vectors
from occlupose.synth.opengl import uniform
from occlupose.synth.scene import Scene, SceneObject

if TYPE_CHECKING:
    import moderngl

CELLS = (0.0, 0.008, 0.014)
"""Cell sizes of the levels of detail, from near to far people, metres; ours."""

MAX_CELL_PIXELS = 1.5
"""Largest size of a cell in the image, px."""


@dataclass(frozen=True, eq=False)
class ObjectMesh:
    """An object as corners of triangles: positions, normals, and positions in its own frame for textures."""

    position: Float[np.ndarray, "corner 3"]
    normal: Float[np.ndarray, "corner 3"]
    rest: Float[np.ndarray, "corner 3"]

    @classmethod
    def from_object(cls, item: SceneObject) -> "ObjectMesh":
        """An object with smooth normals, except at sharp edges."""
        vertices = item.vertices.astype(np.float32)
        first, second, third = vertices[item.faces].swapaxes(0, 1)
        face_normal = np.cross(second - first, third - first)
        vertex_normal = np.zeros_like(vertices)
        for corner in range(3):
            np.add.at(vertex_normal, item.faces[:, corner], face_normal)
        flat = unit_vectors(face_normal)[:, None].repeat(3, 1)
        smooth = unit_vectors(vertex_normal)[item.faces]
        normal = np.where((flat * smooth).sum(-1, keepdims=True) > 0.8, smooth, flat)
        edges = (second - first)[:, [0, 2]]
        x, z = edges[np.linalg.norm(edges, axis=1).argmax()] if len(edges) else (1.0, 0.0)
        length = float(np.hypot(x, z)) or 1.0
        turn = np.array([[x, 0, z], [0, length, 0], [-z, 0, x]], np.float32) / length
        rest = (vertices - vertices.mean(0)) @ turn.T
        columns = (vertices[item.faces], normal, rest[item.faces])
        return cls(*(np.ascontiguousarray(column.reshape(-1, 3), "f4") for column in columns))


class BodyMeshes:
    """The people of a scene on the graphics card: one body model, several levels of detail."""

    def __init__(self, context: "moderngl.Context", programs: Mapping[str, "moderngl.Program"], body: BodyModel):
        self._context = context
        self._levels = [LevelOfDetail(context, programs["depth"], ClothedMesh(body, cell)) for cell in CELLS]
        self.eyes = [tuple(map(float, eye[:2])) for eye in self._levels[0].mesh.eyes]
        self._moving: dict[tuple[int, int], moderngl.Buffer] = {}
        self._arrays: dict[tuple[int, int, str], moderngl.VertexArray] = {}
        self._level: list[int] = []

    def upload(self, scene: Scene, appearances: list[PersonAppearance] | None) -> None:
        """Upload all people with their clothes, distant ones in less detail; without appearances, bare and in full
        detail.
        """
        self._level = []
        for number, person in enumerate(scene.people):
            depth = float(scene.to_camera(person.joints)[:, 2].min())
            max_cell = MAX_CELL_PIXELS * depth / max(scene.camera.fx, scene.camera.fy)
            level = 0 if appearances is None else sum(cell < max_cell for cell in CELLS[1:])
            appearance = appearances[number] if appearances else None
            data = np.concatenate(self._levels[level].mesh.add_clothes(person.vertices, appearance), 1).tobytes()
            if (number, level) not in self._moving:
                self._moving[number, level] = self._context.buffer(reserve=len(data), dynamic=True)
            self._moving[number, level].write(data)
            self._level.append(level)

    def textured(self, program: "moderngl.Program", number: int, part: str) -> "moderngl.VertexArray":
        """The "head" or "body" of a person, with the attributes for textures."""
        static = self._levels[self._level[number]].static
        return self._array(program, number, part, (static, "3f 3f 4f", "rest", "limb", "zone"))

    def positions(self, program: "moderngl.Program", number: int, part: str) -> "moderngl.VertexArray":
        """Positions of "all" or "few" triangles of a person."""
        return self._array(program, number, part)

    def _array(self, program: "moderngl.Program", number: int, part: str, *more: tuple) -> "moderngl.VertexArray":
        level = self._level[number]
        if (number, level, part) not in self._arrays:
            layout = ("3f 3f", "position", "normal") if more else ("3f 12x", "position")
            buffers = [(self._moving[number, level], *layout), *more]
            faces = self._levels[level].faces[part]
            self._arrays[number, level, part] = self._context.vertex_array(program, buffers, faces)
        return self._arrays[number, level, part]


class LevelOfDetail:
    """Static data of one level of detail on the graphics card."""

    def __init__(self, context: "moderngl.Context", program: "moderngl.Program", mesh: ClothedMesh):
        self.mesh = mesh
        heads = mesh.head[mesh.faces].max(1) > 0
        chosen = {
            "all": mesh.faces,
            "few": mesh.coarse,
            "head": mesh.faces[heads],
            "body": mesh.faces[~heads],
        }
        self.faces = {
            name: context.buffer(np.ascontiguousarray(faces, "i4").tobytes()) for name, faces in chosen.items()
        }
        ambient = _ambient_occlusion(context, program, mesh)
        static = np.concatenate([mesh.rest, mesh.limb, np.stack([mesh.arm, mesh.joint, ambient, mesh.head], 1)], 1)
        self.static = context.buffer(static.astype("f4").tobytes())


def _ambient_occlusion(
    context: "moderngl.Context", program: "moderngl.Program", mesh: ClothedMesh
) -> Float[np.ndarray, "vertex"]:
    """Fraction of ambient light that reaches each vertex of a resting body, 0 to 1, from 48 directions."""
    import moderngl

    size = 256
    count = 48
    depth = context.depth_texture((size, size))
    target = context.framebuffer(depth_attachment=depth)
    buffer = context.buffer(mesh.rest.tobytes())
    array = context.vertex_array(program, [(buffer, "3f", "position")], context.buffer(mesh.faces.tobytes()))
    normal = mesh.normals(mesh.rest)
    unoccluded = np.zeros(len(normal))
    total = np.full(len(normal), 1e-6)
    context.enable_only(moderngl.DEPTH_TEST)
    for number in range(count):
        height = 1 - (2 * number + 1) / count
        turn = number * np.pi * (3 - 5**0.5)
        z = np.array([np.cos(turn) * (1 - height**2) ** 0.5, height, np.sin(turn) * (1 - height**2) ** 0.5])
        x = unit_vectors(np.cross([0.0, 1.0, 0.0], z))
        axes = np.stack([x, np.cross(z, x), z])
        local = mesh.rest @ axes.T
        low = local.min(0) - 0.01
        high = local.max(0) + 0.01
        scale = 2 / (high - low) * [1, 1, -1]
        matrix = np.eye(4)
        matrix[:3, :3] = axes * scale[:, None]
        matrix[:3, 3] = -scale * (low + high) / 2
        uniform(program, "clip_from_world").write(np.ascontiguousarray(matrix.T, "f4").tobytes())
        target.use()
        target.clear()
        array.render()
        near = np.frombuffer(depth.read(alignment=1), np.float32).reshape(size, size)
        clip = (local + 0.004 * (normal @ axes.T)) * scale - scale * (low + high) / 2
        pixel = np.clip(((clip[:, :2] * 0.5 + 0.5) * size).astype(int), 0, size - 1)
        lit = clip[:, 2] * 0.5 + 0.5 <= near[pixel[:, 1], pixel[:, 0]] + 0.006
        weight = np.maximum(normal @ z, 0)
        unoccluded += weight * lit
        total += weight
    for resource in (array, buffer, target, depth):
        resource.release()
    return np.clip(unoccluded / total, 0, 1) ** 1.3 * 0.8 + 0.2
