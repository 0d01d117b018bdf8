"""Files of arrays: what was made once for a training and is read again."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from occlupose.errors import unreadable
from occlupose.npz import OWN_BYTES, open_npz


def read_arrays(path: Path, names: Sequence[str]) -> dict[str, np.ndarray]:
    """These arrays of an .npz file.

    Raises:
        OccluposeError: it cannot be read, or lacks one.
    """
    try:
        with open_npz(path, OWN_BYTES) as file:
            return {name: file[name] for name in names}
    except (OSError, KeyError, ValueError) as error:
        raise unreadable(path, error, "delete it, and start again") from error
