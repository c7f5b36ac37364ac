"""The search itself: weights and thresholds trained together, until the decisions meet the target."""

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from edgewise._core.errors import EdgewiseError, SpecError
from edgewise._core.progress import Progress, SilentProgress
from edgewise._core.rng import make_rng
from edgewise.ir.arch import ArchPlan
from edgewise.singlepath.gates import HARD, KEEP, Steering, values_of
from edgewise.singlepath.losses import hinge_term, lagrangian_term, log_term, next_multiplier
from edgewise.singlepath.optimizers import ThresholdSteps, weight_optimizer
from edgewise.singlepath.settings import SearchSettings
from edgewise.singlepath.supernet import Supernet
from edgewise.space.drawing import draw_architecture, draw_in_window, window_below
from edgewise.space.solve import Window
from edgewise.train.batches import TrainingData, batches_of_epoch, count_batches, to_device
from edgewise.train.checkpoint import Checkpoint, Standing, fingerprint, load_checkpoint, save_checkpoint
from edgewise.train.faults import DivergedError
from edgewise.train.gate import passing_together
from edgewise.train.interrupts import StepShield
from edgewise.train.layout import channels_last
from edgewise.train.memory import kept_memory
from edgewise.train.objective import cross_entropy
from edgewise.train.precision import mixed_precision, uses_bf16
from edgewise.train.schedule import one_cycle
from edgewise.train.sharding import agree_on_buffers, is_sharded, mean_over_processes, rank_and_size, shard, spread
from edgewise.train.stepping import momenta, set_momenta

_RECORDS = 20
"""Records of decisions in an epoch."""


@dataclass(frozen=True, kw_only=True, slots=True)
class SearchRecord:
    """Where the search stood.

    Attributes:
        epoch: Epochs passed.
        loss: Mean cross entropy since the record before.
        runtime_s: Expected runtime in seconds.
        multiplier: Of the Lagrangian; 0 for other losses.
        decided: Operation of every block by norm and threshold.
        seconds: Time from the beginning.
    """

    epoch: float
    loss: float
    runtime_s: float
    multiplier: float
    decided: tuple[str, ...]
    seconds: float


@dataclass(frozen=True, kw_only=True, slots=True)
class SearchOutcome:
    """A searched supernet.

    Attributes:
        net: The supernet; trained in place.
        decided: The network that norms and thresholds decide on.
        history: Records in order.
        seconds: Time spent.
    """

    net: Supernet
    decided: ArchPlan
    history: tuple[SearchRecord, ...]
    seconds: float


def search(
    net: Supernet,
    data: TrainingData,
    *,
    targets_s: Sequence[float],
    settings: SearchSettings,
    checkpoint: Checkpoint | None = None,
    progress: Progress | None = None,
) -> SearchOutcome:
    """Trains a supernet and its decisions.

    First every choice is drawn equally often, so that all learn alike; then decisions are drawn by what norms and
    thresholds say (in the authors' form: are what they say), and the runtime counts; at last thresholds stay, and networks
    of the target's latency are drawn, so that the weights judge them fairly. In several processes (``torchrun``) each takes
    its share of every batch, and all draw the same decisions.

    Args:
        net: With prices; trained in place.
        data: Batches to learn from.
        targets_s: Latencies in seconds, by the supernet's prices, at least one: the first is to be reached, and networks of all are
            judged with these weights afterwards.
        settings: How to search.
        checkpoint: Where to keep checkpoints; none for none.
        progress: Told of every step.

    Raises:
        DivergedError: The loss is not a number; the last checkpoint stays as it is.
        RunError: The checkpoint is damaged or of another search.
    """
    searcher = _Searcher(net, data, targets_s=targets_s, settings=settings, checkpoint=checkpoint, progress=progress or SilentProgress())
    return searcher.run()


class _Searcher:
    def __init__(
        self,
        net: Supernet,
        data: TrainingData,
        *,
        targets_s: Sequence[float],
        settings: SearchSettings,
        checkpoint: Checkpoint | None,
        progress: Progress,
    ) -> None:
        if net.prices is None:
            raise SpecError("a search needs prices; call set_prices first")
        self._net, self._data, self._settings, self._prices = net, data, settings, net.prices
        self._targets_s, self._target_ms = tuple(targets_s), targets_s[0] * 1e3
        self._checkpoint, self._progress = checkpoint, progress
        self._per_epoch = count_batches(data.train)
        self._n_steps = max(1, round(settings.epochs * self._per_epoch))
        self._explored = round(settings.explore * self._n_steps)
        self._whole = round(settings.whole * self._explored)
        self._steered = self._n_steps - (0 if settings.form == "published" else round(settings.even * self._n_steps))
        self._device = net.thresholds.device
        self._bf16 = uses_bf16(settings.bf16, self._device)
        self._ce = cross_entropy(settings.label_smoothing)
        self._rank, self._size = rank_and_size()
        self._split = 1 if is_sharded(data.train) else self._size
        self._identity = self._identify()
        self._weights = weight_optimizer(net, settings)
        self._thresholds = ThresholdSteps(net.thresholds, settings.threshold_lr)
        self._step, self._multiplier, self._sum, self._since = 0, 0.0, 0.0, 0
        self._history: list[SearchRecord] = []
        self._before_s, self._started_s, self._saved_s = 0.0, time.perf_counter(), 0.0
        self._shield = StepShield()

    def run(self) -> SearchOutcome:
        self._net.to(memory_format=torch.channels_last)
        self._restore()
        trained = spread(self._net)
        self._started_s = self._saved_s = time.perf_counter()
        if not self._step:
            self._save()
        self._progress.start("searching", self._n_steps - self._step)
        devices = [self._device] if self._device.type == "cuda" else []
        with torch.random.fork_rng(devices), self._shield.installed(), kept_memory():
            try:
                while self._step < self._n_steps:
                    self._run_epoch(trained)
            except KeyboardInterrupt:
                if not self._shield.in_step:
                    self._save()
                raise
        self._net.eval()
        return SearchOutcome(net=self._net, decided=self._net.decided(), history=tuple(self._history), seconds=self._seconds)

    @property
    def _seconds(self) -> float:
        return self._before_s + time.perf_counter() - self._started_s

    def _run_epoch(self, trained: torch.nn.Module) -> None:
        number, start = divmod(self._step, self._per_epoch)
        self._net.train()
        for batch in batches_of_epoch(self._data.train, number, start=start):
            if self._step >= min(self._n_steps, (number + 1) * self._per_epoch):
                break
            with passing_together(self._settings.gate), self._shield.step():
                self._take_step(trained, batch)
            self._progress.advance(1)
            if self._step % max(1, self._per_epoch // _RECORDS) == 0 or self._step == self._n_steps:
                self._record()
            if self._checkpoint is not None and time.perf_counter() - self._saved_s >= self._checkpoint.every_s:
                self._save()
        agree_on_buffers(self._net)
        last = self._history[-1] if self._history else None
        if last is not None:
            said = f"cross entropy {last.loss:.3f}, expected runtime {last.runtime_s * 1e3:.4g} ms"
            self._progress.note(f"search epoch {number + 1} of {math.ceil(self._settings.epochs)}: {said}")
        self._save()

    def _take_step(self, trained: torch.nn.Module, batch: Sequence[Any]) -> None:
        settings = self._settings
        # A step's random numbers depend on its place alone, so a resumed search needs no generator's state.
        torch.manual_seed(int(make_rng(settings.seed, "search", self._step, self._rank).integers(2**62)))
        for group in self._weights.param_groups:
            group["lr"] = one_cycle(self._step, self._n_steps, max_lr=settings.lr)
        images, target = to_device(shard(batch, rank=self._rank, size=self._split), self._device)
        with mixed_precision(self._device, bf16=self._bf16):
            scores, runtime_ms = trained(channels_last(images), self._steering())
        loss = self._ce(scores.float(), target)
        whole = loss + self._runtime_term(runtime_ms)
        value = float(loss.detach())
        if not math.isfinite(float(whole.detach())):
            raise DivergedError(self._diverged(value))
        self._weights.zero_grad()
        self._net.thresholds.grad = None
        whole.backward()  # type: ignore[no-untyped-call]
        self._weights.step()
        if self._explored // 2 <= self._step < self._steered or settings.form == "published":
            self._thresholds.step()
        if self._counts and settings.loss == "lagrangian":
            self._multiplier = next_multiplier(self._multiplier, float(runtime_ms.detach()), self._target_ms, strength=settings.strength)
        self._step, self._sum, self._since = self._step + 1, self._sum + value, self._since + 1

    @property
    def _counts(self) -> bool:
        """Whether decisions are taken now, and so the runtime counts."""
        return self._explored <= self._step < self._steered

    @cached_property
    def _windows(self) -> tuple[Window, ...]:
        return tuple(window_below(self._prices, target_s) for target_s in self._targets_s)

    def _steering(self) -> Steering:
        rng = make_rng(self._settings.seed, "decisions", self._step)
        n_gates = self._net.thresholds.numel()
        published = self._settings.form == "published"
        space = self._net.space
        if self._step >= self._steered:
            window = self._windows[self._step % len(self._windows)]
            return Steering(mode="fixed", values=values_of(space, draw_in_window(self._prices, window, rng)))
        if not self._counts and not published:
            plan = space.largest if self._step < self._whole else draw_architecture(space, rng)
            return Steering(mode="given", values=values_of(space, plan))
        if published:
            kept = torch.from_numpy(rng.random(n_gates)) < KEEP
            return HARD if self._counts else Steering(mode="dropped", values=kept.float() / KEEP)
        return Steering(mode="drawn", values=torch.from_numpy(rng.random(n_gates)).float())

    def _runtime_term(self, runtime_ms: Tensor) -> Tensor:
        settings = self._settings
        if not self._counts:
            return torch.zeros(())
        if settings.loss == "log":
            return log_term(runtime_ms, settings.strength)
        if settings.loss == "hinge":
            return hinge_term(runtime_ms, self._target_ms, settings.strength)
        return lagrangian_term(runtime_ms, self._target_ms, multiplier=self._multiplier, strength=settings.strength)

    def _record(self) -> None:
        with torch.no_grad():
            runtime_s = float(self._net.runtime_ms()) / 1e3
        self._history.append(
            SearchRecord(
                epoch=self._step / self._per_epoch,
                loss=mean_over_processes(self._sum / max(1, self._since)),
                runtime_s=runtime_s,
                multiplier=self._multiplier,
                decided=self._net.decided().labels,
                seconds=self._seconds,
            )
        )
        self._sum, self._since = 0.0, 0

    def _diverged(self, value: float) -> str:
        where = "" if self._checkpoint is None else f"; the last good state is kept in {self._checkpoint.path}"
        return (
            f"the loss of the search is {value} in step {self._step + 1} of {self._n_steps}{where}; "
            f"search again with a learning rate below {self._settings.lr:g} (--lr) or a --strength below {self._settings.strength:g}"
        )

    def _identify(self) -> dict[str, Any]:
        return {
            **self._settings.identity,
            "bf16": self._bf16,
            "space": self._net.space.to_json(),
            "starting weights": fingerprint(self._net)[:16],
            "target ms": round(self._target_ms, 6),
            "further targets ms": [round(target_s * 1e3, 6) for target_s in self._targets_s[1:]],
            "steps per epoch": self._per_epoch,
            "processes": self._size,
        }

    def _save(self) -> None:
        if self._checkpoint is None or self._rank != 0 or not self._is_sound():
            return
        steps = {f"thresholds.{name}": tensor for name, tensor in self._thresholds.state().items()}
        state = {
            "step": self._step,
            "multiplier": self._multiplier,
            "sum": self._sum,
            "since": self._since,
            "seconds": self._seconds,
            "history": [asdict(record) for record in self._history],
        }
        standing = Standing(
            run=self._identity, state=state, model=self._net.state_dict(), momentum=momenta(self._net, self._weights), rng=steps
        )
        save_checkpoint(self._checkpoint.path, standing)
        self._saved_s = time.perf_counter()

    def _is_sound(self) -> bool:
        """Whether all weights are finite: a step that breaks them shows in the loss of the next one only."""
        return all(bool(torch.isfinite(parameter).all()) for parameter in self._net.parameters())

    def _restore(self) -> None:
        if self._checkpoint is None or not self._checkpoint.resume or not self._checkpoint.path.exists():
            return
        standing = load_checkpoint(self._checkpoint.path, self._identity)
        state: Mapping[str, Any] = standing.state
        if set(standing.model) != set(self._net.state_dict()):
            raise EdgewiseError(f"checkpoint {self._checkpoint.path} is of another network; start again without --resume")
        self._net.load_state_dict(dict(standing.model))
        set_momenta(self._net, self._weights, dict(standing.momentum))
        self._thresholds.restore({name.removeprefix("thresholds."): tensor for name, tensor in standing.rng.items()})
        self._step, self._multiplier = state["step"], state["multiplier"]
        self._sum, self._since, self._before_s = state["sum"], state["since"], state["seconds"]
        self._history = [SearchRecord(**{**record, "decided": tuple(record["decided"])}) for record in state["history"]]
        self._progress.note(f"going on from {self._checkpoint.path} at step {self._step} of {self._n_steps}")
