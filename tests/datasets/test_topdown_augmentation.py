from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from occlupose.codecs.crops import Crop, invert, radius, transform_points
from occlupose.datasets.annotations import PersonAnnotation
from occlupose.datasets.augmentation import TopDownAugmentation, make_topdown_batch
from occlupose.datasets.images import ImageRef
from occlupose.errors import OccluposeError
from occlupose.skeletons import COCO17, CROWDPOSE14

STILL = TopDownAugmentation(flip_probability=0, half_body_probability=0, shift=0, scale=(1.0, 1.0), rotation=0)
GRIDS = ("centres", "stride", "corners")


def make_person(skeleton=COCO17, box=(60.0, 30.0, 140.0, 230.0), seed=0):
    random = np.random.default_rng(seed)
    low = np.array(box[:2])
    high = np.array(box[2:])
    xy = np.round(low + random.random((len(skeleton), 2)) * (high - low))
    state = np.full(len(skeleton), 2, np.uint8)
    return PersonAnnotation(1, ImageRef(Path("nowhere.jpg")), (320, 260), np.array(box), xy, state)


def show(person, image, crop, skeleton, augmentation=None, seed=0):
    """One person's crop, joints, their states and the box."""
    uniform = np.random.default_rng(seed).random((1, TopDownAugmentation.random_numbers))
    batch = make_topdown_batch([person], [image], crop, skeleton, augmentation, uniform)
    return SimpleNamespace(image=batch.images[0], xy=batch.xy[0], state=batch.state[0], box=batch.boxes[0])


def dotted(person):
    """A dark image with a bright square of 5 px at every joint, its brightness telling which."""
    image = np.zeros((260, 320, 3), np.uint8)
    for number, (x, y) in enumerate(person.xy.astype(int)):
        image[y - 2 : y + 3, x - 2 : x + 3] = 100 + 8 * number
    return image


def apart(person, distance=7):
    """The same person with joints that are not in each other's way."""
    columns = np.arange(len(person.xy)) % 5
    rows = np.arange(len(person.xy)) // 5
    return replace(person, xy=np.stack([70 + 15 * columns, 50 + 45 * rows], -1).astype(float))


@pytest.mark.parametrize("grid", GRIDS)
@pytest.mark.parametrize("seed", range(6))
def test_joints_stay_on_what_shows_them(grid, seed):
    """Whatever is varied, mirrored or not: where a joint is in the crop, the image has that joint's dot (its
    partner's, mirrored).
    """
    person = apart(make_person())
    crop = Crop(192, 256, grid=grid)
    image = dotted(person)
    batch = show(person, image, crop, COCO17, TopDownAugmentation(scale=(0.6, 1.1), rotation=30), seed)
    there = ((batch.xy > 4) & (batch.xy < np.array([187, 251]))).all(1)
    assert there.sum() >= 3
    partner = np.array(COCO17.mirror) if np.random.default_rng(seed).random() < 0.5 else np.arange(17)
    for joint in np.flatnonzero(there):
        x, y = np.round(batch.xy[joint]).astype(int)
        assert abs(int(batch.image[y, x, 0]) - (100 + 8 * partner[joint])) <= 8, (joint, batch.xy[joint])
    assert batch.image.shape == (256, 192, 3)


@pytest.mark.parametrize("grid", GRIDS)
def test_without_variation_the_box_lies_in_the_middle_with_its_padding(grid):
    person = make_person()
    crop = Crop(192, 256, grid=grid)
    batch = show(person, dotted(person), crop, COCO17)
    matrix = crop.matrices(crop.regions(person.box[None]))[0]
    np.testing.assert_allclose(batch.xy, transform_points(matrix, person.xy))
    np.testing.assert_allclose(transform_points(invert(matrix), batch.xy), person.xy)
    assert batch.box[3] - batch.box[1] == pytest.approx(256 / 1.25, rel=0.01)
    assert (batch.box[:2] + batch.box[2:]) / 2 == pytest.approx([95.5, 127.5], abs=1.0)
    still = show(person, dotted(person), crop, COCO17, STILL)
    np.testing.assert_array_equal(still.image, batch.image)


def test_mirroring_exchanges_sides_and_turns_the_crop_round():
    person = apart(make_person())
    image = dotted(person)
    crop = Crop(192, 256)
    plain = show(person, image, crop, COCO17)
    turned = show(person, image, crop, COCO17, replace(STILL, flip_probability=1.0))
    np.testing.assert_allclose(turned.xy[:, 0], 191 - plain.xy[list(COCO17.mirror), 0])
    np.testing.assert_allclose(turned.xy[:, 1], plain.xy[list(COCO17.mirror), 1])
    difference = np.abs(turned.image.astype(int) - plain.image[:, ::-1].astype(int))
    assert difference.max() <= 4  # rounding of the warp


def test_a_mirrored_joint_keeps_its_state():
    person = apart(make_person())
    state = person.state.copy()
    state[COCO17.index("left_wrist")] = 1
    state[COCO17.index("right_ankle")] = 0
    turned = show(replace(person, state=state), dotted(person), Crop(), COCO17, replace(STILL, flip_probability=1.0))
    assert turned.state[COCO17.index("right_wrist")[0]] == 1
    assert turned.state[COCO17.index("left_ankle")[0]] == 0
    assert (turned.state == 2).sum() == 15


@pytest.mark.parametrize(("skeleton", "upper"), [(COCO17, 11), (CROWDPOSE14, 8)])
def test_half_a_body_is_the_upper_or_the_lower_one(skeleton, upper):
    person = make_person(skeleton)
    crop = Crop(192, 256)
    lower = [number for number, joint in enumerate(skeleton.joints) if joint.endswith(("hip", "knee", "ankle"))]
    assert len(skeleton) - len(lower) == upper
    for share, chosen in ((1.0, [n for n in range(len(skeleton)) if n not in lower]), (0.0, lower)):
        batch = show(
            person,
            dotted(person),
            crop,
            skeleton,
            replace(STILL, half_body_probability=1.0, upper_body_probability=share),
        )
        reach = np.ptp(batch.xy[chosen], axis=0) / np.array([192, 256])
        assert reach.max() == pytest.approx(1 / 1.5, rel=1e-6)
        np.testing.assert_allclose(batch.xy[chosen].mean(0), [95.5, 127.5])


def test_an_incomplete_person_is_not_halved():
    person = make_person()
    few = replace(person, state=np.where(np.arange(17) < 8, 2, 0).astype(np.uint8))
    batch = show(few, dotted(few), Crop(), COCO17, replace(STILL, half_body_probability=1.0))
    np.testing.assert_allclose(batch.xy, show(few, dotted(few), Crop(), COCO17).xy)


def test_boxes_move_and_tilt_within_their_bounds():
    person = make_person()
    crop = Crop(192, 256)
    image = dotted(person)
    sizes = []
    tilts = []
    steps = []
    for seed in range(200):
        batch = show(
            person, image, crop, COCO17, TopDownAugmentation(flip_probability=0, half_body_probability=0), seed
        )
        one = person.xy[0]
        other = person.xy[9]
        way = batch.xy[9] - batch.xy[0]
        before = other - one
        sizes.append(np.linalg.norm(way) / np.linalg.norm(before) * 200 / (256 / 1.25))
        tilts.append(np.angle((way[0] + 1j * way[1]) / (before[0] + 1j * before[1]), deg=True))
        steps.append(batch.box)
    assert 1 / 1.5 <= min(sizes) < 0.75 and 1.5 < max(sizes) <= 1 / 0.5
    assert np.abs(tilts).max() <= 80 and np.abs(tilts).max() > 50
    assert 0.3 < (np.abs(tilts) < 1e-6).mean() < 0.5


def test_boxes_move_by_their_own_sides_not_by_those_of_the_crop():
    narrow = make_person(box=(60.0, 30.0, 110.0, 230.0))
    moved = []
    crop = Crop(192, 256)
    plain = show(narrow, dotted(narrow), crop, COCO17).xy
    for seed in range(200):
        shifted = replace(STILL, shift=0.16, shift_probability=1.0)
        moved.append((show(narrow, dotted(narrow), crop, COCO17, shifted, seed).xy - plain)[0])
    scale = 256 / 1.25 / 200
    most = np.abs(moved).max(0)
    assert most[0] <= 0.16 * 1.25 * 50 * scale + 1e-6 and most[0] > 0.13 * 1.25 * 50 * scale
    assert most[1] <= 0.16 * 1.25 * 200 * scale + 1e-6 and most[1] > 0.13 * 1.25 * 200 * scale


def test_the_same_chance_gives_the_same_crop():
    person = make_person()
    image = dotted(person)
    one = show(person, image, Crop(), COCO17, TopDownAugmentation(), 3)
    again = show(person, image, Crop(), COCO17, TopDownAugmentation(), 3)
    other = show(person, image, Crop(), COCO17, TopDownAugmentation(), 4)
    np.testing.assert_array_equal(one.image, again.image)
    np.testing.assert_array_equal(one.xy, again.xy)
    assert not np.array_equal(one.xy, other.xy)


@pytest.mark.parametrize(
    "wrong",
    [
        {"flip_probability": 1.5},
        {"half_body_probability": -0.1},
        {"scale": (0.0, 1.0)},
        {"scale": (1.2, 1.0)},
        {"rotation": 200.0},
        {"half_body_padding": 0.5},
    ],
)
def test_variations_that_cannot_be_are_refused(wrong):
    with pytest.raises(OccluposeError, match=next(iter(wrong))):
        TopDownAugmentation(**wrong)


@pytest.mark.parametrize("augmentation", [None, TopDownAugmentation(), TopDownAugmentation(half_body_probability=1.0)])
def test_each_person_s_crop_is_their_own_whoever_else_is_shown(augmentation):
    """Also in images of other sizes, mirrored and plain ones side by side."""
    crop = Crop(48, 64)
    everybody = [apart(make_person(seed=seed)) for seed in range(6)]
    everybody[1] = replace(everybody[1], state=np.where(np.arange(17) < 5, 2, 0).astype(np.uint8))
    images = [dotted(person)[:, : 320 - 10 * number] for number, person in enumerate(everybody)]
    uniform = np.random.default_rng(1).random((6, TopDownAugmentation.random_numbers))
    together = make_topdown_batch(everybody, images, crop, COCO17, augmentation, uniform)
    for number, (person, image) in enumerate(zip(everybody, images, strict=True)):
        alone = make_topdown_batch([person], [image], crop, COCO17, augmentation, uniform[[number]])
        np.testing.assert_array_equal(alone.images[0], together.images[number])
        np.testing.assert_allclose(alone.xy[0], together.xy[number], atol=1e-9)
        np.testing.assert_array_equal(alone.state[0], together.state[number])
        np.testing.assert_allclose(alone.boxes[0], together.boxes[number], atol=1e-9)


def test_regions_reach_as_far_as_boxes():
    assert radius(Crop(192, 256).regions(make_person().box[None]))[0] == pytest.approx(100)
