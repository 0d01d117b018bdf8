"""DeepLabCut's CSV and H5 files, of one or several individuals.

A table with a row for each frame. Its columns have three or four names: the scorer, in multi-animal projects the
individual, the body part, and the coordinate: x, y (px) and likelihood; annotations have no likelihood. In a CSV file
they are the first rows, `scorer`, `individuals`, `bodyparts` and `coords`; the first column, or the first three, are
the number of the frame or the path of its image. H5 files are pandas' (a "table" or a "fixed" one): the names of the
columns of a table are in a pickle, of which only the texts are read. The individual `single` of multi-animal projects
is no individual.
"""

import pickletools
from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float

from occlupose.errors import OccluposeError
from occlupose.formats.content import Content
from occlupose.formats.hdf5 import read_dataset, to_text, to_texts
from occlupose.formats.recording import Recording, number_frames
from occlupose.formats.tables import frame_of, read_numbers, split_lines

if TYPE_CHECKING:
    import h5py

__all__ = ["is_hdf5", "is_table", "read_hdf5", "read_table", "read_texts"]

HEADER = ("scorer", "individuals", "bodyparts", "coords")
AXES = {"x": 0, "y": 1, "likelihood": 2}
SINGLE = "single"
"""Individual to which multi-animal projects assign what belongs to nobody."""

_TEXTS = "UNICODE BINUNICODE SHORT_BINUNICODE BINUNICODE8 STRING BINSTRING SHORT_BINSTRING".split()
_TUPLES = "TUPLE TUPLE1 TUPLE2 TUPLE3".split()
_REMEMBERED = "PUT BINPUT LONG_BINPUT MEMOIZE".split()
_RECALLED = "GET BINGET LONG_BINGET".split()
_AROUND = "MARK LIST EMPTY_LIST APPEND APPENDS PROTO FRAME STOP".split()
"""Instructions of pickles, by what they do."""

_HINT = "give a file of DeepLabCut with x, y and likelihood of every body part"

Label = tuple[str, ...]
"""Names of a column: scorer, maybe individual, body part, coordinate."""


def is_table(lines: Sequence[str]) -> bool:
    """Whether a text file is a CSV of DeepLabCut."""
    return bool(lines) and lines[0].split(",")[0].strip() == HEADER[0]


def read_table(content: Content) -> Recording:
    """CSV. Raises OccluposeError."""
    rows = split_lines(content.value, ",", where=content.path)
    header = {row[0].strip(): row for row in islice(rows, 3)}
    if "individuals" in header:
        header |= {row[0].strip(): row for row in islice(rows, 1)}
    if not {"bodyparts", "coords"} <= {*header}:
        raise OccluposeError(f"{content.path}: no rows bodyparts and coords below scorer; {_HINT}")
    scorer = header["scorer"]
    start = next((place for place, cell in enumerate(scorer) if place and cell.strip()), len(scorer))
    labels = list(zip(*(header[name][start:] for name in HEADER if name in header), strict=False))
    table = [row for row in rows if any(cell.strip() for cell in row)]
    numbers = read_numbers(table, range(start, start + len(labels)), content.path)
    return _recording(content.path, labels, numbers, [frame_of("/".join(row[:start])) for row in table])


def is_hdf5(file: "h5py.File") -> bool:
    """Whether an HDF5 file is a table of pandas."""
    return _group(file) is not None


def _group(file: "h5py.File") -> Any:
    groups = [file[name] for name in file if "pandas_type" in file[name].attrs]
    return groups[0] if len(groups) == 1 else None


def read_hdf5(content: Content) -> Recording:
    """H5. Raises OccluposeError."""
    group = _group(content.value)
    kind = to_text(group.attrs["pandas_type"])
    read = {"frame_table": _read_pandas_table, "frame": _read_pandas_fixed}.get(kind)
    if read is None:
        raise OccluposeError(f"{content.path}: a {kind} of pandas; {_HINT}")
    labels, numbers, index = read(group)
    return _recording(content.path, labels, numbers, index)


Table = tuple[list[Label], Float[np.ndarray, "row column"], list[int | str]]
"""Labels of the columns, numbers, and number or name of each row's frame."""


def _read_pandas_table(group: "h5py.Group") -> Table:
    """The table of a frame in pandas' format "table"."""
    table = group["table"]
    rows = read_dataset(group, "table")
    blocks = sorted(name for name in rows.dtype.names or () if name.startswith("values_block_"))
    names = [bytes(np.asarray(table.attrs[f"{block}_kind"]).ravel()[0]) for block in blocks]
    labels = [label for pickled in names for label in read_texts(pickled, group.file.filename)]
    numbers = np.concatenate([rows[block].reshape(len(rows), -1) for block in blocks], axis=1)
    return labels, numbers.astype(np.float64), _to_index(rows["index"])


def _read_pandas_fixed(group: "h5py.Group") -> Table:
    """The table of a frame in pandas' format "fixed"."""
    labels: list[Label] = []
    blocks = []
    for block in range(int(group.attrs["nblocks"])):
        levels = []
        for level in range(int(group.attrs[f"block{block}_items_nlevels"])):
            names = to_texts(read_dataset(group, f"block{block}_items_level{level}"))
            codes = read_dataset(group, f"block{block}_items_label{level}")
            levels.append([names[code] for code in codes.tolist()])
        labels += zip(*levels, strict=True)
        values = read_dataset(group, f"block{block}_values")
        blocks.append(values if values.shape[1] == len(levels[0]) else values.T)
    numbers = np.concatenate(blocks, axis=1).astype(np.float64)
    index = group.get("axis1")
    return labels, numbers, list(range(len(numbers))) if index is None else _to_index(read_dataset(group, "axis1"))


def _to_index(values: np.ndarray) -> list[int | str]:
    return (
        [int(value) for value in values]
        if values.dtype.kind in "iuf"
        else [frame_of(name) for name in to_texts(values)]
    )


def read_texts(pickled: bytes, where: object) -> list[Label]:
    """The tuples of texts in a pickled list. Nothing is unpickled: its instructions are listed, not carried out.

    Arguments:
        where: the file, for messages.

    Raises:
        OccluposeError: there is anything but texts, tuples and lists in it.
        ValueError: it is no pickle.
    """
    labels: list[Label] = []
    texts: list[str] = []
    memo: dict[int, str] = {}
    for code, argument, _ in pickletools.genops(pickled):
        if code.name in _TEXTS:
            texts.append(str(argument))
        elif code.name in _REMEMBERED:  # the last text; of a tuple or list nothing, since it is not recalled
            memo[len(memo) if argument is None else int(argument)] = texts[-1] if texts else ""
        elif code.name in _RECALLED:
            texts.append(memo.get(int(argument or 0), ""))
        elif code.name in _TUPLES:
            labels.append(tuple(texts))
            texts = []
        elif code.name not in _AROUND:
            kind = code.name.lower()
            raise OccluposeError(f"{where}: names of columns are pickled objects ({kind}), which are not read; {_HINT}")
    return labels


def _recording(
    path: Path, labels: list[Label], numbers: Float[np.ndarray, "row column"], index: list[int | str]
) -> Recording:
    if len({len(label) for label in labels}) != 1 or len(labels[0]) not in (3, 4):
        raise OccluposeError(f"{path}: columns without scorer, body part and coordinate; {_HINT}")
    if any(label[-1] == "z" for label in labels):
        raise OccluposeError(f"{path}: is in 3D, in a unit that it does not say; give the 2D file of a camera")
    people = list(dict.fromkeys(label[-3] for label in labels)) if len(labels[0]) == 4 else [""]
    people = [person for person in people if person != SINGLE] or people
    columns = [(label[-3] if len(label) == 4 else "", label[-2], label[-1]) for label in labels]
    joints = list(dict.fromkeys(joint for person, joint, _ in columns if person in people))
    keypoints = np.full((len(numbers), len(people), len(joints), 3), np.nan)
    for (person, joint, axis), values in zip(columns, numbers.T, strict=True):
        if person in people and axis in AXES:
            keypoints[:, people.index(person), joints.index(joint), AXES[axis]] = values
    frames, notes = number_frames(index)
    frame = np.array([frames[each] for each in index], np.int64)
    order = np.argsort(frame, kind="stable")
    return Recording.of_people(
        "DeepLabCut",
        joints,
        keypoints[order, ..., :2],
        keypoints[order, ..., 2],
        names=people,
        frame=frame[order],
        notes=notes,
    )
