"""Training of the networks of Skeleton-guided Shape Fitting on synthetic people, from motion capture to a weights file
with its card.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, fields, replace
from functools import partial
from pathlib import Path

import numpy as np
import torch
from jaxtyping import UInt8
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import nn

from occlupose.bodies.anny import anny
from occlupose.bodies.body import BodyModel
from occlupose.datasets.formats.cmu import CARD_DATA
from occlupose.errors import OccluposeError
from occlupose.files import atomic
from occlupose.methods.hupor.ssf.label import SSFInput
from occlupose.methods.hupor.ssf.network import SSF
from occlupose.methods.hupor.ssf.recipe import SSFDataset, SSFRecipe, ssf_loss
from occlupose.methods.hupor.ssf.weights import save
from occlupose.skeletons import BODY26
from occlupose.synth.labels import SceneLabels, label_scene
from occlupose.synth.layout import SceneSource, sample_scene
from occlupose.synth.scene import Scene
from occlupose.training.distributed import Process, main_first
from occlupose.training.loop import fingerprint
from occlupose.training.run import TrainingRun, TrainingStage, TrainingTask

MIN_VISIBLE = 0.01
"""Minimum fraction of a crop that a person must cover."""

MIN_DEPTH = 0.2
"""Minimum depth of every joint of a person, metres."""

RenderScene = Callable[[Scene], UInt8[np.ndarray, "height width 3"]]


def scene_input(truth: SceneLabels, render: RenderScene | None = None) -> SSFInput:
    """Exact joints and masks of a synthetic scene, and its image if it is rendered."""
    masks = np.stack([truth.mask(person) for person in range(len(truth.joints))])
    image = render(truth.scene) if render else None
    return SSFInput(truth.joints.astype(np.float32), BODY26, truth.scene.camera, masks, image)


def collect_people(source: SceneSource, recipe: SSFRecipe, render: RenderScene | None = None) -> SSFDataset:
    """The people of a recipe's scenes, except those who are hardly visible or reach behind the camera.

    Raises:
        OccluposeError: nobody is left.
    """
    parts: list[dict[str, torch.Tensor]] = []
    for number in range(recipe.scenes):
        truth = label_scene(sample_scene(source, number))
        in_front = (truth.joints[..., 2] > MIN_DEPTH).all(1)
        if not in_front.any():
            continue
        everybody = scene_input(truth, render)
        rows = np.flatnonzero(in_front)
        masks = everybody.masks[rows]  # type: ignore[index]
        crops, _ = replace(everybody, joints=everybody.joints[rows], masks=masks).crop_people(recipe.size)
        rotation = torch.from_numpy(truth.scene.rotation).float()
        people = [truth.scene.people[row] for row in rows]
        part = {field.name: getattr(crops, field.name) for field in fields(crops)}
        part |= {name: (255 * part[name]).round().to(torch.uint8) for name in ("mask", "valid", "image")}
        part["shape"] = torch.from_numpy(np.stack([person.shape for person in people])).float()
        part["pose"] = rotation @ torch.from_numpy(np.stack([person.pose for person in people])).float()
        visible = (crops.mask * crops.valid).mean((1, 2)) >= MIN_VISIBLE
        parts.append({name: values[visible] for name, values in part.items()})
    if not sum(len(part["joints"]) for part in parts):
        raise OccluposeError(f"scenes {recipe.scenes}: nobody is visible in them; give more")
    return SSFDataset(**{name: torch.cat([part[name] for part in parts]) for name in parts[0]})


def load_or_make(path: Path, identity: str, make: Callable[[], SSFDataset]) -> SSFDataset:
    """The people of a file that was made with the same identity; otherwise makes and saves them."""
    try:
        with safe_open(path, "pt") as file:
            if (file.metadata() or {}).get("same") == identity:
                return SSFDataset(**{field.name: file.get_tensor(field.name) for field in fields(SSFDataset)})
    except (SafetensorError, OSError):
        pass
    dataset = make()
    with atomic(path) as temporary:
        save_file({name: values.contiguous() for name, values in vars(dataset).items()}, temporary, {"same": identity})
    return dataset


@dataclass(frozen=True, eq=False)
class SSFTask(TrainingTask):
    """Training of ShapeInit and ShapeOpt together on synthetic people. On the CPU, where the body models are."""

    dataset: SSFDataset
    recipe: SSFRecipe
    body: BodyModel = field(default_factory=anny)
    """Of the people."""

    def data(self) -> str:
        dataset = self.dataset
        return fingerprint([dataset.joints.numpy(), dataset.mask.numpy(), dataset.image.numpy()])

    def build(self) -> SSF:
        return self.recipe.build(self.body)

    def stages(self, network: nn.Module) -> list[TrainingStage]:
        recipe = self.recipe
        loss = partial(ssf_loss, body=self.body, weights=recipe.loss_weights)
        draw = partial(self.dataset.draw, recipe.batch, share=Process.current().share(recipe.batch))
        return [TrainingStage(network, draw, loss, recipe.schedule(len(self.dataset)))]

    def save(self, network: nn.Module, path: Path) -> None:
        assert isinstance(network, SSF)
        save(network, path)

    def describe(self, network: nn.Module) -> dict[str, object]:
        return {
            "task": "3D joints and a mask to a body: shape, twists, pose (BODY26, camera frame, metres)",
            "licence": "Apache-2.0",
            "data": f"{len(self.dataset)} synthetic people of our own (Anny, CC0) in poses of: {CARD_DATA}",
        }


def train_ssf(recipe: SSFRecipe, run: TrainingRun, *, mocap: Path | None = None) -> Path:
    """Trains on synthetic people with poses from motion capture; returns the weights file.

    The people are generated once and kept in the folder, as people.safetensors.

    Arguments:
        mocap: folder with cmu/NN/NN_MM.amc (see `formats.cmu.load_clips`), without held-out subjects; None takes the
            shipped poses.

    Raises:
        OccluposeError: no motion capture there; images are needed and cannot be rendered here; as `TrainingRun.fit`.
    """
    source = SceneSource.load(recipe.scene_settings(), mocap=mocap)
    render = _renderer() if recipe.input_type == "image" else None
    settings = (recipe.input_type, recipe.size, recipe.scenes, recipe.people, recipe.seed)
    identity = f"{fingerprint([source.pose_prior.mean, source.pose_prior.axes])} {settings}"
    people = run.folder / "people.safetensors"
    with main_first():
        dataset = load_or_make(people, identity, lambda: collect_people(source, recipe, render))
    return run.fit(SSFTask(dataset, recipe, source.body))


def _renderer() -> RenderScene:
    """A function that renders scenes.

    Raises:
        OccluposeError: nothing here can render.
    """
    try:
        from occlupose.synth.render import Renderer
    except ImportError as error:
        raise OccluposeError(
            f"input_type image: images cannot be rendered here ({error}); give input_type mask, which needs none"
        ) from error
    return Renderer().render
