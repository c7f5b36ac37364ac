"""What runs on the machines of a Ray cluster: a trial, and the timing of networks.

Only JSON values and bytes come and go. What goes wrong for a reason that a person can mend comes back as
data too: kind and text of the error, with the name of the machine.
"""

import platform
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgewise._core.errors import DataError, DeviceError, EdgewiseError, RunError
from edgewise.recipes.explore.executor import TrialTask
from edgewise.recipes.explore.travel import pack, unpack
from edgewise.recipes.requests import DataRequest, DeviceRequest
from edgewise.train.data import Dataset

if TYPE_CHECKING:
    from edgewise.recipes.explore.measuring import StudyTimer

ERRORS = {kind.__name__: kind for kind in (DataError, DeviceError, RunError)}
"""Errors that keep their kind on the way; others come back as the base of all."""
_VERSIONS = ("edgewise", "torch")

Reply = dict[str, Any]
"""``{"host": NAME, …}`` with what was asked for, or with ``error``: ``{kind, text}``."""
_OPEN: dict[DataRequest, Dataset] = {}
"""The data that the last trial of this process used: opening it takes longer than some trials."""


def versions() -> dict[str, str]:
    """What must be the same on all machines."""
    return {name: metadata.version(name) for name in _VERSIONS}


def train_here(
    task: Mapping[str, Any], files: Mapping[str, bytes], teacher: Mapping[str, bytes] | None, expected: Mapping[str, str]
) -> Reply:
    """Trains a network on this machine.

    Args:
        task: The task as JSON values; its folders are those of the machine that explores, and not used.
        files: The run folder to start from.
        teacher: That of the network that it learns from; none where there is none.
        expected: The versions there.

    Returns:
        ``outcome``, and the run folder's ``files`` where it is done.
    """
    return _answered(lambda: _train(task, files, teacher, expected))


class MeasuringHost:
    """Times networks on this machine. It holds the device as long as it lives, so that nobody else times there.

    Args:
        device: Device, threads, batch and precision, as JSON values.
        expected: The versions on the machine that explores.
    """

    def __init__(self, device: Mapping[str, Any], expected: Mapping[str, str]) -> None:
        self._device, self._expected = DeviceRequest(**device), dict(expected)
        self._timer: StudyTimer | None = None

    def ready(self) -> Reply:
        """Whether the device is here: its ``cpu``, or why not."""
        return _answered(self._open)

    def measure(self, given: Mapping[str, bytes], networks: Sequence[Mapping[str, bytes]]) -> Reply:
        """Times networks beside the given one.

        Returns:
            ``measurements`` in the order of the networks, and all ``samples`` that were stored meanwhile.
        """
        return _answered(lambda: self._measure(given, networks))

    def _open(self) -> Reply:
        from edgewise.measure.runtimes import open_runtime
        from edgewise.recipes.timing import runtime_settings

        _check_versions(self._expected)
        return {"cpu": open_runtime(runtime_settings(self._device)).identity().cpu}

    def _measure(self, given: Mapping[str, bytes], networks: Sequence[Mapping[str, bytes]]) -> Reply:
        from edgewise._core.progress import SilentProgress
        from edgewise.measure.database import LatencyDatabase
        from edgewise.recipes.explore.measuring import StudyTimer

        self._timer = self._timer or StudyTimer(self._device)
        with tempfile.TemporaryDirectory(prefix="edgewise-timing-") as place, LatencyDatabase() as database:
            folders = [Path(place) / str(number) for number in range(len(networks) + 1)]
            for folder, files in zip(folders, (given, *networks), strict=True):
                unpack(files, folder)
            last = database.last_id
            found = self._timer.measure(folders[0], folders[1:], database=database, progress=SilentProgress())
            samples = [one.to_json() for one in database.stored(after=last)]
        return {"measurements": [one.to_json() for one in found], "samples": samples}


def device_values(device: DeviceRequest) -> dict[str, Any]:
    """The device as JSON values for another machine, which keeps a database of its own."""
    return {name: value for name, value in asdict(device).items() if name != "db"}


def _train(task: Mapping[str, Any], files: Mapping[str, bytes], teacher: Mapping[str, bytes] | None, expected: Mapping[str, str]) -> Reply:
    from edgewise.recipes.explore.trial import train_trial

    _check_versions(expected)
    there = TrialTask.from_json(task)
    with tempfile.TemporaryDirectory(prefix="edgewise-trial-") as place:
        start, known, folder = (Path(place) / name for name in ("start", "teacher", "trial"))
        unpack(files, start)
        if teacher is not None:
            unpack(teacher, known)
        here = replace(there, start=start, teacher=None if teacher is None else known, folder=folder)
        outcome = train_trial(here, _data(here))
        return {"outcome": outcome.to_json(), "files": pack(here.folder) if outcome.state == "done" else None}


def _data(task: TrialTask) -> Dataset:
    """The data, kept open for the next trial in this process."""
    from edgewise.recipes.explore.trial import open_trial_data

    if task.data not in _OPEN:
        _check_path(task.data.data)
        _OPEN.clear()
        _OPEN[task.data] = open_trial_data(task)
    return _OPEN[task.data]


def data_path(text: str) -> Path | None:
    """The file or folder that a data set lies in; none for embedded data.

    Example:
        >>> str(data_path("imagefolder:cifar10.zip")), str(data_path("torchvision:CIFAR10:/data")), data_path("digits")
        ('cifar10.zip', '/data', None)
    """
    form, _, rest = text.partition(":")
    place = rest.partition(":")[2] if form.lower() == "torchvision" else rest
    return Path(place).expanduser() if place else None


def with_absolute_path(text: str) -> str:
    """The data set by a path that means the same in whatever folder another machine works.

    Example:
        >>> with_absolute_path("digits"), with_absolute_path("npz:/data/mine.npz")
        ('digits', 'npz:/data/mine.npz')
    """
    path = data_path(text)
    if path is None:
        return text
    return f"{text.removesuffix(text.rpartition(':')[2])}{path.absolute()}"


def _check_path(text: str) -> None:
    path = data_path(text)
    if path is not None and not path.exists():
        raise DataError(f"--data {text}: there is no {path}; on a cluster the data must lie at the same path on every node that trains")


def _check_versions(expected: Mapping[str, str]) -> None:
    here = versions()
    different = [f"{name} {here[name]} (where you explore: {version})" for name, version in expected.items() if here[name] != version]
    if different:
        raise DeviceError(
            f"this node has {' and '.join(different)}; networks would not end the same: install the same versions on every node"
        )


def _answered(work: Callable[[], Reply]) -> Reply:
    host = platform.node()
    try:
        return {"host": host, **work()}
    except EdgewiseError as error:
        return {"host": host, "error": {"kind": type(error).__name__, "text": " ".join(str(error).split())}}
