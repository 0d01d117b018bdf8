from dataclasses import replace

import numpy as np
import pytest
import torch

from hupor_samples import STILL, TINY, make_batch, make_sampler, sample_with_depth, sample_without_depth, write_samples
from occlupose.errors import OccluposeError
from occlupose.training.run import UnreadableImages


@pytest.fixture(scope="module")
def samples(tmp_path_factory):
    """Two images with depth and two without."""
    return write_samples(tmp_path_factory.mktemp("samples"))


def draw(samples, recipe=TINY, seed=0, **options):
    return make_sampler(samples, recipe, **options).draw(torch.Generator().manual_seed(seed))


@pytest.mark.parametrize(("flat", "expected"), [(0.5, 4), (0.25, 2), (0.0, 0), (1.0, 8)])
def test_a_batch_has_its_share_of_images_without_depth(samples, flat, expected):
    batch = draw(samples, replace(TINY, batch=8, no_depth_fraction=flat))
    assert batch.has_depth.tolist() == [True] * (8 - expected) + [False] * expected
    assert batch.images.shape == (8, 64, 64, 3) and batch.images.dtype == torch.uint8
    assert torch.equal(batch.people.metres_per_pixel.isfinite(), batch.has_depth)


@pytest.mark.parametrize("kind", [True, False])
def test_with_one_kind_of_image_the_whole_batch_is_of_it(samples, kind):
    batch = draw([each for each in samples if each.has_depth is kind], replace(TINY, batch=8, no_depth_fraction=0.5))
    assert batch.has_depth.tolist() == [kind] * 8


def test_images_of_a_kind_are_drawn_uniformly(samples):
    """However many there are of the other one."""
    sampler = make_sampler(samples[:2] + samples[2:3], replace(TINY, batch=400), with_images=False)
    numbers = sampler._draw_rows(torch.Generator().manual_seed(0))
    assert np.bincount(numbers[:200], minlength=3)[2] == 0 and set(numbers[200:]) == {2}
    assert 70 < np.bincount(numbers[:200])[0] < 130


def test_the_same_draw_gives_the_same_batch(samples):
    once = draw(samples, seed=1)
    again = draw(samples, seed=1, threads=1)
    other = draw(samples, seed=2)
    labels = draw(samples, seed=1, with_images=False)
    assert torch.equal(once.images, again.images) and torch.equal(once.people.xy, again.people.xy)
    assert not torch.equal(once.images, other.images)
    assert labels.images is None and torch.equal(labels.people.xy, once.people.xy)


def test_unreadable_images_are_skipped_and_named(tmp_path):
    given = write_samples(tmp_path)
    bad = given[0].image.path
    bad.write_bytes(bad.read_bytes()[:100])
    sampler = make_sampler(given, replace(TINY, batch=12))
    batch = sampler.draw(torch.Generator().manual_seed(0))
    assert len(batch.images) == 12 and list(sampler.images.reasons) == [str(bad)]
    assert bad.name in sampler.images.reasons[str(bad)]
    with pytest.raises(OccluposeError, match=bad.name):
        draw(given, replace(TINY, batch=12), images=UnreadableImages(strict=True))


def test_a_replacement_of_an_unreadable_image_has_its_own_people(tmp_path):
    given = write_samples(tmp_path, (sample_with_depth, sample_with_depth))
    given[0].image.path.write_bytes(b"no image")
    batch = draw(given, replace(TINY, augmentation=STILL))
    alone = make_batch(given[1:])
    for number in range(4):
        assert torch.equal(batch.people.state[number], alone.people.state[0])
        assert torch.equal(batch.images[number], batch.images[0])


def test_unreadable_images_are_replaced_by_others_of_their_kind(tmp_path):
    """So that each kind keeps its share of a batch."""
    given = write_samples(tmp_path)
    for number in (1, 3):  # the last of each kind
        given[number].image.path.write_bytes(b"no image")
    sampler = make_sampler(given, replace(TINY, batch=8))
    for seed in range(3):
        assert sampler.draw(torch.Generator().manual_seed(seed)).has_depth.tolist() == [True] * 4 + [False] * 4
    assert len(sampler.images.reasons) == 2


@pytest.mark.parametrize(("kind", "word"), [(sample_with_depth, "with"), (sample_without_depth, "without")])
def test_training_stops_when_no_image_of_a_kind_can_be_read(tmp_path, kind, word):
    given = write_samples(
        tmp_path, (kind, kind, sample_without_depth if kind is sample_with_depth else sample_with_depth)
    )
    for each in given[:2]:
        each.image.path.write_bytes(b"no image")
    with pytest.raises(OccluposeError, match=f"nor can any other image {word} depth; give the dataset's own"):
        draw(given)
