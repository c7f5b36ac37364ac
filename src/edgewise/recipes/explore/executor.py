"""Who trains and measures a study's networks: the contract, and the executor of this process alone."""

import time
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from edgewise._core.progress import Progress
from edgewise.recipes.explore.point import Point
from edgewise.recipes.requests import DataRequest, DeviceRequest
from edgewise.train.data import Dataset

if TYPE_CHECKING:
    from edgewise.recipes.explore.measuring import StudyTimer


@dataclass(frozen=True, kw_only=True, slots=True)
class TrialTask:
    """One rung of one network's training. With the content of ``start`` it says all; equal tasks end with equal weights.

    Attributes:
        number: The trial's number in the study.
        point: The network.
        rung: Which rung, from 0.
        epochs: Passes over the training data in this rung; 0 to train nothing.
        recalibrate: Measure batch norms anew first, as after surgery.
        lr: Largest learning rate.
        threads: Threads that train; part of what decides the last bits of the weights.
        data: What to train and judge with; its ``epochs`` are not read.
        start: Run folder with the network to start from.
        accuracy_before: Of that network on the validation part, where a rung before found it; none to judge it first.
        teacher: Run folder of the network whose outputs are learnt from too; none to learn from the classes alone.
        folder: Where the run folder of the result goes. An unfinished one there is gone on with.
    """

    number: int
    point: Point
    rung: int
    epochs: float
    recalibrate: bool
    lr: float
    threads: int
    data: DataRequest
    start: Path
    accuracy_before: float | None
    teacher: Path | None
    folder: Path

    def to_json(self) -> dict[str, Any]:
        """The task as JSON values."""
        value = {name: getattr(self, name) for name in self.__dataclass_fields__}
        data = {**asdict(self.data), "mean": list(self.data.mean), "std": list(self.data.std)}
        places = {"start": str(self.start), "teacher": self.teacher and str(self.teacher), "folder": str(self.folder)}
        return {**value, "point": self.point.to_json(), "data": data, **places}

    @staticmethod
    def from_json(value: Mapping[str, Any]) -> "TrialTask":
        """The task that :meth:`to_json` wrote."""
        wanted = dict(value["data"])
        data = DataRequest(**{**wanted, "mean": tuple(wanted["mean"]), "std": tuple(wanted["std"])})
        places = {name: value[name] and Path(value[name]) for name in ("start", "teacher", "folder")}
        return TrialTask(**{**value, "point": Point.from_json(value["point"]), "data": data, **places})


@dataclass(frozen=True, kw_only=True, slots=True)
class TrialOutcome:
    """What came of a task. Where it is ``done``, the run folder lies at the task's ``folder``, on the host that explores.

    Attributes:
        number: The trial.
        rung: Which rung.
        state: ``done`` or ``failed``.
        why: Why it failed; none where it did not.
        accuracy_validation: Of the network, on the validation part; none where it failed.
        training_s: Seconds of training and scoring, those before a resumption included.
        recalibrating_s: Seconds of refitting and of measuring batch norms anew before it, however long training takes.
        seconds: Seconds that the task took in this process, and refitting before it.
        host: Name of the machine that trained.
        kept: ``tuned``, or ``initial`` where training made the network worse and the weights from before were kept.
    """

    number: int
    rung: int
    state: str
    why: str | None = None
    accuracy_validation: float | None = None
    training_s: float = 0.0
    recalibrating_s: float = 0.0
    seconds: float = 0.0
    host: str = ""
    kept: str = "tuned"

    def to_json(self) -> dict[str, Any]:
        """The outcome as JSON values."""
        return {name: getattr(self, name) for name in self.__dataclass_fields__}


@dataclass(frozen=True, kw_only=True, slots=True)
class Measurement:
    """A network beside the given one.

    Attributes:
        latency_s: Median, or what was simulated.
        min_s: Minimum; the same as ``latency_s`` where simulated.
        baseline_latency_s: The given network's median of the same run.
        baseline_min_s: Its minimum.
        ratio: Latency over the given network's: the median over the rounds of one interleaved run, or of what was simulated.
        kind: ``measured`` or ``simulated``.
        runtime: What the network ran in.
        host: Name of the machine that measured; empty where simulated.
        energy_j: Energy of one input; none where the device does not say.
        baseline_energy_j: The given network's.
        noisy: The timings scatter.
    """

    latency_s: float
    min_s: float
    baseline_latency_s: float
    baseline_min_s: float
    ratio: float
    kind: str
    runtime: str
    host: str = ""
    energy_j: float | None = None
    baseline_energy_j: float | None = None
    noisy: bool = False

    def to_json(self) -> dict[str, Any]:
        """The measurement as JSON values."""
        return {name: getattr(self, name) for name in self.__dataclass_fields__}


@runtime_checkable
class Executor(Protocol):
    """Trains and measures. Nobody else touches the folders of a task between ``submit`` and its outcome."""

    @property
    def slots(self) -> int:
        """Tasks that are carried out at once."""
        ...

    def submit(self, task: TrialTask) -> None:
        """Takes a task; returns at once."""
        ...

    def wait(self, seconds: float) -> list[TrialOutcome]:
        """Outcomes of tasks that have ended since the last call; waits for one, at most so long, where there is none.

        The executor of one process carries out its next task here, however long that takes.
        """
        ...

    def measure(self, given: Path, folders: Sequence[Path]) -> list[Measurement]:
        """Times run folders interleaved with the given network's, on a host that offers the device, with nothing else running there.

        Args:
            given: Run folder of the given network.
            folders: Run folders, in the order of the result.
        """
        ...

    def close(self) -> None:
        """Ends all that was begun; may be called twice."""
        ...


class LocalExecutor:
    """Trains in this process, one network at a time, and measures here while nothing trains.

    Args:
        device: Where latency counts.
        data: The data, open already.
        progress: Is told how far it is.
    """

    def __init__(self, *, device: DeviceRequest, data: Dataset, progress: Progress) -> None:
        self._device, self._data, self._progress = device, data, progress
        self._timer: StudyTimer | None = None
        self._waiting: deque[TrialTask] = deque()

    @property
    def slots(self) -> int:
        """One."""
        return 1

    def submit(self, task: TrialTask) -> None:
        """Puts a task in line."""
        self._waiting.append(task)

    def wait(self, seconds: float) -> list[TrialOutcome]:
        """Carries out the next task."""
        from edgewise.recipes.explore.trial import train_trial

        if not self._waiting:
            return []
        start_s = time.monotonic()
        outcome = train_trial(self._waiting.popleft(), self._data, progress=self._progress)
        return [replace(outcome, seconds=time.monotonic() - start_s)]

    def measure(self, given: Path, folders: Sequence[Path]) -> list[Measurement]:
        """Times here."""
        from edgewise.measure.database import LatencyDatabase
        from edgewise.recipes.explore.measuring import StudyTimer

        self._timer = self._timer or StudyTimer(self._device)
        with LatencyDatabase(self._device.db, progress=self._progress) as database:
            return self._timer.measure(given, folders, database=database, progress=self._progress)

    def close(self) -> None:
        """Forgets what waits, and gives the given network back."""
        self._waiting.clear()
        if self._timer is not None:
            self._timer.close()
