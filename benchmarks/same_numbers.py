"""Whether this tree gives the numbers of an earlier commit.

    python benchmarks/same_numbers.py --before c685eb2
    python benchmarks/same_numbers.py --before c685eb2 --only run lift --mocap ~/data/mocap

Checks the earlier commit out beside this tree, runs the same cases in both, each in a process of its own, and compares
what they write: poses, losses and gradients of every training step, weights, scores, synthetic scenes, streams. Prints
a line for each case and exits with 1 if a number differs by more than 1e-5 (of a stream: 1 mm about the root, 3 cm at
the root). The earlier commit also writes poses files and weights, which both trees then read.

Finished cases go to a CSV file and are not run again until either commit changes; `--work` keeps all files. Commands
are spelled as in the earlier commit; this tree's `cli.renamed` translates their options, `VALUES` their values. What is
now set in a recipe goes into a file.
"""

import csv
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable, Iterator
from importlib import import_module
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
import tyro
from safetensors.numpy import load_file

ROOT = Path(__file__).resolve().parents[1]
BOUND = 1e-5
POSE_BOUND = 1e-3
ROOT_BOUND = 0.03
COLUMNS = ("case", "before", "after", "values", "max_difference", "bound", "equal", "seconds_before", "seconds_after")

VALUES = {"pyport": "gntcn"}
"""Values of options before -> now."""


RENAMED_FILES = {"run/fill/": "run/stage_2d/", "run/lift/": "run/stage_3d/", "run/joint/": "run/end_to_end/"}
"""Parts of names of result files before -> now."""


# ------------------------------------------------------------------------------------------- cases, in either tree


class Tree(NamedTuple):
    """A case's surroundings: shared input files, and the folder for its results."""

    inputs: Path
    output: Path
    now: bool
    """Whether this is today's tree."""

    def command(self, words: str, *arguments: object) -> None:
        """Runs `occlupose WORDS ARGUMENTS` in this process.

        Arguments:
            words: the command as it was called before.
            arguments: its options as they were called before.
        """
        from occlupose import cli

        command = words.split()
        spelled = [str(argument) for argument in arguments]
        if self.now:
            command, spelled = _command_now(command, spelled)
            spelled = _translated(command, spelled)
        sys.argv = ["occlupose", *command, *spelled]
        print(*sys.argv, file=sys.stderr)
        try:
            code = cli.main()
        except SystemExit as end:
            code = end.code
        if code:
            raise SystemExit(f"exit code {code}")


def _command_now(command: list[str], arguments: list[str]) -> tuple[list[str], list[str]]:
    """A command as this tree calls it: `eval` names the dataset, which was an option or an argument; both trainers of
    OANet are presets of one.
    """
    preset = {"train lifter": "recipe:shipped", "train oanet": "recipe:paper"}.get(" ".join(command))
    if preset:
        return ["train", "oanet"], [*arguments, preset]
    if command == ["eval", "keypoints"]:
        return ["eval", Path(arguments[1]).name], arguments
    if command not in (["eval", "oanet"], ["eval", "hupor"]):
        return command, arguments
    place = int(arguments[0] == "--dataset")
    return ["eval", arguments[place]], arguments[place + 1 :]


def _translated(command: list[str], arguments: list[str]) -> list[str]:
    """The arguments as this tree spells them."""
    from occlupose.cli.renamed import renamed

    starts = [place for place, word in enumerate(arguments) if word.startswith(("-", "recipe:"))]
    spelled = arguments[: min(starts, default=len(arguments))]
    recipe = None
    fields: dict[str, Any] = {}
    for start, end in pairwise([*starts, len(arguments)]):
        option = arguments[start]
        values = [VALUES.get(value, value) for value in arguments[start + 1 : end]]
        new = renamed(command, option) or option
        if new.startswith("--recipe FILE with "):
            names = new.removeprefix("--recipe FILE with ").removesuffix(" in it").split(" and ")
            fields |= {name: _number(value) for name, value in zip(names, values, strict=True)}
        elif new.startswith("--recipe"):
            recipe = [*new.split(), *values][1]
        else:
            spelled += [*new.split(), *values]
    return [*spelled, *_recipe_options(command[-1], recipe, fields)]


def _recipe_options(trainer: str, recipe: str | None, fields: dict[str, Any]) -> list[str]:
    """Options for a recipe by name with other values of some fields."""
    from occlupose.cli.training import RECIPES
    from occlupose.training.recipe import changed, write

    if not fields:
        return [] if recipe is None else ["--recipe", recipe]
    known = import_module(f"occlupose.methods.{RECIPES[trainer]}").RECIPES
    path = Path(tempfile.mkdtemp()) / "recipe.json"
    write(changed(known[recipe or next(iter(known))], fields), path)
    return ["--recipe", str(path)]


def _number(text: str) -> int | float | str:
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            pass
    return text


def run_demo(tree: Tree) -> None:
    """The demonstration clip."""
    from occlupose.assets import demo_clip

    tree.command("run", demo_clip(), "-o", tree.output, "--no-video", "--height", 1.75)


def lift(tree: Tree) -> None:
    """Ten 2D clips of several skeletons and frame rates."""
    for clip in sorted(tree.inputs.glob("lift/*.npz")):
        tree.command("lift", clip, "-o", tree.output / clip.name)


def train_lifter(tree: Tree) -> None:
    """50 steps of OANet's lifter."""
    with _recorded(tree):
        tree.command(
            *("train lifter", "--mocap", tree.inputs / "mocap", "-o", tree.output / "run"),
            *("--recipe.width", 32, "--recipe.batch", 4, "--recipe.optimisation.steps", 50),
            *("--recipe.optimisation.warm-up", 10, "--recipe.optimisation.precision", "32-true"),
        )


def train_oanet(tree: Tree) -> None:
    """50 steps of OANet as in the paper."""
    stages = [
        option
        for stage, steps in (("fill", 15), ("lift", 15), ("joint", 20))
        for option in (f"--recipe.{stage}.steps", steps, f"--recipe.{stage}.precision", "32-true")
    ]
    with _recorded(tree):
        tree.command(
            *("train oanet", "--data", tree.inputs / "mocap", "-o", tree.output / "run"),
            *("--recipe.width", 16, "--recipe.batch", 4, *stages),
        )


def train_hupor(tree: Tree) -> None:
    """50 steps of the small HUPOR on synthetic scenes."""
    with _recorded(tree):
        tree.command(
            *("train hupor", "--data", tree.inputs / "scenes", "-o", tree.output / "run", "recipe:small"),
            *("--recipe.epochs", 20, "--recipe.batch", 2, "--recipe.warm-up", 10, "--recipe.design.width", 96),
            *("--recipe.design.height", 64),
        )


def train_ljof(tree: Tree) -> None:
    """50 steps of a small estimator with LJOF."""
    with _recorded(tree):
        tree.command(
            *("train ljof", "--data", tree.inputs / "coco", "-o", tree.output / "run", "--model", "hrnet_small"),
            *("--crop", 64, 64, "--epochs", LJOF_EPOCHS, "--batch", 4),
        )


LJOF_EPOCHS = 25


def eval_keypoints(tree: Tree) -> None:
    """COCO, CrowdPose and OCHuman, with weights of the earlier commit."""
    for dataset in ("coco", "crowdpose", "ochuman"):
        weights = tree.inputs / ("crowdpose14" if dataset == "crowdpose" else "coco17") / "hrnet_small.safetensors"
        tree.command(
            *("eval keypoints", "--data", tree.inputs / dataset, "--frontend", weights, "--flip"),
            *("-o", tree.output / f"{dataset}.csv"),
        )


def eval_poses(tree: Tree) -> None:
    """Human3.6M and HumanEva-I, with the shipped lifter."""
    for dataset in ("h36m", "humaneva"):
        tree.command(
            *("eval oanet", "--dataset", dataset, "--data", tree.inputs / dataset),
            *("-o", tree.output / f"{dataset}.csv", "--save-predictions", tree.output / f"{dataset}.npz"),
        )


def eval_people(tree: Tree) -> None:
    """MuPoTS-3D by each variant, 3DPW and synthetic scenes: predictions of the earlier commit."""
    for dataset, variant in (
        ("mupots", "official"),
        ("mupots", "smap15"),
        ("mupots", "pyport"),
        ("3dpw", None),
        ("synth", None),
    ):
        options = [] if variant is None else ["--variant", variant]
        tree.command(
            *("eval hupor", dataset, "--data", tree.inputs / dataset, "--predictions", tree.inputs / f"{dataset}.npz"),
            *("-o", tree.output / f"{dataset}_{variant}.csv", *options),
        )


def synth(tree: Tree) -> None:
    """Labels of 20 scenes, and 3 rendered ones."""
    size = ("--size", 256, 160, "--workers", 0)
    tree.command("synth", "-o", tree.output / "labels", "--scenes", 20, "--seed", 5, "--labels-only", *size)
    tree.command("synth", "-o", tree.output / "rendered", "--scenes", 3, "--seed", 6, *size)


def hupor_people(tree: Tree) -> None:
    """HUPOR's people in five synthetic images."""
    for image in sorted((tree.inputs / "scenes" / "images").glob("*.jpg"))[:5]:
        tree.command("run", image, "-o", tree.output / image.stem, "--method", "hupor")


def streams(tree: Tree) -> None:
    """2D clips lifted frame by frame."""
    from occlupose.poses import Poses

    for clip in sorted(tree.inputs.glob("stream/*.npz")):
        frames = list((_streamed if tree.now else _streamed_before)(Poses.load(clip)))
        ids = sorted({int(person) for frame in frames for person in frame.track_id})
        xyz = np.full((len(frames), len(ids), 17, 3), np.nan, np.float32)
        state = np.zeros((len(frames), len(ids), 17), np.uint8)
        score = np.zeros((len(frames), len(ids), 17), np.float32)
        for number, frame in enumerate(frames):
            columns = [ids.index(int(person)) for person in frame.track_id]
            xyz[number, columns] = frame.xyz[0]
            state[number, columns] = frame.state[0]
            score[number, columns] = frame.score[0]
        root = xyz[:, :, :1]
        np.savez(tree.output / clip.name, relative=xyz - root, root=root, state=state, score=score, ids=ids)


def _streamed(poses: Any) -> Iterator[Any]:
    """The frames of a 2D record, lifted live."""
    from occlupose.cameras import Camera
    from occlupose.methods.oanet.lifting import TrackLifter, load_lifter
    from occlupose.methods.oanet.streaming import StreamLifter
    from occlupose.poses_builder import PosesBuilder

    camera = Camera.from_fov(poses.width, poses.height)
    builder = PosesBuilder(poses.skeleton, poses.fps, camera)
    lifter = StreamLifter(TrackLifter(camera, None, load_lifter()), builder)
    for frame in poses.frames():
        yield from lifter.update(frame)
    yield from lifter.finish()


def _streamed_before(poses: Any) -> Iterator[Any]:
    """The same in the earlier commit."""
    from occlupose.sightings import Record, Sighting

    from occlupose import lifting, pipeline
    from occlupose.cameras import Camera

    sightings = []
    for frame, moment in enumerate(poses.time.tolist()):
        there = (poses.state[frame] > 0).any(-1)
        arrays = (poses.xy[frame, there], poses.score[frame, there], poses.state[frame, there])
        sightings.append(Sighting(moment, poses.track_id[there], *arrays))
    lift = lifting.Lift(Camera.from_fov(poses.width, poses.height), None, lifting.networks())
    record = Record(poses.skeleton, poses.fps, poses.width, poses.height)
    return pipeline.lift_stream(iter(sightings), record, lift)


def old_files(tree: Tree) -> None:
    """Poses files and weights that the earlier commit wrote."""
    from occlupose.poses import Poses

    for file in sorted(tree.inputs.glob("poses/*")):
        poses = Poses.load(file)
        arrays = {name: getattr(poses, name) for name in ("xy", "score", "state", "xyz", "track_id", "time")}
        observed = {f"observed_{name}": getattr(poses.observed, name) for name in ("xy", "score", "state")}
        np.savez(tree.output / f"{file.name}.npz", **arrays, **observed, joints=poses.skeleton.joints, fps=poses.fps)
    clip = tree.inputs / "lift" / "00.npz"
    weights = tree.inputs / "weights"
    tree.command("lift", clip, "-o", tree.output / "lifter.npz", "--weights", weights / "oanet_lifter.safetensors")
    image = next(iter(sorted((tree.inputs / "scenes" / "images").glob("*.jpg"))))
    for name in ("hrnet_small", "hourglass"):
        boxes = tree.inputs / "boxes.json"
        frontend = ("--frontend", weights / f"{name}.safetensors", "--boxes", boxes)
        tree.command("run", image, "-o", tree.output / name, *frontend)
    hupor = ("--method", "hupor", "--weights", weights / "hupor.synth.safetensors")
    tree.command("run", image, "-o", tree.output / "hupor", *hupor)
    tree.command(
        *("eval oanet", "--dataset", "h36m", "--data", tree.inputs / "h36m"),
        *("--weights", weights / "oanet.safetensors", "-o", tree.output / "oanet.csv"),
    )


class Case(NamedTuple):
    run: Callable[[Tree], None]
    bounds: tuple[tuple[str, float], ...] = ()
    """Larger bounds, by the ends of values' names."""


CASES = {
    "lift": Case(lift),
    "streams": Case(streams, (("relative", POSE_BOUND), ("root", ROOT_BOUND))),
    "old_files": Case(old_files),
    "eval_poses": Case(eval_poses),
    "eval_people": Case(eval_people),
    "eval_keypoints": Case(eval_keypoints),
    "hupor_people": Case(hupor_people),
    "train_lifter": Case(train_lifter),
    "train_oanet": Case(train_oanet),
    "train_ljof": Case(train_ljof),
    "train_hupor": Case(train_hupor),
    "synth": Case(synth),
    "run": Case(run_demo),
}


class _recorded:
    """Keeps the loss and the gradients' norms of every step in `steps.csv`."""

    def __init__(self, tree: Tree) -> None:
        self.file = tree.output / "steps.csv"
        self.rows: list[list[float]] = []
        self.loss = float("nan")

    def __enter__(self) -> None:
        import torch
        from lightning_fabric import Fabric
        from torch.optim.optimizer import register_optimizer_step_pre_hook

        backward = Fabric.backward

        def recorded(fabric: Fabric, tensor: torch.Tensor, *arguments: Any, **options: Any) -> None:
            self.loss = float(tensor.detach())
            backward(fabric, tensor, *arguments, **options)

        def before_step(optimiser: torch.optim.Optimizer, *_: object) -> None:
            gradients = [
                parameter.grad.detach().double()
                for group in optimiser.param_groups
                for parameter in group["params"]
                if parameter.grad is not None
            ]
            absolute = float(sum(gradient.abs().sum() for gradient in gradients))
            squares = float(sum(gradient.square().sum() for gradient in gradients))
            self.rows.append([self.loss, squares**0.5, absolute / max(squares, 1e-30) ** 0.5])

        Fabric.backward = recorded  # type: ignore[method-assign]
        self.hook = register_optimizer_step_pre_hook(before_step)

    def __exit__(self, *_: object) -> None:
        self.hook.remove()
        with self.file.open("w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(["loss", "gradient_norm", "absolute_over_norm"])
            writer.writerows([repr(value) for value in row] for row in self.rows)


# ---------------------------------------------------------------------------- input files, made by the earlier commit


def prepare(tree: Tree, mocap: Path | None) -> None:
    """Writes what all cases read, with the earlier commit and its tests' helpers."""
    coco_files = import_module("coco_files")  # of the earlier commit, so not found by tools that check this one
    dataset_files = import_module("dataset_files")
    mocap_files = import_module("mocap_files")
    mupots_files = import_module("mupots_files")
    inputs = tree.inputs
    mocap_files.write_mocap(inputs / "mocap", {"07": 2, "16": 2}, frames=400)
    _clips_2d(inputs, mocap)
    coco_files.write_coco(inputs / "coco")
    coco_files.write_crowdpose(inputs / "crowdpose")
    coco_files.write_ochuman(inputs / "ochuman")
    walker = dataset_files.walker
    subjects = {"S9": {"Walking 1": walker(40, 1), "Eating": walker(30, 3)}, "S11": {"Eating 1": walker(30, 4)}}
    dataset_files.write_h36m(inputs / "h36m", subjects)
    people = {f"Validate/S{n}": {"Walking 1 chunk0": walker(30, n), "Jog 1 chunk2": walker(28, n)} for n in (1, 2, 3)}
    dataset_files.write_humaneva(inputs / "humaneva", people)
    mupots_files.write_mupots(inputs / "mupots")
    (inputs / "3dpw").mkdir()
    sequence = mupots_files.sequence_3dpw(np.random.default_rng(0))
    np.savez(inputs / "3dpw" / "downtown_stairs_00.npz", **sequence)
    mupots_files.write_scenes(inputs / "synth")
    _predictions(inputs)
    tree.command("synth", "-o", inputs / "scenes", "--scenes", 5, "--seed", 3, "--size", 256, 160, "--workers", 0)
    _weights(tree)
    _poses(inputs)


def _clips_2d(inputs: Path, mocap: Path | None) -> None:
    """Ten 2D clips to lift, from motion capture or made up, and three with people who come and go to stream."""
    from occlupose.poses import Poses
    from occlupose.skeletons import BODY22, COCO17, H36M17

    cmu = import_module("occlupose.datasets.cmu")  # of the earlier commit
    motions = cmu.load_clips(mocap or inputs / "mocap")
    random = np.random.default_rng(0)
    for folder, count, seconds in (("lift", 10, 8), ("stream", 3, 16)):
        (inputs / folder).mkdir()
        for number in range(count):
            skeleton = H36M17 if number % 3 == 2 else COCO17
            fps = (30, 25, 60, 10)[number % 4]
            frames = seconds * fps
            columns = BODY22.index(*skeleton.joints)
            people = 1 if folder == "lift" else 3
            xy = np.empty((frames, people, len(skeleton), 2))
            for person in range(people):
                motion = motions[(number + person) % len(motions)]
                steps = (np.arange(frames) * motion.fps / fps).astype(int) % len(motion.joints)
                xyz = motion.joints[steps][:, columns] * (1, -1, -1)
                xyz = xyz - xyz.mean((0, 1)) + (1.2 * person - 1, 0, 5 + number / 4)
                xy[:, person] = xyz[..., :2] / xyz[..., 2:] * 600 + (320, 180)
            xy += random.normal(0, 1, xy.shape)
            state = np.full(xy.shape[:3], 2, np.uint8)
            state[(random.random((frames // 5 + 1, *xy.shape[1:3])) < 0.2).repeat(5, 0)[:frames]] = 1
            if folder == "stream":
                state[4 * fps : round(5.9 * fps), 0] = 0
                state[: 3 * fps, 1] = 0
                state[9 * fps :, 1] = 0
                state[: round(13.7 * fps), 2] = 0
            score = np.where(state == 2, 0.9, 0.1) * (state > 0)
            xy[state == 0] = np.nan
            Poses(
                xy=xy,
                score=score,
                state=state,
                xyz=None,
                track_id=np.arange(people) + 1,
                time=np.arange(frames) / fps,
                skeleton=skeleton,
                fps=fps,
                width=640,
                height=360,
            ).save(inputs / folder / f"{number:02}.npz")


def _predictions(inputs: Path) -> None:
    """Predictions near the truth, a joint here and there far from it."""
    from occlupose.skeletons import MPI15, MUPOTS17

    random = np.random.default_rng(1)
    people3d = import_module("occlupose.evaluation.people3d")  # of the earlier commit, like the next three
    mupots = import_module("occlupose.datasets.mupots")
    scenes = import_module("occlupose.datasets.scenes")
    threedpw = import_module("occlupose.datasets.threedpw")

    def near(xyz: np.ndarray) -> np.ndarray:
        wrong = random.random(xyz.shape[:2])[..., None] < 0.2
        return xyz * random.uniform(0.9, 1.1) + random.normal(0, np.where(wrong, 0.3, 0.03), xyz.shape)

    for name, skeleton, found in (
        ("mupots", MUPOTS17, mupots.frames(inputs / "mupots")),
        ("3dpw", MPI15, threedpw.frames(inputs / "3dpw")),
    ):
        people = {}
        for frame in found:
            score = random.random(frame.xy.shape[:2])
            people[frame.name] = people3d.People(
                frame.xy, near(frame.xyz), score, np.where(score > 0.3, 2, 1).astype(np.uint8)
            )
        people3d.Predictions(skeleton, people).save(inputs / f"{name}.npz")
    people = {}
    for crowd in scenes.load(inputs / "synth"):
        xyz = near(crowd.camera.back_project(crowd.xy, crowd.z))
        people[crowd.picture.name] = people3d.People(crowd.xy, xyz, random.random(crowd.state.shape), crowd.state)
    people3d.Predictions(MPI15, people).save(inputs / "synth.npz")


def _weights(tree: Tree) -> None:
    """Weights of each kind, hardly trained."""
    inputs = tree.inputs
    tiny = ("--model", "hrnet_small", "--crop", 64, 64, "--epochs", 1, "--batch", 4)
    tree.command("train ljof", "--data", inputs / "coco", "-o", inputs / "coco17", *tiny)
    tree.command("train ljof", "--data", inputs / "crowdpose", "-o", inputs / "crowdpose14", *tiny)
    few = ("--recipe.optimisation.steps", 3)
    size = ("--recipe.width", 16, "--recipe.batch", 4)
    tree.command("train lifter", "--mocap", inputs / "mocap", "-o", inputs / "lifter", *size, *few)
    stages = [option for stage in ("fill", "lift", "joint") for option in (f"--recipe.{stage}.steps", 2)]
    tree.command("train oanet", "--data", inputs / "mocap", "-o", inputs / "oanet", *size, *stages)
    annotations = inputs / "coco" / "annotations" / "person_keypoints_train2017.json"
    tree.command(
        *(
            "train keypoints",
            "--data",
            annotations,
            "--images",
            inputs / "coco" / "train2017",
            "-o",
            inputs / "hourglass",
        ),
        *("--recipe.name", "hourglass", "--recipe.stacks", 1, "--recipe.width", 16, "--recipe.depth", 2),
        *("--recipe.batch", 4, "--recipe.crop.width", 64, "--recipe.crop.height", 64, *few),
    )
    shipped = ROOT / "src" / "occlupose" / "weights" / "hupor.synth.safetensors"
    (inputs / "weights").mkdir()
    shutil.copy(shipped, inputs / "weights")
    for folder in ("coco17", "lifter", "oanet", "hourglass"):
        for file in (inputs / folder).glob("*.safetensors"):
            shutil.copy(file, inputs / "weights")
            shutil.copy(file.with_suffix(".json"), inputs / "weights")
    boxes = [{"image_id": 0, "category_id": 1, "bbox": [x, 20, 80, 120], "score": 0.9} for x in (20, 130)]
    (inputs / "boxes.json").write_text(json.dumps(boxes))


def _poses(inputs: Path) -> None:
    """A lifted record in both formats."""
    from occlupose import lift
    from occlupose.poses import Poses

    (inputs / "poses").mkdir()
    lifted = lift(Poses.load(inputs / "stream" / "01.npz").select(slice(0, 60)))
    for suffix in ("npz", "json"):
        lifted.save(inputs / "poses" / f"lifted.{suffix}")


# ---------------------------------------------------------------------------------------------------- comparing


class Difference(NamedTuple):
    values: int
    largest: float
    excess: str
    """What differs by more than its bound; empty if nothing does."""


def compare(before: Path, after: Path, bounds: tuple[tuple[str, float], ...]) -> Difference:
    """The largest difference between two folders of results, but for the versions of their formats."""
    numbers = [
        {name: value for name, value in _numbers(folder) if not name.endswith("version")} for folder in (before, after)
    ]
    count = 0
    largest = 0.0
    excess = [f"only in one: {name}" for name in sorted(numbers[0].keys() ^ numbers[1].keys())][:3]
    for name in sorted(numbers[0].keys() & numbers[1].keys()):
        one = numbers[0][name]
        other = numbers[1][name]
        count += one.size
        difference = _difference(one, other)
        largest = max(largest, difference)
        bound = next((bound for end, bound in bounds if name.endswith(end)), BOUND)
        if not difference <= bound:
            excess.append(f"{name}: {difference:.3g}")
    return Difference(count, largest, "; ".join(excess[:3]))


def _difference(one: np.ndarray, other: np.ndarray) -> float:
    if one.shape != other.shape or (one.dtype.kind in "US") != (other.dtype.kind in "US"):
        return float("inf")
    if one.dtype.kind in "US":
        return 0.0 if (one == other).all() else float("inf")
    one = one.astype(np.float64)
    other = other.astype(np.float64)
    same = (one == other) | (np.isnan(one) & np.isnan(other))
    difference = np.abs(np.where(same, 0, one - other))
    return float(np.nan_to_num(difference, nan=np.inf).max(initial=0))


def _numbers(folder: Path) -> Iterator[tuple[str, np.ndarray]]:
    """All arrays in the files of a folder, by file and name."""
    for file in sorted(path for path in folder.rglob("*") if path.is_file()):
        name = str(file.relative_to(folder))
        for old, new in RENAMED_FILES.items():
            name = name.replace(old, new)
        if file.name in ("settings.json", "manifest.json", "run.json") or (
            file.suffix == ".json" and file.with_suffix(".safetensors").exists()
        ):
            continue  # words, which may change
        if file.suffix == ".npz" and zipfile.is_zipfile(file):
            with np.load(file) as archive:
                yield from ((f"{name}: {key}", archive[key]) for key in archive.files)
        elif file.suffix == ".safetensors":
            yield from ((f"{name}: {key}", value) for key, value in load_file(file).items())
        elif file.suffix == ".csv":
            yield from _table(name, file)
        elif file.suffix == ".json":
            yield from ((f"{name}: {key}", value) for key, value in _leaves(json.loads(file.read_text())))
        elif file.suffix in (".jpg", ".png"):
            yield name, cv2.imread(str(file))


def _table(name: str, file: Path) -> Iterator[tuple[str, np.ndarray]]:
    """The numbers of each row of a CSV file, by place: columns may be renamed."""
    with file.open(newline="") as opened:
        rows = list(csv.reader(opened))[1:]
    seconds = file.name == "log.csv"
    for number, row in enumerate(rows):
        cells = [cell for cell in row[: len(row) - seconds] if _is_number(cell)]
        yield f"{name}: row {number}", np.array([float(cell) for cell in cells])


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


def _leaves(value: Any, name: str = "") -> Iterator[tuple[str, np.ndarray]]:
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _leaves(inner, f"{name}/{key}")
    elif isinstance(value, list) and any(isinstance(inner, dict) for inner in value):
        for number, inner in enumerate(value):
            yield from _leaves(inner, f"{name}/{number}")
    elif isinstance(value, list):
        flat = np.array([np.nan if inner is None else inner for inner in _flat(value)])
        yield name, flat
    else:
        yield name, np.array(np.nan if value is None else value)


def _flat(value: list[Any]) -> Iterator[Any]:
    for inner in value:
        if isinstance(inner, list):
            yield from _flat(inner)
        else:
            yield inner


# ------------------------------------------------------------------------------------------------------- running


def worker(case: str, inputs: Path, output: Path, now: bool, mocap: Path | None) -> None:
    """Runs one case, or "prepare", in the tree that PYTHONPATH names."""
    import torch

    torch.set_num_threads(1)
    tree = Tree(inputs, output, now)
    if case == "prepare":
        prepare(tree, mocap)
    else:
        CASES[case].run(tree)


def _work(case: str, tree: Path, inputs: Path, output: Path, now: bool, mocap: Path | None) -> float:
    """Runs a case in a process of its own; returns seconds."""
    shutil.rmtree(output, ignore_errors=True)
    output.mkdir(parents=True)
    paths = os.pathsep.join([str(tree / "src"), str(tree / "tests")])
    environment = os.environ | {"PYTHONPATH": paths, "OMP_NUM_THREADS": "1", "OCCLUPOSE_SAME_NUMBERS": "1"}
    arguments = [case, str(inputs), str(output), "now" if now else "before", *([] if mocap is None else [str(mocap)])]
    began = time.perf_counter()
    with (output.parent / f"{output.name}.log").open("w") as log:
        done = subprocess.run(
            [sys.executable, __file__, "--worker", *arguments],
            cwd=tree,
            env=environment,
            stdout=log,
            stderr=subprocess.STDOUT,
        )
    if done.returncode:
        shutil.rmtree(output)
        last = [line for line in Path(log.name).read_text().splitlines() if line.strip()][-1:]
        raise RuntimeError(f"{log.name}: {' '.join(last)}")
    return time.perf_counter() - began


def _commit(name: str) -> str:
    done = subprocess.run(["git", "rev-parse", "--short", name], cwd=ROOT, capture_output=True, text=True, check=True)
    return done.stdout.strip()


def main(
    before: str,
    only: tuple[str, ...] = (),
    mocap: Path | None = None,
    work: Path | None = None,
    output: Path | None = None,
    fresh: bool = False,
) -> None:
    """Compares this tree with an earlier commit.

    Args:
        before: the earlier commit.
        only: cases; by default all.
        mocap: CMU motion capture to take 2D clips from, with its cmu/NN/NN_MM.amc; by default made-up motion.
        work: folder for all files; what the earlier commit wrote there is not made again.
        output: table of finished cases; by default in the folder for files.
        fresh: run finished cases again.
    """
    commits = (_commit(before), _commit("HEAD"))
    work = (work or Path(tempfile.gettempdir()) / f"occlupose_same_numbers_{commits[0]}").resolve()
    work.mkdir(parents=True, exist_ok=True)
    table = output or work / "same_numbers.csv"
    finished = {}
    if table.exists() and not fresh:
        with table.open(newline="") as file:
            finished = {(row["case"], row["before"], row["after"]): row for row in csv.DictReader(file)}
    tree = work / "tree"
    subprocess.run(["git", "worktree", "prune"], cwd=ROOT, check=True)
    if not tree.exists():
        subprocess.run(["git", "worktree", "add", "-q", "--detach", str(tree), before], cwd=ROOT, check=True)
    failures = 0
    try:
        inputs = work / "inputs"
        if not (work / "prepared").exists():
            shutil.rmtree(inputs, ignore_errors=True)
            inputs.mkdir()
            _work("prepare", tree, inputs, work / "preparing", False, mocap)
            (work / "prepared").touch()
        for case in only or CASES:
            row = finished.get((case, *commits))
            if row is None:
                row = _compared(case, commits, tree, work)
                _append(table, row)
            failures += row["equal"] != "yes"
            print(
                f"{case}: {row['values']} values, largest difference {row['max_difference']}: {row['equal']}",
                flush=True,
            )
    finally:
        subprocess.run(["git", "worktree", "remove", "--force", str(tree)], cwd=ROOT, check=False)
    sys.exit(1 if failures else 0)


def _compared(case: str, commits: tuple[str, str], tree: Path, work: Path) -> dict[str, str]:
    """Runs a case in both trees, in the earlier one only once, and compares."""
    bounds = CASES[case].bounds
    seconds = ["", ""]
    row = {"case": case, "before": commits[0], "after": commits[1], "bound": str(max([BOUND, *dict(bounds).values()]))}
    results = [work / "before" / case, work / "after" / case]
    try:
        if not results[0].exists():
            seconds[0] = f"{_work(case, tree, work / 'inputs', results[0], False, None):.1f}"
        seconds[1] = f"{_work(case, ROOT, work / 'inputs', results[1], True, None):.1f}"
        found = compare(*results, bounds)
    except RuntimeError as error:
        found = Difference(0, float("inf"), str(error))
    row |= {"values": str(found.values), "max_difference": f"{found.largest:.3g}"}
    row |= {"equal": f"no ({found.excess})" if found.excess else "yes"}
    return row | {"seconds_before": seconds[0], "seconds_after": seconds[1]}


def _append(table: Path, row: dict[str, str]) -> None:
    new = not table.exists()
    with table.open("a", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS)
        if new:
            writer.writeheader()
        writer.writerow(row)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--worker"]:
        name, inputs_, output_, side, *mocap_ = sys.argv[2:]
        worker(name, Path(inputs_), Path(output_), side == "now", Path(mocap_[0]) if mocap_ else None)
    else:
        tyro.cli(main)
