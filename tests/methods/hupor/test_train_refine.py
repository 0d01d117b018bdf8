"""A RefineNet that learns from the output of the shipped networks and is added to them."""

from dataclasses import replace

import numpy as np
import pytest

from occlupose.datasets.formats.synth_scenes import from_record
from occlupose.datasets.image_samples import ImageSample
from occlupose.datasets.images import ImageRef
from occlupose.errors import OccluposeError
from occlupose.media import write_image
from occlupose.methods.hupor import weights
from occlupose.methods.hupor.predict import SHIPPED, HUPORPredictor, load
from occlupose.methods.hupor.refine import RefineRecipe
from occlupose.methods.hupor.train_refine import collect_pairs, train_refiner
from occlupose.poses import ABSENT
from occlupose.synth.generate import ImageSettings, generate_scenes
from occlupose.synth.layout import SceneSettings, SceneSource
from occlupose.training.run import TrainingRun


@pytest.fixture(scope="module")
def samples(tmp_path_factory) -> list[ImageSample]:
    """Six synthetic scenes with their images."""
    folder = tmp_path_factory.mktemp("images")
    found = []
    source = SceneSource.load(SceneSettings(seed=9, people=(2, 3), width=320, height=200))
    for number, sample in enumerate(generate_scenes(source, range(6), images=ImageSettings(), workers=0)):
        path = folder / f"{number}.png"
        write_image(path, sample.image)
        found.append(from_record(sample.record, ImageRef(path)))
    return found


def test_pairs_are_of_detected_people_and_of_images_with_a_camera(samples):
    hupor = load()
    learnt = collect_pairs(hupor, samples)
    found = sum(len(hupor(sample.image.read(sample.size), sample.camera)) for sample in samples)
    assert 0 < len(learnt) <= min(found, sum(map(len, samples)))
    assert len(collect_pairs(hupor, [samples[0], replace(samples[1], camera=None), *samples[2:]])) < len(learnt)
    with pytest.raises(OccluposeError, match=r"^hupor.movenet.safetensors: detects nobody of the data"):
        collect_pairs(hupor, [replace(sample, image=None) for sample in samples])


def test_a_refiner_is_added_to_the_networks_and_predicts_missing_joints(samples, tmp_path):
    recipe = RefineRecipe(epochs=2, batch=8)
    path = train_refiner(SHIPPED, samples, recipe, TrainingRun(tmp_path / "refined", progress=False))
    trained = weights.load(path)
    assert path.name == SHIPPED.name and trained.refiner_recipe.kind == "gcn" and path.with_suffix(".json").exists()
    bare = replace(weights.load(SHIPPED), refiner=None, refiner_recipe=None)
    weights.save(bare, tmp_path / "bare" / SHIPPED.name)
    bare_path = tmp_path / "bare" / SHIPPED.name
    again = train_refiner(bare_path, samples, recipe, TrainingRun(tmp_path / "again", progress=False))
    assert again.read_bytes() == path.read_bytes()  # it learns from the networks alone, refined before or not
    plain = HUPORPredictor(bare)
    other = HUPORPredictor(trained)
    absent = []
    for sample in samples:
        before = plain(sample.image.read(sample.size), sample.camera)
        after = other(sample.image.read(sample.size), sample.camera)
        assert len(before) == len(after)
        absent.append([(people.state == ABSENT).sum() for people in (before, after)])
        there = before.state != ABSENT
        np.testing.assert_allclose(after.xy[there], before.xy[there], atol=1e-3)
    without, refined = np.sum(absent, 0)
    assert refined < without
