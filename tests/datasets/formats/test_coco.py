import json

import numpy as np
import pytest

import coco_files as files
from coco_files import annotation, document, write_coco, write_crowdpose, write_images, write_json, write_people
from image_dataset_files import rewritten
from occlupose.datasets.formats import coco
from occlupose.datasets.formats.coco import FEW_JOINTS, load, load_ground_truth, make_keypoint_samples, make_samples
from occlupose.datasets.formats.coco_results import load_boxes
from occlupose.datasets.images import MISSING, ImageIndex, ImageRef
from occlupose.errors import OccluposeError
from occlupose.media import write_image
from occlupose.poses import VISIBLE
from occlupose.skeletons import COCO17, CROWDPOSE14, HUMANEVA15, MPI15
from stick_figures import JOINTS, SIZE, draw_figure, write_figures

CROWDPOSE = [*CROWDPOSE14.joints[:12], "head", "neck"]


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
    person = load(write_people(tmp_path, annotation(keypoints=keypoints)), tmp_path).people[0]
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
    assert load(write_people(tmp_path, annotation(len(joints)), joints=joints), tmp_path).skeleton == skeleton


def test_crowds_strangers_and_people_without_joints_are_left_out(tmp_path):
    others = [
        annotation(id=1, iscrowd=1),
        annotation(id=2, keypoints=[0] * 51),
        annotation(id=3, category_id=2, keypoints=[]),
    ]
    dog = [{"id": 1, "name": "person", "keypoints": list(COCO17.joints)}, {"id": 2, "name": "dog"}]
    data = load(write_people(tmp_path, *others, annotation(), categories=dog), tmp_path)
    assert [person.id for person in data.people] == [7]


def test_images_are_read_when_they_are_asked_for(tmp_path):
    path = write_people(tmp_path, annotation())
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
    person = load(write_people(tmp_path, annotation(), images=[{"id": 1, "file_name": "a.png"}]), tmp_path).people[0]
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
        ({"images": [{"id": 1, "file_name": "../b.png"}]}, r"\.\./b\.png: this name of an image leads out of"),
        ({"images": [{"id": 1, "file_name": "b.png", "width": 10**30}]}, r"images\.0\.width: input should be less"),
        ({"annotations": [annotation(id=2**63)]}, r"annotations\.0\.id: input should be less than"),
        ({"annotations": [annotation(image_id=-(2**64))]}, r"annotations\.0\.image_id: input should be greater"),
        ({"annotations": [annotation(num_keypoints=2**63)]}, r"annotations\.0\.num_keypoints: input should be less"),
    ],
)
def test_bad_annotations_are_refused(tmp_path, change, message):
    path = write_people(tmp_path, annotation(), **change)
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
    path = write_people(tmp_path, annotation(), bad)
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
    cut, unknown, flat = load(write_people(tmp_path, *bad), tmp_path).people
    assert cut.box.tolist() == [-0.5, 2.5, 15.5, 47.5]
    assert unknown.state.tolist() == [0, *[2] * 16] and np.isfinite(unknown.xy).all()
    assert flat.area is None and flat.image_id == 1
    assert (
        load(write_people(tmp_path, annotation(area=12.5, keypoints=[1, 2, 1] * 3 + [1, 2, 2] * 14)), tmp_path)
        .people[0]
        .area
        == 12.5
    )
    assert (
        load(write_people(tmp_path, annotation(keypoints=[1, 2, 1] * 3 + [1, 2, 2] * 14)), tmp_path).people[0].occluded
        == 3
    )


def test_samples_of_people_without_joints_are_accepted(tmp_path):
    path = write_people(
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
    path = write_people(tmp_path, *people, annotation(id=8, image_id=2), images=images)
    write_image(tmp_path / "4.png", np.zeros((48, 32, 3), np.uint8))
    data = load(path, tmp_path)
    assert [person.id for person in data.people] == [4] and len(data.ground_truth) == 7
    assert data.report.lines() == [f"{path}: {MISSING}: 5 (1.png, 2.png, 3.png and 2 more)"]
    with pytest.raises(
        OccluposeError, match=r"1\.png: no such image, but .*people\.json has people in it; give the folder"
    ):
        load(path, tmp_path, all_images=True)


def test_images_that_are_listed_twice(tmp_path):
    image = {"id": 1, "file_name": "a.png"}
    assert load(write_people(tmp_path, annotation(), images=[image, image]), tmp_path).report.counts == {
        coco.DUPLICATE_IMAGE: 1
    }
    with pytest.raises(OccluposeError, match=r"images a\.png and b\.png have the id 1"):
        load(write_people(tmp_path, annotation(), images=[image, image | {"file_name": "b.png"}]), tmp_path)


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
    assert load_ground_truth(write_people(tmp_path, annotation())).dataset == "other"
    assert load_ground_truth(write_people(tmp_path, annotation(2), joints=("neck", "head_top"))).dataset == "other"


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


NECK, HEAD, PELVIS = MPI15.index("neck", "head_top", "pelvis")


def one_person(folder, kind="coco", **given):
    """A file of one image with one person: joints at the places given by name, (x, y, v), others not annotated."""
    content = document(kind, np.random.default_rng(0), images=1, most=0)
    joints = np.zeros((len(files.JOINTS[kind]), 3))
    for name, values in given.items():
        joints[files.JOINTS[kind].index(name)] = values
    annotation = {
        "id": 7,
        "image_id": 1,
        "category_id": 1,
        "iscrowd": 0,
        "bbox": [1, 1, 90, 80],
        "keypoints": joints.ravel().tolist(),
    }
    content["annotations"] = [annotation]
    write_images(folder, content, np.random.default_rng(0))
    return write_json(folder / "people.json", content)


TORSO = {"left_shoulder": (50, 30, 2), "right_shoulder": (30, 34, 2), "left_hip": (46, 70, 2), "right_hip": (34, 74, 2)}


def sample_of_one(folder, kind="coco", **given):
    (found,) = make_samples(load(one_person(folder, kind, **given), folder))
    return found


def test_neck_and_pelvis_of_coco(tmp_path):
    """Middle of the shoulders (40, 32), of the hips (40, 72): the neck lies 0.185 of the way between beyond the
    shoulders.
    """
    found = sample_of_one(tmp_path, **TORSO)
    assert np.allclose(found.xy[0, NECK], (40, 32 - 0.185 * 40)) and np.allclose(found.xy[0, PELVIS], (40, 72))
    assert found.state[0, [NECK, PELVIS]].tolist() == [2, 2]
    assert np.flatnonzero(~found.annotated).tolist() == [HEAD] and found.state[0, HEAD] == 0
    assert found.camera is None and not found.has_depth and np.isnan(found.z).all() and found.size == files.SIZE
    for joint in ("left_shoulder", "right_hip"):
        assert np.array_equal(found.xy[0, MPI15.joints.index(joint)], TORSO[joint][:2])
    assert found.image.read(found.size).shape == (*files.SIZE[::-1], 3)


@pytest.mark.parametrize(
    ("joint", "v", "neck", "pelvis"),
    [("left_hip", 1, 2, 1), ("left_hip", 0, 0, 0), ("left_shoulder", 1, 1, 2), ("right_shoulder", 0, 0, 2)],
)
def test_they_are_as_visible_as_the_joints_they_are_made_of(tmp_path, joint, v, neck, pelvis):
    """Where they are not known although a part of these is, they are not annotated."""
    found = sample_of_one(tmp_path, **(TORSO | {joint: (*TORSO[joint][:2], v), "left_knee": (50, 80, 2)}))
    assert found.state[0, [NECK, PELVIS]].tolist() == [neck, pelvis]
    assert np.isnan(found.xy[0, [NECK, PELVIS]]).all(-1).tolist() == [neck == 0, pelvis == 0]
    assert found.annotated[[NECK, PELVIS]].tolist() == [neck > 0, pelvis > 0]


def test_a_person_without_hips_and_shoulders_hides_nobody_s_pelvis(tmp_path):
    """Nothing is known of where theirs would be; that of others is annotated."""
    legs = {"left_knee": (50, 80, 2), "right_knee": (30, 80, 2), "left_ankle": (50, 90, 2)}
    assert sample_of_one(tmp_path, **legs).annotated[[NECK, PELVIS]].all()


def test_crowdpose_has_necks_and_heads_of_its_own(tmp_path):
    found = sample_of_one(tmp_path, "crowdpose", **TORSO, neck=(41, 27, 1), head=(44, 5, 2))
    assert found.annotated.all() and found.state[0, [NECK, HEAD, PELVIS]].tolist() == [1, 2, 2]
    assert found.xy[0, [NECK, HEAD]].tolist() == [[41, 27], [44, 5]]


def test_people_of_fewer_than_three_joints_are_left_out(tmp_path):
    few = dict(list(TORSO.items())[:2])
    given = load(one_person(tmp_path, **few), tmp_path)
    assert make_samples(given) == [] and given.report.notes[FEW_JOINTS] == ["annotation 7"]
    assert len(sample_of_one(tmp_path, **few, nose=(40, 20, 1))) == 1


def test_joints_and_people_outside_of_the_image(tmp_path):
    width = files.SIZE[0]
    found = sample_of_one(tmp_path, **TORSO, left_ankle=(width, 50, 2), right_ankle=(width - 1, 50, 2))
    states = dict(zip(MPI15.joints, found.state[0], strict=True))
    assert states["left_ankle"] == 0 and states["right_ankle"] == 2


def test_every_person_of_a_image_is_in_it_once(tmp_path):
    write_coco(tmp_path)
    given = load(tmp_path / "annotations/person_keypoints_train2017.json", tmp_path / "train2017")
    found = make_samples(given)
    many = [person for person in given.people if (person.state > 0).sum() >= 3]
    assert sum(map(len, found)) == len(many) > len(found) == len({person.image for person in many})
    wrists = {
        (str(one.image), *xy)
        for one in found
        for xy in one.xy[:, MPI15.joints.index("left_wrist")].tolist()
        if xy[0] == xy[0]
    }
    place = COCO17.joints.index("left_wrist")
    assert wrists == {(str(each.image), *np.float32(each.xy[place]).tolist()) for each in many if each.state[place]}


def test_images_without_a_size_are_refused(tmp_path):
    path = rewritten(one_person(tmp_path, **TORSO), lambda content: content["images"][0].pop("width"))
    with pytest.raises(OccluposeError, match=r"people.json: no width and height of 000001.jpg"):
        make_samples(load(path, tmp_path))


# -------------------------------------------------------------------------- samples of own joints


@pytest.mark.parametrize("kind", ["coco", "crowdpose"])
def test_keypoint_samples_have_the_dataset_s_joints(tmp_path, kind):
    """Everybody with a joint, as annotated."""
    (write_coco if kind == "coco" else write_crowdpose)(tmp_path)
    file, images = {
        "coco": ("annotations/person_keypoints_train2017.json", "train2017"),
        "crowdpose": ("json/crowdpose_trainval.json", "images"),
    }[kind]
    given = load(tmp_path / file, tmp_path / images)
    found = make_keypoint_samples(given)
    assert sum(map(len, found)) == len(given.people) and len(found) == len({each.image for each in given.people})
    for sample in found:
        people = [each for each in given.people if each.image == sample.image]
        assert sample.skeleton == given.skeleton and sample.annotated.all() and not sample.has_depth
        np.testing.assert_array_equal(sample.state, np.stack([each.state for each in people]))
        known = sample.state > 0
        np.testing.assert_allclose(sample.xy[known], np.stack([each.xy for each in people])[known], rtol=1e-6)
        assert np.isnan(sample.xy[~known]).all()


def test_keypoint_samples_without_joints_outside_of_the_image(tmp_path):
    width = files.SIZE[0]
    path = one_person(tmp_path, **TORSO, left_ankle=(width, 50, 2), right_ankle=(width - 1, 50, 1))
    (found,) = make_keypoint_samples(load(path, tmp_path))
    states = dict(zip(COCO17.joints, found.state[0], strict=True))
    assert (states["left_ankle"], states["right_ankle"], states["left_hip"], states["nose"]) == (0, 1, 2, 0)


def test_keypoint_samples_need_the_size_of_the_image(tmp_path):
    path = rewritten(one_person(tmp_path, **TORSO), lambda content: content["images"][0].pop("width"))
    with pytest.raises(OccluposeError, match=r"people.json: no width and height of 000001.jpg"):
        make_keypoint_samples(load(path, tmp_path))
