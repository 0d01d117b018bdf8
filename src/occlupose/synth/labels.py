"""Ground truth of a synthetic scene, exact by construction: joints in 2D and 3D, occlusion with its cause, boxes, masks
and depths.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float

from occlupose.occlusion.surfaces import Occlusion, ZBuffer, find_occlusion, render_zbuffer
from occlupose.poses import ABSENT, Poses
from occlupose.skeletons import BODY26
from occlupose.synth.scene import Scene


@dataclass(frozen=True, eq=False)
class SceneLabels:
    """Ground truth of one scene.

    Attributes:
        joints: metres, camera frame, also where they are occluded or outside of the image.
        xy: their projections, px; NaN behind the camera.
        occlusion: of these joints.
        buffer: the front surface of every pixel: people in their order, then objects.
    """

    scene: Scene
    joints: Float[np.ndarray, "person 26 3"]
    xy: Float[np.ndarray, "person 26 2"]
    occlusion: Occlusion
    buffer: ZBuffer

    def mask(self, person: int) -> Bool[np.ndarray, "height width"]:
        """The visible pixels of a person."""
        return self.buffer.surface == person

    def box(self, person: int) -> Float[np.ndarray, "4"] | None:
        """Left, top, width and height of the visible part of a person, px from the image border as in COCO; None where
        nothing is visible.
        """
        y, x = np.nonzero(self.mask(person))
        if not len(x):
            return None
        return np.array([x.min(), y.min(), np.ptp(x) + 1, np.ptp(y) + 1], np.float64)

    def poses(self) -> Poses:
        """The people as one frame, in BODY26. Joints outside of the image are absent (unlike in `joints`)."""
        present = self.occlusion.state != ABSENT
        return Poses(
            xy=np.where(present[..., None], self.xy, np.nan)[None].astype(np.float32),
            xyz=np.where(present[..., None], self.joints, np.nan)[None].astype(np.float32),
            score=present[None].astype(np.float32),
            state=self.occlusion.state[None],
            track_id=np.arange(len(self.joints)),
            time=np.zeros(1),
            skeleton=BODY26,
            fps=1.0,
            width=self.scene.camera.width,
            height=self.scene.camera.height,
            camera=self.scene.camera,
        )


def label_scene(scene: Scene) -> SceneLabels:
    """The ground truth of a scene."""
    joints = np.stack([scene.to_camera(person.joints) for person in scene.people])
    xy = scene.camera.project(joints.astype(np.float64))
    buffer = render_zbuffer(scene.surfaces(), scene.camera)
    return SceneLabels(scene, joints, xy, find_occlusion(joints, BODY26, buffer, scene.camera), buffer)
