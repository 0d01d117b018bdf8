"""What is given of the people of a picture: 3D skeletons, who is seen where, and a crop around each."""

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
"""Pixels across and down of a crop (HybrIK; HUPOR's supplement takes its networks over)."""

DERIVED_JOINTS = ("spine", "pelvis", "thorax")
"""Joints that `skeletons.convert` makes from others where a skeleton lacks them."""


@dataclass(eq=False)
class PersonCrops:
    """Some people, of one picture or of many, as the networks and the losses take them.

    Attributes:
        joints: metres, camera frame; NaN where unknown.
        lens: from (x/z, y/z, 1) to pixels of the crop.
        seen: where in the crop the person is seen, 0 to 1.
        open: where in the crop the mask tells where the person is: in the picture, and not covered by people who are
            nearer. 0 everywhere for somebody without a mask.
        image: the crop itself, 0 to 1; of no channels where there is no picture.
    """

    joints: Float[Tensor, "person 26 3"]
    lens: Float[Tensor, "person 2 3"]
    seen: Float[Tensor, "person size size"]
    open: Float[Tensor, "person size size"]
    image: Float[Tensor, "person channel size size"]

    def __len__(self) -> int:
        return len(self.joints)

    def __getitem__(self, which: Tensor | slice) -> "PersonCrops":
        return PersonCrops(*(getattr(self, name.name)[which] for name in fields(self)))

    @property
    def size(self) -> int:
        """Pixels across and down of a crop."""
        return self.seen.shape[-1]

    def on_grid(
        self,
    ) -> tuple[Float[Tensor, "person 2 3"], Float[Tensor, "person grid grid"], Float[Tensor, "person grid grid"]]:
        """`lens`, `seen` and `open` of the grid that silhouettes are drawn in: that of the crop, or GRID cells if it is
        larger.
        """
        grid = min(GRID, self.size)
        share = grid / self.size
        lens = self.lens * share
        lens[:, :, 2] += (share - 1) / 2
        seen, open_ = (adaptive_avg_pool2d(one[:, None], grid)[:, 0] for one in (self.seen, self.open))
        return lens, seen, open_


def concatenate_crops(parts: list[PersonCrops]) -> PersonCrops:
    """All of them together; their crops have one size."""
    return PersonCrops(*(torch.cat([getattr(part, name.name) for part in parts]) for name in fields(PersonCrops)))


def to_body26(
    joints: Float[np.ndarray, "person joint 3"], skeleton: Skeleton
) -> tuple[Float[Tensor, "person 26 3"], Bool[Tensor, "26"]]:
    """Joints of BODY26, NaN where unknown, and which of them the skeleton really has; the others only tell how the body
    is turned at first.

    Raises:
        OccluposeError: the joints are not those of the skeleton.
    """
    if joints.ndim != 3 or joints.shape[1:] != (len(skeleton), 3):
        raise OccluposeError(
            f"joints of shape {joints.shape}: (person, {len(skeleton)}, 3) are expected, as {skeleton.name} has them"
        )
    own = {*skeleton.joints, *(shared for shared, _ in skeleton.aliases)}
    own |= {"thorax"} if "neck" in own else set()
    body = torch.from_numpy(convert(joints.astype(np.float32), skeleton, BODY26))
    return body, torch.tensor([joint in own or joint not in DERIVED_JOINTS for joint in BODY26.joints])


def crop_people(
    joints: Float[Tensor, "person 26 3"],
    camera: Camera,
    masks: Bool[np.ndarray, "person height width"] | None = None,
    image: UInt8[np.ndarray, "height width 3"] | None = None,
    *,
    size: int = CROP_SIZE,
) -> PersonCrops:
    """The people of one picture.

    A pixel of somebody else's mask is closed to a person where that somebody is nearer, by the mean depth of their
    joints; where they are further away it shows that the person is not there. Ours: HUPOR does not say.

    Arguments:
        joints: metres, camera frame; NaN where unknown.
        masks: where each person is seen; None where nobody knows.
        image: the picture, RGB.
        size: of the crops, px.

    Raises:
        OccluposeError: masks or a picture of another size than the camera's, or not one mask for each person; somebody
            of whom no joint lies before the camera.
    """
    shape = (len(joints), camera.height, camera.width)
    if masks is not None and masks.shape != shape:
        raise OccluposeError(
            f"masks of shape {masks.shape}: one for each person and pixel of the camera is expected, {shape}"
        )
    if image is not None and image.shape != (*shape[1:], 3):
        raise OccluposeError(f"picture of shape {image.shape}: {(*shape[1:], 3)} is expected, as the camera has it")
    xy = camera.project(joints.double().numpy())
    known = np.isfinite(xy).all(-1)
    if not known.any(1).all():
        raise OccluposeError(
            f"person {int(np.argmin(known.any(1)))}: no joint lies before the camera; leave this person out"
        )
    low = np.nanmin(np.where(known[..., None], xy, np.nan), 1)
    high = np.nanmax(np.where(known[..., None], xy, np.nan), 1)
    crop = Crop(size, size)
    middle = (low + high) / 2
    reach = np.maximum((high - low) / 2, 2.0)
    matrices = crop.matrices(crop.regions(np.concatenate([middle - reach, middle + reach], 1)))
    depth = np.nanmean(joints[..., 2].numpy(), 1)

    def cut(whole: np.ndarray, matrix: np.ndarray) -> Tensor:
        return torch.from_numpy(cv2.warpAffine(whole, matrix, (size, size), flags=cv2.INTER_LINEAR))

    seen = torch.zeros(len(joints), size, size)
    open_ = torch.zeros(len(joints), size, size)
    images = []
    for number, matrix in enumerate(matrices):
        if masks is not None:
            nearer = masks[(depth < depth[number]) & (np.arange(len(depth)) != number)].any(0)
            seen[number] = cut(masks[number].astype(np.float32), matrix)
            open_[number] = (cut((~nearer | masks[number]).astype(np.float32), matrix) > 0.99).float()
        if image is not None:
            images.append(cut(image.astype(np.float32) / 255, matrix).permute(2, 0, 1))
    lens = torch.from_numpy(matrices @ camera.matrix).float()
    return PersonCrops(
        joints, lens, seen, open_, torch.stack(images) if images else torch.zeros(len(joints), 0, size, size)
    )
