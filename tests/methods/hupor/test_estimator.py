"""HUPOR as an estimator, with fixed predictions in place of its networks."""

import gc
import threading
from pathlib import Path

import numpy as np
import pytest

import occlupose
from hupor_detections import (
    HEIGHT,
    WIDTH,
    FixedPredictions,
    detections_of,
    people_in_rows,
    predictions_when,
    three_people,
    write_hupor,
)
from media_files import EmptyCamera, make_video
from occlupose import HUPOR, viewer
from occlupose.cameras import Camera
from occlupose.detections import Detections
from occlupose.errors import OccluposeError
from occlupose.estimator import fill_absent, track
from occlupose.kinematics import SkeletonFit
from occlupose.media import Source, open_media, read_image, write_image
from occlupose.methods.hupor import predict
from occlupose.methods.hupor.estimator import bone_ratios, standing_height
from occlupose.pipeline import run, stream
from occlupose.poses import ABSENT, OCCLUDED, VISIBLE, Poses
from occlupose.skeletons import MPI15

CAMERA = Camera.from_fov(WIDTH, HEIGHT)
GREY = np.full((HEIGHT, WIDTH, 3), 128, np.uint8)
LIFTER = Path(occlupose.__file__).parent / "weights" / "lifter.safetensors"


def video(folder: Path, frames: int) -> Path:
    return make_video(folder / "a.mp4", images=[GREY] * frames, size=(WIDTH, HEIGHT), fps=10)


def write_frame(folder: Path) -> Path:
    write_image(folder / "a.png", GREY)
    return folder / "a.png"


@pytest.fixture
def fixed(monkeypatch):
    """HUPOR with fixed predictions in place of its networks."""

    def make(detections: FixedPredictions) -> HUPOR:
        monkeypatch.setattr(predict, "load", lambda weights, **options: detections)
        return HUPOR()

    return make


def ids(source: Source, estimator: HUPOR, **options: int) -> list[list[int]]:
    return [frame.track_id.tolist() for frame in track(source, estimator, CAMERA, **options)]


# ------------------------------------------------------------------------------------------------ watch


def test_ids_begin_with_the_first_frame_and_false_positives_get_none(tmp_path, fixed):
    people = three_people(10)
    detections = predictions_when(people, "xxxxxxxxxx", "...xxxxxxx", ".xx.......")
    with open_media(video(tmp_path, 10)) as source:
        assert ids(source, fixed(detections)) == [[1]] * 3 + [[1, 2]] * 7
        assert detections.cameras == [CAMERA] * 10
        assert ids(source, fixed(detections)) == [[1]] * 3 + [[1, 2]] * 7  # a second run starts again


def test_a_person_hidden_for_a_while_keeps_the_id(tmp_path, fixed):
    with open_media(video(tmp_path, 30)) as source:
        assert (
            ids(source, fixed(predictions_when(three_people(30), "x" * 30, "x" * 10 + "." * 10 + "x" * 10)))
            == [[1, 2]] * 10 + [[1]] * 10 + [[1, 2]] * 10
        )


def test_the_first_person_stays(tmp_path, fixed):
    with open_media(video(tmp_path, 10)) as source:
        assert (
            ids(
                source,
                fixed(predictions_when(three_people(10), "x" * 10, "x" * 10, "..xxxxxxxx")),
                max_people=2,
            )
            == [[1, 2]] * 10
        )


def test_absent_joints_are_filled_in_for_the_tracker():
    people = three_people(1)
    given = detections_of(people, 0, [0, 1, 2])
    people = fill_absent(given)
    assert np.isfinite(people.xy).all() and (people.xy[:2] == given.xy[:2]).all()
    absent = given.state[2] == ABSENT
    np.testing.assert_allclose(people.xy[2, absent], np.repeat(given.xy[2, ~absent].mean(0)[None], 2, 0), rtol=1e-5)
    assert (people.score[2, absent] == 0).all() and (people.score[2, ~absent] == given.score[2, ~absent]).all()
    np.testing.assert_allclose(people.boxes[2], [*np.nanmin(given.xy[2], 0), *np.nanmax(given.xy[2], 0)], rtol=1e-6)
    assert people.box_score.argmax() == 0  # all of this person is visible
    nobody = fill_absent(people_in_rows(0))
    assert isinstance(nobody, Detections) and len(nobody) == 0 and nobody.boxes.shape == (0, 4)


def test_a_reader_who_stops_leaves_no_thread(tmp_path, fixed):
    before = set(threading.enumerate())
    with open_media(video(tmp_path, 30)) as source:
        reader = track(source, fixed(predictions_when(three_people(30), "x" * 30)), CAMERA)
        assert next(reader).track_id.tolist() == [1]
        reader.close()
    gc.collect()
    assert set(threading.enumerate()) == before


# -------------------------------------------------------------------------------------------------- run


def test_run(tmp_path, fixed):
    people = three_people(8)
    counts = []
    detections = predictions_when(people, "xxxxxxxx", "xxxxxxxx", "xxxxxxxx")
    with open_media(video(tmp_path, 8)) as source:
        progress = {"progress": lambda frame: counts.append(len(frame))}
        poses = run(source, fixed(detections), camera=CAMERA, keep_lifted=True, **progress)
    assert counts == [3] * 8
    assert (poses.skeleton, poses.camera, poses.fps, poses.observed) == (MPI15, CAMERA, 10, None)
    assert poses.track_id.tolist() == [1, 2, 3]
    order = [int(np.nanmean(np.abs(people.xy[0] - poses.xy[0, person]), (1, 2)).argmin()) for person in range(3)]
    assert sorted(order) == [0, 1, 2]
    for name, given in (("xyz_lifted", "xyz"), ("score", "score"), ("state", "state")):
        np.testing.assert_array_equal(getattr(poses, name), getattr(people, given)[:, order])
    assert {VISIBLE, OCCLUDED, ABSENT} == set(np.unique(poses.state).tolist())
    seen = poses.state == VISIBLE
    hidden = poses.state == OCCLUDED
    np.testing.assert_array_equal(poses.xy[seen], people.xy[:, order][seen])
    np.testing.assert_allclose(poses.xy[hidden], CAMERA.project(poses.xyz)[hidden], atol=1e-3)
    np.testing.assert_array_equal(np.isfinite(poses.xyz), np.isfinite(people.xyz[:, order]))


def test_people_become_rigid_skeletons_whatever_is_absent_of_them(tmp_path, fixed):
    people = three_people(8)
    hips = MPI15.index("pelvis", "left_hip", "right_hip")
    gone = np.zeros(people.state.shape, bool)
    gone[3:5, 0, hips] = True
    for name, absent in (("xy", np.nan), ("xyz", np.nan), ("state", ABSENT), ("score", 0)):
        getattr(people, name)[gone] = absent
    poses = run(video(tmp_path, 8), fixed(predictions_when(people, "xxxxxxxx", "xxxxxxxx")), camera=CAMERA)
    skeletons = SkeletonFit.of(poses)
    assert skeletons.known.all()
    known = poses.state != ABSENT
    assert not known.all()
    np.testing.assert_allclose(skeletons.joints(MPI15)[known], poses.xyz[known], atol=1e-4)
    thigh = np.linalg.norm(np.diff(poses.xyz[:, :, MPI15.index("left_hip", "left_knee")], axis=2), axis=-1)[..., 0]
    assert (np.nanmax(thigh, 0) - np.nanmin(thigh, 0)).max() < 1e-4


@pytest.mark.parametrize("count", [0, 1, 12])
def test_an_image(tmp_path, count, fixed):
    with open_media(write_frame(tmp_path)) as source:
        poses = run(source, fixed(FixedPredictions([people_in_rows(count)])), camera=CAMERA)
        viewer.preview(poses, source, tmp_path / "preview.png")
    assert poses.track_id.tolist() == list(range(1, count + 1)) and poses.xyz.shape == (1, count, 15, 3)
    for name in ("a.npz", "a.json"):
        poses.save(tmp_path / name)
        assert Poses.load(tmp_path / name) == poses


def test_two_people_close_behind_each_other_are_two(tmp_path, fixed):
    """Of the one behind, nearly in the same place, few joints are found."""
    one = detections_of(three_people(1), 0, [1])
    few = MPI15.index("neck", "head_top", "left_shoulder", "right_shoulder", "pelvis")
    absent = np.ones(15, bool)
    absent[few] = False
    xy = one.xy * 0.95 + 4
    xyz = one.xyz + np.array([0, 0, 1])
    state = one.state.copy()
    score = one.score.copy()
    xy[:, absent] = np.nan
    xyz[:, absent] = np.nan
    state[:, absent] = ABSENT
    score[:, absent] = 0
    both = Detections(
        skeleton=MPI15,
        xy=np.concatenate([one.xy, xy]),
        xyz=np.concatenate([one.xyz, xyz]),
        score=np.concatenate([one.score, score]),
        state=np.concatenate([one.state, state]),
    )
    with open_media(write_frame(tmp_path)) as source:
        assert ids(source, fixed(FixedPredictions([both]))) == [[1, 2]]


def height_of(xyz: np.ndarray) -> float:
    return standing_height(bone_ratios(xyz))


def test_no_frames_at_all(fixed):
    poses = run(EmptyCamera(WIDTH, HEIGHT), fixed(FixedPredictions([people_in_rows(1)])), camera=CAMERA)
    assert poses.xyz.shape == (0, 0, 15, 3)


def test_a_person_at_an_unknown_distance_stays_in_2d(tmp_path, fixed):
    people = three_people(5)
    people.xyz[:, 0] = np.nan
    with open_media(video(tmp_path, 5)) as source:
        poses = run(source, fixed(predictions_when(people, "xxxxx", "xxxxx")), camera=CAMERA, height=1.8)
        viewer.preview(poses, source, tmp_path / "preview.png")
        viewer.render(poses, source, tmp_path / "overlay.mp4")
    unknown = np.isnan(poses.xyz).all((0, 2, 3))
    assert sorted(unknown) == [False, True]
    assert (poses.state != ABSENT).all() and np.isfinite(poses.xy).all()
    alone = poses.select(person=poses.track_id[unknown])
    with open_media(tmp_path / "a.mp4") as source:
        viewer.preview(alone, source, tmp_path / "alone.png")
    assert read_image(tmp_path / "alone.png").std() > 0


# ----------------------------------------------------------------------------------------------- height


def test_people_have_the_given_height_and_keep_their_pixels(tmp_path, fixed):
    people = three_people(6)
    with open_media(video(tmp_path, 6)) as source:
        detections = predictions_when(people, "xxxxxx", "xxxxxx", "xxxxxx")
        as_found = run(source, fixed(detections), camera=CAMERA, height=None, keep_lifted=True)
        poses = run(source, fixed(detections), camera=CAMERA, height=1.2, keep_lifted=True)
    seen = poses.state == VISIBLE
    np.testing.assert_array_equal(poses.xy[seen], as_found.xy[seen])
    found = as_found.xyz_lifted
    np.testing.assert_allclose(CAMERA.project(poses.xyz_lifted), CAMERA.project(found), atol=1e-3)
    for person in range(3):
        # like the three people, the third without a leg
        assert height_of(found[:, person]) == pytest.approx(1.7, abs=0.1)
        assert height_of(poses.xyz_lifted[:, person]) == pytest.approx(1.2)
        assert height_of(poses.xyz[:, person]) == pytest.approx(1.2, abs=0.05)
        factor = poses.xyz_lifted[:, person] / found[:, person]
        np.testing.assert_allclose(factor[np.isfinite(factor)], 1.2 / height_of(found[:, person]), rtol=1e-4)


def test_a_person_without_a_bone_has_no_height():
    xyz = np.full((2, 15, 3), np.nan)
    xyz[:, MPI15.index("left_wrist")] = 1.0
    assert np.isnan(height_of(xyz))


# ------------------------------------------------------------------------------ occlupose.run, method hupor


def test_the_networks_of_a_file(tmp_path, monkeypatch):
    path = write_hupor(tmp_path / "net.safetensors")
    predictor = []
    predict_maps = predict.HUPORPredictor.predict_maps
    monkeypatch.setattr(
        predict.HUPORPredictor,
        "predict_maps",
        lambda self, image: (predictor.append((self.flip, image.shape)), predict_maps(self, image))[1],
    )
    poses = occlupose.run(video(tmp_path, 5), HUPOR(path, flip=True), every=2)
    assert predictor == [(True, (HEIGHT, WIDTH, 3))] * 3
    assert (len(poses), len(poses.track_id), poses.skeleton) == (3, 0, MPI15)
    assert poses.camera == Camera.from_fov(WIDTH, HEIGHT, 55, assumed=True)
    assert occlupose.run(tmp_path / "a.mp4", HUPOR(path), fov=70).camera == Camera.from_fov(WIDTH, HEIGHT, 70)
    assert occlupose.run(tmp_path / "a.mp4", HUPOR(path), camera=CAMERA).camera == CAMERA


def test_the_people_that_they_find(tmp_path, monkeypatch):
    monkeypatch.setattr(predict.HUPORPredictor, "__call__", lambda self, image, camera: people_in_rows(3))
    poses = occlupose.run(
        write_frame(tmp_path), HUPOR(write_hupor(tmp_path / "net.safetensors")), max_people=2, height=1.7
    )
    assert poses.track_id.tolist() == [1, 2] and np.isfinite(poses.xyz).all()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"max_people": 0}, ["max_people 0"]),
        ({"fov": 0.0}, ["fov 0"]),
        ({"height": 180.0}, ["height 180"]),
        ({"camera": Camera.from_fov(320, 240)}, ["320 x 240"]),
        ({"weights": Path("nope.safetensors")}, ["nope.safetensors", "train hupor"]),
        ({"weights": LIFTER}, [LIFTER.name, "not the weights of HUPOR", "train hupor"]),
        ({"device": "nope"}, ["device nope"]),
        ({"every": 0}, ["every 0"]),
    ],
)
def test_what_cannot_be(tmp_path, options, words):
    loading = {name: value for name, value in options.items() if name in ("weights", "device")}
    running = {name: value for name, value in options.items() if name not in loading}
    with pytest.raises(OccluposeError) as error:
        estimator = HUPOR(**({"weights": write_hupor(tmp_path / "net.safetensors")} | loading))
        occlupose.run(video(tmp_path, 3), estimator, **running)
    assert all(word in str(error.value) for word in words), error.value
    assert "; " in str(error.value) and "\n" not in str(error.value)


def test_without_weights(tmp_path, monkeypatch):
    monkeypatch.setattr(predict, "SHIPPED", tmp_path / "none.safetensors")
    with pytest.raises(
        OccluposeError, match="no weights of it ship with this version; give weights that `occlupose train hupor` wrote"
    ):
        HUPOR()
    write_hupor(predict.SHIPPED)
    assert len(HUPOR()(GREY, camera=CAMERA)) == 0


def test_weights_that_are_no_numbers(tmp_path):
    broken = write_hupor(tmp_path / "net.safetensors", broken="detector.upsamplers.0.levels.0.heads.flat.1.weight")
    with pytest.raises(OccluposeError, match=r"net\.safetensors: \S+ has values that are not numbers; give a"):
        HUPOR(broken)


@pytest.mark.parametrize("size", [(1, 1), (10, 20000)], ids=str)
def test_images_of_odd_sizes(tmp_path, size):
    write_image(tmp_path / "a.png", np.random.default_rng(0).integers(0, 256, (*size, 3), dtype=np.uint8))
    estimator = HUPOR(write_hupor(tmp_path / "net.safetensors"))
    with open_media(tmp_path / "a.png") as source:
        poses = run(source, estimator)
        viewer.preview(poses, source, tmp_path / "preview.png")
    assert len(poses) == 1


# ------------------------------------------------------------------------------------------------- live


def test_live_poses_are_those_of_the_whole(tmp_path, fixed):
    people = three_people(10)
    detections = predictions_when(people, "xxxxxxxxxx", "...xxxxxxx", ".xx.......")
    clip = video(tmp_path, 10)
    whole = run(clip, fixed(detections), camera=CAMERA, keep_lifted=True)
    live = list(stream(clip, fixed(detections), camera=CAMERA, keep_lifted=True))
    assert [frame.track_id.tolist() for frame in live] == [[1]] * 3 + [[1, 2]] * 7
    for number, frame in enumerate(live):
        expected = whole.select(slice(number, number + 1), frame.track_id.tolist())
        for name in ("time", "score", "state", "xyz_lifted"):
            np.testing.assert_array_equal(getattr(frame, name), getattr(expected, name))
        seen = frame.state == VISIBLE
        np.testing.assert_array_equal(frame.xy[seen], expected.xy[seen])
        np.testing.assert_array_equal(np.isfinite(frame.xyz), np.isfinite(expected.xyz))
        assert np.isfinite(frame.rotation).all() and frame.covariance is not None


def test_live_people_have_the_given_height(tmp_path, fixed):
    clip = video(tmp_path, 10)
    live = list(stream(clip, fixed(predictions_when(three_people(10), "x" * 10)), camera=CAMERA, height=1.2))
    assert height_of(live[-1].xyz[:, 0]) == pytest.approx(1.2, rel=0.05)
