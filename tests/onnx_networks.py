"""Small ONNX networks with the inputs and outputs of published ones, which find what tests paint.

A painted joint or person is a patch with a colour of its own in red and green; blue is its confidence. The networks
undo the normalisation that they are made for and look for these colours, so that another order of the channels, other
means or another size of the image finds nothing, or in other places.
"""

import json
from pathlib import Path

import numpy as np
import onnx
import torch
from onnx import helper, numpy_helper
from torch import nn
from torch.nn import functional

IMAGENET = ((123.675, 116.28, 103.53), (58.395, 57.12, 57.375))
IMAGENET_BGR = tuple(values[::-1] for values in IMAGENET)
PIXELS = ((0.0, 0.0, 0.0), (1.0, 1.0, 1.0))
TOLERANCE = 1.5
"""Of a colour: less than between two patches, or between a patch and its edge where it is mixed with black."""


def colour(number, confidence):
    """Of joint or person `number`; neither black nor the usual greys."""
    return np.array([15 + 8 * (number % 28), 100 + 8 * (number // 28), round(255 * confidence)], np.uint8)


def paint(image, number, left, top, right, bottom, confidence):
    """Paints a patch: pixels from `left` to before `right`."""
    image[top:bottom, left:right] = colour(number, confidence)


class Finder(nn.Module):
    """Finds patches by their colours.

    Arguments:
        count: of joints or people.
        scaling: mean and standard deviation, in the order of the channels.
        order: "rgb" or "bgr".
    """

    def __init__(self, count, scaling=IMAGENET, order="rgb"):
        super().__init__()
        codes = np.array([colour(number, 0)[:2] for number in range(count)], np.float32)
        self.register_buffer("codes", torch.from_numpy(codes))
        self.register_buffer("mean", torch.tensor(scaling[0]).view(3, 1, 1))
        self.register_buffer("std", torch.tensor(scaling[1]).view(3, 1, 1))
        self.order = order

    def find(self, x):
        """Masks (image, patch, y, x) and confidences (image, patch); float32."""
        pixels = x.float() * self.std.float() + self.mean.float()
        red, green, blue = pixels.unbind(1) if self.order == "rgb" else pixels.flip(1).unbind(1)
        far = (red[:, None] - self.codes[:, 0, None, None].float()).abs()
        far = torch.maximum(far, (green[:, None] - self.codes[:, 1, None, None].float()).abs())
        mask = (far < TOLERANCE).float()
        area = mask.sum((2, 3)).clamp(min=1)
        return mask, (mask * blue[:, None]).sum((2, 3)) / area / 255


def centres(mask):
    """Middle of each mask, x and y, px."""
    area = mask.sum((2, 3)).clamp(min=1)
    x = (mask.sum(2) * torch.arange(mask.shape[3])).sum(2) / area
    y = (mask.sum(3) * torch.arange(mask.shape[2])).sum(2) / area
    return torch.stack([x, y], -1)


def edges(mask):
    """Left, top, right, bottom of each mask, px from the edge of the image; 0 where it is empty."""
    columns = mask.amax(2)
    rows = mask.amax(3)

    def ends(line):
        index = torch.arange(line.shape[2], dtype=torch.float32)
        first = torch.where(line > 0, index, line.shape[2]).amin(2)
        last = torch.where(line > 0, index + 1, 0).amax(2)
        return torch.minimum(first, last), last

    left, right = ends(columns)
    top, bottom = ends(rows)
    return torch.stack([left, top, right, bottom], -1)


class SimCC(Finder):
    """Two profiles for each joint, as RTMPose has them: `split` classes per px."""

    def __init__(self, count, scaling=IMAGENET, order="rgb", split=2):
        super().__init__(count, scaling, order)
        self.split = split

    def forward(self, x):
        mask, score = self.find(x)
        classes = (centres(mask) * self.split).round().long()
        across = functional.one_hot(classes[..., 0], int(mask.shape[3] * self.split))
        down = functional.one_hot(classes[..., 1], int(mask.shape[2] * self.split))
        return (across * score[..., None]).to(self.mean.dtype), (down * score[..., None]).to(self.mean.dtype)


class UDPMaps(Finder):
    """Heatmaps as ViTPose has them: a Gaussian of 2 cells, four px of the crop for each, corners on corners."""

    def forward(self, x):
        mask, score = self.find(x)
        height = mask.shape[2] // 4
        width = mask.shape[3] // 4
        scale = torch.tensor([(width - 1) / (mask.shape[3] - 1), (height - 1) / (mask.shape[2] - 1)])
        cells = centres(mask) * scale
        across = torch.exp(-((torch.arange(width) - cells[..., 0, None]) ** 2) / 8)
        down = torch.exp(-((torch.arange(height) - cells[..., 1, None]) ** 2) / 8)
        return score[..., None, None] * down[..., :, None] * across[..., None, :]


class Detections(Finder):
    """`dets` and `labels`, as MMDeploy's detectors have them. Of person k the label is k modulo `classes`."""

    def __init__(self, count, scaling=PIXELS, order="bgr", classes=1):
        super().__init__(count, scaling, order)
        self.classes = classes

    def forward(self, x):
        mask, score = self.find(x)
        labels = torch.arange(mask.shape[1]).remainder(self.classes).expand(mask.shape[0], -1)
        return torch.cat([edges(mask), score[..., None]], -1).to(self.mean.dtype), labels


class RawYOLOX(Finder):
    """YOLOX's output before it is decoded, of the cell of 8, 16 or 32 px where the person's centre is; person k has a
    cell of 8 * 2^(k % 3) px.
    """

    def __init__(self, count, scaling=PIXELS, order="bgr", classes=80):
        super().__init__(count, scaling, order)
        self.classes = classes

    def forward(self, x):
        mask, score = self.find(x)
        box = edges(mask)
        middle = (box[..., :2] + box[..., 2:]) / 2
        size = (box[..., 2:] - box[..., :2]).clamp(min=1e-3)
        height, width = mask.shape[2:]
        counts = [(width // stride) * (height // stride) for stride in (8, 16, 32)]
        rows = torch.zeros(mask.shape[0], sum(counts), 5 + self.classes)
        for person in range(mask.shape[1]):
            level = person % 3
            stride = 8 * 2**level
            cell = (middle[:, person] / stride).floor()
            index = sum(counts[:level]) + cell[:, 1] * (width // stride) + cell[:, 0]
            values = [middle[:, person] / stride - cell, (size[:, person] / stride).log()]
            confidence = functional.one_hot(torch.zeros(1, dtype=torch.long), self.classes).float()
            row = torch.cat([*values, score[:, person, None], confidence.expand(mask.shape[0], -1)], -1)
            onto = functional.one_hot(index.long(), sum(counts)).float()
            rows = rows + onto[..., None] * row[:, None]
        return rows


class People(Finder):
    """`dets` and `keypoints`, as RTMO has them: joint j of a person is j / joints of the way along the box's diagonal,
    with the confidence of the person times (j + 1) / joints.
    """

    def __init__(self, count, scaling=PIXELS, order="bgr", joints=17):
        super().__init__(count, scaling, order)
        self.joints = joints

    def forward(self, x):
        mask, score = self.find(x)
        box = edges(mask)
        way = torch.arange(self.joints) / self.joints
        points = box[..., None, :2] + (box[..., 2:] - box[..., :2])[..., None, :] * way[:, None]
        confidence = score[..., None] * (torch.arange(self.joints) + 1) / self.joints
        return torch.cat([box, score[..., None]], -1), torch.cat([points, confidence[..., None]], -1)


def export(file, network, *, width, height, outputs, batch=None, dtype=torch.float32):
    """The network in an ONNX file.

    Arguments:
        outputs: their names.
        batch: of the input; None: any.
        dtype: of the input.
    """
    file.parent.mkdir(parents=True, exist_ok=True)
    example = torch.zeros(batch or 2, 3, height, width, dtype=dtype)
    torch.onnx.export(
        network.eval(),
        (example,),
        file,
        dynamo=True,
        input_names=["input"],
        output_names=list(outputs),
        dynamic_shapes=None if batch else ({0: torch.export.Dim("batch")},),
        verbose=False,
        external_data=False,
    )
    return file


def write_json(path, content):
    """A JSON file; returns its path."""
    Path(path).write_text(json.dumps(content), encoding="utf-8")
    return Path(path)


def constant(file, outputs, *, shape=(1, 3, 64, 48), dtype=onnx.TensorProto.FLOAT, inputs=("input",)):
    """A network that gives these arrays whatever its inputs are.

    Arguments:
        outputs: arrays by name, in the order of the file.
        shape: of each input; words are free sides.
        dtype: of each input.
    """
    file.parent.mkdir(parents=True, exist_ok=True)
    nodes = []
    values = []
    for name, array in outputs.items():
        nodes.append(helper.make_node("Constant", [], [name], value=numpy_helper.from_array(np.asarray(array))))
        kind = helper.np_dtype_to_tensor_dtype(np.asarray(array).dtype)
        values.append(helper.make_tensor_value_info(name, kind, np.shape(array)))
    takes = [helper.make_tensor_value_info(name, dtype, shape) for name in inputs]
    graph = helper.make_graph(nodes, "constant", takes, values)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(model, file)
    return file
