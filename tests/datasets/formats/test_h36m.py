import sys

import numpy as np
import pytest

from occlupose.datasets.formats import h36m
from occlupose.datasets.formats.h36m import load_sequences, parse_action, read_cdf, read_metadata
from occlupose.errors import OccluposeError
from occlupose.poses import ABSENT, OCCLUDED, VISIBLE, Poses
from occlupose.skeletons import COCO17, H36M17
from pose_dataset_files import (
    H36M_CAMERAS,
    INTRINSICS,
    KEPT,
    all_joints,
    cameras_json,
    extrinsics,
    h36m_pixels,
    in_camera,
    walking,
    write_cdf,
    write_h36m,
    write_h36m_cdf,
    write_h36m_world_cdf,
    write_metadata,
)

MOTIONS = {
    "S9": {"Walking 1": walking(6, 1), "WalkDog": walking(5, 2)},
    "S11": {"Photo 1": walking(4, 3)},
}


def refused(match, *arguments, **options):
    with pytest.raises(OccluposeError, match=match) as refusal:
        load_sequences(*arguments, **options)
    assert "\n" not in str(refusal.value) and "; " in str(refusal.value)


@pytest.mark.parametrize(
    ("name", "action"),
    [
        ("Walking 1", "Walking"),
        ("Walking", "Walking"),
        ("WalkDog 1", "WalkDog"),
        ("WalkingDog", "WalkDog"),
        ("TakingPhoto 1", "Photo"),
        ("Photo", "Photo"),
        ("SittingDown 2", "SittingDown"),
        ("WalkTogether 1", "WalkTogether"),
        ("WalkingTogether", "WalkTogether"),
    ],
)
def test_motions_count_under_their_action(name, action):
    assert parse_action(name) == action


def test_the_joints_kept_are_those_of_our_skeleton():
    assert [list(KEPT.values())[list(KEPT).index(joint)] for joint in H36M17.joints] == h36m.KEPT


def test_the_subjects_are_those_of_the_protocols():
    assert (h36m.TRAIN, h36m.TEST) == (("S1", "S5", "S6", "S7", "S8"), ("S9", "S11"))


def test_the_cameras_are_in_the_datasets_metadata(tmp_path):
    views = read_metadata(write_metadata(tmp_path / "metadata.xml"), ("S1", "S11"))
    world = walking()
    for number, view in enumerate(views["S11"]):
        assert view.name == H36M_CAMERAS[number]
        np.testing.assert_allclose(view.from_world(world), in_camera(world, number), atol=1e-9)
        np.testing.assert_allclose([view.pinhole.fx, view.pinhole.fy, view.pinhole.cx, view.pinhole.cy], INTRINSICS[:4])
        np.testing.assert_allclose(view.distortion, INTRINSICS[[4, 5, 7, 8, 6]])


def test_each_subject_has_the_numbers_of_its_own_place_in_w0_and_angles_turn_about_x_then_y_then_z(tmp_path):
    w0 = np.arange(300.0) / 100 + 1
    ids = "".join(f"<a>{name}</a>" for name in "wxyz")
    (tmp_path / "m.xml").write_text(
        f"<m><w0>[{' '.join(map(str, w0))}]</w0><dbcameras><index2id>{ids}</index2id></dbcameras></m>"
    )
    for subject in (1, 5, 11):
        for number, view in enumerate(read_metadata(tmp_path / "m.xml", (f"S{subject}",))[f"S{subject}"]):
            x, y, z, *position = w0[6 * (11 * number + subject - 1) :][:6]
            about_x = np.array([[1, 0, 0], [0, np.cos(x), -np.sin(x)], [0, np.sin(x), np.cos(x)]])
            about_y = np.array([[np.cos(y), 0, np.sin(y)], [0, 1, 0], [-np.sin(y), 0, np.cos(y)]])
            about_z = np.array([[np.cos(z), -np.sin(z), 0], [np.sin(z), np.cos(z), 0], [0, 0, 1]])
            np.testing.assert_allclose(view.rotation, about_x @ about_y @ about_z, atol=1e-12)
            np.testing.assert_allclose(view.from_world(np.array(position) / 1000), 0, atol=1e-12)
            assert view.pinhole.fx == w0[264 + 9 * number] and view.distortion[2] == w0[264 + 9 * number + 7]


def test_sequences_are_every_motion_before_every_camera_in_its_frame(tmp_path):
    found = load_sequences(write_h36m(tmp_path, MOTIONS))
    assert [sequence.name for sequence in found[:5]] == [f"S9/Walking 1/{name}" for name in H36M_CAMERAS] + [
        f"S9/WalkDog/{H36M_CAMERAS[0]}"
    ]
    assert {(sequence.subject, sequence.action) for sequence in found} == {
        ("S9", "Walking"),
        ("S9", "WalkDog"),
        ("S11", "Photo"),
    } and len(found) == 12
    sequence = found[2]
    assert sequence.poses.skeleton == H36M17 and sequence.poses.fps == 50 and sequence.poses.observed is None
    np.testing.assert_allclose(sequence.poses.xyz[:, 0], in_camera(MOTIONS["S9"]["Walking 1"], 2), atol=1e-5)
    np.testing.assert_allclose(sequence.poses.xy, sequence.poses.camera.project(sequence.poses.xyz), atol=1e-3)
    assert (sequence.poses.state == VISIBLE).all() and (sequence.poses.camera.width, sequence.poses.camera.height) == (
        1000,
        1002,
    )


def test_detections_lose_their_distortion_and_their_surplus_frames(tmp_path):
    folder = write_h36m(tmp_path, MOTIONS)
    for sequence in load_sequences(folder, ("S9",), detections="exact"):
        assert sequence.poses.observed.skeleton == H36M17
        assert np.abs(sequence.poses.observed.xy - sequence.poses.xy).max() < 0.3
    file = folder / "data_2d_h36m_coco.npz"
    longer = {
        "S9": {
            name: [np.full((len(xyz) + 2, 17, 2), 400.0 + camera) for camera in range(4)]
            for name, xyz in MOTIONS["S9"].items()
        }
    }
    longer["S9"]["Walking 1"][0][3, 5] = np.nan
    np.savez_compressed(file, positions_2d=longer, metadata={"layout_name": "coco", "num_joints": 17})
    observed = load_sequences(folder, ("S9",), detections="coco")[0].poses.observed
    assert len(observed) == 6 and observed.skeleton == COCO17
    assert observed.state[3, 0, 5] == ABSENT and (np.delete(observed.state.ravel(), 3 * 17 + 5) == VISIBLE).all()


def test_detections_may_be_poses_files_with_states_of_their_own(tmp_path):
    folder = write_h36m(tmp_path / "data", {"S9": {"Walking 1": MOTIONS["S9"]["Walking 1"]}})
    mine = tmp_path / "mine"
    for number, name in enumerate(H36M_CAMERAS):
        xy = h36m_pixels(in_camera(MOTIONS["S9"]["Walking 1"], number))
        state = np.full(xy.shape[:2], VISIBLE)
        state[2, 4] = OCCLUDED
        (mine / "S9" / "Walking 1").mkdir(parents=True, exist_ok=True)
        np.savez(
            mine / "S9" / "Walking 1" / f"{name}.npz",
            xy=xy,
            state=state,
            spread=np.arange(17.0) * np.ones((len(xy), 1)),
            skeleton="h36m17",
            fps=25.0,
            width=1000,
            height=1000,
        )
    found = load_sequences(folder, ("S9",), detections=str(mine), every=2)
    for sequence in found:
        assert (
            sequence.poses.observed.state[1, 0, 4] == OCCLUDED and (sequence.poses.observed.state != VISIBLE).sum() == 1
        )
        assert np.abs(sequence.poses.observed.xy - sequence.poses.xy).max() < 0.3 and sequence.poses.observed.fps == 25
        assert (sequence.poses.observed.spread == np.arange(17)).all()
    file = mine / "S9" / "Walking 1" / f"{H36M_CAMERAS[1]}.npz"
    two = Poses.load(file)
    np.savez(file, xy=np.repeat(two.xy, 2, 1), skeleton="h36m17", fps=50.0)
    refused("55011271.npz: 2 people in it", folder, ("S9",), detections=str(mine))
    np.savez(file, xy=two.xy[:3], skeleton="h36m17", fps=50.0)
    refused("55011271.npz: S9/Walking 1/55011271 has 3 frames; the motion has 6", folder, ("S9",), detections=str(mine))
    file.unlink()
    refused(
        "55011271.npz: no such file; the folder needs one of 2D poses for every sequence",
        folder,
        ("S9",),
        detections=str(mine),
    )


def test_every_nth_frame(tmp_path):
    folder = write_h36m(tmp_path, MOTIONS)
    whole = load_sequences(folder, ("S9",), detections="exact")[0].poses
    thin = load_sequences(folder, ("S9",), detections="exact", every=3)[0].poses
    assert len(thin) == 2 and thin.fps == pytest.approx(50 / 3) and thin.observed.fps == thin.fps
    np.testing.assert_array_equal(thin.xyz, whole.xyz[::3])
    np.testing.assert_array_equal(thin.observed.xy, whole.observed.xy[::3])
    np.testing.assert_allclose(thin.time, whole.time[::3])


def test_the_datasets_own_files_give_the_same(tmp_path):
    otherwise = {"S9": {"Walking 1": MOTIONS["S9"]["Walking 1"], "WalkingDog": MOTIONS["S9"]["WalkDog"]}}
    otherwise |= {"S11": {"TakingPhoto 1": MOTIONS["S11"]["Photo 1"]}}  # two actions are spelt in two ways
    converted = load_sequences(write_h36m(tmp_path / "a", MOTIONS))
    own = load_sequences(write_h36m_cdf(tmp_path / "b", otherwise))
    assert {sequence.name for sequence in own} == {sequence.name for sequence in converted}
    for sequence in own:
        converted_sequence = next(other for other in converted if other.name == sequence.name)
        assert (sequence.subject, sequence.action) == (converted_sequence.subject, converted_sequence.action)
        np.testing.assert_allclose(sequence.poses.xyz, converted_sequence.poses.xyz, atol=1e-5)
        assert (
            np.abs(sequence.poses.xy - converted_sequence.poses.xy).max() < 0.3
        )  # from D2_Positions, without their distortion
    projected = load_sequences(write_h36m_cdf(tmp_path / "c", MOTIONS, flat=False))
    np.testing.assert_allclose(
        projected[0].poses.xy, projected[0].poses.camera.project(projected[0].poses.xyz), atol=1e-3
    )


def test_the_datasets_own_files_in_the_world_give_the_same(tmp_path):
    otherwise = {"S9": {"Walking 1": MOTIONS["S9"]["Walking 1"], "WalkingDog": MOTIONS["S9"]["WalkDog"]}}
    converted = load_sequences(write_h36m(tmp_path / "a", {"S9": MOTIONS["S9"]}), ("S9",))
    own = load_sequences(write_h36m_world_cdf(tmp_path / "b", otherwise), ("S9",))
    assert sorted(sequence.name for sequence in own) == sorted(sequence.name for sequence in converted)
    for sequence in own:
        converted_sequence = next(other for other in converted if other.name == sequence.name)
        assert (sequence.subject, sequence.action) == (converted_sequence.subject, converted_sequence.action)
        np.testing.assert_allclose(sequence.poses.xyz, converted_sequence.poses.xyz, atol=1e-5)
        np.testing.assert_allclose(sequence.poses.xy, converted_sequence.poses.xy, atol=0.01)


@pytest.mark.parametrize("layout", [write_h36m_cdf, write_h36m_world_cdf])
def test_a_damaged_video_and_sums_of_all_are_left_out(tmp_path, layout):
    folder = layout(
        tmp_path,
        {"S11": {"Directions": walking(3), "Directions 1": walking(3), "_ALL": walking(3)}},
    )
    assert {sequence.name.split("/")[1] for sequence in load_sequences(folder, ("S11",))} == {"Directions 1"}


def test_only_some_actions(tmp_path):
    folder = write_h36m(tmp_path, MOTIONS)
    assert {sequence.action for sequence in load_sequences(folder, ("S9",), actions=("WalkDog",))} == {"WalkDog"}
    refused("no Boxing of S9 in it", folder, ("S9",), actions=("Boxing",))


def test_a_file_of_cameras_replaces_the_metadata(tmp_path):
    folder = write_h36m(tmp_path, MOTIONS)
    expected = load_sequences(folder)
    (folder / "metadata.xml").unlink()
    refused(r"metadata\.xml: no such file; it is in the code release .* of the Human3\.6M site", folder)
    (folder / "cameras.json").write_text(cameras_json(list(H36M_CAMERAS)))
    for sequence, converted_sequence in zip(load_sequences(folder), expected, strict=True):
        np.testing.assert_allclose(sequence.poses.xyz, converted_sequence.poses.xyz, atol=1e-5)
        assert sequence.name == converted_sequence.name


def test_an_empty_folder_is_refused_with_what_to_download(tmp_path):
    write_metadata(tmp_path / "metadata.xml")
    refused(
        r"D3_Positions_mono: no poses of S9 there and no data_3d_h36m\.npz in .*; download 'Poses, D3 Positions mono'"
        r" of S9 from the",
        tmp_path,
    )
    folder = write_h36m_cdf(tmp_path / "part", {"S9": MOTIONS["S9"]})
    refused("no poses of S11 there", folder)


def test_other_parts_of_the_dataset_are_refused(tmp_path):
    folder = write_h36m(tmp_path, {"S9": MOTIONS["S9"]})
    refused("data_3d_h36m.npz: no S11 in it, but S9; give these", folder)
    refused("S12: not a subject of Human3.6M; they are S1, ", folder, ("S12",))
    refused(
        "data_2d_h36m_cpn.npz: no such detections; give ground-truth, exact or a folder",
        folder,
        ("S9",),
        detections="cpn",
    )
    positions = {"S9": {"Walking 1": [np.zeros((6, 17, 2))] * 3}}

    def detections(**content):
        np.savez(
            folder / "data_2d_h36m_bad.npz",
            **({"positions_2d": positions, "metadata": {"layout_name": "h36m"}} | content),
        )

    detections()
    refused("nothing for S9/Walking 1/60457274; it is of another part", folder, ("S9",), detections="bad")
    detections(positions_2d={"S9": {"Walking 1": [np.zeros((5, 17, 2))] * 4}})
    refused("S9/Walking 1/54138969 has 5 frames; the motion has 6", folder, ("S9",), detections="bad")
    detections(positions_2d={"S9": {"Walking 1": [np.zeros((6, 16, 2))] * 4}})
    refused(
        r"S9/Walking 1/54138969: of shape \(6, 16, 2\); it must be \(time, 17, 2\) numbers",
        folder,
        ("S9",),
        detections="bad",
    )
    detections(positions_2d={"S9": {"Walking 1": ["a"] * 4}})
    refused("S9/Walking 1/54138969: no array", folder, ("S9",), detections="bad")
    detections(positions_2d={"S9": [1]})
    refused("positions_2d: not dictionaries by subject and action", folder, ("S9",), detections="bad")
    detections(positions_2d=np.zeros(3))
    refused("positions_2d: not dictionaries by subject and action", folder, ("S9",), detections="bad")
    detections(metadata={"layout_name": "mpii"})
    refused("joints in the layout mpii; known are h36m, coco", folder, ("S9",), detections="bad")
    detections(metadata=np.zeros(3))
    refused("joints in the layout None", folder, ("S9",), detections="bad")


@pytest.mark.parametrize(
    ("positions", "message"),
    [
        ({"S9": {"Walking": np.zeros((5, 17, 3))}}, r"S9, Walking: of shape \(5, 17, 3\); it must be \(time, 32, 3\)"),
        ({"S9": {"Walking": np.zeros((0, 32, 3))}}, r"S9, Walking: of shape \(0, 32, 3\)"),
        ({"S9": {"Walking": "gone"}}, "S9, Walking: no array"),
        ({"S9": 3}, "positions_3d: not dictionaries"),
        (np.zeros((3, 3)), "positions_3d: not dictionaries"),
    ],
)
def test_positions_of_another_form_are_refused(tmp_path, positions, message):
    folder = write_h36m(tmp_path, {"S9": MOTIONS["S9"]})
    np.savez(folder / "data_3d_h36m.npz", positions_3d=positions)
    refused(message, folder, ("S9",))


@pytest.mark.parametrize("text", ["", "music", "<a/>", "<a><w0>[1 2]</w0></a>", "<a><w0>[one]</w0></a>"])
def test_other_metadata_is_refused(tmp_path, text):
    (tmp_path / "metadata.xml").write_text(text)
    refused(
        r"metadata\.xml: (not Human3\.6M's metadata; take it|[02] numbers in w0 and 0 cameras; Human3\.6M's has 300"
        r" and 4)",
        tmp_path,
    )
    refused("299 numbers in w0 and 4 cameras", write_metadata(tmp_path / "metadata.xml", 299).parent)


def test_metadata_with_cameras_that_cannot_be_is_refused(tmp_path):
    path = write_metadata(tmp_path / "metadata.xml")
    path.write_text(path.read_text().replace("1145", "-1145"))
    refused(r"metadata\.xml: camera: focal lengths -1145\.0", tmp_path)


def test_damaged_and_other_cdf_files_are_refused(tmp_path):
    folder = write_h36m_cdf(tmp_path, {"S9": {"Walking 1": walking(3)}})
    home = folder / "S9" / "MyPoseFeatures"
    file = home / "D3_Positions_mono" / f"Walking 1.{H36M_CAMERAS[0]}.cdf"
    flat = home / "D2_Positions" / f"Walking 1.{H36M_CAMERAS[0]}.cdf"
    whole = file.read_bytes()
    for damaged in (b"", b"hello", whole[:300], whole[:1000]):
        file.write_bytes(damaged)
        refused(r"54138969\.cdf: not a whole \.cdf file of poses; unpack it again", folder, ("S9",))
    file.write_bytes(flat.read_bytes())
    refused(r"54138969\.cdf: poses of shape \(1, 3, 64\); they must be \(1, time, 96\)", folder, ("S9",))
    file.write_bytes(whole)
    write_cdf(flat, all_joints(h36m_pixels(in_camera(walking(2), 0))))
    refused("54138969.cdf: 2 frames; the 3D poses have 3", folder, ("S9",))
    flat.unlink()
    file.rename(tmp_path / "elsewhere.cdf")
    refused(r"D3_Positions_mono: no Walking 1\.54138969\.cdf; unpack the whole archive of S9 there", folder, ("S9",))
    (tmp_path / "elsewhere.cdf").rename(file.with_name("Walking 1.1234.cdf"))
    refused(r"Walking 1\.1234\.cdf: of an unknown camera; the cameras of S9 are 54138969", folder, ("S9",))


def test_without_cdflib_one_line_names_the_extra(tmp_path, monkeypatch):
    path = write_cdf(tmp_path / "a.cdf", all_joints(walking(2)))
    monkeypatch.setitem(sys.modules, "cdflib", None)
    with pytest.raises(OccluposeError, match=r"a\.cdf: needs cdflib; pip install '\.\[h36m\]' in the clone$"):
        read_cdf(path, 3)


def test_a_camera_looks_at_the_middle():
    for number in range(4):
        rotation, _ = extrinsics(number)
        np.testing.assert_allclose(rotation @ rotation.T, np.eye(3), atol=1e-12)
        x, y, z = in_camera(np.array([0, 0, 1.0]), number)
        assert abs(x) < 1e-9 and abs(y) < 1e-9 and z > 4.9
        assert in_camera(np.array([0, 0, 2.0]), number)[1] < 0  # up is up
