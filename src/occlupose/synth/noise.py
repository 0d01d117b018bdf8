"""Noise of 2D keypoints: a model of the errors of a front end, measured on real video, and samples for training.

Ours. Lengths are in sides of the person's square bounding box, so that they hold for people of any size.
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

from occlupose.errors import OccluposeError, reason
from occlupose.files import atomic, parse_json
from occlupose.skeletons import BODY22, COCO17

SHIPPED = Path(str(files("occlupose") / "weights" / "movenet_noise.json"))
"""Noise of the front end `movenet`."""

MIRROR = list(BODY22.mirror)
WINDOW = 7
"""Frames over which the true motion is assumed to be a parabola."""
MODEL_FPS = 30.0
"""Frames per second of the model."""
MIN_FPS = 50.0
"""Lowest frame rate of video for `fit_noise`, at which motion over WINDOW frames can be told from noise."""
OUTLIER_DEVIATIONS = 6.0
"""A joint is an outlier when its residual is this many standard deviations of the jitter, and at least
MIN_OUTLIER.
"""
MIN_OUTLIER = 0.05
MIN_CONFIDENCE = 0.2
"""Confidence from which a joint of the model is used: that of a visible joint of `movenet`."""
OCCLUDED_CORRELATION = 0.8
"""Correlation over 1/30 s of the part of an occluded joint's error that is not constant. Ours."""
OFFSET = 0.01
"""Standard deviation of the constant error, in box sides: that of annotators (OKS sigmas), as temporal residuals do not
contain it. Ours.
"""


@dataclass(frozen=True)
class NoiseModel:
    """Errors of 2D joints over time."""

    jitter: tuple[float, ...]
    """Standard deviation of each BODY22 joint's error that changes from frame to frame, in box sides."""
    autocorrelation: float
    """Of the jitter over 1/30 s."""
    offset: float
    """Standard deviation of an error that is constant over a sequence, in box sides."""
    outliers: float
    """Share of detected joints that are outliers."""
    outlier_size: float
    """Root mean square distance of those, in box sides."""
    swaps: float
    """Share of frames in which left and right of the legs, or of the arms, are swapped."""
    swap_length: float
    """Mean duration of a swap in frames, 1 or more."""
    low_confidence_inliers: float
    """Share of good joints with a confidence below MIN_CONFIDENCE."""
    low_confidence_outliers: float
    """The same share of outliers: confidence follows error."""
    occluded_distance: float = 0.18
    """Root mean square error of a guessed occluded joint, in box sides: of a normal distribution with the measured
    median, since a few guesses are on another person (`benchmarks/hidden.py`: a board in front of limbs, 79 times).
    """
    occluded_constant_share: float = 0.79
    """Share of the squared error that is constant while the joint is occluded; measured in the same way. The same share
    for the confidence is ours.
    """
    occluded_low_confidence: float = 0.27
    """Share of occluded joints with a confidence below MIN_CONFIDENCE: of those behind objects
    (`benchmarks/reliability.py`).
    """

    @classmethod
    def load(cls, path: Path | None = None) -> "NoiseModel":
        """Load a model; by default the one measured on `movenet`.

        Raises:
            OccluposeError: no such file, or not one that `save` wrote.
        """
        path = path or SHIPPED
        try:
            values = parse_json(path.read_text())
            model = cls(**{**values, "jitter": tuple(values["jitter"])})
        except OSError as error:
            raise OccluposeError(f"{path}: {reason(error)}; give a file that NoiseModel.save wrote") from None
        except (ValueError, KeyError, TypeError, AttributeError):
            raise OccluposeError(f"{path}: not a noise model; give a file that NoiseModel.save wrote") from None
        if len(model.jitter) != len(BODY22):
            raise OccluposeError(f"{path}: jitter of {len(model.jitter)} joints; {len(BODY22)} are expected")
        return model

    def save(self, path: Path) -> None:
        """Write the model as JSON."""
        with atomic(path) as temporary:
            temporary.write_text(json.dumps(asdict(self), indent=1) + "\n")

    def sample(
        self, xy: Float[Tensor, "batch time 22 2"], generator: Generator
    ) -> tuple[Float[Tensor, "batch time 22 2"], Float[Tensor, "batch time 22"]]:
        """Joints with noise, and their confidence, 0..1. The strength of the noise varies between clips.

        Confidence follows a power law (ours) that is below MIN_CONFIDENCE as often as was measured.
        """
        shape = xy.shape[:-1]
        side = box_side(xy)
        strength = torch.empty(shape[0], 1, 1, 1).uniform_(0.2, 1.5, generator=generator)
        jitter = torch.tensor(self.jitter).view(1, 1, -1, 1)
        error = jitter * correlated_noise(xy.shape, self.autocorrelation, generator)
        error = error + self.offset * torch.randn(shape[0], 1, *xy.shape[2:], generator=generator)
        outlier = torch.rand(shape, generator=generator) < self.outliers
        far = self.outlier_size / 2**0.5 * torch.randn(xy.shape, generator=generator)
        noisy = xy + side * (strength * error + outlier.unsqueeze(-1) * far)
        swapped = self._sample_swaps(shape, generator)
        noisy = torch.where(swapped.unsqueeze(-1), noisy[:, :, MIRROR], noisy)
        outlier = torch.where(swapped, outlier[:, :, MIRROR], outlier)
        low = torch.where(outlier, self.low_confidence_outliers, self.low_confidence_inliers)
        power = math.log(MIN_CONFIDENCE) / low.clamp(1e-9, 1 - 1e-6).log()
        return noisy, torch.rand(shape, generator=generator) ** power

    def sample_occluded(
        self, xy: Float[Tensor, "batch time 22 2"], generator: Generator
    ) -> tuple[Float[Tensor, "batch time 22 2"], Float[Tensor, "batch time 22"]]:
        """Occluded joints as a front end guesses them, and their confidence: near the truth with a mostly constant
        error, and with a low confidence only some of the time.

        Positions are normal around the truth, confidence follows a power law; both forms are ours.
        """
        share = self.occluded_constant_share
        constant = torch.randn(xy.shape[0], 1, *xy.shape[2:], generator=generator)
        varying = correlated_noise(xy.shape, OCCLUDED_CORRELATION, generator)
        offset = share**0.5 * constant + (1 - share) ** 0.5 * varying
        constant_level = torch.randn(xy.shape[0], 1, xy.shape[2], generator=generator)
        varying_level = torch.randn(xy.shape[:-1], generator=generator)
        level = share**0.5 * constant_level + (1 - share) ** 0.5 * varying_level
        low = torch.special.ndtr(level) ** (math.log(1 - MIN_CONFIDENCE) / math.log(1 - self.occluded_low_confidence))
        return xy + box_side(xy) * self.occluded_distance / 2**0.5 * offset, 1 - low

    def _sample_swaps(self, shape: tuple[int, ...], generator: Generator) -> Bool[Tensor, "batch time 22"]:
        """Where left and right are swapped: legs and arms separately, for geometrically distributed durations."""
        begin = torch.rand(shape[0], shape[1], 2, generator=generator) < self.swaps / self.swap_length
        rate = -math.log(max(1 - 1 / self.swap_length, 1e-9))
        length = torch.empty(shape[0], 1, 2).exponential_(rate, generator=generator).ceil()
        time = torch.arange(shape[1]).view(1, -1, 1)
        since = time - torch.where(begin, time, -(10**6)).cummax(1).values
        swapped = since < length
        legs = torch.tensor([any(part in name for part in ("hip", "knee", "ankle")) for name in BODY22.joints])
        return torch.where(legs, swapped[..., :1], swapped[..., 1:])


def box_side(xy: Float[Tensor, "batch time 22 2"]) -> Float[Tensor, "batch 1 1 1"]:
    """Side of the person's square bounding box, mean over the sequence."""
    face_and_limbs = xy[:, :, : len(COCO17)]
    return (face_and_limbs.amax(2) - face_and_limbs.amin(2)).amax(-1).mean(1).view(-1, 1, 1, 1)


def correlated_noise(
    shape: tuple[int, ...], coefficient: float, generator: Generator
) -> Float[Tensor, "batch time 22 2"]:
    """Unit noise that is correlated in time (first-order autoregression)."""
    fresh = torch.randn(shape, generator=generator)
    noise = [fresh[:, 0]]
    for frame in range(1, shape[1]):
        noise.append(coefficient * noise[-1] + (1 - coefficient**2) ** 0.5 * fresh[:, frame])
    return torch.stack(noise, 1)


def fit_noise(
    tracks: Iterable[tuple[Float[np.ndarray, "time 17 2"], Float[np.ndarray, "time 17"]]],
    fps: float,
    min_confidence: float = MIN_CONFIDENCE,
) -> NoiseModel:
    """Fit the noise model to the output of a front end on real video.

    Jitter is the residual of a parabola through a few frames; its autocorrelation is that of the first-order process
    with the same correlation of residuals. Outliers are far from the median of those frames and are removed before.
    Ours.

    Arguments:
        tracks: unbroken COCO-17 tracks: joints in pixels, and confidence 0..1.
        fps: frames per second of all of them, at least 50.
        min_confidence: of a visible joint of the front end; MIN_CONFIDENCE of the model is as much.

    Raises:
        OccluposeError: slower video, no track of at least 28 frames, or a joint whose confidence is always low.
    """
    if fps < MIN_FPS:
        raise OccluposeError(
            f"{fps:g} frames/s: too slow to tell noise from motion; give video of {MIN_FPS:g} frames/s or more"
        )
    residuals = []
    jumps = []
    confidences = []
    swapped = []
    for xy, confidence in tracks:
        if len(xy) < 4 * WINDOW:
            continue
        side = np.median((xy.max(1) - xy.min(1)).max(-1))
        jump = (xy - median_filter(xy, (WINDOW, 1, 1), mode="nearest")) / side
        far = np.linalg.norm(jump, axis=-1) > np.maximum(OUTLIER_DEVIATIONS * _robust_deviation(jump), MIN_OUTLIER)
        clean = np.where(far[..., None], xy - side * jump, xy)
        residuals.append((clean - savgol_filter(clean, WINDOW, 2, axis=0)) / side)
        jumps.append(np.where(far[..., None], jump, 0))
        confidences.append(confidence)
        swapped.append(_find_swaps(xy / side))
    if not residuals:
        raise OccluposeError(f"no person is tracked for {4 * WINDOW} frames; give longer video")
    error = np.concatenate(residuals)
    jump = np.concatenate(jumps)
    confidence = np.concatenate(confidences)
    confident = confidence >= min_confidence
    unseen = [name for name, values in zip(COCO17.joints, confident.T, strict=True) if not values.any()]
    if unseen:
        raise OccluposeError(f"{', '.join(unseen)}: low confidence in all of the video; give video that shows them")
    kept = (1 - savgol_coeffs(WINDOW, 2)[WINDOW // 2]) ** 0.5
    deviation = 1.4826 * np.array(
        [np.median(np.abs(error[confident[:, joint], joint])) for joint in range(len(COCO17))]
    )
    distance = np.linalg.norm(jump, axis=-1)
    outlier = distance > 0
    named = dict(zip(COCO17.joints, deviation / kept, strict=True))
    torso = float(np.mean([named[name] for name in ("left_shoulder", "right_shoulder", "left_hip", "right_hip")]))
    starts = sum(int((np.diff(run.astype(int), axis=0, prepend=0) > 0).sum()) for run in swapped)
    swapped_frames = np.concatenate(swapped)
    per_axis = [residual[:, :, axis] for residual in residuals for axis in (0, 1)]
    low = ~confident
    return NoiseModel(
        jitter=tuple(round(float(named.get(name, torso)), 5) for name in BODY22.joints),
        autocorrelation=round(_autocorrelation(per_axis) ** (fps / MODEL_FPS), 3),
        offset=OFFSET,
        outliers=round(float(outlier.mean()), 5),
        outlier_size=round(float(np.sqrt((distance[outlier] ** 2).mean())) if outlier.any() else 2 * MIN_OUTLIER, 4),
        swaps=round(float(swapped_frames.mean()), 5),
        swap_length=round(float(swapped_frames.sum()) / starts * MODEL_FPS / fps if starts else 1.0, 2),
        low_confidence_inliers=round(float(low[~outlier].mean()), 4),
        low_confidence_outliers=round(float(low[outlier].mean()) if outlier.any() else 1.0, 4),
    )


def _robust_deviation(residual: Float[np.ndarray, "time joint 2"]) -> Float[np.ndarray, " joint"]:
    """Robust standard deviation (from the median of absolute values) of each joint's residual along one axis."""
    return 1.4826 * np.median(np.abs(residual), axis=(0, 2))


def _autocorrelation(residuals: list[Float[np.ndarray, "time joint"]]) -> float:
    """The coefficient of first-order noise that has the frame-to-frame correlation of the residuals after the same
    filter.
    """
    observed = np.median([(r[1:] * r[:-1]).sum() / max((r**2).sum(), 1e-12) for r in residuals])
    random = np.random.default_rng(0)
    candidates = np.linspace(0, 0.95, 20)
    correlations = []
    for candidate in candidates:
        noise = random.standard_normal((4000, 8))
        for frame in range(1, len(noise)):
            noise[frame] = candidate * noise[frame - 1] + (1 - candidate**2) ** 0.5 * noise[frame]
        residual = noise - savgol_filter(noise, WINDOW, 2, axis=0)
        correlations.append((residual[1:] * residual[:-1]).sum() / (residual**2).sum())
    return float(np.interp(observed, correlations, candidates))


def _find_swaps(xy: Float[np.ndarray, "time 17 2"]) -> Bool[np.ndarray, "time 2"]:
    """Frames between two jumps at which the left and right leg, or arm, exchange their positions."""
    runs = []
    for parts in (("hip", "knee", "ankle"), ("shoulder", "elbow", "wrist")):
        left = xy[:, COCO17.index(*(f"left_{part}" for part in parts))]
        right = xy[:, COCO17.index(*(f"right_{part}" for part in parts))]
        stay = _motion(left[:-1], left[1:]) + _motion(right[:-1], right[1:])
        cross = _motion(right[:-1], left[1:]) + _motion(left[:-1], right[1:])
        jumps = np.concatenate([[False], (cross < 0.5 * stay) & (stay > 0.15)])
        swapped = (np.cumsum(jumps) % 2).astype(bool)
        runs.append(swapped if swapped.mean() <= 0.5 else ~swapped)
    return np.stack(runs, 1)


def _motion(
    before: Float[np.ndarray, "time joint 2"], after: Float[np.ndarray, "time joint 2"]
) -> Float[np.ndarray, " time"]:
    """Sum of the distances between joints."""
    return np.linalg.norm(after - before, axis=-1).sum(-1)
