import numpy as np
import pytest
import torch

from mocap_sequences import striding_joints
from occlupose.bodies.anny import anny
from occlupose.bodies.fitting import skeleton2pose
from occlupose.datasets.formats.mocap_clips import LabelledClip
from occlupose.datasets.motion import MotionClip
from occlupose.errors import OccluposeError
from occlupose.methods.lifter import motions as motions_module
from occlupose.methods.lifter.motions import (
    BODIES,
    FPS,
    LentMotion,
    _at_rate,
    _identify_source,
    _save,
    identify,
    load_motions,
    make_motions,
    random_shape,
    select,
)
from occlupose.skeletons import BODY22, BODY26

FACE = slice(0, 5)
FRAMES = 12
HIP, KNEE, ANKLE, PELVIS = BODY22.index("left_hip", "left_knee", "left_ankle", "pelvis")
SHOULDER, ELBOW, WRIST = BODY22.index("right_shoulder", "right_elbow", "right_wrist")


def labelled(joints, *, name="01_01", subject="01", kind="walking", held_out=False, fps=FPS):
    """A clip of joints of BODY26, without a face."""
    joints = joints.copy()
    joints[:, FACE] = np.nan
    clip = MotionClip(name, subject, fps, joints[:, : len(BODY22)], joints[:, len(BODY22) :])
    return LabelledClip(clip, kind, held_out)


@pytest.fixture(scope="module")
def captured():
    """(12, 26, 3) of a body that strides 2 m forward."""
    body = anny(captured=True)
    shape = body.neutral.clone()
    shape[body.shape_names.index("height")] = 0.7
    strides = torch.from_numpy(striding_joints(FRAMES).astype(np.float32))
    pose = skeleton2pose(strides, body, shape.expand(FRAMES, -1))
    forward = torch.linspace(0, 2, FRAMES)[:, None] * torch.tensor([0.0, 0.0, 1.0])
    return body.joints(pose, shape.expand(FRAMES, -1), forward).numpy()


@pytest.fixture(scope="module")
def made(captured):
    clips = [
        labelled(captured, name="01_01"),
        labelled(captured[:6], name="01_02", held_out=True),
        labelled(np.random.default_rng(0).normal(0, 1, captured.shape).astype(np.float32), subject="02", name="02_01"),
        labelled(captured[:4], name="03_01", subject="03", kind="dance"),
    ]
    return list(make_motions(clips))


def angles(one, other):
    """Between directions, degrees."""
    cosine = (one * other).sum(-1) / np.linalg.norm(one, axis=-1) / np.linalg.norm(other, axis=-1)
    return np.degrees(np.arccos(np.clip(cosine, -1, 1)))


def test_clips_come_with_their_labels_and_bodies(made):
    about = [(motion.name, motion.subject, motion.kind, motion.held_out) for motion in made]
    # nobody fits the second subject
    assert about == [
        ("01_01", "01", "walking", False),
        ("01_02", "01", "walking", True),
        ("03_01", "03", "dance", False),
    ]
    shapes = [motion.joints.shape for motion in made]
    assert shapes == [(1 + BODIES, FRAMES, 22, 3), (1, 6, 22, 3), (1 + BODIES, 4, 22, 3)]
    for motion in made:
        assert motion.joints.dtype == np.float32
        assert np.isfinite(motion.joints).all()


def test_captured_joints_stay_and_missing_ones_are_filled_in(made, captured):
    own = made[0].joints[0]
    np.testing.assert_array_equal(own[:, 5:], captured[:, 5:22])
    assert np.linalg.norm(own[:, FACE] - captured[:, FACE], axis=-1).max() < 0.06


@pytest.mark.parametrize(("start", "end"), [(HIP, KNEE), (KNEE, ANKLE), (SHOULDER, ELBOW), (ELBOW, WRIST)])
def test_other_bodies_keep_rotations_and_have_other_lengths(made, start, end):
    bone = made[0].joints[:, :, end] - made[0].joints[:, :, start]
    for body in range(1, 1 + BODIES):
        assert angles(bone[body], bone[0]).max() < 12
        length = np.linalg.norm(bone[body], axis=-1)
        ratio = length / np.linalg.norm(bone[0], axis=-1)
        assert ratio.std() < 0.03  # the same in all frames
        assert abs(ratio.mean() - 1) > 0.002


def test_other_bodies_are_people_of_many_sizes(made):
    legs = []
    for motion in (made[0], made[2]):
        for joints in motion.joints[1:]:
            legs.append(sum(np.linalg.norm(joints[0, a] - joints[0, b]) for a, b in ((HIP, KNEE), (KNEE, ANKLE))))
    assert len({round(float(leg), 3) for leg in legs}) == 2 * BODIES
    assert 0.25 < min(legs) < max(legs) < 1.1


def test_other_bodies_walk_as_far_as_their_legs_are_long(made):
    def leg(joints):
        return np.linalg.norm(joints[:, HIP] - joints[:, KNEE], axis=-1).mean()

    own, *others = made[0].joints
    walked = np.linalg.norm(own[-1, PELVIS] - own[0, PELVIS])
    assert walked == pytest.approx(2, abs=0.05)
    for other in others:
        far = np.linalg.norm(other[-1, PELVIS] - other[0, PELVIS])
        assert far / walked == pytest.approx(leg(other) / leg(own), rel=0.12)


def test_the_same_clips_give_the_same_motions(made, captured):
    again = list(make_motions([labelled(captured[:3])]))
    once_more = list(make_motions([labelled(captured[:3])]))
    np.testing.assert_array_equal(again[0].joints, once_more[0].joints)
    assert identify(again) == identify(once_more) != identify(made)


def test_clips_of_other_rates_are_interpolated():
    joints = np.zeros((41, 26, 3), np.float32)
    joints[..., 0] = np.arange(41)[:, None]
    for fps, step in ((60.0, 2.0), (120.0, 4.0), (30.0, 1.0), (25.0, 25 / 30)):
        found = _at_rate(labelled(joints, fps=fps))[:, 10, 0]
        expected = np.minimum(np.arange(len(found)) * step, 40)
        np.testing.assert_allclose(found, expected, atol=1e-4)
        assert len(found) == pytest.approx(41 / fps * FPS, abs=1)


def test_random_bodies_are_within_bounds_and_some_are_children():
    body = anny(captured=True)
    generator = torch.Generator().manual_seed(0)
    shapes = torch.stack([random_shape(body, generator) for _ in range(300)])
    assert (shapes >= body.low).all() and (shapes <= body.high).all()
    age = shapes[:, body.shape_names.index("age")]
    assert (age < 0.5).float().mean() == pytest.approx(0.25, abs=0.07)
    assert age.min() >= 0.2 and age.max() <= 1
    gender = shapes[:, body.shape_names.index("gender")]
    assert gender.std() == pytest.approx(12**-0.5, abs=0.03)
    for name in ("cupsize", "firmness"):
        assert (shapes[:, body.shape_names.index(name)] == 0.5).all()
    crown = BODY26.joints.index("head_top")
    ankle = BODY26.joints.index("left_ankle")
    rest = body.rest(shapes)
    heights = rest[:, crown, 1] - rest[:, ankle, 1]
    assert 0.5 < heights.min() < 1.2
    assert 1.6 < heights.max() < 2.3


def test_repetitions_of_exercises_are_thinned_out():
    def clips(subject, kind, count):
        joints = np.zeros((1, 26, 3), np.float32)
        return [labelled(joints, name=f"{subject}_{n}", subject=subject, kind=kind) for n in range(count)]

    exercises = [*clips("s01", "exercise", 9), *clips("s02", "exercise", 4)]
    others = [*clips("13", "exercise", 3), *clips("Subject4", "exercise", 2), *clips("07", "walking", 3)]
    found = [clip.clip.name for clip in select(exercises + others)]
    assert found == ["s01_0", "s01_4", "s01_8", "s02_0", *(clip.clip.name for clip in others)]
    assert select([]) == []


# ------------------------------------------------------------------------------------------------------------- files


def plain(name="01_01", held_out=False):
    joints = np.random.default_rng(len(name)).normal(size=(2, 5, 22, 3)).astype(np.float32)
    return LentMotion(name, "01", "sitting and lying", held_out, joints)


def test_motions_are_made_once_and_kept(tmp_path, monkeypatch):
    made = [plain(), plain("01_02b", held_out=True)]
    calls = []

    def read(folder):
        calls.append(folder)
        return []

    monkeypatch.setattr(motions_module, "load_labelled_clips", read)
    monkeypatch.setattr(motions_module, "make_motions", lambda clips: iter(made))
    folder = tmp_path / "new" / "data"
    for _ in range(2):
        found = load_motions(tmp_path / "mocap", folder)
        for one, other in zip(found, made, strict=True):
            assert (one.name, one.subject, one.kind, one.held_out) == (
                other.name,
                other.subject,
                other.kind,
                other.held_out,
            )
            np.testing.assert_array_equal(one.joints, other.joints)
            assert one.joints.dtype == np.float32
    assert calls == [tmp_path / "mocap"]
    assert [path.name for path in folder.iterdir()] == ["motions.npz"]
    assert identify(found) == identify(made)


def damage(path, kind):
    if kind == "cut":
        path.write_bytes(path.read_bytes()[:-200])
    elif kind == "text":
        path.write_text("no motions")
    elif kind == "empty":
        path.write_bytes(b"")
    elif kind == "other arrays":
        np.savez(path, xyz=np.zeros(3))
    elif kind == "clip missing":
        np.savez(path, about=np.array([("01_01", "01", "walking", "0")]))
    else:
        np.savez(path, about=np.array(["walking"]), joints00000=np.zeros((1, 2, 22, 3)))


@pytest.mark.parametrize("kind", ["cut", "text", "empty", "other arrays", "clip missing", "other table"])
def test_a_damaged_file_is_refused(tmp_path, kind):
    path = tmp_path / "motions.npz"
    _save([plain()], _identify_source(tmp_path), path)
    damage(path, kind)
    with pytest.raises(OccluposeError) as caught:
        load_motions(tmp_path, tmp_path)
    assert str(caught.value) == f"{path}: damaged; delete it, it is made again"


def test_motions_of_other_motion_capture_are_refused(tmp_path):
    path = tmp_path / "motions.npz"
    _save([plain()], _identify_source(tmp_path), path)
    assert [motion.name for motion in load_motions(tmp_path, tmp_path)] == [plain().name]
    (tmp_path / "cmu").mkdir()
    (tmp_path / "cmu" / "01_01.amc").write_text("one more")
    with pytest.raises(OccluposeError) as caught:
        load_motions(tmp_path, tmp_path)
    assert str(caught.value) == f"{path}: was made from other motion capture; give another folder"


def test_a_folder_without_motion_capture_is_refused_before_anything_is_written(tmp_path):
    with pytest.raises(OccluposeError, match=r"no cmu/NN/NN_MM\.amc in it"):
        load_motions(tmp_path, tmp_path / "data")
    assert not (tmp_path / "data").exists()
