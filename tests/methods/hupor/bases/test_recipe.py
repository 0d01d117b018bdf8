from dataclasses import replace

import pytest

from occlupose.errors import OccluposeError
from occlupose.methods.hupor.bases.recipe import (
    RECIPES,
    HigherHRNetDSEDRecipe,
    HUPORDSEDRecipe,
    PifPafDSEDRecipe,
    find_recipe,
)
from occlupose.training import recipe as recipes

PUBLISHED = RECIPES["published"]
SMALL = RECIPES["small"]


def test_the_published_recipe():
    """Supplement 1.3: PAF branch by 0.5, lambda 0.1, omega from 0 to 5 over the first half, one stack; the rest as in
    HUPOR's training: 10 epochs, a batch of 32, a rate of 2e-4 that falls linearly.
    """
    assert HigherHRNetDSEDRecipe() == PUBLISHED
    assert (PUBLISHED.hidden_weight, PUBLISHED.all_weight, PUBLISHED.higherhrnet.field_weight) == (0.1, 0.1, 0.5)
    assert (PUBLISHED.distillation_weight, PUBLISHED.distillation_warm_up) == (5.0, 0.5)
    assert (PUBLISHED.design.reasoner_stages, PUBLISHED.design.reasoner_size) == (1, None)
    assert PUBLISHED.predicted_input_fraction == 0 and PUBLISHED.foreground_weight == 1
    assert (PUBLISHED.epochs, PUBLISHED.batch, PUBLISHED.learning_rate) == (10, 32, 2e-4)
    plan = PUBLISHED.optimisation(320_000)
    assert plan.steps == 100_000 and plan.warm_up_steps == 2400 and plan.weight_decay == 8e-6
    assert plan.learning_rate_at(50_000) == pytest.approx(1e-4)


def test_the_base_s_recipe_is_higher_hrnet_s():
    """Cheng section 4.1: Adam, 1e-3, a tenth after 200 and a hundredth after 260 of 300 epochs."""
    plan = PUBLISHED.higherhrnet.optimisation(3200)
    assert plan.steps == 30_000 and plan.weight_decay == 0
    rates = [plan.learning_rate_at(100 * epoch) for epoch in (0, 199, 201, 259, 261, 299)]
    assert rates == pytest.approx([1e-3, 1e-3, 1e-4, 1e-4, 1e-5, 1e-5])
    augmentation = PUBLISHED.augmentation
    assert (augmentation.rotation, augmentation.scale, augmentation.flip_probability) == (30, (0.75, 1.5), 0.5)
    assert augmentation.shift * 512 / 832 == pytest.approx(40)
    assert PUBLISHED.higherhrnet.tag_weight == 1e-3 and PUBLISHED.higherhrnet.foreground_weight == 1


def test_behind_pifpaf():
    """Supplement 1.2: lambda 0.5, omega from 0 to 2 over the first half; the rest as behind HigherHRNet."""
    recipe = RECIPES["pifpaf-published"]
    assert recipe == PifPafDSEDRecipe() and recipe.design.base == "pifpaf_r50"
    assert (recipe.hidden_weight, recipe.all_weight) == (0.5, 0.5)
    assert (recipe.distillation_weight, recipe.distillation_warm_up) == (2.0, 0.5)
    assert (recipe.epochs, recipe.learning_rate, recipe.design.reasoner_stages) == (10, 2e-4, 1)


def test_hupor_in_2d():
    """Supplement 2.1: lambda 0.1, omega from 0 to 1 over the first quarter, two stages behind a detector of three."""
    recipe = RECIPES["hupor-published"]
    assert recipe == HUPORDSEDRecipe() and recipe.design.base == "hupor" and recipe.design.reasoner_stages == 2
    assert (recipe.hupor.visible_weight, recipe.hidden_weight, recipe.all_weight) == (0.1, 0.1, 0.1)
    assert (recipe.distillation_weight, recipe.distillation_warm_up) == (1.0, 0.25)
    assert recipe.hupor.learning_rate == 2e-4


def test_a_recipe_is_for_one_kind_of_base():
    assert [recipe.family for recipe in RECIPES.values()] == ["higherhrnet"] * 3 + ["pifpaf"] * 3 + ["hupor"] * 2
    assert find_recipe("small", "pifpaf") == "pifpaf-small" and find_recipe("small", None) == "small"
    assert find_recipe("small", "higherhrnet") == "small" and find_recipe("a.json", "pifpaf") == "a.json"
    with pytest.raises(OccluposeError, match=r"design.base higher_hrnet_w32: not pifpaf; begin with a recipe of that"):
        replace(RECIPES["pifpaf-small"], design=PUBLISHED.design)


@pytest.mark.parametrize("name", ["movenet", "pifpaf-movenet"])
def test_recipes_on_movenet_s_features_are_otherwise_the_small_ones(name):
    recipe = RECIPES[name]
    small = RECIPES[name.replace("movenet", "small")]
    assert recipe.design.base.endswith("_movenet") and recipe.base_training.pretrained_rate == 0.05
    assert replace(recipe, name=small.name, design=small.design) == small


def test_the_small_recipe_is_small():
    assert SMALL.design.base == "higher_hrnet_small" and SMALL.predicted_input_fraction == 0.5
    assert (SMALL.distillation_weight, SMALL.distillation_warm_up) == (5.0, 0.5)


@pytest.mark.parametrize("name", RECIPES)
def test_recipes_go_through_a_file(tmp_path, name):
    recipes.write(RECIPES[name], tmp_path / "a.json")
    assert recipes.read(tmp_path / "a.json", RECIPES) == RECIPES[name]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"higherhrnet.epochs": -1.0}, "epochs -1: must be 0 or more"),
        ({"epochs": 0.0}, "epochs 0: must be more than 0"),
        ({"distillation_warm_up": 0.0}, "distillation_warm_up 0: must be more than 0"),
        ({"higherhrnet.tag_weight": -1.0}, "tag_weight -1: must be 0 or more"),
        ({"distilled_levels": ()}, "distilled_levels .*: must be one or more levels"),
        ({"design.side": 100}, "side 100: must be a multiple of 32"),
    ],
)
def test_impossible_values_are_refused(change, message):
    with pytest.raises(OccluposeError, match=message):
        recipes.changed(SMALL, change)


def test_something_must_train():
    alone = replace(SMALL, higherhrnet=replace(SMALL.higherhrnet, epochs=0))
    with pytest.raises(OccluposeError, match="neither base nor reasoner would train"):
        replace(alone, design=replace(SMALL.design, reasoning="none"))
