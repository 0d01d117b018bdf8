import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from occlupose.codecs.multi_person import (
    KERNELS,
    TORSO,
    MultiPersonMaps,
    PeopleBatch,
    TargetMaps,
    limb_mask,
    limb_radius,
    limb_tree,
    maps_in_2d,
    normalise_depth,
    to_metres,
)
from occlupose.errors import OccluposeError
from occlupose.skeletons import COCO17, CROWDPOSE14, MPI15

MAPS = MultiPersonMaps(256, 160)
PARTS = ("visible", "hidden", "all")


def person(**places):
    """One person with these joints, px and m; all visible."""
    xy = torch.zeros(1, 1, 15, 2)
    z = torch.zeros(1, 1, 15)
    state = torch.zeros(1, 1, 15, dtype=torch.uint8)
    for name, (x, y, depth) in places.items():
        joint = MPI15.index(name)[0]
        xy[0, 0, joint] = torch.tensor([x, y])
        z[0, 0, joint] = depth
        state[0, 0, joint] = 2
    return PeopleBatch(xy, z, state, torch.tensor([1e-3]))


def some(seed, people=3, maps=MAPS):
    """People with joints anywhere in the input and no limb too short to be drawn."""
    random = np.random.default_rng(seed)
    xy = np.zeros((people, 15, 2))
    z = random.uniform(2, 9, (people, 15))
    while np.linalg.norm(xy[:, maps.limbs[0]] - xy[:, maps.limbs[1]], axis=-1).min() < maps.stride:
        xy = random.uniform(0, [maps.width - 1, maps.height - 1], (people, 15, 2))
    state = random.integers(0, 3, (people, 15)).astype(np.uint8)
    return PeopleBatch(
        *(torch.from_numpy(part)[None] for part in (xy.astype(np.float32), z.astype(np.float32), state)),
        torch.tensor([1e-3]),
    )


def mirrored(given):
    """The mirrored image."""
    partners = list(MPI15.mirror)
    xy = given.xy[:, :, partners].clone()
    xy[..., 0] = MAPS.width - 1 - xy[..., 0]
    return PeopleBatch(xy, given.z[:, :, partners], given.state[:, :, partners], given.metres_per_pixel)


@pytest.mark.parametrize("level", range(5))
def test_peaks_are_1_at_the_joint_and_as_wide_as_opencv_makes_the_kernel(level):
    joint = MPI15.index("left_knee")[0]
    heatmap = MAPS.heatmaps(person(left_knee=(4 * 30 + 1.5, 4 * 20 + 1.5, 3)), "visible", level)[0, joint]
    assert heatmap[20, 30] == 1 and heatmap.max() == 1
    sigma = {15: 2.6, 11: 2.0, 9: 1.7, 7: 1.4, 5: 1.1}[KERNELS[level]]
    assert heatmap[20, 31] == pytest.approx(math.exp(-1 / (2 * sigma**2)))
    assert ((heatmap > 0).any(0).sum(), (heatmap > 0).any(1).sum()) == (KERNELS[level],) * 2


def test_the_highest_gaussian_counts_where_two_overlap():
    one = person(neck=(100.0, 80.0, 3))
    other = person(neck=(108.0, 80.0, 3))
    both = PeopleBatch(
        *(torch.cat([getattr(one, name), getattr(other, name)], 1) for name in ("xy", "z", "state")),
        one.metres_per_pixel,
    )
    separate = [MAPS.heatmaps(each, "all", 1) for each in (one, other)]
    assert torch.equal(MAPS.heatmaps(both, "all", 1), torch.maximum(*separate))


@pytest.mark.parametrize(("level", "half"), [(0, 3), (1, 2), (2, 1), (3, 1), (4, 1)])
def test_limbs_are_as_wide_as_published_and_point_from_the_first_joint_to_the_second(level, half):
    limb = MPI15.limbs.index(("left_shoulder", "left_elbow"))
    cell = lambda x, y, z: (4 * x + 1.5, 4 * y + 1.5, z)  # noqa: E731
    fields = MAPS.fields(person(left_shoulder=cell(20, 10, 3.0), left_elbow=cell(40, 10, 2.75)), "visible", level)[0]
    assert not fields[[other for other in range(14) if other != limb]].any()
    lies = fields[limb, 0] > 0
    assert lies.any(1).sum() == 2 * half - 1 and lies[:, 30].sum() == 2 * half - 1  # less than half away
    assert lies.any(0).nonzero().flatten().tolist() == list(range(20 - half, 40 + half + 1))
    assert fields[limb, :, 10, 30].tolist() == [1, 0, -0.25]


@given(st.integers(0, 10**6), st.sampled_from(PARTS), st.integers(0, 4))
def test_a_mirrored_image_has_mirrored_maps(seed, part, level):
    """Sides exchanged, the way to the right negated, depth as it was."""
    given = some(seed)
    other = mirrored(given)
    partners = list(MPI15.mirror)
    torch.testing.assert_close(
        MAPS.heatmaps(other, part, level), MAPS.heatmaps(given, part, level)[:, partners].flip(-1), atol=1e-5, rtol=0
    )
    limbs = [
        MPI15.limbs.index(tuple(MPI15.joints[partners[MPI15.index(joint)[0]]] for joint in limb))
        for limb in MPI15.limbs
    ]
    assert limbs == [0, 1, 5, 6, 7, 2, 3, 4, 11, 12, 13, 8, 9, 10]
    back = MAPS.fields(given, part, level)[:, limbs].flip(-1) * torch.tensor([-1.0, 1, 1])[:, None, None]
    differs = ((MAPS.fields(other, part, level) - back).abs() > 1e-4).any(2)
    assert differs.float().mean() < 1e-3  # cells on the very border of a limb, by rounding


@given(st.integers(0, 10**6))
def test_every_joint_is_in_one_part_and_every_limb(seed):
    given = some(seed, 1)
    heatmaps = {part: MAPS.heatmaps(given, part, 4) for part in PARTS}
    assert torch.equal(heatmaps["visible"] + heatmaps["hidden"], heatmaps["all"])
    fields = {part: MAPS.fields(given, part, 4) for part in PARTS}
    torch.testing.assert_close(fields["visible"] + fields["hidden"], fields["all"])
    sources, targets = MAPS.limbs
    states = given.state[0, 0]
    for limb in range(14):
        ends = sorted([states[sources[limb]].item(), states[targets[limb]].item()])
        assert bool(fields["visible"][0, limb].any()) == (ends == [2, 2])
        assert bool(fields["hidden"][0, limb].any()) == (ends in ([1, 1], [1, 2]))


def test_several_limbs_in_a_cell_are_averaged():
    one = person(neck=(101.5, 41.5, 3), pelvis=(101.5, 101.5, 3))
    other = person(neck=(101.5, 41.5, 3), pelvis=(101.5, 101.5, 4))
    both = PeopleBatch(
        *(torch.cat([getattr(one, name), getattr(other, name)], 1) for name in ("xy", "z", "state")),
        one.metres_per_pixel,
    )
    field = MAPS.fields(both, "all", 4)[0, MPI15.limbs.index(("neck", "pelvis"))]
    assert field[:, 18, 25].tolist() == [0, 1, 0.5]


@given(st.floats(0.3, 100), st.floats(1e-5, 1e-1))
def test_depths_there_and_back(z, span):
    assert to_metres(normalise_depth(torch.tensor(z), torch.tensor(span)), torch.tensor(span)).item() == pytest.approx(
        z, rel=1e-5
    )


def test_depths_are_centimetres_that_a_pixel_spans():
    """At 4 m and a focal length of 1000 px, a pixel of the half-size image covers 8 mm."""
    span = 1 / (1000 * 0.5)
    assert normalise_depth(torch.tensor(4.0), torch.tensor(span)).item() == pytest.approx(0.8)


def test_depths_have_targets_in_the_joint_s_cell_only():
    given = person(pelvis=(4 * 7 + 2, 4 * 3 + 1, 5.0), left_hip=(300.0, 20, 5), left_wrist=(50.0, 50, 5))
    number, depth = MAPS.depths(given, "visible")
    assert number.shape == depth.shape == (1, 1, len(TORSO))
    assert (number[0, 0, 0].item(), depth[0, 0, 0].item()) == (3 * 64 + 7, pytest.approx(0.5))
    assert depth[0, 0, 1:].isnan().all()  # not annotated, and beyond the image
    given.state[...] = 1
    assert MAPS.depths(given, "visible")[1].isnan().all()


@given(
    st.integers(0, 10**6), st.integers(1, 4), st.permutations([(part, level) for part in PARTS for level in range(5)])
)
@settings(max_examples=8)
def test_maps_that_are_made_once_are_those_of_the_codec(seed, people, asked):
    """For every part and level, in whatever order they are asked for; everything is made of what is visible and what is
    hidden.
    """
    given = some(seed, people)
    # depths that nobody knows, joints that are far away
    given.z[0, 0, ::4] = torch.nan
    given.xy[0, -1, ::5] = 1e6
    truth = TargetMaps(MAPS, given)
    for part, level in asked:
        assert torch.equal(truth.heatmaps(part, level), MAPS.heatmaps(given, part, level))
        torch.testing.assert_close(truth.fields(part, level), MAPS.fields(given, part, level), atol=1e-6, rtol=0)


def test_maps_are_made_once(monkeypatch):
    made = []

    def noting(name):
        real = getattr(MultiPersonMaps, name)

        def note(self, people, part, detail):
            made.append((name, part, detail))
            return real(self, people, part, detail)

        return note

    for name in ("heatmaps", "sum_fields"):
        monkeypatch.setattr(MultiPersonMaps, name, noting(name))
    truth = TargetMaps(MAPS, some(0))
    for _ in range(2):
        for part in ("all", "visible", "hidden"):
            for level in range(5):
                truth.heatmaps(part, level), truth.fields(part, level)
    assert len(made) == len(set(made)) == 2 * (5 + 3)  # three widths of limbs: the last three levels have the same
    assert {part for _, part, _ in made} == {"visible", "hidden"}


def test_a_second_access_finds_the_maps_unchanged():
    """Fields of everything are sums of others', which stay what they were."""
    given = some(3)
    truth = TargetMaps(MAPS, given)
    before = [truth.fields(part, 4).clone() for part in PARTS] + [truth.heatmaps(part, 4).clone() for part in PARTS]
    after = [truth.fields(part, 4) for part in PARTS] + [truth.heatmaps(part, 4) for part in PARTS]
    assert all(torch.equal(one, other) for one, other in zip(before, after, strict=True))


def test_limbs_reach_as_far_as_published():
    assert [limb_radius(level) for level in range(5)] == [3, 2, 1, 1, 1]


def test_no_people_and_nan_positions():
    given = person(neck=(float("nan"), 3.0, 3), pelvis=(1e9, -1e9, 3))
    for level in range(5):
        assert not MAPS.heatmaps(given, "all", level).any() and not MAPS.heatmaps(given, "all", level).isnan().any()
    nobody = PeopleBatch(torch.zeros(2, 0, 15, 2), torch.zeros(2, 0, 15), torch.zeros(2, 0, 15), torch.ones(2))
    assert MAPS.heatmaps(nobody, "all", 0).shape == (2, 15, 40, 64) and MAPS.fields(nobody, "all", 0).shape == (
        2,
        14,
        3,
        40,
        64,
    )
    assert MAPS.depths(nobody, "all")[0].shape == (2, 0, 7)


def test_impossible_values_are_refused():
    with pytest.raises(OccluposeError, match=r"^input 830 x 512: its sides must be multiples of the stride, 4$"):
        MultiPersonMaps(830, 512)
    with pytest.raises(OccluposeError, match="pelvis: not a joint of coco17"):
        MultiPersonMaps(skeleton=COCO17)


# ------------------------------------------------------------------------------------- without depth


def flat(seed, skeleton, people=3, size=(128, 96)):
    """People in 2D with these joints anywhere in the input, without depth."""
    random = np.random.default_rng(seed)
    xy = random.uniform(0, np.array(size) - 1, (1, people, len(skeleton), 2)).astype(np.float32)
    state = random.integers(0, 3, (1, people, len(skeleton))).astype(np.uint8)
    unknown = torch.full((1, people, len(skeleton)), torch.nan)
    return PeopleBatch(torch.from_numpy(xy), unknown, torch.from_numpy(state), torch.tensor([torch.nan]))


@pytest.mark.parametrize(("skeleton", "limbs"), [(COCO17, 16), (CROWDPOSE14, 13)], ids=["coco17", "crowdpose14"])
def test_limbs_of_2d_maps_are_a_tree(skeleton, limbs):
    tree = limb_tree(skeleton)
    assert len(tree) == limbs == len(skeleton) - 1 and set(tree) <= set(skeleton.limbs)
    reached = {tree[0][0]}
    for _ in tree:
        reached |= {joint for limb in tree if reached & {*limb} for joint in limb}
    assert reached == {*skeleton.joints}
    partner = {joint: skeleton.joints[other] for joint, other in zip(skeleton.joints, skeleton.mirror, strict=True)}
    assert {frozenset(map(partner.get, limb)) for limb in tree} == {frozenset(limb) for limb in tree}


@pytest.mark.parametrize("skeleton", [COCO17, CROWDPOSE14], ids=lambda skeleton: skeleton.name)
@pytest.mark.parametrize("subset", PARTS)
def test_fields_in_2d_cell_by_cell(skeleton, subset):
    """Against their definition: the mean direction of the limbs that cover a cell."""
    codec = maps_in_2d(skeleton, 128, 96)
    given = flat(1, skeleton)
    fields = codec.fields(given, subset, 2)
    assert fields.shape == (1, len(skeleton) - 1, 2, 24, 32)
    chosen = limb_mask(given.state, *codec.limbs, subset)[0]
    expected = np.zeros((len(skeleton) - 1, 2, 24, 32))
    count = np.zeros((len(skeleton) - 1, 24, 32))
    cells = (given.xy[0].numpy().astype(float) + 0.5) / 4 - 0.5
    radius = limb_radius(2)
    for limb, (source, target) in enumerate(zip(*codec.limbs, strict=True)):
        for person in np.flatnonzero(chosen[:, limb].numpy()):
            start = cells[person, source]
            way = cells[person, target] - start
            length = np.hypot(*way)
            if length < 1:
                continue
            low = np.minimum(start, start + way) - radius
            high = np.maximum(start, start + way) + radius
            for y in range(24):
                for x in range(32):
                    aside = ((y - start[1]) * way[0] - (x - start[0]) * way[1]) / length
                    if (low <= (x, y)).all() and (high >= (x, y)).all() and abs(aside) < radius:
                        expected[limb, :, y, x] += way / length
                        count[limb, y, x] += 1
    np.testing.assert_allclose(fields[0], expected / np.maximum(count, 1)[:, None], atol=1e-5)
    made_once = TargetMaps(codec, given)
    torch.testing.assert_close(made_once.fields(subset, 2), fields)


def test_fields_in_2d_are_those_in_3d_without_their_depth():
    given = some(0)
    limbs = limb_tree(MPI15)
    assert limbs == MPI15.limbs
    with_depth = MAPS.fields(given, "all", 3)
    without = maps_in_2d(MPI15, 256, 160).fields(given, "all", 3)
    assert torch.equal(without, with_depth[:, :, :2])


@pytest.mark.parametrize("subset", PARTS)
def test_cells_of_joints(subset):
    """Where the heatmap of a joint alone is highest; joints of other states or outside are left out."""
    codec = maps_in_2d(COCO17, 128, 96)
    given = flat(2, COCO17, people=1)
    given.xy[0, 0, 3] = torch.tensor([140.0, 20.0])
    given.xy[0, 0, 4] = torch.nan
    cells, inside = codec.joint_cells(given, subset)
    states = {"visible": (2,), "hidden": (1,), "all": (1, 2)}[subset]
    wanted = torch.isin(given.state, torch.tensor(states))
    wanted[0, 0, [3, 4]] = False
    assert torch.equal(inside, wanted)
    highest = codec.heatmaps(given, subset, 4).flatten(2).argmax(-1)
    assert torch.equal(cells[inside], highest[0][inside[0, 0]]) and not cells[~inside].any()


def test_depth_needs_torso_joints_and_2d_does_not():
    assert maps_in_2d(COCO17, 64, 64).components == 2
    with pytest.raises(OccluposeError, match="pelvis: not a joint of coco17"):
        MultiPersonMaps(64, 64, skeleton=COCO17)
