from dataclasses import replace

import numpy as np
import pytest
import torch

from occlupose.methods.movenet.occluders import OccluderSettings
from occlupose.methods.movenet.recipe import NO_OCCLUDERS
from occlupose.methods.movenet.samples import (
    LIMB_ENDS,
    UNKNOWN,
    CropAugmentation,
    CropSampler,
    People,
    SampleSettings,
    draw_samples,
    motion_kernel,
    stack,
)
from occlupose.poses import ABSENT, OCCLUDED, VISIBLE
from occlupose.skeletons import COCO21
from photographed_people import write_photographs, write_scene

AS_IT_IS = CropAugmentation(around_visible=0, scale=0, shift=0, rotation_probability=0, colour=0, blur=0, motion=0)
PLAIN = SampleSettings(photographs=1.0, background=0.0, occluders=NO_OCCLUDERS, augmentation=AS_IT_IS)
SYNTHETIC = replace(PLAIN, photographs=0.0, backdrop=0.0)


@pytest.fixture(scope="module")
def people(tmp_path_factory):
    folder = tmp_path_factory.mktemp("people")
    labels = write_photographs(folder, 4)
    return People(folder, labels, [write_scene(folder / "scene.npz")])


def draw(people, settings, seed=0):
    return CropSampler(people, settings, 1).draw_one(np.random.default_rng(seed))


def of_either_hand(people, settings):
    """A crop that is not mirrored and one that is."""
    found = {}
    for seed in range(40):
        sample = draw(people, settings, seed)
        found.setdefault(bool(sample.xy[0, 1, 0] > sample.xy[0, 20, 0]), sample)
    return found[False], found[True]


# ------------------------------------------------------------------------------------------------------ photographs


def test_a_person_is_in_the_middle_of_the_crop(people):
    """Box 50 x 80 px, padded by 1.25: 2.56 crop px for one of the photograph."""
    sample, mirrored = of_either_hand(people, PLAIN)
    (xy,) = sample.xy
    height = (xy[:, 1].max() - xy[:, 1].min()).item()
    assert height == pytest.approx(80 * 6 / 7 * 256 / 100, rel=1e-4)
    middle = (xy.amin(0) + xy.amax(0)) / 2
    torch.testing.assert_close(middle, torch.full((2,), 128.0), atol=1.5, rtol=0)
    torch.testing.assert_close(
        mirrored.xy[0][list(COCO21.mirror)] * torch.tensor([-1.0, 1]) + torch.tensor([256.0, 0]), xy
    )


def test_images_are_mirrored_with_the_joints(people):
    sample, _ = of_either_hand(people, PLAIN)
    others = [draw(people, PLAIN, seed) for seed in range(60)]
    same = next(other for other in others if (other.images == sample.images.flip(2)).all())
    torch.testing.assert_close(same.xy[0, 5], torch.tensor([256.0, 0]) + torch.tensor([-1.0, 1]) * sample.xy[0, 6])


def test_joints_keep_their_confidence_and_state(people):
    sample = draw(people, PLAIN)
    assert (sample.state == VISIBLE).all() and (sample.weight == 1).all()
    assert (sample.score == 1).all()
    assert sample.is_photograph.all() and not sample.synthetic.any()
    assert (sample.images == sample.photographs).all() and sample.covered.max() == 0


def test_joints_without_confidence_are_unknown(tmp_path):
    labels = write_photographs(tmp_path, 1, score=0.2)
    labels.score[0, 5:8] = 0
    labels.score[0, 8:11] = 0.9
    sample = draw(People(tmp_path, labels, [write_scene(tmp_path / "scene.npz")]), PLAIN)
    state = sample.state[0].tolist()
    assert state.count(VISIBLE) == 3 and state.count(UNKNOWN) == 18
    assert sample.score[0].max() == 1 and sample.score[0].median().item() == pytest.approx((0.2 - 0.1) / 0.4)
    assert sorted(sample.weight[0].unique().tolist()) == [0.0, 0.5, 1.0]
    assert (sample.weight[0, 17:] == 0).all()  # feet by BlazePose are known or not


def test_covered_joints_are_occluded_with_a_known_place(people):
    settings = replace(PLAIN, occluders=OccluderSettings(blocks=None, objects=0, cutouts=0, lower_body=1, truncation=0))
    sample = draw(people, settings)
    hidden = sample.state[0] == OCCLUDED
    assert 0 < hidden.sum() < 21 and (sample.weight[0, hidden] == 1).all()
    cells = (sample.xy[0] / 4).long().clamp(0, 63)
    assert (sample.covered[0, cells[hidden, 1], cells[hidden, 0]] > 0.5).all()
    assert (sample.covered[0, cells[~hidden, 1], cells[~hidden, 0]] < 0.5).all()
    assert (sample.images != sample.photographs).any()


def test_an_image_may_end_within_the_person(people):
    settings = replace(PLAIN, occluders=replace(NO_OCCLUDERS, truncation=1.0))
    for seed in range(5):
        sample = draw(people, settings, seed)
        gone = sample.state[0] == ABSENT
        assert 0 < gone.sum() <= 18 and (sample.weight[0] == 1).all()
        inside = ((sample.xy[0] > 0) & (sample.xy[0] < 256)).all(1)
        x, y = sample.xy[0, gone & inside].long().T
        assert sample.images[0, y, x].max() <= 0 if len(x) else True  # black beyond the edge
        assert sample.photographs[0, y, x].max() <= 0 if len(x) else True


def test_motion_blurs_the_whole_crop_or_near_a_hand_or_foot(people):
    """Positions, states and the crop for the teacher remain as they are."""
    moving = replace(PLAIN, augmentation=replace(AS_IT_IS, motion=1.0))
    near = []
    for seed in range(30):
        still = draw(people, PLAIN, seed)
        moved = draw(people, moving, seed)
        torch.testing.assert_close(moved.xy, still.xy)
        assert (moved.state == still.state).all() and (moved.photographs == still.photographs).all()
        y, x = np.nonzero((moved.images != still.images).any(-1)[0].numpy())
        ends = still.xy[0, LIMB_ENDS].numpy()
        distance = np.linalg.norm(np.stack([x, y], -1)[:, None] + 0.5 - ends, axis=-1).max(0).min()
        near.append(distance < 0.6 * 256)
    assert any(near) and not all(near)


@pytest.mark.parametrize(("length", "angle"), [(4, 0.0), (27, 1.0), (16, np.pi / 2)])
def test_motion_kernel_is_a_line(length, angle):
    kernel = motion_kernel(length, angle)
    assert kernel.sum() == pytest.approx(1)
    rows, columns = np.indices(kernel.shape) - kernel.shape[0] // 2
    assert (kernel * columns).sum() == pytest.approx(0, abs=0.2)
    assert (kernel * rows).sum() == pytest.approx(0, abs=0.2)
    along = columns * np.cos(angle) + rows * np.sin(angle)
    across = columns * np.sin(angle) - rows * np.cos(angle)
    assert np.sqrt((kernel * along**2).sum()) == pytest.approx(length / np.sqrt(12), rel=0.25)
    assert np.sqrt((kernel * across**2).sum()) < 0.7


def test_nobody(people):
    sample = draw(people, replace(PLAIN, background=1.0))
    assert (sample.state == UNKNOWN).all() and sample.weight.max() == 0 and sample.is_photograph.all()


# -------------------------------------------------------------------------------------------------------- synthetic


def test_states_of_synthetic_people_are_those_of_the_scene(people):
    states = {tuple(sorted(draw(people, SYNTHETIC, seed).state[0].tolist())) for seed in range(20)}
    first = (ABSENT, OCCLUDED, *[VISIBLE] * 19)
    second = (*[OCCLUDED] * 7, *[VISIBLE] * 14)
    assert states == {first, second}


def test_visible_joints_of_others_are_known(people):
    for seed in range(6):
        sample = draw(people, SYNTHETIC, seed)
        visible = int((sample.state == VISIBLE).sum())
        assert int(sample.others.isfinite().all(-1).sum()) == {19: 14, 14: 19}[visible]


def test_a_photograph_may_be_behind_a_scene(people):
    alone = draw(people, SYNTHETIC)
    before = draw(people, replace(SYNTHETIC, backdrop=1.0))
    assert not alone.is_photograph.any() and alone.photographs.max() == 0
    assert before.is_photograph.all() and before.photographs.max() > 0
    front = before.covered[0].repeat_interleave(4, 0).repeat_interleave(4, 1)[..., None].expand(-1, -1, 3)
    same = before.images[0] == before.photographs[0]
    assert same[front == 0].all() and same[front == 1].float().mean() < 0.1


# ---------------------------------------------------------------------------------------------------------- batches


def test_a_batch_depends_on_the_generator_alone(people):
    sampler = CropSampler(people, SampleSettings(), 4)
    once = sampler.draw(torch.Generator().manual_seed(3))
    again = sampler.draw(torch.Generator().manual_seed(3))
    for name, value in vars(once).items():
        torch.testing.assert_close(value, getattr(again, name), equal_nan=True)
    assert once.images.shape == (4, 256, 256, 3) and once.covered.shape == (4, 64, 64)


def test_batches_are_joined_with_others_padded(people):
    samples = [draw(people, PLAIN), draw(people, SYNTHETIC)]
    both = stack(samples)
    assert both.others.shape == (2, 1, 21, 2) and both.others[0].isnan().all()
    assert both.synthetic.tolist() == [False, True]


def test_samples_for_tests_have_somebody(people):
    (sample,) = draw_samples(people, 1, seed=0)
    assert len(sample.images) == 16 and (sample.weight > 0).any(1).all()
    assert 0 < sample.synthetic.sum() < 16
