"""Data sets that come as arrays: the embedded digits, ``.npz`` files, torchvision's small sets."""

import importlib
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Int, Num

from edgewise._core.errors import DataError, unknown_name
from edgewise._core.rng import make_rng
from edgewise.train.data.collection import Collection
from edgewise.train.data.dataset import MemoryStore
from edgewise.train.data.splitting import stratified_split

TEST_SHARE_OF_DIGITS = 0.2
NPZ_KEYS = ("x_train", "y_train", "x_test", "y_test")
MAX_NPZ_BYTES = 8 * 2**30
"""Decoded size above which an ``.npz`` file is refused; everything in it is held in memory."""
TORCHVISION_SETS = {"CIFAR10": True, "CIFAR100": True, "MNIST": False, "FashionMNIST": True, "KMNIST": False}
"""Sets of torchvision that hold all images as one array, and whether a mirrored image means the same."""


def open_digits() -> Collection:
    """The 1,797 handwritten digits of 8 x 8 pixels that come with scikit-learn, one channel, in [0, 1].

    A fifth of every class, always the same whatever the seed, is the test part. Digits are not mirrored.

    Raises:
        DataError: scikit-learn is not installed.
    """
    try:
        datasets = importlib.import_module("sklearn.datasets")
    except ImportError:
        raise DataError("the data set 'digits' comes with scikit-learn, which is not installed; pip install 'edgewise[data]'") from None
    digits = datasets.load_digits()
    labels = digits.target.astype(np.int64)
    images = torch.from_numpy((digits.images / 16).astype(np.float32)).unsqueeze(-1)  # scikit-learn stores 0..16
    train, test = stratified_split(labels, TEST_SHARE_OF_DIGITS, rng=make_rng(0, "digits-test"))
    names = tuple(str(digit) for digit in range(10))
    return Collection(store=MemoryStore(images=images, labels=labels), train=train, test=test, class_names=names, flip=False)


def open_npz(path: Path) -> Collection:
    """The images and classes of an ``.npz`` file with ``x_train``, ``y_train``, ``x_test``, ``y_test``.

    Images are bytes, or floats in [0, 1]; (n, h, w), (n, h, w, c) or (n, c, h, w) with 1 or 3 channels.

    Raises:
        DataError: The file is missing, damaged, hostile, or its arrays do not fit this description.
    """
    arrays = _read_npz(path)
    images = {key: _as_images(arrays[key], f"{key} of {path.name}") for key in ("x_train", "x_test")}
    labels = {key: _as_labels(arrays[key], f"{key} of {path.name}") for key in ("y_train", "y_test")}
    for part in ("train", "test"):
        n_images, n_labels = len(images[f"x_{part}"]), len(labels[f"y_{part}"])
        if n_images != n_labels:
            raise DataError(f"x_{part} and y_{part} of {path.name} must be equally long, got {n_images} and {n_labels}")
    return _stack((images["x_train"], labels["y_train"]), (images["x_test"], labels["y_test"]), where=path.name)


def open_torchvision(name: str, root: Path) -> Collection:
    """A small data set of torchvision from the folder where it was downloaded before.

    Raises:
        UnknownNameError: Not one of the sets that are supported.
        DataError: torchvision is not installed, or the folder does not hold the set.
    """
    known = {each.lower(): each for each in TORCHVISION_SETS}
    if name.lower() not in known:
        raise unknown_name("torchvision data set", name, TORCHVISION_SETS)
    name = known[name.lower()]
    try:
        kind: Any = getattr(importlib.import_module("torchvision.datasets"), name)
    except ImportError:
        raise DataError("torchvision data sets need torchvision, which is not installed; pip install 'edgewise[zoo]'") from None
    try:
        parts = [kind(str(root), train=train, download=False) for train in (True, False)]
    except (RuntimeError, OSError, ValueError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise DataError(
            f"torchvision's {name} is not in {root} ({reason}); download it there first with torchvision.datasets.{name}"
        ) from error
    images = [_as_images(np.asarray(part.data), name) for part in parts]
    labels = [np.asarray(part.targets).astype(np.int64) for part in parts]
    collection = _stack((images[0], labels[0]), (images[1], labels[1]), where=name)
    classes = tuple(str(each) for each in parts[0].classes)
    return Collection(
        store=collection.store, train=collection.train, test=collection.test, class_names=classes, flip=TORCHVISION_SETS[name]
    )


def _read_npz(path: Path) -> dict[str, np.ndarray]:
    if not path.is_file():
        raise DataError(f"npz: needs a file, got {path}, which does not exist")
    try:
        _check_headers(path)
        with path.open("rb") as stored, np.load(stored, allow_pickle=False) as content:
            return {key: content[key] for key in NPZ_KEYS}
    except DataError:
        raise
    except (ValueError, OSError, EOFError, KeyError, zipfile.BadZipFile, NotImplementedError, RuntimeError, MemoryError) as error:
        raise DataError(f"{path} cannot be read as an .npz file of plain arrays ({error}); write it with numpy.savez") from error


def _check_headers(path: Path) -> None:
    """Refuses arrays whose header promises more than the file holds, before numpy makes room for them."""
    with zipfile.ZipFile(path) as archive:
        members = {info.filename: info for info in archive.infolist()}
        missing = [key for key in NPZ_KEYS if f"{key}.npy" not in members]
        if missing:
            raise DataError(f"{path} must hold the arrays {', '.join(NPZ_KEYS)}; missing: {', '.join(missing)}")
        total = sum(members[f"{key}.npy"].file_size for key in NPZ_KEYS)
        if total > MAX_NPZ_BYTES:
            raise DataError(f"{path} unpacks to {total} bytes, more than the {MAX_NPZ_BYTES} that are held in memory; use imagefolder:PATH")
        for key in NPZ_KEYS:
            with archive.open(members[f"{key}.npy"]) as header:
                version = np.lib.format.read_magic(header)
                read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
                shape, _, dtype = read(header)
            promised = int(np.prod([int(n) for n in shape], dtype=object)) * dtype.itemsize
            if dtype.hasobject or promised > members[f"{key}.npy"].file_size:
                raise DataError(f"{key} of {path} is not a plain array ({dtype} {shape} in {members[f'{key}.npy'].file_size} bytes)")


def _as_images(array: np.ndarray, what: str) -> Num[torch.Tensor, "n h w c"]:
    if array.ndim == 3:
        array = array[..., None]
    if array.ndim != 4:
        raise DataError(f"{what} must be (n, h, w), (n, h, w, c) or (n, c, h, w), got the shape {array.shape}")
    first, last = array.shape[1] in (1, 3), array.shape[3] in (1, 3)
    if first == last:
        raise DataError(f"{what} must have 1 or 3 channels in either the second or the last place, got the shape {array.shape}")
    if first:
        array = array.transpose(0, 2, 3, 1)
    if array.dtype == np.uint8:
        return torch.from_numpy(np.ascontiguousarray(array))
    if array.dtype.kind != "f":
        raise DataError(f"{what} must hold bytes (uint8) or floats in [0, 1], got {array.dtype}")
    if array.size and not (np.isfinite(array).all() and array.min() >= 0 and array.max() <= 1):
        raise DataError(
            f"{what} must lie in [0, 1] where it holds floats, got values from {array.min():g} to {array.max():g}; divide by 255?"
        )
    return torch.from_numpy(np.ascontiguousarray(array.astype(np.float32)))


def _as_labels(array: np.ndarray, what: str) -> Int[np.ndarray, " n"]:
    if array.ndim == 2 and array.shape[1] == 1:
        array = array[:, 0]
    if array.ndim != 1 or array.dtype.kind not in "iu":
        raise DataError(f"{what} must be whole numbers in one dimension, got {array.dtype} of shape {array.shape}")
    if array.size and int(array.min()) < 0:
        raise DataError(f"{what} must not be negative, got {array.min()}")
    return array.astype(np.int64)


def _stack(
    train_part: tuple[Num[torch.Tensor, "n h w c"], Int[np.ndarray, " n"]],
    test_part: tuple[Num[torch.Tensor, "m h2 w2 c2"], Int[np.ndarray, " m"]],
    *,
    where: str,
) -> Collection:
    (x_train, y_train), (x_test, y_test) = train_part, test_part
    if x_train.shape[1:] != x_test.shape[1:] or x_train.dtype != x_test.dtype:
        raise DataError(
            f"training and test images of {where} must have one shape and type, got "
            f"{tuple(x_train.shape[1:])} {x_train.dtype} and {tuple(x_test.shape[1:])} {x_test.dtype}"
        )
    n_classes = int(y_train.max(initial=-1)) + 1
    if int(y_test.max(initial=-1)) >= n_classes:
        raise DataError(f"test classes of {where} must occur in training (0 to {n_classes - 1}), got class {y_test.max()}")
    store = MemoryStore(images=torch.cat([x_train, x_test]), labels=np.concatenate([y_train, y_test]))
    train = np.arange(len(y_train))
    test = np.arange(len(y_train), len(store.labels))
    return Collection(store=store, train=train, test=test, class_names=tuple(str(index) for index in range(n_classes)))
