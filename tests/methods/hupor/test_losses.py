import pytest
import torch

from occlupose.methods.hupor.losses import (
    HEATMAPS,
    LIMB_DEPTHS,
    TORSO_DEPTHS,
    VECTORS,
    WEIGHT,
    AnnotationMask,
    PoseMaps,
    channel_loss,
    distillation_weight,
    level_weight,
    maps_loss,
    torso_loss,
)


def random(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def everything(batch=2):
    return AnnotationMask(torch.ones(batch, 15), torch.ones(batch, 14), torch.ones(batch, 14))


def test_the_factors_are_the_published_losses_in_our_units():
    """Squared differences of maps up to 255 and 127 and in centimetres, by 0.1, depths of limbs 50 times."""
    output = PoseMaps(random(2, 15, 6, 8, seed=0), random(2, 14, 3, 6, 8, seed=2))
    truth = PoseMaps(random(2, 15, 6, 8, seed=1), random(2, 14, 3, 6, 8, seed=3))
    published = 0.1 * (255 * (output.heatmaps - truth.heatmaps)).square().mean()
    published += 0.1 * (127 * (output.fields[:, :, :2] - truth.fields[:, :, :2])).square().mean()
    published += 0.1 * 50 * (100 * (output.fields[:, :, 2] - truth.fields[:, :, 2])).square().mean()
    assert maps_loss(output, truth, everything(), finest=False).item() == pytest.approx(published.item(), rel=1e-5)


def test_of_the_finest_level_the_hardest_channels_count():
    output = torch.zeros(2, 15, 4, 4)
    truth = torch.zeros(2, 15, 4, 4)
    for number in range(15):
        output[0, number] = number
    expected = torch.tensor([number**2 for number in range(7, 15)] + [0] * 8).float().mean()
    assert channel_loss((output - truth) ** 2, torch.ones(2, 15), 8).item() == pytest.approx(expected.item())
    assert channel_loss((output - truth) ** 2, torch.ones(2, 15), None).item() == pytest.approx(
        sum(number**2 for number in range(15)) / 30
    )


def test_cells_in_which_there_is_something_may_count_more_often():
    """A joint's by the height of its Gaussian, a limb's in all three components, also where one of them is 0."""
    truth = PoseMaps(torch.zeros(1, 15, 2, 2), torch.zeros(1, 14, 3, 2, 2))
    truth.heatmaps[0, 3, 0, 0] = 0.5
    truth.fields[0, 5, 0, 1, 1] = 1.0
    output = PoseMaps(torch.ones(1, 15, 2, 2), torch.full((1, 14, 3, 2, 2), 2.0))
    plain = maps_loss(output, truth, everything(1), finest=False)
    more = maps_loss(output, truth, everything(1), finest=False, foreground_weight=3.0)
    extra = HEATMAPS * 2 * 0.5 * 0.5**2 / 60 + VECTORS * 2 * (1 + 4) / (28 * 4) + LIMB_DEPTHS * 2 * 4 / (14 * 4)
    extra *= WEIGHT
    assert (more - plain).item() == pytest.approx(extra, rel=1e-4)


def test_maps_in_2d_have_no_depths_to_lose():
    """The rest of the loss is the same."""
    output = PoseMaps(random(2, 15, 6, 8, seed=0), random(2, 14, 3, 6, 8, seed=2))
    truth = PoseMaps(random(2, 15, 6, 8, seed=1), random(2, 14, 3, 6, 8, seed=3))
    truth.fields[:, :, 2] = output.fields[:, :, 2]
    in_2d = [PoseMaps(maps.heatmaps, maps.fields[:, :, :2]) for maps in (output, truth)]
    for finest in (False, True):
        loss = maps_loss(output, truth, everything(), finest=finest)
        assert maps_loss(*in_2d, everything(), finest=finest).item() == pytest.approx(loss.item(), rel=1e-6)


def test_the_weight_of_a_subset_of_joints_is_a_factor():
    output = PoseMaps(random(2, 15, 6, 8, seed=0), random(2, 14, 3, 6, 8, seed=2))
    truth = PoseMaps(random(2, 15, 6, 8, seed=1), random(2, 14, 3, 6, 8, seed=3))
    published = maps_loss(output, truth, everything(), finest=True).item()
    assert maps_loss(output, truth, everything(), finest=True, weight=0.5).item() == pytest.approx(5 * published)
    assert maps_loss(output, truth, everything(), finest=True, weight=0) == 0


def test_what_is_not_annotated_has_no_gradient():
    known = everything()
    known.heatmaps[0, 1] = 0
    known.vectors[0, 2] = 0
    known.limb_depths[:, 3] = 0
    output = PoseMaps(random(2, 15, 4, 4).requires_grad_(), random(2, 14, 3, 4, 4).requires_grad_())
    truth = PoseMaps(torch.zeros(2, 15, 4, 4), torch.zeros(2, 14, 3, 4, 4))
    maps_loss(output, truth, known, finest=False).backward()
    heat = output.heatmaps.grad.abs().sum((-2, -1))
    fields = output.fields.grad.abs().sum((-2, -1))
    assert (heat == 0).nonzero().tolist() == [[0, 1]]
    assert (fields == 0).nonzero().tolist() == [[0, 2, 0], [0, 2, 1], [0, 3, 2], [1, 3, 2]]


def test_depths_are_compared_at_their_cells_only():
    output = torch.zeros(1, 7, 3, 4)
    output[0, 2, 1, 3] = 2.0
    cells = torch.zeros(1, 2, 7, dtype=torch.long)
    depth = torch.full((1, 2, 7), torch.nan)
    assert torso_loss(output, cells, depth) == 0
    cells[0, 1, 2] = 1 * 4 + 3
    depth[0, 1, 2] = 0.5
    depth[0, 0, 5] = 1.0
    assert torso_loss(output, cells, depth).item() == pytest.approx(TORSO_DEPTHS * (1.5 + 1.0) / 2)


def test_weights():
    assert [level_weight(level) for level in range(4)] == [1, 0.25, 0.25, 0.25]
    assert [distillation_weight(done) for done in (0, 0.125, 0.25, 1)] == [0, 0.5, 1, 1]
    assert distillation_weight(0.25, 5.0, 0.5) == 2.5
    assert pytest.approx((6502.5, 1612.9, 50_000)) == (WEIGHT * HEATMAPS, WEIGHT * VECTORS, WEIGHT * LIMB_DEPTHS)
