"""Occlusion labels from bodies that are fitted to the skeletons of an image."""

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
    """The people of one image.

    Attributes:
        joints: metres, camera frame; NaN where unknown.
        skeleton: of the joints.
        camera: that took the image.
        masks: segmentation mask of each person, an empty one if unknown; None if all are.
        image: RGB; only needed by networks with input_type image.
    """

    joints: Float[np.ndarray, "person joint 3"]
    skeleton: Skeleton
    camera: Camera
    masks: Bool[np.ndarray, "person height width"] | None = None
    image: UInt8[np.ndarray, "height width 3"] | None = None

    def crop_people(self, size: int = CROP_SIZE) -> tuple[PersonCrops, Bool[Tensor, "26"]]:
        """The people with crops of this size, and which joints to fit.

        Raises:
            OccluposeError: as `people.to_body26` and `people.crop_people`.
        """
        joints, fit_mask = to_body26(self.joints, self.skeleton)
        return crop_people(joints, self.camera, self.masks, self.image, size=size), fit_mask


def label_occlusion(
    inputs: Sequence[SSFInput],
    *,
    body: BodyModel | None = None,
    settings: FitSettings = DEFAULT_SETTINGS,
    fitter: Callable[[PersonCrops, Bool[Tensor, "26"]], BodyFit] | None = None,
    size: int = CROP_SIZE,
) -> list[Occlusion]:
    """Which joints are hidden in each image.

    Arguments:
        body: the body model; None is the default one.
        settings: of the fit.
        fitter: another way to fit bodies, such as networks (`predict.make_fitter`).
        size: of the crops of masks and images, px.

    Raises:
        OccluposeError: shapes of joints, masks or image do not match the skeleton and the camera.
    """
    body = body or anny()
    results = []
    for people in inputs:
        crops, fit_mask = people.crop_people(size)
        fitted = fitter(crops, fit_mask) if fitter else fit_bodies(crops, body, fit_mask=fit_mask, settings=settings)
        results.append(occlusion_of_bodies(fitted, body, people))
    return results


def occlusion_of_bodies(fitted: BodyFit, body: BodyModel, people: SSFInput) -> Occlusion:
    """Which joints of an image are hidden by bodies: all surfaces in one z-buffer, compared with the given joints.

    Joints that BODY26 neither has nor can derive are absent.
    """
    with torch.no_grad():
        vertices = body(fitted.pose, fitted.shape, fitted.translation).vertices.numpy()
    faces = body.faces.numpy()
    part = body.part.numpy()
    buffer = render_zbuffer([Surface(mesh, faces, part) for mesh in vertices], people.camera)
    joints = convert(people.joints.astype(np.float32), people.skeleton, BODY26)
    return to_input_skeleton(find_occlusion(joints, BODY26, buffer, people.camera), people)


def to_input_skeleton(occlusion: Occlusion, people: SSFInput) -> Occlusion:
    """The occlusion of BODY26's joints for the joints of the input's own skeleton."""
    state = convert_weakest(occlusion.state, BODY26, people.skeleton)
    cause = np.full(state.shape, OcclusionCause.OUTSIDE, occlusion.cause.dtype)
    occluder = np.full(state.shape, NO_SURFACE, occlusion.occluder.dtype)
    names = {own: shared for shared, own in people.skeleton.aliases} | {"neck": "thorax"}
    for column, joint in enumerate(people.skeleton.joints):
        name = names.get(joint, joint)
        if name in BODY26.joints:
            source = BODY26.joints.index(name)
            cause[:, column] = occlusion.cause[:, source]
            occluder[:, column] = occlusion.occluder[:, source]
    known = np.isfinite(people.joints).all(-1)
    return Occlusion(
        np.where(known, state, ABSENT).astype(np.uint8),
        np.where(known, cause, OcclusionCause.OUTSIDE).astype(np.uint8),
        np.where(known, occluder, NO_SURFACE),
    )
