"""Lifting without training: a network whose outputs are zero says that people are flat, of average size, and just where
they are seen.
"""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from occlupose.body_height import measure_height
from occlupose.body_parts import BONES
from occlupose.cameras import FIELD_OF_VIEW, Camera
from occlupose.errors import OccluposeError
from occlupose.methods.lifter.joints import to_body22
from occlupose.methods.lifter.network import LifterNetwork, save
from occlupose.methods.oanet import weights as oanet_weights
from occlupose.methods.oanet.lifting import OANetTrackLifter, lift, lift_checked, load_lifter
from occlupose.methods.oanet.masked_inputs import MaskedEncoder
from occlupose.methods.oanet.network import OANetNetwork
from occlupose.networks.temporal_transformer import FUTURE
from occlupose.poses import ABSENT, OCCLUDED, VISIBLE, Poses
from occlupose.skeletons import (
    AIC14,
    BLAZEPOSE33,
    BODY22,
    BODY25,
    CMU31,
    COCO17,
    CROWDPOSE14,
    H36M17,
    HALPE26,
    HUMANEVA15,
    MPI15,
    MPII16,
    MUPOTS17,
    WHOLEBODY133,
)
from walking_people import circle, make_poses, stand


def network(flat=False):
    """A small network with random weights; its outputs are zero if it is flat."""
    torch.manual_seed(0)
    net = LifterNetwork(32, 2).eval()
    if flat:
        for head in net.transformer.out:
            for weight in head[-1].parameters():
                torch.nn.init.zeros_(weight)
    return net


FLAT = network(flat=True)
RANDOM = network()
CAMERA = Camera.from_fov(640, 360, 60)
FACE = {
    "nose": (0, 0.09),
    "left_eye": (0.03, 0.12),
    "right_eye": (-0.03, 0.12),
    "left_ear": (0.08, 0.1),
    "right_ear": (-0.08, 0.1),
}


def cardboard(*where, skeleton=COCO17, frames=12, fps=30.0, camera=CAMERA, drift=0.01):
    """The poses of flat people who face the camera, with their pelvis at these places (m) and drifting to its right;
    all visible.
    """
    flat = make_poses(stand(0, 4, 1)).xyz[0, 0]
    body = dict(zip(H36M17.joints, (flat - flat[H36M17.joints.index("pelvis")]) * (-1, 1, 0), strict=True))
    body |= {name: body["neck_nose"] + (x, -y, 0) for name, (x, y) in FACE.items()}
    body |= {"neck": body["thorax"], "head": body["neck_nose"], "upper_neck": body["neck_nose"]}
    xyz = np.stack([body[nearest(name, body)] for name in skeleton.joints])
    xyz = xyz + np.array(where)[:, None] + np.arange(frames)[:, None, None, None] * np.array([drift, 0, 0])
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
        camera=camera,
    )


def nearest(joint, body):
    """A joint of the body: feet are at the ankles, hands at the wrists, the rest of a face at the nose."""
    side = joint.partition("_")[0]
    ends = {"toe": "ankle", "heel": "ankle", "finger": "wrist", "thumb": "wrist", "hand": "wrist"}
    places = [f"{side}_{place}" for part, place in ends.items() if part in joint]
    return joint if joint in body else [*places, "nose"][0]


ONE = ((0.2, 0.1, 4.0),)


def hide(poses, frames, joints, person=0, state=OCCLUDED):
    """The record with these joints in this state: occluded ones still have pixels, wrong ones; absent ones have
    none.
    """
    xy = poses.xy.copy()
    new = poses.state.copy()
    score = poses.score.copy()
    index = np.ix_(np.arange(len(poses))[frames], [person], poses.skeleton.index(*joints))
    xy[index] = np.nan if state == ABSENT else 3.0
    new[index] = state
    score[index] *= state != ABSENT
    return replace(poses, xy=xy, state=new, score=score)


def unfitted(poses, lifter, camera=None, fov=None, height=None):
    """People as a lifter gives them, before skeletons are fitted."""
    return lift_checked(poses, camera, fov, height, lifter)


def flat_lift(poses, **options):
    return unfitted(poses, FLAT, **options)


def at(joint):
    return H36M17.joints.index(joint)


@pytest.mark.parametrize("skeleton", [COCO17, H36M17])
@pytest.mark.parametrize("fps", [10.0, 30.0, 60.0])
def test_people_come_out_in_3d_where_they_are(skeleton, fps):
    places = (*ONE, (-1.0, 0.0, 5.0))
    poses = cardboard(*places, skeleton=skeleton, fps=fps, drift=0)
    lifted = flat_lift(poses)
    assert lifted.skeleton == H36M17
    assert lifted.xyz.shape == (12, 2, 17, 3)
    np.testing.assert_array_equal(lifted.track_id, [10, 11])
    np.testing.assert_array_equal(lifted.time, poses.time)
    assert (lifted.fps, lifted.width, lifted.height, lifted.camera) == (fps, 640, 360, CAMERA)
    assert lifted.observed == poses
    assert np.isfinite(lifted.xyz).all()
    for person, (x, y, z) in enumerate(places):
        root = lifted.xyz[:, person, 0]
        assert np.abs(root[:, 2] / z - 1).max() < 0.35  # of average size
        if skeleton == H36M17:  # joints that COCO lacks are at the middle of the torso
            np.testing.assert_allclose(root[:, :2] / root[:, 2:], np.array([[x / z, y / z]] * 12), atol=0.01)
    ankle = lifted.xyz[:, :, at("left_ankle")]
    shoulder = lifted.xyz[:, :, at("left_shoulder")]
    left = lifted.xyz[:, :, at("left_hip")]
    right = lifted.xyz[:, :, at("right_hip")]
    assert (ankle[..., 1] > shoulder[..., 1] + 1).all()
    assert (left[..., 0] > right[..., 0]).all()


def test_visible_joints_stay_and_hidden_ones_are_where_the_3d_joint_is():
    poses = hide(cardboard(*ONE, skeleton=H36M17), slice(3, 7), ["left_wrist", "right_knee"])
    lifted = flat_lift(poses)
    hidden = poses.state == OCCLUDED
    np.testing.assert_array_equal(lifted.state, poses.state)
    np.testing.assert_array_equal(lifted.xy[~hidden], poses.xy[~hidden])
    np.testing.assert_allclose(lifted.xy[hidden], CAMERA.project(lifted.xyz)[hidden], atol=1e-3)
    truth = cardboard(*ONE, skeleton=H36M17).xy
    assert np.linalg.norm(lifted.xy - truth, axis=-1)[hidden].max() < 10  # px; bridged
    np.testing.assert_allclose(lifted.score, 0.9)


@settings(max_examples=25)
@given(st.integers(0, 2**32 - 1), st.sampled_from([COCO17, H36M17]), st.sampled_from([ABSENT, OCCLUDED]))
def test_whatever_is_hidden_everybody_is_there_from_first_to_last_detection(seed, skeleton, state):
    random = np.random.default_rng(seed)
    poses = cardboard(*ONE, (-1.0, 0.0, 6.0), skeleton=skeleton, frames=20)
    gone = random.random(poses.state.shape) < random.random()
    gone[:, :, skeleton.index("left_shoulder", "right_hip")] = False  # which tell how far away somebody is
    gone[random.random((20, 2)) < 0.3] = True
    poses = replace(
        poses, state=np.where(gone, state, VISIBLE), xy=np.where(gone[..., None] & (state == ABSENT), np.nan, poses.xy)
    )
    lifted = flat_lift(poses)
    for person in range(2):
        there = np.flatnonzero((poses.state[:, person] != ABSENT).any(-1))
        expected = (np.arange(20) >= there.min(initial=99)) & (np.arange(20) <= there.max(initial=-1))
        np.testing.assert_array_equal((lifted.state[:, person] != ABSENT).all(-1), expected)
        assert np.isfinite(lifted.xyz[expected, person]).all()
        assert np.isnan(lifted.xyz[~expected, person]).all()
        assert (lifted.score[~expected, person] == 0).all()
    shared = [joint for joint in H36M17.joints if joint in skeleton.joints]
    ours = H36M17.index(*shared)
    theirs = skeleton.index(*shared)
    seen = ~gone[:, :, theirs]
    np.testing.assert_array_equal(lifted.xy[:, :, ours][seen], poses.xy[:, :, theirs][seen])
    np.testing.assert_array_equal(lifted.state[:, :, ours] == VISIBLE, seen & (lifted.state[:, :, ours] != ABSENT))


def test_guesses_of_hidden_joints_count_by_their_spread():
    poses = hide(cardboard(*ONE), slice(2, 9), ["left_elbow", "left_wrist"])
    spread = np.where(poses.state == OCCLUDED, 30.0, 3.0)
    lifted = [unfitted(replace(poses, spread=value), RANDOM).xyz for value in (None, spread, 4 * spread)]
    assert all(np.abs(lifted[one] - lifted[other]).max() > 1e-4 for one, other in ((0, 1), (1, 2)))
    without = unfitted(hide(poses, slice(2, 9), ["left_elbow", "left_wrist"], state=ABSENT), RANDOM)
    assert np.abs(lifted[0] - without.xyz).max() > 1e-4


def test_each_person_is_lifted_by_themselves():
    poses = hide(cardboard(*ONE, (-1.0, 0.0, 5.0), (1.0, 0.0, 7.0)), slice(4, 8), COCO17.joints, person=1, state=ABSENT)
    together = flat_lift(poses)
    for person in range(3):
        alone = flat_lift(poses.select(person=[10 + person]))
        np.testing.assert_allclose(together.xyz[:, person], alone.xyz[:, 0], atol=1e-5)
        np.testing.assert_array_equal(together.state[:, person], alone.state[:, 0])


def test_joints_that_coco_lacks_are_seen_where_those_are_that_stand_for_them():
    poses = hide(cardboard(*ONE), slice(2, 3), ["left_hip"])
    poses = hide(poses, slice(4, 5), ["right_shoulder"])
    poses = hide(poses, slice(6, 7), ["nose", "left_eye", "right_eye", "left_ear"])
    poses = hide(poses, slice(8, 9), ["nose", "left_eye", "right_eye", "left_ear", "right_ear"])
    poses.score[10, 0, COCO17.index("right_hip")] = 0.4
    poses.score[11, 0, COCO17.index("left_ear")] = 0.95
    lifted = flat_lift(poses)
    state = {name: lifted.state[:, 0, number] for number, name in enumerate(H36M17.joints)}
    score = {name: lifted.score[:, 0, number] for number, name in enumerate(H36M17.joints)}
    for name, frames in {
        "pelvis": [2],
        "thorax": [4],
        "spine": [2, 4],
        "neck_nose": [8],
        "head_top": [8],
        "left_hip": [2],
        "left_knee": [],
    }.items():
        np.testing.assert_array_equal(np.flatnonzero(state[name] == OCCLUDED), frames, name)
        assert (np.delete(state[name], frames) == VISIBLE).all()
    for name in ("pelvis", "spine", "right_hip"):
        assert score[name][10] == pytest.approx(0.4)
    for name in ("head_top", "neck_nose"):
        assert score[name][11] == pytest.approx(0.95)
    assert score["thorax"][10] == pytest.approx(0.9)


@pytest.mark.parametrize("lacking", ["left_wrist", "right_knee", "left_hip", "nose"])
def test_a_joint_that_nothing_stands_for_is_inferred(lacking):
    poses = cardboard(*ONE).select(joint=[name for name in COCO17.joints if name != lacking])
    lifted = flat_lift(poses)
    assert np.isfinite(lifted.xyz).all()
    unseen = {"left_hip": {"left_hip", "pelvis", "spine"}, "nose": set()}.get(lacking, {lacking})
    for number, name in enumerate(H36M17.joints):
        assert (lifted.state[:, 0, number] == (OCCLUDED if name in unseen else VISIBLE)).all(), name
        assert lifted.score[0, 0, number] == pytest.approx(0.0 if name in unseen else 0.9), name


@settings(max_examples=30)
@given(st.sets(st.sampled_from(COCO17.joints)))
def test_any_subset_of_joints_is_enough_that_tells_how_far_away_somebody_is(names):
    names = names | {"left_shoulder", "right_hip"}
    lifted = flat_lift(cardboard(*ONE, frames=5).select(joint=sorted(names)))
    assert np.isfinite(lifted.xyz).all()
    for number, name in enumerate(H36M17.joints):
        if name in COCO17.joints:
            assert (lifted.state[:, 0, number] == (VISIBLE if name in names else OCCLUDED)).all()


@pytest.mark.parametrize("names", [["nose"], ["left_wrist"]])
def test_somebody_who_may_be_anywhere_is_absent(names):
    lifted = flat_lift(cardboard(*ONE, frames=5).select(joint=names))
    assert (lifted.state == ABSENT).all()
    assert np.isnan(lifted.xyz).all()
    assert np.isnan(lifted.root_covariance).all()


def test_in_frames_that_show_nothing_but_the_face_the_person_goes_on():
    whole = cardboard(*ONE, frames=40)
    lifted = flat_lift(hide(whole, slice(15, 30), [name for name in COCO17.joints if name not in FACE], state=ABSENT))
    assert np.isfinite(lifted.xyz).all()
    assert (lifted.state[15:30][..., [at("neck_nose"), at("head_top")]] == VISIBLE).all()
    assert (lifted.state[15:30][..., at("left_hip")] == OCCLUDED).all()
    assert np.linalg.norm(lifted.xyz[:, 0, 0] - flat_lift(whole).xyz[:, 0, 0], axis=-1).max() < 0.5


def test_joints_outside_the_image_are_occluded():
    camera = Camera(200, 360, CAMERA.fx, CAMERA.fy, 100, CAMERA.cy)
    poses = cardboard((-0.75, 0.1, 4.0), skeleton=H36M17, camera=camera, drift=0)
    outside = poses.xy[..., 0] < -0.5
    assert outside.any() and not outside.all()
    lifted = flat_lift(poses)
    np.testing.assert_array_equal(lifted.state, np.where(outside, OCCLUDED, VISIBLE))
    assert np.isfinite(lifted.xyz).all()


def test_a_hidden_joint_outside_the_image_is_occluded_not_absent():
    camera = Camera(640, 200, CAMERA.fx, CAMERA.fy, CAMERA.cx, 90)  # cuts the feet off
    whole = cardboard(*ONE, skeleton=H36M17, camera=camera)
    poses = hide(whole, slice(None), ["left_ankle", "right_ankle"], state=ABSENT)
    poses = hide(poses, slice(0, 1), ["left_ankle"])
    lifted = flat_lift(poses)
    assert (lifted.state[..., H36M17.index("left_ankle", "right_ankle")] == OCCLUDED).all()


@pytest.mark.parametrize("height", [1.2, 2.0])
def test_the_lifter_is_told_the_height(height):
    poses = cardboard(*ONE, (-1.0, 0.0, 5.0), frames=60, drift=0)
    plain = unfitted(poses, RANDOM)
    told = unfitted(poses, RANDOM, height=height)
    assert (np.abs(told.xyz - plain.xyz).max((0, 2, 3)) > 1e-4).all()
    shared = H36M17.index(*(name for name in H36M17.joints if name in COCO17.joints))
    np.testing.assert_array_equal(told.xy[:, :, shared], plain.xy[:, :, shared])


@pytest.fixture
def oanet():
    """OANet's own networks, with random weights."""
    torch.manual_seed(0)
    net = OANetNetwork(8, encoder=MaskedEncoder(16)).eval()
    torch.nn.init.normal_(net.tcn_3d.out.weight)
    return net


@pytest.mark.parametrize("height", [1.2, 2.0])
def test_with_oanet_s_networks_the_height_scales_people_and_their_distance(oanet, height):
    poses = cardboard(*ONE, (-1.0, 0.0, 5.0), frames=60, drift=0)
    plain = unfitted(poses, oanet)
    tall = unfitted(poses, oanet, height=height)
    for person in range(2):
        scale = height / measure_height(plain.xyz[:45, person])
        relative = [record.xyz[:, person] - record.xyz[:, person, :1] for record in (plain, tall)]
        np.testing.assert_allclose(relative[1], scale * relative[0], atol=1e-4)
    assert plain.covariance is None and plain.root_covariance is None


def test_oanet_s_networks_bridge_gaps_of_two_seconds(oanet):
    poses = hide(cardboard(*ONE, frames=90), slice(20, 79), COCO17.joints, state=ABSENT)
    lifted = OANetTrackLifter(CAMERA, None, oanet)(poses)
    assert np.isfinite(lifted.xyz).all()
    assert (lifted.state[20:79] == OCCLUDED).all()


def test_what_is_known_of_where_joints_are_has_covariances():
    poses = hide(cardboard(*ONE, (-1.0, 0.0, 5.0), frames=20), slice(8, 20), COCO17.joints, person=1, state=ABSENT)
    lifted = unfitted(poses, RANDOM)
    known = np.isfinite(lifted.xyz).all(-1)
    assert known[:, 0].all() and known[:8, 1].all() and not known[8:, 1].any()
    np.testing.assert_array_equal(np.isfinite(lifted.covariance).all(-1), known)
    np.testing.assert_array_equal(np.isfinite(lifted.root_covariance).all(-1), known.any(-1))
    xx, yy, zz, xy, xz, yz = np.moveaxis(lifted.covariance[known].astype(np.float64), -1, 0)
    matrices = np.stack([np.stack([xx, xy, xz], -1), np.stack([xy, yy, yz], -1), np.stack([xz, yz, zz], -1)], -2)
    assert (np.linalg.eigvalsh(matrices) > 0).all()


def test_of_flat_people_everything_is_equally_certain_in_all_directions():
    lifted = flat_lift(cardboard(*ONE, frames=3))
    np.testing.assert_allclose(lifted.covariance[..., :3], 0.01, rtol=1e-3)  # (0.1 m)^2
    np.testing.assert_allclose(lifted.covariance[..., 3:], 0, atol=1e-5)
    distance = np.linalg.norm(lifted.xyz[:, 0, 0], axis=-1)
    np.testing.assert_allclose(np.sqrt(lifted.root_covariance[:, 0, 2]) / distance, 0.1, rtol=0.1)


def test_the_camera_is_the_given_one_else_that_of_the_record_else_the_field_of_view_else_assumed():
    poses = cardboard(*ONE)
    other = Camera.from_fov(640, 360, 40)
    assert flat_lift(poses).camera == CAMERA
    assert flat_lift(poses, camera=other).camera == other
    assert flat_lift(poses, camera=other, fov=70).camera == other
    assert flat_lift(poses, fov=70).camera == Camera.from_fov(640, 360, 70)
    bare = replace(poses, camera=None)
    assert flat_lift(bare, fov=70).camera == Camera.from_fov(640, 360, 70)
    assumed = flat_lift(bare)
    assert assumed.camera == Camera.from_fov(640, 360, FIELD_OF_VIEW, assumed=True)
    assert assumed.observed.camera == assumed.camera
    # a longer lens sees the same people further away
    assert (flat_lift(bare, fov=30).xyz[:, 0, 0, 2] > 1.5 * flat_lift(bare, fov=60).xyz[:, 0, 0, 2]).all()


def test_a_file_made_by_hand_is_enough(tmp_path):
    poses = cardboard(*ONE)
    xy = poses.xy[:, 0].copy()
    xy[4, COCO17.index("left_wrist")] = np.nan
    np.savez(tmp_path / "hand.npz", xy=xy, skeleton="coco17", fps=30)
    lifted = lift(Poses.load(tmp_path / "hand.npz"), lifter=FLAT)
    assert lifted.xyz.shape == (12, 1, 17, 3)
    assert lifted.camera.assumed
    assert np.isfinite(lifted.xyz).all()
    assert lifted.state[4, 0, at("left_wrist")] == OCCLUDED
    for suffix in (".npz", ".json"):
        lifted.save(tmp_path / f"out{suffix}")
        assert Poses.load(tmp_path / f"out{suffix}") == lifted


@pytest.mark.parametrize(("frames", "people"), [(0, 0), (0, 2), (5, 0), (1, 1), (2, 1)])
def test_short_and_empty_records(frames, people):
    poses = cardboard(*(((0.0, 0.0, 4.0),) * max(people, 1)), frames=max(frames, 1)).select(
        slice(frames), [10, 11][:people]
    )
    lifted = lift(poses, lifter=FLAT, height=1.8)
    assert lifted.xyz.shape == (frames, people, 17, 3)
    assert (lifted.state == VISIBLE).all()
    assert np.isfinite(lifted.xyz).all()


def test_a_person_who_is_never_there_stays_absent():
    poses = hide(cardboard(*ONE, (-1.0, 0.0, 5.0)), slice(None), COCO17.joints, person=1, state=ABSENT)
    lifted = lift(poses, lifter=FLAT, height=1.7)
    assert (lifted.state[:, 1] == ABSENT).all()
    for name in ("xyz", "rotation", "contact"):
        assert np.isnan(getattr(lifted, name)[:, 1]).all()
    assert np.isnan(lifted.bone_offsets[1]).all() and np.isnan(lifted.shape[1]).all()
    assert (lifted.state[:, 0] == VISIBLE).all()


def test_between_two_detections_a_person_is_inferred_and_outside_them_absent():
    poses = hide(cardboard(*ONE, frames=40), slice(15, 25), COCO17.joints, state=ABSENT)
    poses = hide(hide(poses, slice(0, 5), COCO17.joints, state=ABSENT), slice(35, 40), COCO17.joints, state=ABSENT)
    lifted = flat_lift(poses)
    assert (lifted.state[:5] == ABSENT).all()
    assert (lifted.state[35:] == ABSENT).all()
    assert (lifted.state[5:15] == VISIBLE).all()
    assert (lifted.state[15:25] == OCCLUDED).all()
    assert (lifted.score[15:25] == 0).all()
    steps = np.linalg.norm(np.diff(lifted.xyz[5:35, 0, 0], axis=0), axis=-1)
    assert steps.max() < 0.05  # m a frame: no leap


OTHERS = [MPI15, MUPOTS17, CROWDPOSE14, HUMANEVA15, BODY25, HALPE26, WHOLEBODY133, MPII16, AIC14]


@pytest.mark.parametrize("skeleton", OTHERS, ids=lambda skeleton: skeleton.name)
def test_other_skeletons_are_lifted_by_the_joints_that_they_share(skeleton):
    lifted = flat_lift(cardboard(*ONE, skeleton=skeleton))
    assert np.isfinite(lifted.xyz).all()
    ours = H36M17.index("left_wrist", "right_ankle")
    theirs = skeleton.index("left_wrist", "right_ankle")
    np.testing.assert_array_equal(lifted.xy[:, :, ours], cardboard(*ONE, skeleton=skeleton).xy[:, :, theirs])
    assert (lifted.state[:, :, H36M17.index("thorax", "left_knee")] == VISIBLE).all()


@pytest.mark.parametrize(
    ("skeleton", "sources"),
    [
        (COCO17, {name: name for name in COCO17.joints}),
        (H36M17, {name: name for name in H36M17.joints}),
        (BLAZEPOSE33, {name: name for name in COCO17.joints}),
        (MPI15, {name: name for name in MPI15.joints if name != "neck"} | {"thorax": "neck"}),
        (
            MUPOTS17,
            {name: name for name in MUPOTS17.joints if name not in ("neck", "head")}
            | {"thorax": "neck", "neck_nose": "head"},
        ),
        (CROWDPOSE14, {name: name for name in CROWDPOSE14.joints if name != "neck"} | {"thorax": "neck"}),
        (HUMANEVA15, {name: name for name in HUMANEVA15.joints if name != "head"} | {"neck_nose": "head"}),
        (BODY25, {name: name for name in BODY25.joints if name != "neck"} | {"thorax": "neck"}),
        (HALPE26, {name: name for name in HALPE26.joints if name != "neck"} | {"thorax": "neck"}),
        (WHOLEBODY133, {name: name for name in WHOLEBODY133.joints}),
        (MPII16, {name: name for name in MPII16.joints}),
        (AIC14, {name: name for name in AIC14.joints if name != "neck"} | {"thorax": "neck"}),
        (
            CMU31,
            {
                "left_hip": "lhipjoint",
                "right_knee": "rfemur",
                "thorax": "thorax",
                "neck_nose": "upperneck",
                "head_top": "head",
            },
        ),
    ],
)
def test_joints_are_found_by_the_names_that_a_skeleton_gives_them(skeleton, sources):
    values = np.arange(len(skeleton), dtype=np.float32).reshape(1, -1, 1)
    found = to_body22(values, skeleton)[0, :, 0]
    for number, name in enumerate(BODY22.joints):
        if name in sources:
            assert found[number] == skeleton.joints.index(sources[name]), name
        elif skeleton != CMU31:
            assert np.isnan(found[number]), name


def test_the_motion_capture_s_own_names_are_known():
    poses = cardboard(*ONE, skeleton=H36M17)
    shared = [(ours, theirs) for ours, theirs in CMU31.aliases if ours in H36M17.joints]
    xy = np.full((12, 1, len(CMU31), 2), np.nan)
    xy[:, :, CMU31.index(*(theirs for _, theirs in shared))] = poses.xy[
        :, :, H36M17.index(*(ours for ours, _ in shared))
    ]
    state = np.where(np.isfinite(xy).all(-1), VISIBLE, ABSENT)
    lifted = flat_lift(replace(poses, xy=xy, state=state, score=state / 2, xyz=None, skeleton=CMU31))
    assert (lifted.state[:, 0, H36M17.index(*(ours for ours, _ in shared))] == VISIBLE).all()


def test_a_skeleton_that_shares_nothing_is_refused():
    hands = BLAZEPOSE33.subset(["left_thumb", "right_heel"])
    poses = replace(cardboard(*ONE).select(joint=["nose", "left_hip"]), skeleton=hands)
    with pytest.raises(
        OccluposeError, match="the lifter has none of its joints; give coco17 or h36m17, or their names"
    ):
        flat_lift(poses)


@pytest.mark.parametrize("height", [0.0, 0.2, 3.1, 180.0, -1.0, float("nan")])
def test_heights_that_cannot_be_are_refused(height):
    with pytest.raises(OccluposeError, match=r"people are 0\.3 to 3 metres tall"):
        flat_lift(cardboard(*ONE), height=height)


@pytest.mark.parametrize("fov", [0.0, 0.5, 180.0, -60.0, float("nan")])
def test_fields_of_view_that_cannot_be_are_refused(fov):
    with pytest.raises(OccluposeError, match="a field of view is 1 to 170 degrees"):
        flat_lift(cardboard(*ONE), fov=fov)


def test_a_camera_for_another_image_size_is_refused():
    with pytest.raises(OccluposeError, match="camera: is for images of 1920 x 1080"):
        flat_lift(cardboard(*ONE), camera=Camera.from_fov(1920, 1080))


def test_networks_are_put_on_a_device(tmp_path):
    save(FLAT.state_dict(), FLAT, tmp_path / "flat.safetensors")
    assert load_lifter(weights=tmp_path / "flat.safetensors").width == 32
    for device in ("abacus", "cuda:99"):
        with pytest.raises(OccluposeError, match=f"device {device}: torch cannot use it here"):
            load_lifter(device, tmp_path / "flat.safetensors")
    with pytest.raises(OccluposeError, match="no such file"):
        load_lifter(weights=tmp_path / "none.safetensors")


def test_weights_of_oanet_s_own_networks_are_loaded_too(tmp_path, oanet):
    oanet_weights.save(oanet.state_dict(), oanet, tmp_path / "oanet.safetensors")
    assert isinstance(load_lifter(weights=tmp_path / "oanet.safetensors"), OANetNetwork)


@pytest.mark.parametrize("fps", [10.0, 30.0, 60.0])
def test_frames_far_ahead_do_not_count(fps):
    random = np.random.default_rng(0)
    poses = cardboard(*ONE, frames=round(4 * fps), fps=fps, drift=0.1 / fps)
    poses = replace(poses, xy=poses.xy + random.normal(0, 1, poses.xy.shape))
    frame = round(1.5 * fps)
    whole = unfitted(poses, RANDOM)
    shorter = unfitted(poses.select(time=slice(frame + round(FUTURE * fps) + 1)), RANDOM)
    np.testing.assert_allclose(whole.xyz[: frame + 1], shorter.xyz[: frame + 1], atol=1e-5)


# What becomes of lifted people.


def test_lifted_people_become_rigid_skeletons():
    poses = hide(cardboard(*ONE, (-1.0, 0.0, 5.0), skeleton=H36M17), slice(3, 7), ["left_wrist"])
    lifted = lift(poses, lifter=RANDOM, keep_lifted=True)
    before = unfitted(poses, RANDOM)
    np.testing.assert_array_equal(lifted.xyz_lifted, before.xyz)
    for name in ("state", "score", "track_id", "observed", "camera"):
        assert np.array_equal(getattr(lifted, name), getattr(before, name))
    seen = before.state == VISIBLE
    np.testing.assert_array_equal(lifted.xy[seen], before.xy[seen])
    np.testing.assert_allclose(lifted.xy[~seen], CAMERA.project(lifted.xyz)[~seen], atol=1e-3)
    assert np.abs(lifted.xyz - before.xyz).max() > 0.01
    forearm = np.linalg.norm(lifted.xyz[:, :, at("left_wrist")] - lifted.xyz[:, :, at("left_elbow")], axis=-1)
    np.testing.assert_allclose(forearm, lifted.bone_lengths[:, BONES.index("left_wrist")] + 0 * forearm, atol=1e-4)
    assert lift(poses, lifter=RANDOM).xyz_lifted is None


def test_up_is_the_given_one_else_that_of_the_camera_else_as_the_people_tell():
    poses = cardboard(*ONE, drift=0)
    known = replace(poses, camera=replace(CAMERA, up=(0.2, -1.0, 0.0)))
    told = lift(poses, lifter=FLAT).world.up
    np.testing.assert_allclose(told, (0, -1, 0), atol=0.1)
    of_camera = lift(known, lifter=FLAT).world
    np.testing.assert_allclose(of_camera.up * np.hypot(1, 0.2), (0.2, -1, 0), atol=1e-6)
    given = lift(known, lifter=FLAT, up=(0, -2, 0.4)).world
    np.testing.assert_allclose(given.up * np.hypot(1, 0.2), (0, -1, 0.2), atol=1e-6)
    with pytest.raises(OccluposeError, match=r"^up \(0, 0, 0\): has no direction; give one"):
        lift(poses, lifter=FLAT, up=(0, 0, 0))


def test_where_nothing_tells_the_floor_that_is_said():
    fast = cardboard(*ONE, drift=0.2)
    with pytest.warns(UserWarning, match=r"^up and the floor are unknown: nobody touches the floor$"):
        lifted = lift(fast, lifter=FLAT)
    assert lifted.world is None and lifted.contact is None and lifted.rotation is not None


@pytest.mark.parametrize("people", [0, 1])
def test_that_nobody_is_there_is_no_reason_to_speak_of_the_floor(recwarn, people):
    poses = hide(cardboard(*ONE, frames=3), slice(None), COCO17.joints, state=ABSENT).select(person=[10][:people])
    lifted = lift(poses, lifter=FLAT)
    assert lifted.world is None and not recwarn.list
    assert lifted.rotation.shape[:2] == (3, people) and np.isnan(lifted.shape).all()


# What any lifter that is worth shipping does.


@pytest.mark.parametrize("skeleton", [H36M17, COCO17])
def test_the_shipped_network_finds_a_walker_with_all_joints_in_place(skeleton):
    truth = make_poses(circle(), pitch=5)
    lifted = lift(replace(truth.to(skeleton), xyz=None))
    true = truth.xyz - truth.xyz[:, :, :1]
    ours = lifted.xyz - lifted.xyz[:, :, :1]
    assert np.linalg.norm(ours - true, axis=-1).mean() < 0.2
    assert np.linalg.norm(ours[:, :, list(H36M17.mirror)] - true, axis=-1).mean() > 0.2  # left is left
    assert np.median(np.abs(lifted.xyz[..., 0, 2] / truth.xyz[..., 0, 2] - 1)) < 0.25
    assert 1.3 < measure_height(lifted.xyz[:, 0]) < 2.2


def test_the_shipped_network_puts_a_hidden_arm_where_an_arm_can_be():
    truth = make_poses(circle(), pitch=5)
    lifted = lift(hide(replace(truth, xyz=None), slice(30, 45), ["left_elbow", "left_wrist"], state=ABSENT))
    pelvis = lifted.xyz[30:45, 0, at("pelvis")]
    shoulder = lifted.xyz[30:45, 0, at("left_shoulder")]
    wrist = lifted.xyz[30:45, 0, at("left_wrist")]
    reach = np.linalg.norm(wrist - shoulder, axis=-1)
    assert (reach < 0.9).all()
    assert (reach > 0.1).all()
    true = truth.xyz[30:45, 0, at("left_wrist")] - truth.xyz[30:45, 0, at("pelvis")]
    assert np.linalg.norm(wrist - pelvis - true, axis=-1).mean() < 0.4


# What cannot be meant is said, and nobody comes out where nobody can be.


def assert_believable(lifted):
    """People are within sight or absent; nobody is larger than people are, or has half a joint."""
    known = np.isfinite(lifted.xyz)
    assert (known.all(-1) == (lifted.state != ABSENT)).all()
    assert (known.any(-1) == known.all(-1)).all()
    distance = np.linalg.norm(lifted.xyz[:, :, 0], axis=-1)
    assert (np.isnan(distance) | ((distance > 0.3) & (distance < 100))).all()


@pytest.mark.parametrize("skeleton", ["coco17", "h36m17", "body26"])
@pytest.mark.parametrize("frames", [1, 5])
def test_somebody_who_is_one_point_is_said_and_does_no_harm(oanet, skeleton, frames):
    count = {"coco17": 17, "h36m17": 17, "body26": 26}[skeleton]
    xy = np.full((frames, count, 2), 300.0)
    for lifter in (FLAT, RANDOM, oanet):
        with pytest.warns(UserWarning, match=rf"all joints are in one point in {frames} frames?; give NaN where"):
            assert_believable(lift(xy, skeleton=skeleton, fps=1, size=(640, 480), lifter=lifter))


def test_of_whom_nothing_is_known_in_3d_is_said():
    poses = cardboard(*ONE, (-1.0, 0.0, 5.0))
    hidden = hide(poses, slice(None), [name for name in COCO17.joints if name != "nose"], person=1, state=ABSENT)
    with pytest.warns(UserWarning, match=r"^person 11: seen, but nowhere in 3D: too little tells how far away$"):
        lifted = lift(hidden, lifter=FLAT)
    assert (lifted.state[:, 0] != ABSENT).all() and (lifted.state[:, 1] == ABSENT).all()


def test_frames_without_anybody_and_good_people_are_no_reason_to_warn(recwarn):
    lift(hide(cardboard(*ONE), slice(3, 5), COCO17.joints, state=ABSENT), lifter=FLAT)
    assert not recwarn.list


@pytest.mark.parametrize("far", [2e3, 1e5, -1e5])
@pytest.mark.parametrize("state", [VISIBLE, OCCLUDED])
@pytest.mark.parametrize("frame", [0, 6])
def test_a_joint_far_outside_of_the_picture_is_not_believed(far, state, frame):
    poses = cardboard(*ONE, frames=12)
    wild = hide(poses, slice(frame, frame + 1), ["left_wrist"], state=state)
    wild.xy[frame, 0, COCO17.index("left_wrist")] = far
    gone = hide(poses, slice(frame, frame + 1), ["left_wrist"], state=ABSENT)
    lifted = unfitted(wild, RANDOM)
    expected = unfitted(gone, RANDOM)
    np.testing.assert_array_equal(lifted.xyz, expected.xyz)
    np.testing.assert_array_equal(lifted.xy, expected.xy)
    assert lifted.state[frame, 0, at("left_wrist")] == OCCLUDED


def test_places_that_cannot_be_pixels_are_refused():
    poses = cardboard(*ONE)
    wild = replace(poses, xy=poses.xy.copy())
    wild.xy[3, 0, 4] = 2e6
    with pytest.raises(OccluposeError, match=r"^a joint is at 2e\+06 px; give pixels, and NaN where"):
        lift(wild, lifter=FLAT)
    with pytest.raises(OccluposeError, match=r"^x and y lie in 0\.\.1; give pixels: x times the width"):
        lift(replace(poses, xy=poses.xy / 640), lifter=FLAT)
    with pytest.raises(OccluposeError, match=r"^x and y lie around 0, as in metres; give positions in the image"):
        lift(replace(poses, xy=poses.xy / 320 - 0.8), lifter=FLAT)
    wild.state[3, 0, 4] = OCCLUDED  # as projected joints may be
    assert_believable(lift(wild, lifter=FLAT))


def test_zeros_are_said():
    poses = cardboard(*ONE)
    poses.xy[2:4, 0, COCO17.index("left_wrist")] = 0
    with pytest.warns(UserWarning, match=r"^2 joints are at exactly \(0, 0\) and are kept; give NaN"):
        assert_believable(lift(poses, lifter=FLAT))


@pytest.mark.parametrize("fps", [2e4, 1e6, 1e300])
def test_frame_rates_that_cannot_be_are_refused(fps):
    with pytest.raises(
        OccluposeError, match=r"^fps: is .*; it must be a positive number of frames per second, 1e-06 to 10000"
    ):
        lift(replace(cardboard(*ONE), fps=fps, time=np.arange(12) / fps), lifter=FLAT)


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 2**32 - 1), st.sampled_from([0.5, 8, 30, 240]), st.integers(1, 6))
def test_whatever_is_seen_people_are_in_sight_or_absent(seed, fps, frames):
    random = np.random.default_rng(seed)
    xy = random.uniform(-3000, 3000) + random.normal(0, 10.0 ** random.uniform(-3, 4), (frames, 2, 17, 2))
    state = random.choice([ABSENT, OCCLUDED, VISIBLE], p=random.dirichlet([0.5, 0.5, 1]), size=xy.shape[:3])
    poses = cardboard(*ONE, (0, 0, 5), frames=frames, fps=fps)
    poses = replace(poses, xy=np.where((state == ABSENT)[..., None], np.nan, xy), state=state, score=state / 2)
    try:
        lifted = lift(poses, lifter=RANDOM)
    except OccluposeError as error:
        assert "px" in str(error) or "pixels" in str(error)
    else:
        known = np.isfinite(lifted.xyz).all(-1)
        assert (known == (lifted.state != ABSENT)).all()
        assert not (np.linalg.norm(lifted.xyz[:, :, 0], axis=-1) > 100).any()
