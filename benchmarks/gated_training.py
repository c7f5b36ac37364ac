"""How to train with the masks on when there is little time: ramp, rate, distillation, where gates stand, leak and hints.

    python benchmarks/gated_training.py resnet20 --shared ../shared --epochs 0.5
    python benchmarks/gated_training.py vgg16 --shared ../shared --epochs 0.4

On CIFAR-10 from the given weights, each way for as long; ResNet-20 as it is, the others balanced and refitted before. Every row
is written as it comes; rows that are there already are not trained again.
"""

import argparse
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from dynamic_accuracy import gated
from result_files import figures_of, made_here, write_result
from torch import nn

from edgewise.dynamic import GatedNetwork, place_gates
from edgewise.dynamic.accounting import count_macs
from edgewise.dynamic.balancing import balance_channels
from edgewise.dynamic.training import RatioAscent, hints_of
from edgewise.recipes.records import LoadedModel
from edgewise.recipes.runs import load_model
from edgewise.trace import trace
from edgewise.train.data import Dataset, DataSpec, open_data
from edgewise.train.evaluate import accuracy
from edgewise.train.loop import FineTune, Goal, fine_tune


@dataclass(frozen=True, kw_only=True, slots=True)
class Way:
    """One way of training."""

    ramp: float
    lr: float
    distill: float = 0.0
    block_outputs: bool = False
    leak: float = 0.0
    hint_weight: float = 0.0


PREPARED = tuple(
    Way(ramp=0.0, lr=0.05, distill=0.9, leak=leak, hint_weight=hint_weight)
    for leak, hint_weight in ((0.0, 0.0), (0.5, 0.0), (0.0, 10.0), (0.5, 10.0), (0.25, 10.0), (1.0, 10.0), (0.5, 40.0))
)
"""Of networks that are balanced and refitted before."""
WAYS = (
    Way(ramp=0.6, lr=0.03),
    Way(ramp=0.0, lr=0.03),
    Way(ramp=0.0, lr=0.1),
    Way(ramp=0.0, lr=0.03, distill=0.9),
    Way(ramp=0.0, lr=0.1, distill=0.9),
    Way(ramp=0.2, lr=0.1, distill=0.9),
    Way(ramp=0.2, lr=0.1, distill=0.9, block_outputs=True),
)
Ratios = tuple[tuple[float, ...], tuple[float, ...]]
RATIOS: dict[bool, Ratios] = {False: ((0.4, 0.45, 0.55), (0.57, 0.52, 0.42)), True: ((0.2,), (0.22,))}
"""Channels and positions, inside the blocks alone and with what convolutions read of sums: 38.7 and 37.2 % fewer MACs."""
PREPARED_RATIOS: dict[str, Ratios] = {
    "vgg16": ((0.05, 0.05, 0.4, 0.75, 0.8), (0.15, 0.15, 0.25, 0.35, 0.3)),
    "resnet56": ((0.2,), (0.22,)),
}
"""51.4 and 37.5 % fewer; ResNet-56 with what convolutions read of sums."""


def prepared(loaded: LoadedModel, name: str, data: Dataset) -> tuple[GatedNetwork, nn.Module]:
    """A network balanced and refitted to its gates, and the balanced one without gates, which teaches."""
    traced = trace(loaded.model, loaded.inputs(), name=name, verify=False)
    channels, positions = PREPARED_RATIOS[name]
    plan = place_gates(traced.net, channel_ratios=channels, spatial_ratios=positions, block_outputs=name == "resnet56")
    balanced, _ = balance_channels(loaded.model, traced.net, plan.gates)
    return gated(balanced, traced, plan, data), balanced


def compare_prepared(name: str, *, shared: Path, epochs: float) -> None:
    """Trains VGG16 or ResNet-56 with and without leak and hints; judged on validation images, as nothing here is reported."""
    data = open_data(DataSpec(text=f"imagefolder:{shared / 'data' / 'cifar10-jpeg.zip'}"))
    network, teacher = prepared(load_model(name, weights=shared / "models" / f"{name}.safetensors"), name, data)
    known = figures_of("gated-training")
    rows: list[dict[str, Any]] = known.setdefault("prepared", {}).setdefault(name, [])
    for way in PREPARED:
        settings = {**asdict(way), "epochs": epochs}
        if any(settings.items() <= row.items() for row in rows):
            continue
        config = FineTune(epochs=epochs, lr=way.lr, distill_weight=way.distill)
        hints = hints_of(network.full_plan, weight=way.hint_weight) if way.hint_weight else None
        regime = RatioAscent(plan=network.full_plan, ramp=way.ramp, leak=way.leak)
        tuned = fine_tune(network, data, config=config, goal=Goal(regime=regime, teacher=teacher, hints=hints))
        scores = {"validation_before": tuned.score_before, "accuracy_validation": tuned.history[-1].score}
        rows.append({**made_here(), **settings, **scores, "seconds": tuned.seconds})
        print(rows[-1], flush=True)
        write_result("gated-training", known)


def main() -> int:
    """Trains what is missing."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("network", choices=("resnet20", *PREPARED_RATIOS))
    parser.add_argument("--shared", type=Path, default=Path("../shared"))
    parser.add_argument("--epochs", type=float, default=0.5)
    arguments = parser.parse_args()
    if arguments.network != "resnet20":
        compare_prepared(arguments.network, shared=arguments.shared, epochs=arguments.epochs)
        return 0
    data = open_data(DataSpec(text=f"imagefolder:{arguments.shared / 'data' / 'cifar10-jpeg.zip'}"))
    loaded = load_model("resnet20", weights=arguments.shared / "models" / "resnet20.safetensors")
    net = trace(loaded.model, loaded.inputs(), name="resnet20", verify=False).net
    accuracy_start = accuracy(loaded.model, data.test)
    known = figures_of("gated-training")
    rows: list[dict[str, Any]] = known.setdefault("rows", [])
    for way in WAYS:
        settings = {**asdict(way), "epochs": arguments.epochs}
        if any(settings.items() <= row.items() for row in rows):
            continue
        channels, positions = RATIOS[way.block_outputs]
        plan = place_gates(net, channel_ratios=channels, spatial_ratios=positions, block_outputs=way.block_outputs)
        config = FineTune(epochs=arguments.epochs, lr=way.lr, distill_weight=way.distill)
        goal = Goal(regime=RatioAscent(plan=plan, ramp=way.ramp, leak=way.leak), teacher=loaded.model if way.distill else None)
        tuned = fine_tune(GatedNetwork(loaded.model, plan), data, config=config, goal=goal)
        found = {"accuracy": accuracy(tuned.model, data.test), "accuracy_validation": tuned.accuracy_validation}
        rows.append({**settings, **found, "reduction": count_macs(net, plan).reduction, "seconds": tuned.seconds})
        print(rows[-1], flush=True)
        write_result("gated-training", known | {"kind": "measured", "accuracy_start": accuracy_start})
    return 0


if __name__ == "__main__":
    sys.exit(main())
