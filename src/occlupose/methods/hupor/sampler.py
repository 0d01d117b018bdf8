"""Batches of whole images for bottom-up networks."""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import numpy as np
import torch
from torch import Generator

from occlupose.codecs.letterbox import Letterbox
from occlupose.datasets.augmentation import BottomUpAugmentation, BottomUpBatch, make_bottomup_batch
from occlupose.datasets.image_samples import ImageSample
from occlupose.datasets.images import CACHE_BYTES, ImageCache
from occlupose.errors import OccluposeError
from occlupose.pyramid import Pyramid
from occlupose.training.run import UnreadableImages

THREADS = 4
"""Threads that read images."""


class BottomUpSampler:
    """Draws batches of augmented images, uniformly among those with depth and those without, in a fixed ratio.

    Images that cannot be read are replaced by others of the same kind.

    Arguments:
        letterbox: the network's input.
        batch: images in a batch, of all processes together.
        share: this process's part of every batch.
        no_depth_fraction: of a batch, from images without depth, if there are images with and without.
        with_images: False makes batches of labels only, also from samples without images.
        images: receives those that cannot be read.
        cache_bytes: size of the cache of decoded images, in bytes.
    """

    def __init__(
        self,
        samples: Sequence[ImageSample],
        letterbox: Letterbox,
        augmentation: BottomUpAugmentation,
        batch: int,
        *,
        share: slice = slice(None),
        no_depth_fraction: float = 0.5,
        with_images: bool = True,
        images: UnreadableImages | None = None,
        cache_bytes: int = CACHE_BYTES,
        threads: int = THREADS,
    ) -> None:
        self.samples = samples
        self.letterbox = letterbox
        self.augmentation = augmentation
        self.batch = batch
        self.share = share
        self.no_depth_fraction = no_depth_fraction
        self.with_images = with_images
        self.images = images or UnreadableImages()
        has_depth = np.array([sample.has_depth for sample in samples], bool)
        if has_depth.any():
            has_depth |= np.array([not len(sample) for sample in samples], bool)  # no people, no unknown depths
        self._with_depth = np.flatnonzero(has_depth)
        self._without_depth = np.flatnonzero(~has_depth)
        self._cache = ImageCache(cache_bytes)
        self._workers = ThreadPoolExecutor(threads, thread_name_prefix="images")

    def draw(self, generator: Generator) -> BottomUpBatch:
        """This process's share of the batch of a step."""
        count = BottomUpAugmentation.random_numbers
        random = torch.rand(self.batch, count, dtype=torch.float64, generator=generator)[self.share].numpy()
        rows = self._draw_rows(generator)[self.share]
        if self.with_images:
            pairs = list(self._workers.map(self._read, rows))
            samples = [sample for sample, _ in pairs]
            images = [image for _, image in pairs]
        else:
            samples = [self.samples[row] for row in rows]
            images = None
        return make_bottomup_batch(samples, images, self.letterbox, self.augmentation, random)

    def _draw_rows(self, generator: Generator) -> list[int]:
        """Indices of a batch's samples, those with depth first."""
        count = self.batch
        if len(self._with_depth) and len(self._without_depth):
            without_depth = round(self.no_depth_fraction * count)
        else:
            without_depth = count if len(self._without_depth) else 0
        rows = []
        for kind, size in ((self._with_depth, count - without_depth), (self._without_depth, without_depth)):
            index = torch.randint(max(len(kind), 1), (size,), generator=generator).numpy()
            rows += kind[index].tolist()
        return rows

    def _read(self, row: int) -> tuple[ImageSample, Pyramid]:
        """This sample and its image, or the next sample of its kind whose image can be read.

        Raises:
            OccluposeError: no image of its kind can be read; or not this one, and images must be readable.
        """
        kind = self._with_depth if row in self._with_depth else self._without_depth
        first = int(np.searchsorted(kind, row))
        for step in range(len(kind)):
            sample = self.samples[kind[(first + step) % len(kind)]]
            assert sample.image is not None
            image = self.images.read(sample.image, partial(self._cache.read, sample.image, sample.size))
            if image is not None:
                return sample, image
        depth = "with" if kind is self._with_depth else "without"
        wrong = f"cannot be read, nor can any other image {depth} depth"
        raise OccluposeError(f"{self.samples[row].image}: {wrong}; give the dataset's own images")


def fingerprint_parts(sample: ImageSample) -> Iterator[np.ndarray]:
    """Everything in a sample that the training uses, except the content of its image."""
    camera = sample.camera
    intrinsics = () if camera is None else (camera.fx, camera.fy, camera.cx, camera.cy)
    yield from (sample.xy, sample.z, sample.state, sample.annotated)
    yield np.array([*sample.size, *intrinsics], np.float64)
    yield np.frombuffer(("" if sample.image is None else sample.image.name).encode(), np.uint8)
