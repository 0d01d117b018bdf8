"""`occlupose run` with networks of others in ONNX files: a painted person walks through a folder of images."""

import csv

import numpy as np
import pytest
import torch

from commands import assert_refused
from occlupose.media import write_image
from occlupose.poses import VISIBLE, Poses
from occlupose.skeletons import COCO17
from onnx_networks import Detections, People, SimCC, constant, export, paint, write_json

FRAMES = 8
PERSON = 112
"""Number of the patch, whose colour mixed with that of a joint is no other joint's."""

FIGURE = np.array([(20 + 20 * (joint % 3), 14 + 22 * joint) for joint in range(17)])


@pytest.fixture(scope="module")
def networks(tmp_path_factory):
    folder = tmp_path_factory.mktemp("networks")
    export(folder / "det.onnx", Detections(PERSON + 1), width=320, height=256, outputs=["dets", "labels"])
    export(folder / "pose.onnx", SimCC(17), width=192, height=256, outputs=["simcc_x", "simcc_y"])
    export(folder / "rtmo.onnx", People(PERSON + 1), width=320, height=256, outputs=["dets", "keypoints"])
    return folder


@pytest.fixture
def images(tmp_path):
    """640 x 480 px, with a person of 100 x 400 px, 10 px farther to the right in each."""
    for frame in range(FRAMES):
        image = np.zeros((480, 640, 3), np.uint8)
        left = 100 + 10 * frame
        paint(image, PERSON, left, 40, left + 100, 440, 0.9)
        for joint, (x, y) in enumerate(FIGURE + np.array([left, 40])):
            paint(image, joint, x - 5, y - 5, x + 5, y + 5, 0.8)
        write_image(tmp_path / "images" / f"{frame}.png", image)
    return tmp_path / "images"


@pytest.fixture
def threads():
    """torch's threads stay as they are after the test."""
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def test_a_detector_and_a_keypoint_network(command, networks, images, tmp_path, threads):
    front = ["--frontend", f"rtmpose:{networks / 'pose.onnx'}", "--detector", f"yolox:{networks / 'det.onnx'}"]
    outcome = command("run", images, *front, "--threads", "1", "--no-video", "-o", tmp_path / "out")
    assert outcome.code == 0
    assert torch.get_num_threads() == 1
    poses = Poses.load(tmp_path / "out" / "poses.npz")
    seen = poses.observed
    assert len(poses) == FRAMES and poses.track_id.tolist() == [1] and seen.skeleton == COCO17
    for frame in range(FRAMES):
        expected = FIGURE + np.array([99.5 + 10 * frame, 39.5])
        np.testing.assert_allclose(seen.xy[frame, 0], expected, atol=2)
    assert (seen.state == VISIBLE).mean() > 0.95  # optical flow lowers the confidence of some
    assert np.isfinite(poses.xyz).all()


def test_a_network_that_finds_people_and_keypoints(command, networks, images, tmp_path):
    outcome = command(
        "run", images, "--frontend", f"rtmo:{networks / 'rtmo.onnx'}", "--no-video", "-o", tmp_path / "out"
    )
    assert outcome.code == 0
    seen = Poses.load(tmp_path / "out" / "poses.npz").observed
    way = np.arange(17)[:, None] / 17
    for frame in range(FRAMES):
        expected = (100 + 10 * frame, 40) + way * (100, 400)
        np.testing.assert_allclose(seen.xy[frame, 0], expected, atol=2)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--frontend", "rtmpose:nope.onnx"], ["nope.onnx", "no such file"]),
        (["--frontend", "rtmpose:POSE", "--detector", "yolox:nope.onnx"], ["nope.onnx", "no such file"]),
        (["--frontend", "rtmpose:POSE", "--detector", "rtmpose:POSE"], ["finds keypoints too", "yolox:FILE.onnx"]),
        (["--frontend", "rtmpose:POSE", "--detector", "nanodet"], ["nanodet", "no such person detector"]),
        (["--frontend", "rtmpose:POSE", "--threads", "0"], ["threads 0", "1 or more"]),
        (["--frontend", "rtmpose:POSE", "--flip"], ["has no flip"]),
        (["--frontend", "rtmpose:POSE", "--device", "abacus"], ["device abacus"]),
        (["--frontend", "rtmpose:DET"], ["its output is dets", "says simcc"]),
        (["--frontend", "yolox:DET"], ["give it as detector"]),
        (["--frontend", "blazepose", "--detector", "yolox:DET"], ["blazepose", "takes no detector"]),
        (["--method", "hupor", "--detector", "yolox:DET"], ["detector", "hupor does not use it"]),
    ],
)
def test_what_cannot_be_is_one_line(command, networks, images, options, words):
    files = {"POSE": str(networks / "pose.onnx"), "DET": str(networks / "det.onnx")}
    for name, file in files.items():
        options = [option.replace(name, file) for option in options]
    assert_refused(command("run", images, *options), *words)


def test_joints_of_which_the_lifter_has_none_are_refused(command, images, tmp_path):
    """Before the images are read, and with the name of the card's skeleton."""
    points = np.zeros((1, 2, 3), np.float32)
    file = constant(tmp_path / "pose.onnx", {"output": points})
    card = {"codec": "coordinates", "width": 48, "height": 64, "skeleton": "oars", "joint_names": ["blade", "grip"]}
    write_json(file.with_suffix(".json"), card)
    (tmp_path / "boxes.json").write_text('[{"image_id": 0, "category_id": 1, "bbox": [1, 1, 9, 9], "score": 0.9}]')
    outcome = command("run", images, "--frontend", file, "--boxes", tmp_path / "boxes.json")
    assert_refused(outcome, "skeleton oars", "none of its joints")


def annotate(folder):
    """COCO's annotations of the painted people."""
    people = []
    for frame in range(FRAMES):
        xy = FIGURE + np.array([99.5 + 10 * frame, 39.5])
        keypoints = np.concatenate([xy, np.full((len(xy), 1), 2)], 1).ravel().tolist()
        about = {"id": frame + 1, "image_id": frame, "category_id": 1, "iscrowd": 0, "num_keypoints": len(xy)}
        people.append(about | {"bbox": [100 + 10 * frame, 40, 100, 400], "area": 40000, "keypoints": keypoints})
    images = [{"id": frame, "file_name": f"{frame}.png", "width": 640, "height": 480} for frame in range(FRAMES)]
    category = {"id": 1, "name": "person", "keypoints": list(COCO17.joints)}
    write_json(folder / "coco.json", {"images": images, "annotations": people, "categories": [category]})


def test_keypoints_of_a_network_in_the_boxes_of_a_detector_are_scored(command, networks, images, tmp_path, threads):
    annotate(tmp_path)
    front = ["--frontend", f"rtmpose:{networks / 'pose.onnx'}", "--detector", f"yolox:{networks / 'det.onnx'}"]
    outcome = command("eval", "coco", "--data", tmp_path, *front, "--threads", "1", "-o", tmp_path / "scores.csv")
    assert (outcome.code, outcome.err) == (0, "")
    assert f"coco: {FRAMES} people of coco.json; " in outcome.out
    assert " in the boxes of det.onnx\n" in outcome.out
    assert torch.get_num_threads() == 1
    with (tmp_path / "scores.csv").open(newline="") as file:
        everybody = next(csv.DictReader(file))
    assert (everybody["stratum"], everybody["box_source"], float(everybody["AP"])) == ("all", "det.onnx", 1)


def test_a_network_for_whole_images_is_not_asked_in_boxes(command, networks, images, tmp_path):
    annotate(tmp_path)
    outcome = command("eval", "coco", "--data", tmp_path, "--frontend", f"rtmo:{networks / 'rtmo.onnx'}")
    assert_refused(outcome, "whole images")
