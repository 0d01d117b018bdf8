import pytest
import torch

from occlupose.networks.dsed import DSED, Reasoner
from occlupose.networks.mspn import INITIAL_HEIGHT, LEVELS, StageSize

CHANNELS = 6
SMALL = StageSize(blocks=(1, 1, 1, 1), widths=(4, 4, 8, 8), width=8)


def network(**options):
    torch.manual_seed(0)
    return DSED(CHANNELS, **{"size": SMALL} | options)


def maps(seed=0, batch=3):
    return torch.randn(batch, CHANNELS, 16, 24, generator=torch.Generator().manual_seed(seed))


def gradients(module):
    return [parameter.grad for parameter in module.parameters() if parameter.grad is not None]


@pytest.mark.parametrize("stages", [1, 2, 3])
def test_hidden_maps_at_every_stage_and_level(stages):
    reasoner = network(stages=stages)
    taught = reasoner.distil(maps(0), maps(1))
    assert taught.distances.shape == (stages, LEVELS) and (taught.distances > 0).all()
    for output in (taught.hidden, reasoner(maps(0))):
        assert [[each.shape for each in stage] for stage in output] == [[maps().shape] * LEVELS] * stages


def test_published_widths():
    reasoner = DSED()
    features = reasoner.students[0](torch.zeros(1, 57, 16, 16))
    assert [tuple(each.shape[1:]) for each in features] == [(228, 16, 16), (512, 8, 8), (1024, 4, 4), (2048, 2, 2)]
    assert len(reasoner.students) == len(reasoner.teachers) == len(reasoner.decoders) == 2


@pytest.mark.parametrize("detach", [False, True])
def test_reconstruction_does_not_reach_the_student(detach):
    """Without distillation (weight 0) a student's gradient is exactly nothing; the teacher and the decoder learn."""
    reasoner = network(detach=detach)
    taught = reasoner.distil(maps(0), maps(1))
    loss = sum(each.square().mean() for stage in taught.hidden for each in stage) + 0 * taught.distances.sum()
    loss.backward()
    assert all(not gradient.any() for gradient in gradients(reasoner.students))
    assert all(gradient.any() for gradient in gradients(reasoner.teachers))
    assert len(gradients(reasoner.teachers)) == len(list(reasoner.teachers.parameters()))


@pytest.mark.parametrize("detach", [False, True])
def test_whether_distillation_moves_the_teacher(detach):
    reasoner = network(detach=detach)
    reasoner.distil(maps(0), maps(1)).distances.sum().backward()
    assert all(gradient.any() for gradient in gradients(reasoner.students))
    moved = [gradient.any().item() for part in (reasoner.teachers, reasoner.decoders) for gradient in gradients(part)]
    assert any(moved) is not detach


def test_after_training_only_the_student_is_needed():
    reasoner = network().eval()
    before = reasoner(maps())
    for parameter in reasoner.teachers.parameters():
        parameter.data.fill_(torch.nan)
    for stage, other in zip(reasoner(maps()), before, strict=True):
        assert all(torch.equal(one, two) for one, two in zip(stage, other, strict=True))
    names = set(reasoner.state_dict())
    smaller = set(reasoner.drop_teachers().state_dict())
    assert {name.split(".")[0] for name in names - smaller} == {"teachers"}
    assert torch.equal(reasoner(maps())[-1][0], before[-1][0])


def test_a_student_with_the_teacher_s_weights_has_its_output():
    reasoner = network(stages=1).eval()
    reasoner.students.load_state_dict(reasoner.teachers.state_dict())
    taught = reasoner.distil(maps(1), maps(1))
    assert torch.equal(taught.hidden[0][0], reasoner(maps(1))[0][0])
    assert not taught.distances.any()


def reasoner(**options):
    torch.manual_seed(0)
    return Reasoner(CHANNELS, **{"size": SMALL} | options)


@pytest.mark.parametrize("stages", [1, 2])
def test_a_reasoner_without_a_teacher_is_dsed_in_use(stages):
    """The same weights under the same names; and the same answer."""
    taught = network(stages=stages).eval()
    plain = reasoner(stages=stages).eval()
    plain.load_state_dict(
        {name: value for name, value in taught.state_dict().items() if not name.startswith("teachers.")}
    )
    for one, other in zip(plain(maps()), taught(maps()), strict=True):
        assert all(torch.equal(*pair) for pair in zip(one, other, strict=True))
    assert plain.state_dict().keys() == taught.drop_teachers().state_dict().keys()


def test_a_reasoner_without_a_teacher_trains_directly():
    plain = reasoner(stages=2)
    output = plain(maps())
    sum((each - maps(1)).square().mean() for stage in output for each in stage).backward()
    assert len(gradients(plain)) == len(list(plain.parameters()))
    assert all(gradient.any() for gradient in gradients(plain))


@pytest.mark.parametrize("detach", [False, True])
def test_a_detached_student_has_no_gradient_to_earlier_stages(detach):
    """The second student gets the output of the first decoder; where the teacher is not to move, no gradient goes back
    there.
    """
    both = network(stages=2, detach=detach)
    both.distil(maps(0), maps(1)).distances[1].sum().backward()
    assert all(gradient.any() for gradient in gradients(both.students[1]))
    assert any(gradient.any().item() for gradient in gradients(both.decoders[0])) is not detach


def test_hidden_maps_are_small_before_training():
    for stage in network(stages=2).distil(maps(0), maps(1)).hidden:
        assert all(0.2 * INITIAL_HEIGHT < each.square().mean().sqrt() < 2 * INITIAL_HEIGHT for each in stage)


@pytest.mark.parametrize("detach", [False, True])
def test_a_reasoner_may_see_the_image_and_its_stem_learns(detach):
    """Supplement, table 6: what it sees goes to the first student; the teacher has labels alone."""
    seeing = network(image=True, detach=detach)
    photos = [
        torch.randint(0, 256, (3, 64, 96, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(seed))
        for seed in (0, 1)
    ]
    taught = [seeing.distil(maps(0), maps(1), photo) for photo in photos]
    assert not torch.equal(taught[0].distances[0], taught[1].distances[0])
    assert torch.equal(taught[0].hidden[0][0], taught[1].hidden[0][0])
    taught[0].distances.sum().backward()
    assert all(value.grad.any() for value in seeing.stem.parameters())
    seeing.eval()
    with torch.no_grad():
        one = seeing(maps(0), photos[0])[-1][0]
        assert not torch.equal(one, seeing(maps(0), photos[1])[-1][0])
        for value in seeing.stem.parameters():
            value.zero_()
        blind = network(detach=detach).eval()
        blind.load_state_dict({n: v for n, v in seeing.state_dict().items() if not n.startswith("stem.")})
        assert torch.equal(blind(maps(0))[-1][0], seeing(maps(0), photos[0])[-1][0])
