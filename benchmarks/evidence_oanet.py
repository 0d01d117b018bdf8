"""The runs of OANet's claims (docs/evidence.md, claim A): rows 1, 3 and 7 of the paper's table 2 with two detectors.

Networks learn from the motions that the lifter learns from, seen by four studio cameras; nothing but the body
itself hides joints, as in Human3.6M. Of half of the clips the 3D is used. Whole people are held out, and seen by the
cameras of the training (`filmed`), by cameras between them (`between`), and by cameras that look down or up by 30
degrees (`tilted`).

The detector `guessing` is `movenet`'s measured noise. The detector `dark` differs in its confidence: 92 % of the hidden
joints and 5 % of the visible ones are below b = 0.3, as eq. 1 asks for.
"""

import csv
import zlib
from collections import defaultdict
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from occlupose.datasets.formats.cmu import load_clips, split_clips
from occlupose.datasets.motion import MotionClip
from occlupose.files import atomic
from occlupose.methods.lifter.motions import load_motions
from occlupose.methods.oanet.camera_views import AZIMUTHS, DISTANCE, HEIGHT, PELVIS
from occlupose.methods.oanet.inputs import FPS
from occlupose.methods.oanet.network import OANetNetwork
from occlupose.methods.oanet.predict import lift_rays
from occlupose.methods.oanet.recipe import OANetRecipe, simulate_detections
from occlupose.methods.oanet.train import RECIPES, OANetTask
from occlupose.metrics.pose3d import joint_errors, procrustes
from occlupose.synth.noise import NoiseModel
from occlupose.synth.virtual_cameras import camera_rotation
from occlupose.training.loop import Optimisation, fingerprint
from occlupose.training.run import TrainingRun

Size = Literal["small", "tiny", "published"]
Row = tuple[str, int, str, str, str, float, float]

GUESSING = NoiseModel.load()
DARK = replace(GUESSING, occluded_low_confidence=0.8, low_confidence_inliers=0.018)
DETECTORS = {"dark": DARK, "guessing": GUESSING}

TARGET_SHARE = 0.05
"""Gradient of a term on the poses, in that of the 3D term, by which the weights of an arm are found."""

PILOT_SEED = 1000
RESULTS = Path(__file__).parent / "results"
SECONDS = 12.0
"""Of each validation clip, at most."""

VIEWS: dict[str, tuple[tuple[float, ...], tuple[float, ...]]] = {
    "filmed": (AZIMUTHS, (0.0, 0.0, 0.0, 0.0)),
    "between": (tuple(azimuth + 45 for azimuth in AZIMUTHS), (0.0, 0.0, 0.0, 0.0)),
    "tilted": (AZIMUTHS, (30.0, -30.0, 30.0, -30.0)),
}
"""Azimuth and pitch, degrees, of the cameras of each condition."""


def stage(steps: int, learning_rate: float) -> Optimisation:
    """One stage of training."""
    return Optimisation(
        steps=steps,
        learning_rate=learning_rate,
        warm_up_steps=min(200, steps),
        save_every=min(500, steps),
        log_every=min(100, steps),
        precision="32-true",
    )


SMALL = OANetRecipe(
    width=128,
    window=64,
    verdict_frames=(1, 16),
    batch=48,
    unlabelled_fraction=1 / 3,
    labelled_fraction=0.5,
    dropout=0.0,
    objects=False,
    log_shares=False,
    stage_2d=stage(1000, 2e-3),
    stage_3d=stage(5000, 2e-3),
    end_to_end=stage(1500, 2e-4),
)
"""About a quarter of an hour a run on one core."""

SIZES: dict[Size, OANetRecipe] = {
    "small": SMALL,
    "tiny": replace(
        SMALL,
        width=8,
        window=16,
        verdict_frames=(1, 8),
        batch=6,
        stage_2d=stage(4, 1e-3),
        stage_3d=stage(6, 1e-3),
        end_to_end=stage(4, 1e-4),
    ),
    "published": replace(
        RECIPES["published"],
        batch=192,
        unlabelled_fraction=1 / 3,
        labelled_fraction=0.5,
        objects=False,
        log_shares=False,
    ),
}
"""A batch has two labelled sequences for each unlabelled one; with virtual views half of the labelled ones are
virtual."""

PLAIN: dict[str, object] = {
    "symmetry_weight": 0.0,
    "adversarial_weight": 0.0,
    "regularisation_weight": 0.0,
    "virtual_view_fraction": 0.0,
}
PARTS: dict[str, dict[str, object]] = {
    "3D TCN": {**PLAIN, "refine": False, "occlusion_aware": False},
    "+ occlusion-aware": PLAIN,
    "all parts": {},
    "all parts, 5 % shares": {},
}
"""Rows 1, 3 and 7 of table 2, the last also with weights that give each term `TARGET_SHARE`."""

PLAIN_ARM = "3D TCN"
ARMS = (
    PLAIN_ARM,
    *(f"{detector}, {part}" for part in PARTS if part != PLAIN_ARM for detector in DETECTORS),
)
"""Of row 1 there is one: without a threshold both detectors are the same."""

PERSON_SECONDS = 60.0
"""Of each person's clips, at most, so that nobody counts much more than others."""

PAIR = ("60", "61")
"""Two dancers who are in training too, in other takes; they are not scored."""

LONG = 256
"""Frames of the longest window of table 1; its clips are no shorter."""

TABLE_1: dict[str, dict[str, object]] = {
    f"dark, {frames} frames, b = {threshold:.2f}": {
        **PLAIN,
        "window": frames,
        "threshold": threshold,
        "depth": 4,
        "verdict_frames": (1,),
    }
    for frames, threshold in [
        *((frames, 0.3) for frames in (16, 32, 64, 128, LONG)),
        *((128, threshold) for threshold in (0.2, 0.25, 0.35, 0.4)),
    ]
}
"""The paper's lengths and thresholds, with networks that see a whole window of 128 frames. All lengths have as many
sequences and updates.
"""


@dataclass(frozen=True)
class Bench:
    """Where the data and the runs are, and how large they are.

    Attributes:
        mocap: folder of motion capture.
        runs: folder of the training runs.
        device: torch device.
    """

    mocap: Path
    runs: Path
    size: Size = "small"
    device: str = "cpu"

    @cached_property
    def clips(self) -> dict[bool, list[MotionClip]]:
        """The clips to train on (False), on the captured and on three other bodies, and those held out (True). Of size
        tiny, those of `formats.cmu` only.
        """
        if self.size == "tiny":
            train, held_out = split_clips(load_clips(self.mocap))
            return {False: train, True: held_out}
        parts: dict[bool, list[MotionClip]] = {False: [], True: []}
        for motion in load_motions(self.mocap, self.runs / "motions"):
            bodies = motion.joints[:1] if motion.held_out else motion.joints
            parts[motion.held_out] += [MotionClip(motion.name, motion.subject, FPS, joints) for joints in bodies]
        return parts

    def make_data(self) -> None:
        """Fits bodies to the motion capture, which takes some minutes, if it was not done before."""
        if self.size != "tiny":
            load_motions(self.mocap, self.runs / "motions")

    def recipe(self, arm: str, seed: int) -> OANetRecipe:
        """The recipe of a run."""
        part = part_of(arm)
        fields = TABLE_1[arm] if arm in TABLE_1 else PARTS[part]
        recipe = replace(SIZES[self.size], seed=seed, **fields)  # type: ignore[arg-type]
        if recipe.virtual_view_fraction:  # as many sequences of either kind, instead of twice as many filmed ones
            labelled = (recipe.batch - recipe.unlabelled) // 2
            batch = labelled + recipe.unlabelled
            recipe = replace(recipe, batch=batch, unlabelled_fraction=recipe.unlabelled / batch)
        return replace(recipe, **self.found_weights(arm)) if part.endswith("shares") else recipe

    def found_weights(self, arm: str) -> dict[str, float]:
        """The weights of the adversarial term and of the pose regularisation that give them their share at the end of
        the second stage of a pilot run.
        """
        detector = detector_of(arm)
        known = self._read_weights(detector)
        if known:
            return known
        whole = self.recipe(f"{detector}, all parts", PILOT_SEED)
        last_stage = replace(whole.end_to_end, steps=1, warm_up_steps=1, save_every=1, log_every=1)  # not needed
        pilot = replace(whole, log_shares=True, end_to_end=last_stage)
        folder = self.runs / f"oanet {detector}, pilot {self.size}"
        self.trained(pilot, detector, self.clips[False], folder)
        with (folder / "stage_3d" / "log.csv").open(newline="") as file:
            last = {name: float(value) for name, value in [*csv.DictReader(file)][-1].items()}
        data = last["share 3d"]
        weights = {"adversarial_weight": "adversarial", "regularisation_weight": "regularisation"}
        found = {
            field: float(f"{getattr(pilot, field) * TARGET_SHARE * data / max(last[f'share {term}'], 1e-9):.3g}")
            for field, term in weights.items()
        }
        self._write_weights(detector, found)
        return found

    @property
    def _weights_file(self) -> Path:
        """Found weights are kept with the results, so that all runs have the same."""
        return (RESULTS if self.size == "small" else self.runs) / "evidence_weights.csv"

    def _read_weights(self, detector: str) -> dict[str, float]:
        if not self._weights_file.exists():
            return {}
        with self._weights_file.open(newline="") as file:
            return {row["field"]: float(row["value"]) for row in csv.DictReader(file) if row["detector"] == detector}

    def _write_weights(self, detector: str, found: dict[str, float]) -> None:
        path = self._weights_file
        before = path.read_text() if path.exists() else "detector,field,value\n"
        with atomic(path) as temporary:
            temporary.write_text(before + "".join(f"{detector},{field},{value:g}\n" for field, value in found.items()))

    def trained(self, recipe: OANetRecipe, detector: str, clips: list[MotionClip], folder: Path) -> OANetNetwork:
        """The network of a run; a stopped run is continued."""
        sample = recipe.sampler(clips, noise=DETECTORS[detector])
        run = TrainingRun(folder, resume=True, progress=False, device=self.device, say=lambda line: None)
        network = run.train(OANetTask(recipe, sample, fingerprint(clip.joints for clip in clips)))
        assert isinstance(network, OANetNetwork)
        return network

    def prepare(self, arm: str) -> None:
        """Trains the pilot of an arm that needs one."""
        self.recipe(arm, 0)

    def run(self, arm: str, seed: int) -> list[Row]:
        """Trains and scores an arm; a stopped run is continued. Its units are the people who are held out: clips of one
        person are too similar to count as units.
        """
        detector = detector_of(arm)
        folder = self.runs / f"oanet {arm} {self.size} {seed}"
        train = self.clips[False]
        if arm in TABLE_1:
            train = [clip for clip in train if len(clip.joints) >= LONG * clip.fps / FPS]
        network = self.trained(self.recipe(arm, seed), detector, train, folder)
        clips = self.clips[True][:2] if self.size == "tiny" else clips_to_score(self.clips[True])
        sums: dict[tuple[str, str, str], np.ndarray] = defaultdict(lambda: np.zeros(2))
        for condition in VIEWS:
            for clip in clips:
                for metric, errors in score(network, clip, condition, DETECTORS[detector]).items():
                    sums[condition, metric, clip.subject] += (errors.sum(dtype=np.float64), errors.size)
        return [(arm, seed, *key, *total.tolist()) for key, total in sums.items()]


def detector_of(arm: str) -> str:
    """The detector of an arm; of row 1 either."""
    first = arm.partition(", ")[0]
    return first if first in DETECTORS else "dark"


def part_of(arm: str) -> str:
    """The part of an arm, without its detector."""
    return PLAIN_ARM if arm == PLAIN_ARM else arm.partition(", ")[2]


def clips_to_score(clips: list[MotionClip]) -> list[MotionClip]:
    """Clips of each person in an order by the checksums of their names, until `PERSON_SECONDS` are full; none of
    `PAIR`.
    """
    chosen = []
    seconds: dict[str, float] = defaultdict(float)
    for clip in sorted(clips, key=lambda clip: zlib.crc32(clip.name.encode())):
        if clip.subject not in PAIR and seconds[clip.subject] < PERSON_SECONDS:
            chosen.append(clip)
            seconds[clip.subject] += min(SECONDS, len(clip.joints) / clip.fps)
    return chosen


def score(
    network: OANetNetwork, clip: MotionClip, condition: str, noise: NoiseModel
) -> dict[str, Float[np.ndarray, "..."]]:
    """The errors of each metric, mm, of a clip in all views of a condition. The noise depends on the clip and the
    condition only.
    """
    step = round(clip.fps / FPS)
    joints = torch.from_numpy(clip.joints[:: max(1, step)][: round(SECONDS * FPS)])
    seen = in_views(joints, condition)
    generator = torch.Generator().manual_seed(zlib.crc32(f"{clip.name} {condition}".encode()))
    observed = simulate_detections(seen, noise, generator, objects=False)
    rays = observed.xy.transpose(0, 1).numpy()
    reliable = (observed.score >= network.encoder.min_confidence).transpose(0, 1).numpy()
    predicted = lift_rays(network, rays, reliable, FPS).swapaxes(0, 1)
    truth = observed.truth_3d.numpy()
    error = 1000 * joint_errors(predicted, truth)
    aligned = 1000 * joint_errors(procrustes(predicted, truth), truth)
    hidden = observed.occluded.numpy()
    return {"all": error, "visible": error[~hidden], "hidden": error[hidden], "aligned": aligned}


def in_views(joints: Tensor, condition: str) -> Tensor:
    """A motion (time, joint, 3; y up) in the frames of the cameras of a condition, (view, time, joint, 3)."""
    azimuths, pitches = VIEWS[condition]
    azimuth = torch.deg2rad(torch.tensor(azimuths))
    pitch = torch.deg2rad(torch.tensor(pitches))
    rotation = camera_rotation(azimuth, pitch, torch.zeros_like(azimuth))
    centre = joints[:, PELVIS].mean(0)
    centre = torch.stack([centre[0], torch.tensor(HEIGHT), centre[2]])
    return (joints - centre) @ rotation.mT.unsqueeze(1) + torch.tensor([0.0, 0.0, DISTANCE])
