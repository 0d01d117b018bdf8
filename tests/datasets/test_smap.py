import json

import numpy as np
import pytest

from coco_files import write_json
from crowd_files import CENTRE, FOCAL, SIZE, bodies, rewritten, smap_body, smap_picture, write_pictures
from occlupose.datasets.crowds import ALONE
from occlupose.datasets.problems import Problems
from occlupose.datasets.smap import NOT_FINITE, OTHER_CAMERA, load
from occlupose.errors import OccluposeError
from occlupose.skeletons import MPI15

HEAD = MPI15.joints.index("head_top")


def people(count, seed=0):
    random = np.random.default_rng(seed)
    xyz = bodies(random, count, 15)
    state = random.integers(1, 3, (count, 15))
    return xyz, state, [smap_body(*one) for one in zip(xyz, state, strict=True)]


def written(folder, *pictures):
    return write_json(folder / "MuCo" / "MuCo.json", {"root": list(pictures)})


def test_centimetres_become_metres(tmp_path):
    xyz, state, rows = people(3)
    (crowd,) = load(written(tmp_path, smap_picture(rows)))
    assert np.array_equal(crowd.state, state) and crowd.annotated.all() and crowd.size == SIZE
    assert np.abs(crowd.z - xyz[..., 2]).max() < 1e-5
    assert np.abs(crowd.camera.back_project(crowd.xy.astype(float), crowd.z) - xyz).max() < 1e-4
    assert (crowd.camera.fx, crowd.camera.fy, crowd.camera.cx, crowd.camera.cy) == (*FOCAL, *CENTRE)


def test_depths_of_nought_and_not_a_number_are_not_known(tmp_path):
    _, state, rows = people(1)
    rows[0][4, 2] = 0
    rows[0][5, 2] = np.nan
    (crowd,) = load(written(tmp_path, smap_picture(rows)))
    assert np.flatnonzero(np.isnan(crowd.z[0])).tolist() == [4, 5] and np.array_equal(crowd.state, state)
    assert np.isfinite(crowd.xy).all()


def test_coco_has_no_camera_no_depth_and_no_heads(tmp_path):
    xyz, state, _ = people(2)
    state[:, HEAD] = 0
    rows = [smap_body(*one, focal=SIZE[0]) for one in zip(xyz, state, strict=True)]
    (crowd,) = load(written(tmp_path, smap_picture(rows, dataset="COCO")))
    assert crowd.camera is None and not crowd.deep and np.isnan(crowd.z).all()
    assert np.flatnonzero(~crowd.annotated).tolist() == [HEAD] and np.array_equal(crowd.state, state)
    assert np.isnan(crowd.xy[:, HEAD]).all()


def test_the_camera_may_be_told_by_any_joint_of_anybody(tmp_path):
    _, _, rows = people(2)
    for joint in rows[0]:
        joint[7:] = [0, 0, 0, 0]
    rows[1][0][7:] = [0, 0, 0, 0]
    (crowd,) = load(written(tmp_path, smap_picture(rows)))
    assert (crowd.camera.fx, crowd.camera.fy) == FOCAL


def test_nobody_and_very_many(tmp_path):
    _, state, rows = people(60)
    nobody, many = load(written(tmp_path, smap_picture([]), smap_picture(rows)))
    assert len(nobody) == 0 and nobody.state.shape == (0, 15) and nobody.camera is None
    assert len(many) == 60 and np.array_equal(many.state, state)


def test_learnt_from_or_scored(tmp_path):
    path = written(tmp_path, smap_picture(people(2)[2]), smap_picture(people(1)[2], validation=1))
    assert [[len(crowd) for crowd in load(path, split=split)] for split in (None, "train", "val")] == [[2, 1], [2], [1]]
    rewritten(path, lambda content: content["root"].pop())
    with pytest.raises(OccluposeError, match="no picture of the split val"):
        load(path, split="val")


def test_pictures_beside_or_above_the_file(tmp_path):
    path = written(
        tmp_path, smap_picture(people(1)[2], "MuCo/images/0.jpg"), smap_picture(people(1)[2], "MuCo/images/1.jpg")
    )
    problems = Problems(path)
    assert [crowd.picture for crowd in load(path, problems=problems)] == [None, None] and len(
        problems.ordinary[ALONE]
    ) == 2
    write_pictures(tmp_path, ["MuCo/images/0.jpg"])
    (crowd,) = load(path, problems=problems)
    assert crowd.picture.read(crowd.size).shape == (*SIZE[::-1], 3) and sum(problems.counts.values()) == 1
    assert len(load(path, tmp_path)) == 1


def test_what_is_no_number_and_who_has_another_camera_is_counted(tmp_path):
    _, _, rows = people(2)
    rows[0][3, 0] = np.nan
    rows[1][:, 7] = 999
    problems = Problems(tmp_path)
    (crowd,) = load(written(tmp_path, smap_picture(rows)), problems=problems)
    assert problems.found == {NOT_FINITE: ["person 0 of images/0.jpg"], OTHER_CAMERA: ["images/0.jpg"]}
    assert np.argwhere(crowd.state == 0).tolist() == [[0, 3]] and crowd.camera.fx == FOCAL[0]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda picture: picture["bodys"][0].pop(), "root.0: bodys are not people of 15 joints with 11 numbers"),
        (lambda picture: picture["bodys"][0][2].pop(), "root.0: bodys are not people of 15 joints with 11 numbers"),
        (lambda picture: picture["bodys"][0][2].__setitem__(3, 7), "root.0: v is 7; it must be 0, 1 or 2"),
        (lambda picture: picture.pop("img_width"), "root.0.img_width: field required"),
    ],
)
def test_what_is_wrong_with_the_file_is_named(tmp_path, change, message):
    path = rewritten(written(tmp_path, smap_picture(people(2)[2])), lambda content: change(content["root"][0]))
    with pytest.raises(OccluposeError, match=f"MuCo.json: {message}"):
        load(path)


def test_a_damaged_file(tmp_path):
    path = written(tmp_path, smap_picture(people(2)[2]))
    path.write_text(json.dumps(json.loads(path.read_text()))[:-9])
    with pytest.raises(OccluposeError, match=r"MuCo.json: the file: invalid json"):
        load(path)
