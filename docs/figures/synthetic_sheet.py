"""Draws the figure of docs/synthetic.md: 64 synthetic scenes with all joints, coloured by the cause of occlusion.

python docs/figures/synthetic_sheet.py
"""

from pathlib import Path

import cv2
import numpy as np

from occlupose.media import RGB, write_image
from occlupose.occlusion.surfaces import OcclusionCause
from occlupose.poses import ABSENT
from occlupose.skeletons import BODY26, COCO17
from occlupose.synth.generate import ImageSettings, SceneSample, generate_scenes
from occlupose.synth.layout import SceneSettings, SceneSource

FIGURE = Path(__file__).parents[1] / "images" / "synthetic.jpg"
COLOURS = {
    OcclusionCause.NONE: (70, 220, 90),
    OcclusionCause.SELF: (255, 215, 0),
    OcclusionCause.PERSON: (235, 50, 50),
    OcclusionCause.OBJECT: (235, 60, 235),
}
COLUMNS = 8
WIDTH = 256
HEIGHT = 160


def main(count: int = 64) -> None:
    """Draw the figure."""
    source = SceneSource.load(SceneSettings(seed=1))
    tiles = [draw_joints(sample) for sample in generate_scenes(source, range(count), images=ImageSettings())]
    rows = [np.hstack(tiles[first : first + COLUMNS]) for first in range(0, len(tiles), COLUMNS)]
    write_image(FIGURE, np.vstack(rows))


def draw_joints(sample: SceneSample) -> RGB:
    """The image, smaller, with its joints."""
    assert sample.image is not None
    image = cv2.resize(sample.image, (WIDTH, HEIGHT), interpolation=cv2.INTER_AREA)
    scale = WIDTH / sample.record.width
    for person in range(len(sample.record.xy)):
        for joint in BODY26.index(*COCO17.joints):
            if sample.record.state[person, joint] != ABSENT:
                x, y = np.rint((sample.record.xy[person, joint] + 0.5) * scale - 0.5).astype(int).tolist()
                cv2.circle(
                    image, (x, y), 1, COLOURS[OcclusionCause(sample.record.cause[person, joint])], -1, cv2.LINE_AA
                )
    return image


if __name__ == "__main__":
    main()
