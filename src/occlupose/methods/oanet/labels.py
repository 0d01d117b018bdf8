"""Occlusion labels for 3D poses: which joints the body itself occludes from the data's own camera or from virtual ones.

OANet sections 4 and 4.2. The labels are the states of ordinary poses: 2 visible, 1 occluded, 0 absent.
"""

import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float

from occlupose.cameras import Camera
from occlupose.datasets.formats.cmu import read_clip
from occlupose.datasets.motion import MotionClip
from occlupose.datasets.sequence import PoseSequence
from occlupose.errors import OccluposeError
from occlupose.files import LEFTOVER_AGE, remove_leftovers
from occlupose.occlusion.cylinders import OURS, PAPER, OcclusionRules
from occlupose.occlusion.labels import label_poses, positions
from occlupose.poses import VISIBLE, Poses
from occlupose.skeletons import BODY22, H36M17, Skeleton
from occlupose.synth.virtual_cameras import level_rotations, paper_rotations

IMAGE_SIZE = 1000
"""Width and height of a virtual camera's image, pixels, by default."""

DISTANCE = (2.0, 9.0)
"""Metres from a virtual camera to the centre of the motion, log-uniform. Ours."""

MIN_DEPTH = 0.6
"""Minimum depth of a joint in a virtual camera, metres. Ours."""

FILLED = 0.95
"""Fraction of the image, from its centre to its border, that the motion may fill."""

OCCLUSION_RULES = {"paper": PAPER, "ours": OURS}

FRONT = np.diag([1.0, -1.0, -1.0])
"""Rotation by 180 degrees about x: from a world with y up to a camera that looks at its front."""

_INPUTS = "give poses (.npz, .json) or motion capture (.amc, or a folder of .amc files)"


@dataclass(frozen=True)
class CameraSetup:
    """The cameras from which poses are labelled.

    Attributes:
        views: virtual cameras per sequence; 0 is the data's own camera.
        perspective: ours; False is the paper's camera, which looks along +z.
        camera: image size and intrinsics of virtual cameras; of an orthographic one the size only.
        rules: what occludes a joint.
        seed: of the virtual cameras, together with the sequence's name.

    Raises:
        OccluposeError: a negative number of views, or a principal point outside the image.
    """

    views: int = 0
    perspective: bool = True
    camera: Camera = field(default_factory=lambda: Camera.from_fov(IMAGE_SIZE, IMAGE_SIZE))
    rules: OcclusionRules = OURS
    seed: int = 0

    def __post_init__(self) -> None:
        if self.views < 0:
            raise OccluposeError(
                f"views: {self.views}; give the number of virtual cameras, 0 for the data's own camera"
            )
        if self.perspective and min(self.margins) <= 0:
            raise OccluposeError(
                "camera: its principal point lies outside of its image; virtual cameras need one inside"
            )

    @property
    def margins(self) -> tuple[float, float]:
        """Pixels from the principal point to the nearest border, across and down."""
        return (
            min(self.camera.cx + 0.5, self.camera.width - 0.5 - self.camera.cx),
            min(self.camera.cy + 0.5, self.camera.height - 0.5 - self.camera.cy),
        )


def view_from(
    poses: Poses, rotation: Float[np.ndarray, "3 3"], distance: float, camera: Camera, *, perspective: bool = True
) -> Poses:
    """The poses in a virtual camera that looks at their centre: all joints in the image, all visible.

    Arguments:
        poses: with `xyz`, in the frame of an upright camera.
        rotation: from a world with y up to the virtual camera.
        distance: from the camera to the mean of all joints over time, metres; increased if they would leave the image.
        camera: image size and intrinsics.
        perspective: False gives orthographic projection, `xyz` times pixels per metre, in which the motion fills the
            image.

    Raises:
        OccluposeError: the poses are 2D.
    """
    centred = positions(poses) - _centre(positions(poses))
    rotated = (centred @ (rotation @ FRONT).T).astype(np.float32)
    setup = CameraSetup(perspective=perspective, camera=camera)
    room = FILLED * np.array(setup.margins if perspective else (camera.width / 2, camera.height / 2))
    nearest = np.fmin.reduce(rotated[..., 2], axis=None, initial=np.inf)
    distance = max(distance, MIN_DEPTH - float(nearest)) if np.isfinite(nearest) else distance
    if perspective:
        needed = np.abs(rotated[..., :2]) * (camera.fx, camera.fy) / room - rotated[..., 2:]
        distance = float(np.fmax.reduce(needed, axis=None, initial=distance))
    xyz = rotated + np.array([0, 0, distance], np.float32)
    if perspective:
        xy = camera.project(xyz)
    else:
        metres_per_pixel = np.fmax.reduce(np.abs(rotated[..., :2]) / room, axis=None, initial=1e-9)
        xy = xyz[..., :2] / metres_per_pixel + (np.array([camera.width, camera.height]) - 1) / 2
    known = np.isfinite(xy).all(-1)
    return replace(
        poses,
        xy=np.where(known[..., None], xy, np.nan),
        xyz=np.where(known[..., None], xyz, np.nan),
        score=known,
        state=VISIBLE * known,
        width=camera.width,
        height=camera.height,
        camera=camera if perspective else None,
        observed=None,
        spread=None,
        covariance=None,
        root_covariance=None,
    )


def label_views(sequence: PoseSequence, setup: CameraSetup) -> Iterator[tuple[str, Poses]]:
    """A sequence labelled from its own camera, or from each virtual one, with a name for each view: NAME, or
    NAME/view000, NAME/view001, ...

    Orthographic virtual cameras are placed as in the paper (`paper_rotations`), perspective ones as people hold cameras
    (`level_rotations`).

    Raises:
        OccluposeError: as `label_poses`, with the sequence's name.
    """
    try:
        if not setup.views:
            yield sequence.name, label_poses(sequence.poses, perspective=setup.perspective, rules=setup.rules)
            return
        generator = torch.Generator().manual_seed(zlib.crc32(f"{setup.seed} {sequence.name}".encode()))
        sample_views = level_rotations if setup.perspective else paper_rotations
        rotations = sample_views(generator, setup.views).double().numpy()
        log_distances = torch.empty(setup.views).uniform_(*np.log(DISTANCE).tolist(), generator=generator)
        distances = np.exp(log_distances.numpy()).tolist()
        for number, (rotation, distance) in enumerate(zip(rotations, distances, strict=True)):
            view = view_from(sequence.poses, rotation, distance, setup.camera, perspective=setup.perspective)
            labelled = label_poses(view, perspective=setup.perspective, rules=setup.rules)
            yield f"{sequence.name}/view{number:03}", labelled
    except OccluposeError as error:
        raise OccluposeError(f"{sequence.name}: {error}") from error


def write_labels(
    sequences: Iterable[PoseSequence],
    folder: Path,
    setup: CameraSetup,
    *,
    skeleton: Skeleton | None = None,
    inputs: Iterable[Path] = (),
) -> Iterator[tuple[Path, Poses]]:
    """Labels sequences, writes each view as FOLDER/NAME.npz, and yields each file with its poses.

    Arguments:
        skeleton: of the files; None is the sequence's own, but h36m17 for motion capture. Labels are computed in the
            sequence's own.
        inputs: files that are never overwritten.

    Raises:
        OccluposeError: as `label_views`, two sequences have one name, a name leads out of the folder, a file is one of
            the inputs, or it cannot be written.
    """
    taken = {path.resolve(): "it is an input; give another folder with -o" for path in inputs}
    for sequence in sequences:
        for name, poses in label_views(sequence, setup):
            if Path(name).is_absolute() or ".." in Path(name).parts:
                raise OccluposeError(f"{name}: would be written outside of {folder}; rename it in its dataset")
            path = folder / f"{name}.npz"
            if reason := taken.get(path.resolve()):
                raise OccluposeError(f"{path}: not overwritten; {reason}")
            taken[path.resolve()] = "another input has the same name; label the two into different folders"
            labelled = poses.to(skeleton or (H36M17 if poses.skeleton == BODY22 else poses.skeleton))
            remove_leftovers(path.parent, [path.stem], older_than=LEFTOVER_AGE)
            labelled.save(path)
            yield path, labelled


def find_files(inputs: Iterable[Path], setup: CameraSetup) -> list[Path]:
    """The files to read, in order: those given (.npz, .json, .amc), and all .amc files in folders.

    Raises:
        OccluposeError: an input does not exist or has another suffix, a folder has no motion capture, or there is
            motion capture without virtual cameras.
    """
    files: list[Path] = []
    for path in inputs:
        if path.is_dir():
            motions = sorted(path.rglob("*.amc"))
            if not motions:
                raise OccluposeError(
                    f"{path}: no .amc motion capture in it; give a folder with .amc files, or files of poses one by one"
                )
            files += motions
        elif path.suffix not in (".npz", ".json", ".amc"):
            raise OccluposeError(f"{path}: cannot be labelled; {_INPUTS}")
        elif not path.exists():
            raise OccluposeError(f"{path}: no such file; {_INPUTS}")
        else:
            files.append(path)
    if not files:
        raise OccluposeError(f"nothing to label; {_INPUTS}")
    motions = [path for path in files if path.suffix == ".amc"]
    if motions and not setup.views:
        raise OccluposeError(
            f"{motions[0]}: motion capture has no camera of its own; give --views COUNT (the paper has 100)"
        )
    return files


def read_sequences(files: Iterable[Path]) -> Iterator[PoseSequence]:
    """The sequence in each file, under the file's name; motion capture as seen from its front.

    Raises:
        OccluposeError: a file cannot be read or labelled, or .amc motion has no .asf file.
    """
    for path in files:
        if path.suffix == ".amc":
            yield clip_to_sequence(read_clip(path))
            continue
        poses = Poses.load(path)
        try:
            label_poses(poses.select(time=slice(0)))
        except OccluposeError as error:
            raise OccluposeError(f"{path}: {error}") from error
        yield PoseSequence(path.stem, "", "", poses)


def clip_to_sequence(clip: MotionClip) -> PoseSequence:
    """Motion capture as a sequence: BODY22 in orthographic projection, from the front of the capture's axes, without a
    camera.
    """
    frames, joints = clip.joints.shape[:2]
    xyz = (clip.joints @ FRONT).astype(np.float32)[:, None]
    poses = Poses(
        xy=xyz[..., :2],
        score=np.ones((frames, 1, joints)),
        state=np.full((frames, 1, joints), VISIBLE),
        xyz=xyz,
        track_id=np.zeros(1),
        time=np.arange(frames) / clip.fps,
        skeleton=BODY22,
        fps=clip.fps,
        width=IMAGE_SIZE,
        height=IMAGE_SIZE,
    )
    camera = Camera.from_fov(IMAGE_SIZE, IMAGE_SIZE)
    return PoseSequence(clip.name, clip.subject, "", view_from(poses, FRONT, DISTANCE[1], camera, perspective=False))


def _centre(xyz: Float[np.ndarray, "time person joint 3"]) -> Float[np.ndarray, "3"]:
    """The mean of all known joints; the origin if there are none."""
    known = xyz[np.isfinite(xyz).all(-1)].astype(np.float64)
    return known.mean(0) if len(known) else np.zeros(3)
