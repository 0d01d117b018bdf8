import gc
import os
import signal
import socket
import struct
import subprocess
import sys
import tarfile
import threading
import zlib
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from PIL import Image

import occlupose
from media_files import corners, index_of, level, make_sound, make_video
from occlupose.datasets import leakage
from occlupose.datasets.images import ImageIndex, ImageRef
from occlupose.errors import OccluposeError
from occlupose.media import (
    VideoWriter,
    camera,
    files_of,
    open_media,
    prefetch,
    read_image,
    video,
    with_half_resolution,
    write_image,
)
from occlupose.media.camera import without_password
from other_user import without_rights

RED = (200, 30, 30)
GREEN = (30, 200, 30)
BLUE = (30, 30, 200)
WHITE = (255, 255, 255)


def seen(path: Path | str, **options) -> list[tuple[float, int]]:
    """(time, index of the frame that was written) for each frame that is read."""
    with open_media(path, **options) as source:
        return [(round(frame.time, 4), index_of(frame.image)) for frame in source]


def assert_corners(image: np.ndarray, *expected: tuple[int, int, int]) -> None:
    """Compares the middles of the four quarters (upper left, upper right, lower left, lower right), as far as
    compression allows.
    """
    height, width = image.shape[:2]
    rows = (height // 4, 3 * height // 4)
    columns = (width // 4, 3 * width // 4)
    found = [image[row, column].astype(int) for row in rows for column in columns]
    assert np.abs(np.subtract(found, expected)).max() <= 6, found


def assert_one_line(error: pytest.ExceptionInfo[OccluposeError], *parts: str) -> None:
    text = str(error.value)
    assert "\n" not in text and "; " in text
    for part in parts:
        assert part in text


# -------------------------------------------------------------------------------------------- images


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".jpeg", ".JPG", ".webp", ".bmp", ".tif", ".tiff", ".avif", ".ppm"])
def test_image_formats(tmp_path, suffix):
    path = tmp_path / f"a{suffix}"
    Image.fromarray(corners(64, 48)).save(path)
    with open_media(path) as source:
        (frame,) = source
        assert (source.kind, source.width, source.height, source.count, source.live) == ("image", 64, 48, 1, False)
    assert frame.image.shape == (48, 64, 3) and frame.image.dtype == np.uint8
    assert (frame.index, frame.time) == (0, 0.0)
    assert_corners(frame.image, RED, GREEN, BLUE, WHITE)


@pytest.mark.parametrize("mode", ["L", "LA", "P", "RGBA", "CMYK", "1"])
def test_image_modes_become_rgb(tmp_path, mode):
    path = tmp_path / ("a.tif" if mode == "CMYK" else "a.png")
    original = Image.fromarray(corners(64, 48)).convert(mode)
    original.save(path)
    assert np.array_equal(read_image(path), np.asarray(original.convert("RGB")))


def test_transparent_image_lies_on_white(tmp_path):
    image = np.dstack([corners(64, 48), np.zeros((48, 64), np.uint8)])
    image[:24, :, 3] = 255
    Image.fromarray(image).save(tmp_path / "a.png")
    assert_corners(read_image(tmp_path / "a.png"), RED, GREEN, WHITE, WHITE)


@pytest.mark.parametrize("suffix", [".png", ".tif"])
@pytest.mark.parametrize("channels", [1, 3])
def test_16_bit_image_keeps_its_upper_8_bits(tmp_path, suffix, channels):
    values = np.linspace(0, 65535, 48 * 64).reshape(48, 64).astype(np.uint16)
    path = tmp_path / f"a{suffix}"
    cv2.imwrite(str(path), np.repeat(values[..., None], channels, -1))
    assert np.array_equal(read_image(path), np.repeat((values >> 8).astype(np.uint8)[..., None], 3, -1))


def test_exif_orientation_is_applied(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned clockwise
    Image.fromarray(corners(64, 48)).save(tmp_path / "a.png", exif=exif)
    source = open_media(tmp_path / "a.png")
    assert (source.width, source.height) == (48, 64)
    assert_corners(next(iter(source)).image, BLUE, RED, WHITE, GREEN)


def test_folder_in_natural_order(tmp_path):
    for index in (10, 2, 1, 0):
        write_image(tmp_path / f"shot {index}.png", np.full((6, 8, 3), level(index), np.uint8))
    (tmp_path / "notes.txt").write_text("not an image")
    (tmp_path / ".hidden.png").write_text("not an image")
    source = open_media(tmp_path)
    assert (source.kind, source.count, source.fps, source.fps_assumed) == ("folder", 4, 30, True)
    for _ in range(2):
        assert [index_of(frame.image) for frame in source] == [0, 1, 2, 10]
    assert seen(tmp_path, every=2, start=0.03) == [(0.0333, 1), (0.1, 10)]
    assert [index for _, index in seen(str(tmp_path / "shot ?.png"))] == [0, 1, 2]


def test_folder_of_two_sizes(tmp_path):
    for index, width in enumerate((8, 8, 9)):
        write_image(tmp_path / f"{index}.png", np.zeros((6, width, 3), np.uint8))
    with pytest.raises(OccluposeError) as error:
        list(open_media(tmp_path))
    assert_one_line(error, "2.png", "9x6", "8x6")


@pytest.mark.skipif(sys.platform == "win32", reason="the program is a shell script")
@pytest.mark.parametrize("reader", ["media", "shard", "hash"])
def test_postscript_under_the_name_of_an_image_starts_no_program(tmp_path, monkeypatch, reader):
    program = tmp_path / "bin" / "gs"
    program.parent.mkdir()
    program.write_text(f"#!/bin/sh\ntouch {tmp_path}/started\nexit 1\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")
    monkeypatch.setattr("PIL.EpsImagePlugin.gs_binary", None)
    path = tmp_path / "a.png"
    path.write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n%%EndComments\nshowpage\n%%EOF\n")
    if reader == "hash":
        assert "not an image" in leakage._hash_image(ImageRef(path))
    else:
        if reader == "shard":
            with tarfile.open(tmp_path / "a.tar", "w") as tar:
                tar.add(path, "a.png")
        with pytest.raises(OccluposeError, match=r"not an image"):
            read_image(path) if reader == "media" else ImageIndex(tmp_path / "a.tar").members["a.png"].read()
    assert not (tmp_path / "started").exists()


def test_damaged_image_in_a_folder_is_named(tmp_path):
    for index in range(3):
        Image.fromarray(corners(64, 48)).save(tmp_path / f"{index}.jpg")
    damaged = tmp_path / "1.jpg"
    damaged.write_bytes(damaged.read_bytes()[:700])
    with pytest.raises(OccluposeError) as error:
        list(open_media(tmp_path))
    assert_one_line(error, str(damaged))


def test_image_without_an_image_in_it(tmp_path):
    (tmp_path / "a.jpg").write_text("hello" * 100)
    with pytest.raises(OccluposeError) as error:
        open_media(tmp_path / "a.jpg")
    assert_one_line(error, "a.jpg", "not an image")


@pytest.mark.parametrize("side", [13_000, 16_384])
def test_too_large_image_is_refused_before_it_is_decoded(tmp_path, side):
    header = b"IHDR" + struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    (tmp_path / "a.png").write_bytes(
        b"\x89PNG\r\n\x1a\n\0\0\0\x0d" + header + struct.pack(">I", zlib.crc32(header)) + b"\0\0\0\0IDAT"
    )
    with pytest.raises(OccluposeError) as error:
        open_media(tmp_path / "a.png")
    assert_one_line(error, "a.png", "160 million pixels")


def test_large_image_makes_no_noise(tmp_path, monkeypatch, recwarn):
    write_image(tmp_path / "a.png", corners(64, 48))
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 64 * 48 - 1)  # from here on Pillow warns, from twice that it refuses
    assert read_image(tmp_path / "a.png").shape == (48, 64, 3)
    assert not recwarn.list


def test_32_bit_image_is_refused(tmp_path):
    Image.fromarray(np.ones((6, 8), np.float32)).save(tmp_path / "a.tif")
    with pytest.raises(OccluposeError) as error:
        read_image(tmp_path / "a.tif")
    assert_one_line(error, "a.tif", "32 bits")


# ---------------------------------------------------------------------------------------------- videos


@pytest.mark.parametrize("name", ["a.mp4", "a.mov", "a.mkv", "a.ts", "a.webm", "a.avi"])
def test_video_and_its_windows(tmp_path, name):
    codec = {".webm": "libvpx", ".avi": "mpeg4"}.get(Path(name).suffix, "libx264")
    path = make_video(tmp_path / name, 30, codec=codec)
    with open_media(path) as source:
        assert (source.kind, source.width, source.height, source.fps, source.count) == ("video", 64, 48, 10, 30)
        assert source.duration == pytest.approx(3)
        for _ in range(2):
            frames = list(source)
            assert [frame.index for frame in frames] == list(range(30))
            assert [index_of(frame.image) for frame in frames] == list(range(30))
            assert [frame.time for frame in frames] == pytest.approx(np.arange(30) / 10)
        assert source.warnings == []
    assert seen(path, start=1.5, end=2.0) == [(1.5, 15), (1.6, 16), (1.7, 17), (1.8, 18), (1.9, 19)]
    assert seen(path, start=1.55, every=4) == [(1.6, 16), (2.0, 20), (2.4, 24), (2.8, 28)]
    assert seen(path, end=0.05) == [(0.0, 0)]


@pytest.mark.parametrize(
    ("window", "count"),
    [({}, 30), ({"every": 7}, 5), ({"start": 1.0, "end": 2.0}, 10), ({"start": 0.55, "every": 5}, 5)],
)
def test_video_count_fps_and_duration_follow_the_window(tmp_path, window, count):
    source = open_media(make_video(tmp_path / "a.mp4", 30), **window)
    assert source.count == len(list(source)) == count
    assert source.fps == pytest.approx(10 / window.get("every", 1))
    assert source.duration == pytest.approx(window.get("end", 3.0) - window.get("start", 0.0))


def test_seek_where_the_index_leads_too_far(tmp_path):
    # a transport stream has no index, and here one key frame
    path = make_video(tmp_path / "a.ts", 32, key_frame_every=250)
    assert seen(path, start=2.9) == [(2.9, 29), (3.0, 30), (3.1, 31)]


def test_variable_frame_rate_keeps_its_times(tmp_path):
    times = [0, 0.1, 0.2, 0.9, 1.0, 2.5]
    path = make_video(tmp_path / "a.mp4", 6, times=times)
    assert seen(path) == list(zip(times, range(6), strict=True))
    assert seen(path, start=0.5, every=2) == [(0.9, 3), (2.5, 5)]
    assert seen(path, start=2.4) == [(2.5, 5)]


def test_raw_stream_without_times_gets_increasing_ones(tmp_path):
    frames = list(open_media(make_video(tmp_path / "a.h264", 8)))
    assert [index_of(frame.image) for frame in frames] == list(range(8))
    assert np.all(np.diff([frame.time for frame in frames]) > 0)


def test_decoded_frames_do_not_outlive_their_use(tmp_path):
    path = make_video(tmp_path / "a.mp4", images=[corners(64, 48)] * 30, rotation=90)
    with open_media(path) as source:
        gc.collect()
        gc.disable()
        try:
            for _ in source:
                pass
            left = [thing for thing in gc.get_objects() if isinstance(thing, av.VideoFrame)]
        finally:
            gc.enable()
    assert left == []


@pytest.mark.parametrize(
    ("rotation", "mirror", "expected"),
    [
        (0, False, (RED, GREEN, BLUE, WHITE)),
        (90, False, (GREEN, WHITE, RED, BLUE)),
        (180, False, (WHITE, BLUE, GREEN, RED)),
        (-90, False, (BLUE, RED, WHITE, GREEN)),
        (0, True, (GREEN, RED, WHITE, BLUE)),
    ],
)
def test_display_matrix_is_applied(tmp_path, rotation, mirror, expected):
    path = make_video(tmp_path / "a.mp4", images=[corners(64, 48)] * 2, rotation=rotation, mirror=mirror)
    source = open_media(path)
    frames = list(source)
    assert (source.width, source.height) == ((48, 64) if abs(rotation) == 90 else (64, 48))
    assert frames[0].image.shape == (source.height, source.width, 3)
    if rotation or mirror:  # what FFmpeg itself makes of the turn, where it has a word for it
        with av.open(str(path)) as container:
            assert mirror or abs(next(container.decode(video=0)).rotation) == abs(rotation)
    assert_corners(frames[1].image, *expected)


def test_video_with_sound(tmp_path):
    assert [index for _, index in seen(make_video(tmp_path / "a.mp4", 5, audio=True))] == list(range(5))


def test_video_of_one_frame(tmp_path):
    path = make_video(tmp_path / "a.mp4", 1)
    assert seen(path) == [(0.0, 0)]
    assert open_media(path).count == 1


def test_size_that_changes_midway(tmp_path):
    parts = [make_video(tmp_path / f"{size[0]}.h264", 5, size=size).read_bytes() for size in ((64, 48), (32, 24))]
    path = tmp_path / "a.h264"
    path.write_bytes(b"".join(parts))
    with pytest.raises(OccluposeError) as error:
        list(open_media(path))
    assert_one_line(error, "a.h264", "64x48", "32x24")


def test_too_large_frames_are_refused_before_they_are_decoded(tmp_path, monkeypatch):
    path = make_video(tmp_path / "a.mp4", 3, size=(64, 48))
    monkeypatch.setattr(video, "MAX_FRAME_PIXELS", 64 * 48 - 1)
    monkeypatch.setattr(video.Video, "_decoded", lambda *_: pytest.fail("it was decoded"))
    with pytest.raises(OccluposeError) as error:
        open_media(path)
    assert_one_line(error, "a.mp4", "its frames are too large (64x48, 0.0 GiB for each frame)")


def noise(count: int) -> list[np.ndarray]:
    generator = np.random.default_rng(0)
    return [generator.integers(0, 256, (48, 64, 3), dtype=np.uint8) for _ in range(count)]


@pytest.mark.parametrize(("name", "options"), [("a.mkv", {}), ("a.mp4", {"movflags": "faststart"})])
def test_video_that_was_cut_off_is_read_as_far_as_it_goes(tmp_path, name, options):
    path = make_video(tmp_path / name, images=noise(30), options=options)
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 6 // 10])
    source = open_media(path)
    for _ in range(2):
        assert 12 <= len(list(source)) <= 20
    (warning,) = source.warnings
    assert name in warning and "cut off" in warning


def test_transport_stream_that_was_cut_off(tmp_path):
    path = make_video(tmp_path / "a.ts", images=noise(30))
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 6 // 10])
    assert 12 <= len(list(open_media(path))) <= 20


@pytest.mark.parametrize("suffix", ["mp4", "mkv", "avi"])
def test_title_that_is_not_utf8(tmp_path, suffix):
    path = tmp_path / f"a.{suffix}"
    with av.open(str(path), "w") as container:
        container.metadata["title"] = "A Caf# title"
        stream = container.add_stream("mpeg4", rate=10)
        stream.width = 64
        stream.height = 48
        stream.pix_fmt = "yuv420p"
        image = np.full((48, 64, 3), 90, np.uint8)
        container.mux([*stream.encode(av.VideoFrame.from_ndarray(image)), *stream.encode(None)])
    content = path.read_bytes()
    assert b"Caf#" in content
    path.write_bytes(content.replace(b"Caf#", b"Caf\xe9"))
    assert [frame.image.shape for frame in open_media(path)] == [(48, 64, 3)]


@pytest.mark.skipif(sys.platform == "win32", reason="no file is called so there")
@pytest.mark.parametrize("name", ["12:30.mp4", "walk:take 1.mp4", "http:a.mp4"])
def test_names_with_a_colon(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    with VideoWriter(name, 64, 48, fps=10) as out:
        for place in range(3):
            out.write(np.full((48, 64, 3), level(place), np.uint8))
    assert len(seen(name)) == 3
    (tmp_path / "a:b").mkdir()
    with VideoWriter("a:b/c.mp4", 64, 48, fps=10) as out:
        out.write(np.full((48, 64, 3), level(0), np.uint8))
    assert [path.name for path in Path("a:b").iterdir()] == ["c.mp4"]


def test_damage_in_the_middle_costs_only_the_damaged_frames(tmp_path):
    path = make_video(tmp_path / "a.mp4", images=noise(30), options={"movflags": "faststart"})
    content = bytearray(path.read_bytes())
    middle = len(content) // 2
    content[middle : middle + 3000] = bytes(byte ^ 0x5A for byte in content[middle : middle + 3000])
    path.write_bytes(content)
    source = open_media(path)
    frames = list(source)
    assert len(frames) >= 25 and frames[-1].time == pytest.approx(2.9)
    assert any("damaged" in warning for warning in source.warnings)


def test_video_without_its_index_is_an_error(tmp_path):
    path = make_video(tmp_path / "a.mp4", images=noise(10))
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(OccluposeError) as error:
        open_media(path)
    assert_one_line(error, "a.mp4", "cut off")


@pytest.mark.parametrize("name", ["a.mp4", "a.txt", "a"])
def test_text_is_no_video(tmp_path, name):
    (tmp_path / name).write_text("hello\n" * 100)
    with pytest.raises(OccluposeError) as error:
        open_media(tmp_path / name)
    assert_one_line(error, name, "video")


def test_sound_is_no_video(tmp_path):
    with pytest.raises(OccluposeError) as error:
        open_media(make_sound(tmp_path / "a.m4a"))
    assert_one_line(error, "a.m4a", "no video")


# ------------------------------------------------------------------------------- what cannot be opened


def test_nothing_there(tmp_path):
    with pytest.raises(OccluposeError) as error:
        open_media(tmp_path / "nope.mp4")
    assert_one_line(error, "nope.mp4", "no such file")


@pytest.mark.parametrize("name", ["a.mp4", "a.png"])
def test_empty_file(tmp_path, name):
    (tmp_path / name).touch()
    with pytest.raises(OccluposeError) as error:
        open_media(tmp_path / name)
    assert_one_line(error, name, "empty")


def test_empty_folder(tmp_path):
    with pytest.raises(OccluposeError) as error:
        open_media(tmp_path)
    assert_one_line(error, str(tmp_path), "no images")


def test_folder_without_images_names_what_it_has(tmp_path):
    make_video(tmp_path / "walk.mp4", 1)
    with pytest.raises(OccluposeError) as error:
        open_media(tmp_path)
    assert_one_line(error, str(tmp_path), "no images", "walk.mp4")


def test_glob_without_a_match(tmp_path):
    with pytest.raises(OccluposeError) as error:
        open_media(f"{tmp_path}/*.png")
    assert_one_line(error, "*.png", "no file")


def test_glob_that_matches_no_image(tmp_path):
    make_video(tmp_path / "walk.mp4", 1)
    with pytest.raises(OccluposeError) as error:
        open_media(f"{tmp_path}/*")
    assert_one_line(error, "walk.mp4", "no image")


def test_folder_where_a_file_is_needed(tmp_path):
    with pytest.raises(OccluposeError) as error:
        read_image(tmp_path)
    assert_one_line(error, str(tmp_path), "is a folder")


@pytest.mark.skipif(sys.platform == "win32", reason="permissions are those of Unix")
@pytest.mark.parametrize("name", ["a.mp4", "a.png"])
def test_unreadable_file(tmp_path, monkeypatch, name):
    (tmp_path / name).write_bytes(b"secret")
    (tmp_path / name).chmod(0)
    tmp_path.chmod(0o755)
    monkeypatch.chdir(tmp_path)
    with without_rights(), pytest.raises(OccluposeError) as error:
        open_media(name)
    assert_one_line(error, name, "Permission denied")


@pytest.mark.skipif(sys.platform == "win32", reason="permissions are those of Unix")
@pytest.mark.parametrize("name", ["closed/a.mp4", "closed/*.png"])
def test_file_in_a_folder_that_is_closed(tmp_path, monkeypatch, name):
    closed = tmp_path / "closed"
    closed.mkdir()
    for file in ("a.mp4", "a.png"):
        (closed / file).write_bytes(b"secret")
    closed.chmod(0)
    tmp_path.chmod(0o755)
    monkeypatch.chdir(tmp_path)
    with without_rights(), pytest.raises(OccluposeError) as error:
        open_media(name)
    closed.chmod(0o755)
    assert_one_line(error, name, "Permission denied")


@pytest.mark.parametrize("name", ["", "a" * 300, "9" * 300, "~no-such-user/a.mp4", "a\0.mp4"])
def test_names_that_cannot_be(name):
    with pytest.raises(OccluposeError) as error:
        open_media(name)
    assert_one_line(error, name.replace("\0", " "))


@pytest.mark.parametrize("name", ["a" * 300, "~no-such-user/a.mp4"])
def test_files_of_names_that_cannot_be(name):
    with pytest.raises(OccluposeError) as error:
        files_of(name)
    assert_one_line(error, name)


def test_a_network_camera_that_stalls_has_stopped(monkeypatch):
    """It serves JPEG images, and then keeps the connection without sending more."""
    monkeypatch.setattr(camera, "ANSWER_SECONDS", 1.0)
    image = cv2.imencode(".jpg", np.zeros((48, 64, 3), np.uint8))[1].tobytes()
    part = b"--next\r\nContent-Type: image/jpeg\r\nContent-Length: %d\r\n\r\n" % len(image) + image + b"\r\n"
    done = threading.Event()

    def serve():
        connection, _ = server.accept()
        connection.recv(4096)
        connection.sendall(b"HTTP/1.0 200 OK\r\nContent-Type: multipart/x-mixed-replace; boundary=next\r\n\r\n")
        for _ in range(60):
            connection.sendall(part)
        done.wait(60)
        connection.close()

    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        with open_media(f"http://127.0.0.1:{server.getsockname()[1]}/a.mjpg") as source:
            frames = sum(1 for _ in source)
            assert frames > 10 and any("stopped sending" in warning for warning in source.warnings)
        done.set()
        thread.join()


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no named pipes")
def test_pipes_and_devices_are_refused(tmp_path):
    os.mkfifo(tmp_path / "a.mp4")
    for path in (tmp_path / "a.mp4", "/dev/zero"):
        with pytest.raises(OccluposeError) as error:
            open_media(path)
        assert_one_line(error, str(path), "is a pipe or a device; give a file")


def test_damaged_avif_files(tmp_path):
    path = tmp_path / "a.avif"
    random = np.random.default_rng(0)
    Image.fromarray(random.integers(0, 255, (64, 64, 3), np.uint8)).save(path)
    content = np.frombuffer(path.read_bytes(), np.uint8)
    refused = 0
    for _ in range(60):
        spoilt = content.copy()
        spoilt[random.integers(len(content), size=20)] = random.integers(256, size=20)
        path.write_bytes(spoilt.tobytes())
        try:
            read_image(path)
        except OccluposeError as error:
            assert str(path) in str(error) and "\n" not in str(error)
            refused += 1
    assert refused > 5


@pytest.mark.parametrize(
    "options",
    [{"every": 0}, {"every": -2}, {"every": 10**30}, {"start": -1.0}, {"start": 2.0, "end": 1.0}, {"end": 0.0}],
)
def test_windows_that_cannot_be(tmp_path, options):
    with pytest.raises(OccluposeError) as error:
        open_media(make_video(tmp_path / "a.mp4", 3), **options)
    assert_one_line(error, next(iter(options)))


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv", "a.ts"])
def test_start_beyond_the_end(tmp_path, name):
    with pytest.raises(OccluposeError) as error:
        list(open_media(make_video(tmp_path / name, 3), start=5.0))
    assert_one_line(error, name, "from 5 s on")


def test_start_beyond_the_end_of_an_image(tmp_path):
    write_image(tmp_path / "a.png", corners(8, 6))
    with pytest.raises(OccluposeError) as error:
        open_media(tmp_path / "a.png", start=1.0)
    assert_one_line(error, "a.png", "from 1 s on")


# --------------------------------------------------------------------------------------------- cameras


@pytest.mark.skipif(
    sys.platform != "linux" or Path("/dev/video63").exists(),
    reason="needs a machine whose camera 63 is known to be missing",
)
@pytest.mark.parametrize("spec", [63, "63"])
def test_camera_that_is_not_there(spec):
    with pytest.raises(OccluposeError) as error:
        open_media(spec)
    assert_one_line(error, "camera 63", "no such camera")


def test_live_stream_from_an_address(tmp_path):
    path = make_video(tmp_path / "a.mp4", 20, images=[corners(64, 48)] * 20)
    with open_media(path.as_uri(), every=3) as source:
        assert (source.kind, source.live, source.count, source.width, source.height) == ("camera", True, None, 64, 48)
        assert source.fps == pytest.approx(10 / 3)
        frames = list(source)
    assert [frame.index for frame in frames] == list(range(7))
    assert np.all(np.diff([frame.time for frame in frames]) >= 0)
    assert_corners(frames[-1].image, RED, GREEN, BLUE, WHITE)
    assert source.warnings == [f"{path.as_uri()}: stopped sending frames"]


def test_address_without_a_stream(tmp_path, capfd):
    with pytest.raises(OccluposeError) as error:
        open_media((tmp_path / "nope.mp4").as_uri())
    assert_one_line(error, "nope.mp4", "no frame", "check the address")


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("rtsp://me:secret@127.0.0.1:1/door", "rtsp://127.0.0.1:1/door"),
        ("rtsp://me:sec/ret@127.0.0.1:1/door", "rtsp://127.0.0.1:1/door"),
        ("rtsp://me:sec@ret@127.0.0.1:1/door", "rtsp://127.0.0.1:1/door"),
        ("http://127.0.0.1:1/door?user=me&password=secret#secret", "http://127.0.0.1:1/door"),
    ],
)
def test_passwords_are_not_shown(address, shown, capfd):
    assert without_password(address) == shown
    with pytest.raises(OccluposeError) as error:
        open_media(address)
    assert_one_line(error, f"{shown}: gives no frame; check the address")
    printed = capfd.readouterr()
    assert "sec" not in str(error.value) + printed.out + printed.err


# -------------------------------------------------------------------------------------------- prefetch


def prefetch_threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name.startswith("prefetch")]


def test_prefetch_gives_the_same_frames(tmp_path):
    with open_media(make_video(tmp_path / "a.mp4", 20)) as source:
        for frame, expected in zip(prefetch(source), source, strict=True):
            assert (frame.index, frame.time) == (expected.index, expected.time)
            assert np.array_equal(frame.image, expected.image)
    assert not prefetch_threads()


def test_prefetch_runs_ahead_by_its_depth_and_stops_with_its_reader():
    given = []
    closed = threading.Event()

    def frames():
        try:
            for index in range(100):
                given.append(index)
                yield index
        finally:
            closed.set()

    reader = prefetch(frames(), depth=3)
    assert [next(reader), next(reader)] == [0, 1]
    reader.close()
    gc.collect()
    assert len(given) <= 2 + 3
    assert closed.is_set() and not prefetch_threads()


def test_halved_frames_are_the_same_frames(tmp_path):
    with open_media(make_video(tmp_path / "a.mp4", 5)) as source:
        for frame, expected in zip(with_half_resolution(source), source, strict=True):
            assert (frame.index, frame.time) == (expected.index, expected.time)
            assert frame.pyramid.level(0) is frame.image
            assert frame.pyramid.level(1).shape[:2] == tuple(side // 2 for side in frame.image.shape[:2])


def test_frames_at_some_times(tmp_path):
    video = open_media(make_video(tmp_path / "a.mp4", 20))
    for index in range(4):
        write_image(tmp_path / f"{index}.png", np.full((6, 8, 3), index, np.uint8))
    images = open_media(str(tmp_path / "*.png"))
    for source, count in ((video, 20), (images, 4)):
        frames = list(source)
        for wanted in ([0, 1, count - 1], [count - 1], [2]):
            for shift in (-0.4, 0.4):
                chosen = source.frames_at([frames[index].time + shift / source.fps for index in wanted])
                assert [frame.index for frame in chosen] == wanted
                assert all(np.array_equal(frame.image, frames[frame.index].image) for frame in chosen)
        assert [frame.index for frame in source.frames_at([frames[1].time + 0.6 / source.fps])] == [2]
        assert [frame.index for frame in source.frames_at([1e6])] == [count - 1]
        assert [frame.index for frame in source.frames_at([frames[1].time, 1e6])] == [1]
        assert source.frames_at([]) == []


def test_prefetch_raises_an_error_in_its_place(tmp_path):
    for index, width in enumerate((8, 8, 8, 9)):
        write_image(tmp_path / f"{index}.png", np.zeros((6, width, 3), np.uint8))
    taken = []
    with pytest.raises(OccluposeError, match=r"3\.png"):
        for frame in prefetch(open_media(tmp_path)):
            taken.append(frame.index)
    assert taken == [0, 1, 2]
    assert not prefetch_threads()


# --------------------------------------------------------------------------------------------- writing


# below and above the size from which players assume BT.709
@pytest.mark.parametrize("size", [(64, 48), (37, 51), (1280, 720)])
def test_colours_survive_writing_and_reading(tmp_path, size):
    colours = [RED, GREEN, BLUE, WHITE, (0, 0, 0), (128, 128, 128), (220, 180, 140)]
    with VideoWriter(tmp_path / "a.mp4", *size, fps=30) as out:
        for colour in colours:
            out.write(np.full((size[1], size[0], 3), colour, np.uint8))
    source = open_media(tmp_path / "a.mp4")
    assert (source.width, source.height) == (size[0] + size[0] % 2, size[1] + size[1] % 2)
    found = [frame.image for frame in source]
    assert len(found) == len(colours)
    for image, colour in zip(found, colours, strict=True):
        assert np.abs(image.astype(int) - colour).max() <= 4


@pytest.mark.parametrize(("size", "space"), [((64, 48), "smpte170m"), ((1280, 720), "bt709")])
def test_colour_matrix_of_files_that_do_not_name_it(tmp_path, size, space):
    path = tmp_path / "a.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=10)
        stream.width, stream.height = size
        stream.pix_fmt = "yuv420p"
        frame = av.VideoFrame.from_ndarray(np.full((size[1], size[0], 3), RED, np.uint8), format="rgb24")
        yuv = frame.reformat(
            format="yuv420p", dst_colorspace="ITU709" if space == "bt709" else "ITU601", dst_color_range="MPEG"
        )
        yuv.colorspace = 2  # not named
        container.mux(stream.encode(yuv))
        container.mux(stream.encode(None))
    assert_corners(next(iter(open_media(path))).image, RED, RED, RED, RED)


def test_written_video_is_one_that_players_open(tmp_path):
    path = tmp_path / "a.mp4"
    with VideoWriter(path, 64, 48, fps=30000 / 1001) as out:
        for index in range(30):
            out.write(np.full((48, 64, 3), level(index), np.uint8))
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        assert (stream.codec_context.name, stream.pix_fmt, stream.frames) == ("h264", "yuv420p", 30)
        assert stream.average_rate == Fraction(30000, 1001)
        assert (stream.colorspace, stream.color_range) == (1, 1)  # BT.709, limited
    content = path.read_bytes()
    assert 0 < content.index(b"moov") < content.index(b"mdat")  # plays while it loads
    assert [path.name for path in tmp_path.iterdir()] == ["a.mp4"]


def test_written_times(tmp_path):
    times = [3.0, 3.1, 3.2, 3.9, 4.0, 5.5]
    with VideoWriter(tmp_path / "a.mp4", 64, 48, fps=10) as out:
        for index, time in enumerate(times):
            out.write(np.full((48, 64, 3), level(index), np.uint8), time)
    assert seen(tmp_path / "a.mp4") == [(round(time - 3, 4), index) for index, time in enumerate(times)]
    assert open_media(tmp_path / "a.mp4").duration == pytest.approx(2.6)


def test_written_image_may_be_reused(tmp_path):
    canvas = np.empty((48, 64, 3), np.uint8)
    with VideoWriter(tmp_path / "a.mp4", 64, 48, fps=10) as out:
        for index in range(20):
            canvas[:] = level(index)
            out.write(canvas)
    assert [index for _, index in seen(tmp_path / "a.mp4")] == list(range(20))


def test_exception_leaves_nothing_and_keeps_what_was_there(tmp_path):
    path = tmp_path / "a.mp4"
    path.write_text("earlier")
    with pytest.raises(ZeroDivisionError), VideoWriter(path, 64, 48, fps=10) as out:
        out.write(corners(64, 48))
        raise ZeroDivisionError
    assert [path.name for path in tmp_path.iterdir()] == ["a.mp4"]
    assert path.read_text() == "earlier"


@pytest.mark.skipif(sys.platform == "win32", reason="needs interval timers")
@pytest.mark.parametrize("seconds", [0.03, 0.1, 0.2])
def test_interrupted_video_can_be_kept(tmp_path, seconds):
    path = tmp_path / "a.mp4"
    before = signal.signal(signal.SIGALRM, signal.default_int_handler)
    written = 0
    try:
        with VideoWriter(path, 640, 480, fps=10) as out:
            signal.setitimer(signal.ITIMER_REAL, seconds)
            try:
                while True:
                    out.write(np.full((480, 640, 3), level(written), np.uint8))
                    written += 1
            except KeyboardInterrupt:
                out.finish()
    finally:
        signal.signal(signal.SIGALRM, before)
    indices = [index for _, index in seen(path)]
    assert len(indices) in (written, written + 1)
    assert indices == [index % 32 for index in range(len(indices))]


@pytest.mark.skipif(sys.platform == "win32", reason="needs a limit on file sizes")
def test_full_disk_leaves_nothing(tmp_path):
    code = """
import resource, sys
from pathlib import Path
import numpy as np
from occlupose.errors import OccluposeError
from occlupose.media import VideoWriter, write_image

folder = Path(sys.argv[1])
image = np.random.default_rng(0).integers(0, 256, (96, 128, 3), dtype=np.uint8)

def write_video():
    with VideoWriter(folder / "a.mp4", 128, 96, fps=10) as out:
        for _ in range(10):
            out.write(np.random.default_rng(out.count).integers(0, 256, (96, 128, 3), dtype=np.uint8))

write_video()
size = (folder / "a.mp4").stat().st_size
(folder / "a.mp4").unlink()
for limit in (0, 30, size // 2, size - 1500, size - 700):  # what is written may be some bytes shorter the second time
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
    try:
        write_video()
    except OccluposeError as error:
        assert "a.mp4: could not be written" in str(error) and "; " in str(error), error
    else:
        raise AssertionError(f"nothing said at {limit} of {size} bytes")
    assert not list(folder.iterdir()), limit
for name in ("a.png", "a.jpg"):
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, resource.RLIM_INFINITY))
    try:
        write_image(folder / name, image)
    except OccluposeError as error:
        assert f"{name}: could not be written" in str(error), error
    else:
        raise AssertionError(name)
    assert not list(folder.iterdir())
"""
    environment = os.environ | {"PYTHONPATH": str(Path(occlupose.__file__).parents[1])}
    outcome = subprocess.run(
        [sys.executable, "-c", code, tmp_path], env=environment, capture_output=True, text=True, timeout=120
    )
    assert outcome.returncode == 0, outcome.stderr


def test_writer_without_frames(tmp_path):
    with pytest.raises(OccluposeError) as error, VideoWriter(tmp_path / "a.mp4", 64, 48, fps=10):
        pass
    assert_one_line(error, "a.mp4", "no frame")
    assert not list(tmp_path.iterdir())


def test_names_that_cannot_be_written(tmp_path):
    (tmp_path / "folder.mp4").mkdir()
    (tmp_path / "folder.png").mkdir()
    image = corners(64, 48)
    attempts = {
        "a.avi": lambda path: VideoWriter(path, 64, 48, fps=10),
        "a.gif": lambda path: write_image(path, image),
        "folder.mp4": lambda path: VideoWriter(path, 64, 48, fps=10),
        "folder.png": lambda path: write_image(path, image),
    }
    for name, attempt in attempts.items():
        with pytest.raises(OccluposeError) as error:
            attempt(tmp_path / name)
        assert_one_line(error, name)


@pytest.mark.parametrize(
    "image", [np.zeros((48, 64), np.uint8), np.zeros((48, 64, 3), np.float32), np.zeros((64, 48, 3), np.uint8)]
)
def test_writer_refuses_other_images(tmp_path, image):
    with pytest.raises(ValueError, match="64"), VideoWriter(tmp_path / "a.mp4", 64, 48, fps=10) as out:
        out.write(image)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["a.png", "a.jpg", "deep/a.jpeg"])
def test_written_image(tmp_path, name):
    write_image(tmp_path / name, corners(64, 48))
    assert_corners(read_image(tmp_path / name), RED, GREEN, BLUE, WHITE)
    assert [path.name for path in (tmp_path / name).parent.iterdir()] == [Path(name).name]


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="the unit of ru_maxrss is Linux's")
@pytest.mark.parametrize("mode", ["RGB", "RGBA"])
def test_memory_of_an_image_just_below_the_limit(tmp_path, mode):
    """Three times its size at most, also with transparency, in a process of its own."""
    path = tmp_path / "large.png"
    Image.new(mode, (16_000, 9_999)).save(path)
    code = """
import resource, sys
from occlupose.media import read_image
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
image = read_image(sys.argv[1])
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024 / image.nbytes)
"""
    done = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=True)
    assert 1 < float(done.stdout) < 3
