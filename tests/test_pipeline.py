"""The pipeline on people made of formulas, drawn onto grey video; a front end with given keypoints replaces
the networks.
"""

import gc
import threading
from collections.abc import Callable, Generator
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

import occlupose
from floor_people import angle_to, true_up
from media_files import EmptyCamera, make_video
from mocap_sequences import standing_pose
from occlupose.assets import demo_clip
from occlupose.cameras import Camera
from occlupose.detections import Detections
from occlupose.errors import OccluposeError
from occlupose.estimator import TrackingStage, track
from occlupose.flow import FlowSampler
from occlupose.frontends import build_frontend
from occlupose.kinematics import SkeletonFit, body_tree
from occlupose.media import Frame, Source, VideoWriter, open_media, write_image
from occlupose.methods.lifter import network as lifter_network
from occlupose.methods.lifter.lifting import TrackLifter
from occlupose.methods.lifter.network import LifterNetwork
from occlupose.methods.lifter.streaming import StreamLifter
from occlupose.methods.oanet import lifting
from occlupose.methods.oanet import weights as oanet_weights
from occlupose.methods.oanet.estimator import OANet
from occlupose.methods.oanet.network import OANetNetwork
from occlupose.networks.temporal_transformer import FUTURE
from occlupose.occlusion.confidence import discount_by_flow
from occlupose.pipeline import run, stream
from occlupose.poses import ABSENT, OCCLUDED, VISIBLE, FramePoses, Poses
from occlupose.poses_builder import PosesBuilder
from occlupose.pyramid import Pyramid
from occlupose.skeletons import COCO17, H36M17
from occlupose.tracking import Tracker
from walking_people import FPS, make_poses, walk

WIDTH = 640
HEIGHT = 360
CAMERA = Camera.from_fov(WIDTH, HEIGHT)
GREY = np.full((HEIGHT, WIDTH, 3), 128, np.uint8)


# ------------------------------------------------------------------------------------------- the world

PATHS: tuple[Callable[[np.ndarray], np.ndarray], ...] = (
    lambda time: np.stack([1.5 * np.cos(0.7 * time), 5 + 1.5 * np.sin(0.7 * time)], -1),
    lambda time: np.stack([-2 + 0.3 * time, 6 + 0 * time], -1),
    lambda time: np.stack([1.5 - 0.2 * time, 4 + 0.1 * time], -1),
    lambda time: np.stack([0.8 + 0 * time, 7 - 0.1 * time], -1),
)


def world(seconds: float, fps: float) -> Poses:
    """Four people walking, as COCO-17 in 2D; the face, which the walking people lack, is put above the shoulders."""
    walked = np.stack([walk(path, round(seconds * FPS) + 2) for path in PATHS], 1)
    time = np.arange(round(seconds * fps)) / fps
    before, share = np.divmod(time * FPS, 1)
    share = share[:, None, None, None]
    over = walked[before.astype(int)] * (1 - share) + walked[before.astype(int) + 1] * share
    poses = replace(make_poses(*over.transpose(1, 0, 2, 3), width=WIDTH, height=HEIGHT), time=time, fps=fps).to(COCO17)
    face = np.isnan(poses.xy)
    xy = np.where(face, poses.xy[:, :, COCO17.index("left_shoulder")] + np.float32([0, -15]), poses.xy)
    return replace(
        poses,
        xy=xy,
        xyz=None,
        camera=None,
        score=np.where(face[..., 0], 0.6, poses.score),
        state=np.full(xy.shape[:3], VISIBLE),
    )


def tracked_frames(poses: Poses, there: Callable[[int, float], bool], seed: int = 0) -> list[FramePoses]:
    """The people (ids 1, 2, ...) at the times when they are there, with noise of a pixel and a fifth of the joints
    hidden for a while.
    """
    generator = np.random.default_rng(seed)
    frames, people, joints = poses.state.shape
    xy = (poses.xy + generator.normal(0, 1, poses.xy.shape)).astype(np.float32)
    hidden = (generator.random((frames // 5 + 1, people, joints)) < 0.2).repeat(5, 0)[:frames]
    score = np.where(hidden, 0.1, 0.9).astype(np.float32)
    state = np.where(hidden, OCCLUDED, VISIBLE).astype(np.uint8)
    result = []
    for frame, time in enumerate(poses.time.tolist()):
        rows = [person for person in range(people) if there(person, time)]
        track_id = np.array(rows, np.int64) + 1
        result.append(FramePoses(time, track_id, xy[frame, rows], score[frame, rows], state[frame, rows]))
    return result


@dataclass
class FixedKeypoints:
    """A front end with given people: COCO-17 joints (time, person, 17, 2) px, NaN for people who are absent.

    spread: (time, person, 17) px; by default unknown.
    """

    xy: np.ndarray
    spread: np.ndarray | None = None
    name = "scripted"
    skeleton = COCO17
    min_joint_confidence = 0.3
    since_reset = -1

    def reset(self) -> None:
        self.since_reset = 0

    def __call__(self, frame: Frame) -> Detections:
        assert self.since_reset == frame.index, "every source starts with a reset"
        self.since_reset += 1
        xy = self.xy[frame.index]
        there = np.isfinite(xy).all((1, 2))
        xy = xy[there].astype(np.float32)
        score = np.full(xy.shape[:2], 0.8, np.float32)
        spread = None if self.spread is None else self.spread[frame.index][there]
        return Detections(skeleton=COCO17, xy=xy, score=score, box_score=np.ones(len(xy), np.float32), spread=spread)


def figures(*presence: str) -> np.ndarray:
    """(time, person, 17, 2): people side by side, a word for each, a letter for each frame: where it is '.', they are
    not there.
    """
    standing = standing_pose()[: len(COCO17), :2] * (115, -115) + (0, 95)
    xy = np.full((len(presence[0]), len(presence), 17, 2), np.nan)
    for person, letters in enumerate(presence):
        for frame, letter in enumerate(letters):
            if letter != ".":
                xy[frame, person] = standing + np.array([80 + 110 * person, 180])
    return xy


def video(folder: Path, frames: int, fps: int = 10) -> Path:
    return make_video(folder / "a.mp4", images=[GREY] * frames, size=(WIDTH, HEIGHT), fps=fps)


def ids_of(frames: list[FramePoses]) -> list[list[int]]:
    return [frame_poses.track_id.tolist() for frame_poses in frames]


def track_people(source: Source, frontend: FixedKeypoints, **options: object) -> Generator[FramePoses, None, None]:
    """Detects and tracks with this front end."""
    return track(source, OANet(frontend), Camera.from_fov(source.width, source.height), **options)


@pytest.fixture(scope="module")
def lifter() -> LifterNetwork:
    """Small, with random weights."""
    torch.manual_seed(0)
    return LifterNetwork(32, 2).eval()


# ------------------------------------------------------------------------------------------------ track


def test_ids_begin_with_the_first_frame_and_false_positives_get_none(tmp_path):
    frontend = FixedKeypoints(figures("xxxxxxxx", "...xxxxx", ".x......", ".......x"))
    with open_media(video(tmp_path, 8)) as source:
        tracked = list(track_people(source, frontend))
        assert ids_of(tracked) == [[1], [1], [1], [1, 2], [1, 2], [1, 2], [1, 2], [1, 2]]
        assert [frame_poses.time for frame_poses in tracked] == pytest.approx(np.arange(8) / 10)
        np.testing.assert_allclose(tracked[3].xy, frontend.xy[3, :2], rtol=1e-5)
        assert ids_of(list(track_people(source, frontend))) == ids_of(tracked)  # a second time: everything starts again


@pytest.mark.parametrize(("min_joint_confidence", "state"), [(0.79, VISIBLE), (0.81, OCCLUDED)])
def test_the_front_end_says_from_which_confidence_on_a_joint_is_visible(tmp_path, min_joint_confidence, state):
    frontend = FixedKeypoints(figures("xxx"))
    frontend.min_joint_confidence = min_joint_confidence
    estimator = OANet(frontend)
    with open_media(video(tmp_path, 3)) as source:
        camera = Camera.from_fov(source.width, source.height)
        tracked = list(track(source, estimator, camera))
        frontend.reset()
        detected = estimator.detect(next(iter(source)), camera)
    assert [(frame_poses.state == state).all() for frame_poses in tracked] == [True] * 3
    assert (detected.state == state).all() and detected.state.shape == (1, 17)


@pytest.mark.parametrize("count", [0, 1, 2])
def test_a_single_image_gets_ids(tmp_path, count):
    write_image(tmp_path / "a.png", GREY)
    (only,) = track_people(
        open_media(tmp_path / "a.png"), FixedKeypoints(figures(*"xxx"[:count]) if count else np.zeros((1, 0, 17, 2)))
    )
    assert only.track_id.tolist() == [1, 2, 3][:count]
    assert (only.state == VISIBLE).all() and only.state.shape == (count, 17)
    np.testing.assert_allclose(only.score, 0.8)


def test_a_single_frame_of_a_stream_without_a_count_gets_ids(tmp_path):
    with open_media(video(tmp_path, 2).as_uri()) as source:  # of which opening takes one
        assert source.live and source.count is None
        assert ids_of(list(track_people(source, FixedKeypoints(figures("x"))))) == [[1]]


def test_nobody_at_all(tmp_path):
    with open_media(video(tmp_path, 5)) as source:
        assert ids_of(list(track_people(source, FixedKeypoints(np.zeros((5, 0, 17, 2)))))) == [[]] * 5
        poses = run(source, OANet(FixedKeypoints(np.zeros((5, 0, 17, 2)))), keep_lifted=True)
        streamed = list(stream(source, OANet(FixedKeypoints(np.zeros((5, 0, 17, 2)))), keep_lifted=True))
    assert (len(poses), len(poses.track_id), poses.skeleton, poses.world) == (5, 0, H36M17, None)
    assert_streamed(streamed, poses)
    for name in ("a.npz", "a.json"):
        poses.save(tmp_path / name)
        assert Poses.load(tmp_path / name) == poses


def test_no_frames_at_all():
    frontend = FixedKeypoints(np.zeros((0, 0, 17, 2)))
    assert list(track_people(EmptyCamera(WIDTH, HEIGHT), frontend)) == []
    assert list(stream(EmptyCamera(WIDTH, HEIGHT), OANet(frontend))) == []
    poses = run(EmptyCamera(WIDTH, HEIGHT), OANet(frontend))
    assert (len(poses), len(poses.track_id)) == (0, 0)


def test_the_first_person_stays(tmp_path):
    #                            at 10 frames/s; the tracker waits for 2 s
    presence = ("xxxxx...............xxxxx..........................", "x" * 51, "..x" + "x" * 48, "x" * 51)
    with open_media(video(tmp_path, 51)) as source:
        everybody = ids_of(list(track_people(source, FixedKeypoints(figures(*presence)))))
        two = ids_of(list(track_people(source, FixedKeypoints(figures(*presence)), max_people=2)))
    assert everybody[0] == [1, 2, 3] and everybody[24] == [1, 2, 3, 4] and everybody[50] == [2, 3, 4]
    assert two[:5] == [[1, 2]] * 5
    assert two[5:20] == [[2]] * 15, "a person who is hidden for a while keeps their place"
    assert two[20:25] == [[1, 2]] * 5
    assert two[25:44] == [[2]] * 19 and two[45:] == [[2, 3]] * 6, "after 2 s it is somebody else's"


def test_the_sampler_equals_tracker_and_flow_one_after_the_other(tmp_path):
    generator = np.random.default_rng(0)
    texture = generator.integers(0, 256, (HEIGHT // 4, WIDTH // 4, 3), dtype=np.uint8).repeat(4, 0).repeat(4, 1)
    with VideoWriter(tmp_path / "a.mp4", WIDTH, HEIGHT, 10) as out:
        for shift in range(12):
            out.write(np.roll(texture, 2 * shift, 1))
    xy = figures("xxxxxxxxxxxx", "..xxxxxx.xxx") + 2 * np.arange(12)[:, None, None, None] * (1, 0)
    wrist = COCO17.index("left_wrist")[0]
    xy[6, 0, wrist, 1] += 100  # half a box side, against the flow
    with open_media(tmp_path / "a.mp4") as source:
        tracked = list(track_people(source, FixedKeypoints(xy)))
        tracker = Tracker()
        meter = FlowSampler()
        frontend = FixedKeypoints(xy)
        moments = []
        moved = []
        frontend.reset()
        for frame in source:
            people = frontend(frame)
            moments.append((people, tracker.update(people, frame.time)))
            moved.append(meter.update(frame.pyramid, people.boxes, people.xy, moments[-1][1].track_numbers))
    for frame_poses, (people, who), answer in zip(tracked, moments, [*moved[1:], meter.finish()], strict=True):
        ids = who.ids
        expected = discount_by_flow(people.score, answer.motion, answer.flow)[np.argsort(ids)][(ids < 0).sum() :]
        np.testing.assert_allclose(frame_poses.score[: len(expected)], expected, atol=1e-6)
    states = np.stack([frame_poses.state[0] for frame_poses in tracked])
    doubted = np.argwhere(states != VISIBLE)
    assert doubted.tolist() == [[5, wrist], [6, wrist]], (
        "the wrist that leaps there and back, before and after, and nothing else"
    )


def test_swapped_sides_are_put_right(tmp_path):
    """In a person who stands still; the other person stays as they are."""
    true = figures("x" * 16, "x" * 16)
    xy = true.copy()
    xy[5:9, 0] = true[5:9, 0][:, list(COCO17.mirror)]
    with open_media(video(tmp_path, 16, fps=30)) as source:
        tracked = list(track_people(source, FixedKeypoints(xy)))
    np.testing.assert_allclose(np.stack([frame.xy for frame in tracked]), true, rtol=1e-6)
    assert all((frame.state == VISIBLE).all() for frame in tracked)


@pytest.mark.parametrize("flow", ["dis", None])
def test_the_spread_of_a_keypoint_is_in_the_record(tmp_path, flow):
    """That of the person and the side whose keypoint it is."""
    true = figures("x" * 16, "..." + "x" * 13)
    spread = np.random.default_rng(0).uniform(1, 9, true.shape[:3])
    spread[:, :, 0] = np.nan
    mirror = list(COCO17.mirror)
    xy = true.copy()
    given = spread.copy()
    if flow:
        xy[5:9, 0] = true[5:9, 0][:, mirror]
        given[5:9, 0] = spread[5:9, 0][:, mirror]
    estimator = OANet(FixedKeypoints(xy, given), flow=flow)
    poses = run(video(tmp_path, 16, fps=30), estimator, keep_lifted=True)
    np.testing.assert_allclose(poses.observed.spread[:, 0], spread[:, 0], rtol=1e-6)
    np.testing.assert_allclose(poses.observed.spread[3:, 1], spread[3:, 1], rtol=1e-6)
    assert np.isnan(poses.observed.spread[:3, 1]).all() and poses.spread is None
    assert_streamed(list(stream(tmp_path / "a.mp4", estimator, keep_lifted=True)), poses)


def test_without_spreads_there_are_none_in_the_record(tmp_path):
    unknown = np.full((6, 1, 17), np.nan)
    for spread in (None, unknown):
        frontend = FixedKeypoints(figures("xxxxxx"), spread)
        assert run(video(tmp_path, 6), OANet(frontend)).observed.spread is None
    with open_media(tmp_path / "a.mp4") as source:
        assert all(frame.spread is None for frame in track_people(source, frontend))


def test_the_spread_of_a_keypoint_in_one_image():
    class Unlifted(OANet):
        def finish(self, tracks: Poses, height: float | None = None) -> Poses:
            return tracks

    spread = np.arange(17.0)[None, None]
    people = Unlifted(FixedKeypoints(figures("x"), spread))(GREY)
    np.testing.assert_array_equal(people.spread, spread[0])
    assert np.isnan(OANet(FixedKeypoints(figures("x"), spread))(GREY).spread).all()


def test_absent_joints_have_no_spread():
    """Whatever the front end says of them."""
    xy = figures("x")[0].astype(np.float32)
    xy[0, 3] = np.nan
    stage = TrackingStage((WIDTH, HEIGHT), None, None, 0.3)
    spread = np.full((1, 17), 2.0)
    found = Detections(skeleton=COCO17, xy=xy, score=np.full((1, 17), 0.8, np.float32), spread=spread)
    stage.update(Frame(0, 0.0, GREY), found)
    (frame_poses,) = stage.finish()
    assert frame_poses.spread.dtype == np.float32 and np.isnan(frame_poses.spread[0]).nonzero()[0].tolist() == [3]
    assert np.nanmin(frame_poses.spread) == np.nanmax(frame_poses.spread) == 2


def test_another_flow_is_used(tmp_path):
    """A flow with large motion at some pixels, in a video in which nobody moves."""

    def leaping(first: np.ndarray, second: np.ndarray) -> np.ndarray:
        field = np.zeros((*first.shape[:2], 2), np.float32)
        field[: len(field) // 2, :, 0] = 1000
        return field

    clip = video(tmp_path, 6)
    frontend = FixedKeypoints(figures("xxxxxx"))
    still = run(clip, OANet(frontend, flow="dis")).observed
    poses = run(clip, OANet(frontend, flow=leaping)).observed
    assert (still.state == VISIBLE).all()
    head = frontend.xy[0, 0, :, 1].argmin()
    feet = frontend.xy[0, 0, :, 1].argmax()
    assert (poses.state[:, 0, head] == OCCLUDED).all() and (poses.state[:, 0, feet] == VISIBLE).all()
    streamed = list(stream(clip, OANet(frontend, flow=leaping)))
    np.testing.assert_array_equal(np.concatenate([now.observed.state for now in streamed]), poses.state)


@pytest.mark.parametrize(
    ("options", "words"), [({"flip": True}, "flip: scripted"), ({"boxes": Path("boxes.json")}, "boxes.json: scripted")]
)
def test_a_front_end_that_needs_more_options_is_refused(options, words):
    with pytest.raises(OccluposeError, match=f"{words} is built already; give "):
        OANet(FixedKeypoints(figures("xx")), **options)


def test_an_unknown_flow_is_refused_before_networks_are_loaded(tmp_path):
    with pytest.raises(OccluposeError, match="flow pwc"):
        OANet(tmp_path / "nope.onnx", flow="pwc")


def test_without_flow_confidence_is_as_detected(tmp_path):
    frontend = FixedKeypoints(figures("xxxxxx"))
    with open_media(video(tmp_path, 6)) as source:
        frames = list(track(source, OANet(frontend, flow=None), CAMERA))
    assert all((frame.score == np.float32(0.8)).all() and (frame.state == VISIBLE).all() for frame in frames)


def test_a_reader_who_stops_leaves_no_thread(tmp_path):
    before = set(threading.enumerate())
    with open_media(video(tmp_path, 30)) as source:
        reader = track_people(source, FixedKeypoints(figures("x" * 30)))
        assert next(reader).track_id.tolist() == [1]
        reader.close()
    gc.collect()
    assert set(threading.enumerate()) == before


def test_an_error_of_the_frontend_is_raised(tmp_path):
    class Broken(FixedKeypoints):
        def __call__(self, frame: Frame) -> Detections:
            if frame.index == 8:
                raise OccluposeError("network.onnx: broke; mend it")
            return super().__call__(frame)

    taken = []
    with open_media(video(tmp_path, 10)) as source, pytest.raises(OccluposeError, match="mend it"):
        for frame_poses in track_people(source, Broken(figures("x" * 10))):
            taken.append(frame_poses.time)
    assert len(taken) == 3  # the others might have been ghosts, or were not tracked yet


def test_an_error_while_tracking_is_raised_and_leaves_nothing_behind(tmp_path, monkeypatch):
    def broken(tracker: Tracker, detections: Detections, time: float, image: Pyramid) -> None:
        raise ValueError("shape")

    before = set(threading.enumerate())
    threads = cv2.getNumThreads()
    monkeypatch.setattr(Tracker, "update", broken)
    with open_media(video(tmp_path, 8)) as source, pytest.raises(ValueError, match="shape"):
        list(track_people(source, FixedKeypoints(figures("x" * 8))))
    gc.collect()
    assert set(threading.enumerate()) == before
    assert cv2.getNumThreads() == threads


def test_other_weights_are_used(tmp_path, lifter):
    lifter_network.save(lifter.state_dict(), lifter, tmp_path / "mine.safetensors")
    clip = video(tmp_path, 12)
    frontend = FixedKeypoints(figures("x" * 12))
    estimator = OANet(frontend, weights=tmp_path / "mine.safetensors")
    mine = run(clip, estimator, keep_lifted=True)
    network = lifting.load_lifter(weights=tmp_path / "mine.safetensors")
    again = lifting.lift(mine.observed, lifter=network, keep_lifted=True)
    np.testing.assert_allclose(mine.xyz_lifted, again.xyz_lifted, atol=1e-5)
    assert np.abs(mine.xyz - run(clip, OANet(frontend)).xyz).max() > 0.05
    assert_streamed(list(stream(clip, estimator, keep_lifted=True)), mine)


def test_weights_of_oanet_s_own_networks_are_used_but_not_streamed(tmp_path):
    torch.manual_seed(0)
    oanet = OANetNetwork(8)
    torch.nn.init.normal_(oanet.tcn_3d.out.weight)
    oanet_weights.save(oanet.state_dict(), oanet, tmp_path / "oanet.safetensors")
    clip = video(tmp_path, 12)
    estimator = OANet(FixedKeypoints(figures("x" * 12)), weights=tmp_path / "oanet.safetensors")
    poses = run(clip, estimator, keep_lifted=True)
    network = oanet_weights.load(tmp_path / "oanet.safetensors")
    again = lifting.lift(poses.observed, lifter=network, keep_lifted=True)
    np.testing.assert_allclose(poses.xyz_lifted, again.xyz_lifted, atol=1e-5)
    assert np.isfinite(poses.xyz).all() and np.ptp(poses.xyz - poses.xyz[:, :, :1]) > 0.05
    with pytest.raises(OccluposeError, match=r"weights: OANet's own networks take whole windows, not streams; use run"):
        next(stream(clip, estimator))


# ----------------------------------------------------------------------------------------------- record


def test_record_as_arrays():
    def frame_poses(time: float, *ids: int) -> FramePoses:
        value = np.array(ids, np.float32)
        xy = np.broadcast_to(value[:, None, None] + time, (len(ids), 17, 2)).astype(np.float32)
        return FramePoses(
            time, np.array(ids), xy, np.repeat(value[:, None] / 10, 17, 1), np.full((len(ids), 17), VISIBLE, np.uint8)
        )

    frames = [frame_poses(0.5, 2, 7), frame_poses(0.6), frame_poses(0.7, 7), frame_poses(0.8, 1, 7)]
    record = PosesBuilder(COCO17, 10, CAMERA, frames=frames)
    poses = record.poses()
    assert record.track_ids == poses.track_id.tolist() == [1, 2, 7]
    assert poses.time.tolist() == [0.5, 0.6, 0.7, 0.8]
    assert (poses.state.max(-1) == [[0, 2, 2], [0, 0, 0], [0, 0, 2], [2, 0, 2]]).all()
    np.testing.assert_allclose(poses.xy[0, 1:, 0, 0], [2.5, 7.5])
    np.testing.assert_allclose(poses.xy[3, :, 16, 1], [1.8, np.nan, 7.8])
    np.testing.assert_allclose(poses.score[3, :, 0], [0.1, 0, 0.7])
    assert (poses.width, poses.height, poses.fps, poses.skeleton, poses.xyz) == (WIDTH, HEIGHT, 10, COCO17, None)


def test_empty_record():
    poses = PosesBuilder(COCO17, 10, CAMERA).poses()
    assert poses.xy.shape == (0, 0, 17, 2)


# -------------------------------------------------------------------------------------------------- run


@pytest.fixture(scope="module")
def ran(tmp_path_factory):
    """What is made of the four people: them, the record, and how many were in each frame."""
    truth = world(1.5, 10)
    counts: list[int] = []
    clip = video(tmp_path_factory.mktemp("ran"), 15)
    return truth, run(clip, OANet(FixedKeypoints(truth.xy)), progress=lambda frame: counts.append(len(frame))), counts


def test_run(tmp_path, ran):
    truth, poses, counts = ran
    assert (len(poses), poses.track_id.tolist(), poses.skeleton, poses.fps) == (15, [1, 2, 3, 4], H36M17, 10)
    assert counts == [4] * 15
    assert poses.camera == Camera.from_fov(WIDTH, HEIGHT, 55, assumed=True)
    assert poses.observed is not None and poses.observed.skeleton == COCO17
    order = [int(np.abs(poses.observed.xy[0] - truth.xy[0, person]).mean((1, 2)).argmin()) for person in range(4)]
    np.testing.assert_allclose(poses.observed.xy[:, order], truth.xy, atol=1e-3)
    ankle = H36M17.index("left_ankle")[0]
    own = COCO17.index("left_ankle")[0]
    visible = poses.observed.state[:, :, own] == VISIBLE
    assert visible.any() and not visible.all(), "some are below the picture's edge"
    assert ((poses.state[:, :, ankle] == VISIBLE) == visible).all()
    # what was seen keeps its pixels
    np.testing.assert_allclose(poses.xy[:, :, ankle][visible], poses.observed.xy[:, :, own][visible])
    assert np.isfinite(poses.xyz).all() and (poses.xyz[..., 2] > 0.3).all()
    assert (
        len(
            run(
                video(tmp_path, 15),
                OANet(FixedKeypoints(truth.xy[3::2])),
                every=2,
                start=0.25,
                end=1.0,
                max_people=3,
            ).track_id
        )
        == 3
    )


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"max_people": 0}, "max_people 0"),
        ({"max_people": -3}, "max_people -3"),
        ({"fov": 0.0}, "fov 0"),
        ({"fov": 180.0}, "fov 180"),
        ({"fov": float("nan")}, "fov nan"),
        ({"height": 180.0}, "height 180"),
        ({"height": float("nan")}, "height nan"),
        ({"up": (0.0, 0.0, 0.0)}, "up (0.0, 0.0, 0.0)"),
        ({"up": (0.0, float("nan"), 1.0)}, "up (0.0, nan, 1.0)"),
        ({"camera": Camera.from_fov(320, 180)}, "320 x 180"),
        ({"every": 0}, "every 0"),
        ({"start": 2.0, "end": 1.0}, "start 2"),
        ({"start": 7.0}, "from 7 s on"),
    ],
)
@pytest.mark.parametrize("function", [run, stream], ids=lambda function: function.__name__)
def test_what_cannot_be(tmp_path, function, options, words):
    estimator = OANet(FixedKeypoints(figures("xxx")))
    with pytest.raises(OccluposeError) as error:
        list(function(video(tmp_path, 3), estimator, **options))
    assert words in str(error.value) and "; " in str(error.value) and "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"frontend": "nope"}, "nope"),
        ({"frontend": "nope.onnx"}, "nope.onnx"),
        ({"weights": "nope.safetensors"}, "nope.safetensors"),
        ({"device": "nope"}, "device nope"),
    ],
)
def test_what_oanet_cannot_be(options, words):
    with pytest.raises(OccluposeError) as error:
        OANet(**({"frontend": FixedKeypoints(figures("xxx"))} | options))
    assert words in str(error.value) and "; " in str(error.value) and "\n" not in str(error.value)


def test_people_are_rigid_skeletons_on_the_floor(ran):
    _, poses, _ = ran
    skeletons = SkeletonFit.of(poses)
    np.testing.assert_allclose(skeletons.joints(H36M17), poses.xyz, atol=1e-4)
    bones = np.linalg.norm(skeletons.xyz[:, :, 1:] - skeletons.xyz[:, :, list(body_tree().start)], axis=-1)
    np.testing.assert_allclose(bones, np.broadcast_to(poses.bone_lengths, bones.shape), atol=1e-4)
    assert angle_to(poses.world.up, true_up()) < 8
    assert poses.xyz_world[..., 2].min() > -0.1 and 1.3 < poses.xyz_world[..., 2].max() < 2.2
    assert poses.contact.max() > 0.5 and np.isfinite(poses.shape).all()
    assert poses.xyz_lifted is None


def test_up_that_is_given_is_taken(tmp_path):
    up = (0.3, -2.0, 0.1)
    clip = video(tmp_path, 14)
    estimator = OANet(FixedKeypoints(figures("x" * 14)))
    camera = Camera.from_fov(WIDTH, HEIGHT)
    for options in (
        {"up": up},
        {"camera": replace(camera, up=up)},
        {"camera": replace(camera, up=(1, 0, 0)), "up": up},
    ):
        np.testing.assert_allclose(run(clip, estimator, **options).world.up, up / np.linalg.norm(up), atol=1e-5)
        live = list(stream(clip, estimator, **options))
        assert all(single.world is None for single in live[:10]), "it takes a second"
        np.testing.assert_allclose(live[-1].world.up, up / np.linalg.norm(up), atol=1e-5)


def test_where_nothing_tells_the_floor_the_world_is_unknown_and_that_is_said(tmp_path):
    moving = figures("x" * 12) + 40.0 * np.arange(12)[:, None, None, None] * (1, 0)
    with pytest.warns(UserWarning, match=r"^up and the floor are unknown: nobody touches the floor$"):
        poses = run(video(tmp_path, 12), OANet(FixedKeypoints(moving), flow=None))
    assert poses.world is None and poses.contact is None and poses.rotation is not None


def test_an_image_in_an_array():
    frontend = FixedKeypoints(figures("x", "x", "."))
    people = OANet(frontend)(GREY, height=1.7)
    assert (len(people), people.skeleton) == (2, H36M17) and np.isfinite(people.xyz).all()
    again = OANet(frontend)(GREY, camera=CAMERA)
    assert np.abs(again.xyz[..., 2] - people.xyz[..., 2]).max() > 0.01
    nobody = OANet(FixedKeypoints(np.zeros((1, 0, 17, 2))))(GREY)
    assert len(nobody) == 0 and nobody.xyz.shape == (0, 17, 3)
    with pytest.raises(OccluposeError, match="fov 0"):
        OANet(frontend)(GREY, fov=0)


def test_an_estimator_is_used_again(tmp_path):
    estimator = OANet(FixedKeypoints(figures("xxxxxx")))
    first = run(video(tmp_path, 6), estimator)
    assert run(tmp_path / "a.mp4", estimator) == first


def test_an_open_source_has_its_own_window(tmp_path):
    with open_media(video(tmp_path, 6), every=2) as source:
        assert len(run(source, OANet(FixedKeypoints(figures("xxx"))))) == 3
        with pytest.raises(OccluposeError, match="open already"):
            run(source, OANet(FixedKeypoints(figures("xxx"))), every=3)


def test_ctrl_c_is_the_callers(tmp_path):
    def interrupt(frame_poses: FramePoses) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(video(tmp_path, 6), OANet(FixedKeypoints(figures("xxxxxx"))), progress=interrupt)


@pytest.mark.assets
def test_run_prints_nothing_and_writes_nothing(tmp_path, monkeypatch, capfd):
    write_image(tmp_path / "a.png", GREY[:90, :120])
    monkeypatch.chdir(tmp_path)
    poses = occlupose.run("a.png")
    assert isinstance(poses, Poses) and (len(poses), len(poses.track_id)) == (1, 0)
    assert capfd.readouterr() == ("", "")
    assert [path.name for path in tmp_path.iterdir()] == ["a.png"]


# ----------------------------------------------------------------------------------------------- stream


def presence(person: int, time: float) -> bool:
    """A person who is lost for nearly as long as the tracker waits; who comes and goes; two short visits; who comes at
    the end.
    """
    return {
        0: not 4 <= time < 5.95,
        1: 3.01 <= time < 9.3 and not 8 <= time < 9.2,
        2: 1 <= time < 1.2 or 2.9 <= time < 3.5,
        3: time >= 9.7,
    }[person]


def assert_streamed(given: list[Poses], whole: Poses) -> None:
    """The same frames, people, states, scores and lifted joints; skeletons are fitted to them in other ways."""
    assert len(given) == len(whole)
    for frame, single in enumerate(given):
        expected = expected_frame(single, whole, frame)
        np.testing.assert_allclose(single.xyz_lifted, expected.xyz_lifted, atol=1e-5)
        seen = single.state == VISIBLE
        np.testing.assert_allclose(single.xy[seen], expected.xy[seen], atol=0.01)
        np.testing.assert_array_equal(np.isfinite(single.xyz), np.isfinite(expected.xyz))
        np.testing.assert_array_equal(np.isfinite(single.rotation), np.isfinite(expected.rotation))


def assert_lifted(given: list[Poses], whole: Poses) -> None:
    """The same frames, people, states, scores and joints, as a lifter gives them."""
    assert len(given) == len(whole)
    for frame, single in enumerate(given):
        assert_frame(single, whole, frame)


def assert_frame(single: Poses, whole: Poses, frame: int) -> None:
    """A record of one frame is that frame of the whole."""
    expected = expected_frame(single, whole, frame)
    np.testing.assert_allclose(single.xyz, expected.xyz, atol=1e-5)
    np.testing.assert_allclose(single.xy, expected.xy, atol=0.01)
    np.testing.assert_allclose(single.covariance, expected.covariance, rtol=0.01, atol=1e-6)


def expected_frame(single: Poses, whole: Poses, frame: int) -> Poses:
    """A frame of the whole, without those who are absent in it, whose people, states and scores are the given ones."""
    expected = whole.select(slice(frame, frame + 1))
    expected = expected.select(person=expected.track_id[(expected.state[0] != ABSENT).any(-1)])
    assert (single.track_id.tolist(), single.time) == (expected.track_id.tolist(), expected.time)
    assert (single.state == expected.state).all() and (single.score == expected.score).all()
    assert single.observed == expected.observed
    return expected


@pytest.mark.parametrize(("fps", "height", "latency"), [(30, 1.8, 0.3), (10, 1.6, 0.0), (24, None, 1.0)])
def test_a_streamed_frame_is_lifted_as_if_the_video_ended_after_the_latency(lifter, fps, height, latency):
    frames = tracked_frames(world(12.0, fps), presence)
    lift = TrackLifter(Camera.from_fov(WIDTH, HEIGHT), height, lifter)
    streaming = StreamLifter(lift, PosesBuilder(COCO17, fps, CAMERA), latency)
    given = []
    for number, frame_poses in enumerate(frames):
        given += streaming.update(frame_poses)
        assert number + 1 - len(given) <= latency * fps + 1e-3, "no frame waits for longer"
    given += streaming.finish()
    assert len(given) == len(frames)
    for frame in range(len(frames) // 9, len(frames), len(frames) // 3):
        known = [frame_poses for frame_poses in frames if frame_poses.time <= frames[frame].time + latency + 1e-4]
        assert_frame(given[frame], lift(PosesBuilder(COCO17, fps, CAMERA, frames=known).poses()), frame)


def test_streaming_anybody_at_any_time(lifter):
    generator = np.random.default_rng(3)
    toggles = [np.cumsum(generator.uniform(0.1, 1.9, 20)) + generator.uniform(0, 4) for _ in PATHS]
    frames = tracked_frames(
        world(14.0, 10), lambda person, time: np.searchsorted(toggles[person], time) % 2 == 1, seed=3
    )
    record = PosesBuilder(COCO17, 10, CAMERA, frames=frames)
    lift = TrackLifter(Camera.from_fov(WIDTH, HEIGHT), None, lifter)
    streaming = StreamLifter(lift, PosesBuilder(COCO17, 10, CAMERA))
    given = [single for frame_poses in frames for single in streaming.update(frame_poses)]
    assert_lifted(given + streaming.finish(), lift(record.poses()))


@pytest.mark.parametrize("frames", [1, 5])
def test_streaming_what_is_shorter_than_the_latency(tmp_path, frames):
    frontend = FixedKeypoints(figures("x" * frames, "." * (frames // 2) + "x" * (frames - frames // 2)))
    whole = run(video(tmp_path, frames), OANet(frontend), keep_lifted=True)
    assert_streamed(list(stream(tmp_path / "a.mp4", OANet(frontend), keep_lifted=True)), whole)


def test_a_stream_takes_the_latency_that_is_asked_for(tmp_path):
    clip = video(tmp_path, 12)
    estimator = OANet(FixedKeypoints(figures("x" * 12)))
    whole = run(clip, estimator, keep_lifted=True)
    assert_streamed(list(stream(clip, estimator, latency=10, keep_lifted=True)), whole)
    at_once = list(stream(clip, estimator, latency=0, keep_lifted=True))
    assert [single.time[0] for single in at_once] == pytest.approx(whole.time)
    assert np.abs(at_once[3].xyz_lifted[0] - whole.xyz_lifted[3]).max() > 1e-4
    for latency in (-0.1, float("nan")):
        with pytest.raises(OccluposeError, match=f"latency {latency}: give seconds, 0 or more"):
            next(stream(clip, estimator, latency=latency))


@pytest.mark.assets
def test_streaming_the_real_thing(tmp_path):
    images = [frame.image[::3, ::3] for frame in open_media(demo_clip(), every=6)]
    with VideoWriter(tmp_path / "a.mp4", images[0].shape[1], images[0].shape[0], 10) as out:
        for image in images + images[-2:0:-1]:
            out.write(image)
    frontend = build_frontend(threads=1)
    options = {"height": 1.75, "keep_lifted": True}
    whole = run(tmp_path / "a.mp4", OANet(frontend), **options)
    assert len(whole.track_id) >= 2 and len(whole) > FUTURE * 10
    assert_streamed(list(stream(tmp_path / "a.mp4", OANet(frontend), **options)), whole)
