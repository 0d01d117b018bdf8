import json

import numpy as np
import pytest
from scipy.io import savemat

from mupots_files import SQUARE, WIDE, camera_of, cells, people_standing, person, write_mupots, write_sequence
from occlupose.datasets.formats import mat_child, mat_files, mupots
from occlupose.datasets.formats.mupots import estimate_camera, load
from occlupose.errors import OccluposeError
from occlupose.media import write_image

GENERATOR = np.random.default_rng(0)
FLAGS = np.zeros((1, 17), np.uint8)


def refused(match, *arguments):
    with pytest.raises(OccluposeError, match=match) as refusal:
        load(*arguments)
    assert "\n" not in str(refusal.value) and "; " in str(refusal.value)


def changed(tmp_path, **fields):
    """A sequence of one person whose struct has other fields; None takes one away."""
    annotation = {
        name: value
        for name, value in (person(people_standing(GENERATOR, 1)[0], SQUARE) | fields).items()
        if value is not None
    }
    write_sequence(tmp_path, "TS1", [[annotation]], [[FLAGS]])
    return tmp_path


@pytest.mark.parametrize("inside", [False, True])
def test_everybody_in_metres_with_flags_and_the_camera(tmp_path, inside):
    truth = write_mupots(tmp_path)
    found = load(tmp_path / "MultiPersonTestSet" if inside else tmp_path)
    assert [sample.name for sample in found] == [
        f"{name}/img_{number:06}.jpg" for name in ("TS1", "TS7") for number in range(3)
    ]
    for sample in found:
        xyz = truth[sample.sequence][int(sample.image.path.stem[4:])]
        camera = camera_of(sample.sequence)
        np.testing.assert_allclose(sample.xyz, xyz, atol=1e-12)
        np.testing.assert_allclose(sample.xy, camera.project(xyz), atol=1e-9)
        np.testing.assert_allclose(sample.camera.matrix, camera.matrix, atol=1e-6)
        assert (sample.camera.width, sample.camera.height) == (
            camera.width,
            camera.height,
        ) and not sample.camera.assumed
        assert sample.state.shape == (3, 17)
    for sample, universal in zip(found, load(tmp_path, universal=True), strict=True):
        np.testing.assert_allclose(universal.xyz, 1.1 * sample.xyz, atol=1e-12)
    assert 0.2 < np.mean([sample.state == 1 for sample in found]) < 0.6


def test_flags_stand_at_their_joints(tmp_path):
    flags = np.zeros((1, 17), np.uint8)
    flags[0, [0, 12]] = 1
    write_sequence(tmp_path, "TS3", [[person(people_standing(GENERATOR, 1)[0], SQUARE)]], [[flags]])
    assert np.flatnonzero(load(tmp_path)[0].state[0] == 1).tolist() == [0, 12]


def test_sequences_in_their_order_or_as_asked(tmp_path):
    write_mupots(tmp_path, ("TS10", "TS2"), frames=1)
    assert [sample.sequence for sample in load(tmp_path)] == ["TS2", "TS10"]
    assert [sample.sequence for sample in load(tmp_path, ["TS10"])] == ["TS10"]
    refused("TS21: no sequence", tmp_path, ["TS21"])
    refused("annot.mat: no such file", tmp_path, ["TS4"])


def test_who_is_not_valid_is_left_out_whatever_stands_there(tmp_path):
    xyz = people_standing(GENERATOR, 2)
    nowhere = person(np.full((17, 3), np.nan), SQUARE, valid=0)
    empty = np.zeros((0, 0))
    people = [[person(xyz[0], SQUARE), nowhere], [nowhere, person(xyz[1], SQUARE)], [nowhere, empty]]
    write_sequence(tmp_path, "TS1", people, [[FLAGS, empty], [empty, FLAGS], [empty, empty]])
    first, second, nobody = load(tmp_path)
    np.testing.assert_allclose(first.xyz, xyz[:1], atol=1e-12)
    np.testing.assert_allclose(second.xyz, xyz[1:], atol=1e-12)
    assert nobody.xy.shape == (0, 17, 2) and nobody.xyz.shape == (0, 17, 3) and nobody.state.shape == (0, 17)


def test_sizes_of_images():
    assert [mupots.image_size(name) for name in ("TS1", "TS5", "TS6", "TS20")] == [(2048, 2048)] * 2 + [
        (1920, 1080)
    ] * 2


def test_images_are_read_when_asked_and_must_have_their_size(tmp_path):
    write_sequence(tmp_path, "TS6", [[person(people_standing(GENERATOR, 1)[0], WIDE)]], [[FLAGS]], images=True)
    sample = load(tmp_path)[0]
    assert sample.read().shape == (1080, 1920, 3)
    write_image(sample.image.path, np.zeros((100, 50, 3), np.uint8))
    with pytest.raises(OccluposeError, match=r"img_000000.jpg: is 50x100, but 1920x1080 in its annotations; "):
        sample.read()
    sample.image.path.unlink()
    with pytest.raises(OccluposeError, match=r"img_000000\.jpg"):
        sample.read()


# ------------------------------------------------------------------------------- the camera


def test_the_camera_is_found_in_projections_and_assumed_where_it_does_not_fit():
    xyz = people_standing(GENERATOR, 3).reshape(-1, 3)
    exact = estimate_camera(WIDE.project(xyz), 1000 * xyz, 1920, 1080)
    np.testing.assert_allclose(exact.matrix, WIDE.matrix, atol=1e-8)
    assert not exact.assumed
    rough = estimate_camera(WIDE.project(xyz) + GENERATOR.normal(0, 5, (len(xyz), 2)), xyz, 1920, 1080)
    assert rough.assumed and abs(rough.fx - WIDE.fx) < 60


@pytest.mark.parametrize(
    "xyz",
    [np.array([[0.0, 0, 2]]), np.array([[0.1, 0.2, 1.0], [0.2, 0.4, 2.0]]), np.array([[0.1, 0.2, 1], [0.1, 0.4, 1]])],
)
def test_points_that_tell_no_camera(xyz):
    with pytest.raises(OccluposeError, match="too few joints"):
        estimate_camera(WIDE.project(xyz), xyz, 1920, 1080)


def test_a_file_of_cameras_says_them(tmp_path):
    write_mupots(tmp_path, ("TS1",))
    file = tmp_path / "MultiPersonTestSet" / "mupots_intrinsics.json"
    file.write_text(json.dumps({"TS1": [[1000, 0, 7], [0, 1001, 8], [0, 0, 1]]}))
    camera = load(tmp_path)[0].camera
    assert (camera.fx, camera.fy, camera.cx, camera.cy, camera.width) == (1000, 1001, 7, 8, 2048)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("{", "the file: invalid json"),
        ("[1]", "the file: input should be"),
        ('{"TS1": "a"}', "TS1: input should be a valid (tuple|array)"),
        ('{"TS1": [[1, 2, 0], [0, 4, 0], [0, 0, 1]]}', "TS1: camera: not an intrinsic matrix"),
        ('{"TS2": [[1, 0, 1], [0, 1, 1], [0, 0, 1]]}', "no TS1 in it"),
        ('{"TS1": [[1, 2], [3, 4]]}', r"TS1\.0\.2: field required"),
        ('{"TS1": [[-1, 0, 1], [0, 1, 1], [0, 0, 1]]}', "TS1: camera: focal lengths"),
        pytest.param('{"TS1": [[1' + 400 * "0" + ", 0, 1], [0, 1, 1], [0, 0, 1]]}", "TS1", id="a number of 401 digits"),
        pytest.param('{"TS1": ' + 100_000 * "[", "the file: invalid json", id="100,000 brackets"),
    ],
)
def test_files_of_cameras_that_are_refused(tmp_path, content, words):
    write_mupots(tmp_path, ("TS1",), frames=1)
    (tmp_path / "MultiPersonTestSet" / "mupots_intrinsics.json").write_text(content)
    refused(f"mupots_intrinsics.json: {words}", tmp_path)


def test_a_sequence_that_tells_no_camera_needs_the_file(tmp_path):
    write_sequence(tmp_path, "TS1", [[person(people_standing(GENERATOR, 1)[0], SQUARE, valid=0)]], [[FLAGS]])
    refused("annot.mat: too few joints to estimate the camera; give it in mupots_intrinsics.json", tmp_path)


# --------------------------------------------------------------------------------- refusals


def test_folders_that_are_none(tmp_path):
    refused("nowhere: no such folder", tmp_path / "nowhere")
    refused("no TS1 to TS20 in it", tmp_path)


@pytest.mark.parametrize("name", ["annot.mat", "occlusion.mat"])
def test_files_that_are_missing_or_damaged(tmp_path, name):
    write_mupots(tmp_path, ("TS1",))
    file = tmp_path / "MultiPersonTestSet" / "TS1" / name
    content = file.read_bytes()
    for damaged in (b"", content[: len(content) // 2], b"not a .mat file at all" * 20):
        file.write_bytes(damaged)
        refused(rf"{name}: (not a whole .mat file|no \w+ in it)", tmp_path)
    savemat(file, {"other": 1})
    refused(f"{name}: no (annotations|occlusion_labels) in it", tmp_path)
    savemat(file, {"annotations": np.zeros((2, 2)), "occlusion_labels": np.zeros((2, 2))})
    refused(f"{name}: .* is not a cell array", tmp_path)
    savemat(file, {"annotations": np.empty((0, 3), object), "occlusion_labels": np.empty((0, 3), object)})
    refused(f"{name}: no frames in it", tmp_path)
    file.unlink()
    refused(f"{name}: no such file", tmp_path)


def test_a_file_that_kills_its_reader_is_one_line(tmp_path, monkeypatch):
    write_mupots(tmp_path)
    child = tmp_path / "child.py"
    monkeypatch.setattr(mat_child, "__file__", str(child))
    for program, timeout in (("import os; os.abort()", 60.0), ("while True: pass", 0.5), ("print('no pickle')", 60.0)):
        child.write_text(program)
        monkeypatch.setattr(mat_files, "TIMEOUT", timeout)
        refused(r"annot\.mat: not a whole \.mat file; ", tmp_path)


@pytest.mark.parametrize("field", ["annot2", "annot3", "univ_annot3", "isValidFrame"])
def test_fields_that_are_missing(tmp_path, field):
    refused(f"annot.mat: frame 0, person 0: no {field} in it", changed(tmp_path, **{field: None}))


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"annot2": np.zeros((17, 2))}, r"annot2 has shape \(17, 2\); it must be \(2, 17\)"),
        ({"annot3": np.ones((3, 15))}, r"annot3 has shape \(3, 15\)"),
        ({"univ_annot3": np.full((3, 17), np.nan)}, "univ_annot3: numbers that are not finite"),
        ({"annot2": np.full((2, 17), np.inf)}, "annot2: numbers that are not finite"),
        ({"annot3": -np.ones((3, 17))}, "annot3 has joints behind the camera"),
        ({"annot3": "words"}, "annot3: not numbers"),
        ({"isValidFrame": np.ones((1, 2))}, "isValidFrame has 2 numbers"),
    ],
)
def test_fields_that_are_not_as_they_should_be(tmp_path, fields, words):
    refused(f"annot.mat: frame 0, person 0: {words}", changed(tmp_path, **fields))


def test_a_person_that_is_no_struct(tmp_path):
    write_sequence(tmp_path, "TS1", [[np.ones((2, 2))]], [[FLAGS]])
    refused("frame 0, person 0: no annot2 in it", tmp_path)


@pytest.mark.parametrize("flags", [np.zeros((1, 15)), np.full((1, 17), 2), np.zeros((0, 0))])
def test_flags_that_are_none(tmp_path, flags):
    write_sequence(tmp_path, "TS1", [[person(people_standing(GENERATOR, 1)[0], SQUARE)]], [[flags]])
    refused("occlusion.mat: frame 0, person 0: not 17 flags of 0 or 1", tmp_path)


def test_labels_of_other_frames(tmp_path):
    write_mupots(tmp_path, ("TS1",), frames=3)
    savemat(tmp_path / "MultiPersonTestSet" / "TS1" / "occlusion.mat", {"occlusion_labels": cells([[FLAGS] * 3] * 2)})
    refused("occlusion.mat: 2 frames of 3 people, but 3 of 3 in annot.mat", tmp_path)
