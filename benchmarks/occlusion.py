"""Occlusion in the synthetic scenes: how much, by what, and how well cylinders agree with meshes.

    python benchmarks/occlusion.py

Scenes of `occlupose synth` with default settings and seed 0. Prints and writes

- results/occlusion_shares.csv: for every joint of COCO, the share that is visible, occluded by its own body, by another
  person or by an object, and outside the image (of all joints of people who have a visible pixel);
- results/occlusion_crowds.csv: overlap of people's boxes (the mean intersection over union of all pairs in an image,
and of each person with the one who overlaps most), compared with published figures of real datasets;
- results/occlusion_agreement.csv: for the joints in the image, the share whose state is that of the exact labels, and
  precision, recall and F1 of `occluded`: the Cylinder Man, who only knows self-occlusion; and the cylinder body model
  fitted to everybody, with the objects, in the same z-buffer.
"""

from pathlib import Path
from typing import Annotated

import numpy as np
import torch
import tyro
from results import write
from rich.console import Console
from rich.table import Table

from occlupose.bodies.cylinders import cylinders
from occlupose.bodies.fitting import fit_pose, fit_shape
from occlupose.occlusion.cylinders import self_occluded
from occlupose.occlusion.surfaces import OcclusionCause, Surface, find_occlusion, render_zbuffer
from occlupose.poses import ABSENT, OCCLUDED
from occlupose.skeletons import BODY22, BODY26, COCO17
from occlupose.synth.labels import SceneLabels, label_scene
from occlupose.synth.layout import SceneSettings, SceneSource, sample_scene

RESULTS = Path(__file__).parent / "results"
SHARES = ("joint", "visible", "self", "person", "object", "outside")
CAUSES = (
    OcclusionCause.NONE,
    OcclusionCause.SELF,
    OcclusionCause.PERSON,
    OcclusionCause.OBJECT,
    OcclusionCause.OUTSIDE,
)
CROWDS = ("dataset", "mean_iou", "mean_max_iou", "source")
AGREEMENT = ("labels", "same_state", "precision", "recall", "f1")
PUBLISHED = (
    ("MSCOCO", 0.06, "", "CrowdPose (Li et al., CVPR 2019)"),
    ("MPII", 0.11, "", "CrowdPose (Li et al., CVPR 2019)"),
    ("CrowdPose", 0.27, "", "CrowdPose (Li et al., CVPR 2019)"),
    ("OCHuman", "", 0.67, "Pose2Seg (Zhang et al., CVPR 2019)"),
)


def main(scenes: int = 300, results: Annotated[Path, tyro.conf.arg(metavar="FOLDER")] = RESULTS) -> None:
    """Measure the occlusion in synthetic scenes.

    Args:
        scenes: number of scenes.
        results: folder for the tables.
    """
    source = SceneSource.load(SceneSettings())
    causes = []
    pair_ious = []
    max_ious = []
    exact: list[np.ndarray] = []
    estimated: dict[str, list[np.ndarray]] = {"cylinder man, each alone": [], "cylinder bodies together": []}
    for number in range(scenes):
        labels = label_scene(sample_scene(source, number))
        in_image = [person for person in range(len(labels.joints)) if labels.mask(person).any()]
        causes.append(labels.occlusion.cause[in_image][:, BODY26.index(*COCO17.joints)])
        overlaps = _overlaps(np.array([labels.box(person) for person in in_image]).reshape(-1, 4))
        pair_ious += overlaps[np.triu_indices(len(in_image), 1)].tolist()
        max_ious += overlaps.max(1, initial=0.0).tolist() if len(in_image) > 1 else []
        inside = labels.occlusion.state != ABSENT
        exact.append(labels.occlusion.state[inside] == OCCLUDED)
        joints = torch.from_numpy(labels.joints.astype(np.float32))
        alone = np.zeros(inside.shape, bool)
        alone[:, : len(BODY22)] = self_occluded(joints[:, : len(BODY22)], BODY22).numpy()
        estimated["cylinder man, each alone"].append(alone[inside])
        estimated["cylinder bodies together"].append((_states_by_cylinders(labels) == OCCLUDED)[inside])
    cause = np.concatenate(causes)
    rows = [(joint, *_shares(cause[:, number])) for number, joint in enumerate(COCO17.joints)]
    _write_and_print(results / "occlusion_shares.csv", SHARES, [*rows, ("all", *_shares(cause))])
    ious = (round(float(np.mean(pair_ious)), 2), round(float(np.mean(max_ious)), 2))
    ours = ("ours", *ious, f"{scenes} scenes, images with two people or more")
    _write_and_print(results / "occlusion_crowds.csv", CROWDS, [ours, *PUBLISHED])
    truth = np.concatenate(exact)
    rows = [(name, *_scores(np.concatenate(occluded), truth)) for name, occluded in estimated.items()]
    _write_and_print(results / "occlusion_agreement.csv", AGREEMENT, rows)


def _shares(cause: np.ndarray) -> list[float]:
    """Share of each cause, in the order of SHARES."""
    return np.round([(cause == one).mean() for one in CAUSES], 3).tolist()


def _states_by_cylinders(labels: SceneLabels) -> np.ndarray:
    """States from cylinder bodies in place of all people, with the objects as they are."""
    body = cylinders()
    scene = labels.scene
    joints = torch.from_numpy(labels.joints.astype(np.float32))
    shape = torch.stack([fit_shape(one[None], body) for one in joints])
    fitted = fit_pose(joints, body, shape)
    with torch.no_grad():
        vertices = body(fitted.pose, fitted.shape, fitted.translation).vertices.numpy()
    people = [Surface(one, body.faces.numpy(), body.part.numpy()) for one in vertices]
    buffer = render_zbuffer(people + scene.surfaces()[len(people) :], scene.camera)
    return find_occlusion(labels.joints, BODY26, buffer, scene.camera).state


def _overlaps(box: np.ndarray) -> np.ndarray:
    """Intersection over union of all pairs of boxes; 0 of one with itself."""
    left = box[:, :2]
    right = box[:, :2] + box[:, 2:]
    size = np.clip(np.minimum(right[:, None], right) - np.maximum(left[:, None], left), 0, None)
    both = size.prod(-1)
    area = box[:, 2:].prod(-1)
    result = both / (area[:, None] + area - both)
    np.fill_diagonal(result, 0)
    return result


def _scores(estimated: np.ndarray, exact: np.ndarray) -> tuple[float, ...]:
    correct = (estimated & exact).sum()
    precision = correct / max(1, estimated.sum())
    recall = correct / exact.sum()
    f1 = 2 * precision * recall / max(precision + recall, 1e-9)
    return tuple(np.round([(estimated == exact).mean(), precision, recall, f1], 3).tolist())


def _write_and_print(path: Path, columns: tuple[str, ...], rows: list[tuple]) -> None:
    write(path, columns, rows)
    table = Table(*columns, title=path.stem)
    for row in rows:
        table.add_row(*map(str, row))
    Console().print(table)


if __name__ == "__main__":
    tyro.cli(main, description=__doc__)
