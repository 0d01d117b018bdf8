"""Draws the image in the README: two frames of the demo clip, people over the image and in 3D beside it.

    python docs/figures/demo.py

The clip is downloaded at first use.
"""

from pathlib import Path

import numpy as np
import tyro
from PIL import Image

import occlupose
from occlupose.assets import demo_clip
from occlupose.files import atomic
from occlupose.media import open_media
from occlupose.viewer import Composer


def main(
    times: tuple[float, ...] = (0.85, 1.5),
    width: int = 800,
    output: Path = Path(__file__).parents[1] / "images" / "demo.png",
) -> None:
    """Writes the image, in 256 colours to keep it small.

    Args:
        times: of the frames to show, seconds.
        width: maximum width of an image without the 3D panel, pixels.
        output: file to write.
    """
    source = open_media(demo_clip())
    compose = Composer(occlupose.run(source), source, width)
    frames = [frame for frame in source if any(abs(frame.time - time) < 0.5 / source.fps for time in times)]
    image = Image.fromarray(np.hstack([compose(frame) for frame in frames]))
    with atomic(output) as temporary:
        image.quantize(256, Image.Quantize.MAXCOVERAGE, kmeans=3).save(temporary, optimize=True)


if __name__ == "__main__":
    tyro.cli(main)
