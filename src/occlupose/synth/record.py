"""The ground truth of a scene in files: a small .npz, and the annotations of its people in COCO's format.

The .npz has `version` (1), `number` and `seed` of the scene, `skeleton`, `joint_names` and for every person: `xyz`
(metres, camera frame: x right, y down, z forward; also where a joint is occluded or outside of the image), `xy` (px),
`state` (2 visible, 1 occluded, 0 outside), `reason` (cause of the occlusion: 0 none, 1 self, 2 another person, 3
object, 4 outside), `by` (the occluder: people are 0 to n - 1, objects follow; -1 none), `box` (left, top, width, height
of the visible part, px from the image border; NaN where nothing is visible), `root_depth` (m), `shape`, `pose`
(rotations of 17 segments in the camera frame) and `translation`; then `things` (kinds of the objects), `width`,
`height`, `camera` (3 x 3, px), `rotation` and `eye` (world to camera: rotation @ (point - eye); the world has y up and
the ground at 0).
"""

import io
import zipfile
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int, UInt8

from occlupose.errors import OccluposeError
from occlupose.poses import ABSENT
from occlupose.skeletons import BODY26, COCO17
from occlupose.synth.labels import SceneLabels

VERSION = 1

ID_STRIDE = 100
"""Annotation ids of one scene: person p of scene n is annotation 100 n + p + 1."""

_KEYS = {"cause": "reason", "occluder": "by", "objects": "things", "camera_position": "eye"}
"""Keys of a file that differ from the names of their fields, as in earlier versions."""


@dataclass(frozen=True, eq=False)
class SceneRecord:
    """Ground truth of one scene. The docstring of the module explains each array, by its key in the file."""

    number: int
    seed: int
    width: int
    height: int
    xyz: Float[np.ndarray, "person 26 3"]
    xy: Float[np.ndarray, "person 26 2"]
    state: UInt8[np.ndarray, "person 26"]
    cause: UInt8[np.ndarray, "person 26"]
    occluder: Int[np.ndarray, "person 26"]
    box: Float[np.ndarray, "person 4"]
    root_depth: Float[np.ndarray, "person"]
    shape: Float[np.ndarray, "person shape"]
    pose: Float[np.ndarray, "person 17 3 3"]
    translation: Float[np.ndarray, "person 3"]
    objects: tuple[str, ...]
    camera: Float[np.ndarray, "3 3"]
    rotation: Float[np.ndarray, "3 3"]
    camera_position: Float[np.ndarray, "3"]

    @classmethod
    def from_labels(cls, labels: SceneLabels, number: int, seed: int) -> "SceneRecord":
        """The record of a labelled scene."""
        scene = labels.scene
        boxes = [labels.box(person) for person in range(len(scene.people))]
        return cls(
            number=number,
            seed=seed,
            width=scene.camera.width,
            height=scene.camera.height,
            xyz=labels.joints.astype(np.float32),
            xy=labels.xy.astype(np.float32),
            state=labels.occlusion.state,
            cause=labels.occlusion.cause,
            occluder=labels.occlusion.occluder,
            box=np.array([np.full(4, np.nan) if box is None else box for box in boxes], np.float32),
            root_depth=labels.joints[:, BODY26.index("pelvis")[0], 2].astype(np.float32),
            shape=np.stack([person.shape for person in scene.people]),
            pose=np.stack([scene.rotation @ person.pose for person in scene.people]).astype(np.float32),
            translation=np.stack([scene.to_camera(person.translation) for person in scene.people]).astype(np.float32),
            objects=tuple(item.kind for item in scene.objects),
            camera=scene.camera.matrix,
            rotation=scene.rotation,
            camera_position=scene.camera_position,
        )

    def to_bytes(self) -> bytes:
        """The .npz file; the same record gives the same bytes."""
        names = [field.name for field in fields(self)]
        content: dict[str, Any] = {_KEYS.get(name, name): getattr(self, name) for name in names}
        content["things"] = np.array(self.objects, dtype="U16")
        about: dict[str, Any] = {"version": VERSION, "skeleton": BODY26.name, "joint_names": list(BODY26.joints)}
        file = io.BytesIO()
        np.savez_compressed(file, **about, **content)
        return file.getvalue()

    @classmethod
    def load(cls, path: Path) -> "SceneRecord":
        """Read a file that holds `to_bytes`.

        Raises:
            OccluposeError: the file cannot be read, or is no scene; names it.
        """
        try:
            with np.load(path, allow_pickle=False) as file:
                if int(file["version"]) != VERSION:
                    raise OccluposeError(
                        f"{path}: is of version {int(file['version'])}; this occlupose reads version {VERSION}"
                    )
                names = [field.name for field in fields(cls)]
                content: dict[str, Any] = {name: file[_KEYS.get(name, name)] for name in names}
        except (OSError, KeyError, ValueError, EOFError, zipfile.BadZipFile) as error:
            raise OccluposeError(f"{path}: not a scene of occlupose synth ({error}); make it again") from error
        content |= {name: int(content[name]) for name in ("number", "seed", "width", "height")}
        content["objects"] = tuple(str(kind) for kind in content["objects"])
        return cls(**content)


def coco_annotations(record: SceneRecord, surface: Int[np.ndarray, "height width"]) -> list[dict[str, Any]]:
    """The people of a scene who have a visible pixel, in COCO's keypoint format.

    Besides COCO's own fields: `reasons` and `hidden_by` of each keypoint (cause, and the annotation of the occluder, 0
    for an object or none), `keypoints_3d` (m, camera frame) and `root_depth` (m).

    Arguments:
        surface: the front surface of each pixel, as `ZBuffer.surface`.
    """
    result = []
    joints = BODY26.index(*COCO17.joints)
    for person in range(len(record.xyz)):
        mask = surface == person
        if not mask.any():
            continue
        state = record.state[person, joints]
        occluder = record.occluder[person, joints]
        xy = np.where((state != ABSENT)[:, None], record.xy[person, joints].astype(np.float64), 0)
        keypoints = zip(xy.round(2).tolist(), state.tolist(), strict=True)
        result.append(
            {
                "id": _id(record.number, person),
                "image_id": record.number + 1,
                "category_id": 1,
                "iscrowd": 0,
                "bbox": record.box[person].tolist(),
                "area": int(mask.sum()),
                "segmentation": encode_run_lengths(mask),
                "num_keypoints": int((state != ABSENT).sum()),
                "keypoints": [value for (x, y), v in keypoints for value in (x, y, v)],
                "reasons": record.cause[person, joints].tolist(),
                "hidden_by": [
                    _id(record.number, other) if 0 <= other < len(record.xyz) else 0 for other in occluder.tolist()
                ],
                "keypoints_3d": record.xyz[person, joints].astype(np.float64).round(4).tolist(),
                "root_depth": round(float(record.root_depth[person]), 4),
            }
        )
    return result


def coco_image(record: SceneRecord, file_name: str) -> dict[str, Any]:
    """The image entry of a scene in COCO's format, with its camera."""
    return {
        "id": record.number + 1,
        "file_name": file_name,
        "width": record.width,
        "height": record.height,
        "camera": record.camera.round(4).tolist(),
    }


COCO_CATEGORY = {
    "id": 1,
    "name": "person",
    "supercategory": "person",
    "keypoints": list(COCO17.joints),
    "skeleton": [[1 + COCO17.joints.index(joint) for joint in limb] for limb in COCO17.limbs],
}


def encode_run_lengths(mask: Bool[np.ndarray, "height width"]) -> dict[str, Any]:
    """COCO's uncompressed run-length encoding of a mask: by columns, numbers of pixels that are off, on, off, ..."""
    flat = np.concatenate([[False], mask.T.reshape(-1), [False]])
    edges = np.flatnonzero(flat[1:] != flat[:-1])
    return {"size": list(mask.shape), "counts": np.diff(edges, prepend=0, append=mask.size).tolist()}


def _id(number: int, person: int) -> int:
    return ID_STRIDE * number + person + 1
