"""Compares front ends of occlupose, and MediaPipe, on real video with 3D ground truth and on photographs.

    python benchmarks/real.py --video-truth TRUTH --videos VIDEOS --photographs COCO --mediapipe PYTHON --heavy HEAVY

VIDEOS is the folder Demo_SinglePerson/videos of the pose2sim 0.9.8 wheel (BSD-3), of which cam01 and cam03 are used:
one man, 100 frames of 60 frames/s. TRUTH holds single_person.npz with his joints, triangulated over four views; for
each camera `xyz`, `xy`, the intrinsics, and which joints are hidden by his own body and which are well seen. COCO is a
folder in COCO's layout with people of train2017. PYTHON and HEAVY: see `mediapipe_poses.py`.

Video: 12 joints without the first two frames. 2D: median error, and PCK, the share of joints whose error is less than
a part of the torso (from the middle of the shoulders to that of the hips in the image of the same frame). A frame is
swapped where it fits better with left and right exchanged. 3D: with the true camera and relative to the middle of the
hips; P-MPJPE by frame, N-MPJPE with one scale for the clip and without rotation, and the mean acceleration. Joints said
to be hidden: state 1 of occlupose, visibility below 0.5 of MediaPipe. Of the people tracked, the one counts who has
most joints nearer to the truth than the torso's length. Joints of frames in which he was not found have an infinite 2D
error; they count neither in 3D nor as said to be seen or hidden.

Photographs: average precision of people who are found, and of people in their true boxes. Front ends that take no
boxes, and MediaPipe, get the photograph cut to 1.25 times the box instead, and the most confident person counts.
Intervals: 95 % by bootstrap over the photographs, the same draws for all.

Joints in true boxes, of networks for crops: mean object keypoint similarity (OKS) of visible joints (v = 2), of hidden
ones (v = 1), and of visible ones of people who are higher than CLOSE of the photograph; the area under the curve of
visible against hidden joints by their confidence. `gain`: the difference from `movenet`, with its 90 % interval by
bootstrap over the photographs.

No setting was chosen by either set. MoveNet may have been trained on the people of train2017.

Finished parts are kept in real_runs.csv until all are, so that an interrupted benchmark resumes, unless the code has
changed.
"""

import json
import subprocess
import tempfile
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import tyro
from jaxtyping import Bool, Float, Int
from ranking import area_under_curve
from results import COMMIT, Runs, write
from rich.console import Console
from rich.progress import track
from tables import markdown_table

from occlupose.cameras import Camera
from occlupose.datasets import discovery
from occlupose.datasets.annotations import Annotations, GroundTruth, PersonAnnotation
from occlupose.datasets.formats import coco
from occlupose.errors import OccluposeError
from occlupose.evaluation import keypoints
from occlupose.frontends import CROPS, Frontend, build_frontend, check_options, load_crop_network
from occlupose.frontends.boxes import FrameBoxes
from occlupose.frontends.crops import estimate_in_boxes
from occlupose.media import Frame
from occlupose.methods.oanet.estimator import OANet
from occlupose.metrics.oks import KeypointResult, OKSProtocol, evaluate, make_strata, to_coco_results
from occlupose.metrics.pose3d import align_scale, joint_errors, procrustes
from occlupose.pipeline import run
from occlupose.poses import ABSENT, OCCLUDED, VISIBLE
from occlupose.pyramid import Pyramid
from occlupose.skeletons import BLAZEPOSE33, H36M17

SYSTEMS = ("blazepose", "movenet-occlusion", "movenet", "movenet-multipose", "mediapipe-full", "mediapipe-heavy")
COLUMNS = ("data", "system", "part", "metric", "value")
CAMERAS = ("cam01", "cam03")
FIRST = 2
"""First frame that counts."""

BODY = H36M17.subset(
    f"{side}_{joint}" for joint in "shoulder elbow wrist hip knee ankle".split() for side in ("left", "right")
)
SHOULDERS = BODY.index("left_shoulder", "right_shoulder")
HIPS = BODY.index("left_hip", "right_hip")

MIN_VISIBILITY = 0.5
"""Below it MediaPipe says that a joint is hidden."""

PADDING = 1.25
"""Sides of the cut photograph / those of the box."""

STRATA = {"all": "all joints", "hidden joints": "hidden joints"}

BASELINE = "movenet"
"""The front end that `gain` is measured from."""

CLOSE = 0.8
"""Height of a person / that of the photograph, from which on it is a close-up."""


@dataclass(frozen=True)
class MediaPipe:
    """MediaPipe in an environment of its own.

    Attributes:
        python: interpreter of that environment.
        model: "full" or "heavy".
        heavy: the heavy network's file, if it is not installed there.
    """

    python: Path
    model: str
    heavy: Path | None

    def __call__(self, mode: str, inputs: Sequence[Sequence[str | int]]) -> dict[str, np.ndarray]:
        """The arrays that `mediapipe_poses.py` writes."""
        with tempfile.TemporaryDirectory() as name:
            request = Path(name) / "inputs.json"
            answer = Path(name) / "poses.npz"
            request.write_text(json.dumps(inputs))
            script = Path(__file__).with_name("mediapipe_poses.py")
            options = ["--model", self.model, *(["--heavy", self.heavy] if self.heavy else [])]
            subprocess.run([self.python, script, mode, request, answer, *options], check=True)
            with np.load(answer) as arrays:
                return dict(arrays)


System = str | MediaPipe
"""A front end by name, or MediaPipe."""


def find_system(name: str, python: Path | None, heavy: Path | None) -> System:
    """A front end, or MediaPipe with the model of mediapipe-full or mediapipe-heavy."""
    if not name.startswith("mediapipe-"):
        return name
    if python is None:
        raise SystemExit(f"{name}: needs an environment of its own; give its interpreter with --mediapipe")
    return MediaPipe(python, name.removeprefix("mediapipe-"), heavy)


# ------------------------------------------------------------------------------------------------------------- video


@dataclass(frozen=True)
class View:
    """The ground truth of one camera.

    Attributes:
        xyz: joints of BODY in metres, camera frame.
        xy: the same in pixels.
        hidden: joints hidden by the person's own body.
        well_seen: joints that are certainly visible.
        camera: intrinsics.
        fps: frames per second.
    """

    xyz: Float[np.ndarray, "time joint 3"]
    xy: Float[np.ndarray, "time joint 2"]
    hidden: Bool[np.ndarray, "time joint"]
    well_seen: Bool[np.ndarray, "time joint"]
    camera: Camera
    fps: float

    @property
    def torso(self) -> Float[np.ndarray, " time"]:
        """Length of the torso in the image, pixels."""
        return np.linalg.norm(self.xy[:, SHOULDERS].mean(1) - self.xy[:, HIPS].mean(1), axis=-1)


@dataclass(frozen=True)
class Person:
    """The joints of BODY of one person over time, as predicted; NaN where the person was not found.

    Attributes:
        xy: in pixels.
        xyz: in metres, axes of the camera.
        known: of which joints it is said whether they are hidden.
        hidden: joints said to be hidden.
    """

    xy: Float[np.ndarray, "time joint 2"]
    xyz: Float[np.ndarray, "time joint 3"]
    known: Bool[np.ndarray, "time joint"]
    hidden: Bool[np.ndarray, "time joint"]


def load_view(folder: Path, name: str) -> View:
    """The ground truth of one camera."""
    with np.load(folder / "single_person.npz") as data:
        joints = [data["joint_names"].tolist().index(joint) for joint in BODY.joints]
        names = ("xyz", "xy", "hidden_by_own_body", "well_seen")
        arrays = [data[f"{name}/{array}"][:, joints] for array in names]
        return View(*arrays, Camera(**json.loads(str(data[f"{name}/camera"]))), float(data["fps"]))


def follow(system: System, video: Path, view: View) -> Person:
    """The person by one of the systems."""
    return _by_mediapipe(system, video, view) if isinstance(system, MediaPipe) else _by_occlupose(system, video, view)


def find_person(xy: Float[np.ndarray, "time person joint 2"], view: View) -> int:
    """The number of the person in the truth, by joints of BODY in pixels."""
    near = joint_errors(xy, view.xy[:, None]) < view.torso[:, None, None]
    return int(near.sum((0, 2)).argmax())


def _by_occlupose(frontend: str, video: Path, view: View) -> Person:
    poses = run(video, OANet(frontend), camera=view.camera).select(joint=BODY.joints)
    assert poses.observed is not None and poses.xyz is not None
    xy = poses.observed.select(joint=BODY.joints).xy
    person = find_person(xy, view)
    state = poses.state[:, person]
    return Person(xy[:, person], poses.xyz[:, person], state != ABSENT, state == OCCLUDED)


def _by_mediapipe(mediapipe: MediaPipe, video: Path, view: View) -> Person:
    found = mediapipe("video", [[str(video)]])
    joints = BLAZEPOSE33.index(*BODY.joints)
    shape = view.xy.shape[:2]
    nowhere = np.full((*shape, 5), np.nan)
    person = Person(nowhere[..., :2], nowhere[..., 2:], np.zeros(shape, bool), np.zeros(shape, bool))
    person.xy[found["number"]] = found["xy"][:, joints]
    person.xyz[found["number"]] = found["xyz"][:, joints]
    person.known[found["number"]] = True
    person.hidden[found["number"]] = found["visibility"][:, joints] < MIN_VISIBILITY
    return person


COUNTS = ("frames", "frames_2d", "frames_3d", "swapped", "hidden", "hidden_said", "seen", "seen_said_hidden")
"""Metrics of `score_video` that are added over views; of the others there is a mean."""


def score_video(person: Person, view: View) -> dict[str, float]:
    """The metrics of one view: 2D errors in pixels, PCK from 0 to 1, 3D errors in millimetres, acceleration in m/s²,
    and `COUNTS`.
    """
    errors = joint_errors(person.xy, view.xy)
    exchanged = joint_errors(person.xy[:, list(BODY.mirror)], view.xy)
    error = np.where(np.isfinite(errors), errors, np.inf)
    predicted = person.xyz - person.xyz[:, HIPS].mean(1, keepdims=True)
    truth = view.xyz - view.xyz[:, HIPS].mean(1, keepdims=True)
    scaled = align_scale(predicted.reshape(-1, 3), truth.reshape(-1, 3)).reshape(truth.shape)
    return {
        "error_px": float(np.median(error)),
        "pck_20": float((error < 0.2 * view.torso[:, None]).mean()),
        "pck_10": float((error < 0.1 * view.torso[:, None]).mean()),
        "p_mpjpe_mm": 1000 * float(np.nanmean(joint_errors(procrustes(predicted, truth), truth))),
        "n_mpjpe_mm": 1000 * float(np.nanmean(joint_errors(scaled, truth))),
        "acceleration": acceleration(predicted, view.fps),
        "frames": len(errors),
        "frames_2d": int(np.isfinite(errors).any(1).sum()),
        "frames_3d": int(np.isfinite(predicted).all(-1).any(1).sum()),
        "swapped": int((exchanged.mean(1) < errors.mean(1)).sum()),
        "hidden": int((view.hidden & person.known).sum()),
        "hidden_said": int((view.hidden & person.hidden).sum()),
        "seen": int((view.well_seen & person.known).sum()),
        "seen_said_hidden": int((view.well_seen & person.hidden).sum()),
    }


def acceleration(xyz: Float[np.ndarray, "time joint 3"], fps: float) -> float:
    """Mean over joints and frames, m/s²; of joints relative to the hips."""
    return float(np.nanmean(np.linalg.norm(np.diff(xyz, 2, axis=0), axis=-1) * fps**2))


def both(views: Sequence[dict[str, float]]) -> dict[str, float]:
    """Mean of several views; counts are added."""
    return {
        metric: sum(view[metric] for view in views) / (1 if metric in COUNTS else len(views)) for metric in views[0]
    }


def from_first(data: Any) -> Any:
    """A View or Person without the first frames."""
    return replace(data, **{name: value[FIRST:] for name, value in vars(data).items() if isinstance(value, np.ndarray)})


def measure_video(system: System, folder: Path, videos: Path) -> dict[str, float]:
    """The metrics of each view and of both, by "part, metric"."""
    scores = {}
    for name in CAMERAS:
        view = load_view(folder, name)
        person = follow(system, videos / f"{name}.mp4", view)
        scores[name] = score_video(from_first(person), from_first(view))
    scores["both"] = both(list(scores.values()))
    return {f"{part}, {metric}": value for part, values in scores.items() for metric, value in values.items()}


# ------------------------------------------------------------------------------------------------------- photographs


def find(system: System, truth: GroundTruth, folder: Path) -> list[KeypointResult]:
    """The people that a system finds by itself in the photographs of a folder."""
    if isinstance(system, str):
        return _in_images(truth, folder, build_frontend(system))
    found = system("photographs", [[str(folder / image.name)] for image in truth.images.values()])
    return _mediapipe_results(found, list(truth.images), truth)


def predict_in_true_boxes(system: System, annotated: Annotations, folder: Path) -> list[KeypointResult]:
    """At most one prediction for each person."""
    truth = annotated.ground_truth
    if isinstance(system, MediaPipe):
        found = system("crops", [[str(person.image), *_padded(person)] for person in annotated.people])
        return _mediapipe_results(found, [person.image_id for person in annotated.people], truth)
    if not _takes_boxes(system):
        return list(_find_in_crops(build_frontend(system), annotated))
    numbers = {image: number for number, image in enumerate(truth.images)}
    boxes = {
        numbers[image.id]: FrameBoxes(image.boxes, image.score) for image in keypoints.ground_truth_boxes(annotated)
    }
    return _in_images(truth, folder, build_frontend(system, boxes=boxes))


def _in_images(truth: GroundTruth, folder: Path, frontend: Frontend) -> list[KeypointResult]:
    images = truth.images.values()
    return keypoints.all_results(keypoints.predict_in_images(images, folder, frontend, truth.skeleton))


def _takes_boxes(frontend: str) -> bool:
    try:
        check_options(frontend, boxes=True)
    except OccluposeError:
        return False
    return True


def _mediapipe_results(
    found: dict[str, np.ndarray], images: Sequence[int | None], truth: GroundTruth
) -> list[KeypointResult]:
    joints = BLAZEPOSE33.index(*truth.skeleton.joints)
    rows = zip(found["number"].tolist(), found["xy"][:, joints], found["visibility"][:, joints], strict=True)
    return [KeypointResult(images[number], xy, score) for number, xy, score in rows]


def _find_in_crops(frontend: Frontend, annotated: Annotations) -> Iterator[KeypointResult]:
    skeleton = annotated.skeleton
    for person in annotated.people:
        left, top, right, bottom = _padded(person)
        frontend.reset()
        found = frontend(Frame(0, 0.0, np.ascontiguousarray(person.read()[top:bottom, left:right])))
        if len(found):
            best = found.select([int(found.box_score.argmax())])
            xy = best.xy + np.array([left, top])
            (xy,), (score,) = keypoints.convert_keypoints(xy, best.score, frontend.skeleton, skeleton, xy.mean(1))
            yield KeypointResult(person.image_id, xy, score)


def _padded(person: PersonAnnotation) -> list[int]:
    """Left, top, right, bottom of 1.25 times the box, whole pixels inside of the image."""
    assert person.size is not None
    low = person.box[:2]
    high = person.box[2:]
    margin = (PADDING - 1) / 2 * (high - low)
    first = np.maximum(np.floor(low - margin), 0)
    last = np.minimum(np.ceil(high + margin) + 1, person.size)
    return [int(value) for value in (*first, *last)]


def draw(
    truth: GroundTruth, entries: Sequence[dict[str, Any]], images: Int[np.ndarray, " image"]
) -> tuple[GroundTruth, list[dict[str, Any]]]:
    """Ground truth and predictions of these images, which may repeat.

    Arguments:
        entries: in COCO's results format.
        images: ids.
    """
    by_image = defaultdict(list)
    for entry in entries:
        by_image[entry["image_id"]].append(entry)
    rows = [np.flatnonzero(truth.image_id == image) for image in images]
    taken = np.concatenate(rows)
    names = ("id", "boxes", "area", "is_crowd", "num_keypoints", "xy", "state")
    drawn = replace(
        truth,
        images={number: replace(truth.images[int(image)], id=number) for number, image in enumerate(images, 1)},
        image_id=np.repeat(np.arange(1, len(images) + 1), [len(each) for each in rows]),
        **{name: getattr(truth, name)[taken] for name in names},
    )
    return drawn, [
        entry | {"image_id": number} for number, image in enumerate(images, 1) for entry in by_image[int(image)]
    ]


def score_photographs(
    results: list[KeypointResult], truth: GroundTruth, protocol: OKSProtocol, draws: int
) -> dict[str, float]:
    """Average precision of all joints and of hidden ones, with the interval, by "stratum, metric"."""
    entries = to_coco_results(results, truth)
    scores = {}
    strata = make_strata(truth)
    for stratum, name in STRATA.items():
        part = strata[stratum]
        whole = evaluate(part, entries, protocol)
        random = np.random.default_rng(0)
        samples = (random.choice(list(truth.images), len(truth.images)) for _ in range(draws))
        drawn = [evaluate(*draw(part, entries, sample), protocol)["AP"] for sample in samples]
        low, high = np.nanpercentile(drawn, (2.5, 97.5)) if drawn else (np.nan, np.nan)
        values = {"people": whole.people, "predictions": whole.predictions, "ap": whole["AP"]}
        values |= {"ap_low": float(low), "ap_high": float(high)}
        scores |= {f"{name}, {metric}": value for metric, value in values.items()}
    return scores


@dataclass(frozen=True)
class BoxedJoints:
    """Annotated joints of people in their true boxes, one after the other.

    Attributes:
        similarity: object keypoint similarity of each, 0..1.
        confidence: that it is visible, 0..1.
        visible: whether it is visible, by its annotation.
        close: whether the person is a close-up.
        image: number of its photograph.
    """

    similarity: Float[np.ndarray, " joint"]
    confidence: Float[np.ndarray, " joint"]
    visible: Bool[np.ndarray, " joint"]
    close: Bool[np.ndarray, " joint"]
    image: Int[np.ndarray, " joint"]

    def metrics(self, images: Int[np.ndarray, " image"] | None = None) -> dict[str, float]:
        """The metrics, of these photographs, which may repeat; None: of all."""
        weight = np.ones(len(self.image))
        if images is not None:
            weight = np.bincount(images, minlength=self.image.max() + 1)[self.image].astype(float)
        parts = {
            "visible joints, oks": self.visible,
            "hidden joints, oks": ~self.visible,
            "close-ups, oks": self.visible & self.close,
        }
        with np.errstate(invalid="ignore"):  # a draw may have no such joint
            found = {name: (weight * self.similarity)[rows].sum() / weight[rows].sum() for name, rows in parts.items()}
            return {name: float(value) for name, value in found.items()} | {
                "visible or hidden, auc": area_under_curve(self.confidence, self.visible, weight)
            }


def measure_boxed(frontend: str, annotated: Annotations) -> BoxedJoints:
    """The joints of people in their true boxes, by a network for crops."""
    network = load_crop_network(frontend)
    numbers = {image: number for number, image in enumerate(annotated.ground_truth.images)}
    sigmas = np.array(annotated.skeleton.sigmas)
    columns = network.skeleton.index(*annotated.skeleton.joints)
    parts = []
    for person in annotated.people:
        assert person.area is not None and person.size is not None
        known = person.state > 0
        found = estimate_in_boxes(network, Pyramid(person.read()), FrameBoxes(person.box[None], np.ones(1)))
        squared = ((found.xy[0, columns] - person.xy) ** 2).sum(-1)
        similarity = np.exp(-squared / (8 * sigmas**2 * (person.area + np.spacing(1))))
        close = person.box[3] - person.box[1] > CLOSE * person.size[1]
        parts.append(
            (
                similarity[known],
                found.score[0, columns][known],
                person.state[known] == VISIBLE,
                np.full(known.sum(), close),
                np.full(known.sum(), numbers[person.image_id]),
            )
        )
    return BoxedJoints(*(np.concatenate(arrays) for arrays in zip(*parts, strict=True)))


def score_boxed(joints: BoxedJoints, baseline: BoxedJoints, draws: int) -> dict[str, float]:
    """The metrics of joints in true boxes and their gain over another network's, with the interval."""
    random = np.random.default_rng(0)
    images = np.unique(joints.image)
    values = joints.metrics()
    other = baseline.metrics()
    gains = []
    for _ in range(draws):
        drawn = random.choice(images, len(images))
        theirs = baseline.metrics(drawn)
        gains.append([value - theirs[name] for name, value in joints.metrics(drawn).items()])
    low, high = np.nanpercentile(gains, (5, 95), axis=0)
    counts = {"visible joints, count": int(joints.visible.sum()), "hidden joints, count": int((~joints.visible).sum())}
    found = values | counts
    for number, (name, value) in enumerate(values.items()):
        found |= {
            f"{name} gain": value - other[name],
            f"{name} gain_low": low[number],
            f"{name} gain_high": high[number],
        }
    return {f"joints in true boxes, {name}": value for name, value in found.items()}


def measure_photographs(system: System, folder: Path, draws: int) -> dict[str, float]:
    """The metrics of people found and in true boxes, by "part, stratum, metric"."""
    paths = discovery.find_dataset(folder, "train")
    annotated = coco.load(paths.annotations, paths.images)
    truth = annotated.ground_truth
    found = find(system, truth, paths.images)
    in_boxes = predict_in_true_boxes(system, annotated, paths.images)
    results = {
        "found": (found, OKSProtocol(truth.dataset, "detected")),
        "true boxes": (in_boxes, OKSProtocol(truth.dataset, "ground truth")),
    }
    scores = {
        f"{part}, {key}": value
        for part, (people, protocol) in results.items()
        for key, value in score_photographs(people, truth, protocol, draws).items()
    }
    if system in CROPS:
        boxed = measure_boxed(str(system), annotated)
        scores |= score_boxed(boxed, measure_boxed(BASELINE, annotated), draws)
    return scores


# --------------------------------------------------------------------------------------------------------------- all


def rows(runs: dict[str, dict[str, float]], systems: Sequence[str]) -> Iterator[tuple[str, ...]]:
    """The table."""
    for data in ("video", "photographs"):
        for system in systems:
            for key, value in runs[f"{data}, {system}"].items():
                part, _, metric = key.rpartition(", ")
                yield data, system, part, metric, f"{value:.4g}"


def main(
    video_truth: Path,
    videos: Path,
    photographs: Path,
    mediapipe: Path | None = None,
    heavy: Path | None = None,
    systems: tuple[str, ...] = SYSTEMS,
    draws: int = 1000,
    output: Path = Path(__file__).parent / "results" / "real.csv",
) -> None:
    """Measures the systems.

    Args:
        video_truth: folder of single_person.npz.
        videos: folder of cam01.mp4 and cam03.mp4.
        photographs: folder of photographs in COCO's layout.
        mediapipe: Python interpreter of the environment of MediaPipe.
        heavy: the heavy landmark network, if that environment lacks it.
        systems: names of front ends; mediapipe-full and mediapipe-heavy.
        draws: of the bootstrap.
        output: table to write.
    """
    runs = Runs(output.with_name(f"{output.stem}_runs.csv"), COMMIT)
    for name in track(systems, "measuring", console=Console(stderr=True)):
        system = find_system(name, mediapipe, heavy)
        runs.once(f"video, {name}", partial(measure_video, system, video_truth, videos))
        runs.once(f"photographs, {name}", partial(measure_photographs, system, photographs, draws))
    found = list(rows(runs.done(), systems))
    write(output, COLUMNS, found)
    runs.path.unlink()
    print(markdown_table([dict(zip(COLUMNS, row, strict=True)) for row in found]))


if __name__ == "__main__":
    tyro.cli(main)
