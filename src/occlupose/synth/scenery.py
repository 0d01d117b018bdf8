"""Random surroundings for the background of synthetic images: a strip of walls, or of houses and trees. Ours."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import cv2
import numpy as np
from jaxtyping import Float, UInt8
from numpy.random import Generator, default_rng

STRIP_WIDTH = 1024
STRIP_HEIGHT = 128
"""Pixels of a strip. Indoors it is 24 m long and as high as the room, outdoors it covers the full circle."""

STRIP_LENGTH = 24.0
"""Length of a strip indoors, metres."""

STOREY = 2.8
RADIUS = 20.0
"""Metres: height of the room, and distance of outdoor surroundings, for which strips are painted."""

Strip = UInt8[np.ndarray, "128 1024 4"]
RGBColour = Float[np.ndarray, "3"]


def paint_surroundings(number: int, indoor: bool) -> Strip:
    """Paint a strip: square roots of linear colours, and coverage of the sky; the first row is at the floor."""
    generator = default_rng([number, int(indoor)])
    return np.ascontiguousarray((_walls(generator) if indoor else _street(generator))[::-1])


@dataclass(frozen=True)
class _Painter:
    """Paints on a strip, in metres to the right of a point on the floor and above it.

    Attributes:
        canvas: the strip, top row first.
        across, up: pixels per metre.
        x: the point, pixels from the left.
    """

    generator: Generator
    canvas: Strip
    across: float
    up: float
    x: float = 0.0

    def uniform(self, low: float, high: float) -> float:
        return float(self.generator.uniform(low, high))

    def colour(
        self, min_saturation: float, max_saturation: float, dark: float, bright: float, *, hue: float | None = None
    ) -> RGBColour:
        return _random_colour(self.generator, min_saturation, max_saturation, dark, bright, hue=hue)

    def box(self, left: float, low: float, right: float, high: float, colour: RGBColour) -> None:
        """A filled rectangle."""
        _fill(
            self.canvas,
            self.x + left * self.across,
            low * self.up,
            self.x + right * self.across,
            high * self.up,
            colour,
        )

    def disc(self, x: float, y: float, radius: int, colour: RGBColour) -> None:
        """A filled circle; its radius is in pixels."""
        centre = (int(self.x + x * self.across), int(STRIP_HEIGHT - y * self.up))
        cv2.circle(self.canvas, centre, radius, (*colour.tolist(), 255), -1)

    def foliage(self, x: float, y: float, size: float, count: int, hues: tuple[float, float]) -> None:
        """A treetop around a point, of overlapping discs."""
        for _ in range(count):
            right, above = self.generator.normal(0, 0.5, 2) * (size * self.across)
            colour = self.colour(0.3, 0.7, 0.15, 0.5, hue=self.uniform(*hues))
            centre = (int(self.x + x * self.across + right), int(STRIP_HEIGHT - y * self.up - above))
            radius = max(1, int(size * self.across * self.uniform(0.12, 0.4)))
            cv2.circle(self.canvas, centre, radius, (*colour.tolist(), 255), -1)


def _walls(generator: Generator) -> Strip:
    """Walls with skirting, windows, doors, paintings, shelves and curtains; top row first."""
    wall = _random_colour(generator, 0.0, 0.16 if generator.random() < 0.85 else 0.45, 0.5, 0.97)
    canvas = np.empty((STRIP_HEIGHT, STRIP_WIDTH, 4), np.uint8)
    canvas[..., :3] = wall
    canvas[..., 3] = 255
    painter = _Painter(generator, canvas, STRIP_WIDTH / STRIP_LENGTH, STRIP_HEIGHT / STOREY)
    if generator.random() < 0.2:  # panelling, or another colour below
        canvas[int(STRIP_HEIGHT - 1.1 * painter.up) :, :, :3] = painter.colour(0.0, 0.4, 0.3, 0.9)
    if generator.random() < 0.12:
        _bricks(generator, canvas)
    left = generator.uniform(0, 1.5)
    while left < STRIP_LENGTH - 1:
        width = _furnish_wall(replace(painter, x=left * painter.across))
        left += width + generator.exponential(0.8) + 0.1
    skirting = canvas[STRIP_HEIGHT - max(2, int(0.1 * painter.up)) :, :, :3]
    skirting[:] = (0.5 * painter.colour(0.0, 0.3, 0.3, 0.95) + 0.5 * skirting).astype(np.uint8)
    blotches = generator.random((3, 12), np.float32)
    shade = 0.8 + 0.2 * cv2.resize(blotches, (STRIP_WIDTH, STRIP_HEIGHT), interpolation=cv2.INTER_CUBIC)
    shade *= np.linspace(1.05, 0.8, STRIP_HEIGHT, dtype=np.float32)[:, None]
    canvas[..., :3] = np.clip(canvas[..., :3] * shade[..., None], 0, 255).astype(np.uint8)
    return canvas


def _window(painter: _Painter) -> float:
    """A window, perhaps with curtains."""
    generator = painter.generator
    width = painter.uniform(0.8, 2.2)
    low = painter.uniform(0.5, 1.0)
    high = painter.uniform(1.9, 2.3)
    painter.box(0, low, width, high, painter.colour(0, 0.2, 0.5, 0.98))
    sky = np.array([235, 245, 255]) if generator.random() < 0.75 else np.array([25, 30, 45])
    panes = int(generator.integers(1, 4))
    for pane in range(panes):
        left = (pane + 0.06) * width / panes
        right = (pane + 0.94) * width / panes
        painter.box(left, low + 0.07, right, high - 0.07, sky)
        horizon = low + painter.uniform(0.1, 0.6)
        painter.box(left, low + 0.07, right, horizon, sky * generator.uniform(0.4, 0.8, 3))
    if generator.random() < 0.5:
        curtain = painter.colour(0.0, 0.4, 0.25, 0.9)
        for left in (-0.25, width - 0.05):
            for fold in range(5):
                shade = painter.uniform(0.75, 1.0)
                painter.box(left + 0.06 * fold, 0.1, left + 0.06 * (fold + 1), 2.4, curtain * shade)
    return width


def _door(painter: _Painter) -> float:
    """A door."""
    width = painter.uniform(0.8, 1.0)
    colour = painter.colour(0.0, 0.6, 0.2, 0.95)
    painter.box(-0.07, 0, width + 0.07, 2.12, colour * 0.8)
    painter.box(0, 0, width, 2.05, colour)
    for low, high in ((0.2, 0.9), (1.05, 1.9)):
        painter.box(0.14, low, width - 0.14, high, colour * 0.92)
    return width


def _painting(painter: _Painter) -> float:
    """A painting of a few dots."""
    width = painter.uniform(0.3, 1.2)
    height = painter.uniform(0.3, 0.9)
    middle = painter.uniform(1.45, 1.7)
    low = middle - height / 2
    high = middle + height / 2
    painter.box(0, low, width, high, painter.colour(0, 0.5, 0.05, 0.9))
    painter.box(0.05, low + 0.05, width - 0.05, high - 0.05, painter.colour(0, 0.7, 0.2, 0.95))
    for _ in range(4):
        x = painter.uniform(0.1, width - 0.08)
        y = middle + painter.uniform(-0.4, 0.4) * height
        radius = int(painter.uniform(1, 6))
        painter.disc(x, y, radius, painter.colour(0, 0.8, 0.1, 0.95))
    return width


def _shelves(painter: _Painter) -> float:
    """Shelves with books and boxes."""
    width = painter.uniform(0.7, 2.4)
    height = painter.uniform(0.8, 2.1)
    wood = painter.colour(0.0, 0.5, 0.2, 0.9)
    painter.box(0, 0, width, height, wood * 0.55)
    for board in np.arange(0.1, height - 0.15, 0.34):
        left = 0.03
        while left < width - 0.1:
            thickness = painter.uniform(0.03, 0.16)
            top = board + painter.uniform(0.12, 0.3)
            if painter.generator.random() < 0.8:
                painter.box(left, board, left + thickness, top, painter.colour(0, 0.7, 0.1, 0.9))
            left += thickness
        painter.box(0, board - 0.03, width, board, wood)
    return width


def _furniture(painter: _Painter) -> float:
    """A sideboard, sofa or radiator, perhaps with a screen on it."""
    width = painter.uniform(0.8, 2.2)
    height = painter.uniform(0.45, 0.95)
    colour = painter.colour(0.0, 0.6, 0.12, 0.9)
    painter.box(0, 0.08, width, height, colour)
    for part in range(int(painter.generator.integers(1, 5))):
        left = (part + 0.05) / 4 * width
        painter.box(left, 0.14, left + 0.22 * width, height - 0.06, colour * painter.uniform(0.8, 0.95))
    if painter.generator.random() < 0.4:
        painter.box(0.2 * width, height, 0.2 * width + 0.7, height + 0.45, np.array([18, 18, 20]))
    return width


def _plant(painter: _Painter) -> float:
    """A potted plant."""
    width = painter.uniform(0.3, 0.6)
    painter.box(0.3 * width, 0, 0.7 * width, 0.3, painter.colour(0, 0.6, 0.2, 0.9))
    painter.foliage(width / 2, 0.8, 0.35, 18, (0.22, 0.36))
    return width


_WALL_FURNITURE: dict[Callable[[_Painter], float], float] = {
    _window: 0.24,
    _door: 0.14,
    _painting: 0.22,
    _shelves: 0.16,
    _furniture: 0.14,
    _plant: 0.1,
}
"""What can stand at a wall, with probabilities. Each paints itself and returns its width in metres."""


def _furnish_wall(painter: _Painter) -> float:
    """Paint something random at a wall. Returns its width in metres."""
    kind = painter.generator.choice(len(_WALL_FURNITURE), p=list(_WALL_FURNITURE.values()))
    return list(_WALL_FURNITURE)[kind](painter)


def _street(generator: Generator) -> Strip:
    """Houses, hedges, trees, cars and poles under a clear sky; top row first."""
    canvas = np.zeros((STRIP_HEIGHT, STRIP_WIDTH, 4), np.uint8)
    painter = _Painter(generator, canvas, STRIP_WIDTH / (2 * np.pi * RADIUS), STRIP_HEIGHT / (0.75 * RADIUS))
    _hills(painter)
    town = generator.random()
    x = 0.0
    while x < STRIP_WIDTH:
        if generator.random() < town:
            x += _house(replace(painter, x=x)) * painter.across
        else:
            width = painter.uniform(2, 6)
            for _ in range(int(generator.integers(1, 4))):
                _tree(replace(painter, x=x + painter.uniform(0, width) * painter.across))
            x += width * painter.across
    if generator.random() < 0.5:
        _hedge(painter)
    for _ in range(int(generator.integers(0, 9))):
        _car(replace(painter, x=painter.uniform(0, STRIP_WIDTH)))
    for _ in range(int(generator.integers(0, 7))):
        x = painter.uniform(0, STRIP_WIDTH)
        height = painter.uniform(2.5, 6) * painter.up
        _fill(canvas, x, 0, x + 2, height, painter.colour(0, 0.3, 0.15, 0.6))
    return canvas


def _hills(painter: _Painter) -> None:
    """Hills or distant trees along the whole strip."""
    colour = painter.colour(0.05, 0.35, 0.3, 0.6, hue=painter.uniform(0.2, 0.6))
    for left in range(0, STRIP_WIDTH, 8):
        height = 1.2 + 2.2 * abs(np.sin(left * 0.006135 * 2) + 0.4 * painter.generator.random())
        top = height * painter.up * RADIUS / 20
        _fill(painter.canvas, left, 0, left + 8, top, colour * painter.uniform(0.85, 1.05))


def _house(painter: _Painter) -> float:
    """A house front with windows. Returns its width in metres."""
    width = painter.uniform(5, 14)
    storeys = int(painter.generator.integers(1, 6))
    height = 3.1 * storeys
    wall = painter.colour(0.0, 0.45, 0.3, 0.92, hue=painter.uniform(0.0, 0.14))
    painter.box(0, 0, width, height, wall)
    ridge = height + painter.uniform(0, 1.2)
    painter.box(0, height - 0.3, width, ridge, painter.colour(0.1, 0.5, 0.15, 0.5, hue=0.04))
    step = painter.uniform(1.4, 3.0)
    glass = painter.colour(0.05, 0.4, 0.12, 0.5, hue=0.58)
    frame = np.clip(wall * 1.2, 0, 255)
    shop = painter.generator.random() < 0.5
    for storey in range(storeys):
        for left in np.arange(0.5, width - 1.2, step):
            low = 3.1 * storey + (0.9 if storey or not shop else 0.3)
            high = 3.1 * storey + 2.4
            right = left + step * 0.5
            painter.box(left - 0.08, low - 0.08, right + 0.08, high + 0.08, frame)
            painter.box(left, low, right, high, glass * painter.uniform(0.6, 1.6))
    if shop:
        painter.box(0, 2.6, width, 3.2, painter.colour(0.2, 0.9, 0.2, 0.9))
    return width


def _tree(painter: _Painter) -> None:
    height = painter.uniform(2.5, 7)
    hue = painter.uniform(0.17, 0.34)
    painter.box(-0.15, 0, 0.15, height * 0.7, painter.colour(0.2, 0.5, 0.12, 0.35, hue=0.07))
    painter.foliage(0, height * 0.75, height * 0.3, 40, (hue, hue + 0.06))


def _hedge(painter: _Painter) -> None:
    """A hedge or a fence along a part of the strip."""
    generator = painter.generator
    if generator.random() < 0.6:
        colour = painter.colour(0.3, 0.6, 0.15, 0.4, hue=painter.uniform(0.2, 0.36))
    else:
        colour = painter.colour(0, 0.3, 0.3, 0.9)
    begin, end = sorted(generator.uniform(0, STRIP_WIDTH, 2))
    for left in np.arange(begin, end, 5):
        height = (0.9 + 0.3 * generator.random()) * painter.up
        _fill(painter.canvas, left, 0, left + 6, height, colour * painter.uniform(0.7, 1.1))


def _car(painter: _Painter) -> None:
    colour = painter.colour(0.0, 0.85, 0.1, 0.95)
    length = painter.uniform(3.8, 4.8)
    painter.box(0, 0.3, length, 0.85, colour)
    painter.box(0.7, 0.85, length - 0.9, 1.45, np.array([40, 45, 52]))
    painter.box(0.7, 1.38, length - 0.9, 1.48, colour)
    for wheel in (0.8, length - 0.8):
        painter.disc(wheel, 0.32, max(1, int(0.33 * painter.across)), np.array([14, 14, 15]))
    painter.box(-0.1, 0, length + 0.1, 0.22, np.array([20, 20, 22]))


def _bricks(generator: Generator, canvas: Strip) -> None:
    brick = _random_colour(generator, 0.3, 0.6, 0.3, 0.65, hue=0.03)
    shade = generator.uniform(0.8, 1.1, (STRIP_HEIGHT, STRIP_WIDTH // 2, 1)).repeat(2, 1)
    canvas[..., :3] = np.clip(brick * shade, 0, 255)
    canvas[::4, :, :3] = np.clip(brick * 1.35, 0, 255)


def _fill(canvas: Strip, left: float, low: float, right: float, high: float, colour: RGBColour) -> None:
    """A filled rectangle, in pixels from the left and above the floor."""
    rows = slice(max(0, round(STRIP_HEIGHT - high)), max(0, round(STRIP_HEIGHT - low)))
    columns = slice(max(0, round(left)), max(0, round(right)))
    canvas[rows, columns, :3] = np.clip(colour, 0, 255).astype(np.uint8)
    canvas[rows, columns, 3] = 255


def _random_colour(
    generator: Generator,
    min_saturation: float,
    max_saturation: float,
    dark: float,
    bright: float,
    *,
    hue: float | None = None,
) -> RGBColour:
    """A random colour of some range of saturation and brightness, 0 to 255, roughly sRGB."""
    brightness = generator.uniform(dark, bright)
    saturation = generator.uniform(min_saturation, max_saturation)
    sixth = 6 * (generator.random() if hue is None else hue)
    pure = np.clip(np.abs((sixth + np.array([0.0, 4.0, 2.0])) % 6 - 3) - 1, 0, 1)
    return 255 * brightness * (1 - saturation * (1 - pure))
