"""Decoded images kept on disk, so that only the first opening of a data set decodes its files."""

import zipfile
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from edgewise._core.files import write_atomically

FORMAT = 1
"""Raised when the way images are decoded changes, so that older files are not read."""


def cache_file(folder: Path, identity: str, size: tuple[int, int]) -> Path:
    """The file that holds the images of one source, decoded to one size."""
    return folder / "images" / f"{identity[:32]}-{size[0]}x{size[1]}-v{FORMAT}.npz"


def load_images(file: Path, n_images: int, size: tuple[int, int]) -> UInt8[np.ndarray, "n h w 3"] | None:
    """The images of a cache file, or none where it is missing, damaged or of another form."""
    try:
        with file.open("rb") as stored, np.load(stored, allow_pickle=False) as content:
            images: np.ndarray = content["images"]
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, MemoryError):
        return None
    return images if images.dtype == np.uint8 and images.shape == (n_images, *size, 3) else None


def save_images(file: Path, images: UInt8[np.ndarray, "n h w 3"]) -> None:
    """Writes a cache file, whole or not at all.

    Raises:
        StorageError: The disk is full or not writable.
    """

    def write(temporary: Path) -> None:
        with temporary.open("wb") as output:
            np.savez(output, images=images)

    write_atomically(file, write)
