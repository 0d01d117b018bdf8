"""How `lifting.py` looks at people: held-out clips from random cameras, in 2D as front ends see them."""

import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Bool, Float

from occlupose.datasets.formats.mocap_clips import KINDS
from occlupose.methods.lifter.augmentation import BodyAugmentation, to_random_camera
from occlupose.methods.lifter.features import TORSO, SeenKeypoints
from occlupose.methods.lifter.motions import FPS, LentMotion
from occlupose.occlusion.cylinders import self_occluded
from occlupose.skeletons import BODY22, BODY22_TO_H36M17
from occlupose.synth.noise import MIN_CONFIDENCE, NoiseModel, box_side

VIEWS = BodyAugmentation(
    still_probability=0.0, tumble_probability=0.0, roll=0.0, elevation=(-10.0, 30.0), off_axis=15.0, distance=(3.0, 7.0)
)
CAMERAS = 2
"""Of each clip."""

ARM = ("shoulder", "elbow", "wrist")
LEG = ("hip", "knee", "ankle")
PERIOD = 90
"""Frames between the starts of two long gaps."""

NOISE = "detector noise, "
"""What the names of conditions with the errors of a front end begin with."""

Rays = Float[np.ndarray, "time 22 2"]
Mask = Bool[np.ndarray, "time 22"]
Visible = Callable[["View", np.random.Generator], Mask]
Observe = Callable[["View", np.random.Generator], "Observation"]


@dataclass(frozen=True)
class View:
    """One clip from one camera.

    Attributes:
        name: of clip and camera.
        xyz: m, in the camera's axes.
    """

    name: str
    xyz: Float[np.ndarray, "time 22 3"]

    @property
    def rays(self) -> Rays:
        return self.xyz[..., :2] / self.xyz[..., 2:]

    @property
    def root(self) -> Float[np.ndarray, "time 3"]:
        return self.xyz[:, BODY22_TO_H36M17[0]]

    @property
    def truth(self) -> Float[np.ndarray, "time 17 3"]:
        return self.xyz[:, BODY22_TO_H36M17] - self.root[:, None]


@dataclass(frozen=True)
class Observation:
    """The 2D joints of a view."""

    rays: Rays
    observed: Mask
    """Joints that are taken as reliable."""
    guessed: Mask
    """Others that the front end gives with a low confidence."""
    sigma: Float[np.ndarray, ""]
    """Standard deviation that is stated of guesses, on the plane z = 1."""
    missing: Mask
    """Joints that are occluded, reliable or not."""


def choose(motions: Sequence[LentMotion], count: int, seconds: float) -> dict[str, list[LentMotion]]:
    """As many held-out clips of each kind, evenly over all of them; only their first seconds, on the captured body."""
    chosen = {}
    for kind in KINDS:
        own = [motion for motion in motions if motion.held_out and motion.kind == kind]
        numbers = sorted(set(np.linspace(0, len(own) - 1, min(count, len(own))).round().astype(int).tolist()))
        frames = round(seconds * FPS)
        cut = [replace(own[number], joints=own[number].joints[:1, :frames]) for number in numbers]
        chosen[kind] = [motion for motion in cut if motion.joints.shape[1] > 2]
    return {kind: own for kind, own in chosen.items() if own}


def views(motion: LentMotion) -> list[View]:
    """A clip from some cameras, which depend on its name only."""
    joints = torch.from_numpy(motion.joints[0])
    generator = torch.Generator().manual_seed(zlib.crc32(motion.name.encode()))
    people = to_random_camera(joints.expand(CAMERAS, *joints.shape), VIEWS, generator)
    return [View(f"{motion.name}, camera {camera}", xyz.numpy()) for camera, xyz in enumerate(people)]


def _random(probability: float) -> Visible:
    return lambda view, random: random.random(view.xyz.shape[:2]) >= probability


def _gaps(length: int, names: Callable[[np.random.Generator], tuple[str, ...]]) -> Visible:
    """Every three seconds, some joints missing for `length` frames."""

    def visible(view: View, random: np.random.Generator) -> Mask:
        mask = np.ones(view.xyz.shape[:2], bool)
        for start in range(int(random.integers(10, 30)), len(mask) - 5, PERIOD):
            mask[start : start + length, [BODY22.joints.index(name) for name in names(random)]] = False
        return mask

    return visible


def _arm(*parts: str) -> Callable[[np.random.Generator], tuple[str, ...]]:
    def names(random: np.random.Generator) -> tuple[str, ...]:
        side = ("left", "right")[int(random.integers(2))]
        return tuple(f"{side}_{part}" for part in parts)

    return names


def _both(*parts: str) -> Callable[[np.random.Generator], tuple[str, ...]]:
    return lambda random: tuple(f"{side}_{part}" for side in ("left", "right") for part in parts)


def _exact(visible: Visible) -> Observe:
    """True 2D joints; occluded ones are missing."""

    def observe(view: View, random: np.random.Generator) -> Observation:
        mask = visible(view, random)
        return Observation(view.rays, mask, np.zeros_like(mask), np.array(np.nan, np.float32), ~mask)

    return observe


def _detected(visible: Visible, noise: NoiseModel) -> Observe:
    """2D joints as of the front end: visible ones with noise, occluded ones guessed; reliable by their confidence."""

    def observe(view: View, random: np.random.Generator) -> Observation:
        mask = torch.from_numpy(visible(view, random))[None]
        rays = torch.from_numpy(view.rays)[None]
        generator = torch.Generator().manual_seed(int(random.integers(2**31)))
        noisy, noisy_score = noise.sample(rays, generator)
        guesses, guess_score = noise.sample_occluded(rays, generator)
        points = torch.where(mask.unsqueeze(-1), noisy, guesses)[0].numpy()
        reliable = (torch.where(mask, noisy_score, guess_score) >= MIN_CONFIDENCE)[0].numpy()
        sigma = noise.occluded_distance / 2**0.5 * box_side(rays)[0, 0, 0, 0].numpy()
        return Observation(points, reliable, ~reliable, np.float32(sigma), ~mask[0].numpy())

    return observe


VISIBLE: dict[str, Visible] = {
    "all present": lambda view, random: np.ones(view.xyz.shape[:2], bool),
    "10 % random": _random(0.1),
    "30 % random": _random(0.3),
    "50 % random": _random(0.5),
    "arm 1 s": _gaps(30, _arm(*ARM)),
    "arm 1 s, shoulder seen": _gaps(30, _arm(*ARM[1:])),
    "legs 1 s": _gaps(30, _both(*LEG)),
    "legs 1 s, hips seen": _gaps(30, _both(*LEG[1:])),
    "person 10 frames": _gaps(10, lambda random: BODY22.joints),
    "person 20 frames": _gaps(20, lambda random: BODY22.joints),
    "self-occluded": lambda view, random: ~self_occluded(torch.from_numpy(view.xyz), BODY22).numpy(),
}
NOISY = ("all present", "arm 1 s", "legs 1 s", "self-occluded")

CONDITIONS = (*VISIBLE, *(f"{NOISE}{name}" for name in NOISY))
"""How the 2D joints are seen."""


def observe(view: View, condition: str, noise: NoiseModel) -> Observation:
    """A view in a condition; randomness depends on the names of both only."""
    name = condition.removeprefix(NOISE)
    how = _exact(VISIBLE[name]) if name == condition else _detected(VISIBLE[name], noise)
    return how(view, np.random.default_rng([zlib.crc32(view.name.encode()), zlib.crc32(condition.encode())]))


@dataclass(frozen=True)
class Sequences:
    """The views of a clip, each in all conditions, as one batch.

    Attributes:
        conditions: of each sequence.
        in_skeleton: joints that the 2D skeleton has.
        truth: root-relative, m.
        missing: joints that are occluded. Those that the skeleton lacks only count where nothing is seen.
    """

    conditions: list[str]
    rays: Float[np.ndarray, "sequence time 22 2"]
    true_rays: Float[np.ndarray, "sequence time 22 2"]
    observed: Bool[np.ndarray, "sequence time 22"]
    guessed: Bool[np.ndarray, "sequence time 22"]
    sigma: Float[np.ndarray, "sequence time 22"]
    in_skeleton: Bool[np.ndarray, "22"]
    truth: Float[np.ndarray, "sequence time 17 3"]
    root: Float[np.ndarray, "sequence time 3"]
    missing: Bool[np.ndarray, "sequence time 17"]

    @classmethod
    def see(cls, views: Sequence[View], noise: NoiseModel, in_skeleton: Bool[np.ndarray, "22"]) -> "Sequences":
        """All views in all conditions."""
        pairs = [(view, observe(view, condition, noise)) for view in views for condition in CONDITIONS]
        observed = np.stack([given.observed for _, given in pairs]) & in_skeleton
        occluded = np.stack([given.missing for _, given in pairs])[..., BODY22_TO_H36M17]
        nobody = ~observed.any(2, keepdims=True)
        sigma = np.stack([np.broadcast_to(given.sigma, given.observed.shape) for _, given in pairs])
        guessed = np.stack([given.guessed for _, given in pairs]) & in_skeleton
        return cls(
            list(CONDITIONS) * len(views),
            np.stack([given.rays for _, given in pairs]),
            np.stack([view.rays for view, _ in pairs]),
            observed,
            guessed,
            np.where(guessed, sigma, np.nan).astype(np.float32),
            in_skeleton,
            np.stack([view.truth for view, _ in pairs]),
            np.stack([view.root for view, _ in pairs]),
            occluded & (in_skeleton[BODY22_TO_H36M17] | nobody),
        )

    @property
    def keypoints(self) -> SeenKeypoints:
        """As the lifter gets them."""
        arrays = (self.rays, self.observed, self.guessed, self.sigma)
        return SeenKeypoints(*(torch.from_numpy(np.ascontiguousarray(values)) for values in arrays))

    def filled(self, name: str) -> SeenKeypoints:
        """With all joints of the skeleton seen: missing ones are filled in."""
        if name == "ground truth":
            rays = self.true_rays
        else:
            given = zip(self.rays, self.observed | ~self.in_skeleton, strict=True)
            rays = np.stack([FILLS[name](*one) for one in given])
        everything = np.broadcast_to(self.in_skeleton, self.observed.shape)
        arrays = (rays.astype(np.float32), everything, np.zeros_like(everything), np.full_like(self.sigma, np.nan))
        return SeenKeypoints(*(torch.from_numpy(np.array(values)) for values in arrays))


def hold(rays: Rays, observed: Mask) -> Rays:
    """Fills missing joints with the last observation, or the first one after."""
    time = np.arange(len(rays))[:, None]
    last = np.maximum.accumulate(np.where(observed, time, -1), 0)
    last = np.where(last < 0, observed.argmax(0), last)
    return _fill_never_observed(np.take_along_axis(rays, last[..., None], 0), observed)


def interpolate(rays: Rays, observed: Mask) -> Rays:
    """Fills missing joints by linear interpolation."""
    time = np.arange(len(rays))
    filled = rays.copy()
    for joint in np.flatnonzero(observed.any(0) & ~observed.all(0)):
        known = np.flatnonzero(observed[:, joint])
        for axis in range(2):
            filled[:, joint, axis] = np.interp(time, known, rays[known, joint, axis])
    return _fill_never_observed(filled, observed)


def _fill_never_observed(rays: Rays, observed: Mask) -> Rays:
    """Joints that are never observed at the torso's centre."""
    return np.where(observed.any(0)[:, None], rays, rays[:, TORSO].mean(1, keepdims=True))


FILLS: dict[str, Callable[[Rays, Mask], Rays]] = {"hold": hold, "interpolate": interpolate}
