"""Renders the picture of docs/blender.md: the people of a glTF file on a floor. Needs Blender's Python, not occlupose.

    occlupose demo
    occlupose export out/demo --to gltf
    python docs/figures/blender.py out/demo/poses.glb --width 640 --height 360 --samples 8

Needs Python 3.11 with Blender's module and Pillow (pip install "bpy==5.0.*" pillow); takes some minutes.
"""

import argparse
import math
from pathlib import Path
from typing import Any

IMAGES = Path(__file__).parents[1] / "images"
COLOURS = ((0.86, 0.33, 0.02), (0.0, 0.42, 0.27), (0.78, 0.56, 0.04), (0.11, 0.28, 0.66))
"""Of the people, linear RGB."""

FLOOR = (0.24, 0.26, 0.29)
LINES = (0.42, 0.45, 0.5)


def main(
    file: Path,
    /,
    *,
    frame: int = 24,
    turn: float = -12.0,
    tilt: float = 20.0,
    width: int = 1280,
    height: int = 720,
    samples: int = 24,
    output: Path = IMAGES / "blender.png",
) -> None:
    """Write the picture.

    Args:
        file: glTF file of `occlupose export`.
        frame: number of the frame that is shown.
        turn: of the view about the vertical, from the camera of the video, degrees to the right.
        tilt: of the view, degrees downwards.
        width: of the picture, pixels.
        height: of the picture, pixels.
        samples: rays for each pixel.
        output: file to write.
    """
    import bpy

    bpy.ops.wm.read_factory_settings(use_empty=True)
    bpy.ops.import_scene.gltf(filepath=str(file.resolve()))
    bodies = [item for item in bpy.data.objects if item.name.endswith("body")]
    paint(bodies)
    bpy.context.scene.frame_set(frame)
    points = corners(bodies)
    middle = [(min(values) + max(values)) / 2 for values in zip(*points, strict=True)]
    build_floor(middle)
    light(middle)
    look(points, turn, tilt, width / height)
    render(width, height, samples, output)


def material(name: str, colour: tuple[float, float, float], roughness: float) -> Any:
    """A new material of one colour."""
    import bpy

    made = bpy.data.materials.new(name)
    surface = made.node_tree.nodes["Principled BSDF"]
    surface.inputs["Base Color"].default_value = (*colour, 1)
    surface.inputs["Roughness"].default_value = roughness
    return made


def paint(bodies: list[Any]) -> None:
    """A colour for each person, and smooth skin."""
    for number, body in enumerate(bodies):
        body.data.materials.clear()
        body.data.materials.append(material(body.name, COLOURS[number % len(COLOURS)], 0.55))
        body.data.shade_smooth()


def corners(bodies: list[Any]) -> list[Any]:
    """The corners of all bodies in this frame."""
    import bpy

    graph = bpy.context.evaluated_depsgraph_get()
    found = []
    for body in bodies:
        moved = body.evaluated_get(graph)
        found += [moved.matrix_world @ corner.co for corner in moved.to_mesh().vertices]
    return found


def build_floor(middle: list[float]) -> None:
    """The floor of the file, at height 0, with lines a metre apart."""
    import bpy

    bpy.ops.mesh.primitive_plane_add(size=400, location=(middle[0], middle[1], 0))
    bpy.context.object.data.materials.append(material("floor", FLOOR, 0.9))
    lines = material("lines", LINES, 0.9)
    reach = 9
    for step in range(-reach, reach + 1):
        for along in (0, 1):
            place = [round(middle[0]), round(middle[1]), 0.001 * (1 + along)]
            place[along] += step
            bpy.ops.mesh.primitive_plane_add(size=1, location=place)
            bpy.context.object.scale = (0.018, 2 * reach, 1) if along == 0 else (2 * reach, 0.018, 1)
            bpy.context.object.data.materials.append(lines)


def light(middle: list[float]) -> None:
    """A soft sun, and a bright sky all around."""
    import bpy

    sun = bpy.data.lights.new("sun", "SUN")
    sun.energy = 4.0
    sun.angle = math.radians(8)
    lamp = bpy.data.objects.new("sun", sun)
    lamp.location = middle
    lamp.rotation_euler = (math.radians(56), 0, math.radians(-16))
    bpy.context.scene.collection.objects.link(lamp)
    world = bpy.data.worlds.new("sky")
    world.node_tree.nodes["Background"].inputs["Color"].default_value = (0.8, 0.88, 1, 1)
    world.node_tree.nodes["Background"].inputs["Strength"].default_value = 0.4
    bpy.context.scene.world = world


def look(points: list[Any], turn: float, tilt: float, aspect: float) -> None:
    """Points the camera at the people from this direction, as near as all of them are in the picture."""
    import bpy

    camera = bpy.data.objects.new("camera", bpy.data.cameras.new("camera"))
    camera.data.lens = 50
    camera.rotation_euler = (math.radians(90 - tilt), 0, math.radians(turn))
    bpy.context.scene.collection.objects.link(camera)
    bpy.context.scene.camera = camera
    bpy.context.scene.render.resolution_x = round(1000 * aspect)
    bpy.context.scene.render.resolution_y = 1000
    bpy.context.view_layer.update()
    flat = [number for point in points[::20] for number in point]
    place, _ = camera.camera_fit_coords(bpy.context.evaluated_depsgraph_get(), flat)
    middle = sum(points[1:], points[0]) / len(points)
    camera.location = middle + (place - middle) * 1.08


def render(width: int, height: int, samples: int, output: Path) -> None:
    """Writes the picture with Cycles, which needs no graphics card, in 256 colours so that it stays small."""
    import bpy
    from PIL import Image

    scene = bpy.context.scene
    scene.render.engine = "CYCLES"
    scene.cycles.samples = samples
    scene.cycles.use_denoising = True
    scene.cycles.max_bounces = 3
    scene.view_settings.view_transform = "Standard"
    scene.render.threads_mode = "FIXED"
    scene.render.threads = 1
    scene.render.resolution_x = width
    scene.render.resolution_y = height
    scene.render.image_settings.file_format = "PNG"
    scene.render.image_settings.color_mode = "RGB"
    scene.render.filepath = str(output.resolve())
    bpy.ops.render.render(write_still=True)
    picture = Image.open(output)
    palette = picture.quantize(256, Image.Quantize.MEDIANCUT, kmeans=4)
    picture.quantize(palette=palette, dither=Image.Dither.NONE).save(output, optimize=True)


def arguments() -> dict[str, Any]:
    """Those of the command line."""
    parser = argparse.ArgumentParser(description=str(main.__doc__).splitlines()[0])
    parser.add_argument("file", type=Path)
    for name in ("frame", "width", "height", "samples"):
        parser.add_argument(f"--{name}", type=int)
    for name in ("turn", "tilt"):
        parser.add_argument(f"--{name}", type=float)
    parser.add_argument("--output", type=Path)
    return {name: value for name, value in vars(parser.parse_args()).items() if value is not None}


if __name__ == "__main__":
    options = arguments()
    main(options.pop("file"), **options)
