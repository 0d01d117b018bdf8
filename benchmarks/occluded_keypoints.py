"""Compares networks for crops of one person on visible and hidden joints: MoveNet Thunder, the network that was trained
from it for hidden joints, and other runs of `occlupose train movenet`.

    python benchmarks/occluded_keypoints.py --photographs PHOTOGRAPHS --data DATA --runs "without papers":FILE ...

PHOTOGRAPHS and DATA as for `occlupose train movenet`. Measured on people who are neither trained on nor used for the
calibration: in photographs, with the teacher's joints, behind blocks, objects and cut-outs of synthetic people, and cut
off (`methods.movenet.samples`), and synthetic people with exact labels, in scenes of another seed. The teacher of the
photographs is Thunder, which sees more there: several views without occluders.

Errors are in sides of the box around the person's known joints. A joint that the network takes for hidden is where the
network infers it. `auc`: of visible against occluded joints, by the network's confidence (Thunder) or probability. The
threshold for `recall` and `f1` of occluded joints is that for 3 % of false alarms on the data of the calibration.
`calibration error`: expected error of the probability in 15 bins. RUNS are NAME:FILE; of runs with the same name the
mean counts, and their number is in the table.
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import tyro
from jaxtyping import Bool, Float
from ranking import area_under_curve
from results import write
from rich.console import Console
from rich.progress import track
from tables import markdown_table
from torch.nn.functional import pad

from occlupose.frontends.movenet import combine, peak_share
from occlupose.methods.movenet.calibration import Answers, answer, truth_of
from occlupose.methods.movenet.data import prepare
from occlupose.methods.movenet.samples import Sample, draw_samples
from occlupose.methods.movenet.train import NETWORK, thunder
from occlupose.networks import pretrained
from occlupose.networks.movenet import decode_single
from occlupose.networks.occlusion_movenet import FEATURES, OcclusionMoveNet
from occlupose.poses import ABSENT, OCCLUDED, VISIBLE
from occlupose.skeletons import COCO17, COCO21

COLUMNS = ("network", "runs", "data", "metric", "value")
SHIPPED = "shipped"
FALSE_ALARMS = 0.03
NEAR = 0.05
"""Sides of the box; visible joints that are nearer count in `near`."""
BINS = 15
BODY = len(COCO17)


@dataclass(frozen=True)
class Joints:
    """Joints of some people, one after the other.

    Attributes:
        error: sides of the box.
        confidence: that each is visible, 0..1.
        state: 2 visible, 1 occluded, 0 outside of the image.
    """

    error: Float[np.ndarray, " joint"]
    confidence: Float[np.ndarray, " joint"]
    state: np.ndarray

    def of(self, *states: int) -> "Joints":
        """Those in these states."""
        rows = np.isin(self.state, states)
        return Joints(self.error[rows], self.confidence[rows], self.state[rows])


def joints_of(answers: Answers, people: Bool[np.ndarray, " person"], columns: slice) -> Joints:
    """The joints of these people that are known."""
    xy = combine(peak_share(answers.xy, answers.visible, answers.place), answers.xy, answers.place)
    error = np.linalg.norm(xy - answers.truth, axis=-1) / answers.side[:, None]
    known = answers.known[people][:, columns]
    arrays = (array[people][:, columns][known] for array in (error, answers.visible, answers.state))
    return Joints(*arrays)


def expected_calibration_error(probability: Float[np.ndarray, " joint"], true: Bool[np.ndarray, " joint"]) -> float:
    """Mean difference of probability and frequency in BINS bins of equal width, weighted with their numbers."""
    bins = np.minimum((probability * BINS).astype(int), BINS - 1)
    gaps = [abs(probability[bins == number].sum() - true[bins == number].sum()) for number in range(BINS)]
    return float(np.sum(gaps) / len(true))


def find_threshold(sets: Sequence[Joints]) -> float:
    """The confidence below which FALSE_ALARMS of the visible joints are; sets weigh the same."""
    return float(np.mean([np.quantile(joints.of(VISIBLE).confidence, FALSE_ALARMS) for joints in sets]))


def score(joints: Joints, threshold: float) -> dict[str, float]:
    """The metrics of some joints."""
    visible = joints.of(VISIBLE)
    occluded = joints.of(OCCLUDED)
    inside = joints.of(VISIBLE, OCCLUDED)
    said = inside.confidence < threshold
    hidden = inside.state == OCCLUDED
    right = int((said & hidden).sum())
    return {
        "visible, joints": len(visible.error),
        "visible, median error": float(np.median(visible.error)),
        "visible, near": float((visible.error < NEAR).mean()),
        "occluded, joints": len(occluded.error),
        "occluded, median error": float(np.median(occluded.error)),
        "occluded, 90 % error": float(np.quantile(occluded.error, 0.9)),
        "outside, median error": float(np.median(joints.of(ABSENT).error)),
        "auc": area_under_curve(inside.confidence, ~hidden),
        "false alarms": float((visible.confidence < threshold).mean()),
        "recall": right / max(int(hidden.sum()), 1),
        "f1": 2 * right / max(int(said.sum() + hidden.sum()), 1),
        "calibration error": expected_calibration_error(inside.confidence, ~hidden),
    }


def measure(tested: Answers, calibrated: Answers, feet: bool) -> Iterator[tuple[str, str, float]]:
    """Data, metric and value of one network."""
    parts = {"body": slice(0, BODY)} | ({"feet": slice(BODY, None)} if feet else {})
    for part, columns in parts.items():
        sets = {"photographs": ~tested.synthetic, "synthetic": tested.synthetic}
        before = [joints_of(calibrated, calibrated.synthetic == synthetic, columns) for synthetic in (False, True)]
        threshold = find_threshold(before)
        for data, people in sets.items():
            for metric, value in score(joints_of(tested, people, columns), threshold).items():
                yield data if part == "body" else f"{data}, feet", metric, value


@torch.inference_mode()
def answer_thunder(samples: Sequence[Sample]) -> Answers:
    """Thunder's answers; its place of a joint is the joint."""
    network = thunder().eval()
    parts = []
    extra = len(COCO21) - BODY
    for sample in samples:
        xy, confidence = decode_single(network.maps(sample.images))
        place = pad(xy, (0, 0, 0, extra))
        visible = pad(confidence, (0, extra))
        nothing = torch.zeros(*visible.shape, FEATURES)
        own = {"xy": place, "score": visible, "visible": visible, "place": place, "distance": visible}
        parts.append({**own, "features": nothing, **truth_of(sample)})
    return Answers(**{name: torch.cat([part[name] for part in parts]).numpy() for name in parts[0]})


def load(path: Path | None) -> OcclusionMoveNet:
    """A network from its weights; None: the shipped one."""
    network = pretrained.build(NETWORK, path)
    assert isinstance(network, OcclusionMoveNet)
    return network


def main(
    photographs: Path,
    data: Path,
    runs: tuple[str, ...] = (),
    batches: int = 80,
    scenes: int = 3000,
    output: Path = Path(__file__).parent / "results" / "occluded_keypoints.csv",
) -> None:
    """Measures the networks.

    Args:
        photographs: folder of photographs with boxes of people.
        data: folder of labels and scenes.
        runs: NAME:FILE, weights of further runs.
        batches: of 16 people, of the test.
        scenes: number of scenes in the training, which are in `data`.
        output: table to write.
    """
    console = Console(stderr=True)
    prepared = prepare(photographs, data, scenes)
    test = draw_samples(prepared.people("test"), batches, seed=2)
    calibration = draw_samples(prepared.people("calibration"), batches // 2, seed=1)
    networks: list[tuple[str, Path | None]] = [("MoveNet Thunder", None), (SHIPPED, None)]
    for run in runs:
        name, _, path = run.rpartition(":")
        networks.append((name, Path(path)))
    values = defaultdict(list)
    for name, path in track(networks, "measuring", console=console):
        if name == networks[0][0]:
            found = measure(answer_thunder(test), answer_thunder(calibration), feet=False)
        else:
            network = load(path)
            found = measure(answer(network, test), answer(network, calibration), feet=True)
        for data_name, metric, value in found:
            values[name, data_name, metric].append(value)
    rows = [(name, len(found), part, metric, f"{np.mean(found):.4g}") for (name, part, metric), found in values.items()]
    write(output, COLUMNS, rows)
    print(markdown_table([dict(zip(COLUMNS, map(str, row), strict=True)) for row in rows]))


if __name__ == "__main__":
    tyro.cli(main)
