import numpy as np
import pytest

import coco_files as files
from coco_files import write_coco, write_crowdpose, write_json
from image_dataset_files import muco, records, smap_body, smap_image, write_h36m, write_scenes
from occlupose.datasets.discovery import find_dataset, load_dataset
from occlupose.datasets.formats.coco import load
from occlupose.datasets.formats.coco_results import match_boxes
from occlupose.errors import OccluposeError


def used(place):
    """Reads what was found, all of it."""
    data = load(place.annotations, place.images, strict=True, all_images=True)
    assert data.ground_truth.dataset == place.dataset
    for path in place.detections:
        match_boxes(path, data.ground_truth, strict=True)
    return data


def test_coco(tmp_path):
    files.write_coco(tmp_path)
    train = find_dataset(tmp_path, "train")
    test = find_dataset(tmp_path, "test")
    val = find_dataset(tmp_path, "val")
    assert test == val and (train.dataset, test.dataset) == ("coco", "coco")
    assert (
        train.annotations == tmp_path / "annotations" / "person_keypoints_train2017.json"
        and train.images == tmp_path / "train2017"
    )
    assert (
        test.annotations == tmp_path / "annotations" / "person_keypoints_val2017.json"
        and test.images == tmp_path / "val2017"
    )
    assert [path.name for path in test.detections] == [
        "COCO_val2017_detections_AP_H_56_person.json"
    ] and train.detections == ()
    used(train), used(test)


def test_coco_with_its_images_in_one_folder_more(tmp_path):
    files.write_coco(tmp_path)
    (tmp_path / "images").mkdir()
    for split in ("train2017", "val2017"):
        (tmp_path / split).rename(tmp_path / "images" / split)
    assert find_dataset(tmp_path).images == tmp_path / "images" / "train2017"


@pytest.mark.parametrize("folder", ["json", "annotations"])
def test_crowdpose(tmp_path, folder):
    files.write_crowdpose(tmp_path, json_folder=folder)
    train = find_dataset(tmp_path, "train")
    test = find_dataset(tmp_path, "test")
    assert (
        train.annotations == tmp_path / folder / "crowdpose_trainval.json"
        and test.annotations.name == "crowdpose_test.json"
    )
    assert train.dataset == "crowdpose" and train.images == test.images == tmp_path / "images"
    assert [path.name for path in test.detections] == ["det_for_crowd_test_0.1_0.5.json"] and train.detections == ()
    used(train), used(test)
    with pytest.raises(
        OccluposeError,
        match=r"no annotations of the split val, but crowdpose_trainval\.json, crowdpose_test\.json; give",
    ):
        find_dataset(tmp_path, "val")


def test_ochuman_has_nothing_to_train_on(tmp_path):
    files.write_ochuman(tmp_path)
    test = find_dataset(tmp_path, "test")
    assert (test.dataset, test.annotations.name) == ("ochuman", "ochuman_coco_format_test_range_0.00_1.00.json")
    used(test), used(find_dataset(tmp_path, "val"))
    with pytest.raises(
        OccluposeError, match=r"no annotations of the split train, but ochuman_coco_format_val.*; give another split"
    ):
        find_dataset(tmp_path)


def test_synthetic_people_in_shards_in_folders_and_by_splits(tmp_path):
    files.write_synth(tmp_path / "all" / "train", 1)
    files.write_synth(tmp_path / "all" / "test", 2, shards=False)
    train = find_dataset(tmp_path / "all")
    test = find_dataset(tmp_path / "all", "test")
    assert (train.dataset, train.images) == ("synth", tmp_path / "all" / "train" / "shards")
    assert (test.dataset, test.images) == ("synth", tmp_path / "all" / "test" / "images")
    used(train), used(test)
    assert find_dataset(tmp_path / "all" / "train", "test").annotations == train.annotations


def flat(folder, kind="coco", name="people.json", seed=0, **changes):
    """One file beside its images."""
    generator = np.random.default_rng(seed)
    content = files.document(kind, generator) | changes
    files.write_json(folder / name, content)
    files.write_images(folder, content, generator)
    return content


def test_a_flat_folder_by_what_is_in_its_files(tmp_path):
    """Beside the annotations: detections, a whole-body variant, files of other things, and one that is damaged."""
    content = flat(tmp_path)
    files.write_json(tmp_path / "boxes.json", files.boxes(content))
    files.write_json(tmp_path / "poses.json", files.guesses("coco", content, np.random.default_rng(0)))
    people = [person | {"foot_kpts": [0] * 18} for person in content["annotations"]]
    files.write_json(tmp_path / "all_joints.json", content | {"annotations": people})
    files.write_json(tmp_path / "instances.json", content | {"categories": [{"id": 1, "name": "person"}]})
    files.write_json(tmp_path / "other.json", {"annotations": 4})
    (tmp_path / "half.json").write_text('{"images": [')
    (tmp_path / "empty.json").write_text("")
    place = find_dataset(tmp_path, "test")
    assert place.annotations == tmp_path / "people.json" and place.images == tmp_path
    assert place.detections == (tmp_path / "boxes.json",)
    used(place)


def test_several_files_are_distinguished_by_the_split_or_by_name(tmp_path):
    for number, name in enumerate(("people_train.json", "people_test.json", "more_test.json")):
        flat(tmp_path, name=name, seed=number)
    assert find_dataset(tmp_path, "train").annotations.name == "people_train.json"
    with pytest.raises(
        OccluposeError,
        match=r"2 files could be the annotations of test: more_test\.json, people_test\.json; name the file",
    ):
        find_dataset(tmp_path, "test")
    assert find_dataset(tmp_path, "test", tmp_path / "more_test.json").annotations.name == "more_test.json"


def test_names_are_read_by_words(tmp_path):
    """An interval is no validation, and the latest no test."""
    content = flat(tmp_path, name="interval_train.json")
    flat(tmp_path, name="a_val.json", seed=1)
    for name in ("latest_boxes.json", "test_boxes.json"):
        files.write_json(tmp_path / name, files.boxes(content))
    place = find_dataset(tmp_path, "val")
    assert place.annotations.name == "a_val.json"
    assert [path.name for path in place.detections] == ["latest_boxes.json"]


def test_two_datasets_in_one_folder(tmp_path):
    files.write_coco(tmp_path)
    files.write_ochuman(tmp_path)
    assert find_dataset(tmp_path).dataset == "coco"
    with pytest.raises(
        OccluposeError,
        match=r"2 files could be the annotations of test: annotations/person_keypoints_val2017\.json, ochu",
    ):
        find_dataset(tmp_path, "test")


def test_what_cannot_be_found(tmp_path):
    with pytest.raises(OccluposeError, match=r"none: no such folder; give the folder of a dataset"):
        find_dataset(tmp_path / "none")
    with pytest.raises(
        OccluposeError, match=r"no annotations of joints in it; give the folder of COCO, CrowdPose, OCHuman or the like"
    ):
        find_dataset(tmp_path)
    (tmp_path / "half.json").write_text('{"images": [')
    with pytest.raises(OccluposeError, match=r"half\.json: cannot be read, damaged or cut short; give the whole file"):
        find_dataset(tmp_path)
    (tmp_path / "half.json").write_text('{"images": ' + "[" * 100_000)
    with pytest.raises(OccluposeError, match=r"half\.json: cannot be read, damaged or cut short; give the whole file"):
        find_dataset(tmp_path)
    (tmp_path / "half.json").unlink()
    for name in (rb"\q", b"\xff"):
        (tmp_path / "person_keypoints_train2017.json").write_bytes(b'{"images": [{"file_name": "' + name + b'"}]}')
        with pytest.raises(OccluposeError, match=r"^[^\n]*person_keypoints_train2017\.json: [^\n]*$"):
            find_dataset(tmp_path)
    (tmp_path / "person_keypoints_train2017.json").unlink()
    files.write_json(tmp_path / "boxes.json", [])
    with pytest.raises(
        OccluposeError, match=r"boxes\.json: no annotations of joints; give a file in COCO's keypoint format"
    ):
        find_dataset(tmp_path, annotations=tmp_path / "boxes.json")
    with pytest.raises(OccluposeError, match=r"a\.json: cannot be read \(no such file or directory\)"):
        find_dataset(tmp_path, annotations=tmp_path / "a.json")
    files.write_json(tmp_path / "people.json", files.document("coco", np.random.default_rng(0)))
    with pytest.raises(
        OccluposeError,
        match=r"no image of people\.json in it: no 000001\.jpg in images/, shards/, the folder itself; give",
    ):
        find_dataset(tmp_path)


@pytest.mark.parametrize(("name", "boxes"), [("coco", 1), ("crowdpose", 1), ("ochuman", 0)])
def test_real_files(formats, name, boxes):
    folder = formats / name
    place = find_dataset(folder, "test")
    assert (place.dataset, place.annotations, place.images) == (name, folder / f"test_{name}.json", folder)
    assert len(place.detections) == boxes
    data = load(place.annotations, place.images, strict=True, all_images=True)
    for path in place.detections:
        found = match_boxes(path, data.ground_truth)
        assert found.boxes and all(box.box[2] > box.box[0] for box in found.boxes[next(iter(found.boxes))])


def made(folder, kind):
    """A folder of a dataset, and how many people there are to learn from."""
    random = np.random.default_rng(0)
    if kind == "synth":
        scenes = records(2)
        write_scenes(folder, scenes, shard=1)
        return sum(int((record.state > 0).any(1).sum()) for record in scenes)
    if kind == "muco":
        content, _ = muco(random)
        write_json(folder / "MuCo-3DHP.json", content)
        return 3
    if kind == "smap":
        body = smap_body(np.array([[0.1, 0, 4.0]] * 15), 2)
        write_json(
            folder / "annotations/MuCo.json", {"root": [smap_image([body] * 2), smap_image([body], validation=1)]}
        )
        return 2
    if kind == "h36m":
        write_h36m(folder, random)
        return 2
    (write_coco if kind == "coco" else write_crowdpose)(folder)
    return None


@pytest.mark.parametrize("kind", ["synth", "muco", "smap", "h36m", "coco", "crowdpose"])
def test_a_folder_is_recognised(tmp_path, kind):
    count = made(tmp_path / "set", kind)
    found = load_dataset(tmp_path / "set")
    assert found.format == {"crowdpose": "coco"}.get(kind, kind)
    assert sum(map(len, found.samples)) == count if count else len(found.samples) > 1
    assert len(load_dataset(tmp_path / "set").samples) == len(found.samples)
    assert all(one.has_depth == (found.format != "coco") for one in found.samples)


def test_a_file_is_recognised(tmp_path):
    for kind, name in (
        ("muco", "MuCo-3DHP.json"),
        ("smap", "annotations/MuCo.json"),
        ("coco", "annotations/person_keypoints_val2017.json"),
    ):
        made(tmp_path / kind, kind)
        found = load_dataset(tmp_path / kind / name)
        assert found.format == kind and found.path == tmp_path / kind / name
    assert sum(map(len, load_dataset(tmp_path / "smap/annotations/MuCo.json").samples)) == 3  # a file is read whole
    other = tmp_path / "coco/annotations/person_keypoints_train2017.json"
    assert len(load_dataset(other, images=tmp_path / "coco/train2017").samples) == len(
        load_dataset(tmp_path / "coco").samples
    )
    made(tmp_path / "synth", "synth")
    assert len(load_dataset(tmp_path / "synth/shards/000000.tar").samples) == 1


def test_splits_of_our_own_scenes(tmp_path):
    for split, count in (("train", 2), ("val", 1)):
        write_scenes(tmp_path / split, records(count))
    assert [len(load_dataset(tmp_path, split).samples) for split in ("train", "val")] == [2, 1]


def test_what_is_not_found_is_reported(tmp_path):
    with pytest.raises(OccluposeError, match=r"none: no such file or folder; give scenes of occlupose synth.*COCO"):
        load_dataset(tmp_path / "none")
    (tmp_path / "empty").mkdir()
    with pytest.raises(
        OccluposeError, match=r"empty: no known dataset in it; supported are scenes.*Human36M.*MuCo.*SMAP.*COCO"
    ):
        load_dataset(tmp_path / "empty")
    for content in ({"a": 1}, [1, 2]):
        with pytest.raises(OccluposeError, match=r"other.json: not scenes"):
            load_dataset(write_json(tmp_path / "other.json", content))
    made(tmp_path / "two", "smap")
    made(tmp_path / "two", "muco")
    with pytest.raises(OccluposeError, match=r"2 files are possible: MuCo-3DHP.json, annotations/MuCo.json"):
        load_dataset(tmp_path / "two")


def test_strict_refuses_what_is_wrong(tmp_path):
    content, _ = muco(np.random.default_rng(0))
    content["annotations"][0]["keypoints_cam"][14][2] = -1.0
    path = write_json(tmp_path / "MuCo-3DHP.json", content)
    assert sum(load_dataset(path).report.counts.values()) == 1
    with pytest.raises(OccluposeError, match="annotation 0; correct the file"):
        load_dataset(path, strict=True)
