from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from occlupose.cameras import Camera
from occlupose.errors import OccluposeError
from occlupose.methods.oanet.labels import FRONT, view_from
from occlupose.occlusion.cylinders import place_cylinders
from occlupose.occlusion.labels import label_poses
from occlupose.skeletons import COCO17, H36M17
from occlupose.viewer import preview_labels
from occlupose.viewer.label_preview import BACKGROUND, CAPTION, FAR, NEAR, PANEL, PAPER, _silhouettes
from walking_people import circle, make_poses, stand

WRIST = H36M17.joints.index("left_wrist")


def behind_the_back():
    body = stand(0, 4, 6)
    body[:, WRIST] = (-0.05, 1.15, 4.25)
    return label_poses(make_poses(body))


def drawn(poses, path, **options):
    preview_labels(poses, path, **options)
    return np.asarray(Image.open(path).convert("RGB"))


@pytest.mark.parametrize("frames", [1, 6])
def test_frames_are_laid_side_by_side(tmp_path, frames):
    image = drawn(label_poses(make_poses(circle())), tmp_path / "preview.png", frames=frames)
    assert image.shape == (PANEL[1] + CAPTION, frames * PANEL[0], 3)
    for panel in np.split(image, frames, 1):
        figure = (np.abs(panel[: PANEL[1]].astype(int) - BACKGROUND) > 20).any(-1)
        rows = np.flatnonzero(figure.any(1))
        columns = np.flatnonzero(figure.any(0))
        assert rows[-1] - rows[0] > 0.8 * PANEL[1] or columns[-1] - columns[0] > 0.8 * PANEL[0]  # it fills the panel,
        assert rows[0] > 0 and rows[-1] < PANEL[1] - 1 and columns[0] > 0 and columns[-1] < PANEL[0] - 1  # and is whole
        assert (panel[PANEL[1] :] != PAPER).any()


def test_a_short_track_has_each_frame_once(tmp_path):
    image = drawn(label_poses(make_poses(circle()[:2])), tmp_path / "preview.png")
    assert image.shape[1] == 2 * PANEL[0]


def test_an_occluded_joint_is_a_ring_and_a_visible_one_a_disc(tmp_path):
    poses = behind_the_back()
    assert (poses.state[:, 0, WRIST] == 1).all()
    self_occluded = drawn(poses, tmp_path / "hidden.png", frames=1)
    seen = drawn(replace(poses, state=np.full_like(poses.state, 2)), tmp_path / "seen.png", frames=1)
    low = poses.xy[0, 0].min(0)
    high = poses.xy[0, 0].max(0)
    scale = 0.84 * (np.array(PANEL) / (high - low)).min()
    x, y = np.rint((poses.xy[0, 0, WRIST] - (low + high) / 2) * scale + np.array(PANEL) / 2).astype(int)

    def grey(image):
        return np.ptp(image[y - 1 : y + 2, x - 1 : x + 2].astype(int), axis=-1).max() < 40

    assert grey(self_occluded)  # the torso shows through the ring
    assert not grey(seen)
    assert (self_occluded[PANEL[1] :] != seen[PANEL[1] :]).any()  # its name is written


@pytest.mark.parametrize("perspective", [True, False])
def test_silhouettes_are_as_wide_and_long_as_the_cylinders(perspective):
    poses = view_from(behind_the_back(), FRONT, 30.0, Camera.from_fov(4000, 4000, 20), perspective=perspective)
    corners = np.array(_silhouettes(poses, 0, 0))
    start, end, radii = place_cylinders(torch.from_numpy(poses.xyz[0, 0]), H36M17)
    radius = radii.numpy()
    order = np.argsort(-(start + end).numpy()[:, 2] / 2)
    known = poses.xyz[0, 0].astype(float), poses.xy[0, 0].astype(float)
    metre = np.polyfit(known[0][:, 1], known[1][:, 1], 1)[0]  # so far away it is nearly the same everywhere
    np.testing.assert_allclose(
        np.linalg.norm(corners[:, 0] - corners[:, 3], axis=-1) / metre, 2 * radius[order], rtol=0.05
    )
    length = np.linalg.norm((end - start)[order, :2], axis=-1)
    np.testing.assert_allclose(
        np.linalg.norm((corners[:, 1] - corners[:, 0]), axis=-1) / metre, length, rtol=0.05, atol=0.02
    )


def test_nearer_parts_are_lighter_and_over_farther_ones(tmp_path):
    body = stand(0, 4, 1)  # an arm before the torso, seen from behind: the wrist is on the near side
    body[:, WRIST] = (0.0, 1.2, 3.6)
    image = drawn(label_poses(make_poses(body)), tmp_path / "preview.png", frames=1)
    greys = np.unique(image[: PANEL[1]][np.ptp(image[: PANEL[1]].astype(int), axis=-1) < 20].mean(-1).round())
    assert greys.min() < np.mean(FAR) + 5 and (np.abs(greys - np.mean(NEAR)) < 20).any()


def test_who_is_there_longest_is_drawn(tmp_path):
    both = make_poses(stand(-1, 4, 6), stand(1, 4, 6))
    state = both.state.copy()
    xy = both.xy.copy()
    xyz = both.xyz.copy()
    state[2:, 0] = 0
    xy[2:, 0] = np.nan
    xyz[2:, 0] = np.nan
    alone = drawn(label_poses(both.select(person=[1])), tmp_path / "alone.png")
    np.testing.assert_array_equal(
        drawn(label_poses(replace(both, state=state, xy=xy, xyz=xyz)), tmp_path / "both.png"), alone
    )


def test_what_cannot_be_drawn_is_refused_and_leaves_nothing(tmp_path):
    poses = make_poses(stand(0, 4, 2))
    nobody = replace(
        poses, xyz=np.full_like(poses.xyz, np.nan), xy=np.full_like(poses.xy, np.nan), state=np.zeros_like(poses.state)
    )
    for empty in (nobody, replace(poses, xyz=None)):
        with pytest.raises(OccluposeError, match=r"preview\.png: nobody to draw; "):
            preview_labels(empty, tmp_path / "preview.png")
    with pytest.raises(OccluposeError, match="skeleton coco17"):
        preview_labels(poses.to(COCO17), tmp_path / "preview.png")
    with pytest.raises(OccluposeError, match="preview"):
        preview_labels(poses, tmp_path / "preview.txt")
    assert list(tmp_path.iterdir()) == []
