"""Ground truth of scenes for their files: records, and annotations of their people in COCO's format."""

from typing import Any

import numpy as np
from jaxtyping import Bool, Int

from occlupose.datasets.formats.synth_scenes import SceneRecord
from occlupose.poses import ABSENT
from occlupose.skeletons import BODY26, COCO17
from occlupose.synth.labels import SceneLabels

ID_STRIDE = 100
"""Annotation ids of one scene: person p of scene n is annotation 100 n + p + 1."""


def make_record(labels: SceneLabels, number: int, seed: int) -> SceneRecord:
    """The record of a labelled scene."""
    scene = labels.scene
    boxes = [labels.box(person) for person in range(len(scene.people))]
    return SceneRecord(
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
