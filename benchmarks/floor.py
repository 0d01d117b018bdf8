"""How well up, the floor and contacts are found from people: motion capture seen by rolled and tilted cameras.

    python benchmarks/floor.py --mocap MOCAP

Scenes of 1 to 4 held-out clips of one kind, side by side on one floor at 30 frames a second, seen by a camera that
looks 5 degrees upwards to 30 downwards and is rolled by up to 20. Keypoints have the front end's noise
(`synth/noise.py`), are lifted, and skeletons are fitted. What the capture does is a skeleton fitted to its joints: feet
that were not captured are inferred. Its floor is where the lowest surfaces of the people are (2 % quantile of each).

Up and floor, from the first seconds of each scene: `unknown` is the share of scenes for which none are stated, `up_deg`
the median angle to the true up, `floor_cm` the median of the distances from the plane to the true soles and other
lowest parts when they are on the floor, with the true root moved to the fitted one; `up_inside` and `floor_inside` are
the shares of truths inside the stated two standard deviations (for up the ellipse of 95.4 %).

Contacts, of heels and big toes of people whose feet were captured: true is what is slower than 0.3 m/s and at most 5 cm
above the lowest of heels and balls, after the lowest heights of these (5 % quantile) were made equal, since the default
body's differ from the captured ones. `precision` and `recall` are of contacts that are stated with a probability of a
half or more. `slide_cm` is the mean distance along the floor from the mean place of a contact, `float_cm` that of the
skin from the floor, of contacts that are true and stated, of the fit (`before`) and after `rest_on_contacts`.
`moved_cm` is how far that moves head, elbows and wrists relative to the pelvis.

Writes results/floor.csv and results/floor_contacts.csv, and prints them.
"""

import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
import tyro
from jaxtyping import Bool, Float
from results import write
from rich.console import Console
from rich.table import Table
from scipy.spatial.transform import Rotation

from occlupose.cameras import Camera
from occlupose.datasets.formats.cmu import read_clip
from occlupose.datasets.formats.mocap_clips import KINDS, read_labels
from occlupose.datasets.formats.mocap_joints import read_joints
from occlupose.datasets.motion import MotionClip, cut_jumps
from occlupose.formats import from_array
from occlupose.kinematics import SkeletonFit, body_tree, fit_poses, fit_skeleton
from occlupose.methods.oanet.lifting import lift_checked, load_lifter
from occlupose.poses import Poses
from occlupose.skeletons import BODY22, BODY26, COCO17, convert
from occlupose.synth.noise import NoiseModel
from occlupose.world import Contacts, WorldFrame, estimate_world, find_contacts, rest_on_contacts
from occlupose.world.bearing import bearing_joints, speed

RESULTS = Path(__file__).parent / "results"
FPS = 30.0
SECONDS = 10.0
LEAST_SECONDS = 2.0
"""Of the longest and shortest clip."""

SPANS = (1.0, 3.0, 5.0, 10.0)
"""Seconds from which up and the floor are found. Scenes that are shorter by a tenth or more are left out."""

ELLIPSE = 2.486
"""Mahalanobis distance within which 95.4 % of a Gaussian in two dimensions lie."""

ON_FLOOR = 0.03
"""Height of a lowest part that is on the floor, metres."""

SLOW = 0.3
ABOVE_FOOT = 0.05
"""Largest speed (m/s) and height (m) of a captured contact."""

CAPTURED = ("left_heel", "right_heel", "left_foot", "right_foot")
PARTS = ("left_heel", "right_heel", "left_big_toe", "right_big_toe")
"""Captured points, and the points of the fit that they are compared with."""

FREE = ("head_top", "left_wrist", "right_wrist", "left_elbow", "right_elbow")

COLUMNS = ("kind", "seconds", "scenes", "unknown", "up_deg", "floor_cm", "up_inside", "floor_inside")
CONTACTS = (
    *("kind", "people", "precision", "recall", "slide_before_cm", "slide_cm", "float_before_cm", "float_cm"),
    "moved_cm",
)

FILES = ("more/cmu_60fps.npz", "more/accad_30fps.npz", "more/opencap_100fps.npz")
"""Of joints; more of each kind are in CMU's own files."""

APART = 1.5
"""Metres between the people of a scene."""

ROLL = 20.0
ELEVATION = (-5.0, 30.0)
"""Degrees."""

DISTANCE = 4.0
"""Least distance of the camera from the people, metres."""


@dataclass(frozen=True, eq=False)
class Scene:
    """People on a floor before a camera.

    Attributes:
        truth: points of the tree, metres, y up, the floor at 0; NaN after a clip's end.
        rotation, translation: from these axes to the camera's.
        feet: of whom the feet were captured.
        fit: of lifted keypoints, in the camera's axes.
    """

    kind: str
    truth: Float[np.ndarray, "time person point 3"]
    rotation: Float[np.ndarray, "3 3"]
    translation: Float[np.ndarray, "3"]
    feet: tuple[bool, ...]
    fit: SkeletonFit


def main(
    mocap: Path,
    clips: int = 8,
    training: bool = False,
    results: Annotated[Path, tyro.conf.arg(metavar="FOLDER")] = RESULTS,
) -> None:
    """Measure how well up, the floor and contacts are found.

    Args:
        mocap: folder with all motion capture.
        clips: of each kind; each is a scene.
        training: clips for training, on which the constants were chosen, instead of held-out ones. Writes nothing.
        results: folder of the tables.
    """
    torch.set_num_threads(1)
    planes = []
    contacts = []
    for scene in make_scenes(find_clips(mocap, not training, clips), NoiseModel.load()):
        planes += [measure_plane(scene, seconds) for seconds in SPANS if 0.9 * seconds * FPS < len(scene.truth)]
        contacts += measure_contacts(scene)
    kinds = (*KINDS, "all")
    rows = [row for kind in kinds for seconds in SPANS if (row := sum_up_planes(planes, kind, seconds))]
    contact_rows = [row for kind in kinds if (row := sum_up_contacts(contacts, kind))]
    for name, columns, table_rows in (("floor", COLUMNS, rows), ("floor_contacts", CONTACTS, contact_rows)):
        if not training:
            write(results / f"{name}.csv", columns, table_rows)
        table = Table(*columns)
        for row in table_rows:
            table.add_row(*map(str, row))
        Console(width=160).print(table)


def find_clips(mocap: Path, held_out: bool, clips: int) -> dict[str, list[MotionClip]]:
    """Up to so many clips of each kind, from different files in turn, the longest first."""
    labels = read_labels()
    joints = {(name, clip.name): clip for name in FILES for clip in read_joints(mocap / name)}
    found = {}
    for kind in KINDS:
        chosen = [key for key, label in labels.items() if (label.kind, label.held_out) == (kind, held_out)]
        own = [read_clip(mocap / name) for name, _ in chosen if name.endswith(".amc")][:clips]
        others = sorted((joints[key] for key in chosen if key in joints), key=_seconds, reverse=True)[: 2 * clips]
        pieces = [cut_jumps(clip)[:1] for pair in _alternate(own, others) for clip in pair]
        found[kind] = [clip for piece in pieces for clip in piece if _seconds(clip) >= LEAST_SECONDS][:clips]
    return found


def _alternate(one: Sequence[MotionClip], other: Sequence[MotionClip]) -> Iterator[list[MotionClip]]:
    for index in range(max(len(one), len(other))):
        yield [*one[index : index + 1], *other[index : index + 1]]


def _seconds(clip: MotionClip) -> float:
    return len(clip.joints) / clip.fps


def make_scenes(clips: dict[str, list[MotionClip]], noise: NoiseModel) -> Iterator[Scene]:
    """A scene for each clip, in which the next clips of its kind take part: one person, then two, up to four."""
    for kind, chosen in clips.items():
        moving = [capture(clip) for clip in chosen]
        for first, clip in enumerate(chosen):
            others = [(first + other) % len(moving) for other in range(min(len(moving), 1 + first % 4))]
            people = [moving[other] for other in others]
            feet = tuple(chosen[other].extremities is not None for other in others)
            random = np.random.default_rng(zlib.crc32(clip.name.encode()))
            yield film(kind, arrange(people), feet, random, noise)


def capture(clip: MotionClip) -> Float[np.ndarray, "time point 3"]:
    """A skeleton fitted to what was captured, on the floor: y up, metres."""
    frames = np.round(np.arange(0, min(len(clip.joints), SECONDS * clip.fps), clip.fps / FPS)).astype(int)
    joints = clip.body26[frames[frames < len(clip.joints)]].astype(float)[:, None]
    points = fit_skeleton(joints, BODY26, FPS, up=(0, 1, 0)).xyz[:, 0].astype(float)
    return points - np.array([0, np.quantile(lowest(points), 0.02), 0])


def lowest(points: Float[np.ndarray, "time point 3"]) -> Float[np.ndarray, "time"]:
    """Height of the lowest surface of a body, y up."""
    radii = bearing_joints(body_tree().skeleton)
    chosen = points[:, list(body_tree().skeleton.index(*radii)), 1]
    return (chosen - np.array(list(radii.values()))).min(-1)


def arrange(people: Sequence[Float[np.ndarray, "time point 3"]]) -> Float[np.ndarray, "time person point 3"]:
    """People side by side; who ends early is unknown from then on."""
    truth = np.full((max(map(len, people)), len(people), *people[0].shape[1:]), np.nan)
    for person, points in enumerate(people):
        middle = (points[:, 0].max(0) + points[:, 0].min(0)) / 2 * (1, 0, 1)
        truth[: len(points), person] = points - middle + np.array([APART * person, 0, 0])
    return truth


def film(
    kind: str,
    truth: Float[np.ndarray, "time person point 3"],
    feet: tuple[bool, ...],
    random: np.random.Generator,
    noise: NoiseModel,
) -> Scene:
    """The people as a rolled and tilted camera sees them."""
    known = truth[np.isfinite(truth).all(-1)]
    middle = (known.max(0) + known.min(0)) / 2
    elevation = random.uniform(*ELEVATION)
    turn = [("y", random.uniform(0, 360)), ("x", 180 - elevation), ("z", random.uniform(-ROLL, ROLL))]
    rotation = np.eye(3)
    for axis, degrees in turn:
        rotation = Rotation.from_euler(axis, degrees, degrees=True).as_matrix() @ rotation
    camera = Camera.from_fov(1920, 1080)
    relative = (known - middle) @ rotation.T
    reach = np.abs(relative[:, :2]) * (camera.fx, camera.fy) / (0.45 * camera.width, 0.45 * camera.height)
    distance = max(DISTANCE, float((reach.max(-1) - relative[:, 2]).max()))
    translation = np.array([0, 0, distance]) - rotation @ middle
    seen = truth @ rotation.T + translation
    return Scene(kind, truth, rotation, translation, feet, estimate(seen, camera, random, noise))


def estimate(
    seen: Float[np.ndarray, "time person point 3"], camera: Camera, random: np.random.Generator, noise: NoiseModel
) -> SkeletonFit:
    """Skeletons fitted to lifted keypoints with noise."""
    joints = convert(seen, body_tree().skeleton, BODY22)
    return fit_poses(lift_seen(joints, camera, FPS, noise, seed=int(random.integers(2**31))))


def lift_seen(
    joints: Float[np.ndarray, "time person 22 3"], camera: Camera, fps: float, noise: NoiseModel, seed: int
) -> Poses:
    """People as they are lifted from keypoints in COCO-17 with the noise of a front end.

    Arguments:
        joints: BODY22 in the camera's axes, m.
    """
    xy = joints[..., :2] / joints[..., 2:] * (camera.fx, camera.fy) + (camera.cx, camera.cy)
    generator = torch.Generator().manual_seed(seed)
    keypoints = np.full((*joints.shape[:2], len(COCO17), 3), np.nan)
    for person in range(joints.shape[1]):
        there = np.isfinite(xy[:, person]).all((1, 2))
        noisy, score = noise.sample(torch.from_numpy(xy[there, person]).float()[None], generator)
        with_score = np.concatenate([noisy[0].numpy(), score[0, :, :, None].numpy()], -1)
        keypoints[there, person] = convert(with_score, BODY22, COCO17)
    poses = from_array(keypoints, skeleton=COCO17, fps=fps, size=(camera.width, camera.height)).poses
    return lift_checked(poses, camera, None, None, load_lifter())


def estimate_of(scene: Scene, seconds: float) -> WorldFrame | None:
    """The world, from the first seconds of a scene."""
    fit = scene.fit
    frames = round(seconds * FPS)
    known = {"covariance": fit.covariance[:frames], "root_covariance": fit.root_covariance[:frames]}
    world, _ = estimate_world(fit.xyz[:frames], fit.skeleton, FPS, **known)
    return world


def measure_plane(scene: Scene, seconds: float) -> tuple[str, float, float, float, float, float]:
    """Kind, seconds, error of up (degrees) and floor (cm), and whether the truth is inside 2 sigma; NaN if unknown."""
    world = estimate_of(scene, seconds)
    if world is None:
        return scene.kind, seconds, np.nan, np.nan, np.nan, np.nan
    angle, up_inside = up_error(world, scene.rotation[:, 1])
    floor, sigma = floor_error(scene, world, round(seconds * FPS))
    floor_inside = np.nan if np.isnan(floor) else float(abs(floor) < 2 * sigma)
    return scene.kind, seconds, angle, 100 * abs(floor), float(up_inside), floor_inside


def up_error(world: WorldFrame, up: Float[np.ndarray, "3"]) -> tuple[float, bool]:
    """Angle to the true up in the camera's axes, degrees, and whether that is inside 2 sigma."""
    true_up = world.rotation @ up
    turn = np.array([true_up[1], -true_up[0]])
    distance = np.sqrt(turn @ np.linalg.solve(world.covariance[:2, :2], turn))
    angle = np.degrees(np.arctan2(np.linalg.norm(true_up[:2]), true_up[2]))
    return float(angle), bool(distance < ELLIPSE)


def floor_error(scene: Scene, world: WorldFrame, frames: int) -> tuple[float, float]:
    """Median height of the lowest true parts over the estimated floor, while they are on the true one, and the stated
    standard deviation of the floor in the middle of their places, metres; NaN if they never are.
    """
    radii = bearing_joints(body_tree().skeleton)
    chosen = list(body_tree().skeleton.index(*radii))
    true = scene.truth[:frames]
    both = np.isfinite(true[:, :, 0]).all(-1) & np.isfinite(scene.fit.root[:frames]).all(-1)
    moved = ((true - true[:, :, :1]) @ scene.rotation.T + scene.fit.root[:frames, :, None])[both][:, chosen]
    true_heights = true[both][:, chosen, 1] - list(radii.values())
    lowest = true_heights.argmin(-1)
    rows = np.flatnonzero(true_heights.min(-1) < ON_FLOOR)
    if not len(rows):
        return np.nan, np.nan
    places = moved[rows, lowest[rows]]
    heights = world.to_world(places)[:, 2] - np.array(list(radii.values()))[lowest[rows]]
    covariance = world.place_covariance(np.zeros(6), np.median(places, 0))
    return float(np.median(heights - true_heights.min(-1)[rows])), float(np.sqrt(covariance[2]))


def measure_contacts(scene: Scene) -> list[tuple[str, Bool[np.ndarray, "time 4"], Bool[np.ndarray, "time 4"], list]]:
    """Kind, true and stated contacts, and the other figures of each person with captured feet."""
    world = estimate_of(scene, SECONDS)
    if world is None or not any(scene.feet):
        return []
    stated = find_contacts(scene.fit.xyz, scene.fit.skeleton, FPS, world)
    rested = rest_on_contacts(scene.fit, stated, world, FPS)
    free = body_tree().skeleton.index(*FREE)
    result = []
    for person in np.flatnonzero(scene.feet):
        there = np.isfinite(scene.truth[:, person, 0]).all(-1) & np.isfinite(scene.fit.root[:, person]).all(-1)
        true = captured_contacts(scene.truth[there, person])
        found = stated.touching[there, person][:, [stated.points.index(part) for part in PARTS]] >= 0.5
        figures = []
        for fit in (scene.fit, rested):
            figures += slide_and_float(fit.xyz[there, person].astype(float), true & found, stated, world)
        before = scene.fit.xyz[there, person] - scene.fit.root[there, person, None]
        after = rested.xyz[there, person] - rested.root[there, person, None]
        moved = 100 * np.linalg.norm(after - before, axis=-1)[:, list(free)].mean()
        result.append((scene.kind, true, found, [*figures, float(moved)]))
    return result


def captured_contacts(truth: Float[np.ndarray, "time point 3"]) -> Bool[np.ndarray, "time 4"]:
    """Whether heels and balls of the feet touch something."""
    feet = truth[:, list(body_tree().skeleton.index(*CAPTURED))]
    height = feet[..., 1] - np.quantile(feet[..., 1], 0.05, axis=0)
    return (height - height.min(-1, keepdims=True) < ABOVE_FOOT) & (speed(feet, FPS) < SLOW)


def slide_and_float(
    xyz: Float[np.ndarray, "time point 3"], contact: Bool[np.ndarray, "time 4"], stated: Contacts, world: WorldFrame
) -> list[float]:
    """Mean distances of PARTS from the mean place of each contact and from the floor, cm; NaN without contacts."""
    slides = []
    floats = []
    for part, touching in zip(PARTS, contact.T, strict=True):
        places = world.to_world(xyz[:, body_tree().points.index(part)])
        radius = stated.radius[stated.points.index(part)]
        starts = np.flatnonzero(np.diff(touching)) + 1
        for run in np.split(np.arange(len(places)), starts):
            if touching[run[0]]:
                slides.append(np.linalg.norm(places[run, :2] - places[run, :2].mean(0), axis=-1))
                floats.append(np.abs(places[run, 2] - radius))
    return [100 * float(np.concatenate(values).mean()) if values else np.nan for values in (slides, floats)]


def sum_up_planes(planes: list[tuple], kind: str, seconds: float) -> tuple[object, ...] | None:
    """A row of the table of up and floor."""
    chosen = [row[2:] for row in planes if row[0] in (kind, *KINDS * (kind == "all")) and row[1] == seconds]
    known = np.array([row for row in chosen if np.isfinite(row[0])], float)
    if not len(known):
        return None
    shares = [*np.nanmedian(known[:, :2], 0), *np.nanmean(known[:, 2:], 0)]
    return kind, seconds, len(chosen), round(1 - len(known) / len(chosen), 2), *np.round(shares, 2).tolist()


def sum_up_contacts(contacts: list[tuple], kind: str) -> tuple[object, ...] | None:
    """A row of the table of contacts."""
    chosen = [row[1:] for row in contacts if row[0] in (kind, *KINDS * (kind == "all"))]
    if not chosen:
        return None
    true = np.concatenate([row[0] for row in chosen])
    found = np.concatenate([row[1] for row in chosen])
    hits = (true & found).sum()
    before_and_after = np.nanmean([row[2] for row in chosen], 0)[[0, 2, 1, 3, 4]]
    figures = [hits / max(1, found.sum()), hits / max(1, true.sum()), *before_and_after]
    return kind, len(chosen), *np.round(figures, 2).tolist()


if __name__ == "__main__":
    tyro.cli(main, description=__doc__)
