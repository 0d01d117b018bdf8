"""Optical flow at the joints of the people in a video, frame by frame."""

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol

import cv2
import numpy as np
from jaxtyping import Float, Int, UInt8

from occlupose.detections import box_sides
from occlupose.errors import OccluposeError
from occlupose.pyramid import Pyramid, square_crop_matrix

if TYPE_CHECKING:  # imported where it is used, since DIS does not need it
    from torch import Tensor, nn

__all__ = ["DIS", "FLOWS", "RAFT", "Flow", "FlowSampler", "JointFlow", "build_flow", "load_raft"]

# approximate size of the smallest person after downsampling by an integer factor: enough to separate limbs from the
# background
PERSON_PIXELS = 128
REGION_PIXELS = 100_000  # most pixels of a flow field, so that a frame takes a few ms whatever its size
PADDING = 0.25  # of the box side, added around each person
MIN_SIDE = 16  # px, minimum side of a flow field
PATCH = 5  # px, side of the square around a joint over which the flow is averaged
# px: RAFT takes sides that are multiples of the first, and of the second or more (four correlation levels)
RAFT_STEP = 8
RAFT_MIN_SIDE = 128

FLOWS = ("dis", "raft-small", "raft-large")
"""Names for `build_flow`."""


class Flow(Protocol):
    """Dense optical flow between two images: any function with this signature."""

    def __call__(
        self, first: UInt8[np.ndarray, "height width 3"], second: UInt8[np.ndarray, "height width 3"]
    ) -> Float[np.ndarray, "height width 2"]:
        """Displacement of each pixel of the first RGB image, px right and down, to where it is in the second.

        Images are crops of the people, 16 px or more a side.
        """
        ...


class DIS:
    """OpenCV's DIS flow (Kroeger et al., ECCV 2016) on grey images: a millisecond on one thread.

    Each pair has an object of its own: after small images OpenCV's works at a finer scale for good, ten times slower.
    """

    def __call__(
        self, first: UInt8[np.ndarray, "height width 3"], second: UInt8[np.ndarray, "height width 3"]
    ) -> Float[np.ndarray, "height width 2"]:
        first_grey = cv2.cvtColor(first, cv2.COLOR_RGB2GRAY)
        second_grey = cv2.cvtColor(second, cv2.COLOR_RGB2GRAY)
        dis = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_FAST)
        return dis.calc(first_grey, second_grey, np.zeros((*first_grey.shape, 2), np.float32))


class RAFT:
    """Flow by a RAFT network (Teed and Deng, ECCV 2020); `load_raft` loads torchvision's.

    Arguments:
        network: maps two batches of images (batch, 3, height, width) in -1..1, sides multiples of 8 and 128 or more, to
            a list of successively refined flows (batch, 2, height, width) in px; the last is used. Images of other
            sizes are padded with their edge pixels.
    """

    def __init__(self, network: "nn.Module") -> None:
        self._network = network.eval()

    def __call__(
        self, first: UInt8[np.ndarray, "height width 3"], second: UInt8[np.ndarray, "height width 3"]
    ) -> Float[np.ndarray, "height width 2"]:
        import torch

        height, width = first.shape[:2]
        pad = [(0, max(RAFT_MIN_SIDE, math.ceil(side / RAFT_STEP) * RAFT_STEP) - side) for side in (height, width)]
        device = next((parameter.device for parameter in self._network.parameters()), torch.device("cpu"))

        def to_batch(image: np.ndarray) -> "Tensor":
            padded = np.pad(image, (*pad, (0, 0)), "edge").transpose(2, 0, 1)
            return torch.from_numpy(padded[None].astype(np.float32) / 127.5 - 1).to(device)

        with torch.inference_mode():
            field = self._network(to_batch(first), to_batch(second))[-1][0, :, :height, :width]
        return np.ascontiguousarray(field.permute(1, 2, 0).cpu().numpy())


def load_raft(size: Literal["small", "large"], *, pretrained: bool = True, device: str = "cpu") -> RAFT:
    """torchvision's RAFT (optional dependency).

    torchvision downloads the weights at first use. They are not part of this package: they were trained on FlyingChairs
    and FlyingThings3D, which are for research only.

    Raises:
        OccluposeError: torchvision is missing or does not fit the installed torch; the weights cannot be downloaded.
    """
    import torch

    try:
        from torchvision.models import optical_flow
    except (ImportError, OSError, RuntimeError) as error:  # raised by a torchvision that was built for another torch
        reason = str(error).splitlines()[0]
        raise OccluposeError(
            f"flow raft-{size}: no torchvision that fits torch {torch.__version__} ({reason}); "
            "install torchvision and torch from the same index, or use dis"
        ) from error
    create = optical_flow.raft_small if size == "small" else optical_flow.raft_large
    try:
        return RAFT(create(weights="C_T_V2" if pretrained else None).to(device))
    except OSError as error:
        raise OccluposeError(
            f"flow raft-{size}: torchvision cannot download its weights ({error}); go online once, or use dis"
        ) from error


def build_flow(name: str = "dis", *, device: str = "cpu") -> Flow:
    """An optical flow method by name.

    Arguments:
        name: one of `FLOWS`.
        device: torch device of RAFT.

    Raises:
        OccluposeError: unknown name; or as `load_raft`.
    """
    check_name(name)
    return DIS() if name == "dis" else load_raft("small" if name == "raft-small" else "large", device=device)


def check_name(name: str) -> None:
    """Raises OccluposeError unless `build_flow` knows this name."""
    if name not in FLOWS:
        raise OccluposeError(f"flow {name}: not known; give {', '.join(FLOWS)}")


@dataclass(frozen=True)
class JointFlow:
    """Motion of the joints of one frame and optical flow at them, in box sides of this frame.

    Both are measured to the next frame, or to the previous one if the person is not in the next.

    Attributes:
        motion: of the detected keypoints. NaN where the person or the joint is in neither neighbouring frame.
        flow: of the pixels at the keypoints, between the same two frames. NaN where motion is, and outside the image.
    """

    motion: Float[np.ndarray, "person joint 2"]
    flow: Float[np.ndarray, "person joint 2"]


@dataclass(frozen=True)
class _TrackedFrame:
    """An image and the people in it."""

    image: Pyramid
    boxes: Float[np.ndarray, "person 4"]
    xy: Float[np.ndarray, "person joint 2"]
    track_numbers: Int[np.ndarray, " person"]


class FlowSampler:
    """Motion of every joint and optical flow at it (OANet eq. 2) over a stream of frames, one frame late.

    Keeps at most three frames. The flow (OANet used PWC-Net) is computed on the union of the people's boxes: forward (t
    to t+1), and backward (t to t-1) for people who are missing in t+1 and in the last frame.

    Arguments:
        flow: by default DIS.
    """

    def __init__(self, flow: Flow | None = None) -> None:
        self._flow = flow or DIS()
        self.reset()

    def reset(self) -> None:
        """Start with another video."""
        self._previous: _TrackedFrame | None = None
        self._current: _TrackedFrame | None = None

    def update(
        self,
        image: Pyramid,
        boxes: Float[np.ndarray, "person 4"],
        xy: Float[np.ndarray, "person joint 2"],
        track_numbers: Int[np.ndarray, " person"],
    ) -> JointFlow | None:
        """Add a frame; returns the result for the frame before it.

        Arguments:
            image: the frame.
            boxes: left, top, right, bottom of each person, px.
            xy: joints, px; NaN where missing.
            track_numbers: motion is measured between equal numbers. Negative: no track.

        Returns:
            For the people of the frame before, in the order they were given. None for the first frame.
        """
        following = _TrackedFrame(image, boxes, xy, track_numbers)
        result = self._measure(following)
        self._previous = self._current
        self._current = following
        return result

    def finish(self) -> JointFlow | None:
        """End of the video: the result for its last frame, None if there was none. Resets the sampler."""
        result = self._measure(None)
        self.reset()
        return result

    def _measure(self, following: _TrackedFrame | None) -> JointFlow | None:
        current = self._current
        if current is None:
            return None
        motion = np.full(current.xy.shape, np.nan, np.float32)
        flow = np.full(current.xy.shape, np.nan, np.float32)
        for other in (following, self._previous):
            if other is None or other.image.size != current.image.size:
                continue
            step = _motion(current, other)
            wanted = np.isnan(motion).any(-1) & ~np.isnan(step).any(-1)
            if wanted.any():
                motion[wanted] = step[wanted]
                flow[wanted] = self._flow_at_joints(current, other, wanted.any(-1))[wanted]
        sides = box_sides(current.boxes)[:, None, None]
        return JointFlow(motion / sides, flow / sides)

    def _flow_at_joints(
        self, current: _TrackedFrame, other: _TrackedFrame, people: np.ndarray
    ) -> Float[np.ndarray, "person joint 2"]:
        """Flow in px at every joint of `current`, computed on the region of these people; NaN outside it."""
        sides = box_sides(current.boxes[people])
        pad = PADDING * sides[:, None] + MIN_SIDE
        low = np.clip(np.floor(current.boxes[people, :2] - pad).min(0), 0, current.image.size).astype(int)
        high = np.clip(np.ceil(current.boxes[people, 2:] + pad).max(0), 0, current.image.size).astype(int)
        extent = high - low
        shrink_person = round(sides.min() / PERSON_PIXELS)
        shrink_region = math.ceil((extent.prod() / REGION_PIXELS) ** 0.5)
        factor = max(1, shrink_person, shrink_region)
        size = extent // factor
        if (size < MIN_SIDE).any():
            return np.full_like(current.xy, np.nan)
        region = square_crop_matrix(low[0], low[1], factor, 1)
        field = np.asarray(self._flow(current.image.crop(region, *size), other.image.crop(region, *size)), np.float32)
        if field.shape != (size[1], size[0], 2):
            raise OccluposeError(
                f"flow: returned shape {field.shape} for images of {size[0]} x {size[1]}; return (height, width, 2)"
            )
        positions = ((current.xy - low + 0.5) / factor - 0.5).astype(np.float32)
        return factor * _sample(cv2.blur(field, (PATCH, PATCH)), positions)


def _motion(current: _TrackedFrame, other: _TrackedFrame) -> Float[np.ndarray, "person joint 2"]:
    """Displacement in px of each joint from `current` to `other`; NaN where the person or the joint is in only one."""
    rows = {int(number): row for row, number in enumerate(other.track_numbers) if number >= 0}
    step = np.full_like(current.xy, np.nan)
    for row, number in enumerate(current.track_numbers):
        if int(number) in rows:
            step[row] = other.xy[rows[int(number)]] - current.xy[row]
    return step


def _sample(
    field: Float[np.ndarray, "height width 2"], positions: Float[np.ndarray, "person joint 2"]
) -> Float[np.ndarray, "person joint 2"]:
    """Bilinear samples of the field; NaN a pixel or more outside it."""
    height, width = field.shape[:2]
    within = np.all((positions > -1) & (positions < (width, height)), axis=-1)
    points = np.where(within[..., None], positions, 0)
    values = cv2.remap(field, points[..., 0], points[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return np.where(within[..., None], values, np.nan).astype(np.float32)
