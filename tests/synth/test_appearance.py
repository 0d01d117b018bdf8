"""Appearances are drawn from seeds: the same for the same seed, various, clothed, and within their ranges."""

from dataclasses import fields

import numpy as np
import pytest

from occlupose.synth import objects
from occlupose.synth.appearance import (
    FLOORS,
    HAIR_STYLES,
    HATS,
    MATERIALS,
    PATTERNS,
    Cloth,
    shader_uniforms,
)
from occlupose.synth.sampling import OBJECT_MATERIALS, linear, sample_object, sample_person, sample_surroundings
from occlupose.synth.scenery import STRIP_HEIGHT, STRIP_WIDTH, paint_surroundings


def seeded(draw, count=200, **named):
    return [draw(np.random.default_rng(seed), **named) for seed in range(count)]


@pytest.mark.parametrize(
    "draw", [sample_person, sample_surroundings, lambda generator: sample_object(generator, "table")]
)
def test_a_seed_gives_one_appearance(draw):
    first = seeded(draw, 20)
    second = seeded(draw, 20)
    assert first == second
    assert len(set(first)) == 20


@pytest.mark.parametrize("age", [0.2, 0.67, 1.0])
@pytest.mark.parametrize("gender", [0.0, 1.0])
def test_everybody_is_clothed(gender, age):
    for drawn in seeded(sample_person, gender=gender, age=age):
        assert drawn.hem < drawn.waist and drawn.leg <= -0.29 and drawn.sleeve >= 0.03
        assert drawn.hem <= drawn.waist - 0.005  # no gap between top and bottom


def test_numbers_are_in_range():
    for drawn in seeded(sample_person):
        for colour in (
            drawn.skin,
            drawn.flush,
            drawn.lips,
            drawn.hair,
            drawn.shoe,
            drawn.sock,
            drawn.top.colour,
            drawn.top.second,
        ):
            assert all(0 <= value <= 1 for value in colour)
        assert drawn.top.pattern < len(PATTERNS) and drawn.hair_style < len(HAIR_STYLES) and drawn.hat < len(HATS)
        assert drawn.top.scale > 0.01
    for drawn in seeded(sample_surroundings):
        assert drawn.floor < len(FLOORS)
        assert np.linalg.norm(drawn.sun_direction) == pytest.approx(1) and drawn.sun_direction[1] > 0.2
        assert drawn.exposure > 0 and 40 <= drawn.quality <= 100 and 0 <= drawn.vignette < 0.5


def test_appearances_vary():
    people = seeded(sample_person)
    light = np.array([np.mean(drawn.skin) for drawn in people])
    assert light.max() > 8 * light.min()
    assert {drawn.top.pattern for drawn in people} >= set(range(len(PATTERNS))) - {PATTERNS.index("denim")}
    assert {drawn.hair_style for drawn in people} == set(range(len(HAIR_STYLES)))
    assert {drawn.indoor for drawn in seeded(sample_surroundings)} == {0, 1}
    assert {drawn.floor for drawn in seeded(sample_surroundings)} == set(range(len(FLOORS)))


def test_women_have_no_beards_and_men_no_dresses():
    assert all(drawn.beard == 0 for drawn in seeded(sample_person, gender=1.0))
    men = seeded(sample_person, gender=0.0)
    assert any(drawn.beard > 0.4 for drawn in men) and not any(drawn.skirt for drawn in men)


def test_things_are_of_what_such_things_are_made_of():
    assert {MATERIALS[sample_object(np.random.default_rng(seed), "foliage").material] for seed in range(30)} == {
        "leaves"
    }
    assert "leaves" not in {
        MATERIALS[sample_object(np.random.default_rng(seed), "statue").material] for seed in range(60)
    }


def test_uniforms_name_everything():
    drawn = sample_person(np.random.default_rng(0))
    values = shader_uniforms(drawn)
    assert values["top_colour"] == drawn.top.colour and values["skin"] == drawn.skin
    garments = sum(isinstance(getattr(drawn, field.name), Cloth) for field in fields(drawn))
    assert len(values) == len(fields(drawn)) + garments * (len(fields(Cloth)) - 1)


def test_light_from_srgb():
    np.testing.assert_allclose(linear((0.0, 0.5, 1.0)), [0, 0.21404, 1], atol=1e-4)


@pytest.mark.parametrize("indoor", [False, True])
def test_surroundings(indoor):
    one = paint_surroundings(1, indoor)
    again = paint_surroundings(1, indoor)
    other = paint_surroundings(2, indoor)
    assert one.shape == (STRIP_HEIGHT, STRIP_WIDTH, 4) and one.dtype == np.uint8
    np.testing.assert_array_equal(one, again)
    assert (one != other).mean() > 0.1
    assert (one[..., 3] == 255).all() == indoor
    assert (one[0, :, 3] == 255).mean() > 0.9  # nothing floats


def test_things_of_every_kind_but_those_of_anything_are_known():
    assert set(OBJECT_MATERIALS) <= {"chair", *objects.STANDING_OBJECTS, *objects.FOREGROUND_OBJECTS}
