"""A process of its own that reads arrays of .mat files, since damaged files can crash SciPy: `mat_files` starts it.

For each path and name of its arguments it writes the length of a pickle of plain values and arrays, and the pickle. It
imports nothing of occlupose, so that it starts quickly.
"""

import pickle
import sys
from typing import Any

import numpy as np
from scipy.io import loadmat


def plain(value: Any) -> Any:
    """MATLAB's structs as dictionaries, its cells as pairs of a shape and a list; numbers and texts as they are."""
    if not isinstance(value, np.ndarray | np.void):
        return value if isinstance(value, str | int | float) else None
    if value.dtype.names:
        first = value.flat[0] if isinstance(value, np.ndarray) and value.size else value
        return {name: plain(first[name]) for name in value.dtype.names} if np.size(value) else np.zeros(0)
    if value.dtype.kind == "O":
        return tuple(value.shape), [plain(item) for item in value.ravel()]
    return np.ascontiguousarray(value) if value.dtype.kind in "biufcSU" else None


def main(*arguments: str) -> None:
    """Writes each array, or None; ends at the first file that is damaged."""
    for path, name in zip(arguments[::2], arguments[1::2], strict=True):
        try:
            content = loadmat(path, variable_names=[name], appendmat=False)
        except Exception:  # a damaged .mat file may fail in any way
            sys.exit("damaged")
        result = pickle.dumps(plain(content[name]) if name in content else None, protocol=4)
        sys.stdout.buffer.write(len(result).to_bytes(8, "little") + result)
        sys.stdout.buffer.flush()


if __name__ == "__main__":
    main(*sys.argv[1:])
