"""Data sets as batches: which images, in which order, normalised and augmented how."""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float, Int, Num
from torch import Tensor

from edgewise._core.errors import DataError
from edgewise._core.rng import make_rng
from edgewise.train.data.augmentation import draw_shifts, shift_and_mirror

Batch = tuple[Tensor, Tensor]
"""Normalised images (b, c, h, w) and their classes (b)."""

SMALL_SIDE = 64
"""Largest side in pixels of images that are kept decoded in memory and augmented by shifts."""


@runtime_checkable
class ImageStore(Protocol):
    """Images that can be read by position."""

    @property
    def labels(self) -> Int[np.ndarray, " n"]:
        """Class of each image."""
        ...

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """Channels, height and width of every image."""
        ...

    @property
    def slow(self) -> bool:
        """Whether reading is worth doing ahead of time in another thread."""
        ...

    def read(self, positions: Int[np.ndarray, " b"], *, variation: int | None) -> Num[Tensor, "b h w c"]:
        """Images as bytes in [0, 255] or as floats in [0, 1].

        ``variation`` seeds a random cut where the store makes one while decoding; none for the plain image.
        """
        ...


@dataclass(frozen=True, kw_only=True, slots=True)
class MemoryStore:
    """Images held in memory, decoded."""

    images: Num[Tensor, "n h w c"]
    labels: Int[np.ndarray, " n"]
    slow: bool = False

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """Channels, height and width of every image."""
        _, height, width, channels = self.images.shape
        return channels, height, width

    def read(self, positions: Int[np.ndarray, " b"], *, variation: int | None) -> Num[Tensor, "b h w c"]:
        """The images at these positions; never varied."""
        chosen = self.images.flatten(1).index_select(0, torch.from_numpy(positions))
        return chosen.reshape(-1, *self.images.shape[1:])


@dataclass(frozen=True, kw_only=True, slots=True)
class Normalisation:
    """The mean and deviation that bring channels to about zero mean and unit deviation."""

    mean: tuple[float, ...]
    std: tuple[float, ...]

    def for_channels(self, n_channels: int) -> "Normalisation":
        """The same with one number for each channel: repeated, as given, or averaged for a single channel.

        Raises:
            DataError: The counts do not fit.

        Example:
            >>> Normalisation(mean=(0.3, 0.6), std=(1.0, 3.0)).for_channels(1)
            Normalisation(mean=(0.45,), std=(2.0,))
        """
        return Normalisation(mean=_per_channel("mean", self.mean, n_channels), std=_per_channel("std", self.std, n_channels))

    def apply(self, images: Num[Tensor, "b h w c"]) -> Float[Tensor, "b c h w"]:
        """Images as a network takes them: ``(x - mean) / std`` of values in [0, 1], channels first.

        Bytes are divided by 255, floats are taken as they are.
        """
        unit = 255.0 if images.dtype == torch.uint8 else 1.0
        scale = torch.tensor([1 / (unit * std) for std in self.std]).reshape(1, -1, 1, 1)
        shift = torch.tensor([mean / std for mean, std in zip(self.mean, self.std, strict=True)]).reshape(1, -1, 1, 1)
        values = images.permute(0, 3, 1, 2).to(torch.float32, memory_format=torch.contiguous_format, copy=True)
        return values.mul_(scale).sub_(shift)


@dataclass(frozen=True, kw_only=True, slots=True)
class Augmentation:
    """How training images are varied: cut out of a black border of ``pad`` pixels, mirrored at random where ``flip``.

    Attributes:
        pad: Width of the border in pixels; not negative.
        flip: Whether an image and its mirror image mean the same.
    """

    pad: int
    flip: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class Split:
    """One part of a data set, as batches whose order depends on nothing but the seed and the epoch.

    Iterating gives epoch 0; ``epoch`` gives any other, from any batch on. A shuffled split
    leaves out the images that do not fill its last batch (others each epoch).

    Attributes:
        store: Where the images are.
        positions: Which of them belong to this part.
        normalisation: How values become a network's input.
        batch_size: Images in a batch; at least 1.
        seed: Seed of order and augmentation.
        shuffled: Whether each epoch has its own random order.
        augmentation: How images are varied, or none for plain images.
    """

    store: ImageStore
    positions: Int[np.ndarray, " n"]
    normalisation: Normalisation
    batch_size: int
    seed: int
    shuffled: bool = False
    augmentation: Augmentation | None = None

    @property
    def n_images(self) -> int:
        """Images in this part."""
        return len(self.positions)

    @property
    def labels(self) -> Int[np.ndarray, " n"]:
        """Class of each image of this part, in the order of ``positions``."""
        labels: np.ndarray = self.store.labels[self.positions]
        return labels

    def __len__(self) -> int:
        """Batches in an epoch."""
        if self.shuffled:
            return max(1, self.n_images // self.batch_size)
        return -(-self.n_images // self.batch_size)

    def __iter__(self) -> Iterator[Batch]:
        """The batches of epoch 0."""
        return self.epoch(0)

    def epoch(self, number: int, *, start: int = 0) -> Iterator[Batch]:
        """The batches of one epoch.

        Args:
            number: Which epoch; not negative.
            start: First batch to give; the batches from there on are those of the whole epoch.

        Yields:
            Normalised images and their classes.
        """
        order = make_rng(self.seed, "order", number).permutation(self.positions) if self.shuffled else self.positions

        def make(index: int) -> Batch:
            chosen = order[index * self.batch_size : (index + 1) * self.batch_size]
            return self._batch(chosen, _seed_of(self.seed, number, index))

        yield from _ahead(make, range(start, len(self))) if self.store.slow else map(make, range(start, len(self)))

    def with_positions(self, positions: Int[np.ndarray, " m"], *, shuffled: bool, augmentation: Augmentation | None) -> "Split":
        """Other images of the same store, with the same normalisation, batch size and seed."""
        return replace(self, positions=positions, shuffled=shuffled, augmentation=augmentation)

    def first(self, n_images: int) -> "Split":
        """The same part, cut to an evenly spread choice of at most ``n_images`` of its images."""
        if n_images >= self.n_images:
            return self
        return replace(self, positions=self.positions[np.linspace(0, self.n_images - 1, n_images).round().astype(np.int64)])

    def _batch(self, chosen: Int[np.ndarray, " b"], seed: int) -> Batch:
        images = self.store.read(chosen, variation=None if self.augmentation is None else seed)
        if self.augmentation is not None:
            generator = torch.Generator().manual_seed(seed)
            shifts = draw_shifts(len(chosen), self.augmentation.pad, flip=self.augmentation.flip, generator=generator)
            images = shift_and_mirror(images, shifts, pad=self.augmentation.pad)
        return self.normalisation.apply(images), torch.from_numpy(self.store.labels[chosen])


@dataclass(frozen=True, kw_only=True, slots=True)
class Dataset:
    """A data set in its parts; whatever chooses looks at ``validation``, and ``test`` is for the reported network.

    Attributes:
        train: Shuffled and augmented.
        validation: In fixed order, plain.
        test: In fixed order, plain.
        class_names: Name of each class.
    """

    train: Split
    validation: Split
    test: Split
    class_names: tuple[str, ...]

    @property
    def n_classes(self) -> int:
        """Classes of the training part."""
        return len(self.class_names)

    @property
    def input_shape(self) -> tuple[int, int, int, int]:
        """Shape of one image as a network's input: 1, channels, height, width."""
        return (1, *self.train.store.image_shape)


def default_augmentation(height: int, width: int, *, flip: bool) -> Augmentation:
    """The augmentation for images of this size: shifts up to 64 pixels of side, 4 pixels from 28 on and in proportion below.

    Example:
        >>> default_augmentation(32, 32, flip=True), default_augmentation(8, 8, flip=False).pad, default_augmentation(65, 65, flip=True).pad
        (Augmentation(pad=4, flip=True), 1, 0)
    """
    side = min(height, width)
    return Augmentation(pad=0 if max(height, width) > SMALL_SIDE else min(4, side // 7), flip=flip)


def _per_channel(name: str, values: tuple[float, ...], n_channels: int) -> tuple[float, ...]:
    if len(values) == n_channels:
        return values
    if len(values) == 1:
        return values * n_channels
    if n_channels == 1:
        return (round(sum(values) / len(values), 12),)
    raise DataError(f"{name} must hold 1 or {n_channels} numbers for images of {n_channels} channels, got {len(values)}: {values}")


def _seed_of(seed: int, epoch: int, index: int) -> int:
    digest = hashlib.sha256(f"{seed}/{epoch}/{index}".encode()).digest()
    return int.from_bytes(digest[:7], "little")


def _ahead(make: Callable[[int], Batch], indices: Sequence[int]) -> Iterator[Batch]:
    with ThreadPoolExecutor(1) as pool:
        pending = pool.submit(make, indices[0]) if indices else None
        for index in indices[1:]:
            assert pending is not None
            batch, pending = pending.result(), pool.submit(make, index)
            yield batch
        if pending is not None:
            yield pending.result()
