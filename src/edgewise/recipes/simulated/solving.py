"""Widths that meet a simulated latency: the same solvers as on a measured device, and nothing to correct."""

from collections.abc import Mapping

from edgewise._core.errors import TargetError
from edgewise._core.progress import Progress
from edgewise._core.units import format_seconds
from edgewise.recipes.requests import FitRequest
from edgewise.recipes.simulated.profile import SimulatedProfile
from edgewise.recipes.solving import SOLVE_SECONDS, Judged, edges_around, limits_of, solve_in_two
from edgewise.widths.exact import solve_exact
from edgewise.widths.problem import WidthProblem
from edgewise.widths.solution import Solution, UnreachableError
from edgewise.widths.tables import TableBuilder

_MARGIN = 0.995
_MOST_TRIES = 4


class SimulatedSolver:
    """Finds widths for one profiled network.

    Args:
        request: The target, and what the widths must keep to.
        profile: The network on its device.
        judged: What widths are worth.
        floor: Smallest share of the present width.
        progress: Is told how far it is.
    """

    def __init__(self, request: FitRequest, profile: SimulatedProfile, *, judged: Judged, floor: float, progress: Progress) -> None:
        self._request, self._profile, self._floor, self._progress = request, profile, floor, progress
        self._judged = judged
        self._builder = TableBuilder(profile.pricing(), profile.structure, judged.worth)

    @property
    def baseline_s(self) -> float:
        """Simulated latency of the network as it came."""
        return self._profile.simulation.latency_s

    @property
    def target_s(self) -> float:
        """The target in seconds."""
        return self._request.latency.seconds(self.baseline_s)

    def run(self) -> tuple[Solution, dict[str, int]]:
        """Widths of the variables, and of the ties that change.

        The tables price sums of several ties by bins, so the network is priced once more as a
        whole; where that misses the target, the aim is lowered.

        Raises:
            TargetError: The target is out of reach.
        """
        aim_s, last = self.target_s, None
        for _ in range(_MOST_TRIES):
            try:
                solution = self.solve(aim_s)
            except UnreachableError as error:
                if last is None:
                    raise self._unreachable(error) from error
                return last
            widths = self._changed(solution)
            latency_s = self._profile.gpu.predict_s(self._profile.net.with_widths(widths))
            if last is None or latency_s <= self.target_s:
                last = (solution, widths)
            if latency_s <= self.target_s * (1 + 1e-9) or self._request.solver == "round":
                break
            aim_s *= self.target_s / latency_s * _MARGIN
        assert last is not None
        return last

    def solve(self, aim_s: float) -> Solution:
        """The widths for a latency: over the few candidates, then over all edges around the solution.

        Raises:
            UnreachableError: No widths are so fast.
        """
        choices, present = self._profile.choices, self._builder.present_width
        problem = self.problem({name: choice.few for name, choice in choices.items()})

        def nearer(widths: Mapping[str, int]) -> WidthProblem:
            return self.problem({name: edges_around(choice.edges, widths[name], present=present(name)) for name, choice in choices.items()})

        limits = limits_of(self._request, self._profile.net, latency_s=aim_s)
        return solve_in_two(problem, limits, solver=self._request.solver, nearer=nearer, progress=self._progress)

    def fastest_s(self) -> float:
        """The least latency that the candidates allow within the other limits, by the exact solver."""
        limits = limits_of(self._request, self._profile.net, latency_s=1e-9)
        try:
            return solve_exact(self.problem(self._profile.candidates), limits, time_limit_s=SOLVE_SECONDS).totals.latency_s
        except UnreachableError as error:
            if error.fastest_s is None:
                raise
            return error.fastest_s

    def problem(self, candidates: Mapping[str, tuple[int, ...]]) -> WidthProblem:
        """The width problem over these candidates; where a block may be left out, 0 is one, too."""
        choices = self._profile.choices
        off_step = {name: (self._builder.present_width(name),) if choices[name].present_off_step else () for name in candidates}
        return self._builder.problem(self._judged.with_zero(candidates), off_step)

    def _changed(self, solution: Solution) -> dict[str, int]:
        present = self._profile.net.widths
        return {name: width for name, width in self._builder.tie_widths(solution.widths).items() if width != present[name]}

    def _unreachable(self, error: UnreachableError) -> TargetError:
        asked = str(self._request.latency)
        if error.fastest_s is None:
            return TargetError(f"--latency {asked} cannot be met: {error}")
        return TargetError(
            f"--latency {asked} is out of reach: with --width-floor {self._floor:g}x the fastest network is simulated at "
            f"{format_seconds(error.fastest_s)} ({error.fastest_s / self.baseline_s:.2f}x); ask for more time, or lower --width-floor"
        )
