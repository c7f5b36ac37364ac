"""Is any result slower than what it was made from? Sixty random networks and targets.

Each network is drawn: two to four stages of one kind of block (plain, residual, inverted residual with
and without squeeze-excite, separable, concatenating), widths that nobody would choose (13, 50, 77), an
input of 24 to 64 pixels; and with it a runtime, a target of 0.5x to 0.95x, a solver and an objective. ``fit`` runs
with the user's defaults. Then baseline and result are measured anew, interleaved, three times; the smallest
ratio of minima counts, and "slower" is above 1.03. Where the target is refused as out of reach, the
fastest reachable that the refusal names is asked for instead.

    python benchmarks/never_slower.py --networks 60
"""

import argparse
import re
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from result_files import read_result, write_result
from torch import Tensor, nn

import edgewise
from edgewise._core.errors import EdgewiseError
from edgewise._core.rng import make_rng
from edgewise.measure.runtimes import open_runtime
from edgewise.measure.sampling import Schedule, measure_interleaved
from edgewise.measure.settings import RuntimeSettings
from edgewise.recipes.fit import FitResult

BEYOND_NOISE = 1.03
_SCHEDULE = Schedule(warmup=5, repeats=60, min_seconds=0.3, max_seconds=1.5)


class Residual(nn.Module):
    """A block with its input added; and a gate over its channels where asked for."""

    def __init__(self, inner: nn.Module, width: int, *, gated: bool) -> None:
        super().__init__()
        self.inner = inner
        squeezed = max(width // 4, 1)
        self.gate = nn.Sequential(nn.Conv2d(width, squeezed, 1), nn.ReLU(), nn.Conv2d(squeezed, width, 1), nn.Sigmoid()) if gated else None

    def forward(self, x: Tensor) -> Tensor:
        """The block's output plus its input."""
        made = self.inner(x)
        if self.gate is not None:
            made = made * self.gate(made.mean((2, 3), keepdim=True))
        return x + made


class Joined(nn.Module):
    """Two branches, concatenated."""

    def __init__(self, one: nn.Module, other: nn.Module) -> None:
        super().__init__()
        self.one, self.other = one, other

    def forward(self, x: Tensor) -> Tensor:
        """Both branches' channels."""
        return torch.cat([self.one(x), self.other(x)], 1)


def unit(n_in: int, n_out: int, kernel: int = 3, *, stride: int = 1, groups: int = 1, active: bool = True) -> nn.Sequential:
    """Convolution, batch norm and, where asked for, ReLU."""
    layers = [nn.Conv2d(n_in, n_out, kernel, stride, kernel // 2, groups=groups, bias=False), nn.BatchNorm2d(n_out)]
    return nn.Sequential(*layers, nn.ReLU()) if active else nn.Sequential(*layers)


def _near(width: int, rng: np.random.Generator) -> int:
    return int(rng.integers(width // 2, 2 * width))


def _inverted(width: int, rng: np.random.Generator, *, gated: bool) -> nn.Module:
    wide = int(rng.integers(2 * width, 5 * width))
    return Residual(
        nn.Sequential(unit(width, wide, 1), unit(wide, wide, groups=wide), unit(wide, width, 1, active=False)), width, gated=gated
    )


BLOCKS: dict[str, Callable[[int, np.random.Generator], nn.Module]] = {
    "plain": lambda width, rng: unit(width, _near(width, rng)),
    "residual": lambda width, rng: Residual(nn.Sequential(unit(width, width), unit(width, width, active=False)), width, gated=False),
    "inverted": lambda width, rng: _inverted(width, rng, gated=False),
    "inverted, gated": lambda width, rng: _inverted(width, rng, gated=True),
    "separable": lambda width, rng: nn.Sequential(unit(width, width, groups=width), unit(width, _near(width, rng), 1)),
    "concat": lambda width, rng: Joined(unit(width, int(rng.integers(8, width + 8))), unit(width, int(rng.integers(8, width + 8)), 1)),
}


def width_after(block: nn.Module, width: int) -> int:
    """How many channels a block gives for so many."""
    with torch.no_grad():
        return int(block.eval()(torch.zeros(1, width, 4, 4)).shape[1])


def random_network(rng: np.random.Generator) -> tuple[nn.Module, int, str]:
    """A network, its input size in pixels, and its kind of block."""
    kind = str(rng.choice(list(BLOCKS)))
    width = int(rng.integers(12, 40))
    layers: list[nn.Module] = [unit(3, width)]
    for _ in range(int(rng.integers(2, 5))):
        after = int(rng.integers(width, max(min(2 * width, 200), width) + 1))
        layers.append(unit(width, after, stride=2))
        width = after
        for _ in range(int(rng.integers(1, 3))):
            layers.append(BLOCKS[kind](width, rng))
            width = width_after(layers[-1], width)
    layers += [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(width, 10)]
    return nn.Sequential(*layers).eval(), int(rng.choice([24, 32, 48, 64])), kind


@dataclass(frozen=True, kw_only=True, slots=True)
class Case:
    """One network and what is asked of it."""

    network: nn.Module
    image: Tensor
    description: dict[str, Any]


def random_case(index: int) -> Case:
    """The case of a number, the same at every call."""
    rng = make_rng(0, "never-slower", index)
    torch.manual_seed(index)
    network, pixels, kind = random_network(rng)
    description = {
        "case": index,
        "blocks": kind,
        "pixels": pixels,
        "device": str(rng.choice(["onnxruntime-cpu", "openvino-cpu"])),
        "target": round(float(rng.uniform(0.5, 0.95)), 2),
        "solver": str(rng.choice(["exact", "exact", "algorithm2", "round"])),
        "objective": str(rng.choice(["importance", "params"])),
    }
    return Case(network=network, image=torch.zeros(1, 3, pixels, pixels), description=description)


def fitted(case: Case, *, latency: str, db: Path | None) -> FitResult:
    """What ``fit`` makes of a case."""
    asked = case.description
    return edgewise.fit(
        case.network,
        inputs=case.image,
        latency=latency,
        device=asked["device"],
        db=db,
        solver=asked["solver"],
        objective=asked["objective"],
    )


def measured_ratio(case: Case, result: nn.Module) -> list[float]:
    """Result over baseline: minima of three interleaved rounds."""
    runtime = open_runtime(RuntimeSettings(device=case.description["device"]))
    sessions = [runtime.load_module(model, (case.image,)) for model in (case.network, result)]
    ratios = []
    for _ in range(3):
        before, after = measure_interleaved(sessions, _SCHEDULE)
        ratios.append(after.min_s / before.min_s)
    for session in sessions:
        session.close()
    return ratios


def run_case(case: Case, *, db: Path | None) -> dict[str, Any]:
    """The figures of one case; a refusal is one of them."""
    row: dict[str, Any] = dict(case.description)
    try:
        result = fitted(case, latency=f"{row['target']}x", db=db)
    except EdgewiseError as error:
        row["refused"] = str(error)
        reachable = re.search(r"predicted at [^(]*\(([0-9.]+)x\)", str(error))
        if reachable is None:
            return row
        row["asked_instead"] = round(float(reachable[1]) + 0.02, 2)
        try:
            result = fitted(case, latency=f"{row['asked_instead']}x", db=db)
        except EdgewiseError as again:
            return {**row, "refused_again": str(again)}
    figures = result.to_json()
    ratios = measured_ratio(case, result.module)
    predicted_s = figures["result"]["predicted_s"]
    return {
        **row,
        "met": result.met,
        "ratio_in_fit": result.speed_ratio,
        "ratios": ratios,
        "ratio": min(ratios),
        "slower": min(ratios) > BEYOND_NOISE,
        "baseline_min_s": figures["baseline"]["min_s"],
        "predicted_over_measured": predicted_s / figures["result"]["latency_s"],
        "seconds": figures["seconds"],
    }


def main() -> None:
    """Runs the benchmark and writes its result file; finished cases are not run again."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--networks", type=int, default=60)
    parser.add_argument("--db", type=Path, default=None)
    parser.add_argument("--seconds", type=float, default=float("inf"), help="stop after so many seconds")
    arguments = parser.parse_args()
    rows = {row["case"]: row for row in read_result("never-slower").get("rows", [])}
    start_s = time.monotonic()
    for index in range(arguments.networks):
        if index in rows or time.monotonic() - start_s > arguments.seconds:
            continue
        rows[index] = run_case(random_case(index), db=arguments.db)
        done = [row for row in rows.values() if "ratio" in row]
        summary = {
            "cases": len(rows),
            "fitted": len(done),
            "slower": sum(row["slower"] for row in done),
            "worst_ratio": max((row["ratio"] for row in done), default=None),
            "met": sum(row["met"] for row in done),
            "refused": sum("refused" in row for row in rows.values()),
        }
        write_result("never-slower", {"summary": summary, "beyond_noise": BEYOND_NOISE, "rows": [rows[key] for key in sorted(rows)]})
        sys.stdout.write(f"{ {key: value for key, value in rows[index].items() if key != 'ratios'} }\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
