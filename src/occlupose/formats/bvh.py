"""BVH files of motion (Biovision hierarchy) of one person, as Blender, MotionBuilder and Maya read them.

Joints are the segments of `kinematics.body_tree`, named so, in a T-pose: x to the person's left, y up, z forward. An
offset is where a segment begins, from where its parent begins, in metres. End sites are the tips of head, hands and
toes. Channels are Xposition, Yposition, Zposition (of the pelvis only), then Zrotation, Xrotation, Yrotation in
degrees: turns about z, x and y of what was turned before. The motion is in the axes x right, y up, z towards the
camera. Where the record has a world, y = 0 is the floor and the origin lies on it, straight below the camera; else up
is that of the image, and the camera the origin. Every frame of the record has its line; where a person has no skeleton
the nearest frame that has one is repeated, since BVH has no absence.
"""

import csv
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import numpy as np
from jaxtyping import Bool, Float, Float64, Int
from scipy.ndimage import distance_transform_edt

from occlupose.formats.tables import to_cells
from occlupose.kinematics import BodyTree, SkeletonFit, body_tree
from occlupose.kinematics.isb import turns
from occlupose.poses import Poses

__all__ = ["write"]

SEQUENCE: Final = "ZXY"
TIPS = {"head": "head_top"} | {
    f"{side}_{segment}": f"{side}_{point}"
    for side in ("left", "right")
    for segment, point in (("hand", "hand"), ("toes", "big_toe"))
}
"""The point at the end of each segment that carries no other."""


def write(poses: Poses, path: Path, fit: SkeletonFit) -> None:
    """Writes one person. Raises OSError.

    Arguments:
        fit: of this person, with y up.
    """
    tree = body_tree()
    frames = _nearest(fit.known[:, 0])
    degrees = _euler(fit.relative()[frames, 0])[:, _depth_first(tree)]
    numbers = np.concatenate([fit.root[frames, 0], degrees.reshape(len(frames), -1)], 1, dtype=np.float32)
    with path.open("w", newline="", encoding="utf-8") as file:
        file.writelines(f"{line}\n" for line in _hierarchy(tree, fit.bone_offsets[0], _origins(tree, fit)))
        file.write(f"MOTION\nFrames: {len(frames)}\nFrame Time: {1 / poses.fps:.9g}\n")
        csv.writer(file, delimiter=" ", lineterminator="\n").writerows(to_cells(numbers))


def _nearest(known: Bool[np.ndarray, "time"]) -> Int[np.ndarray, "time"]:
    """Of each frame, itself or the nearest one that is known."""
    (frames,) = distance_transform_edt(~known, return_distances=False, return_indices=True)
    return frames


def _children(tree: BodyTree, segment: int) -> list[int]:
    return [child for child, parent in enumerate(tree.parents) if parent == segment]


def _depth_first(tree: BodyTree, segment: int = 0) -> list[int]:
    """A segment and those that hang on it, in the order of the file."""
    below = [_depth_first(tree, child) for child in _children(tree, segment)]
    return [segment, *(each for branch in below for each in branch)]


def _origins(tree: BodyTree, fit: SkeletonFit) -> Float[np.ndarray, "segment 3"]:
    """Where each segment begins, from where its parent begins, metres; the pelvis begins at its joint."""
    carrier = tree.carrier.tolist()
    starts = [0, *(tree.start[carrier.index(segment)] for segment in range(1, len(tree.segments)))]
    return np.concatenate([np.zeros((1, 3), np.float32), fit.bone_offsets[0]])[starts]


def _hierarchy(
    tree: BodyTree,
    offsets: Float[np.ndarray, "bone 3"],
    origins: Float[np.ndarray, "segment 3"],
    segment: int = 0,
    depth: int = 0,
) -> Iterator[str]:
    """The lines of a segment and of those that hang on it."""
    name = tree.segments[segment]
    tab = "\t" * depth
    turned = " ".join(f"{axis}rotation" for axis in SEQUENCE)
    yield from ("HIERARCHY", f"ROOT {name}") if segment == 0 else (f"{tab}JOINT {name}",)
    yield f"{tab}{{"
    yield f"{tab}\tOFFSET {_text(origins[segment])}"
    moved = "Xposition Yposition Zposition " if segment == 0 else ""
    yield f"{tab}\tCHANNELS {6 if moved else 3} {moved}{turned}"
    for child in _children(tree, segment):
        yield from _hierarchy(tree, offsets, origins, child, depth + 1)
    if name in TIPS:
        tip = offsets[tree.points.index(TIPS[name]) - 1]
        yield from (f"{tab}\tEnd Site", f"{tab}\t{{", f"{tab}\t\tOFFSET {_text(tip)}", f"{tab}\t}}")
    yield f"{tab}}}"


def _text(vector: Float[np.ndarray, "3"]) -> str:
    return " ".join(map(str, to_cells(np.asarray(vector, np.float32))))


def _euler(rotation: Float64[np.ndarray, "time segment 3 3"]) -> Float64[np.ndarray, "time segment 3"]:
    """Degrees about z, x and y; of the two ways to say a rotation the one nearer to the frame before, so that curves
    stay smooth when x passes 90 degrees. Ours.
    """
    angles = np.degrees(turns(rotation, SEQUENCE)) + 0.0  # no -0
    for frame in range(1, len(angles)):
        before = angles[frame - 1]
        ways = np.stack([angles[frame], (180, 180, 180) + angles[frame] * (1, -1, 1)])
        ways += 360 * np.round((before - ways) / 360)
        nearer = np.abs(ways - before).sum(-1).argmin(0)
        angles[frame] = np.take_along_axis(ways, nearer[None, :, None], 0)[0]
    return angles
