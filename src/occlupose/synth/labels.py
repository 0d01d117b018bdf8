"""What is true of a scene: joints in 2D and 3D, which are hidden and why, boxes, masks and depths. Exact by
construction.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float

from occlupose.occlusion.surfaces import Occlusion, ZBuffer, find_occlusion, render_zbuffer
from occlupose.poses import ABSENT, Poses
from occlupose.skeletons import BODY26
from occlupose.synth.scene import Scene


@dataclass(frozen=True, eq=False)
class Labels:
    """The truth of one scene.

    Attributes:
        joints: metres, camera frame, also where they are hidden or outside of the picture.
        xy: where the camera sees them, px; NaN behind it.
        occlusion: of these joints.
        buffer: what is in front in every pixel: people in their order, then things.
    """

    scene: Scene
    joints: Float[np.ndarray, "person 26 3"]
    xy: Float[np.ndarray, "person 26 2"]
    occlusion: Occlusion
    buffer: ZBuffer

    def mask(self, person: int) -> Bool[np.ndarray, "height width"]:
        """The pixels that show a person."""
        return self.buffer.surface == person

    def box(self, person: int) -> Float[np.ndarray, "4"] | None:
        """Left, top, width and height of what is seen of a person, px from the picture's edge as COCO counts; None
        where nothing is.
        """
        y, x = np.nonzero(self.mask(person))
        if not len(x):
            return None
        return np.array([x.min(), y.min(), np.ptp(x) + 1, np.ptp(y) + 1], np.float64)

    def poses(self) -> Poses:
        """The people as one frame, in BODY26. Joints outside of the picture are absent; `Labels.joints` has them
        too.
        """
        there = self.occlusion.state != ABSENT
        people = len(self.joints)
        return Poses(
            xy=np.where(there[..., None], self.xy, np.nan)[None].astype(np.float32),
            xyz=np.where(there[..., None], self.joints, np.nan)[None].astype(np.float32),
            score=there[None].astype(np.float32),
            state=self.occlusion.state[None],
            track_id=np.arange(people),
            time=np.zeros(1),
            skeleton=BODY26,
            fps=1.0,
            width=self.scene.camera.width,
            height=self.scene.camera.height,
            camera=self.scene.camera,
        )


def label(scene: Scene) -> Labels:
    """The truth of a scene."""
    joints = np.stack([scene.seen(person.joints) for person in scene.people])
    buffer = render_zbuffer(scene.surfaces(), scene.camera)
    return Labels(
        scene,
        joints,
        scene.camera.project(joints.astype(np.float64)),
        find_occlusion(joints, BODY26, buffer, scene.camera),
        buffer,
    )
