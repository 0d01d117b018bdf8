"""Photographs with the people that a detector finds in them and the keypoints of a network (pseudo-labels), as a
dataset in COCO's format.
"""

import json
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from occlupose.detections import Detections, box_sides
from occlupose.errors import OccluposeError
from occlupose.files import LEFTOVER_AGE, atomic, remove_leftovers
from occlupose.frontends.crops import CropNetwork, estimate_in_boxes
from occlupose.frontends.detector import BoxDetector
from occlupose.media import RGB, read_image
from occlupose.poses import ABSENT, OCCLUDED, VISIBLE
from occlupose.pyramid import Pyramid
from occlupose.skeletons import COCO17

IMAGES = "images"
ANNOTATIONS = "annotations.json"
"""Names in the output folder."""

LONGEST = 16_384
"""Longest side of a photograph, px; aspect ratios change it, and JPEG files end at 65,535."""

MIN_VISIBLE = 3
"""Least number of visible keypoints of a person."""

MIN_SCORE = 0.4
"""Least confidence of a detected person, 0..1."""

MAX_SPREAD = 0.1
"""Largest standard deviation of an occluded keypoint, in sides of the person's box; less certain ones are left out."""

QUALITY = 95
"""Of the JPEG files."""


def pseudo_label(
    photographs: Sequence[Path],
    output: Path,
    network: CropNetwork,
    detector: BoxDetector,
    *,
    aspects: Sequence[float] = (),
    about: str = "pseudo-labels",
    unreadable: Callable[[str], None] = lambda reason: None,
) -> Iterator[tuple[Path, int]]:
    """Writes photographs to output/images, and the people in them to output/annotations.json, with the
    joints of COCO: v is 2 for visible and 1 for occluded ones. Yields each photograph and its number of people.

    Arguments:
        network: finds keypoints.
        detector: finds people.
        aspects: width over height of photographs that are stored as squares, as some archives distribute them; of
            several, the one at which the keypoints are most confident. By default they are squares.
        about: description in the dataset's info.
        unreadable: called with the reason for each photograph that cannot be used, which is left out.

    Raises:
        OccluposeError: two photographs of one name; the output cannot be written, has annotations already, or its
            images are the photographs.
    """
    names = [f"{path.stem}.jpg" for path in photographs]
    if repeated := [name for name, count in Counter(names).items() if count > 1]:
        wrong = f"{len(repeated)} names are used twice, such as {repeated[0]}"
        raise OccluposeError(f"{photographs[0].parent}: {wrong}; rename one of the two")
    images = output / IMAGES
    if images.resolve() in {path.parent.resolve() for path in photographs}:
        raise OccluposeError(f"{output}: its images are the photographs themselves; give another folder with -o")
    if (output / ANNOTATIONS).exists():
        raise OccluposeError(f"{output / ANNOTATIONS}: is there already; give another folder with -o")
    remove_leftovers(output, [Path(ANNOTATIONS).stem], older_than=LEFTOVER_AGE)
    remove_leftovers(images, older_than=LEFTOVER_AGE)
    document: dict[str, Any] = {
        "info": {"description": about},
        "images": [],
        "annotations": [],
        "categories": [{"id": 1, "name": "person", "keypoints": list(COCO17.joints)}],
    }
    for number, (path, name) in enumerate(zip(photographs, names, strict=True)):
        try:
            stored = read_image(path)
        except OccluposeError as error:
            unreadable(str(error))
            continue
        height, width = stored.shape[:2]
        if max(height, width) > LONGEST:
            unreadable(f"{path}: {width} x {height} px; at most {LONGEST} on a side are possible")
            continue
        sides = [max(1, round(aspect * height)) for aspect in aspects] if width == height and aspects else [width]
        views = [cv2.resize(stored, (side, height)) if side != width else stored for side in sides]
        found = [_find_people(view, network, detector) for view in views]
        best = int(np.argmax([people.score.mean(-1).sum() for people in found]))
        jpeg = cv2.imencode(".jpg", views[best][..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, QUALITY])[1]
        with atomic(images / name) as temporary:
            temporary.write_bytes(jpeg.tobytes())
        document["images"].append({"id": number, "file_name": name, "width": sides[best], "height": height})
        for annotation in _annotations(found[best]):
            identity = {"id": len(document["annotations"]), "image_id": number, "category_id": 1, "iscrowd": 0}
            document["annotations"].append(identity | annotation)
        yield path, len(found[best])
    with atomic(output / ANNOTATIONS) as temporary:
        temporary.write_text(json.dumps(document), encoding="utf-8")


def _find_people(image: RGB, network: CropNetwork, detector: BoxDetector) -> Detections:
    """The people in an image of whom enough is visible."""
    (boxes,) = detector([image])
    people = estimate_in_boxes(network, Pyramid(image), boxes).to(COCO17)
    visible = people.score >= network.min_joint_confidence
    side = box_sides(boxes.boxes)[:, None]
    certain = np.isfinite(people.probability).all(2) & ~(people.spread > MAX_SPREAD * side)
    size = np.array(image.shape[1::-1])
    inside = ((people.xy >= -0.5) & (people.xy < size - 0.5)).all(2)
    state = np.where(inside & visible, VISIBLE, np.where(inside & certain, OCCLUDED, ABSENT))
    return replace(people, state=state.astype(np.uint8)).select((state == VISIBLE).sum(1) >= MIN_VISIBLE)


def _annotations(people: Detections) -> Iterator[dict[str, Any]]:
    for xy, state, box in zip(people.xy, people.state, people.boxes, strict=True):
        known = state != ABSENT
        keypoints = np.where(known[:, None], np.round(xy, 2), 0)
        left, top, right, bottom = np.round(box + 0.5, 2).tolist()  # COCO counts from the edge of the image
        yield {
            "keypoints": np.concatenate([keypoints, state[:, None]], 1).ravel().tolist(),
            "num_keypoints": int(known.sum()),
            "bbox": [left, top, right - left, bottom - top],
            "area": (right - left) * (bottom - top),
        }
