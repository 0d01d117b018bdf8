"""Which part of a picture to search next for people who are not known yet. Ours."""

import cv2
import numpy as np
from jaxtyping import Float, Int16

from occlupose.frontends.detector import View, tiles, whole
from occlupose.pyramid import Pyramid

# Of the image's long side: sides of the tiles. The detector finds people as tall as a third to four fifths of a view
# (measured).
SHARES = (0.7, 0.45, 0.25)
THUMBNAIL = 160  # px, long side at most
CHANGE = 15  # grey levels: smaller differences are noise
REST = 0.003  # changed share of a tile that makes it as urgent as its age alone does


class Search:
    """Takes the tiles of a picture in turn, the sooner the more of a tile changed since it was last searched.

    A new person is a change. Where people are known already change says nothing, and is not counted.
    """

    def __init__(self, width: int, height: int) -> None:
        self.tiles = [tile for share in SHARES for tile in tiles(width, height, share=share)]
        self._age = np.zeros(len(self.tiles), int)
        self._remembered: list[Int16[np.ndarray, "y x"]] = []

    def everything(self, picture: Pyramid) -> list[View]:
        """The whole picture and all tiles."""
        thumbnail, scale = _thumbnail(picture)
        self._remembered = [_part(thumbnail, tile, scale) for tile in self.tiles]
        return [whole(*picture.size), *self.tiles]

    def next(self, picture: Pyramid, known: Float[np.ndarray, "person 4"]) -> View:
        """The tile to search now.

        Arguments:
            known: boxes of known people, px.
        """
        thumbnail, scale = _thumbnail(picture)
        now = [_part(thumbnail, tile, scale) for tile in self.tiles]
        unknown = np.ones(thumbnail.shape, bool)
        for left, top, right, bottom in (known * scale).astype(int):
            unknown[max(top, 0) : max(bottom + 1, 0), max(left, 0) : max(right + 1, 0)] = False
        compared = zip(now, self._remembered, self.tiles, strict=True)
        changed = [
            ((np.abs(part - then) > CHANGE) & _part(unknown, tile, scale)).mean() for part, then, tile in compared
        ]
        self._age += 1
        chosen = int(np.argmax(self._age * (np.array(changed) + REST)))
        self._age[chosen] = 0
        self._remembered[chosen] = now[chosen]
        return self.tiles[chosen]


def _thumbnail(picture: Pyramid) -> tuple[Int16[np.ndarray, "y x"], float]:
    """A small grey copy, a little blurred against noise, and its scale."""
    scale = min(THUMBNAIL / max(picture.size), 1.0)
    width, height = (max(round(side * scale), 1) for side in picture.size)
    small = picture.crop(np.array([[scale, 0, 0], [0, scale, 0]]), width, height)
    return cv2.blur(small[..., 1], (3, 3)).astype(np.int16), scale


def _part(image: np.ndarray, tile: View, scale: float) -> np.ndarray:
    """The tile's part of the thumbnail, one pixel at least."""
    left, top = (max(int(start * scale), 0) for start in tile[:2])
    return image[
        top : max(int((tile[1] + tile[2]) * scale), top + 1), left : max(int((tile[0] + tile[2]) * scale), left + 1)
    ]
