"""How reliable the confidence of keypoints is, and from which confidence on a joint should count as visible.

    python benchmarks/reliability.py --photographs PHOTOGRAPHS

Two sets of joints of which it is known whether they are visible:

- synthetic: scenes of `occlupose synth`, with exact states and what hides each joint. The front end finds the people;
  those whom it does not find do not count.
- photographs: people in photographs, one limb joint of each behind a rectangle, uniform or cut from another photograph,
  0.12 to 0.4 times as wide and high as the larger side of the person. Joints for which MoveNet Thunder had a confidence
  of at least 0.5 before are hidden where they are well behind the rectangle, and visible where they are well outside.
  Such visible joints are easier than others, above all for Thunder. Networks for crops get the true boxes here.

PHOTOGRAPHS holds NAME.jpg and NAME.txt, whose lines are `0 x y w h`, a person's box as fractions of the image (centre
and size); the images are stretched to squares and are shown as 4:3. Those on which movenet-occlusion was trained are
left out (`methods.movenet.data.split_of`).

All images are single ones: no optical flow lowers the confidence, as it may in video. A false alarm is a visible joint
whose confidence is below the threshold. `both` weighs the two sets equally; its threshold for 3 % of false alarms,
rounded to tenths, is what the front ends ship with (`min_joint_confidence`), but no less than 0.1, since a joint that
is doubted keeps a tenth of its confidence and must be occluded. Writes results/reliability.csv, the share of visible
joints by confidence, and results/reliability_thresholds.csv, false alarms and the shares of hidden joints that are
found.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import tyro
from jaxtyping import Bool, Float, Int
from results import write
from rich.console import Console

from occlupose.detections import Detections, FrameBoxes
from occlupose.frontends import CROPS, Frontend, build_frontend, load_crop_network
from occlupose.frontends.crops import BoxFrontend
from occlupose.media import RGB, Frame, read_image
from occlupose.methods.movenet.data import split_of
from occlupose.methods.movenet.labels import read_boxes, read_photograph
from occlupose.occlusion.surfaces import OcclusionCause
from occlupose.poses import ABSENT, VISIBLE
from occlupose.skeletons import BODY26, COCO17
from occlupose.synth.generate import ImageSettings, generate_scenes
from occlupose.synth.layout import SceneSettings, SceneSource

FRONTENDS = ("movenet-occlusion", "movenet", "movenet-multipose")
FALSE_ALARMS = 0.03
"""Share of visible joints that may be said to be hidden."""
CAUSES = {"self": OcclusionCause.SELF, "person": OcclusionCause.PERSON, "object": OcclusionCause.OBJECT}
EDGES = np.linspace(0, 1, 11)
MIN_SIDE = 80
"""Larger side of the box around a person's joints, px; smaller people do not count."""
MAX_DISTANCE = 0.2
"""Mean distance of the visible joints from those of the person that they are taken for, in box sides."""
CONFIDENT = 0.5
"""Confidence of the joints that count in photographs."""
MIN_CONFIDENT = 8
"""Number of them that a person needs, four of the limbs."""
EDGE = 0.03
"""Joints so near to the edge of a rectangle are neither hidden nor visible, in box sides."""
LIMBS = slice(5, 17)
"""Joints of COCO that are covered."""
ASPECT = 4 / 3
"""Width over height of the photographs."""


@dataclass(frozen=True)
class Joints:
    """Joints with their confidence and the truth.

    Attributes:
        score: confidence, 0..1.
        cause: what hides each joint (`OcclusionCause`); NONE is visible.
        people: number of people in the images.
        found: number of those whose joints these are.
    """

    score: Float[np.ndarray, " joint"]
    cause: Int[np.ndarray, " joint"]
    people: int
    found: int

    @property
    def visible(self) -> Bool[np.ndarray, " joint"]:
        """Which joints are visible."""
        return self.cause == OcclusionCause.NONE


class Collector:
    """Joints of one front end, person by person."""

    def __init__(self) -> None:
        self._scores: list[np.ndarray] = []
        self._causes: list[np.ndarray] = []
        self._people = 0

    def add(
        self,
        detections: Detections,
        xy: Float[np.ndarray, "person joint 2"],
        cause: Int[np.ndarray, "person joint"],
        known: Bool[np.ndarray, "person joint"],
    ) -> None:
        """Adds the people of an image.

        Arguments:
            detections: of the front end.
            xy, cause: true keypoints, px, and what hides each.
            known: which joints count.
        """
        row = match(detections.xy, xy, known & (cause == OcclusionCause.NONE))
        for person in np.flatnonzero(row >= 0):
            self._scores.append(detections.score[row[person]][known[person]])
            self._causes.append(cause[person][known[person]])
        self._people += len(xy)

    def joints(self) -> Joints:
        """All joints so far."""
        return Joints(np.concatenate(self._scores), np.concatenate(self._causes), self._people, len(self._scores))


def match(
    found: Float[np.ndarray, "found joint 2"],
    xy: Float[np.ndarray, "person joint 2"],
    visible: Bool[np.ndarray, "person joint"],
) -> Int[np.ndarray, " person"]:
    """The detection of each person, -1 for none: nearest pairs first, by three visible joints or more."""
    rows = np.full(len(xy), -1)
    if not len(found) or not len(xy):
        return rows
    apart = np.linalg.norm(found[None] - xy[:, None], axis=-1)
    count = visible.sum(1)
    mean = np.where(visible[:, None], apart, 0).sum(-1) / np.maximum(count, 1)[:, None]
    mean = np.where(count[:, None] >= 3, mean / box_side(xy)[:, None], np.inf)
    while mean.min() < MAX_DISTANCE:
        person, row = np.unravel_index(mean.argmin(), mean.shape)
        rows[person] = row
        mean[person] = np.inf
        mean[:, row] = np.inf
    return rows


def box_side(xy: Float[np.ndarray, "person joint 2"]) -> Float[np.ndarray, " person"]:
    """Larger side of the box around each person's joints, px."""
    return np.ptp(xy, axis=1).max(-1)


# ------------------------------------------------------------------------------------------------------- synthetic


def measure_synthetic(frontends: dict[str, Frontend], scenes: int) -> dict[str, Joints]:
    """The joints of synthetic people, for each front end."""
    collectors = {name: Collector() for name in frontends}
    columns = BODY26.index(*COCO17.joints)
    source = SceneSource.load(SceneSettings(people=(1, 4)))
    for sample in generate_scenes(source, range(scenes), images=ImageSettings(), workers=0):
        assert sample.image is not None
        xy = sample.record.xy[:, columns].astype(float)
        state = sample.record.state[:, columns]
        large = (box_side(xy) >= MIN_SIDE) & ((state == VISIBLE).sum(1) >= 3)
        cause = sample.record.cause[:, columns].astype(int)
        for name, frontend in frontends.items():
            frontend.reset()
            people = frontend(Frame(0, 0.0, sample.image)).to(COCO17)
            collectors[name].add(people, xy[large], cause[large], state[large] != ABSENT)
    return {name: collector.joints() for name, collector in collectors.items()}


# ----------------------------------------------------------------------------------------------------- photographs


@dataclass(frozen=True)
class Cover:
    """A rectangle in front of a joint.

    Attributes:
        low, high: corners, px.
        pixels: what is seen there.
    """

    low: Int[np.ndarray, "2"]
    high: Int[np.ndarray, "2"]
    pixels: RGB

    def draw(self, image: RGB) -> RGB:
        """The image with the rectangle in front."""
        covered = image.copy()
        covered[self.low[1] : self.high[1], self.low[0] : self.high[0]] = self.pixels
        return covered

    def contains(self, xy: Float[np.ndarray, "joint 2"], margin: float) -> Bool[np.ndarray, " joint"]:
        """Which joints are inside, by at least so many pixels; negative: or outside by less."""
        return ((xy >= self.low + margin) & (xy <= self.high - 1 - margin)).all(-1)


def place_cover(image: RGB, xy: Float[np.ndarray, "2"], side: float, other: RGB, random: np.random.Generator) -> Cover:
    """A rectangle around a joint, of one grey or with a part of another photograph."""
    half = side * random.uniform(0.06, 0.2, 2)
    size = np.array(image.shape[1::-1])
    low = np.clip(np.rint(xy - half), 0, size - 1).astype(int)
    high = np.clip(np.rint(xy + half) + 1, low + 1, size).astype(int)
    width, height = (high - low).tolist()
    if random.random() < 0.5:
        return Cover(low, high, np.full((height, width, 3), random.integers(256), np.uint8))
    part = np.minimum([width, height], other.shape[1::-1])
    left, top = (random.random(2) * (np.array(other.shape[1::-1]) - part)).astype(int).tolist()
    piece = other[top : top + part[1], left : left + part[0]]
    return Cover(low, high, cv2.resize(piece, (width, height)).reshape(height, width, 3))


def read_people(path: Path) -> tuple[RGB, Float[np.ndarray, "person 4"]]:
    """A photograph in its proportions, and the boxes of its people, px."""
    image = read_photograph(path, ASPECT)
    return image, read_boxes(path.with_suffix(".txt")) * np.tile(image.shape[1::-1], 2)


def covered_people(
    paths: Sequence[Path], thunder: BoxFrontend, random: np.random.Generator
) -> Iterator[tuple[RGB, FrameBoxes, Detections, Cover]]:
    """One person of each photograph on which enough is certain: the image with a rectangle in front of a limb joint,
    the person's box, the keypoints without the rectangle, and the rectangle.
    """
    for path in paths:
        image, boxes = read_people(path)
        box = FrameBoxes(boxes[[random.integers(len(boxes))]], np.ones(1))
        thunder.boxes = {0: box}
        person = thunder(Frame(0, 0.0, image))
        confident = person.score[0] >= CONFIDENT
        limbs = np.flatnonzero(confident[LIMBS]) + LIMBS.start
        side = box_side(person.xy)[0]
        if confident.sum() < MIN_CONFIDENT or len(limbs) < 4 or side < MIN_SIDE:
            continue
        joint = random.choice(limbs)
        other = read_image(paths[random.integers(len(paths))])
        cover = place_cover(image, person.xy[0, joint], side, other, random)
        yield cover.draw(image), box, person, cover


def measure_photographs(frontends: dict[str, Frontend], folder: Path, images: int) -> dict[str, Joints]:
    """The joints of people in photographs, for each front end; networks for crops get the true boxes."""
    random = np.random.default_rng(0)
    paths = [path for path in sorted(folder.glob("*.jpg")) if split_of(path.name) != "train"]
    chosen = [paths[index] for index in random.permutation(len(paths))[:images]]
    boxed = {name: BoxFrontend(name, load_crop_network(name), {}) for name in CROPS}
    thunder = boxed["movenet"]
    collectors = {name: Collector() for name in frontends}
    for image, box, person, cover in covered_people(chosen, thunder, random):
        xy = person.xy.astype(float)
        margin = EDGE * box_side(xy)[0]
        hidden = cover.contains(xy[0], margin)[None]
        outside = ~cover.contains(xy[0], -margin)[None]
        known = (person.score >= CONFIDENT) & (hidden | outside)
        cause = np.where(hidden, OcclusionCause.OBJECT, OcclusionCause.NONE)
        for name, frontend in ({**frontends, **boxed}).items():
            if isinstance(frontend, BoxFrontend):
                frontend.boxes = {0: box}
            frontend.reset()
            people = frontend(Frame(0, 0.0, image)).to(COCO17)
            collectors[name].add(people, xy, cause, known)
    return {name: collector.joints() for name, collector in collectors.items()}


# ---------------------------------------------------------------------------------------------------------- tables


def reliability(joints: Joints) -> list[tuple[float, int, float]]:
    """For each tenth of confidence its lower end, the number of joints, and the share of them that is visible."""
    rows = []
    tenth = np.clip(np.digitize(joints.score, EDGES) - 1, 0, len(EDGES) - 2)
    for number, low in enumerate(EDGES[:-1].tolist()):
        inside = joints.visible[tenth == number]
        rows.append((low, len(inside), float(inside.mean()) if len(inside) else float("nan")))
    return rows


def threshold(sets: Sequence[Joints], false_alarms: float) -> float:
    """The highest threshold below which no more than this share of the visible joints is; sets weigh the same."""
    scores = [joints.score[joints.visible] for joints in sets]
    weights = np.concatenate([np.full(len(score), 1 / len(score) / len(sets)) for score in scores])
    score = np.concatenate(scores)
    order = score.argsort()
    below = np.cumsum(weights[order]) - weights[order]
    return float(score[order][below <= false_alarms + 1e-9].max())


def shares_below(sets: Sequence[Joints], least: float) -> dict[str, float]:
    """Share of joints below a threshold: visible ones (`false_alarms`), and hidden ones by what hides them, NaN where
    there are none. The mean of the sets that have such joints.
    """
    shares = {}
    for name, cause in {"false_alarms": OcclusionCause.NONE, **CAUSES}.items():
        parts = [joints.score[joints.cause == cause] for joints in sets]
        parts = [part for part in parts if len(part)]
        shares[name] = float(np.mean([(part < least).mean() for part in parts])) if parts else float("nan")
    return shares


def main(photographs: Path, scenes: int = 200, images: int = 600) -> None:
    """Measures the confidence of the front ends on visible and hidden joints.

    Args:
        photographs: folder of photographs with boxes of people.
        scenes: number of synthetic scenes.
        images: number of photographs.
    """
    console = Console()
    frontends = {name: build_frontend(name) for name in FRONTENDS}
    measured = {
        "synthetic": measure_synthetic(frontends, scenes),
        "photographs": measure_photographs(frontends, photographs, images),
    }
    bins = []
    thresholds = []
    for name, frontend in frontends.items():
        for data, by_frontend in measured.items():
            for low, count, share in reliability(by_frontend[name]):
                bins.append([name, data, f"{low:.1f}", count, f"{share:.4f}"])
        everything = [by_frontend[name] for by_frontend in measured.values()]
        for data, sets in {**{data: [own[name]] for data, own in measured.items()}, "both": everything}.items():
            for least in (threshold(sets, FALSE_ALARMS), frontend.min_joint_confidence):
                shares = shares_below(sets, least)
                counts = (sum(joints.people for joints in sets), sum(joints.found for joints in sets))
                cells = ["" if np.isnan(share) else f"{share:.3f}" for share in shares.values()]
                thresholds.append([name, data, *counts, f"{least:.3f}", *cells])
                console.print(*thresholds[-1])
    results = Path(__file__).parent / "results"
    write(results / "reliability.csv", ("frontend", "data", "score", "joints", "visible"), bins)
    columns = ("frontend", "data", "people", "found", "min_confidence", "false_alarms", *CAUSES)
    write(results / "reliability_thresholds.csv", columns, thresholds)


if __name__ == "__main__":
    tyro.cli(main)
