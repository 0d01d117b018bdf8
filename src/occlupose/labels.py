"""Occlusion labels for 3D poses: which joints the body hides by itself from the data's own camera, or from virtual
ones.

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
from occlupose.datasets.cmu import Clip, read_clip
from occlupose.datasets.sequence import PoseSequence
from occlupose.errors import OccluposeError
from occlupose.occlusion.cylinders import OURS, PAPER, OcclusionRules, self_occluded
from occlupose.poses import ABSENT, OCCLUDED, VISIBLE, Poses
from occlupose.skeletons import BODY22, H36M17, Skeleton
from occlupose.synth.virtual_cameras import level_rotations, paper_rotations

SIZE = 1000
"""Pixels to a side of what virtual cameras see, unless a camera says otherwise."""

DISTANCE = (2.0, 9.0)
"""Metres from a virtual camera to the middle of the motion; drawn evenly in its logarithm. Ours."""

NEAREST = 0.6
"""Metres in front of a camera that nobody comes closer than. Ours."""

FILLED = 0.95
"""Of the picture, from its middle to its border, is for the motion."""

RULES = {"paper": PAPER, "ours": OURS}

FRONT = np.diag([1.0, -1.0, -1.0])
"""Half a turn about x: between a world with y up and a camera that looks at its front."""


@dataclass(frozen=True)
class Look:
    """How poses are looked at.

    Attributes:
        views: virtual cameras for each take; 0 is the data's own camera.
        perspective: ours; False is the paper's camera, which looks along +z.
        camera: size and lens of virtual cameras; of an orthographic one the size only.
        rules: what hides a joint.
        seed: of the virtual cameras, together with the take's name.

    Raises:
        OccluposeError: a negative number of views, or a lens whose middle is outside of its picture.
    """

    views: int = 0
    perspective: bool = True
    camera: Camera = field(default_factory=lambda: Camera.from_fov(SIZE, SIZE))
    rules: OcclusionRules = OURS
    seed: int = 0

    def __post_init__(self) -> None:
        if self.views < 0:
            raise OccluposeError(
                f"views: {self.views}; give the number of virtual cameras, 0 for the data's own camera"
            )
        if self.perspective and min(self.room) <= 0:
            raise OccluposeError(
                "camera: its principal point lies outside of its image; virtual cameras need one inside"
            )

    @property
    def room(self) -> tuple[float, float]:
        """Pixels from the lens' middle to the nearest border, across and down."""
        return (
            min(self.camera.cx + 0.5, self.camera.width - 0.5 - self.camera.cx),
            min(self.camera.cy + 0.5, self.camera.height - 0.5 - self.camera.cy),
        )


def label(poses: Poses, *, perspective: bool = True, rules: OcclusionRules = OURS) -> Poses:
    """The same poses, with the state of every joint from the Cylinder Man: occluded where the person's own body hides
    it.

    Other people and things hide nothing here. Joints without `xyz` keep the state that they have.

    Arguments:
        poses: with `xyz`.
        perspective: False looks along +z, as the paper does.

    Raises:
        OccluposeError: the poses are 2D, or their skeleton lacks a joint that the Cylinder Man needs.
    """
    xyz = _in_3d(poses)
    hides = self_occluded(torch.from_numpy(xyz), poses.skeleton, perspective=perspective, rules=rules).numpy()
    known = (poses.state != ABSENT) & np.isfinite(xyz).all(-1)
    return replace(poses, state=np.where(known, np.where(hides, OCCLUDED, VISIBLE), poses.state))


def seen_from(
    poses: Poses, rotation: Float[np.ndarray, "3 3"], distance: float, camera: Camera, *, perspective: bool = True
) -> Poses:
    """The poses as a virtual camera sees them that looks at their middle: all joints in the picture, all visible.

    Arguments:
        poses: with `xyz`, in the frame of a camera that is upright.
        rotation: from a world with y up to the new camera.
        distance: from the camera to the middle of all joints at all times, metres; more where they would leave the
            picture otherwise.
        camera: its size and lens.
        perspective: False gives parallel projection, `xyz` times pixels a metre, in which the motion fills the picture.

    Raises:
        OccluposeError: the poses are 2D.
    """
    around = _in_3d(poses) - _middle(_in_3d(poses))
    turned = (around @ (rotation @ FRONT).T).astype(np.float32)
    look = Look(perspective=perspective, camera=camera)
    room = FILLED * np.array(look.room if perspective else (camera.width / 2, camera.height / 2))
    nearest = np.fmin.reduce(turned[..., 2], axis=None, initial=np.inf)
    away = max(distance, NEAREST - float(nearest)) if np.isfinite(nearest) else distance
    if perspective:
        need = np.abs(turned[..., :2]) * (camera.fx, camera.fy) / room - turned[..., 2:]
        away = float(np.fmax.reduce(need, axis=None, initial=away))
        xyz = turned + np.array([0, 0, away], np.float32)
        xy = camera.project(xyz)
    else:
        xyz = turned + np.array([0, 0, away], np.float32)
        reach = np.fmax.reduce(np.abs(turned[..., :2]) / room, axis=None, initial=1e-9)
        xy = xyz[..., :2] / reach + (np.array([camera.width, camera.height]) - 1) / 2
    there = np.isfinite(xy).all(-1)
    return replace(
        poses,
        xy=np.where(there[..., None], xy, np.nan),
        xyz=np.where(there[..., None], xyz, np.nan),
        score=there,
        state=VISIBLE * there,
        width=camera.width,
        height=camera.height,
        camera=camera if perspective else None,
        observed=None,
    )


def looks(take: PoseSequence, look: Look) -> Iterator[tuple[str, Poses]]:
    """A take labelled from its own camera, or from each virtual one, with a name for each: NAME, or NAME/view000,
    NAME/view001, ...

    Virtual cameras stand as the paper's do where they are orthographic (`paper_rotations`), else as people hold cameras
    (`level_rotations`).

    Raises:
        OccluposeError: as `label`; names the take.
    """
    try:
        if not look.views:
            yield take.name, label(take.poses, perspective=look.perspective, rules=look.rules)
            return
        generator = torch.Generator().manual_seed(zlib.crc32(f"{look.seed} {take.name}".encode()))
        rotations = (level_rotations if look.perspective else paper_rotations)(generator, look.views).double().numpy()
        distances = np.exp(
            torch.empty(look.views).uniform_(*np.log(DISTANCE).tolist(), generator=generator).numpy()
        ).tolist()
        for number, (rotation, distance) in enumerate(zip(rotations, distances, strict=True)):
            seen = seen_from(take.poses, rotation, distance, look.camera, perspective=look.perspective)
            yield f"{take.name}/view{number:03}", label(seen, perspective=look.perspective, rules=look.rules)
    except OccluposeError as error:
        raise OccluposeError(f"{take.name}: {error}") from error


def write(
    takes: Iterable[PoseSequence],
    folder: Path,
    look: Look,
    *,
    skeleton: Skeleton | None = None,
    inputs: Iterable[Path] = (),
) -> Iterator[tuple[Path, Poses]]:
    """Labels takes and writes each view of each as FOLDER/NAME.npz; gives every file with what is in it.

    Arguments:
        skeleton: of what is written; None is the take's own, but h36m17 for motion capture. The labels are made in the
            take's own.
        inputs: files that are not written over.

    Raises:
        OccluposeError: as `looks`, two takes have one name, a name leads out of the folder, a file is one of the
            inputs, or it cannot be written.
    """
    taken = {path.resolve(): "it is an input; give another folder with -o" for path in inputs}
    for take in takes:
        for name, poses in looks(take, look):
            if Path(name).is_absolute() or ".." in Path(name).parts:
                raise OccluposeError(f"{name}: would be written outside of {folder}; rename it in its dataset")
            path = folder / f"{name}.npz"
            if reason := taken.get(path.resolve()):
                raise OccluposeError(f"{path}: not written over; {reason}")
            taken[path.resolve()] = "another input has the same name; label the two into different folders"
            labelled = poses.to(skeleton or (H36M17 if poses.skeleton == BODY22 else poses.skeleton))
            labelled.save(path)
            yield path, labelled


def find(inputs: Iterable[Path], look: Look) -> list[Path]:
    """The files to read: those given (.npz, .json, .amc), and all .amc below folders, in order.

    Raises:
        OccluposeError: an input that is not there or no such file, a folder without motion capture, or motion capture
            without a virtual camera to look at it.
    """
    files: list[Path] = []
    for path in inputs:
        if path.is_dir():
            motions = sorted(path.rglob("*.amc"))
            if not motions:
                raise OccluposeError(
                    f"{path}: no .amc motion capture in it; give a folder that holds some, or files of poses one by one"
                )
            files += motions
        elif path.suffix not in (".npz", ".json", ".amc"):
            raise OccluposeError(
                f"{path}: cannot be labelled; give poses (.npz, .json) or motion capture (.amc, or a folder with some)"
            )
        elif not path.exists():
            raise OccluposeError(
                f"{path}: no such file; give poses (.npz, .json) or motion capture (.amc, or a folder with some)"
            )
        else:
            files.append(path)
    if not files:
        raise OccluposeError(
            "nothing to label; give poses (.npz, .json) or motion capture (.amc, or a folder with some)"
        )
    captured = [path for path in files if path.suffix == ".amc"]
    if captured and not look.views:
        raise OccluposeError(
            f"{captured[0]}: motion capture has no camera of its own; give --views COUNT (the paper has 100)"
        )
    return files


def read(files: Iterable[Path]) -> Iterator[PoseSequence]:
    """What each file holds, as a take of the file's name; motion capture as somebody sees it who stands before it.

    Raises:
        OccluposeError: a file that cannot be read or labelled, or .amc motion without its .asf beside it.
    """
    for path in files:
        if path.suffix == ".amc":
            yield capture(read_clip(path))
            continue
        poses = Poses.load(path)
        try:
            label(poses.select(time=slice(0)))
        except OccluposeError as error:
            raise OccluposeError(f"{path}: {error}") from error
        yield PoseSequence(path.stem, "", "", poses)


def capture(clip: Clip) -> PoseSequence:
    """Motion capture as a take: BODY22 in parallel projection, from in front of the capture's axes. It has no camera of
    its own.
    """
    frames, joints = clip.joints.shape[:2]
    xyz = (clip.joints @ FRONT).astype(np.float32)[:, None]
    empty = Poses(
        xy=xyz[..., :2],
        score=np.ones((frames, 1, joints)),
        state=np.full((frames, 1, joints), VISIBLE),
        xyz=xyz,
        track_id=np.zeros(1),
        time=np.arange(frames) / clip.fps,
        skeleton=BODY22,
        fps=clip.fps,
        width=SIZE,
        height=SIZE,
    )
    front = seen_from(empty, FRONT, DISTANCE[1], Camera.from_fov(SIZE, SIZE), perspective=False)
    return PoseSequence(clip.name, clip.subject, "", front)


def _in_3d(poses: Poses) -> Float[np.ndarray, "time person joint 3"]:
    if poses.xyz is None:
        raise OccluposeError("holds 2D poses, without xyz; lift them first with occlupose lift")
    return poses.xyz


def _middle(xyz: Float[np.ndarray, "time person joint 3"]) -> Float[np.ndarray, "3"]:
    """The mean of all joints that are there; the origin where none is."""
    known = xyz[np.isfinite(xyz).all(-1)].astype(np.float64)
    return known.mean(0) if len(known) else np.zeros(3)
