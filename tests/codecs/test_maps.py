import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from occlupose.codecs.crops import Crop
from occlupose.codecs.maps import highest_cells, pool_maps, unflip
from occlupose.codecs.msra import MSRA
from occlupose.codecs.udp import UDP
from occlupose.errors import OccluposeError
from occlupose.skeletons import COCO17

CODECS = [MSRA(), UDP(), MSRA(Crop(192, 256)), UDP(Crop(192, 256)), MSRA(stride=1, sigma=8.0)]
every_codec = pytest.mark.parametrize(
    "codec", CODECS, ids=lambda codec: f"{type(codec).__name__}-{codec.crop.grid}-{codec.stride}"
)


def joints(*xy):
    return torch.tensor([xy], dtype=torch.float32), torch.ones(1, len(xy))


@every_codec
def test_a_joint_without_a_weight_has_an_empty_map_and_does_not_matter(codec):
    xy, _ = joints((100.0, 100.0), (90.0, 90.0), (float("nan"), 3.0), (float("nan"), float("nan")))
    maps, kept = codec.encode(xy, torch.tensor([[1.0, 0.0, 1.0, 0.0]]))
    assert kept.tolist() == [[1, 0, 0, 0]]
    assert maps.shape == (1, 4, *codec.shape) and maps.dtype == torch.float32
    assert maps[0, 0].max() > 0.9 and not maps[0, 1:].any()
    xy[0, 1] = float("nan")
    assert torch.equal(codec.encode(xy, torch.tensor([[1.0, 0.0, 1.0, 0.0]]))[0], maps)


@every_codec
def test_joint_weights_do_not_change(codec):
    xy, _ = joints((100.0, 100.0), (90.0, 90.0))
    assert codec.encode(xy, torch.tensor([[0.25, 1.5]]))[1].tolist() == [[0.25, 1.5]]


@every_codec
def test_a_gaussian_that_does_not_touch_the_map_has_no_weight(codec):
    """The last place from which the cut-off Gaussian touches the outermost cell, and the first from which it does
    not.
    """
    (step, _), (first, _) = codec.crop.cells(*codec.shape[::-1])
    reach = round(3 * codec.sigma)
    last = codec.shape[1] - 1
    cells = [-reach - 0.25, -reach - 0.75, last + reach + 0.25, last + reach + 0.75]
    xy, weight = joints(*((cell * step + first, 100.0) for cell in cells))
    maps, kept = codec.encode(xy, weight)
    assert kept.tolist() == [[1, 0, 1, 0]]
    assert (maps.amax((-2, -1)) > 0).tolist() == [[True, False, True, False]]


@every_codec
def test_any_number_of_joints_and_people(codec):
    xy = torch.rand(2, 3, 5, 2, generator=torch.Generator().manual_seed(0)) * 150 + 20
    maps, weight = codec.encode(xy, torch.ones(2, 3, 5))
    assert maps.shape == (2, 3, 5, *codec.shape) and weight.shape == (2, 3, 5)
    decoded, score = codec.decode(maps)
    assert decoded.shape == (2, 3, 5, 2) and score.shape == (2, 3, 5)
    one, alone = codec.encode(xy[1, 2], torch.ones(5))
    assert torch.equal(one, maps[1, 2]) and torch.equal(alone, weight[1, 2])
    torch.testing.assert_close(codec.decode(one)[0], decoded[1, 2], atol=1e-3, rtol=0)
    nobody, none = codec.encode(torch.zeros(0, 17, 2), torch.zeros(0, 17))
    assert nobody.shape == (0, 17, *codec.shape) and none.shape == (0, 17)
    assert codec.decode(nobody)[0].shape == (0, 17, 2)


@every_codec
def test_outputs_are_on_the_device_of_the_inputs(codec):
    """A device without numbers: what was left on the processor does not mix with it."""
    maps, weight = codec.encode(torch.zeros(2, 17, 2, device="meta"), torch.ones(2, 17, device="meta"))
    decoded, score = codec.decode(maps)
    assert {tensor.device.type for tensor in (maps, weight, decoded, score)} == {"meta"}


@every_codec
def test_zero_maps_have_a_position_and_no_score(codec):
    xy, score = codec.decode(torch.zeros(1, 17, *codec.shape))
    assert xy.isfinite().all() and not score.any()


@pytest.mark.parametrize("codec", [MSRA(), UDP()], ids=["msra", "udp"])
def test_half_precision_is_decoded_as_it_stands(codec):
    maps = codec.encode(*joints((100.3, 80.7), (30.0, 50.0)))[0].bfloat16()
    with torch.autocast("cpu", torch.bfloat16):
        mixed = codec.decode(maps)
    for here, there in zip(mixed, codec.decode(maps.float()), strict=True):
        assert here.dtype == torch.float32 and torch.equal(here, there)


@given(st.integers(0, 2**32 - 1), st.integers(1, 5), st.integers(1, 6))
def test_the_highest_cell(seed, height, width):
    # with ties
    maps = torch.randint(0, 4, (2, 3, height, width), generator=torch.Generator().manual_seed(seed)).float()
    x, y, value = highest_cells(maps)
    for place in np.ndindex(2, 3):
        row, column = np.unravel_index(maps[place].numpy().argmax(), (height, width))
        assert (x[place], y[place], value[place]) == (column, row, maps[place].max())


def test_maps_of_a_mirrored_image_are_mirrored_back_with_sides_swapped():
    maps = torch.arange(2 * 17 * 5 * 4.0).view(2, 17, 5, 4)
    back = unflip(maps, COCO17.mirror)
    left, right = COCO17.index("left_wrist", "right_wrist")
    for x in range(4):
        assert torch.equal(back[:, left, :, x], maps[:, right, :, 3 - x])
    assert torch.equal(back[:, 0], maps[:, 0].flip(-1))
    shifted = unflip(maps, COCO17.mirror, shift=True)
    assert torch.equal(shifted[..., 1:], back[..., :-1]) and torch.equal(shifted[..., 0], back[..., 0])


@given(
    st.floats(40, 150),
    st.floats(40, 200),
    st.sampled_from([MSRA(), UDP(), UDP(Crop(192, 256)), MSRA(stride=1, sigma=8.0)]),
)
def test_joints_of_a_mirrored_image_are_found_at_their_positions(x, y, codec):
    """Exactly on grids that are symmetric; but for the quarter of a cell that a whole cell's shift leaves on that of
    Simple Baselines.
    """
    pair = COCO17.subset(["left_wrist", "right_wrist"])
    xy, weight = joints((x, y), (x + 10, y - 20))
    mirrored = torch.stack([codec.crop.width - 1 - xy[..., 0], xy[..., 1]], -1)[:, list(pair.mirror)]
    maps = unflip(codec.encode(mirrored, weight)[0], pair.mirror, codec.flip_shift)
    found = codec.decode(maps)[0]
    error = 0.01 if isinstance(codec, UDP) else codec.stride * (0.5 + 0.25 * codec.flip_shift) + 0.01
    assert (found - xy).abs().max() <= error


def test_only_the_grid_of_simple_baselines_wants_a_shift():
    assert [codec.flip_shift for codec in CODECS] == [True, False, False, False, False]


def test_pooled_targets_are_means_of_the_cells_they_cover():
    maps = torch.arange(2 * 3 * 8 * 12.0).view(2, 3, 8, 12).sqrt()
    coarse = pool_maps(maps, 4, 3)
    assert coarse.shape == (2, 3, 4, 3)
    torch.testing.assert_close(coarse[1, 2, 3, 1], maps[1, 2, 6:8, 4:8].mean())
    assert torch.equal(pool_maps(maps, 8, 12), maps) and torch.equal(pool_maps(maps[0], 4, 3), coarse[0])


@every_codec
def test_impossible_codecs_are_refused(codec):
    kind = type(codec)
    for stride in (0, 5):
        with pytest.raises(OccluposeError, match=r"its sides must be multiples of the stride, \d$"):
            kind(Crop(192, 256), stride)
    with pytest.raises(OccluposeError, match=r"^sigma 0: must be more than 0 cells$"):
        kind(sigma=0.0)
