"""Adapters, before stand-ins for the two libraries' types: a tensor with a class of its own, and boxes that say their
format.
"""

import enum

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader

from occlupose.errors import OccluposeError
from occlupose.methods.ljof.transforms import AlbumentationsBlocks, TorchvisionBlocks
from occlupose.occlusion.blocks import LimbBlocks
from occlupose.poses import OCCLUDED, VISIBLE
from occlupose.skeletons import CROWDPOSE14

WIDTH = 60
HEIGHT = 80


class Image(torch.Tensor):
    """As torchvision's tv_tensors.Image."""


class BoxFormat(enum.Enum):
    """As torchvision's."""

    XYXY = "XYXY"
    XYWH = "XYWH"
    CXCYWH = "CXCYWH"
    XYWHR = "XYWHR"


class Boxes(torch.Tensor):
    """As torchvision's tv_tensors.BoundingBoxes."""


def boxes(values, form):
    made = torch.tensor(values).as_subclass(Boxes)
    made.format = form
    return made


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def people(count=2):
    """Each person's joints in one place, which differs: x, y, v."""
    places = torch.tensor([[12.0, 15.0], [40.0, 60.0], [30.0, 20.0]])[:count, None].expand(-1, 17, -1)
    return torch.cat([places, torch.full((count, 17, 1), float(VISIBLE))], -1)


def target(count=2):
    return {
        "keypoints": people(count),
        "labels": torch.ones(count),
        "boxes": torch.tensor([[0.0, 0, 20, 30], [30, 40, 60, 70]])[:count],
    }


def extents(image):
    """Width and height of the blocks at the first two people's places."""
    hit = (torch.as_tensor(image).float().amax(0) > 0).numpy()
    return [(int(hit[y].sum()), int(hit[:, x].sum())) for x, y in ((12, 15), (40, 60))]


@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32])
@pytest.mark.parametrize("kind", [torch.Tensor, Image])
def test_torchvision_style(dtype, kind):
    image = torch.zeros(3, HEIGHT, WIDTH, dtype=dtype).as_subclass(kind)
    given = target()
    before = {name: value.clone() for name, value in given.items()}
    made, after = TorchvisionBlocks(LimbBlocks(size=0.1), generator=generator(1))(image, given)
    assert type(made) is kind and made.dtype == dtype and made.shape == image.shape
    assert not image.any() and after is given
    assert all(torch.equal(given[name], before[name]) for name in before)
    assert extents(made) == [(7, 9), (7, 9)]
    assert made.max() <= (255 if dtype == torch.uint8 else 1)


def test_torchvision_style_takes_and_gives_pairs():
    image = torch.zeros(3, HEIGHT, WIDTH)
    given = target()
    transform = nn.Sequential(TorchvisionBlocks(generator=generator()))
    for pair in ((image, given), [image, given]):
        made = transform(pair)
        assert type(made) is type(pair) and made[0].any() and made[1] is given


def test_keypoints_without_v_beside_them():
    """As tv_tensors.KeyPoints are; only v = 2 is covered."""
    for state, covered in ((VISIBLE, True), (OCCLUDED, False)):
        given = {"keypoints": people()[..., :2], "visibility": torch.full((2, 17), state)}
        made, _ = TorchvisionBlocks(generator=generator(1))(torch.zeros(3, HEIGHT, WIDTH), given)
        assert bool(made.any()) == covered
    with pytest.raises(
        OccluposeError, match=r"^keypoints without v: give x, y, v, or put v of each joint under visibility"
    ):
        TorchvisionBlocks()(torch.zeros(3, HEIGHT, WIDTH), {"keypoints": people()[..., :2]})


def test_one_person_needs_no_axis():
    made, _ = TorchvisionBlocks(LimbBlocks(size=0.1), generator=generator(1))(
        torch.zeros(3, HEIGHT, WIDTH), {"keypoints": people(1)[0]}
    )
    assert extents(made) == [(7, 9), (0, 0)]


@pytest.mark.parametrize(
    ("values", "form"),
    [
        ([[0.0, 0, 20, 30], [30, 40, 60, 70]], None),
        ([[0.0, 0, 20, 30], [30, 40, 60, 70]], BoxFormat.XYXY),
        ([[0.0, 0, 20, 30], [30, 40, 30, 30]], BoxFormat.XYWH),
        ([[10.0, 15, 20, 30], [45, 55, 30, 30]], BoxFormat.CXCYWH),
    ],
)
def test_blocks_relative_to_boxes_of_any_format(values, form):
    given = target() | {"boxes": torch.tensor(values) if form is None else boxes(values, form)}
    made, _ = TorchvisionBlocks(LimbBlocks(relative_to="box"), generator=generator(1))(
        torch.zeros(3, HEIGHT, WIDTH), given
    )
    assert extents(made) == [(5, 7), (7, 7)]


@pytest.mark.parametrize("form", [*list(BoxFormat)[:3], "coco", "pascal_voc"])
def test_blocks_anywhere_are_in_the_boxes_of_any_format(form):
    values = {
        BoxFormat.XYXY: [40.0, 30, 50, 60],
        BoxFormat.XYWH: [40.0, 30, 10, 30],
        BoxFormat.CXCYWH: [45.0, 45, 10, 30],
        "coco": [40.0, 30, 10, 30],
        "pascal_voc": [40.0, 30, 50, 60],
    }[form]
    blocks = LimbBlocks(joint_share=1.0, size=0.1, placement="anywhere")
    if isinstance(form, str):
        image = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
        transform = AlbumentationsBlocks(blocks, generator=generator(), bbox_format=form)
        made = torch.from_numpy(transform(image=image, bboxes=[values], **flat(1))["image"]).movedim(-1, 0)
    else:
        given = target(1) | {"boxes": boxes([values], form)}
        made, _ = TorchvisionBlocks(blocks, generator=generator())(torch.zeros(3, HEIGHT, WIDTH), given)
    rows, columns = made.amax(0).nonzero().T
    assert 26 <= rows.min() <= rows.max() <= 64 and 37 <= columns.min() <= columns.max() <= 53


def test_torchvision_style_refusals():
    image = torch.zeros(3, HEIGHT, WIDTH)
    blocks = TorchvisionBlocks(LimbBlocks(relative_to="box"))
    with pytest.raises(OccluposeError, match=r"give an image as a tensor \(.*\) and a target with keypoints$"):
        blocks(np.zeros((HEIGHT, WIDTH, 3)), target())
    with pytest.raises(OccluposeError, match=r"give an image as a tensor"):
        blocks(image)
    with pytest.raises(OccluposeError, match=r"^image of 1 x 80 x 60: must be 3 x height x width$"):
        blocks(image[:1], target())
    with pytest.raises(
        OccluposeError, match=r"^keypoints in the target: none; give person x 17 joints \(coco17\) x 2 or 3$"
    ):
        blocks(image, {})
    with pytest.raises(
        OccluposeError, match=r"^keypoints in the target: 2 x 17 x 3; give person x 14 joints \(crowdpose14\) x 2 or 3$"
    ):
        TorchvisionBlocks(skeleton=CROWDPOSE14)(image, target())
    with pytest.raises(OccluposeError, match=r"no boxes were given"):
        blocks(image, {"keypoints": people()})
    with pytest.raises(OccluposeError, match=r"^boxes in the format XYWHR: give XYXY, XYWH or CXCYWH$"):
        blocks(image, target() | {"boxes": boxes([[0.0, 0, 20, 30, 0]] * 2, BoxFormat.XYWHR)})


def flat(count=2):
    """As Albumentations has keypoints: one after the other."""
    keypoints = people(count).reshape(-1, 3).numpy()
    return {"keypoints": keypoints[:, :2], "visibility": keypoints[:, 2]}


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
@pytest.mark.parametrize("form", [np.asarray, list, lambda values: list(map(tuple, np.atleast_2d(values).tolist()))])
def test_albumentations_style(dtype, form):
    given = {"image": np.zeros((HEIGHT, WIDTH, 3), dtype), "mask": object(), "class_labels": [1, 2]}
    given |= {"keypoints": form(flat()["keypoints"]), "visibility": flat()["visibility"].astype(int).tolist()}
    made = AlbumentationsBlocks(LimbBlocks(size=0.1), generator=generator(1))(**given)
    assert made.keys() == given.keys() and all(made[name] is given[name] for name in given if name != "image")
    assert not given["image"].any() and made["image"].dtype == dtype
    assert extents(made["image"].transpose(2, 0, 1).astype(np.float32)) == [(7, 9), (7, 9)]
    assert made["image"].max() <= (255 if dtype == np.uint8 else 1)


def test_albumentations_style_with_people_apart_and_numbers_behind():
    image = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    xy = people().numpy()[..., :2]
    state = people().numpy()[..., 2]
    made = AlbumentationsBlocks(LimbBlocks(size=0.1), generator=generator(1))(
        image=image, keypoints=xy, visibility=state
    )
    flat_and_angled = np.concatenate([xy, np.ones((2, 17, 2))], -1).reshape(-1, 4)
    again = AlbumentationsBlocks(LimbBlocks(size=0.1), generator=generator(1))(
        image=image, keypoints=flat_and_angled, visibility=state
    )
    np.testing.assert_array_equal(made["image"], again["image"])
    assert made["image"].any()


@pytest.mark.parametrize(
    ("form", "values"),
    [("coco", [[0, 0, 20, 30, 7], [30, 40, 30, 30, 7]]), ("pascal_voc", [[0, 0, 20, 30], [30, 40, 60, 70]])],
)
def test_albumentations_style_with_boxes(form, values):
    transform = AlbumentationsBlocks(LimbBlocks(relative_to="box"), generator=generator(1), bbox_format=form)
    made = transform(image=np.zeros((HEIGHT, WIDTH, 3), np.uint8), bboxes=values, **flat())
    assert extents(made["image"].transpose(2, 0, 1).copy()) == [(5, 7), (7, 7)]
    assert made["bboxes"] is values


def test_nobody_in_the_image():
    image = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    for blocks in (LimbBlocks(), LimbBlocks(relative_to="box")):
        assert not AlbumentationsBlocks(blocks)(image=image, keypoints=[], visibility=[], bboxes=[])["image"].any()
        given = {"keypoints": torch.zeros(0, 17, 3), "boxes": torch.zeros(0, 4)}
        assert not TorchvisionBlocks(blocks)(torch.zeros(3, HEIGHT, WIDTH), given)[0].any()


def test_albumentations_style_refusals():
    image = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    transform = AlbumentationsBlocks(LimbBlocks(relative_to="box"))
    with pytest.raises(
        OccluposeError, match=r"^visibility: not given; blocks on limbs need image, keypoints and v of each keypoint"
    ):
        transform(image=image, keypoints=flat()["keypoints"])
    with pytest.raises(
        OccluposeError, match=r"^33 keypoints: coco17 has 17 for each person; keep those .* \(remove_invisible=False\)$"
    ):
        transform(image=image, keypoints=flat()["keypoints"][1:], visibility=flat()["visibility"])
    with pytest.raises(OccluposeError, match=r"^34 keypoints, but v of 33 under visibility; give one for each$"):
        transform(image=image, keypoints=flat()["keypoints"], visibility=flat()["visibility"][1:])
    with pytest.raises(OccluposeError, match=r"^1 bboxes for 2 people; these blocks need one for each$"):
        transform(image=image, **flat(), bboxes=[[0, 0, 20, 30]])
    with pytest.raises(OccluposeError, match=r"^bbox_format yolo: not known; known are coco, pascal_voc$"):
        AlbumentationsBlocks(bbox_format="yolo")


class Covered(torch.utils.data.Dataset):
    """The same person again and again, covered by either transform."""

    def __len__(self):
        return 8

    def __getitem__(self, number):
        first, _ = TorchvisionBlocks()(torch.zeros(3, HEIGHT, WIDTH), target())
        second = AlbumentationsBlocks()(image=np.zeros((HEIGHT, WIDTH, 3), np.float32), **flat())["image"]
        return first, torch.from_numpy(second)


def test_workers_of_a_data_loader_draw_differently_and_again_the_same():
    runs = []
    for _ in range(2):
        batches = list(
            DataLoader(Covered(), batch_size=1, num_workers=2, generator=generator(3), multiprocessing_context="fork")
        )
        runs.append([[image.sum().item() for image in batch] for batch in batches])
    assert runs[0] == runs[1]
    for kind in (0, 1):
        assert len({sums[kind] for sums in runs[0]}) == 8


def test_a_generator_that_is_given_decides():
    image = torch.zeros(3, HEIGHT, WIDTH)
    array = np.zeros((HEIGHT, WIDTH, 3))
    for make in (
        lambda seed: TorchvisionBlocks(generator=generator(seed))(image, target())[0].numpy(),
        lambda seed: AlbumentationsBlocks(generator=generator(seed))(image=array, **flat())["image"],
    ):
        np.testing.assert_array_equal(make(1), make(1))
        assert (make(1) != make(2)).any()
