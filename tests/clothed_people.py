"""People who stand, with coloured clothes, for the tracker."""

import cv2
import numpy as np

from occlupose.detections import Detections
from occlupose.pyramid import Pyramid
from occlupose.skeletons import MPI15

WIDTH = 300
HEIGHT = 180
RED = ((200, 30, 40), (40, 50, 120))
GREEN = ((40, 140, 60), (150, 140, 120))
BLACK = ((25, 25, 25), (25, 25, 25))
WHITE = ((230, 230, 230), (150, 150, 150))
"""Colours of jacket and trousers."""

PLACES = {
    "neck": (0, -0.3),
    "head_top": (0, -0.5),
    "pelvis": (0, 0.02),
    "shoulder": (0.1, -0.3),
    "elbow": (0.14, -0.12),
    "wrist": (0.16, 0.03),
    "hip": (0.07, 0.02),
    "knee": (0.07, 0.25),
    "ankle": (0.07, 0.5),
}
SIGNS = [(-1, 1) if joint.startswith("right_") else (1, 1) for joint in MPI15.joints]
NAMES = [joint.removeprefix("left_").removeprefix("right_") for joint in MPI15.joints]
BODY = np.array([PLACES[name] for name in NAMES]) * SIGNS
"""Joints of a person who faces the camera, in box sides around the middle of the box."""


def people(*centres, side=200.0, jitter=None, box_score=None):
    """People standing at these centres (px), each `side` tall."""
    xy = np.array([BODY * side + centre for centre in centres]).reshape(-1, len(BODY), 2)
    if jitter is not None:
        xy = xy + jitter.normal(0, 0.01 * side, xy.shape)
    boxes = np.concatenate([xy.min(1), xy.max(1)], -1) if len(xy) else np.zeros((0, 4))
    best = np.ones(len(xy)) if box_score is None else np.array(box_score)
    return Detections(
        skeleton=MPI15,
        xy=xy.astype(np.float32),
        score=np.ones(xy.shape[:2], np.float32),
        boxes=boxes.astype(np.float32),
        box_score=best.astype(np.float32),
    )


def without(detections, *gone):
    """The other people."""
    keep = [person for person in range(len(detections)) if person not in gone]
    return detections.select(keep)


def picture(detections, clothes, *, noise=None, grey=False):
    """The people in these clothes, each in front of those before, on a road with a lawn.

    Arguments:
        noise: generator of the noise of the camera.
        grey: without colour.
    """
    image = np.full((HEIGHT, WIDTH, 3), 150, np.uint8)
    image[HEIGHT * 2 // 3 :] = (70, 110, 50)
    for xy, (jacket, trousers) in zip(detections.xy, clothes, strict=True):
        places = dict(zip(MPI15.joints, xy.round().astype(int).tolist(), strict=True))
        thick = int(0.09 * np.ptp(xy[:, 1]))
        for side in ("left", "right"):
            for start, end in (("hip", "knee"), ("knee", "ankle")):
                cv2.line(image, places[f"{side}_{start}"], places[f"{side}_{end}"], trousers, thick)
            for start, end in (("shoulder", "elbow"), ("elbow", "wrist")):
                cv2.line(image, places[f"{side}_{start}"], places[f"{side}_{end}"], jacket, thick)
        trunk = [places[name] for name in ("left_shoulder", "right_shoulder", "right_hip", "left_hip")]
        cv2.fillPoly(image, [np.array(trunk)], jacket)
        cv2.circle(image, places["head_top"], thick, (200, 160, 140), -1)
    if noise is not None:
        image = np.clip(image + noise.normal(0, 6, image.shape), 0, 255).astype(np.uint8)
    if grey:
        image = np.repeat(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)[..., None], 3, -1)
    return Pyramid(image)
