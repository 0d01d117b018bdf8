"""Person detectors and one-stage networks: where the painted people are found, and what is left out."""

import numpy as np
import pytest

from occlupose.detections import FrameBoxes
from occlupose.errors import OccluposeError
from occlupose.frontends import build_detector, build_frontend
from occlupose.frontends.crops import TopDownFrontend
from occlupose.frontends.onnx import OnnxPeople, load_network
from occlupose.media import Frame
from onnx_networks import IMAGENET_BGR, SimCC, constant, export, paint, write_json
from onnx_networks import Detections as DetectionsNetwork
from onnx_networks import People as PeopleNetwork
from onnx_networks import RawYOLOX as RawNetwork

SIZE = {"width": 320, "height": 256}


@pytest.fixture(scope="module")
def yolox(tmp_path_factory):
    """Of 60 people, every other one of another class."""
    network = DetectionsNetwork(60, classes=2)
    return export(tmp_path_factory.mktemp("yolox") / "det.onnx", network, **SIZE, outputs=["dets", "labels"])


@pytest.fixture(scope="module")
def raw(tmp_path_factory):
    return export(tmp_path_factory.mktemp("raw") / "det.onnx", RawNetwork(6), **SIZE, outputs=["output"])


@pytest.fixture(scope="module")
def rtmdet(tmp_path_factory):
    network = DetectionsNetwork(6, IMAGENET_BGR)
    return export(tmp_path_factory.mktemp("rtmdet") / "det.onnx", network, **SIZE, outputs=["dets", "labels"])


@pytest.fixture(scope="module")
def rtmo(tmp_path_factory):
    network = PeopleNetwork(6)
    return export(tmp_path_factory.mktemp("rtmo") / "pose.onnx", network, **SIZE, outputs=["dets", "keypoints"])


@pytest.fixture
def detector(request):
    """A detector by its preset: the word, or "raw" for YOLOX's own output."""
    word = "yolox" if request.param == "raw" else request.param
    return build_detector(f"{word}:{request.getfixturevalue(request.param)}", threads=1)


every_detector = pytest.mark.parametrize("detector", ["yolox", "raw", "rtmdet"], indirect=True)


def black(width, height):
    return np.zeros((height, width, 3), np.uint8)


# left, top, right, bottom, from the edge of the image, and confidence, of people 0, 2 and 4
PEOPLE = {0: (100, 40, 180, 300, 0.7), 2: (300, 0, 400, 100, 0.9), 4: (600, 200, 640, 400, 0.5)}


def painted(width=640, height=400, people=PEOPLE):
    image = black(width, height)
    for number, (*edges, confidence) in people.items():
        paint(image, number, *edges, confidence)
    return image


@every_detector
def test_people_are_found_where_they_are_the_likeliest_first(detector):
    """The image is half as large in the input; its pixel centres are at integers."""
    found = detector([painted()])
    assert len(found) == 1
    order = [2, 0, 4]
    np.testing.assert_allclose(found[0].boxes, np.array([PEOPLE[number][:4] for number in order]) - 0.5, atol=1e-3)
    np.testing.assert_allclose(found[0].score, [PEOPLE[number][4] for number in order], atol=3e-3)


@every_detector
def test_images_of_any_size_and_number(detector):
    """4, 2, 1/2 and 1 times as large in the input."""
    images = [
        painted(80, 64, {0: (10, 12, 20, 60, 0.8)}),
        painted(160, 80, {2: (0, 0, 160, 80, 0.8)}),
        painted(300, 512, {4: (40, 50, 80, 512, 0.8)}),
        painted(320, 200, {0: (300, 10, 320, 30, 0.8)}),
        black(50, 50),
    ]
    found = detector(images)
    edges = [(10, 12, 20, 60), (0, 0, 160, 80), (40, 50, 80, 512), (300, 10, 320, 30)]
    assert [len(people) for people in found] == [1, 1, 1, 1, 0]
    for people, expected in zip(found, edges, strict=False):
        np.testing.assert_allclose(people.boxes[0], np.array(expected) - 0.5, atol=0.6)  # larger patches lose their rim
    assert detector([]) == []


@pytest.mark.parametrize("count", [0, 1, 9, 60])
def test_any_number_of_people(yolox, count):
    """In a grid of small patches; those with an odd number are of another class."""
    people = {
        number: (
            10 + 60 * (number % 10),
            10 + 60 * (number // 10),
            40 + 60 * (number % 10),
            40 + 60 * (number // 10),
            0.6,
        )
        for number in range(count)
    }
    found = build_detector(f"yolox:{yolox}", threads=1)([painted(people=people)])[0]
    expected = np.array([edges[:4] for number, edges in people.items() if number % 2 == 0], float).reshape(-1, 4)
    np.testing.assert_allclose(found.boxes[np.lexsort(found.boxes.T[:2])], expected - 0.5, atol=1e-3)


def test_people_of_20_px(yolox):
    people = {0: (100, 100, 112, 120, 0.6), 2: (500, 300, 520, 308, 0.6)}
    found = build_detector(f"yolox:{yolox}", threads=1)([painted(people=people)])[0]
    np.testing.assert_allclose(found.boxes, np.array([people[0][:4], people[2][:4]]) - 0.5, atol=1e-3)


@every_detector
@pytest.mark.parametrize("size", [(1, 1), (1, 3000), (3000, 1), (10_000, 10_000), (40_000, 2_500)])
def test_the_smallest_and_the_largest_images(detector, size):
    width, height = size
    image = black(width, height)
    paint(image, 0, width // 4, height // 4, width // 2, height // 2, 0.9)
    found = detector([image])[0]
    assert len(found) == (min(size) > 1)
    scale = max(width / 320, height / 256)  # px of the image in one of the input
    for box in found.boxes:
        expected = np.array([width // 4, height // 4, width // 2, height // 2]) - 0.5
        np.testing.assert_allclose(box, expected, atol=1.1 * scale)


@pytest.mark.parametrize("align", ["corner", "centre"])
def test_where_the_image_is_in_the_input(yolox, align):
    """The card says so; the network shows it: with the image 28 px lower, boxes are found in the same places."""
    card = {"codec": "boxes", **SIZE, "channels": "bgr", "mean": [0, 0, 0], "std": [1, 1, 1], "align": align}
    file = yolox.with_name(f"{align}.onnx")
    file.write_bytes(yolox.read_bytes())
    write_json(file.with_suffix(".json"), card)
    network = load_network(str(file), threads=1)
    low, high = (network.card.letterbox.matrix(640, 400) @ np.array([[-0.5, 639.5], [-0.5, 399.5], [1, 1]])).T
    offset = 28 if align == "centre" else 0
    np.testing.assert_allclose([*low, *high], [-0.5, offset - 0.5, 319.5, offset + 199.5])
    np.testing.assert_allclose(network([painted()])[0].boxes[0], np.array(PEOPLE[2][:4]) - 0.5, atol=1e-3)


def dets(*rows):
    return np.array([rows], np.float32)


def constant_detector(folder, outputs, word="yolox"):
    return build_detector(f"{word}:{constant(folder / 'det.onnx', outputs, shape=(1, 3, 256, 320))}", threads=1)


def test_one_person_has_one_box_and_the_unlikely_have_none(tmp_path):
    rows = dets(
        (10, 10, 50, 110, 0.6),
        (11, 10, 51, 110, 0.8),  # the same person
        (40, 10, 80, 110, 0.7),  # next to them
        (200, 10, 240, 110, 0.2),
        (0, 0, 0, 0, -1),  # padding
    )
    found = constant_detector(tmp_path, {"dets": rows})([black(320, 256)])[0]
    np.testing.assert_allclose(found.boxes, rows[0, [1, 2], :4] - 0.5)
    np.testing.assert_allclose(found.score, [0.8, 0.7])


def test_boxes_are_cut_off_at_the_edges_of_the_image_and_those_outside_left_out(tmp_path):
    """The image is 100 px wide in the input; the rest is grey."""
    rows = dets((-20, -5, 50, 300, 0.9), (150, 10, 200, 60, 0.8), (90, 10, 130, 60, 0.7), (30, 50, 30, 60, 0.6))
    found = constant_detector(tmp_path, {"dets": rows})([black(100, 256)])[0]
    np.testing.assert_allclose(found.boxes, [(-0.5, -0.5, 49.5, 255.5), (89.5, 9.5, 99.5, 59.5)])


def test_what_is_not_finite_is_nobody(tmp_path):
    rows = dets(
        (10, 10, np.nan, 110, 0.9), (60, 10, 90, 110, np.nan), (10, 10, np.inf, 110, 0.9), (10, 10, 50, 110, 0.5)
    )
    found = constant_detector(tmp_path, {"dets": rows})([black(320, 256)])[0]
    np.testing.assert_allclose(found.boxes, [(9.5, 9.5, 49.5, 109.5)])
    raw_rows = np.full((1, 1680, 85), np.nan, np.float32)
    found = constant_detector(tmp_path / "raw", {"output": raw_rows})([black(320, 256)])[0]
    assert len(found) == 0
    raw_rows[:] = 1000  # sizes beyond any number
    assert np.isfinite(constant_detector(tmp_path / "raw", {"output": raw_rows})([black(320, 256)])[0].boxes).all()


def test_nobody_in_the_outputs(tmp_path):
    """A network's own suppression may leave no rows."""
    empty = {"dets": np.zeros((1, 0, 5), np.float32), "labels": np.zeros((1, 0), np.int64)}
    found = constant_detector(tmp_path, empty)([black(320, 256)] * 3)
    assert [len(each) for each in found] == [0, 0, 0]
    people = {"dets": empty["dets"], "keypoints": np.zeros((1, 0, 17, 3), np.float32)}
    file = constant(tmp_path / "pose.onnx", people, shape=(1, 3, 256, 320))
    assert len(build_frontend(f"rtmo:{file}")(Frame(0, 0.0, black(320, 256)))) == 0


def test_one_image_at_a_time(tmp_path):
    found = constant_detector(tmp_path, {"dets": dets((10, 10, 50, 110, 0.6))})([black(320, 256), black(640, 512)])
    np.testing.assert_allclose([each.boxes[0] for each in found], [(9.5, 9.5, 49.5, 109.5), (19.5, 19.5, 99.5, 219.5)])


@pytest.mark.parametrize("order", [("dets", "labels"), ("labels", "dets"), ("b", "a"), ("a", "b")])
def test_outputs_in_another_order_and_under_other_names(tmp_path, order):
    """One of two people has another class."""
    arrays = {"dets": dets((10, 10, 50, 110, 0.6), (100, 10, 150, 110, 0.9)), "labels": np.array([[0, 17]])}
    named = {name: arrays["labels" if name in ("labels", "b") else "dets"] for name in order}
    found = constant_detector(tmp_path, named, "rtmdet")([black(320, 256)])[0]
    np.testing.assert_allclose(found.boxes, [(9.5, 9.5, 49.5, 109.5)])


def test_a_card_sets_threshold_overlap_and_class(tmp_path):
    arrays = {
        "dets": dets((10, 10, 50, 110, 0.6), (20, 10, 60, 110, 0.5), (100, 10, 150, 110, 0.2)),
        "labels": np.array([[2, 2, 2]]),
    }
    file = constant(tmp_path / "det.onnx", arrays, shape=(1, 3, 256, 320))
    card = {"codec": "boxes", **SIZE, "label": 2, "overlap": 0.5, "threshold": 0.1}
    write_json(file.with_suffix(".json"), card)
    found = build_detector(file)([black(320, 256)])[0]
    np.testing.assert_allclose(found.score, [0.6, 0.2])
    write_json(file.with_suffix(".json"), card | {"overlap": 0.7, "threshold": 0.5})
    np.testing.assert_allclose(build_detector(file)([black(320, 256)])[0].score, [0.6, 0.5])
    write_json(file.with_suffix(".json"), card | {"label": 0})
    assert len(build_detector(file)([black(320, 256)])[0]) == 0


def test_whole_images_become_people_with_keypoints(rtmo):
    """Joint j is j / 17 of the way along the diagonal of the box, in pixels of the input, of which each is two of the
    image.
    """
    frontend = build_frontend(f"rtmo:{rtmo}", threads=1)
    assert isinstance(frontend, OnnxPeople) and frontend.skeleton.name == "coco17"
    assert frontend.name == f"rtmo:{rtmo}"
    people = frontend(Frame(0, 0.0, painted()))
    for row, number in enumerate([2, 0, 4]):
        left, top, right, bottom, confidence = PEOPLE[number]
        np.testing.assert_allclose(people.boxes[row], np.array([left, top, right, bottom]) - 0.5, atol=1e-3)
        np.testing.assert_allclose(people.box_score[row], confidence, atol=3e-3)
        way = np.arange(17)[:, None] / 17
        expected = [left, top] + way * [right - left, bottom - top] + 0.5
        np.testing.assert_allclose(people.xy[row], expected, atol=1e-3)
    seen = (people.xy < [639.5, 399.5]).all(-1)
    expected = np.arange(1, 18) / 17 * people.box_score[:, None]
    np.testing.assert_allclose(people.score[seen], expected[seen], atol=1e-6)
    assert {people.xy.dtype, people.score.dtype, people.boxes.dtype} == {np.dtype(np.float32)}
    frontend.reset()
    assert len(frontend(Frame(1, 0.1, black(640, 400)))) == 0


@pytest.mark.parametrize("size", [(1, 1), (1, 3000), (10_000, 10_000)])
def test_one_stage_networks_take_the_smallest_and_the_largest_images(rtmo, size):
    width, height = size
    image = black(width, height)
    paint(image, 0, width // 4, height // 4, width // 2, height // 2, 0.9)
    people = build_frontend(f"rtmo:{rtmo}", threads=1)(Frame(0, 0.0, image))
    assert len(people) == (min(size) > 1) and np.isfinite(people.xy).all()


def test_joints_that_are_not_finite_are_in_the_middle_without_confidence(tmp_path):
    points = np.full((1, 2, 17, 3), 60, np.float32)
    points[..., 2] = 0.9
    points[0, 0, 3, 0] = np.nan
    points[0, 0, 4, 2] = np.inf
    outputs = {"keypoints": points, "dets": dets((10, 10, 50, 110, 0.8), (100, 10, 150, np.nan, 0.9))}
    file = constant(tmp_path / "pose.onnx", outputs, shape=(1, 3, 256, 320))
    people = build_frontend(f"rtmo:{file}")(Frame(0, 0.0, black(320, 256)))
    assert len(people) == 1
    np.testing.assert_allclose(people.xy[0, [2, 3, 4]], [(60, 60), (29.5, 59.5), (29.5, 59.5)])
    np.testing.assert_allclose(people.score[0, [2, 3, 4]], [0.9, 0, 0], atol=1e-6)


def test_one_person_has_one_pose(tmp_path):
    points = np.full((1, 3, 26, 3), 0.5, np.float32)
    outputs = {"dets": dets((10, 10, 50, 110, 0.6), (11, 10, 51, 110, 0.8), (60, 10, 90, 90, 0.4)), "keypoints": points}
    file = constant(tmp_path / "pose.onnx", outputs, shape=(1, 3, 256, 320))
    people = build_frontend(f"rtmo:{file}")(Frame(0, 0.0, black(320, 256)))
    np.testing.assert_allclose(people.box_score, [0.8])  # 0.4 is less than the threshold
    assert people.skeleton.name == "halpe26"


def test_keypoints_in_the_boxes_of_a_detector(tmp_path, yolox):
    """The joints of the person in the box are found; a box without joints is nobody."""
    pose = export(tmp_path / "pose.onnx", SimCC(17), width=192, height=256, outputs=["simcc_x", "simcc_y"])
    frontend = build_frontend(f"rtmpose:{pose}", detector=f"yolox:{yolox}", threads=1)
    assert isinstance(frontend, TopDownFrontend)

    class Two:
        """Boxes where joints are painted and where there are none."""

        side = 640

        def __call__(self, images):
            boxes = np.array([[229.5, 119.5, 421.5, 375.5], [10, 10, 60, 100]])
            return [FrameBoxes(boxes, np.array([0.9, 0.8])) for _ in images]

    image = painted(people={})
    for joint in range(17):
        paint(image, joint, 296 + 13 * (joint % 5), 130 + 14 * joint, 306 + 13 * (joint % 5), 140 + 14 * joint, 0.8)
    people = TopDownFrontend("mine", frontend.network, Two(), tiled=False)(Frame(0, 0.0, image))
    assert len(people) == 1
    np.testing.assert_allclose(people.xy[0, 5], (300.5, 204.5), atol=2)
    assert len(frontend(Frame(0, 0.0, image))) == 0  # the patches are too small for people
    assert len(build_frontend(f"rtmpose:{pose}", detector=Two())(Frame(0, 0.0, image))) == 1


@pytest.mark.parametrize(
    ("call", "pattern"),
    [
        (
            lambda files: build_frontend(f"yolox:{files['yolox']}"),
            r"^yolox:.*: finds boxes, not keypoints; give it as detector",
        ),
        (
            lambda files: build_detector(f"rtmo:{files['rtmo']}"),
            r"^rtmo:.*: finds keypoints too; give it as frontend, and",
        ),
        (
            lambda files: build_detector("blazepose"),
            r"^blazepose: no such person detector; give yolox:FILE\.onnx, rtmdet",
        ),
        (lambda files: build_detector("yolox:none.onnx"), r"^none\.onnx: no such file"),
        (
            lambda files: build_frontend(f"rtmo:{files['rtmo']}", detector=f"yolox:{files['yolox']}"),
            r"^rtmo:.*: finds people by itself; leave out boxes and detector$",
        ),
        (
            lambda files: build_frontend("blazepose", detector=f"yolox:{files['yolox']}"),
            r"^blazepose: detects people by itself and takes no detector",
        ),
        (
            lambda files: build_frontend("a.onnx", boxes={}, detector="b.onnx"),
            r"^boxes, detector: both say where people are",
        ),
        (lambda files: build_frontend(files["yolox"]), r"det\.json: no card for the network"),
        (
            lambda files: build_frontend(f"yolo:{files['yolox']}"),
            r"^yolo: not a known kind of network; known are rtmpose, .*rtmdet$",
        ),
    ],
)
def test_networks_in_the_wrong_place_are_refused(yolox, rtmo, call, pattern):
    with pytest.raises(OccluposeError, match=pattern):
        call({"yolox": yolox, "rtmo": rtmo})


def test_kinds_by_a_card_are_refused_in_the_wrong_place(yolox, rtmo, tmp_path):
    for name, file, codec in (
        ("boxes", yolox, {"codec": "boxes"}),
        ("people", rtmo, {"codec": "people", "skeleton": "coco17"}),
    ):
        copy = tmp_path / f"{name}.onnx"
        copy.write_bytes(file.read_bytes())
        write_json(copy.with_suffix(".json"), codec | SIZE)
    with pytest.raises(
        OccluposeError, match=r"boxes\.onnx: a person detector, not a pose network; give it as detector$"
    ):
        build_frontend(tmp_path / "boxes.onnx")
    with pytest.raises(
        OccluposeError, match=r"people\.onnx: a pose network, not a person detector; give it as frontend$"
    ):
        build_detector(tmp_path / "people.onnx")
    with pytest.raises(OccluposeError, match=r"people\.onnx: finds people by itself; leave out boxes and detector$"):
        build_frontend(tmp_path / "people.onnx", boxes={})
