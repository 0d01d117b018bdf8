"""Which format a file has."""

import json

import numpy as np
import pytest

from foreign_files import csv_file, json_file, openpose_people, triples, walkers
from occlupose.formats.content import open_content
from occlupose.formats.registry import FORMATS
from occlupose.skeletons import COCO18


def landmarks(count=33):
    return [{"x": 0.5, "y": 0.5, "z": 0.0, "visibility": 0.9}] * count


NUMBERS = triples(walkers()[0, 0])
DOCUMENTS = {
    "OpenPose JSON": openpose_people(walkers()[0]),
    "COCO results": [{"image_id": 1, "category_id": 1, "keypoints": NUMBERS, "score": 1.0}],
    "COCO annotations": {"images": [], "annotations": [], "categories": []},
    "AlphaPose JSON": {"1.jpg": {"version": "AlphaPose v0.3", "bodies": [{"joints": triples(walkers(COCO18)[0, 0])}]}},
    "MMPose JSON": {"meta_info": {}, "instance_info": [{"frame_id": 0, "instances": []}]},
    "MediaPipe JSON": [landmarks()],
}
TABLES = {
    "TRC": [["PathFileType", "4"]],
    "DeepLabCut CSV": [["scorer", "a"], ["bodyparts", "nose"], ["coords", "x"]],
    "MediaPipe CSV": [["frame", "nose_x", "nose_y"], [0, 1, 2]],
}


def recognised(path):
    with open_content(path) as content:
        return [each.name for each in FORMATS if each.kind == content.kind and each.recognises(content.value)]


@pytest.mark.parametrize("name", DOCUMENTS)
def test_a_document_has_one_format(tmp_path, name):
    assert recognised(json_file(tmp_path / "a", DOCUMENTS[name])) == [name]


@pytest.mark.parametrize("name", TABLES)
def test_a_table_has_one_format(tmp_path, name):
    assert recognised(csv_file(tmp_path / "a", TABLES[name], "\t" if name == "TRC" else ",")) == [name]


def test_arrays(tmp_path):
    np.save(tmp_path / "a.npy", np.zeros((2, 33, 4)))
    assert recognised(tmp_path / "a.npy")[0] == "MediaPipe arrays"
    np.savez(tmp_path / "b.npz", keypoints=np.zeros((2, 17, 2)))
    assert recognised(tmp_path / "b.npz") == ["NumPy arrays"]
    np.savez(tmp_path / "c.npz", a=np.zeros((2, 17, 2)), b=np.zeros(3))
    assert recognised(tmp_path / "c.npz") == []


@pytest.mark.parametrize(
    "document",
    [
        {},
        [],
        [[]],
        [{}],
        5,
        "text",
        None,
        [None],
        {"people": {}},
        {"people": [1]},
        {"a": {}},
        [{"keypoints": 1}],
        [[[1, 2]]],
    ],
)
def test_other_documents_have_none(tmp_path, document):
    (tmp_path / "a.json").write_text(json.dumps({"around": document}))
    assert recognised(tmp_path / "a.json") == []
    for each in FORMATS:
        if each.kind == "json":
            assert not each.recognises(document), each.name
