"""Image data sets by name, cut into a training, a validation and a test part."""

from edgewise.train.data.dataset import Augmentation, Dataset, Normalisation, Split
from edgewise.train.data.opening import open_data
from edgewise.train.data.spec import IMAGENET_MEAN, IMAGENET_STD, DataSpec

__all__ = ["IMAGENET_MEAN", "IMAGENET_STD", "Augmentation", "DataSpec", "Dataset", "Normalisation", "Split", "open_data"]
