"""The training loop: state that moves step by step, and its way to and from checkpoints."""

import math
import time
from collections.abc import Sequence, Sized
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor, nn

from edgewise._core.errors import DataError
from edgewise._core.progress import Progress
from edgewise._core.rng import make_rng
from edgewise.train.batches import TrainingData, batches_of_epoch, count_batches, device_of, map_tensors, to_device
from edgewise.train.checkpoint import Checkpoint, Standing, fingerprint, load_checkpoint, save_checkpoint
from edgewise.train.evaluate import accuracy
from edgewise.train.faults import DivergedError
from edgewise.train.gate import passing_together
from edgewise.train.interrupts import StepShield
from edgewise.train.layout import channels_last, evaluation_mode, takes_channels_last
from edgewise.train.memory import kept_memory
from edgewise.train.schedule import one_cycle
from edgewise.train.settings import FineTune, Goal
from edgewise.train.sharding import agree_on_buffers, is_sharded, mean_over_processes, rank_and_size, shard, spread
from edgewise.train.stepping import LossOfBatch, make_optimizer, momenta, set_momenta

_FORWARD_SHARE = 1 / 3
"""Time of a forward pass over that of a training step: backward does twice the multiplications."""


@dataclass(frozen=True, kw_only=True, slots=True)
class EpochRecord:
    """One epoch of training.

    Attributes:
        epoch: Its number from 1 on.
        loss: Mean loss over its steps.
        score: Validation accuracy, or what ``evaluate`` gave, after it; none where nothing could be scored.
        lr: Learning rate of its last step.
        seconds: Time from the run's beginning to its end.
    """

    epoch: int
    loss: float
    score: float | None
    lr: float
    seconds: float


class Trainer:
    """A run of training, between two steps at any time that it can be looked at.

    Args:
        model: The network; it is trained in place.
        data: Batches to learn from and to be judged by.
        config: How to train.
        goal: What to aim at.
        checkpoint: Where to keep checkpoints, or none.
        progress: Told of every step.
    """

    def __init__(
        self, model: nn.Module, data: TrainingData, *, config: FineTune, goal: Goal, checkpoint: Checkpoint | None, progress: Progress
    ) -> None:
        self.model = model
        self.history: list[EpochRecord] = []
        self.score_before: float | None = None
        self.resumed = False
        self._data, self._config, self._goal, self._checkpoint, self._progress = data, config, goal, checkpoint, progress
        self._steps_per_epoch = count_batches(data.train)
        self._n_steps = round(config.epochs * self._steps_per_epoch)
        self._device = device_of(model)
        self._rank, self._n_processes = rank_and_size()
        self._split = 1 if is_sharded(data.train) else self._n_processes
        self._shield = StepShield()
        self._epoch, self._step, self._loss_sum = 0, 0, 0.0
        self._seconds_before, self._started_s, self._saved_s = 0.0, time.perf_counter(), 0.0
        self._trained_s, self._n_images = 0.0, 0
        self._loss = LossOfBatch(config=config, goal=goal, device=self._device)
        self._identity = self._identify()
        self._optimizer = make_optimizer(model, config)
        self._trained, self._channels_last, self._ready = model, False, False
        self._rng: dict[str, Tensor] = {}

    @property
    def seconds(self) -> float:
        """Time spent so far, that before a resumption included."""
        return self._seconds_before + time.perf_counter() - self._started_s

    @property
    def images_per_s(self) -> float:
        """Images trained on per second in this process."""
        return self._n_images / self._trained_s if self._trained_s else 0.0

    def run(self) -> None:
        """Trains to the end, from the checkpoint where one is to be continued."""
        self._started_s = self._saved_s = time.perf_counter()
        devices = [self._device] if self._device.type == "cuda" else []
        with torch.random.fork_rng(devices), self._shield.installed(), kept_memory():
            try:
                self._prepare()
                while self._epoch * self._steps_per_epoch < self._n_steps:
                    self._run_epoch()
            except KeyboardInterrupt:
                if self._ready and not self._shield.in_step:
                    self._save()
                raise

    @property
    def _done(self) -> int:
        return self._epoch * self._steps_per_epoch + self._step

    def _prepare(self) -> None:
        if self._n_steps:
            first = next(iter(batches_of_epoch(self._data.train, 0, start=0)), None)
            if first is not None:
                self._choose_layout(first[0])
        self._restore()
        if not self.resumed:
            known = self._goal.score_before
            self.score_before = self._score() if known is None else known
        self._trained, self._ready = spread(self.model), True
        n_left = self._n_steps - self._done
        self._progress.start("fine-tuning", n_left + math.ceil(n_left / self._steps_per_epoch) * self._scoring_steps)

    def _choose_layout(self, inputs: Any) -> None:  # noqa: ANN401 - any model's inputs
        """Channels last where the model can: 1.1 to 1.2 times as fast for ResNet-56 on two cores."""
        given = to_device(inputs, self._device)
        networks = [network for network in (self.model, self._loss.teacher) if network is not None]
        for network in networks:
            network.to(memory_format=torch.channels_last)
        self._channels_last = all(takes_channels_last(network, given) for network in networks)
        if not self._channels_last:
            for network in networks:
                network.to(memory_format=torch.contiguous_format)
            self._progress.note("the network does not run with channels last; it trains a little slower without")

    def _run_epoch(self) -> None:
        torch.manual_seed(int(make_rng(self._config.seed, "training", self._epoch, self._rank).integers(2**62)))
        n_steps = min(self._steps_per_epoch, self._n_steps - self._epoch * self._steps_per_epoch)
        self.model.train()
        batches = batches_of_epoch(self._data.train, self._epoch, start=self._step)
        if self._step and self._rng:
            self._set_rng()
        started_s = time.perf_counter()
        while self._step < n_steps:
            batch = next(batches, None)
            if batch is None:
                raise DataError(f"training batches ended after {self._step} of the {self._steps_per_epoch} that their length promises")
            self._take_step(batch)
            self._save_now_and_then()
        self._trained_s += time.perf_counter() - started_s
        self._end_epoch(n_steps)

    def _take_step(self, batch: Sequence[Any]) -> None:
        # The gate lies outside the shield: while it is shut, Ctrl-C comes through at once.
        with passing_together(self._goal.gate), self._shield.step():
            lr = one_cycle(self._done, self._n_steps, max_lr=self._config.lr)
            for group in self._optimizer.param_groups:
                group["lr"] = lr
            inputs, target = to_device(shard(batch, rank=self._rank, size=self._split), self._device)
            if self._channels_last:
                inputs = map_tensors(inputs, channels_last)
            if self._goal.regime is not None:
                self._goal.regime.begin_step(self.model, step=self._done, n_steps=self._n_steps)
            loss = self._loss(self._trained, inputs, target)
            value = float(loss.detach())
            if not math.isfinite(value):
                raise DivergedError(
                    f"the loss is {value} in step {self._step + 1} of epoch {self._epoch + 1}; lower lr ({self._config.lr:g})"
                )
            self._optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            self._optimizer.step()
            self._step += 1
            self._loss_sum += value
            self._n_images += _count(inputs)
            self._rng = self._get_rng()
        self._progress.advance(1)

    def _end_epoch(self, n_steps: int) -> None:
        agree_on_buffers(self.model)
        score = self._score()
        loss = mean_over_processes(self._loss_sum / n_steps)
        lr = one_cycle(self._done - 1, self._n_steps, max_lr=self._config.lr)
        record = EpochRecord(epoch=self._epoch + 1, loss=loss, score=score, lr=lr, seconds=self.seconds)
        with self._shield.step():
            self.history.append(record)
            self._epoch, self._step, self._loss_sum = self._epoch + 1, 0, 0.0
        self._progress.advance(self._scoring_steps)
        scored = "" if score is None else f", {'score' if self._goal.evaluate else 'validation accuracy'} {score:.4f}"
        self._progress.note(f"epoch {record.epoch} of {math.ceil(self._config.epochs)}: loss {loss:.4f}{scored}, {record.seconds:.0f} s")
        self._save()

    def _score(self) -> float | None:
        if self._goal.regime is not None:
            self._goal.regime.begin_scoring(self.model)
        with evaluation_mode(self.model), torch.no_grad():
            if self._goal.evaluate is not None:
                return float(self._goal.evaluate(self.model))
        return None if self._data.validation is None else accuracy(self.model, self._data.validation, gate=self._goal.gate)

    @property
    def _scoring_steps(self) -> float:
        """Scoring in units of a training step, for the estimate."""
        validation = self._data.validation
        return len(validation) * _FORWARD_SHARE if self._goal.evaluate is None and isinstance(validation, Sized) else 0.0

    def _identify(self) -> dict[str, Any]:
        teacher = self._goal.teacher
        return {
            **asdict(self._config),
            "bf16": self._loss.bf16,
            "starting weights": fingerprint(self.model)[:16],
            "teacher": None if teacher is None else fingerprint(teacher)[:16],
            **({} if self._goal.hints is None else {"hints": self._goal.hints.identity}),
            "steps per epoch": self._steps_per_epoch,
            "processes": self._n_processes,
            **({} if self._goal.regime is None else {"regime": self._goal.regime.identity}),
        }

    def _save_now_and_then(self) -> None:
        if self._checkpoint is not None and time.perf_counter() - self._saved_s >= self._checkpoint.every_s:
            self._save()

    def _save(self) -> None:
        if self._checkpoint is None or self._rank != 0:
            return
        state = {
            "epoch": self._epoch,
            "step": self._step,
            "loss_sum": self._loss_sum,
            "seconds": self.seconds,
            "score_before": self.score_before,
            "history": [asdict(record) for record in self.history],
        }
        momentum = momenta(self.model, self._optimizer)
        standing = Standing(run=self._identity, state=state, model=self.model.state_dict(), momentum=momentum, rng=self._rng)
        save_checkpoint(self._checkpoint.path, standing)
        self._saved_s = time.perf_counter()

    def _restore(self) -> None:
        if self._checkpoint is None or not self._checkpoint.resume or not self._checkpoint.path.exists():
            return
        standing = load_checkpoint(self._checkpoint.path, self._identity)
        state = standing.state
        self.model.load_state_dict(standing.model)
        set_momenta(self.model, self._optimizer, dict(standing.momentum))
        self._rng = dict(standing.rng)
        self._epoch, self._step, self._loss_sum = state["epoch"], state["step"], state["loss_sum"]
        self._seconds_before, self.score_before = state["seconds"], state["score_before"]
        self.history = [EpochRecord(**record) for record in state["history"]]
        self.resumed = True
        self._progress.note(f"going on from {self._checkpoint.path} at step {self._done} of {self._n_steps}")

    def _get_rng(self) -> dict[str, Tensor]:
        states = {"cpu": torch.get_rng_state()}
        if self._device.type == "cuda":
            states["cuda"] = torch.cuda.get_rng_state(self._device)
        return states

    def _set_rng(self) -> None:
        torch.set_rng_state(self._rng["cpu"])
        if self._device.type == "cuda":
            torch.cuda.set_rng_state(self._rng["cuda"], self._device)


def _count(inputs: Any) -> int:  # noqa: ANN401 - any model's inputs
    """Items in a batch: the length of its first tensor."""
    lengths: list[int] = []
    map_tensors(inputs, lambda tensor: lengths.append(len(tensor)))
    return lengths[0] if lengths else 0
