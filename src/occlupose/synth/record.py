"""What is kept of a scene: one small .npz file, and the annotations of its people in COCO's form.

The .npz has `version` (1), `number` and `seed` of the scene, `skeleton`, `joint_names` and, of every person: `xyz`
(metres, camera frame: x right, y down, z forward; known also where a joint is hidden or outside of the picture), `xy`
(px), `state` (2 visible, 1 occluded, 0 outside), `reason` (0 none, 1 self, 2 another person, 3 object, 4 outside), `by`
(who or what hides it: people are 0 to n - 1, things follow; -1 nobody), `box` (left, top, width, height of what is
seen, px from the picture's edge; NaN where nothing is), `root_depth` (m), `shape`, `pose` (17 segments turned in the
camera's frame) and `translation`; then `things` (their kinds), `width`, `height`, `camera` (3 x 3, px), `rotation` and
`eye` (world to camera: rotation @ (point - eye); the world has y up and the ground at 0).
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
from occlupose.synth.labels import Labels

VERSION = 1

PEOPLE = 100
"""Numbers that are kept free for the people of a scene: person p of scene n is annotation 100 n + p + 1."""


@dataclass(frozen=True, eq=False)
class Record:
    """One scene's truth; the module's text says what each array is."""

    number: int
    seed: int
    width: int
    height: int
    xyz: Float[np.ndarray, "person 26 3"]
    xy: Float[np.ndarray, "person 26 2"]
    state: UInt8[np.ndarray, "person 26"]
    reason: UInt8[np.ndarray, "person 26"]
    by: Int[np.ndarray, "person 26"]
    box: Float[np.ndarray, "person 4"]
    root_depth: Float[np.ndarray, "person"]
    shape: Float[np.ndarray, "person shape"]
    pose: Float[np.ndarray, "person 17 3 3"]
    translation: Float[np.ndarray, "person 3"]
    things: tuple[str, ...]
    camera: Float[np.ndarray, "3 3"]
    rotation: Float[np.ndarray, "3 3"]
    eye: Float[np.ndarray, "3"]

    @classmethod
    def of(cls, labels: Labels, number: int, seed: int) -> "Record":
        """What is kept of a labelled scene."""
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
            reason=labels.occlusion.cause,
            by=labels.occlusion.occluder,
            box=np.array([np.full(4, np.nan) if box is None else box for box in boxes], np.float32),
            root_depth=labels.joints[:, BODY26.index("pelvis")[0], 2].astype(np.float32),
            shape=np.stack([person.shape for person in scene.people]),
            pose=np.stack([scene.rotation @ person.pose for person in scene.people]).astype(np.float32),
            translation=np.stack([scene.seen(person.translation) for person in scene.people]).astype(np.float32),
            things=tuple(thing.kind for thing in scene.things),
            camera=scene.camera.matrix,
            rotation=scene.rotation,
            eye=scene.eye,
        )

    def encoded(self) -> bytes:
        """The .npz file; the same record gives the same bytes."""
        content: dict[str, Any] = {field.name: getattr(self, field.name) for field in fields(self)}
        content["things"] = np.array(self.things, dtype="U16")
        about: dict[str, Any] = {"version": VERSION, "skeleton": BODY26.name, "joint_names": list(BODY26.joints)}
        file = io.BytesIO()
        np.savez_compressed(file, **about, **content)
        return file.getvalue()

    @classmethod
    def load(cls, path: Path) -> "Record":
        """Read what was `encoded` into a file.

        Raises:
            OccluposeError: the file cannot be read, or is no scene; names it.
        """
        try:
            with np.load(path, allow_pickle=False) as file:
                if int(file["version"]) != VERSION:
                    raise OccluposeError(
                        f"{path}: is of version {int(file['version'])}; this occlupose reads version {VERSION}"
                    )
                content: dict[str, Any] = {field.name: file[field.name] for field in fields(cls)}
        except (OSError, KeyError, ValueError, EOFError, zipfile.BadZipFile) as error:
            raise OccluposeError(f"{path}: not a scene of occlupose synth ({error}); make it again") from error
        content |= {name: int(content[name]) for name in ("number", "seed", "width", "height")}
        content["things"] = tuple(str(kind) for kind in content["things"])
        return cls(**content)


def annotations(record: Record, thing: Int[np.ndarray, "height width"]) -> list[dict[str, Any]]:
    """The people of a scene as COCO's keypoint format has them, those who show a pixel.

    Besides COCO's own fields: `reasons` and `hidden_by` of each keypoint (the annotation that hides it, 0 for an object
    or nobody), `keypoints_3d` (m, camera frame) and `root_depth` (m).

    Arguments:
        thing: who is in each pixel, as `ZBuffer.surface`.
    """
    result = []
    pick = BODY26.index(*COCO17.joints)
    for person in range(len(record.xyz)):
        mask = thing == person
        if not mask.any():
            continue
        state = record.state[person, pick]
        by = record.by[person, pick]
        xy = np.where((state != ABSENT)[:, None], record.xy[person, pick].astype(np.float64), 0)
        result.append(
            {
                "id": _id(record.number, person),
                "image_id": record.number + 1,
                "category_id": 1,
                "iscrowd": 0,
                "bbox": record.box[person].tolist(),
                "area": int(mask.sum()),
                "segmentation": run_lengths(mask),
                "num_keypoints": int((state != ABSENT).sum()),
                "keypoints": [
                    value for (x, y), v in zip(xy.round(2).tolist(), state.tolist(), strict=True) for value in (x, y, v)
                ],
                "reasons": record.reason[person, pick].tolist(),
                "hidden_by": [
                    _id(record.number, other) if 0 <= other < len(record.xyz) else 0 for other in by.tolist()
                ],
                "keypoints_3d": record.xyz[person, pick].astype(np.float64).round(4).tolist(),
                "root_depth": round(float(record.root_depth[person]), 4),
            }
        )
    return result


def image(record: Record, file_name: str) -> dict[str, Any]:
    """The scene's picture as COCO's format has it, with its camera."""
    return {
        "id": record.number + 1,
        "file_name": file_name,
        "width": record.width,
        "height": record.height,
        "camera": record.camera.round(4).tolist(),
    }


CATEGORY = {
    "id": 1,
    "name": "person",
    "supercategory": "person",
    "keypoints": list(COCO17.joints),
    "skeleton": [[1 + COCO17.joints.index(joint) for joint in limb] for limb in COCO17.limbs],
}


def run_lengths(mask: Bool[np.ndarray, "height width"]) -> dict[str, Any]:
    """COCO's uncompressed run-length code of a mask: column by column, how many pixels are off, on, off, ..."""
    flat = np.concatenate([[False], mask.T.reshape(-1), [False]])
    edges = np.flatnonzero(flat[1:] != flat[:-1])
    return {"size": list(mask.shape), "counts": np.diff(edges, prepend=0, append=mask.size).tolist()}


def _id(number: int, person: int) -> int:
    return PEOPLE * number + person + 1
