"""edgewise makes a convolutional network fast on the device you have, and tells you why.

Everything that the command line does, as functions::

    import edgewise

    fitted = edgewise.fit("resnet20", weights="resnet20.safetensors", latency="0.7x", data="imagefolder:cifar10.zip")
    edgewise.export(fitted, "resnet20.onnx")

Results are frozen, have ``to_json()``, and show themselves as tables in a notebook. Importing costs nothing: what is
heavy is imported by the function that needs it.
"""

import sys
from types import ModuleType

from edgewise._core.errors import EdgewiseError
from edgewise._core.version import VERSION
from edgewise.api import (
    bench,
    calibrate,
    crossbar,
    devices,
    explore,
    export,
    fit,
    inspect,
    load,
    predict,
    profile,
    report,
    search,
    simulate,
    sparsify,
    tables,
)
from edgewise.recipes.requests import DeviceRequest

__version__ = VERSION

__all__ = [
    "DeviceRequest",
    "EdgewiseError",
    "__version__",
    "bench",
    "calibrate",
    "crossbar",
    "devices",
    "explore",
    "export",
    "fit",
    "inspect",
    "load",
    "predict",
    "profile",
    "report",
    "search",
    "simulate",
    "sparsify",
    "tables",
]


class _Package(ModuleType):
    """A package whose functions stay: importing the subpackage ``report`` must not hide the function ``report``."""

    def __setattr__(self, name: str, value: object) -> None:
        """Leaves out what the import system adds where a function of that name stands."""
        if not (name in __all__ and isinstance(value, ModuleType)):
            super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package
