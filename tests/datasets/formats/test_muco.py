import numpy as np
import pytest

from coco_files import write_json
from image_dataset_files import CENTRE, FOCAL, MUCO, OURS, SIZE, muco, rewritten, write_images
from occlupose.datasets.formats.muco import FILE, NO_DEPTH, NOT_FINITE, load
from occlupose.datasets.image_samples import NOBODY
from occlupose.datasets.images import LABELS_ONLY
from occlupose.datasets.report import DataReport
from occlupose.errors import OccluposeError

PICK = [MUCO.index(joint) for joint in OURS]


@pytest.fixture
def dataset(tmp_path):
    content, truth = muco(np.random.default_rng(0))
    write_images(tmp_path, [image["file_name"] for image in content["images"]])
    return write_json(tmp_path / FILE, content), content, truth


def test_joints_by_their_names_in_metres(dataset):
    path, content, truth = dataset
    found = load(path)
    assert [len(sample) for sample in found] == [2, 0, 1]
    for sample, xyz in zip(found, truth, strict=True):
        assert np.abs(sample.z - xyz[:, PICK, 2]).max(initial=0) < 1e-5
        if len(sample):
            assert np.abs(sample.camera.back_project(sample.xy.astype(float), sample.z) - xyz[:, PICK]).max() < 1e-4
        assert (
            sample.size == SIZE
            and (sample.camera.fx, sample.camera.fy) == FOCAL
            and (sample.camera.cx, sample.camera.cy) == CENTRE
        )
        assert sample.image.read(sample.size).shape == (SIZE[1], SIZE[0], 3) and sample.annotated.all()
    seen = np.array([person["keypoints_vis"] for person in content["annotations"]])[:, PICK]
    assert np.array_equal(np.concatenate([sample.state for sample in found]), 1 + seen)


def test_without_visibility_all_are_visible(dataset):
    path = rewritten(dataset[0], lambda content: [person.pop("keypoints_vis") for person in content["annotations"]])
    assert all((sample.state == 2).all() for sample in load(path))


def test_joints_outside_of_the_image_are_absent(dataset):
    def move(content):
        first, second, _ = content["annotations"]
        first["keypoints_img"][MUCO.index("L_Wrist")] = [SIZE[0] - 0.5, 5.0]  # just beyond
        first["keypoints_img"][MUCO.index("R_Wrist")] = [SIZE[0] - 0.6, -0.5]  # just within
        second["keypoints_img"] = [[-50.0, 5.0]] * 21

    report = DataReport(dataset[0])
    sample = load(rewritten(dataset[0], move), report=report)[0]
    assert len(sample) == 1 and report.notes[NOBODY] == ["1 of image 10"]
    assert (sample.state[0] == 0).nonzero()[0].tolist() == [OURS.index("L_Wrist")]
    assert np.isnan(sample.xy[0, OURS.index("L_Wrist")]).all() and np.isnan(sample.z[0, OURS.index("L_Wrist")])


def test_numbers_that_are_none_are_counted(dataset):
    def spoil(content):
        content["annotations"][0]["keypoints_img"][MUCO.index("Pelvis")] = [float("nan"), 5.0]
        content["annotations"][1]["keypoints_cam"][MUCO.index("Pelvis")] = [0.0, 0.0, -100.0]
        content["annotations"][2]["keypoints_cam"][MUCO.index("Pelvis")] = [0.0, 0.0, float("nan")]

    report = DataReport(dataset[0])
    first, _, third = load(rewritten(dataset[0], spoil), report=report)
    assert report.problems == {NOT_FINITE: ["annotation 0"], NO_DEPTH: ["annotation 1", "annotation 2"]}
    pelvis = OURS.index("Pelvis")
    assert (
        first.state[0, pelvis] == 0
        and first.state[1, pelvis] > 0
        and np.isnan(first.z[1, pelvis])
        and np.isfinite(first.xy[1]).all()
    )
    assert third.state[0, pelvis] > 0 and np.isnan(third.z[0, pelvis])
    with pytest.raises(OccluposeError, match="annotation 0; correct the file"):
        load(dataset[0], report=DataReport(dataset[0], strict=True))


def test_missing_images(dataset, tmp_path):
    report = DataReport(dataset[0])
    next(tmp_path.rglob("2/0001.jpg")).unlink()
    assert [len(sample) for sample in load(dataset[0], report=report)] == [2, 0]
    assert report.counts == {"missing images, their people left out": 1}
    alone = load(dataset[0], tmp_path / "augmented_set", report)
    assert len(alone) == 3 and all(sample.image is None for sample in alone) and len(report.notes[LABELS_ONLY]) == 3


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda content: content["annotations"][1]["keypoints_cam"].pop(),
            "annotation 1: keypoints_cam is not 21 x 3 numbers",
        ),
        (
            lambda content: content["annotations"][1]["keypoints_img"][3].pop(),
            "annotation 1: keypoints_img is not 21 x 2 numbers",
        ),
        (
            lambda content: content["annotations"][1]["keypoints_vis"].pop(),
            "annotation 1: keypoints_vis has 20 values, not 21",
        ),
        (lambda content: content["annotations"][1].update(image_id=99), "annotation 1: image_id 99 is not there"),
        (lambda content: content["images"][1].update(id=10), "two images have the same id"),
        (lambda content: content["images"][1].update(f=[0, 5]), "image 11: camera: focal lengths"),
        (lambda content: content["images"][1].pop("f"), "images.1.f: field required"),
        (lambda content: content.pop("annotations"), "annotations: field required"),
    ],
)
def test_what_is_wrong_with_the_file_is_named(dataset, change, message):
    with pytest.raises(OccluposeError, match=f"{FILE}: {message}"):
        load(rewritten(dataset[0], change))


def test_a_damaged_file(dataset):
    dataset[0].write_bytes(dataset[0].read_bytes()[:300])
    with pytest.raises(OccluposeError, match=f"{FILE}: the file: invalid json"):
        load(dataset[0])
    with pytest.raises(OccluposeError, match=r"none.json: cannot be read"):
        load(dataset[0].with_name("none.json"))
