from dataclasses import replace

import numpy as np
import pytest
import torch

from occlupose.bodies.cylinders import cylinders
from occlupose.errors import OccluposeError
from occlupose.methods.hupor.ssf.label import label_occlusion, occlusion_of_bodies
from occlupose.methods.hupor.ssf.network import SSF
from occlupose.methods.hupor.ssf.people import concatenate_crops
from occlupose.methods.hupor.ssf.predict import finetune, make_fitter, predict_bodies
from occlupose.occlusion.surfaces import OcclusionCause
from occlupose.poses import ABSENT, OCCLUDED, VISIBLE
from occlupose.skeletons import BODY26, H36M17, MPI15, MUPOTS17
from ssf_scenes import H36M, three_people

TINY = {"input_type": "mask", "size": 32, "blocks": (1, 1), "width": 4, "cnn_width": 2, "hidden": (8, 8)}


def tiny(**changes):
    torch.manual_seed(0)
    return SSF(cylinders(), **TINY | changes)


def test_the_true_bodies_give_the_true_labels():
    truth = three_people()
    given = occlusion_of_bodies(truth.fit, truth.body, truth.ssf_input())
    for name in ("state", "cause", "occluder"):
        assert (getattr(given, name) == getattr(truth.occlusion, name)).all()


@pytest.mark.parametrize("masks", [True, False])
def test_fitted_bodies_label_far_better_than_chance(masks):
    right = total = there = 0
    for seed in range(4):
        truth = three_people(seed)
        (given,) = label_occlusion([truth.ssf_input(H36M17, masks=masks)], body=truth.body, size=64)
        mine = given.state == OCCLUDED
        true = truth.occlusion.state[:, H36M] == OCCLUDED
        right = right + (mine & true).sum()
        total = total + mine.sum()
        there = there + true.sum()
        assert ((given.state == ABSENT) == (truth.occlusion.state[:, H36M] == ABSENT)).all()
    assert there > 20
    assert 2 * right / (total + there) > 0.75


def test_occluders_are_identified():
    truth = three_people()
    (given,) = label_occlusion([truth.ssf_input(H36M17)], body=truth.body, size=64)
    others = (given.cause == OcclusionCause.PERSON) & (truth.occlusion.cause[:, H36M] == OcclusionCause.PERSON)
    assert others.sum() > 3
    assert (given.occluder == truth.occlusion.occluder[:, H36M])[others].all()


def test_labels_come_in_the_skeleton_that_was_given():
    truth = three_people()
    neck = [BODY26.index("thorax" if name == "neck" else name)[0] for name in MPI15.joints]
    other = replace(truth.ssf_input(), joints=truth.fit.joints[:, neck].numpy(), skeleton=MPI15)
    given = occlusion_of_bodies(truth.fit, truth.body, other)
    assert (given.state == truth.occlusion.state[:, neck]).all()
    assert (given.occluder == truth.occlusion.occluder[:, neck]).all()


def test_joints_that_bodies_lack_or_that_are_unknown_are_absent():
    truth = three_people()
    joints = np.full((3, len(MUPOTS17), 3), np.nan, np.float32)
    for place, name in enumerate(MUPOTS17.joints):
        if name in BODY26.joints:
            joints[:, place] = truth.fit.joints[:, BODY26.index(name)[0]]
    joints[:, MUPOTS17.index("head")[0]] = joints[:, MUPOTS17.index("head_top")[0]]
    joints[1, MUPOTS17.index("left_knee")[0]] = np.nan
    given = occlusion_of_bodies(truth.fit, truth.body, replace(truth.ssf_input(), joints=joints, skeleton=MUPOTS17))
    assert (given.state[:, MUPOTS17.index("head")] == ABSENT).all()
    assert given.state[1, MUPOTS17.index("left_knee")] == ABSENT
    assert (given.state[:, MUPOTS17.index("pelvis")] != ABSENT).all()


def test_inputs_of_wrong_shape_are_refused():
    truth = three_people()
    with pytest.raises(OccluposeError, match=r"joints of shape \(3, 26, 3\)"):
        label_occlusion([replace(truth.ssf_input(), skeleton=H36M17)], body=truth.body)
    with pytest.raises(OccluposeError, match="masks of shape"):
        label_occlusion([replace(truth.ssf_input(), masks=truth.masks[:, ::2])], body=truth.body)


def test_networks_label_too():
    truth = three_people()
    ssf = tiny()
    (given,) = label_occlusion([truth.ssf_input(H36M17)], body=ssf.body, fitter=make_fitter(ssf), size=ssf.size)
    assert given.state.shape == (3, 17)
    assert set(np.unique(given.state)) <= {ABSENT, OCCLUDED, VISIBLE}


def test_networks_can_be_trained_to_fit_the_joints():
    truth = three_people()
    ssf = tiny()
    given, fit_mask = truth.ssf_input(H36M17).crop_people(ssf.size)
    met = predict_bodies(ssf, given, fit_mask, refine=True)
    seen = predict_bodies(ssf, given, fit_mask)
    assert torch.equal(met.shape, seen.shape)
    assert met.error.mean() < 0.9 * seen.error.mean()


def test_networks_refuse_missing_masks_images_and_crops_of_another_size():
    truth = three_people()
    ssf = tiny()
    with pytest.raises(OccluposeError, match="no masks: the networks need them"):
        predict_bodies(ssf, truth.ssf_input(masks=False).crop_people(ssf.size)[0])
    with pytest.raises(OccluposeError, match="crops of 64 px: must be 32 px for these networks"):
        predict_bodies(ssf, truth.ssf_input().crop_people(64)[0])
    with pytest.raises(OccluposeError, match="no image: these networks need one"):
        predict_bodies(tiny(input_type="image"), truth.ssf_input().crop_people(32)[0])


def test_refinement_needs_no_true_bodies_and_leaves_the_networks_as_they_are():
    ssf = tiny()
    people = concatenate_crops([three_people(seed).ssf_input().crop_people(ssf.size)[0] for seed in range(2)])
    assert len(people) == 6
    before = {name: value.clone() for name, value in ssf.state_dict().items()}
    refined = finetune(ssf, people, steps=30, learning_rate=1e-3)
    assert all(torch.equal(value, before[name]) for name, value in ssf.state_dict().items())
    assert predict_bodies(refined, people).error.mean() < predict_bodies(ssf, people).error.mean()
    again = finetune(ssf, people, steps=30, learning_rate=1e-3)
    assert all(torch.equal(value, refined.state_dict()[name]) for name, value in again.state_dict().items())
