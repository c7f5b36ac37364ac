"""A one-for-all network at work: each call says how long it may take, and the least pruned budget that is fast enough answers."""

import tempfile
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import numpy.typing as npt

from edgewise._core.errors import UsageError
from edgewise._core.progress import Progress, SilentProgress
from edgewise.dynamic import GatedNetwork
from edgewise.ir.gates import Budget
from edgewise.measure.sampling import Schedule, measure_interleaved
from edgewise.recipes.dynamic_sessions import net_of
from edgewise.recipes.records import LoadedModel

_SCHEDULE = Schedule(warmup=3, repeats=10, min_seconds=0.1, max_seconds=1.0)


class ServedNetwork:
    """All budgets of a one-for-all network, loaded in OpenVINO and timed on this machine.

    Args:
        loaded: A run that ``sparsify --one-for-all`` made.
        threads: Threads of one inference.
        batch: Images of a call.
        progress: Is told how far loading is.

    Raises:
        UsageError: The network has no budgets.
        DeviceError: OpenVINO, or a compiler for the extension, is missing.
    """

    def __init__(self, loaded: LoadedModel, *, threads: int = 1, batch: int = 1, progress: Progress | None = None) -> None:
        from edgewise.dynamic.running import OpenVinoDynamicSession, export_openvino  # compiles kernels at first use

        network = loaded.model
        if not isinstance(network, GatedNetwork) or not network.budgets:
            raise UsageError(f"{loaded.name} has no budgets to switch between; make it by `edgewise sparsify --one-for-all`")
        watcher, net = progress or SilentProgress(), net_of(loaded.without_gates())
        images = loaded.inputs(batch=batch)[0].numpy()
        self._open = ExitStack()
        folder = Path(self._open.enter_context(tempfile.TemporaryDirectory(prefix="edgewise-served-")))
        self._sessions: list[Any] = []
        present = network.budget
        watcher.start("loading budgets", len(network.budgets))
        for place in range(len(network.budgets)):
            network.switch(place)
            file = export_openvino(network.plain(), net, network.plan, folder / str(place), batch=batch, threads=threads)
            session = self._open.enter_context(OpenVinoDynamicSession(file, threads=threads))
            session.run(images)
            self._sessions.append(session)
            watcher.advance()
        network.switch(len(network.budgets) - 1 if present is None else present)
        samples = measure_interleaved([_Timed(session) for session in self._sessions], _SCHEDULE, progress=watcher)
        self.budgets = tuple(replace(budget, latency_s=one.latency_s) for budget, one in zip(network.budgets, samples, strict=True))

    def budget_within(self, seconds: float) -> Budget:
        """The budget that prunes least among those whose median here is short enough.

        Raises:
            UsageError: None is; says the fastest.
        """
        return self.budgets[self._place(seconds)]

    def run(self, images: npt.NDArray[np.float32], *, within_s: float | None = None) -> npt.NDArray[np.float32]:
        """Outputs for a batch of images.

        Args:
            images: Normalised images (batch, channels, height, width).
            within_s: Longest time that it may take by what was measured; none for the dense budget.

        Raises:
            UsageError: No budget is that fast.
        """
        place = 0 if within_s is None else self._place(within_s)
        found: npt.NDArray[np.float32] = self._sessions[place].run(images)
        return found

    def close(self) -> None:
        """Frees all budgets; may be called twice."""
        self._open.close()

    def __enter__(self) -> "ServedNetwork":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def _place(self, seconds: float) -> int:
        for place, budget in enumerate(self.budgets):
            if budget.latency_s is not None and budget.latency_s <= seconds:
                return place
        fastest = min(budget.latency_s for budget in self.budgets if budget.latency_s is not None)
        raise UsageError(f"no budget is as fast as {seconds:g} s on this machine; the fastest takes {fastest:g} s")


class _Timed:
    """An OpenVINO session as the timing takes it."""

    def __init__(self, session: Any) -> None:  # noqa: ANN401 - imported late
        self._session = session

    def run(self) -> None:
        """One inference."""
        self._session.run()

    def time_once_s(self) -> float:
        """Seconds of one inference."""
        return float(self._session.time_once_s())

    def close(self) -> None:
        """Left to who opened it."""
