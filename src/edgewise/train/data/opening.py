"""A data set from the text that names it."""

from pathlib import Path

from edgewise._core.errors import DataError, unknown_name
from edgewise._core.progress import Progress, SilentProgress
from edgewise.train.data.arrays import open_digits, open_npz, open_torchvision
from edgewise.train.data.collection import Collection
from edgewise.train.data.dataset import Dataset
from edgewise.train.data.spec import DataSpec

FORMS = ("digits", "imagefolder:PATH", "npz:FILE", "torchvision:NAME:ROOT")
"""What may name a data set."""


def open_data(spec: DataSpec, *, progress: Progress | None = None) -> Dataset:
    """The data set that ``spec`` names, cut into training, validation and test parts.

    A tenth of the training images of every class, drawn by the seed, validates, unless the data has a ``val/`` part.

    Args:
        spec: Which data and how it is presented.
        progress: Told of long work; by default nobody is.

    Returns:
        The data set; nothing in it depends on the machine.

    Raises:
        UnknownNameError: The text has none of the known forms.
        DataError: The data is missing, damaged, hostile or unusable.

    Example:
        >>> data = open_data(DataSpec(text="digits"))
        >>> data.input_shape, data.n_classes, data.train.n_images + data.validation.n_images, data.test.n_images
        ((1, 1, 8, 8), 10, 1438, 359)
    """
    collection = _open(spec, progress or SilentProgress())
    return collection.to_dataset(spec)


def _open(spec: DataSpec, progress: Progress) -> Collection:
    form, colon, rest = spec.text.partition(":")
    match form.lower():
        case "digits" if not colon:
            return open_digits()
        case "imagefolder" if rest:
            return _open_folder(Path(rest).expanduser(), spec, progress)
        case "npz" if rest:
            return open_npz(Path(rest).expanduser())
        case "torchvision" if ":" in rest:
            name, _, root = rest.partition(":")
            return open_torchvision(name, Path(root).expanduser())
        case "imagefolder" | "npz" | "torchvision" | "digits":
            raise DataError(f"a data set is named by one of {', '.join(FORMS)}; got {spec.text!r}")
    raise unknown_name("data set", spec.text, FORMS)


def _open_folder(path: Path, spec: DataSpec, progress: Progress) -> Collection:
    try:
        from edgewise.train.data.imagefolder import open_image_folder  # needs Pillow, which is an extra
    except ImportError:
        raise DataError("imagefolder: needs Pillow, which is not installed; pip install 'edgewise[data]'") from None
    return open_image_folder(path, spec, progress=progress)
