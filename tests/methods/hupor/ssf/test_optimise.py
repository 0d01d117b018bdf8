from dataclasses import replace

import numpy as np
import pytest
import torch

from occlupose.bodies.anny import anny
from occlupose.bodies.cylinders import cylinders
from occlupose.methods.hupor.ssf.optimise import FitSettings, fit_bodies, fit_joints
from occlupose.occlusion.surfaces import Surface, render_zbuffer
from occlupose.skeletons import BODY26, H36M17, MPI15
from ssf_scenes import CAMERA, make_people, three_people


def outline(fit, body, person=0):
    with torch.no_grad():
        vertices = body(fit.pose, fit.shape, fit.translation).vertices[person].numpy()
    return render_zbuffer([Surface(vertices, body.faces.numpy())], CAMERA).surface == 0


def iou(one, other):
    return (one & other).sum() / (one | other).sum()


@pytest.mark.parametrize("body", [anny, cylinders])
@pytest.mark.parametrize("skeleton", [BODY26, H36M17])
def test_an_unusual_shape_is_fitted_within_a_centimetre(body, skeleton):
    truth = make_people(5, body=body())
    given, fit_mask = truth.ssf_input(skeleton, masks=False).crop_people(64)
    fitted = fit_bodies(given, body(), fit_mask=fit_mask)
    known = given.joints[0].isfinite().all(-1)
    assert (fitted.joints - truth.fit.joints)[0, known].norm(dim=-1).mean() < 0.01
    assert fitted.error.max() < 0.01
    assert iou(outline(fitted, body()), outline(truth.fit, body())) > 0.75


def test_a_mask_makes_the_outline_more_alike():
    """Girth cannot be seen in joints."""
    body = cylinders()
    truth = make_people(4, body=body)
    shape = truth.fit.shape.clone()
    shape[:, body.shape_names.index("girth")] = 1.28
    stout = replace(truth.fit, shape=shape)
    whole = outline(stout, body)
    other = replace(truth.ssf_input(), masks=whole[None])
    given, _ = other.crop_people(128)
    with_mask = fit_bodies(given, body)
    without = fit_bodies(given, body, settings=FitSettings(steps=0))
    before = iou(outline(without, body), whole)
    after = iou(outline(with_mask, body), whole)
    assert after > before + 0.03
    assert with_mask.error.max() < 0.015


def test_people_are_fitted_independently():
    """A person is fitted the same in company; floats may differ in their last places."""
    truth = three_people()
    given, fit_mask = truth.ssf_input(H36M17).crop_people(64)
    together = fit_bodies(given, truth.body, fit_mask=fit_mask)
    for person in range(3):
        alone = fit_bodies(given[person : person + 1], truth.body, fit_mask=fit_mask)
        assert torch.allclose(alone.joints[0], together.joints[person], atol=0.01)


def test_people_without_a_mask_are_fitted_to_joints_only():
    truth = three_people()
    given, _ = truth.ssf_input(masks=False).crop_people(64)
    assert torch.equal(fit_bodies(given, truth.body).shape, fit_joints(given.joints, truth.body).shape)


def test_joints_derived_from_others_are_not_fitted():
    truth = make_people(2, body=anny())
    joints = truth.fit.joints[
        :, [BODY26.index("thorax" if name == "neck" else name)[0] for name in MPI15.joints]
    ].numpy()
    given, fit_mask = replace(truth.ssf_input(masks=False), joints=joints, skeleton=MPI15).crop_people(64)
    fitted = fit_bodies(given, anny(), fit_mask=fit_mask)
    assert fitted.error.max() < 0.01
    spine = BODY26.index("spine")
    # the middle between pelvis and thorax is not Anny's spine
    assert (fitted.joints - given.joints)[0, spine].norm() > 0.005


def test_few_joints_are_enough():
    truth = make_people(1)
    given, fit_mask = truth.ssf_input(masks=False).crop_people(64)
    given.joints[:, BODY26.index("left_ankle", "left_knee", "right_wrist", "head_top")] = torch.nan
    fitted = fit_bodies(given, truth.body, fit_mask=fit_mask)
    assert all(value.isfinite().all() for value in vars(fitted).values())
    assert fitted.error.max() < 0.01


def test_the_result_stays_within_the_range_of_shapes():
    truth = three_people(2)
    given, _ = truth.ssf_input().crop_people(64)
    given.joints = given.joints.mean(1, keepdim=True) + 2.5 * (given.joints - given.joints.mean(1, keepdim=True))
    shape = fit_bodies(given, truth.body).shape.numpy()
    assert (shape >= truth.body.low.numpy() - 1e-6).all() and (shape <= truth.body.high.numpy() + 1e-6).all()
    assert np.isfinite(shape).all()
