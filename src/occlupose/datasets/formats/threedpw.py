"""3DPW (von Marcard et al., ECCV 2018): one or two people outdoors, filmed by a moving camera, from inertial sensors
and video.

The dataset's sequences are pickles, which can run any code, so occlupose does not open them. If you trust them, convert
them once with the code below. A folder then holds SEQUENCE.npz and, for predictions, the dataset's
imageFiles/SEQUENCE/image_00000.jpg, in it or beside it:

    import pickle, sys
    from pathlib import Path
    import numpy as np

    for path in Path("sequenceFiles").rglob("*.pkl"):
        s = pickle.load(path.open("rb"), encoding="latin1")
        np.savez_compressed(
            f"3dpw/{path.stem}.npz",
            jointPositions=np.stack(s["jointPositions"]).reshape(len(s["jointPositions"]), -1, 24, 3),
            poses2d=np.stack(s["poses2d"]),
            campose_valid=np.stack(s["campose_valid"]),
            cam_poses=s["cam_poses"],
            cam_intrinsics=s["cam_intrinsics"],
        )

An .npz has

- `jointPositions` (person, frame, 24, 3): joints of SMPL, m, in the world;
- `campose_valid` (person, frame): whether the camera of that frame fits that person; if not, the person is left out;
- `cam_poses` (frame, 4, 4): from the world to the camera, x right, y down, z forward;
- `cam_intrinsics` (3, 3): [[fx, 0, cx], [0, fy, cy], [0, 0, 1]], px;
- `poses2d` (person, frame, 3, 18), optional: 2D detections, not read;
- `size` (width, height), optional: of the images, px; by default twice the principal point.

Occlusion is not annotated, so the dataset is scored as a whole or by a list of its sequences, such as `OCCLUDED`. Its
usual figures are MPJPE and PA-MPJPE of the 14 joints of `metrics.mupots.SCORED_JOINTS` relative to the pelvis.
"""

from collections.abc import Iterable
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float

from occlupose.cameras import Camera
from occlupose.datasets.image_samples import ImageSample
from occlupose.datasets.images import ImageRef
from occlupose.errors import OccluposeError, unreadable
from occlupose.npz import open_npz
from occlupose.poses import ABSENT, VISIBLE
from occlupose.skeletons import MPI15

SMPL24 = tuple(
    "pelvis left_hip right_hip spine1 left_knee right_knee spine2 left_ankle right_ankle spine3 left_foot right_foot"
    " neck left_collar right_collar head left_shoulder right_shoulder left_elbow right_elbow left_wrist right_wrist"
    " left_hand right_hand".split()
)
"""SMPL's joints in order."""

NEAREST = {joint: "head" if joint == "head_top" else joint for joint in MPI15.joints}
"""SMPL's joint for each of mpi15's. It has no top of the head; its head, at the base of the skull, is the nearest.
Papers regress their 14 joints from SMPL's mesh, which needs SMPL: figures from these joints are close to theirs, not
the same."""

OCCLUDED = tuple(
    "courtyard_backpack courtyard_basketball courtyard_bodyScannerMotions courtyard_box courtyard_golf courtyard_jacket"
    " courtyard_laceShoe downtown_stairs flat_guitar flat_packBags outdoors_climbing outdoors_crosscountry"
    " outdoors_fencing outdoors_freestyle outdoors_golf outdoors_parcours outdoors_slalom".split()
)
"""3DPW-OCC, the sequences in which objects occlude people (Zhang, Huang and Wang, CVPR 2020), without the take's
number: all takes of all splits. The list is that of ROMP's code (Sun et al., ICCV 2021)."""

ARRAYS = ("jointPositions", "campose_valid", "cam_poses", "cam_intrinsics", "size")
"""Those of a file that are read."""

_HINT = "convert it again, as in occlupose.datasets.formats.threedpw"


def load(folder: Path, sequences: Iterable[str] = ()) -> list[ImageSample]:
    """Every image of these sequences in order, images without people too; MPI15 joints.

    The names of the images are "downtown_stairs_00/image_00000.jpg" and so on; the images themselves may be missing.
    Keypoints are the projected 3D joints, NaN behind the camera. Occlusion is not annotated.

    Arguments:
        folder: of .npz files as above.
        sequences: "downtown_stairs" (all its takes) or "downtown_stairs_00"; by default all that are there.

    Raises:
        OccluposeError: a file is missing or damaged.
    """
    if not folder.is_dir():
        raise OccluposeError(f"{folder}: no such folder; give one of 3DPW's sequences as .npz files")
    files = {path.stem: path for path in sorted(folder.glob("*.npz"))}
    if not files:
        raise OccluposeError(
            f"{folder}: no .npz file in it; convert 3DPW's sequences as in occlupose.datasets.formats.threedpw"
        )
    asked = tuple(sequences)
    for name in asked:
        if not any(is_take_of(stem, (name,)) for stem in files):
            raise OccluposeError(f"{folder}: no {name} in it, but {', '.join(files)}; give these, or convert it too")
    beside = folder.parent / "imageFiles"
    images = folder / "imageFiles"
    if beside.is_dir() and not images.is_dir():
        images = beside
    return [
        sample
        for stem, path in files.items()
        if not asked or is_take_of(stem, asked)
        for sample in _sequence(path, images)
    ]


def is_take_of(sequence: str, names: Iterable[str] = OCCLUDED) -> bool:
    """Whether a sequence is one of these or a take of one: "downtown_stairs_00" is a take of "downtown_stairs"."""
    return any(sequence == name or sequence.rpartition("_")[0] == name for name in names)


def to_mpi15(joints: Float[np.ndarray, "*any 24 d"]) -> Float[np.ndarray, "*any 15 d"]:
    """MPI15 joints from SMPL's, by `NEAREST`."""
    return joints[..., [SMPL24.index(NEAREST[joint]) for joint in MPI15.joints], :]


def _sequence(path: Path, images: Path) -> list[ImageSample]:
    joints, valid, poses, camera = _read(path)
    homogeneous = np.concatenate([to_mpi15(joints), np.ones((*joints.shape[:2], len(MPI15), 1))], -1)
    xyz = np.einsum("fij,pfkj->fpki", poses[:, :3], homogeneous)
    return [
        _sample(images / path.stem / f"image_{number:05}.jpg", path.stem, camera, people[there])
        for number, (people, there) in enumerate(zip(xyz, valid.T, strict=True))
    ]


def _sample(image: Path, sequence: str, camera: Camera, xyz: Float[np.ndarray, "person 15 3"]) -> ImageSample:
    xy = camera.project(xyz)
    return ImageSample(
        image=ImageRef(image),
        size=(camera.width, camera.height),
        skeleton=MPI15,
        xy=xy,
        state=np.where(np.isfinite(xy).all(-1), VISIBLE, ABSENT).astype(np.uint8),
        xyz=xyz,
        camera=camera,
        occlusion_annotated=False,
        sequence=sequence,
    )


_Content = tuple[
    Float[np.ndarray, "person frame 24 3"], Bool[np.ndarray, "person frame"], Float[np.ndarray, "frame 4 4"], Camera
]


def _read(path: Path) -> _Content:
    """Joints, validity, camera poses and camera of a sequence."""
    try:
        with open_npz(path) as file:
            content = {name: file[name] for name in file if name in ARRAYS}
    except OSError as error:
        raise unreadable(path, error, _HINT) from error
    except ValueError as error:
        raise OccluposeError(f"{path}: not a whole .npz of plain arrays ({error}); {_HINT}") from error
    joints = _array(path, content, "jointPositions", (None, None, len(SMPL24), 3))
    people, count = joints.shape[:2]
    if not people or not count:
        raise OccluposeError(f"{path}: no people or no frames in it; {_HINT}")
    valid = _array(path, content, "campose_valid", (people, count)) != 0
    poses = _array(path, content, "cam_poses", (count, 4, 4))
    matrix = _array(path, content, "cam_intrinsics", (3, 3))
    if not np.allclose(poses[:, :3, :3] @ poses[:, :3, :3].swapaxes(-1, -2), np.eye(3), atol=1e-3):
        raise OccluposeError(f"{path}: cam_poses are not rigid; they must be rotations and positions; {_HINT}")
    size = _array(path, content, "size", (2,)) if "size" in content else np.round(2 * matrix[:2, 2])
    try:
        camera = Camera.from_matrix(matrix, *size.astype(int).tolist())
    except OccluposeError as error:
        raise OccluposeError(f"{path}: cam_intrinsics: {error}") from error
    return joints, valid, poses, camera


def _array(path: Path, content: dict[str, np.ndarray], name: str, shape: tuple[int | None, ...]) -> np.ndarray:
    if name not in content:
        raise OccluposeError(f"{path}: no {name} in it, but {', '.join(content) or 'nothing'}; {_HINT}")
    array = content[name]
    sides = zip(array.shape, shape, strict=False)
    fits = array.ndim == len(shape) and all(wanted in (None, given) for given, wanted in sides)
    if not fits or array.dtype.kind not in "fiub":
        wanted = ", ".join("any" if size is None else str(size) for size in shape)
        raise OccluposeError(
            f"{path}: {name} has shape {array.shape} of {array.dtype}; it must be numbers of shape ({wanted}); {_HINT}"
        )
    if not np.isfinite(array).all():
        raise OccluposeError(f"{path}: {name} has numbers that are not finite; {_HINT}")
    return array.astype(np.float64)
