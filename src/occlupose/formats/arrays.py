"""Plain NumPy arrays of keypoints, whose joints the caller names."""

import numpy as np

from occlupose.errors import OccluposeError
from occlupose.formats.content import Content
from occlupose.formats.recording import Recording

__all__ = ["is_arrays", "of_array", "read_arrays"]

_WANTED = "(time, joint, 2 or 3) or (time, person, joint, 2 or 3)"


def is_arrays(arrays: dict[str, np.ndarray]) -> bool:
    """Whether there is one array, which may be of keypoints."""
    return len(arrays) == 1


def read_arrays(content: Content) -> Recording:
    """The array in a .npy or .npz file. Raises OccluposeError."""
    return of_array(next(iter(content.value.values())), content.path)


def of_array(array: np.ndarray, where: object) -> Recording:
    """The recording of an array (time, joint, ...) or (time, person, joint, ...) of x, y and maybe score.

    Arguments:
        where: the file, for messages.

    Raises:
        OccluposeError: another shape, or no numbers.
    """
    if array.dtype.kind not in "fiu" or array.ndim not in (3, 4) or array.shape[-1] not in (2, 3):
        raise OccluposeError(
            f"{where}: {array.dtype} of shape {array.shape}; it must be numbers, {_WANTED}: x, y, score"
        )
    array = array[:, None] if array.ndim == 3 else array
    return Recording.of_people("NumPy", None, array[..., :2], array[..., 2] if array.shape[-1] == 3 else None)
