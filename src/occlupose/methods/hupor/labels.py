"""What is hidden in a picture of people in 3D, where the dataset does not say it, or as another means says it.

HUPOR (arXiv 2208.00090) learns what is hidden from bodies that are fitted to skeletons (`ssf`). Cylinders are OANet's
quick means, here those of everybody in the picture.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from jaxtyping import Bool, Float, UInt8
from rich.progress import track
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from occlupose.datasets.image_samples import ImageSample
from occlupose.files import atomic
from occlupose.methods.hupor.ssf.label import SSFInput, label_occlusion
from occlupose.occlusion.cylinders import DEPTH_MARGIN, LIMB_RADIUS, OcclusionRules, place_cylinders, self_occluded
from occlupose.occlusion.surfaces import Occlusion
from occlupose.poses import ABSENT, OCCLUDED, VISIBLE
from occlupose.skeletons import MPI15
from occlupose.training.loop import fingerprint

LabelSource = Literal["dataset", "cylinders", "ssf", "none"]

SAVE_EVERY = 100
"""Pictures after which what bodies say is written down."""

RULES = OcclusionRules(margin=LIMB_RADIUS)
"""Of a body's own cylinders: a joint must be a limb's radius further away than the part before it. Ours: with less,
shoulders too often hide behind a torso that is as deep as it is wide."""


def relabel(
    samples: Sequence[ImageSample],
    by: LabelSource,
    *,
    ssf: Callable[[Sequence[SSFInput]], list[Occlusion]] = label_occlusion,
    keep: Path | None = None,
    progress: bool = False,
) -> list[ImageSample]:
    """The same people with other states of their joints; absent joints stay absent.

    Cylinders and fitted bodies know nothing of things that stand in the way. Where they cannot judge, since a joint's
    depth or the camera is not known, the state stays that of the dataset.

    Arguments:
        by: "dataset" leaves all as it is; "cylinders": hidden is what a cylinder of anybody in the picture hides;
            "ssf": what bodies hide that are fitted to the skeletons; "none": everything that is annotated is visible.
        ssf: fits the bodies, which takes seconds for a picture.
        keep: file for what it says, from which that is taken when these people are asked for again; written as it goes.
        progress: show how far that is.

    Raises:
        OccluposeError: as `ssf`; the file could not be written.
    """
    if by == "dataset":
        return list(samples)
    if by == "none":
        return [
            replace(sample, state=np.where(sample.state != ABSENT, VISIBLE, ABSENT).astype(np.uint8))
            for sample in samples
        ]
    if by == "cylinders":
        return [_judged(sample, hidden_by_cylinders(joint_positions(sample))) for sample in samples]
    same = fingerprint(part for sample in samples for part in (joint_positions(sample), sample.state))
    states = [] if keep is None else _kept(keep, same, samples)
    for number in track(range(len(states), len(samples)), "fitting bodies", disable=not progress):
        states.append(_fitted(samples[number], ssf).state)
        if keep is not None and (len(states) % SAVE_EVERY == 0 or len(states) == len(samples)):
            with atomic(keep) as temporary:
                save_file({"state": np.concatenate(states)}, temporary, {"same": same, "crowds": str(len(states))})
    return [replace(sample, state=state) for sample, state in zip(samples, states, strict=True)]


def _kept(path: Path, same: str, samples: Sequence[ImageSample]) -> list[UInt8[np.ndarray, "person 15"]]:
    """States of as many samples as a file has, if it is of these samples."""
    try:
        with safe_open(path, "np") as file:
            header = file.metadata() or {}
            if header.get("same") != same:
                return []
            counts = [len(sample) for sample in samples[: int(header["crowds"])]]
            return np.split(file.get_tensor("state"), np.cumsum(counts)[:-1])
    except (SafetensorError, OSError, KeyError, ValueError):
        return []


def joint_positions(sample: ImageSample) -> Float[np.ndarray, "person 15 3"]:
    """Where joints are in the camera's frame, m, float64; NaN where that is not known."""
    return np.full((*sample.state.shape, 3), np.nan) if sample.xyz is None else sample.xyz


def hidden_by_cylinders(xyz: Float[np.ndarray, "person 15 3"]) -> Bool[np.ndarray, "person 15"]:
    """Which joints are hidden from the camera by the cylinders of anybody.

    Those of the body itself are those of `occlusion.cylinders`. Of others, a joint is hidden that lies further away
    than the nearest point of a cylinder's axis, as the camera sees it, and looks no further off it than the radius
    (ours: OANet's bodies are alone).

    Arguments:
        xyz: MPI15 joints, m, camera frame; those that are NaN are never hidden, and hide nothing.
    """
    joints = torch.from_numpy(xyz)
    own = self_occluded(joints, MPI15, rules=RULES).numpy()
    if len(xyz) < 2:
        return own
    start, end, radius = (part.numpy() for part in place_cylinders(joints, MPI15))
    distance = np.linalg.norm(xyz, axis=-1)
    sight = (xyz / distance[..., None]).reshape(-1, 3)
    starts = start.reshape(-1, 3)
    axes = (end - start).reshape(-1, 3)
    # along each line of sight; the rest is what it sees of a part, by Pythagoras
    away, tilt = sight @ starts.T, sight @ axes.T
    across = (starts**2).sum(-1) - away**2
    slant = (starts * axes).sum(-1) - away * tilt
    length = (axes**2).sum(-1) - tilt**2
    share = np.clip(-slant / np.maximum(length, np.finfo(float).tiny), 0, 1)
    off = across + 2 * share * slant + share**2 * length
    nearer = distance.reshape(-1, 1) - (away + share * tilt) >= DEPTH_MARGIN
    covered = ((off <= radius.reshape(-1) ** 2) & nearer & (away + share * tilt > 0)).reshape(
        *xyz.shape[:2], len(xyz), -1
    )
    others = ~np.eye(len(xyz), dtype=bool)[:, None, :, None]
    return own | (covered & others).any((2, 3))


def _judged(sample: ImageSample, behind: Bool[np.ndarray, "person 15"]) -> ImageSample:
    known = (sample.state != ABSENT) & np.isfinite(sample.z) & (sample.camera is not None)
    state: UInt8[np.ndarray, "person 15"] = np.where(known, np.where(behind, OCCLUDED, VISIBLE), sample.state).astype(
        np.uint8
    )
    return replace(sample, state=state)


def _fitted(sample: ImageSample, ssf: Callable[[Sequence[SSFInput]], list[Occlusion]]) -> ImageSample:
    xyz = joint_positions(sample).astype(np.float32)
    whom = np.isfinite(xyz).all(-1).any(-1)  # people of whom nothing is known in 3D hide nothing
    if sample.camera is None or not whom.any():
        return sample
    (occlusion,) = ssf([SSFInput(xyz[whom], MPI15, sample.camera)])
    behind = np.zeros(sample.state.shape, bool)
    behind[whom] = occlusion.state == OCCLUDED
    return _judged(sample, behind)
