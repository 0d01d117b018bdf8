import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from occlupose.errors import OccluposeError
from occlupose.occlusion import cylinders
from occlupose.occlusion.cylinders import (
    DEPTH_MARGIN,
    FACE,
    FAR_SIDE,
    OURS,
    PAPER,
    occluded_by,
    place_cylinders,
    self_occluded,
    visibility,
)
from occlupose.skeletons import BODY22, CMU31, COCO17, CROWDPOSE14, H36M17, HUMANEVA15, MPI15, MUPOTS17

SEEDS = st.integers(0, 2**32 - 1)
AWAY = np.array([0, 0, 3.0])
STANDING = {  # m; right, down, away of a person who faces the camera: their left is on its right
    "nose": (0, -0.68, -0.11),
    "eye": (0.03, -0.71, -0.08),
    "ear": (0.075, -0.7, 0),
    "shoulder": (0.2, -0.5, 0),
    "elbow": (0.32, -0.25, 0),
    "wrist": (0.42, 0, 0),
    "hip": (0.1, 0, 0),
    "knee": (0.13, 0.42, 0),
    "ankle": (0.16, 0.84, 0),
    "pelvis": (0, 0, 0),
    "spine": (0, -0.25, 0),
    "thorax": (0, -0.5, 0),
    "neck_nose": (0, -0.6, 0),
    "head_top": (0, -0.8, 0),
    "neck": (0, -0.5, 0),
    "head": (0, -0.65, 0),
}
PARTS = [  # radius, ends, and what else it carries, written independently; the torso's radius comes from the body
    (0.1, "thorax", "head_top", {"neck_nose", *FACE}),
    (None, "thorax", "pelvis", {"spine"}),
    *(
        (0.05, f"{side}_{start}", f"{side}_{end}", set())
        for side in ("left", "right")
        for start, end in (("shoulder", "elbow"), ("elbow", "wrist"), ("hip", "knee"), ("knee", "ankle"))
    ),
]


def standing(skeleton=BODY22, **moved):
    """(joint, 3) of a person 3 m away who faces the camera; joints given are there instead, relative to the pelvis."""
    places = []
    for name in skeleton.joints:
        x, y, z = STANDING[name.removeprefix("left_").removeprefix("right_")]
        places.append(moved.get(name, (-x if name.startswith("right_") else x, y, z)))
    return np.array(places, float) + AWAY


def from_behind(joints):
    """The same body turned half about the vertical through its pelvis."""
    return (joints - AWAY) * (-1, 1, -1) + AWAY


def hides(joints, skeleton=BODY22, **options):
    """Names of the joints that are hidden."""
    return set(np.array(skeleton.joints)[self_occluded(torch.from_numpy(joints), skeleton, **options).numpy()])


@pytest.mark.parametrize("perspective", [True, False])
@pytest.mark.parametrize("skeleton", [BODY22, H36M17, MUPOTS17])
def test_a_hand_behind_the_torso_is_occluded_and_one_in_front_is_not(skeleton, perspective):
    assert hides(standing(skeleton), skeleton, perspective=perspective) == set()
    before = standing(skeleton, left_wrist=(0.08, -0.2, -0.2))
    behind = standing(skeleton, left_wrist=(0.08, -0.2, 0.2))
    assert hides(before, skeleton, perspective=perspective) == set()
    assert hides(behind, skeleton, perspective=perspective) == {"left_wrist"}


@pytest.mark.parametrize("perspective", [True, False])
def test_from_behind_it_is_the_other_way_round_and_the_face_is_gone(perspective):
    before = from_behind(standing(left_wrist=(0.08, -0.2, -0.2)))
    behind = from_behind(standing(left_wrist=(0.08, -0.2, 0.2)))
    assert hides(before, perspective=perspective) == {"left_wrist", "nose", "left_eye", "right_eye"}
    assert hides(behind, perspective=perspective) == {"nose", "left_eye", "right_eye"}


def test_from_the_side_the_far_ear_and_shoulder_are_occluded():
    turned = Rotation.from_euler("y", -90, degrees=True).apply(standing() - AWAY) + AWAY
    assert {"left_ear", "left_shoulder"} <= hides(turned, perspective=False)
    assert not hides(turned, perspective=False) & {
        "nose",
        "right_ear",
        "right_eye",
        "right_shoulder",
        "right_elbow",
        "right_wrist",
    }


@pytest.mark.parametrize(
    ("carried", "other"), [("spine", "left_wrist"), ("pelvis", "left_wrist"), ("neck_nose", "right_wrist")]
)
def test_a_part_never_occludes_its_own_joints(carried, other):
    x, y, _ = standing()[BODY22.index(carried)[0]] - AWAY
    body = standing(**{carried: (x, y, 0.0), other: (x, y - 0.02, 0.3)})  # straight behind the axis
    assert hides(body, perspective=False) == {other}


@pytest.mark.parametrize("perspective", [True, False])
def test_an_arm_that_points_at_the_camera_occludes_joints_behind_it_but_not_its_own(perspective):
    arm = {"left_shoulder": (0.2, -0.5, 0), "left_elbow": (0.2, -0.5, -0.28), "left_wrist": (0.2, -0.5, -0.5)}
    joints = standing(**arm, right_wrist=(0.22, -0.52, 0.1)) - (0.2, -0.5, 0)  # along the camera's axis
    assert {"left_shoulder", "right_wrist"} <= hides(joints, perspective=perspective)
    assert "left_elbow" not in hides(joints, perspective=perspective)
    # without a forearm only the upper arm is there, which is the shoulder's own
    joints[BODY22.index("left_wrist")] = np.nan
    assert "right_wrist" in hides(joints, perspective=perspective)
    assert not hides(joints, perspective=perspective) & {"left_elbow", "left_shoulder"}


def test_joints_at_the_same_depth_do_not_flicker():
    for z, is_hidden in ((0.9 * DEPTH_MARGIN, False), (1.1 * DEPTH_MARGIN, True)):
        assert ("left_wrist" in hides(standing(left_wrist=(0.08, -0.2, z)), perspective=False)) == is_hidden


def test_a_missing_joint_is_not_occluded_and_occludes_nothing():
    body = standing(left_wrist=(0.08, -0.2, 0.2))
    for missing in ("pelvis", "thorax", "left_wrist"):
        less = body.copy()
        less[BODY22.index(missing)] = np.nan
        assert hides(less) == set()
    less = from_behind(standing())
    less[BODY22.index("nose", "head_top")] = np.nan
    assert hides(less) == set()
    assert hides(np.full((22, 3), np.nan)) == set()


def test_coinciding_joints_occlude_nothing():
    assert hides(np.full((22, 3), 2.0)) == set()


def test_who_is_in_front_hides_who_is_behind():
    near = torch.from_numpy(standing())
    far = near * 1.3  # the same silhouette
    assert not occluded_by(near, far, BODY22).any()
    hidden = set(np.array(BODY22.joints)[occluded_by(far, near, BODY22).numpy()])
    assert {"pelvis", "spine", "left_wrist", "right_knee", "nose"} <= hidden
    aside = near + torch.tensor([2.0, 0, 0])
    assert not occluded_by(far, aside, BODY22).any()
    assert not occluded_by(far, torch.full_like(near, torch.nan), BODY22).any()
    assert not occluded_by(torch.full_like(near, torch.nan), near, BODY22).any()


@pytest.mark.parametrize("batch", [(), (2, 3), (0,)])
def test_somebody_else_alike_hides_what_the_body_hides_by_itself(batch):
    shape = (*batch, 22, 3)
    bodies = np.stack([random_body(seed) for seed in range(int(np.prod(batch)))]) if 0 not in batch else np.zeros(0)
    joints = torch.from_numpy(bodies).view(shape)
    hidden = occluded_by(joints, joints, BODY22)
    assert hidden.shape == shape[:-1] and hidden.dtype == torch.bool
    by_itself = self_occluded(joints, BODY22)
    face = BODY22.index(*FACE)
    by_itself[..., face] = False
    assert (hidden | ~by_itself).all()


@pytest.mark.parametrize("batch", [(), (3,), (2, 5), (0,), (2, 0, 3)])
def test_any_batch_gives_what_each_body_gives(batch):
    bodies = np.stack([random_body(seed) for seed in range(int(np.prod(batch)))] or [standing()])[: int(np.prod(batch))]
    together = self_occluded(torch.from_numpy(bodies).view(*batch, 22, 3), BODY22)
    assert together.shape == (*batch, 22)
    assert together.dtype == torch.bool
    for one, body in zip(together.reshape(-1, 22), bodies, strict=True):
        np.testing.assert_array_equal(one, self_occluded(torch.from_numpy(body), BODY22))


@pytest.mark.parametrize("batch", [(), (2, 3)])
def test_shapes_are_the_ten_cylinders(batch):
    body = standing(CROWDPOSE14)
    start, end, radius = place_cylinders(torch.from_numpy(body).expand(*batch, 14, 3), CROWDPOSE14)
    assert (start.shape, end.shape, radius.shape) == ((*batch, 10, 3), (*batch, 10, 3), (*batch, 10))
    at = dict(zip(CROWDPOSE14.joints, body, strict=True)) | {
        "pelvis": body[CROWDPOSE14.index("left_hip", "right_hip")].mean(0)
    }
    for number, (thick, begins, ends, _) in enumerate(PARTS):
        np.testing.assert_allclose(start[..., number, :], np.broadcast_to(at.get(begins, at["neck"]), (*batch, 3)))
        np.testing.assert_allclose(end[..., number, :], np.broadcast_to(at[ends], (*batch, 3)))
        np.testing.assert_allclose(radius[..., number], 0.2 if thick is None else thick)


def test_more_bodies_than_one_chunk(monkeypatch):
    bodies = torch.from_numpy(np.stack([random_body(seed) for seed in range(7)]))
    whole = self_occluded(bodies, BODY22)
    softly = visibility(bodies, BODY22)
    monkeypatch.setattr(cylinders, "CHUNK_SIZE", 3)
    assert torch.equal(self_occluded(bodies, BODY22), whole)
    torch.testing.assert_close(visibility(bodies, BODY22), softly)


@pytest.mark.parametrize("lacking", ["head", "thorax", "left_knee", "right_wrist", "left_shoulder"])
def test_skeletons_without_an_end_of_a_part_are_refused(lacking):
    short = BODY22.subset(
        name for name in BODY22.joints if name not in {lacking, *({"head_top", "nose"} if lacking == "head" else ())}
    )
    with pytest.raises(OccluposeError, match=rf"no .*{lacking}.*; the Cylinder Man needs one"):
        self_occluded(torch.zeros(len(short), 3), short)
    with pytest.raises(OccluposeError, match=rf"no .*{lacking}.*; the Cylinder Man needs one"):
        visibility(torch.zeros(len(short), 3), short)
    with pytest.raises(OccluposeError, match="skeleton coco17: no thorax or neck"):
        self_occluded(torch.zeros(17, 3), COCO17)


def test_without_a_pelvis_or_hips_there_is_no_torso():
    short = BODY22.subset(name for name in BODY22.joints if name not in {"pelvis", "left_hip"})
    with pytest.raises(OccluposeError, match="no left_hip; the Cylinder Man needs one"):
        self_occluded(torch.zeros(len(short), 3), short)


@pytest.mark.parametrize("skeleton", [CROWDPOSE14, BODY22.subset(name for name in BODY22.joints if name != "pelvis")])
def test_a_pelvis_that_is_lacking_is_the_middle_of_the_hips(skeleton):
    behind = standing(skeleton, left_wrist=(0.08, -0.2, 0.2), left_hip=(0.1, 0.1, 0), right_hip=(-0.1, -0.1, 0))
    assert hides(behind, skeleton) == {"left_wrist"}
    behind[skeleton.index("right_hip")] = np.nan
    assert hides(behind, skeleton) == set()


def test_joints_with_names_of_their_own_are_found():
    own = dict(CMU31.aliases)
    places = {
        own.get(name, name): place
        for name, place in zip(BODY22.joints, standing(left_wrist=(0.08, -0.2, 0.2)), strict=True)
    }
    joints = np.array([places.get(name, (np.nan,) * 3) for name in CMU31.joints])
    assert hides(joints, CMU31) == {"lradius"}
    joints[CMU31.index("rtibia")] = joints[CMU31.index("lradius")] + (0, -0.02, 0.1)
    assert hides(joints, CMU31) == {"lradius", "rtibia"}


@settings(max_examples=60)
@given(SEEDS)
def test_perspective_fades_with_distance(seed):
    body = torch.from_numpy(random_body(seed))
    far = body + torch.tensor([0, 0, 1e6], dtype=torch.float64)
    assert torch.equal(self_occluded(far, BODY22), self_occluded(body, BODY22, perspective=False))


@settings(max_examples=60)
@given(SEEDS, st.booleans())
def test_rays_against_rectangles_say_the_same(seed, perspective):
    body = random_body(seed)
    ours = self_occluded(torch.from_numpy(body), BODY22, perspective=perspective).numpy()
    for number in range(22):
        expected = struck(body, number, perspective)
        if expected is not None:
            assert ours[number] == expected, BODY22.joints[number]


def random_body(seed, skeleton=BODY22):
    """A body in disorder, any way up, 2 to 6 m away and off the axis."""
    random = np.random.default_rng(seed)
    joints = standing(skeleton) - AWAY + random.normal(0, 0.15, (len(skeleton), 3))
    turned = Rotation.random(rng=random).apply(joints)
    return turned + random.uniform((-1.5, -1.5, 2), (1.5, 1.5, 6))


def struck(body, number, perspective, edge=1e-3):
    """Whether the line of sight to a joint meets a rectangle on its way; None within `edge` (m) of where that changes.
    Written from the paper.
    """
    joint = body[number]
    name = BODY22.joints[number]
    view = joint / np.linalg.norm(joint) if perspective else np.array([0, 0, 1.0])
    at = dict(zip(BODY22.joints, body, strict=True))
    torso = np.linalg.norm(at["left_shoulder"] - at["thorax"])
    answers = []
    if name in FACE:
        axis = at["head_top"] - at["thorax"]
        away = np.cross(np.cross(axis, joint - at["thorax"]), axis) / (axis @ axis)
        answers.append(None if abs(away @ view - FAR_SIDE) < edge else away @ view > FAR_SIDE)
    for radius, start, end, carried in PARTS:
        if name not in {start, end} | carried:
            answers.append(_meets(joint, view, at[start], at[end], torso if radius is None else radius, edge))
    return True if True in answers else None if None in answers else False


def _meets(joint, view, start, end, radius, edge):
    axis = end - start
    across = np.cross(axis, view)
    if abs(np.linalg.norm(across) - radius) < edge:
        return None
    # start + along * axis + aside * unit(across) is where the line of sight, joint - depth * view, meets the plane
    along, aside, depth = np.linalg.solve(np.stack([axis, across / np.linalg.norm(across), view], 1), joint - start)
    if np.linalg.norm(across) < radius:  # end-on: a disc along the short line that is seen of the axis
        along = np.clip(along, 0, 1)
        off = np.cross(joint - start - along * axis, view)
        depth = (joint - start - along * axis) @ view
        outside = np.linalg.norm(off) - radius
    else:
        beyond = max(-along, along - 1) * np.linalg.norm(across)
        outside = max(beyond, abs(aside) - radius)
    if min(abs(outside), abs(depth - DEPTH_MARGIN)) < edge:
        return None
    return bool(outside < 0 and depth > DEPTH_MARGIN)


def paper(body, skeleton):
    """Which joints are hidden, as section 4 constructs it: corners of the rectangle, its normal, and one test after the
    other.
    """
    at = dict(zip(skeleton.joints, body, strict=True))
    same = {"thorax": "thorax" if "thorax" in at else "neck", "head_top": "head_top" if "head_top" in at else "head"}
    hides_it = dict.fromkeys(at, False)
    for radius, start, end, carried in PARTS:
        start = same.get(start, start)
        end = same.get(end, end)
        p_i = at[start]
        p_j = at[end]
        r = np.linalg.norm(at[same["thorax"]] - at["left_shoulder"]) if radius is None else radius
        u = np.cross(p_j - p_i, [0, 0, 1])
        u = r * u / np.linalg.norm(u)
        corners = [p_i + u, p_j + u, p_j - u, p_i - u]
        n = np.cross(p_j - p_i, corners[0] - p_i)
        n = -n if n[2] > 0 else n
        for name in at.keys() - {start, end} - carried:
            p = at[name]
            turns = {_turn(b - a, p - a) for a, b in zip(corners, corners[1:] + corners[:1], strict=True)}
            hides_it[name] |= len(turns) == 1 and (p - p_i) @ n <= 0
    return list(hides_it.values())


def _turn(side, way):
    """On which hand the way lies of the side, in the image."""
    return side[0] * way[1] - side[1] * way[0] > 0


@settings(max_examples=100)
@given(SEEDS, st.sampled_from([H36M17, BODY22, MUPOTS17, MPI15, HUMANEVA15]))
def test_the_papers_camera_and_rules_give_what_its_construction_gives(seed, skeleton):
    body = random_body(seed, skeleton)
    ours = self_occluded(torch.from_numpy(body), skeleton, perspective=False, rules=PAPER)
    np.testing.assert_array_equal(ours, paper(body, skeleton))


def test_the_paper_has_neither_margin_nor_discs_nor_a_face():
    body = standing(left_wrist=(0.08, -0.2, 0.5 * DEPTH_MARGIN))
    assert "left_wrist" in hides(body, perspective=False, rules=PAPER)
    assert hides(body, perspective=False) == set()
    assert not hides(from_behind(standing()), perspective=False, rules=PAPER) & set(FACE)
    arm = {"right_shoulder": (-0.6, -0.5, 0), "right_elbow": (-0.6, -0.5, -0.28), "right_wrist": (-0.6, -0.5, -0.5)}
    behind_it = standing(**arm, left_wrist=(-0.62, -0.52, 0.1))
    assert "left_wrist" in hides(behind_it, perspective=False)
    assert "left_wrist" not in hides(behind_it, perspective=False, rules=PAPER)


SOFT = [(perspective, rules) for perspective in (False, True) for rules in (PAPER, OURS)]


def soft(joints, skeleton=BODY22, **options):
    return visibility(torch.from_numpy(joints), skeleton, **options).numpy()


@pytest.mark.parametrize("skeleton", [BODY22, H36M17, MUPOTS17])
@pytest.mark.parametrize(("perspective", "rules"), SOFT)
def test_soft_a_hand_behind_the_torso_is_occluded_and_from_behind_the_other_one(skeleton, perspective, rules):
    (wrist,) = skeleton.index("left_wrist")
    for z, turn, open_ in ((-0.2, False, True), (0.2, False, False), (-0.2, True, False), (0.2, True, True)):
        body = standing(skeleton, left_wrist=(0.04, -0.25, z))
        seen = soft(from_behind(body) if turn else body, skeleton, perspective=perspective, rules=rules)[wrist]
        assert seen > 0.95 if open_ else seen < 0.05


@pytest.mark.parametrize(("perspective", "rules"), SOFT)
def test_soft_a_part_never_occludes_its_own_joints(perspective, rules):
    straight = {"right_shoulder": (-2, -0.5, 0), "right_elbow": (-2.2, -0.5, 0), "right_wrist": (-2.4, -0.5, 0)}
    (elbow,) = BODY22.index("right_elbow")  # two parts end in it, and nothing else is near
    assert soft(standing(**straight), perspective=perspective, rules=rules)[elbow] > 0.999


@settings(max_examples=150)
@given(SEEDS, st.sampled_from(SOFT), st.sampled_from([H36M17, BODY22, CROWDPOSE14]))
def test_the_soft_version_tends_to_the_hard_one(seed, how, skeleton):
    perspective, rules = how
    body = random_body(seed, skeleton)
    nearly = soft(body, skeleton, temperature=1e-9, perspective=perspective, rules=rules)
    hard = self_occluded(torch.from_numpy(body), skeleton, perspective=perspective, rules=rules).numpy()
    np.testing.assert_allclose(nearly, ~hard, atol=1e-3)


@settings(max_examples=50)
@given(SEEDS, st.sampled_from(SOFT), st.floats(1e-3, 1))
def test_visibility_is_a_share(seed, how, temperature):
    seen = soft(random_body(seed), temperature=temperature, perspective=how[0], rules=how[1])
    assert ((seen >= 0) & (seen <= 1)).all()


@pytest.mark.parametrize(
    ("perspective", "rules", "skeleton"),
    [(*SOFT[0], BODY22), (*SOFT[1], CROWDPOSE14), (*SOFT[2], H36M17), (*SOFT[3], BODY22)],
)
def test_gradients_are_those_of_finite_differences(perspective, rules, skeleton):
    body = torch.from_numpy(random_body(7, skeleton)).requires_grad_()
    assert torch.autograd.gradcheck(
        lambda joints: visibility(joints, skeleton, perspective=perspective, rules=rules), body, atol=1e-6
    )


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(("perspective", "rules"), SOFT)
def test_gradients_are_finite_however_degenerate_the_body(perspective, rules, dtype):
    pointing = standing(left_shoulder=(0.2, -0.5, 0), left_elbow=(0.2, -0.5, -0.28), left_wrist=(0.2, -0.5, -0.5))
    flat = standing()
    missing = standing()
    flat[:, 2] = 3.0
    missing[BODY22.index("left_wrist", "pelvis", "nose")] = np.nan
    bodies = [
        pointing,
        pointing - (0.2, -0.5, 0),
        flat,
        missing,
        np.zeros((22, 3)),
        np.full((22, 3), 2.0),
        np.full((22, 3), np.nan),
    ]
    joints = torch.from_numpy(np.stack(bodies)).to(dtype).requires_grad_()
    seen = visibility(joints, BODY22, perspective=perspective, rules=rules)
    assert seen.dtype == dtype
    assert ((seen >= 0) & (seen <= 1)).all()
    seen.sum().backward()
    assert joints.grad.isfinite().all()
    assert (joints.grad[joints.isnan()] == 0).all()
    assert joints.grad[3].abs().sum() > 0


@pytest.mark.parametrize(("perspective", "rules"), SOFT)
def test_soft_a_missing_joint_is_not_occluded_and_occludes_nothing(perspective, rules):
    options = {"perspective": perspective, "rules": rules, "temperature": 1e-6}
    body = standing(left_wrist=(0.08, -0.2, 0.2))
    (wrist,) = BODY22.index("left_wrist")
    assert soft(body, **options)[wrist] < 0.01
    for missing in ("pelvis", "thorax", "left_wrist", "left_shoulder"):
        less = body.copy()
        less[BODY22.index(missing)] = np.nan
        assert soft(less, **options)[wrist] > 0.99


@pytest.mark.parametrize("batch", [(), (3,), (2, 5), (0,), (2, 0, 3)])
def test_softly_any_batch_gives_what_each_body_gives(batch):
    bodies = np.stack([random_body(seed) for seed in range(int(np.prod(batch)))] or [standing()])[: int(np.prod(batch))]
    together = visibility(torch.from_numpy(bodies).view(*batch, 22, 3), BODY22)
    assert together.shape == (*batch, 22)
    for one, body in zip(together.reshape(-1, 22), bodies, strict=True):
        np.testing.assert_allclose(one, soft(body))


def test_a_step_along_the_gradient_brings_a_hand_out():
    joints = torch.from_numpy(standing(left_wrist=(0.15, -0.2, 0.03))).requires_grad_()
    (wrist,) = BODY22.index("left_wrist")
    before = visibility(joints, BODY22)[wrist]
    before.backward()
    after = visibility(joints + 1e-3 * joints.grad / joints.grad.norm(), BODY22)[wrist]
    assert after > before
    assert joints.grad[wrist, 2] < 0  # towards the camera
    assert joints.grad[wrist, 0] > 0  # and aside, out of the torso
