"""Image folders, ``train/CLASS/*`` and ``test/CLASS/*`` and perhaps ``val/CLASS/*``, plain or zipped."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np
import torch
from jaxtyping import Int, UInt8
from torch import Tensor

from edgewise._core.errors import DataError, StorageError
from edgewise._core.folders import cache_folder
from edgewise._core.progress import Progress
from edgewise._core.rng import make_rng
from edgewise.train.data.archive import FileSource, open_source
from edgewise.train.data.cache import cache_file, load_images, save_images
from edgewise.train.data.collection import Collection
from edgewise.train.data.dataset import SMALL_SIDE, ImageStore, MemoryStore
from edgewise.train.data.decoding import SUFFIXES, decode_plain, decode_varied, open_image
from edgewise.train.data.spec import DataSpec

DEFAULT_SIZE = 224
"""Side that larger images are brought to where none is asked for: the usual input of networks for ImageNet."""
MAX_MEMORY_BYTES = 4 * 2**30
"""Decoded size up to which small images are held in memory."""
_PARTS = ("train", "test", "val")
_CHUNK = 512


@dataclass(frozen=True, kw_only=True, slots=True)
class _Listing:
    """Names of all image files, train then test then val, with part and class of each."""

    names: tuple[str, ...]
    parts: Int[np.ndarray, " n"]
    labels: Int[np.ndarray, " n"]
    class_names: tuple[str, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class FileStore:
    """Images decoded from their files each time they are read, in several threads."""

    source: FileSource
    names: tuple[str, ...]
    labels: Int[np.ndarray, " n"]
    size: tuple[int, int]
    workers: int
    slow: bool = True

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """Channels, height and width of every image."""
        return (3, *self.size)

    def read(self, positions: Int[np.ndarray, " b"], *, variation: int | None) -> UInt8[Tensor, "b h w c"]:
        """The images at these positions; with a variation, images above 64 pixels are cut at random."""
        cut = variation is not None and max(self.size) > SMALL_SIDE

        def decode(position: int) -> np.ndarray:
            name = self.names[position]
            if cut:
                rng = make_rng(variation or 0, "cut", position)
                return decode_varied(self.source.read(name), self.size, rng=rng, name=name)
            return decode_plain(self.source.read(name), self.size, name=name)

        with ThreadPoolExecutor(self.workers) as pool:
            return torch.from_numpy(np.stack(list(pool.map(decode, positions.tolist()))))


def open_image_folder(path: Path, spec: DataSpec, *, progress: Progress) -> Collection:
    """The images below a folder or in a zip archive.

    Small images (up to 64 pixels) are decoded once, kept in memory and in the cache folder; larger ones are decoded when read.

    Args:
        path: Folder or ``.zip`` with ``train/CLASS/*``, ``test/CLASS/*`` and perhaps ``val/CLASS/*``; one folder around them is accepted.
        spec: Gives size, threads and cache folder.
        progress: Told of the decoding.

    Raises:
        DataError: Not such a folder, damaged, or hostile.
    """
    source = open_source(path)
    listing = _list(source)
    size = _image_size(source, listing.names[0], spec)
    n_bytes = len(listing.names) * size[0] * size[1] * 3
    store: ImageStore
    if max(size) <= SMALL_SIDE and n_bytes <= MAX_MEMORY_BYTES:
        images = _decoded(source, listing, size, spec, progress)
        store = MemoryStore(images=torch.from_numpy(images), labels=listing.labels)
    else:
        store = FileStore(source=source, names=listing.names, labels=listing.labels, size=size, workers=spec.workers)
    train, test, validation = (np.flatnonzero(listing.parts == part) for part in range(3))
    return Collection(store=store, train=train, test=test, validation=validation, class_names=listing.class_names)


def _list(source: FileSource) -> _Listing:
    found = [(PurePosixPath(name).parts, name) for name in source.names() if name.lower().endswith(SUFFIXES)]
    found = [(parts, name) for parts, name in found if not any(part.startswith((".", "__MACOSX")) for part in parts)]
    tops = {parts[0] for parts, _ in found}
    if len(tops) == 1 and not tops & set(_PARTS):
        found = [(parts[1:], name) for parts, name in found]
    images = sorted((_PARTS.index(parts[0]), parts[1], name) for parts, name in found if len(parts) >= 3 and parts[0] in _PARTS)
    for index, part in enumerate(_PARTS[:2]):
        if not any(image[0] == index for image in images):
            raise DataError(f"{source.path} holds no images at {part}/CLASS/*; known file types: {', '.join(SUFFIXES)}")
    class_names = sorted({image[1] for image in images if image[0] == 0})
    strangers = sorted({image[1] for image in images} - set(class_names))
    if strangers:
        raise DataError(f"{source.path} has classes without training images: {', '.join(strangers[:5])}")
    numbers = {name: number for number, name in enumerate(class_names)}
    return _Listing(
        names=tuple(image[2] for image in images),
        parts=np.array([image[0] for image in images]),
        labels=np.array([numbers[image[1]] for image in images]),
        class_names=tuple(class_names),
    )


def _image_size(source: FileSource, first: str, spec: DataSpec) -> tuple[int, int]:
    if spec.image_size is not None:
        return spec.image_size, spec.image_size
    image = open_image(source.read(first), name=first)
    if max(image.width, image.height) <= SMALL_SIDE:
        return image.height, image.width
    return DEFAULT_SIZE, DEFAULT_SIZE


def _decoded(
    source: FileSource, listing: _Listing, size: tuple[int, int], spec: DataSpec, progress: Progress
) -> UInt8[np.ndarray, "n h w 3"]:
    file = cache_file(spec.cache or cache_folder(), source.identity(), size)
    kept = load_images(file, len(listing.names), size)
    if kept is not None:
        return kept
    images = np.empty((len(listing.names), *size, 3), dtype=np.uint8)
    progress.start(f"decoding {len(listing.names)} images", len(listing.names))

    def decode(positions: Sequence[int]) -> int:
        for position in positions:
            name = listing.names[position]
            images[position] = decode_plain(source.read(name), size, name=name)
        return len(positions)

    chunks = [range(start, min(start + _CHUNK, len(images))) for start in range(0, len(images), _CHUNK)]
    with ThreadPoolExecutor(spec.workers) as pool:
        for n_done in pool.map(decode, chunks):
            progress.advance(n_done)
    try:
        save_images(file, images)
    except StorageError as error:
        progress.note(f"decoded images are not kept for the next time: {error}")
    return images
