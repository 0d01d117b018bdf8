"""Limb Joint Augmentation as a transform for torchvision's transforms v2 or Albumentations, importing neither.

Random numbers come from torch's global generator unless another is given. Torch seeds it differently in each worker of
a data loader, so that they draw different blocks.
"""

from typing import Any, Literal, get_args

import numpy as np
import torch
from jaxtyping import Float, Shaped
from torch import Generator, Tensor, nn

from occlupose.errors import OccluposeError
from occlupose.occlusion.blocks import LimbBlocks
from occlupose.skeletons import COCO17, Skeleton

BoxFormat = Literal["coco", "pascal_voc"]


class TorchvisionBlocks(nn.Module):
    """Blocks on limb joints as a torchvision v2 transform: `image, target = transform(image, target)`, or one pair.

    `target` is a dictionary as for torchvision's detection models. Used are its

    - `keypoints`, (person, joint, 3): x, y in px and v as in COCO, 2 being visible; or (person, joint, 2), as
      `tv_tensors.KeyPoints`, with v in `visibility`, (person, joint);
    - `boxes`, (person, 4), for blocks relative to them or anywhere in them: left, top, right, bottom, or in the
      format of a `tv_tensors.BoundingBoxes`.

    For one person the first axis may be left out. The target and the type of the image do not change. Use it after
    geometric transforms and before normalisation; floating point images must lie between 0 and 1.

    Arguments:
        blocks: number and size of the blocks. The crop is the whole image; for several people, make blocks relative to
            the box.
        skeleton: of the joints.
        generator: None is torch's global generator.
    """

    def __init__(
        self, blocks: LimbBlocks | None = None, skeleton: Skeleton = COCO17, generator: Generator | None = None
    ) -> None:
        super().__init__()
        self.blocks = LimbBlocks() if blocks is None else blocks
        self.skeleton = skeleton
        self.generator = generator

    def forward(self, *inputs: Any) -> Any:
        """The image with blocks and the unchanged target, as a pair of the type that was given.

        Raises:
            OccluposeError: not an image and a target, joints of another skeleton or without v, or boxes in an unknown
                format.
        """
        pair = inputs[0] if len(inputs) == 1 and isinstance(inputs[0], tuple | list) else inputs
        if len(pair) != 2 or not isinstance(pair[0], Tensor) or not isinstance(pair[1], dict):
            raise OccluposeError(
                "blocks on limbs: give an image as a tensor (torchvision's v2.ToImage makes one) and a target with"
                " keypoints"
            )
        image, target = pair
        if image.ndim != 3 or image.shape[0] != 3:
            raise OccluposeError(f"image of {' x '.join(map(str, image.shape))}: must be 3 x height x width")
        xy, state = self._joints(target)
        boxes = _corners(target.get("boxes")) if self.blocks.needs_boxes else None
        xy = xy.to(image.device)[None]
        state = state.to(image.device)[None]
        boxes = None if boxes is None else boxes.to(image.device)[None]
        (covered,), _ = self.blocks(_plain(image)[None], xy, state, self.skeleton, self.generator, boxes)
        result = covered.as_subclass(type(image))
        return [result, target] if isinstance(pair, list) else (result, target)

    def _joints(
        self, target: dict[str, Any]
    ) -> tuple[Float[Tensor, "*person joint 2"], Shaped[Tensor, "*person joint"]]:
        keypoints = None if target.get("keypoints") is None else _plain(target["keypoints"])
        visibility = None if target.get("visibility") is None else _plain(target["visibility"])
        shapes = (len(self.skeleton), 2), (len(self.skeleton), 3)
        if keypoints is None or keypoints.ndim < 2 or keypoints.shape[-2:] not in shapes:
            given = "none" if keypoints is None else " x ".join(map(str, keypoints.shape))
            raise OccluposeError(
                f"keypoints in the target: {given}; give person x {len(self.skeleton)} joints ({self.skeleton.name}) x"
                " 2 or 3"
            )
        state = visibility if keypoints.shape[-1] == 2 else keypoints[..., 2]
        if state is None or state.shape != keypoints.shape[:-1]:
            raise OccluposeError(
                "keypoints without v: give x, y, v, or put v of each joint under visibility (person x joint)"
            )
        return keypoints[..., :2], state


class AlbumentationsBlocks:
    """Blocks on limb joints as an Albumentations transform: `data = transform(image=image, keypoints=keypoints,
    visibility=v)`.

    Call it on the result of a `Compose`, before normalisation. Albumentations' keypoints have no v, so it is a label
    field: `KeypointParams("xy", label_fields=["visibility"], remove_invisible=False)`. Used are

    - `image`, (height, width, 3), uint8 or floating point from 0 to 1;
    - `keypoints`, whose first two numbers are x and y in px: person after person, or (person, joint, 2);
    - `visibility`: v of each keypoint as in COCO, 2 being visible;
    - `bboxes`, one for each person, for blocks relative to them or anywhere in them.

    Arguments:
        blocks, skeleton, generator: as for `TorchvisionBlocks`.
        bbox_format: of `bboxes`: "coco" (left, top, width, height) or "pascal_voc" (left, top, right, bottom), px.

    Raises:
        OccluposeError: unknown format of boxes.
    """

    def __init__(
        self,
        blocks: LimbBlocks | None = None,
        skeleton: Skeleton = COCO17,
        generator: Generator | None = None,
        bbox_format: BoxFormat = "coco",
    ) -> None:
        if bbox_format not in get_args(BoxFormat):
            raise OccluposeError(f"bbox_format {bbox_format}: not known; known are {', '.join(get_args(BoxFormat))}")
        self.blocks = LimbBlocks() if blocks is None else blocks
        self.skeleton = skeleton
        self.generator = generator
        self.bbox_format = bbox_format

    def __call__(self, **data: Any) -> dict[str, Any]:
        """The data with blocks in the image.

        Raises:
            OccluposeError: an argument is missing, joints do not match the skeleton or have no v, or the number of
                boxes does not match.
        """
        missing = [name for name in ("image", "keypoints", "visibility") if data.get(name) is None]
        if missing:
            raise OccluposeError(
                f"{missing[0]}: not given; blocks on limbs need image, keypoints and v of each keypoint under"
                " visibility"
            )
        joints = len(self.skeleton)
        state = np.asarray(data["visibility"]).reshape(-1)
        keypoints = np.asarray(data["keypoints"], np.float32)
        xy = keypoints.reshape(-1, keypoints.shape[-1])[:, :2] if keypoints.size else np.zeros((0, 2), np.float32)
        if len(xy) % joints:
            cure = "keep those outside the image (remove_invisible=False)"
            raise OccluposeError(f"{len(xy)} keypoints: {self.skeleton.name} has {joints} for each person; {cure}")
        if len(xy) != len(state):
            raise OccluposeError(f"{len(xy)} keypoints, but v of {len(state)} under visibility; give one for each")
        boxes = self._corners(data.get("bboxes"), len(xy) // joints) if self.blocks.needs_boxes else None
        random = np.random.default_rng(int(torch.randint(2**62, (), generator=self.generator)))
        people = xy.reshape(-1, joints, 2), state.reshape(-1, joints)
        return data | {"image": self.blocks.cover_image(data["image"], *people, self.skeleton, random, boxes)[0]}

    def _corners(self, bboxes: Any, people: int) -> Float[np.ndarray, "person 4"]:
        given = () if bboxes is None else bboxes
        boxes = np.array([box[:4] for box in given], np.float32).reshape(-1, 4)
        if len(boxes) != people:
            raise OccluposeError(f"{len(boxes)} bboxes for {people} people; these blocks need one for each")
        if self.bbox_format == "coco":
            boxes[:, 2:] += boxes[:, :2]
        return boxes


def _corners(boxes: Any) -> Float[Tensor, "*person 4"] | None:
    """torchvision's boxes as left, top, right, bottom."""
    if boxes is None:
        return None
    box_format = getattr(getattr(boxes, "format", None), "value", "XYXY")
    plain = _plain(boxes)
    if box_format == "XYXY":
        return plain
    if box_format not in ("XYWH", "CXCYWH"):
        raise OccluposeError(f"boxes in the format {box_format}: give XYXY, XYWH or CXCYWH")
    place, size = plain.split(2, -1)
    corner = place if box_format == "XYWH" else place - size / 2
    return torch.cat([corner, corner + size], -1)


def _plain(tensor: Any) -> Tensor:
    """A plain tensor instead of torchvision's subclass."""
    return torch.as_tensor(tensor).as_subclass(Tensor)
