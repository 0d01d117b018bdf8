import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mocap_files import amc, asf
from occlupose.bodies.body import SEGMENTS
from occlupose.bodies.fitting import from_rotation_vector
from occlupose.datasets.formats.cmu import read_clip
from occlupose.datasets.motion import MotionClip
from occlupose.errors import OccluposeError
from occlupose.synth.pose_prior import (
    PARENT_SEGMENTS,
    PosePrior,
    mirror_vectors,
    pose_to_vector,
    retarget,
    vector_to_pose,
)

seeds = st.integers(0, 2**32 - 1)


def some(seed, count=5, spread=0.5):
    return np.random.default_rng(seed).normal(0, spread, (count, 3 * len(SEGMENTS))).astype(np.float32)


def facing(numbers):
    """Without the heading, which a description leaves out."""
    return pose_to_vector(vector_to_pose(numbers))


@given(seed=seeds)
@settings(max_examples=30, deadline=None)
def test_a_pose_is_what_its_description_says(seed):
    numbers = facing(some(seed))
    np.testing.assert_allclose(pose_to_vector(vector_to_pose(numbers)), numbers, atol=2e-5)


@given(seed=seeds, heading=st.floats(-3.1, 3.1))
@settings(max_examples=30, deadline=None)
def test_a_description_is_independent_of_the_way_a_person_faces(seed, heading):
    pose = vector_to_pose(some(seed))
    turned = from_rotation_vector(torch.tensor([[0.0, heading, 0.0]])).numpy() @ pose
    np.testing.assert_allclose(pose_to_vector(turned), pose_to_vector(pose), atol=2e-4)


@given(seed=seeds)
@settings(max_examples=30, deadline=None)
def test_a_mirror_swaps_sides_and_twice_changes_nothing(seed):
    numbers = some(seed)
    np.testing.assert_array_equal(mirror_vectors(mirror_vectors(numbers)), numbers)
    flip = np.diag([-1.0, 1, 1])
    one = vector_to_pose(numbers)
    other = vector_to_pose(mirror_vectors(numbers))
    left = SEGMENTS.index("left_thigh")
    right = SEGMENTS.index("right_thigh")
    np.testing.assert_allclose(other[:, right], flip @ one[:, left] @ flip, atol=1e-5)
    np.testing.assert_allclose(other[:, 0], flip @ one[:, 0] @ flip, atol=1e-5)


def test_every_segment_but_the_pelvis_hangs_on_an_earlier_one():
    assert list(PARENT_SEGMENTS) and set(PARENT_SEGMENTS) == set(SEGMENTS[1:])
    assert all(SEGMENTS.index(parent) < SEGMENTS.index(segment) for segment, parent in PARENT_SEGMENTS.items())


def test_a_prior_has_the_mean_and_spread_of_what_it_learned():
    random = np.random.default_rng(0)
    axis = np.zeros(51)
    axis[[3, 7]] = 0.6, -0.8
    seen = (0.1 + random.normal(0, 0.3, (4000, 1)) * axis + random.normal(0, 0.01, (4000, 51))).astype(np.float32)
    prior = PosePrior.fit(seen, clusters=1, rank=2)
    drawn = prior.sample(np.random.default_rng(1), 4000)
    unmirrored = drawn[drawn @ np.ones(51) > 2.5]  # a mirror turns the sign of two numbers in three
    np.testing.assert_allclose(unmirrored.mean(0), 0.1, atol=0.02)
    assert np.std(unmirrored @ axis) == pytest.approx(0.3, rel=0.2)  # less its furthest tails
    assert prior.noise[0] == pytest.approx(0.01, rel=0.1)


def test_the_same_seed_draws_the_same_and_another_seed_does_not():
    prior = PosePrior.load()
    one = prior.sample(np.random.default_rng(0), 4)
    same = prior.sample(np.random.default_rng(0), 4)
    other = prior.sample(np.random.default_rng(1), 4)
    np.testing.assert_array_equal(one, same)
    assert not np.array_equal(one, other)


def test_the_shipped_prior_draws_people_within_joint_limits():
    numbers = PosePrior.load().sample(np.random.default_rng(0), 500).reshape(-1, len(SEGMENTS), 3)
    bend = np.linalg.norm(numbers[:, 1:], axis=-1)
    assert np.isfinite(numbers).all() and bend.max() < 3.1
    assert np.median(bend[:, SEGMENTS.index("left_shank") - 1]) < 1.0  # most people stand or walk


def test_a_prior_survives_its_file(tmp_path):
    prior = PosePrior.fit(some(0, 200), clusters=3, rank=2)
    prior.save(tmp_path / "poses.safetensors", {"data": "made up"})
    again = PosePrior.load(tmp_path / "poses.safetensors")
    np.testing.assert_allclose(
        again.sample(np.random.default_rng(0), 3), prior.sample(np.random.default_rng(0), 3), atol=1e-6
    )


@pytest.mark.parametrize("content", [None, b"", b"x" * 100], ids=["missing", "empty", "damaged"])
def test_a_file_that_is_no_prior_is_named(tmp_path, content):
    path = tmp_path / "poses.safetensors"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(OccluposeError, match=f"{path}.*occlupose train poses"):
        PosePrior.load(path)


def test_motion_capture_is_put_onto_the_body(tmp_path):
    (tmp_path / "01.asf").write_text(asf())
    bends = {"lfemur": lambda t: (30 * np.sin(t / 20), 0, 0), "lradius": lambda t: (60,)}
    (tmp_path / "01_01.amc").write_text(amc(120, **{name: tuple(value(0)) for name, value in bends.items()}))
    result = retarget([read_clip(tmp_path / "01_01.amc")], rate=4)
    assert result.pose.shape == (4, len(SEGMENTS), 3, 3)
    np.testing.assert_allclose(
        result.pose @ result.pose.transpose(0, 1, 3, 2), np.broadcast_to(np.eye(3), result.pose.shape), atol=1e-4
    )
    assert np.isfinite(result.error).all()


def test_too_few_poses_are_refused_and_few_are_enough():
    with pytest.raises(OccluposeError, match="10 poses are too few"):
        PosePrior.fit(some(0, 10))
    assert np.isfinite(PosePrior.fit(some(0, 150)).sample(np.random.default_rng(0), 5)).all()


def test_missing_motion_capture_is_reported():
    with pytest.raises(OccluposeError, match="no motion capture"):
        retarget([])


def test_a_clip_knows_its_ends_or_says_that_it_does_not():
    joints = np.zeros((3, 22, 3), np.float32)
    assert np.isnan(MotionClip("a", "01", 120.0, joints).body26[:, 22:]).all()
    ends = np.ones((3, 4, 3), np.float32)
    np.testing.assert_array_equal(MotionClip("a", "01", 120.0, joints, ends).body26[:, 22:], ends)
