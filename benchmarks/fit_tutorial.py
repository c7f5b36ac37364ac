"""How much faster do the tutorial's pruned networks get on this CPU, at no fewer parameters?

``fit`` with the objective ``params`` (the paper's) on VGG-16 and ResNet-56 as HRankPlus prunes them,
in ONNX Runtime and OpenVINO, one thread, batch 1, fp32; each solver in turn. Ratios are medians over the
rounds of one interleaved run. (``fit-tutorial-epyc.json``: another machine, with networks that have settled before they are
timed; the solvers' rivals were not run for ResNet-56 in OpenVINO.)

    python benchmarks/fit_tutorial.py
"""

import argparse
import sys
from pathlib import Path
from typing import Any

from result_files import read_result, write_result

from edgewise._core.errors import EdgewiseError
from edgewise._core.units import LatencyTarget
from edgewise.recipes.fit import run_fit
from edgewise.recipes.requests import DeviceRequest, FitRequest, ModelRequest

CASES = (
    ("vgg16-hrank", "onnxruntime-cpu", (0.70, 0.72), 1.0),
    ("vgg16-hrank", "openvino-cpu", (0.74, 0.75, 0.80), 1.0),
    ("resnet56-hrank", "onnxruntime-cpu", (0.85, 0.90), 1.0),
    ("resnet56-hrank", "openvino-cpu", (0.90, 0.95), 1.0),
)
SOLVERS = ("exact", "algorithm2", "round")


def one_fit(model: str, device: str, target: float, *, solver: str, params: float, db: Path | None) -> dict[str, Any]:
    """The figures of one fit; an unreachable target is a result too."""
    request = FitRequest(
        model=ModelRequest(model=model),
        latency=LatencyTarget(ratio=target),
        device=DeviceRequest(device=device, db=db),
        width_floor=0.7,
        params_at_least=params,
        solver=solver,
        objective="params",
    )
    try:
        value = run_fit(request).to_json()
    except EdgewiseError as error:
        return {"target": target, "solver": solver, "refused": str(error)}
    before, after = value["baseline"], value["result"]
    return {
        "target": target,
        "solver": solver,
        "met": value["met"],
        "ratio": after["ratio"],
        "baseline_min_s": before["min_s"],
        "result_min_s": after["min_s"],
        "baseline_latency_s": before["latency_s"],
        "result_latency_s": after["latency_s"],
        "predicted_s": after["predicted_s"],
        "params_ratio": after["params"] / before["params"],
        "macs_ratio": after["macs"] / before["macs"],
        "corrections": value["corrections"],
        "seconds": value["seconds"],
        "widths": value["widths"],
    }


def main() -> None:
    """Runs the benchmark and writes its result file."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--db", type=Path, default=None)
    parser.add_argument("--solvers", default=",".join(SOLVERS))
    parser.add_argument("--only", default="", help="part of a case's `model device target`")
    arguments = parser.parse_args()
    rows = read_result("fit-tutorial").get("rows", [])
    for model, device, targets, params in CASES:
        for solver in arguments.solvers.split(","):
            for target in targets if solver == "exact" else targets[-1:]:
                if arguments.only not in f"{model} {device} {target}":
                    continue
                row = {"model": model, "device": device, **one_fit(model, device, target, solver=solver, params=params, db=arguments.db)}
                same = ("model", "device", "solver", "target")
                rows = [one for one in rows if any(one[key] != row[key] for key in same)] + [row]
                write_result("fit-tutorial", {"rows": rows, "width_floor": 0.7, "params_at_least": 1.0})
                shown = {key: value for key, value in row.items() if key != "widths"}
                sys.stdout.write(f"{shown}\n")
                sys.stdout.flush()


if __name__ == "__main__":
    main()
