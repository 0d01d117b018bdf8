import numpy as np
import pytest
import torch

from composite_fields import batch_of, perfect_fields
from occlupose.codecs.composite_fields import (
    LIMB_REACH,
    MIN_SCALE,
    IntensityField,
    accumulate,
    directions,
    encode_joints,
    encode_limbs,
    joint_scales,
)
from occlupose.codecs.multi_person import MultiPersonMaps, joint_mask, limb_mask
from occlupose.skeletons import COCO17, CROWDPOSE14

CODEC = MultiPersonMaps(128, 96, 8, COCO17, depth=False)


def people(seed=0, count=3, skeleton=COCO17):
    """Anywhere in the input, in any state."""
    random = np.random.default_rng(seed)
    xy = random.uniform(0, [127, 95], (count, len(skeleton), 2))
    return batch_of(xy, random.integers(0, 3, (count, len(skeleton))))


def cells_of(given):
    return (given.xy[0].numpy().astype(float) + 0.5) / 8 - 0.5


@pytest.mark.parametrize("subset", ["visible", "hidden", "all"])
def test_joints_cell_by_cell(subset):
    """The offset to the nearest joint of the subset that is within two cells along both axes."""
    given = people()
    field = encode_joints(given, CODEC, subset)
    chosen = joint_mask(given.state, subset)[0].numpy()
    cells = cells_of(given)
    scales = joint_scales(given, CODEC)[0].numpy()
    for joint in range(17):
        for y in range(12):
            for x in range(16):
                near = [
                    (np.hypot(*(cells[person, joint] - (x, y))), person)
                    for person in range(3)
                    if chosen[person, joint] and (np.abs(cells[person, joint] - (x, y)) <= 2).all()
                ]
                assert field.confidence[0, joint, y, x] == bool(near)
                if near:
                    person = min(near)[1]
                    expected = cells[person, joint] - (x, y)
                    np.testing.assert_allclose(field.offset[0, joint, :, y, x], expected, atol=1e-4)
                    assert field.scale[0, joint, y, x].item() == pytest.approx(scales[person, joint], rel=1e-5)


@pytest.mark.parametrize("subset", ["visible", "hidden", "all"])
def test_limbs_cell_by_cell(subset):
    """Offsets to both joints of the nearest limb."""
    given = people(1, 2)
    field = encode_limbs(given, CODEC, subset)
    assert field.confidence.shape == (1, 19, 12, 16) and field.offset.shape == (1, 19, 2, 2, 12, 16)
    sources, targets = CODEC.limbs
    chosen = limb_mask(given.state, sources, targets, subset)[0].numpy()
    cells = cells_of(given)
    for limb, (source, target) in enumerate(zip(sources, targets, strict=True)):
        for y in range(12):
            for x in range(16):
                near = []
                for person in np.flatnonzero(chosen[:, limb]):
                    start = cells[person, source]
                    way = cells[person, target] - start
                    along = np.clip(((x, y) - start) @ way / (way @ way), 0, 1)
                    near.append((np.hypot(*(start + along * way - (x, y))), person))
                near = [each for each in near if each[0] <= LIMB_REACH]
                assert field.confidence[0, limb, y, x] == bool(near)
                if near:
                    person = min(near)[1]
                    expected = cells[person, [source, target]] - (x, y)
                    np.testing.assert_allclose(field.offset[0, limb, :, :, y, x], expected, atol=1e-4)


def test_scales_are_those_of_object_keypoint_similarity():
    """A sigma of 0.079 of a person of 80 x 20 px is 3.16 px; the smallest is a quarter of a cell."""
    xy = np.full((1, 17, 2), 30.0)
    shoulder, hip, nose = COCO17.index("left_shoulder", "right_hip", "nose")
    xy[0, hip] = (50, 110)
    state = np.zeros((1, 17), int)
    state[0, [shoulder, hip, nose]] = (1, 2, 2)
    scales = joint_scales(batch_of(xy, state), CODEC)[0, 0]
    assert scales[shoulder].item() == pytest.approx(0.079 * 40 / 8)
    assert scales[nose].item() == pytest.approx(MIN_SCALE)


@pytest.mark.parametrize("skeleton", [COCO17, CROWDPOSE14], ids=lambda skeleton: skeleton.name)
def test_accumulated_maps_have_a_peak_at_every_joint(skeleton):
    """Of a height near 1, in half the stride, to a tenth of a cell; nothing elsewhere."""
    random = np.random.default_rng(0)
    xy = random.uniform(30, 225, (1, len(skeleton), 2))
    state = random.integers(0, 3, (1, len(skeleton)))
    codec = MultiPersonMaps(256, 256, 8, skeleton, depth=False)
    maps = accumulate(perfect_fields(batch_of(xy, state), codec).joints, 2)
    assert maps.shape == (1, len(skeleton), 64, 64) and maps.max() <= 1
    cells = (xy[0] + 0.5) / 4 - 0.5
    columns = torch.arange(64.0)
    for joint in range(len(skeleton)):
        heights = maps[0, joint]
        if state[0, joint] != 2:
            assert not heights.any()
            continue
        assert heights.max() > 0.7
        middle = torch.stack([(heights.sum(0) * columns).sum(), (heights.sum(1) * columns).sum()]) / heights.sum()
        np.testing.assert_allclose(middle, cells[joint], atol=0.1)


def slow_accumulate(field, ratio):
    """Kreiss eq. 1 with plain loops: every confident cell votes with a Gaussian, up to six cells away."""
    confidence = 1 / (1 + np.exp(-field.confidence[0].numpy().astype(float)))
    joints, rows, columns = confidence.shape
    maps = np.zeros((joints, rows * ratio, columns * ratio))
    for joint, y, x in np.argwhere(confidence > 0.1):
        place = ratio * (field.offset[0, joint, :, y, x].numpy() + np.array([x + 0.5, y + 0.5])) - 0.5
        sigma = np.clip(ratio * np.exp(field.scale[0, joint, y, x].item()), 1.0, 2.6)
        middle = np.rint(place)
        for row in range(maps.shape[1]):
            for column in range(maps.shape[2]):
                if max(abs(row - middle[1]), abs(column - middle[0])) <= 6:
                    distance = (column - place[0]) ** 2 + (row - place[1]) ** 2
                    maps[joint, row, column] += confidence[joint, y, x] / 16 * np.exp(-distance / (2 * sigma**2))
    return np.minimum(maps, 1)


@pytest.mark.parametrize("seed", range(3))
def test_maps_are_accumulated_as_by_plain_loops(seed):
    """Of fields of no network: votes in and out of the map, of any width and confidence."""
    random = torch.Generator().manual_seed(seed)
    shape = (1, 3, 5, 7)
    field = IntensityField(
        2 * torch.randn(shape, generator=random),
        2 * torch.randn(1, 3, 2, 5, 7, generator=random),
        torch.randn(shape, generator=random),
    )
    for ratio in (1, 2):
        np.testing.assert_allclose(accumulate(field, ratio)[0], slow_accumulate(field, ratio), atol=1e-5)


def test_votes_add_up_and_uncertain_cells_have_none():
    """Half as confident cells make a peak half as high; below a tenth there is none."""
    given = batch_of(np.full((1, 17, 2), 60.3), np.full((1, 17), 2))
    field = perfect_fields(given, CODEC).joints
    whole = accumulate(field, 2).amax((-2, -1))
    field.confidence = torch.where(field.confidence > 0, 0.0, -12.0)
    torch.testing.assert_close(accumulate(field, 2).amax((-2, -1)), whole / 2, atol=1e-3, rtol=1e-3)
    field.confidence = torch.full_like(field.confidence, -3.0)
    assert not accumulate(field, 2).any()


def test_votes_beyond_the_border_are_lost():
    given = batch_of(np.full((1, 17, 2), 1.0), np.full((1, 17), 2))
    maps = accumulate(perfect_fields(given, CODEC).joints, 2)
    assert maps.isfinite().all() and maps[0, 0].argmax() == 0


def test_directions_are_part_affinity_fields():
    """Unit vectors from the first joint to the second, by the confidence."""
    given = people(2, 1)
    given.state[:] = 2
    fields = perfect_fields(given, CODEC).limbs
    ways = directions(fields)
    cells = cells_of(given)[0]
    for limb, (source, target) in enumerate(zip(*CODEC.limbs, strict=True)):
        unit = (cells[target] - cells[source]) / np.linalg.norm(cells[target] - cells[source])
        inside = fields.confidence[0, limb] > 0
        np.testing.assert_allclose(ways[0, limb][:, inside].T, np.broadcast_to(unit, (int(inside.sum()), 2)), atol=1e-3)
        assert ways[0, limb][:, ~inside].abs().max() < 1e-4


def test_nobody():
    nobody = batch_of(np.zeros((1, 17, 2)), np.zeros((1, 17), int))
    fields = perfect_fields(nobody, CODEC)
    assert not (fields.joints.confidence > 0).any() and not (fields.limbs.confidence > 0).any()
    assert not accumulate(fields.joints, 2).any()
