"""Poses for tests: plausible ones from a seed, and any that are valid."""

from dataclasses import replace

import numpy as np
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from occlupose.cameras import Camera
from occlupose.poses import PERSON_FIELDS, TRACK_FIELDS, Poses
from occlupose.skeletons import BODY22, COCO17, SKELETONS
from occlupose.world import WorldFrame

FITTED = ("xyz_lifted", "rotation", "rotation_covariance", "contact", "bone_offsets", "shape", "world")
"""What a record has of fitted skeletons."""


def record(frames=4, people=2, skeleton=BODY22, *, seed=0, lifted=True, observed=COCO17, camera=True):
    """A plausible record with every state, from a seed."""
    random = np.random.default_rng(seed)
    state = random.integers(0, 3, (frames, people, len(skeleton)), np.uint8)
    missing = np.where(state == 0, np.nan, 0)[..., None]
    return Poses(
        xy=random.uniform(0, 640, (*state.shape, 2)) + missing,
        score=random.uniform(0, 1, state.shape),
        state=state,
        xyz=random.normal(0, 2, (*state.shape, 3)) + missing if lifted else None,
        track_id=np.arange(people) * 3 + 1,
        time=np.arange(frames) / 25,
        skeleton=skeleton,
        fps=25.0,
        width=640,
        height=480,
        camera=Camera.from_fov(640, 480, assumed=True) if camera else None,
        observed=observed
        and record(frames, people, observed, seed=seed + 1, lifted=False, observed=None, camera=camera),
    )


def uncertain(poses, seed=0):
    """The record with spreads of two thirds of its joints and, in 3D, with covariances; so are its detections."""
    random = np.random.default_rng(seed)
    known = (poses.state > 0) & (random.random(poses.state.shape) > 1 / 3)
    lost = None if poses.xyz is None else np.where(np.isnan(poses.xyz[..., :1]), np.nan, 0)
    return replace(
        poses,
        observed=poses.observed and uncertain(poses.observed, seed + 1),
        spread=np.where(known, random.uniform(0, 20, known.shape), np.nan),
        covariance=None if lost is None else covariances(random, known.shape) + lost,
        root_covariance=None if lost is None else covariances(random, known.shape[:2]),
    )


def fitted(poses, seed=0):
    """The record in 3D with skeletons of two thirds of the people in each frame, and with a world; some of it is
    unknown.
    """
    random = np.random.default_rng(seed)
    known = random.random(poses.state.shape[:2]) > 1 / 3
    unknown = np.where(known, 0, np.nan)[..., None]
    quaternions = random.normal(0, 1, (*known.shape, *PERSON_FIELDS["rotation"].shape))
    turns = covariances(random, (*known.shape, len(PERSON_FIELDS["rotation_covariance"])))
    contact = random.uniform(0, 1, (*known.shape, len(PERSON_FIELDS["contact"])))
    constants = {name: random.normal(0, 1, (known.shape[1], *one.shape)) for name, one in TRACK_FIELDS.items()}
    constants["shape"][: known.shape[1] // 2] = np.nan
    return replace(
        poses,
        xyz_lifted=poses.xyz + random.normal(0, 0.03, poses.xyz.shape).astype(np.float32),
        rotation=quaternions / np.linalg.norm(quaternions, axis=-1, keepdims=True) + unknown[..., None],
        rotation_covariance=turns + unknown[..., None],
        contact=np.where(contact < 0.1, np.nan, contact) + unknown,
        **constants,
        world=WorldFrame.from_floor(random.normal(0, 1, 3), 1.5, random.normal(0, 3, 3), random.normal(0, 1, (3, 3))),
    )


def covariances(random, shape):
    """Of plausible errors, (*shape, 6): xx, yy, zz, xy, xz, yz, m^2."""
    errors = random.normal(0, 0.05, (*shape, 3, 10))
    matrix = errors @ errors.swapaxes(-1, -2) / 10
    return matrix[..., [0, 1, 2, 0, 0, 1], [0, 1, 2, 1, 2, 2]]


@st.composite
def records(draw, skeletons=SKELETONS, two_d=False):
    skeleton = draw(st.sampled_from(skeletons))
    frames = draw(st.integers(0, 3))
    people = draw(st.integers(0, 2))
    shape = (frames, people, len(skeleton))

    def coordinates(size, state):
        numbers = st.floats(-1e6, 1e6, width=32) | st.floats(-(2**127), 2**127, width=32)
        return np.where(
            state[..., None] == 0,
            np.float32(np.nan),
            draw(hnp.arrays(np.float32, (*state.shape, size), elements=numbers)),
        )

    def variances(size, state):
        values = coordinates(size, state)
        values[..., :3] = np.abs(values[..., :3])
        return values

    state = draw(hnp.arrays(np.uint8, shape, elements=st.integers(0, 2)))
    known = state * draw(hnp.arrays(np.uint8, shape, elements=st.integers(0, 1)))
    camera = draw(st.none() | st.builds(Camera.from_fov, st.just(64), st.just(48), st.floats(1, 179), st.booleans()))
    if camera is not None and draw(st.booleans()):
        camera = replace(camera, up=draw(st.tuples(*[st.floats(-9, 9, width=16)] * 3).filter(any)))
    in_3d = not two_d and draw(st.booleans())
    poses = Poses(
        xy=coordinates(2, state),
        score=draw(hnp.arrays(np.float32, shape, elements=st.floats(0, 1, width=32))),
        state=state,
        xyz=coordinates(3, known) if in_3d else None,
        track_id=draw(hnp.arrays(np.int64, people, elements=st.integers(-(2**63), 2**63 - 1), unique=True)),
        time=np.sort(draw(hnp.arrays(np.float64, frames, elements=st.floats(-1e9, 1e9)))),
        skeleton=skeleton,
        fps=draw(st.floats(1e-3, 1e4)),
        width=64,
        height=48,
        camera=camera,
        spread=variances(1, known)[..., 0] if draw(st.booleans()) else None,
        covariance=variances(6, known) if in_3d and draw(st.booleans()) else None,
        root_covariance=variances(6, known.sum(-1)) if in_3d and draw(st.booleans()) else None,
    )
    if in_3d and draw(st.booleans()):
        everything = fitted(poses, seed=draw(st.integers(0, 9)))
        poses = replace(poses, **{name: getattr(everything, name) for name in draw(st.sets(st.sampled_from(FITTED)))})
    if not two_d and draw(st.booleans()):
        view = record(frames, people, COCO17, lifted=False, observed=None, seed=draw(st.integers(0, 9)))
        view = uncertain(view) if draw(st.booleans()) else view
        poses = Poses(**vars(poses) | {"observed": view})
    return poses
