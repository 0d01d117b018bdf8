"""Takes the picture of docs/page.md: a page in chromium, with WebGL in software.

    occlupose run CLIP --page -o out/demo
    python docs/figures/page.py out/demo/page.html

Needs the extra browser and Debian's chromium.
"""

import io
import shutil
from pathlib import Path

import tyro
from PIL import Image

from occlupose.errors import OccluposeError
from occlupose.files import atomic

IMAGES = Path(__file__).parents[1] / "images"
SOFTWARE = ["--use-gl=angle", "--use-angle=swiftshader", "--enable-unsafe-swiftshader", "--no-sandbox"]


def main(
    page: tyro.conf.Positional[Path],
    width: int = 1200,
    height: int = 840,
    frame: int = 60,
    person: int = 3,
    output: Path = IMAGES / "page.png",
) -> None:
    """Write the picture, in 256 colours so that it stays small.

    Args:
        page: of `occlupose view`.
        width: of the window, pixels.
        height: of the window, pixels.
        frame: number of the frame that is shown.
        person: whose timeline is shown: first, second, ...
        output: file to write.
    """
    from playwright.sync_api import sync_playwright

    program = shutil.which("chromium") or shutil.which("chromium-headless-shell")
    if program is None:
        raise OccluposeError("chromium: not installed; apt-get install chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=SOFTWARE)
        tab = browser.new_page(viewport={"width": width, "height": height})
        tab.goto(page.resolve().as_uri())
        tab.wait_for_selector("body[data-ready]")
        tab.locator("#people button").nth(person - 1).click()
        tab.locator("#slider").fill(str(frame))
        tab.wait_for_timeout(1500)
        joints = tab.locator("#joints").bounding_box()
        part = {"x": 0, "y": 0, "width": width, "height": joints["y"] + joints["height"] + 8}
        picture = Image.open(io.BytesIO(tab.screenshot(full_page=True, clip=part))).convert("RGB")
        browser.close()
    with atomic(output) as temporary:
        palette = picture.quantize(256, Image.Quantize.MEDIANCUT, kmeans=4)
        picture.quantize(palette=palette, dither=Image.Dither.FLOYDSTEINBERG).save(temporary, optimize=True)


if __name__ == "__main__":
    tyro.cli(main)
