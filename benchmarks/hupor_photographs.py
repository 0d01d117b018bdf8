"""HUPOR's weights on photographs: people found, and AP by COCO's protocol.

    python benchmarks/hupor_photographs.py --data COCO --split train --weights WEIGHTS ...

COCO is a folder in COCO's format; in the committed table, 28 images of train2017 with 86 people, of whom 84 have a
joint of the limbs. Nothing was trained or chosen on them. HUPOR predicts the joints of MPI15, of which COCO annotates
twelve, those of the limbs: `found` is the share of the annotated people who have a predicted one with an OKS of 0.5 or
more by these twelve, `AP_limbs` is COCO's AP by them, and `AP` by COCO's 17, where the five joints of the face, which
HUPOR does not have, are always wrong. Front ends of this package are rows for comparison. `ms` is the median time of an
image on one thread.

Writes results/hupor_photographs.csv.
"""

import json
import statistics
import time
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Literal

import torch
import tyro
from results import write
from rich.console import Console

from occlupose.datasets.discovery import find_dataset
from occlupose.datasets.formats import coco
from occlupose.detections import Detections
from occlupose.evaluation.keypoints import predict_in_images
from occlupose.evaluation.oks import OKSEvaluator
from occlupose.frontends import Frontend, build_frontend
from occlupose.media import Frame
from occlupose.methods.hupor.predict import HUPORPredictor, load
from occlupose.occlusion.blocks import LIMB_JOINTS
from occlupose.skeletons import COCO17, MPI15, Skeleton

RESULTS = Path(__file__).parent / "results" / "hupor_photographs.csv"
COLUMNS = ("network", "people", "found", "AP", "AP_limbs", "ms")
FRONTENDS = ("movenet-multipose", "movenet-occlusion")


@dataclass
class HUPORFrontend:
    """HUPOR as a front end."""

    predictor: HUPORPredictor
    name: str
    skeleton: Skeleton = MPI15
    min_joint_confidence: float = 0.0

    def __call__(self, frame: Frame) -> Detections:
        return self.predictor(frame.image)

    def reset(self) -> None:
        """Nothing to do: frames are independent."""


@dataclass
class Timed:
    """A front end, and how long it took for each image, s."""

    frontend: Frontend
    seconds: list[float] = field(default_factory=list)

    @property
    def name(self) -> str:
        return self.frontend.name

    @property
    def min_joint_confidence(self) -> float:
        return self.frontend.min_joint_confidence

    @property
    def skeleton(self) -> Skeleton:
        return self.frontend.skeleton

    def __call__(self, frame: Frame) -> Detections:
        start = time.perf_counter()
        people = self.frontend(frame)
        self.seconds.append(time.perf_counter() - start)
        return people

    def reset(self) -> None:
        self.frontend.reset()


def limbs_only(annotations: Path, output: Path) -> Path:
    """The same annotations without the joints of the face."""
    document = json.loads(annotations.read_text())
    face = [3 * number for number, joint in enumerate(COCO17.joints) if joint not in LIMB_JOINTS]
    for person in document["annotations"]:
        for first in face:
            person["keypoints"][first : first + 3] = [0, 0, 0]
        person["num_keypoints"] = sum(v > 0 for v in person["keypoints"][2::3])
    path = output / annotations.name
    path.write_text(json.dumps(document))
    return path


def score(frontend: Timed, annotations: Path, images: Path) -> tuple[int, float, float]:
    """People, recall at an OKS of 0.5 and AP, per cent."""
    annotated = coco.load(annotations, images)
    evaluator = OKSEvaluator(annotated, frontend="", boxes="detected", box_source="detector")
    truth = annotated.ground_truth
    predicted = predict_in_images(truth.images.values(), images, frontend, truth.skeleton, unreadable=evaluator.skip)
    for image, people in predicted:
        evaluator.add(image, people)
    scores = evaluator.scores()["all"]
    return scores.people, 100 * scores.values["AR50"], 100 * scores.values["AP"]


def main(
    data: Path,
    weights: tuple[Path, ...],
    split: Literal["test", "val", "train"] = "test",
    output: Path = RESULTS,
) -> None:
    """Score.

    Args:
        data: folder in COCO's format.
        weights: of train hupor and train refine.
        split: of the data.
        output: .csv file.
    """
    torch.set_num_threads(1)
    paths = find_dataset(data, split)
    if len({path.stem for path in weights}) < len(weights):
        raise SystemExit("two files of one name: rename one")
    networks: dict[str, Frontend] = {path.stem: HUPORFrontend(load(path), path.stem) for path in weights}
    networks |= {name: build_frontend(name, threads=1) for name in FRONTENDS}
    rows = []
    with TemporaryDirectory() as folder:
        limbs = limbs_only(paths.annotations, Path(folder))
        for name, frontend in networks.items():
            timed = Timed(frontend)
            people, found, of_limbs = score(timed, limbs, paths.images)
            whole = score(timed, paths.annotations, paths.images)[2]
            ms = 1000 * statistics.median(timed.seconds)
            rows.append((name, people, f"{found:.1f}", f"{whole:.1f}", f"{of_limbs:.1f}", f"{ms:.0f}"))
            Console(stderr=True).print(*rows[-1])
    write(output, COLUMNS, rows)


if __name__ == "__main__":
    tyro.cli(main)
