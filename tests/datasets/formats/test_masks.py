import json
from dataclasses import replace
from itertools import permutations

import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as coco_mask

from occlupose.datasets.formats.masks import MAX_MASKS, MaskFolder, assign_masks, decode_run_lengths
from occlupose.datasets.image_samples import ImageSample
from occlupose.datasets.images import ImageRef
from occlupose.errors import OccluposeError
from occlupose.skeletons import MPI15

SIZE = (41, 30)


def blobs(random, count, size=SIZE):
    """Random masks of noise and of rectangles."""
    masks = random.random((count, size[1], size[0])) < random.choice([0.1, 0.5, 0.9])
    for mask in masks[::2]:
        x, y = random.integers(0, 20, 2)
        mask[:] = False
        mask[y : y + 9, x : x + 15] = True
    return masks


def encoded(mask):
    """By COCO's own code: text."""
    found = coco_mask.encode(np.asfortranarray(mask.astype(np.uint8)))
    return {"size": [int(side) for side in found["size"]], "counts": found["counts"].decode()}


def lengths_of(mask):
    """Run lengths by their definition, column by column."""
    lengths = []
    inside = False
    for cell in mask.T.ravel():
        if not lengths or cell != inside:
            if not lengths and cell:
                lengths.append(0)
            lengths.append(0)
            inside = cell
        lengths[-1] += 1
    return lengths


def sample(folder, xy=None, size=SIZE):
    xy = np.full((1, 15, 2), 5.0) if xy is None else xy
    state = np.full(xy.shape[:2], 2, np.uint8)
    return ImageSample(image=ImageRef(folder / "a.jpg"), size=size, skeleton=MPI15, xy=xy, state=state)


@pytest.mark.parametrize("seed", range(6))
def test_run_lengths_are_cocos(seed):
    for mask in blobs(np.random.default_rng(seed), 4):
        np.testing.assert_array_equal(decode_run_lengths(encoded(mask)["counts"], SIZE), mask)
        np.testing.assert_array_equal(decode_run_lengths(lengths_of(mask), SIZE), mask)


def test_large_masks():
    mask = np.zeros((3000, 4000), bool)
    mask[1000:2500, 100:3900] = True
    np.testing.assert_array_equal(decode_run_lengths(encoded(mask)["counts"], (4000, 3000)), mask)


@pytest.mark.parametrize("seed", range(6))
def test_masks_belong_to_whose_joints_are_in_them(seed):
    """As by trying all matchings; with more people than masks, some have an empty one."""
    random = np.random.default_rng(seed)
    masks = blobs(random, 3)
    xy = random.uniform(-3, 45, (4, 15, 2))
    state = random.integers(0, 3, (4, 15)).astype(np.uint8)
    people = ImageSample(image=None, size=SIZE, skeleton=MPI15, xy=xy, state=state)

    def count(person, mask):
        cells = np.rint(xy[person]).astype(int)
        known = people.state[person] > 0
        return sum(
            bool(here and 0 <= x < SIZE[0] and 0 <= y < SIZE[1] and mask[y, x])
            for (x, y), here in zip(cells, known, strict=True)
        )

    given = assign_masks(masks, people)
    worth = sum(count(person, given[person]) for person in range(4))
    best = max(
        sum(count(person, masks[row]) for row, person in enumerate(order)) for order in permutations(range(4), 3)
    )
    assert worth == best and sum(mask.any() for mask in given) <= 3
    for mask in given:
        assert not mask.any() or any((mask == other).all() for other in masks)


def test_numbers_and_run_lengths_say_the_same(tmp_path):
    numbers = np.zeros(SIZE[::-1], np.uint8)
    numbers[3:10, 2:12] = 200
    numbers[12:25, 20:40] = 7
    xy = np.stack([np.full((15, 2), (30.0, 20.0)), np.full((15, 2), (5.0, 5.0)), np.full((15, 2), (0.0, 0.0))])
    people = sample(tmp_path, xy)
    Image.fromarray(numbers).save(tmp_path / "a.png")
    of_image = MaskFolder(tmp_path).read(people)
    np.testing.assert_array_equal(of_image, [numbers == 7, numbers == 200, numbers < 0])
    palette = Image.fromarray(numbers).convert("P")
    palette.putdata(numbers.ravel().tolist())
    palette.save(tmp_path / "a.png")
    np.testing.assert_array_equal(MaskFolder(tmp_path).read(people), of_image)
    (tmp_path / "a.png").unlink()
    lengths = [encoded(numbers == 200), {"segmentation": encoded(numbers == 7), "score": 0.9, "category_id": 1}]
    (tmp_path / "a.json").write_text(json.dumps(lengths))
    np.testing.assert_array_equal(MaskFolder(tmp_path).read(people), of_image)
    assert MaskFolder(tmp_path).find_all([people]) == [tmp_path / "a.json"]


def test_images_without_masks(tmp_path):
    assert MaskFolder(tmp_path).read(sample(tmp_path)) is None
    labels = replace(sample(tmp_path), image=None)
    assert MaskFolder(tmp_path).find(labels) is None
    (tmp_path / "a.json").write_text("[]")
    assert not MaskFolder(tmp_path).read(sample(tmp_path)).any()
    with pytest.raises(OccluposeError, match=r"no masks of these images; give files NAME\.png or NAME\.json"):
        MaskFolder(tmp_path).find_all([])
    with pytest.raises(OccluposeError, match="nowhere: no such folder; give a folder of masks"):
        MaskFolder(tmp_path / "nowhere")


SIDES = {"size": [30, 41]}


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ([{"size": [41, 30], "counts": [1230]}], r"masks of 30 x 41 px, but the image has 41 x 30; give the masks of"),
        ([SIDES | {"counts": [1229]}], "mask 1 is damaged .its runs do not add up to 41 x 30 px"),
        ([SIDES | {"counts": [1230]}, SIDES | {"counts": "0"}], "mask 2 is damaged .its runs do not add up"),
        ([SIDES | {"counts": "o" * 9}], "mask 1 is damaged .its text is not COCO's"),
        ([SIDES | {"counts": "Po"}], "mask 1 is damaged .its text is cut off"),
        ([SIDES | {"counts": "a\u20acb"}], "mask 1 is damaged .its text is not COCO's"),
        ([SIDES | {"counts": [-5, 1235]}], "a.json"),
        ([SIDES], "a.json"),
        ([SIDES | {"counts": [1230]}] * (MAX_MASKS + 1), "a.json"),
        ({"masks": []}, "a.json"),
    ],
)
def test_damaged_run_lengths_are_refused_in_one_line(tmp_path, content, words):
    (tmp_path / "a.json").write_text(json.dumps(content))
    with pytest.raises(OccluposeError, match=words) as error:
        MaskFolder(tmp_path).read(sample(tmp_path))
    assert "\n" not in str(error.value) and str(tmp_path / "a.json") in str(error.value)


@pytest.mark.parametrize(
    ("image", "words"),
    [
        (np.zeros((30, 40), np.uint8), "masks of 40 x 30 px, but the image has 41 x 30"),
        (np.zeros((30, 41, 3), np.uint8), "is in colour; give masks with one number in each pixel"),
        (np.arange(41 * 30, dtype=np.uint16).reshape(30, 41), "has 1229 people"),
        (None, "not an image"),
    ],
)
def test_damaged_numbers_are_refused_in_one_line(tmp_path, image, words):
    if image is None:
        (tmp_path / "a.png").write_bytes(b"no image")
    else:
        Image.fromarray(image).save(tmp_path / "a.png")
    with pytest.raises(OccluposeError, match=words) as error:
        MaskFolder(tmp_path).read(sample(tmp_path))
    assert "\n" not in str(error.value) and str(tmp_path / "a.png") in str(error.value)
