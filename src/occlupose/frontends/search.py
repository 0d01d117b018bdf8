"""Which part of an image to search next for new people. Ours."""

import cv2
import numpy as np
from jaxtyping import Float, Int16

from occlupose.frontends.detector import Tile, make_tiles, whole_image
from occlupose.pyramid import Pyramid

# sides of the tiles as fractions of the image's long side; the detector finds people of a third to four fifths of a
# tile's height (measured)
TILE_SIDES = (0.7, 0.45, 0.25)
THUMBNAIL = 160  # px, long side at most
MIN_CHANGE = 15  # grey levels: smaller differences are noise
AGE_WEIGHT = 0.003  # changed fraction of a tile that counts as much as its age alone


class TileScheduler:
    """Chooses tiles in turn, earlier if more of a tile changed since it was last searched.

    New people change the image. Changes inside the boxes of known people are not counted.
    """

    def __init__(self, width: int, height: int) -> None:
        self.tiles = [tile for side in TILE_SIDES for tile in make_tiles(width, height, share=side)]
        self._age = np.zeros(len(self.tiles), int)
        self._last_seen: list[Int16[np.ndarray, "y x"]] = []

    def all_tiles(self, image: Pyramid) -> list[Tile]:
        """The whole image and all tiles."""
        thumbnail, scale = _thumbnail(image)
        self._last_seen = [_part(thumbnail, tile, scale) for tile in self.tiles]
        return [whole_image(*image.size), *self.tiles]

    def next(self, image: Pyramid, known: Float[np.ndarray, "person 4"]) -> Tile:
        """The tile to search next.

        Arguments:
            known: bounding boxes of known people, px.
        """
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
