"""SMPL (Loper et al., 2015) from the user's own file; its licence does not allow us to ship it.

`smpl` reads a .npz; `convert_smpl` makes it from the official .pkl without running code in it.
"""

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from occlupose.bodies.body import SIDES, BodyModel, BoneDriver, assign_parts
from occlupose.errors import OccluposeError
from occlupose.files import atomic
from occlupose.npz import open_npz
from occlupose.pickles import PickledArray, SafeUnpickler
from occlupose.skeletons import BODY26

VERTICES = 6890
FACES = 13776
BETAS = 10
"""Sizes of the model. A file may have more betas; the first are used."""

JOINTS = (
    *"pelvis left_hip right_hip spine1 left_knee right_knee spine2".split(),
    *"left_ankle right_ankle spine3 left_foot right_foot".split(),
    *"neck left_collar right_collar head left_shoulder right_shoulder left_elbow right_elbow".split(),
    *"left_wrist right_wrist left_hand right_hand".split(),
)
"""SMPL's joints in its order, which are the heads of its bones."""

PARENTS = (-1, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 9, 9, 12, 13, 14, 16, 17, 18, 19, 20, 21)

_DRIVES = {
    "pelvis": BoneDriver("pelvis"),
    "spine1": BoneDriver("pelvis", "chest", 1 / 3),
    "spine2": BoneDriver("pelvis", "chest", 2 / 3),
    "spine3": BoneDriver("chest"),
    "neck": BoneDriver("chest", "head", 0.5),
    "head": BoneDriver("head"),
}
_LIMBS = {
    "collar": "clavicle",
    "shoulder": "upper_arm",
    "elbow": "forearm",
    "wrist": "hand",
    "hand": "hand",
    "hip": "thigh",
    "knee": "shank",
    "ankle": "foot",
    "foot": "foot",
}

_HEADS = {"pelvis": ("left_hip", "right_hip"), "spine": ("spine2",), "thorax": ("neck",), "neck_nose": ("head",)}
"""Joints of BODY26 with other names in SMPL, or as means of others. The pelvis is the midpoint of the hips, as in COCO;
ours.
"""

_VERTICES = {"nose": 332, "right_eye": 6260, "left_eye": 2800, "right_ear": 4071, "left_ear": 583, "head_top": 411}
"""Joints that are vertices, with the customary numbers (smplx, vertex_ids.py)."""

KEYS = {
    "v_template": (VERTICES, 3),
    "shapedirs": (VERTICES, 3, None),
    "posedirs": (VERTICES, 3, 9 * (len(JOINTS) - 1)),
    "J_regressor": (len(JOINTS), VERTICES),
    "weights": (VERTICES, len(JOINTS)),
    "kintree_table": (2, len(JOINTS)),
    "f": (FACES, 3),
}
"""Arrays of a file and their shapes; None is any length."""

_CURE = "give SMPL's own file, which occlupose convert smpl made of the official .pkl"


def smpl(path: str | Path) -> BodyModel:
    """SMPL from its file. The shape is the first 10 betas; hands are rigid.

    Nose, eyes, ears and the top of the head are vertices. The joints ignore pose blend shapes, which move them by a few
    millimetres at most.

    Raises:
        OccluposeError: no such file, or not SMPL's.
    """
    path = Path(path)
    try:
        with open_npz(path) as file:
            content = {name: file[name] for name in KEYS if name in file}
    except FileNotFoundError:
        raise OccluposeError(f"{path}: no such file; {_CURE}") from None
    except (OSError, ValueError) as error:
        raise OccluposeError(f"{path}: not readable as a .npz of SMPL; {_CURE}") from error
    arrays = _checked(content, path)
    template = arrays["v_template"]
    regressor = arrays["J_regressor"]
    directions = arrays["shapedirs"][..., :BETAS].permute(2, 0, 1)
    weights = arrays["weights"]
    followed = [_region(JOINTS[bone]) for bone in weights.argmax(1).tolist()]
    ears = template[[_VERTICES["left_ear"], _VERTICES["right_ear"]], 2].mean()
    heads, vertices = _regressors()
    return BodyModel(
        name="smpl",
        parents=PARENTS,
        drivers=tuple(_drive(joint) for joint in JOINTS),
        template=template,
        directions=directions.contiguous(),
        heads=regressor @ template,
        head_directions=regressor @ directions,
        weights=weights / weights.sum(1, keepdim=True),
        faces=arrays["f"].long(),
        part=assign_parts(followed, template.numpy(), float(ears)),
        regressor=vertices,
        head_regressor=heads,
        shape_names=tuple(f"beta{number}" for number in range(BETAS)),
        low=torch.full((BETAS,), -3.0),
        high=torch.full((BETAS,), 3.0),
        neutral=torch.zeros(BETAS),
        blend=lambda shape: shape,
        texture=template,
        pose_directions=arrays["posedirs"].permute(2, 0, 1).contiguous(),
    )


def _drive(joint: str) -> BoneDriver:
    side, _, name = joint.partition("_")
    return BoneDriver(f"{side}_{_LIMBS[name]}") if side in SIDES else _DRIVES[joint]


def _region(joint: str) -> str:
    return "neck" if joint == "neck" else _drive(joint).segment


def _regressors() -> tuple[Float[Tensor, "26 bone"], Float[Tensor, "26 vertex"]]:
    """The joints of BODY26 as weighted means of bone heads, and of vertices."""
    heads = torch.zeros(len(BODY26), len(JOINTS))
    vertices = torch.zeros(len(BODY26), VERTICES)
    for row, joint in enumerate(BODY26.joints):
        if joint in _VERTICES:
            vertices[row, _VERTICES[joint]] = 1
        else:
            names = _HEADS.get(joint, (joint,))
            heads[row, [JOINTS.index(name) for name in names]] = 1 / len(names)
    return heads, vertices


def _checked(arrays: dict[str, Any], path: Path) -> dict[str, Tensor]:
    """The arrays as float32, faces and parents as integers.

    Raises:
        OccluposeError: they are not SMPL's.
    """
    missing = [name for name in KEYS if name not in arrays]
    if missing:
        raise OccluposeError(f"{path}: not SMPL: it has no {', '.join(missing)}; {_CURE}")
    result = {}
    for name, shape in KEYS.items():
        array = np.asarray(arrays[name])
        fits = array.ndim == len(shape) and all(
            expected in (None, length) for expected, length in zip(shape, array.shape, strict=True)
        )
        if not fits:
            kind = _other(np.asarray(arrays["v_template"]))
            wanted = " x ".join("any" if length is None else str(length) for length in shape)
            has = " x ".join(map(str, array.shape)) or "one number"
            raise OccluposeError(f"{path}: {kind or 'not SMPL'}: its {name} is {has} and SMPL's {wanted}; {_CURE}")
        if array.dtype.kind not in "fiu" or not np.isfinite(array).all():
            raise OccluposeError(f"{path}: not SMPL: its {name} is not all numbers; {_CURE}")
        whole = name in ("f", "kintree_table")
        result[name] = torch.from_numpy(array.astype(np.int64 if whole else np.float32))
    if result["shapedirs"].shape[2] < BETAS:
        raise OccluposeError(f"{path}: not SMPL: it has fewer than {BETAS} betas; {_CURE}")
    if result["kintree_table"][0, 1:].tolist() != list(PARENTS[1:]):
        raise OccluposeError(f"{path}: not SMPL: its joints have other parents; {_CURE}")
    if not 0 <= int(result["f"].min()) <= int(result["f"].max()) < VERTICES:
        raise OccluposeError(f"{path}: not SMPL: its faces refer to missing vertices; {_CURE}")
    return result


def _other(template: np.ndarray) -> str:
    """The related model with this number of vertices, if any."""
    models = {10475: "SMPL-X, not SMPL", 778: "MANO, not SMPL", 5023: "FLAME, not SMPL"}
    return models.get(len(np.atleast_1d(template)), "")


def convert_smpl(source: str | Path, target: str | Path) -> None:
    """Writes the official .pkl of SMPL as the .npz that `smpl` reads.

    Only arrays of numbers, SciPy's sparse matrices and chumpy's arrays are read, each by our own stand-in, so that no
    code in the file can run.

    Raises:
        OccluposeError: no such file, not a pickle, one that asks for anything else, or not SMPL's; or the .npz cannot
            be written.
    """
    source = Path(source)
    target = Path(target)
    if target.suffix != ".npz":
        raise OccluposeError(f"{target}: not a name for SMPL's arrays; end it with .npz")
    cure = "give the .pkl of SMPL as its makers' site has it"
    try:
        with source.open("rb") as file:
            content = SafeUnpickler(file, _names(), encoding="latin1").load()
        if not isinstance(content, dict):
            raise pickle.UnpicklingError("it holds no table")
        arrays: dict[str, Any] = {name: _dense(content[name]) for name in KEYS if name in content}
    except FileNotFoundError:
        raise OccluposeError(f"{source}: no such file; {cure}") from None
    except EOFError as error:
        raise OccluposeError(f"{source}: not a pickle of SMPL (it is empty or was cut off); {cure}") from error
    except Exception as error:  # a broken pickle can raise anything
        raise OccluposeError(f"{source}: not a pickle of SMPL ({' '.join(str(error).split())}); {cure}") from error
    arrays = {name: tensor.numpy() for name, tensor in _checked(arrays, source).items()}
    with atomic(target) as temporary:
        np.savez(temporary, **arrays)


class _Chumpy:
    """An array of chumpy.ch.Ch, whose numbers are under `x`."""

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.x = state["x"]


class _Sparse:
    """A scipy.sparse.csc_matrix as written, unchecked."""

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.data = state["data"]
        self.indices = state["indices"]
        self.indptr = state["indptr"]
        self.shape = state["_shape"]


def _dense(value: object) -> np.ndarray:
    if isinstance(value, _Chumpy):
        return _dense(value.x)
    if isinstance(value, _Sparse):
        from scipy.sparse import csc_matrix

        columns = (_dense(value.data), _dense(value.indices), _dense(value.indptr))
        matrix = csc_matrix(columns, shape=value.shape)
        matrix.check_format(full_check=True)
        return matrix.toarray()
    if not isinstance(value, PickledArray) or not isinstance(value.items, np.ndarray):
        kind = "array of objects" if isinstance(value, PickledArray) else type(value).__name__
        raise pickle.UnpicklingError(f"{kind} where there should be numbers")
    return value.items


def _names() -> dict[tuple[str, str], Any]:
    """What a pickle of SMPL may ask for besides arrays, by module and name."""
    from copyreg import _reconstructor  # type: ignore[attr-defined]

    return {
        **{(f"scipy.sparse.{module}", "csc_matrix"): _Sparse for module in ("csc", "_csc")},
        **{(module, "_reconstructor"): _reconstructor for module in ("copy_reg", "copyreg")},
        **{(module, "object"): object for module in ("__builtin__", "builtins")},
        **{(module, "set"): set for module in ("__builtin__", "builtins")},
        ("chumpy.ch", "Ch"): _Chumpy,
    }
