"""Files of arrays: what was made once for a training and is read again."""

import tokenize
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from occlupose.errors import unreadable
from occlupose.files import DAMAGED_ARCHIVE


def read_arrays(path: Path, names: Sequence[str]) -> dict[str, np.ndarray]:
    """These arrays of an .npz file.

    Raises:
        OccluposeError: it cannot be read, or lacks one.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            return {name: file[name] for name in names}
    except (*DAMAGED_ARCHIVE, tokenize.TokenError) as error:
        raise unreadable(path, error, "delete it, and start again") from error
