"""Accuracy of occlusion labels from fitted bodies, compared with the Cylinder Man and a naive depth test.

    python benchmarks/ssf.py MOCAP --weights FILE

The people are synthetic, in poses of the held-out subjects, so that the ground truth is exact. Every method gets the
true 3D joints of h36m17 (those of mpi15 and two more), in the rows "1 cm noise" with that much noise along each axis;
and, where stated, a mask of the visible part of each person. Joints hidden by objects are left out, as no method knows
the objects. Precision, recall and F1 are of "hidden" among the other joints in the image. The fitted bodies are of the
same family as the people, except for the capsules. `silhouette_iou` compares whole silhouettes, hidden parts included.
Writes results/ssf.csv and prints it.
"""

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import torch
import tyro
from jaxtyping import Bool, Float
from results import write
from rich.console import Console
from rich.table import Table
from tyro.conf import Positional

from occlupose.bodies.anny import anny
from occlupose.bodies.body import PARTS, BodyModel
from occlupose.bodies.cylinders import cylinders
from occlupose.bodies.fitting import BodyFit
from occlupose.cameras import Camera
from occlupose.methods.hupor.ssf.label import SSFInput, occlusion_of_bodies
from occlupose.methods.hupor.ssf.network import SSF
from occlupose.methods.hupor.ssf.optimise import fit_bodies
from occlupose.methods.hupor.ssf.people import concatenate_crops
from occlupose.methods.hupor.ssf.predict import finetune, predict_bodies
from occlupose.methods.hupor.ssf.weights import load
from occlupose.occlusion.cylinders import CYLINDERS, place_cylinders, self_occluded
from occlupose.occlusion.surfaces import OcclusionCause, Surface, find_occlusion, render_zbuffer
from occlupose.poses import ABSENT, OCCLUDED
from occlupose.skeletons import BODY26, H36M17
from occlupose.synth.labels import SceneLabels, label_scene
from occlupose.synth.layout import SceneSettings, SceneSource, sample_scene

RESULTS = Path(__file__).parent / "results"
COLUMNS = ("labels", "silhouette_iou", "joint_error_mm", "precision", "recall", "f1")
GIVEN = BODY26.index(*H36M17.joints)

NEAR = 0.06
NEARER = 0.10
"""Metres of the naive test: a joint is hidden by a point this close in the image plane and this much nearer."""

ALONG = np.linspace(0, 1, 11)
"""Positions of the points along a limb."""

MIN_AREA = 100
"""Minimum area of a silhouette, pixels."""

SMALL_CROP = 128
"""Size of the crops in which silhouettes are fitted, pixels."""

Hidden = list[Bool[np.ndarray, "person 17"]]


def depth_test(people_input: SSFInput) -> Bool[np.ndarray, "person 17"]:
    """A joint is hidden if a joint or a point of any limb is in front of it."""
    joints = people_input.joints.astype(np.float64)
    ends = np.array([H36M17.index(*limb) for limb in H36M17.limbs])
    start = joints[:, ends[:, 0], None]
    end = joints[:, ends[:, 1], None]
    points = (start + ALONG[:, None] * (end - start)).reshape(-1, 3)  # person limb point
    depth = joints[..., 2]
    rays = points[:, :2] / points[:, 2:] - joints[..., None, :2] / joints[..., None, 2:]
    distance = np.linalg.norm(rays, axis=-1) * depth[..., None]
    return ((distance < NEAR) & (points[:, 2] < depth[..., None] - NEARER)).any(-1)


def tubes(joints: Float[np.ndarray, "17 3"], around: int = 16) -> Surface:
    """The Cylinder Man as a surface; trunk and head have two halves, as `find_occlusion` needs them."""
    cylinders = place_cylinders(torch.from_numpy(joints), H36M17)
    starts = cylinders[0].numpy()
    ends = cylinders[1].numpy()
    radii = cylinders[2].numpy()
    left, right = H36M17.index("left_shoulder", "right_shoulder")
    sideways = joints[left] - joints[right]
    vertices = []
    faces = []
    part = []
    turn = 2 * np.pi * (np.arange(around) + 0.5) / around
    for number, (start, end, radius) in enumerate(zip(starts, ends, radii, strict=True)):
        u = np.cross(end - start, sideways if number < 2 else (0.0, 0.0, 1.0))
        u /= max(np.linalg.norm(u), 1e-9)
        v = np.cross(end - start, u)
        v /= max(np.linalg.norm(v), 1e-9)
        ring = radius * (np.cos(turn)[:, None] * u + np.sin(turn)[:, None] * v)
        first = sum(map(len, vertices))
        vertices.append(np.concatenate([start + ring, end + ring, start[None], end[None]]))
        own = first + np.arange(around)
        following = first + (np.arange(around) + 1) % around
        low = np.full(around, first + 2 * around)
        high = np.full(around, first + 2 * around + 1)
        for corners in ((own, following, own + around), (following, following + around, own + around)):
            faces.append(np.stack(corners, 1))
        faces += [np.stack([own, following, low], 1), np.stack([own + around, following + around, high], 1)]
        name = ("face", "trunk")[number] if number < 2 else _limb(CYLINDERS[number].start[0])
        sides = np.where(ring @ sideways > 0, "left", "right")
        names = [f"{side}_{name}" if number < 2 else name for side in [*sides, *sides, "left", "left"]]
        part += [PARTS.index(one) for one in names]
    return Surface(np.concatenate(vertices).astype(np.float32), np.concatenate(faces), np.array(part, np.uint8))


def _limb(start: str) -> str:
    side, joint = start.split("_")
    return f"{side}_" + {"shoulder": "upper_arm", "elbow": "forearm", "hip": "thigh", "knee": "shank"}[joint]


def zbuffered_cylinders(people_input: SSFInput) -> Bool[np.ndarray, "person 17"]:
    """All cylinders in one z-buffer."""
    buffer = render_zbuffer([tubes(joints) for joints in people_input.joints], people_input.camera)
    return find_occlusion(people_input.joints, H36M17, buffer, people_input.camera).state == OCCLUDED


def by_networks(ssf: SSF, refine: bool, people_input: SSFInput) -> BodyFit:
    """Bodies predicted by networks."""
    people, fit_mask = people_input.crop_people(ssf.size)
    return predict_bodies(ssf, people, fit_mask, refine=refine)


def by_optimisation(body: BodyModel, masks: bool, people_input: SSFInput) -> BodyFit:
    """Bodies fitted without networks."""
    people, fit_mask = (people_input if masks else replace(people_input, masks=None)).crop_people(SMALL_CROP)
    return fit_bodies(people, body, fit_mask=fit_mask)


def by_bodies(fits: list[BodyFit], body: BodyModel, inputs: list[SSFInput]) -> Hidden:
    """What fitted bodies hide."""
    return [
        occlusion_of_bodies(fitted, body, people_input).state == OCCLUDED
        for fitted, people_input in zip(fits, inputs, strict=True)
    ]


def outline(
    vertices: Float[np.ndarray, "vertex 3"], body: BodyModel, camera: Camera
) -> Bool[np.ndarray, "height width"]:
    """The silhouette of a whole body in a camera."""
    return render_zbuffer([Surface(vertices.astype(np.float32), body.faces.numpy())], camera).surface == 0


def compare_shapes(
    fits: list[BodyFit], body: BodyModel, truths: list[SceneLabels], outlines: list[list[np.ndarray]]
) -> tuple[float, float]:
    """Mean IoU of the outlines, and mean distance of the true joints, mm."""
    overlaps = []
    errors = []
    for fitted, truth, wholes in zip(fits, truths, outlines, strict=True):
        with torch.no_grad():
            vertices = body(fitted.pose, fitted.shape, fitted.translation).vertices.numpy()
        errors.append(np.linalg.norm(fitted.joints.numpy() - truth.joints, axis=-1)[:, GIVEN].ravel())
        for one, whole in zip(vertices, wholes, strict=True):
            if whole.sum() >= MIN_AREA:
                fitted_outline = outline(one, body, truth.scene.camera)
                overlaps.append((fitted_outline & whole).sum() / (fitted_outline | whole).sum())
    return float(np.mean(overlaps)), 1000 * float(np.concatenate(errors).mean())


def score(found: Hidden, truths: list[SceneLabels]) -> tuple[float, float, float]:
    """Precision, recall and F1 of hidden joints, among those in the image that no object hides."""
    counts = np.zeros(3)
    for predicted, truth in zip(found, truths, strict=True):
        state = truth.occlusion.state[:, GIVEN]
        counted = (state != ABSENT) & (truth.occlusion.cause[:, GIVEN] != OcclusionCause.OBJECT)
        hidden = state == OCCLUDED
        counts += [(predicted & hidden & counted).sum(), (predicted & counted).sum(), (hidden & counted).sum()]
    correct, positives, total = counts
    return correct / max(positives, 1), correct / max(total, 1), 2 * correct / max(positives + total, 1)


def scenes(source: SceneSource, count: int) -> Iterator[SceneLabels]:
    """The first scenes in which all people are in front of the camera."""
    number = 0
    while count:
        truth = label_scene(sample_scene(source, number))
        number += 1
        if (truth.joints[..., 2] > 0.2).all():
            count -= 1
            yield truth


def main(
    mocap: Positional[Path],
    weights: Path | None = None,
    count: int = 100,
    steps: int = 100,
    noise: float = 0.01,
    seed: int = 20,
    output: Path = RESULTS / "ssf.csv",
) -> None:
    """Measures, prints and writes.

    Args:
        mocap: folder with the CMU motion capture.
        weights: of the networks; without them their rows are left out.
        count: number of scenes.
        steps: of self-supervised refinement.
        noise: metres, of the rows with noise, which the networks and the capsules do not have.
        seed: of the scenes.
        output: CSV file to write.
    """
    source = SceneSource.load(SceneSettings(seed=seed, people=(1, 6)), mocap=mocap, split="validation")
    truths = list(scenes(source, count))
    outlines = [
        [
            outline(truth.scene.to_camera(person.vertices), source.body, truth.scene.camera)
            for person in truth.scene.people
        ]
        for truth in truths
    ]
    random = np.random.default_rng(seed)
    rows: list[tuple[object, ...]] = []

    def add(name: str, found: Hidden, shape: tuple[float, float] | None = None) -> None:
        known = ("", "") if shape is None else (f"{shape[0]:.3f}", f"{shape[1]:.1f}")
        rows.append((name, *known, *(f"{value:.3f}" for value in score(found, truths))))
        print(*rows[-1], flush=True)

    for suffix, off in (("", 0.0), (f", {100 * noise:g} cm noise", noise))[: 1 + bool(noise)]:
        inputs = []
        for truth in truths:
            joints = truth.joints[:, GIVEN] + off * random.standard_normal((len(truth.joints), len(GIVEN), 3))
            masks = np.stack([truth.mask(person) for person in range(len(joints))])
            inputs.append(SSFInput(joints.astype(np.float32), H36M17, truth.scene.camera, masks))

        methods: list[tuple[str, BodyModel, Callable[[SSFInput], BodyFit]]] = []
        if weights is not None and not off:
            ssf = load(weights)
            people = [people_input.crop_people(ssf.size) for people_input in inputs]
            tuned = finetune(ssf, concatenate_crops([given for given, _ in people]), people[0][1], steps=steps)
            methods += [
                (f"ssf ({name}{more})", ssf.body, partial(by_networks, networks, refine))
                for networks, name in ((ssf, "networks"), (tuned, "networks + self-supervised"))
                for refine, more in ((False, ""), (True, ", joints then met"))
            ]
        methods += [
            (f"{name} (optimisation, {'masks' if masks else 'no masks'})", body, partial(by_optimisation, body, masks))
            for name, body in (("ssf", anny()), ("ssf on capsules", cylinders()))[: 1 if off else 2]
            for masks in (True, False)
        ]
        for name, body, fit in methods:
            fits = [fit(people_input) for people_input in inputs]
            add(name + suffix, by_bodies(fits, body, inputs), compare_shapes(fits, body, truths, outlines))
        add(
            "cylinder man, each by himself" + suffix,
            [self_occluded(torch.from_numpy(people_input.joints), H36M17).numpy() for people_input in inputs],
        )
        add(
            "cylinder men, z-buffered together" + suffix, [zbuffered_cylinders(people_input) for people_input in inputs]
        )
        add("naive test of depth" + suffix, [depth_test(people_input) for people_input in inputs])
    table = Table(*COLUMNS)
    for row in rows:
        table.add_row(*map(str, row))
    Console().print(table)
    reasons = np.concatenate([truth.occlusion.cause[:, GIVEN].ravel() for truth in truths])
    print({reason.name: int((reasons == reason).sum()) for reason in OcclusionCause})
    write(output, COLUMNS, rows, seed=seed)


if __name__ == "__main__":
    tyro.cli(main)
