from collections import Counter

import pytest

from occlupose.errors import OccluposeError
from occlupose.methods.movenet.data import prepare, split_of
from photographed_people import write_data


def test_a_photograph_is_in_one_part_by_its_name():
    parts = Counter(split_of(f"{number:06}.jpg") for number in range(10_000))
    assert parts["calibration"] == pytest.approx(400, rel=0.15)
    assert parts["test"] == pytest.approx(800, rel=0.15)
    assert split_of("000001.jpg") == split_of("000001.jpg")


def test_no_photograph_and_no_scene_is_in_two_parts(tmp_path):
    data = write_data(tmp_path)
    parts = [data.people(split) for split in ("train", "calibration", "test")]
    names = [name for part in parts for name in part.labels.names.tolist()]
    assert sorted(names) == data.labels.names.tolist()
    scenes = [path for part in parts for path in part.scenes]
    assert sorted(scenes) == sorted([*data.scenes, *data.held_out])
    assert len(parts[1].scenes) == 100 and len(parts[2].scenes) == 1


def test_without_photographs_nothing_is_made(tmp_path):
    with pytest.raises(OccluposeError, match=r"^.*photographs: no photograph NAME\.jpg"):
        prepare(tmp_path / "photographs", tmp_path / "data", 1, progress=False)
    assert not (tmp_path / "data").exists()
