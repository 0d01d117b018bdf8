import numpy as np
import pytest
import torch

from occlupose.errors import OccluposeError
from occlupose.methods.hupor.ssf.people import concatenate_crops, crop_people, to_body26
from occlupose.skeletons import BODY26, CROWDPOSE14, H36M17, MPI15
from ssf_scenes import CAMERA, H36M, three_people


def test_a_skeleton_is_converted_with_unknown_joints_as_nan():
    truth = three_people().fit.joints.numpy()
    joints, fit_mask = to_body26(truth[:, H36M], H36M17)
    assert np.allclose(joints[:, H36M], truth[:, H36M])
    assert joints[:, BODY26.index("nose")].isnan().all()
    assert fit_mask.all()


def test_joints_derived_from_others_are_not_fitted():
    truth = three_people().fit.joints
    neck = [BODY26.index("thorax" if name == "neck" else name)[0] for name in MPI15.joints]
    joints, fit_mask = to_body26(truth[:, neck].numpy(), MPI15)
    assert torch.equal(joints[:, BODY26.index("thorax")], truth[:, BODY26.index("thorax")])
    made = [name for name, real in zip(BODY26.joints, fit_mask, strict=True) if not real]
    assert made == ["spine"]
    assert joints[:, BODY26.index("spine")].isfinite().all()
    _, of_crowdpose = to_body26(truth[:, : len(CROWDPOSE14)].numpy(), CROWDPOSE14)
    assert [name for name, real in zip(BODY26.joints, of_crowdpose, strict=True) if not real] == ["pelvis", "spine"]


def test_crops_show_each_person():
    truth = three_people(1)
    given = crop_people(truth.fit.joints, CAMERA, truth.masks, size=96)
    assert (len(given), given.size, given.image.shape) == (3, 96, (3, 0, 96, 96))
    flat = torch.einsum("pxc,pjc->pjx", given.intrinsics, truth.fit.joints / truth.fit.joints[..., 2:])
    assert flat.min() > 0 and flat.max() < 95
    intrinsics, seen, valid = given.on_grid()
    assert seen.shape == valid.shape == (3, 64, 64)
    cells = torch.einsum("pxc,pjc->pjx", intrinsics, truth.fit.joints / truth.fit.joints[..., 2:])
    assert torch.allclose((cells + 0.5) / 64, (flat + 0.5) / 96, atol=1e-5)
    assert torch.allclose(seen.mean((1, 2)), given.mask.mean((1, 2)), atol=0.01)


def test_a_crop_is_the_image_around_the_person():
    truth = three_people(1)
    image = np.random.default_rng(0).integers(0, 256, (CAMERA.height, CAMERA.width, 3), np.uint8)
    given = crop_people(truth.fit.joints, CAMERA, truth.masks, image, size=64)
    assert given.image.shape == (3, 3, 64, 64)
    assert 0.3 < given.image.mean() < 0.6


def test_nearer_people_close_pixels_and_further_ones_do_not():
    joints = three_people().fit.joints[:2].clone()
    joints -= joints.mean(1, keepdim=True)
    joints[:, :, 2] += torch.tensor([[3.0], [4.0]])
    masks = np.zeros((2, CAMERA.height, CAMERA.width), bool)
    masks[0, :, :150] = True
    masks[1, :, 170:] = True
    given = crop_people(joints, CAMERA, masks, size=64)
    near, far = given.valid
    assert near.mean() > 0.9  # the far one's pixels stay open to the near one
    assert far[:, :20].mean() < 0.1 and far[:, 44:].mean() > 0.9


def test_without_masks_nothing_is_open():
    assert crop_people(three_people().fit.joints, CAMERA, size=32).valid.sum() == 0


def test_inputs_of_wrong_shape_are_refused():
    truth = three_people()
    with pytest.raises(OccluposeError, match=r"masks of shape \(2, 240, 320\): must be"):
        crop_people(truth.fit.joints, CAMERA, truth.masks[:2])
    with pytest.raises(OccluposeError, match=r"image of shape \(240, 321, 3\)"):
        crop_people(truth.fit.joints, CAMERA, None, np.zeros((240, 321, 3), np.uint8))
    with pytest.raises(OccluposeError, match=r"joints of shape \(3, 26, 3\): must be \(person, 17, 3\) for h36m17"):
        to_body26(truth.fit.joints.numpy(), H36M17)
    with pytest.raises(OccluposeError, match="person 0: no joint is in front of the camera"):
        crop_people(truth.fit.joints * torch.tensor([1.0, 1, -1]), CAMERA)


def test_gathered_people_keep_their_order():
    given = crop_people(three_people().fit.joints, CAMERA, size=32)
    both = concatenate_crops([given, given[:1]])
    assert len(both) == 4 and torch.equal(both.joints[3], given.joints[0])
