"""Which part of an image to search for new people, and when. Ours."""

from collections.abc import Sequence

import cv2
import numpy as np
from jaxtyping import Float, Int16

from occlupose.codecs.crops import radius
from occlupose.pyramid import Pyramid

Tile = tuple[float, float, float]  # left, top, side of a square of the image, px, pixel edges

THUMBNAIL = 160  # px, long side at most
MIN_CHANGE = 15  # grey levels: smaller differences are noise
AGE_WEIGHT = 0.003  # changed fraction of a tile that counts as much as its age alone
NEVER = 1_000_000  # age of a tile that has not been searched yet


def whole_image(width: int, height: int) -> Tile:
    """The square around the whole image, centred."""
    side = max(width, height)
    return ((width - side) / 2, (height - side) / 2, side)


def make_tiles(width: int, height: int, *, share: float = 0.5, overlap: float = 0.5) -> list[Tile]:
    """Overlapping squares that cover the image, with sides of `share` of its long side, row by row."""
    side = max(share * max(width, height), 1.0)
    return [(left, top, side) for top in _starts(height, side, overlap) for left in _starts(width, side, overlap)]


def context_tile(region: Float[np.ndarray, " 4"]) -> Tile:
    """The square around a region, twice its diameter wide."""
    side = 4 * max(float(radius(region)), 8.0)
    return (float(region[0]) - side / 2, float(region[1]) - side / 2, side)


def _starts(length: int, side: float, overlap: float) -> list[float]:
    if side >= length:
        return [(length - side) / 2]
    count = int(np.ceil((length - side) / (side * (1 - overlap)))) + 1
    return [float(start) for start in np.linspace(0, length - side, count)]


class TileScheduler:
    """Chooses tiles in turn, earlier if more of a tile changed since it was last searched.

    New people change the image. Changes inside the boxes of known people are not counted.

    Arguments:
        width, height: of the image, px.
        sides: of the tiles, as fractions of the image's long side.
        min_side: px; smaller tiles are made as large as this, and left out where the image is no larger.
        overlap: of neighbours, as a fraction of their side.
    """

    def __init__(
        self, width: int, height: int, *, sides: Sequence[float], min_side: int = 0, overlap: float = 0.5
    ) -> None:
        shares = sorted({max(side, min_side / max(width, height)) for side in sides}, reverse=True)
        self.tiles = [
            tile for share in shares if share < 1 for tile in make_tiles(width, height, share=share, overlap=overlap)
        ]
        self._age = np.zeros(len(self.tiles), int)
        self._last_seen: list[Int16[np.ndarray, "y x"]] = []

    def start(self, image: Pyramid, *, least: float = 0) -> list[Tile]:
        """The tiles to search first: the whole image and its tiles.

        Arguments:
            least: side, as a fraction of the image's long side; smaller tiles are left to `next`, which takes them
                before others.
        """
        thumbnail, scale = _thumbnail(image)
        self._last_seen = [_part(thumbnail, tile, scale) for tile in self.tiles]
        now = [tile for tile in self.tiles if tile[2] >= least * max(image.size)]
        self._age[len(now) :] = NEVER
        return [whole_image(*image.size), *now]

    @property
    def behind(self) -> bool:
        """Whether there are tiles that have not been searched yet."""
        return bool((self._age >= NEVER).any())

    def next(self, image: Pyramid, known: Float[np.ndarray, "person 4"]) -> Tile:
        """The tile to search next; the whole image, if it has none.

        Arguments:
            known: bounding boxes of known people, px.
        """
        if not self.tiles:
            return whole_image(*image.size)
        thumbnail, scale = _thumbnail(image)
        now = [_part(thumbnail, tile, scale) for tile in self.tiles]
        unknown = np.ones(thumbnail.shape, bool)
        for left, top, right, bottom in (known * scale).astype(int):
            unknown[max(top, 0) : max(bottom + 1, 0), max(left, 0) : max(right + 1, 0)] = False
        changed = []
        for part, then, tile in zip(now, self._last_seen, self.tiles, strict=True):
            changed.append(((np.abs(part - then) > MIN_CHANGE) & _part(unknown, tile, scale)).mean())
        self._age += 1
        chosen = int(np.argmax(self._age * (np.array(changed) + AGE_WEIGHT)))
        self._age[chosen] = 0
        self._last_seen[chosen] = now[chosen]
        return self.tiles[chosen]


def _thumbnail(image: Pyramid) -> tuple[Int16[np.ndarray, "y x"], float]:
    """A small grey copy, slightly blurred against noise, and its scale."""
    scale = min(THUMBNAIL / max(image.size), 1.0)
    width = max(round(image.size[0] * scale), 1)
    height = max(round(image.size[1] * scale), 1)
    small = image.crop(np.array([[scale, 0, 0], [0, scale, 0]]), width, height)
    return cv2.blur(small[..., 1], (3, 3)).astype(np.int16), scale


def _part(image: np.ndarray, tile: Tile, scale: float) -> np.ndarray:
    """The tile's part of the thumbnail, at least one pixel."""
    left = max(int(tile[0] * scale), 0)
    top = max(int(tile[1] * scale), 0)
    right = max(int((tile[0] + tile[2]) * scale), left + 1)
    bottom = max(int((tile[1] + tile[2]) * scale), top + 1)
    return image[top:bottom, left:right]
