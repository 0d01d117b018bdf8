"""What is hidden in the synthetic scenes, by what, and how often do cylinders say the same as meshes?

    python benchmarks/occlusion.py

Scenes of `occlupose synth` with its own settings and seed 0. Writes and prints

- results/occlusion_shares.csv: of every joint of COCO, the share that is visible, hidden by its own body, by somebody
  else, by a thing, and outside of the picture (of all joints of people who show a pixel);
- results/occlusion_crowds.csv: how much people's boxes overlap (the mean intersection over union of all pairs of a
  picture, and of each person with the one who overlaps most), beside what is published of real datasets;
- results/occlusion_agreement.csv: of the joints in the picture, the share whose state is that of the exact labels, and
  precision, recall and F1 of `occluded`: the Cylinder Man, who only knows what a body hides itself; the cylinder body
  on everybody's joints, with the things, in the same z-buffer.
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
CROWDS = ("dataset", "mean_iou", "mean_max_iou", "source")
AGREEMENT = ("labels", "same_state", "precision", "recall", "f1")
PUBLISHED = (
    ("MSCOCO", 0.06, "", "CrowdPose (Li et al., CVPR 2019)"),
    ("MPII", 0.11, "", "CrowdPose (Li et al., CVPR 2019)"),
    ("CrowdPose", 0.27, "", "CrowdPose (Li et al., CVPR 2019)"),
    ("OCHuman", "", 0.67, "Pose2Seg (Zhang et al., CVPR 2019)"),
)


def main(scenes: int = 300, results: Annotated[Path, tyro.conf.arg(metavar="FOLDER")] = RESULTS) -> None:
    """Count what is hidden in synthetic scenes.

    Args:
        scenes: how many.
        results: for the tables.
    """
    source = SceneSource.load(SceneSettings())
    reasons = []
    pairs = []
    most = []
    truth: list[np.ndarray] = []
    told: dict[str, list[np.ndarray]] = {"cylinder man, each alone": [], "cylinder bodies together": []}
    for number in range(scenes):
        labels = label_scene(sample_scene(source, number))
        seen = [person for person in range(len(labels.joints)) if labels.mask(person).any()]
        reasons.append(labels.occlusion.cause[seen][:, BODY26.index(*COCO17.joints)])
        overlaps = _overlaps(np.array([labels.box(person) for person in seen]).reshape(-1, 4))
        pairs += overlaps[np.triu_indices(len(seen), 1)].tolist()
        most += overlaps.max(1, initial=0.0).tolist() if len(seen) > 1 else []
        inside = labels.occlusion.state != ABSENT
        truth.append(labels.occlusion.state[inside] == OCCLUDED)
        joints = torch.from_numpy(labels.joints.astype(np.float32))
        alone = np.zeros(inside.shape, bool)
        alone[:, : len(BODY22)] = self_occluded(joints[:, : len(BODY22)], BODY22).numpy()
        told["cylinder man, each alone"].append(alone[inside])
        told["cylinder bodies together"].append((_cylinders(labels) == OCCLUDED)[inside])
    reason = np.concatenate(reasons)
    order = [
        OcclusionCause.NONE,
        OcclusionCause.SELF,
        OcclusionCause.PERSON,
        OcclusionCause.OBJECT,
        OcclusionCause.OUTSIDE,
    ]
    rows = [
        (joint, *np.round([(reason[:, place] == one).mean() for one in order], 3))
        for place, joint in enumerate(COCO17.joints)
    ]
    rows.append(("all", *np.round([(reason == one).mean() for one in order], 3)))
    _tell(results / "occlusion_shares.csv", SHARES, rows)
    ours = (
        "ours",
        round(float(np.mean(pairs)), 2),
        round(float(np.mean(most)), 2),
        f"{scenes} scenes, pictures with two people or more",
    )
    _tell(results / "occlusion_crowds.csv", CROWDS, [ours, *PUBLISHED])
    exact = np.concatenate(truth)
    _tell(
        results / "occlusion_agreement.csv",
        AGREEMENT,
        [(name, *_scores(np.concatenate(said), exact)) for name, said in told.items()],
    )


def _cylinders(labels: SceneLabels) -> np.ndarray:
    """States when cylinders stand in everybody's place, and the things where they are."""
    body = cylinders()
    scene = labels.scene
    joints = torch.from_numpy(labels.joints.astype(np.float32))
    shape = torch.stack([fit_shape(one[None], body) for one in joints])
    fitted = fit_pose(joints, body, shape)
    with torch.no_grad():
        vertices = body(fitted.pose, fitted.shape, fitted.translation).vertices.numpy()
    people = [Surface(one, body.faces.numpy(), body.part.numpy()) for one in vertices]
    return find_occlusion(
        labels.joints, BODY26, render_zbuffer(people + scene.surfaces()[len(people) :], scene.camera), scene.camera
    ).state


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


def _scores(said: np.ndarray, exact: np.ndarray) -> tuple[float, ...]:
    right = (said & exact).sum()
    precision = right / max(1, said.sum())
    recall = right / exact.sum()
    return tuple(
        np.round(
            [(said == exact).mean(), precision, recall, 2 * precision * recall / max(precision + recall, 1e-9)], 3
        ).tolist()
    )


def _tell(path: Path, columns: tuple[str, ...], rows: list[tuple]) -> None:
    write(path, columns, rows)
    table = Table(*columns, title=path.stem)
    for row in rows:
        table.add_row(*map(str, row))
    Console().print(table)


if __name__ == "__main__":
    tyro.cli(main, description=__doc__)
