import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mocap_sequences import standing_pose
from occlupose.cameras import Camera
from occlupose.errors import OccluposeError
from occlupose.methods.lifter.features import SeenKeypoints
from occlupose.methods.lifter.joints import LifterJoints
from occlupose.methods.lifter.lifting import PLAUSIBLE, UPPER, TrackLifter, finish, split_at_gaps, to_keypoints
from occlupose.methods.lifter.network import JOINTS, LifterNetwork, LifterOutput, load
from occlupose.networks.temporal_transformer import FUTURE
from occlupose.poses import ABSENT, OCCLUDED, VISIBLE, Poses
from occlupose.skeletons import BLAZEPOSE33, BODY22, COCO17, H36M17
from occlupose.tracking import MAX_GAP

CAMERA = Camera.from_fov(640, 480)
FPS = 10.0
SHARED = [name for name in H36M17.joints if name in COCO17.joints]
OURS = list(H36M17.index(*SHARED))
THEIRS = list(COCO17.index(*SHARED))


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    network = LifterNetwork(32, 2).eval()
    for parameter in network.parameters():  # so that everything matters
        parameter.data = parameter.data + 0.02 * torch.randn_like(parameter)
    with torch.no_grad():  # but people are about where they are seen, and so large
        network.transformer.out[0][3].weight[3 * JOINTS :] *= 0.1
    return network


@pytest.fixture(scope="module")
def lift(network):
    return TrackLifter(CAMERA, None, network)


def record(*where, frames=12, skeleton=COCO17, camera=CAMERA, fps=FPS):
    """People who stand at these places, m, and sway; all visible."""
    names = BODY22.index(*skeleton.joints)
    rest = (standing_pose() * (1, -1, -1) + (0, 0.9, 0))[list(names)]
    sway = 0.03 * np.sin(np.arange(frames)[:, None, None, None] / 3 + np.arange(len(names))[:, None])
    xyz = rest + np.array(where).reshape(-1, 1, 3) + sway
    shape = xyz.shape[:3]
    return Poses(
        xy=camera.project(xyz),
        score=np.full(shape, 0.9),
        state=np.full(shape, VISIBLE),
        xyz=None,
        track_id=10 + np.arange(len(where)),
        time=np.arange(frames) / fps,
        skeleton=skeleton,
        fps=fps,
        width=camera.width,
        height=camera.height,
    )


TWO = ((0.2, 0.1, 4.0), (-1.0, 0.0, 6.0))


def hide(poses, gone, state=ABSENT):
    """The record with these joints in this state: occluded ones have pixels, absent ones have none."""
    gone = np.broadcast_to(gone, poses.state.shape)
    return replace(
        poses,
        xy=np.where((gone & (state == ABSENT))[..., None], np.nan, poses.xy),
        score=np.where(gone & (state == ABSENT), 0, poses.score),
        state=np.where(gone, state, poses.state),
    )


def in_frames(poses, frames, person):
    """A mask of all joints of a person in some frames."""
    gone = np.zeros(poses.state.shape, bool)
    gone[frames, person] = True
    return gone


def assert_same(one, other, people=slice(None)):
    """Two records of the same people say the same."""
    np.testing.assert_array_equal(one.state[:, people], other.state)
    np.testing.assert_allclose(one.xyz[:, people], other.xyz, atol=1e-4)
    np.testing.assert_allclose(one.xy[:, people], other.xy, atol=2e-2)
    np.testing.assert_allclose(one.covariance[:, people], other.covariance, rtol=1e-2, atol=1e-6)
    np.testing.assert_allclose(one.root_covariance[:, people], other.root_covariance, rtol=1e-2, atol=1e-6)


# -------------------------------------------------------------------------------------------------------------- gaps


def test_tracks_are_split_where_somebody_is_lost_for_long():
    time = np.arange(100) / 10
    longest = round(10 * MAX_GAP)

    def split(*frames):
        return [part.tolist() for part in split_at_gaps(np.array(frames, np.int64), time)]

    assert split() == []
    assert split(7) == [[7]]
    assert split(3, 4, 3 + longest, 3 + 2 * longest) == [[3, 4, 3 + longest, 3 + 2 * longest]]
    assert split(3, 4, 5 + longest) == [[3, 4], [5 + longest]]
    assert split(0, 30, 60, 61) == [[0], [30], [60, 61]]


def test_gaps_are_measured_in_seconds():
    time = np.concatenate([np.arange(10) / 10, 5 + np.arange(10) / 10])
    assert [part.tolist() for part in split_at_gaps(np.arange(6, 14), time)] == [[6, 7, 8, 9], [10, 11, 12, 13]]
    for fps in (23.976, 29.97, 50.0, 59.94, 60.0):  # rounded times
        time = np.arange(400) / fps
        frames = np.arange(0, 400, math.floor(MAX_GAP * fps + 1e-6))
        assert len(split_at_gaps(frames, time)) == 1


# --------------------------------------------------------------------------------------------------------- keypoints


def test_what_the_lifter_gets_of_detected_joints():
    poses = record(TWO[0], frames=1)
    state = poses.state[:, 0].copy()
    xy = poses.xy[:, 0].copy()
    wrist, ankle, knee = COCO17.index("left_wrist", "left_ankle", "left_knee")
    state[0, [wrist, ankle, knee]] = [OCCLUDED, ABSENT, VISIBLE]
    xy[0, [ankle, knee]] = np.nan
    spread = np.full((1, 17), CAMERA.fx / 100, np.float32)
    found = to_keypoints(LifterJoints.from_detections(xy, poses.score[:, 0], state, COCO17, spread), CAMERA)
    seen = np.array([[name in COCO17.joints for name in BODY22.joints]])
    seen[0, BODY22.index("left_wrist", "left_ankle", "left_knee")] = False
    np.testing.assert_array_equal(found.seen, seen)
    guessed = np.array([[name == "left_wrist" for name in BODY22.joints]])
    np.testing.assert_array_equal(found.guessed, guessed)
    told = seen | guessed
    columns = [COCO17.joints.index(BODY22.joints[joint]) for joint in np.flatnonzero(told[0])]
    np.testing.assert_allclose(found.rays[told], CAMERA.rays(xy)[0, columns, :2], atol=1e-5)
    assert found.rays.isfinite().all()
    np.testing.assert_allclose(found.sigma[told], 0.01, rtol=1e-5)
    unstated = to_keypoints(LifterJoints.from_detections(xy, poses.score[:, 0], state, COCO17), CAMERA)
    assert isinstance(unstated, SeenKeypoints)
    assert unstated.sigma.isnan().all()


def told(root, sigma=0.1):
    """An answer for one person with the root there, in a line to the right."""
    xyz = torch.zeros(1, 17, 3)
    xyz[0, :, 0] = torch.linspace(0, 0.4, 17)
    factor = torch.tensor([[2.0, 0, 0], [0.5, 1, 0], [0, 0.3, 1]]) / sigma
    return LifterOutput(xyz, factor.expand(1, 17, 3, 3), torch.tensor([root]), 2 * factor[None])


def test_answers_in_metres_and_pixels():
    poses = record(TWO[0], frames=1)
    joints = LifterJoints.from_detections(poses.xy[:, 0], poses.score[:, 0], poses.state[:, 0], COCO17)
    answer = told([0.1, 0.2, 5.0])
    person = finish(joints, answer, CAMERA)
    np.testing.assert_allclose(person.joints.xyz[0], answer.xyz[0] + answer.root)
    pelvis = H36M17.joints.index("pelvis")  # which COCO lacks
    np.testing.assert_allclose(person.joints.xy[0, pelvis], CAMERA.project(np.array([0.1, 0.2, 5.0])), rtol=1e-5)
    np.testing.assert_array_equal(person.joints.xy[0, OURS], poses.xy[0, 0, THEIRS])
    factor = answer.factor[0, 0].double().numpy()
    covariance = np.linalg.inv(factor.T @ factor)
    np.testing.assert_allclose(person.covariance[0], np.tile(covariance[UPPER], (17, 1)), rtol=1e-4)
    np.testing.assert_allclose(person.root_covariance[0], covariance[UPPER] / 4, rtol=1e-4)
    xx, yy, zz, xy, xz, yz = person.covariance[0, 0]
    np.testing.assert_allclose([[xx, xy, xz], [xy, yy, yz], [xz, yz, zz]], covariance, rtol=1e-4)


@pytest.mark.parametrize("root", [[0.0, 0.0, 1.1 * PLAUSIBLE], [math.nan, 0.0, 5.0], [0.0, 0.0, math.inf]])
def test_somebody_who_cannot_be_there_is_absent(root):
    poses = record(TWO[0], frames=1)
    joints = LifterJoints.from_detections(poses.xy[:, 0], poses.score[:, 0], poses.state[:, 0], COCO17)
    person = finish(joints, told(root), CAMERA)
    assert (person.joints.state == ABSENT).all()
    assert (person.joints.score == 0).all()
    for values in (person.joints.xyz, person.joints.xy, person.covariance, person.root_covariance):
        assert np.isnan(values).all()


def test_hidden_joints_behind_the_camera_are_unknown():
    poses = record(TWO[0], frames=1)
    poses = hide(poses, True)
    joints = LifterJoints.from_detections(poses.xy[:, 0], poses.score[:, 0], poses.state[:, 0], COCO17)
    answer = told([0.0, 0.0, 0.5])
    answer.xyz[0, 3] = torch.tensor([0.0, 0.0, -1.0])
    person = finish(joints, answer, CAMERA)
    behind = np.arange(17) == 3
    np.testing.assert_array_equal(np.isnan(person.joints.xyz[0]).all(1), behind)
    np.testing.assert_array_equal(np.isnan(person.covariance[0]).all(1), behind)
    np.testing.assert_array_equal(person.joints.state[0] == ABSENT, behind)
    assert np.isfinite(person.root_covariance).all()


# ----------------------------------------------------------------------------------------------------------- records


@pytest.mark.parametrize("skeleton", [COCO17, H36M17], ids=["coco17", "h36m17"])
def test_people_come_out_in_3d_with_their_detections(lift, skeleton):
    poses = record(*TWO, skeleton=skeleton)
    lifted = lift(poses)
    assert lifted.skeleton == H36M17
    assert lifted.xyz.shape == (12, 2, 17, 3)
    np.testing.assert_array_equal(lifted.track_id, [10, 11])
    np.testing.assert_array_equal(lifted.time, poses.time)
    assert (lifted.fps, lifted.width, lifted.height, lifted.camera) == (FPS, 640, 480, CAMERA)
    assert lifted.observed == replace(poses, camera=CAMERA)
    for values in (lifted.xyz, lifted.covariance, lifted.root_covariance):
        assert np.isfinite(values).all()
    assert (lifted.covariance[..., :3] > 0).all()
    shared = [name for name in H36M17.joints if name in skeleton.joints]
    ours = list(H36M17.index(*shared))
    np.testing.assert_array_equal(lifted.xy[:, :, ours], poses.xy[:, :, list(skeleton.index(*shared))])
    assert (lifted.state[:, :, ours] == VISIBLE).all()
    if skeleton == H36M17:
        return
    rest = [joint for joint in range(17) if joint not in ours]
    np.testing.assert_allclose(lifted.xy[:, :, rest], CAMERA.project(lifted.xyz)[:, :, rest], atol=1e-3)


@settings(max_examples=12)
@given(st.integers(0, 2**32 - 1), st.sampled_from([ABSENT, OCCLUDED]))
def test_whatever_is_hidden_everybody_is_there_from_first_to_last_detection(lift, seed, state):
    random = np.random.default_rng(seed)
    poses = record(*TWO, frames=10)
    gone = random.random(poses.state.shape) < random.random() * 0.6
    gone[random.random((10, 2)) < 0.3] = True
    poses = hide(poses, gone, state)
    lifted = lift(poses)
    for person in range(2):
        there = np.flatnonzero((poses.state[:, person] != ABSENT).any(-1))
        expected = (np.arange(10) >= there.min(initial=99)) & (np.arange(10) <= there.max(initial=-1))
        np.testing.assert_array_equal((lifted.state[:, person] != ABSENT).all(-1), expected)
        for values in (lifted.xyz, lifted.covariance, lifted.root_covariance):
            assert np.isfinite(values[expected, person]).all()
            assert np.isnan(values[~expected, person]).all()
        assert (lifted.score[~expected, person] == 0).all()
    seen = poses.state[:, :, THEIRS] == VISIBLE
    np.testing.assert_array_equal(lifted.xy[:, :, OURS][seen], poses.xy[:, :, THEIRS][seen])
    np.testing.assert_array_equal(lifted.state[:, :, OURS] == VISIBLE, seen)


def test_each_person_is_lifted_by_themselves_in_any_order(lift):
    poses = record(*TWO, (1.0, 0.0, 7.0))
    poses = hide(poses, in_frames(poses, slice(4, 8), 1))
    together = lift(poses)
    for person in range(3):
        assert_same(together, lift(poses.select(person=[10 + person])), slice(person, person + 1))
    assert_same(together.select(person=[12, 10, 11]), lift(poses.select(person=[12, 10, 11])))


def test_somebody_who_comes_back_is_there_in_between_only_if_soon(lift):
    """The frames of a gap are told of if the person is seen again within the look-ahead."""
    frames = 70
    poses = record(*TWO, frames=frames)
    poses = hide(poses, in_frames(poses, slice(5, 15), 0))  # told
    poses = hide(poses, in_frames(poses, slice(25, 43), 0))  # one track, but the gap is longer than the look-ahead
    poses = hide(poses, in_frames(poses, slice(47, 68), 0))  # lost
    lifted = lift(poses)
    there = (lifted.state[:, 0] != ABSENT).any(-1)
    expected = np.ones(frames, bool)
    expected[25 : 43 - round(FUTURE * FPS)] = False
    expected[47:68] = False
    np.testing.assert_array_equal(there, expected)
    assert np.isfinite(lifted.xyz[expected, 0]).all()
    assert (lifted.state[:, 1] == VISIBLE)[:, OURS].all()
    after = lift(poses.select(slice(68, frames)))  # forgotten: nothing from before matters
    np.testing.assert_allclose(lifted.xyz[68:, 0], after.xyz[:, 0], atol=1e-4)
    first = lift(poses.select(slice(0, 67)))
    np.testing.assert_allclose(lifted.xyz[:47, 0], first.xyz[:47, 0], atol=1e-4)


def test_when_the_record_begins_does_not_matter(lift):
    poses = record(TWO[0])
    late = lift(replace(poses, time=poses.time + 1e4))
    np.testing.assert_allclose(lift(poses).xyz, late.xyz, atol=1e-4)


def test_guesses_and_their_certainty_matter(lift):
    poses = record(TWO[0])
    wrist = np.arange(17) == COCO17.joints.index("left_wrist")
    found = [lift(hide(poses, wrist, state)).xyz for state in (ABSENT, OCCLUDED, VISIBLE)]
    assert np.abs(found[0] - found[1]).max() > 1e-4
    assert np.abs(found[1] - found[2]).max() > 1e-4
    spread = np.full(poses.state.shape, 3.0, np.float32)
    sure = lift(replace(poses, spread=0.1 * spread)).xyz
    unsure = lift(replace(poses, spread=10 * spread)).xyz
    assert np.abs(sure - unsure).max() > 1e-4


def test_people_far_away_are_placed_by_their_size_in_the_image():
    camera = Camera.from_fov(4000, 3000, 20)
    lift = TrackLifter(camera, None, load())
    depth = {where: lift(record((0, 0, where), camera=camera)).xyz[:, 0, :, 2].mean(-1) for where in (8, 24)}
    np.testing.assert_allclose(depth[8], 8, rtol=0.15)
    np.testing.assert_allclose(depth[24] / depth[8], 3, rtol=0.02)


def test_a_given_height_matters(network):
    poses = record(TWO[0])
    found = [TrackLifter(CAMERA, height, network)(poses).xyz for height in (None, 1.2, 1.9)]
    assert np.abs(found[0] - found[1]).max() > 1e-4
    assert np.abs(found[1] - found[2]).max() > 1e-4


@pytest.mark.parametrize(("frames", "people"), [(0, 0), (0, 2), (5, 0), (1, 1), (2, 1)])
def test_short_and_empty_records(lift, frames, people):
    poses = record(*TWO, frames=max(frames, 1)).select(slice(frames), [10, 11][:people])
    lifted = lift(poses)
    assert lifted.xyz.shape == (frames, people, 17, 3)
    assert lifted.root_covariance.shape == (frames, people, 6)
    assert np.isfinite(lifted.xyz).all()


def test_people_who_are_never_there(lift):
    poses = record(*TWO)
    poses = hide(poses, in_frames(poses, slice(None), 0))
    lifted = lift(poses)
    assert (lifted.state[:, 0] == ABSENT).all()
    assert np.isnan(lifted.xyz[:, 0]).all()
    assert np.isfinite(lifted.xyz[:, 1]).all()


@pytest.mark.parametrize("fps", [1.0, 30.0])
@pytest.mark.parametrize("skeleton", [COCO17, H36M17], ids=["coco17", "h36m17"])
def test_people_who_are_one_point_are_lifted_or_absent(lift, skeleton, fps):
    poses = record(*TWO, frames=3, skeleton=skeleton, fps=fps)
    for point in (300.0, 0.0, 1e6):
        lifted = lift(replace(poses, xy=np.full_like(poses.xy, point), score=np.full_like(poses.score, 1e-8)))
        assert not np.isinf(lifted.xyz).any() and (np.isnan(lifted.xyz).any(-1) == (lifted.state == ABSENT)).all()


def test_lifted_records_are_kept_in_files(lift, tmp_path):
    lifted = lift(hide(record(*TWO, frames=4), np.arange(17) % 3 == 0))
    for suffix in (".npz", ".json"):
        lifted.save(tmp_path / f"out{suffix}")
        assert Poses.load(tmp_path / f"out{suffix}") == lifted


def test_what_cannot_be_lifted_is_refused(network):
    poses = record(TWO[0])
    hands = BLAZEPOSE33.subset(["left_thumb", "right_heel"])
    strange = replace(poses.select(joint=["nose", "left_hip"]), skeleton=hands)
    with pytest.raises(OccluposeError, match="the lifter has none of its joints; give coco17 or h36m17"):
        TrackLifter(CAMERA, None, network)(strange)
    for height in (0.0, 180.0, math.nan):
        with pytest.raises(OccluposeError, match=r"people are 0\.3 to 3 metres tall"):
            TrackLifter(CAMERA, height, network)(poses)
    with pytest.raises(OccluposeError, match="camera: is for images of 1920 x 1080"):
        TrackLifter(Camera.from_fov(1920, 1080), None, network)(poses)
