"""Bounding boxes from a file that another detector wrote."""

from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from occlupose.datasets.formats.coco_results import DetectedBox, load_boxes
from occlupose.detections import FrameBoxes, has_area
from occlupose.errors import OccluposeError
from occlupose.media import Source

MIN_SCORE = 0.5
"""Boxes with a lower score are left out. Ours."""

FARTHEST = 1e6  # px; no image is as large


def load(path: Path, source: Source, *, min_score: float = MIN_SCORE) -> dict[int, FrameBoxes]:
    """Bounding boxes of a source's frames, by frame number, from a file in COCO's results format
    (`formats.coco_results.load_boxes`).

    A numeric `image_id` is the number of a frame of the source, from 0; a string is the file name of an image, with or
    without its suffix. Boxes of other images are left out.

    Arguments:
        min_score: boxes with a lower score are left out.

    Raises:
        OccluposeError: the file cannot be read or has another format; it has no box of a frame of the source.
    """
    numbers: dict[str, int] = {}
    for number, name in enumerate(source.names):
        numbers[Path(name).stem] = numbers[name] = number
    results = load_boxes(path)
    by_frame = defaultdict[int, list[DetectedBox]](list)
    for result in results:
        frame = numbers.get(result.image_id) if isinstance(result.image_id, str) else result.image_id
        if frame is not None and frame >= 0 and (source.count is None or frame < source.count):
            by_frame[frame].append(result)
    if not by_frame:
        cure = "give frame numbers, from 0" + (", or names of its images" if source.names else "")
        first = results[0].image_id
        raise OccluposeError(f"{path}: no image_id is a frame of {source.name}, e.g. {first!r}; {cure}")
    boxes = {}
    for frame, candidates in by_frame.items():
        likely = [result for result in candidates if result.score >= min_score]
        if likely:
            score = np.array([result.score for result in likely])
            boxes[frame] = FrameBoxes(np.array([result.box for result in likely]), score)
    return boxes


def check(boxes: Mapping[int, FrameBoxes]) -> None:
    """Refuses boxes that no person can be in.

    Arguments:
        boxes: of each frame, by its number.

    Raises:
        OccluposeError: a box is empty, is not finite, or is more than a million pixels away.
    """
    for frame, each in boxes.items():
        if not (has_area(each.boxes) & (np.abs(each.boxes) <= FARTHEST).all(1)).all():
            wrong = "one is empty, not finite or a million pixels away"
            raise OccluposeError(f"boxes of frame {frame}: {wrong}; give left, top, right, bottom in pixels")
