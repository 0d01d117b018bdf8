import math

import numpy as np
import pytest
import torch

from composite_fields import SPREAD, batch_of, perfect_fields
from occlupose.codecs.composite_fields import encode_joints, encode_limbs
from occlupose.codecs.multi_person import MultiPersonMaps
from occlupose.methods.hupor.bases.losses import composite_loss, field_loss, heatmap_loss, tag_losses
from occlupose.skeletons import COCO17


def laid_out(rows, joints=3):
    """Maps in which each person's joints have these tags, one person a column of cells; NaN is a joint of unknown
    place.
    """
    people = max(map(len, rows))
    tags = torch.full((len(rows), joints, joints, people), 9.0)
    cells = torch.zeros(len(rows), people, joints, dtype=torch.long)
    known = torch.zeros(len(rows), people, joints, dtype=torch.bool)
    for image, persons in enumerate(rows):
        for person, values in enumerate(persons):
            for joint, value in enumerate(values):
                if not math.isnan(value):
                    tags[image, joint, joint, person] = value
                    cells[image, person, joint] = joint * people + person
                    known[image, person, joint] = True
    return tags.requires_grad_(), cells, known


def slow_losses(rows):
    """The equation, term by term."""
    pulls = []
    pushes = []
    for persons in rows:
        persons = [[value for value in person if not math.isnan(value)] for person in persons]
        persons = [person for person in persons if person]
        means = [sum(person) / len(person) for person in persons]
        spreads = [
            sum((value - mean) ** 2 for value in person) / len(person)
            for person, mean in zip(persons, means, strict=True)
        ]
        pulls.append(sum(spreads) / max(len(persons), 1))
        pairs = [(one, other) for one in range(len(means)) for other in range(len(means)) if one != other]
        pushes.append(
            sum(math.exp(-((means[one] - means[other]) ** 2)) for one, other in pairs) / max(len(persons), 1) ** 2
        )
    return sum(pulls) / len(rows), sum(pushes) / len(rows)


NAN = math.nan


@pytest.mark.parametrize(
    "rows",
    [
        [[[1.0, 2.0, 3.0]]],
        [[[0.0, 0.5, -0.5], [1.0, 1.0, NAN]]],
        [[[0.3, NAN, 0.1], [0.2, 0.9, NAN], [NAN, NAN, NAN]], [[2.0, 2.5, NAN], [-1.0, NAN, NAN]]],
        [[[NAN, NAN, NAN]], [[1.0, 0.0, NAN]]],
    ],
)
def test_pull_and_push_are_the_equation(rows):
    pull, push = tag_losses(*laid_out(rows))
    expected = slow_losses(rows)
    assert (pull.item(), push.item()) == pytest.approx(expected, abs=1e-6)


def test_people_are_pulled_together_and_pushed_apart():
    """By gradient: each joint towards its person's mean, each person's mean away from the other."""
    tags, cells, known = laid_out([[[0.0, 0.4, 0.2], [0.5, 0.5, 0.5]]])
    pull, push = tag_losses(tags, cells, known)
    (by_pull,) = torch.autograd.grad(pull, tags, retain_graph=True)
    (by_push,) = torch.autograd.grad(push, tags)
    assert by_pull[0, 0, 0, 0] < 0 < by_pull[0, 1, 1, 0]
    assert not by_pull[0, :, :, 1].any()
    assert (by_push[0, [0, 1, 2], [0, 1, 2], 0] > 0).all() and (by_push[0, [0, 1, 2], [0, 1, 2], 1] < 0).all()


def test_only_cells_of_known_joints_have_a_gradient():
    tags, cells, known = laid_out([[[0.0, NAN, 0.2], [0.5, 0.6, NAN]]])
    sum(tag_losses(tags, cells, known)).backward()
    assert tags.grad.count_nonzero() == 4


def test_far_apart_and_of_one_tag_there_is_no_loss():
    pull, push = tag_losses(*laid_out([[[5.0, 5.0, 5.0], [-5.0, -5.0, NAN]]]))
    assert pull.item() == 0 and push.item() == pytest.approx(0, abs=1e-6)


def test_nobody():
    pull, push = tag_losses(*laid_out([[[NAN, NAN, NAN], [NAN, NAN, NAN]]]))
    assert pull.item() == 0 and push.item() == 0


# ------------------------------------------------------------------------------------------- maps


def random(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def test_heatmaps_and_fields_by_their_definition():
    """Means over all cells and channels; a channel that is not annotated counts as right."""
    output = random(2, 3, 4, 5)
    target = random(2, 3, 4, 5, seed=1).clamp(0, 1)
    annotated = torch.tensor([[True, False, True], [True, True, True]])
    squares = (output - target).square()
    squares[0, 1] = 0
    assert heatmap_loss(output, target, annotated).item() == pytest.approx(squares.mean().item())
    weighted = squares * (1 + 9 * target)
    assert heatmap_loss(output, target, annotated, 10.0).item() == pytest.approx(weighted.mean().item())


def test_fields_weigh_cells_with_a_limb_in_both_components():
    target = torch.zeros(1, 2, 2, 3, 3)
    target[0, 1, 0, 1, 1] = 1.0  # points to the right
    output = torch.ones(1, 4, 3, 3)
    known = torch.ones(1, 2, dtype=torch.bool)
    plain = (36 - 1) / 36
    assert field_loss(output, target, known).item() == pytest.approx(plain)
    assert field_loss(output, target, known, 10.0).item() == pytest.approx(plain + 9 / 36)
    known[0, 1] = False
    assert field_loss(output, target, known, 10.0).item() == pytest.approx(0.5)


def test_channels_are_x_and_y_limb_by_limb():
    target = random(1, 2, 2, 3, 3)
    assert field_loss(target.flatten(1, 2), target, torch.ones(1, 2, dtype=torch.bool)) == 0


# ------------------------------------------------------------------------------- composite fields


CODEC = MultiPersonMaps(64, 64, 8, COCO17, depth=False)


def composite():
    """Targets of a person, the perfect output, and all joints and limbs annotated."""
    random = np.random.default_rng(0)
    people = batch_of(random.uniform(10, 54, (1, 17, 2)), random.integers(1, 3, (1, 17)))
    annotated = torch.ones(1, 17, dtype=torch.bool), torch.ones(1, 19, dtype=torch.bool)
    targets = encode_joints(people, CODEC, "all"), encode_limbs(people, CODEC, "all")
    return targets, perfect_fields(people, CODEC, "all"), annotated


def test_perfect_fields_lose_what_their_spread_says():
    """log 2b for an offset without error; nothing else."""
    targets, output, annotated = composite()
    for target, field, known in zip(targets, (output.joints, output.limbs), annotated, strict=True):
        loss = composite_loss(field, target, known)
        ends = 1 if target.offset.ndim == 5 else 2
        assert loss.confidence.item() == pytest.approx(0, abs=0.01)
        assert loss.offset.item() == pytest.approx(ends * (math.log(2) + SPREAD), abs=0.01)
        assert loss.scale.item() == pytest.approx(0, abs=1e-5)


def test_each_part_by_its_equation():
    """One cell of a joint is wrong: by a factor of e in scale, by 3 and 4 cells in offset, with a spread of 1."""
    (target, _), output, (known, _) = composite()
    before = composite_loss(output.joints, target, known)
    joint, y, x = (target.confidence[0] > 0).nonzero()[0].tolist()
    output.joints.scale[0, joint, y, x] += 1
    output.joints.offset[0, joint, :, y, x] += torch.tensor([3.0, -4.0])
    output.joints.spread[0, joint, y, x] = 0
    output.joints.confidence[0, joint, y, x] = 0
    after = composite_loss(output.joints, target, known)
    cells = int((target.confidence > 0).sum())
    assert (after.scale - before.scale).item() * cells == pytest.approx(1, rel=1e-3)
    assert (after.offset - before.offset).item() * cells == pytest.approx(5 + 0 - SPREAD, rel=1e-2)
    assert (after.confidence - before.confidence).item() * cells == pytest.approx(math.log(2), rel=1e-3)


def test_joints_that_are_not_annotated_lose_nothing():
    (target, _), output, (known, _) = composite()
    output.joints.offset += 1
    known[:] = False
    loss = composite_loss(output.joints, target, known)
    assert loss.confidence == loss.offset == loss.scale == 0


def test_a_perfect_offset_has_a_gradient_that_is_a_number():
    (target, _), output, (known, _) = composite()
    output.joints.offset.requires_grad_()
    composite_loss(output.joints, target, known).offset.backward()
    assert output.joints.offset.grad.isfinite().all()
