"""Occlusion labels of people in 3D, for datasets without such labels or to replace them.

HUPOR (arXiv 2208.00090) derives them from bodies that are fitted to skeletons (`ssf`). Cylinders are OANet's fast
method, here with the cylinders of all people in the image.
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
"""For a body's own cylinders: a joint is hidden if it lies a limb's radius further away than the part in front. Ours;
with a smaller margin the torso, which is as deep as it is wide, hides shoulders too often.
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

    Cylinders and fitted bodies ignore objects in front of people. Where the depth of a joint or the camera is unknown,
    the state of the dataset stays.

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
    identity = fingerprint(part for sample in samples for part in (joint_positions(sample), sample.state))
    states = [] if cache is None else _read_cache(cache, identity, samples)
    for sample in track(samples[len(states) :], "fitting bodies", disable=not progress):
        states.append(_fit(sample, ssf).state)
        if cache is not None and (len(states) % SAVE_EVERY == 0 or len(states) == len(samples)):
            with atomic(cache) as temporary:
                header = {"same": identity, "crowds": str(len(states))}  # keys of existing files
                save_file({"state": np.concatenate(states)}, temporary, header)
    return [replace(sample, state=state) for sample, state in zip(samples, states, strict=True)]


def _read_cache(path: Path, identity: str, samples: Sequence[ImageSample]) -> list[UInt8[np.ndarray, "person 15"]]:
    """States of the first samples, as many as the file has; none if it was made for other samples."""
    try:
        with safe_open(path, "np") as file:
            header = file.metadata() or {}
            if header.get("same") != identity:
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

    Self-occlusion is that of `occlusion.cylinders`. A cylinder of another person hides a joint if the line of sight
    passes the cylinder's axis within its radius, and the nearest point of the axis is nearer to the camera (ours; OANet
    has one person).

    Arguments:
        xyz: MPI15 joints, m, camera frame; joints that are NaN are not hidden and hide nothing.
    """
    joints = torch.from_numpy(xyz)
    own = self_occluded(joints, MPI15, rules=RULES).numpy()
    if len(xyz) < 2:
        return own
    starts, ends, radii = place_cylinders(joints, MPI15)
    start = starts.numpy().reshape(-1, 3)
    axis = (ends - starts).numpy().reshape(-1, 3)
    radius = radii.numpy().reshape(-1)
    distance = np.linalg.norm(xyz, axis=-1)
    view = (xyz / distance[..., None]).reshape(-1, 3)
    # components along each line of sight; those across follow by Pythagoras
    start_along = view @ start.T
    axis_along = view @ axis.T
    start_across = (start**2).sum(-1) - start_along**2
    product_across = (start * axis).sum(-1) - start_along * axis_along
    axis_across = (axis**2).sum(-1) - axis_along**2
    # the point of the axis that is nearest to the line of sight
    fraction = np.clip(-product_across / np.maximum(axis_across, np.finfo(float).tiny), 0, 1)
    squared_distance = start_across + 2 * fraction * product_across + fraction**2 * axis_across
    along = start_along + fraction * axis_along
    nearer = distance.reshape(-1, 1) - along >= DEPTH_MARGIN
    covered = (squared_distance <= radius**2) & nearer & (along > 0)
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
    usable = np.isfinite(xyz).all(-1).any(-1)  # people without 3D joints hide nothing
    if sample.camera is None or not usable.any():
        return sample
    (occlusion,) = ssf([SSFInput(xyz[usable], MPI15, sample.camera)])
    hidden = np.zeros(sample.state.shape, bool)
    hidden[usable] = occlusion.state == OCCLUDED
    return _with_hidden(sample, hidden)
