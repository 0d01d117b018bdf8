"""Images of scenes, rendered by OpenGL without a window; all textures come from `shaders/`. Ours.

    renderer = Renderer()
    image = renderer.render(scene)  # (height, width, 3) uint8 RGB

The same scene gives the same bytes on the same driver. Labels come from `occlusion.surfaces` and need no OpenGL.
"""

from functools import cache
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Bool, Int, UInt8
from numpy.random import Generator, default_rng

from occlupose.bodies.body import BodyModel
from occlupose.cameras import Camera
from occlupose.errors import OccluposeError
from occlupose.media import RGB
from occlupose.occlusion.surfaces import FAR_PLANE, NEAR_PLANE, NO_SURFACE
from occlupose.synth.appearance import PersonAppearance, SceneAppearance, shader_uniforms
from occlupose.synth.camera_effects import apply_camera_effects
from occlupose.synth.lighting import (
    CONTACT_MAP_SIZE,
    SHADOW_MAP_SIZE,
    Light,
    contact_map,
    enclosing_room,
    place_light,
)
from occlupose.synth.meshes import BodyMeshes, ObjectMesh
from occlupose.synth.opengl import create_context, draw_once, read_shader, set_uniforms, uniform
from occlupose.synth.sampling import sample_object, sample_person, sample_surroundings
from occlupose.synth.scene import Person, Scene
from occlupose.synth.scenery import STRIP_HEIGHT, STRIP_WIDTH, paint_surroundings

if TYPE_CHECKING:
    import moderngl

STRIPS = 48
"""Number of surroundings indoors, and as many outdoors; each is painted once and kept."""

NOISE_SIZE = 64
"""Side of the noise texture."""


class Renderer:
    """Renders scenes; keeps its buffers between them.

    Raises:
        OccluposeError: moderngl or EGL is missing.
    """

    def __init__(self) -> None:
        self.context = create_context()
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
        self._bodies: dict[int, BodyMeshes] = {}

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
        light = place_light(scene, appearance, backdrop)
        target = self._target(camera)
        bodies = self._bodies_of(scene.body)
        bodies.upload(scene, appearances)
        meshes = [ObjectMesh.from_object(item) for item in scene.objects]
        self._cast_shadows(scene, light, bodies, meshes)
        self._draw(scene, appearance, light, appearances, target, bodies, meshes)
        image = self._compose(scene, appearance, light, generator, target, backdrop)
        return apply_camera_effects(image, appearance, generator)

    def surface_ids(self, scene: Scene) -> Int[np.ndarray, "height width"]:
        """Front surface of each pixel as an index of `scene.surfaces()`, with bare bodies, or NO_SURFACE; for tests."""
        camera = scene.camera
        program = self._programs["number"]
        bodies = self._bodies_of(scene.body)
        uniform(program, "clip_from_world").write(_clip_from_world(scene))
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
            draw_once(self.context, program, ObjectMesh.from_object(item).position)
        result = np.frombuffer(target.read(components=1, dtype="f4"), np.float32).reshape(camera.height, camera.width)
        for resource in (target, values, depth):
            resource.release()
        return result.astype(np.int16)

    def foreground_mask(self, camera: Camera) -> Bool[np.ndarray, "height width"]:
        """Pixels of people and objects, with clothes and hair, in the last image of this camera's size."""
        pixels = np.frombuffer(self._target(camera).front.read(components=4), np.uint8)
        return pixels.reshape(camera.height, camera.width, 4)[..., 3] > 127

    def _cast_shadows(self, scene: Scene, light: Light, bodies: BodyMeshes, meshes: list[ObjectMesh]) -> None:
        program = self._programs["depth"]
        self._shadows.use()
        self._shadows.clear()
        self._depth_test(True)
        uniform(program, "clip_from_world").write(light.clip_from_world.T.astype("f4").tobytes())
        for number in range(len(scene.people)):
            bodies.positions(program, number, "few").render()
        for mesh in meshes:
            draw_once(self.context, program, mesh.position)

    def _draw(
        self,
        scene: Scene,
        appearance: SceneAppearance,
        light: Light,
        appearances: list[PersonAppearance],
        target: "_Target",
        bodies: BodyMeshes,
        meshes: list[ObjectMesh],
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
            uniform(program, "clip_from_world").write(clip)
            set_uniforms(program, shader_uniforms(appearance) | light.shader_uniforms())
        set_uniforms(head, {"eye_place": bodies.eyes})
        distances = [np.linalg.norm(person.joints[0] - scene.camera_position) for person in scene.people]
        for number in np.argsort(distances, kind="stable").tolist():  # nearest first
            values = shader_uniforms(appearances[number])
            values["collar_colour"] = values["jacket_colour" if appearances[number].open > 0 else "top_colour"]
            for name, program in (("body", body), ("head", head)):
                set_uniforms(program, values)
                bodies.textured(program, number, name).render()
        for mesh, model in zip(meshes, scene.objects, strict=True):
            set_uniforms(solid, shader_uniforms(sample_object(default_rng(model.appearance_seed), model.kind)))
            draw_once(self.context, solid, mesh.position, mesh.normal, mesh.rest)

    def _compose(
        self,
        scene: Scene,
        appearance: SceneAppearance,
        light: Light,
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
        square, contact = contact_map(scene)
        self._contact.write(contact.tobytes())
        room, middle = enclosing_room(scene, appearance)
        set_uniforms(program, shader_uniforms(appearance) | light.shader_uniforms())
        world_from_pixel = scene.rotation.T @ np.linalg.inv(camera.matrix)
        uniform(program, "world_from_pixel").write(np.ascontiguousarray(world_from_pixel.T, "f4").tobytes())
        set_uniforms(
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
        parts = [part if part.startswith("#") else read_shader(part) for part in fragment]
        program = self.context.program(
            vertex_shader=read_shader(vertex), fragment_shader="#version 330\n" + "".join(parts)
        )
        for unit, name in enumerate(("noise", "shadows", "front", "strip", "contact", "backdrop")):
            set_uniforms(program, {name: unit})
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

    def _bodies_of(self, body: BodyModel) -> BodyMeshes:
        if id(body) not in self._bodies:
            self._bodies[id(body)] = BodyMeshes(self.context, self._programs, body)
        return self._bodies[id(body)]


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


def _gender_and_age(body: BodyModel, person: Person) -> dict[str, float]:
    """Gender and age, if the body model has them."""
    return {
        name: float(person.shape[body.shape_names.index(name)])
        for name in ("gender", "age")
        if name in body.shape_names
    }


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
