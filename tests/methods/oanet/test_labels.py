from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from mocap_files import write_mocap
from occlupose.cameras import Camera
from occlupose.datasets.formats.cmu import load_clips
from occlupose.datasets.sequence import PoseSequence
from occlupose.errors import OccluposeError
from occlupose.methods.oanet.labels import (
    DISTANCE,
    FILLED,
    FRONT,
    IMAGE_SIZE,
    MIN_DEPTH,
    CameraSetup,
    clip_to_sequence,
    find_files,
    label_views,
    read_sequences,
    view_from,
    write_labels,
)
from occlupose.occlusion.cylinders import PAPER, self_occluded
from occlupose.occlusion.labels import label_poses
from occlupose.poses import Poses
from occlupose.skeletons import BODY22, COCO17, H36M17, MUPOTS17
from occlupose.synth.virtual_cameras import level_rotations, paper_rotations
from pose_records import uncertain
from walking_people import behind_the_back, circle, make_poses, stand

LENS = Camera.from_fov(640, 480, 50)
WRIST = H36M17.joints.index("left_wrist")


def parallel_scale(poses):
    """Pixels a metre of parallel projection, along x and y."""
    known = np.isfinite(poses.xyz).all(-1)
    return [
        np.polyfit(poses.xyz[known][:, axis].astype(float), poses.xy[known][:, axis].astype(float), 1)[0]
        for axis in (0, 1)
    ]


def shape_of(xyz):
    """All distances between joints, which no camera changes."""
    return np.linalg.norm(xyz[:, :, :, None] - xyz[:, :, None], axis=-1)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32 - 1), st.floats(1, 12), st.booleans())
def test_a_virtual_camera_sees_the_same_bodies_all_in_its_image(seed, distance, perspective):
    poses = make_poses(circle(), stand(1, 4, 100)).select(time=slice(None, None, 20))
    generator = torch.Generator().manual_seed(seed)
    rotation = (level_rotations if perspective else paper_rotations)(generator, 1)[0].double().numpy()
    seen = view_from(poses, rotation, distance, LENS, perspective=perspective)
    np.testing.assert_allclose(shape_of(seen.xyz), shape_of(poses.xyz), atol=1e-4)
    assert (seen.state == 2).all() and (seen.score == 1).all()
    middle = np.array([(LENS.width - 1) / 2, (LENS.height - 1) / 2])
    reach = np.abs(seen.xy - middle).max((0, 1, 2)) / (LENS.width / 2, LENS.height / 2)
    assert reach.max() <= FILLED + 1e-3
    assert seen.xyz[..., 2].min() >= MIN_DEPTH - 1e-3
    if perspective:
        np.testing.assert_allclose(seen.xy, LENS.project(seen.xyz), atol=1e-2)
        assert seen.xyz.reshape(-1, 3)[:, 2].mean() >= distance - 1e-3
        assert seen.camera == LENS
    else:
        assert reach.max() == pytest.approx(FILLED, abs=1e-3)
        across, down = parallel_scale(seen)
        assert across == pytest.approx(down, rel=1e-3)
        assert seen.camera is None


def test_a_camera_in_front_and_one_behind():
    poses = make_poses(stand(0, 4, 2))  # walks away from its camera: shows its back
    again = view_from(poses, FRONT, 4.0, LENS)
    turned = view_from(poses, FRONT @ Rotation.from_euler("y", 180, degrees=True).as_matrix(), 4.0, LENS)
    left, right = H36M17.index("left_wrist", "right_wrist")
    assert again.xyz[0, 0, left, 0] < again.xyz[0, 0, right, 0]
    assert turned.xyz[0, 0, left, 0] > turned.xyz[0, 0, right, 0]
    for seen in (again, turned):  # upright
        assert seen.xyz[0, 0, H36M17.joints.index("head_top"), 1] < seen.xyz[0, 0, H36M17.joints.index("pelvis"), 1]
    np.testing.assert_allclose(again.xyz - again.xyz[:, :, :1], poses.xyz - poses.xyz[:, :, :1], atol=1e-5)


def test_what_is_uncertain_in_one_camera_is_not_known_in_another():
    seen = view_from(uncertain(make_poses(stand(0, 4, 2))), FRONT, 4.0, LENS)
    assert seen.spread is seen.covariance is seen.root_covariance is None


def test_missing_joints_stay_missing_in_a_virtual_camera():
    poses = behind_the_back()
    xyz = poses.xyz.copy()
    xyz[0, 0, WRIST] = np.nan
    seen = view_from(replace(poses, xyz=xyz), FRONT, 3.0, LENS)
    assert seen.state[:, 0, WRIST].tolist() == [0, 2, 2]
    nobody = replace(
        poses, xyz=np.full_like(xyz, np.nan), xy=np.full_like(poses.xy, np.nan), state=np.zeros_like(poses.state)
    )
    assert not view_from(nobody, FRONT, 3.0, LENS).state.any()
    assert not view_from(nobody, FRONT, 3.0, LENS, perspective=False).state.any()


def test_the_datas_own_camera_gives_one_view_and_virtual_ones_as_many_as_asked_for():
    sequence = PoseSequence("S1/Walking", "S1", "Walking", make_poses(circle()))
    ((name, poses),) = label_views(sequence, CameraSetup())
    assert name == "S1/Walking"
    assert poses == label_poses(sequence.poses)
    views = list(label_views(sequence, CameraSetup(views=3, camera=LENS)))
    assert [name for name, _ in views] == ["S1/Walking/view000", "S1/Walking/view001", "S1/Walking/view002"]
    for _, seen in views:
        assert seen == label_poses(seen)
        assert (seen.state == 1).any() and (seen.state == 2).any()
    assert not np.allclose(views[0][1].xyz, views[1][1].xyz)


def test_the_papers_hundred_views():
    sequence = PoseSequence("a", "", "", make_poses(stand(0, 4, 1)))
    views = [poses for _, poses in label_views(sequence, CameraSetup(views=100, perspective=False, rules=PAPER))]
    up = sequence.poses.skeleton.index("pelvis", "thorax")
    tilts = []
    for seen in views:
        torso = seen.xyz[0, 0, up[1]] - seen.xyz[0, 0, up[0]]
        tilts.append(np.degrees(np.arccos(-torso[1] / np.linalg.norm(torso))))
        assert (
            seen.state[0, 0]
            == np.where(self_occluded(torch.from_numpy(seen.xyz[0, 0]), H36M17, perspective=False, rules=PAPER), 1, 2)
        ).all()
    # 0.02 pi and 0.2 pi about both axes: acos(cos^2) is 5.1 and 49.1 degrees
    assert min(tilts) < 8 and 48 < max(tilts) < 51.2


def test_the_seed_and_the_name_decide_the_views():
    sequence = PoseSequence("a", "", "", make_poses(stand(0, 4, 2)))

    def first(sequence, seed):
        return next(label_views(sequence, CameraSetup(views=2, seed=seed)))[1]

    assert first(sequence, 3) == first(sequence, 3)
    assert first(sequence, 3) != first(sequence, 4)
    assert first(sequence, 3) != first(replace(sequence, name="b"), 3)


@pytest.mark.parametrize("views", [0, 2])
def test_poses_without_3d_or_without_what_is_needed_are_refused_by_name(views):
    flat = replace(make_poses(stand(0, 4, 1)), xyz=None)
    with pytest.raises(OccluposeError, match="flat: holds 2D poses, without xyz; lift them first"):
        list(label_views(PoseSequence("flat", "", "", flat), CameraSetup(views=views)))
    coco = make_poses(stand(0, 4, 1)).to(COCO17)
    with pytest.raises(OccluposeError, match="coco: skeleton coco17: no thorax or neck"):
        list(label_views(PoseSequence("coco", "", "", coco), CameraSetup(views=views)))


def test_impossible_appearances_are_refused():
    with pytest.raises(OccluposeError, match=r"views: -1; "):
        CameraSetup(views=-1)
    beside = Camera(640, 480, 500, 500, 700, 240)
    with pytest.raises(OccluposeError, match="principal point lies outside"):
        CameraSetup(camera=beside)
    CameraSetup(camera=beside, perspective=False)


def test_written_labels_are_poses(tmp_path):
    sequences = [PoseSequence("a", "", "", make_poses(circle())), PoseSequence("S1/b", "", "", behind_the_back())]
    written = dict(write_labels(sequences, tmp_path / "out", CameraSetup()))
    assert list(written) == [tmp_path / "out" / "a.npz", tmp_path / "out" / "S1" / "b.npz"]
    for path, poses in written.items():
        assert Poses.load(path) == poses
    assert written[tmp_path / "out" / "a.npz"] == label_poses(make_poses(circle()))


def test_another_skeleton_is_labelled_in_its_own_and_then_converted(tmp_path):
    ((_, poses),) = write_labels(
        [PoseSequence("a", "", "", behind_the_back())], tmp_path, CameraSetup(), skeleton=MUPOTS17
    )
    assert poses == label_poses(behind_the_back()).to(MUPOTS17)
    assert poses.state[0, 0, MUPOTS17.joints.index("left_wrist")] == 1
    ((_, coco),) = write_labels(
        [PoseSequence("b", "", "", behind_the_back())], tmp_path, CameraSetup(), skeleton=COCO17
    )
    assert coco.state[0, 0, COCO17.joints.index("left_wrist")] == 1


def test_inputs_and_other_labels_are_not_overwritten(tmp_path):
    make_poses(circle()).save(tmp_path / "a.npz")
    before = (tmp_path / "a.npz").read_bytes()
    sequences = list(read_sequences([tmp_path / "a.npz"]))
    with pytest.raises(OccluposeError, match=r"a\.npz: not overwritten; it is an input"):
        list(write_labels(sequences, tmp_path, CameraSetup(), inputs=[tmp_path / "a.npz"]))
    assert (tmp_path / "a.npz").read_bytes() == before
    with pytest.raises(OccluposeError, match="another input has the same name"):
        list(write_labels(sequences * 2, tmp_path / "out", CameraSetup()))
    assert dict(write_labels(sequences, tmp_path / "out", CameraSetup(seed=1)))  # labels of before are


@pytest.mark.parametrize("name", ["../escaped/Walking", "S9/../../escaped/Walking", "/tmp/escaped/Walking"])
def test_names_do_not_lead_out_of_the_folder(tmp_path, name):
    with pytest.raises(OccluposeError, match=rf"^{name}: would be written outside of .*out; rename it"):
        list(write_labels([PoseSequence(name, "", "", behind_the_back())], tmp_path / "out", CameraSetup()))
    assert list(tmp_path.iterdir()) == []


def test_motion_capture_is_found_below_folders(tmp_path):
    mocap = write_mocap(tmp_path / "mocap", {"07": 2, "35": 1}, frames=70)
    make_poses(circle()).save(tmp_path / "a.json")
    files = find_files([tmp_path / "a.json", mocap], CameraSetup(views=1))
    assert [path.name for path in files] == ["a.json", "07_01.amc", "07_02.amc", "35_01.amc"]
    sequences = list(read_sequences(files))
    assert [(sequence.name, sequence.subject) for sequence in sequences] == [
        ("a", ""),
        ("07_01", "07"),
        ("07_02", "07"),
        ("35_01", "35"),
    ]
    assert sequences[0].poses == make_poses(circle())
    with pytest.raises(OccluposeError, match=r"07_01\.amc: motion capture has no camera of its own; give --views"):
        find_files([mocap], CameraSetup())


def test_motion_capture_becomes_a_take_of_its_front(tmp_path):
    (clip,) = load_clips(write_mocap(tmp_path, {"07": 1}, frames=70))
    sequence = clip_to_sequence(clip)
    assert (sequence.poses.skeleton, sequence.poses.fps, len(sequence.poses)) == (BODY22, 120.0, 70)
    np.testing.assert_allclose(np.diff(sequence.poses.time), 1 / 120)
    relative = sequence.poses.xyz[:, 0] - sequence.poses.xyz[:, 0, :1]
    np.testing.assert_allclose(relative * (1, -1, -1), clip.joints - clip.joints[:, :1], atol=1e-5)
    assert (sequence.poses.width, sequence.poses.height) == (IMAGE_SIZE, IMAGE_SIZE)


def test_motion_capture_is_written_in_h36m17_with_labels_that_know_the_face(tmp_path):
    mocap = write_mocap(tmp_path / "mocap", {"07": 1}, frames=70)
    setup = CameraSetup(views=2, seed=5)
    written = list(write_labels(read_sequences(find_files([mocap], setup)), tmp_path / "out", setup))
    (sequence,) = read_sequences(find_files([mocap], setup))
    for (path, poses), (name, whole) in zip(written, label_views(sequence, setup), strict=True):
        assert path == tmp_path / "out" / f"{name}.npz"
        assert poses == whole.to(H36M17)
        assert whole.xyz[..., 2].mean() >= DISTANCE[0]


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda folder: folder / "none.npz", "no such file"),
        (lambda folder: folder / "none.amc", "no such file"),
        (lambda folder: folder / "video.mp4", "cannot be labelled; give poses"),
        (lambda folder: folder, "no .amc motion capture in it"),
    ],
)
def test_inputs_that_are_none_are_refused(tmp_path, make, words):
    (tmp_path / "video.mp4").write_bytes(b"")
    with pytest.raises(OccluposeError, match=words):
        find_files([make(tmp_path)], CameraSetup(views=1))


@pytest.mark.parametrize(
    ("poses", "words"),
    [
        (replace(make_poses(stand(0, 4, 1)), xyz=None), "holds 2D poses"),
        (make_poses(stand(0, 4, 1)).to(COCO17), "skeleton coco17: no thorax or neck"),
    ],
)
def test_poses_that_cannot_be_labelled_are_refused_by_file(tmp_path, poses, words):
    poses.save(tmp_path / "bad.npz")
    with pytest.raises(OccluposeError, match=rf"bad\.npz: {words}"):
        list(read_sequences([tmp_path / "bad.npz"]))


def test_no_inputs_are_refused():
    with pytest.raises(OccluposeError, match="nothing to label"):
        find_files([], CameraSetup())


def test_motion_capture_without_its_skeleton_is_refused(tmp_path):
    mocap = write_mocap(tmp_path, {"07": 1}, frames=5)
    (mocap / "cmu" / "07" / "07.asf").unlink()
    with pytest.raises(OccluposeError, match=r"07\.asf: no such file"):
        list(read_sequences(find_files([mocap], CameraSetup(views=1))))
