"""Recipes as files: what is written is read again, and a mistake in a file is named in one line."""

import json
import re
from dataclasses import dataclass, field, replace
from importlib import import_module
from math import inf
from pathlib import Path

import pytest

import occlupose
from occlupose.bounds import Bounded, Count, Fraction
from occlupose.cli.training import RECIPES
from occlupose.errors import OccluposeError
from occlupose.methods.ljof.recipe import LJOFRecipe, StructureTerm
from occlupose.methods.ljof.schedules import Constant, Exponential, Linear, Step
from occlupose.training.loop import Optimisation
from occlupose.training.recipe import changed, read, to_json, write


@dataclass(frozen=True)
class Inner(Bounded):
    sizes: tuple[Count, Count] = (1, 2)
    share: Fraction = 0.5


@dataclass(frozen=True)
class Recipe(Bounded):
    name: str = "tiny"
    inner: Inner = field(default_factory=Inner)
    optional: Inner | None = None
    pairs: tuple[tuple[Count, Count], ...] = ()
    optimisation: Optimisation = field(default_factory=Optimisation)


KNOWN = {"first": Recipe(), "second": Recipe("two", Inner((5, 6)))}


def written(folder, content):
    path = folder / "recipe.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


@pytest.mark.parametrize("trainer", RECIPES)
def test_every_recipe_is_read_as_it_was_written(trainer, tmp_path):
    recipes = import_module(f"occlupose.methods.{RECIPES[trainer]}").RECIPES
    for recipe in recipes.values():
        write(recipe, tmp_path / "recipe.json")
        assert repr(read(tmp_path / "recipe.json", recipes)) == repr(recipe)


@pytest.mark.parametrize(
    "schedule", [Constant(0.3), Step(0.2, 0.4), Linear(0.1, 0.2, 0.3), Exponential(0.5, 2.0)], ids=repr
)
def test_a_schedule_is_known_by_its_fields(schedule, tmp_path):
    recipe = LJOFRecipe(structure=StructureTerm("body", schedule), blocks=None)
    write(recipe, tmp_path / "recipe.json")
    assert read(tmp_path / "recipe.json", {"": LJOFRecipe()}) == recipe


PAGES = Path(occlupose.__file__).parents[2] / "docs"
EXAMPLES = [
    (page.stem, example)
    for page in sorted(PAGES.glob("*.md"))
    for example in re.findall(r"```json\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL)
    if '"base"' in example
]


@pytest.mark.parametrize(("page", "example"), EXAMPLES)
def test_the_recipes_of_the_pages_can_be_read(page, example, tmp_path):
    trainer = {"training": "lifter", "hidden-joints": "movenet"}.get(page, page)
    recipes = import_module(f"occlupose.methods.{RECIPES[trainer]}").RECIPES
    assert read(written(tmp_path, example), recipes) != recipes[json.loads(example)["base"]]


def test_there_are_recipes_in_the_pages():
    assert {"hupor", "ljof", "oanet", "training"} <= {page for page, _ in EXAMPLES}


def test_infinity_is_null(tmp_path):
    recipe = Recipe(optimisation=Optimisation(max_grad_norm=inf))
    write(recipe, tmp_path / "recipe.json")
    assert json.loads((tmp_path / "recipe.json").read_text())["optimisation"]["max_grad_norm"] is None
    assert read(tmp_path / "recipe.json", KNOWN) == recipe


def test_fields_that_are_left_out_have_their_defaults(tmp_path):
    assert read(written(tmp_path, {}), KNOWN) == Recipe()
    given = {"inner": {"share": 1}, "optional": {}, "pairs": [[1, 2], [3, 4]]}
    assert read(written(tmp_path, given), KNOWN) == Recipe("tiny", Inner(share=1), Inner(), ((1, 2), (3, 4)))


def test_nested_fields_that_are_left_out_are_those_of_the_default(tmp_path):
    default = Recipe("other", Inner((3, 4), 0.1), optimisation=Optimisation(learning_rate=1e-4))
    given = {"inner": {"share": 0.2}, "optimisation": {"steps": 5}}
    assert read(written(tmp_path, given), {"": default}) == Recipe(
        "other", Inner((3, 4), 0.2), optimisation=Optimisation(steps=5, learning_rate=1e-4)
    )


def test_a_file_may_name_the_recipe_that_it_changes(tmp_path):
    given = {"base": "second", "inner": {"share": 0.2}}
    assert read(written(tmp_path, given), KNOWN) == Recipe("two", Inner((5, 6), 0.2))


def test_a_recipe_of_several_kinds_is_known_by_its_fields(tmp_path):
    known = {"recipe": Recipe(), "inner": Inner()}
    assert read(written(tmp_path, {"sizes": [2, 3]}), known) == Inner((2, 3))
    assert read(written(tmp_path, {"name": "x"}), known) == Recipe("x")


def test_a_card_is_a_recipe(tmp_path):
    recipe = Recipe("other", Inner(share=0.25))
    assert read(written(tmp_path, {"name": "weights", "metrics": {}, "recipe": to_json(recipe)}), KNOWN) == recipe


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "cannot be read"),
        ([1], "content [1]: must be an object with the fields of a recipe"),
        ({"nam": "x"}, "nam: not a field of the recipe; did you mean name?"),
        ({"base": "third"}, "base third: not known; known are first, second"),
        ({"base": []}, "base []: not known; known are first, second"),
        ([[1, 2]] * 1000, "content [[1, 2], [1, 2], "),
        ({"a\nb": 1}, "a b: not a field of the recipe; "),
        ({"optimisation": {"steps": "a\nb"}}, "optimisation.steps a b: must be a whole number"),
        ({"zzz": 1}, "zzz: not a field of the recipe; known are name, inner, optional, pairs, optimisation"),
        ({"inner": {"share": 2}}, "inner.share 2: must be between 0 and 1"),
        ({"inner": {"sizes": [1, 0]}}, "inner.sizes (1, 0): each must be 1 or more"),
        ({"inner": {"sizes": [1, 2, 3]}}, "inner.sizes (1, 2, 3): must be a list of 2"),
        ({"inner": {"sizes": 3}}, "inner.sizes 3: must be a list"),
        ({"inner": {"size": 3}}, "inner.size: not a field of the recipe; did you mean sizes?"),
        ({"inner": 3}, "inner 3: must be an object with the fields of a recipe"),
        ({"inner": None}, "inner None: must be an object with the fields of a recipe"),
        ({"optimisation": {"steps": "many"}}, "optimisation.steps many: must be a whole number"),
        ({"optimisation": {"precision": "16"}}, "optimisation.precision 16: not known; known are auto, 32-true, "),
    ],
)
def test_a_mistake_is_named_with_the_file(tmp_path, content, message):
    path = written(tmp_path, content)
    with pytest.raises(OccluposeError) as refusal:
        read(path, KNOWN)
    assert str(refusal.value).startswith(f"{path}: {message}")
    assert "\n" not in str(refusal.value) and len(str(refusal.value)) < len(str(path)) + 200


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(OccluposeError, match=r"none\.json: cannot be read .*; give a recipe in JSON, or a card"):
        read(tmp_path / "none.json", KNOWN)


def test_some_fields_are_changed():
    recipe = changed(Recipe(), {"name": "other", "inner.share": 0.1, "optimisation.steps": 3, "pairs": None})
    assert recipe == replace(Recipe("other", Inner(share=0.1)), optimisation=Optimisation(steps=3))
    with pytest.raises(OccluposeError, match="share 3: must be between 0 and 1"):
        changed(Recipe(), {"inner.share": 3})


@pytest.mark.parametrize(
    ("trainer", "weights", "field", "value"),
    [("lifter", "lifter", "name", "lifter"), ("refine", "hupor.movenet", "epochs", 200)],
)
def test_the_cards_of_the_shipped_weights_are_recipes(trainer, weights, field, value):
    known = import_module(f"occlupose.methods.{RECIPES[trainer]}").RECIPES
    card = Path(occlupose.__file__).parent / "weights" / f"{weights}.json"
    assert getattr(read(card, known), field) == value
