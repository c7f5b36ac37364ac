"""What ``fit`` keeps at equal latency: by the measured loss with and without leaving residual blocks out, and by importance.

Each network is brought to each latency in each way, with the same short fine-tuning and distillation after it.

    python benchmarks/fit_objectives.py resnet20 --weights resnet20.safetensors --data imagefolder:cifar10.zip

Every finished row is kept: started again, the benchmark goes on where it was.
"""

import argparse
import sys
from pathlib import Path
from typing import Any

from result_files import read_result, write_result

import edgewise
from edgewise.recipes.training import DISTILL_WEIGHT
from edgewise.train.loop import FineTune

WAYS: tuple[dict[str, Any], ...] = (
    {"objective": "loss", "keep_blocks": False},
    {"objective": "loss", "keep_blocks": True},
    {"objective": "importance", "keep_blocks": True},
)
_QUESTION = "fit-objectives"


def fitted(arguments: argparse.Namespace, *, latency: str, way: dict[str, Any]) -> dict[str, Any]:
    """One fit, measured, trained and judged."""
    tuning = FineTune(epochs=arguments.epochs, seed=arguments.seed, lr=arguments.lr, distill_weight=DISTILL_WEIGHT)
    value = edgewise.fit(
        arguments.model,
        weights=arguments.weights,
        device=arguments.device,
        data=arguments.data,
        latency=latency,
        fine_tune=tuning,
        seed=arguments.seed,
        db=arguments.db,
        **way,
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
        "left_out": value["left_out"],
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
    parser.add_argument("--lr", type=float, default=0.01)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--db", type=Path, default=None)
    arguments = parser.parse_args()
    rows: list[dict[str, Any]] = read_result(_QUESTION).get("rows", [])
    for latency in arguments.latencies.split(","):
        for way in WAYS:
            asked = {"model": arguments.model, "device": arguments.device, "latency": latency, **way}
            asked |= {"epochs": arguments.epochs, "lr": arguments.lr, "seed": arguments.seed}
            if any(asked.items() <= row.items() for row in rows):
                continue
            rows.append(asked | fitted(arguments, latency=latency, way=way))
            write_result(_QUESTION, {"kind": "measured", "rows": rows})
            shown = {name: value for name, value in rows[-1].items() if name != "widths"}
            sys.stdout.write(f"{shown}\n")
            sys.stdout.flush()


if __name__ == "__main__":
    main()
