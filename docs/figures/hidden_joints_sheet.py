"""Draws what the network for hidden joints says of people in 36 photographs: which are seen, inferred or outside.

    python docs/figures/hidden_joints_sheet.py PHOTOGRAPHS DATA OUTPUT

PHOTOGRAPHS and DATA as for `occlupose train movenet`. The first 36 photographs, by name, that the network was not
trained on and that have a person of at least 0.4 of their height; each is shown with everybody in its boxes. Visible
joints are green, inferred ones orange, with a circle of their standard deviation, and joints that are probably outside
of the image magenta, at its edge. The sheet is for looking at: the photographs may not be passed on.
"""

from itertools import islice
from pathlib import Path

import cv2
import numpy as np
import tyro

from occlupose.detections import Detections, FrameBoxes
from occlupose.frontends import load_crop_network
from occlupose.frontends.crops import estimate_in_boxes
from occlupose.media import RGB, write_image
from occlupose.methods.movenet.data import split_of
from occlupose.methods.movenet.labels import PhotographLabels, read_boxes, read_photograph
from occlupose.poses import ABSENT, OCCLUDED, VISIBLE
from occlupose.pyramid import Pyramid
from occlupose.skeletons import COCO17

COLOURS = {VISIBLE: (70, 220, 90), OCCLUDED: (255, 165, 0), ABSENT: (235, 60, 235)}
COLUMNS = 6
COUNT = 36
SIDE = 400
HEIGHT = 0.4
"""Of the tallest person / that of the photograph, at least."""


def draw(image: RGB, people: Detections) -> RGB:
    """The image with everybody's joints."""
    drawn = image.copy()
    limit = np.array(image.shape[1::-1]) - 1
    state = people.probability.argmax(-1)
    for person in range(len(people)):
        xy = people.xy[person]
        points = np.rint(xy.clip(0, limit)).astype(int)
        for limb in people.skeleton.limbs:
            start, end = people.skeleton.index(*limb)
            if ABSENT not in (state[person, start], state[person, end]):
                cv2.line(drawn, points[start].tolist(), points[end].tolist(), (255, 255, 255), 1, cv2.LINE_AA)
        for joint, point in enumerate(points.tolist()):
            colour = COLOURS[state[person, joint]]
            cv2.circle(drawn, point, 3 if joint < len(COCO17) else 2, colour, -1, cv2.LINE_AA)
            if np.isfinite(people.spread[person, joint]) and state[person, joint] == OCCLUDED:
                radius = int(min(people.spread[person, joint], max(limit)))
                cv2.circle(drawn, point, radius, colour, 1, cv2.LINE_AA)
    return drawn


def main(
    photographs: tyro.conf.Positional[Path], data: tyro.conf.Positional[Path], output: tyro.conf.Positional[Path]
) -> None:
    """Draws the sheet."""
    network = load_crop_network("movenet-occlusion")
    paths = (path for path in sorted(photographs.glob("*.jpg")) if split_of(path.name) == "test")
    close = (path for path in paths if np.diff(read_boxes(path.with_suffix(".txt"))[:, 1::2]).max(initial=0) > HEIGHT)
    tiles = []
    for path in islice(close, COUNT):
        (aspect,) = PhotographLabels.load(data / "labels" / f"{path.stem}.npz").aspect.tolist()
        image = read_photograph(path, aspect)
        boxes = read_boxes(path.with_suffix(".txt")) * np.tile(image.shape[1::-1], 2) - 0.5
        people = estimate_in_boxes(network, Pyramid(image), FrameBoxes(boxes, np.ones(len(boxes))))
        tiles.append(fit(draw(image, people)))
    tiles += [np.zeros_like(tiles[0])] * (-len(tiles) % COLUMNS)
    rows = [np.hstack(tiles[first : first + COLUMNS]) for first in range(0, len(tiles), COLUMNS)]
    write_image(output, np.vstack(rows))


def fit(image: RGB) -> RGB:
    """The image in the middle of a square."""
    scale = SIDE / max(image.shape)
    small = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    top = (SIDE - small.shape[0]) // 2
    left = (SIDE - small.shape[1]) // 2
    square = np.zeros((SIDE, SIDE, 3), np.uint8)
    square[top : top + small.shape[0], left : left + small.shape[1]] = small
    return square


if __name__ == "__main__":
    tyro.cli(main)
