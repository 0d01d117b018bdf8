"""The input of Skeleton-guided Shape Fitting: 3D skeletons, masks and a crop of each person."""

from dataclasses import dataclass, fields

import cv2
import numpy as np
import torch
from jaxtyping import Bool, Float, UInt8
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d

from occlupose.cameras import Camera
from occlupose.codecs.crops import Crop
from occlupose.errors import OccluposeError
from occlupose.methods.hupor.ssf.silhouette import GRID
from occlupose.skeletons import BODY26, Skeleton, convert

CROP_SIZE = 256
"""Pixels along each side of a crop (HybrIK, whose networks HUPOR's supplement adopts)."""

DERIVED_JOINTS = ("spine", "pelvis", "thorax")
"""Joints that `skeletons.convert` derives from others if a skeleton lacks them."""


@dataclass(eq=False)
class PersonCrops:
    """People of one or many images, as networks and losses take them.

    Attributes:
        joints: metres, camera frame; NaN where unknown.
        intrinsics: from (x/z, y/z, 1) to pixels of the crop.
        mask: where in the crop the person is visible, 0 to 1.
        valid: where in the crop the mask is known: in the image, and not covered by nearer people. 0 everywhere for a
            person without a mask.
        image: the crop of the image, 0 to 1; without channels if there is no image.
    """

    joints: Float[Tensor, "person 26 3"]
    intrinsics: Float[Tensor, "person 2 3"]
    mask: Float[Tensor, "person size size"]
    valid: Float[Tensor, "person size size"]
    image: Float[Tensor, "person channel size size"]

    def __len__(self) -> int:
        return len(self.joints)

    def __getitem__(self, rows: Tensor | slice) -> "PersonCrops":
        return PersonCrops(*(getattr(self, field.name)[rows] for field in fields(self)))

    @property
    def size(self) -> int:
        """Pixels along each side of a crop."""
        return self.mask.shape[-1]

    def on_grid(
        self,
    ) -> tuple[Float[Tensor, "person 2 3"], Float[Tensor, "person grid grid"], Float[Tensor, "person grid grid"]]:
        """`intrinsics`, `mask` and `valid` on the grid of rendered silhouettes: that of the crop, or GRID cells if the
        crop is larger.
        """
        grid = min(GRID, self.size)
        scale = grid / self.size
        intrinsics = self.intrinsics * scale
        intrinsics[:, :, 2] += (scale - 1) / 2
        mask = adaptive_avg_pool2d(self.mask[:, None], grid)[:, 0]
        valid = adaptive_avg_pool2d(self.valid[:, None], grid)[:, 0]
        return intrinsics, mask, valid


def concatenate_crops(parts: list[PersonCrops]) -> PersonCrops:
    """The people of all parts, whose crops have one size."""
    return PersonCrops(*(torch.cat([getattr(part, field.name) for part in parts]) for field in fields(PersonCrops)))


def to_body26(
    joints: Float[np.ndarray, "person joint 3"], skeleton: Skeleton
) -> tuple[Float[Tensor, "person 26 3"], Bool[Tensor, "26"]]:
    """BODY26 joints, NaN where unknown, and which of them the skeleton really has; the others only determine the
    initial orientation.

    Raises:
        OccluposeError: the joints are not those of the skeleton.
    """
    if joints.ndim != 3 or joints.shape[1:] != (len(skeleton), 3):
        raise OccluposeError(
            f"joints of shape {joints.shape}: must be (person, {len(skeleton)}, 3) for {skeleton.name}"
        )
    own = {*skeleton.joints, *(shared for shared, _ in skeleton.aliases)}
    own |= {"thorax"} if "neck" in own else set()
    converted = torch.from_numpy(convert(joints.astype(np.float32), skeleton, BODY26))
    return converted, torch.tensor([joint in own or joint not in DERIVED_JOINTS for joint in BODY26.joints])


def crop_people(
    joints: Float[Tensor, "person 26 3"],
    camera: Camera,
    masks: Bool[np.ndarray, "person height width"] | None = None,
    image: UInt8[np.ndarray, "height width 3"] | None = None,
    *,
    size: int = CROP_SIZE,
) -> PersonCrops:
    """The people of one image.

    Pixels of another person's mask are invalid for a person if the other one is nearer, by the mean depth of their
    joints; if the other one is further away, they show that the person is not there. Ours; HUPOR does not say.

    Arguments:
        joints: metres, camera frame; NaN where unknown.
        masks: segmentation mask of each person, an empty one if unknown; None if all are.
        image: RGB.
        size: of the crops, px.

    Raises:
        OccluposeError: masks or image do not have the camera's size, or the number of masks is wrong; a person has no
            joint in front of the camera.
    """
    shape = (len(joints), camera.height, camera.width)
    if masks is not None and masks.shape != shape:
        raise OccluposeError(f"masks of shape {masks.shape}: must be {shape}, by person and pixel of the camera")
    if image is not None and image.shape != (*shape[1:], 3):
        raise OccluposeError(f"image of shape {image.shape}: must be {(*shape[1:], 3)}, the camera's size")
    xy = camera.project(joints.double().numpy())
    known = np.isfinite(xy).all(-1)
    if not known.any(1).all():
        person = int(np.argmin(known.any(1)))
        raise OccluposeError(f"person {person}: no joint is in front of the camera; leave this person out")
    low = np.nanmin(np.where(known[..., None], xy, np.nan), 1)
    high = np.nanmax(np.where(known[..., None], xy, np.nan), 1)
    crop = Crop(size, size)
    middle = (low + high) / 2
    half = np.maximum((high - low) / 2, 2.0)
    matrices = crop.matrices(crop.regions(np.concatenate([middle - half, middle + half], 1)))
    depth = np.nanmean(joints[..., 2].numpy(), 1)

    def warp(values: np.ndarray, matrix: np.ndarray) -> Tensor:
        return torch.from_numpy(cv2.warpAffine(values, matrix, (size, size), flags=cv2.INTER_LINEAR))

    mask = torch.zeros(len(joints), size, size)
    valid = torch.zeros(len(joints), size, size)
    images = []
    for person, matrix in enumerate(matrices):
        if masks is not None and masks[person].any():
            nearer = masks[(depth < depth[person]) & (np.arange(len(depth)) != person)].any(0)
            mask[person] = warp(masks[person].astype(np.float32), matrix)
            valid[person] = (warp((~nearer | masks[person]).astype(np.float32), matrix) > 0.99).float()
        if image is not None:
            images.append(warp(image.astype(np.float32) / 255, matrix).permute(2, 0, 1))
    intrinsics = torch.from_numpy(matrices @ camera.matrix).float()
    crops = torch.stack(images) if images else torch.zeros(len(joints), 0, size, size)
    return PersonCrops(joints, intrinsics, mask, valid, crops)
