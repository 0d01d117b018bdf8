"""Occlusion labels of people in 3D, for datasets without such labels or to replace them.

HUPOR (arXiv 2208.00090) derives them from bodies that are fitted to skeletons (`ssf`). Cylinders are OANet's fast
method, here with the cylinders of all people in the image.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
from jaxtyping import Bool, Float, UInt8
from rich.progress import track
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from occlupose.datasets.formats.masks import MaskFolder
from occlupose.datasets.image_samples import ImageSample
from occlupose.files import atomic
from occlupose.methods.hupor.ssf.label import SSFInput, label_occlusion
from occlupose.methods.hupor.ssf.network import SSF
from occlupose.methods.hupor.ssf.predict import make_fitter
from occlupose.occlusion.labels import hidden_by_cylinders, label_states
from occlupose.occlusion.surfaces import Occlusion
from occlupose.poses import ABSENT, OCCLUDED, VISIBLE
from occlupose.skeletons import MPI15
from occlupose.training.loop import fingerprint

LabelSource = Literal["dataset", "cylinders", "ssf", "none"]

Labeller = Callable[[Sequence[SSFInput]], list[Occlusion]]
"""Fits bodies to the people of images, and says which joints they hide (`ssf.label.label_occlusion`)."""

SAVE_EVERY = 100
"""Number of images after which the labels of fitted bodies are saved."""


@dataclass(frozen=True, eq=False)
class BodyLabels:
    """Labels by fitted bodies.

    Attributes:
        label: fits the bodies, which takes seconds per image.
        masks: of the people; None without.
        needs_images: whether `label` needs the images.
        identity: of networks and masks; labels in a file are used again only with the same.
    """

    label: Labeller = label_occlusion
    masks: MaskFolder | None = None
    needs_images: bool = False
    identity: str = ""

    def hidden_joints(self, sample: ImageSample) -> Bool[np.ndarray, "person 15"]:
        """Which joints the bodies hide."""
        assert sample.camera is not None
        xyz = joint_positions(sample)
        hidden = np.zeros(xyz.shape[:2], bool)
        usable = np.isfinite(xyz).all(-1).any(-1)  # people without 3D joints hide nothing
        if usable.any():
            masks = None if self.masks is None else self.masks.read(sample)
            people = SSFInput(
                xyz[usable].astype(np.float32),
                MPI15,
                sample.camera,
                None if masks is None else masks[usable],
                sample.read() if self.needs_images else None,
            )
            (occlusion,) = self.label([people])
            hidden[usable] = occlusion.state == OCCLUDED
        return hidden


def label_with_networks(ssf: SSF) -> Labeller:
    """Bodies by networks; where nobody in an image has a mask, which they need, by optimisation."""
    fitter = make_fitter(ssf)

    def label(inputs: Sequence[SSFInput]) -> list[Occlusion]:
        masked = [people.masks is not None and bool(people.masks.any()) for people in inputs]
        return [
            label_occlusion([people], body=ssf.body, fitter=fitter if has_mask else None, size=ssf.size)[0]
            for people, has_mask in zip(inputs, masked, strict=True)
        ]

    return label


def relabel(
    samples: Sequence[ImageSample],
    source: LabelSource,
    *,
    bodies: BodyLabels = BodyLabels(),
    cache: Path | None = None,
    progress: bool = False,
) -> list[ImageSample]:
    """The same people with other states of their joints; absent joints stay absent.

    Cylinders and fitted bodies ignore objects in front of people. Where the depth of a joint or the camera is unknown,
    the state of the dataset stays.

    Arguments:
        source: "dataset" keeps all states; "cylinders": joints behind a cylinder of anybody in the image are hidden;
            "ssf": joints behind bodies fitted to the skeletons are; "none": all annotated joints are visible.
        bodies: how "ssf" fits them.
        cache: a file for the labels of fitted bodies, written as they are made and read when the same people are
            labelled again.
        progress: show a progress bar.

    Raises:
        OccluposeError: as `bodies.label`; masks or images cannot be read; the file could not be written.
    """
    if source == "dataset":
        return list(samples)
    if source == "none":
        states = [np.where(sample.state != ABSENT, VISIBLE, ABSENT).astype(np.uint8) for sample in samples]
        return _with_states(samples, states)
    if source == "cylinders":
        return _with_states(samples, [_relabel(sample, _behind_cylinders) for sample in samples])
    identity = fingerprint(part for sample in samples for part in (joint_positions(sample), sample.state))
    identity += bodies.identity
    states = [] if cache is None else _read_cache(cache, identity, samples)
    for sample in track(samples[len(states) :], "fitting bodies", disable=not progress):
        states.append(_relabel(sample, bodies.hidden_joints))
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
    sample: ImageSample, hide: Callable[[ImageSample], Bool[np.ndarray, "person 15"]]
) -> UInt8[np.ndarray, "person 15"]:
    if sample.camera is None:
        return sample.state
    return label_states(sample.state, joint_positions(sample), hide(sample))


def _behind_cylinders(sample: ImageSample) -> Bool[np.ndarray, "person 15"]:
    return hidden_by_cylinders(joint_positions(sample), MPI15)
