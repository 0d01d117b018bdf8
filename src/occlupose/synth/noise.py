"""How a front end errs in 2D: a model whose figures are measured on real video, and samples of it for training.

Ours. Lengths are in sides of the person's square box, so that the figures hold for people of any size.
"""

import json
import math
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from importlib.resources import files
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Bool, Float
from scipy.ndimage import median_filter
from scipy.signal import savgol_coeffs, savgol_filter
from torch import Generator, Tensor

from occlupose.errors import OccluposeError
from occlupose.files import atomic
from occlupose.skeletons import BODY22, COCO17

SIDES = list(BODY22.mirror)
WINDOW = 7
"""Frames through which the true motion is taken to be a parabola."""
RATE = 30.0
"""Frames a second that the model is for."""
SLOWEST = 50.0
"""Frames a second of video under which people move too far in WINDOW frames to tell their motion from the noise."""
OUTLIER = 6.0
"""A joint is an outlier when its residual is this many standard deviations of the jitter, and at least
LEAST_OUTLIER.
"""
LEAST_OUTLIER = 0.05
BELIEVED = 0.3
"""The least evidence of a joint that is believed (OANet's b)."""
HIDDEN_DISTANCE = 0.25
"""Root mean square distance of a guessed joint from where it is, in box sides: of a normal distribution with the
measured median, 0.21 (`benchmarks/hidden.py`: a board before limbs, 72 times; the mean itself, 0.41, is that of a few
guesses on the other person)."""
HIDDEN_STAYS = 0.9
"""Share of that distance's square that stays as long as the joint is hidden; measured likewise. Of the evidence:
ours.
"""
HIDDEN_CORRELATION = 0.8
"""Of the rest, from one 1/30 s to the next. Ours."""
HIDDEN_DOUBTED = 0.5
"""Share of hidden joints whose evidence is less than BELIEVED; measured likewise."""
OFFSET = 0.01
"""Box sides. Temporal residuals cannot show an error that stays; this is the size of annotators' own spread (OKS
sigmas). Ours.
"""


@dataclass(frozen=True)
class NoiseModel:
    """Errors of 2D joints over time."""

    jitter: tuple[float, ...]
    """Standard deviation of each BODY22 joint's error that changes from frame to frame, in box sides."""
    autocorrelation: float
    """Of the jitter, from one 1/30 s to the next."""
    offset: float
    """Standard deviation of an error that stays for the whole sequence, in box sides."""
    outliers: float
    """Share of joint detections that are somewhere else."""
    outlier_size: float
    """Root mean square distance of those, in box sides."""
    swaps: float
    """Share of frames in which the legs, or the arms, are exchanged left for right."""
    swap_length: float
    """Mean frames that an exchange lasts, 1 or more."""
    doubted_good: float
    """Share of good joints that the front end doubts (evidence under its threshold)."""
    doubted_bad: float
    """Share of outliers that it doubts: score follows error."""

    @classmethod
    def load(cls, path: Path | None = None) -> "NoiseModel":
        """A saved model; without a path the one measured on the default front end.

        Raises:
            OccluposeError: no such file, or not one that `save` wrote.
        """
        path = path or Path(str(files("occlupose") / "weights" / "blazepose_noise.json"))
        try:
            values = json.loads(path.read_text())
            model = cls(**{**values, "jitter": tuple(values["jitter"])})
        except OSError as error:
            raise OccluposeError(
                f"{path}: {(error.strerror or str(error)).lower()}; give a file that NoiseModel.save wrote"
            ) from None
        except (ValueError, KeyError, TypeError):
            raise OccluposeError(f"{path}: not a noise model; give a file that NoiseModel.save wrote") from None
        if len(model.jitter) != len(BODY22):
            raise OccluposeError(f"{path}: jitter of {len(model.jitter)} joints; {len(BODY22)} are expected")
        return model

    def save(self, path: Path) -> None:
        """Writes the figures as JSON."""
        with atomic(path) as temporary:
            temporary.write_text(json.dumps(asdict(self), indent=1) + "\n")

    def sample(
        self, xy: Float[Tensor, "batch time 22 2"], generator: Generator
    ) -> tuple[Float[Tensor, "batch time 22 2"], Float[Tensor, "batch time 22"]]:
        """The joints as the front end would give them, and its evidence, 0..1. Strength varies from clip to clip.

        Evidence follows a power law (ours) that falls below BELIEVED as often as was measured.
        """
        shape = xy.shape[:-1]
        side = box_side(xy)
        strength = torch.empty(shape[0], 1, 1, 1).uniform_(0.2, 1.5, generator=generator)
        error = torch.tensor(self.jitter).view(1, 1, -1, 1) * correlated(xy.shape, self.autocorrelation, generator)
        error = error + self.offset * torch.randn(shape[0], 1, *xy.shape[2:], generator=generator)
        outlier = torch.rand(shape, generator=generator) < self.outliers
        far = self.outlier_size / 2**0.5 * torch.randn(xy.shape, generator=generator)
        noisy = xy + side * (strength * error + outlier.unsqueeze(-1) * far)
        exchanged = self._exchanged(shape, generator)
        noisy = torch.where(exchanged.unsqueeze(-1), noisy[:, :, SIDES], noisy)
        outlier = torch.where(exchanged, outlier[:, :, SIDES], outlier)
        doubt = torch.where(outlier, self.doubted_bad, self.doubted_good)
        return noisy, torch.rand(shape, generator=generator) ** (math.log(BELIEVED) / doubt.clamp(1e-9, 1 - 1e-6).log())

    def _exchanged(self, shape: tuple[int, ...], generator: Generator) -> Bool[Tensor, "batch time 22"]:
        """Where left and right are exchanged: legs and arms by themselves, for stretches of geometric length."""
        begin = torch.rand(shape[0], shape[1], 2, generator=generator) < self.swaps / self.swap_length
        rate = -math.log(max(1 - 1 / self.swap_length, 1e-9))
        length = torch.empty(shape[0], 1, 2).exponential_(rate, generator=generator).ceil()
        time = torch.arange(shape[1]).view(1, -1, 1)
        since = time - torch.where(begin, time, -(10**6)).cummax(1).values
        swapped = since < length
        legs = torch.tensor([any(part in name for part in ("hip", "knee", "ankle")) for name in BODY22.joints])
        return torch.where(legs, swapped[..., :1], swapped[..., 1:])


def box_side(xy: Float[Tensor, "batch time 22 2"]) -> Float[Tensor, "batch 1 1 1"]:
    """Side of the person's square box, the mean over the sequence."""
    shown = xy[:, :, : len(COCO17)]
    return (shown.amax(2) - shown.amin(2)).amax(-1).mean(1).view(-1, 1, 1, 1)


def correlated(shape: tuple[int, ...], coefficient: float, generator: Generator) -> Float[Tensor, "batch time 22 2"]:
    """Unit noise whose neighbours in time are correlated (first-order autoregression)."""
    fresh = torch.randn(shape, generator=generator)
    noise = [fresh[:, 0]]
    for frame in range(1, shape[1]):
        noise.append(coefficient * noise[-1] + (1 - coefficient**2) ** 0.5 * fresh[:, frame])
    return torch.stack(noise, 1)


def guess(
    xy: Float[Tensor, "batch time 22 2"], generator: Generator
) -> tuple[Float[Tensor, "batch time 22 2"], Float[Tensor, "batch time 22"]]:
    """Hidden joints as the front end guesses them: somewhere near the truth, steadily wrong, with little evidence only
    half of the time.

    Positions are normal about the truth, evidence follows a power law; both forms are ours, their figures are measured
    (HIDDEN_...).
    """
    still = torch.randn(xy.shape[0], 1, *xy.shape[2:], generator=generator)
    wandering = correlated(xy.shape, HIDDEN_CORRELATION, generator)
    offset = HIDDEN_STAYS**0.5 * still + (1 - HIDDEN_STAYS) ** 0.5 * wandering
    steady = torch.randn(xy.shape[0], 1, xy.shape[2], generator=generator)
    mood = HIDDEN_STAYS**0.5 * steady + (1 - HIDDEN_STAYS) ** 0.5 * torch.randn(xy.shape[:-1], generator=generator)
    luck = torch.special.ndtr(mood) ** (math.log(1 - BELIEVED) / math.log(1 - HIDDEN_DOUBTED))
    return xy + box_side(xy) * HIDDEN_DISTANCE / 2**0.5 * offset, 1 - luck


def fit(
    tracks: Iterable[tuple[Float[np.ndarray, "time 17 2"], Float[np.ndarray, "time 17"]]], fps: float
) -> NoiseModel:
    """The noise model of a front end from what it gave for real people.

    Jitter is what a parabola through a few frames does not explain; its autocorrelation is that of the first-order
    process whose residuals look the same. An outlier is far from the median of those frames, and taken out before.
    Ours.

    Arguments:
        tracks: unbroken COCO-17 tracks: joints in pixels, and evidence 0..1.
        fps: frames a second of all of them, at least 50.

    Raises:
        OccluposeError: slower video, no track of at least 28 frames, or a joint that is never believed.
    """
    if fps < SLOWEST:
        raise OccluposeError(
            f"{fps:g} frames/s: too slow to tell noise from motion; give video of {SLOWEST:g} frames/s or more"
        )
    residuals = []
    leaps = []
    beliefs = []
    exchanged = []
    for xy, belief in tracks:
        if len(xy) < 4 * WINDOW:
            continue
        side = np.median((xy.max(1) - xy.min(1)).max(-1))
        leap = (xy - median_filter(xy, (WINDOW, 1, 1), mode="nearest")) / side
        far = np.linalg.norm(leap, axis=-1) > np.maximum(OUTLIER * _spread(leap), LEAST_OUTLIER)
        tame = np.where(far[..., None], xy - side * leap, xy)
        residuals.append((tame - savgol_filter(tame, WINDOW, 2, axis=0)) / side)
        leaps.append(np.where(far[..., None], leap, 0))
        beliefs.append(belief)
        exchanged.append(_exchanges(xy / side))
    if not residuals:
        raise OccluposeError(f"no person is followed for {4 * WINDOW} frames; give longer video")
    error = np.concatenate(residuals)
    leap = np.concatenate(leaps)
    belief = np.concatenate(beliefs)
    unseen = [name for name, evidence in zip(COCO17.joints, belief.T, strict=True) if not (evidence >= BELIEVED).any()]
    if unseen:
        raise OccluposeError(f"{', '.join(unseen)}: never believed in any of the video; give video that shows them")
    kept = (1 - savgol_coeffs(WINDOW, 2)[WINDOW // 2]) ** 0.5
    spread = 1.4826 * np.array(
        [np.median(np.abs(error[:, joint][belief[:, joint] >= BELIEVED])) for joint in range(len(COCO17))]
    )
    distance = np.linalg.norm(leap, axis=-1)
    outlier = distance > 0
    named = dict(zip(COCO17.joints, spread / kept, strict=True))
    torso = float(np.mean([named[name] for name in ("left_shoulder", "right_shoulder", "left_hip", "right_hip")]))
    share = float(np.concatenate(exchanged).mean())
    starts = sum(int((np.diff(run.astype(int), axis=0, prepend=0) > 0).sum()) for run in exchanged)
    return NoiseModel(
        jitter=tuple(round(float(named.get(name, torso)), 5) for name in BODY22.joints),
        autocorrelation=round(
            _autocorrelation([residual[:, :, axis] for residual in residuals for axis in (0, 1)]) ** (fps / RATE), 3
        ),
        offset=OFFSET,
        outliers=round(float(outlier.mean()), 5),
        outlier_size=round(float(np.sqrt((distance[outlier] ** 2).mean())) if outlier.any() else 2 * LEAST_OUTLIER, 4),
        swaps=round(share, 5),
        swap_length=round(float(np.concatenate(exchanged).sum()) / starts * RATE / fps if starts else 1.0, 2),
        doubted_good=round(float((belief < BELIEVED)[~outlier].mean()), 4),
        doubted_bad=round(float((belief < BELIEVED)[outlier].mean()) if outlier.any() else 1.0, 4),
    )


def _spread(residual: Float[np.ndarray, "time joint 2"]) -> Float[np.ndarray, " joint"]:
    """Robust standard deviation (from the median of absolute values) of each joint's residual along one axis."""
    return 1.4826 * np.median(np.abs(residual), axis=(0, 2))


def _autocorrelation(residuals: list[Float[np.ndarray, "time joint"]]) -> float:
    """The first-order coefficient whose noise has, after the same filter, the correlation from frame to frame that the
    residuals have.
    """
    observed = np.median([(r[1:] * r[:-1]).sum() / max((r**2).sum(), 1e-12) for r in residuals])
    random = np.random.default_rng(0)
    candidates = np.linspace(0, 0.95, 20)
    looks = []
    for candidate in candidates:
        noise = random.standard_normal((4000, 8))
        for frame in range(1, len(noise)):
            noise[frame] = candidate * noise[frame - 1] + (1 - candidate**2) ** 0.5 * noise[frame]
        residual = noise - savgol_filter(noise, WINDOW, 2, axis=0)
        looks.append((residual[1:] * residual[:-1]).sum() / (residual**2).sum())
    return float(np.interp(observed, looks, candidates))


def _exchanges(xy: Float[np.ndarray, "time 17 2"]) -> Bool[np.ndarray, "time 2"]:
    """Frames between two leaps in which the legs, or the arms, lie where the other side's did before: left taken for
    right.
    """
    runs = []
    for parts in (("hip", "knee", "ankle"), ("shoulder", "elbow", "wrist")):
        left, right = (xy[:, COCO17.index(*(f"{side}_{part}" for part in parts))] for side in ("left", "right"))
        stay = np.linalg.norm(np.diff(left, axis=0), axis=-1).sum(-1) + np.linalg.norm(
            np.diff(right, axis=0), axis=-1
        ).sum(-1)
        cross = np.linalg.norm(left[1:] - right[:-1], axis=-1).sum(-1) + np.linalg.norm(
            right[1:] - left[:-1], axis=-1
        ).sum(-1)
        leaps = np.concatenate([[False], (cross < 0.5 * stay) & (stay > 0.15)])
        swapped = (np.cumsum(leaps) % 2).astype(bool)
        runs.append(swapped if swapped.mean() <= 0.5 else ~swapped)
    return np.stack(runs, 1)
