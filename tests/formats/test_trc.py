"""TRC files (OpenSim, "Marker (.trc) Files"; Sports2D, save_pose: px and m; Pose2Sim, triangulation: metres, y up)."""

import numpy as np
import pytest

from floor_records import record_of, standing
from foreign_files import FPS, SIZE, assert_lifts_as_ours, read_quietly, walkers
from moving_figures import striding
from occlupose import formats
from occlupose.errors import OccluposeError
from occlupose.skeletons import BODY26, COCO17, H36M17, HALPE26, convert
from pose_records import record

POSE2SIM = {"pelvis": "Hip", "head_top": "Head"}


def marker(joint):
    """Pose2Sim's name: LElbow, Hip, Head."""
    side, _, part = joint.partition("_")
    named = part if side in ("left", "right") else joint
    short = {"left": "L", "right": "R"}.get(side, "") + "".join(word.title() for word in named.split("_"))
    return POSE2SIM.get(joint, short)


def trc(path, xyz, joints, unit="m", fps=FPS, header=5):
    """A TRC file of (time, joint, 3)."""
    names = [marker(joint) for joint in joints]
    lines = [
        f"PathFileType\t4\t(X/Y/Z)\t{path.name}",
        "DataRate\tCameraRate\tNumFrames\tNumMarkers\tUnits\tOrigDataRate\tOrigDataStartFrame\tOrigNumFrames",
        f"{fps}\t{fps}\t{len(xyz)}\t{len(names)}\t{unit}\t{fps}\t0\t{len(xyz)}",
        "Frame#\tTime\t" + "\t\t\t".join(names) + "\t\t\t",
        "\t\t" + "\t".join(f"X{n}\tY{n}\tZ{n}" for n in range(1, len(names) + 1)),
        "",
    ]
    for number, row in enumerate(xyz.reshape(len(xyz), 3 * len(joints)).tolist()):
        lines.append(f"{number}\t{number / 25:.3f}\t" + "\t".join("" if cell != cell else str(cell) for cell in row))
    path.write_text("\n".join(lines[:header] if header < 5 else lines) + "\n")
    return path


def flat(xy):
    return np.concatenate([xy, np.zeros((*xy.shape[:-1], 1))], -1)


@pytest.mark.parametrize("unit", ["m", "px"], ids=["Sports2D", "named"])
def test_pixels_lift_as_ours(tmp_path, unit):
    xy = walkers(COCO17)[:, :1]
    xy[3:7, 0, 9] = np.nan
    read = formats.read(trc(tmp_path / "walk_px_person00.trc", flat(xy[:, 0]), COCO17.joints, unit), size=SIZE)
    assert (read.tool, read.poses.fps, read.poses.skeleton, read.notes) == ("TRC", FPS, COCO17, [])
    assert_lifts_as_ours(read, xy, COCO17, tmp_path, score=1)


def upright(frames=10):
    """(time, joint, 3) of halpe26, x left, y up, z forward, m."""
    xyz = convert(striding(frames, FPS), BODY26, HALPE26)
    known = ["head_top", "pelvis", *COCO17.joints]
    return xyz[:, HALPE26.index(*known)], known


@pytest.mark.parametrize(("unit", "scale"), [("m", 1), ("mm", 1000)])
def test_3d_is_turned_into_the_camera_frame(tmp_path, unit, scale):
    xyz, joints = upright()
    read = formats.read(trc(tmp_path / "a.trc", xyz * scale, joints, unit))
    poses = read.poses
    assert poses.skeleton.joints == tuple(joints)
    assert f"in {unit} with y up: turned to x right, y down, z forward, in metres" in read.notes[0]
    assert "moved by" in read.notes[1] and "assumed camera of 1920 x 1080" in read.notes[1]
    moved = poses.xyz[:, 0] - xyz * (1, -1, -1)
    np.testing.assert_allclose(moved, np.broadcast_to(moved[0, 0], moved.shape), atol=1e-5)
    head, ankle = poses.skeleton.index("head_top", "left_ankle")
    assert (poses.xyz[:, 0, head, 1] < poses.xyz[:, 0, ankle, 1] - 1).all() and poses.xyz[..., 2].min() >= 1
    assert poses.camera.assumed and (poses.width, poses.height) == (1920, 1080)
    np.testing.assert_allclose(poses.camera.project(poses.xyz), poses.xy, atol=1e-2)
    assert poses.xy.min() > 0 and poses.xy[..., 0].max() < 1920 and poses.xy[..., 1].max() < 1080


def test_missing_markers_in_3d(tmp_path):
    xyz, joints = upright()
    xyz[2:4, 3] = np.nan
    poses = read_quietly(trc(tmp_path / "a.trc", xyz, joints))
    assert (poses.state[2:4, 0, 3] == 0).all() and np.isnan(poses.xyz[2:4, 0, 3]).all() and poses.state[4, 0, 3] == 2


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"unit": "inch"}, "in the unit 'inch'; it must be mm, m or px"),
        ({"fps": "fast"}, "DataRate is 'fast'; it must be frames per second"),
        ({"fps": 0}, "fps: is 0.0; it must be a positive"),
        ({"header": 4}, "ends in its header"),
        ({"header": 1}, "ends in its header"),
    ],
)
def test_what_is_refused(tmp_path, options, words):
    xyz, joints = upright()
    path = trc(tmp_path / "a.trc", xyz, joints, **options)
    with pytest.raises(OccluposeError, match=rf"^{path}: [^\n]*{words}[^\n]*$"):
        formats.read(path)


def test_no_frames_and_wild_numbers(tmp_path):
    xyz, joints = upright()
    with pytest.raises(OccluposeError, match=r"a.trc: no frame below its header"):
        formats.read(trc(tmp_path / "a.trc", xyz[:0], joints))
    xyz[0, 0] = 1e30
    with pytest.raises(OccluposeError, match=r"a.trc: a joint is 1e\+30 m away; give metres or millimetres"):
        formats.read(trc(tmp_path / "a.trc", xyz, joints))


def test_what_is_written_is_read_again(tmp_path):
    poses = record(6, 1, H36M17)
    (path,) = poses.export(tmp_path / "walk.trc")
    read = read_quietly(path)
    moved = read.xyz - poses.xyz
    assert (read.fps, read.skeleton) == (poses.fps, H36M17)
    assert (np.isnan(read.xyz) == np.isnan(poses.xyz)).all()
    assert (
        np.nanmax(np.nanmax(moved, axis=(0, 1, 2)) - np.nanmin(moved, axis=(0, 1, 2))) < 1e-5
    )  # before another camera


def test_the_layout_is_opensims(tmp_path):
    poses = record(2, 1, H36M17.subset(["pelvis", "left_wrist"]), seed=1)
    lines = poses.export(tmp_path / "walk.trc")[0].read_text().splitlines()
    assert lines[0].startswith("PathFileType\t4\t(X/Y/Z)\t")
    assert lines[2].split("\t") == ["25.0", "25.0", "2", "2", "m", "25.0", "1", "2"]
    assert lines[3].split("\t")[:6] == ["Frame#", "Time", "pelvis", "", "", "left_wrist"]
    assert lines[4].split("\t") == ["", "", "X1", "Y1", "Z1", "X2", "Y2", "Z2"]
    assert lines[5] == "" and len(lines) == 8
    cells = lines[7].split("\t")
    assert cells[:2] == ["2", "0.04"] and len(cells) == 8
    x, y, z = poses.xyz[1, 0, 1]
    assert [np.float32(cell) for cell in cells[5:]] == [x, -y, -z]  # x right, y up, z towards the camera


def test_each_person_has_a_file(tmp_path):
    poses = record(4, 2, H36M17)
    written = poses.export(tmp_path / "walk.trc")
    assert [path.name for path in written] == ["walk_1.trc", "walk_4.trc"]
    assert written[1].read_text() == poses.select(person=4).export(tmp_path / "other.trc")[0].read_text()


def test_people_stand_on_the_floor_of_the_world(tmp_path):
    truth = standing()
    (path,) = record_of(truth, H36M17).export(tmp_path / "walk.trc")
    cells = np.array([line.split("\t")[2:] for line in path.read_text().splitlines()[6:]], float)
    np.testing.assert_allclose(cells.reshape(5, 17, 3), truth.joints(H36M17)[:, 0], atol=1e-5)
    read = read_quietly(path)  # before a level camera
    ankle = H36M17.index("left_ankle")[0]
    moved = read.xyz[:, 0] - truth.joints(H36M17)[:, 0] * (1, -1, -1)
    np.testing.assert_allclose(moved, np.broadcast_to(moved[0, ankle], moved.shape), atol=1e-5)
