"""Images of scenes, rendered by OpenGL without a window; all textures come from `shaders/`. Ours.

    renderer = Renderer()
    image = renderer.render(scene)  # (height, width, 3) uint8 RGB

The same scene gives the same bytes on the same driver. Labels come from `occlusion.surfaces` and need no OpenGL.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any, cast

import cv2
import numpy as np
from jaxtyping import Bool, Float, Int, UInt8
from numpy.random import Generator, default_rng

from occlupose.bodies.body import BodyModel
from occlupose.cameras import Camera
from occlupose.errors import OccluposeError
from occlupose.media import RGB
from occlupose.occlusion.surfaces import FAR_PLANE, NEAR_PLANE, NO_SURFACE
from occlupose.synth.appearance import (
    PersonAppearance,
    SceneAppearance,
    sample_object,
    sample_person,
    sample_surroundings,
    shader_uniforms,
)
from occlupose.synth.camera_effects import apply_camera_effects
from occlupose.synth.clothing import ClothedMesh, unit_vectors
from occlupose.synth.scene import Person, Scene, SceneObject
from occlupose.synth.scenery import STRIP_HEIGHT, STRIP_WIDTH, paint_surroundings

if TYPE_CHECKING:
    import moderngl

SHADOW_MAP_SIZE = 512
"""Side of the shadow map, px."""

STRIPS = 48
"""Number of surroundings indoors, and as many outdoors; each is painted once and kept."""

CONTACT_MAP_SIZE = 160
"""Side of the map of ambient light on the ground, px."""

CELLS = (0.0, 0.008, 0.014)
"""Cell sizes of the levels of detail, from near to far people, metres; ours."""

MAX_CELL_PIXELS = 1.5
"""Largest size of a cell in the image, px."""

NOISE_SIZE = 64
"""Side of the noise texture."""


def _create_context() -> "moderngl.Context":
    """A context of OpenGL 3.3 without a window.

    Raises:
        OccluposeError: moderngl or EGL is missing.
    """
    hint = "labels alone work without it"
    try:
        import moderngl
    except ImportError as error:
        raise OccluposeError(
            f"images: moderngl is not installed; in a clone of occlupose, pip install '.[render]' ({hint})"
        ) from error
    try:
        return cast(Any, moderngl.create_standalone_context)(backend="egl")
    except Exception as error:
        reason = " ".join(str(error).split()).rstrip(".") or type(error).__name__
        raise OccluposeError(
            f"images: no EGL ({reason}); on Debian or Ubuntu: apt install libegl1 libgl1-mesa-dri; {hint}"
        ) from error


class Renderer:
    """Renders scenes; keeps its buffers between them.

    Raises:
        OccluposeError: moderngl or EGL is missing.
    """

    def __init__(self) -> None:
        self.context = _create_context()
        self._programs = {name: self._program(*sources) for name, sources in _PROGRAMS.items()}
        self._noise = self._noise_texture()
        self._shadow_map = self.context.depth_texture((SHADOW_MAP_SIZE, SHADOW_MAP_SIZE))
        self._shadow_map.compare_func = "<="
        self._shadow_map.repeat_x = self._shadow_map.repeat_y = False
        self._shadows = self.context.framebuffer(depth_attachment=self._shadow_map)
        self._contact = self.context.texture((CONTACT_MAP_SIZE, CONTACT_MAP_SIZE), 1)
        self._contact.repeat_x = self._contact.repeat_y = False
        self._screen_passes: dict[tuple[bool, int, int], moderngl.VertexArray] = {}
        self._strips: dict[tuple[int, int], moderngl.Texture] = {}
        self._targets: dict[tuple[int, int], _Target] = {}
        self._bodies: dict[int, _Bodies] = {}

    @property
    def name(self) -> str:
        """Name of the OpenGL driver, on which the bytes of the images depend."""
        return f"{self.context.info['GL_RENDERER']}, OpenGL {self.context.info['GL_VERSION']}"

    def close(self) -> None:
        """Release the OpenGL context."""
        self.context.release()

    def render(self, scene: Scene, *, backdrop: RGB | None = None) -> RGB:
        """Render the image of a scene.

        Arguments:
            backdrop: a background image of the same size, instead of painted ground and surroundings.

        Returns:
            (height, width, 3) uint8 RGB as from a JPEG file.

        Raises:
            OccluposeError: the backdrop has another size.
        """
        camera = scene.camera
        if backdrop is not None and backdrop.shape != (camera.height, camera.width, 3):
            raise OccluposeError(
                f"backdrop: {backdrop.shape[1]}x{backdrop.shape[0]} pixels; the camera's {camera.width}x{camera.height}"
                " are needed"
            )
        generator = default_rng(scene.appearance_seed)
        appearance = sample_surroundings(generator)
        appearances = [
            sample_person(default_rng(person.appearance_seed), **_gender_and_age(scene.body, person))
            for person in scene.people
        ]
        light = _lighting(scene, appearance, backdrop)
        target = self._target(camera)
        bodies = self._bodies_of(scene.body)
        bodies.upload(scene, appearances)
        meshes = [_ObjectMesh.from_object(item) for item in scene.objects]
        self._cast_shadows(scene, light, bodies, meshes)
        self._draw(scene, appearance, light, appearances, target, bodies, meshes)
        image = self._compose(scene, appearance, light, generator, target, backdrop)
        return apply_camera_effects(image, appearance, generator)

    def surface_ids(self, scene: Scene) -> Int[np.ndarray, "height width"]:
        """Front surface of each pixel as an index of `scene.surfaces()`, with bare bodies, or NO_SURFACE; for tests."""
        camera = scene.camera
        program = self._programs["number"]
        bodies = self._bodies_of(scene.body)
        _uniform(program, "clip_from_world").write(_clip_from_world(scene))
        values = self.context.renderbuffer((camera.width, camera.height), 1, dtype="f4")
        depth = self.context.depth_renderbuffer((camera.width, camera.height))
        target = self.context.framebuffer([values], depth)
        target.use()
        target.clear(float(NO_SURFACE))
        self._depth_test(True)
        bodies.upload(scene, None)
        for number in range(len(scene.people)):
            program["number"] = float(number)
            bodies.positions(program, number, "all").render()
        for number, item in enumerate(scene.objects, len(scene.people)):
            program["number"] = float(number)
            _draw_once(self.context, program, _ObjectMesh.from_object(item).position)
        result = np.frombuffer(target.read(components=1, dtype="f4"), np.float32).reshape(camera.height, camera.width)
        for resource in (target, values, depth):
            resource.release()
        return result.astype(np.int16)

    def foreground_mask(self, camera: Camera) -> Bool[np.ndarray, "height width"]:
        """Pixels of people and objects, with clothes and hair, in the last image of this camera's size."""
        pixels = np.frombuffer(self._target(camera).front.read(components=4), np.uint8)
        return pixels.reshape(camera.height, camera.width, 4)[..., 3] > 127

    def _cast_shadows(self, scene: Scene, light: "_Light", bodies: "_Bodies", meshes: list["_ObjectMesh"]) -> None:
        program = self._programs["depth"]
        self._shadows.use()
        self._shadows.clear()
        self._depth_test(True)
        _uniform(program, "clip_from_world").write(light.clip_from_world.T.astype("f4").tobytes())
        for number in range(len(scene.people)):
            bodies.positions(program, number, "few").render()
        for mesh in meshes:
            _draw_once(self.context, program, mesh.position)

    def _draw(
        self,
        scene: Scene,
        appearance: SceneAppearance,
        light: "_Light",
        appearances: list[PersonAppearance],
        target: "_Target",
        bodies: "_Bodies",
        meshes: list["_ObjectMesh"],
    ) -> None:
        target.front.use()
        target.front.clear()
        self._depth_test(True)
        self._noise.use(0)
        self._shadow_map.use(1)
        clip = _clip_from_world(scene)
        head = self._programs["head"]
        body = self._programs["body"]
        solid = self._programs["object"]
        for program in (head, body, solid):
            _uniform(program, "clip_from_world").write(clip)
            _set(program, shader_uniforms(appearance) | light.shader_uniforms())
        _set(head, {"eye_place": bodies.eyes})
        distances = [np.linalg.norm(person.joints[0] - scene.camera_position) for person in scene.people]
        for number in np.argsort(distances, kind="stable").tolist():  # nearest first
            values = shader_uniforms(appearances[number])
            values["collar_colour"] = values["jacket_colour" if appearances[number].open > 0 else "top_colour"]
            for name, program in (("body", body), ("head", head)):
                _set(program, values)
                bodies.textured(program, number, name).render()
        for mesh, model in zip(meshes, scene.objects, strict=True):
            _set(solid, shader_uniforms(sample_object(default_rng(model.appearance_seed), model.kind)))
            _draw_once(self.context, solid, mesh.position, mesh.normal, mesh.rest)

    def _compose(
        self,
        scene: Scene,
        appearance: SceneAppearance,
        light: "_Light",
        generator: Generator,
        target: "_Target",
        backdrop: RGB | None,
    ) -> RGB:
        camera = scene.camera
        screen = self._screen_pass(backdrop is not None, appearance)
        program = screen.program
        strip = int(generator.integers(STRIPS))
        shift = float(generator.random())
        tint = generator.uniform(0.75, 1.1) * generator.uniform(0.93, 1.07, 3)
        if backdrop is None:
            self._strip(appearance.indoor, strip).use(3)
        else:
            target.backdrop.write(np.ascontiguousarray(backdrop).tobytes())
        square, contact = _contact(scene)
        self._contact.write(contact.tobytes())
        room, middle = _room(scene, appearance)
        _set(program, shader_uniforms(appearance) | light.shader_uniforms())
        world_from_pixel = scene.rotation.T @ np.linalg.inv(camera.matrix)
        _uniform(program, "world_from_pixel").write(np.ascontiguousarray(world_from_pixel.T, "f4").tobytes())
        _set(
            program,
            {
                "contact_square": square,
                "room": room,
                "room_middle": middle,
                "strip_shift": shift,
                "strip_tint": tuple(tint.tolist()),
                "size": (float(camera.width), float(camera.height)),
            },
        )
        self._noise.use(0)
        textures = {1: self._shadow_map, 2: target.front_texture, 4: self._contact, 5: target.backdrop}
        for unit, texture in textures.items():
            texture.use(unit)
        target.image.use()
        self._depth_test(False)
        screen.render(vertices=3)
        return np.frombuffer(target.image.read(components=3), np.uint8).reshape(camera.height, camera.width, 3)

    def _depth_test(self, enabled: bool) -> None:
        import moderngl

        (self.context.enable_only if enabled else self.context.disable)(moderngl.DEPTH_TEST)

    def _screen_pass(self, has_backdrop: bool, appearance: SceneAppearance) -> "moderngl.VertexArray":
        """The pass over the whole image; one program for each kind of surroundings, because llvmpipe runs all branches
        of a program.
        """
        key = (True, 0, 0) if has_backdrop else (False, appearance.indoor, appearance.floor)
        if key not in self._screen_passes:
            choice = f"#define GIVEN {int(has_backdrop)}\n#define INDOOR {key[1]}\n#define FLOOR {key[2]}\n"
            program = self._program("screen.vert", choice, "common.glsl", "image.frag")
            self._screen_passes[key] = self.context.vertex_array(program, [])
        return self._screen_passes[key]

    def _program(self, vertex: str, *fragment: str) -> "moderngl.Program":
        """Compile a program from files, and from lines that begin with #."""
        parts = [part if part.startswith("#") else _source(part) for part in fragment]
        program = self.context.program(vertex_shader=_source(vertex), fragment_shader="#version 330\n" + "".join(parts))
        for unit, name in enumerate(("noise", "shadows", "front", "strip", "contact", "backdrop")):
            _set(program, {name: unit})
        return program

    def _strip(self, indoor: int, number: int) -> "moderngl.Texture":
        """One of the surroundings."""
        if (indoor, number) not in self._strips:
            strip = paint_surroundings(number, bool(indoor))
            texture = self.context.texture((STRIP_WIDTH, STRIP_HEIGHT), 4, strip.tobytes())
            texture.repeat_y = False
            texture.build_mipmaps()
            self._strips[indoor, number] = texture
        return self._strips[indoor, number]

    def _noise_texture(self) -> "moderngl.Texture3D":
        import moderngl

        values = _noise()
        texture = self.context.texture3d(values.shape[2::-1], 4, values.tobytes())
        texture.build_mipmaps()
        texture.filter = (moderngl.LINEAR_MIPMAP_NEAREST, moderngl.LINEAR)
        return texture

    def _target(self, camera: Camera) -> "_Target":
        size = camera.width, camera.height
        if size not in self._targets:
            self._targets[size] = _Target(self.context, size)
        return self._targets[size]

    def _bodies_of(self, body: BodyModel) -> "_Bodies":
        if id(body) not in self._bodies:
            self._bodies[id(body)] = _Bodies(self.context, self._programs, body)
        return self._bodies[id(body)]


@dataclass(frozen=True, eq=False)
class _Light:
    """Projection of the main light for its shadow map, and uniforms that replace those of the scene's appearance."""

    clip_from_world: Float[np.ndarray, "4 4"]
    texels: float
    camera_position: Float[np.ndarray, "3"]
    changes: dict[str, object]

    def shader_uniforms(self) -> dict[str, object]:
        return {
            "light_from_world": tuple(self.clip_from_world.T.ravel().tolist()),
            "shadow_texels": self.texels,
            "eye": tuple(map(float, self.camera_position)),
            **self.changes,
        }


def _lighting(scene: Scene, appearance: SceneAppearance, backdrop: RGB | None) -> "_Light":
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
    return _Light(matrix, SHADOW_MAP_SIZE / (2 * half), scene.camera_position, changes)


def _clip_from_world(scene: Scene) -> bytes:
    """OpenGL's matrix of the scene's camera; the first row of its output is the top of the image."""
    camera = scene.camera
    lens = np.zeros((4, 4))
    lens[0, [0, 2]] = 2 * camera.fx / camera.width, (2 * camera.cx + 1) / camera.width - 1
    lens[1, [1, 2]] = 2 * camera.fy / camera.height, (2 * camera.cy + 1) / camera.height - 1
    lens[2, 2:] = np.array([FAR_PLANE + NEAR_PLANE, -2 * FAR_PLANE * NEAR_PLANE]) / (FAR_PLANE - NEAR_PLANE)
    lens[3, 2] = 1
    view = np.eye(4)
    view[:3, :3] = scene.rotation
    view[:3, 3] = -scene.rotation @ scene.camera_position
    return np.ascontiguousarray((lens @ view).T, "f4").tobytes()


def _room(scene: Scene, appearance: SceneAppearance) -> tuple[tuple[float, float, float], tuple[float, float, float]]:
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


def _contact(scene: Scene) -> tuple[tuple[float, float, float], UInt8[np.ndarray, "160 160"]]:
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


@dataclass(frozen=True, eq=False)
class _ObjectMesh:
    """An object as corners of triangles: positions, normals, and positions in its own frame for textures."""

    position: Float[np.ndarray, "corner 3"]
    normal: Float[np.ndarray, "corner 3"]
    rest: Float[np.ndarray, "corner 3"]

    @classmethod
    def from_object(cls, item: SceneObject) -> "_ObjectMesh":
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


def _gender_and_age(body: BodyModel, person: Person) -> dict[str, float]:
    """Gender and age, if the body model has them."""
    return {
        name: float(person.shape[body.shape_names.index(name)])
        for name in ("gender", "age")
        if name in body.shape_names
    }


class _Bodies:
    """The people of a scene on the graphics card: one body model, several levels of detail."""

    def __init__(self, context: "moderngl.Context", programs: Mapping[str, "moderngl.Program"], body: BodyModel):
        self._context = context
        self._levels = [_Level(context, programs["depth"], ClothedMesh(body, cell)) for cell in CELLS]
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


class _Level:
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
        _uniform(program, "clip_from_world").write(np.ascontiguousarray(matrix.T, "f4").tobytes())
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


class _Target:
    """Framebuffers of one image size."""

    def __init__(self, context: "moderngl.Context", size: tuple[int, int]):
        self.front_texture = context.texture(size, 4)
        self.front_texture.repeat_x = self.front_texture.repeat_y = False
        self.front = context.framebuffer([self.front_texture], context.depth_renderbuffer(size))
        self.image = context.framebuffer([context.renderbuffer(size, 4)])
        self.backdrop = context.texture(size, 3, alignment=1)


_PROGRAMS = {
    "head": ("person.vert", "#define FEW_TAPS\n", "common.glsl", "person.glsl", "head.frag"),
    "body": ("person.vert", "#define FEW_TAPS\n", "common.glsl", "person.glsl", "body.frag"),
    "object": ("object.vert", "common.glsl", "object.frag"),
    "depth": ("depth.vert", "depth.frag"),
    "number": ("depth.vert", "number.frag"),
}


@cache
def _source(name: str) -> str:
    return files("occlupose.synth").joinpath("shaders", name).read_text(encoding="utf-8")


def _set(program: "moderngl.Program", values: Mapping[str, object]) -> None:
    """Set the uniforms that a program has, and ignore others."""
    for name, value in values.items():
        member = program.get(name, None)
        if member is not None:
            cast(Any, member).value = value


def _uniform(program: "moderngl.Program", name: str) -> "moderngl.Uniform":
    return cast("moderngl.Uniform", program[name])


def _draw_once(
    context: "moderngl.Context", program: "moderngl.Program", *columns: Float[np.ndarray, "corner 3"]
) -> None:
    """Draw triangles without keeping their buffer: position, or position, normal and rest."""
    buffer = context.buffer(np.concatenate(columns, 1).tobytes())
    names = ("position", "normal", "rest")[: len(columns)]
    array = context.vertex_array(program, [(buffer, " ".join(["3f"] * len(columns)), *names)])
    array.render()
    array.release()
    buffer.release()


@cache
def _noise() -> UInt8[np.ndarray, "z y x 4"]:
    """Tiling noise, filtered white noise of mean 0.5: two channels of soft clouds, one finer, one of grain."""
    generator = default_rng(0)
    frequencies = np.fft.fftfreq(NOISE_SIZE, 1 / NOISE_SIZE)
    half_frequencies = np.fft.rfftfreq(NOISE_SIZE, 1 / NOISE_SIZE)
    grid = np.meshgrid(frequencies, frequencies, half_frequencies, indexing="ij")
    frequency = np.sqrt(sum(axis**2 for axis in grid))
    shape = (NOISE_SIZE,) * 3
    axes = (0, 1, 2)
    channels = []
    for lowest, decay in ((2.5, 2.3), (3.0, 2.3), (6.0, 2.2), (14.0, 1.0)):
        amplitude = np.where(frequency < lowest, 0, np.maximum(frequency, 1) ** -decay)
        spectrum = np.fft.rfftn(generator.standard_normal(shape), axes=axes)
        values = np.fft.irfftn(spectrum * amplitude, shape, axes)
        channels.append(0.5 + 0.19 * values / values.std())
    return (255 * np.clip(np.stack(channels, -1), 0, 1)).round().astype(np.uint8)
