import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from occlupose.datasets.discovery import load_dataset
from occlupose.datasets.formats import coco
from occlupose.errors import OccluposeError
from occlupose.frontends import load_crop_network
from occlupose.frontends.nanodet import NanoDetector
from occlupose.media import read_image
from occlupose.training import pseudo_labels

FRAME = Path(__file__).parents[1] / "networks" / "pretrained_frame.png"


@pytest.fixture(scope="module")
def networks():
    return load_crop_network("movenet-occlusion", threads=1), NanoDetector(threads=1, min_score=pseudo_labels.MIN_SCORE)


def label(paths, output, networks, **options):
    return list(pseudo_labels.pseudo_label(paths, output, *networks, **options))


def test_people_in_a_photograph_become_a_dataset(networks, tmp_path):
    ((path, count),) = label([FRAME], tmp_path, networks)
    (sample,) = load_dataset(tmp_path).samples
    assert path == FRAME and count == len(sample) > 0 and not sample.has_depth
    assert (sample.state == 2).any() and np.isfinite(sample.xy[sample.state > 0]).all()
    assert sample.size == read_image(FRAME).shape[1::-1]
    assert np.abs(sample.read().astype(int) - read_image(FRAME)).mean() < 5  # a JPEG file of it


def test_states_are_those_of_the_network(networks, tmp_path):
    """Confident keypoints are visible; guessed ones are occluded if they are certain enough."""
    label([FRAME], tmp_path, networks)
    people = json.loads((tmp_path / "annotations.json").read_text())["annotations"]
    image = read_image(FRAME)
    found = pseudo_labels._find_people(image, *networks)
    assert len(people) == len(found)
    for person, score, state in zip(people, found.score, found.state, strict=True):
        written = np.reshape(person["keypoints"], (-1, 3))
        np.testing.assert_array_equal(written[:, 2], state)
        assert (state == 2).sum() >= pseudo_labels.MIN_VISIBLE
        assert (score[state == 2] >= networks[0].min_joint_confidence).all()
        assert person["num_keypoints"] == (state > 0).sum() and not written[state == 0].any()


def test_squares_get_their_proportions_back(networks, tmp_path):
    """The aspect ratio at which people look like people."""
    image = read_image(FRAME)
    height, width = image.shape[:2]
    square = tmp_path / "square.png"
    cv2.imwrite(str(square), cv2.resize(image, (height, height))[..., ::-1])
    label([square], tmp_path / "out", networks, aspects=(0.4 * width / height, width / height))
    (entry,) = json.loads((tmp_path / "out" / "annotations.json").read_text())["images"]
    assert (entry["width"], entry["height"]) == (width, height)


def test_damaged_photographs_are_left_out(networks, tmp_path):
    damaged = tmp_path / "damaged.jpg"
    damaged.write_bytes(b"no image")
    reasons = []
    found = label([damaged, FRAME], tmp_path / "out", networks, unreadable=reasons.append)
    assert [path for path, _ in found] == [FRAME] and "damaged.jpg" in reasons[0]


def test_two_photographs_of_one_name(networks, tmp_path):
    for suffix in (".png", ".jpg"):
        cv2.imwrite(str(tmp_path / f"one{suffix}"), np.zeros((8, 8, 3), np.uint8))
    paths = sorted(tmp_path.iterdir())
    with pytest.raises(OccluposeError, match=r"1 names are used twice, such as one.jpg; rename one of the two"):
        label(paths, tmp_path / "out", networks)
    assert not (tmp_path / "out").exists()


def test_networks_without_places_give_no_occluded_keypoints(tmp_path):
    """A keypoint with a low score could be anywhere."""
    detector = NanoDetector(threads=1, min_score=pseudo_labels.MIN_SCORE)
    label([FRAME], tmp_path, (load_crop_network("movenet", threads=1), detector))
    (sample,) = load_dataset(tmp_path).samples
    assert set(np.unique(sample.state).tolist()) <= {0, 2}


def test_boxes_come_back(networks, tmp_path):
    """COCO counts from the edge of the image, ours from the middle of the first pixel."""
    label([FRAME], tmp_path, networks)
    people = json.loads((tmp_path / "annotations.json").read_text())["annotations"]
    found = pseudo_labels._find_people(read_image(FRAME), *networks)
    edges = [coco.box_edges(person["bbox"]) for person in people]
    np.testing.assert_allclose(edges, found.boxes, atol=0.01)


def test_a_photograph_without_people_is_in_the_dataset(networks, tmp_path):
    """Training on images without people is not possible yet, but their absence is no mistake."""
    cv2.imwrite(str(tmp_path / "empty.png"), np.full((64, 64, 3), 90, np.uint8))
    ((_, count),) = label([tmp_path / "empty.png"], tmp_path / "out", networks)
    document = json.loads((tmp_path / "out" / "annotations.json").read_text())
    assert count == 0 and len(document["images"]) == 1 and not document["annotations"]
