"""Accuracy at the same measured latency: ours against Torch-Pruning, on a trained ResNet-56 for CIFAR-10.

Every contender is brought to 0.6x of the network's time in ONNX Runtime (one thread, batch 1, fp32; by the rounds
of runs with the original), has its batch norms recalibrated, and gets the same fine-tuning: so many epochs
of SGD with one cycle. Torch-Pruning gets ``round_to`` 1, 8 and 16, uniform and global, each with Taylor
importance (and with L2 in the rows so named), and of its ratios the smallest that reaches the time; settings that reach it with
no ratio are listed with their fastest network, and not trained.
It cannot prune through the zero-padded shortcuts of this network (the pruned network does not run), so as its
users do, the layers that feed them are left out. A short fine-tuning chooses Torch-Pruning's best, on
validation images; these and ours are trained in full with every seed, and judged on the 10,000 test images.

    python benchmarks/against_torch_pruning.py --data imagefolder:cifar10.zip --weights resnet56.safetensors

Every finished part is kept: started again, the benchmark goes on where it was.
"""

import argparse
import copy
import math
import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
import torch_pruning
from result_files import figures_of, write_result
from torch import Tensor, nn

import edgewise
from edgewise.measure.runtimes import Runtime, open_runtime
from edgewise.measure.sampling import Schedule, measure_interleaved
from edgewise.measure.session import Session
from edgewise.measure.settings import RuntimeSettings
from edgewise.recipes.runs import load_model
from edgewise.trace import trace
from edgewise.train.calibrate import recalibrate_batch_norm
from edgewise.train.data import Dataset, DataSpec, open_data
from edgewise.train.evaluate import accuracy
from edgewise.train.loop import FineTune, fine_tune

OURS = "edgewise"
TARGET = 0.6
_SCHEDULE = Schedule(warmup=5, repeats=40, min_seconds=0.3, max_seconds=1.0)
_BISECTIONS = 7
_MOST_ASKED = 3
_TAYLOR_BATCHES = 8
_TOLERANCE = 1.02
"""Timings repeat to about 2 %: what takes that much longer than the target still reaches it."""
_QUESTION = "against-torch-pruning"


@dataclass(frozen=True, kw_only=True)
class Arena:
    """What all contenders share.

    Attributes:
        original: The trained network.
        image: What it is called with, one image.
        data: CIFAR-10.
        spec: How it was opened.
        folder: Where pruned and trained weights are kept.
        db: Latency database; none for the usual one.
    """

    original: nn.Module
    image: Tensor
    data: Dataset
    spec: DataSpec
    folder: Path
    db: Path | None

    def time_ratio(self, model: nn.Module, *, n_runs: int = 1) -> float:
        """Time over that of the original in ONNX Runtime: the median over the rounds of an interleaved run, and over the runs."""
        session = self._runtime.load_module(model, (self.image,))
        ratios = []
        for _ in range(n_runs):
            before, after = measure_interleaved([self._session, session], _SCHEDULE)
            ratios.append(after.ratio_to(before))
        session.close()
        return statistics.median(ratios)

    @cached_property
    def _runtime(self) -> Runtime:
        return open_runtime(RuntimeSettings(device="onnxruntime-cpu"))

    @cached_property
    def _session(self) -> Session:
        return self._runtime.load_module(self.original, (self.image,))

    @cached_property
    def gradients(self) -> tuple[Tensor, ...]:
        """Gradients of the original's weights over a few training batches, for Taylor importance."""
        model = copy.deepcopy(self.original)
        for _, (images, classes) in zip(range(_TAYLOR_BATCHES), self.data.train, strict=False):
            nn.functional.cross_entropy(model(images), classes).backward()
        return tuple(parameter.grad for parameter in model.parameters() if parameter.grad is not None)


def torch_pruned(arena: Arena, *, ratio: float, round_to: int, scope: str, importance: str) -> nn.Module:
    """Torch-Pruning's result at one pruning ratio: the widths within blocks shrink."""
    model = copy.deepcopy(arena.original)
    kept = [module for name, module in model.named_modules() if name in ("conv1", "linear") or name.endswith(".conv2")]
    kinds = {"l2": torch_pruning.importance.GroupMagnitudeImportance(p=2), "taylor": torch_pruning.importance.GroupTaylorImportance()}
    pruner = torch_pruning.pruner.MagnitudePruner(
        model,
        arena.image,
        importance=kinds[importance],
        pruning_ratio=ratio,
        ignored_layers=kept,
        round_to=None if round_to == 1 else round_to,
        global_pruning=scope == "global",
    )
    for parameter, gradient in zip(model.parameters(), arena.gradients, strict=True):
        parameter.grad = gradient.clone()
    pruner.step()
    model.zero_grad(set_to_none=True)
    return model.eval()


def least_pruned(arena: Arena, prune: Callable[[float], nn.Module]) -> tuple[nn.Module, float, float]:
    """The network of the smallest ratio that reaches the target, the ratio, and its time, by bisection; else the fastest tried."""
    low, high = 0.0, 0.95
    tried: list[tuple[nn.Module, float, float]] = []
    for _ in range(_BISECTIONS):
        ratio = (low + high) / 2
        model = prune(ratio)
        tried.append((model, ratio, arena.time_ratio(model)))
        low, high = (low, ratio) if tried[-1][2] <= TARGET else (ratio, high)
    reaching = [one for one in tried if one[2] <= TARGET]
    return min(reaching, key=lambda one: one[1]) if reaching else min(tried, key=lambda one: one[2])


def our_network(arena: Arena) -> tuple[nn.Module, dict[str, Any]]:
    """What ``fit`` makes, not fine-tuned yet; asked for less where it takes longer here than the target, as often as it takes."""
    asked = TARGET
    for _ in range(_MOST_ASKED):
        result = edgewise.fit(
            arena.original,
            inputs=arena.image,
            latency=f"{asked:.4f}x",
            db=arena.db,
            width_floor=0.1,
            data=arena.data,
            fine_tune=FineTune(epochs=0),
        )
        predicted_over_measured = result.value["result"]["predicted_s"] / result.value["result"]["latency_s"]
        facts = {"asked": asked, "predicted_over_measured": predicted_over_measured}
        time_ratio = arena.time_ratio(result.module, n_runs=3)
        _say(f"asked for {asked:.4f}x, takes {time_ratio:.4f}x")
        if time_ratio <= TARGET:
            break
        asked *= 0.99 * TARGET / time_ratio
    return result.module, facts


def contenders(arena: Arena, importances: Sequence[str]) -> dict[str, Callable[[], tuple[nn.Module, dict[str, Any]]]]:
    """Every contender by name, with how it is made."""
    makers: dict[str, Callable[[], tuple[nn.Module, dict[str, Any]]]] = {OURS: lambda: our_network(arena)}
    for importance in importances:
        for scope in ("uniform", "global"):
            for round_to in (1, 8, 16):

                def make(*, settings: dict[str, Any] = {"round_to": round_to, "scope": scope, "importance": importance}):  # noqa: B006, ANN202
                    model, ratio, _ = least_pruned(arena, lambda ratio: torch_pruned(arena, ratio=ratio, **settings))
                    return model, {"pruning_ratio": ratio}

                makers[f"torch-pruning {scope}, round_to {round_to}, {importance}"] = make
    return makers


def measured(arena: Arena, model: nn.Module) -> dict[str, Any]:
    """Time, MACs and parameters, as ratios to the original."""
    before, after = (trace(one, (arena.image,), verify=False).net for one in (arena.original, model))
    return {
        "time_ratio": arena.time_ratio(model, n_runs=3),
        "macs_ratio": after.macs / before.macs,
        "params_ratio": after.params / before.params,
        "widths": {name: module.out_channels for name, module in model.named_modules() if isinstance(module, nn.Conv2d)},
    }


def tuned(model: nn.Module, data: Dataset, *, epochs: float, seed: int, test: bool = True) -> dict[str, Any]:
    """Accuracy after recalibration and so much fine-tuning, on validation images and, where asked for, on test images."""
    start_s = time.monotonic()
    recalibrate_batch_norm(model, data.train)
    result = fine_tune(model, data, config=FineTune(epochs=epochs, seed=seed))
    found = {"seed": seed, "epochs": epochs, "accuracy_validation": result.accuracy_validation, "seconds": time.monotonic() - start_s}
    if not test:
        return found
    right = accuracy(result.model, data.test)
    n_test = sum(len(classes) for _, classes in data.test)
    return {**found, "accuracy": right, "ci95": 1.96 * math.sqrt(right * (1 - right) / n_test)}


class Benchmark:
    """The parts in order, each kept when it is finished."""

    def __init__(self, arena: Arena, importances: Sequence[str]) -> None:
        self._arena = arena
        self._makers = contenders(arena, importances)
        self._result = figures_of(_QUESTION) or {"target": TARGET, "contenders": {}, "screening": {}, "trained": []}

    def keep(self) -> None:
        """Writes what there is."""
        write_result(_QUESTION, self._result)

    def make_all(self) -> None:
        """Brings every contender to the time."""
        for name, make in self._makers.items():
            if name in self._result["contenders"] and self._file(name).exists():
                continue
            model, facts = make()
            self._file(name).parent.mkdir(parents=True, exist_ok=True)
            torch.save(model, self._file(name))
            self._result["contenders"][name] = {**facts, **measured(self._arena, model)}
            self.keep()
            shown = {key: value for key, value in self._result["contenders"][name].items() if key != "widths"}
            _say(f"{name}: {shown}")

    def screen(self, *, epochs: float) -> None:
        """A short fine-tuning of each that reaches the time, to know Torch-Pruning's best."""
        for name, facts in self._result["contenders"].items():
            if name not in self._result["screening"] and facts["time_ratio"] <= TARGET * _TOLERANCE:
                self._result["screening"][name] = tuned(self._network(name), self._arena.data, epochs=epochs, seed=0, test=False)
                self.keep()
                _say(f"screening {name}: {self._result['screening'][name]}")

    def train(self, *, epochs: float, seeds: int, n_rivals: int) -> None:
        """The full fine-tuning of ours and of Torch-Pruning's best."""
        screening: Mapping[str, Any] = self._result["screening"]
        rivals = sorted((name for name in screening if name != OURS), key=lambda name: -screening[name]["accuracy_validation"])[:n_rivals]
        for seed in range(1, seeds + 1):
            # The order of the images, their crops, and the tenth that validates are of the data's own seed.
            data = open_data(replace(self._arena.spec, seed=seed - 1))
            for name in (OURS, *rivals):
                same = [row for row in self._result["trained"] if (row["name"], row["seed"], row["epochs"]) == (name, seed, epochs)]
                if not same:
                    row = {"name": name, **tuned(self._network(name), data, epochs=epochs, seed=seed)}
                    self._result["trained"].append(row)
                    self.keep()
                    _say(f"trained {row}")

    def _file(self, name: str) -> Path:
        return self._arena.folder / f"{name.replace(' ', '-').replace(',', '')}.pt"

    def _network(self, name: str) -> nn.Module:
        # Files that this script wrote itself; pruned networks have no other form that holds their widths.
        return torch.load(self._file(name), weights_only=False)


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def main() -> None:
    """Runs what is not yet done of the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", required=True)
    parser.add_argument("--weights", type=Path, required=True)
    parser.add_argument("--folder", type=Path, default=Path("runs/against-torch-pruning"), help="where networks are kept between calls")
    parser.add_argument("--importances", default="taylor", help="Torch-Pruning's: taylor, l2")
    parser.add_argument("--parts", default="make,screen,train")
    parser.add_argument("--screen-epochs", type=float, default=0.3)
    parser.add_argument("--epochs", type=float, default=3.0)
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--rivals", type=int, default=2, help="so many of Torch-Pruning's best are trained")
    parser.add_argument("--db", type=Path, default=None)
    arguments = parser.parse_args()
    loaded = load_model("resnet56", weights=arguments.weights)
    spec = DataSpec(text=arguments.data)
    arena = Arena(
        original=loaded.model, image=loaded.inputs()[0], data=open_data(spec), spec=spec, folder=arguments.folder, db=arguments.db
    )
    benchmark = Benchmark(arena, arguments.importances.split(","))
    if "make" in arguments.parts:
        benchmark.make_all()
    if "screen" in arguments.parts:
        benchmark.screen(epochs=arguments.screen_epochs)
    if "train" in arguments.parts:
        benchmark.train(epochs=arguments.epochs, seeds=arguments.seeds, n_rivals=arguments.rivals)


if __name__ == "__main__":
    main()
