"""Trials as tasks of a Ray cluster, timings on the hosts that offer the device."""

import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from edgewise._core.errors import DeviceError, EdgewiseError
from edgewise._core.progress import Progress
from edgewise.measure.database import LatencyDatabase
from edgewise.measure.exchange import StoredSample
from edgewise.measure.host import describe_host
from edgewise.recipes.explore import ray_worker
from edgewise.recipes.explore.executor import Measurement, TrialOutcome, TrialTask
from edgewise.recipes.explore.ray_cluster import PREFIX, capacity_of, head_address, hosts_of, joined, nodes_of
from edgewise.recipes.explore.travel import pack, unpack
from edgewise.recipes.requests import DeviceRequest
from edgewise.recipes.timing import runtime_settings

MOST_CRASHES = 3
"""A task whose process died so often, on machines that live on, is given up: it may be what kills it."""
_GIVE_UP_S = 120.0
"""Seconds without any machine that could train, or time, before a study stops; nodes that come back in time go on."""
_POLL_S, _HELD_S = 1.0, 5.0


@dataclass(frozen=True, kw_only=True, slots=True)
class _Begun:
    """A task on its way.

    Attributes:
        task: The task.
        crashes: How often its process has died.
        start_s: When it was first submitted.
    """

    task: TrialTask
    crashes: int
    start_s: float


class RayExecutor:
    """Trains on every node of a Ray cluster, and measures on one that offers the device.

    The device is held from the beginning to :meth:`close`, so that no other study times there. Where its host
    dies, another that offers the device takes over.

    Args:
        address: ``auto``, or HOST:PORT of the head node.
        device: Where latency counts; its database takes in the samples of all hosts.
        threads: Threads, and so processors of a node, that one trial takes.
        progress: Is told of nodes that died and of waits.
        measures: Whether a host with the device is needed; not where it is simulated.

    Raises:
        UsageError: There is no Ray at the address.
        DeviceError: No node offers the device, or none has so many processors; versions differ; Ray is not installed.
    """

    def __init__(self, address: str, *, device: DeviceRequest, threads: int, progress: Progress, measures: bool = True) -> None:
        self._device, self._threads, self._progress = device, threads, progress
        self._versions = ray_worker.versions()
        self._begun: dict[Any, _Begun] = {}
        self._ended: list[TrialOutcome] = []
        self._measuring: tuple[str, Any] | None = None
        self._given: tuple[Path, Any] | None = None
        self._gone = _Patience()
        self._stack = ExitStack()
        try:
            self._ray = self._stack.enter_context(joined(address))
            self._train = self._ray.remote(num_cpus=threads, max_retries=0, scheduling_strategy="SPREAD")(ray_worker.train_here)
            nodes = nodes_of(self._ray)
            if not capacity_of(nodes, threads):
                most = max((node.cpus for node in nodes), default=0.0)
                raise DeviceError(
                    f"no node of the Ray cluster has the {threads} processors that a trial takes; the largest has {most:g}: "
                    "lower --trial-threads"
                )
            if measures:
                self._settings = runtime_settings(device)
                hosts_of(nodes, self._settings.device, address=head_address(self._ray))
                self._host()
        except BaseException:
            self._stack.close()
            raise

    @property
    def slots(self) -> int:
        """Trials that the nodes alive have processors for."""
        return max(1, capacity_of(nodes_of(self._ray), self._threads))

    def submit(self, task: TrialTask) -> None:
        """Sends a task and the network that it starts from to the cluster."""
        self._send(_Begun(task=task, crashes=0, start_s=time.monotonic()))

    def wait(self, seconds: float) -> list[TrialOutcome]:
        """Outcomes since the last call; their run folders are written when this returns.

        Raises:
            DataError: The data is not on a node.
            DeviceError: A node has other versions, or no node has been left for two minutes.
        """
        ends_s = time.monotonic() + seconds
        while self._begun and not self._ended:
            left_s = ends_s - time.monotonic()
            ready, _ = self._ray.wait(list(self._begun), num_returns=1, timeout=max(0.0, min(left_s, _POLL_S)), fetch_local=False)
            for reference in ready:
                self._take(reference)
            if not ready:
                self._check_alive()
                if left_s <= 0:
                    break
        ended, self._ended = self._ended, []
        return ended

    def measure(self, given: Path, folders: Sequence[Path]) -> list[Measurement]:
        """Times run folders beside the given network's on one host of the device; its samples come into our database.

        Raises:
            DeviceError: The host refuses a network, or no host has been left for two minutes.
        """
        if not folders:
            return []
        networks = [pack(folder) for folder in folders]
        while True:
            host, actor = self._host()
            try:
                reply = self._ray.get(actor.measure.remote(self._given_files(given), networks))
            except self._ray.exceptions.RayTaskError as error:
                raise _fault(error) from error
            except self._ray.exceptions.RayError as error:
                self._progress.note(f"{host} died while it measured ({_first_line(error)}); measuring again elsewhere")
                self._measuring = None
                continue
            value = _value(reply)
            with LatencyDatabase(self._device.db, progress=self._progress) as database:
                database.take_in([StoredSample.from_json(one) for one in value["samples"]])
            return [Measurement(**one) for one in value["measurements"]]

    def close(self) -> None:
        """Ends every task and gives the devices back."""
        with suppress(self._ray.exceptions.RayError):  # where the cluster is gone, so is what ran there
            for reference in self._begun:
                self._ray.cancel(reference, force=True)
            if self._measuring is not None:
                self._ray.kill(self._measuring[1])
        self._begun.clear()
        self._measuring = None
        self._stack.close()

    def _send(self, begun: _Begun) -> None:
        task = begun.task
        data = replace(task.data, data=ray_worker.with_absolute_path(task.data.data))
        teacher = None if task.teacher is None else self._given_files(task.teacher)
        reference = self._train.remote(replace(task, data=data).to_json(), pack(task.start), teacher, self._versions)
        self._begun[reference] = begun

    def _take(self, reference: Any) -> None:  # noqa: ANN401 - a reference of Ray's
        begun = self._begun.pop(reference)
        try:
            reply = self._ray.get(reference)
        except self._ray.exceptions.RayTaskError as error:
            raise _fault(error) from error
        except self._ray.exceptions.RayError as error:
            self._send_again(begun, error)
            return
        value = _value(reply)
        outcome = TrialOutcome(**value["outcome"])
        if value["files"] is not None:
            unpack(value["files"], begun.task.folder)
        self._ended.append(replace(outcome, seconds=time.monotonic() - begun.start_s))

    def _send_again(self, begun: _Begun, error: BaseException) -> None:
        """The task starts anew, where there is room: with the same content it ends with the same weights."""
        number, errors = begun.task.number, self._ray.exceptions
        crashed = isinstance(error, errors.WorkerCrashedError | errors.OutOfMemoryError)
        again = replace(begun, crashes=begun.crashes + crashed)
        if again.crashes >= MOST_CRASHES:
            why = f"its process died {MOST_CRASHES} times: {_first_line(error)}"
            self._ended.append(TrialOutcome(number=number, rung=begun.task.rung, state="failed", why=why))
            return
        self._progress.note(f"trial {number} was lost with its {'process' if crashed else 'node'}; it starts again")
        self._send(again)

    def _given_files(self, given: Path) -> Any:  # noqa: ANN401 - a reference of Ray's
        """The given network, sent once."""
        if self._given is None or self._given[0] != given:
            self._given = (given, self._ray.put(pack(given)))
        return self._given[1]

    def _host(self) -> tuple[str, Any]:
        """Name and actor of the host that measures: the one known, or one found now."""
        if self._measuring is None:
            self._measuring = self._found_host()
        return self._measuring

    def _found_host(self) -> tuple[str, Any]:
        for _ in range(MOST_CRASHES):
            try:
                return self._asked_host()
            except self._ray.exceptions.RayActorError as error:  # its node may have died in this very moment
                why = error
        raise _fault(why) from why

    def _asked_host(self) -> tuple[str, Any]:
        name = self._settings.device
        actor = self._ray.remote(num_cpus=0, resources={f"{PREFIX}{name}": 1})(ray_worker.MeasuringHost)
        host = actor.remote(ray_worker.device_values(self._device), self._versions)
        ready, told, gone = host.ready.remote(), False, _Patience()
        while not self._ray.wait([ready], timeout=_HELD_S)[0]:
            if not told:
                self._progress.note(f"waiting for a host with the device {name}; another study may hold it")
                told = True
            if gone.is_over(any(name in node.devices for node in nodes_of(self._ray))):
                raise DeviceError(f"no node of the Ray cluster offers the device {name} any more; start one, then go on with --resume")
        value = _value(self._ray.get(ready))
        if value["cpu"] != describe_host().cpu:
            self._progress.note(
                f"warning: widths are chosen by prices of this machine ({describe_host().cpu}), but networks are timed on "
                f"{value['host']} ({value['cpu']}); start the study there to aim better"
            )
        return str(value["host"]), host

    def _check_alive(self) -> None:
        """Stops a study that nobody can go on with.

        Raises:
            DeviceError: No node has had room for a trial for two minutes.
        """
        if self._gone.is_over(capacity_of(nodes_of(self._ray), self._threads) > 0):
            raise DeviceError(f"no node of the Ray cluster has had {self._threads} processors for {_GIVE_UP_S:.0f} s; go on with --resume")


class _Patience:
    """How long something has been missing."""

    def __init__(self) -> None:
        self._since_s: float | None = None

    def is_over(self, there: bool) -> bool:
        """Whether it is missing now, and has been for too long."""
        if there:
            self._since_s = None
            return False
        now_s = time.monotonic()
        self._since_s = self._since_s or now_s
        return now_s - self._since_s > _GIVE_UP_S


def _fault(error: Any) -> BaseException:  # noqa: ANN401 - an error of Ray's
    """What to raise for an error that no worker of ours replied with."""
    if "import" in str(error) and "edgewise" in str(error):
        return DeviceError(
            f"a node of the Ray cluster cannot load edgewise; install edgewise {ray_worker.versions()['edgewise']} on every node, "
            "in the Python that runs Ray there"
        )
    cause = getattr(error, "cause", None)
    return cause if isinstance(cause, Exception) else EdgewiseError(f"a node of the Ray cluster failed: {_first_line(error)}")


def _value(reply: Mapping[str, Any]) -> Mapping[str, Any]:
    """What another machine found.

    Raises:
        EdgewiseError: What went wrong there, with the machine's name.
    """
    error = reply.get("error")
    if error is not None:
        raise ray_worker.ERRORS.get(error["kind"], EdgewiseError)(f"on {reply['host']}: {error['text']}")
    return reply


def _first_line(error: BaseException) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0][:200]
