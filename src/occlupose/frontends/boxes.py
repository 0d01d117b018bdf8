"""People's boxes from a file that another detector wrote, instead of those that our own finds."""

from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float

from occlupose.datasets.coco import DetectedBox, load_boxes
from occlupose.errors import OccluposeError
from occlupose.media import Source

LEAST = 0.5
"""Score of a box below which nobody is taken to be in it. Ours."""


@dataclass(frozen=True, eq=False)
class Boxes:
    """The boxes of one frame.

    Attributes:
        edges: left, top, right, bottom of each, px.
        score: belief that there is a person, 0..1.
    """

    edges: Float[np.ndarray, "person 4"]
    score: Float[np.ndarray, " person"]


NOBODY = Boxes(np.zeros((0, 4)), np.zeros(0))


def load(path: Path, source: Source, *, least: float = LEAST) -> dict[int, Boxes]:
    """The boxes of a source's frames, by the frame's number, from a file in COCO's results format
    (`datasets.coco.load_boxes`).

    A number as `image_id` is that of the frame, from 0, among those that the source gives; a text is the name of a
    picture's file, with or without its ending. Boxes of frames that the source does not have are left out.

    Arguments:
        least: score below which a box is left out.

    Raises:
        OccluposeError: the file cannot be read or is not of this format; not one box is of a frame of the source.
    """
    numbers: dict[str, int] = {}
    for number, name in enumerate(source.names):
        numbers[Path(name).stem] = numbers[name] = number
    found = load_boxes(path)
    chosen = defaultdict[int, list[DetectedBox]](list)
    for box in found:
        frame = numbers.get(box.image_id) if isinstance(box.image_id, str) else box.image_id
        if frame is not None and frame >= 0 and (source.count is None or frame < source.count):
            chosen[frame].append(box)
    if not chosen:
        cure = "give frame numbers, from 0" + (", or names of its pictures" if source.names else "")
        raise OccluposeError(
            f"{path}: not one image_id is a frame of {source.name}, as {found[0].image_id!r} is none; {cure}"
        )
    likely = {number: [box for box in boxes if box.score >= least] for number, boxes in chosen.items()}
    return {
        number: Boxes(np.array([box.box for box in boxes]), np.array([box.score for box in boxes]))
        for number, boxes in likely.items()
        if boxes
    }
