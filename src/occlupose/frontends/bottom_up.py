"""Bottom-up keypoint networks (`networks.bottom_up`) as a front end: everybody in an image at once, and with a reasoner
their hidden joints, from a file of `occlupose train dsed` or `occlupose convert checkpoint`.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor
from torch.nn.functional import interpolate

from occlupose.codecs.associative_embedding import group_people
from occlupose.codecs.composite_people import MIN_VOTE, LimbVotes, connect_people
from occlupose.codecs.heatmaps import check_numbers, values_at
from occlupose.codecs.letterbox import Letterbox
from occlupose.codecs.multi_person import MultiPersonMaps
from occlupose.detections import Detections
from occlupose.errors import OccluposeError
from occlupose.media import Frame
from occlupose.networks.bottom_up import SIDE_STEP, ConnectedMaps, TaggedMaps, load
from occlupose.networks.pifpaf import PifPafFields
from occlupose.networks.precision import bf16_is_native
from occlupose.networks.weights import to_device
from occlupose.occlusion.confidence import MIN_CONFIDENCE
from occlupose.poses import ABSENT, OCCLUDED, VISIBLE
from occlupose.pyramid import Pyramid
from occlupose.skeletons import Skeleton

LONG_STEP = 64
"""The longer side of the input is a multiple of this, px, as published."""

MAX_ASPECT = 4
"""The longer side of the input is at most this many times as long as the shorter one (ours)."""

NAMES = {"pifpaf": "PifPaf", "hupor": "HUPOR"}
"""Of the bases that find people by connections, for messages."""

MIN_JOINTS = 2
"""People with fewer joints are dropped (ours)."""


@dataclass(frozen=True, eq=False)
class ImageMaps:
    """The networks' maps of one image.

    Attributes:
        visible, hidden: heatmaps of visible and of hidden joints.
        tags: of all joints; two of each with a mirrored image.
        matrix: from the image to the maps.
    """

    visible: Float[np.ndarray, "joint y x"]
    hidden: Float[np.ndarray, "joint y x"]
    tags: Float[np.ndarray, "joint y x tag"]
    matrix: Float[np.ndarray, "2 3"]


class BottomUpFrontend:
    """The networks of a weights file, as a `Frontend`.

    Arguments:
        file: .safetensors.
        scales: sizes of the input relative to that of training; the heatmaps of all are averaged, the tags are those of
            the size nearest to 1. HigherHRNet and HUPOR's supplement report 0.5, 1 and 2.
        flip: test-time augmentation by horizontal flip: slightly better, twice the time.
        device: torch device.

    Attributes:
        network: base and reasoner.
        skeleton: joints.
        min_joint_confidence: least score of a visible joint.

    Raises:
        OccluposeError: no such file, or not weights of this network; an impossible scale, or any for PifPaf or HUPOR,
            which are not flipped either; no such device.
    """

    min_joint_confidence = MIN_CONFIDENCE

    def __init__(
        self, file: Path, *, scales: Sequence[float] = (1.0,), flip: bool = False, device: str = "cpu"
    ) -> None:
        if not scales or not all(np.isfinite(scale) and scale > 0 for scale in scales):
            raise OccluposeError(f"scales {', '.join(map(str, scales))}: must be one or more positive numbers")
        network = to_device(load(file), device)
        family = network.design.family
        if family != "higherhrnet" and (flip or tuple(scales) != (1.0,)):
            raise OccluposeError(f"{file}: {NAMES[family]} has no flip and no scales; leave them out")
        self.network = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.name = str(file)
        self.skeleton: Skeleton = network.design.joints
        self.scales = tuple(scales)
        self._device = device
        self._flip = flip

    def reset(self) -> None:
        """Frames are independent."""

    def __call__(self, frame: Frame) -> Detections:
        """The people in this frame.

        A joint's score is the height of the heatmap of visible joints, so it is low for a hidden joint that the
        reasoner has found; a person's is the mean height of all joints, visible and hidden. An absent joint has a score
        of 0 and lies in the middle of the others.

        Raises:
            OccluposeError: the networks' output is not a number.
        """
        if self.network.design.family != "higherhrnet":
            return self._connect(frame.pyramid)
        return place_tagged(self.predict_maps(frame.pyramid), self.skeleton)

    @torch.inference_mode()
    def _connect(self, image: Pyramid) -> Detections:
        """The people in an image, by connections."""
        box = input_of(image.size, self.network.design.side)
        matrix = box.matrix(*image.size)
        maps = self._run(torch.from_numpy(box.warp(image, matrix))[None].to(self._device))
        assert isinstance(maps, ConnectedMaps)
        return place_connected(maps, self.network.design.codecs[0], matrix)

    def predict_maps(self, image: Pyramid) -> ImageMaps:
        """The networks' maps of an image: the mean over scales, and over the image and its mirror image."""
        box = input_of(image.size, self.network.design.side)
        matrix = box.matrix(*image.size)
        output = [self._predict_scale(image, box, matrix, scale) for scale in self.scales]
        nearest = int(np.argmin(np.abs(np.log(self.scales))))
        return ImageMaps(
            visible=torch.stack([maps.visible for maps in output]).mean(0).cpu().numpy(),
            hidden=torch.stack([maps.hidden for maps in output]).mean(0).cpu().numpy(),
            tags=output[nearest].tags.cpu().numpy(),
            matrix=matrix,
        )

    @torch.inference_mode()
    def _predict_scale(
        self, image: Pyramid, box: Letterbox, matrix: Float[np.ndarray, "2 3"], scale: float
    ) -> TaggedMaps:
        """The maps at one scale, without batch, with a last axis of tags, in the size of the input of scale 1."""
        width = _round_to(box.width * scale, SIDE_STEP)
        height = _round_to(box.height * scale, SIDE_STEP)
        ratio = np.array([width / box.width, height / box.height])
        resize = np.concatenate([np.diag(ratio), (ratio - 1)[:, None] / 2], 1)
        whole = resize[:, :2] @ matrix
        whole[:, 2] += resize[:, 2]
        images = torch.from_numpy(Letterbox(width, height).warp(image, whole))[None].to(self._device)
        maps = self._run(images)
        assert isinstance(maps, TaggedMaps)
        if self._flip:
            mirrored = self._run(images.flip(2))
            assert isinstance(mirrored, TaggedMaps)
            maps = self._with_mirrored(maps, mirrored)
        size = (box.height, box.width)
        return TaggedMaps(
            _resize(maps.visible, size)[0],
            _resize(maps.hidden, size)[0],
            _resize(maps.tags.flatten(0, 1)[None], size)[0].unflatten(0, maps.tags.shape[:2]).movedim(0, -1),
        )

    def _run(self, images: UInt8[Tensor, "1 height width 3"]) -> TaggedMaps | ConnectedMaps:
        kind = images.device.type
        with torch.autocast(kind, torch.bfloat16, enabled=bf16_is_native(kind)):
            maps: TaggedMaps | ConnectedMaps = self.network(images)
        return maps

    def _with_mirrored(self, maps: TaggedMaps, mirrored: TaggedMaps) -> TaggedMaps:
        """Mean heatmaps of an image and its mirror image, and the tags of both, as a batch of two."""
        partners = list(self.skeleton.mirror)
        return TaggedMaps(
            (maps.visible + mirrored.visible[:, partners].flip(-1)) / 2,
            (maps.hidden + mirrored.hidden[:, partners].flip(-1)) / 2,
            torch.cat([maps.tags, mirrored.tags[:, partners].flip(-1)]),
        )


def input_of(size: tuple[int, int], side: int) -> Letterbox:
    """The input for an image of this width and height: `side` is its shorter side, px; the longer one is as long as the
    image needs (Cheng section 4.1).
    """
    short = min(size)

    def fitted(length: int) -> int:
        if length == short:
            return side
        return math.ceil(side * min(length / short, MAX_ASPECT) / LONG_STEP) * LONG_STEP

    return Letterbox(fitted(size[0]), fitted(size[1]))


def place_tagged(maps: ImageMaps, skeleton: Skeleton) -> Detections:
    """The people in an image, in its pixels, from its maps: peaks of the heatmaps of all joints, the sum of visible and
    hidden, are grouped by tags.

    A joint is visible where the heatmap of visible joints is at least half as high as that of all joints, else occluded
    (ours, as in HUPOR's `decode`).

    Raises:
        OccluposeError: maps with NaN or infinite values.
    """
    check_numbers(visible=maps.visible, hidden=maps.hidden)
    people = group_people(maps.visible + maps.hidden, maps.tags, skeleton)
    return _place(people.xy, people.score, values_at(maps.visible, people.xy), maps.matrix, skeleton)


def place_connected(maps: ConnectedMaps, codec: MultiPersonMaps, matrix: Float[np.ndarray, "2 3"]) -> Detections:
    """The people in an image, in its pixels, from fields and the reasoner's maps, by PifPaf's decoder; states as
    `place_tagged`.

    Arguments:
        maps: of one image.
        codec: of the maps.
        matrix: from the image to the input.

    Raises:
        OccluposeError: maps with NaN or infinite values.
    """
    visible = maps.visible[0].cpu().numpy()
    hidden = maps.hidden[0].cpu().numpy()
    check_numbers(visible=visible, hidden=hidden)
    if maps.composite is not None:
        _check_composite(maps.composite)
    people = connect_people(
        visible + hidden,
        maps.fields[0].cpu().numpy(),
        _votes(maps),
        list(zip(*codec.limbs, strict=True)),
    )
    return _place(codec.to_pixels(people.xy), people.score, values_at(visible, people.xy), matrix, codec.skeleton)


def _check_composite(fields: PifPafFields) -> None:
    """Refuses fields that are not numbers; in the sums above, a cell without a confidence has no votes.

    Raises:
        OccluposeError: NaN or infinite values; names the field.
    """
    for name, field in (("joints", fields.joints), ("limbs", fields.limbs)):
        parts = {"confidence": field.confidence, "offset": field.offset, "scale": field.scale, "spread": field.spread}
        known = {part: values for part, values in parts.items() if values is not None}
        check_numbers(**{f"{part} of {name}": values.float().cpu().numpy() for part, values in known.items()})


def _votes(maps: ConnectedMaps) -> list[LimbVotes]:
    """The confident cells of each limb of the first image, in cells of the maps; none without association fields."""
    if maps.composite is None:
        return [LimbVotes(np.zeros(0), np.zeros((0, 2, 2)), np.zeros((0, 2)))] * maps.fields.shape[1]
    limbs = maps.composite.limbs
    ratio = maps.visible.shape[-1] / limbs.confidence.shape[-1]
    confidence = limbs.confidence[0].float().sigmoid().cpu().numpy()
    offset = limbs.offset[0].float().cpu().numpy()
    assert limbs.spread is not None
    spread = ratio * limbs.spread[0].float().exp().cpu().numpy()
    votes = []
    for heights, offsets, spreads in zip(confidence, offset, spread, strict=True):
        y, x = np.nonzero(heights > MIN_VOTE)
        cells = np.stack([x, y], -1)
        ends = ratio * (offsets[..., y, x].transpose(2, 0, 1) + cells[:, None] + 0.5) - 0.5
        votes.append(LimbVotes(heights[y, x], ends, spreads[:, y, x].T))
    return votes


def _place(
    xy: Float[np.ndarray, "person joint 2"],
    height: Float[np.ndarray, "person joint"],
    visible: Float[np.ndarray, "person joint"],
    matrix: Float[np.ndarray, "2 3"],
    skeleton: Skeleton,
) -> Detections:
    """People in pixels of the input, as detections in the image.

    Arguments:
        xy: NaN where a joint is absent.
        height: of the maps of all joints there.
        visible: of the maps of visible joints there.
        matrix: from the image to the input.
    """
    known = np.isfinite(xy).all(-1)
    enough = known.sum(-1) >= MIN_JOINTS
    known = known[enough]
    xy = xy[enough]
    height = height[enough]
    visible = np.where(known, visible[enough], 0)
    state = np.where(2 * visible >= height, VISIBLE, OCCLUDED)
    middle = np.where(known[..., None], xy, 0).sum(1) / known.sum(-1)[:, None]
    xy = np.where(known[..., None], xy, middle[:, None])
    return Detections(
        skeleton=skeleton,
        xy=((xy - matrix[:, 2]) @ np.linalg.inv(matrix[:, :2]).T).astype(np.float32),
        score=visible.clip(0, 1).astype(np.float32),
        state=np.where(known, state, ABSENT).astype(np.uint8),
        box_score=height.mean(-1).clip(0, 1).astype(np.float32),
    )


def _round_to(length: float, step: int) -> int:
    """The multiple of a step nearest to a length, at least one step."""
    return max(round(length / step), 1) * step


def _resize(maps: Float[Tensor, "batch channel _ _"], size: tuple[int, int]) -> Float[Tensor, "batch channel y x"]:
    return maps if maps.shape[2:] == size else interpolate(maps, size, mode="bilinear", align_corners=False)
