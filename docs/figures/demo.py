"""Draws the animation of the README: the demonstration clip with its people, in 2D and in 3D.

    python docs/figures/demo.py

The clip is downloaded at first use.
"""

from pathlib import Path

import tyro
from PIL import Image

import occlupose
from occlupose.assets import demo_clip
from occlupose.files import atomic
from occlupose.media import open_media
from occlupose.viewer import Composer

IMAGES = Path(__file__).parents[1] / "images"


def main(
    every: int = 3, end: float = 1.1, width: int = 640, milliseconds: int = 120, output: Path = IMAGES / "demo.gif"
) -> None:
    """Write the animation, with one palette for all frames so that it stays small.

    Args:
        every: draw only every n-th frame.
        end: last moment of the clip, seconds.
        width: of the image without the 3D panel, pixels, at most.
        milliseconds: how long each frame stays.
        output: file to write.
    """
    source = open_media(demo_clip(), end=end)
    compose = Composer(occlupose.run(source), source, width)
    frames = [Image.fromarray(compose(frame)) for number, frame in enumerate(source) if number % every == 0]
    palette = frames[len(frames) // 2].quantize(128, Image.Quantize.MAXCOVERAGE, kmeans=3)
    images = [frame.quantize(palette=palette, dither=Image.Dither.NONE) for frame in frames]
    with atomic(output) as temporary:
        images[0].save(temporary, save_all=True, append_images=images[1:], duration=milliseconds, loop=0, optimize=True)


if __name__ == "__main__":
    tyro.cli(main)
