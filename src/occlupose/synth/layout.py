"""Layout of scenes: groups of people who talk, pass, queue, sit, hug and crowd, a camera, and objects. Ours.

Scene n depends on the seed and n only, so that every scene can be generated separately.
"""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float

from occlupose.bodies.anny import SHAPE, anny
from occlupose.bodies.body import SEGMENTS, SIDES, BodyModel
from occlupose.bodies.fitting import swing_rotation
from occlupose.cameras import Camera
from occlupose.datasets.formats import cmu
from occlupose.errors import OccluposeError
from occlupose.skeletons import BODY26
from occlupose.synth import objects
from occlupose.synth.pose_prior import PosePrior, pose_to_vector, retarget, vector_to_pose
from occlupose.synth.scene import Person, Scene, SceneObject

MAX_PEOPLE = 10
"""Maximum number of people in a scene."""


@dataclass(frozen=True)
class SceneSettings:
    """Configuration of the scenes.

    Attributes:
        seed: of all random numbers.
        people: smallest and largest number in a scene, uniformly distributed.
        width, height: of the images, px.
        overlap: approximate fraction of the people who are in front of or behind another in the image, 0 to 1.
        objects: mean number of occluding objects, besides chairs of seated people; fewer where there is no room.

    Raises:
        OccluposeError: a value out of range.
    """

    seed: int = 0
    people: tuple[int, int] = (1, 7)
    width: int = 512
    height: int = 320
    overlap: float = 0.5
    objects: float = 1.0

    def __post_init__(self) -> None:
        if not 1 <= self.people[0] <= self.people[1] <= MAX_PEOPLE:
            raise OccluposeError(
                f"people: {self.people[0]} to {self.people[1]}; give two numbers from 1 to {MAX_PEOPLE}, smaller first"
            )
        if not (64 <= self.width <= 8192 and 64 <= self.height <= 8192):
            raise OccluposeError(
                f"size: {self.width} x {self.height}; give a width and a height from 64 to 8192 pixels"
            )
        if not 0 <= self.overlap <= 1:
            raise OccluposeError(f"overlap: {self.overlap}; give a fraction from 0 to 1")
        if not 0 <= self.objects <= 10:
            raise OccluposeError(f"objects: {self.objects}; give a mean number from 0 to 10")
        if not 0 <= self.seed < 2**63:
            raise OccluposeError(f"seed: {self.seed}; give a whole number from 0 to 9223372036854775807")


@dataclass(frozen=True, eq=False)
class SceneSource:
    """What scenes are sampled from: settings and a pose prior."""

    settings: SceneSettings
    pose_prior: PosePrior

    @property
    def body(self) -> BodyModel:
        """The body model of all people."""
        return anny()

    @classmethod
    def load(cls, settings: SceneSettings, *, mocap: Path | None = None, split: str = "train") -> "SceneSource":
        """Settings with the shipped prior, or with one fitted to a folder of motion capture.

        Arguments:
            mocap: folder of the CMU motion capture (see `formats.cmu.load_clips`); None is the shipped prior.
            split: "train", or "validation" for the held-out subjects, only with a folder.

        Raises:
            OccluposeError: the folder holds no motion capture, or a file in it is damaged; names it.
        """
        if mocap is None:
            return cls(settings, PosePrior.load())
        clips = cmu.split_clips(cmu.load_clips(mocap))[split == "validation"]
        return cls(settings, PosePrior.fit(pose_to_vector(retarget(clips).pose)))


def sample_scene(source: SceneSource, number: int) -> Scene:
    """Scene `number` of a source."""
    settings = source.settings
    random = np.random.default_rng([settings.seed, number])
    count = int(random.integers(settings.people[0], settings.people[1] + 1))
    layout, azimuth = _choose_layout(random, count, settings.overlap)
    people = _place_people(random, source, layout)
    camera, rotation, position = _place_camera(random, settings, people, azimuth)
    return Scene(
        body=source.body,
        people=people,
        objects=tuple(_place_objects(random, settings, people, layout.sits, position)),
        camera=camera,
        rotation=rotation,
        camera_position=position,
        appearance_seed=int(random.integers(2**31)),
    )


# Layout of the people.


@dataclass(frozen=True, eq=False)
class _Layout:
    """Positions on the ground (x, z), headings (radians from +z towards +x), who sits, who hugs the previous person."""

    position: Float[np.ndarray, "person 2"]
    yaw: Float[np.ndarray, "person"]
    sits: np.ndarray
    hugs: np.ndarray


def _talk(random: np.random.Generator, count: int) -> _Layout:
    """In a ring, facing its centre."""
    around = (np.arange(count) + random.normal(0, 0.12, count)) * 2 * np.pi / max(count, 3)
    around = around + random.uniform(0, 2 * np.pi)
    radius = max(0.5, 0.16 * count) * random.uniform(0.9, 1.5) + random.normal(0, 0.06, count)
    position = radius[:, None] * np.stack([np.sin(around), np.cos(around)], 1)
    return _Layout(position, around + np.pi + random.normal(0, 0.35, count), *_no_flags(count))


def _pass(random: np.random.Generator, count: int) -> _Layout:
    """Scattered, in random directions."""
    half = np.sqrt(count) * random.uniform(0.5, 1.0)
    return _Layout(random.uniform(-half, half, (count, 2)), random.uniform(0, 2 * np.pi, count), *_no_flags(count))


def _queue(random: np.random.Generator, count: int) -> _Layout:
    """In a line, one behind the other."""
    heading = random.uniform(0, 2 * np.pi)
    step = random.uniform(0.5, 0.95)
    along = (np.arange(count) - (count - 1) / 2) * step + random.normal(0, 0.06, count)
    position = along[:, None] * (np.sin(heading), np.cos(heading)) + random.normal(0, 0.08, (count, 2))
    return _Layout(position, heading + np.pi + random.normal(0, 0.25, count), *_no_flags(count))


def _row(random: np.random.Generator, count: int) -> _Layout:
    """Side by side, some on chairs."""
    heading = random.uniform(0, 2 * np.pi)
    step = random.uniform(0.5, 0.8)
    along = (np.arange(count) - (count - 1) / 2) * step
    position = along[:, None] * (np.cos(heading), -np.sin(heading)) + random.normal(0, 0.08, (count, 2))
    sits = random.random(count) < random.choice([0.0, 0.5, 1.0])
    return _Layout(position, heading + random.normal(0, 0.3, count), sits, np.zeros(count, bool))


def _hug(random: np.random.Generator, count: int) -> _Layout:
    """Hugging in pairs; one person may be left over."""
    base = _pass(random, count)
    position = base.position * 1.4
    yaw = base.yaw.copy()
    hugs = np.zeros(count, bool)
    for second in range(1, count, 2):
        distance = random.uniform(0.3, 0.42)
        forward = np.array([np.sin(yaw[second - 1]), np.cos(yaw[second - 1])])
        position[second] = position[second - 1] + distance * forward
        yaw[second] = yaw[second - 1] + np.pi + random.normal(0, 0.15)
        hugs[second] = True
    return _Layout(position, yaw, np.zeros(count, bool), hugs)


def _crowd(random: np.random.Generator, count: int) -> _Layout:
    """Close together, mostly facing one way."""
    half = np.sqrt(count) * random.uniform(0.32, 0.5)
    heading = random.uniform(0, 2 * np.pi)
    return _Layout(random.uniform(-half, half, (count, 2)), heading + random.normal(0, 0.7, count), *_no_flags(count))


def _no_flags(count: int) -> tuple[np.ndarray, np.ndarray]:
    return np.zeros(count, bool), np.zeros(count, bool)


LAYOUTS = (_talk, _pass, _queue, _row, _hug, _crowd)
LAYOUT_PROBABILITIES = (0.24, 0.26, 0.1, 0.16, 0.1, 0.14)

LAYOUT_TRIES = 8
"""Number of random layouts; the one with the overlap closest to the wanted one is used."""

PERSON_WIDTH = 0.42
"""Metres. Two people overlap in the image if they are closer than this across the view."""


def _choose_layout(random: np.random.Generator, count: int, overlap: float) -> tuple[_Layout, float]:
    """A layout, and the azimuth of the camera (radians from +z towards +x)."""
    wanted = np.clip(overlap + random.uniform(-0.25, 0.25), 0, 1)
    tries = []
    for _ in range(LAYOUT_TRIES):
        layout = LAYOUTS[random.choice(len(LAYOUTS), p=LAYOUT_PROBABILITIES)](random, count)
        layout = replace(layout, position=_separate(layout))
        tries.append((layout, float(random.uniform(0, 2 * np.pi))))
    return min(tries, key=lambda one: abs(overlapping_fraction(one[0].position, one[1]) - wanted))


def overlapping_fraction(position: Float[np.ndarray, "person 2"], azimuth: float) -> float:
    """Fraction of the people who overlap with another, seen from an azimuth."""
    aside = position @ (np.cos(azimuth), -np.sin(azimuth))
    near = np.abs(aside[:, None] - aside) < PERSON_WIDTH
    return float((near.sum(1) > 1).mean())


MIN_DISTANCE = 0.45
"""Metres between two people who do not hug."""


def _separate(layout: _Layout) -> Float[np.ndarray, "person 2"]:
    """The positions after people who would intersect are moved apart."""
    position = layout.position.copy()
    pairs = [(a, b) for a in range(len(position)) for b in range(a) if not (layout.hugs[a] and b == a - 1)]
    for _ in range(20):
        for a, b in pairs:
            gap = position[a] - position[b]
            distance = np.linalg.norm(gap)
            if distance < MIN_DISTANCE:
                push = np.array([MIN_DISTANCE / 2, 0.0])
                if distance > 1e-6:
                    push = gap / distance * (MIN_DISTANCE - distance) / 2
                position[a] = position[a] + push
                position[b] = position[b] - push
    return position


# Poses of the people.

LYING_PROBABILITY = 0.04
"""Probability that a person lies on the ground."""


def _place_people(random: np.random.Generator, source: SceneSource, layout: _Layout) -> tuple[Person, ...]:
    count = len(layout.yaw)
    body = source.body
    vectors = source.pose_prior.sample(random, count).reshape(count, len(SEGMENTS), 3)
    shape = torch.from_numpy(_shapes(random, count))
    for person in np.flatnonzero(layout.sits):
        vectors[person] = _sit(random, vectors[person])
    pose = torch.from_numpy(vector_to_pose(vectors.reshape(count, -1)))
    hugging = layout.hugs | np.append(layout.hugs[1:], False)
    rest = body.rest(shape)
    for person in np.flatnonzero(hugging):
        pose[person] = _hug_pose(random, pose[person], rest[person])
    lies = (random.random(count) < LYING_PROBABILITY) & ~layout.sits & ~hugging
    face_up = random.random(count) < 0.5
    orientation = np.stack(
        [
            objects.yaw_rotation(yaw) @ (_lying_rotation(up) if flat else np.eye(3))
            for yaw, flat, up in zip(layout.yaw, lies, face_up, strict=True)
        ]
    )
    pose = torch.from_numpy(orientation.astype(np.float32))[:, None] @ pose
    with torch.no_grad():
        standing = body(pose, shape, torch.zeros(count, 3))
    vertices = standing.vertices.numpy()
    joints = standing.joints.numpy()
    x, z = (layout.position - joints[:, BODY26.index("pelvis")[0], ::2]).T
    move = np.stack([x, -vertices[..., 1].min(1), z], 1).astype(np.float32)
    seeds = random.integers(2**31, size=count)
    return tuple(
        Person(shape[p].numpy(), pose[p].numpy(), move[p], joints[p] + move[p], vertices[p] + move[p], int(seeds[p]))
        for p in range(count)
    )


def _shapes(random: np.random.Generator, count: int) -> Float[np.ndarray, "person 11"]:
    """Random body shapes: seven in ten are adults, few are babies."""
    shape = random.random((count, len(SHAPE)))
    adult = random.random(count) < 0.7
    adult_age = random.uniform(0.6, 1.0, count)
    shape[:, SHAPE.index("age")] = np.where(adult, adult_age, random.triangular(0.0, 0.6, 0.6, count))
    shape[:, SHAPE.index("gender")] = np.round(random.random(count)) * 0.9 + random.uniform(0, 0.1, count)
    for name in ("height", "weight", "muscle", "proportions"):  # extremes are rarer
        shape[:, SHAPE.index(name)] = random.triangular(0.0, 0.5, 1.0, count)
    return shape.astype(np.float32)


def _sit(random: np.random.Generator, vectors: Float[np.ndarray, "17 3"]) -> Float[np.ndarray, "17 3"]:
    """The pose with seated legs; the motion capture has almost no sitting people."""
    vectors = vectors.copy()
    vectors[0] = (random.normal(-0.08, 0.1), 0, random.normal(0, 0.04))
    for side, sign in zip(SIDES, (1, -1), strict=True):
        out = sign * random.normal(0.08, 0.12)
        bend = random.normal(1.5, 0.1)
        vectors[SEGMENTS.index(f"{side}_thigh")] = (-bend, out, 0)
        vectors[SEGMENTS.index(f"{side}_shank")] = (bend + random.normal(0.05, 0.25), 0, 0)
        vectors[SEGMENTS.index(f"{side}_foot")] = (random.normal(0, 0.1), 0, 0)
    return vectors


HUG_ARM = {"upper_arm": (0.35, -0.2, 0.9), "forearm": (-0.75, 0.1, 0.65), "hand": (-0.95, 0.0, 0.3)}
"""Directions of the left arm in a hug, in the axes left, up and forward of the chest; the right arm is mirrored."""


def _hug_pose(
    random: np.random.Generator, pose: Float[torch.Tensor, "17 3 3"], rest: Float[torch.Tensor, "26 3"]
) -> torch.Tensor:
    """The pose with arms around another person in front."""
    pose = pose.clone()
    for side, sign in zip(SIDES, (1, -1), strict=True):
        chain = [BODY26.index(f"{side}_{joint}")[0] for joint in ("shoulder", "elbow", "wrist", "hand")]
        for (segment, direction), start, end in zip(HUG_ARM.items(), chain[:-1], chain[1:], strict=True):
            wanted = torch.tensor(direction) * torch.tensor([sign, 1.0, 1.0])
            wanted = wanted + torch.from_numpy(random.normal(0, 0.12, 3)).float()
            local = swing_rotation((rest[end] - rest[start])[None], wanted[None])[0]
            pose[SEGMENTS.index(f"{side}_{segment}")] = pose[SEGMENTS.index("chest")] @ local
    return pose


def _lying_rotation(face_up: bool) -> Float[np.ndarray, "3 3"]:
    sign = -1.0 if face_up else 1.0
    return np.array([[1, 0, 0], [0, 0, -sign], [0, sign, 0]])


# The camera.

FOV = (35.0, 85.0)
"""Field of view of the long side, degrees."""

CAMERA_HEIGHTS = ((0.7, 1.1, 1.8), (0.15, 0.25, 1.1), (0.15, 1.8, 4.5))
"""Probability and range of the height of the camera (metres): at eye level, low, high."""

FILL = (0.55, 1.3)
"""Size of the group relative to the image; above 1 some of it is cut off."""

MIN_CAMERA_DISTANCE = 0.9
"""Metres between the camera and the nearest person."""


def _place_camera(
    random: np.random.Generator, settings: SceneSettings, people: tuple[Person, ...], azimuth: float
) -> tuple[Camera, Float[np.ndarray, "3 3"], Float[np.ndarray, "3"]]:
    camera = Camera.from_fov(settings.width, settings.height, float(random.uniform(*FOV)))
    joints = np.concatenate([person.joints for person in people])
    low = joints.min(0)
    high = joints.max(0)
    aim = (low + high) / 2 + random.normal(0, (0.12, 0.1, 0.12))
    which = random.choice(len(CAMERA_HEIGHTS), p=[probability for probability, _, _ in CAMERA_HEIGHTS])
    height = random.uniform(*CAMERA_HEIGHTS[which][1:])
    towards = np.array([np.sin(azimuth), 0, np.cos(azimuth)])  # from the group to the camera
    aside = np.array([np.cos(azimuth), 0, -np.sin(azimuth)])
    wide = np.ptp(joints @ aside) / 2 + 0.25
    tall = (high[1] - low[1]) / 2 + 0.2
    away = max(wide * camera.fx / (camera.width / 2), tall * camera.fy / (camera.height / 2)) / random.uniform(*FILL)
    nearest = max(float((person.joints.mean(0) - aim) @ towards) for person in people)
    position = aim + towards * max(away, nearest + MIN_CAMERA_DISTANCE)
    position[1] = height
    rotation = _look_along(aim - position, float(np.radians(random.normal(0, 3))))
    return camera, rotation, position


def _look_along(direction: Float[np.ndarray, "3"], roll: float) -> Float[np.ndarray, "3 3"]:
    """Rotation from world axes to those of a camera with this viewing direction and roll (radians)."""
    z = direction / np.linalg.norm(direction)
    x = np.cross(z, (0.0, 1.0, 0.0))
    x /= np.linalg.norm(x)
    y = np.cross(z, x)
    c = np.cos(roll)
    s = np.sin(roll)
    return np.array([[c, s, 0], [-s, c, 0], [0, 0, 1]]) @ np.stack([x, y, z])


# Objects.

CLEARANCE = 0.12
"""Metres around an object in which there are no joints and no camera."""


def _place_objects(
    random: np.random.Generator,
    settings: SceneSettings,
    people: tuple[Person, ...],
    sits: np.ndarray,
    position: Float[np.ndarray, "3"],
) -> list[SceneObject]:
    placed = []
    joints = np.concatenate([person.joints for person in people])
    pelvises = joints[BODY26.index("pelvis")[0] :: len(BODY26)]
    for person in np.flatnonzero(sits):
        forward = people[person].pose[0] @ (0.0, 0.0, 1.0)
        seat = max(0.15, float(pelvises[person, 1]) - 0.1)
        mesh = objects.chair(random, seat)
        x, _, z = pelvises[person] - 0.05 * forward
        mesh = objects.place(mesh, float(np.arctan2(forward[0], forward[2])), x, z)
        placed.append(_scene_object(random, "chair", mesh))
    for _ in range(int(random.poisson(settings.objects))):
        is_foreground = random.random() < 0.4
        kinds = objects.FOREGROUND_OBJECTS if is_foreground else objects.STANDING_OBJECTS
        kind = list(kinds)[random.integers(len(kinds))]
        mesh = kinds[kind](random)
        yaw = random.uniform(0, 2 * np.pi)
        target = pelvises[random.integers(len(pelvises))]
        if is_foreground:
            yaw = float(np.arctan2(position[0] - target[0], position[2] - target[2]))
        for _ in range(5):
            near = random.uniform(0.5, 1.3) / max(1.0, float(np.linalg.norm(position - target)))
            fraction = random.uniform(0.3, 0.7) if is_foreground else max(0.2, 1 - near)
            x, _, z = position + fraction * (target - position) + random.normal(0, 0.25, 3)
            if not _inside(np.concatenate([joints, position[None]]), mesh[0], yaw, x, z):
                placed.append(_scene_object(random, kind, objects.place(mesh, yaw, x, z)))
                break
    return placed


def _inside(
    points: Float[np.ndarray, "n 3"], vertices: Float[np.ndarray, "vertex 3"], yaw: float, x: float, z: float
) -> bool:
    """Whether a point is in or close to the bounding box of a mesh that `objects.place` puts there."""
    local = (points - (x, 0, z)) @ objects.yaw_rotation(yaw)
    return bool(((local > vertices.min(0) - CLEARANCE) & (local < vertices.max(0) + CLEARANCE)).all(1).any())


def _scene_object(random: np.random.Generator, kind: str, mesh: objects.Mesh) -> SceneObject:
    return SceneObject(kind, mesh[0].astype(np.float32), mesh[1].astype(np.int32), int(random.integers(2**31)))
