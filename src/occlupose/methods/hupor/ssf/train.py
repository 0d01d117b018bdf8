"""Training of the networks on synthetic people, from mocap to a weights file with its card."""

from collections.abc import Callable
from dataclasses import asdict, fields
from functools import partial
from pathlib import Path

import numpy as np
import torch
from jaxtyping import UInt8
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from occlupose.bodies.anny import anny
from occlupose.bodies.body import BodyModel
from occlupose.datasets.cmu import CARD_DATA
from occlupose.errors import OccluposeError
from occlupose.files import atomic
from occlupose.methods.hupor.ssf.label import SSFInput
from occlupose.methods.hupor.ssf.network import SSF
from occlupose.methods.hupor.ssf.recipe import SSFDataset, SSFRecipe, ssf_loss
from occlupose.methods.hupor.ssf.weights import save
from occlupose.skeletons import BODY26
from occlupose.synth.labels import SceneLabels, label_scene
from occlupose.synth.layout import SceneSettings, SceneSource, sample_scene
from occlupose.synth.scene import Scene
from occlupose.training import card
from occlupose.training.loop import fingerprint, train

MIN_VISIBLE = 0.01
"""The least share of a crop that must show somebody who is learnt from."""

RenderScene = Callable[[Scene], UInt8[np.ndarray, "height width 3"]]


def scene_input(truth: SceneLabels, painter: RenderScene | None = None) -> SSFInput:
    """What is given of a synthetic scene: exact joints and masks, and the picture, if somebody paints it."""
    masks = np.stack([truth.mask(person) for person in range(len(truth.joints))])
    return SSFInput(
        truth.joints.astype(np.float32), BODY26, truth.scene.camera, masks, painter(truth.scene) if painter else None
    )


def collect_people(source: SceneSource, recipe: SSFRecipe, painter: RenderScene | None = None) -> SSFDataset:
    """The people of a recipe's scenes, without those of whom next to nothing is seen, or who reach behind the camera.

    Raises:
        OccluposeError: there is nobody.
    """
    parts: list[dict[str, torch.Tensor]] = []
    for number in range(recipe.scenes):
        truth = label_scene(sample_scene(source, number))
        before = (truth.joints[..., 2] > MIN_DEPTH).all(1)
        if not before.any():
            continue
        given = scene_input(truth, painter)
        there = np.flatnonzero(before)
        masks = given.masks[there]  # type: ignore[index]
        crops, _ = SSFInput(given.joints[there], BODY26, given.camera, masks, given.image).people(recipe.size)
        rotation = torch.from_numpy(truth.scene.rotation).float()
        somebody = [truth.scene.people[person] for person in there]
        part = {name.name: getattr(crops, name.name) for name in fields(crops)}
        part |= {name: (255 * part[name]).round().to(torch.uint8) for name in ("seen", "open", "image")}
        part["shape"] = torch.from_numpy(np.stack([person.shape for person in somebody])).float()
        part["pose"] = rotation @ torch.from_numpy(np.stack([person.pose for person in somebody])).float()
        seen = (crops.seen * crops.open).mean((1, 2)) >= MIN_VISIBLE
        parts.append({name: values[seen] for name, values in part.items()})
    if not sum(len(part["joints"]) for part in parts):
        raise OccluposeError(f"scenes {recipe.scenes}: nobody to be seen in them; give more")
    return SSFDataset(**{name: torch.cat([part[name] for part in parts]) for name in parts[0]})


MIN_DEPTH = 0.2
"""Metres that every joint of somebody who is learnt from lies before the camera."""


def load_or_make(path: Path, same: str, make: Callable[[], SSFDataset]) -> SSFDataset:
    """The people of a file, if it says that they are the same; else they are made, and put there."""
    try:
        with safe_open(path, "pt") as file:
            if (file.metadata() or {}).get("same") == same:
                return SSFDataset(**{name.name: file.get_tensor(name.name) for name in fields(SSFDataset)})
    except (SafetensorError, OSError):
        pass
    crowd = make()
    with atomic(path) as temporary:
        save_file({name: values.contiguous() for name, values in vars(crowd).items()}, temporary, {"same": same})
    return crowd


def train_ssf(
    crowd: SSFDataset,
    folder: Path,
    recipe: SSFRecipe,
    *,
    body: BodyModel | None = None,
    data: str = "",
    resume: bool = False,
    progress: bool = True,
) -> SSF:
    """Both networks together, ready to use. On the CPU, where the body models are.

    Arguments:
        folder: gets checkpoint and log.
        body: that the people have; None is the default one.
        data: a fingerprint of the people; a run is resumed only with the same.
        resume: go on where the folder's run was stopped; the result is that of an uninterrupted run.

    Raises:
        OccluposeError: what `training.loop.train` refuses.
    """
    body = body or anny()
    torch.manual_seed(recipe.seed)
    ssf = recipe.build(body)
    average = train(
        ssf,
        partial(crowd.draw, recipe.batch),
        partial(ssf_loss, body=body, weights=recipe.weights),
        recipe.schedule(len(crowd)),
        folder,
        recipe=(recipe, data),
        seed=recipe.seed,
        resume=resume,
        progress=progress,
    )
    ssf.load_state_dict(average)
    return ssf.eval()


def train_to_file(
    folder: Path, recipe: SSFRecipe, *, mocap: Path | None = None, resume: bool = False, progress: bool = True
) -> Path:
    """Trains on synthetic people who move like those of a folder of mocap, and writes weights and card; returns the
    weights file.

    The people are made once and kept in the folder, as people.safetensors.

    Arguments:
        mocap: folder with cmu/NN/NN_MM.amc (see `datasets.cmu.load_clips`), without held-out subjects; None takes the
            shipped poses.

    Raises:
        OccluposeError: no mocap there; pictures are wanted and nothing here can paint them; what `train_ssf` refuses.
    """
    source = SceneSource.load(SceneSettings(seed=recipe.seed, people=recipe.people), mocap=mocap)
    painter = _painter() if recipe.look == "image" else None
    wanted = (recipe.look, recipe.size, recipe.scenes, recipe.people, recipe.seed)
    same = f"{fingerprint([source.pose_prior.mean, source.pose_prior.axes])} {wanted}"
    folder.mkdir(parents=True, exist_ok=True)
    crowd = load_or_make(folder / "people.safetensors", same, lambda: collect_people(source, recipe, painter))
    data = fingerprint([crowd.joints.numpy(), crowd.seen.numpy(), crowd.image.numpy()])
    ssf = train_ssf(crowd, folder, recipe, body=source.body, data=data, resume=resume, progress=progress)
    path = folder / f"{recipe.name}.safetensors"
    save(ssf, path)
    card.write(
        path,
        {mocap: "MOCAP", folder: "FOLDER"},
        name=recipe.name,
        task="3D joints and a mask to a body: shape, twists, pose (BODY26, camera frame, metres)",
        parameters=sum(value.numel() for value in ssf.parameters()),
        licence="Apache-2.0",
        data=f"{len(crowd)} synthetic people of our own (Anny, CC0) in poses of: {CARD_DATA}",
        metrics={},
        recipe=asdict(recipe),
    )
    return path


def _painter() -> RenderScene:
    """What paints scenes.

    Raises:
        OccluposeError: there is nothing here to paint with.
    """
    try:
        from occlupose.synth.render import Renderer
    except ImportError as error:
        raise OccluposeError(
            f"look image: pictures cannot be painted here ({error}); give look mask, which needs none"
        ) from error
    return Renderer().render
