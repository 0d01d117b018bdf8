"""Segmentation masks of the people in images: a folder with NAME.png or NAME.json for the image NAME.jpg.

In a .png file each pixel has a number: 0 is the background, every other number one person. A .json file is a list of
masks in COCO's run-length encoding, {"size": [height, width], "counts": ...}, or of COCO's annotations or detections
with such a `segmentation`. Whose masks they are follows from the joints in them, not from their order.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
from jaxtyping import Bool
from pydantic import BaseModel, Field, TypeAdapter
from scipy.optimize import linear_sum_assignment

from occlupose.datasets.formats.json_files import read_json
from occlupose.datasets.image_samples import ImageSample
from occlupose.errors import OccluposeError
from occlupose.media.images import open_image
from occlupose.poses import ABSENT

MAX_MASKS = 255
"""Of one image."""

_HINT = 'give a list of masks in COCO\'s run-length encoding, {"size": [height, width], "counts": ...}'
_CURE = "give the masks of the images that were annotated"


class RunLengths(BaseModel):
    """A mask in COCO's run-length encoding, by columns: lengths of runs outside and inside in turn, or their text."""

    size: tuple[int, int]
    counts: list[Annotated[int, Field(ge=0)]] | str


class Segment(BaseModel):
    """An entry of COCO's annotations or detections."""

    segmentation: RunLengths


_SCHEMA = TypeAdapter[list[RunLengths | Segment]](Annotated[list[RunLengths | Segment], Field(max_length=MAX_MASKS)])


@dataclass(frozen=True)
class MaskFolder:
    """The masks of many images.

    Attributes:
        folder: with a file for each image.

    Raises:
        OccluposeError: no such folder.
    """

    folder: Path

    def __post_init__(self) -> None:
        if not self.folder.is_dir():
            raise OccluposeError(f"{self.folder}: no such folder; give a folder of masks, NAME.png or NAME.json")

    def find(self, sample: ImageSample) -> Path | None:
        """The file with the masks of an image; None if there is none."""
        if sample.image is None:
            return None
        stem = Path(sample.image.name).stem
        return next((path for end in (".png", ".json") if (path := self.folder / f"{stem}{end}").is_file()), None)

    def find_all(self, samples: Iterable[ImageSample]) -> list[Path]:
        """The files of these images.

        Raises:
            OccluposeError: there is none.
        """
        found = [path for sample in samples if (path := self.find(sample)) is not None]
        if not found:
            raise OccluposeError(
                f"{self.folder}: no masks of these images; give files NAME.png or NAME.json for NAME.jpg"
            )
        return found

    def read(self, sample: ImageSample) -> Bool[np.ndarray, "person height width"] | None:
        """The mask of each person of an image, empty for people without one; None if the image has no file.

        Raises:
            OccluposeError: the file is damaged, or its masks are of another size than the image.
        """
        path = self.find(sample)
        if path is None:
            return None
        read = read_numbered if path.suffix == ".png" else read_run_lengths
        return assign_masks(read(path, sample.size), sample)


def read_numbered(path: Path, size: tuple[int, int]) -> Bool[np.ndarray, "mask height width"]:
    """The masks of a .png file with a number in each pixel.

    Arguments:
        size: width and height of the image, px.

    Raises:
        OccluposeError: not such a file, or of another size.
    """
    with open_image(path, path) as image:
        _check_size(path, image.size, size)
        if len(image.getbands()) > 1:
            raise OccluposeError(f"{path}: is in colour; give masks with one number in each pixel, 0 the background")
        numbers = np.asarray(image)
    people = np.unique(numbers[numbers != 0])
    if len(people) > MAX_MASKS:
        raise OccluposeError(f"{path}: has {len(people)} people; give masks with one number for each person")
    return np.stack([numbers == person for person in people]) if len(people) else np.zeros((0, *size[::-1]), bool)


def read_run_lengths(path: Path, size: tuple[int, int]) -> Bool[np.ndarray, "mask height width"]:
    """The masks of a .json file; arguments and errors as for `read_numbered`."""
    masks = []
    entries: list[RunLengths | Segment] = read_json(path, _SCHEMA, _HINT)
    for number, entry in enumerate(entries, 1):
        lengths = entry.segmentation if isinstance(entry, Segment) else entry
        _check_size(path, lengths.size[::-1], size)
        try:
            masks.append(decode_run_lengths(lengths.counts, size))
        except ValueError as error:
            raise OccluposeError(f"{path}: mask {number} is damaged ({error}); {_HINT}") from error
    return np.stack(masks) if masks else np.zeros((0, *size[::-1]), bool)


def decode_run_lengths(counts: Sequence[int] | str, size: tuple[int, int]) -> Bool[np.ndarray, "height width"]:
    """A mask from the lengths of its runs, or from their text.

    Arguments:
        size: width and height, px.

    Raises:
        ValueError: they are not those of a mask of this size.
    """
    width, height = size
    lengths = _from_text(counts) if isinstance(counts, str) else list(counts)
    if any(length < 0 for length in lengths) or sum(lengths) != width * height:
        raise ValueError(f"its runs do not add up to {width} x {height} px")
    inside = np.arange(len(lengths)) % 2 == 1
    return np.repeat(inside, np.array(lengths, int)).reshape(width, height).T


def _from_text(text: str) -> list[int]:
    """Lengths from COCO's text: numbers of five bits a character, the sixth says that the number goes on. From the
    fourth length on it is the difference to the length before the last.
    """
    lengths: list[int] = []
    value = 0
    shift = 0
    for character in text:
        code = ord(character) - 48
        if not 0 <= code < 64 or shift > 30:
            raise ValueError("its text is not COCO's")
        value |= (code & 31) << shift
        shift += 5
        if code & 32:
            continue
        if code & 16:
            value -= 1 << shift
        lengths.append(value + (lengths[-2] if len(lengths) > 2 else 0))
        value = 0
        shift = 0
    if shift:
        raise ValueError("its text is cut off")
    return lengths


def assign_masks(
    masks: Bool[np.ndarray, "mask height width"], sample: ImageSample
) -> Bool[np.ndarray, "person height width"]:
    """The mask of each person: of all matchings the one with the most joints in masks (Hungarian method). A person
    without a joint in a mask has an empty one.
    """
    width, height = sample.size
    cells = np.nan_to_num(sample.xy, nan=-1).round().astype(int)
    known = (sample.state != ABSENT) & ((cells >= 0) & (cells < [width, height])).all(-1)
    x, y = cells.clip(0, [width - 1, height - 1]).transpose(2, 0, 1)
    inside = (masks[:, y, x] & known).sum(-1).T
    assigned = np.zeros((len(sample), height, width), bool)
    for person, mask in zip(*linear_sum_assignment(-inside), strict=True):
        if inside[person, mask]:
            assigned[person] = masks[mask]
    return assigned


def _check_size(path: Path, given: tuple[int, int], size: tuple[int, int]) -> None:
    if given != size:
        wrong = f"masks of {given[0]} x {given[1]} px, but the image has {size[0]} x {size[1]}"
        raise OccluposeError(f"{path}: {wrong}; {_CURE}")
