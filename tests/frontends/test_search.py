import numpy as np
import pytest

from occlupose.frontends.search import TileScheduler, context_tile, make_tiles, whole_image
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


@pytest.mark.parametrize("size", [(640, 480), (1080, 1920), (1, 1), (37, 1000), (500, 500)])
@pytest.mark.parametrize("share", [0.7, 0.45, 0.25])
def test_tiles_cover_the_image_and_overlap(size, share):
    views = np.array(make_tiles(*size, share=share))
    assert len({tuple(view) for view in views}) == len(views)
    side = views[0, 2]
    for axis in (0, 1):
        starts = np.unique(views[:, axis])
        assert starts.min() <= 0
        assert starts.max() + side >= size[axis] - 1e-9
        assert (np.diff(starts) <= side * 0.5 + 1e-9).all()


def test_whole_and_around():
    assert whole_image(640, 480) == (0, -80, 640)
    assert context_tile(np.array([100.0, 50.0, 100.0, 30.0])) == (60, 10, 80)


@pytest.mark.parametrize(
    ("size", "sides"),
    [((300, 200), []), ((480, 480), []), ((640, 480), [480]), ((1920, 1080), [960, 480]), ((4000, 100), [2000, 1000])],
)
def test_no_tile_is_smaller_than_the_detector_needs(size, sides):
    search = TileScheduler(*size, sides=(0.5, 0.25), min_side=480)
    assert sorted({side for _, _, side in search.tiles}, reverse=True) == pytest.approx(sides)


def test_without_tiles_the_whole_image_is_next():
    search = TileScheduler(300, 200, sides=(0.5,), min_side=480)
    image = pyramid_of(width=300, height=200)
    assert search.start(image) == [whole_image(300, 200)]
    assert search.next(image, EMPTY) == whole_image(300, 200)


def test_where_nothing_changes_every_tile_has_its_turn():
    search = TileScheduler(640, 480, sides=(0.7, 0.45, 0.25))
    search.start(pyramid_of())
    looked = [search.next(pyramid_of(), EMPTY) for _ in search.tiles]
    assert sorted(looked) == sorted(search.tiles)


def test_a_newcomer_is_estimated_soon():
    search = TileScheduler(640, 480, sides=(0.7, 0.45, 0.25))
    assert len(search.start(pyramid_of())) == len(search.tiles) + 1 > 20
    for _ in range(5):
        search.next(pyramid_of(), EMPTY)
    assert any(holds(search.next(pyramid_of((500, 300)), EMPTY), 512, 330) for _ in range(2))


def test_known_people_are_no_news():
    search = TileScheduler(640, 480, sides=(0.7, 0.45, 0.25))
    search.start(pyramid_of())
    known = np.array([[480.0, 280.0, 545.0, 380.0]])
    looked = [search.next(pyramid_of((500, 300)), known) for _ in search.tiles]
    assert sorted(looked) == sorted(search.tiles)


@pytest.mark.parametrize("size", [(1, 1), (1000, 37), (2, 3000)])
def test_odd_sizes(size):
    search = TileScheduler(*size, sides=(0.5, 0.25))
    odd = Pyramid(np.zeros((size[1], size[0], 3), np.uint8))
    search.start(odd)
    assert search.next(odd, EMPTY) in search.tiles


def test_tiles_left_out_at_first_come_before_the_others():
    search = TileScheduler(640, 480, sides=(0.5, 0.25))
    first = search.start(pyramid_of(), least=0.5)
    left = [tile for tile in search.tiles if tile[2] == 160]
    assert first == [whole_image(640, 480), *(tile for tile in search.tiles if tile[2] == 320)]
    next_ones = []
    while search.behind:
        next_ones.append(search.next(pyramid_of(), EMPTY))
    assert sorted(next_ones) == sorted(left)
