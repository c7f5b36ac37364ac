"""Opened images before they are cut into parts."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Int

from edgewise._core.errors import DataError
from edgewise._core.rng import make_rng
from edgewise.train.data.dataset import Dataset, ImageStore, Normalisation, Split, default_augmentation
from edgewise.train.data.spec import DataSpec
from edgewise.train.data.splitting import stratified_split

VALIDATION_SHARE = 0.1
"""Share of the training images that validates where the data brings no validation part of its own."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Collection:
    """All images of a data set and which part each belongs to.

    Attributes:
        store: The images.
        train: Positions of the training images, the validation part included where ``validation`` is none.
        test: Positions of the test images.
        validation: Positions of a validation part that the data brings along.
        class_names: Name of each class.
        flip: Whether a mirrored image means the same.
    """

    store: ImageStore
    train: Int[np.ndarray, " n_train"]
    test: Int[np.ndarray, " n_test"]
    class_names: tuple[str, ...]
    validation: Int[np.ndarray, " n_validation"] | None = None
    flip: bool = True

    def to_dataset(self, spec: DataSpec) -> Dataset:
        """The data set with its validation part, its order and its augmentation.

        Raises:
            DataError: A part is empty, or a class has too few images.
        """
        for part, positions in (("training", self.train), ("test", self.test)):
            if len(positions) == 0:
                raise DataError(f"{spec.text} has no {part} images; a data set needs training and test images")
        train, validation = self._parts(spec)
        channels, height, width = self.store.image_shape
        plain = Split(
            store=self.store,
            positions=validation,
            normalisation=Normalisation(mean=spec.mean, std=spec.std).for_channels(channels),
            batch_size=spec.batch_size,
            seed=spec.seed,
        )
        return Dataset(
            train=plain.with_positions(train, shuffled=True, augmentation=default_augmentation(height, width, flip=self.flip)),
            validation=plain,
            test=plain.with_positions(self.test, shuffled=False, augmentation=None),
            class_names=self.class_names,
        )

    def _parts(self, spec: DataSpec) -> tuple[Int[np.ndarray, " a"], Int[np.ndarray, " b"]]:
        if self.validation is not None and len(self.validation):
            return self.train, self.validation
        kept, held = stratified_split(self.store.labels[self.train], VALIDATION_SHARE, rng=make_rng(spec.seed, "validation-split"))
        return self.train[kept], self.train[held]
