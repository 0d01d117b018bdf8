from dataclasses import replace
from math import inf, nan

import pytest

from hupor_samples import TINY, recipe_with_design
from occlupose.errors import OccluposeError
from occlupose.methods.hupor.network import HUPORDesign
from occlupose.methods.hupor.recipe import MOVENET, PUBLISHED, RECIPES, SMALL, HUPORRecipe


def test_the_published_recipe():
    """Supplement 2.1: Adam of 2e-4 that decays by 8e-6, batches of 32, half of them without depth; ten epochs alone,
    ten together.
    """
    assert PUBLISHED.design == HUPORDesign()
    assert (PUBLISHED.learning_rate, PUBLISHED.weight_decay, PUBLISHED.batch) == (2e-4, 8e-6, 32)
    assert (PUBLISHED.no_depth_fraction, PUBLISHED.epochs, PUBLISHED.detector_only_fraction) == (0.5, 20, 0.5)
    assert (
        PUBLISHED.teacher_input,
        PUBLISHED.distilled_levels,
        PUBLISHED.distillation_weight,
        PUBLISHED.distillation_warm_up,
    ) == (
        "hidden",
        (1, 2, 3, 4),
        1.0,
        0.25,
    )
    assert not PUBLISHED.design.detach
    augmentation = PUBLISHED.augmentation
    assert (augmentation.rotation, augmentation.flip_probability, augmentation.scale, augmentation.shift) == (
        10,
        0.5,
        (0.8, 1.1),
        40,
    )
    assert {"published": PUBLISHED, "small": SMALL, "movenet": MOVENET} == RECIPES


def test_on_movenet_s_features():
    """Images without depth are photographs; people are behind blocks in both kinds."""
    assert MOVENET.design.detector == "movenet" and MOVENET.pretrained_rate == 0.05
    assert MOVENET.no_depth_fraction == 0.5 and MOVENET.augmentation.blocks.relative_to == "box"


def test_the_rate_warms_up_over_2400_steps_and_falls_evenly_to_nothing():
    plan = PUBLISHED.optimisation(160_000)
    assert plan.steps == 100_000 and plan.warm_up_steps == 2400 and plan.ema_decay == 0
    assert plan.learning_rate_at(0) == pytest.approx(2e-4 / 2400)
    assert plan.learning_rate_at(1199) == pytest.approx(1e-4 * (1 - 1199 / 100_000))
    assert plan.learning_rate_at(25_000) == pytest.approx(1.5e-4) and plan.learning_rate_at(75_000) == pytest.approx(
        0.5e-4
    )
    assert plan.learning_rate_at(100_000) == 0


@pytest.mark.parametrize(
    ("images", "batch", "epochs", "steps"), [(4, 4, 6, 6), (1, 32, 20, 1), (1000, 8, 0.001, 1), (10, 4, 2, 5)]
)
def test_steps_draw_each_image_once_per_epoch(images, batch, epochs, steps):
    plan = replace(TINY, batch=batch, epochs=epochs, warm_up_steps=1000).optimisation(images)
    assert plan.steps == steps and plan.warm_up_steps == steps
    assert 1 <= plan.save_every <= 500 and 1 <= plan.log_every <= 50


def test_progress_of_the_reasoner():
    recipe = replace(TINY, detector_only_fraction=0.5)
    assert [recipe.reasoner_progress(done) for done in (0, 0.25, 0.499)] == [None] * 3
    assert [recipe.reasoner_progress(done) for done in (0.5, 0.75, 1)] == [0, 0.5, 1]
    assert replace(TINY, detector_only_fraction=0.0).reasoner_progress(0.0) == 0
    assert recipe_with_design(reasoning="none").reasoner_progress(0.9) is None


def test_with_a_fixed_detector_the_reasoner_trains_from_the_first_step():
    recipe = replace(TINY, train_detector=False, detector_only_fraction=0.5)
    assert [recipe.reasoner_progress(done) for done in (0, 0.25, 1)] == [0, 0.25, 1]
    assert replace(recipe, detector_only_fraction=1.0).reasoner_progress(0.0) == 0


def test_a_reasoner_that_would_never_train_is_refused():
    with pytest.raises(
        OccluposeError,
        match=r"^detector_only_fraction 1: the reasoner would never train; give less, or design.reasoning none$",
    ):
        replace(TINY, detector_only_fraction=1.0)
    assert replace(recipe_with_design(reasoning="none"), detector_only_fraction=1.0).reasoner_progress(1.0) is None


def test_the_student_is_given_true_maps_as_in_the_paper_and_the_detector_s_too_by_the_small_recipe():
    assert (PUBLISHED.predicted_input_fraction, SMALL.predicted_input_fraction) == (0.0, 0.5)


def test_visible_hidden_and_all_weigh_the_same_in_the_paper():
    """0.1, heatmaps and fields alike."""
    for recipe in (PUBLISHED, SMALL):
        assert (recipe.visible_weight, recipe.hidden_weight, recipe.all_weight) == (0.1, 0.1, 0.1)


def test_all_cells_count_the_same_in_the_paper():
    assert (PUBLISHED.foreground_weight, SMALL.foreground_weight) == (1.0, 10.0)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        *(
            ({name: value}, f"{name} {value}: must be between 0 and 1")
            for name in ("no_depth_fraction", "detector_only_fraction", "predicted_input_fraction")
            for value in (-0.5, 1.5, nan)
        ),
        *(
            ({"distillation_warm_up": value}, f"distillation_warm_up {value:g}: must be more than 0")
            for value in (0.0, 1.5, nan)
        ),
        ({"batch": 1}, "batch 1: must be 2 or more"),
        *(({"epochs": value}, f"epochs {value:g}: must be more than 0") for value in (0, -1, inf, nan)),
        *(
            ({"distilled_levels": value}, "distilled_levels .*: must be one or more levels, each once")
            for value in ((), (1, 1))
        ),
        *(({"distilled_levels": value}, "distilled_levels .*: each must be between 1 and 4") for value in ((0,), (5,))),
        *(({"seed": value}, f"seed {value}: must be 0 or more") for value in (-1, 2**63)),
        *(({"foreground_weight": value}, "foreground_weight .*: must be more than 0") for value in (0, -1, inf, nan)),
        *(
            ({name: value}, f"{name} .*: must be 0 or more")
            for name in ("distillation_weight", "visible_weight", "hidden_weight", "all_weight")
            for value in (-1, inf, nan)
        ),
    ],
)
def test_impossible_recipes_are_refused(wrong, message):
    with pytest.raises(OccluposeError, match=message):
        HUPORRecipe(**wrong)


def test_detector_or_reasoner_must_train():
    with pytest.raises(OccluposeError, match="neither detector nor reasoner would train"):
        replace(recipe_with_design(reasoning="none"), train_detector=False)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"learning_rate": -1.0}, "learning_rate"),
        ({"weight_decay": nan}, "weight_decay"),
        ({"warm_up_steps": 0}, "warm_up_steps"),
        ({"max_grad_norm": 0.0}, "max_grad_norm"),
        ({"ema_decay": 1.0}, "ema_decay"),
    ],
)
def test_impossible_rates_are_refused_before_training(wrong, message):
    with pytest.raises(OccluposeError, match=message):
        replace(TINY, **wrong).optimisation(10)
