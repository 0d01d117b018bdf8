"""Synthetic people for training: scenes with the joints of COCO21 and the front surface of every pixel, in files.

The surface of a pixel tells whose it is, so that people and objects can also be cut out and put in front of others.
"""

import io
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from jaxtyping import Float, Int, UInt8

from occlupose.bodies.feet import feet
from occlupose.errors import unreadable
from occlupose.files import atomic
from occlupose.media import RGB
from occlupose.methods.movenet.arrays import read_arrays
from occlupose.occlusion.surfaces import find_occlusion
from occlupose.skeletons import BODY26, COCO17, FEET4
from occlupose.synth.generate import ImageSettings, SceneGenerator, map_in_processes
from occlupose.synth.labels import label_scene
from occlupose.synth.layout import SceneSource, sample_scene

HIPS_UP = 0.05
"""Share of the trunk by which hips are annotated above those of the body model: so much higher MoveNet Thunder finds
the visible ones of our scenes (ours; the median of 129 is 0.048).
"""

HIPS = COCO17.index("left_hip", "right_hip")
SHOULDERS = COCO17.index("left_shoulder", "right_shoulder")

QUALITY = 95
"""Of the JPEG files, which are compressed again by the augmentation."""


@dataclass(frozen=True, eq=False)
class SyntheticScene:
    """People in front of a camera.

    Attributes:
        image: RGB.
        surface: the front surface of each pixel: people are 0 to n - 1, then objects; -1 is the background.
        xy: keypoints of COCO21, px; NaN behind the camera.
        state: 2 visible, 1 occluded, 0 outside of the image.
    """

    image: RGB
    surface: Int[np.ndarray, "height width"]
    xy: Float[np.ndarray, "person 21 2"]
    state: UInt8[np.ndarray, "person 21"]

    @classmethod
    def load(cls, path: Path) -> "SyntheticScene":
        """Reads a file of `write_scenes`.

        Raises:
            OccluposeError: it cannot be read, or is no scene.
        """
        arrays = read_arrays(path, ["image", "surface", "xy", "state"])
        image = cv2.imdecode(arrays["image"], cv2.IMREAD_COLOR_RGB)
        if image is None or image.shape[:2] != arrays["surface"].shape:
            raise unreadable(path, ValueError("its image is damaged"), "delete it, and start again")
        return cls(image, arrays["surface"], arrays["xy"], arrays["state"])

    def to_bytes(self) -> bytes:
        """The file."""
        jpeg = cv2.imencode(".jpg", self.image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, QUALITY])[1]
        file = io.BytesIO()
        np.savez_compressed(file, image=jpeg, surface=self.surface, xy=self.xy, state=self.state)
        return file.getvalue()


def write_scenes(folder: Path, source: SceneSource, count: int, *, workers: int | None = None) -> Iterator[Path]:
    """Writes scenes 0 to count - 1, those that are missing; yields the path of each, in order.

    Arguments:
        workers: processes; None is one for each core.

    Raises:
        OccluposeError: the folder cannot be written to, or there is no EGL for rendering.
    """
    paths = [folder / f"{number:06}.npz" for number in range(count)]
    missing = dict.fromkeys(number for number, path in enumerate(paths) if not path.exists())
    made = map_in_processes(_scene_bytes, missing, source, ImageSettings(), workers)
    for number, path in enumerate(paths):
        if number in missing:
            with atomic(path) as temporary:
                temporary.write_bytes(next(made))
        yield path


def _scene_bytes(generator: SceneGenerator, number: int) -> bytes:
    """The file of a scene."""
    scene = sample_scene(generator.source, number)
    labels = label_scene(scene)
    joints = scene.to_camera(feet(np.stack([person.vertices for person in scene.people])))
    occlusion = find_occlusion(joints, FEET4, labels.buffer, scene.camera)
    body = BODY26.index(*COCO17.joints)
    return SyntheticScene(
        image=generator.render(scene),
        surface=labels.buffer.surface.astype(np.int8),
        xy=np.concatenate([as_annotated(labels.xy[:, body]), scene.camera.project(joints)], 1).astype(np.float32),
        state=np.concatenate([labels.occlusion.state[:, body], occlusion.state], 1),
    ).to_bytes()


def as_annotated(xy: Float[np.ndarray, "person 17 2"]) -> Float[np.ndarray, "person 17 2"]:
    """COCO's joints of people with their hips where annotators put them."""
    moved = xy.copy()
    trunk = xy[:, SHOULDERS].mean(1, keepdims=True) - xy[:, HIPS].mean(1, keepdims=True)
    moved[:, HIPS] += HIPS_UP * trunk
    return moved
