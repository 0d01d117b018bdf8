"""Drawn stick figures as a dataset in COCO's format; some have a hand or a foot occluded by a board."""

import json
from pathlib import Path

import cv2
import numpy as np

from occlupose.media import write_image
from occlupose.poses import OCCLUDED, VISIBLE

JOINTS = ("nose", *(f"{side}_{joint}" for joint in ("shoulder", "wrist", "hip", "ankle") for side in ("left", "right")))
LIMBS = [(1, 3), (2, 4), (5, 7), (6, 8), (1, 2), (5, 6), (1, 5), (2, 6)]
ENDS = (3, 4, 7, 8)
"""Wrists and ankles, one of which may be occluded by the board."""
SIZE = 96


def draw_figure(
    generator: np.random.Generator, *, hide: bool | None = None
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """An image (SIZE, SIZE, 3), joints (9, 2) in px, and their states. Left joints are on the right."""
    height = generator.uniform(44, 64)
    up = np.array([[0, 0.1], [0.1, 0.28], [-0.1, 0.28], [0, 0], [0, 0], [0.07, 0.6], [-0.07, 0.6], [0, 0], [0, 0]])
    for row, start, length, low, high in (
        (3, 1, 0.36, -0.5, 1.3),
        (4, 2, 0.36, -0.5, 1.3),
        (7, 5, 0.4, -0.05, 0.5),
        (8, 6, 0.4, -0.05, 0.5),
    ):
        angle = generator.uniform(low, high)
        side = np.sign(up[start, 0])
        up[row] = up[start] + length * np.array([side * np.sin(angle), np.cos(angle)])
    xy = up * height + np.array([SIZE / 2, SIZE / 2 - height / 2]) + generator.uniform(-8, 8, 2)
    image = np.full((SIZE, SIZE, 3), generator.integers(20, 90), np.uint8)
    skin = generator.integers(170, 255, 3).tolist()
    width = 4
    for start, end in LIMBS:
        cv2.line(image, *(tuple(point) for point in xy[[start, end]].round().astype(int).tolist()), skin, width)
    cv2.circle(image, tuple(xy[0].round().astype(int).tolist()), 6, skin, -1)
    state = np.full(len(JOINTS), VISIBLE, np.uint8)
    if generator.random() < 0.6 if hide is None else hide:
        hidden = generator.choice(ENDS)
        low = (xy[hidden] - 11).round().astype(int).tolist()
        high = (xy[hidden] + 11).round().astype(int).tolist()
        cv2.rectangle(image, low, high, (40, 90, 160), -1)
        state[(np.abs(xy - xy[hidden]) <= 11).all(-1)] = OCCLUDED
    return image, xy, state


def box(xy: np.ndarray) -> list[float]:
    """Bounding box of the joints in COCO's format: left, top, width, height, from the border of the image."""
    low = xy.min(0) - 6
    high = xy.max(0) + 6
    return [*(low + 0.5).tolist(), *(high - low).tolist()]


def write_figures(folder: Path, count: int, seed: int = 0) -> tuple[Path, Path]:
    """Writes images 0.png, 1.png, ... of one person each; returns the annotation file and the folder of images."""
    generator = np.random.default_rng(seed)
    images = []
    annotations = []
    for number in range(count):
        image, xy, state = draw_figure(generator)
        write_image(folder / "images" / f"{number}.png", image)
        images.append({"id": number, "file_name": f"{number}.png", "width": SIZE, "height": SIZE})
        keypoints = np.concatenate([xy, state[:, None]], -1).round(2).ravel().tolist()
        annotations.append(
            {"id": number, "image_id": number, "category_id": 1, "bbox": box(xy), "iscrowd": 0, "keypoints": keypoints}
        )
    categories = [{"id": 1, "name": "person", "keypoints": list(JOINTS)}]
    path = folder / "figures.json"
    path.write_text(json.dumps({"categories": categories, "images": images, "annotations": annotations}))
    return path, folder / "images"
