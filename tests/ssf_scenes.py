"""People in front of a camera, with known bodies, for the tests of Skeleton-guided Shape Fitting."""

from dataclasses import dataclass

import numpy as np
import torch

from occlupose.bodies.body import BodyModel
from occlupose.bodies.cylinders import cylinders
from occlupose.bodies.fitting import BodyFit
from occlupose.cameras import Camera
from occlupose.methods.hupor.ssf.label import SSFInput
from occlupose.methods.hupor.ssf.reconstruct import UPRIGHT
from occlupose.occlusion.surfaces import Occlusion, Surface, ZBuffer, find_occlusion, render_zbuffer
from occlupose.skeletons import BODY26, H36M17
from occlupose.synth.pose_prior import PosePrior, vector_to_pose

CAMERA = Camera.from_fov(320, 240)


@dataclass(frozen=True, eq=False)
class Scene:
    """People, their masks, and which of their joints are hidden."""

    body: BodyModel
    fit: BodyFit
    buffer: ZBuffer
    occlusion: Occlusion

    @property
    def masks(self):
        return np.stack([self.buffer.surface == person for person in range(len(self.fit.joints))])

    def ssf_input(self, skeleton=BODY26, *, masks=True):
        joints = self.fit.joints[:, BODY26.index(*skeleton.joints)].numpy()
        return SSFInput(joints, skeleton, CAMERA, self.masks if masks else None)


def make_people(seed=0, *, body=None, places=((0.0, 0.0, 3.4),), spread=0.25):
    """People of odd shapes in poses of the prior, at these places (metres, camera frame)."""
    body = body or cylinders()
    count = len(places)
    generator = torch.Generator().manual_seed(seed)
    random = np.random.default_rng(seed)
    amount = (spread * torch.randn(count, len(body.low), generator=generator)).clamp(-0.45, 0.45)
    shape = (body.neutral + amount * (body.high - body.low)).clamp(body.low, body.high)
    turns = torch.from_numpy(vector_to_pose(PosePrior.load().sample(random, count)))
    yaw = torch.from_numpy(random.uniform(-3, 3, count)).float()
    around = torch.zeros(count, 3, 3)
    around[:, 1, 1] = 1
    around[:, 0, 0] = around[:, 2, 2] = yaw.cos()
    around[:, 0, 2] = yaw.sin()
    around[:, 2, 0] = -yaw.sin()
    pose = UPRIGHT @ around[:, None] @ turns
    still = body(pose, shape, torch.zeros(count, 3))
    translation = torch.tensor(places) - still.joints.mean(1)
    vertices = still.vertices + translation[:, None]
    joints = still.joints + translation[:, None]
    buffer = render_zbuffer([Surface(one.numpy(), body.faces.numpy(), body.part.numpy()) for one in vertices], CAMERA)
    return Scene(
        body,
        BodyFit(pose, shape, translation, joints, torch.zeros(count)),
        buffer,
        find_occlusion(joints.numpy(), BODY26, buffer, CAMERA),
    )


def three_people(seed=0):
    """Three people, two of them one behind the other."""
    return make_people(seed, places=((-0.7, 0.0, 3.4), (0.4, 0.0, 3.2), (0.6, 0.0, 4.0)))


H36M = BODY26.index(*H36M17.joints)
