import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from occlupose.datasets.discovery import load_dataset
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


def test_names_and_folders_that_cannot_be(networks, tmp_path):
    for suffix in (".png", ".jpg"):
        cv2.imwrite(str(tmp_path / f"one{suffix}"), np.zeros((8, 8, 3), np.uint8))
    paths = pseudo_labels.find_photographs(tmp_path)
    assert [path.name for path in paths] == ["one.jpg", "one.png"]
    with pytest.raises(OccluposeError, match=r"1 names are used twice, such as one.jpg; rename one of the two"):
        label(paths, tmp_path / "out", networks)
    assert not (tmp_path / "out").exists()
    with pytest.raises(OccluposeError, match="no image in it; give a folder of photographs"):
        pseudo_labels.find_photographs(tmp_path / "nothing")
