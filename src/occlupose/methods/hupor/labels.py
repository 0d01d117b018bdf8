"""Occlusion labels of people in 3D for images whose dataset does not have them, or according to another method.

HUPOR (arXiv 2208.00090) learns them from bodies that are fitted to skeletons (`ssf`). Cylinders are OANet's fast
method, here with the cylinders of everybody in the image.
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
"""Number of images after which the labels of fitted bodies are saved."""

RULES = OcclusionRules(margin=LIMB_RADIUS)
"""For a body's own cylinders: a joint is hidden if it lies a limb's radius further away than the part in front. Ours:
with less, shoulders too often hide behind a torso that is as deep as it is wide.
"""


def relabel(
    samples: Sequence[ImageSample],
    source: LabelSource,
    *,
    ssf: Callable[[Sequence[SSFInput]], list[Occlusion]] = label_occlusion,
    cache: Path | None = None,
    progress: bool = False,
) -> list[ImageSample]:
    """The same people with other states of their joints; absent joints stay absent.

    Cylinders and fitted bodies do not know objects in front of people. Where they cannot decide, because the depth of a
    joint or the camera is unknown, the state of the dataset stays.

    Arguments:
        source: "dataset" keeps all states; "cylinders": joints behind a cylinder of anybody in the image are hidden;
            "ssf": joints behind bodies fitted to the skeletons are; "none": all annotated joints are visible.
        ssf: fits the bodies, which takes seconds per image.
        cache: a file for the labels of fitted bodies, written as they are made and read when the same people are
            labelled again.
        progress: show a progress bar.

    Raises:
        OccluposeError: as `ssf`; the file could not be written.
    """
    if source == "dataset":
        return list(samples)
    if source == "none":
        return [_with_state(sample, np.where(sample.state != ABSENT, VISIBLE, ABSENT)) for sample in samples]
    if source == "cylinders":
        return [_with_hidden(sample, hidden_by_cylinders(joint_positions(sample))) for sample in samples]
    same = fingerprint(part for sample in samples for part in (joint_positions(sample), sample.state))
    states = [] if cache is None else _read_cache(cache, same, samples)
    for number in track(range(len(states), len(samples)), "fitting bodies", disable=not progress):
        states.append(_fit(samples[number], ssf).state)
        if cache is not None and (len(states) % SAVE_EVERY == 0 or len(states) == len(samples)):
            with atomic(cache) as temporary:
                header = {"same": same, "crowds": str(len(states))}  # keys of existing files
                save_file({"state": np.concatenate(states)}, temporary, header)
    return [replace(sample, state=state) for sample, state in zip(samples, states, strict=True)]


def _read_cache(path: Path, same: str, samples: Sequence[ImageSample]) -> list[UInt8[np.ndarray, "person 15"]]:
    """States of as many samples as the file has, if it belongs to these samples."""
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
    """Joints in the camera frame, m, float64; NaN where unknown."""
    return np.full((*sample.state.shape, 3), np.nan) if sample.xyz is None else sample.xyz


def hidden_by_cylinders(xyz: Float[np.ndarray, "person 15 3"]) -> Bool[np.ndarray, "person 15"]:
    """Which joints are hidden from the camera by anybody's cylinders.

    Self-occlusion is that of `occlusion.cylinders`. A cylinder of another person hides a joint that lies behind it: the
    line of sight passes the cylinder's axis within its radius, and the nearest point of the axis is nearer to the
    camera (ours: OANet's bodies are alone).

    Arguments:
        xyz: MPI15 joints, m, camera frame; joints that are NaN are not hidden and hide nothing.
    """
    joints = torch.from_numpy(xyz)
    own = self_occluded(joints, MPI15, rules=RULES).numpy()
    if len(xyz) < 2:
        return own
    cylinders = place_cylinders(joints, MPI15)
    start = cylinders[0].numpy()
    end = cylinders[1].numpy()
    radius = cylinders[2].numpy()
    distance = np.linalg.norm(xyz, axis=-1)
    sight = (xyz / distance[..., None]).reshape(-1, 3)
    starts = start.reshape(-1, 3)
    axes = (end - start).reshape(-1, 3)
    # components along each line of sight; those across follow by Pythagoras
    start_along = sight @ starts.T
    axis_along = sight @ axes.T
    start_across = (starts**2).sum(-1) - start_along**2
    product_across = (starts * axes).sum(-1) - start_along * axis_along
    axis_across = (axes**2).sum(-1) - axis_along**2
    share = np.clip(-product_across / np.maximum(axis_across, np.finfo(float).tiny), 0, 1)
    distance_across = start_across + 2 * share * product_across + share**2 * axis_across
    along = start_along + share * axis_along
    nearer = distance.reshape(-1, 1) - along >= DEPTH_MARGIN
    covered = (distance_across <= radius.reshape(-1) ** 2) & nearer & (along > 0)
    covered = covered.reshape(*xyz.shape[:2], len(xyz), -1)
    others = ~np.eye(len(xyz), dtype=bool)[:, None, :, None]
    return own | (covered & others).any((2, 3))


def _with_state(sample: ImageSample, state: np.ndarray) -> ImageSample:
    return replace(sample, state=state.astype(np.uint8))


def _with_hidden(sample: ImageSample, hidden: Bool[np.ndarray, "person 15"]) -> ImageSample:
    """The sample with these joints occluded and all others visible, where their position is known."""
    known = (sample.state != ABSENT) & np.isfinite(sample.z) & (sample.camera is not None)
    return _with_state(sample, np.where(known, np.where(hidden, OCCLUDED, VISIBLE), sample.state))


def _fit(sample: ImageSample, ssf: Callable[[Sequence[SSFInput]], list[Occlusion]]) -> ImageSample:
    xyz = joint_positions(sample).astype(np.float32)
    usable = np.isfinite(xyz).all(-1).any(-1)  # people without any 3D joint hide nothing
    if sample.camera is None or not usable.any():
        return sample
    (occlusion,) = ssf([SSFInput(xyz[usable], MPI15, sample.camera)])
    hidden = np.zeros(sample.state.shape, bool)
    hidden[usable] = occlusion.state == OCCLUDED
    return _with_hidden(sample, hidden)
