"""Fitting a device's overheads on networks made for the purpose.

A network costs more than its calls timed alone: the runtime starts and ends it, hands
results from call to call, and finds less in its caches. What that costs is measured once
for each device, on small networks that no user asks about, and kept in the database.
"""

import statistics
from collections.abc import Callable, Sequence
from dataclasses import asdict

import torch
from torch import Tensor, nn

from edgewise._core.progress import Progress, SilentProgress
from edgewise.cost.lowering import lowering_for
from edgewise.cost.lowering.lower import pieces_of
from edgewise.measure.database import LatencyDatabase
from edgewise.measure.footprint import footprint_of
from edgewise.measure.host import native_block
from edgewise.measure.overheads import Overheads, fit_overheads, spilled_bytes
from edgewise.measure.pricing import PriceBook
from edgewise.measure.runtimes import Runtime
from edgewise.measure.sampling import SETTLE_S, TURN, Schedule, measure_interleaved
from edgewise.measure.session import Session
from edgewise.measure.speed import MachineSpeed
from edgewise.trace import trace

_CONSTANTS = "overheads-10"
_ROUNDS = 3
_SCHEDULE = Schedule(warmup=3, repeats=25, min_seconds=0.15, max_seconds=0.4, stable_ratio=0.01, settle_s=SETTLE_S, turn=TURN)


def overheads_of(runtime: Runtime, book: PriceBook, database: LatencyDatabase, *, progress: Progress | None = None) -> Overheads:
    """The overheads of a runtime on this machine: from the database, or measured now (about twenty seconds).

    Args:
        runtime: The runtime with its settings.
        book: Prices of single calls on it.
        database: Where the result is kept.
        progress: Is told how far it is.
    """
    identity = runtime.identity()
    known = database.get_constants(identity, _CONSTANTS)
    if known is not None:
        return Overheads(**{name: float(value) for name, value in known.items()})
    found = _measure(runtime, book, progress or SilentProgress())
    database.put_constants(identity, _CONSTANTS, asdict(found))
    return found


def _measure(runtime: Runtime, book: PriceBook, progress: Progress) -> Overheads:
    progress.start("getting to know the device (once)", len(_NETWORKS) + 1)
    sessions, sums, calls, spilled = [], [], [], []
    for build, size in _NETWORKS:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            network, inputs = build().eval(), (torch.randn(1, 3, size, size),)
        net = trace(network, inputs, name=build.__name__).net
        pieces = pieces_of(lowering_for(runtime.settings.device, net, block=native_block()), net.widths)
        prices_s = book.prices([piece.workload for piece in pieces], footprint_bytes=footprint_of(net))
        sums.append(sum(prices_s[piece.workload] for piece in pieces))
        calls.append(len(pieces))
        spilled.append(sum(spilled_bytes(piece.workload, batch=1) for piece in pieces))
        sessions.append(runtime.load_module(network, inputs))
        progress.advance()
    usual_s = _usual_s(sessions, book.speed)
    for session in sessions:
        session.close()
    progress.advance()
    return fit_overheads(usual_s, sums, calls, spilled)


def _usual_s(sessions: Sequence[Session], speed: MachineSpeed) -> list[float]:
    """Medians, as networks are predicted, at the machine's usual speed, as calls are priced; of several rounds the middle one."""
    rounds = []
    for _ in range(_ROUNDS):
        timed = measure_interleaved(sessions, _SCHEDULE, beside=speed.sessions())
        readings = timed[len(sessions) :]
        rounds.append([speed.at_usual(sample, readings).latency_s for sample in timed[: len(sessions)]])
    return [statistics.median(found) for found in zip(*rounds, strict=True)]


class _Residual(nn.Module):
    """Two convolutions around a shortcut."""

    def __init__(self, width: int, middle: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(width, middle, 3, padding=1, bias=False),
            nn.BatchNorm2d(middle),
            nn.ReLU(),
            nn.Conv2d(middle, width, 3, padding=1, bias=False),
            nn.BatchNorm2d(width),
        )

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(x + self.body(x))


def _conv(read: int, written: int, stride: int = 1, window: int = 3, groups: int = 1) -> list[nn.Module]:
    conv = nn.Conv2d(read, written, window, stride=stride, padding=window // 2, groups=groups, bias=False)
    return [conv, nn.BatchNorm2d(written), nn.ReLU()]


def _head(width: int) -> list[nn.Module]:
    return [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(width, 10)]


def _chain() -> nn.Module:
    layers = [*_conv(3, 48), *_conv(48, 48), *_conv(48, 96, 2), *_conv(96, 96), *_conv(96, 160, 2)]
    return nn.Sequential(*layers, *(part for _ in range(4) for part in _conv(160, 160)), *_head(160))


def _narrow_residual() -> nn.Module:
    return nn.Sequential(*_conv(3, 16), *(_Residual(16, 16) for _ in range(14)), *_head(16))


def _deep_residual() -> nn.Module:
    return nn.Sequential(*_conv(3, 24), *(_Residual(24, 20) for _ in range(28)), *_head(24))


def _short() -> nn.Module:
    return nn.Sequential(*_conv(3, 32), *_conv(32, 32, 2), *_head(32))


def _residual() -> nn.Module:
    parts = [*_conv(3, 32), *(_Residual(32, 48) for _ in range(6)), *_conv(32, 80, 2), *(_Residual(80, 64) for _ in range(8)), *_head(80)]
    return nn.Sequential(*parts)


def _separable() -> nn.Module:
    parts: list[nn.Module] = _conv(3, 32, 2)
    for read, written, stride in ((32, 64, 1), (64, 96, 2), (96, 96, 1), (96, 192, 2), (192, 192, 1), (192, 256, 2), (256, 256, 1)):
        parts += [*_conv(read, read, stride, groups=read), *_conv(read, written, window=1)]
    return nn.Sequential(*parts, *_head(256))


def _heavy() -> nn.Module:
    return nn.Sequential(*_conv(3, 64, 2), *_conv(64, 256, 2), *_conv(256, 400), *_conv(400, 512, 2), *_conv(512, 320), *_head(320))


_NETWORKS: tuple[tuple[Callable[[], nn.Module], int], ...] = (
    (_chain, 32),
    (_narrow_residual, 32),
    (_narrow_residual, 16),
    (_deep_residual, 8),
    (_deep_residual, 16),
    (_short, 32),
    (_residual, 16),
    (_separable, 112),
    (_separable, 224),
    (_heavy, 32),
)
