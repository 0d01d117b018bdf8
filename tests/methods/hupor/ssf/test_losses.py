from dataclasses import replace

import pytest
import torch

from occlupose.bodies.cylinders import cylinders
from occlupose.errors import OccluposeError
from occlupose.methods.hupor.ssf import losses
from occlupose.methods.hupor.ssf.silhouette import inscribed_spheres, render_silhouette
from occlupose.occlusion.surfaces import Surface, render_zbuffer
from ssf_scenes import CAMERA, make_people


def square(left, size=32):
    mask = torch.zeros(1, size, size)
    mask[:, 8:24, left : left + 12] = 1
    return mask


EVERYWHERE = torch.ones(1, 32, 32)


def test_the_weights_are_the_published_ones():
    assert vars(losses.TRAINING) == {"theta": 1.0, "beta": 0.5, "pos": 10.0, "sil": 0.1}
    assert vars(losses.LABELLING) == {"theta": 0.0, "beta": 0.0, "pos": 10.0, "sil": 0.1}
    with pytest.raises(OccluposeError, match=r"sil -1: must be 0 or more"):
        losses.SSFLossWeights(sil=-1)


def test_the_outline_loss_is_0_for_the_same_outline_and_grows_with_the_shift():
    values = [losses.silhouette_loss(square(8 + shift), square(8), EVERYWHERE).item() for shift in (0, 1, 3, 6, 12)]
    assert values[0] == 0
    assert values == sorted(values)
    assert values[1] == pytest.approx(1 - 11 / 13)
    assert values[-1] == 1


def test_pixels_that_nearer_people_cover_do_not_count():
    valid = EVERYWHERE.clone()
    valid[:, :, 16:] = 0
    seen = square(8) * valid
    assert losses.silhouette_loss(square(8), seen, valid) == 0
    assert losses.silhouette_loss(square(8), seen, EVERYWHERE) > 0.2


def test_invisible_people_do_not_count():
    both = (
        torch.cat([square(8), square(8)]),
        torch.cat([square(10), torch.zeros(1, 32, 32)]),
        EVERYWHERE.expand(2, -1, -1),
    )
    alone = losses.silhouette_loss(square(8), square(10), EVERYWHERE)
    assert losses.silhouette_loss(*both) == alone
    nobody = square(8).requires_grad_()
    value = losses.silhouette_loss(nobody, torch.zeros(1, 32, 32), EVERYWHERE)
    value.backward()
    assert value == 0 and (nobody.grad == 0).all()


def test_the_position_loss_is_the_mean_distance_of_known_joints():
    truth = torch.randn(2, 26, 3, generator=torch.Generator().manual_seed(0))
    joints = truth.clone()
    joints[0, 4] = torch.nan
    answer = (truth + torch.tensor([0.02, 0.03, 0.06])).requires_grad_()
    value = losses.position_loss(answer, joints)
    value.backward()
    assert value.item() == pytest.approx(0.07)
    assert (answer.grad[0, 4] == 0).all() and answer.grad.isfinite().all()
    fit_mask = torch.zeros(26, dtype=torch.bool)
    assert losses.position_loss(answer, joints, fit_mask) == 0


def test_pose_and_shape_losses_are_mean_squares():
    pose = torch.eye(3).expand(2, 17, 3, 3)
    assert losses.pose_loss(pose, pose) == 0
    assert losses.pose_loss(pose + 0.1, pose).item() == pytest.approx(0.01)
    shape = torch.rand(2, 3)
    span = torch.tensor([1.0, 2.0, 4.0])
    assert losses.shape_loss(shape + 0.5 * span, shape, span).item() == pytest.approx(0.25)


LENS = torch.tensor([[[CAMERA.fx, 0, CAMERA.cx - 95.5], [0, CAMERA.fy, CAMERA.cy - 55.5]]]) * torch.tensor(0.5)


@pytest.mark.parametrize("seed", range(3))
def test_spheres_approximate_the_silhouette(seed):
    truth = make_people(seed)
    place, radius = inscribed_spheres(truth.body)(truth.fit.pose, truth.fit.shape, truth.fit.translation)
    soft = render_silhouette(place, radius, LENS)[0]
    assert soft.shape == (64, 64) and (soft >= 0).all() and (soft <= 1).all()
    vertices = truth.body(truth.fit.pose, truth.fit.shape, truth.fit.translation).vertices[0].numpy()
    exact = torch.from_numpy(render_zbuffer([Surface(vertices, truth.body.faces.numpy())], CAMERA).surface == 0)[
        55:183, 95:223
    ]
    exact = exact.float().unflatten(0, (64, 2)).unflatten(2, (64, 2)).mean((1, 3)) > 0.5
    rough = soft > 0.5
    assert (exact & rough).sum() / (exact | rough).sum() > 0.8
    assert 0.8 < soft.sum() / exact.sum() < 1.25


def test_outlines_have_gradients_in_places_and_radii():
    truth = make_people(1)
    place, radius = inscribed_spheres(truth.body)(truth.fit.pose, truth.fit.shape, truth.fit.translation)
    place = place.detach().requires_grad_()
    radius = radius.detach().requires_grad_()
    render_silhouette(place, radius, LENS).square().sum().backward()
    assert place.grad.isfinite().all() and place.grad.abs().sum() > 0
    assert (radius.grad >= 0).all() and radius.grad.abs().sum() > 0


def test_an_outline_moves_with_the_body_and_the_loss_grows():
    truth = make_people(2)
    place, radius = inscribed_spheres(truth.body)(truth.fit.pose, truth.fit.shape, truth.fit.translation)
    still = render_silhouette(place, radius, LENS)
    away = [
        losses.silhouette_loss(
            render_silhouette(place + torch.tensor([step, 0, 0]), radius, LENS),
            (still > 0.5).float(),
            torch.ones_like(still),
        )
        for step in (0.0, 0.03, 0.08, 0.2)
    ]
    assert away == sorted(away)


def test_a_body_with_pose_blend_shapes_has_a_silhouette():
    body = cylinders()
    moves = replace(body, pose_directions=torch.zeros(9 * (len(body.parents) - 1), len(body.template), 3))
    stands = torch.eye(3).expand(1, 17, 3, 3), body.neutral[None], torch.zeros(1, 3)
    for one, other in zip(inscribed_spheres(moves)(*stands), inscribed_spheres(body)(*stands), strict=True):
        torch.testing.assert_close(one, other)
