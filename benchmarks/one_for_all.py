"""One set of weights for a range of ratios, against networks trained separately for three of them.

    python benchmarks/one_for_all.py --shared ../shared --work WORK --epochs 2 --seeds 0,1,2
    python benchmarks/one_for_all.py --digits --work WORK --epochs 10 --lr 0.05

ResNet-20 on CIFAR-10 from the given weights, or a small network on the embedded digits, trained here first. Every training is
checkpointed and every finished row written: a killed call goes on where it was. A one-for-all epoch runs four networks a step,
so that it gets a quarter of its rivals' epochs where ``--equal-work`` is given; with ``--longer`` it gets as many as they get together,
in rows of their own. A seed is that of the data: the order of the images and their crops. With ``--channels`` and ``--positions``
the range is another one, and its figures stand under its name. All are judged as they are at the end of training, whatever the
validation images say, which the given weights were trained on.
"""

import argparse
import sys
from copy import deepcopy
from pathlib import Path
from typing import Any

from result_files import figures_of, made_here, write_result
from torch import nn

from edgewise.dynamic import GatedNetwork, place_gates
from edgewise.dynamic.accounting import count_macs
from edgewise.dynamic.balancing import balance_channels
from edgewise.dynamic.training import LEAK, ONE_FOR_ALL_RATE, RatioAscent, SandwichSampling, hints_of
from edgewise.ir import NetSpec
from edgewise.ir.gates import GatePlan
from edgewise.models.weights import save_weights
from edgewise.recipes.records import LoadedModel
from edgewise.recipes.runs import load_model
from edgewise.trace import trace
from edgewise.train.calibrate import recalibrate_batch_norm
from edgewise.train.data import Dataset, DataSpec, open_data
from edgewise.train.evaluate import accuracy
from edgewise.train.hints import HINT_WEIGHT
from edgewise.train.loop import Checkpoint, FineTune, Goal, fine_tune

CHANNELS, POSITIONS = (0.3, 0.3, 0.6), (0.6,)
SHARES = (0.0, 0.5, 1.0)
NETWORKS_A_STEP = 4
LONGER = "one-for-all, longer"


def main() -> int:
    """Trains what is missing, and writes each row as it comes."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--shared", type=Path, default=Path("../shared"))
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--epochs", type=float, default=2.0)
    parser.add_argument("--lr", type=float, default=0.02)
    parser.add_argument("--distill", type=float, default=0.0, help="weight of the given network's outputs in all losses that labels are in")
    parser.add_argument("--seeds", default="0,1,2")
    parser.add_argument("--equal-work", action="store_true")
    parser.add_argument("--longer", action="store_true", help="one set of weights trained for the epochs of its rivals together, too")
    parser.add_argument("--channels", default="", help="largest ratios other than the usual ones, such as .5,.4,.3")
    parser.add_argument("--positions", default="", help="the same of positions; none where only --channels is given")
    parser.add_argument("--digits", action="store_true")
    arguments = parser.parse_args()
    arguments.work.mkdir(parents=True, exist_ok=True)
    loaded = started(arguments)
    net = trace(loaded.model, loaded.inputs(), name=loaded.name, verify=False).net
    plan = planned(arguments, net)
    question = "one-for-all-digits" if arguments.digits else "one-for-all"
    written: dict[str, Any] = figures_of(question)
    name = f"{arguments.channels} / {arguments.positions}" if arguments.channels or arguments.positions else ""
    known: dict[str, Any] = written.setdefault("ranges", {}).setdefault(name, made_here()) if name else written
    known |= {"network": loaded.source.label, "channel_ratios": plan.channel_ratios, "spatial_ratios": plan.spatial_ratios}
    test = opened(arguments).test
    known |= {
        "one_for_all_rate": ONE_FOR_ALL_RATE,
        "leak": LEAK,
        "hint_weight": HINT_WEIGHT,
        "balanced": True,
        "epochs": arguments.epochs,
        "lr": arguments.lr,
        "distill_weight": arguments.distill,
        "equal_work": arguments.equal_work,
        "test_images": test.n_images,
    }
    known["accuracy_start"] = accuracy(loaded.model, test)
    start, _ = balance_channels(loaded.model, net, plan.gates)
    rows = known.setdefault("rows", [])
    for seed in (int(word) for word in arguments.seeds.split(",")):
        data = opened(arguments, seed)
        for kind in ("one-for-all", *SHARES, *([LONGER] if arguments.longer else [])):
            if any((row["seed"], row["trained"]) == (seed, kind) for row in rows):
                continue
            if kind in ("one-for-all", LONGER):
                found = served(arguments, start, plan, data, seed=seed, longer=kind == LONGER)
            else:
                found = {kind: alone(arguments, start, plan.scaled(float(kind)), data, seed=seed)}
            for share, value in found.items():
                reduction = count_macs(net, plan.scaled(float(share))).reduction
                rows.append({"seed": seed, "trained": kind, "share": share, "accuracy": value, "reduction": reduction})
                print(rows[-1], flush=True)
            write_result(question, written)
    known["differences"] = differences(rows, "one-for-all")
    if any(row["trained"] == LONGER for row in rows):
        known["differences_longer"] = differences(rows, LONGER)
    write_result(question, written)
    return 0


def planned(arguments: argparse.Namespace, net: NetSpec) -> GatePlan:
    """The gates at the largest ratios."""
    usual = ((0.6,), ()) if arguments.digits else (CHANNELS, POSITIONS)
    own = tuple(tuple(float(word) for word in text.split(",") if word) for text in (arguments.channels, arguments.positions))
    channels, positions = own if any(own) else usual
    return place_gates(net, channel_ratios=channels, spatial_ratios=positions)


def opened(arguments: argparse.Namespace, seed: int = 0) -> Dataset:
    """The data, in the order of a seed."""
    text = "digits" if arguments.digits else f"imagefolder:{arguments.shared / 'data' / 'cifar10-jpeg.zip'}"
    return open_data(DataSpec(text=text, seed=seed))


def started(arguments: argparse.Namespace) -> LoadedModel:
    """The trained dense network."""
    if not arguments.digits:
        return load_model("resnet20", weights=arguments.shared / "models" / "resnet20.safetensors")
    weights = arguments.work / "digits.safetensors"
    if not weights.exists():
        save_weights(fine_tune(load_model("digits-cnn").model, opened(arguments), config=FineTune(epochs=20, lr=0.1)).model, weights)
    return load_model("digits-cnn", weights=weights)


def served(
    arguments: argparse.Namespace, start: nn.Module, plan: GatePlan, data: Dataset, *, seed: int, longer: bool
) -> dict[float, float]:
    """Test accuracy of one set of weights at every share, with batch-norm statistics of its own."""
    epochs = arguments.epochs / NETWORKS_A_STEP if arguments.equal_work else arguments.epochs
    epochs *= len(SHARES) if longer else 1
    config = FineTune(epochs=epochs, lr=arguments.lr * ONE_FOR_ALL_RATE, seed=seed, distill_weight=arguments.distill)
    goal = Goal(regime=SandwichSampling(plan=plan), evaluate=all_alike, **taught_by(arguments, start, plan))
    checkpoint = Checkpoint(path=arguments.work / f"one-for-all{'-longer' if longer else ''}-{seed}.safetensors", resume=True)
    network = fine_tune(GatedNetwork(start, plan), data, config=config, goal=goal, checkpoint=checkpoint).model
    found = {}
    for share in SHARES:
        one = deepcopy(network)
        assert isinstance(one, GatedNetwork)
        one.set_ratios(plan.scaled(share))
        recalibrate_batch_norm(one, data.train)
        found[share] = accuracy(one, data.test)
    return found


def taught_by(arguments: argparse.Namespace, start: nn.Module, plan: GatePlan) -> dict[str, Any]:
    """What a goal says of the teacher: outputs and maps of the network given, as ``edgewise sparsify --distill`` has it."""
    return {"teacher": start, "hints": hints_of(plan)} if arguments.distill else {}


def all_alike(_model: nn.Module) -> float:
    """A score by which no epoch is better than the last."""
    return 0.0


def alone(arguments: argparse.Namespace, start: nn.Module, plan: GatePlan, data: Dataset, *, seed: int) -> float:
    """Test accuracy of a network trained for one plan."""
    name = f"alone-{plan.channel_ratios[0]:g}-{seed}.safetensors"
    config = FineTune(epochs=arguments.epochs, lr=arguments.lr, seed=seed, distill_weight=arguments.distill)
    goal = Goal(regime=RatioAscent(plan=plan), evaluate=all_alike, **taught_by(arguments, start, plan))
    checkpoint = Checkpoint(path=arguments.work / name, resume=True)
    return accuracy(fine_tune(GatedNetwork(start, plan), data, config=config, goal=goal, checkpoint=checkpoint).model, data.test)


def differences(rows: list[dict[str, Any]], kind: str) -> list[dict[str, Any]]:
    """Mean over seeds of the one-for-all accuracy less that of the rival, by share."""
    found = []
    for share in SHARES:
        ours = {row["seed"]: row["accuracy"] for row in rows if row["trained"] == kind and row["share"] == share}
        rivals = {row["seed"]: row["accuracy"] for row in rows if row["trained"] == share}
        pairs = [ours[seed] - rivals[seed] for seed in ours if seed in rivals]
        if pairs:
            found.append({"share": share, "mean": sum(pairs) / len(pairs), "each": pairs})
    return found


if __name__ == "__main__":
    sys.exit(main())
