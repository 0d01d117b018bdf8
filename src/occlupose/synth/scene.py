"""A scene: people, things and a camera in one world, metres, y up, the ground at y = 0."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from occlupose.bodies.body import BodyModel
from occlupose.cameras import Camera
from occlupose.occlusion.surfaces import Surface


@dataclass(frozen=True, eq=False)
class Person:
    """Somebody as they stand.

    Attributes:
        shape: as the body model has it.
        pose: how the body's segments are turned away from rest, in the world's axes.
        translation: of the root bone.
        joints, vertices: of the body in the world.
        look: seed of hair, skin and clothes.
    """

    shape: Float[np.ndarray, "shape"]
    pose: Float[np.ndarray, "17 3 3"]
    translation: Float[np.ndarray, "3"]
    joints: Float[np.ndarray, "26 3"]
    vertices: Float[np.ndarray, "vertex 3"]
    look: int


@dataclass(frozen=True, eq=False)
class Thing:
    """An object that may hide people: a table, a chair, a sofa, a box, a pillar, a bar or foliage.

    Attributes:
        kind: what it is.
        vertices, faces: in the world.
        look: seed of its material.
    """

    kind: str
    vertices: Float[np.ndarray, "vertex 3"]
    faces: Int[np.ndarray, "face 3"]
    look: int


@dataclass(frozen=True, eq=False)
class Scene:
    """What a camera looks at.

    Attributes:
        body: of everybody.
        people, things: in the world.
        camera: its lens and picture.
        rotation: from the world's axes to the camera's (x right, y down, z forward).
        eye: where the camera stands in the world.
        look: seed of light, ground, background and of what the camera adds.
    """

    body: BodyModel
    people: tuple[Person, ...]
    things: tuple[Thing, ...]
    camera: Camera
    rotation: Float[np.ndarray, "3 3"]
    eye: Float[np.ndarray, "3"]
    look: int

    def seen(self, points: Float[np.ndarray, "*any 3"]) -> Float[np.ndarray, "*any 3"]:
        """Points of the world in the camera's frame."""
        return (points - self.eye) @ self.rotation.T

    def surfaces(self) -> list[Surface]:
        """Everybody, then every thing, in the camera's frame, as `occlusion.surfaces` takes them."""
        faces = self.body.faces.numpy()
        part = self.body.part.numpy()
        people = [Surface(self.seen(person.vertices), faces, part) for person in self.people]
        return people + [Surface(self.seen(thing.vertices), thing.faces) for thing in self.things]
