"""Poses by MediaPipe 0.10.21, and their time, for `benchmarks/real.py` and `benchmarks/pipeline.py`, which run this
script in an environment of its own.

    python -m venv mp
    mp/bin/pip install mediapipe==0.10.21 "numpy<2"
    mp/bin/python benchmarks/mediapipe_poses.py {video,crops,photographs,times} INPUTS OUTPUT --model {full,heavy}

The modes: `video` follows one person; `crops` finds one person in each box of a photograph, both by mp.solutions.pose;
`photographs` finds everybody, by Pose Landmarker of MediaPipe Tasks with the same networks. Other options are left as
they are. INPUTS is a JSON file, a list of [file] or, for crops, [file, left, top, right, bottom] in whole pixels.
OUTPUT is an .npz file with a row for each pose: `number` (of the input, or of the frame of the video), `xy` (33
landmarks in pixels of the whole image, pixel centres at integers), `visibility` (0 to 1), and `xyz` (metres, relative
to the middle of the hips, axes of the camera).

`times` takes [file, number of people] and follows one person as `video` does, several by Pose Landmarker. OUTPUT has
wall and CPU time (`front end, ms` and `front end, cpu_ms`) of a call, which takes one frame, decoded already; and
`followed`, the mean number of people found.

The wheel lacks the heavy network, and nothing is fetched here: `--heavy` gives pose_landmark_heavy.tflite of the npm
package @mediapipe/pose 0.5.1675469404, which is copied to where MediaPipe looks for it.
"""

import argparse
import hashlib
import json
import tempfile
import time
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import cv2
import mediapipe
import numpy as np
from mediapipe.tasks.python import BaseOptions, vision
from mediapipe.tasks.python.metadata.metadata_writers.metadata_writer import MetadataWriter

VERSION = "0.10.21"
MODULES = Path(mediapipe.__file__).parent / "modules"
DETECTOR = MODULES / "pose_detection" / "pose_detection.tflite"
COMPLEXITY = {"full": 1, "heavy": 2}
HEAVY_SHA256 = "59e42d71bcd44cbdbabc419f0ff76686595fd265419566bd4009ef703ea8e1fe"
FPS = 60
"""Frames per second of the video in `times`: MediaPipe only wants to know that time passes."""

MAX_PEOPLE = 20
"""People in a photograph: as many as COCO's evaluator takes."""

Found = tuple[int, Any, Any, np.ndarray, tuple[int, int]]
"""Number, landmarks, world landmarks, the image they were found in, and its place (left, top) in the whole image."""


def landmarks_file(model: str) -> Path:
    """Where MediaPipe looks for the landmark network."""
    return MODULES / "pose_landmark" / f"pose_landmark_{model}.tflite"


def provide_heavy(file: Path | None) -> None:
    """Puts the heavy network where MediaPipe looks for it.

    Raises:
        SystemExit: it is not there and not given, or it is another file.
    """
    place = landmarks_file("heavy")
    source = place if place.exists() else file
    if source is None:
        raise SystemExit("mediapipe: its wheel lacks the heavy network; give the file with --heavy")
    content = source.read_bytes()
    if (found := hashlib.sha256(content).hexdigest()) != HEAVY_SHA256:
        raise SystemExit(f"{source}: SHA-256 is {found}; the pinned file has {HEAVY_SHA256}")
    if source != place:
        place.write_bytes(content)


def frames(video: str) -> Iterator[np.ndarray]:
    """The frames of a video, RGB."""
    capture = cv2.VideoCapture(video)
    while True:
        there, image = capture.read()
        if not there:
            return
        yield cv2.cvtColor(image, cv2.COLOR_BGR2RGB)


def read(file: str) -> np.ndarray:
    """An image, RGB."""
    return cv2.cvtColor(cv2.imread(file), cv2.COLOR_BGR2RGB)


def follow(video: str, model: str) -> Iterator[Found]:
    """The person in each frame."""
    with mediapipe.solutions.pose.Pose(model_complexity=COMPLEXITY[model]) as pose:
        for number, image in enumerate(frames(video)):
            found = pose.process(image)
            if found.pose_landmarks:
                yield number, found.pose_landmarks.landmark, found.pose_world_landmarks.landmark, image, (0, 0)


def find_in_crops(inputs: list[list[Any]], model: str) -> Iterator[Found]:
    """The person in each box."""
    with mediapipe.solutions.pose.Pose(static_image_mode=True, model_complexity=COMPLEXITY[model]) as pose:
        for number, (file, left, top, right, bottom) in enumerate(inputs):
            image = np.ascontiguousarray(read(file)[top:bottom, left:right])
            found = pose.process(image)
            if found.pose_landmarks:
                yield number, found.pose_landmarks.landmark, found.pose_world_landmarks.landmark, image, (left, top)


def with_input_range(file: Path, mean: float, scale: float) -> bytes:
    """A network with the metadata that MediaPipe Tasks asks for: its input is (value - mean) / scale."""
    writer = MetadataWriter.create(bytearray(file.read_bytes()))
    writer.add_image_input([mean], [scale])
    return bytes(writer.populate()[0])


def bundle(model: str) -> bytes:
    """The networks of mp.solutions.pose as a .task file for MediaPipe Tasks."""
    with tempfile.TemporaryFile() as file:
        with zipfile.ZipFile(file, "w") as archive:
            archive.writestr("pose_detector.tflite", with_input_range(DETECTOR, 127.5, 127.5))
            archive.writestr("pose_landmarks_detector.tflite", with_input_range(landmarks_file(model), 0, 255))
        file.seek(0)
        return file.read()


def find_everybody(inputs: list[list[Any]], model: str) -> Iterator[Found]:
    """Everybody in each photograph."""
    options = vision.PoseLandmarkerOptions(BaseOptions(model_asset_buffer=bundle(model)), num_poses=MAX_PEOPLE)
    with vision.PoseLandmarker.create_from_options(options) as landmarker:
        for number, (file,) in enumerate(inputs):
            image = read(file)
            found = landmarker.detect(mediapipe.Image(mediapipe.ImageFormat.SRGB, image))
            for landmarks, world in zip(found.pose_landmarks, found.pose_world_landmarks, strict=True):
                yield number, landmarks, world, image, (0, 0)


def measure(video: str, people: int, model: str) -> dict[str, float]:
    """Times and number of people of the mode `times`."""
    images = list(frames(video))
    found = 0
    seconds = np.zeros(2)
    with follower(people, model) as follow_people:
        for number, image in enumerate(images):
            start = np.array([time.perf_counter(), time.process_time()])
            found += follow_people(number, image)
            seconds += np.array([time.perf_counter(), time.process_time()]) - start
    wall, cpu = 1000 / len(images) * seconds
    return {"front end, ms": wall, "front end, cpu_ms": cpu, "followed": found / len(images)}


@contextmanager
def follower(people: int, model: str) -> Iterator[Callable[[int, np.ndarray], int]]:
    """Finds at most this many people in the frames of a video, and returns how many. Takes number and image."""
    if people == 1:
        with mediapipe.solutions.pose.Pose(model_complexity=COMPLEXITY[model]) as pose:
            yield lambda _, image: pose.process(image).pose_landmarks is not None
        return
    options = vision.PoseLandmarkerOptions(
        BaseOptions(model_asset_buffer=bundle(model)), running_mode=vision.RunningMode.VIDEO, num_poses=people
    )
    with vision.PoseLandmarker.create_from_options(options) as landmarker:

        def follow_people(number: int, image: np.ndarray) -> int:
            picture = mediapipe.Image(mediapipe.ImageFormat.SRGB, image)
            return len(landmarker.detect_for_video(picture, 1000 * number // FPS).pose_landmarks)

        yield follow_people


def save(output: Path, poses: list[Found]) -> None:
    """Writes the .npz file."""
    xy = [[(point.x, point.y) for point in landmarks] for _, landmarks, *_ in poses]
    size = [image.shape[1::-1] for *_, image, _ in poses]
    corner = [corner for *_, corner in poses]
    visibility = [[point.visibility for point in landmarks] for _, landmarks, *_ in poses]
    xyz = [[(point.x, point.y, point.z) for point in world] for _, _, world, *_ in poses]
    pixels = np.reshape(xy, (-1, 33, 2)) * np.reshape(size, (-1, 1, 2)) + np.reshape(corner, (-1, 1, 2)) - 0.5
    np.savez(
        output,
        number=np.array([number for number, *_ in poses], int),
        xy=pixels,
        visibility=np.reshape(visibility, (-1, 33)),
        xyz=np.reshape(xyz, (-1, 33, 3)),
    )


def main() -> None:
    """Reads the inputs and writes the poses."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("mode", choices=("video", "crops", "photographs", "times"))
    parser.add_argument("inputs", type=Path)
    parser.add_argument("output", type=Path)
    parser.add_argument("--model", choices=tuple(COMPLEXITY), required=True)
    parser.add_argument("--heavy", type=Path, help="pose_landmark_heavy.tflite")
    options = parser.parse_args()
    if mediapipe.__version__ != VERSION:
        raise SystemExit(f"mediapipe: is {mediapipe.__version__}; install mediapipe=={VERSION}")
    if options.model == "heavy":
        provide_heavy(options.heavy)
    inputs = json.loads(options.inputs.read_text())
    if options.mode == "times":
        np.savez(options.output, **measure(*inputs[0], options.model))
        return
    if options.mode == "video":
        found = follow(inputs[0][0], options.model)
    else:
        found = {"crops": find_in_crops, "photographs": find_everybody}[options.mode](inputs, options.model)
    save(options.output, list(found))


if __name__ == "__main__":
    main()
