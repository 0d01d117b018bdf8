"""Cards: fields, defaults, joints of one's own, and what is refused."""

import numpy as np
import pytest

from occlupose.errors import OccluposeError
from occlupose.frontends.onnx import BoxCard, KeypointCard, PeopleCard, load_card, load_network
from occlupose.pose_files import load, save
from occlupose.poses import Poses
from onnx_networks import constant, write_json

SIZE = {"width": 48, "height": 64}


def test_the_codec_tells_the_kind_of_card(tmp_path):
    cards = {
        KeypointCard: {"codec": "udp", "skeleton": "coco17"},
        BoxCard: {"codec": "yolox"},
        PeopleCard: {"codec": "people", "skeleton": "coco17"},
    }
    for kind, fields in cards.items():
        card = load_card(write_json(tmp_path / "card.json", fields | SIZE))
        assert isinstance(card, kind) and card.licence == "unknown"


def test_pixels_become_what_the_network_takes():
    images = np.array([[[[10, 20, 30]]]], np.uint8)
    card = KeypointCard(codec="simcc", skeleton="coco17", **SIZE, mean=(1, 2, 3), std=(1, 2, 4))
    np.testing.assert_allclose(card.normalise(images).ravel(), [9, 9, 27 / 4])
    np.testing.assert_allclose(card.model_copy(update={"channels": "bgr"}).normalise(images).ravel(), [29, 9, 7 / 4])
    assert card.normalise(images).dtype == np.float32 and not card.raw
    assert card.model_copy(update={"mean": (0, 0, 0), "std": (1, 1, 1)}).raw


@pytest.mark.parametrize(
    ("fields", "pattern"),
    [
        ({"codec": "boxes", "skeleton": "coco17"}, r"card\.json: skeleton: extra inputs are not permitted$"),
        ({"codec": "people"}, r"card\.json: skeleton: field required$"),
        ({"codec": "yolox", "grey": 300}, r"card\.json: grey: input should be less than or equal to 255$"),
        ({"codec": "boxes", "threshold": 2}, r"card\.json: threshold: input should be less than or equal to 1$"),
        ({"codec": "boxes", "align": "left"}, r"card\.json: align: input should be 'corner' or 'centre'$"),
        ({}, r"card\.json: codec: must be heatmap, msra, udp, simcc, coordinates, boxes, yolox or people$"),
    ],
)
def test_fields_that_are_wrong_are_named(tmp_path, fields, pattern):
    with pytest.raises(OccluposeError, match=pattern):
        load_card(write_json(tmp_path / "card.json", fields | SIZE))


ROWER = {
    "codec": "coordinates",
    **SIZE,
    "skeleton": "rower",
    "joint_names": ["left_wrist", "right_wrist", "handle"],
    "limbs": [["left_wrist", "handle"], ["right_wrist", "handle"]],
}


def test_joints_of_ones_own_are_kept_in_files(tmp_path):
    points = np.array([[[1, 2, 0.5], [3, 4, 0.6], [5, 6, 0.7]]], np.float32)
    file = constant(tmp_path / "pose.onnx", {"output": points})
    write_json(file.with_suffix(".json"), ROWER)
    network = load_network(str(file))
    skeleton = network.skeleton
    assert skeleton.joints == ("left_wrist", "right_wrist", "handle") and len(skeleton.limbs) == 2
    assert skeleton.mirror == (1, 0, 2)
    xy, score = network(np.zeros((2, 64, 48, 3), np.uint8))
    shape = {"fps": 30.0, "width": 100, "height": 100, "time": np.arange(1) / 30, "track_id": np.arange(2)}
    poses = Poses(xy=xy[None], score=score[None], state=np.full((1, 2, 3), 2), xyz=None, skeleton=skeleton, **shape)
    for name in ("poses.json", "poses.npz"):
        save(poses, tmp_path / name)
        assert load(tmp_path / name).skeleton == skeleton


@pytest.mark.parametrize(
    ("change", "pattern"),
    [
        ({"joint_names": ["a", "a", "b"], "limbs": None}, r"pose\.json: joint_names: has a name twice"),
        ({"limbs": [["left_wrist", "oar"]]}, r"limbs, root: oar is not among the joint_names"),
        ({"joint_names": None}, r"pose\.json: rower: not a known skeleton; known are .*; or give joint_names$"),
        (
            {"joint_names": ["a", "b"], "limbs": None},
            r"its output is output \(1, 3, 3\); the card says coordinates of 2",
        ),
        ({"skeleton": "coco17"}, r"joint_names: are left_wrist, right_wrist, handle; coco17's are nose"),
    ],
)
def test_joints_that_do_not_fit_are_refused(tmp_path, change, pattern):
    file = constant(tmp_path / "pose.onnx", {"output": np.zeros((1, 3, 3), np.float32)})
    write_json(file.with_suffix(".json"), ROWER | change)
    with pytest.raises(OccluposeError, match=pattern):
        load_network(str(file))
