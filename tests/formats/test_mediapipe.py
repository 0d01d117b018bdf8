"""MediaPipe's landmarks in JSON, CSV and NumPy files (MediaPipe, "Pose landmark detection guide": 33 landmarks, and
`NormalizedLandmark`: x and y by the image's width and height, visibility).
"""

import json

import numpy as np
import pytest

from foreign_files import FPS, SCORE, SIZE, assert_lifts_as_ours, csv_file, json_file, read_quietly, walkers
from occlupose import formats
from occlupose.errors import OccluposeError
from occlupose.skeletons import BLAZEPOSE33

JOINTS = BLAZEPOSE33.joints
MEDIAPIPE = [f"{joint.partition('_')[2]}_{joint.partition('_')[0]}" if "mouth" in joint else joint for joint in JOINTS]
"""As MediaPipe calls them: mouth_left."""


def landmarks(frames=30, people=1):
    """(time, person, 33, 4) x, y, z, visibility; x and y are fractions of the image. Joints that our figures lack are
    where others are.
    """
    xy = walkers(BLAZEPOSE33, frames)[:, :people]
    for joint, other in (("inner", "left_eye"), ("outer", "left_eye"), ("mouth", "nose"), ("heel", "left_ankle")):
        xy[..., [joint in name for name in JOINTS], :] = xy[..., [JOINTS.index(other)], :]
    unknown = np.isnan(xy).any(-1)[0, 0]
    xy[..., unknown, :] = xy[..., [JOINTS.index("left_wrist")], :]
    values = np.full((*xy.shape[:-1], 4), SCORE)
    values[..., :2] = (xy + 0.5) / SIZE
    values[..., 2] = -0.1
    return values


def in_pixels(values):
    return values[..., :2] * SIZE - 0.5


def objects(person):
    return [dict(zip(("x", "y", "z", "visibility"), landmark, strict=True)) for landmark in person.tolist()]


def wide(values, names, axes=("x", "y", "z", "visibility")):
    header = [name.format(axis=axis) for name in names for axis in axes]
    return [header, *values.reshape(len(values), -1).tolist()]


def long(values, names, person=False):
    rows = [["frame", *(["person"] if person else []), "landmark", "x", "y", "z", "visibility"]]
    for frame, people in enumerate(values):
        for number, one in enumerate(people):
            rows += [
                [frame, *([f"id{number}"] if person else []), name, *landmark]
                for name, landmark in zip(names, one.tolist(), strict=True)
            ]
    return rows


def saved(path, array):
    np.save(path, array)
    return path


MAKERS = {
    "frames of objects": lambda path, v: json_file(path / "a.json", [objects(one[0]) for one in v]),
    "pose_landmarks of people": lambda path, v: json_file(
        path / "a.json", [{"frame": n, "pose_landmarks": [objects(one[0])]} for n, one in enumerate(v)]
    ),
    "messages": lambda path, v: json_file(
        path / "a.json", {"frames": [{"pose_landmarks": {"landmark": objects(one[0])}} for one in v]}
    ),
    "lists of numbers": lambda path, v: json_file(path / "a.json", v[:, 0].tolist()),
    "wide, numbers from 1": lambda path, v: csv_file(
        path / "a.csv", wide(v, [f"{{axis}}{n}" for n in range(1, 34)], ("x", "y", "z", "v"))
    ),
    "wide, numbers from 0": lambda path, v: csv_file(
        path / "a.csv", wide(v, [f"landmark_{n}_{{axis}}" for n in range(33)])
    ),
    "wide, names": lambda path, v: csv_file(path / "a.csv", wide(v, [f"{name}_{{axis}}" for name in MEDIAPIPE])),
    "wide, capitals": lambda path, v: csv_file(
        path / "a.csv", wide(v, [f"{name.upper()}.{{axis}}" for name in MEDIAPIPE]), ";"
    ),
    "long, numbers": lambda path, v: csv_file(path / "a.csv", long(v, range(33))),
    "long, names": lambda path, v: csv_file(path / "a.csv", long(v, [name.upper() for name in MEDIAPIPE])),
    "array": lambda path, v: saved(path / "a.npy", v[:, 0]),
    "array of people": lambda path, v: saved(path / "a.npy", v),
    "flat array": lambda path, v: saved(path / "a.npy", v.reshape(len(v), -1)),
}


@pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS)
def test_it_lifts_as_ours(tmp_path, make):
    values = landmarks()
    read = formats.read(make(tmp_path, values), fps=FPS, size=SIZE)
    assert (read.tool, read.poses.skeleton) == ("MediaPipe", BLAZEPOSE33)
    assert any("fractions of the image, now in pixels of 1280 x 960" in note for note in read.notes)
    assert_lifts_as_ours(read, in_pixels(values), BLAZEPOSE33, tmp_path)


def test_pixels_stay_pixels(tmp_path):
    values = landmarks()
    values[..., :2] = in_pixels(values)
    read = formats.read(saved(tmp_path / "a.npy", values), fps=FPS, size=SIZE)
    assert read.notes == []
    np.testing.assert_allclose(read.poses.xy, values[..., :2], rtol=1e-6)


def test_several_people_are_tracked_or_named(tmp_path):
    values = landmarks(people=2)
    document = [[objects(one) for one in (people if n % 2 else people[::-1])] for n, people in enumerate(values)]
    read = formats.read(json_file(tmp_path / "a.json", document), fps=FPS, size=SIZE)
    assert read.poses.track_id.tolist() == [1, 2]
    np.testing.assert_allclose(read.poses.xy, in_pixels(values), atol=1e-3)
    named = read_quietly(csv_file(tmp_path / "a.csv", long(values, range(33), person=True)), fps=FPS, size=SIZE)
    assert named.track_id.tolist() == [0, 1]
    np.testing.assert_allclose(named.xy, in_pixels(values), atol=1e-3)


@pytest.mark.parametrize("nobody", [None, [], {"pose_landmarks": None}, {"pose_landmarks": []}])
def test_frames_without_people(tmp_path, nobody):
    document = [objects(one[0]) for one in landmarks()]
    document[:5] = [nobody] * 5
    document[29] = nobody
    poses = read_quietly(json_file(tmp_path / "a.json", document), fps=FPS, size=SIZE)
    assert len(poses) == 30 and not poses.state[:5].any() and not poses.state[29].any() and poses.state[5:29].all()


def test_one_frame(tmp_path):
    document = {"landmarks": objects(landmarks(1)[0, 0])}
    assert len(read_quietly(json_file(tmp_path / "a.json", document), size=SIZE)) == 1


def test_landmarks_that_are_hardly_visible_are_occluded(tmp_path):
    values = landmarks()
    values[:, 0, 7, 3] = 0.05
    poses = read_quietly(saved(tmp_path / "a.npy", values), size=SIZE)
    assert (poses.state[:, 0, 7] == 1).all() and np.isfinite(poses.xy).all()


def test_numbers_of_frames_in_a_table(tmp_path):
    rows = wide(landmarks(4), [f"{name}_{{axis}}" for name in MEDIAPIPE])
    rows = [["frame", *rows[0]], *([number, *row] for number, row in zip((2, 3, 7, 8), rows[1:], strict=True))]
    poses = read_quietly(csv_file(tmp_path / "a.csv", rows), fps=10, size=SIZE)
    assert poses.time.tolist() == [0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8]
    assert poses.state.any((1, 2)).tolist() == [True, True, False, False, False, True, True]


def test_some_joints_of_a_table(tmp_path):
    """Empty cells are missing joints; columns of something else are left out."""
    rows = [["class", "LeftElbow.x", "LeftElbow.y", "LeftHip.x", "LeftHip.y", "body"]]
    rows += [["walk", 100.0, 200.0, 100.0, np.nan, 3.0]] * 3
    poses = read_quietly(csv_file(tmp_path / "a.csv", rows))
    assert poses.skeleton.joints == ("left_elbow", "left_hip")
    assert poses.state[:, 0].tolist() == [[2, 0]] * 3


def test_numbers_are_mediapipes_only_if_they_can_be(tmp_path):
    rows = [["landmark_11_x", "landmark_11_y", "landmark_23_x", "landmark_23_y"], [100, 50, 90, 150]]
    assert read_quietly(csv_file(tmp_path / "a.csv", rows)).skeleton.joints == ("left_shoulder", "left_hip")
    rows = [["frame", "landmark", "x", "y"], [0, 11, 100, 50], [0, 23, 90, 150]]
    assert read_quietly(csv_file(tmp_path / "a.csv", rows)).skeleton.joints == ("left_shoulder", "left_hip")
    path = csv_file(tmp_path / "a.csv", [[f"{axis}{n}" for n in range(17) for axis in "xy"], [50] * 34])
    with pytest.raises(OccluposeError, match="does not name its 17 joints; give the skeleton"):
        formats.read(path)
    assert read_quietly(path, skeleton="coco17").xy.shape == (1, 1, 17, 2)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda path: saved(path / "a", landmarks()), "fractions of the image; give its size"),
        (lambda path: saved(path / "a", landmarks() - 0.5), "x and y lie around 0, as in metres"),
        (lambda path: json_file(path / "a", [[{"x": 1, "y": None}, {"x": "b", "y": 3}]]), "is not a landmark"),
        (lambda path: json_file(path / "a", [[{"x": 100, "y": 100}] * 20]), "does not name its 20 joints"),
        (lambda path: csv_file(path / "a", [["x1", "y1"], ["1", "up"]]), "'up' where a number should be"),
        (lambda path: csv_file(path / "a", [["x1", "y1"]]), "no row below the header"),
        (lambda path: csv_file(path / "a", [["frame", "landmark", "x", "y"], *[[0, 3, 5, 5]] * 2]), "a landmark twice"),
        (lambda path: csv_file(path / "a", [["frame", "landmark", "x", "y"], ["", 3, 5, 5]]), "without the number"),
        (lambda path: csv_file(path / "a", [["tail_x", "tail_y"], [1, 2]]), "only tail"),
    ],
)
def test_what_is_refused(tmp_path, make, words):
    path = make(tmp_path)
    path = path if path.exists() else path.with_suffix(".npy")
    with pytest.raises(OccluposeError, match=rf"^{path}: [^\n]*{words}[^\n]*$"):
        formats.read(path)


def test_texts_in_latin_1(tmp_path):
    rows = wide(landmarks(), [f"{name}_{{axis}}" for name in MEDIAPIPE])
    path = csv_file(tmp_path / "a.csv", [["name", *rows[0]], *(["Jos\u00e9", *row] for row in rows[1:])])
    path.write_bytes(path.read_text().encode("latin-1"))
    assert len(read_quietly(path, size=SIZE)) == 30
    document = json.dumps({"name": "Jos\u00e9", "landmarks": objects(landmarks(1)[0, 0])}, ensure_ascii=False)
    path.write_bytes(document.encode("latin-1"))
    assert len(read_quietly(path, size=SIZE)) == 1
