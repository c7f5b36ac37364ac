"""The shared archive and the shared networks."""

import time
from pathlib import Path

import numpy as np

from edgewise.models import sources, weights
from edgewise.train.calibrate import recalibrate_batch_norm
from edgewise.train.data import DataSpec, open_data
from edgewise.train.evaluate import accuracy


def test_the_archive_opens_fast_and_the_network_reaches_its_accuracy(shared_folder: Path, tmp_path: Path) -> None:
    spec = DataSpec(text=f"imagefolder:{shared_folder / 'data' / 'cifar10-jpeg.zip'}", cache=tmp_path)
    started_s = time.perf_counter()
    data = open_data(spec)
    assert time.perf_counter() - started_s < 60
    assert (data.train.n_images, data.validation.n_images, data.test.n_images) == (45_000, 5_000, 10_000)
    assert np.bincount(data.validation.labels).tolist() == [500] * 10
    assert data.train.augmentation is not None
    assert (data.train.augmentation.pad, data.train.augmentation.flip) == (4, True)

    model = sources.build(sources.parse_source("resnet20"))
    weights.load_weights(model, shared_folder / "models" / "resnet20.safetensors")
    # 88.24 % on all 10,000; of 1,000 images the share is farther than 3.4 points from it once in 1,000 draws.
    few = data.test.first(1000)
    before = accuracy(model, few)
    assert abs(before - 0.8824) < 0.034
    recalibrate_batch_norm(model, data.train, n_batches=4)
    assert abs(accuracy(model, few) - before) < 0.02
