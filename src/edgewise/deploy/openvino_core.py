"""The one OpenVINO core of this process."""

from functools import cache
from pathlib import Path

import openvino

from edgewise._core.errors import DeviceError
from edgewise.deploy.reasons import one_line
from edgewise.kernels import extension_file


@cache
def openvino_core() -> openvino.Core:
    """The core that everything here shares, made at the first call.

    Each core's CPU plug-in puts the thread's signal handlers on a stack of its own, and puts back what it
    found when it goes (seen in 2026.4). With two of them that go in another order than they came, handlers are
    left on freed memory, and Ctrl-C ends in a segmentation fault; so there is one, which stays.

    Raises:
        RuntimeError: OpenVINO cannot start, for instance without its plug-ins' list.
    """
    return openvino.Core()


def with_extension() -> None:
    """Teaches the core this project's operator, once.

    Raises:
        DeviceError: The kernels or a compiler for the operator are missing, or OpenVINO cannot load it.
    """
    _add(str(extension_file()))


def needs_extension(path: Path) -> bool:
    """Whether an OpenVINO IR holds this project's operator."""
    return path.suffix.lower() == ".xml" and b'version="edgewise"' in path.read_bytes()


@cache
def _add(library: str) -> None:
    try:
        openvino_core().add_extension(library)
    except Exception as error:  # its errors share no base class
        raise DeviceError(f"OpenVINO cannot load edgewise's operator: {one_line(error)}") from error
