import json

import numpy as np
import pytest

from occlupose.datasets.formats import humaneva
from occlupose.datasets.formats.humaneva import load_sequences, parse_action, read_cal_file
from occlupose.errors import OccluposeError
from occlupose.skeletons import H36M17, HUMANEVA15, convert
from pose_dataset_files import cameras_json, extrinsics, in_camera, walking, write_humaneva

MOTIONS = {
    "Train/S1": {"Walking 1 chunk0": walking(4)},
    "Validate/S1": {
        "Walking 1 chunk0": walking(5),
        "Walking 1 chunk3": walking(6, 1),
        "ThrowCatch 1 chunk0": walking(4),
    },
    "Validate/S2": {"Jog 1 chunk0": walking(5, 2), "Box 1 chunk1": walking(4, 3)},
    "Validate/S3": {"Gestures 1 chunk0": walking(3)},
}


def refused(match, *arguments, **options):
    with pytest.raises(OccluposeError, match=match) as refusal:
        load_sequences(*arguments, **options)
    assert "\n" not in str(refusal.value) and "; " in str(refusal.value)


@pytest.mark.parametrize(
    ("name", "action"),
    [("Walking 1 chunk0", "Walk"), ("Jog 1 chunk12", "Jog"), ("Box 1", "Box"), ("ThrowCatch 1 chunk3", "ThrowCatch")],
)
def test_motions_count_under_their_action(name, action):
    assert parse_action(name) == action


def test_the_protocol_learns_from_train_and_scores_validate():
    assert humaneva.TRAIN == ("Train/S1", "Train/S2", "Train/S3") and humaneva.VALIDATE == (
        "Validate/S1",
        "Validate/S2",
        "Validate/S3",
    )


def test_every_chunk_is_a_sequence_before_each_colour_camera(tmp_path):
    found = load_sequences(write_humaneva(tmp_path, MOTIONS))
    assert [sequence.name for sequence in found[:4]] == [
        *(f"Validate/S1/Walking 1 chunk0/C{n}" for n in (1, 2, 3)),
        "Validate/S1/Walking 1 chunk3/C1",
    ]
    assert len(found) == 12 and {(sequence.subject, sequence.action) for sequence in found} == {
        ("S1", "Walk"),
        ("S2", "Jog"),
        ("S2", "Box"),
    }
    poses = found[4].poses
    assert (
        poses.skeleton == HUMANEVA15
        and poses.fps == 60
        and len(poses) == 6
        and (poses.camera.width, poses.camera.height) == (640, 480)
    )
    truth = in_camera(convert(MOTIONS["Validate/S1"]["Walking 1 chunk3"], H36M17, HUMANEVA15), 1)
    np.testing.assert_allclose(poses.xyz[:, 0, :14], truth[:, :14], atol=1e-5)
    np.testing.assert_allclose(poses.xy, poses.camera.project(poses.xyz), atol=1e-3)


def test_detections_and_every_nth_frame_and_other_actions(tmp_path):
    folder = write_humaneva(tmp_path, MOTIONS)
    for sequence in load_sequences(folder, detections="gt", every=2):
        np.testing.assert_allclose(sequence.poses.observed.xy, sequence.poses.xy, atol=1e-2)
        assert sequence.poses.fps == 30 and sequence.poses.observed.skeleton == HUMANEVA15
    assert {sequence.action for sequence in load_sequences(folder, actions=("ThrowCatch", "Gestures"))} == {
        "ThrowCatch",
        "Gestures",
    }
    assert [sequence.name for sequence in load_sequences(folder, ("Train/S1",))] == [
        f"Train/S1/Walking 1 chunk0/C{n}" for n in (1, 2, 3)
    ]
    refused("no Box of Train/S1 in it", folder, ("Train/S1",), actions=("Box",))


def test_cameras_are_read_from_the_datasets_calibration_or_from_a_file_of_cameras(tmp_path):
    folder = write_humaneva(tmp_path, MOTIONS)
    view = read_cal_file(folder / "S2" / "Calibration_Data" / "C3.cal")
    np.testing.assert_allclose(view.from_world(extrinsics(2)[1]), 0, atol=1e-9)
    np.testing.assert_allclose(view.from_world(walking()), in_camera(walking(), 2), atol=1e-9)
    assert view.name == "C3" and view.pinhole.fy == 766
    (folder / "cameras.json").write_text(cameras_json(["C1", "C2", "C3", "C4"]))
    found = load_sequences(folder)
    assert len(found) == 16 and found[0].poses.camera.width == 1000
    content = json.loads(cameras_json(["C1"]))
    content["cameras"][0]["subjects"] = ["S1", "S2"]
    (folder / "cameras.json").write_text(json.dumps(content))
    refused("cameras.json: no camera for S3", folder)


def test_numbers_of_a_calibration_are_in_the_order_of_the_dataset(tmp_path):
    turn = [[0, 1, 0], [0, 0, 1], [1, 0, 0]]
    numbers = [700, 710, 320, 240, 0, 0.1, 0.2, 0.3, 0.4, 0.5, *np.ravel(turn), 1000, 2000, 3000]
    (tmp_path / "C1.cal").write_text("\n".join(map(str, numbers)))
    view = read_cal_file(tmp_path / "C1.cal")
    assert (view.pinhole.fx, view.pinhole.fy, view.pinhole.cx, view.pinhole.cy) == (700, 710, 320, 240)
    assert view.distortion.tolist() == [0.1, 0.2, 0.3, 0.4, 0.5]
    np.testing.assert_allclose(view.from_world(np.array([10.0, 20, 30])), (21, 32, 13))


def test_missing_and_damaged_parts_are_refused(tmp_path):
    refused(r"data_3d_humaneva15\.npz: no such file; get HumanEva-I from the HumanEva site", tmp_path)
    folder = write_humaneva(tmp_path, MOTIONS)
    (folder / "S1").rename(folder / "S4")  # the fourth person has cameras, but no public poses
    refused("no Validate/S4 in it, but Train/S1, ", folder, ("Validate/S4",))
    (folder / "S4").rename(folder / "S1")
    refused("no such detections; give ground-truth, gt or a folder", folder, detections="detectron")
    np.savez(
        folder / "data_3d_humaneva15.npz", positions_3d={"Validate/S1": {"Walking 1 chunk0": np.zeros((4, 20, 3))}}
    )
    refused(r"Walking 1 chunk0: of shape \(4, 20, 3\); it must be \(time, 15, 3\)", folder, ("Validate/S1",))
    file = folder / "S1" / "Calibration_Data" / "C2.cal"
    text = file.read_text()
    for damaged, message in (
        (text + "1\n", "23 numbers; it must be 22, without skew"),
        ("", "0 numbers"),
        ("calibration", "not a calibration of HumanEva-I"),
        (text.replace("765", "-765"), "camera: focal lengths -765"),
        (text.replace("240\n0\n", "240\n0.1\n"), "22 numbers, a skew"),
        ("\n".join(["765", "766", "320", "240", *["0"] * 18]), "camera C2: not a rotation"),
    ):
        file.write_text(damaged)
        refused(rf"C2\.cal: {message}", folder, ("Validate/S1",))
    file.unlink()
    refused(r"C2\.cal: no such file; put Calibration_Data of HumanEva-I", folder, ("Validate/S1",))
