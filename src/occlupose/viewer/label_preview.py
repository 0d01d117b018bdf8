"""Frames of labelled poses side by side, with the cylinders that occlude their joints, to check labels by eye."""

from pathlib import Path

import cv2
import numpy as np
import torch
from jaxtyping import Float, UInt8

from occlupose.errors import OccluposeError
from occlupose.media import write_image
from occlupose.occlusion.cylinders import CYLINDERS, place_cylinders
from occlupose.poses import OCCLUDED, Poses
from occlupose.viewer import overlay, style

PANEL = (340, 560)  # width and height of one frame, px
CAPTION = 96  # height of the text below it, px
LETTER_HEIGHT = 11.0  # height of a capital letter, px
FILLED = 0.84  # fraction of the panel that the joints fill
SCALE = 2  # of the drawing, before it is reduced
BACKGROUND: style.Colour = (238, 240, 243)
PAPER: style.Colour = (255, 255, 255)
# parts of the body, by depth
FAR = (132, 139, 150)
NEAR = (206, 211, 218)
EDGE: style.Colour = (84, 90, 100)

Image = UInt8[np.ndarray, "height width 3"]


def preview_labels(poses: Poses, path: str | Path, frames: int = 6) -> None:
    """Writes one image with evenly spaced frames, at most `frames`, of the person with the longest track.

    Each shows the Cylinder Man, near parts over far ones, and the joints: discs if visible, rings if occluded, with the
    names of the occluded ones below.

    Arguments:
        poses: labelled, with `xyz` and a skeleton that the Cylinder Man knows.
        path: the .png or .jpg file.

    Raises:
        OccluposeError: there are no people, the poses are 2D, their skeleton lacks a joint that the Cylinder Man
            needs, or the file cannot be written.
    """
    if poses.xyz is None or not (poses.state > 0).any():
        raise OccluposeError(f"{path}: nobody to draw; give poses with xyz and at least one person")
    person = int((poses.state > 0).any(-1).sum(0).argmax())
    present = np.flatnonzero((poses.state[:, person] > 0).any(-1))
    chosen = present[np.linspace(0, len(present) - 1, min(frames, len(present))).round().astype(int)]
    write_image(path, np.hstack([_draw_frame(poses, frame, person) for frame in chosen]))


def _draw_frame(poses: Poses, frame: int, person: int) -> Image:
    """One frame with its caption."""
    size = np.array(PANEL) * SCALE
    low = np.nanmin(poses.xy[frame, person], 0)
    high = np.nanmax(poses.xy[frame, person], 0)
    middle = (low + high) / 2
    scale = FILLED * float((size / np.maximum(high - low, 1)).min())
    image = np.full((*size[::-1], 3), BACKGROUND, np.uint8)
    for number, corners in enumerate(_silhouettes(poses, frame, person)):
        outline = (corners - middle) * scale + size / 2
        style.fill_convex(image, outline, style.mix_colours(FAR, NEAR, number / len(CYLINDERS)))
        style.draw_polylines(image, outline[None], EDGE, SCALE, closed=True)
    xy = (poses.xy[frame, person] - middle) * scale + size / 2
    state = poses.state[frame, person]
    overlay.draw_people(image, xy[None], state[None], poses.track_id[[person]], poses.skeleton, numbered=False)
    return np.vstack([cv2.resize(image, PANEL, interpolation=cv2.INTER_AREA), _draw_caption(poses, frame, state)])


def _silhouettes(poses: Poses, frame: int, person: int) -> list[Float[np.ndarray, "4 2"]]:
    """The rectangles of the cylinders in the image, px, the farthest first."""
    assert poses.xyz is not None
    start, end, radii = place_cylinders(torch.from_numpy(poses.xyz[frame, person]), poses.skeleton)
    radius = radii.numpy()
    ends = torch.stack([start, end], 1).numpy()
    depth = ends[..., 2].mean(1)
    if poses.camera is not None:
        points = poses.camera.project(ends)
        width = poses.camera.fx * radius[:, None] / ends[..., 2]
    else:  # orthographic projection
        known = np.isfinite(poses.xyz).all(-1)
        spread = [np.std(value[known][:, :2], axis=0).max() for value in (poses.xy, poses.xyz)]
        pixels_per_metre = spread[0] / spread[1]
        points = poses.xy[known][0] + (ends[..., :2] - poses.xyz[known][0, :2]) * pixels_per_metre
        width = np.repeat(pixels_per_metre * radius[:, None], 2, 1)
    along = points[:, 1] - points[:, 0]
    across = np.stack([-along[:, 1], along[:, 0]], -1) / np.maximum(np.linalg.norm(along, axis=-1, keepdims=True), 1e-6)
    offset = across[:, None] * width[..., None]
    corners = np.concatenate([points + offset, (points - offset)[:, ::-1]], 1)
    return [corners[part] for part in np.argsort(-depth) if np.isfinite(corners[part]).all()]


def _draw_caption(poses: Poses, frame: int, state: UInt8[np.ndarray, " joint"]) -> Image:
    """The time, and the names of the occluded joints."""
    image = np.full((CAPTION, PANEL[0], 3), PAPER, np.uint8)
    style.draw_text(image, f"{poses.time[frame]:.2f} s", (LETTER_HEIGHT, 2 * LETTER_HEIGHT), LETTER_HEIGHT, style.INK)
    occluded = [poses.skeleton.joints[joint] for joint in np.flatnonzero(state == OCCLUDED)]
    names = [name.replace("_", " ") for name in occluded]
    line = ""
    lines = []
    for name in names or ["nothing occluded"]:
        longer = f"{line}, {name}" if line else name
        if style.text_width(longer, LETTER_HEIGHT) > PANEL[0] - 2 * LETTER_HEIGHT and line:
            lines.append(line + ",")
            longer = name
        line = longer
    for number, words in enumerate([*lines, line]):
        style.draw_text(image, words, (LETTER_HEIGHT, (4 + 1.9 * number) * LETTER_HEIGHT), LETTER_HEIGHT, style.INK)
    return image
