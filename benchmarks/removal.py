"""What a share of channels that goes by the image costs, at equal multiply-accumulates: without removal, and with more or less of it.

Ratios of one shape are scaled until the network does as many multiply-accumulates less as wanted; maps are balanced, channels removed,
layers refitted, and the network is judged on all test images, without any training.

    python benchmarks/removal.py --shared ../shared
"""

import argparse
import sys
from pathlib import Path
from typing import Any

from result_files import figures_of, write_result

from edgewise._core.progress import SilentProgress
from edgewise.dynamic import place_gates
from edgewise.dynamic.accounting import MacCount, count_macs
from edgewise.dynamic.removing import widths_left
from edgewise.ir import NetSpec
from edgewise.ir.gates import GatePlan
from edgewise.recipes.runs import load_model
from edgewise.recipes.sparsify.settling import settle
from edgewise.recipes.training import lessons_of
from edgewise.trace import trace
from edgewise.train.data import DataSpec, open_data
from edgewise.train.evaluate import accuracy

SHAPES: dict[str, tuple[tuple[float, ...], float]] = {
    "vgg16": ((0.12, 0.15, 0.33, 0.65, 0.65), 0.502),
    "resnet56": ((0.5625, 0.46875, 0.34375), 0.375),
}
"""Channel ratios by block, and the wanted reduction."""
CHANGING: dict[str, tuple[tuple[float, ...], ...]] = {
    "vgg16": ((0.0,), (0.15,), (0.3,), (0.6,), (1.0,), (0.0, 0.0, 0.3, 0.3, 0.3)),
    "resnet56": ((0.0,), (0.15,), (0.3,), (0.6,), (1.0,)),
}
LARGEST = 0.93
_HALVINGS = 20


def count(net: NetSpec, plan: GatePlan, changing: tuple[float, ...], *, remove: bool) -> MacCount:
    """Multiply-accumulates at the ratios of a plan."""
    return count_macs(*(widths_left(net, plan, changing) if remove else (net, plan)), given=net)


def scaled(net: NetSpec, name: str, changing: tuple[float, ...], *, remove: bool) -> GatePlan | None:
    """The ratios of the shape that save as much as wanted; none where the largest do not."""
    shape, wanted = SHAPES[name]

    def at(factor: float) -> GatePlan:
        return place_gates(net, channel_ratios=tuple(min(LARGEST, factor * ratio) for ratio in shape))

    low, high = 0.0, LARGEST / min(shape)
    if count(net, at(high), changing, remove=remove).reduction_executed < wanted:
        return None
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        if count(net, at(middle), changing, remove=remove).reduction_executed < wanted:
            low = middle
        else:
            high = middle
    return at(high)


def judged(name: str, shared: Path) -> list[dict[str, Any]]:
    """A row for each share that may change, with removal and, for the usual share, without."""
    data = open_data(DataSpec(text=f"imagefolder:{shared / 'data' / 'cifar10-jpeg.zip'}"))
    loaded = load_model(name, weights=shared / "models" / f"{name}.safetensors")
    traced, lessons = trace(loaded.model, loaded.inputs(), name=name, verify=False), lessons_of(data)
    rows: list[dict[str, Any]] = [{"changing": None, "removed": False, "reduction": 0.0, "accuracy": accuracy(loaded.model, data.test)}]
    for changing, remove in (*((each, True) for each in CHANGING[name]), ((0.3,), False)):
        plan = scaled(traced.net, name, changing, remove=remove)
        if plan is None:
            continue
        ready = settle(loaded, traced, plan, lessons=lessons, remove=remove, changing=changing)
        network, _ = ready.gated(lessons=lessons, progress=SilentProgress())
        found = count_macs(ready.net, ready.removal.gates, given=traced.net)
        rows.append(
            {
                "changing": list(changing),
                "removed": remove,
                "channel_ratios": list(plan.channel_ratios),
                "reduction": found.reduction_executed,
                "reduction_removed": found.reduction_removed,
                "accuracy": accuracy(network, data.test),
            }
        )
        sys.stdout.write(f"{name}: {rows[-1]}\n")
        sys.stdout.flush()
    return rows


def main() -> None:
    """Judges, and writes the result file after each network."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--shared", type=Path, default=Path("../shared"))
    parser.add_argument("--networks", default=",".join(SHAPES))
    arguments = parser.parse_args()
    found = figures_of("removal").get("networks", {})
    for name in arguments.networks.split(","):
        found[name] = judged(name, arguments.shared)
        write_result("removal", {"networks": found})


if __name__ == "__main__":
    main()
