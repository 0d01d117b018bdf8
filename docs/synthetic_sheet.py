"""Makes the picture of docs/synthetic.md: 64 synthetic scenes with everybody's joints, by why they are hidden.

python docs/synthetic_sheet.py
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

PICTURE = Path(__file__).parent / "images" / "synthetic.jpg"
COLOURS = {
    OcclusionCause.NONE: (70, 220, 90),
    OcclusionCause.SELF: (255, 215, 0),
    OcclusionCause.PERSON: (235, 50, 50),
    OcclusionCause.OBJECT: (235, 60, 235),
}
ACROSS = 8
WIDTH = 256
HEIGHT = 160


def main(scenes_drawn: int = 64) -> None:
    """Draw the sheet."""
    source = SceneSource.load(SceneSettings(seed=1))
    made = [drawn(sample) for sample in generate_scenes(source, range(scenes_drawn), images=ImageSettings())]
    rows = [np.hstack(made[first : first + ACROSS]) for first in range(0, len(made), ACROSS)]
    write_image(PICTURE, np.vstack(rows))


def drawn(sample: SceneSample) -> RGB:
    """The picture, smaller, with its joints."""
    assert sample.image is not None
    picture = cv2.resize(sample.image, (WIDTH, HEIGHT), interpolation=cv2.INTER_AREA)
    scale = WIDTH / sample.record.width
    for person in range(len(sample.record.xy)):
        for joint in BODY26.index(*COCO17.joints):
            if sample.record.state[person, joint] != ABSENT:
                x, y = np.rint((sample.record.xy[person, joint] + 0.5) * scale - 0.5).astype(int).tolist()
                cv2.circle(
                    picture, (x, y), 1, COLOURS[OcclusionCause(sample.record.cause[person, joint])], -1, cv2.LINE_AA
                )
    return picture


if __name__ == "__main__":
    main()
