"""Widths for shares of the given network's latency, by the exact solver; each share is solved once in a study."""

import time
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import Any, Protocol, runtime_checkable

from edgewise._core.errors import TargetError
from edgewise._core.progress import Progress
from edgewise._core.units import LatencyTarget
from edgewise.measure.database import LatencyDatabase
from edgewise.recipes.explore.opening import Opened
from edgewise.recipes.fitting import Fitter
from edgewise.recipes.profile import profile_model
from edgewise.recipes.requests import ProfileRequest
from edgewise.recipes.simulated.profile import profile_simulated
from edgewise.recipes.simulated.solving import SimulatedSolver
from edgewise.recipes.solving import judged_worth, objective_of, offered
from edgewise.recipes.staircases import DEFAULT_FLOOR
from edgewise.recipes.tie_losses import Given
from edgewise.widths.solution import UnreachableError


@dataclass(frozen=True, kw_only=True, slots=True)
class Solved:
    """What the solver found for one latency.

    Attributes:
        share: The latency as a share of the given network's.
        widths: Width of every tie that changes, 0 for those of blocks left out; empty where the target is out of reach.
        predicted_s: Latency predicted from the parts, brought in line with the given network's measurement.
        why: Why there are no widths; none where there are.
    """

    share: float
    widths: tuple[tuple[str, int], ...] = ()
    predicted_s: float | None = None
    why: str | None = None

    def to_json(self) -> dict[str, Any]:
        """The widths as JSON values."""
        return {"share": self.share, "widths": dict(self.widths), "predicted_s": self.predicted_s, "why": self.why}

    @staticmethod
    def from_json(value: Mapping[str, Any]) -> "Solved":
        """What :meth:`to_json` wrote."""
        widths = tuple((str(name), int(width)) for name, width in value["widths"].items())
        return Solved(share=float(value["share"]), widths=widths, predicted_s=value["predicted_s"], why=value["why"])


@runtime_checkable
class _Solver(Protocol):
    """A network learnt on a device."""

    def share_of(self, target: LatencyTarget) -> float:
        """A latency as a share of the given network's."""
        ...

    def solve(self, share: float) -> Solved:
        """Widths for a share; raises where it is out of reach."""
        ...


class Ladder:
    """Gives widths for latencies, and knows those that were asked for before.

    The network is profiled when a latency is asked for that is not known yet: a study that goes on where it was needs no profile.

    Args:
        opened: The network, the data, the device.
        known: What was solved before, by what was asked for.
        progress: Is told how far it is.
    """

    def __init__(self, opened: Opened, known: Mapping[str, Solved], *, progress: Progress) -> None:
        self._opened, self._progress = opened, progress
        self.known: dict[str, Solved] = dict(known)
        self.profile_s = 0.0
        self._open = ExitStack()
        self._solver: _Solver | None = None

    def at(self, target: LatencyTarget) -> Solved:
        """The widths that keep most at a latency."""
        name = str(target)
        if name not in self.known:
            if self._solver is None:
                self._solver = self._learnt()
            share = self._solver.share_of(target)
            try:
                self.known[name] = self._solver.solve(share)
            except (UnreachableError, TargetError) as error:
                self.known[name] = Solved(share=share, why=" ".join(str(error).split()))
        return self.known[name]

    def close(self) -> None:
        """Lets the latency database go; may be called twice."""
        self._open.close()
        self._solver = None

    def _learnt(self) -> _Solver:
        start_s = time.monotonic()
        if self._opened.simulated:
            solver: _Solver = _Simulated(self._opened, progress=self._progress)
        else:
            database = self._open.enter_context(LatencyDatabase(self._opened.request.device.db, progress=self._progress))
            solver = _Measured(self._opened, database, progress=self._progress)
        self.profile_s += time.monotonic() - start_s
        return solver


class _Measured:
    def __init__(self, opened: Opened, database: LatencyDatabase, *, progress: Progress) -> None:
        request = opened.fit_request()
        wanted = ProfileRequest(model=request.model, device=request.device, seed=request.seed)
        self._profiled = profile_model(opened.loaded, wanted, database=database, progress=progress)
        self._fitter = Fitter(request=request, profiled=self._profiled, database=database, lessons=opened.lessons(), progress=progress)

    def share_of(self, target: LatencyTarget) -> float:
        latency_s = self._profiled.sample.latency_s
        return target.seconds(latency_s) / latency_s

    def solve(self, share: float) -> Solved:
        profiled = self._profiled
        widths = self._fitter.changed_widths(self._fitter.solve(share * profiled.predicted_s))
        seconds = profiled.device.predict_s(profiled.net.with_widths(widths))
        corrected_s = seconds * profiled.sample.latency_s / profiled.predicted_s
        return Solved(share=share, widths=tuple(sorted(widths.items())), predicted_s=corrected_s)


class _Simulated:
    def __init__(self, opened: Opened, *, progress: Progress) -> None:
        self._request, self._progress = opened.fit_request(), progress
        wanted = ProfileRequest(model=self._request.model, device=self._request.device, seed=self._request.seed)
        self._profile = profile_simulated(opened.loaded, wanted, progress=progress)
        lessons, profile = opened.lessons(), self._profile
        objective = objective_of(self._request, trained=opened.loaded.trained, lessons=lessons)
        given = Given(model=opened.loaded.model, traced=profile.traced, scores=opened.scores())
        structure = offered(profile.structure, self._request)
        self._judged = judged_worth(objective, given, structure, lessons=lessons, progress=progress)

    def share_of(self, target: LatencyTarget) -> float:
        latency_s = self._profile.simulation.latency_s
        return target.seconds(latency_s) / latency_s

    def solve(self, share: float) -> Solved:
        request = replace(self._request, latency=LatencyTarget(ratio=share))
        solver = SimulatedSolver(request, self._profile, judged=self._judged, floor=DEFAULT_FLOOR, progress=self._progress)
        _, widths = solver.run()
        seconds = self._profile.gpu.predict_s(self._profile.net.with_widths(widths))
        return Solved(share=share, widths=tuple(sorted(widths.items())), predicted_s=seconds)
