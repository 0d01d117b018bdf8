"""Networks with a known output: they find a bright dot, and put joint j at the dot moved by (j, -j) cells."""

import json
import shutil

import numpy as np
import pytest
import torch
from torch import nn

from occlupose.assets import demo_clip
from occlupose.errors import OccluposeError
from occlupose.frontends import build_frontend
from occlupose.frontends.crops import TopDownFrontend, estimate_regions
from occlupose.frontends.onnx import load_card, load_network
from occlupose.media import open_media
from occlupose.pyramid import Pyramid
from occlupose.skeletons import COCO17, CROWDPOSE14
from onnx_networks import constant

WIDTH = 96
HEIGHT = 128
STRIDE = 4
CARD = {
    "licence": "CC0-1.0",
    "skeleton": "coco17",
    "width": WIDTH,
    "height": HEIGHT,
    "mean": [0, 0, 0],
    "std": [255, 255, 255],
}
MOVED = np.stack([np.arange(17), -np.arange(17)], -1)  # of joint j, cells


class Heatmap(nn.Module):
    """Brightness of each cell, copied to joint j's map moved by (j, -j)."""

    def __init__(self, joints=17):
        super().__init__()
        self.pool = nn.AvgPool2d(STRIDE)
        self.move = nn.Conv2d(1, joints, 33, padding=16, bias=False)
        with torch.no_grad():
            self.move.weight.zero_()
            for joint in range(joints):
                self.move.weight[joint, 0, 16 + joint, 16 - joint] = 1

    def forward(self, image):
        return self.move(self.pool(image[:, :1]))


class Simcc(Heatmap):
    """The heatmap's profiles, two classes per cell."""

    def forward(self, image):
        maps = super().forward(image)
        return maps.amax(2).repeat_interleave(2, -1), maps.amax(3).repeat_interleave(2, -1)


class Coordinates(Heatmap):
    """The heatmap's centre of mass, as a fraction of the crop, and its peak."""

    def forward(self, image):
        maps = super().forward(image)
        mass = maps.sum((2, 3)).clamp(min=1e-6)
        x = (maps.sum(2) * (torch.arange(maps.shape[3]) + 0.5)).sum(-1) / mass / maps.shape[3]
        y = (maps.sum(3) * (torch.arange(maps.shape[2]) + 0.5)).sum(-1) / mass / maps.shape[2]
        return torch.stack([x, y, maps.amax((2, 3))], -1)


def export(folder, network, *, batch=None, **card):
    """The network in an ONNX file with its card; any batch, or a fixed one."""
    file = folder / "pose.onnx"
    torch.onnx.export(
        network.eval(),
        (torch.zeros(batch or 2, 3, HEIGHT, WIDTH),),
        file,
        dynamo=True,
        dynamic_shapes=None if batch else ({0: torch.export.Dim("batch")},),
        verbose=False,
        external_data=False,
    )
    file.with_suffix(".json").write_text(json.dumps(CARD | card))
    return file


def open_network(file):
    return load_network(str(file), threads=1)


def with_card(file, **card):
    """A copy of the network with another card."""
    copy = file.with_name("copy.onnx")
    shutil.copy(file, copy)
    copy.with_suffix(".json").write_text(json.dumps(CARD | card))
    return copy


@pytest.fixture(scope="module")
def heatmap(tmp_path_factory):
    return export(tmp_path_factory.mktemp("heatmap"), Heatmap(), codec="heatmap", grid="centres")


def dots(*centres, sigma=5.0, width=WIDTH, height=HEIGHT):
    """One image each, with a smooth dot centred there, px."""
    y, x = np.mgrid[:height, :width]
    blobs = [255 * np.exp(-((x - cx) ** 2 + (y - cy) ** 2) / (2 * sigma**2)) for cx, cy in centres]
    return np.repeat(np.round(blobs)[..., None], 3, -1).astype(np.uint8)


def test_heatmap(heatmap):
    network = open_network(heatmap)
    xy, score = network(dots((20.3, 90.6), (24.0, 99.0), (30.9, 85.1)))
    expected = np.array([[20.3, 90.6], [24, 99], [30.9, 85.1]])[:, None] + STRIDE * MOVED
    inside = (expected >= 6).all(-1) & (expected < [WIDTH - 6, HEIGHT - 6]).all(-1)
    # of a cell of 4 px; a parabola is not quite a Gaussian
    np.testing.assert_allclose(xy[inside], expected[inside], atol=0.35)
    assert ((score[inside] > 0.8) & (score[inside] <= 1)).all()


@pytest.mark.parametrize(
    ("grid", "expected"),
    [("stride", (8 * 4, 19 * 4)), ("centres", (33.5, 77.5)), ("corners", (8 * 95 / 23, 19 * 127 / 31))],
)
def test_heatmap_grids_differ_by_where_a_cell_lies(heatmap, grid, expected):
    # cell (8, 19) of 24 x 32
    xy, _ = open_network(with_card(heatmap, codec="heatmap", grid=grid))(dots((33.5, 77.5)))
    np.testing.assert_allclose(xy[0, 0], expected, atol=0.01)


def test_simcc(tmp_path):
    network = open_network(export(tmp_path, Simcc(), codec="simcc"))
    xy, score = network(dots((33.5, 77.5)))
    np.testing.assert_allclose(xy[0, :8], (np.array([8, 19]) + MOVED[:8]) * STRIDE)  # the first class of the cell
    assert (score[0, :8] > 0.8).all()


def test_coordinates_one_by_one(tmp_path):
    network = open_network(export(tmp_path, Coordinates(), batch=1, codec="coordinates", unit="fraction"))
    xy, score = network(dots((30.3, 90.6), (40.0, 80.0)))
    np.testing.assert_allclose(xy[:, :4], np.array([[30.3, 90.6], [40, 80]])[:, None] + STRIDE * MOVED[:4], atol=0.05)
    assert (score[:, :4] > 0.8).all()


def test_channel_order(tmp_path):
    file = export(tmp_path, Heatmap(), codec="heatmap", channels="bgr")
    red = dots((33.5, 77.5)) * np.array([1, 0, 0], np.uint8)
    network = open_network(file)
    assert network(red)[1].max() < 0.01  # its first channel is blue
    assert network(red[..., ::-1])[1].max() > 0.8


@pytest.mark.parametrize("turn", [0.0, 0.7])
def test_joints_come_back_to_where_they_are_in_the_image(heatmap, turn):
    image = dots((411.0, 287.0), sigma=11.0, width=640, height=480)[0]
    regions = np.array([[400.0, 300.0, 400 + 100 * np.sin(turn), 300 - 100 * np.cos(turn)]])
    seen = estimate_regions(open_network(heatmap), Pyramid(image), regions)
    cell = STRIDE * 200 * 1.25 / HEIGHT  # px of the image
    np.testing.assert_allclose(seen.xy[0, :5], [411, 287] + MOVED[:5] * cell, atol=0.5)


def test_nobody(heatmap):
    seen = estimate_regions(open_network(heatmap), Pyramid(dots((5, 5))[0]), np.zeros((0, 4)))
    assert seen.xy.shape == (0, 17, 2)
    assert seen.regions.shape == (0, 4)


def refused(file, pattern):
    with pytest.raises(OccluposeError, match=pattern) as caught:
        open_network(file)
    assert "\n" not in str(caught.value)


def test_refuses_a_missing_card(heatmap, tmp_path):
    file = tmp_path / "bare.onnx"
    file.write_bytes(heatmap.read_bytes())
    refused(
        file,
        r"bare\.json: no card for the network; say what it is \(rtmpose:bare\.onnx, vitpose:bare\.onnx, .*\)"
        r" or write one, docs/front-ends\.md shows how$",
    )


@pytest.mark.parametrize(
    ("change", "pattern"),
    [
        ({"skeleton": CROWDPOSE14.name}, r"its output is .*17.*; the card says heatmap of 14 joints \(crowdpose14\)"),
        ({"width": 100}, r"takes images of 96 x 128; its card says 100 x 128$"),
        ({"codec": "simcc"}, r"the card says simcc of 17 joints"),
        ({"codec": "tea"}, r"codec: must be heatmap, msra, udp, simcc, coordinates, boxes, yolox or people$"),
        ({"padding": 0.5}, r"padding: input should be greater than or equal to 1"),
        ({"std": [1, 0, 1]}, r"std\.1: input should be greater than 0"),
        ({"size": 3}, r"size: extra inputs are not permitted"),
        ({"skeleton": "centaur"}, r"centaur"),
    ],
)
def test_refuses_a_card_that_does_not_fit(heatmap, change, pattern):
    refused(with_card(heatmap, **{"codec": "heatmap"} | change), pattern)


@pytest.mark.parametrize(
    ("codec", "outputs"),
    [
        ("heatmap", {"output": np.zeros((1, 17, 0, 0), np.float32)}),
        ("msra", {"output": np.zeros((1, 17, 0, 12), np.float32)}),
        ("simcc", {name: np.zeros((1, 17, 0), np.float32) for name in ("simcc_x", "simcc_y")}),
    ],
)
def test_refuses_empty_maps(tmp_path, codec, outputs):
    file = constant(tmp_path / "empty.onnx", outputs, shape=(1, 3, HEIGHT, WIDTH))
    refused(with_card(file, codec=codec), rf"the card says {codec} of 17")


def test_refuses_a_card_that_is_not_json(heatmap, tmp_path):
    (tmp_path / "pose.json").write_text("{")
    with pytest.raises(OccluposeError, match=r"pose\.json: card: invalid json"):
        load_card(tmp_path / "pose.json")


def test_refuses_what_is_not_an_onnx_file(tmp_path):
    file = tmp_path / "pose.onnx"
    file.with_suffix(".json").write_text(json.dumps(CARD | {"codec": "heatmap"}))
    refused(file, r"pose\.onnx: no such file; give an ONNX network")
    file.write_bytes(b"not a network")
    refused(file, r"pose\.onnx: not an ONNX network that onnxruntime can run \(")


class Standing(nn.Module):
    """A standing figure, as high as the person's box, where the crop is bright anywhere."""

    def __init__(self):
        super().__init__()
        y = torch.tensor([-1.0, -1, -1, -1, -1, -0.6, -0.6, -0.3, -0.3, 0, 0, 0, 0, 0.5, 0.5, 1, 1])
        x = torch.tensor([0.0, *[0.2, -0.2] * 8])
        self.register_buffer("figure", 0.5 + torch.stack([x * 0.5, y * 0.5 / 1.25, 0 * x + 0.4], -1))

    def forward(self, image):
        return self.figure * (image.amax((1, 2, 3)) > 0)[:, None, None] + 0 * self.figure


@pytest.mark.assets
def test_people_are_found_and_followed(tmp_path):
    frontend = build_frontend(export(tmp_path, Standing(), codec="coordinates", unit="fraction"), threads=1)
    assert isinstance(frontend, TopDownFrontend)
    with open_media(demo_clip()) as source:
        for _, frame in zip(range(4), source, strict=False):
            people = frontend(frame)
            centres = people.xy[:, COCO17.index("left_hip", "right_hip")].mean(1)
            for player in ([420, 730], [800, 1180]):  # by eye
                assert np.linalg.norm(centres - player, axis=1).min() < 200
            np.testing.assert_allclose(people.score, 0.9, atol=1e-5)
