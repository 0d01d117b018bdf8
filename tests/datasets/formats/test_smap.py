import json

import numpy as np
import pytest

from coco_files import write_json
from image_dataset_files import CENTRE, FOCAL, SIZE, bodies, rewritten, smap_body, smap_image, write_images
from occlupose.datasets.formats.smap import NOT_FINITE, OTHER_CAMERA, load
from occlupose.datasets.images import LABELS_ONLY
from occlupose.datasets.report import DataReport
from occlupose.errors import OccluposeError
from occlupose.skeletons import MPI15

HEAD = MPI15.joints.index("head_top")


def people(count, seed=0):
    random = np.random.default_rng(seed)
    xyz = bodies(random, count, 15)
    state = random.integers(1, 3, (count, 15))
    return xyz, state, [smap_body(*one) for one in zip(xyz, state, strict=True)]


def written(folder, *images):
    return write_json(folder / "MuCo" / "MuCo.json", {"root": list(images)})


def test_centimetres_become_metres(tmp_path):
    xyz, state, rows = people(3)
    (sample,) = load(written(tmp_path, smap_image(rows)))
    assert np.array_equal(sample.state, state) and sample.annotated.all() and sample.size == SIZE
    assert np.abs(sample.z - xyz[..., 2]).max() < 1e-5
    assert np.abs(sample.camera.back_project(sample.xy.astype(float), sample.z) - xyz).max() < 1e-4
    assert (sample.camera.fx, sample.camera.fy, sample.camera.cx, sample.camera.cy) == (*FOCAL, *CENTRE)


def test_depths_of_nought_and_not_a_number_are_not_known(tmp_path):
    _, state, rows = people(1)
    rows[0][4, 2] = 0
    rows[0][5, 2] = np.nan
    (sample,) = load(written(tmp_path, smap_image(rows)))
    assert np.flatnonzero(np.isnan(sample.z[0])).tolist() == [4, 5] and np.array_equal(sample.state, state)
    assert np.isfinite(sample.xy).all()


def test_coco_has_no_camera_no_depth_and_no_heads(tmp_path):
    xyz, state, _ = people(2)
    state[:, HEAD] = 0
    rows = [smap_body(*one, focal=SIZE[0]) for one in zip(xyz, state, strict=True)]
    (sample,) = load(written(tmp_path, smap_image(rows, dataset="COCO")))
    assert sample.camera is None and not sample.has_depth and np.isnan(sample.z).all()
    assert np.flatnonzero(~sample.annotated).tolist() == [HEAD] and np.array_equal(sample.state, state)
    assert np.isnan(sample.xy[:, HEAD]).all()


def test_the_camera_may_be_found_from_any_joint_of_any_person(tmp_path):
    _, _, rows = people(2)
    for joint in rows[0]:
        joint[7:] = [0, 0, 0, 0]
    rows[1][0][7:] = [0, 0, 0, 0]
    (sample,) = load(written(tmp_path, smap_image(rows)))
    assert (sample.camera.fx, sample.camera.fy) == FOCAL


def test_nobody_and_very_many(tmp_path):
    _, state, rows = people(60)
    nobody, many = load(written(tmp_path, smap_image([]), smap_image(rows)))
    assert len(nobody) == 0 and nobody.state.shape == (0, 15) and nobody.camera is None
    assert len(many) == 60 and np.array_equal(many.state, state)


def test_learnt_from_or_scored(tmp_path):
    path = written(tmp_path, smap_image(people(2)[2]), smap_image(people(1)[2], validation=1))
    assert [[len(sample) for sample in load(path, split=split)] for split in (None, "train", "val")] == [
        [2, 1],
        [2],
        [1],
    ]
    rewritten(path, lambda content: content["root"].pop())
    with pytest.raises(OccluposeError, match="no image of the split val"):
        load(path, split="val")


def test_images_beside_or_above_the_file(tmp_path):
    path = written(
        tmp_path, smap_image(people(1)[2], "MuCo/images/0.jpg"), smap_image(people(1)[2], "MuCo/images/1.jpg")
    )
    report = DataReport(path)
    assert [sample.image for sample in load(path, report=report)] == [None, None] and len(
        report.notes[LABELS_ONLY]
    ) == 2
    write_images(tmp_path, ["MuCo/images/0.jpg"])
    (sample,) = load(path, report=report)
    assert sample.image.read(sample.size).shape == (*SIZE[::-1], 3) and sum(report.counts.values()) == 1
    assert len(load(path, tmp_path)) == 1


def test_what_is_no_number_and_who_has_another_camera_is_counted(tmp_path):
    _, _, rows = people(2)
    rows[0][3, 0] = np.nan
    rows[1][:, 7] = 999
    report = DataReport(tmp_path)
    (sample,) = load(written(tmp_path, smap_image(rows)), report=report)
    assert report.problems == {NOT_FINITE: ["person 0 of images/0.jpg"], OTHER_CAMERA: ["images/0.jpg"]}
    assert np.argwhere(sample.state == 0).tolist() == [[0, 3]] and sample.camera.fx == FOCAL[0]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda image: image["bodys"][0].pop(), "root.0: bodys are not people of 15 joints with 11 numbers"),
        (lambda image: image["bodys"][0][2].pop(), "root.0: bodys are not people of 15 joints with 11 numbers"),
        (lambda image: image["bodys"][0][2].__setitem__(3, 7), "root.0: v is 7; it must be 0, 1 or 2"),
        (lambda image: image.pop("img_width"), "root.0.img_width: field required"),
    ],
)
def test_what_is_wrong_with_the_file_is_named(tmp_path, change, message):
    path = rewritten(written(tmp_path, smap_image(people(2)[2])), lambda content: change(content["root"][0]))
    with pytest.raises(OccluposeError, match=f"MuCo.json: {message}"):
        load(path)


def test_a_damaged_file(tmp_path):
    path = written(tmp_path, smap_image(people(2)[2]))
    path.write_text(json.dumps(json.loads(path.read_text()))[:-9])
    with pytest.raises(OccluposeError, match=r"MuCo.json: the file: invalid json"):
        load(path)
