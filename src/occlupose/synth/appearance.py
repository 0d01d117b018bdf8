"""Appearance of people, objects, light and cameras of synthetic images; `sampling` draws it at random. Ours.

Fields are named like the uniforms of `shaders/`. Colours are linear red, green and blue, 0 to 1. Lengths on a person
are metres on the average body at rest (`BodyModel.texture`).
"""

from dataclasses import dataclass, fields

Vector = tuple[float, float, float]
Colour = Vector

PATTERNS = ("plain", "melange", "stripes", "pinstripes", "checks", "dots", "print", "denim", "leaves")
HAIR_STYLES = ("bald", "cropped", "short", "full", "bob", "long")
HATS = ("none", "cap", "beanie")
FLOORS = ("concrete", "planks", "tiles", "carpet", "grass", "paving", "sand")
MATERIALS = ("plain", "wood", "cardboard", "metal", "fabric", "leaves")


@dataclass(frozen=True)
class Cloth:
    """Material of a garment.

    Attributes:
        colour, second: of the fabric, and of its pattern.
        pattern: index of PATTERNS.
        scale: length of one repeat, metres.
        sheen: strength of highlights, 0 to 1.
        folds: height of its folds, metres.
    """

    colour: Colour
    second: Colour
    pattern: int
    scale: float
    sheen: float
    folds: float


@dataclass(frozen=True)
class PersonAppearance:
    """Appearance of a person.

    Attributes:
        skin, flush, lips, iris: colours; `flush` of cheeks, nose, ears, knuckles and knees.
        freckles, wrinkles, beard: 0 to 1.
        beard_length: 0 shaved to 1 full.
        hair, hair_style: colour, and index of HAIR_STYLES.
        parting: metres from the middle to the left.
        hat, hat_colour: index of HATS, and colour.
        glasses: 0 none, 1 clear, 2 dark.
        top, bottom: garments; `jacket` is worn over the top if `open` is more than 0.
        open: half width of the opening of the jacket at the chest, metres.
        sleeve: length of the sleeves, metres from the shoulder.
        hem: height at which the top ends, metres.
        neckline: depth and half width of the opening at the front, metres.
        collar, buttons: 1 if present.
        waist, leg: upper and lower end of the trousers or skirt, metres.
        skirt: 1 for a dress.
        belt: 1 if present.
        shoe, sole, sock: colours; `shoe_top` and `sock_top` are heights.
        laces: 1 if present.
        offset: of the noise, so that folds differ between people.
    """

    skin: Colour
    flush: Colour
    lips: Colour
    iris: Colour
    freckles: float
    wrinkles: float
    beard: float
    beard_length: float
    hair: Colour
    hair_style: int
    parting: float
    hat: int
    hat_colour: Colour
    glasses: int
    top: Cloth
    jacket: Cloth
    bottom: Cloth
    open: float
    sleeve: float
    hem: float
    neckline: tuple[float, float]
    collar: int
    buttons: int
    waist: float
    leg: float
    skirt: int
    belt: int
    shoe: Colour
    sole: Colour
    sock: Colour
    shoe_top: float
    sock_top: float
    laces: int
    offset: Vector


@dataclass(frozen=True)
class ObjectAppearance:
    """Appearance of an object.

    Attributes:
        colour, second: of the material, and of its grain.
        material: index of MATERIALS.
        sheen: 0 to 1.
        scale: length of its grain, metres.
        offset: of the noise.
    """

    colour: Colour
    second: Colour
    material: int
    sheen: float
    scale: float
    offset: Vector


@dataclass(frozen=True)
class SceneAppearance:
    """Light, ground, surroundings and camera effects of a scene.

    Attributes:
        indoor: 1 in a room, 0 outdoors.
        sun_direction, sun: unit vector towards the main light, and its colour.
        softness: half width of the edges of shadows, metres.
        sky, bounce: light from above and from below.
        fill_direction, fill: a second light without shadows.
        floor, floor_colour, floor_second, floor_scale, floor_turn: index of FLOORS, its colours, length of a repeat in
            metres, rotation in radians.
        gloss: reflection of the floor, 0 to 1.
        ceiling: colour; outdoors that of the upper sky.
        horizon: colour of the lower sky, and of haze.
        clouds, haze: 0 to 1.
        room: width, depth, height, metres; outdoors three times the radius of the surroundings.
        exposure: factor on all light.
        white: factor on each channel of the image.
        contrast: power of the tone curve.
        saturation: factor on colourfulness.
        vignette: loss of light in the corners.
        defocus: standard deviation of the blur of the image, pixels at a width of 512.
        behind: additional blur of the surroundings.
        motion: length (likewise) and direction (radians) of motion blur.
        shot, read: standard deviation of shot noise and of read noise, in 1/255.
        coarse: blur of the noise, pixels.
        quality: of the JPEG file.
    """

    indoor: int
    sun_direction: Vector
    sun: Colour
    softness: float
    sky: Colour
    bounce: Colour
    fill_direction: Vector
    fill: Colour
    floor: int
    floor_colour: Colour
    floor_second: Colour
    floor_scale: float
    floor_turn: float
    gloss: float
    ceiling: Colour
    horizon: Colour
    clouds: float
    haze: float
    room: Vector
    exposure: float
    white: Colour
    contrast: float
    saturation: float
    vignette: float
    defocus: float
    behind: float
    motion: tuple[float, float]
    shot: float
    read: float
    coarse: float
    quality: int


def shader_uniforms(appearance: PersonAppearance | ObjectAppearance | SceneAppearance) -> dict[str, object]:
    """Names and values of the uniforms; those of a garment begin with its name and an underscore."""
    values: dict[str, object] = {}
    for field in fields(appearance):
        value = getattr(appearance, field.name)
        if isinstance(value, Cloth):
            values |= {f"{field.name}_{part.name}": getattr(value, part.name) for part in fields(value)}
        else:
            values[field.name] = value
    return values
