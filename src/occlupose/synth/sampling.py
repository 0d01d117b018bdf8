"""Random appearance of people, objects, light and cameras of synthetic images. Ours."""

import colorsys
from collections.abc import Sequence
from typing import TypeVar

import numpy as np
from jaxtyping import Float
from numpy.random import Generator

from occlupose.synth.appearance import (
    FLOORS,
    HAIR_STYLES,
    MATERIALS,
    PATTERNS,
    Cloth,
    Colour,
    ObjectAppearance,
    PersonAppearance,
    SceneAppearance,
    Vector,
)

Choice = TypeVar("Choice")

OBJECT_MATERIALS = {
    "table": ("wood", "plain"),
    "chair": ("wood", "plain", "fabric"),
    "sofa": ("fabric",),
    "box": ("cardboard", "wood", "plain"),
    "bar": ("metal", "plain", "wood"),
    "foliage": ("leaves",),
}
"""Materials of some kinds of objects; other kinds can have any but leaves."""


def linear(colour: Float[np.ndarray, "*any 3"] | Colour) -> Float[np.ndarray, "*any 3"]:
    """Linear values from sRGB, 0 to 1 (IEC 61966-2-1)."""
    value = np.asarray(colour, float)
    return np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4)


def sample_person(generator: Generator, *, gender: float = 0.5, age: float = 0.7) -> PersonAppearance:
    """Random appearance of a person, always clothed.

    Arguments:
        gender: 0 is male, 1 female.
        age: 0 baby, 1/3 child, 2/3 young, 1 old.
    """
    random = generator.random
    woman = gender > random()
    old = max(0.0, (age - 0.67) * 3)
    child = age < 0.45
    skin, flush = _skin(generator)
    hair, style = _hair(generator, skin, woman, old)
    has_dress = woman and random() < 0.22
    top = _cloth(generator, "dress" if has_dress else "top")
    bottom = _cloth(generator, "bottom")
    jacket = _cloth(generator, "jacket")
    has_jacket = not has_dress and random() < 0.33
    sleeves = [_short_sleeve(generator), 0.2 + 0.12 * random(), 0.395 + 0.02 * random()]
    sleeve = float(_pick(generator, sleeves, [0.52, 0.1, 0.38]))
    if has_dress:
        sleeve = float(_pick(generator, [0.03, _short_sleeve(generator), 0.4], [0.3, 0.4, 0.3]))
    if has_jacket:
        sleeve = 0.4 + 0.02 * random()
    shirt = not has_dress and random() < 0.35
    bare_legs = random() < (0.3 if not has_jacket else 0.08)
    leg = -0.36 - 0.1 * random() if bare_legs else -0.695 - 0.025 * random()
    if not bare_legs and random() < 0.12:
        leg = -0.58 - 0.06 * random()
    if has_dress:
        leg = float(_pick(generator, [-0.695, -0.3 - 0.16 * random()], [0.35, 0.65]))
    shoe, sole, laces = _shoes(generator)
    boots = random() < 0.15
    hat_colour = linear(_tint(generator, 0.0, 0.6, 0.08, 0.7))
    hat = int(_pick(generator, range(3), [0.88, 0.07, 0.05]))
    return PersonAppearance(
        skin=_three(skin),
        flush=_three(flush),
        lips=_three(_lips(generator, skin, woman and not child)),
        iris=_three(linear(_pick(generator, _IRISES, [0.6, 0.2, 0.12, 0.08]))),
        freckles=float(max(0.0, random() - 0.6)),
        wrinkles=min(1.0, old * (0.6 + 0.4 * random())),
        beard=0.0 if woman or child else float(_pick(generator, [0.15, 0.45, 0.9], [0.45, 0.25, 0.3])),
        beard_length=float(random()),
        hair=_three(hair),
        hair_style=style,
        parting=float(generator.normal(0, 0.02)),
        hat=hat,
        hat_colour=_three(hat_colour),
        glasses=int(_pick(generator, range(3), [0.82, 0.12, 0.06])),
        top=top,
        jacket=jacket,
        bottom=top if has_dress else bottom,
        open=0.015 + 0.04 * random() if has_jacket else 0.0,
        sleeve=sleeve,
        hem=leg if has_dress else (-0.075 - 0.1 * random() if random() < 0.75 else -0.03),
        neckline=(0.01 + 0.02 * random(), 0.05) if random() < 0.7 else (0.05 + 0.035 * random(), 0.05),
        collar=int(shirt or (has_jacket and random() < 0.5)),
        buttons=int(shirt),
        waist=-0.02,
        leg=leg,
        skirt=int(has_dress),
        belt=int(not has_dress and random() < 0.3),
        shoe=_three(shoe),
        sole=_three(sole),
        sock=_three(linear(_grey(generator, 0.03, 0.95) if random() < 0.8 else _tint(generator, 0.3, 0.8, 0.2, 0.8))),
        shoe_top=-0.66 if boots else -0.722,
        sock_top=-0.722 + 0.15 * random() ** 2,
        laces=laces,
        offset=_three(100 * generator.random(3)),
    )


def sample_object(generator: Generator, kind: str) -> ObjectAppearance:
    """Random appearance of an object of some kind (see `SceneObject.kind`)."""
    name = str(_pick(generator, OBJECT_MATERIALS.get(kind, MATERIALS[:-1])))
    colour = {
        "wood": _tint(generator, 0.35, 0.6, 0.25, 0.7, hue=0.055 + 0.035 * generator.random()),
        "cardboard": _tint(generator, 0.3, 0.4, 0.5, 0.68, hue=0.09),
        "metal": _grey(generator, 0.15, 0.7),
        "fabric": _tint(generator, 0.0, 0.5, 0.1, 0.7),
        "leaves": _tint(generator, 0.35, 0.65, 0.18, 0.45, hue=0.24 + 0.1 * generator.random()),
    }.get(name, _tint(generator, 0.0, 0.6, 0.1, 0.85))
    light = linear(colour)
    return ObjectAppearance(
        colour=_three(light),
        second=_three(light * generator.uniform(0.45, 0.8)),
        material=MATERIALS.index(name),
        sheen={"wood": 0.25, "plain": 0.35, "metal": 0.7}.get(name, 0.05) * generator.uniform(0.5, 1.3),
        scale=generator.uniform(0.06, 0.16),
        offset=_three(100 * generator.random(3)),
    )


def sample_surroundings(generator: Generator) -> SceneAppearance:
    """Random light, ground, surroundings and camera effects of a scene."""
    indoor = generator.random() < 0.5
    azimuth = generator.uniform(-np.pi, np.pi)
    away = azimuth + np.pi + generator.uniform(-1.2, 1.2)
    overcast = generator.uniform(0.2, 0.9) if indoor else (generator.random() < 0.3) * generator.uniform(0.5, 1.0)
    elevation = np.radians(generator.uniform(40, 75) if indoor else generator.uniform(14, 68))
    if indoor:
        warm = _lamp(generator.uniform(2900, 6500))
        sun = warm * (1.5 - 0.9 * overcast)
        sky = _lamp(generator.uniform(3300, 7500)) * (0.32 + 0.3 * overcast)
        bounce = sky * np.array([0.6, 0.55, 0.5]) * generator.uniform(0.5, 0.9)
        softness = generator.uniform(0.03, 0.12)
    else:
        warm = _lamp(3200 + 2600 * min(1.0, elevation / 0.7) + generator.uniform(-300, 300))
        sun = warm * 2.6 * (1 - overcast) ** 1.5
        sky = _lamp(generator.uniform(6800, 10500)) * (0.42 + 0.5 * overcast)
        bounce = sky * generator.uniform(0.3, 0.55) + 0.09 * sun
        softness = 0.012 + 0.1 * overcast
    fill = _lamp(generator.uniform(3500, 8000)) * generator.uniform(0.02, 0.3)
    level = (sun.mean() * np.sin(elevation) * 0.7 + sky.mean() + 0.5 * fill.mean()) * 0.9
    floor, floor_colour, floor_second, floor_scale = _floor(generator, indoor)
    size = generator.uniform(0, 1, 3).tolist()
    indoor_room = (5 + 4 * size[0], 5 + 5 * size[1], 2.4 + 1.1 * size[2])
    room = indoor_room if indoor else (11 + 24 * size[0],) * 3
    sunset = np.clip(1 - elevation / 0.6, 0, 1) * (1 - overcast)
    blue = linear((0.32, 0.52, 0.82)) * (1 - overcast) + linear((0.72, 0.75, 0.79)) * overcast
    pale = linear((0.75, 0.84, 0.93)) * (1 - sunset) + linear((0.95, 0.8, 0.62)) * sunset
    return SceneAppearance(
        indoor=int(indoor),
        sun_direction=_direction(azimuth, elevation),
        sun=_three(sun),
        softness=float(softness),
        sky=_three(sky),
        bounce=_three(bounce),
        fill_direction=_direction(away, np.radians(generator.uniform(5, 45))),
        fill=_three(fill),
        floor=floor,
        floor_colour=_three(floor_colour),
        floor_second=_three(floor_second),
        floor_scale=floor_scale,
        floor_turn=float(generator.uniform(0, np.pi)) if not indoor else float(_pick(generator, [0, np.pi / 2])),
        gloss=float(generator.random() ** 2 * 0.35) if indoor else 0.03,
        ceiling=_three(linear(_grey(generator, 0.7, 0.95)) if indoor else blue),
        horizon=_three(pale if not indoor else linear(_grey(generator, 0.6, 0.9))),
        clouds=float(overcast if overcast > 0 else generator.random() * 0.8),
        haze=float(generator.uniform(0, 0.5)) if not indoor else 0.0,
        room=room,
        exposure=float(1.35 * generator.lognormal(0.0, 0.24) / level),
        white=_three(np.clip(generator.normal([1.0, 1.0, 1.0], [0.05, 0.015, 0.06]), 0.8, 1.2)),
        contrast=float(np.clip(generator.normal(1.0, 0.1), 0.75, 1.25)),
        saturation=float(np.clip(generator.normal(0.95, 0.15), 0.0, 1.3)),
        vignette=float(0.35 * generator.random() ** 2),
        defocus=float(0.2 + 0.9 * generator.random() ** 4),
        behind=float(0.6 + 4.5 * generator.random() ** 1.6),
        motion=(float(max(0.0, generator.normal(-2.5, 2.6))), float(generator.uniform(0, np.pi))),
        shot=float(0.6 + 4.5 * generator.random() ** 2),
        read=float(0.4 + 3.2 * generator.random() ** 2),
        coarse=float(generator.uniform(0.0, 0.8)),
        quality=int(generator.integers(48, 97)),
    )


def _pick(generator: Generator, choices: Sequence[Choice], weights: Sequence[float] | None = None) -> Choice:
    """Random choice; much faster than `Generator.choice`."""
    if weights is None:
        return choices[int(generator.random() * len(choices))]
    remainder = generator.random() * sum(weights)
    for choice, weight in zip(choices, weights, strict=True):
        remainder -= weight
        if remainder < 0:
            return choice
    return choices[-1]


def _three(values: Float[np.ndarray, "3"]) -> Vector:
    return float(values[0]), float(values[1]), float(values[2])


def _direction(azimuth: float, elevation: float) -> Vector:
    across = np.cos(elevation) * np.array([np.sin(azimuth), np.cos(azimuth)])
    return _three(np.array([across[0], np.sin(elevation), across[1]]))


def _lamp(kelvin: float) -> Float[np.ndarray, "3"]:
    """Colour of light by its temperature for a camera balanced for 5500 K, green 1; our rough fit to Planck's law."""
    return np.array([(5500 / kelvin) ** 0.55, 1.0, (kelvin / 5500) ** 0.75])


def _grey(generator: Generator, low: float, high: float) -> Float[np.ndarray, "3"]:
    """A grey with a slight tint, sRGB."""
    return np.clip(generator.uniform(low, high) + generator.normal(0, 0.015, 3), 0, 1)


def _tint(
    generator: Generator,
    min_saturation: float,
    max_saturation: float,
    dark: float,
    bright: float,
    *,
    hue: float | None = None,
) -> Float[np.ndarray, "3"]:
    """A colour of some range of saturation and brightness, sRGB."""
    hue = generator.random() if hue is None else hue
    saturation = generator.uniform(min_saturation, max_saturation)
    return np.array(colorsys.hsv_to_rgb(hue, saturation, generator.uniform(dark, bright)))


_SKINS = np.array(
    [
        [0.96, 0.82, 0.74],
        [0.91, 0.74, 0.63],
        [0.83, 0.64, 0.51],
        [0.72, 0.52, 0.38],
        [0.55, 0.38, 0.27],
        [0.38, 0.25, 0.18],
        [0.27, 0.18, 0.14],
    ]
)
"""Skin tones from light to dark over the range of Fitzpatrick's types, sRGB; ours."""


_IRISES = ((0.20, 0.12, 0.06), (0.30, 0.2, 0.1), (0.3, 0.42, 0.5), (0.32, 0.4, 0.26))
"""Brown, hazel, blue and green; sRGB."""


def _skin(generator: Generator) -> tuple[Float[np.ndarray, "3"], Float[np.ndarray, "3"]]:
    """Colours of skin and of its flushed parts."""
    tone = generator.uniform(0, len(_SKINS) - 1)
    srgb = np.array([np.interp(tone, np.arange(len(_SKINS)), _SKINS[:, channel]) for channel in range(3)])
    skin = linear(np.clip(srgb + generator.normal(0, [0.01, 0.012, 0.018]), 0.05, 0.97))
    return skin, skin * np.array([1.0, 0.62, 0.58] if tone < 3.5 else [0.92, 0.76, 0.72])


def _lips(generator: Generator, skin: Float[np.ndarray, "3"], woman: bool) -> Float[np.ndarray, "3"]:
    bare = skin * np.array([0.82, 0.5, 0.5])
    if woman and generator.random() < 0.45:
        paint = linear(_tint(generator, 0.5, 0.85, 0.4, 0.75, hue=(0.96 + 0.06 * generator.random()) % 1))
        return 0.35 * bare + 0.65 * paint
    return bare


_HAIR = (
    (0.07, 0.06, 0.055),
    (0.14, 0.09, 0.06),
    (0.27, 0.17, 0.1),
    (0.42, 0.28, 0.16),
    (0.66, 0.5, 0.3),
    (0.82, 0.69, 0.47),
    (0.48, 0.22, 0.1),
)
"""Colours of hair: black, browns, blonds, red; sRGB."""


def _hair(
    generator: Generator, skin: Float[np.ndarray, "3"], woman: bool, old: float
) -> tuple[Float[np.ndarray, "3"], int]:
    """Colour of the hair, and index of HAIR_STYLES."""
    dark = skin.mean() < 0.22
    weights = (0.75, 0.18, 0.05, 0.0, 0.02, 0.0, 0.0) if dark else (0.17, 0.24, 0.22, 0.14, 0.11, 0.07, 0.05)
    srgb = np.array(_pick(generator, _HAIR, weights)) * generator.uniform(0.8, 1.2)
    grey = np.clip(old * 1.3 * generator.random(), 0, 1)
    srgb = srgb * (1 - grey) + grey * generator.uniform(0.5, 0.85)
    if generator.random() < 0.03:
        srgb = _tint(generator, 0.4, 0.8, 0.3, 0.8)
    styles = [0.0, 0.06, 0.12, 0.2, 0.27, 0.35] if woman else [0.09 + 0.15 * min(old, 1), 0.26, 0.38, 0.2, 0.05, 0.02]
    return linear(np.clip(srgb, 0.03, 0.95)), int(_pick(generator, range(len(HAIR_STYLES)), styles))


def _short_sleeve(generator: Generator) -> float:
    """Length of a short sleeve."""
    return float(0.1 + 0.07 * generator.random())


_PATTERN_WEIGHTS = {
    "bottom": {"denim": 0.38, "plain": 0.38, "melange": 0.12, "pinstripes": 0.04, "checks": 0.04, "leaves": 0.04},
    "jacket": {"plain": 0.5, "melange": 0.25, "denim": 0.1, "pinstripes": 0.05, "checks": 0.1},
    "top": {
        "plain": 0.34,
        "melange": 0.14,
        "stripes": 0.13,
        "pinstripes": 0.05,
        "checks": 0.1,
        "dots": 0.05,
        "print": 0.12,
        "leaves": 0.07,
    },
}
"""Relative frequency of patterns on each garment; on dresses as on tops."""


def _cloth(generator: Generator, kind: str) -> Cloth:
    """Material of a "top", "bottom", "jacket" or "dress"."""
    weights = _PATTERN_WEIGHTS.get(kind, _PATTERN_WEIGHTS["top"])
    name = _pick(generator, list(weights), list(weights.values()))
    if name == "denim":
        colour = _tint(generator, 0.25, 0.62, 0.16, 0.62, hue=0.58 + 0.05 * generator.random())
        second = np.clip(colour * 1.35 + 0.1, 0, 1)
    else:
        sober = generator.random() < (0.45 if kind in ("top", "dress") else 0.75)
        if sober and generator.random() < 0.6:
            colour = _grey(generator, 0.06, 0.93)
        else:
            colour = _tint(generator, 0.1, 0.4 if sober else 0.75, 0.1, 0.9)
        if kind == "bottom":
            colour = colour * _pick(generator, [0.35, 0.6, 1.0], [0.35, 0.4, 0.25])
        lighter = colour.mean() < 0.45 or (colour.mean() < 0.7 and generator.random() < 0.3)
        if lighter:
            second = np.clip(colour * 0.6 + generator.uniform(0.3, 0.5), 0, 1)
        else:
            second = np.clip(colour * generator.uniform(0.25, 0.7), 0, 1)
        if generator.random() < 0.4:
            second = _tint(generator, 0.2, 0.8, 0.15, 0.9)
    scale = {
        "stripes": 0.02 + 0.05 * generator.random(),
        "pinstripes": 0.012 + 0.016 * generator.random(),
        "checks": 0.025 + 0.05 * generator.random(),
        "dots": 0.018 + 0.03 * generator.random(),
        "leaves": 0.08 + 0.1 * generator.random(),
    }.get(name, 0.05)
    return Cloth(
        colour=_three(np.clip(linear(colour), 0.012, 0.85)),
        second=_three(np.clip(linear(second), 0.01, 0.85)),
        pattern=PATTERNS.index(name),
        scale=float(scale),
        sheen=float(0.35 * generator.random() ** 3),
        folds=float(generator.uniform(0.6, 1.7)) * (1.25 if kind in ("jacket", "dress") else 1.0),
    )


def _shoes(generator: Generator) -> tuple[Float[np.ndarray, "3"], Float[np.ndarray, "3"], int]:
    """Colours of shoe and sole, and 1 with laces."""
    sneakers = generator.random() < 0.6
    if sneakers:
        shoe = _grey(generator, 0.05, 0.92) if generator.random() < 0.6 else _tint(generator, 0.3, 0.9, 0.2, 0.8)
        return linear(shoe), linear(_grey(generator, 0.7, 0.92)), 1
    black = generator.random() < 0.5
    shoe = _grey(generator, 0.04, 0.15) if black else _tint(generator, 0.4, 0.7, 0.15, 0.45, hue=0.06)
    return linear(shoe), linear(_grey(generator, 0.03, 0.1)), int(generator.random() < 0.5)


_INDOOR_FLOORS = {"planks": 0.4, "tiles": 0.25, "carpet": 0.2, "concrete": 0.15}
_OUTDOOR_FLOORS = {"concrete": 0.32, "paving": 0.3, "grass": 0.25, "sand": 0.13}
"""Relative frequency of floors."""


def _floor(generator: Generator, indoor: bool) -> tuple[int, Float[np.ndarray, "3"], Float[np.ndarray, "3"], float]:
    """Index in FLOORS, two colours, and metres of one repeat."""
    weights = _INDOOR_FLOORS if indoor else _OUTDOOR_FLOORS
    name = _pick(generator, list(weights), list(weights.values()))
    colour = {
        "planks": lambda: _tint(generator, 0.25, 0.55, 0.3, 0.72, hue=0.06 + 0.03 * generator.random()),
        "tiles": lambda: _tint(generator, 0.0, 0.2, 0.35, 0.9, hue=0.08),
        "carpet": lambda: _tint(generator, 0.05, 0.4, 0.2, 0.6),
        "grass": lambda: _tint(generator, 0.35, 0.6, 0.25, 0.45, hue=0.2 + 0.09 * generator.random()),
        "sand": lambda: _tint(generator, 0.15, 0.35, 0.5, 0.75, hue=0.09),
    }.get(name, lambda: _tint(generator, 0.0, 0.1, 0.3, 0.65, hue=0.08))()
    scale = {
        "planks": 0.1 + 0.1 * generator.random(),
        "tiles": 0.3 + 0.3 * generator.random(),
        "paving": 0.2 + 0.5 * generator.random(),
    }
    light = linear(colour)
    return FLOORS.index(name), light, light * generator.uniform(0.4, 0.75), float(scale.get(name, 1.0))
