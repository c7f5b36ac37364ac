"""A small study whose latencies and widths follow formulas: it comes out the same every time, in seconds."""

import hashlib
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch

from edgewise._core.units import LatencyTarget
from edgewise.dynamic.accounting import count_macs
from edgewise.models.weights import save_weights
from edgewise.recipes.explore.executor import Measurement
from edgewise.recipes.explore.ladder import Ladder, Solved
from edgewise.recipes.explore.measuring import StudyTimer
from edgewise.recipes.explore.request import ExploreRequest
from edgewise.recipes.requests import DataRequest, DeviceRequest, ModelRequest
from edgewise.recipes.runs import load_model, load_run
from edgewise.trace import trace
from edgewise.train.data import DataSpec, open_data
from edgewise.train.loop import FineTune, fine_tune
from edgewise.widths.solution import UnreachableError

FACTORY = """
import torch
from torch import nn

def small():
    torch.manual_seed(0)
    first = [nn.Conv2d(1, 16, 3, padding=1, bias=False), nn.BatchNorm2d(16), nn.ReLU()]
    second = [nn.Conv2d(16, 24, 3, stride=2, padding=1, bias=False), nn.BatchNorm2d(24), nn.ReLU()]
    third = [nn.Conv2d(24, 32, 3, padding=1, bias=False), nn.BatchNorm2d(32), nn.ReLU()]
    return nn.Sequential(*first, *second, *third, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(32, 10))
"""
LEAST_SHARE = 0.45


def write_model(folder: Path) -> ModelRequest:
    """A small network with weights that were trained for a moment."""
    code, weights = folder / "mine.py", folder / "small.safetensors"
    code.write_text(FACTORY)
    model = load_model(f"{code}:small", shape="1x1x8x8").model
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    tuned = fine_tune(model, open_data(DataSpec(text="digits")), config=FineTune(epochs=2, lr=0.1))
    torch.set_num_threads(before)
    save_weights(tuned.model, weights)
    return ModelRequest(model=f"{code}:small", weights=weights, input="1x1x8x8")


def request(model: ModelRequest, out: Path, **changes: object) -> ExploreRequest:
    """A short study of it."""
    known: dict[str, object] = {
        "model": model,
        "device": DeviceRequest(db=out.parent / "latency.sqlite"),
        "data": DataRequest(data="digits", epochs=0.4),
        "latencies": tuple(LatencyTarget(ratio=share) for share in (0.8, 0.6)),
        "strengths": (0.7,),
        "trials": 8,
        "trial_threads": 1,
        "out": out,
    }
    return ExploreRequest(**(known | changes))  # type: ignore[arg-type]


class KnownSolver:
    """Every tie gets the same share of its width."""

    def __init__(self, ladder: Ladder) -> None:
        self._net = ladder._opened.net

    def share_of(self, target: LatencyTarget) -> float:
        return target.seconds(1e-3) / 1e-3

    def solve(self, share: float) -> Solved:
        if share < LEAST_SHARE:
            raise UnreachableError("the fastest takes 0.45x")
        widths = {tie.name: max(1, round(share * tie.width)) for tie in self._net.ties if tie.free and share < 1}
        return Solved(share=share, widths=tuple(sorted(widths.items())), predicted_s=share * 1e-3)


def known_time_s(folder: Path) -> float:
    """A start, and something for every multiply-accumulate that is executed."""
    loaded = load_run(folder).loaded
    dense, gates = loaded.without_gates(), loaded.gates
    net = trace(dense.model, dense.inputs(), verify=False).net
    count = None if gates is None else count_macs(net, gates)
    return 1e-5 + 1e-9 * (net.macs if count is None else net.macs - count.macs + count.macs_executed)


def measure_runs(_: DeviceRequest, given: Path, folders: Sequence[Path], **__: object) -> list[Measurement]:
    """Latencies by the formula; no two calls are quite alike, as on a real machine, but equal networks are."""
    base_s = known_time_s(given)
    found = []
    for folder in folders:
        seconds = known_time_s(folder)
        jitter = int(hashlib.sha256(repr(seconds).encode()).hexdigest()[:4], 16) / 65536
        least_s = seconds * (1 + 0.01 * jitter) if seconds != base_s else base_s
        found.append(
            Measurement(
                latency_s=1.1 * least_s,
                min_s=least_s,
                baseline_latency_s=1.1 * base_s,
                baseline_min_s=base_s,
                ratio=least_s / base_s,
                kind="measured",
                runtime="known",
                host="here",
            )
        )
    return found


def install(patch: pytest.MonkeyPatch) -> None:
    """Puts formulas in the place of all that times or solves."""
    patch.setattr(StudyTimer, "measure", lambda _, given, folders, **__: measure_runs(DeviceRequest(), given, folders))
    patch.setattr("edgewise.recipes.explore.ladder.Ladder._learnt", lambda ladder: KnownSolver(ladder))
