"""Samples of people in small images, and networks that learn them quickly."""

from dataclasses import replace

import cv2
import numpy as np
import torch

from hupor_maps import FOCAL, project, random_people
from occlupose.cameras import Camera
from occlupose.codecs.multi_person import MultiPersonMaps
from occlupose.datasets.augmentation import BottomUpAugmentation, make_bottomup_batch
from occlupose.datasets.image_samples import make_mpi15_sample
from occlupose.datasets.images import ImageRef
from occlupose.media import write_image
from occlupose.methods.hupor.network import HUPORDesign
from occlupose.methods.hupor.recipe import HUPORRecipe
from occlupose.methods.hupor.sampler import BottomUpSampler
from occlupose.networks.mspn import LEVELS, StageSize
from occlupose.skeletons import MPI15

SPACE = MultiPersonMaps(256, 160)
"""The codec of the images."""

WIDTHS = StageSize((1, 1, 1, 1), (4, 4, 8, 8), 8)
DESIGN = HUPORDesign(64, 64, stages=2, size=WIDTHS, reasoner_stages=1, reasoner_size=WIDTHS)
STILL = BottomUpAugmentation(rotation=0, flip_probability=0, scale=(1, 1), shift=0)
SHORT = replace(DESIGN, stages=1)
"""Half as many tensors, as checkpoints take most of the time of a short training."""

TINY = HUPORRecipe(name="tiny", design=DESIGN, batch=4, epochs=6, learning_rate=2e-3, warm_up_steps=1)


def camera():
    return Camera(256, 160, FOCAL, FOCAL, 127.5, 79.5)


def sample_with_depth(seed, people=2, image=None):
    """Random people with depth, some joints hidden or absent."""
    random = np.random.default_rng(seed)
    xyz = random_people(random, people, SPACE)
    state = random.choice([0, 1, 2], xyz.shape[:2], p=[0.1, 0.3, 0.6])
    return make_mpi15_sample(image, (256, 160), project(xyz, SPACE), xyz[..., 2], state, camera=camera())


def sample_without_depth(seed, people=2, image=None):
    """The same as in COCO: no head tops, no depth, no camera."""
    given = sample_with_depth(seed, people, image)
    annotated = np.array([joint != "head_top" for joint in MPI15.joints])
    state = np.where(annotated, given.state, 0)
    return make_mpi15_sample(image, given.size, given.xy, np.full(state.shape, np.nan), state, annotated=annotated)


def draw_image(given):
    """An image of the visible limbs, each limb in its own colour."""
    image = np.full((160, 256, 3), 60, np.uint8)
    for number, ends in enumerate(MPI15.limbs):
        for xy, state in zip(given.xy, given.state, strict=True):
            joints = MPI15.index(*ends)
            if (state[joints] == 2).all():
                one, other = np.round(xy[joints]).astype(int).tolist()
                cv2.line(image, one, other, (250 - 15 * number, 40 + 15 * number, 255 * (number % 2)), 5)
    return image


def write_samples(folder, kinds=(sample_with_depth, sample_with_depth, sample_without_depth, sample_without_depth)):
    """One sample of each kind, with its image."""
    made = []
    for number, kind in enumerate(kinds):
        given = kind(number, image=ImageRef(folder / f"{number}.png"))
        write_image(given.image.path, draw_image(given))
        made.append(given)
    return made


def recipe_with_design(**design):
    """TINY with another design."""
    return replace(TINY, design=replace(DESIGN, **design))


def make_batch(given, with_images=True, design=DESIGN):
    """The samples in network inputs, not augmented."""
    images = [draw_image(each) for each in given] if with_images else None
    return make_bottomup_batch(given, images, design.letterbox)


def channel_leaves(count, channels, stages=2):
    """Random maps of every stage and level, as a network's output that has a gradient."""
    random = torch.Generator().manual_seed(0)
    return [
        [torch.randn(count, channels, 16, 16, generator=random).requires_grad_() for _ in range(LEVELS)]
        for _ in range(stages)
    ]


def make_sampler(samples, recipe, **options):
    """A sampler as the recipe has it."""
    share = {"no_depth_fraction": recipe.no_depth_fraction}
    return BottomUpSampler(samples, recipe.design.letterbox, recipe.augmentation, recipe.batch, **share, **options)
