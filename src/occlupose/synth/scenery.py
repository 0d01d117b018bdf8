"""Random surroundings for the background of synthetic images: a strip of walls, or of houses and trees. Ours."""

import cv2
import numpy as np
from jaxtyping import Float, UInt8
from numpy.random import Generator, default_rng

STRIP_WIDTH = 1024
STRIP_HEIGHT = 128
"""Pixels of a strip. Indoors it is 24 m long and as high as the room, outdoors it covers the full circle."""

STOREY = 2.8
RADIUS = 20.0
"""Metres: height of the room, and distance of outdoor surroundings, for which strips are painted."""

Strip = UInt8[np.ndarray, "128 1024 4"]


def paint_surroundings(number: int, indoor: bool) -> Strip:
    """Paint a strip: square roots of linear colours, and coverage of the sky; the first row is at the floor."""
    generator = default_rng([number, int(indoor)])
    return np.ascontiguousarray((_walls(generator) if indoor else _street(generator))[::-1])


def _walls(generator: Generator) -> Strip:
    """Walls with skirting, windows, doors, paintings, shelves and curtains; painted top down."""
    wall = _paint(generator, 0.0, 0.16 if generator.random() < 0.85 else 0.45, 0.5, 0.97)
    canvas = np.empty((STRIP_HEIGHT, STRIP_WIDTH, 4), np.uint8)
    canvas[..., :3] = wall
    canvas[..., 3] = 255
    metre = STRIP_WIDTH / 24
    tall = STRIP_HEIGHT / STOREY
    if generator.random() < 0.2:  # panelling, or another colour below
        canvas[int(STRIP_HEIGHT - 1.1 * tall) :, :, :3] = _paint(generator, 0.0, 0.4, 0.3, 0.9)
    if generator.random() < 0.12:
        _bricks(generator, canvas)
    left = generator.uniform(0, 1.5)
    while left < 23:
        wide = _furnish_wall(generator, canvas, left * metre, metre, tall)
        left += wide + generator.exponential(0.8) + 0.1
    skirting = _paint(generator, 0.0, 0.3, 0.3, 0.95)
    canvas[STRIP_HEIGHT - max(2, int(0.1 * tall)) :, :, :3] = (
        0.5 * skirting + 0.5 * canvas[STRIP_HEIGHT - max(2, int(0.1 * tall)) :, :, :3]
    ).astype(np.uint8)
    shade = 0.8 + 0.2 * cv2.resize(
        generator.random((3, 12), np.float32), (STRIP_WIDTH, STRIP_HEIGHT), interpolation=cv2.INTER_CUBIC
    )
    shade *= np.linspace(1.05, 0.8, STRIP_HEIGHT, dtype=np.float32)[:, None]
    canvas[..., :3] = np.clip(canvas[..., :3] * shade[..., None], 0, 255).astype(np.uint8)
    return canvas


def _window(generator: Generator, canvas: Strip, x: float, metre: float, tall: float) -> float:
    """A window, perhaps with curtains."""
    wide = generator.uniform(0.8, 2.2)
    low = generator.uniform(0.5, 1.0)
    high = generator.uniform(1.9, 2.3)
    frame = _paint(generator, 0, 0.2, 0.5, 0.98)
    _box(canvas, x, low * tall, x + wide * metre, high * tall, frame)
    day = np.array([235, 245, 255]) if generator.random() < 0.75 else np.array([25, 30, 45])
    panes = int(generator.integers(1, 4))
    for pane in range(panes):
        a = x + (pane + 0.06) * wide * metre / panes
        b = x + (pane + 0.94) * wide * metre / panes
        _box(canvas, a, (low + 0.07) * tall, b, (high - 0.07) * tall, day)
        _box(
            canvas,
            a,
            (low + 0.07) * tall,
            b,
            (low + generator.uniform(0.1, 0.6)) * tall,
            day * generator.uniform(0.4, 0.8, 3),
        )
    if generator.random() < 0.5:
        drape = _paint(generator, 0.0, 0.4, 0.25, 0.9)
        for a in (x - 0.25 * metre, x + (wide - 0.05) * metre):
            for stripe in range(5):
                _box(
                    canvas,
                    a + stripe * 0.06 * metre,
                    0.1 * tall,
                    a + (stripe + 1) * 0.06 * metre,
                    2.4 * tall,
                    drape * generator.uniform(0.75, 1.0),
                )
    return float(wide)


def _door(generator: Generator, canvas: Strip, x: float, metre: float, tall: float) -> float:
    """A door."""
    wide = generator.uniform(0.8, 1.0)
    paint = _paint(generator, 0.0, 0.6, 0.2, 0.95)
    _box(canvas, x - 0.07 * metre, 0, x + (wide + 0.07) * metre, 2.12 * tall, paint * 0.8)
    _box(canvas, x, 0, x + wide * metre, 2.05 * tall, paint)
    for low, high in ((0.2, 0.9), (1.05, 1.9)):
        _box(canvas, x + 0.14 * metre, low * tall, x + (wide - 0.14) * metre, high * tall, paint * 0.92)
    return float(wide)


def _paintings(generator: Generator, canvas: Strip, x: float, metre: float, tall: float) -> float:
    """A painting of a few dots."""
    wide = generator.uniform(0.3, 1.2)
    high = generator.uniform(0.3, 0.9)
    middle = generator.uniform(1.45, 1.7)
    _box(
        canvas,
        x,
        (middle - high / 2) * tall,
        x + wide * metre,
        (middle + high / 2) * tall,
        _paint(generator, 0, 0.5, 0.05, 0.9),
    )
    _box(
        canvas,
        x + 0.05 * metre,
        (middle - high / 2 + 0.05) * tall,
        x + (wide - 0.05) * metre,
        (middle + high / 2 - 0.05) * tall,
        _paint(generator, 0, 0.7, 0.2, 0.95),
    )
    for _ in range(4):
        a = x + generator.uniform(0.1, wide - 0.08) * metre
        b = (middle + generator.uniform(-0.4, 0.4) * high) * tall
        cv2.circle(
            canvas,
            (int(a), int(STRIP_HEIGHT - b)),
            int(generator.uniform(1, 6)),
            (*_paint(generator, 0, 0.8, 0.1, 0.95).tolist(), 255),
            -1,
        )
    return float(wide)


def _shelves(generator: Generator, canvas: Strip, x: float, metre: float, tall: float) -> float:
    """Shelves with books and boxes."""
    wide = generator.uniform(0.7, 2.4)
    high = generator.uniform(0.8, 2.1)
    wood = _paint(generator, 0.0, 0.5, 0.2, 0.9)
    _box(canvas, x, 0, x + wide * metre, high * tall, wood * 0.55)
    for level in np.arange(0.1, high - 0.15, 0.34):
        at = 0.03
        while at < wide - 0.1:
            thick = generator.uniform(0.03, 0.16)
            up = generator.uniform(0.12, 0.3)
            if generator.random() < 0.8:
                _box(
                    canvas,
                    x + at * metre,
                    level * tall,
                    x + (at + thick) * metre,
                    (level + up) * tall,
                    _paint(generator, 0, 0.7, 0.1, 0.9),
                )
            at += thick
        _box(canvas, x, (level - 0.03) * tall, x + wide * metre, level * tall, wood)
    return float(wide)


def _furniture(generator: Generator, canvas: Strip, x: float, metre: float, tall: float) -> float:
    """A sideboard, sofa or radiator, perhaps with a screen on it."""
    wide = generator.uniform(0.8, 2.2)
    high = generator.uniform(0.45, 0.95)
    paint = _paint(generator, 0.0, 0.6, 0.12, 0.9)
    _box(canvas, x, 0.08 * tall, x + wide * metre, high * tall, paint)
    for part in range(int(generator.integers(1, 5))):
        a = x + (part + 0.05) / 4 * wide * metre
        _box(
            canvas,
            a,
            0.14 * tall,
            a + 0.22 * wide * metre,
            (high - 0.06) * tall,
            paint * generator.uniform(0.8, 0.95),
        )
    if generator.random() < 0.4:
        _box(
            canvas,
            x + 0.2 * wide * metre,
            high * tall,
            x + 0.2 * wide * metre + 0.7 * metre,
            (high + 0.45) * tall,
            np.array([18, 18, 20]),
        )
    return float(wide)


def _plant(generator: Generator, canvas: Strip, x: float, metre: float, tall: float) -> float:
    """A potted plant."""
    wide = generator.uniform(0.3, 0.6)
    _box(canvas, x + wide * 0.3 * metre, 0, x + wide * 0.7 * metre, 0.3 * tall, _paint(generator, 0, 0.6, 0.2, 0.9))
    _blobs(generator, canvas, x + wide / 2 * metre, 0.8 * tall, 0.35 * metre, 18, (0.22, 0.36))
    return float(wide)


_WALL_FURNITURE = {_window: 0.24, _door: 0.14, _paintings: 0.22, _shelves: 0.16, _furniture: 0.14, _plant: 0.1}
"""What stands at a wall, with probabilities. Each paints itself from x (pixels) on and returns its width in metres;
`metre` and `tall` are pixels of a metre across and up.
"""


def _furnish_wall(generator: Generator, canvas: Strip, x: float, metre: float, tall: float) -> float:
    """Paint a random piece of furniture at a wall from x (pixels) on. Returns its width in metres."""
    kind = generator.choice(len(_WALL_FURNITURE), p=list(_WALL_FURNITURE.values()))
    return list(_WALL_FURNITURE)[kind](generator, canvas, x, metre, tall)


def _street(generator: Generator) -> Strip:
    """Houses, hedges, trees, cars and poles under a clear sky; painted top down."""
    canvas = np.zeros((STRIP_HEIGHT, STRIP_WIDTH, 4), np.uint8)
    metre = STRIP_WIDTH / (2 * np.pi * RADIUS)
    tall = STRIP_HEIGHT / (0.75 * RADIUS)
    far = _paint(generator, 0.05, 0.35, 0.3, 0.6, hue=generator.uniform(0.2, 0.6))
    for a in range(0, STRIP_WIDTH, 8):  # hills or far trees
        top = (1.2 + 2.2 * abs(np.sin(a * 0.006135 * 2) + 0.4 * generator.random())) * tall * RADIUS / 20
        _box(canvas, a, 0, a + 8, top, far * generator.uniform(0.85, 1.05))
    town = generator.random()
    x = 0.0
    while x < STRIP_WIDTH:
        if generator.random() < town:
            x += _house(generator, canvas, x, metre, tall)
        else:
            wide = generator.uniform(2, 6)
            for _ in range(int(generator.integers(1, 4))):
                _tree(generator, canvas, x + generator.uniform(0, wide) * metre, metre, tall)
            x += wide * metre
    if generator.random() < 0.5:
        hedge = (
            _paint(generator, 0.3, 0.6, 0.15, 0.4, hue=generator.uniform(0.2, 0.36))
            if generator.random() < 0.6
            else _paint(generator, 0, 0.3, 0.3, 0.9)
        )
        begin, end = sorted(generator.uniform(0, STRIP_WIDTH, 2))
        for a in np.arange(begin, end, 5):
            _box(canvas, a, 0, a + 6, (0.9 + 0.3 * generator.random()) * tall, hedge * generator.uniform(0.7, 1.1))
    for _ in range(int(generator.integers(0, 9))):
        _car(generator, canvas, generator.uniform(0, STRIP_WIDTH), metre, tall)
    for _ in range(int(generator.integers(0, 7))):
        x = generator.uniform(0, STRIP_WIDTH)
        _box(canvas, x, 0, x + 2, generator.uniform(2.5, 6) * tall, _paint(generator, 0, 0.3, 0.15, 0.6))
    return canvas


def _house(generator: Generator, canvas: Strip, x: float, metre: float, tall: float) -> float:
    """A house front with windows from x (pixels) on. Returns its width in pixels."""
    wide = generator.uniform(5, 14)
    storeys = int(generator.integers(1, 6))
    high = 3.1 * storeys
    wall = _paint(generator, 0.0, 0.45, 0.3, 0.92, hue=generator.uniform(0.0, 0.14))
    _box(canvas, x, 0, x + wide * metre, high * tall, wall)
    _box(
        canvas,
        x,
        (high - 0.3) * tall,
        x + wide * metre,
        (high + generator.uniform(0, 1.2)) * tall,
        _paint(generator, 0.1, 0.5, 0.15, 0.5, hue=0.04),
    )
    step = generator.uniform(1.4, 3.0)
    glass = _paint(generator, 0.05, 0.4, 0.12, 0.5, hue=0.58)
    shop = generator.random() < 0.5
    for storey in range(storeys):
        for a in np.arange(0.5, wide - 1.2, step):
            low = 3.1 * storey + (0.9 if storey or not shop else 0.3)
            up = 3.1 * storey + 2.4
            _box(
                canvas,
                x + (a - 0.08) * metre,
                (low - 0.08) * tall,
                x + (a + step * 0.5 + 0.08) * metre,
                (up + 0.08) * tall,
                np.clip(wall * 1.2, 0, 255),
            )
            _box(
                canvas,
                x + a * metre,
                low * tall,
                x + (a + step * 0.5) * metre,
                up * tall,
                glass * generator.uniform(0.6, 1.6),
            )
    if shop:
        _box(canvas, x, 2.6 * tall, x + wide * metre, 3.2 * tall, _paint(generator, 0.2, 0.9, 0.2, 0.9))
    return float(wide * metre)


def _tree(generator: Generator, canvas: Strip, x: float, metre: float, tall: float) -> None:
    high = generator.uniform(2.5, 7)
    hue = generator.uniform(0.17, 0.34)
    _box(
        canvas,
        x - 0.15 * metre,
        0,
        x + 0.15 * metre,
        high * 0.7 * tall,
        _paint(generator, 0.2, 0.5, 0.12, 0.35, hue=0.07),
    )
    _blobs(generator, canvas, x, high * 0.75 * tall, high * 0.3 * metre, 40, (hue, hue + 0.06))


def _car(generator: Generator, canvas: Strip, x: float, metre: float, tall: float) -> None:
    paint = _paint(generator, 0.0, 0.85, 0.1, 0.95)
    long = generator.uniform(3.8, 4.8)
    _box(canvas, x, 0.3 * tall, x + long * metre, 0.85 * tall, paint)
    _box(canvas, x + 0.7 * metre, 0.85 * tall, x + (long - 0.9) * metre, 1.45 * tall, np.array([40, 45, 52]))
    _box(canvas, x + 0.7 * metre, 1.38 * tall, x + (long - 0.9) * metre, 1.48 * tall, paint)
    for wheel in (0.8, long - 0.8):
        cv2.circle(
            canvas,
            (int(x + wheel * metre), int(STRIP_HEIGHT - 0.32 * tall)),
            max(1, int(0.33 * metre)),
            (14, 14, 15, 255),
            -1,
        )
    _box(canvas, x - 0.1 * metre, 0, x + (long + 0.1) * metre, 0.22 * tall, np.array([20, 20, 22]))


def _blobs(
    generator: Generator, canvas: Strip, x: float, y: float, size: float, count: int, hues: tuple[float, float]
) -> None:
    """A treetop around (x, y), in pixels from the left and upwards."""
    for _ in range(count):
        a, b = generator.normal(0, 0.5, 2) * size
        paint = _paint(generator, 0.3, 0.7, 0.15, 0.5, hue=generator.uniform(*hues))
        cv2.circle(
            canvas,
            (int(x + a), int(STRIP_HEIGHT - y - b)),
            max(1, int(size * generator.uniform(0.12, 0.4))),
            (*paint.tolist(), 255),
            -1,
        )


def _bricks(generator: Generator, canvas: Strip) -> None:
    brick = _paint(generator, 0.3, 0.6, 0.3, 0.65, hue=0.03)
    canvas[..., :3] = np.clip(
        brick * generator.uniform(0.8, 1.1, (STRIP_HEIGHT, STRIP_WIDTH // 2, 1)).repeat(2, 1), 0, 255
    )
    canvas[::4, :, :3] = np.clip(brick * 1.35, 0, 255)


def _box(canvas: Strip, left: float, low: float, right: float, high: float, paint: Float[np.ndarray, "3"]) -> None:
    """A filled rectangle; heights are above the floor, in pixels."""
    top = max(0, round(STRIP_HEIGHT - high))
    bottom = max(0, round(STRIP_HEIGHT - low))
    a = max(0, round(left))
    b = max(0, round(right))
    canvas[top:bottom, a:b, :3] = np.clip(paint, 0, 255).astype(np.uint8)
    canvas[top:bottom, a:b, 3] = 255


def _paint(
    generator: Generator, dull: float, vivid: float, dark: float, bright: float, *, hue: float | None = None
) -> Float[np.ndarray, "3"]:
    """A random colour, 0 to 255, roughly sRGB."""
    shade = generator.uniform(dark, bright)
    strength = generator.uniform(dull, vivid)
    turn = 6 * (generator.random() if hue is None else hue)
    pure = np.clip(np.abs((turn + np.array([0.0, 4.0, 2.0])) % 6 - 3) - 1, 0, 1)
    return 255 * shade * (1 - strength * (1 - pure))
