"""Scenes of people as groups stand: they talk, pass, queue, sit, hug and crowd, before a camera, among things. Ours.

Everything about scene n comes from the seed and n alone, so that any scene can be made again by itself.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float

from occlupose.bodies.anny import SHAPE, anny
from occlupose.bodies.body import SEGMENTS, SIDES, BodyModel
from occlupose.bodies.fitting import swing_rotation
from occlupose.cameras import Camera
from occlupose.datasets import cmu
from occlupose.errors import OccluposeError
from occlupose.skeletons import BODY26
from occlupose.synth import things
from occlupose.synth.poses import Poses, describe, posed, retarget
from occlupose.synth.scene import Person, Scene, Thing

MOST = 10
"""People in a scene."""


@dataclass(frozen=True)
class Settings:
    """What scenes are like.

    Attributes:
        seed: of everything.
        people: fewest and most in a scene, each number as often.
        width, height: of the pictures, px.
        overlap: how many of the people stand before or behind somebody as the camera sees them, 0 to 1; as near as a
            group allows.
        objects: mean number of things that are put in the way, besides chairs that are sat on; where there is no room,
            fewer.

    Raises:
        OccluposeError: a number that cannot be.
    """

    seed: int = 0
    people: tuple[int, int] = (1, 7)
    width: int = 512
    height: int = 320
    overlap: float = 0.5
    objects: float = 1.0

    def __post_init__(self) -> None:
        if not 1 <= self.people[0] <= self.people[1] <= MOST:
            raise OccluposeError(
                f"people: {self.people[0]} to {self.people[1]}; give two numbers from 1 to {MOST}, the smaller first"
            )
        if not (64 <= self.width <= 8192 and 64 <= self.height <= 8192):
            raise OccluposeError(
                f"size: {self.width} x {self.height}; give a width and a height from 64 to 8192 pixels"
            )
        if not 0 <= self.overlap <= 1:
            raise OccluposeError(f"overlap: {self.overlap}; give a share from 0 to 1")
        if not 0 <= self.objects <= 10:
            raise OccluposeError(f"objects: {self.objects}; give a mean number from 0 to 10")
        if not 0 <= self.seed < 2**63:
            raise OccluposeError(f"seed: {self.seed}; give a whole number from 0 to 9223372036854775807")


@dataclass(frozen=True, eq=False)
class Source:
    """What scenes are made of: settings, and the poses that people may hold."""

    settings: Settings
    poses: Poses

    @property
    def body(self) -> BodyModel:
        """Of everybody: the default one."""
        return anny()

    @classmethod
    def load(cls, settings: Settings, *, mocap: Path | None = None, split: str = "train") -> "Source":
        """The poses that are shipped, or a prior learned from a folder of motion capture.

        Arguments:
            mocap: holds the CMU motion capture (see `datasets.cmu.load_clips`); None takes the shipped prior.
            split: "train", or "validation" for the subjects that no training sees, with a folder only.

        Raises:
            OccluposeError: the folder holds no motion capture, or a file in it is damaged; names it.
        """
        if mocap is None:
            return cls(settings, Poses.load())
        clips = cmu.split(cmu.load_clips(mocap))[split == "validation"]
        return cls(settings, Poses.learn(describe(retarget(clips).pose)))


def sample(source: Source, number: int) -> Scene:
    """One scene."""
    settings = source.settings
    random = np.random.default_rng([settings.seed, number])
    count = int(random.integers(settings.people[0], settings.people[1] + 1))
    layout, azimuth = _arrange(random, count, settings.overlap)
    people = _stand(random, source, layout)
    camera, rotation, eye = _camera(random, settings, people, azimuth)
    return Scene(
        body=source.body,
        people=people,
        things=tuple(_things(random, settings, people, layout.sits, eye)),
        camera=camera,
        rotation=rotation,
        eye=eye,
        look=int(random.integers(2**31)),
    )


# Where people are.


@dataclass(frozen=True, eq=False)
class _Layout:
    """Where everybody is on the ground (x, z), which way they face (radians from +z towards +x), who sits, and who hugs
    the one before.
    """

    place: Float[np.ndarray, "person 2"]
    yaw: Float[np.ndarray, "person"]
    sits: np.ndarray
    hugs: np.ndarray


def _talk(random: np.random.Generator, count: int) -> _Layout:
    """In a ring, facing its middle."""
    around = (np.arange(count) + random.normal(0, 0.12, count)) * 2 * np.pi / max(count, 3) + random.uniform(
        0, 2 * np.pi
    )
    radius = max(0.5, 0.16 * count) * random.uniform(0.9, 1.5) + random.normal(0, 0.06, count)
    place = radius[:, None] * np.stack([np.sin(around), np.cos(around)], 1)
    return _Layout(place, around + np.pi + random.normal(0, 0.35, count), *_none(count))


def _pass(random: np.random.Generator, count: int) -> _Layout:
    """All over the place, going anywhere."""
    reach = np.sqrt(count) * random.uniform(0.5, 1.0)
    return _Layout(random.uniform(-reach, reach, (count, 2)), random.uniform(0, 2 * np.pi, count), *_none(count))


def _queue(random: np.random.Generator, count: int) -> _Layout:
    """One behind the other."""
    way = random.uniform(0, 2 * np.pi)
    step = random.uniform(0.5, 0.95)
    along = (np.arange(count) - (count - 1) / 2) * step + random.normal(0, 0.06, count)
    place = along[:, None] * (np.sin(way), np.cos(way)) + random.normal(0, 0.08, (count, 2))
    return _Layout(place, way + np.pi + random.normal(0, 0.25, count), *_none(count))


def _row(random: np.random.Generator, count: int) -> _Layout:
    """Side by side, some on chairs."""
    way = random.uniform(0, 2 * np.pi)
    step = random.uniform(0.5, 0.8)
    along = (np.arange(count) - (count - 1) / 2) * step
    place = along[:, None] * (np.cos(way), -np.sin(way)) + random.normal(0, 0.08, (count, 2))
    sits = random.random(count) < random.choice([0.0, 0.5, 1.0])
    return _Layout(place, way + random.normal(0, 0.3, count), sits, np.zeros(count, bool))


def _hug(random: np.random.Generator, count: int) -> _Layout:
    """In pairs that hold each other; somebody may be left over."""
    base = _pass(random, count)
    place = base.place * 1.4
    yaw = base.yaw.copy()
    hugs = np.zeros(count, bool)
    for second in range(1, count, 2):
        apart = random.uniform(0.3, 0.42)
        place[second] = place[second - 1] + apart * np.array([np.sin(yaw[second - 1]), np.cos(yaw[second - 1])])
        yaw[second] = yaw[second - 1] + np.pi + random.normal(0, 0.15)
        hugs[second] = True
    return _Layout(place, yaw, np.zeros(count, bool), hugs)


def _crowd(random: np.random.Generator, count: int) -> _Layout:
    """Close together, mostly facing one way."""
    reach = np.sqrt(count) * random.uniform(0.32, 0.5)
    way = random.uniform(0, 2 * np.pi)
    return _Layout(random.uniform(-reach, reach, (count, 2)), way + random.normal(0, 0.7, count), *_none(count))


def _none(count: int) -> tuple[np.ndarray, np.ndarray]:
    return np.zeros(count, bool), np.zeros(count, bool)


LAYOUTS = (_talk, _pass, _queue, _row, _hug, _crowd)
OFTEN = (0.24, 0.26, 0.1, 0.16, 0.1, 0.14)

TRIES = 8
"""Arrangements of which the one is taken whose overlap is nearest to what was asked for."""

WIDE = 0.42
"""Metres by which two people must be apart as seen, so that neither is before the other."""


def _arrange(random: np.random.Generator, count: int, overlap: float) -> tuple[_Layout, float]:
    """A layout, and from where it is looked at (radians from +z towards +x)."""
    wanted = np.clip(overlap + random.uniform(-0.25, 0.25), 0, 1)
    tries = []
    for _ in range(TRIES):
        layout = LAYOUTS[random.choice(len(LAYOUTS), p=OFTEN)](random, count)
        layout = _Layout(_apart(layout), layout.yaw, layout.sits, layout.hugs)
        tries.append((layout, float(random.uniform(0, 2 * np.pi))))
    return min(tries, key=lambda one: abs(overlapping(one[0].place, one[1]) - wanted))


def overlapping(place: Float[np.ndarray, "person 2"], azimuth: float) -> float:
    """The share of people who are before or behind another, seen from this side."""
    aside = place @ (np.cos(azimuth), -np.sin(azimuth))
    near = np.abs(aside[:, None] - aside) < WIDE
    return float((near.sum(1) > 1).mean())


CLOSEST = 0.45
"""Metres between the middles of two people who do not hug."""


def _apart(layout: _Layout) -> Float[np.ndarray, "person 2"]:
    """The places, with people moved away from each other who would stand in one another."""
    place = layout.place.copy()
    pairs = [(a, b) for a in range(len(place)) for b in range(a) if not (layout.hugs[a] and b == a - 1)]
    for _ in range(20):
        for a, b in pairs:
            gap = place[a] - place[b]
            far = np.linalg.norm(gap)
            if far < CLOSEST:
                push = gap / far * (CLOSEST - far) / 2 if far > 1e-6 else np.array([CLOSEST / 2, 0.0])
                place[a] = place[a] + push
                place[b] = place[b] - push
    return place


# How they stand.

LIES = 0.04
"""How often somebody lies on the ground."""


def _stand(random: np.random.Generator, source: Source, layout: _Layout) -> tuple[Person, ...]:
    count = len(layout.yaw)
    body = source.body
    numbers = source.poses.draw(random, count).reshape(count, len(SEGMENTS), 3)
    shape = torch.from_numpy(_shapes(random, count))
    for person in np.flatnonzero(layout.sits):
        numbers[person] = _sitting(random, numbers[person])
    pose = torch.from_numpy(posed(numbers.reshape(count, -1)))
    holding = layout.hugs | np.append(layout.hugs[1:], False)
    rest = body.rest(shape)
    for person in np.flatnonzero(holding):
        pose[person] = _holding(random, pose[person], rest[person])
    lies = (random.random(count) < LIES) & ~layout.sits & ~holding
    face_up = random.random(count) < 0.5
    turn = np.stack(
        [
            things.upright(yaw) @ (_lying(up) if flat else np.eye(3))
            for yaw, flat, up in zip(layout.yaw, lies, face_up, strict=True)
        ]
    )
    pose = torch.from_numpy(turn.astype(np.float32))[:, None] @ pose
    with torch.no_grad():
        standing = body(pose, shape, torch.zeros(count, 3))
    vertices = standing.vertices.numpy()
    joints = standing.joints.numpy()
    middle = joints[:, BODY26.index("pelvis")[0]]
    move = np.stack(
        [layout.place[:, 0] - middle[:, 0], -vertices[..., 1].min(1), layout.place[:, 1] - middle[:, 2]], 1
    ).astype(np.float32)
    looks = random.integers(2**31, size=count)
    return tuple(
        Person(shape[p].numpy(), pose[p].numpy(), move[p], joints[p] + move[p], vertices[p] + move[p], int(looks[p]))
        for p in range(count)
    )


def _shapes(random: np.random.Generator, count: int) -> Float[np.ndarray, "person 11"]:
    """All builds; seven in ten are grown up, few are babies."""
    shape = random.random((count, len(SHAPE)))
    grown = random.random(count) < 0.7
    shape[:, SHAPE.index("age")] = np.where(
        grown, random.uniform(0.6, 1.0, count), random.triangular(0.0, 0.6, 0.6, count)
    )
    shape[:, SHAPE.index("gender")] = np.round(random.random(count)) * 0.9 + random.uniform(0, 0.1, count)
    for name in ("height", "weight", "muscle", "proportions"):  # extremes are rarer
        shape[:, SHAPE.index(name)] = random.triangular(0.0, 0.5, 1.0, count)
    return shape.astype(np.float32)


def _sitting(random: np.random.Generator, numbers: Float[np.ndarray, "17 3"]) -> Float[np.ndarray, "17 3"]:
    """The same person with legs that sit: the capture has almost nobody on a chair."""
    numbers = numbers.copy()
    numbers[0] = (random.normal(-0.08, 0.1), 0, random.normal(0, 0.04))
    for side, sign in zip(SIDES, (1, -1), strict=True):
        out = sign * random.normal(0.08, 0.12)
        bend = random.normal(1.5, 0.1)
        numbers[SEGMENTS.index(f"{side}_thigh")] = (-bend, out, 0)
        numbers[SEGMENTS.index(f"{side}_shank")] = (bend + random.normal(0.05, 0.25), 0, 0)
        numbers[SEGMENTS.index(f"{side}_foot")] = (random.normal(0, 0.1), 0, 0)
    return numbers


HOLD = {"upper_arm": (0.35, -0.2, 0.9), "forearm": (-0.75, 0.1, 0.65), "hand": (-0.95, 0.0, 0.3)}
"""Directions of the left arm of somebody who holds another, left, up and forward of the chest; the right arm's are
mirrored.
"""


def _holding(
    random: np.random.Generator, pose: Float[torch.Tensor, "17 3 3"], rest: Float[torch.Tensor, "26 3"]
) -> torch.Tensor:
    """The same person with arms around another who stands before them."""
    pose = pose.clone()
    for side, sign in zip(SIDES, (1, -1), strict=True):
        chain = [BODY26.index(f"{side}_{joint}")[0] for joint in ("shoulder", "elbow", "wrist", "hand")]
        for (segment, direction), start, end in zip(HOLD.items(), chain[:-1], chain[1:], strict=True):
            wanted = (
                torch.tensor(direction) * torch.tensor([sign, 1.0, 1.0])
                + torch.from_numpy(random.normal(0, 0.12, 3)).float()
            )
            local = swing_rotation((rest[end] - rest[start])[None], wanted[None])[0]
            pose[SEGMENTS.index(f"{side}_{segment}")] = pose[SEGMENTS.index("chest")] @ local
    return pose


def _lying(face_up: bool) -> Float[np.ndarray, "3 3"]:
    sign = -1.0 if face_up else 1.0
    return np.array([[1, 0, 0], [0, 0, -sign], [0, sign, 0]])


# From where they are seen.

FOV = (35.0, 85.0)
"""Degrees over the long side."""

EYES = ((0.7, 1.1, 1.8), (0.15, 0.25, 1.1), (0.15, 1.8, 4.5))
"""How often a camera is held between two heights (metres): at eye level, low, and high."""

FILL = (0.55, 1.3)
"""How far the group fills the picture; beyond 1 some of it is cut off."""

NEAREST = 0.9
"""Metres between the camera and the middle of the nearest person."""


def _camera(
    random: np.random.Generator, settings: Settings, people: tuple[Person, ...], azimuth: float
) -> tuple[Camera, Float[np.ndarray, "3 3"], Float[np.ndarray, "3"]]:
    camera = Camera.from_fov(settings.width, settings.height, float(random.uniform(*FOV)))
    joints = np.concatenate([person.joints for person in people])
    low = joints.min(0)
    high = joints.max(0)
    aim = (low + high) / 2 + random.normal(0, (0.12, 0.1, 0.12))
    which = random.choice(len(EYES), p=[share for share, _, _ in EYES])
    height = random.uniform(*EYES[which][1:])
    towards = np.array([np.sin(azimuth), 0, np.cos(azimuth)])  # from the group to the camera
    aside = np.array([np.cos(azimuth), 0, -np.sin(azimuth)])
    wide = np.ptp(joints @ aside) / 2 + 0.25
    tall = (high[1] - low[1]) / 2 + 0.2
    away = max(wide * camera.fx / (camera.width / 2), tall * camera.fy / (camera.height / 2)) / random.uniform(*FILL)
    nearest = max(float((person.joints.mean(0) - aim) @ towards) for person in people)
    eye = aim + towards * max(away, nearest + NEAREST)
    eye[1] = height
    rotation = _looking(aim - eye, float(np.radians(random.normal(0, 3))))
    return camera, rotation, eye


def _looking(way: Float[np.ndarray, "3"], roll: float) -> Float[np.ndarray, "3 3"]:
    """From the world's axes to those of a camera that looks this way."""
    z = way / np.linalg.norm(way)
    x = np.cross(z, (0.0, 1.0, 0.0))
    x /= np.linalg.norm(x)
    y = np.cross(z, x)
    c = np.cos(roll)
    s = np.sin(roll)
    return np.array([[c, s, 0], [-s, c, 0], [0, 0, 1]]) @ np.stack([x, y, z])


# What is in the way.

ROOM = 0.12
"""Metres around a thing in which nobody has a joint, and no camera stands."""


def _things(
    random: np.random.Generator,
    settings: Settings,
    people: tuple[Person, ...],
    sits: np.ndarray,
    eye: Float[np.ndarray, "3"],
) -> list[Thing]:
    result = []
    joints = np.concatenate([person.joints for person in people])
    middles = joints[BODY26.index("pelvis")[0] :: len(BODY26)]
    for person in np.flatnonzero(sits):
        forward = people[person].pose[0] @ (0.0, 0.0, 1.0)
        seat = max(0.15, float(middles[person, 1]) - 0.1)
        mesh = things.chair(random, seat)
        back = middles[person] - 0.05 * forward
        result.append(
            _thing(random, "chair", things.placed(mesh, float(np.arctan2(forward[0], forward[2])), back[0], back[2]))
        )
    for _ in range(int(random.poisson(settings.objects))):
        before = random.random() < 0.4
        kinds = things.BEFORE if before else things.STANDING
        kind = list(kinds)[random.integers(len(kinds))]
        mesh = kinds[kind](random)
        yaw = random.uniform(0, 2 * np.pi)
        somebody = middles[random.integers(len(middles))]
        if before:
            yaw = float(np.arctan2(eye[0] - somebody[0], eye[2] - somebody[2]))
        for _ in range(5):
            near = random.uniform(0.5, 1.3) / max(1.0, float(np.linalg.norm(eye - somebody)))
            share = random.uniform(0.3, 0.7) if before else max(0.2, 1 - near)
            x, _, z = eye + share * (somebody - eye) + random.normal(0, 0.25, 3)
            vertices, faces = things.placed(mesh, yaw, x, z)
            if not _inside(np.concatenate([joints, eye[None]]), mesh[0], yaw, x, z):
                result.append(_thing(random, kind, (vertices, faces)))
                break
    return result


def _inside(
    points: Float[np.ndarray, "n 3"], vertices: Float[np.ndarray, "vertex 3"], yaw: float, x: float, z: float
) -> bool:
    """Whether some point is in or close to the box around a mesh that was placed so."""
    local = (points - (x, 0, z)) @ things.upright(yaw)
    return bool(((local > vertices.min(0) - ROOM) & (local < vertices.max(0) + ROOM)).all(1).any())


def _thing(random: np.random.Generator, kind: str, mesh: things.Mesh) -> Thing:
    return Thing(kind, mesh[0].astype(np.float32), mesh[1].astype(np.int32), int(random.integers(2**31)))
