"""Makes the image of docs/ljof.md: training crops of synthetic people without and with blocks on their limbs.

python docs/figures/ljof_strip.py
"""

from itertools import islice
from pathlib import Path

import cv2
import numpy as np

from occlupose.codecs.crops import Crop, transform_points
from occlupose.media import RGB, write_image
from occlupose.occlusion.blocks import LimbBlocks
from occlupose.pyramid import Pyramid
from occlupose.skeletons import BODY26, COCO17
from occlupose.synth.generate import ImageSettings, SceneSample, generate_scenes
from occlupose.synth.layout import SceneSettings, SceneSource

IMAGE = Path(__file__).parents[1] / "images" / "ljof_strip.png"
CROP = Crop(120, 160)
MIN_HEIGHT = 100
"""Smallest height of a person, px."""
GAP = 4
MARK = (255, 60, 60)


def main(people: int = 8, seed: int = 7) -> None:
    """Draw the strip: the first large enough person of each scene, without selection."""
    source = SceneSource.load(SceneSettings(seed=seed, people=(1, 3)))
    random = np.random.default_rng(seed)
    pairs = (draw_pair(sample, random) for sample in generate_scenes(source, images=ImageSettings(), workers=0))
    columns = list(islice((column for column in pairs if column is not None), people))
    white = np.full((columns[0].shape[0], GAP, 3), 255, np.uint8)
    write_image(IMAGE, np.hstack([part for column in columns for part in (white, column)][1:]))


def draw_pair(sample: SceneSample, random: np.random.Generator) -> RGB | None:
    """A person's crop above the crop with blocks and marks on the covered joints; None if nobody is large enough."""
    assert sample.image is not None
    record = sample.record
    joints = BODY26.index(*COCO17.joints)
    large = np.flatnonzero(record.box[:, 3] >= MIN_HEIGHT)
    if not len(large):
        return None
    corner = record.box[large[0], :2] - 0.5
    sides = record.box[large[0], 2:]
    matrix = CROP.matrices(CROP.regions(np.concatenate([corner, corner + sides])[None]))[0]
    xy = transform_points(matrix, record.xy[large[0], joints])
    state = record.state[large[0], joints]
    plain = Pyramid(sample.image).crop(matrix, CROP.width, CROP.height)
    blocked, covered = LimbBlocks().cover_image(plain, xy, state, COCO17, random)
    for x, y in np.rint(xy[covered]).astype(int).tolist():
        cv2.drawMarker(blocked, (x, y), MARK, cv2.MARKER_CROSS, 7, 1, cv2.LINE_AA)
    return np.vstack([plain, np.full((GAP, CROP.width, 3), 255, np.uint8), blocked])


if __name__ == "__main__":
    main()
