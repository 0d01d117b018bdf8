"""What the pixels did: optical flow at the joints of the people in a video, one frame after another."""

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol, get_args

import cv2
import numpy as np
from jaxtyping import Float, Int, UInt8

from occlupose.errors import OccluposeError
from occlupose.pyramid import Pyramid, window

if TYPE_CHECKING:  # imported where it is used: DIS does without
    from torch import Tensor, nn

__all__ = ["DIS", "RAFT", "Displacements", "Flow", "FlowMeter", "Name", "build", "raft"]

# about what the smallest person is shrunk to for the flow, by a whole factor: enough to tell limb from background
PERSON_PIXELS = 128
REGION_PIXELS = 100_000  # the most pixels a flow is computed on, so that a frame costs a few ms however large it is
PADDING = 0.25  # of the box side, added round each person
SMALLEST = 16  # px, the least side of what the flow is computed on
PATCH = 5  # px, side of the square round a joint over which the flow is averaged
# px: RAFT takes multiples of the one, and its features are correlated on four levels from the other on
RAFT_STEP = 8
RAFT_SMALLEST = 128

Name = Literal["dis", "raft-small", "raft-large"]
"""What `build` knows."""


class Flow(Protocol):
    """Dense optical flow between two pictures: any function like this will do."""

    def __call__(
        self, first: UInt8[np.ndarray, "height width 3"], second: UInt8[np.ndarray, "height width 3"]
    ) -> Float[np.ndarray, "height width 2"]:
        """How far, in px to the right and down, what is at each pixel of the first RGB picture has moved in the second.

        Pictures are crops of the people, of any size from 16 px a side.
        """
        ...


class DIS:
    """OpenCV's DIS flow (Kroeger et al., ECCV 2016) on the grey pictures: a few milliseconds on one thread."""

    def __init__(self) -> None:
        self._dis = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_FAST)

    def __call__(
        self, first: UInt8[np.ndarray, "height width 3"], second: UInt8[np.ndarray, "height width 3"]
    ) -> Float[np.ndarray, "height width 2"]:
        before, after = (cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY) for picture in (first, second))
        return self._dis.calc(before, after, np.zeros((*before.shape, 2), np.float32))


class RAFT:
    """A network of the RAFT kind (Teed and Deng, ECCV 2020) as a flow; `raft` has those of torchvision.

    Arguments:
        network: two batches of pictures (batch, 3, height, width) in -1..1, sides multiples of 8 and 128 or more, to a
            list of ever better flows (batch, 2, height, width) in px, of which the last is taken. Smaller and other
            sizes are padded with their edges.
    """

    def __init__(self, network: "nn.Module") -> None:
        self._network = network.eval()

    def __call__(
        self, first: UInt8[np.ndarray, "height width 3"], second: UInt8[np.ndarray, "height width 3"]
    ) -> Float[np.ndarray, "height width 2"]:
        import torch

        height, width = first.shape[:2]
        pad = [(0, max(RAFT_SMALLEST, math.ceil(side / RAFT_STEP) * RAFT_STEP) - side) for side in (height, width)]
        device = next((parameter.device for parameter in self._network.parameters()), torch.device("cpu"))

        def batch(picture: np.ndarray) -> "Tensor":
            padded = np.pad(picture, (*pad, (0, 0)), "edge").transpose(2, 0, 1)
            return torch.from_numpy(padded[None].astype(np.float32) / 127.5 - 1).to(device)

        with torch.inference_mode():
            field = self._network(batch(first), batch(second))[-1][0, :, :height, :width]
        return np.ascontiguousarray(field.permute(1, 2, 0).cpu().numpy())


def raft(size: Literal["small", "large"], *, pretrained: bool = True, device: str = "cpu") -> RAFT:
    """RAFT of torchvision, the optional dependency `occlupose[raft]`.

    Its weights are fetched by torchvision at first use and are no part of this package: they were trained on
    FlyingChairs and FlyingThings3D, which are for research only.

    Raises:
        OccluposeError: torchvision is missing or does not fit the installed torch; the weights cannot be fetched.
    """
    import torch

    try:
        from torchvision.models import optical_flow
    except (ImportError, OSError, RuntimeError) as error:  # built for another torch it fails in any of these ways
        reason = str(error).splitlines()[0]
        raise OccluposeError(
            f"flow raft-{size}: no torchvision that fits torch {torch.__version__} ({reason}); "
            "pip install 'occlupose[raft]' with both from the same index, or use dis"
        ) from error
    create = optical_flow.raft_small if size == "small" else optical_flow.raft_large
    try:
        return RAFT(create(weights="C_T_V2" if pretrained else None).to(device))
    except OSError as error:
        raise OccluposeError(
            f"flow raft-{size}: torchvision cannot fetch its weights ({error}); go online once, or use dis"
        ) from error


def build(name: str = "dis", *, device: str = "cpu") -> Flow:
    """The flow of this name.

    Arguments:
        device: of RAFT, as torch names it.

    Raises:
        OccluposeError: there is none of this name, or as `raft`.
    """
    if name not in get_args(Name):
        raise OccluposeError(f"flow {name}: not known; give {', '.join(get_args(Name))}")
    return DIS() if name == "dis" else raft("small" if name == "raft-small" else "large", device=device)


@dataclass(frozen=True)
class Displacements:
    """How the joints of one frame moved to the next one (or, where there is none, to the one before), in box sides of
    this frame.

    Attributes:
        motion: of the joint, as the 2D network saw it. NaN where the person or joint was in neither frame beside this
            one.
        flow: of the pixels at the joint, between the same two frames. NaN where motion is, and outside the picture.
    """

    motion: Float[np.ndarray, "person joint 2"]
    flow: Float[np.ndarray, "person joint 2"]


@dataclass(frozen=True)
class _Moment:
    picture: Pyramid
    boxes: Float[np.ndarray, "person 4"]
    xy: Float[np.ndarray, "person joint 2"]
    ids: Int[np.ndarray, " person"]

    @property
    def sides(self) -> Float[np.ndarray, " person"]:
        """Side of the square round each box, px."""
        return np.maximum(self.boxes[:, 2:] - self.boxes[:, :2], 1).max(-1)


class FlowMeter:
    """Measures the flow and the motion of every joint, for OANet eq. 2, in a stream: a frame's answer comes with the
    next frame.

    Holds three frames at most. The flow (OANet used PWC-Net) is that of the union of the people's boxes, forward (t to
    t+1); for who is missing in t+1, and in the last frame, backward (t to t-1).

    Arguments:
        flow: by default DIS.
    """

    def __init__(self, flow: Flow | None = None) -> None:
        self._between = flow or DIS()
        self.reset()

    def reset(self) -> None:
        """Forget the frames before: the next one starts another video."""
        self._before: _Moment | None = None
        self._now: _Moment | None = None

    def update(
        self,
        picture: Pyramid,
        boxes: Float[np.ndarray, "person 4"],
        xy: Float[np.ndarray, "person joint 2"],
        ids: Int[np.ndarray, " person"],
    ) -> Displacements | None:
        """Take one frame and answer for the one before it.

        Arguments:
            picture: the frame.
            boxes: left, top, right, bottom of each person, px.
            xy: joints, px; NaN where missing.
            ids: who it is; motion is measured between equal ids. Negative: nobody yet.

        Returns:
            For the people of the frame before, in the order they were given. None at the first frame.
        """
        after = _Moment(picture, boxes, xy, ids)
        answer = self._measure(after)
        self._before = self._now
        self._now = after
        return answer

    def finish(self) -> Displacements | None:
        """The answer for the last frame; then forget everything. None if there was no frame."""
        answer = self._measure(None)
        self.reset()
        return answer

    def _measure(self, after: _Moment | None) -> Displacements | None:
        now = self._now
        if now is None:
            return None
        motion, flow = np.full((2, *now.xy.shape), np.nan, np.float32)
        for other in (after, self._before):
            if other is None or other.picture.size != now.picture.size:
                continue
            step = _motion(now, other)
            wanted = np.isnan(motion).any(-1) & ~np.isnan(step).any(-1)
            if wanted.any():
                motion[wanted] = step[wanted]
                flow[wanted] = self._flow(now, other, wanted.any(-1))[wanted]
        sides = now.sides[:, None, None]
        return Displacements(motion / sides, flow / sides)

    def _flow(self, now: _Moment, other: _Moment, who: np.ndarray) -> Float[np.ndarray, "person joint 2"]:
        """Flow in px at every joint of `now`, computed on the region of these people; NaN outside it."""
        pad = PADDING * now.sides[who, None] + SMALLEST
        low = np.clip(np.floor(now.boxes[who, :2] - pad).min(0), 0, now.picture.size).astype(int)
        high = np.clip(np.ceil(now.boxes[who, 2:] + pad).max(0), 0, now.picture.size).astype(int)
        extent = high - low
        factor = max(1, round(now.sides[who].min() / PERSON_PIXELS), math.ceil((extent.prod() / REGION_PIXELS) ** 0.5))
        small = extent // factor
        if (small < SMALLEST).any():
            return np.full_like(now.xy, np.nan)
        region = window(low[0], low[1], factor, 1)
        field = np.asarray(
            self._between(now.picture.cut(region, *small), other.picture.cut(region, *small)), np.float32
        )
        if field.shape != (small[1], small[0], 2):
            raise OccluposeError(
                f"flow: gave shape {field.shape} for pictures of {small[0]} x {small[1]}; give (height, width, 2)"
            )
        at = ((now.xy - low + 0.5) / factor - 0.5).astype(np.float32)
        return factor * _sample(cv2.blur(field, (PATCH, PATCH)), at)


def _motion(now: _Moment, other: _Moment) -> Float[np.ndarray, "person joint 2"]:
    """Displacement in px of each joint from `now` to `other`; NaN where the person or the joint is in only one of
    them.
    """
    row = {int(who): index for index, who in enumerate(other.ids) if who >= 0}
    step = np.full_like(now.xy, np.nan)
    for index, who in enumerate(now.ids):
        if int(who) in row:
            step[index] = other.xy[row[int(who)]] - now.xy[index]
    return step


def _sample(
    field: Float[np.ndarray, "height width 2"], at: Float[np.ndarray, "person joint 2"]
) -> Float[np.ndarray, "person joint 2"]:
    """The field at these positions, bilinear; NaN a pixel or more outside it."""
    height, width = field.shape[:2]
    within = np.all((at > -1) & (at < (width, height)), axis=-1)
    points = np.where(within[..., None], at, 0)
    values = cv2.remap(field, points[..., 0], points[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return np.where(within[..., None], values, np.nan).astype(np.float32)
