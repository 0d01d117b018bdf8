import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from occlupose.errors import OccluposeError
from occlupose.occlusion.blocks import LIMB_JOINTS, LimbBlocks
from occlupose.poses import ABSENT, OCCLUDED, VISIBLE
from occlupose.skeletons import COCO17, SKELETONS

WIDTH = 48
HEIGHT = 64
LIMBS = np.array([joint in LIMB_JOINTS for joint in COCO17.joints])


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def random_people(seed, people=1, *, beyond=20.0):
    """Joints in the image and a little beyond it, NaN where they are absent, and their states."""
    random = np.random.default_rng(seed)
    state = random.integers(0, 3, (people, 17)).astype(np.uint8)
    xy = random.uniform(-beyond, [WIDTH + beyond, HEIGHT + beyond], (people, 17, 2)).astype(np.float32)
    xy[(state == ABSENT) & (random.random(state.shape) < 0.5)] = np.nan
    return xy, state


def within(xy):
    return (xy[..., 0] >= -0.5) & (xy[..., 0] < WIDTH - 0.5) & (xy[..., 1] >= -0.5) & (xy[..., 1] < HEIGHT - 0.5)


def in_numpy(blocks, xy, state, seed=0, image=None, boxes=None):
    """The images and what is covered, person by person."""
    images = np.zeros((len(xy), HEIGHT, WIDTH, 3), np.uint8) if image is None else np.repeat(image[None], len(xy), 0)
    random = np.random.default_rng(seed)
    made = [
        blocks.cover_image(*person, COCO17, random, None if boxes is None else boxes[number])
        for number, person in enumerate(zip(images, xy, state, strict=True))
    ]
    return np.stack([image for image, _ in made]), np.stack([covered for _, covered in made])


def in_numpy_together(blocks, xy, state, seed=0, image=None, boxes=None):
    images = np.zeros((len(xy), HEIGHT, WIDTH, 3), np.uint8) if image is None else np.repeat(image[None], len(xy), 0)
    numbers = np.random.default_rng(seed).random((len(xy), blocks.random_count(COCO17)))
    return blocks.cover_images(images, xy, state, COCO17, numbers, boxes)


def on_tensors(blocks, xy, state, seed=0, image=None, boxes=None):
    images = torch.zeros((len(xy), HEIGHT, WIDTH, 3), dtype=torch.uint8)
    if image is not None:
        images = images + torch.from_numpy(image)
    boxes = None if boxes is None else torch.from_numpy(boxes)
    made, covered = blocks(images, torch.from_numpy(xy), torch.from_numpy(state), COCO17, generator(seed), boxes)
    return made.numpy(), covered.numpy()


both = pytest.mark.parametrize("make", [in_numpy, in_numpy_together, on_tensors])


@both
def test_equation_1_how_many_are_covered(make):
    """One of up to six visible limb joints, two of up to twelve."""
    for visible, blocks in enumerate((0, 1, 1, 1, 1, 1, 1, 2, 2, 2, 2, 2, 2)):
        xy = np.full((5, 17, 2), 20, np.float32)
        state = np.full((5, 17), VISIBLE, np.uint8)
        state[:, np.flatnonzero(LIMBS)[visible:]] = OCCLUDED  # the face stays visible
        assert make(LimbBlocks(), xy, state)[1].sum(1).tolist() == [blocks] * 5


def test_what_a_computer_makes_of_shares():
    """All shares of two digits and up to a hundred joints: that of whole numbers."""
    for percent in range(101):
        blocks = LimbBlocks(joint_share=percent / 100)
        assert [blocks.count(visible) for visible in range(101)] == [
            -(-percent * visible // 100) for visible in range(101)
        ]


@both
@given(seed=st.integers(0, 2**32 - 1), number=st.sampled_from([0.0, 0.15, 0.5, 1.0]))
def test_only_visible_limb_joints_in_the_image_are_covered(make, seed, number):
    xy, state = random_people(seed, 4)
    _, covered = make(LimbBlocks(joint_share=number), xy, state, seed)
    candidates = (state == VISIBLE) & LIMBS & within(xy)
    assert not (covered & ~candidates).any()
    assert covered.sum(1).tolist() == [math.ceil(round(number * count, 6)) for count in candidates.sum(1).tolist()]


@both
@given(seed=st.integers(0, 2**32 - 1), size=st.sampled_from([0.02, 0.2, 0.7]), boxed=st.booleans())
def test_equation_3_the_pixels_of_the_blocks_and_no_others(make, seed, size, boxed):
    """Each pixel changes where it is in a block of a covered joint, to a grey, and nowhere else; blocks beyond the
    border are cut off.
    """
    xy, state = random_people(seed, 2)
    background = np.random.default_rng(seed).integers(0, 256, (HEIGHT, WIDTH, 3)).astype(np.uint8)
    boxes = np.array([[3, 4, 30, 60], [-10, 0, 10, 30]], np.float32)
    blocks = LimbBlocks(joint_share=0.4, size=size, relative_to="box" if boxed else "crop")
    made, covered = make(blocks, xy, state, seed, background, boxes if boxed else None)
    y, x = np.mgrid[:HEIGHT, :WIDTH].astype(np.float32)
    for person in range(2):
        width, height = boxes[person, 2:] - boxes[person, :2] if boxed else (WIDTH, HEIGHT)
        hit = np.zeros((HEIGHT, WIDTH), bool)
        for joint in np.flatnonzero(covered[person]):
            near = np.abs(x - xy[person, joint, 0]) <= np.float32(size * width) / 2
            near &= np.abs(y - xy[person, joint, 1]) <= np.float32(size * height) / 2
            hit |= near
        np.testing.assert_array_equal(made[person][~hit], background[~hit])
        assert (np.ptp(made[person][hit], axis=-1) == 0).all()  # the channels agree
        assert len(np.unique(made[person][hit])) <= covered[person].sum()


@given(st.integers(0, 2**32 - 1), st.floats(0.01, 1), st.booleans())
def test_the_layout_and_type_of_images_do_not_matter(seed, size, floating):
    """Channels first or last, or NumPy images, with the same random numbers; the images are not changed."""
    random = np.random.default_rng(seed)
    xy, state = random_people(seed, 6)
    xy = xy.reshape(3, 2, 17, 2)
    state = state.reshape(3, 2, 17)
    images = random.integers(0, 256, (3, HEIGHT, WIDTH, 3), np.uint8)
    if floating:
        images = images.astype(np.float32) / 255
    before = images.copy()
    blocks = LimbBlocks(joint_share=0.5, size=size)
    people = (torch.from_numpy(xy), torch.from_numpy(state), COCO17)
    last, covered = blocks(torch.from_numpy(images), *people, generator(seed))
    first, _ = blocks(torch.from_numpy(images.transpose(0, 3, 1, 2)), *people, generator(seed))
    assert torch.equal(first.permute(0, 2, 3, 1), last)
    same = generator(seed)
    drawn = torch.rand(3, 2, 1, generator=same)
    order = torch.rand(3, 2, 17, generator=same)
    grey = torch.randint(256, (3, 2, 17), generator=same, dtype=torch.uint8)
    numbers = torch.cat([drawn, order, (grey + 0.5) / 256], -1).numpy()
    made, hidden = blocks.cover_images(images, xy, state, COCO17, numbers)
    np.testing.assert_array_equal(made, last)
    np.testing.assert_array_equal(hidden, covered)
    np.testing.assert_array_equal(images, before)


@both
def test_any_visible_limb_joint_is_as_likely_and_any_grey(make):
    """Within five standard deviations."""
    people = 3000
    xy = np.full((people, 17, 2), 20, np.float32)
    made, covered = make(LimbBlocks(size=0.02), xy, np.full((people, 17), VISIBLE, np.uint8))
    expected = people * 2 / 12
    assert np.abs(covered.sum(0)[LIMBS] - expected).max() < 5 * np.sqrt(expected)
    greys = np.bincount(made[:, 20, 20, 0], minlength=256)
    assert (greys > 0).sum() > 250 and greys.max() < 40


@both
@pytest.mark.parametrize("probability", [0.0, 0.3, 1.0])
def test_the_share_of_people_who_get_blocks(make, probability):
    xy = np.full((1000, 17, 2), 20, np.float32)
    _, covered = make(LimbBlocks(probability=probability), xy, np.full((1000, 17), VISIBLE, np.uint8))
    assert covered.any(1).mean() == pytest.approx(probability, abs=0.08 if 0 < probability < 1 else 0)


@both
def test_the_same_seed_gives_the_same_blocks(make):
    xy, state = random_people(1, 6, beyond=0)
    first = make(LimbBlocks(), xy, state, 3)[0]
    second = make(LimbBlocks(), xy, state, 3)[0]
    other = make(LimbBlocks(), xy, state, 4)[0]
    np.testing.assert_array_equal(first, second)
    assert (first != other).any()


def test_each_of_several_people_in_a_image_gets_blocks():
    """Of the size of their own box."""
    xy = np.repeat(np.array([[8, 8], [24, 32], [40, 56]], np.float32)[:, None], 17, 1)
    state = np.full((3, 17), VISIBLE, np.uint8)
    boxes = np.array([[0, 0, 20, 20], [0, 0, 40, 10], [0, 0, 30, 60]], np.float32)
    blocks = LimbBlocks(relative_to="box")
    background = np.zeros((HEIGHT, WIDTH, 3), np.float32)
    one, covered = blocks.cover_image(background, xy, state, COCO17, np.random.default_rng(0), boxes)
    arguments = (
        torch.from_numpy(xy)[None],
        torch.from_numpy(state)[None],
        COCO17,
        generator(1),
        torch.from_numpy(boxes)[None],
    )
    batch, chosen = blocks(torch.from_numpy(background)[None], *arguments)
    assert covered.sum(1).tolist() == chosen[0].sum(1).tolist() == [2] * 3
    for made in (one, batch[0].numpy()):
        hit = (made > 0).any(-1)
        assert [int(hit[y, :].sum()) for y in (8, 32, 56)] == [5, 9, 7] and [
            int(hit[:, x].sum()) for x in (8, 24, 40)
        ] == [5, 3, 13]


def test_the_block_of_a_usual_crop_is_38_by_51_pixels():
    state = torch.full((1, 17), ABSENT)
    state[0, COCO17.index("left_wrist")] = VISIBLE
    images = torch.ones(1, 3, 256, 192)
    made, covered = LimbBlocks()(images, torch.full((1, 17, 2), 100.5), state, COCO17, generator())
    hit = made[0, 0] < 1
    # between pixels: 100.5 +- 19.2, 25.6
    assert (hit.any(0).sum().item(), hit.any(1).sum().item(), hit.sum().item()) == (38, 52, 38 * 52)
    assert covered.nonzero().tolist() == [[0, COCO17.index("left_wrist")[0]]]


def test_floating_point_images_get_greys_between_0_and_1():
    people = random_people(0, 50, beyond=0)
    xy = torch.from_numpy(people[0])
    state = torch.from_numpy(people[1])
    whole, _ = LimbBlocks()(torch.zeros(50, 3, HEIGHT, WIDTH, dtype=torch.uint8), xy, state, COCO17, generator())
    for dtype in (torch.float32, torch.float16):
        made, _ = LimbBlocks()(torch.zeros(50, 3, HEIGHT, WIDTH, dtype=dtype), xy, state, COCO17, generator())
        torch.testing.assert_close(made, whole.to(dtype) / 255)
        assert made.dtype == dtype and made.max() > 0.5


def test_images_are_not_changed():
    there = torch.zeros(1, 3, 8, 8)
    LimbBlocks()(there, torch.full((1, 17, 2), 4.0), torch.full((1, 17), 2), COCO17, generator())
    assert not there.any()


def test_without_a_generator_torch_s_own_decides():
    arguments = torch.zeros(8, 3, 8, 8), torch.full((8, 17, 2), 4.0), torch.full((8, 17), 2), COCO17, None
    torch.manual_seed(5)
    first = LimbBlocks()(*arguments)[0]
    torch.manual_seed(5)
    assert torch.equal(LimbBlocks()(*arguments)[0], first) and not torch.equal(LimbBlocks()(*arguments)[0], first)


@pytest.mark.parametrize("skeleton", SKELETONS, ids=lambda skeleton: skeleton.name)
def test_every_skeleton_s_limbs_are_known_by_name(skeleton):
    """All twelve; CMU's have names of their own."""
    state = torch.full((1, len(skeleton)), VISIBLE)
    _, covered = LimbBlocks(joint_share=1)(
        torch.zeros(1, 8, 8, 3), torch.ones(1, len(skeleton), 2), state, skeleton, generator()
    )
    names = {
        {own: shared for shared, own in skeleton.aliases}.get(joint, joint)
        for joint in np.array(skeleton.joints)[covered[0]]
    }
    assert names == set(LIMB_JOINTS)


def test_part_of_a_skeleton_has_the_limbs_that_it_has():
    arm = COCO17.subset(["nose", "left_elbow", "left_wrist"])
    state = torch.full((1, 3), VISIBLE)
    _, covered = LimbBlocks(joint_share=1)(torch.zeros(1, 8, 8, 3), torch.ones(1, 3, 2), state, arm, generator())
    assert covered.tolist() == [[False, True, True]]


def test_no_people():
    made, covered = LimbBlocks()(
        torch.zeros(0, 3, 8, 8), torch.zeros(0, 17, 2), torch.zeros(0, 17), COCO17, generator()
    )
    assert made.shape == (0, 3, 8, 8) and covered.shape == (0, 17)


def test_what_cannot_be_is_refused():
    for name in ("joint_share", "size", "probability"):
        with pytest.raises(OccluposeError, match=rf"^{name} 1.5: must be between 0 and 1$"):
            LimbBlocks(**{name: 1.5})
    with pytest.raises(OccluposeError, match=r"^relative_to image: not known; known are crop, box$"):
        LimbBlocks(relative_to="image")
    arguments = torch.zeros(1, 17, 2), torch.zeros(1, 17), COCO17, generator()
    with pytest.raises(OccluposeError, match=r"^images of 1 x 8 x 8 x 1: must be batch x 3 x height x width"):
        LimbBlocks()(torch.zeros(1, 8, 8, 1), *arguments)
    with pytest.raises(OccluposeError, match=r"no boxes were given"):
        LimbBlocks(relative_to="box")(torch.zeros(1, 8, 8, 3), *arguments)
    with pytest.raises(OccluposeError, match=r"^image of 8 x 8: must be height x width x 3$"):
        LimbBlocks().cover_image(np.zeros((8, 8)), np.zeros((17, 2)), np.zeros(17), COCO17, np.random.default_rng())
    face = COCO17.subset(["nose", "left_eye"])
    with pytest.raises(OccluposeError, match=r"has no limb joint to cover; those are left_shoulder, "):
        LimbBlocks()(torch.zeros(1, 8, 8, 3), torch.zeros(1, 2, 2), torch.zeros(1, 2), face, generator())


@pytest.mark.parametrize("cover", [in_numpy, in_numpy_together, on_tensors])
def test_random_erasing_covers_as_much_in_as_many_blocks_anywhere_in_the_box(cover):
    people = 300
    xy = np.random.default_rng(0).uniform(20, 30, (people, 17, 2)).astype(np.float32)
    state = np.full((people, 17), VISIBLE, np.uint8)
    boxes = np.tile(np.array([8.0, 8.0, 40.0, 56.0], np.float32), (people, 1))
    image = np.full((HEIGHT, WIDTH, 3), 255, np.uint8)
    made = {}
    for placement in ("joints", "anywhere"):
        blocks = LimbBlocks(0.15, 0.25, relative_to="box", placement=placement)
        images, covered = cover(blocks, xy, state, image=image, boxes=boxes)
        made[placement] = (images != image).any(-1)
        assert covered.any() == (placement == "joints")
    one = LimbBlocks(0.05, 0.25, relative_to="box", placement="anywhere")
    images, _ = cover(one, xy, state, image=image, boxes=boxes)
    area = (images != image).any(-1).sum((1, 2))
    assert 80 <= np.median(area) <= 117  # 8 x 12 px, all in the image
    share = made["anywhere"].mean(0)[12:52, 12:36]  # the middle of the box is covered evenly
    assert share.min() > 0.25 * share.max()
    assert made["joints"][:, 44:, :].sum() == 0 < made["anywhere"][:, 44:, :].sum()  # far from all joints


def test_random_erasing_needs_boxes():
    with pytest.raises(OccluposeError, match="no boxes were given"):
        on_tensors(LimbBlocks(placement="anywhere"), *random_people(0))
