from dataclasses import replace

import pytest

from occlupose.codecs.crops import Crop
from occlupose.codecs.msra import MSRA
from occlupose.codecs.udp import UDP
from occlupose.errors import OccluposeError
from occlupose.methods.ljof.recipe import LJOFRecipe, StructureTerm, published
from occlupose.methods.ljof.schedules import Step
from occlupose.networks.estimators import ESTIMATORS
from occlupose.occlusion.blocks import LimbBlocks
from occlupose.skeletons import COCO17, CROWDPOSE14


@pytest.mark.parametrize("model", ESTIMATORS)
def test_every_estimator_has_a_recipe_with_what_ljof_adds(model):
    recipe = published(model)
    assert recipe.model == model
    assert recipe.blocks == LimbBlocks(0.15, 0.20, probability=1.0)
    assert recipe.structure == StructureTerm("limbs", Step(at=0.5, weight=0.5))
    assert recipe.design(CROWDPOSE14).maps.crop == recipe.crop
    plain = recipe.without_ljof()
    assert (plain.blocks, plain.structure) == (None, None)
    assert replace(plain, blocks=recipe.blocks, structure=recipe.structure) == recipe


@pytest.mark.parametrize(("model", "batch"), [("simple_baseline_r152", 256), ("hrnet_w32", 512), ("hrnet_w48", 256)])
def test_convolutional_networks_are_trained_as_mmpose_does(model, batch):
    recipe = published(model)
    assert recipe.maps() == MSRA(Crop(192, 256, grid="stride"), 4, 2.0)
    assert (recipe.epochs, recipe.batch, recipe.weight_decay) == (210, batch, 0.0)
    plan = recipe.optimisation(149_813)  # people of COCO's train2017 with joints
    assert plan.steps == round(210 * 149_813 / batch)
    first = min(1.0, 293 * 512 / batch / 500)
    assert [
        plan.learning_rate_at(round(epoch / 210 * plan.steps) + 1) for epoch in (1, 169, 171, 201)
    ] == pytest.approx([first * 5e-4, 5e-4, 5e-5, 5e-6], rel=0.01)


def test_vitpose_is_trained_as_published():
    recipe = published("vitpose_b")
    assert recipe.maps() == UDP(Crop(192, 256, grid="corners"), 4, 2.0)
    assert (recipe.weight_decay, recipe.layer_decay, recipe.max_grad_norm) == (0.1, 0.75, 1.0)


def test_srpose_learns_maps_as_large_as_the_crop():
    recipe = published("srpose_w32")
    assert recipe.maps().shape == (256, 192)
    assert recipe.head_weights == (1e-4, 1, 1, 1, 1)


def test_the_rate_goes_with_the_batch_unless_it_should_not():
    halved = replace(published("hrnet_w32"), batch=256, scale_rate=False)  # LJOF's on CrowdPose
    assert halved.optimisation(1000).learning_rate == 5e-4
    assert replace(published("hrnet_w32"), batch=64).optimisation(1000).learning_rate == pytest.approx(5e-4 / 8)
    assert replace(published("hrnet_w32"), batch=64, epochs=1).optimisation(10).steps == 1


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"model": "hrnet_w99"}, "model hrnet_w99: not known; known are .*hrnet_w32"),
        ({"codec": "simcc"}, "codec simcc: not known"),
        ({"epochs": 0}, "epochs 0: must be more than 0"),
        ({"batch": 0}, "batch 0"),
        ({"layer_decay": 0.0}, "layer_decay 0"),
        ({"crop": Crop(190, 256)}, "crop 190 x 256: sides must be multiples of 32 for hrnet_w32"),
        (
            {"model": "vitpose_b", "crop": Crop(200, 256)},
            "crop 200 x 256: sides must be multiples of 16 for vitpose_b",
        ),
    ],
)
def test_recipes_that_cannot_be_are_refused(wrong, words):
    with pytest.raises(OccluposeError, match=words):
        LJOFRecipe(**wrong)


def test_a_design_comes_back_from_what_a_file_says():
    for model in ESTIMATORS:
        design = published(model).design(COCO17)
        assert type(design).of(design.header()) == design
