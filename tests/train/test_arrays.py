"""Arrays from files: read where they are plain, refused where they are not."""

import io
import struct
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch

from edgewise._core.errors import DataError, UnknownNameError
from edgewise.train.data import DataSpec, open_data


def _arrays(**changes: np.ndarray) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    plain = {
        "x_train": rng.integers(0, 256, (40, 5, 6, 3), dtype=np.uint8),
        "y_train": np.arange(40) % 4,
        "x_test": rng.integers(0, 256, (8, 5, 6, 3), dtype=np.uint8),
        "y_test": np.arange(8) % 4,
    }
    return plain | changes


def _open(folder: Path, **changes: np.ndarray):
    np.savez(folder / "data.npz", **_arrays(**changes))
    return open_data(DataSpec(text=f"npz:{folder / 'data.npz'}", mean=(0.0,), std=(1.0,)))


def test_bytes_with_channels_last(tmp_path: Path) -> None:
    data = _open(tmp_path)
    images, labels = next(iter(data.test))
    assert data.input_shape == (1, 3, 5, 6)
    assert torch.allclose(images, torch.from_numpy(_arrays()["x_test"]).permute(0, 3, 1, 2) / 255, atol=1e-6)
    assert labels.tolist() == [0, 1, 2, 3, 0, 1, 2, 3]
    assert data.train.augmentation is not None
    assert data.train.augmentation.flip


def test_channels_first_floats_and_columns_of_labels_are_the_same_data(tmp_path: Path) -> None:
    plain = _arrays()
    floats = {key: (plain[key].transpose(0, 3, 1, 2) / 255).astype(np.float64) for key in ("x_train", "x_test")}
    changed = _open(tmp_path, **floats, y_train=plain["y_train"][:, None])
    assert torch.allclose(next(iter(changed.test))[0], next(iter(_open(tmp_path).test))[0], atol=1e-6)


def test_images_without_channels_have_one(tmp_path: Path) -> None:
    data = _open(tmp_path, x_train=np.zeros((40, 5, 6), np.uint8), x_test=np.zeros((8, 5, 6), np.uint8))
    assert data.input_shape == (1, 1, 5, 6)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"x_train": np.zeros((40, 3, 5, 3), np.uint8)}, "either the second or the last place"),
        ({"x_train": np.zeros((40, 4, 5, 5), np.uint8)}, "either the second or the last place"),
        ({"x_train": np.zeros((40, 9), np.uint8)}, "got the shape"),
        ({"x_train": np.zeros((40, 5, 6, 3), np.int32)}, "bytes .uint8. or floats"),
        ({"x_train": np.full((40, 5, 6, 3), 7.0)}, "lie in .0, 1.*divide by 255"),
        ({"x_train": np.full((40, 5, 6, 3), np.nan)}, "lie in .0, 1."),
        ({"x_test": np.zeros((8, 6, 6, 3), np.uint8)}, "one shape and type"),
        ({"y_train": np.zeros(39, np.int64)}, "equally long, got 40 and 39"),
        ({"y_train": np.zeros(40)}, "whole numbers"),
        ({"y_train": np.full(40, -1)}, "not be negative"),
        ({"y_test": np.full(8, 4)}, "test classes .* got class 4"),
        ({"x_test": np.zeros((0, 5, 6, 3), np.uint8), "y_test": np.zeros(0, np.int64)}, "no test images"),
    ],
)
def test_arrays_that_do_not_fit_are_refused(tmp_path: Path, changes: dict[str, np.ndarray], message: str) -> None:
    with pytest.raises(DataError, match=message):
        _open(tmp_path, **changes)


def test_pickled_objects_are_refused_and_not_run(tmp_path: Path) -> None:
    class Bomb:
        def __reduce__(self):
            return (Path.touch, (tmp_path / "ran",))

    np.savez(tmp_path / "data.npz", allow_pickle=True, **_arrays(y_train=np.array([Bomb()] * 40, dtype=object)))
    with pytest.raises(DataError, match="not a plain array"):
        open_data(DataSpec(text=f"npz:{tmp_path / 'data.npz'}"))
    assert not (tmp_path / "ran").exists()


def test_a_header_that_promises_more_than_there_is_is_refused(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    np.lib.format.write_array_header_1_0(buffer, {"descr": "|u1", "fortran_order": False, "shape": (10**13, 5, 6, 3)})
    np.savez(tmp_path / "data.npz", **{key: value for key, value in _arrays().items() if key != "x_train"})
    with zipfile.ZipFile(tmp_path / "data.npz", "a") as archive:
        archive.writestr("x_train.npy", buffer.getvalue() + b"\0" * 64)
    with pytest.raises(DataError, match=r"x_train of .* is not a plain array"):
        open_data(DataSpec(text=f"npz:{tmp_path / 'data.npz'}"))


@pytest.mark.parametrize("content", [b"", b"not a zip", b"PK\x03\x04 cut off"])
def test_damaged_files_are_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "data.npz").write_bytes(content)
    with pytest.raises(DataError, match=r"cannot be read as an .npz file"):
        open_data(DataSpec(text=f"npz:{tmp_path / 'data.npz'}"))


def test_a_truncated_file_is_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "data.npz", **_arrays())
    content = (tmp_path / "data.npz").read_bytes()
    (tmp_path / "data.npz").write_bytes(content[: len(content) // 2])
    with pytest.raises(DataError, match="cannot be read"):
        open_data(DataSpec(text=f"npz:{tmp_path / 'data.npz'}"))


def test_missing_arrays_and_files_are_named(tmp_path: Path) -> None:
    np.savez(tmp_path / "data.npz", x_train=np.zeros(3))
    with pytest.raises(DataError, match="missing: y_train, x_test, y_test"):
        open_data(DataSpec(text=f"npz:{tmp_path / 'data.npz'}"))
    with pytest.raises(DataError, match="does not exist"):
        open_data(DataSpec(text=f"npz:{tmp_path / 'none.npz'}"))


def _write_mnist(root: Path, n_train: int, n_test: int) -> None:
    folder = root / "MNIST" / "raw"
    folder.mkdir(parents=True)
    for prefix, n in (("train", n_train), ("t10k", n_test)):
        (folder / f"{prefix}-images-idx3-ubyte").write_bytes(struct.pack(">IIII", 2051, n, 28, 28) + bytes(range(256)) * (n * 784 // 256))
        (folder / f"{prefix}-labels-idx1-ubyte").write_bytes(struct.pack(">II", 2049, n) + bytes(i % 10 for i in range(n)))


def test_a_set_of_torchvision_is_read_where_it_lies(tmp_path: Path) -> None:
    _write_mnist(tmp_path, 64, 16)
    data = open_data(DataSpec(text=f"torchvision:mnist:{tmp_path}"))
    assert data.input_shape == (1, 1, 28, 28)
    assert (data.train.n_images, data.validation.n_images, data.test.n_images) == (54, 10, 16)
    assert data.train.augmentation is not None
    assert (data.train.augmentation.pad, data.train.augmentation.flip) == (4, False)
    assert data.class_names[3] == "3 - three"


def test_a_missing_set_of_torchvision_is_not_downloaded(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"CIFAR10 is not in .*; download it there first"):
        open_data(DataSpec(text=f"torchvision:CIFAR10:{tmp_path}"))
    assert list(tmp_path.iterdir()) == []


def test_an_unknown_set_of_torchvision_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UnknownNameError, match="unknown torchvision data set 'CIFAR1'"):
        open_data(DataSpec(text=f"torchvision:CIFAR1:{tmp_path}"))
