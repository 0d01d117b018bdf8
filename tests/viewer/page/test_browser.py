"""The page in a real browser: chromium, with WebGL in software. `make browser` runs these tests."""

import shutil
from dataclasses import replace
from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from floor_records import record_of, standing
from occlupose.kinematics import measure_angles
from occlupose.media import VideoWriter, open_media
from occlupose.skeletons import H36M17
from occlupose.viewer import write_page
from occlupose.viewer.page import footage
from walking_people import FPS, circle, make_poses, walk

pytestmark = pytest.mark.browser

SOFTWARE = ["--use-gl=angle", "--use-angle=swiftshader", "--enable-unsafe-swiftshader", "--no-sandbox"]
SIZES = [(1440, 900), (768, 1024), (390, 844), (844, 390)]
FRAMES = 100


def two_people():
    """Two people for ten seconds; a wrist of the first is hidden for three, and uncertain."""
    beside = walk(lambda time: np.stack([-1.2 + 0.1 * time, 4.5 + 0 * time], -1), FRAMES)
    poses = make_poses(circle(), beside)
    poses.state[20:50, 0, poses.skeleton.index("left_wrist")] = 1
    covariance = np.zeros((*poses.state.shape, 6))
    covariance[..., :3] = np.where(poses.state == 1, 0.15, 0.02)[..., None] ** 2
    return replace(poses, covariance=covariance)


def grey_video(path, poses):
    with VideoWriter(path, poses.width, poses.height, FPS) as out:
        for frame in range(FRAMES):
            out.write(np.full((poses.height, poses.width, 3), 60 + frame, np.uint8))
    return path


@pytest.fixture(scope="module")
def browser():
    api = pytest.importorskip("playwright.sync_api", reason="needs the extra browser")
    program = shutil.which("chromium") or shutil.which("chromium-headless-shell")
    if program is None:
        pytest.skip("needs chromium: apt-get install chromium")
    with api.sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=program, args=SOFTWARE)
        yield launched
        launched.close()


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Pages by name."""
    folder = tmp_path_factory.mktemp("pages")
    poses = two_people()
    video = grey_video(folder / "walk.mp4", poses)
    angles = measure_angles(poses)
    with open_media(video) as source, pytest.MonkeyPatch.context() as patch:
        write_page(poses, folder / "inside.html", source, angles=angles, names=["Anna", "Ben"])
        patch.setattr(footage, "LONGEST_INSIDE", 1.0)
        write_page(poses, folder / "beside #1.html", source)
    write_page(poses, folder / "none.html", angles=angles)
    write_page(poses.to_2d(), folder / "flat.html")
    write_page(poses.select(person=[]), folder / "nobody.html")
    standing_poses = record_of(standing(), H36M17)
    write_page(standing_poses, folder / "standing.html")
    write_page(replace(standing_poses, contact=None), folder / "floating.html")
    write_page(replace(standing_poses, rotation=None), folder / "footless.html")
    return folder


@pytest.fixture
def load(browser, files):
    """Opens a page offline; errors and addresses that are not files or in the page fail the test."""
    faults = []
    context = browser.new_context(viewport={"width": 1440, "height": 900}, offline=True)
    page = context.new_page()
    page.on("console", lambda message: faults.append(message.text) if message.type in ("error", "warning") else None)
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.on("request", lambda request: faults.append(request.url) if request.url.startswith("http") else None)

    def call(name):
        page.goto((files / f"{name}.html").as_uri())
        page.wait_for_selector("body[data-ready]")
        if page.locator("video").count():
            page.wait_for_function("document.querySelector('video').readyState >= 2")
        return page

    yield call
    context.close()
    driver = [fault for fault in faults if "GPU stall due to ReadPixels" in fault]  # of screenshots in software
    assert [fault for fault in faults if fault not in driver] == []


def frame(page):
    return int(page.evaluate("document.body.dataset.frame"))


def picture(page, selector):
    """What is drawn in an element, (height, width, 3)."""
    page.wait_for_timeout(300)
    return np.asarray(Image.open(BytesIO(page.locator(selector).screenshot())).convert("RGB")).astype(int)


def change(before, after):
    """Share of the pixels that are different."""
    return (np.abs(before - after).max(-1) > 12).mean()


def test_it_loads_with_people_bands_and_curves(load):
    page = load("inside")
    assert page.locator("#people button").all_text_contents() == ["Anna", "Ben"]
    assert page.locator("h1").text_content() == "walk.mp4" and page.locator("figure").count() >= 15
    assert page.locator("#note").text_content() == "The video lies in this file."
    assert picture(page, "#space").std() > 15 and picture(page, "#bands").std() > 30


@pytest.mark.parametrize("name", ["inside", "beside #1", "none"])
def test_it_plays_and_stops(load, name):
    page = load(name)
    page.click("#play")
    page.wait_for_function("Number(document.body.dataset.frame) >= 5")
    page.click("#play")
    stopped = frame(page)
    page.wait_for_timeout(500)
    assert 5 <= stopped < FRAMES - 1 and abs(frame(page) - stopped) <= 1
    if name != "none":
        assert page.evaluate("document.querySelector('video').currentTime") == pytest.approx(stopped / FPS, abs=0.3)


def test_it_seeks_by_keys_slider_bands_and_curves(load):
    page = load("inside")
    for key, place in (("ArrowRight", 1), ("ArrowRight", 2), ("ArrowLeft", 1), ("End", FRAMES - 1), ("Home", 0)):
        page.keyboard.press(key)
        page.wait_for_function(f"Number(document.body.dataset.frame) === {place}")
    page.locator("#slider").fill("40")
    page.wait_for_function("document.body.dataset.frame === '40'")
    page.wait_for_function("Math.abs(document.querySelector('video').currentTime - 4.05) < 0.01")
    for selector in ("#bands", "figure canvas >> nth=0"):
        box = page.locator(selector).bounding_box()
        page.locator(selector).click(position={"x": box["width"] - 12, "y": 40})
        page.wait_for_function(f"Number(document.body.dataset.frame) > {0.9 * FRAMES}")
        page.keyboard.press("Home")


def test_the_video_shows_the_frame_of_the_poses(load):
    page = load("inside")
    page.uncheck("#skeletons")
    for place in (10, 60):
        page.locator("#slider").fill(str(place))
        assert picture(page, "#picture")[260, 430].mean() == pytest.approx(60 + place, abs=4)


def test_speed(load):
    page = load("none")
    page.select_option("#speed", "0.1")
    page.click("#play")
    page.wait_for_timeout(1500)
    assert frame(page) <= 4


def test_a_person_can_be_switched_off(load):
    page = load("inside")
    both = picture(page, "#stage")
    page.uncheck("#people li:nth-child(2) input")
    one = picture(page, "#stage")
    page.uncheck("#people li:nth-child(1) input")
    nobody = picture(page, "#stage")
    assert change(both, one) > 0.005 and change(one, nobody) > 0.005
    page.check("#people li:nth-child(1) input")
    assert change(one, picture(page, "#stage")) < 0.001


def test_the_timeline_is_of_the_person_who_is_chosen(load):
    page = load("inside")
    first = picture(page, "#bands")
    page.click("#people li:nth-child(2) button")
    assert page.locator("#whose").text_content() == "Ben" and change(first, picture(page, "#bands")) > 0.3


def test_uncertainty_can_be_hidden(load):
    page = load("inside")
    page.locator("#slider").fill("30")
    shown = picture(page, "#stage")
    page.uncheck("#uncertainty")
    assert change(shown, picture(page, "#stage")) > 0.002


def test_feet_and_their_contacts_are_shown(load):
    page = load("standing")
    whole = picture(page, "#space")
    bands = page.locator("#bands").bounding_box()["height"]
    assert change(whole, picture(load("footless"), "#space")) > 0.001
    page = load("floating")
    assert change(whole, picture(page, "#space")) > 0.00005
    assert page.locator("#bands").bounding_box()["height"] == bands - 4 * 14


def test_the_view_turns_and_comes_back(load):
    page = load("none")
    before = picture(page, "#space")
    box = page.locator("#space").bounding_box()
    page.mouse.move(box["x"] + 300, box["y"] + 200)
    page.mouse.down()
    page.mouse.move(box["x"] + 500, box["y"] + 250, steps=4)
    page.mouse.up()
    assert change(before, picture(page, "#space")) > 0.02
    page.click("#reset")
    page.mouse.move(5, 5)
    assert change(before, picture(page, "#space")) < 0.002


def test_it_fills_the_screen(load):
    page = load("inside")
    page.click("#full")
    page.wait_for_function("document.fullscreenElement !== null")
    assert page.locator("#controls").is_visible() and page.locator("#stage").bounding_box()["height"] > 600
    page.click("#full")
    page.wait_for_function("document.fullscreenElement === null")


def test_pages_in_2d_and_without_anybody(load):
    flat = load("flat")
    assert not flat.locator("#space").is_visible() and picture(flat, "#picture").std() > 5
    nobody = load("nobody")
    assert nobody.locator("#whose").text_content() == "nobody" and not nobody.locator("#angles").is_visible()


def test_the_long_video_lies_beside_it(load):
    page = load("beside #1")
    assert "which must lie beside this page" in page.locator("#note").text_content()


@pytest.mark.parametrize("size", SIZES, ids=lambda size: f"{size[0]}x{size[1]}")
def test_nothing_is_cut_off(load, size):
    page = load("inside")
    page.set_viewport_size({"width": size[0], "height": size[1]})
    page.wait_for_timeout(300)
    assert page.evaluate("document.documentElement.scrollWidth") <= size[0]
    for selector in ("#picture", "#space", "#controls", "#bands", "#full"):
        box = page.locator(selector).bounding_box()
        assert box["x"] >= 0 and box["x"] + box["width"] <= size[0] and box["width"] > 30 and box["height"] > 30
    controls = page.locator("#controls").bounding_box()
    assert controls["y"] + controls["height"] <= size[1]
