"""Which data, and how its images are presented to a network."""

import math
from dataclasses import dataclass
from pathlib import Path

from edgewise._core.errors import UsageError

IMAGENET_MEAN = (0.485, 0.456, 0.406)
"""Mean of red, green and blue over ImageNet's training images in [0, 1]; the constants of torchvision's reference training."""
IMAGENET_STD = (0.229, 0.224, 0.225)
"""Standard deviation of the same."""


@dataclass(frozen=True, kw_only=True, slots=True)
class DataSpec:
    """A data set as a person names it, and how its images are to be presented.

    Attributes:
        text: ``digits``, ``imagefolder:PATH``, ``npz:FILE`` or ``torchvision:NAME:ROOT``.
        mean: Mean of each channel of images in [0, 1]: one number for all channels, or one
            for each. One-channel images take the average of several numbers.
        std: Standard deviation of each channel, positive; counted like ``mean``.
        image_size: Height and width in pixels that images of an image folder are brought to;
            none for the size of its images where that is up to 64 pixels, else 224. At least 1.
        batch_size: Images in a batch; at least 1.
        seed: Seed of the validation part, of the order and of the augmentation; not negative.
        workers: Threads that decode image files; at least 1.
        cache: Folder for decoded images; none for ``$EDGEWISE_HOME``, by default the platform's cache folder.

    Raises:
        UsageError: A number is out of its range.
    """

    text: str
    mean: tuple[float, ...] = IMAGENET_MEAN
    std: tuple[float, ...] = IMAGENET_STD
    image_size: int | None = None
    batch_size: int = 128
    seed: int = 0
    workers: int = 2
    cache: Path | None = None

    def __post_init__(self) -> None:
        """Checks every number."""
        if not self.mean or not all(math.isfinite(value) for value in self.mean):
            raise UsageError(f"mean must hold finite numbers, got {self.mean}")
        if not self.std or not all(math.isfinite(value) and value > 0 for value in self.std):
            raise UsageError(f"std must hold positive finite numbers, got {self.std}")
        for name, value in (("batch_size", self.batch_size), ("workers", self.workers), ("image_size", self.image_size or 1)):
            if value < 1:
                raise UsageError(f"{name} must be at least 1, got {value}")
        if self.image_size == 0:
            raise UsageError("image_size must be at least 1, got 0")
        if self.seed < 0:
            raise UsageError(f"seed must be 0 or more, got {self.seed}")
