"""A dynamic network loaded in OpenVINO."""

from pathlib import Path
from types import TracebackType

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float32]


class OpenVinoDynamicSession:
    """An exported dynamic network in OpenVINO, ready to run and to be timed."""

    def __init__(self, path: Path, *, threads: int) -> None:
        """Loads the file and the extension it needs.

        Args:
            path: The .xml file that :func:`export_openvino` wrote.
            threads: Threads of OpenVINO and of the operator; at least 1.

        Raises:
            DeviceError: The file is missing or broken, or its extension cannot be had.
        """
        raise NotImplementedError

    def run(self, images: Array | None = None) -> Array:
        """Outputs for a batch of images, or of the images given last."""
        raise NotImplementedError

    def time_once_s(self) -> float:
        """Seconds of one inference of the images given last."""
        raise NotImplementedError

    def close(self) -> None:
        """Frees the network; may be called twice."""
        raise NotImplementedError

    def __enter__(self) -> "OpenVinoDynamicSession":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()
