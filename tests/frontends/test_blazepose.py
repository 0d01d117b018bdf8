import numpy as np
import pytest

from occlupose.assets import demo_clip
from occlupose.cameras import camera_from_fov
from occlupose.errors import OccluposeError
from occlupose.estimator import track
from occlupose.frontends import build_frontend
from occlupose.frontends.blazepose import BlazePose, _upright
from occlupose.media import Frame, open_media
from occlupose.methods.oanet.estimator import OANet
from occlupose.skeletons import BLAZEPOSE33, COCO17

PLAYERS = [[270, 310, 570, 1190], [530, 750, 1000, 1760]]  # boxes at the clip's start, by eye


def test_a_trunk_points_to_the_top_of_its_circle():
    xy = np.zeros((3, 39, 2))
    xy[:, BLAZEPOSE33.index("left_shoulder", "right_shoulder")] = [[10, -50], [-10, -50]]
    xy[2, BLAZEPOSE33.index("left_shoulder", "right_shoulder")] = [60, -50]
    regions = np.array([[0.0, 0, 10, -90], [0, 0, 10, 90], [0, 0, 0, -90]])
    np.testing.assert_array_equal(_upright(xy, regions), [True, False, False])


def test_unknown_name():
    with pytest.raises(
        OccluposeError, match=r"^nosuch: no such front end; give blazepose, a \.safetensors or an \.onnx file$"
    ):
        build_frontend("nosuch")


@pytest.fixture(scope="module")
def clip():
    with open_media(demo_clip()) as source:
        return [frame for frame in source if frame.index < 12]


@pytest.fixture(scope="module")
def blazepose():
    return BlazePose(threads=1)


def players(people):
    """Rows of the man and the woman, left to right. Whoever else is found must be the small bystander at the left
    edge.
    """
    rows = [row for row in people.boxes[:, 0].argsort() if people.boxes[row, 2] > 250]
    assert len(rows) == 2
    assert len(people) <= 3
    return rows


def follow(frontend, frames):
    frontend.reset()
    return [frontend(frame) for frame in frames]


@pytest.mark.assets
def test_the_two_people_of_the_clip(blazepose, clip):
    for people, frame in zip(follow(blazepose, clip), clip, strict=True):
        height, width = frame.image.shape[:2]
        assert ((people.boxes[:, None, :2] <= people.xy) & (people.xy <= people.boxes[:, None, 2:])).all()
        rows = players(people)
        np.testing.assert_allclose(people.boxes[rows], PLAYERS, atol=90)
        assert ((people.xy[rows] > 0) & (people.xy[rows] < [width, height])).all()
        assert (people.box_score[rows] > 0.9).all()
        shoulder = people.xy[rows, COCO17.index("left_shoulder")[0], 1]
        hip = people.xy[rows, COCO17.index("left_hip")[0], 1]
        ankle = people.xy[rows, COCO17.index("left_ankle")[0], 1]
        assert ((shoulder < hip) & (hip < ankle)).all()


@pytest.mark.assets
def test_the_woman_seen_from_behind_has_one_hidden_arm(blazepose, clip):
    """She stands half turned away; her right forearm is before her body."""
    people = follow(blazepose, clip[:1])[0]
    woman = people.score[players(people)[1]]
    assert woman.min() < 0.3
    assert woman[COCO17.index("left_shoulder", "right_shoulder", "left_hip", "right_hip")].min() > 0.9


@pytest.mark.assets
def test_the_same_frames_give_the_same_people(blazepose, clip):
    again = BlazePose(threads=1)
    for first, second in zip(follow(blazepose, clip[:4]), follow(again, clip[:4]), strict=True):
        for name in ("xy", "score", "boxes", "box_score"):
            np.testing.assert_array_equal(getattr(first, name), getattr(second, name))


@pytest.mark.assets
def test_small_people_are_found_by_tiles(clip):
    """The image shrunk into a corner of a large one: people of about 90 of 1200 px."""
    image = np.zeros((1200, 1200, 3), np.uint8)
    small = clip[0].image[::8, ::8]
    image[700 : 700 + small.shape[0], 300 : 300 + small.shape[1]] = small
    frame = Frame(0, 0.0, image)
    assert len(BlazePose(threads=1, tiles=False)(frame)) == 0
    people = BlazePose(threads=1)(frame)
    np.testing.assert_allclose(people.boxes[players(people)], np.array(PLAYERS) / 8 + [300, 700, 300, 700], atol=15)


@pytest.mark.assets
@pytest.mark.parametrize("shape", [(480, 640), (1, 1), (37, 1000), (1000, 37)])
def test_nobody_in_darkness_whatever_the_size(blazepose, shape):
    blazepose.reset()
    for index in range(5):
        people = blazepose(Frame(index, 0.0, np.zeros((*shape, 3), np.uint8)))
        assert people.xy.shape == (0, 17, 2)
        assert people.boxes.shape == (0, 4)


@pytest.mark.assets
def test_a_grey_image_is_accepted(blazepose, clip):
    grey = np.repeat(clip[0].image.mean(-1, keepdims=True).astype(np.uint8), 3, -1)
    blazepose.reset()
    people = blazepose(Frame(0, 0.0, grey))
    np.testing.assert_allclose(people.boxes[players(people)], PLAYERS, atol=90)


class Jittered:
    """The landmark network with its input a little off, as another decoder or scaler would bring it."""

    def __init__(self, network, jitter):
        self.network = network
        self.jitter = jitter
        self.random = np.random.default_rng(0)

    def __call__(self, image):
        return self.network(np.clip(self.jitter(self.random, image.astype(np.float32)), 0, 255).astype(np.float32))


JITTERS = {
    "last bit": lambda random, image: image * np.float32(1 / 255) * np.float32(255),
    "brightness": lambda random, image: image * (1 + random.uniform(-0.03, 0.03)),
    "noise": lambda random, image: image + random.normal(0, 2, image.shape),
}


@pytest.mark.slow
@pytest.mark.assets
@pytest.mark.parametrize("jitter", JITTERS.values(), ids=JITTERS)
def test_both_players_are_followed_throughout_however_the_input_jitters(jitter):
    frontend = BlazePose()
    frontend.landmarks = Jittered(frontend.landmarks, jitter)
    with open_media(demo_clip()) as source:
        seen = list(track(source, OANet(frontend), camera_from_fov(source.width, source.height)))
    assert all({1, 2} <= set(frame.track_id.tolist()) for frame in seen)
    # whoever else must be the small bystander at the left edge
    for other in range(3, 1 + max(max(frame.track_id) for frame in seen)):
        assert all(frame.xy[frame.track_id == other][..., 0].max(initial=0) < 250 for frame in seen)
