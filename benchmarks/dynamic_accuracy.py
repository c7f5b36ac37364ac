"""Accuracy of VGG16 and ResNet-56 pruned per input, beside the same network trained on as long without pruning.

Each call trains one network in one way, with a checkpoint after every epoch: a killed call goes on where it was.

    python benchmarks/dynamic_accuracy.py vgg16 pruned --remove --shared ../shared --work WORK --epochs 6
    python benchmarks/dynamic_accuracy.py vgg16 unpruned --shared ../shared --work WORK --epochs 6

Weights and data are those of the folder ``shared``. The test part is looked at once, at the end. Both ways start from
the same weights and use the same settings, seed and order of images, so that they differ in the gates alone; with gates, maps
are first balanced, layers refitted to what gates leave, and maps taught, too, as ``edgewise sparsify --distill`` does it.
"""

import argparse
import math
import sys
import time
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import safetensors
from result_files import figures_of, made_here, write_result
from torch import nn

from edgewise.dynamic import place_gates
from edgewise.dynamic.accounting import count_macs
from edgewise.dynamic.training import RAMP, RatioAscent, leak_for
from edgewise.ir.gates import GatePlan
from edgewise.models.weights import save_weights
from edgewise.recipes.runs import load_model
from edgewise.recipes.sparsify.settling import Settled, settle
from edgewise.recipes.training import lessons_of
from edgewise.trace import Traced, trace
from edgewise.train.data import DataSpec, open_data
from edgewise.train.evaluate import accuracy
from edgewise.train.hints import HINT_WEIGHT
from edgewise.train.loop import Checkpoint, FineTune, Goal, fine_tune

RATIOS: dict[str, tuple[tuple[float, ...], tuple[float, ...]]] = {
    "vgg16": ((0.12, 0.15, 0.33, 0.65, 0.65), ()),
    "resnet56": ((0.5625, 0.46875, 0.34375), ()),
}
"""50.2 and 37.9 % fewer multiply-accumulates with ``--remove``: the best of some 20 and 10 tried, by cross entropy of 2,000 validation
images without training, balanced, channels removed and refitted (90.4 and 93.1 % right)."""
CHANGING: dict[str, tuple[float, ...]] = {"vgg16": (0.0, 0.0, 0.3, 0.3, 0.3), "resnet56": (0.3,)}
"""Shares of the kept channels that go by the image; in the first two blocks of VGG16 the image says no more than static choice."""


class Printed:
    """Progress on standard output: one line a note, and one every hundred steps."""

    def __init__(self) -> None:
        self._done, self._started_s = 0.0, time.monotonic()

    def start(self, label: str, total: float) -> None:
        """Prints the stage."""
        print(f"{label}: {total:g} steps", flush=True)
        self._done, self._started_s = 0.0, time.monotonic()

    def advance(self, steps: float = 1.0) -> None:
        """Prints where it is, now and then."""
        before, self._done = self._done, self._done + steps
        if before // 100 != self._done // 100:
            print(f"  {self._done:.0f} steps in {time.monotonic() - self._started_s:.0f} s", flush=True)

    def note(self, text: str) -> None:
        """Prints the line."""
        print(text, flush=True)


def interval(share: float, n_images: int) -> float:
    """Half the 95 % interval of a share of ``n_images`` right answers."""
    return 1.96 * math.sqrt(share * (1 - share) / n_images)


def planned(name: str, traced: Traced, own: str = "", *, sums: bool = False) -> GatePlan:
    """The gates of a network, at its own ratios or at those of a text such as ``.2,.2,.6,.9,.9/.1``."""
    channels, positions = RATIOS[name]
    if own:
        channels, positions = (tuple(float(word) for word in part.split(",") if word) for part in own.partition("/")[::2])
    return place_gates(traced.net, channel_ratios=channels, spatial_ratios=positions, block_outputs=sums)


def with_last_weights(network: nn.Module, checkpoint: Path) -> nn.Module:
    """The network with the weights at the end of training, whatever the validation part says of them.

    The given weights were trained on the validation images too, so that training on without them always seems a loss.
    """
    with safetensors.safe_open(checkpoint, framework="pt") as content:
        names = [name for name in content.keys() if name.startswith("model/")]  # noqa: SIM118 - not a mapping
        network.load_state_dict({name.removeprefix("model/"): content.get_tensor(name) for name in names})
    return network


def pruning_of(arguments: argparse.Namespace, ready: Settled, plan: GatePlan) -> dict[str, Any]:
    """How a network is pruned, and what that saves."""
    gates = ready.removal.gates
    return {
        "ramp": arguments.ramp,
        "balanced": True,
        "refitted": True,
        "leak": leak_for(gates, ready.maps),
        "settled": list(ready.maps),
        "hint_weight": HINT_WEIGHT if arguments.distill else None,
        "block_outputs": arguments.block_outputs,
        "channel_ratios": list(plan.channel_ratios),
        "spatial_ratios": list(plan.spatial_ratios),
        "changing": list(CHANGING[arguments.network]),
        "removed": arguments.remove,
        "widths": ready.removal.widths.widths,
        "kept": {gate.consumer: gate.kept_channels for gate in gates.gates},
        "macs": count_macs(ready.net, gates, given=ready.traced.net).to_json(),
    }


def trained(arguments: argparse.Namespace) -> dict[str, Any]:
    """One training and what came of it."""
    name, way = arguments.network, arguments.way
    data = open_data(DataSpec(text=f"imagefolder:{arguments.shared / 'data' / 'cifar10-jpeg.zip'}"), progress=Printed())
    loaded = load_model(name, weights=arguments.shared / "models" / f"{name}.safetensors")
    start, traced = loaded.model, trace(loaded.model, loaded.inputs(), name=name, verify=False)
    plan = planned(name, traced, arguments.ratios, sums=arguments.block_outputs)
    config = FineTune(epochs=arguments.epochs, lr=arguments.lr, distill_weight=arguments.distill)
    teacher = start if arguments.distill else None
    kept_as = f"{name}-{way}-{arguments.ratios.replace('/', '-')}" if arguments.ratios else f"{name}-{way}"
    checkpoint = Checkpoint(path=arguments.work / f"{kept_as}.safetensors", resume=True, every_s=180)
    goal, student, lessons = Goal(teacher=teacher), start, lessons_of(data)
    ready = settle(loaded, traced, plan, lessons=lessons, remove=arguments.remove, changing=CHANGING[name]) if way == "pruned" else None
    if ready is not None:
        gates = ready.removal.gates
        goal = replace(goal, regime=RatioAscent(plan=gates, ramp=arguments.ramp, leak=leak_for(gates, ready.maps)))
        if arguments.distill:
            goal = replace(goal, teacher=ready.dense.model, hints=ready.hints)
        student, _ = ready.gated(lessons=lessons, progress=Printed())
    tuned = fine_tune(student, data, config=config, goal=goal, checkpoint=checkpoint, progress=Printed())
    network = with_last_weights(tuned.model, checkpoint.path)
    save_weights(network, arguments.work / f"{kept_as}-end.safetensors")
    found, n_images = accuracy(network, data.test), data.test.n_images
    return {
        **made_here(),
        "epochs": arguments.epochs,
        "lr": arguments.lr,
        "distill_weight": arguments.distill,
        **({} if ready is None else pruning_of(arguments, ready, plan)),
        "accuracy_start": accuracy(start, data.test),
        "accuracy": found,
        "ci95": interval(found, n_images),
        "test_images": n_images,
        "score_before": tuned.score_before,
        "accuracy_validation": tuned.history[-1].score,
        "history": [asdict(record) for record in tuned.history],
        "seconds": tuned.seconds,
    }


def main() -> int:
    """Trains, and adds what came of it to the result file."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("network", choices=sorted(RATIOS))
    parser.add_argument("way", choices=("pruned", "unpruned"))
    parser.add_argument("--ratios", default="", help="other ratios: channels, and after a slash positions, such as .2,.2,.6,.9,.9/")
    parser.add_argument("--block-outputs", action="store_true", help="prune also what convolutions read of sums")
    parser.add_argument("--remove", action="store_true", help="remove for good what no image is to keep")
    parser.add_argument("--shared", type=Path, default=Path("../shared"))
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--epochs", type=float, default=6.0)
    parser.add_argument("--lr", type=float, default=0.05)
    parser.add_argument("--ramp", type=float, default=RAMP)
    parser.add_argument("--distill", type=float, default=0.0, help="share of distillation from the given network in the loss")
    arguments = parser.parse_args()
    arguments.work.mkdir(parents=True, exist_ok=True)
    found = trained(arguments)
    known = figures_of("dynamic-accuracy")
    known.setdefault("networks", {}).setdefault(arguments.network, {})[f"{arguments.way} {arguments.ratios}".strip()] = found
    write_result("dynamic-accuracy", known)
    print({key: found[key] for key in ("accuracy_start", "accuracy", "ci95", "seconds")})
    return 0


if __name__ == "__main__":
    sys.exit(main())
