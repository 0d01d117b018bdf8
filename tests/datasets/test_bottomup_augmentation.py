from dataclasses import replace

import numpy as np
import pytest
import torch

from hupor_maps import FOCAL
from hupor_samples import STILL, camera, draw_image, sample_with_depth, sample_without_depth
from occlupose.codecs.letterbox import GREY, Letterbox
from occlupose.codecs.multi_person import TORSO, MultiPersonMaps, normalise_depth, to_metres
from occlupose.datasets import augmentation as augmenting
from occlupose.datasets.augmentation import MAX_PEOPLE, BottomUpAugmentation, make_bottomup_batch
from occlupose.datasets.image_samples import ImageSample, make_mpi15_sample
from occlupose.errors import OccluposeError
from occlupose.occlusion.blocks import LimbBlocks
from occlupose.skeletons import COCO17, CROWDPOSE14, MPI15

BOX = Letterbox(128, 128)
PARTNERS = list(MPI15.mirror)


def show(given, augmentation=None, seed=0, images=None, box=BOX):
    """Samples as an augmented batch."""
    uniform = np.random.default_rng(seed).random((len(given), BottomUpAugmentation.random_numbers))
    return make_bottomup_batch(given, images, box, augmentation, uniform)


def dotted():
    """One person with joints drawn as bright dots in an image of 256 x 160, apart from each other; each has a colour
    of its own.
    """
    columns = np.arange(15) % 5
    rows = np.arange(15) // 5
    xy = np.stack([40.0 + 44 * columns, 30 + 50 * rows], -1)[None]
    image = np.zeros((160, 256, 3), np.uint8)
    for number, (x, y) in enumerate(xy[0].astype(int)):
        image[y - 6 : y + 7, x - 6 : x + 7] = 80 + 11 * number
    return make_mpi15_sample(
        None, (256, 160), xy, np.full((1, 15), 3.0), np.full((1, 15), 2, np.uint8), camera=camera()
    ), image


def turned_out(given):
    """The same sample of a dataset without depths."""
    return replace(given, camera=None, xyz=None)


@pytest.mark.parametrize("kind", ["deep", "flat"])
@pytest.mark.parametrize("seed", range(5))
def test_joints_stay_on_what_shows_them(kind, seed):
    """Whatever is varied: where a joint is in the input, the image has that joint's dot (its partner's, mirrored)."""
    given, image = dotted()
    given = given if kind == "deep" else turned_out(given)
    box = Letterbox(256, 160)
    batch = show([given], BottomUpAugmentation(rotation=20), seed, [image], box)
    mirrored = np.random.default_rng(seed).random() < 0.5
    there = (batch.people.state[0, 0] > 0).nonzero().flatten().tolist()
    assert len(there) >= 8
    for joint in there:
        x, y = np.round(batch.people.xy[0, 0, joint].numpy()).astype(int)
        dot = PARTNERS[joint] if mirrored else joint
        assert abs(int(batch.images[0, y, x, 0]) - (80 + 11 * dot)) <= 5, (joint, x, y)
    assert batch.images.shape == (1, 160, 256, 3) and batch.images.dtype == torch.uint8


def test_without_variation_images_lie_as_the_letterbox_has_them():
    given = [sample_with_depth(0), sample_without_depth(1)]
    images = [draw_image(each) for each in given]
    for augmentation in (None, STILL):
        batch = show(given, augmentation, images=images)
        for number, each in enumerate(given):
            matrix = BOX.matrix(256, 160)
            there = each.state > 0
            expected = each.xy @ matrix[:, :2].T + matrix[:, 2]
            np.testing.assert_allclose(batch.people.xy[number, : len(each)][there], expected[there], atol=1e-4)
            np.testing.assert_array_equal(batch.people.state[number, : len(each)], each.state)
            np.testing.assert_array_equal(batch.people.z[number, : len(each)], each.z)
            assert (batch.images[number, :20] == GREY).all() and (batch.images[number, -20:] == GREY).all()
    assert batch.has_depth.tolist() == [True, False]
    assert batch.annotated.sum(1).tolist() == [15, 14] and not batch.annotated[1, MPI15.index("head_top")[0]]


def test_mirroring_exchanges_sides_and_turns_the_image_round():
    """Places, depths and states; in the image left is right."""
    given = [sample_with_depth(seed) for seed in range(3)]
    images = [draw_image(each) for each in given]
    plain = show(given, replace(STILL, flip_probability=0.0), images=images)
    other = show(given, replace(STILL, flip_probability=1.0), images=images)
    state = plain.people.state[:, :, PARTNERS]
    assert torch.equal(other.people.state, state) and not torch.equal(state, plain.people.state)
    there = state > 0
    torch.testing.assert_close(other.people.xy[..., 0][there], 127 - plain.people.xy[:, :, PARTNERS, 0][there])
    assert torch.equal(other.people.xy[..., 1][there], plain.people.xy[:, :, PARTNERS, 1][there])
    assert torch.equal(other.people.z.nan_to_num(), plain.people.z[:, :, PARTNERS].nan_to_num())
    assert torch.equal(other.images, plain.images.flip(2))
    assert torch.equal(other.people.metres_per_pixel, plain.people.metres_per_pixel)


def test_the_given_share_is_mirrored():
    given = [sample_with_depth(0)] * 400
    plain = show(given[:1])
    varied = show(given, replace(STILL, flip_probability=0.3))
    x = varied.people.xy[:, 0, 0, 0]
    mirrored = (x - plain.people.xy[0, 0, 0, 0]).abs() > 1
    assert 0.23 < mirrored.float().mean() < 0.37


def motion(given, augmentation, seeds=200, box=BOX):
    """How much larger, turned by how many degrees and moved by how many px the middle of an image is in the input, by
    chance.
    """
    corner = np.array([0.0, 0.0])
    middle = np.array([127.5, 79.5])
    found = []
    for seed in range(seeds):
        matrix, _ = augmenting._augment_transform(
            given, box, augmentation, np.random.default_rng(seed).random(BottomUpAugmentation.random_numbers)
        )
        way = matrix[:, :2] @ (middle - corner)
        turn = np.angle((way[0] + 1j * way[1]) / (127.5 + 79.5j), deg=True)
        plain = box.matrix(*given.size, turn=turn)
        size = np.linalg.norm(way) / np.linalg.norm(plain[:, :2] @ (middle - corner))
        found.append(
            [size, turn, *(matrix[:, :2] @ middle + matrix[:, 2] - np.array([box.width - 1, box.height - 1]) / 2)]
        )
    return np.array(found).T


def test_images_with_depth_are_turned_and_neither_scaled_nor_moved():
    size, turn, right, down = motion(sample_with_depth(0), BottomUpAugmentation())
    np.testing.assert_allclose(size, 1)
    np.testing.assert_allclose([right, down], 0, atol=1e-9)
    assert -10 <= turn.min() < -9.5 and 9.5 < turn.max() <= 10
    assert abs(turn.mean()) < 1.5


@pytest.mark.parametrize("box", [Letterbox(), BOX])
def test_images_without_depth_are_scaled_and_moved_too(box):
    """By 40 px where the input is as wide as published, and otherwise in proportion."""
    size, turn, right, down = motion(sample_without_depth(0), BottomUpAugmentation(), box=box)
    assert 0.8 <= size.min() < 0.81 and 1.09 < size.max() <= 1.1
    assert -10 <= turn.min() < -9.5 and 9.5 < turn.max() <= 10
    most = 40 * box.width / 832
    for way in (right, down):
        assert -most <= way.min() < -0.95 * most and 0.95 * most < way.max() <= most
    assert np.abs(np.corrcoef([size, turn, right, down]) - np.eye(4)).max() < 0.2  # each by a chance of its own


def test_joints_beyond_the_input_are_absent():
    given = sample_without_depth(0, people=3)
    zoomed = show([given], replace(STILL, scale=(3.0, 3.0)))
    matrix = BOX.matrix(256, 160, zoom=3.0)
    xy = given.xy @ matrix[:, :2].T + matrix[:, 2]
    inside = ((xy > -0.5) & (xy < 127.5)).all(-1) & (given.state > 0)
    assert 0 < inside.sum() < (given.state > 0).sum()
    who = inside.any(-1)
    expected = np.where(inside, given.state, 0)[who]
    np.testing.assert_array_equal(zoomed.people.state[0], expected)
    np.testing.assert_allclose(zoomed.people.xy[0][expected > 0], xy[who][expected > 0], atol=1e-3)


def test_an_image_with_all_people_outside_the_input_has_nobody():
    xy = np.full((2, 15, 2), 3.0)
    corner = make_mpi15_sample(None, (256, 160), xy, np.full((2, 15), np.nan), np.full((2, 15), 2, np.uint8))
    scene = show([corner], replace(STILL, scale=(5.0, 5.0))).people
    assert scene.xy.shape == (1, 1, 15, 2) and not scene.state.any()
    assert scene.xy.isfinite().all()


def test_the_span_is_what_a_pixel_of_the_input_spans_at_one_metre():
    """1 / (focal length x resizing), however it is turned; depths come back by it."""
    given = [sample_with_depth(0), sample_without_depth(1)]
    scene = show(given).people
    assert scene.metres_per_pixel[0].item() == pytest.approx(1 / (FOCAL * 0.5)) and scene.metres_per_pixel[1].isnan()
    known = scene.z[0].isfinite()
    z = scene.z[0][known]
    torch.testing.assert_close(to_metres(normalise_depth(z, scene.metres_per_pixel[0]), scene.metres_per_pixel[0]), z)
    expected = 100 * z.numpy() / (FOCAL * 0.5)
    np.testing.assert_allclose(normalise_depth(z, scene.metres_per_pixel[0]), expected, rtol=1e-5)
    turned = [show(given[:1], BottomUpAugmentation(), seed).people.metres_per_pixel.item() for seed in range(5)]
    for seed, span in enumerate(turned):
        turn = 10 * (2 * np.random.default_rng(seed).random(BottomUpAugmentation.random_numbers)[1] - 1)
        assert span == pytest.approx(1 / (FOCAL * np.hypot(*BOX.matrix(256, 160, turn=turn)[:, 0])))
    assert max(turned) > 1.05 * min(turned)


def test_depths_of_the_torso_are_where_its_joints_are():
    given = sample_with_depth(2, people=1)
    scene = show([given]).people
    number, depth = MultiPersonMaps(128, 128).depths(scene, "all")
    for place, joint in enumerate(MPI15.index(*TORSO)):
        if given.state[0, joint]:
            assert depth[0, 0, place].item() == pytest.approx(100 * given.z[0, joint] / (FOCAL * 0.5), rel=1e-5)
            x, y = (scene.xy[0, 0, joint] / 4).floor().long().tolist()
            assert abs(number[0, 0, place].item() - (32 * y + x)) in (0, 1, 32, 33)
        else:
            assert depth[0, 0, place].isnan()


def many(count, seed=0):
    """People, each a heap of joints in one place; from the farthest from the middle to the nearest, some of
    them out of turn.
    """
    random = np.random.default_rng(seed)
    away = random.permutation(np.linspace(5, 70, count))
    angle = random.uniform(0, 2 * np.pi, count)
    places = np.stack([127.5 + away * np.cos(angle), 79.5 + away * np.sin(angle)], -1)
    xy = np.repeat(places[:, None], 15, 1)
    return make_mpi15_sample(
        None, (256, 160), xy, np.full((count, 15), 3.0), np.full((count, 15), 2, np.uint8), camera=camera()
    ), away


def test_of_many_people_the_twenty_nearest_to_the_middle_are_learnt_from():
    given, away = many(33)
    scene = show([given]).people
    assert MAX_PEOPLE == 20 and scene.xy.shape == (1, 20, 15, 2)
    nearest = np.sort(np.argsort(away)[:20])
    matrix = BOX.matrix(256, 160)
    np.testing.assert_allclose(scene.xy[0], given.xy[nearest] @ matrix[:, :2].T + matrix[:, 2], atol=1e-4)
    assert show([many(20)[0]]).people.xy.shape == (1, 20, 15, 2)


def test_images_with_fewer_people_are_filled_up_with_nobody():
    given = [sample_with_depth(0, people=1), sample_with_depth(1, people=3), sample_without_depth(2, people=2)]
    scene = show(given).people
    assert scene.xy.shape == (3, 3, 15, 2)
    for number, each in enumerate(given):
        assert (scene.state[number, : len(each)] > 0).any(-1).all()
        assert not scene.state[number, len(each) :].any() and scene.z[number, len(each) :].isnan().all()
        assert scene.xy[number].isfinite().all()
    maps = MultiPersonMaps(128, 128)
    for number, each in enumerate(given):
        alone = show([each]).people
        assert torch.equal(maps.heatmaps(scene, "all", 2)[number], maps.heatmaps(alone, "all", 2)[0])
        assert torch.equal(maps.fields(scene, "all", 2)[number], maps.fields(alone, "all", 2)[0])


def test_labels_alone_are_the_same_without_images():
    given = [sample_with_depth(0), sample_without_depth(1)]
    images = [draw_image(each) for each in given]
    one = show(given, BottomUpAugmentation(), 3)
    other = show(given, BottomUpAugmentation(), 3, images)
    assert one.images is None and other.images is not None
    for name in ("xy", "z", "state", "metres_per_pixel"):
        assert torch.equal(getattr(one.people, name).nan_to_num(), getattr(other.people, name).nan_to_num())


def test_joints_behind_blocks_are_occluded():
    """Everybody's; pixels outside of the blocks, and joints that were hidden or absent before, stay."""
    given = sample_with_depth(0, people=3)
    image = draw_image(given)
    plain = BottomUpAugmentation(rotation=0)
    blocks = replace(plain, blocks=LimbBlocks(joint_share=0.3, size=0.3, relative_to="box"))
    hidden = 0
    for seed in range(5):
        before = show([given], plain, seed, [image])
        after = show([given], blocks, seed, [image])
        assert torch.equal(before.people.xy, after.people.xy)
        changed = (before.images[0] != after.images[0]).any(-1)
        assert 0 < changed.float().mean() < 0.7
        for was, now, (x, y) in zip(
            before.people.state[0].flatten(),
            after.people.state[0].flatten(),
            before.people.xy[0].flatten(0, 1),
            strict=True,
        ):
            if was == 2 and now == 1:
                hidden += 1
                assert len(after.images[0, int(y.round()), int(x.round())].unique()) == 1  # grey
            elif was:
                assert was == now
            if was == 2 and now == 2:
                assert not changed[int(y.round()), int(x.round())]
        alone = show([given], blocks, seed)
        assert torch.equal(alone.people.state, after.people.state)
    assert hidden > 10


def test_each_image_is_varied_by_its_own_chance_whatever_is_shown_beside_it():
    given = [sample_with_depth(0), sample_without_depth(1), sample_with_depth(2, people=1)]
    uniform = np.random.default_rng(0).random((3, BottomUpAugmentation.random_numbers))
    images = [draw_image(each) for each in given]
    together = make_bottomup_batch(given, images, BOX, BottomUpAugmentation(), uniform)
    for number in range(3):
        alone = make_bottomup_batch(
            given[number : number + 1], images[number : number + 1], BOX, BottomUpAugmentation(), uniform[[number]]
        )
        assert torch.equal(alone.images[0], together.images[number])
        people = alone.people.xy.shape[1]
        assert torch.equal(alone.people.xy[0], together.people.xy[number, :people])


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"rotation": -1.0}, "rotation -1: must be between 0 and 180"),
        ({"rotation": float("nan")}, "rotation nan: must be between"),
        ({"flip_probability": 1.5}, "flip_probability 1.5: must be between 0 and 1"),
        ({"scale": (0.0, 1.0)}, r"scale \(0.0, 1.0\): each must be more than 0"),
        ({"scale": (1.2, 1.0)}, "scale 1.2 1: the smallest factor must come first"),
        ({"scale": (1.0, float("inf"))}, r"scale \(1.0, inf\): each must be more than 0 and finite"),
        ({"shift": -1.0}, "shift -1: must be 0 or more"),
        ({"shift": float("inf")}, "shift inf: must be 0 or more and finite"),
    ],
)
def test_variations_that_cannot_be_are_refused(wrong, message):
    with pytest.raises(OccluposeError, match=message):
        BottomUpAugmentation(**wrong)


@pytest.mark.parametrize("skeleton", [COCO17, CROWDPOSE14], ids=lambda skeleton: skeleton.name)
def test_samples_of_any_joints_are_mirrored_by_their_own_partners(skeleton):
    random = np.random.default_rng(0)
    joints = len(skeleton)
    given = ImageSample(
        image=None,
        size=(128, 128),
        skeleton=skeleton,
        xy=random.uniform(0, 127, (2, joints, 2)).astype(np.float32),
        state=random.integers(0, 3, (2, joints)).astype(np.uint8),
        annotated=random.random(joints) < 0.5,
    )
    always = BottomUpAugmentation(rotation=0, flip_probability=1, scale=(1, 1), shift=0)
    batch = show([given], always)
    partners = list(skeleton.mirror)
    np.testing.assert_allclose(batch.people.xy[0, :, :, 0], 127 - given.xy[:, partners, 0], atol=1e-4)
    np.testing.assert_allclose(batch.people.xy[0, :, :, 1], given.xy[:, partners, 1], atol=1e-4)
    np.testing.assert_array_equal(batch.people.state[0], given.state[:, partners])
    np.testing.assert_array_equal(batch.annotated[0], given.annotated[partners])
