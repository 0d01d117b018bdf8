"""Labels: which joints of a picture are hidden, by the bodies that fit its skeletons."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, UInt8
from torch import Tensor

from occlupose.bodies.anny import anny
from occlupose.bodies.body import BodyModel
from occlupose.bodies.fitting import BodyFit
from occlupose.cameras import Camera
from occlupose.methods.hupor.ssf.optimise import DEFAULT_SETTINGS, FitSettings, fit_bodies
from occlupose.methods.hupor.ssf.people import CROP_SIZE, PersonCrops, crop_people, to_body26
from occlupose.occlusion.surfaces import NO_SURFACE, Occlusion, OcclusionCause, Surface, find_occlusion, render_zbuffer
from occlupose.poses import ABSENT
from occlupose.skeletons import BODY26, Skeleton, convert, convert_weakest


@dataclass(frozen=True, eq=False)
class SSFInput:
    """What is given of a picture.

    Attributes:
        joints: metres, camera frame; NaN where unknown.
        skeleton: of the joints.
        camera: which took it.
        masks: where each person is seen; None where nobody knows.
        image: RGB; only networks that look at pictures need it.
    """

    joints: Float[np.ndarray, "person joint 3"]
    skeleton: Skeleton
    camera: Camera
    masks: Bool[np.ndarray, "person height width"] | None = None
    image: UInt8[np.ndarray, "height width 3"] | None = None

    def people(self, size: int = CROP_SIZE) -> tuple[PersonCrops, Bool[Tensor, "26"]]:
        """Its people with crops of some size, and which joints are to be met.

        Raises:
            OccluposeError: as `people.to_body` and `people.people`.
        """
        joints, believed = to_body26(self.joints, self.skeleton)
        return crop_people(joints, self.camera, self.masks, self.image, size=size), believed


def label_occlusion(
    pictures: Sequence[SSFInput],
    *,
    body: BodyModel | None = None,
    plan: FitSettings = DEFAULT_SETTINGS,
    fitter: Callable[[PersonCrops, Bool[Tensor, "26"]], BodyFit] | None = None,
    size: int = CROP_SIZE,
) -> list[Occlusion]:
    """Which joints are hidden in each picture.

    Arguments:
        body: what is fitted; None is the default one.
        plan: how it is fitted.
        fitter: fits bodies otherwise, as networks do (`predict.fitter`).
        size: of the crops that masks and pictures are looked at in, px.

    Raises:
        OccluposeError: joints, masks or a picture of another shape than the skeleton and the camera have.
    """
    body = body or anny()
    results = []
    for picture in pictures:
        given, believed = picture.people(size)
        fitted = fitter(given, believed) if fitter else fit_bodies(given, body, believed=believed, plan=plan)
        results.append(occlusion_of_bodies(fitted, body, picture))
    return results


def occlusion_of_bodies(fitted: BodyFit, body: BodyModel, picture: SSFInput) -> Occlusion:
    """Which of a picture's joints are hidden by bodies: everybody's surface in one z-buffer, asked at the joints given.

    Joints that BODY26 does not have, and cannot be made from such, are absent.
    """
    with torch.no_grad():
        vertices = body(fitted.pose, fitted.shape, fitted.translation).vertices.numpy()
    faces = body.faces.numpy()
    part = body.part.numpy()
    buffer = render_zbuffer([Surface(one, faces, part) for one in vertices], picture.camera)
    joints = convert(picture.joints.astype(np.float32), picture.skeleton, BODY26)
    return to_input_skeleton(find_occlusion(joints, BODY26, buffer, picture.camera), picture)


def to_input_skeleton(occlusion: Occlusion, picture: SSFInput) -> Occlusion:
    """What is known of BODY26's joints, told of those of the picture's own skeleton."""
    state = convert_weakest(occlusion.state, BODY26, picture.skeleton)
    reason, by = (
        np.full(state.shape, default, values.dtype)
        for default, values in ((OcclusionCause.OUTSIDE, occlusion.cause), (NO_SURFACE, occlusion.occluder))
    )
    names = {own: shared for shared, own in picture.skeleton.aliases} | {"neck": "thorax"}
    for place, joint in enumerate(picture.skeleton.joints):
        name = names.get(joint, joint)
        if name in BODY26.joints:
            source = BODY26.joints.index(name)
            reason[:, place] = occlusion.cause[:, source]
            by[:, place] = occlusion.occluder[:, source]
    known = np.isfinite(picture.joints).all(-1)
    return Occlusion(
        np.where(known, state, ABSENT).astype(np.uint8),
        np.where(known, reason, OcclusionCause.OUTSIDE).astype(np.uint8),
        np.where(known, by, NO_SURFACE),
    )
