"""Occlusion labels of people in 3D, for datasets without such labels or to replace them.

HUPOR (arXiv 2208.00090) derives them from bodies that are fitted to skeletons (`ssf`). Cylinders are OANet's fast
method, here with the cylinders of all people in the image.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Literal

import numpy as np
from jaxtyping import Bool, Float, UInt8
from rich.progress import track
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from occlupose.cameras import Camera
from occlupose.datasets.image_samples import ImageSample
from occlupose.files import atomic
from occlupose.methods.hupor.ssf.label import SSFInput, label_occlusion
from occlupose.occlusion.labels import hidden_by_cylinders, label_states
from occlupose.occlusion.surfaces import Occlusion
from occlupose.poses import ABSENT, OCCLUDED, VISIBLE
from occlupose.skeletons import MPI15
from occlupose.training.loop import fingerprint

LabelSource = Literal["dataset", "cylinders", "ssf", "none"]

SAVE_EVERY = 100
"""Number of images after which the labels of fitted bodies are saved."""


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
        states = [np.where(sample.state != ABSENT, VISIBLE, ABSENT).astype(np.uint8) for sample in samples]
        return _with_states(samples, states)
    if source == "cylinders":
        return _with_states(samples, [_relabel(sample, _behind_cylinders) for sample in samples])
    behind_bodies = partial(_behind_bodies, ssf)
    identity = fingerprint(part for sample in samples for part in (joint_positions(sample), sample.state))
    states = [] if cache is None else _read_cache(cache, identity, samples)
    for sample in track(samples[len(states) :], "fitting bodies", disable=not progress):
        states.append(_relabel(sample, behind_bodies))
        if cache is not None and (len(states) % SAVE_EVERY == 0 or len(states) == len(samples)):
            with atomic(cache) as temporary:
                header = {"same": identity, "crowds": str(len(states))}  # keys of existing files
                save_file({"state": np.concatenate(states)}, temporary, header)
    return _with_states(samples, states)


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


def _with_states(samples: Sequence[ImageSample], states: Sequence[np.ndarray]) -> list[ImageSample]:
    return [replace(sample, state=state) for sample, state in zip(samples, states, strict=True)]


def _relabel(
    sample: ImageSample,
    hide: Callable[[Float[np.ndarray, "person 15 3"], Camera], Bool[np.ndarray, "person 15"]],
) -> UInt8[np.ndarray, "person 15"]:
    if sample.camera is None:
        return sample.state
    xyz = joint_positions(sample)
    return label_states(sample.state, xyz, hide(xyz, sample.camera))


def _behind_cylinders(xyz: Float[np.ndarray, "person 15 3"], _: Camera) -> Bool[np.ndarray, "person 15"]:
    return hidden_by_cylinders(xyz, MPI15)


def _behind_bodies(
    ssf: Callable[[Sequence[SSFInput]], list[Occlusion]], xyz: Float[np.ndarray, "person 15 3"], camera: Camera
) -> Bool[np.ndarray, "person 15"]:
    usable = np.isfinite(xyz).all(-1).any(-1)  # people without 3D joints hide nothing
    hidden = np.zeros(xyz.shape[:2], bool)
    if usable.any():
        (occlusion,) = ssf([SSFInput(xyz[usable].astype(np.float32), MPI15, camera)])
        hidden[usable] = occlusion.state == OCCLUDED
    return hidden
