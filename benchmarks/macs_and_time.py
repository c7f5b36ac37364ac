"""Do fewer MACs mean less time? Torch-Pruning's uniform pruning beside ours, on networks people use.

For each network: torch-pruning at ratio 0.2 with ``round_to`` 1, 8 and 16, and ``fit`` to 0.7x, all
measured beside the dense network in one interleaved run in ONNX Runtime (one thread, batch 1, fp32,
random weights: time does not depend on them).

    python benchmarks/macs_and_time.py
"""

import argparse
import copy
import sys
from pathlib import Path
from typing import Any

import torch
import torch_pruning
from result_files import read_result, write_result
from torch import nn

from edgewise._core.errors import EdgewiseError
from edgewise._core.units import LatencyTarget
from edgewise.measure.runtimes import open_runtime
from edgewise.measure.sampling import Schedule, measure_interleaved
from edgewise.measure.settings import RuntimeSettings
from edgewise.recipes.fit import run_fit
from edgewise.recipes.requests import DeviceRequest, FitRequest, ModelRequest
from edgewise.recipes.runs import load_model
from edgewise.trace import trace

NETWORKS = ("timm:mobilenetv2_050", "timm:mobilenetv3_small_075", "timm:resnet18", "torchvision:mnasnet0_5", "torchvision:resnet50")
_SCHEDULE = Schedule(warmup=3, repeats=20, min_seconds=0.5, max_seconds=2.0)


def uniformly_pruned(model: nn.Module, inputs: tuple[torch.Tensor, ...], *, round_to: int) -> nn.Module:
    """Torch-Pruning's result: every layer loses a fifth of its channels, the smallest by L2 norm; classes stay."""
    pruned = copy.deepcopy(model)
    last = [module for module in pruned.modules() if isinstance(module, nn.Linear)][-1]
    pruner = torch_pruning.pruner.MagnitudePruner(
        pruned,
        inputs,
        importance=torch_pruning.importance.MagnitudeImportance(p=2),
        pruning_ratio=0.2,
        ignored_layers=[last],
        round_to=round_to,
    )
    pruner.step()
    return pruned.eval()


def compare(name: str, *, target: float, db: Path | None) -> dict[str, Any]:
    """MACs and time of each variant of one network, as ratios to the dense one."""
    loaded = load_model(name)
    inputs = loaded.inputs()
    variants: dict[str, nn.Module] = {"dense": loaded.model}
    for round_to in (1, 8, 16):
        variants[f"torch-pruning, round_to {round_to}"] = uniformly_pruned(loaded.model, inputs, round_to=round_to)
    try:
        request = FitRequest(
            model=ModelRequest(model=name), latency=LatencyTarget(ratio=target), device=DeviceRequest(db=db), objective="importance"
        )
        fitted = run_fit(request)
        variants[f"edgewise fit --latency {target:g}x"] = fitted.model.model
        own = {"met": fitted.value["met"], "seconds": fitted.value["seconds"], "predicted_s": fitted.value["result"]["predicted_s"]}
    except EdgewiseError as error:
        own = {"refused": str(error)}
    runtime = open_runtime(RuntimeSettings(device="onnxruntime-cpu"))
    sessions = [runtime.load_module(variant, inputs) for variant in variants.values()]
    samples = measure_interleaved(sessions, _SCHEDULE)
    macs = [trace(variant, inputs, verify=False).net.macs for variant in variants.values()]
    rows = {
        title: {
            "macs_ratio": count / macs[0],
            "time_ratio": sample.min_s / samples[0].min_s,
            "min_s": sample.min_s,
            "latency_s": sample.latency_s,
        }
        for title, count, sample in zip(variants, macs, samples, strict=True)
    }
    return {"variants": rows, "fit": own}


def main() -> None:
    """Runs the benchmark and writes its result file."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--networks", default=",".join(NETWORKS))
    parser.add_argument("--target", type=float, default=0.65)
    parser.add_argument("--db", type=Path, default=None)
    arguments = parser.parse_args()
    found = read_result("macs-and-time").get("networks", {})
    for name in arguments.networks.split(","):
        found[name] = compare(name, target=arguments.target, db=arguments.db)
        write_result("macs-and-time", {"networks": found})
        for title, row in found[name]["variants"].items():
            sys.stdout.write(f"{name} {title}: MACs {row['macs_ratio']:.2f}x, time {row['time_ratio']:.2f}x\n")
        sys.stdout.write(f"{name}: {found[name]['fit']}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
