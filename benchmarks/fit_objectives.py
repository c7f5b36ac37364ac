"""What ``fit`` keeps by the measured loss of each layer, and by the importance of channels: accuracy at equal latency.

Each network is brought to each latency under both objectives, with the same short fine-tuning and distillation after it.

    python benchmarks/fit_objectives.py resnet20 --weights resnet20.safetensors --data imagefolder:cifar10.zip

Every finished row is kept: started again, the benchmark goes on where it was.
"""

import argparse
import sys
from pathlib import Path
from typing import Any

from result_files import read_result, write_result

import edgewise

OBJECTIVES = ("loss", "importance")
_QUESTION = "fit-objectives"


def fitted(arguments: argparse.Namespace, *, latency: str, objective: str) -> dict[str, Any]:
    """One fit, measured, trained and judged."""
    value = edgewise.fit(
        arguments.model,
        weights=arguments.weights,
        device=arguments.device,
        data=arguments.data,
        latency=latency,
        objective=objective,
        epochs=arguments.epochs,
        seed=arguments.seed,
        distill=True,
        db=arguments.db,
    ).value
    before, after = value["baseline"], value["result"]
    return {
        "met": value["met"],
        "ratio": after["ratio"],
        "macs_ratio": after["macs"] / before["macs"],
        "params_ratio": after["params"] / before["params"],
        "accuracy_before": before["accuracy"],
        "accuracy": after["accuracy"],
        "accuracy_validation": after["accuracy_validation"],
        "seconds": value["seconds"],
        "widths": value["widths"],
    }


def main() -> None:
    """Fits what is not fitted yet, and writes the result file row by row."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model")
    parser.add_argument("--weights", type=Path, required=True)
    parser.add_argument("--data", required=True)
    parser.add_argument("--device", default="openvino-cpu")
    parser.add_argument("--latencies", default="0.9x,0.8x,0.7x")
    parser.add_argument("--epochs", type=float, default=0.5)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--db", type=Path, default=None)
    arguments = parser.parse_args()
    rows: list[dict[str, Any]] = read_result(_QUESTION).get("rows", [])
    for latency in arguments.latencies.split(","):
        for objective in OBJECTIVES:
            asked = {"model": arguments.model, "device": arguments.device, "latency": latency, "objective": objective}
            asked |= {"epochs": arguments.epochs, "seed": arguments.seed}
            if any(asked.items() <= row.items() for row in rows):
                continue
            rows.append(asked | fitted(arguments, latency=latency, objective=objective))
            write_result(_QUESTION, {"kind": "measured", "rows": rows})
            shown = {name: value for name, value in rows[-1].items() if name != "widths"}
            sys.stdout.write(f"{shown}\n")
            sys.stdout.flush()


if __name__ == "__main__":
    main()
