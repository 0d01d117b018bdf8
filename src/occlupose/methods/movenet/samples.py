"""Crops for training: people in photographs with pseudo-labels and synthetic people, behind occluders and cut off."""

from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np
import torch
from jaxtyping import Bool, Float, UInt8
from torch import Generator, Tensor
from torch.nn.functional import pad

from occlupose.bounds import Bounded, Fraction, NonNegative, Rotation
from occlupose.codecs.crops import Crop, transform_points
from occlupose.media import RGB, read_image
from occlupose.methods.movenet.labels import CONFIDENT, PhotographLabels
from occlupose.methods.movenet.occluders import (
    Matrix,
    Occluder,
    OccluderSettings,
    compose,
    draw_occluders,
    occluded_joints,
)
from occlupose.methods.movenet.people import SyntheticScene
from occlupose.networks.movenet import STRIDE
from occlupose.networks.occlusion_movenet import SIDE
from occlupose.poses import ABSENT, OCCLUDED, VISIBLE
from occlupose.skeletons import COCO17, COCO21

UNKNOWN = 255
"""State of a joint that is not known."""

CROP = Crop(SIDE, SIDE)
CELLS = SIDE // STRIDE
BODY = len(COCO17)
MIRROR = list(COCO21.mirror)
MIN_VISIBLE = 3
"""Joints of a person that remain visible behind occluders."""
MIN_SCENE_SIDE = 70
"""Larger side of the box around the visible joints of a synthetic person, px."""
UNSURE = 0.1
SURE = 0.5
"""Mean confidence of a joint in a photograph from which on its peak is the highest; lower ones rise from UNSURE."""
DOUBTFUL = 0.5
"""Weight of the place of a joint on which the views agree without confidence."""
LIMB_ENDS = COCO21.index("left_wrist", "right_wrist", "left_ankle", "right_ankle")
LONGEST_MOTION = 28
"""Motion of a fast hand during the exposure, px of the crop."""


@dataclass(frozen=True)
class CropAugmentation(Bounded):
    """Random changes of crops.

    Attributes:
        around_visible: probability of a crop around the visible joints, as for people who are followed, instead of
            the box.
        scale: standard deviation of the logarithm of its size.
        shift: of its position, in sides of the box.
        rotation: largest rotation, degrees.
        rotation_probability: of a rotation.
        colour: probability of another brightness, contrast and tint, and of grey.
        blur: probability of fewer pixels or of a coarse JPEG file.
        motion: probability of motion blur, of the whole crop or around a hand or foot.

    Raises:
        OccluposeError: a value is out of range.
    """

    around_visible: Fraction = 0.4
    scale: NonNegative = 0.12
    shift: NonNegative = 0.05
    rotation: Rotation = 25.0
    rotation_probability: Fraction = 0.35
    colour: Fraction = 0.6
    blur: Fraction = 0.2
    motion: Fraction = 0.25


@dataclass(frozen=True)
class SampleSettings(Bounded):
    """What crops are drawn.

    Attributes:
        photographs: probability of a person in a photograph; of a synthetic one otherwise.
        background: probability of a part of a photograph outside of all boxes, without a person.
        backdrop: probability that a photograph is behind a synthetic scene.
        occluders: what is put in front of people.
        augmentation: of the crops.

    Raises:
        OccluposeError: a value is out of range.
    """

    photographs: Fraction = 0.55
    background: Fraction = 0.06
    backdrop: Fraction = 0.5
    occluders: OccluderSettings = field(default_factory=OccluderSettings)
    augmentation: CropAugmentation = field(default_factory=CropAugmentation)


@dataclass
class Sample:
    """Crops with what is known of them. Positions are px from the edge of the crop.

    Attributes:
        images: for the network.
        photographs: the same crops of the photographs alone, without occluders and synthetic people, for the teacher.
        is_photograph: whether there is a photograph.
        covered: share of each cell of the heatmaps that is in front of the photograph, 0..1.
        xy: of the person in the middle.
        state: 2 visible, 1 occluded, 0 outside of the image, 255 unknown.
        score: the confidence to learn for joints that are visible, 0..1.
        weight: of each joint's place, 0 where it is unknown.
        others: visible joints of other synthetic people; NaN where not visible.
        synthetic: whether the person is synthetic.
    """

    images: UInt8[Tensor, "batch 256 256 3"]
    photographs: UInt8[Tensor, "batch 256 256 3"]
    is_photograph: Bool[Tensor, " batch"]
    covered: Float[Tensor, "batch 64 64"]
    xy: Float[Tensor, "batch 21 2"]
    state: UInt8[Tensor, "batch 21"]
    score: Float[Tensor, "batch 21"]
    weight: Float[Tensor, "batch 21"]
    others: Float[Tensor, "batch other 21 2"]
    synthetic: Bool[Tensor, " batch"]


@dataclass(frozen=True, eq=False)
class _Person:
    """A person in an image, before occluders and crop; image px.

    Attributes:
        image: RGB.
        to_proportions: from its stored pixels to image px.
        background: the photograph in it, or None.
        foreground: what is in front of the photograph, 0..1, in stored pixels.
        box: left, top, right, bottom.
        others: visible joints of other synthetic people.
        size: width and height of the image.
    """

    image: RGB
    to_proportions: Matrix
    background: RGB | None
    foreground: Float[np.ndarray, "height width"] | None
    box: Float[np.ndarray, "4"]
    xy: Float[np.ndarray, "21 2"]
    state: UInt8[np.ndarray, " 21"]
    score: Float[np.ndarray, " 21"]
    weight: Float[np.ndarray, " 21"]
    others: Float[np.ndarray, "other 21 2"]
    size: Float[np.ndarray, "2"]

    @property
    def limits(self) -> Float[np.ndarray, "4"]:
        """Left, top, right, bottom of the image."""
        return np.array([-0.5, -0.5, *(self.size - 0.5)])


IDENTITY = np.eye(2, 3)
PIXELS = np.stack(np.meshgrid(np.arange(SIDE), np.arange(SIDE)), -1) + 0.5
NOBODY = np.full((0, len(COCO21), 2), np.nan)
CACHED = 4096
"""Photographs, and scenes, that are kept decoded."""
LARGEST = 640
"""Longer side of a photograph that is kept, px."""
TRIES = 1000
"""Synthetic people that are drawn before it is an error that none is large enough."""


class People:
    """Photographs with labels, and synthetic scenes, decoded once and kept in memory.

    Arguments:
        folder: of the photographs.
        labels: of those to draw.
        scenes: files of synthetic scenes.

    Attributes:
        photograph: a function of a number: the photograph as it is stored, or smaller, and by how much.
        scene: a function of a number: the synthetic scene.
    """

    def __init__(self, folder: Path, labels: PhotographLabels, scenes: Sequence[Path]) -> None:
        self.folder = folder
        self.labels = labels
        self.scenes = scenes
        self.photograph = lru_cache(CACHED)(self._read_photograph)
        self.scene = lru_cache(CACHED)(self._read_scene)

    def _read_photograph(self, number: int) -> tuple[RGB, float]:
        image = read_image(self.folder / str(self.labels.names[number]))
        scale = min(LARGEST / max(image.shape), 1.0)
        if scale < 1:
            image = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        return image, scale

    def _read_scene(self, number: int) -> SyntheticScene:
        return SyntheticScene.load(self.scenes[number])

    def any_photograph(self, random: np.random.Generator) -> RGB:
        """A random photograph."""
        return self.photograph(int(random.integers(len(self.labels.names))))[0]

    def any_scene(self, random: np.random.Generator) -> SyntheticScene:
        """A random scene."""
        return self.scene(int(random.integers(len(self.scenes))))

    def has_synthetic(self) -> bool:
        """Whether some synthetic person is large enough to be drawn."""
        random = np.random.default_rng(0)
        return bool(self.scenes) and any(self._draw_seen(random) is not None for _ in range(TRIES))

    def draw_photographed(self, random: np.random.Generator) -> _Person:
        """A random person in a photograph."""
        person = int(random.integers(len(self.labels.box)))
        score = self.labels.score[person].astype(float)
        weight = np.where(score >= CONFIDENT, 1.0, np.where(score > 0, DOUBTFUL, 0.0))
        weight[BODY:] = score[BODY:] >= CONFIDENT
        return self._in_photograph(
            int(self.labels.image[person]),
            box=self.labels.box[person].astype(float),
            xy=self.labels.xy[person].astype(float),
            state=np.where(score >= CONFIDENT, VISIBLE, UNKNOWN).astype(np.uint8),
            score=np.clip((score - UNSURE) / (SURE - UNSURE), 0, 1),
            weight=weight,
        )

    def draw_background(self, random: np.random.Generator) -> _Person:
        """A random part of a photograph outside of the boxes of the labelled people, or anywhere if there is none."""
        number = int(random.integers(len(self.labels.names)))
        image, scale = self.photograph(number)
        height = image.shape[0] / scale
        size = np.array([self.labels.aspect[number] * height, height])
        boxes = self.labels.box[self.labels.image == number]
        for _ in range(10):
            side = random.uniform(0.15, 0.6) * size.min()
            low = random.random(2) * (size - side)
            box = np.concatenate([low, low + side])
            if (np.minimum(boxes[:, 2:], box[2:]) <= np.maximum(boxes[:, :2], box[:2])).any(1).all():
                break
        return self._in_photograph(
            number,
            box=box,
            xy=np.zeros((len(COCO21), 2)),
            state=np.full(len(COCO21), UNKNOWN, np.uint8),
            score=np.zeros(len(COCO21)),
            weight=np.zeros(len(COCO21)),
        )

    def _in_photograph(self, number: int, **person: np.ndarray) -> _Person:
        """Somebody in a photograph, whose proportions are restored."""
        image, scale = self.photograph(number)
        height = image.shape[0] / scale
        width = self.labels.aspect[number] * height
        ratio = np.array([width / image.shape[1], 1 / scale])
        return _Person(
            image=image,
            to_proportions=np.concatenate([np.diag(ratio), (ratio[:, None] - 1) / 2], 1),
            background=image,
            foreground=None,
            others=NOBODY,
            size=np.array([width, height]),
            **person,
        )

    def draw_synthetic(self, random: np.random.Generator, backdrop: float) -> _Person:
        """A random synthetic person, with a photograph behind the scene with some probability."""
        found = None
        while found is None:
            found = self._draw_seen(random)
        scene, person = found
        height, width = scene.surface.shape
        image = scene.image
        foreground = np.ones((height, width), np.float32)
        background = None
        if random.random() < backdrop:
            background = cv2.resize(self.any_photograph(random), (width, height))
            foreground = (scene.surface >= 0).astype(np.float32)
            image = np.where(scene.surface[..., None] >= 0, image, background)
        rows, columns = np.nonzero(scene.surface == person)
        known = np.isfinite(scene.xy[person]).all(1)
        others = np.delete(scene.xy, person, 0).astype(float)
        others[np.delete(scene.state, person, 0) != VISIBLE] = np.nan
        return _Person(
            image=image,
            to_proportions=IDENTITY,
            background=background,
            foreground=foreground,
            box=np.array([columns.min() - 0.5, rows.min() - 0.5, columns.max() + 0.5, rows.max() + 0.5]),
            xy=np.where(known[:, None], scene.xy[person], 0.0).astype(float),
            state=np.where(known, scene.state[person], UNKNOWN).astype(np.uint8),
            score=np.ones(len(COCO21)),
            weight=known.astype(float),
            others=others,
            size=np.array([width, height], float),
        )

    def _draw_seen(self, random: np.random.Generator) -> tuple[SyntheticScene, int] | None:
        """A random person of a random scene; None if too little of the person is seen."""
        scene = self.any_scene(random)
        person = int(random.integers(len(scene.xy)))
        seen = scene.state[person] == VISIBLE
        large = seen.sum() >= MIN_VISIBLE and np.ptp(scene.xy[person][seen], axis=0).max() >= MIN_SCENE_SIDE
        return (scene, person) if large else None


class CropSampler:
    """Draws batches of crops. The random numbers of a crop do not depend on the others in its batch.

    Arguments:
        batch: number of crops, of all processes together.
        share: this process's part of every batch.
    """

    def __init__(self, people: People, settings: SampleSettings, batch: int, *, share: slice = slice(None)) -> None:
        self.people = people
        self.settings = settings
        self.batch = batch
        self.share = share

    def draw(self, generator: Generator) -> Sample:
        """This process's share of the batch of a step."""
        seeds = torch.randint(2**62, (self.batch,), generator=generator)[self.share].tolist()
        return stack([self.draw_one(np.random.default_rng(seed)) for seed in seeds])

    def draw_one(self, random: np.random.Generator) -> Sample:
        """A batch of one crop."""
        settings = self.settings
        kind = random.random()
        if kind < settings.background:
            person = self.people.draw_background(random)
            return self._crop(random, person, [], person.limits, synthetic=False)
        synthetic = kind > settings.background + settings.photographs
        while True:
            if synthetic:
                person = self.people.draw_synthetic(random, settings.backdrop)
            else:
                person = self.people.draw_photographed(random)
            limits = self._truncate(random, person)
            for _ in range(4):
                occluders = draw_occluders(
                    settings.occluders,
                    random,
                    person.box,
                    person.xy,
                    person.state == VISIBLE,
                    lambda: self.people.any_photograph(random),
                    lambda: self.people.any_scene(random),
                )
                seen = (person.state == VISIBLE) & ~occluded_joints(occluders, person.xy) & _inside(person.xy, limits)
                if seen.sum() >= MIN_VISIBLE:
                    return self._crop(random, person, occluders, limits, synthetic=synthetic)

    def _truncate(self, random: np.random.Generator, person: _Person) -> Float[np.ndarray, "4"]:
        """Left, top, right, bottom of the image, which may end within the person."""
        limits = person.limits
        box = np.concatenate([np.maximum(person.box[:2], limits[:2]), np.minimum(person.box[2:], limits[2:])])
        if random.random() < self.settings.occluders.truncation:
            edge = int(random.choice(4, p=(0.2, 0.15, 0.2, 0.45)))
            axis = edge % 2
            share = random.uniform(0.25, 0.7)
            side = box[2 + axis] - box[axis]
            limits[edge] = box[edge] + (share if edge < 2 else -share) * side
        return limits

    def _crop(
        self,
        random: np.random.Generator,
        person: _Person,
        occluders: Sequence[Occluder],
        limits: Float[np.ndarray, "4"],
        *,
        synthetic: bool,
    ) -> Sample:
        hidden = occluded_joints(occluders, person.xy)
        inside = _inside(person.xy, limits)
        state = person.state.copy()
        known = person.weight > 0
        state[hidden & known] = OCCLUDED
        state[~inside & known] = ABSENT
        seen = state == VISIBLE
        matrix, mirrored = self._matrix(random, person, seen, limits)
        image, photograph, covered = _draw(person, occluders, matrix, limits)
        xy = transform_points(matrix, person.xy) + 0.5
        if random.random() < self.settings.augmentation.motion:
            image = _blur_motion(random, image, xy[random.choice(LIMB_ENDS)])
        image = _change_colours(random, image, self.settings.augmentation)
        groups = [person.others, *(occluder.joints_in_image() for occluder in occluders)]
        for number, joints in enumerate(groups):  # each is behind the occluders that are drawn after it
            hidden_joints = [occluded_joints(occluders[number:], own) for own in joints]
            joints[np.array(hidden_joints, bool).reshape(joints.shape[:2]) | ~_inside(joints, limits)] = np.nan
        others = transform_points(matrix, np.concatenate(groups)) + 0.5
        order = MIRROR if mirrored else slice(None)
        return Sample(
            images=torch.from_numpy(image)[None],
            photographs=torch.from_numpy(photograph)[None],
            is_photograph=torch.tensor([person.background is not None]),
            covered=torch.from_numpy(cv2.resize(covered, (CELLS, CELLS), interpolation=cv2.INTER_AREA))[None],
            xy=torch.from_numpy(xy[order]).float()[None],
            state=torch.from_numpy(state[order])[None],
            score=torch.from_numpy(person.score[order]).float()[None],
            weight=torch.from_numpy(person.weight[order]).float()[None],
            others=torch.from_numpy(others[:, order]).float()[None],
            synthetic=torch.tensor([synthetic]),
        )

    def _matrix(
        self,
        random: np.random.Generator,
        person: _Person,
        seen: Bool[np.ndarray, " 21"],
        limits: Float[np.ndarray, "4"],
    ) -> tuple[Matrix, bool]:
        """From the image to a random crop, and whether it is mirrored."""
        settings = self.settings.augmentation
        low = np.maximum(person.box[:2], limits[:2])
        high = np.minimum(person.box[2:], limits[2:])
        if seen.sum() >= MIN_VISIBLE and random.random() < settings.around_visible:
            low = person.xy[seen].min(0)
            high = person.xy[seen].max(0)
        side = max(float((high - low).max()), 8.0)
        middle = (low + high) / 2 + settings.shift * side * random.normal(0, 1, 2)
        half = side / 2 * np.exp(np.clip(settings.scale * random.normal(), -0.5, 0.5))
        angle = 0.0
        if random.random() < settings.rotation_probability:
            angle = np.radians(settings.rotation) * random.uniform(-1, 1)
        top = middle + half * np.array([np.sin(angle), -np.cos(angle)])
        matrix = CROP.matrices(np.concatenate([middle, top])[None])[0]
        mirrored = bool(random.random() < 0.5)
        if mirrored:
            matrix = compose(np.array([[-1.0, 0, SIDE - 1], [0, 1, 0]]), matrix)
        return matrix, mirrored


def _inside(xy: Float[np.ndarray, "*any 2"], limits: Float[np.ndarray, "4"]) -> Bool[np.ndarray, "*any"]:
    return np.all((xy >= limits[:2]) & (xy < limits[2:]), axis=-1)


def _draw(
    person: _Person, occluders: Sequence[Occluder], matrix: Matrix, limits: Float[np.ndarray, "4"]
) -> tuple[RGB, RGB, Float[np.ndarray, "256 256"]]:
    """The crop, that of the photograph alone, and what is in front of the photograph, 0..1."""
    size = (SIDE, SIDE)
    to_crop = compose(matrix, person.to_proportions)
    image = cv2.warpAffine(person.image, to_crop, size, flags=cv2.INTER_LINEAR)
    photograph = np.zeros_like(image)
    if person.background is person.image:
        photograph = image.copy()
    elif person.background is not None:
        photograph = cv2.warpAffine(person.background, to_crop, size, flags=cv2.INTER_LINEAR)
    covered: np.ndarray = np.zeros(size, np.float32)
    if person.foreground is not None:
        covered = cv2.warpAffine(person.foreground, to_crop, size, flags=cv2.INTER_LINEAR)
    for occluder in occluders:
        occluder.draw(image, covered, matrix)
    corners = transform_points(matrix, limits[[[0, 1], [2, 1], [2, 3], [0, 3]]])
    frame = np.zeros(size, np.uint8)
    cv2.fillConvexPoly(frame, np.rint(corners * 16).astype(np.int32), 1, shift=4)
    image *= frame[..., None]
    photograph *= frame[..., None]
    return image, photograph, covered


def _blur_motion(random: np.random.Generator, image: RGB, limb_end: Float[np.ndarray, "2"]) -> RGB:
    """Blur by a straight motion: of the whole crop, as if the camera moved, or around a joint."""
    kernel = motion_kernel(int(random.integers(4, LONGEST_MOTION)), random.uniform(0, np.pi))
    blurred = cv2.filter2D(image, -1, kernel)
    if random.random() < 0.3:
        return blurred
    distance = np.linalg.norm(PIXELS - limb_end, axis=-1)
    share = np.exp(-((distance / (random.uniform(0.08, 0.2) * SIDE)) ** 2))[..., None]
    return (image + share * (blurred.astype(np.float32) - image) + 0.5).astype(np.uint8)


def motion_kernel(length: int, angle: float) -> Float[np.ndarray, "side side"]:
    """A line through the middle, with the sum 1."""
    reach = length / 2 * np.array([np.cos(angle), np.sin(angle)])
    middle = np.full(2, length // 2 + 1)
    kernel = np.zeros((2 * middle[0] + 1,) * 2, np.uint8)
    ends = np.rint(16 * np.stack([middle - reach, middle + reach])).astype(int).tolist()
    cv2.line(kernel, ends[0], ends[1], 255, 1, cv2.LINE_AA, shift=4)
    return kernel / kernel.sum(dtype=np.float64)


def _change_colours(random: np.random.Generator, image: RGB, settings: CropAugmentation) -> RGB:
    """Another exposure and tint, grey, fewer pixels, or a coarse JPEG file."""
    if random.random() < settings.colour:
        gain = np.exp(random.normal(0, 0.2) + random.normal(0, 0.06, 3))
        gamma = np.exp(random.normal(0, 0.2))
        levels = np.clip(255 * (np.arange(256) / 255)[:, None] ** gamma * gain, 0, 255).astype(np.uint8)
        image = cv2.LUT(image, levels[None])
        if random.random() < 0.1:
            image = cv2.cvtColor(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
    if random.random() < settings.blur:
        if random.random() < 0.5:
            small = int(random.integers(96, 200))
            image = cv2.resize(cv2.resize(image, (small, small), interpolation=cv2.INTER_AREA), (SIDE, SIDE))
        else:
            quality = int(random.integers(15, 60))
            jpeg = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
            image = np.asarray(cv2.imdecode(jpeg, cv2.IMREAD_COLOR))
    return image


def draw_samples(people: People, batches: int, *, seed: int) -> list[Sample]:
    """Batches of 16 people for calibration and tests, half of them photographed; the same for the same seed."""
    sampler = CropSampler(people, SampleSettings(photographs=0.5, background=0.0), 16)
    generator = Generator().manual_seed(seed)
    return [sampler.draw(generator) for _ in range(batches)]


def stack(samples: Sequence[Sample]) -> Sample:
    """Several batches as one."""
    most = max(sample.others.shape[1] for sample in samples)
    joined = {}
    for name in (entry.name for entry in fields(Sample)):
        values = [getattr(sample, name) for sample in samples]
        if name == "others":
            values = [pad(value, (0, 0, 0, 0, 0, most - value.shape[1]), value=torch.nan) for value in values]
        joined[name] = torch.cat(values)
    return Sample(**joined)
