import numpy as np
import pytest

from coco_files import JOINTS, SIZE, document, write_coco, write_crowdpose, write_images, write_json
from image_dataset_files import muco, records, rewritten, smap_body, smap_image, write_h36m, write_scenes
from occlupose.cameras import Camera
from occlupose.datasets import image_datasets
from occlupose.datasets.formats import coco
from occlupose.datasets.image_samples import FEW_JOINTS, from_coco, make_mpi15_sample
from occlupose.errors import OccluposeError
from occlupose.skeletons import COCO17, MPI15

NECK, HEAD, PELVIS = MPI15.index("neck", "head_top", "pelvis")


def one_person(folder, kind="coco", **given):
    """A file of one image with one person: joints at the places given by name, (x, y, v), others not annotated."""
    content = document(kind, np.random.default_rng(0), images=1, most=0)
    joints = np.zeros((len(JOINTS[kind]), 3))
    for name, values in given.items():
        joints[JOINTS[kind].index(name)] = values
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


def of_one(folder, kind="coco", **given):
    (found,) = from_coco(coco.load(one_person(folder, kind, **given), folder))
    return found


def test_neck_and_pelvis_of_coco(tmp_path):
    """Middle of the shoulders (40, 32), of the hips (40, 72): the neck lies 0.185 of the way between beyond the
    shoulders.
    """
    found = of_one(tmp_path, **TORSO)
    assert np.allclose(found.xy[0, NECK], (40, 32 - 0.185 * 40)) and np.allclose(found.xy[0, PELVIS], (40, 72))
    assert found.state[0, [NECK, PELVIS]].tolist() == [2, 2]
    assert np.flatnonzero(~found.annotated).tolist() == [HEAD] and found.state[0, HEAD] == 0
    assert found.camera is None and not found.has_depth and np.isnan(found.z).all() and found.size == SIZE
    for joint in ("left_shoulder", "right_hip"):
        assert np.array_equal(found.xy[0, MPI15.joints.index(joint)], TORSO[joint][:2])
    assert found.image.read(found.size).shape == (*SIZE[::-1], 3)


@pytest.mark.parametrize(
    ("joint", "v", "neck", "pelvis"),
    [("left_hip", 1, 1, 1), ("left_hip", 0, 0, 0), ("left_shoulder", 1, 1, 2), ("right_shoulder", 0, 0, 2)],
)
def test_they_are_as_visible_as_the_least_of_what_they_are_made_of(tmp_path, joint, v, neck, pelvis):
    found = of_one(tmp_path, **(TORSO | {joint: (*TORSO[joint][:2], v), "left_knee": (50, 80, 2)}))
    assert found.state[0, [NECK, PELVIS]].tolist() == [neck, pelvis]
    assert np.isnan(found.xy[0, [NECK, PELVIS]]).all(-1).tolist() == [neck == 0, pelvis == 0]


def test_crowdpose_has_necks_and_heads_of_its_own(tmp_path):
    found = of_one(tmp_path, "crowdpose", **TORSO, neck=(41, 27, 1), head=(44, 5, 2))
    assert found.annotated.all() and found.state[0, [NECK, HEAD, PELVIS]].tolist() == [1, 2, 2]
    assert found.xy[0, [NECK, HEAD]].tolist() == [[41, 27], [44, 5]]


def test_people_of_fewer_than_three_joints_are_left_out(tmp_path):
    few = dict(list(TORSO.items())[:2])
    given = coco.load(one_person(tmp_path, **few), tmp_path)
    assert from_coco(given) == [] and given.report.notes[FEW_JOINTS] == ["annotation 7"]
    assert len(of_one(tmp_path, **few, nose=(40, 20, 1))) == 1


def test_joints_and_people_outside_of_the_image(tmp_path):
    found = of_one(tmp_path, **(TORSO | {"left_ankle": (SIZE[0], 50, 2), "right_ankle": (SIZE[0] - 1, 50, 2)}))
    states = dict(zip(MPI15.joints, found.state[0], strict=True))
    assert states["left_ankle"] == 0 and states["right_ankle"] == 2


def test_every_person_of_a_image_is_in_it_once(tmp_path):
    write_coco(tmp_path)
    given = coco.load(tmp_path / "annotations/person_keypoints_train2017.json", tmp_path / "train2017")
    found = from_coco(given)
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
        from_coco(coco.load(path, tmp_path))


def test_a_sample_has_the_people_in_the_image():
    """Sixty people, every other outside of the image; depths behind the camera are not known."""
    random = np.random.default_rng(0)
    xy = random.uniform(5, 90, (60, 15, 2))
    xy[::2] += 500
    xy[1, 3] = (-0.5, 95.5)
    xy[1, 4] = (-0.6, 20)
    z = random.uniform(1, 9, (60, 15))
    z[3, 2] = -1
    z[5, 6] = 0
    z[7, 7] = np.inf
    state = np.full((60, 15), 2, np.uint8)
    state[1, 0] = 0
    found = make_mpi15_sample(None, (120, 96), xy, z, state, camera=Camera.from_fov(120, 96))
    assert len(found) == 30 and np.argwhere(found.state == 0).tolist() == [[0, 0], [0, 3], [0, 4]]
    assert np.array_equal(np.isnan(found.xy).any(-1), found.state == 0)
    assert np.argwhere(np.isnan(found.z) & (found.state > 0)).tolist() == [[1, 2], [2, 6], [3, 7]]
    assert found.xy.dtype == found.z.dtype == np.float32 and found.state.dtype == np.uint8
    edge = xy[1, 3] - (0, 0.1)
    xy[1, 3] = edge
    assert make_mpi15_sample(None, (120, 96), xy, z, state).state[0, 3] == 2
    assert len(make_mpi15_sample(None, (120, 96), xy, z, np.zeros_like(state))) == 0


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
    found = image_datasets.load(tmp_path / "set")
    assert found.format == {"crowdpose": "coco"}.get(kind, kind)
    assert sum(map(len, found.samples)) == count if count else len(found.samples) > 1
    assert len(image_datasets.load(tmp_path / "set").samples) == len(found.samples)
    assert all(one.has_depth == (found.format != "coco") for one in found.samples)


def test_a_file_is_recognised(tmp_path):
    for kind, name in (
        ("muco", "MuCo-3DHP.json"),
        ("smap", "annotations/MuCo.json"),
        ("coco", "annotations/person_keypoints_val2017.json"),
    ):
        made(tmp_path / kind, kind)
        found = image_datasets.load(tmp_path / kind / name)
        assert found.format == kind and found.path == tmp_path / kind / name
    assert (
        sum(map(len, image_datasets.load(tmp_path / "smap/annotations/MuCo.json").samples)) == 3
    )  # a file is read whole
    other = tmp_path / "coco/annotations/person_keypoints_train2017.json"
    assert len(image_datasets.load(other, images=tmp_path / "coco/train2017").samples) == len(
        image_datasets.load(tmp_path / "coco").samples
    )
    made(tmp_path / "synth", "synth")
    assert len(image_datasets.load(tmp_path / "synth/shards/000000.tar").samples) == 1


def test_splits_of_our_own_scenes(tmp_path):
    for split, count in (("train", 2), ("val", 1)):
        write_scenes(tmp_path / split, records(count))
    assert [len(image_datasets.load(tmp_path, split).samples) for split in ("train", "val")] == [2, 1]


def test_what_is_not_found_is_reported(tmp_path):
    with pytest.raises(OccluposeError, match=r"none: no such file or folder; give scenes of occlupose synth.*COCO"):
        image_datasets.load(tmp_path / "none")
    (tmp_path / "empty").mkdir()
    with pytest.raises(
        OccluposeError, match=r"empty: no known dataset in it; supported are scenes.*Human36M.*MuCo.*SMAP.*COCO"
    ):
        image_datasets.load(tmp_path / "empty")
    for content in ({"a": 1}, [1, 2]):
        with pytest.raises(OccluposeError, match=r"other.json: not scenes"):
            image_datasets.load(write_json(tmp_path / "other.json", content))
    made(tmp_path / "two", "smap")
    made(tmp_path / "two", "muco")
    with pytest.raises(OccluposeError, match=r"2 files are possible: MuCo-3DHP.json, annotations/MuCo.json"):
        image_datasets.load(tmp_path / "two")


def test_strict_refuses_what_is_wrong(tmp_path):
    content, _ = muco(np.random.default_rng(0))
    content["annotations"][0]["keypoints_cam"][14][2] = -1.0
    path = write_json(tmp_path / "MuCo-3DHP.json", content)
    assert sum(image_datasets.load(path).report.counts.values()) == 1
    with pytest.raises(OccluposeError, match="annotation 0; correct the file"):
        image_datasets.load(path, strict=True)
