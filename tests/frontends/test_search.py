import numpy as np
import pytest

from occlupose.frontends.search import TileScheduler
from occlupose.pyramid import Pyramid

EMPTY = np.zeros((0, 4))


def pyramid_of(*spots, width=640, height=480):
    image = np.full((height, width, 3), 90, np.uint8)
    for x, y in spots:
        image[y : y + 60, x : x + 25] = 220
    return Pyramid(image)


def holds(tile, x, y):
    left, top, side = tile
    return left <= x < left + side and top <= y < top + side


def test_where_nothing_changes_every_tile_has_its_turn():
    search = TileScheduler(640, 480)
    search.all_tiles(pyramid_of())
    looked = [search.next(pyramid_of(), EMPTY) for _ in search.tiles]
    assert sorted(looked) == sorted(search.tiles)


def test_a_newcomer_is_estimated_soon():
    search = TileScheduler(640, 480)
    assert len(search.all_tiles(pyramid_of())) == len(search.tiles) + 1 > 20
    for _ in range(5):
        search.next(pyramid_of(), EMPTY)
    assert any(holds(search.next(pyramid_of((500, 300)), EMPTY), 512, 330) for _ in range(2))


def test_known_people_are_no_news():
    search = TileScheduler(640, 480)
    search.all_tiles(pyramid_of())
    known = np.array([[480.0, 280.0, 545.0, 380.0]])
    looked = [search.next(pyramid_of((500, 300)), known) for _ in search.tiles]
    assert sorted(looked) == sorted(search.tiles)


@pytest.mark.parametrize("size", [(1, 1), (1000, 37), (2, 3000)])
def test_odd_sizes(size):
    search = TileScheduler(*size)
    odd = Pyramid(np.zeros((size[1], size[0], 3), np.uint8))
    search.all_tiles(odd)
    assert search.next(odd, EMPTY) in search.tiles
