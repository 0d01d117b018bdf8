"""glTF 2.0 files (Khronos), binary (.glb): the body model of each person, skinned and moving, written with pygltflib.

Everybody is in one file, in metres: x right, y up, z towards the camera. Where the record has a world, y = 0 is the
floor and the origin lies on it, straight below the camera; else up is that of the image, and the camera the origin. Of
each person there are

- a mesh, skinned by bones that are named as the segments of `bodies.SEGMENTS`, as `left_hand_bone`; one between two
  segments has the names of both and its share. Their rotations and the root's translation are animated. At rest they
  have no rotation;
- a node for each point of the fitted skeleton (`kinematics.body_tree`), at its place in each frame: joints are exact
  there, while the body's own are some millimetres away, since skin moves otherwise than rigid bones;
- a node above these, whose scale is 0 in frames in which the person is absent or has no skeleton, and so before the
  person's first and after their last frame.

Names have the prefix `id_1:` if there are several people. The extras of the topmost node are the track id.
"""

from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from scipy.spatial.transform import Rotation
from torch import Tensor

from occlupose.bodies.anny import anny
from occlupose.bodies.body import SEGMENTS, BodyModel
from occlupose.kinematics import SkeletonFit
from occlupose.kinematics.result import keep_signs
from occlupose.kinematics.surface import BodyMotion, move_body
from occlupose.poses import ABSENT, Poses

if TYPE_CHECKING:
    import pygltflib

__all__ = ["write"]

INFLUENCES = 8
"""Bones of a vertex, in sets of four; the first set has the larger weights, for programs that read only one."""

SKIN_COLOUR = (0.72, 0.66, 0.61, 1.0)


def write(poses: Poses, path: Path, fit: SkeletonFit) -> None:
    """Writes everybody. Raises OSError.

    Arguments:
        fit: of these people, with y up.
    """
    scene = _Scene()
    body = anny(captured=True)
    rig = _rig(body)
    time = poses.time - poses.time[:1]
    lasts = np.diff(time.astype(np.float32), prepend=np.float32(-1)) > 0  # times must ascend
    every_time = scene.add(time[lasts].astype(np.float32), bounds=True)
    hidden = (poses.state == ABSENT).all(-1) | ~fit.known
    for person, track_id in enumerate(poses.track_id.tolist()):
        frames = fit.known[:, person] & lasts
        prefix = f"id_{track_id}:" if len(poses.track_id) > 1 else ""
        shown = _Person(scene, prefix, scene.add(time[frames].astype(np.float32), bounds=True))
        shown.add(rig, move_body(fit, person, body), lasts[fit.known[:, person]])
        for point, name in enumerate(fit.skeleton.joints):
            shown.move(shown.node(name), "translation", fit.xyz[frames, person, point])
        shown.hide(hidden[lasts, person], every_time, track_id)
    path.write_bytes(scene.to_bytes())


@dataclass(frozen=True, eq=False)
class _Rig:
    """The bones of a body model that turn differently; others are merged into the nearest of these above them.

    Attributes:
        bones: of the body, by index.
        parents: of each, among them; -1 for the root.
        names: of each.
        weights: of the vertices.
    """

    bones: list[int]
    parents: list[int]
    names: list[str]
    weights: Float[Tensor, "vertex bone"]


def _rig(body: BodyModel) -> _Rig:
    bones: list[int] = []
    parents: list[int] = []
    home: list[int] = []
    for bone, parent in enumerate(body.parents):
        if parent >= 0 and body.drivers[bone] == body.drivers[parent]:
            home.append(home[parent])
            continue
        home.append(len(bones))
        bones.append(bone)
        parents.append(home[parent] if parent >= 0 else -1)
    drivers = [body.drivers[bone] for bone in bones]
    ends = [f"{each.towards}_{each.share:.2f}_bone" if each.towards else "bone" for each in drivers]
    names = [f"{each.segment}_{end}" for each, end in zip(drivers, ends, strict=True)]
    weights = body.weights @ torch.nn.functional.one_hot(torch.tensor(home)).float()
    return _Rig(bones, parents, names, weights)


@dataclass(eq=False)
class _Scene:
    """A glTF document that grows; `library` is pygltflib."""

    data: bytearray = field(default_factory=bytearray)
    library: ModuleType = field(init=False)
    gltf: "pygltflib.GLTF2" = field(init=False)

    def __post_init__(self) -> None:
        self.library = import_module("pygltflib")
        surface = self.library.PbrMetallicRoughness(
            baseColorFactor=[*SKIN_COLOUR], metallicFactor=0, roughnessFactor=0.8
        )
        self.gltf = self.library.GLTF2(
            asset=self.library.Asset(generator="occlupose"),
            scene=0,
            scenes=[self.library.Scene(nodes=[])],
            materials=[self.library.Material(pbrMetallicRoughness=surface)],
            animations=[self.library.Animation(name="poses")],
        )

    def add(self, values: np.ndarray, *, bounds: bool = False, target: int | None = None) -> int:
        """An accessor of an array; its number.

        Arguments:
            bounds: whether the accessor needs minimum and maximum.
            target: of the buffer view, for vertices and indices.
        """
        values = np.ascontiguousarray(values)
        shape = values.shape[1:]
        kind = "MAT4" if shape == (4, 4) else {(): "SCALAR", (3,): "VEC3", (4,): "VEC4"}[shape]
        component = {"f": self.library.FLOAT, "B": self.library.UNSIGNED_BYTE, "I": self.library.UNSIGNED_INT}[
            values.dtype.char
        ]
        view = self.library.BufferView(buffer=0, byteOffset=len(self.data), byteLength=values.nbytes, target=target)
        self.data += values.tobytes()
        self.data += bytes(-len(self.data) % 4)
        accessor = self.library.Accessor(
            bufferView=len(self.gltf.bufferViews), componentType=component, count=len(values), type=kind
        )
        if bounds:
            accessor.min = np.atleast_1d(values.min(0)).tolist()
            accessor.max = np.atleast_1d(values.max(0)).tolist()
        self.gltf.bufferViews.append(view)
        self.gltf.accessors.append(accessor)
        return len(self.gltf.accessors) - 1

    def node(self, **options: Any) -> int:
        """A new node; its number."""
        self.gltf.nodes.append(self.library.Node(**options))
        return len(self.gltf.nodes) - 1

    def to_bytes(self) -> bytes:
        """The file."""
        self.gltf.buffers = [self.library.Buffer(byteLength=len(self.data))]
        self.gltf.set_binary_blob(bytes(self.data))
        return b"".join(self.gltf.save_to_bytes())


@dataclass(eq=False)
class _Person:
    """The nodes of one person.

    Attributes:
        scene: that they are in.
        prefix: of names.
        time: accessor of the times of the frames in which they have a skeleton.
    """

    scene: _Scene
    prefix: str
    time: int
    top: int = field(init=False)

    def __post_init__(self) -> None:
        self.top = self.scene.node(name=f"{self.prefix}person", children=[])
        self.scene.gltf.scenes[0].nodes.append(self.top)

    def node(self, name: str, parent: int | None = None, **options: Any) -> int:
        """A node below another one, or below the topmost; its number."""
        number = self.scene.node(name=self.prefix + name, children=[], **options)
        self.scene.gltf.nodes[self.top if parent is None else parent].children.append(number)
        return number

    def move(self, node: int, path: str, values: np.ndarray) -> None:
        """Animates the translation or rotation (x, y, z, w) of a node, in the person's frames."""
        self._animate(node, path, values, self.time, "LINEAR")

    def _animate(self, node: int, path: str, values: np.ndarray, time: int, interpolation: str) -> None:
        animation = self.scene.gltf.animations[0]
        output = self.scene.add(values.astype(np.float32))
        target = self.scene.library.AnimationChannelTarget(node=node, path=path)
        animation.channels.append(self.scene.library.AnimationChannel(sampler=len(animation.samplers), target=target))
        animation.samplers.append(
            self.scene.library.AnimationSampler(input=time, output=output, interpolation=interpolation)
        )

    def hide(self, hidden: Bool[np.ndarray, "time"], time: int, track_id: int) -> None:
        """Hides the person in some frames of the record, whose times have their own accessor, and says who it is."""
        self.scene.gltf.nodes[self.top].extras = {"track_id": track_id}
        if hidden.any():
            self._animate(self.top, "scale", np.repeat(~hidden[:, None], 3, 1), time, "STEP")

    def add(self, rig: _Rig, motion: BodyMotion, frames: Bool[np.ndarray, "time"]) -> None:
        """The skinned body and its motion in some of the frames."""
        rest = BodyMotion(motion.body, torch.eye(3).expand(1, len(SEGMENTS), 3, 3), torch.zeros(1, 3))
        heads = rest.bones()[1][0, rig.bones].numpy()
        bones = self._move_bones(rig, heads, motion, frames)
        inverse = np.tile(np.eye(4, dtype=np.float32), (len(bones), 1, 1))
        inverse[:, 3, :3] = -heads  # a matrix is stored by columns
        skin = self.scene.library.Skin(inverseBindMatrices=self.scene.add(inverse), joints=bones, skeleton=bones[0])
        self.scene.gltf.skins.append(skin)
        mesh = self._mesh(rig, rest.at(slice(None)).vertices[0].numpy(), motion.body.faces.numpy())
        number = len(self.scene.gltf.skins) - 1
        node = self.scene.node(name=f"{self.prefix}body", mesh=mesh, skin=number)
        self.scene.gltf.scenes[0].nodes.append(node)

    def _move_bones(
        self, rig: _Rig, heads: Float[np.ndarray, "bone 3"], motion: BodyMotion, frames: Bool[np.ndarray, "time"]
    ) -> list[int]:
        """The nodes of the bones."""
        rotation, position = motion.bones()
        rotation = rotation[:, rig.bones]
        nodes: list[int] = []
        for bone, parent in enumerate(rig.parents):
            own = rotation[:, bone] if parent < 0 else rotation[:, parent].mT @ rotation[:, bone]
            place = heads[bone] - (heads[parent] if parent >= 0 else 0)
            nodes.append(self.node(rig.names[bone], nodes[parent] if nodes else None, translation=place.tolist()))
            quaternion = Rotation.from_matrix(own.numpy()).as_quat()[:, None]
            self.move(nodes[bone], "rotation", keep_signs(quaternion)[frames, 0])
        self.move(nodes[0], "translation", position[:, 0].numpy()[frames])
        return nodes

    def _mesh(self, rig: _Rig, vertices: Float[np.ndarray, "vertex 3"], faces: Int[np.ndarray, "face 3"]) -> int:
        add = self.scene.add
        target = self.scene.library.ARRAY_BUFFER
        attributes = self.scene.library.Attributes(
            POSITION=add(vertices, bounds=True, target=target), NORMAL=add(_normals(vertices, faces), target=target)
        )
        largest = rig.weights.topk(INFLUENCES)
        weights = (largest.values / largest.values.sum(1, keepdim=True)).numpy()
        bones = largest.indices.numpy()
        for number in range(INFLUENCES // 4):
            four = slice(4 * number, 4 * number + 4)
            used = np.where(weights[:, four] > 0, bones[:, four], 0).astype(np.uint8)
            setattr(attributes, f"JOINTS_{number}", add(used, target=target))
            setattr(attributes, f"WEIGHTS_{number}", add(weights[:, four], target=target))
        indices = add(faces.astype(np.uint32).ravel(), target=self.scene.library.ELEMENT_ARRAY_BUFFER)
        primitive = self.scene.library.Primitive(attributes=attributes, indices=indices, material=0)
        self.scene.gltf.meshes.append(self.scene.library.Mesh(name=f"{self.prefix}body", primitives=[primitive]))
        return len(self.scene.gltf.meshes) - 1


def _normals(
    vertices: Float[np.ndarray, "vertex 3"], faces: Int[np.ndarray, "face 3"]
) -> Float[np.ndarray, "vertex 3"]:
    """Directions out of the surface: the mean of the triangles around, by area."""
    corners = vertices[faces]
    across = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    normals = np.zeros_like(vertices)
    for corner in range(3):
        np.add.at(normals, faces[:, corner], across)
    return normals / np.linalg.norm(normals, axis=1, keepdims=True).clip(1e-12)
