"""From a file of any format to a record: what is assumed, said and refused."""

import gzip
import warnings
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import occlupose
from foreign_files import FPS, SIZE, assert_lifts_as_ours, json_file, openpose_folder, openpose_people, walkers
from occlupose import Poses, formats
from occlupose.errors import OccluposeError
from occlupose.skeletons import BODY25, COCO17, H36M17
from pose_records import record, records


def saved(path, array):
    np.save(path, array)
    return path.with_suffix(".npy")


def test_what_the_file_does_not_say_is_assumed_and_said_in_one_line(tmp_path):
    path = saved(tmp_path / "a", walkers())
    read = formats.read(path, skeleton="coco17")
    assert (read.poses.fps, read.poses.width, read.poses.height) == (30, 1014, 711)
    said = "30 frames per second and images of 1014 x 711 are assumed; give fps and size if that is wrong"
    assert read.notes == [f"{path}: {said}"]
    assert formats.read(path, skeleton="coco17", fps=25).notes == [f"{path}: {said[25:].replace('fps and ', '')}"]
    assert formats.read(path, skeleton=COCO17, fps=25, size=SIZE).notes == []


def test_poses_read_warns(tmp_path):
    path = saved(tmp_path / "a", walkers())
    with pytest.warns(UserWarning, match="are assumed") as caught:
        poses = Poses.read(path, 25.0, skeleton="coco17")
    assert len(caught) == 1 and caught[0].filename == __file__ and poses.fps == 25
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert Poses.read(path, fps=25, size=SIZE, skeleton="coco17").xy.shape == (30, 2, 17, 2)


@pytest.mark.parametrize("suffix", [".npz", ".json"])
def test_our_own_files_are_read_as_by_load(tmp_path, suffix):
    for number, poses in enumerate([record(), record(lifted=False, observed=None, camera=False, skeleton=COCO17)]):
        path = tmp_path / f"{number}{suffix}"
        poses.save(path)
        read = formats.read(path)
        assert (read.poses, read.tool, read.notes) == (poses, formats.OURS, [])


@given(records(two_d=True))
def test_every_record_of_ours_is_read_again(tmp_path_factory, poses):
    path = tmp_path_factory.mktemp("records") / "poses.npz"
    poses.save(path)
    assert formats.read(path).poses == poses


def test_what_the_user_says_of_our_own_file(tmp_path):
    poses = record(lifted=False, camera=False, skeleton=COCO17)
    poses.save(tmp_path / "a.npz")
    said = formats.read(tmp_path / "a.npz", fps=50, size=(800, 600)).poses
    assert (said.fps, said.width, said.height) == (50, 800, 600) and said.observed.fps == 50
    np.testing.assert_allclose(said.time, poses.time / 2)
    assert formats.read(tmp_path / "a.npz", skeleton="h36m17").poses.skeleton == H36M17
    record().save(tmp_path / "b.npz")
    for options, words in [
        ({"size": (800, 600)}, "camera"),
        ({"fps": 1e6}, "fps: is 1000000.0; it must be"),
        ({"skeleton": "body25"}, "has 22 joints, body25 has 25; give"),
    ]:
        with pytest.raises(OccluposeError, match=rf"b.npz: {words}"):
            formats.read(tmp_path / "b.npz", **options)


def test_a_file_made_by_hand(tmp_path):
    people = [{"track_id": 4, "frames": [{"frame": 0, "xy": walkers()[0, 0].tolist()}]}]
    path = json_file(tmp_path / "a.json", {"people": people, "per_joint": ["xy"], "fps": 25, "skeleton": "coco17"})
    assert formats.read(path).poses == Poses.load(path)
    np.savez(tmp_path / "b.npz", zeros=np.zeros((999, 999)), xy=walkers(), skeleton="coco17", fps=25)
    with pytest.raises(OccluposeError, match=r"b.npz: zeros: is not known"):
        formats.read(tmp_path / "b.npz")


def test_the_suffix_does_not_matter(tmp_path):
    path = json_file(tmp_path / "walk.txt", openpose_people(walkers(BODY25)[0]))
    assert formats.read(path).poses.skeleton == BODY25
    path.rename(tmp_path / "walk")
    assert formats.read(str(tmp_path / "walk")).tool == "OpenPose"


@pytest.mark.parametrize("people", [1, 2])
@pytest.mark.parametrize("numbers", [2, 3])
def test_arrays_lift_as_ours(tmp_path, people, numbers):
    xy = walkers()[:, :people]
    xy[3:6, 0, 9] = np.nan
    array = xy if numbers == 2 else np.concatenate([xy, np.full((*xy.shape[:-1], 1), 0.9)], -1)
    array = array[:, 0] if people == 1 else array
    read = formats.from_array(array, skeleton="coco17", fps=FPS, size=SIZE)
    assert_lifts_as_ours(read, xy, COCO17, tmp_path, score=1 if numbers == 2 else 0.9)
    lifted = occlupose.lift(array, skeleton="coco17", fps=FPS, size=SIZE)
    assert lifted == occlupose.lift(read.poses)
    file = formats.read(saved(tmp_path / "a", array.astype(np.float32)), skeleton=COCO17, fps=FPS, size=SIZE)
    np.testing.assert_allclose(file.poses.xy, read.poses.xy, rtol=1e-6)


def test_the_size_of_an_array_is_the_cameras():
    camera = occlupose.Camera.from_fov(*SIZE, 60)
    lifted = occlupose.lift(walkers(), skeleton="coco17", fps=25, camera=camera)
    assert (lifted.width, lifted.height) == SIZE and lifted.camera == camera
    with pytest.warns(UserWarning, match=r"^array: 30 frames per second and images of \d+ x \d+ are assumed"):
        occlupose.lift(walkers(), skeleton="coco17")


def test_an_arrays_options_are_for_arrays():
    with pytest.raises(
        OccluposeError, match=r"^skeleton, fps, size: are those of the poses; give them for an array only$"
    ):
        occlupose.lift(record(lifted=False), fps=25)


@pytest.mark.parametrize(
    ("array", "options", "words"),
    [
        (np.zeros((4, 17)), {}, r"float64 of shape \(4, 17\); it must be numbers, \(time, joint, 2 or 3\)"),
        (np.zeros((4, 17, 4)), {}, r"float64 of shape \(4, 17, 4\)"),
        (np.full((4, 17, 2), "a"), {}, "<U1 of shape"),
        (np.full((4, 17, 2), None), {}, "object of shape"),
        (np.full((4, 19, 2), 50.0), {}, "does not name its 19 joints; give the skeleton"),
        (np.full((4, 19, 2), 50.0), {"skeleton": "coco17"}, "has 19 joints, coco17 has 17; give"),
        (np.full((4, 17, 2), 50.0), {"skeleton": "centaur"}, "centaur: not a known skeleton"),
        (np.full((4, 17, 2), 0.5), {"skeleton": "coco17"}, "x and y lie in 0..1; give pixels: x times the width"),
        (np.full((4, 17, 2), np.nan), {"skeleton": "coco17"}, "nobody is in it"),
        (np.zeros((0, 17, 2)), {"skeleton": "coco17"}, "nobody is in it"),
        (np.full((4, 17, 2), 2e6), {"skeleton": "coco17"}, r"a joint is at 2e\+06 px; give pixels, and NaN"),
        (np.full((4, 17, 2), np.inf), {"skeleton": "coco17"}, "a joint is at inf px"),
        (
            np.full((4, 17, 2), 50.0),
            {"skeleton": "coco17", "fps": 1e6},
            "fps: is 1000000.0; it must be a positive",
        ),
        (np.full((4, 17, 2), 50.0), {"skeleton": "coco17", "fps": 0}, "fps: is 0; it must"),
        (np.full((4, 17, 2), 50.0), {"skeleton": "coco17", "fps": 1e-300}, "fps: is 1e-300; it must"),
        (np.full((4, 17, 2), 50.0), {"skeleton": "coco17", "fps": np.nan}, "fps: is nan; it must"),
        (np.full((4, 17, 2), 50.0), {"skeleton": "coco17", "size": (0, 5)}, "size is 0 x 5; it must be width and"),
        (np.full((4, 17, 2), 50.0), {"skeleton": "coco17", "size": (10**9, 5)}, "size is 1000000000 x 5; it must"),
    ],
)
def test_arrays_that_cannot_be_meant(array, options, words):
    with pytest.raises(OccluposeError, match=rf"^array: {words}[^\n]*$"):
        formats.from_array(array, **options)


def test_half_a_position_is_none():
    xy = walkers()
    xy[3, 0, 5, 1] = np.nan
    poses = formats.from_array(xy, skeleton="coco17").poses
    assert poses.state[3, 0, 5] == 0 and np.isnan(poses.xy[3, 0, 5]).all()


def test_an_array_stays_as_it_is():
    xy = walkers()
    xy[3, 0, 5, 1] = np.nan
    before = xy.copy()
    occlupose.lift(xy, skeleton="coco17", fps=25, size=SIZE)
    np.testing.assert_array_equal(xy, before)
    pixels = np.nan_to_num(xy, nan=7.0).astype(np.int16)
    assert (formats.from_array(pixels, skeleton="coco17").poses.xy == pixels).all()
    assert (formats.from_array(pixels.tolist(), skeleton="coco17").poses.xy == pixels).all()


def test_zeros_are_kept_and_said():
    xy = walkers()
    xy[3:5, 0, 5] = 0
    read = formats.from_array(xy, skeleton="coco17", fps=25, size=SIZE)
    assert read.notes == ["array: 2 joints are at exactly (0, 0) and are kept; give NaN if they are missing"]
    assert (read.poses.state[3:5, 0, 5] == 2).all()


def test_frames_in_which_nobody_is():
    xy = walkers()
    xy[:4] = np.nan
    xy[10:12, 0] = np.nan
    xy[-1] = np.nan
    poses = formats.from_array(xy, skeleton="coco17").poses
    assert len(poses) == 30 and poses.track_id.tolist() == [0, 1]
    np.testing.assert_array_equal((poses.state > 0).any(-1), np.isfinite(xy).all(-1).any(-1))


@given(
    st.integers(1, 3),
    st.integers(1, 4),
    st.integers(0, 10),
    st.sampled_from([COCO17, BODY25, H36M17]),
    st.floats(0.1, 1000),
)
def test_an_array_is_what_it_was(people, frames, seed, skeleton, fps):
    random = np.random.default_rng(seed)
    xy = random.uniform(-50, 900, (frames, people, len(skeleton), 2))
    xy[random.random(xy.shape[:-1]) < 0.2] = np.nan
    score = random.uniform(0, 1, (*xy.shape[:-1], 1))
    poses = formats.from_array(np.concatenate([xy, score], -1), skeleton=skeleton, fps=fps, size=(640, 480)).poses
    present = np.isfinite(xy).all(-1).any((0, 2))
    np.testing.assert_allclose(poses.xy, xy[:, present], rtol=1e-6)
    assert poses.track_id.tolist() == np.flatnonzero(present).tolist() and poses.fps == fps
    known = np.isfinite(poses.xy).all(-1)
    np.testing.assert_allclose(poses.score[known], score[..., 0][:, present][known], rtol=1e-6)
    assert ((poses.state == 2) == known & (poses.score >= 0.3)).all() and ((poses.state == 0) == ~known).all()


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        (
            "a.txt",
            b"hello",
            "no poses that occlupose knows; give a .npz or .json file, or one of OpenPose, MMPose, COCO,",
        ),
        ("a.mp4", b"\0\0\0 ftypisom", "no poses that occlupose knows; give a .npz"),
        ("a.json", b"", "no poses that occlupose knows"),
        ("a.json", b'{"a": 1}', "no poses that occlupose knows"),
        ("a.json", b"[1, 2]", "no poses that occlupose knows"),
        ("a.json", b"[" * 100_000, r"not JSON, or not all of it \(.*\); write it again"),
        ("a.json", b'[{"image_id": 1, "keypoints": [1', r"not JSON, or not all of it \(.*\); write it again"),
        ("a.npy", b"\x93NUMPY\x01\x00", r"damaged or not plain arrays \(.*\); write it again"),
        ("a.npz", b"PK\x03\x04 and no more", "not a whole .npz archive"),
        ("a.zip", b"PK\x03\x04 and no more", "damaged or not plain arrays"),
        ("a.nc", b"CDF\x01", "damaged, or not a netCDF file; write it again"),
        ("a.csv.gz", gzip.compress(b"scorer", mtime=0), "no poses that occlupose knows"),
    ],
)
def test_files_of_something_else(tmp_path, name, content, words):
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(OccluposeError, match=rf"^{path}: {words}[^\n]*$"):
        formats.read(path)


KEYS = "people pose_keypoints_2d image_id category_id keypoints frame_id instances instance_info landmarks x y images"
KEYS += " annotations categories id name bodies joints skeleton fps frames 1.jpg"
LEAVES = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3)
LEAVES |= st.lists(st.floats(0, 1000), min_size=51, max_size=51)
DOCUMENTS = st.recursive(
    LEAVES,
    lambda parts: st.lists(parts, max_size=4) | st.dictionaries(st.sampled_from(KEYS.split()), parts, max_size=6),
    max_leaves=25,
)


@given(st.dictionaries(st.sampled_from(KEYS.split()), DOCUMENTS, max_size=6) | st.lists(DOCUMENTS, max_size=4))
def test_any_document_is_read_or_refused_in_one_line(tmp_path_factory, document):
    path = tmp_path_factory.getbasetemp() / "any.json"
    json_file(path, document)
    try:
        formats.read(path)
    except OccluposeError as error:
        assert str(error).startswith(f"{path}: ") and "\n" not in str(error)


@pytest.mark.parametrize("name", ["a" * 300, "a" * 300 + ".npz", "a\0.npz", "a\0.csv"])
def test_names_that_no_file_can_have(name):
    with pytest.raises(OccluposeError, match=rf"^{name[:1]}[^\n]*: cannot be read \("):
        formats.read(name)


def test_no_file_and_no_files(tmp_path):
    with pytest.raises(
        OccluposeError, match=r"nope.json: cannot be read \(no such file or directory\); give a .npz or"
    ):
        formats.read(tmp_path / "nope.json")
    with pytest.raises(OccluposeError, match=r"cannot be read \(embedded null"):
        formats.read("a\0b")
    with pytest.raises(OccluposeError, match=r"no .json file in it; give a folder with one for each frame, or a .npz"):
        formats.read(tmp_path)
    json_file(tmp_path / "1.json", {"a": 1})
    with pytest.raises(OccluposeError, match="no poses that occlupose knows"):
        formats.read(tmp_path)


def test_pickles_are_not_loaded(tmp_path):
    np.save(tmp_path / "a.npy", np.array([{"a": 1}]), allow_pickle=True)
    with pytest.raises(
        OccluposeError, match=r"a.npy: damaged or not plain arrays \(.*allow_pickle=False\); write it again"
    ):
        formats.read(tmp_path / "a.npy")


def test_too_many_people_to_hold(tmp_path, monkeypatch):
    monkeypatch.setattr("occlupose.poses.MAX_JOINTS", 1000)
    with pytest.raises(OccluposeError, match=r"^array: 2 people in 30 frames are too many to hold; give a part of it$"):
        formats.from_array(walkers(), skeleton="coco17")


def test_people_of_whom_there_is_little_are_left_out_and_counted(tmp_path):
    folder = openpose_folder(tmp_path / "json", walkers(BODY25))
    ghost = openpose_people(np.concatenate([walkers(BODY25)[12], walkers(BODY25)[12, :1] + (500, -150)]))
    json_file(folder / "walk_000000000012_keypoints.json", ghost)
    read = formats.read(folder, fps=FPS, size=SIZE)
    assert read.poses.track_id.tolist() == [1, 2]
    said = "people are tracked, 2 found; 1 of 61 detections, of nobody for long, are left out"
    assert read.notes[-1] == f"{folder}: it does not say who is who: {said}"


def test_people_in_2d_have_no_camera_and_in_lifted_files_stay(tmp_path):
    assert formats.from_array(walkers(), skeleton="coco17").poses.camera is None
    poses = replace(record(), camera=None)
    poses.save(tmp_path / "a.npz")
    assert formats.read(tmp_path / "a.npz").poses.xyz is not None
