import numpy as np
import pytest

from mupots_files import sequence_3dpw
from occlupose.datasets.formats import threedpw
from occlupose.datasets.formats.threedpw import NEAREST, SMPL24, is_take_of, load, to_mpi15
from occlupose.errors import OccluposeError
from occlupose.media import write_image
from occlupose.skeletons import MPI15


def write(folder, name="downtown_stairs_00", **changes):
    content = sequence_3dpw(np.random.default_rng(0)) | changes
    np.savez(folder / f"{name}.npz", **{key: value for key, value in content.items() if value is not None})
    return content


def refused(match, *arguments):
    with pytest.raises(OccluposeError, match=match) as refusal:
        load(*arguments)
    assert "\n" not in str(refusal.value) and "; " in str(refusal.value)


def test_everybody_before_the_moving_camera(tmp_path):
    content = write(tmp_path)
    found = load(tmp_path)
    assert [sample.name for sample in found] == [f"downtown_stairs_00/image_0000{number}.jpg" for number in range(3)]
    for number, sample in enumerate(found):
        for who in range(2):
            for joint, name in enumerate(MPI15.joints):
                world = content["jointPositions"][who, number, SMPL24.index(NEAREST[name])]
                x, y, z, _ = content["cam_poses"][number] @ np.append(world, 1)
                np.testing.assert_allclose(sample.xyz[who, joint], (x, y, z), atol=1e-9)
                np.testing.assert_allclose(sample.xy[who, joint], (1961 * x / z + 540, 1969 * y / z + 960), atol=1e-6)
        assert (sample.camera.width, sample.camera.height) == (1080, 1920) and sample.xyz[..., 2].min() > 4


def test_joints_that_smpl_has_keep_their_names():
    assert {joint for joint in MPI15.joints if NEAREST[joint] != joint} == {"head_top"} and NEAREST[
        "head_top"
    ] == "head"
    numbers = np.arange(24.0)[:, None]
    assert to_mpi15(numbers)[MPI15.index("left_wrist", "right_wrist", "neck", "pelvis"), 0].tolist() == [20, 21, 12, 0]


def test_who_does_not_fit_the_camera_is_left_out(tmp_path):
    write(tmp_path, campose_valid=np.array([[1, 0, 0], [1, 1, 0]], np.uint8))
    assert [len(sample.xyz) for sample in load(tmp_path)] == [2, 1, 0]


def test_optional_arrays(tmp_path):
    write(tmp_path, poses2d=None)
    assert len(load(tmp_path)) == 3
    write(tmp_path, size=np.array([1000, 1900]))
    assert (load(tmp_path)[0].camera.width, load(tmp_path)[0].camera.height) == (1000, 1900)


def test_sequences_by_name_and_by_take(tmp_path):
    for name in ("downtown_stairs_00", "outdoors_golf_00", "outdoors_golf_01", "office_phoneCall_00"):
        write(tmp_path, name)
    asked = {
        name: sorted({sample.sequence for sample in load(tmp_path, [name])})
        for name in ("outdoors_golf", "outdoors_golf_01")
    }
    assert asked == {
        "outdoors_golf": ["outdoors_golf_00", "outdoors_golf_01"],
        "outdoors_golf_01": ["outdoors_golf_01"],
    }
    assert len({sample.sequence for sample in load(tmp_path)}) == 4
    refused("no flat_guitar in it, but downtown_stairs_00, ", tmp_path, ["flat_guitar"])


def test_the_sequences_with_occlusion():
    assert len(threedpw.OCCLUDED) == len(set(threedpw.OCCLUDED)) == 17
    assert is_take_of("courtyard_basketball_01") and is_take_of("flat_guitar_01") and is_take_of("outdoors_slalom_00")
    assert not is_take_of("courtyard_dancing_01") and not is_take_of("downtown_rampAndStairs_00")


@pytest.mark.parametrize("beside", [False, True])
def test_images_are_read_when_asked(tmp_path, beside):
    folder = tmp_path / "npz"
    folder.mkdir()
    write(folder, size=np.array([64, 48]))
    images = (tmp_path if beside else folder) / "imageFiles" / "downtown_stairs_00"
    write_image(images / "image_00000.jpg", np.zeros((48, 64, 3), np.uint8))
    write_image(images / "image_00001.jpg", np.zeros((64, 48, 3), np.uint8))
    first, second, third = load(folder)
    assert first.read().shape == (48, 64, 3)
    with pytest.raises(OccluposeError, match=r"image_00001\.jpg: is 48x64, but 64x48 in its annotations; "):
        second.read()
    with pytest.raises(OccluposeError, match=r"image_00002\.jpg"):
        third.read()


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        *(
            ({name: None}, f"no {name} in it, but ")
            for name in ("jointPositions", "campose_valid", "cam_poses", "cam_intrinsics")
        ),
        ({"jointPositions": np.zeros((2, 3, 72))}, r"jointPositions has shape \(2, 3, 72\) .* \(any, any, 24, 3\)"),
        ({"jointPositions": np.zeros((0, 3, 24, 3))}, "no people or no frames"),
        ({"jointPositions": np.full((2, 3, 24, 3), np.nan)}, "jointPositions has numbers that are not finite"),
        ({"jointPositions": np.full((2, 3, 24, 3), "a")}, "jointPositions has shape"),
        ({"campose_valid": np.ones((2, 4))}, r"campose_valid has shape \(2, 4\)"),
        ({"cam_poses": np.ones((3, 3, 4))}, r"cam_poses has shape \(3, 3, 4\)"),
        ({"cam_poses": np.full((3, 4, 4), 2.0)}, "cam_poses are not rigid"),
        ({"cam_intrinsics": np.ones((3, 3))}, "cam_intrinsics: camera: not an intrinsic matrix"),
        ({"size": np.zeros(2)}, "cam_intrinsics: camera: image size"),
        ({"size": np.zeros(3)}, r"size has shape \(3,\)"),
    ],
)
def test_sequences_that_are_refused(tmp_path, changes, words):
    write(tmp_path, **changes)
    refused(f"downtown_stairs_00.npz: {words}", tmp_path)


def test_files_and_folders_that_are_refused(tmp_path):
    refused("nowhere: no such folder", tmp_path / "nowhere")
    refused("no .npz file in it", tmp_path)
    write(tmp_path)
    file = tmp_path / "downtown_stairs_00.npz"
    whole = file.read_bytes()
    for damaged in (b"", whole[: len(whole) // 2], b"no archive"):
        file.write_bytes(damaged)
        refused("downtown_stairs_00.npz: not a whole .npz", tmp_path)
    np.savez(file, jointPositions=np.array([{"a": 1}], object))
    refused("downtown_stairs_00.npz: not a whole .npz of plain arrays", tmp_path)
    file.unlink()
    file.mkdir()
    refused("downtown_stairs_00.npz: cannot be read", tmp_path)
