"""What choosing channels by their readers, and refitting these, saves before and after a short training.

All free widths of a trained network are cut to a share. Channels are chosen by Taylor importance or by what their
readers lose without them (``obs``), and the readers keep their weights (``no``) or are refitted on 512 training images, by one
mixing of channels for all taps of a kernel (``channels``) or for all taps together (``taps``). With ``--gates`` nothing is cut,
but maps are pruned for each input, and the layers that read them keep their weights or are refitted, perhaps with the
channels of the maps balanced before. All get their batch norms recalibrated, then the same short fine-tuning, and are
judged on test images before and after.

    python benchmarks/refitting.py resnet20 --data imagefolder:cifar10.zip --weights resnet20.safetensors
    python benchmarks/refitting.py resnet20 --data imagefolder:cifar10.zip --weights resnet20.safetensors --gates

Rows that are there already are not made again: called for one network after the other, the file gathers them.
"""

import argparse
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

from result_files import read_result, write_result
from torch import nn

from edgewise.dynamic import GatedNetwork, place_gates
from edgewise.dynamic.accounting import count_macs
from edgewise.dynamic.balancing import balance_channels
from edgewise.dynamic.training import RatioAscent
from edgewise.ir import WidthPlan
from edgewise.ir.gates import GatePlan
from edgewise.recipes.records import LoadedModel
from edgewise.recipes.refitting import Refitter
from edgewise.recipes.runs import load_model
from edgewise.recipes.training import Lessons, lessons_of
from edgewise.trace import Traced, apply_plan, choose_channels, score_channels, trace
from edgewise.train.batches import first_images
from edgewise.train.calibrate import recalibrate_batch_norm
from edgewise.train.data import Dataset, DataSpec, open_data
from edgewise.train.evaluate import accuracy
from edgewise.train.loop import FineTune, Goal, fine_tune

_QUESTION = "refitting"
_LR = 0.01
"""Of a short training: the usual 0.05 undoes more of a refitted network than a third of an epoch mends."""


GATES: dict[str, tuple[tuple[tuple[float, ...], tuple[float, ...], bool], ...]] = {
    "resnet20": (((0.4, 0.45, 0.55), (0.57, 0.52, 0.42), False), ((0.2,), (0.22,), True)),
    "resnet56": (((0.2,), (0.22,), True),),
    "vgg16": (((0.05, 0.05, 0.4, 0.75, 0.8), (0.15, 0.15, 0.25, 0.35, 0.3), False), ((0.2, 0.2, 0.6, 0.9, 0.9), (), False)),
}
"""Pruned shares of channels and of positions by block, and whether what convolutions read of sums is pruned, too."""
_WAYS = ("no", "channels", "taps")


@dataclass(frozen=True, kw_only=True)
class Judge:
    """How a network is trained and judged.

    Attributes:
        data: The data.
        teacher: The network as it came; teaches networks with gates.
        epochs: Of the training; 0 to train nothing.
        n_images: Test images.
    """

    data: Dataset
    teacher: nn.Module
    epochs: float
    n_images: int

    def judged(self, model: nn.Module) -> dict[str, Any]:
        """Accuracy with batch norms recalibrated, and after so much training."""
        test = first_images(self.data.test, self.n_images)
        recalibrate_batch_norm(model, self.data.train)
        found = {"accuracy_untrained": accuracy(model, test)}
        if self.epochs > 0:
            goal, weight = Goal(), 0.0
            if isinstance(model, GatedNetwork):
                goal, weight = Goal(regime=RatioAscent(plan=model.full_plan), teacher=self.teacher), 0.9
            tuned = fine_tune(model, self.data, config=FineTune(epochs=self.epochs, lr=_LR, distill_weight=weight), goal=goal)
            found |= {"accuracy_trained": accuracy(tuned.model, test), "kept": tuned.kept}
        return found


Made = tuple[dict[str, Any], Callable[[], tuple[nn.Module, tuple[str, ...]]]]
"""What makes a row different from others, and the network with the layers refitted."""


def narrowed(loaded: LoadedModel, traced: Traced, lessons: Lessons, shares: Sequence[float]) -> Iterator[Made]:
    """The network at each share of its widths, in every way."""
    refitter = Refitter(loaded.model, traced, lessons)
    taylor = score_channels(loaded.model, traced, kind="taylor", batches=[(x, y) for x, y in lessons.batches], loss=lessons.loss)
    scores = {"taylor": taylor, "obs": {**taylor, **refitter.scores()}}
    for share, importance, way in product(shares, scores, _WAYS):

        def make(share: float = share, importance: str = importance, way: str = way) -> tuple[nn.Module, tuple[str, ...]]:
            wanted = {tie.name: max(1, round(share * tie.width)) for tie in traced.net.ties if tie.free}
            plan = choose_channels(traced, wanted, scores[importance])
            model = apply_plan(loaded.model, plan, traced)
            return model, () if way == "no" else refitter.refit(model, plan, neighbours=way == "taps")

        yield {"share": share, "importance": importance, "refitted": way}, make


def pruned(loaded: LoadedModel, traced: Traced, lessons: Lessons) -> Iterator[Made]:
    """The network with gates, its layers as they were, refitted, and refitted after its maps were balanced."""
    refitter = Refitter(loaded.model, traced, lessons)
    for (channels, positions, sums), way in product(GATES[loaded.name], ("no", "taps", "balanced, taps")):
        plan = place_gates(traced.net, channel_ratios=channels, spatial_ratios=positions, block_outputs=sums)

        def make(plan: GatePlan = plan, way: str = way) -> tuple[nn.Module, tuple[str, ...]]:
            dense, refits = loaded.model, refitter
            if way == "balanced, taps":
                dense, _ = balance_channels(dense, traced.net, plan.gates)
                refits = Refitter(dense, traced, lessons)
            network = GatedNetwork(dense, plan).eval()
            return network, () if way == "no" else refits.refit_gated(network, WidthPlan())

        ratios = {"channel_ratios": list(channels), "spatial_ratios": list(positions), "block_outputs": sums}
        yield {**ratios, "reduction": count_macs(traced.net, plan).reduction, "refitted": way}, make


def main() -> None:
    """Judges what is missing of one network."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("network", choices=sorted(GATES))
    parser.add_argument("--data", required=True)
    parser.add_argument("--weights", type=Path, required=True)
    parser.add_argument("--gates", action="store_true", help="prune maps for each input instead of widths")
    parser.add_argument("--shares", default="0.75,0.5")
    parser.add_argument("--epochs", type=float, default=0.3, help="of the training; 0 to train nothing")
    parser.add_argument("--images", type=int, default=10_000, help="test images")
    arguments = parser.parse_args()
    loaded, data = load_model(arguments.network, weights=arguments.weights), open_data(DataSpec(text=arguments.data))
    lessons = lessons_of(data)
    traced = trace(loaded.model, loaded.inputs(), name=loaded.name)
    judge = Judge(data=data, teacher=loaded.model, epochs=arguments.epochs, n_images=arguments.images)
    shares = [float(share) for share in arguments.shares.split(",")]
    settings = {"network": loaded.name, "epochs": arguments.epochs, "lr": _LR, "images": arguments.images}
    rows: list[dict[str, Any]] = (read_result(_QUESTION) or {}).get("rows", [])
    dense = accuracy(loaded.model, first_images(data.test, arguments.images))
    for facts, make in pruned(loaded, traced, lessons) if arguments.gates else narrowed(loaded, traced, lessons, shares):
        if any(settings.items() | _items(facts) <= _items(row) for row in rows):
            continue
        start_s = time.monotonic()
        model, layers = make()
        row = {**settings, **facts, "layers_refitted": len(layers), "refitting_s": time.monotonic() - start_s, "accuracy_before": dense}
        row |= judge.judged(model)
        rows = [*rows, row]
        write_result(_QUESTION, {"rows": rows})
        sys.stdout.write(f"{row}\n")
        sys.stdout.flush()


def _items(facts: Mapping[str, Any]) -> set[tuple[str, Any]]:
    return {(name, tuple(value) if isinstance(value, list) else value) for name, value in facts.items()}


if __name__ == "__main__":
    main()
