import json
import os
from pathlib import Path

import numpy as np
import pytest

import coco_files as files
from occlupose.datasets.formats import coco
from occlupose.datasets.formats.coco import EMPTY_BOX, load, load_boxes, load_ground_truth, match_boxes
from occlupose.datasets.images import ImageIndex, ImageRef
from occlupose.errors import OccluposeError
from occlupose.media import write_image
from occlupose.poses import VISIBLE
from occlupose.skeletons import COCO17, CROWDPOSE14, HUMANEVA15, MPI15
from stick_figures import JOINTS, SIZE, draw_figure, write_figures

CROWDPOSE = [*CROWDPOSE14.joints[:12], "head", "neck"]


def annotation(joints=17, **changes):
    keypoints = [number for joint in range(joints) for number in (joint, 2 * joint, 2)]
    return {
        "id": 7,
        "image_id": 1,
        "category_id": 1,
        "bbox": [2, 3, 20, 40],
        "iscrowd": 0,
        "keypoints": keypoints,
    } | changes


def written(folder, *annotations, joints=COCO17.joints, **changes):
    """A file with these people, all in one black image."""
    write_image(folder / "a.png", np.zeros((48, 32, 3), np.uint8))
    content = {
        "images": [{"id": 1, "file_name": "a.png", "width": 32, "height": 48}],
        "categories": [{"id": 1, "name": "person", "keypoints": list(joints)}],
        "annotations": list(annotations),
    }
    (folder / "people.json").write_text(json.dumps(content | changes))
    return folder / "people.json"


def test_people_come_as_they_were_drawn(tmp_path):
    annotations, images = write_figures(tmp_path, 5, seed=3)
    data = load(annotations, images)
    assert data.skeleton == COCO17.subset(JOINTS)
    generator = np.random.default_rng(3)
    for number, person in enumerate(data.people):
        image, xy, state = draw_figure(generator)
        np.testing.assert_array_equal(person.read(), image)
        np.testing.assert_allclose(person.xy, xy, atol=0.005)
        np.testing.assert_array_equal(person.state, state)
        np.testing.assert_allclose(person.box, [*(xy.min(0) - 6), *(xy.max(0) + 6)])
        assert (person.id, person.image, person.size) == (number, ImageRef(images / f"{number}.png"), (SIZE, SIZE))
    assert any((person.state != VISIBLE).any() for person in data.people)


def test_flags_stay_as_they_are_and_boxes_lose_half_a_pixel(tmp_path):
    keypoints = annotation()["keypoints"]
    keypoints[2::3] = [0, 1, 2] * 5 + [2, 2]
    person = load(written(tmp_path, annotation(keypoints=keypoints)), tmp_path).people[0]
    assert person.state.tolist() == [0, 1, 2] * 5 + [2, 2] and person.state.dtype == np.uint8
    assert person.xy[3].tolist() == [3, 6]
    assert person.box.tolist() == [1.5, 2.5, 21.5, 42.5]


@pytest.mark.parametrize(
    ("joints", "skeleton"),
    [
        (COCO17.joints, COCO17),
        (CROWDPOSE, CROWDPOSE14),
        (HUMANEVA15.joints, HUMANEVA15),  # its head is no top of the head
        (("neck", "left_wrist", "pelvis"), MPI15.subset(("neck", "left_wrist", "pelvis"))),
        (("right_wrist", "left_wrist"), COCO17.subset(("right_wrist", "left_wrist"))),
    ],
)
def test_joints_are_known_by_name_and_keep_their_order(tmp_path, joints, skeleton):
    assert load(written(tmp_path, annotation(len(joints)), joints=joints), tmp_path).skeleton == skeleton


def test_crowds_strangers_and_people_without_joints_are_left_out(tmp_path):
    others = [
        annotation(id=1, iscrowd=1),
        annotation(id=2, keypoints=[0] * 51),
        annotation(id=3, category_id=2, keypoints=[]),
    ]
    dog = [{"id": 1, "name": "person", "keypoints": list(COCO17.joints)}, {"id": 2, "name": "dog"}]
    data = load(written(tmp_path, *others, annotation(), categories=dog), tmp_path)
    assert [person.id for person in data.people] == [7]


def test_images_are_read_when_they_are_asked_for(tmp_path):
    path = written(tmp_path, annotation())
    (tmp_path / "a.png").write_bytes(b"no picture")
    person = load(path, tmp_path).people[0]
    with pytest.raises(OccluposeError, match=r"a\.png: its content is not an image"):
        person.read()
    write_image(tmp_path / "a.png", np.zeros((32, 48, 3), np.uint8))
    with pytest.raises(
        OccluposeError, match=r"a\.png: is 48x32, but 32x48 in its annotations; give the images that were annotated"
    ):
        person.read()


def test_a_file_may_be_silent_on_the_size_of_its_images(tmp_path):
    person = load(written(tmp_path, annotation(), images=[{"id": 1, "file_name": "a.png"}]), tmp_path).people[0]
    assert person.size is None and person.read().shape == (48, 32, 3)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"annotations": [annotation(16)]},
            r"annotation 7: keypoints has 48 numbers for 17 joints; it must have x, y and v of each",
        ),
        ({"annotations": [annotation(image_id=2)]}, r"annotation 7: image_id 2 is not among its images; give"),
        (
            {"annotations": [annotation(bbox=None)]},
            r"nobody in it .*people without a box, left out: 1 \(annotation 7\)",
        ),
        (
            {"annotations": [annotation(bbox=[1, 1, 0, 5])]},
            r"people whose box has no width or height, left out: 1 \(annotation 7\)",
        ),
        ({"annotations": [annotation(keypoints=[1, 1, 3] * 17)]}, r"annotation 7: v is 3; it must be 0, 1 or 2"),
        ({"annotations": [annotation(keypoints=[1, 1, 1.5] * 17)]}, r"annotation 7: v is 1\.5; it must be 0, 1 or 2"),
        (
            {"annotations": [annotation(keypoints=["x"])]},
            r"annotations\.0\.keypoints\.0: input should be a valid number",
        ),
        ({"annotations": [annotation(iscrowd=2)]}, r"annotations\.0\.iscrowd: "),
        ({"annotations": []}, r"nobody in it has an annotated joint"),
        ({"annotations": 5}, r"annotations: input should be a valid (list|array)"),
        ({"categories": []}, r"0 categories with keypoints; give annotations in COCO's keypoint format, with one"),
        ({"categories": [{"id": n, "keypoints": ["nose"]} for n in (1, 2)]}, r"2 categories with keypoints"),
        (
            {"categories": [{"id": 1, "keypoints": ["nose", "tail"]}]},
            r"no skeleton has a joint tail; name them as in coco17",
        ),
        ({"categories": [{"id": 1, "keypoints": ["nose", "nose"]}]}, r"no one skeleton has all these joints once"),
        ({"categories": [{"id": 1, "keypoints": ["nose", "lfemur"]}]}, r"no one skeleton has all these joints once"),
        (
            {"images": [{"id": 1, "file_name": "b.png"}]},
            r"nobody in it .*missing images, their people left out: 1 \(b\.png\)",
        ),
        ({"images": [{"id": "one", "file_name": "b.png"}]}, r"images\.0\.id: input should be a valid integer"),
    ],
)
def test_bad_annotations_are_refused(tmp_path, change, message):
    path = written(tmp_path, annotation(), **change)
    with pytest.raises(OccluposeError, match=message) as caught:
        load(path, tmp_path)
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize("reader", [lambda path: load(path, path.parent), load_boxes])
def test_files_that_cannot_be_read_are_refused(tmp_path, reader):
    with pytest.raises(OccluposeError, match=r"none\.json: cannot be read \(no such file or directory\); give "):
        reader(tmp_path / "none.json")
    (tmp_path / "half.json").write_text('{"images": [')
    with pytest.raises(OccluposeError, match=r"half\.json: the file: invalid json: .*; give "):
        reader(tmp_path / "half.json")


RESULT = {"image_id": 4, "category_id": 1, "bbox": [10, 20, 30, 40], "score": 0.9}


def test_detections_are_people_in_order(tmp_path):
    results = [RESULT, RESULT | {"category_id": 18}, RESULT | {"image_id": "a.png", "score": 0.1}]
    (tmp_path / "results.json").write_text(json.dumps(results))
    first, second = load_boxes(tmp_path / "results.json")
    assert (first.image_id, first.box, first.score) == (4, (9.5, 19.5, 39.5, 59.5), 0.9)
    assert (second.image_id, second.score) == ("a.png", 0.1)
    assert [found.image_id for found in load_boxes(tmp_path / "results.json", category=18)] == [4]


@pytest.mark.parametrize(
    ("results", "message"),
    [
        ([RESULT | {"category_id": 18}], r"no person in it \(category_id 1\)"),
        ([], r"no person in it"),
        ({"annotations": []}, r"the file: input should be a valid (list|array)"),
        ([RESULT, RESULT | {"bbox": [1, 2, 3]}], r"1\.bbox\.3: field required"),
        ([RESULT | {"bbox": [1, 2, 3, 0]}], r"a box of image 4 has no width or height"),
        ([RESULT | {"score": 1.5}], r"0\.score: input should be less than or equal to 1"),
        ([{"image_id": 1}], r"0\.category_id: field required"),
    ],
)
def test_bad_detections_are_refused(tmp_path, results, message):
    (tmp_path / "results.json").write_text(json.dumps(results))
    with pytest.raises(
        OccluposeError, match=rf"results\.json: {message}.*; give detections in COCO's results format"
    ) as caught:
        load_boxes(tmp_path / "results.json")
    assert "\n" not in str(caught.value)


@pytest.fixture
def formats():
    """A folder with a few real images and annotations, coco/, crowdpose/ and ochuman/; they may not be
    redistributed.
    """
    if "OCCLUPOSE_FORMATS" not in os.environ:
        pytest.skip("OCCLUPOSE_FORMATS names no folder with real files")
    return Path(os.environ["OCCLUPOSE_FORMATS"])


@pytest.mark.parametrize(
    ("name", "skeleton", "people"), [("coco", COCO17, 12), ("crowdpose", CROWDPOSE14, 4), ("ochuman", COCO17, 5)]
)
def test_real_files(formats, name, skeleton, people):
    path = formats / name / f"test_{name}.json"
    data = load(path, path.parent)
    assert data.skeleton == skeleton
    assert len(data.people) == people
    raw = {annotation["id"]: annotation for annotation in json.loads(path.read_text())["annotations"]}
    for person in data.people:
        x, y, v = np.array(raw[person.id]["keypoints"], float).reshape(-1, 3).T
        np.testing.assert_array_equal(person.state, v)
        seen = person.state > 0
        np.testing.assert_array_equal(person.xy[seen], np.stack([x, y], -1)[seen])
        image = person.read()
        low = person.box[:2] - 8
        high = person.box[2:] + 8
        assert ((person.xy[seen] >= low) & (person.xy[seen] <= high)).mean() > 0.9
        assert (person.xy[seen] < image.shape[1::-1]).all()


@pytest.mark.parametrize(
    ("file", "count"), [("coco/test_coco_det_AP_H_56.json", 118), ("crowdpose/test_crowdpose_det_AP_40.json", 6)]
)
def test_real_detections(formats, file, count):
    found = load_boxes(formats / file)
    assert 0 < len(found) <= count
    assert all(right > left and bottom > top for left, top, right, bottom in (detection.box for detection in found))


# ------------------------------------------------------------------------------- report and the whole truth


BAD = {
    coco.NO_BOX: (annotation(id=11, bbox=None), True),
    coco.EMPTY_BOX: (annotation(id=11, bbox=[3, 3, 5, 0]), True),
    coco.OUTSIDE: (annotation(id=11, bbox=[40, 3, 5, 5]), True),
    coco.OVER_EDGE: (annotation(id=11, bbox=[-4, 3, 20, 50]), False),
    coco.JOINTS_OUTSIDE: (annotation(id=11, keypoints=[50, 2, 1] * 17), False),
    coco.NOT_FINITE: (annotation(id=11, keypoints=[float("nan"), 2, 2] + [1, 2, 2] * 16), False),
    coco.NO_AREA: (annotation(id=11, area=0), False),
    coco.UNKNOWN_CATEGORY: (annotation(id=11, category_id=9), True),
    coco.DUPLICATE_ID: (annotation(id=7), False),
}


@pytest.mark.parametrize("kind", BAD)
def test_what_is_wrong_with_one_person_is_counted_and_named_and_the_others_stay(tmp_path, kind):
    bad, left_out = BAD[kind]
    path = written(tmp_path, annotation(), bad)
    data = load(path, tmp_path)
    assert data.report.counts == {kind: 1} and data.report
    assert data.report.lines() == [f"{path}: {kind}: 1 (annotation {bad['id']})"]
    assert [person.id for person in data.people] == ([7] if left_out else [7, bad["id"]])
    assert len(data.ground_truth) == (1 if kind == coco.UNKNOWN_CATEGORY else 2)  # nobody is forgotten by evaluations
    with pytest.raises(
        OccluposeError, match=rf"people\.json: {kind}: annotation {bad['id']}; correct the file"
    ) as caught:
        load(path, tmp_path, strict=True)
    assert "\n" not in str(caught.value)


def test_people_are_as_usable_as_they_can_be(tmp_path):
    bad = [BAD[kind][0] | {"id": number} for number, kind in enumerate((coco.OVER_EDGE, coco.NOT_FINITE, coco.NO_AREA))]
    cut, unknown, flat = load(written(tmp_path, *bad), tmp_path).people
    assert cut.box.tolist() == [-0.5, 2.5, 15.5, 47.5]
    assert unknown.state.tolist() == [0, *[2] * 16] and np.isfinite(unknown.xy).all()
    assert flat.area is None and flat.image_id == 1
    assert (
        load(written(tmp_path, annotation(area=12.5, keypoints=[1, 2, 1] * 3 + [1, 2, 2] * 14)), tmp_path)
        .people[0]
        .area
        == 12.5
    )
    assert (
        load(written(tmp_path, annotation(keypoints=[1, 2, 1] * 3 + [1, 2, 2] * 14)), tmp_path).people[0].occluded == 3
    )


def test_samples_of_people_without_joints_are_accepted(tmp_path):
    path = written(
        tmp_path, annotation(), annotation(id=8, iscrowd=1, keypoints=[]), annotation(id=9, keypoints=[0] * 51)
    )
    data = load(path, tmp_path, strict=True)
    assert not data.report and data.report.lines() == []
    assert data.report.notes == {"crowds": ["annotation 8"], "people without an annotated joint": ["annotation 9"]}
    assert data.ground_truth.id.tolist() == [7, 8, 9] and data.ground_truth.is_crowd.tolist() == [False, True, False]
    assert data.ground_truth.num_keypoints.tolist() == [17, 0, 0] and data.ground_truth.state.sum(-1).tolist() == [
        34,
        0,
        0,
    ]


def test_missing_images_are_counted_or_stop_it(tmp_path):
    images = [{"id": number, "file_name": f"{number}.png"} for number in range(1, 7)]
    people = [annotation(id=number, image_id=number) for number in range(1, 7)]
    path = written(tmp_path, *people, annotation(id=8, image_id=2), images=images)
    write_image(tmp_path / "4.png", np.zeros((48, 32, 3), np.uint8))
    data = load(path, tmp_path)
    assert [person.id for person in data.people] == [4] and len(data.ground_truth) == 7
    assert data.report.lines() == [f"{path}: {coco.MISSING}: 5 (1.png, 2.png, 3.png and 2 more)"]
    with pytest.raises(
        OccluposeError, match=r"1\.png: no such image, but .*people\.json has people in it; give the folder"
    ):
        load(path, tmp_path, all_images=True)


def test_images_that_are_listed_twice(tmp_path):
    image = {"id": 1, "file_name": "a.png"}
    assert load(written(tmp_path, annotation(), images=[image, image]), tmp_path).report.counts == {
        coco.DUPLICATE_IMAGE: 1
    }
    with pytest.raises(OccluposeError, match=r"images a\.png and b\.png have the id 1"):
        load(written(tmp_path, annotation(), images=[image, image | {"file_name": "b.png"}]), tmp_path)


def test_the_truth_is_what_the_file_says(tmp_path):
    content = files.document("crowdpose", np.random.default_rng(3), images=6)
    everybody = load_ground_truth(files.write_json(tmp_path / "people.json", content))
    assert everybody.dataset == "crowdpose" and everybody.skeleton == CROWDPOSE14 and everybody.category == 1
    assert [image.crowd_index for image in everybody.images.values()] == [
        image["crowdIndex"] for image in content["images"]
    ]
    for number, person in enumerate(content["annotations"]):
        joints = np.concatenate([everybody.xy[number], everybody.state[number, :, None]], -1)
        assert joints.ravel().tolist() == person["keypoints"] and everybody.boxes[number].tolist() == person["bbox"]
        assert (everybody.num_keypoints[number], everybody.image_id[number]) == (
            person["num_keypoints"],
            person["image_id"],
        )
    assert np.isnan(everybody.area).all() and len(everybody) == len(content["annotations"])


@pytest.mark.parametrize(
    ("name", "kind", "dataset"),
    [
        ("person_keypoints_val2017.json", "coco", "coco"),
        ("ochuman_coco_format_test_range_0.00_1.00.json", "ochuman", "ochuman"),
        ("ochuman/annotations.json", "coco", "ochuman"),
        ("x.json", "crowdpose", "crowdpose"),
        ("ochuman.json", "synth", "synth"),
    ],
)
def test_which_dataset_it_is(tmp_path, name, kind, dataset):
    content = files.document(kind, np.random.default_rng(0))
    assert load_ground_truth(files.write_json(tmp_path / name, content)).dataset == dataset


def test_a_file_of_no_known_dataset(tmp_path):
    assert load_ground_truth(written(tmp_path, annotation())).dataset == "other"
    assert load_ground_truth(written(tmp_path, annotation(2), joints=("neck", "head_top"))).dataset == "other"


def test_a_detectors_boxes_lie_beside_their_images(tmp_path):
    images = [{"id": number, "file_name": f"{name}.png"} for number, name in ((4, "a"), (5, "b"), (6, "c"))]
    everybody = load_ground_truth(written(tmp_path, annotation(image_id=4), images=images))
    results = [
        RESULT,
        RESULT | {"image_id": "b"},
        RESULT | {"image_id": "a.png", "score": 0.5},
        RESULT | {"image_id": 9},
    ]
    path = files.write_json(tmp_path / "results.json", results)
    found = match_boxes(path, everybody)
    assert {image: [box.score for box in boxes] for image, boxes in found.boxes.items()} == {4: [0.9, 0.5], 5: [0.9]}
    assert found.report.lines() == [f"{path}: {coco.OTHER_IMAGES}: 1 (image_id 9)"]
    with pytest.raises(OccluposeError, match=r"boxes of images that the annotations do not have"):
        match_boxes(path, everybody, strict=True)


def test_detections_of_another_dataset_are_refused_by_both_names(tmp_path):
    path = files.write_json(tmp_path / "results.json", [RESULT | {"image_id": 785}])
    with pytest.raises(
        OccluposeError, match=r"results\.json: no image_id is of an image of .*people\.json, e\.g\. 785; give"
    ):
        match_boxes(path, load_ground_truth(written(tmp_path, annotation())))


# --------------------------------------------------------------------------------------------- shards


def test_people_of_shards_are_those_of_folders(tmp_path):
    for name, shards in (("shards", True), ("images", False)):
        files.write_synth(tmp_path / name, 5, shards=shards)
    packed = load(tmp_path / "shards" / "annotations.json", tmp_path / "shards" / "shards")
    single = load(tmp_path / "images" / "annotations.json", tmp_path / "images" / "images")
    assert packed.ground_truth.dataset == "synth" and not packed.report and len(packed.people) == len(single.people) > 5
    for one, other in zip(packed.people, single.people, strict=True):
        np.testing.assert_array_equal(one.xy, other.xy)
        assert one.image.name == other.image.name and one.image.path.suffix == ".tar"
        assert np.abs(one.read().astype(int) - other.read()).mean() < 12  # both are JPEGs of one drawing
    assert len({person.image for person in packed.people}) == len({person.image_id for person in packed.people})
    assert all(ImageIndex(tmp_path / "shards" / "shards" / "000000.tar").find(f"{number:06}.jpg") for number in (1, 2))


@pytest.mark.parametrize(("name", "skeleton"), [("coco", COCO17), ("crowdpose", CROWDPOSE14), ("ochuman", COCO17)])
def test_written_files_are_read_as_real_ones_are(tmp_path, name, skeleton):
    getattr(files, f"write_{name}")(tmp_path)
    where = {
        "coco": ("annotations/person_keypoints_val2017.json", "val2017"),
        "crowdpose": ("json/crowdpose_test.json", "images"),
        "ochuman": ("ochuman_coco_format_val_range_0.00_1.00.json", "images"),
    }
    data = load(*(tmp_path / part for part in where[name]), strict=True, all_images=True)
    assert data.skeleton == skeleton and data.ground_truth.dataset == name
    assert all(person.read().shape == (96, 120, 3) for person in data.people)
    assert all((person.area is None) == (name == "crowdpose") for person in data.people)


def test_a_box_without_width_does_not_spoil_a_detectors_file(tmp_path):
    """Whatever its category; of people it is counted and named."""
    content = files.document("coco", np.random.default_rng(0))
    everybody = load_ground_truth(files.write_json(tmp_path / "people.json", content))
    good = files.boxes(content)
    flat = [good[0] | {"bbox": [5, 5, 0, 9]}, good[0] | {"bbox": [5, 5, 0, 9], "category_id": 62}]
    found = match_boxes(files.write_json(tmp_path / "boxes.json", [*good, *flat]), everybody)
    assert sum(map(len, found.boxes.values())) == len(good)
    assert found.report.counts == {EMPTY_BOX: 1}
    with pytest.raises(OccluposeError, match="width or height"):
        match_boxes(tmp_path / "boxes.json", everybody, strict=True)


def test_detections_have_the_category_of_the_people(tmp_path):
    content = files.document("coco", np.random.default_rng(0))
    for each in (*content["annotations"], *content["categories"]):
        each["category_id" if "category_id" in each else "id"] = 5
    everybody = load_ground_truth(files.write_json(tmp_path / "people.json", content))
    boxes = [each | {"category_id": 5} for each in files.boxes(content)]
    found = match_boxes(files.write_json(tmp_path / "boxes.json", boxes), everybody)
    assert sum(map(len, found.boxes.values())) == len(boxes)
