import io
import pickle

import numpy as np
import pytest
import torch

from occlupose.bodies.smpl import convert_smpl
from occlupose.errors import OccluposeError
from occlupose.networks.checkpoints import read
from occlupose.pickles import PickledArray, SafeUnpickler


class Reduced:
    """Pickled as a call of a function, and the state of its result."""

    def __init__(self, *parts):
        self.parts = parts

    def __reduce__(self):
        return self.parts


def overlapping():
    """An array that makes NumPy itself call through an address of the file's choosing: a dtype whose fields, an object
    and a number, lie on each other.
    """
    reconstruct = np.zeros(1).__reduce__()[0]
    pointer = Reduced(np.dtype, ("O", False, True))
    number = Reduced(np.dtype, ("u8", False, True))
    state = (3, "|", None, ("a", "b"), {"a": (pointer, 0), "b": (number, 0)}, 8, 1, 63)
    both = Reduced(np.dtype, ("V8", False, True), state)
    return Reduced(reconstruct, (np.ndarray, (0,), b"b"), (1, (1,), both, False, [(1, 0x414141414140)]))


@pytest.mark.parametrize("protocol", [0, 2, 4])
def test_arrays_and_scalars_are_rebuilt_from_their_numbers(protocol):
    content = [np.arange(6.0).reshape(2, 3), np.array(["a", "bc"]), np.array([None, 2], object), np.float32(0.5), b"x"]
    read_back = SafeUnpickler(io.BytesIO(pickle.dumps(content, protocol))).load()
    assert all(isinstance(array, PickledArray) for array in read_back[:3])
    assert read_back[0].items.tolist() == content[0].tolist() and read_back[1].items.tolist() == ["a", "bc"]
    assert read_back[2].items == [None, 2] and read_back[3:] == [0.5, b"x"]


def test_a_dtype_with_fields_is_refused_before_anything_is_built_of_it():
    with pytest.raises(pickle.UnpicklingError, match="an array of 'V8'"):
        SafeUnpickler(io.BytesIO(pickle.dumps(overlapping()))).load()


def test_converters_refuse_arrays_that_would_corrupt_memory(tmp_path):
    (tmp_path / "smpl.pkl").write_bytes(pickle.dumps({"f": overlapping()}, 2))
    with pytest.raises(OccluposeError, match=r"smpl\.pkl: not a pickle of SMPL \(an array of 'V8' in it\)"):
        convert_smpl(tmp_path / "smpl.pkl", tmp_path / "smpl.npz")
    torch.save({"state_dict": {"a": torch.zeros(1)}, "meta": overlapping()}, tmp_path / "a.pth")
    with pytest.raises(OccluposeError, match=r"a\.pth: not readable as a checkpoint"):
        read(tmp_path / "a.pth")
