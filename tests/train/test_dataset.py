"""Batches: what is in them and in which order."""

import numpy as np
import pytest
import torch

from edgewise._core.errors import DataError, UnknownNameError, UsageError
from edgewise.train.data import Augmentation, Dataset, DataSpec, Normalisation, Split, open_data
from edgewise.train.data.dataset import MemoryStore


@pytest.fixture(scope="module")
def digits() -> Dataset:
    return open_data(DataSpec(text="digits", batch_size=32, seed=3))


def _positions(split: Split, epoch: int, start: int = 0) -> list[float]:
    return [float(image.double().sum()) for images, _ in split.epoch(epoch, start=start) for image in images]


def test_digits_are_one_channel_in_three_disjoint_parts(digits: Dataset) -> None:
    assert digits.input_shape == (1, 1, 8, 8)
    assert digits.n_classes == 10
    parts = [split.positions.tolist() for split in (digits.train, digits.validation, digits.test)]
    assert sorted(position for part in parts for position in part) == list(range(1797))
    assert set(digits.train.labels) == set(digits.validation.labels) == set(digits.test.labels) == set(range(10))


def test_the_test_part_is_the_same_for_every_seed_and_validation_is_not(digits: Dataset) -> None:
    other = open_data(DataSpec(text="digits", seed=4))
    assert np.array_equal(other.test.positions, digits.test.positions)
    assert not np.array_equal(other.validation.positions, digits.validation.positions)


def test_each_class_gives_a_tenth_of_training_to_validation(digits: Dataset) -> None:
    for label in range(10):
        n_train, n_validation = (int((split.labels == label).sum()) for split in (digits.train, digits.validation))
        assert n_validation == round(0.1 * (n_train + n_validation))


def test_values_are_normalised_by_the_average_of_the_means(digits: Dataset) -> None:
    images, labels = next(iter(digits.test))
    raw = digits.test.store.read(digits.test.positions[:32], variation=None)
    mean, std = (0.485 + 0.456 + 0.406) / 3, (0.229 + 0.224 + 0.225) / 3
    assert 0 <= raw.min() <= raw.max() <= 1
    assert torch.allclose(images, (raw.permute(0, 3, 1, 2) - mean) / std, atol=1e-6)
    assert labels.dtype == torch.int64


def test_bytes_are_scaled_to_one_and_normalised_by_channel() -> None:
    norm = Normalisation(mean=(0.0, 0.5, 1.0), std=(1.0, 0.5, 2.0))
    pixel = norm.apply(torch.tensor([0, 255, 51], dtype=torch.uint8).reshape(1, 1, 1, 3))
    assert torch.allclose(pixel.flatten(), torch.tensor([0.0, 1.0, -0.4]), atol=1e-6)


def test_normalising_leaves_the_images_alone() -> None:
    images = torch.ones(1, 1, 1, 1)
    Normalisation(mean=(0.5,), std=(0.5,)).apply(images)
    assert torch.equal(images, torch.ones(1, 1, 1, 1))


def test_order_depends_on_seed_and_epoch_alone(digits: Dataset) -> None:
    plain = digits.train.with_positions(digits.train.positions, shuffled=True, augmentation=None)
    assert _positions(plain, 1) == _positions(plain, 1)
    assert _positions(plain, 1) != _positions(plain, 2)
    assert _positions(digits.train, 1) == _positions(digits.train, 1)


def test_an_epoch_can_begin_anywhere(digits: Dataset) -> None:
    for split in (digits.train, digits.test):
        assert _positions(split, 2, start=3) == _positions(split, 2)[3 * 32 :]
        assert _positions(split, 2, start=len(split)) == []


def test_shuffled_parts_give_whole_batches_and_others_everything(digits: Dataset) -> None:
    train, test = [len(labels) for _, labels in digits.train], [len(labels) for _, labels in digits.test]
    assert set(train) == {32}
    assert len(train) == len(digits.train) == digits.train.n_images // 32
    assert sum(test) == 359
    assert len(test) == len(digits.test) == 12


def test_fewer_images_than_a_batch_still_give_one() -> None:
    store = MemoryStore(images=torch.zeros(3, 2, 2, 1), labels=np.zeros(3, dtype=np.int64))
    split = Split(
        store=store, positions=np.arange(3), normalisation=Normalisation(mean=(0.0,), std=(1.0,)), batch_size=8, seed=0, shuffled=True
    )
    assert [len(labels) for _, labels in split] == [3]


def test_training_images_are_varied_and_the_others_are_not(digits: Dataset) -> None:
    assert digits.train.augmentation == Augmentation(pad=1, flip=False)
    assert digits.validation.augmentation is digits.test.augmentation is None


def test_first_spreads_its_choice(digits: Dataset) -> None:
    assert digits.test.first(5).positions.tolist() == digits.test.positions[[0, 90, 179, 268, 358]].tolist()
    assert digits.test.first(10_000) is digits.test


@pytest.mark.parametrize("text", ["digit", "cifar", "", "zip:foo"])
def test_an_unknown_name_is_refused(text: str) -> None:
    with pytest.raises(UnknownNameError, match="unknown data set"):
        open_data(DataSpec(text=text))


@pytest.mark.parametrize("text", ["npz:", "imagefolder", "torchvision:CIFAR10", "digits:8"])
def test_a_known_name_of_wrong_form_is_refused(text: str) -> None:
    with pytest.raises(DataError, match="named by one of digits, imagefolder:PATH"):
        open_data(DataSpec(text=text))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"mean": (float("nan"),)}, "mean must hold finite"),
        ({"std": (0.0,)}, "std must hold positive"),
        ({"std": ()}, "std must hold positive"),
        ({"batch_size": 0}, "batch_size must be at least 1, got 0"),
        ({"workers": 0}, "workers must be at least 1"),
        ({"image_size": 0}, "image_size must be at least 1"),
        ({"seed": -1}, "seed must be 0 or more"),
    ],
)
def test_numbers_out_of_range_are_refused(changes: dict, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        DataSpec(text="digits", **changes)


def test_two_means_do_not_fit_three_channels() -> None:
    with pytest.raises(DataError, match="mean must hold 1 or 3 numbers for images of 3 channels, got 2"):
        Normalisation(mean=(0.1, 0.2), std=(1.0,)).for_channels(3)
