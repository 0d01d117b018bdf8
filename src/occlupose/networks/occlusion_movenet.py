"""MoveNet Thunder for hidden joints: heatmaps that are dark where a joint cannot be seen, a second answer for where it
is then, and a third for whether it is visible.

The backbone, the heatmaps and their offsets are Thunder's (`networks.movenet`), for the joints of COCO21 and trained
further by `methods.movenet`. A heatmap has no peak at an occluded joint (OANet eq. 1). As in HUPOR, a second branch
infers the joints that cannot be seen: for each joint the probability of every place, in a grid that reaches beyond the
crop. It takes the part of the centre and the regression in Thunder's decoding: of several people's peaks it chooses the
person's. The same branch says at each place whether the joint would be visible there. The branch and the decoding are
ours.
"""

from typing import NamedTuple

import torch
from jaxtyping import Float, UInt8
from torch import Tensor, nn
from torch.nn import functional

from occlupose.networks.movenet import (
    SCALE,
    FeaturePyramid,
    MobileNetV2,
    Thunder,
    find_peaks,
    gather_positions,
    head,
)
from occlupose.skeletons import COCO21

JOINTS = len(COCO21)
SIDE = 256
"""Pixels, of the crop."""

PLACE_STRIDE = 8
"""Pixels between the cells of the places."""

MARGIN = 16
"""Cells by which the places reach beyond each edge of the crop."""

WIDTH = 96
"""Channels of the branch of places."""

FINE_WIDTH = 48
"""Channels of its last layers, at stride 8."""

WINDOW = 3
"""Cells of the places around the most likely one whose mean a hidden joint is at."""

FLOOR = 0.02
"""Weight of a peak where the place of the joint has the probability 0; 1 is the weight of the most likely place."""

FEATURES = 5
"""Numbers that the probability of a visible joint depends on."""


class Keypoints(NamedTuple):
    """What the network says of the person in the middle of each crop. Positions are px from the edge of the crop.

    Attributes:
        xy: of the peak of each joint's heatmap, where it would be seen.
        score: confidence of the peak, 0..1.
        visible: probability that the joint is visible; calibrated.
        place: the mean of the most likely places of each joint, wherever it is.
        covariance: of all places about it: variance of x, covariance, variance of y, px^2; calibrated.
        peaks, peak_score: as `movenet.find_peaks` returns them.
    """

    xy: Float[Tensor, "batch 21 2"]
    score: Float[Tensor, "batch 21"]
    visible: Float[Tensor, "batch 21"]
    place: Float[Tensor, "batch 21 2"]
    covariance: Float[Tensor, "batch 21 3"]
    peaks: Float[Tensor, "batch 21 4 2"]
    peak_score: Float[Tensor, "batch 21 4"]


class Maps(NamedTuple):
    """Outputs of the layers.

    Attributes:
        heads: heatmaps (logits) and offsets, as Thunder's.
        places: log probabilities of the cells, which begin MARGIN cells before the crop.
        visible: logit that each joint is visible: the mean over the places.
    """

    heads: dict[str, Float[Tensor, "batch channel 64 64"]]
    places: Float[Tensor, "batch 21 64 64"]
    visible: Float[Tensor, "batch 21"]


class OcclusionMoveNet(nn.Module):
    """The network. It starts as Thunder; see `start_from`."""

    def __init__(self) -> None:
        super().__init__()
        self.backbone = MobileNetV2(1.75)
        self.pyramid = FeaturePyramid(self.backbone.channels)
        self.heads = nn.ModuleDict({"heatmap": head(JOINTS), "offset": head(2 * JOINTS)})
        self.places = PlaceBranch(self.backbone.channels)
        self.visible_weight = nn.Parameter(torch.zeros(JOINTS, FEATURES), requires_grad=False)
        self.visible_bias = nn.Parameter(torch.zeros(JOINTS), requires_grad=False)
        self.spread = nn.Parameter(torch.ones(JOINTS), requires_grad=False)

    def start_from(self, thunder: Thunder) -> None:
        """Copies Thunder's weights. The joints of the feet begin as ankles."""
        self.backbone.load_state_dict(thunder.backbone.state_dict())
        self.pyramid.load_state_dict(thunder.pyramid.state_dict())
        rows = COCO21.index(*COCO21.joints[:17], *(f"{joint.split('_')[0]}_ankle" for joint in COCO21.joints[17:]))
        both = [2 * row + axis for row in rows for axis in (0, 1)]
        for name, order in (("heatmap", rows), ("offset", both)):
            state = thunder.heads[name].state_dict()
            self.heads[name].load_state_dict(
                {key: value[order] if key.startswith("2.") else value for key, value in state.items()}
            )

    def maps(self, images: UInt8[Tensor, "batch 256 256 3"]) -> Maps:
        """What the layers say, before decoding."""
        x = images.permute(0, 3, 1, 2).float() * SCALE - 1
        features = self.backbone(x)
        fine = self.pyramid(features)
        heads = {name: layers(fine) for name, layers in self.heads.items()}
        places, visible = self.places(features)
        places = places.float().flatten(2).log_softmax(2)
        there = (places.detach().exp() * visible.float().flatten(2)).sum(2)
        return Maps(heads, places.unflatten(2, visible.shape[2:]), there)

    def forward(self, images: UInt8[Tensor, "batch 256 256 3"]) -> Keypoints:
        """Keypoints of the person in the middle of each RGB crop."""
        return self.decode(self.maps(images))

    def decode(self, maps: Maps) -> Keypoints:
        """Keypoints from the outputs of `maps`."""
        heatmap = maps.heads["heatmap"].sigmoid()
        probability = maps.places.exp()
        near = functional.avg_pool2d(probability, 3, 1, 1)
        cell = (heatmap * peak_weights(near)).flatten(2).argmax(2)
        score = heatmap.flatten(2).gather(2, cell[..., None])[..., 0]
        xy = gather_positions(maps.heads["offset"], cell[:, None], heatmap.shape[3], JOINTS)[:, 0]
        place = likely_place(probability, near)
        covariance = covariance_about(place, probability)
        covariance = covariance * self.spread[:, None] ** 2
        features = visibility_features(score, xy, place, covariance, maps.visible)
        visible = ((features * self.visible_weight).sum(2) + self.visible_bias).sigmoid()
        return Keypoints(xy, score, visible, place, covariance, *find_peaks(maps.heads, JOINTS))


class PlaceBranch(nn.Module):
    """For each joint the places where it may be, and whether it would be visible there, from the features of the
    backbone at strides 32, 16 and 8.

    The features are padded to the margin, and kernels of 7 x 7 cells at stride 32 reach over the whole crop.
    """

    def __init__(self, channels: tuple[int, ...]) -> None:
        super().__init__()
        widths = (WIDTH, WIDTH, FINE_WIDTH)
        self.lateral = nn.ModuleList(
            nn.Conv2d(into, width, 1) for into, width in zip(channels[:0:-1], widths, strict=True)
        )
        self.mix = nn.ModuleList([Mixer(7), Mixer(7), Mixer(7), Mixer(5)])
        self.narrow = nn.Conv2d(WIDTH, FINE_WIDTH, 1)
        self.filter = nn.Conv2d(FINE_WIDTH, FINE_WIDTH, 3, padding=1, groups=FINE_WIDTH)
        self.out = nn.Conv2d(FINE_WIDTH, 2 * JOINTS, 1)

    def forward(
        self, features: list[Float[Tensor, "batch channel y x"]]
    ) -> tuple[Float[Tensor, "batch 21 64 64"], Float[Tensor, "batch 21 64 64"]]:
        padded = [
            functional.pad(lateral(feature), [margin] * 4)
            for lateral, feature, margin in zip(self.lateral, features[:0:-1], (4, 8, 16), strict=True)
        ]
        x = self.mix[1](self.mix[0](padded[0]))
        x = self.mix[3](self.mix[2](_double(x) + padded[1]))
        x = _double(self.narrow(x)) + padded[2]
        x = x + self.filter(functional.relu(x))
        places, visible = self.out(functional.relu(x)).chunk(2, 1)
        return places, visible


class Mixer(nn.Module):
    """A residual block: a filter for each channel, then two mixtures of channels (MobileNetV2's, the other way
    round).
    """

    def __init__(self, kernel: int) -> None:
        super().__init__()
        self.filter = nn.Conv2d(WIDTH, WIDTH, kernel, padding=kernel // 2, groups=WIDTH)
        self.widen = nn.Conv2d(WIDTH, 2 * WIDTH, 1)
        self.narrow = nn.Conv2d(2 * WIDTH, WIDTH, 1)

    def forward(self, x: Float[Tensor, "batch channel y x"]) -> Float[Tensor, "batch channel y x"]:
        return x + self.narrow(functional.relu(self.widen(self.filter(functional.relu(x)))))


def _double(x: Tensor) -> Tensor:
    return functional.interpolate(x, scale_factor=2.0, mode="bilinear", align_corners=False)


def peak_weights(near: Float[Tensor, "batch 21 64 64"]) -> Float[Tensor, "batch 21 64 64"]:
    """Weight of each cell of the heatmaps by how likely the joint's place is near it: from FLOOR to 1.

    Arguments:
        near: mean probability of each cell of the places and its neighbours.
    """
    inside = _double(near[:, :, MARGIN:-MARGIN, MARGIN:-MARGIN])
    return FLOOR + (1 - FLOOR) * inside / near.amax((2, 3), keepdim=True)


def likely_place(
    probability: Float[Tensor, "batch 21 64 64"], near: Float[Tensor, "batch 21 64 64"]
) -> Float[Tensor, "batch 21 2"]:
    """Mean of the places within WINDOW cells of the most likely one, px from the edge of the crop. A mean over all
    would lie between two places that are both likely.

    Arguments:
        near: as for `peak_weights`.
    """
    count = near.shape[3]
    mode = near.flatten(2).argmax(2)
    window = torch.arange(-WINDOW, WINDOW + 1, device=near.device)
    rows = (mode[..., None] // count + window).clamp(0, count - 1)
    columns = (mode[..., None] % count + window).clamp(0, count - 1)
    cells = (rows[..., :, None] * count + columns[..., None, :]).flatten(2)
    weight = probability.flatten(2).gather(2, cells).unflatten(2, (len(window), len(window)))
    weight = weight / weight.sum((2, 3), keepdim=True)
    x = (weight.sum(2) * columns).sum(2)
    y = (weight.sum(3) * rows).sum(2)
    return PLACE_STRIDE * (torch.stack([x, y], 2) + 0.5 - MARGIN)


def covariance_about(
    place: Float[Tensor, "batch 21 2"], probability: Float[Tensor, "batch 21 64 64"]
) -> Float[Tensor, "batch 21 3"]:
    """Second moments (xx, xy, yy) of the places about one of them, px^2."""
    count = probability.shape[3]
    steps = torch.arange(count, dtype=probability.dtype, device=probability.device)
    cells = PLACE_STRIDE * (steps + 0.5 - MARGIN)
    dx = cells - place[..., :1]
    dy = cells - place[..., 1:]
    own = PLACE_STRIDE**2 / 12  # of a cell
    xx = (probability.sum(2) * dx**2).sum(2) + own
    yy = (probability.sum(3) * dy**2).sum(2) + own
    xy = ((probability @ dx[..., None])[..., 0] * dy).sum(2)
    return torch.stack([xx, xy, yy], 2)


def visibility_features(
    score: Float[Tensor, "batch 21"],
    xy: Float[Tensor, "batch 21 2"],
    place: Float[Tensor, "batch 21 2"],
    covariance: Float[Tensor, "batch 21 3"],
    visible: Float[Tensor, "batch 21"],
) -> Float[Tensor, "batch 21 5"]:
    """What tells whether a joint is visible: the logit of its peak, the logarithm of the spread of its place, the
    distance of the two in that spread, the logit of the mean confidence of the person's joints, and the network's own
    answer.
    """
    logit = _logit(score)
    spread = (covariance[..., 0] + covariance[..., 2]).sqrt()
    apart = (xy - place).square().sum(2).sqrt() / spread
    everybody = _logit(score.mean(1, keepdim=True)).expand_as(logit)
    return torch.stack([logit, spread.log(), apart.clamp_max(5), everybody, visible], 2)


def _logit(x: Tensor) -> Tensor:
    x = x.clamp(1e-4, 1 - 1e-4)
    return (x / (1 - x)).log()
