"""A synthetic scene: people, objects and a camera in one world, in metres, y up, the ground at y = 0."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from occlupose.bodies.body import BodyModel
from occlupose.cameras import Camera
from occlupose.occlusion.surfaces import Surface


@dataclass(frozen=True, eq=False)
class Person:
    """A posed person.

    Attributes:
        shape: parameters of the body model.
        pose: rotations of the body's segments from rest, in world axes.
        translation: of the root bone.
        joints, vertices: of the body in the world.
        appearance_seed: of hair, skin and clothes.
    """

    shape: Float[np.ndarray, "shape"]
    pose: Float[np.ndarray, "17 3 3"]
    translation: Float[np.ndarray, "3"]
    joints: Float[np.ndarray, "26 3"]
    vertices: Float[np.ndarray, "vertex 3"]
    appearance_seed: int


@dataclass(frozen=True, eq=False)
class SceneObject:
    """An object that may occlude people: a table, chair, sofa, box, pillar, bar or foliage.

    Attributes:
        kind: name of the object.
        vertices, faces: in the world.
        appearance_seed: of its material.
    """

    kind: str
    vertices: Float[np.ndarray, "vertex 3"]
    faces: Int[np.ndarray, "face 3"]
    appearance_seed: int


@dataclass(frozen=True, eq=False)
class Scene:
    """People and objects in front of a camera.

    Attributes:
        body: body model of all people.
        people, objects: in the world.
        camera: intrinsics and image size.
        rotation: from world axes to camera axes (x right, y down, z forward).
        camera_position: in the world.
        appearance_seed: of light, ground, background and camera effects.
    """

    body: BodyModel
    people: tuple[Person, ...]
    objects: tuple[SceneObject, ...]
    camera: Camera
    rotation: Float[np.ndarray, "3 3"]
    camera_position: Float[np.ndarray, "3"]
    appearance_seed: int

    def to_camera(self, points: Float[np.ndarray, "*any 3"]) -> Float[np.ndarray, "*any 3"]:
        """World points in the camera frame."""
        return (points - self.camera_position) @ self.rotation.T

    def surfaces(self) -> list[Surface]:
        """Meshes of all people, then of all objects, in the camera frame, for `occlusion.surfaces`."""
        faces = self.body.faces.numpy()
        part = self.body.part.numpy()
        people = [Surface(self.to_camera(person.vertices), faces, part) for person in self.people]
        return people + [Surface(self.to_camera(item.vertices), item.faces) for item in self.objects]
