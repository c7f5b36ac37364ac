"""What the sampler proposes: Optuna, asked and told one network at a time, its journal in the study folder."""

import warnings
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgewise._core.errors import UsageError
from edgewise._core.rng import make_rng
from edgewise.recipes.explore.fronts import Value

STEP = 0.1
"""Step of pruned ratios that are proposed."""
SHARE_STEP = 0.05
"""Step of latency shares that are proposed: widths are solved for each of them once."""
LARGEST_RATIO = 0.9
_STUDY = "explore"
Params = dict[str, Any]
"""Values of the sampler's parameters, by name."""


@dataclass(frozen=True, kw_only=True, slots=True)
class SearchSpace:
    """What may be proposed.

    Attributes:
        least_share: The shortest latency, as a share of the given network's, that widths reach; 1 where no width may change.
        n_blocks: Blocks that have a ratio of channels and one of positions; 0 for no dynamic networks.
        bases: ``given``, and ``searched`` where a space was searched.
    """

    least_share: float
    n_blocks: int
    bases: tuple[str, ...] = ("given",)

    @property
    def empty(self) -> bool:
        """Whether there is nothing to choose."""
        return self.least_share >= 1 and self.n_blocks == 0

    def distributions(self) -> dict[str, Any]:
        """Optuna's distribution of each parameter; those with one value are left out."""
        from optuna.distributions import CategoricalDistribution, FloatDistribution

        found: dict[str, Any] = {}
        if self.least_share < 1:
            found["share"] = FloatDistribution(self.least_share, 1.0)
        for block in range(self.n_blocks):
            found[f"channels_{block}"] = FloatDistribution(0.0, LARGEST_RATIO, step=STEP)
            found[f"positions_{block}"] = FloatDistribution(0.0, LARGEST_RATIO, step=STEP)
        if len(self.bases) > 1:
            found["base"] = CategoricalDistribution(list(self.bases))
        return found

    def params(self, *, share: float, channels: Sequence[float], positions: Sequence[float], base: str) -> Params:
        """The parameters of a network that somebody else proposed, brought to the nearest that may be proposed."""
        found: Params = {}
        if self.least_share < 1:
            found["share"] = min(1.0, max(self.least_share, share))
        for block in range(self.n_blocks):
            for name, ratios in (("channels", channels), ("positions", positions)):
                ratio = ratios[block] if block < len(ratios) else 0.0
                found[f"{name}_{block}"] = round(min(LARGEST_RATIO, round(ratio / STEP) * STEP), 6)
        if len(self.bases) > 1:
            found["base"] = base
        return found

    def read(self, params: Mapping[str, Any]) -> tuple[str, float, tuple[float, ...], tuple[float, ...]]:
        """Base, share, and the ratios of channels and positions that parameters stand for."""
        share = round(round(float(params.get("share", 1.0)) / SHARE_STEP) * SHARE_STEP, 6)
        sides = [
            tuple(round(round(float(params[f"{name}_{block}"]) / STEP) * STEP, 6) for block in range(self.n_blocks))
            for name in ("channels", "positions")
        ]
        return str(params.get("base", self.bases[0])), max(share, self.least_share), sides[0], sides[1]


class Asker:
    """Optuna's study of one exploration: two objectives, validation accuracy up and latency ratio down.

    A proposal follows from the seed, its number, and all that was told before, so that a study that goes on proposes
    what it would have proposed. The journal is written anew from the study's own events when it is opened.

    Args:
        journal: Optuna's journal file.
        space: What may be proposed.
        sampler: ``nsga2``, ``tpe`` or ``random``.
        population: Networks in a generation of ``nsga2``; those of the solvers are the first.
        seed: Seed of all proposals.

    Raises:
        UsageError: Optuna is not installed.
    """

    def __init__(self, journal: Path, space: SearchSpace, *, sampler: str, population: int, seed: int) -> None:
        self._optuna = import_optuna()
        self._space, self._sampler, self._population, self._seed = space, sampler, population, seed
        from optuna.storages import JournalStorage
        from optuna.storages.journal import JournalFileBackend

        for stale in (journal, Path(f"{journal}.lock")):
            with suppress(FileNotFoundError):
                stale.unlink()
        storage = JournalStorage(JournalFileBackend(str(journal)))
        self._study = self._optuna.create_study(storage=storage, study_name=_STUDY, directions=["maximize", "minimize"])
        self._numbers: dict[int, int] = {}
        self._pending: Any = None
        self._asked = 0

    def propose(self) -> Params:
        """What to try next; :meth:`take` or :meth:`drop` must follow."""
        self._renew()
        self._pending = self._study.ask(fixed_distributions=self._space.distributions())
        return dict(self._pending.params)

    def take(self, number: int) -> None:
        """The proposal becomes a trial of the study."""
        self._numbers[number], self._pending = self._pending.number, None

    def drop(self) -> None:
        """The proposal is not tried: it counts as failed."""
        self._study.tell(self._pending, state=self._optuna.trial.TrialState.FAIL)
        self._pending = None

    def hear(self, number: int | None, params: Params) -> None:
        """Somebody else proposed a network, or this sampler did in a session before.

        Networks that are enqueued are no parents to Optuna's NSGA-II, so they are added to the generation that a proposal would
        be of.

        Args:
            number: The trial that it is; none for a proposal that was dropped.
            params: What stands for the network.
        """
        self._renew()
        states = self._optuna.trial.TrialState
        distributions = self._space.distributions()
        trial = self._optuna.trial.create_trial(
            state=states.FAIL if number is None else states.RUNNING,
            params={name: params[name] for name in distributions},
            distributions=distributions,
        )
        self._study.add_trial(trial)
        added = self._study.get_trials(deepcopy=False)[-1]
        if number is None:
            return
        self._numbers[number] = added.number
        if isinstance(self._study.sampler, self._optuna.samplers.NSGAIISampler):
            generation = self._study.sampler.get_trial_generation(self._study, added)
            self._study.sampler.get_parent_population(self._study, generation)

    def tell(self, number: int, value: Value | None) -> None:
        """What came of a trial; none where it failed."""
        trial = self._numbers.pop(number, None)
        if trial is None:
            return
        if value is None:
            self._study.tell(trial, state=self._optuna.trial.TrialState.FAIL)
        else:
            self._study.tell(trial, [value.accuracy, value.ratio])

    def _renew(self) -> None:
        """Gives the study a sampler whose random numbers depend on nothing but the seed and how many were asked before."""
        self._study.sampler = self._new_sampler()
        self._asked += 1

    def _new_sampler(self) -> Any:  # noqa: ANN401 - one of Optuna's
        samplers = self._optuna.samplers
        seed = int(make_rng(self._seed, "sampler", self._asked).integers(2**31))
        if self._sampler == "random":
            return samplers.RandomSampler(seed=seed)
        if self._sampler == "tpe":
            return samplers.TPESampler(seed=seed, n_startup_trials=min(10, self._population))
        return samplers.NSGAIISampler(seed=seed, population_size=self._population)


def import_optuna() -> Any:  # noqa: ANN401 - the module
    """Optuna, kept quiet.

    Raises:
        UsageError: It is not installed.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            import optuna
    except ImportError:
        raise UsageError("explore proposes networks by Optuna, which is not installed; pip install 'edgewise[explore]'") from None
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    return optuna
