"""Does single-path search find better networks than chance, at the latency of MobileNetV2 on this machine, on CIFAR-10?

Everything is done in parts that can be killed and go on; each writes its rows into the result file when it is done.

    python benchmarks/search_accuracy.py device   --work WORK
    python benchmarks/search_accuracy.py prices   --shared ../shared --work WORK
    python benchmarks/search_accuracy.py draw     --work WORK
    python benchmarks/search_accuracy.py search   --shared ../shared --work WORK --seconds 1000
    python benchmarks/search_accuracy.py choose   --shared ../shared --work WORK
    python benchmarks/search_accuracy.py train    --shared ../shared --work WORK --network winner-0 --seconds 1000
    python benchmarks/search_accuracy.py measure  --shared ../shared --work WORK
    python benchmarks/search_accuracy.py inherited --shared ../shared --work WORK
    python benchmarks/search_accuracy.py evenly   --shared ../shared --work WORK --images 24000 --epochs 1.5

``device``, ``prices``, ``choose`` and ``measure`` time; trainings beside them pause meanwhile. Networks are ``reference``
(MobileNetV2 at width 0.5 with stem and second stage at stride 1), ``winner-0``, ``winner-1`` (two seeds of training),
``random-0`` to ``random-7``, and ``likeliest-0``, which norms and thresholds decide on; the winner is the best of 64 networks
of its latency by the supernet's weights, as ``edgewise search --refine`` finds it. ``inherited`` asks how good a judge these weights
were; ``evenly`` trains a supernet on, with networks of the target's latency drawn at random, and asks before and after (searches
do so themselves now). ``--images`` and the epochs make it smaller; what was made is told by the rows.
"""

import argparse
import json
import statistics
import sys
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from functools import cache, partial
from itertools import chain, count, islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from result_files import figures_of, write_result
from torch import nn

from edgewise._core.files import write_json
from edgewise._core.units import LatencyTarget
from edgewise.ir import ArchPlan
from edgewise.measure.calibration import overheads_of
from edgewise.measure.database import LatencyDatabase
from edgewise.measure.lock import untimed
from edgewise.measure.runtimes import open_runtime
from edgewise.measure.settings import RuntimeSettings
from edgewise.models.weights import load_weights, save_weights
from edgewise.recipes.profile import open_device
from edgewise.recipes.requests import DeviceRequest
from edgewise.recipes.searching.aiming import Bench, aim, calibrated, network_of, shoot
from edgewise.recipes.searching.prices import prices_on
from edgewise.recipes.searching.refining import Refiner
from edgewise.singlepath.baselines import Score, inherited_score
from edgewise.singlepath.choosing import choose
from edgewise.singlepath.derive import at_training_scale, inherited
from edgewise.singlepath.gates import Steering, values_of
from edgewise.singlepath.optimizers import weight_optimizer
from edgewise.singlepath.search import search
from edgewise.singlepath.settings import SearchSettings
from edgewise.singlepath.supernet import Supernet
from edgewise.space import Space, Stage, counts_of, load_space
from edgewise.space.drawing import draw_in_window
from edgewise.space.prices import Prices
from edgewise.space.solve import Window
from edgewise.train.batches import batches_of_epoch
from edgewise.train.checkpoint import Checkpoint
from edgewise.train.data import Dataset, DataSpec, open_data
from edgewise.train.evaluate import accuracy
from edgewise.train.layout import channels_last
from edgewise.train.loop import FineTune, Goal, fine_tune
from edgewise.train.objective import cross_entropy
from edgewise.train.precision import mixed_precision, uses_bf16
from edgewise.train.schedule import one_cycle

N_RANDOM, N_JUDGED = 8, 64
TARGETS = (0.7, 0.85, 1.0)
"""Shares of the reference's latency; the last is the one that is compared."""
LR, EVEN_LR = 0.1, 0.05


def reference_space() -> Space:
    """MobileNetV2 at width 0.5 for images of 32 pixels: total stride 8."""
    rows = ((1, 8, 1, 1), (6, 16, 2, 1), (6, 16, 3, 2), (6, 32, 4, 2), (6, 48, 3, 1), (6, 80, 3, 2), (6, 160, 1, 1))
    stages = tuple(
        Stage(width=width, depth=depth, stride=stride, kernels=(3,), expansions=(expansion,), skip=False)
        for expansion, width, depth, stride in rows
    )
    return Space(
        name="mobilenet-v2-0.5x",
        input_shape=(1, 3, 32, 32),
        stem=16,
        stem_stride=1,
        stages=stages,
        head=1280,
        n_classes=10,
        activation="relu6",
    )


class Watch:
    """Prints notes, and interrupts when the time is over: what is going on then keeps a checkpoint."""

    def __init__(self, seconds: float) -> None:
        self._end_s = time.monotonic() + seconds
        self._done = self._total = 0.0

    def start(self, label: str, total: float) -> None:
        """A stage begins."""
        self._done, self._total = 0.0, total
        print(f"{label}: {total:g}", flush=True)

    def advance(self, steps: float = 1.0) -> None:
        """Steps are done; perhaps the time is over."""
        self._done += steps
        if time.monotonic() > self._end_s:
            print(f"time over at {self._done:g} of {self._total:g}", flush=True)
            raise KeyboardInterrupt

    def note(self, text: str) -> None:
        """Prints a line."""
        print(text, flush=True)


@dataclass
class Comparison:
    """The comparison under one setting, and what is known so far."""

    asked: argparse.Namespace
    space: Space
    found: dict[str, Any]

    @property
    def work(self) -> Path:
        """Folder for checkpoints."""
        return Path(self.asked.work)

    @property
    def setting(self) -> dict[str, Any]:
        """What the rows were made under."""
        asked = self.asked
        return {
            "space": self.space.to_json(),
            "n_architectures": self.space.n_architectures,
            "largest": asdict(counts_of(self.space, self.space.largest)),
            "reference": asdict(counts_of(reference_space(), reference_space().largest)),
            "device": "onnxruntime-cpu, 1 thread, batch 1, fp32",
            "search_epochs": asked.search_epochs,
            "epochs": asked.epochs,
            "images": asked.images or "all",
            "lr": LR,
        }

    def write(self, **rows: Any) -> None:  # noqa: ANN401 - any JSON value
        """Adds rows to the result file, beside what other parts wrote meanwhile."""
        self.found = figures_of(self.asked.label, "setting") | rows
        write_result(self.asked.label, {"setting": self.setting, **{key: self.found[key] for key in sorted(self.found)}})

    def data(self, seed: int = 0) -> Dataset:
        """CIFAR-10."""
        path = Path(self.asked.shared) / "data" / "cifar10-jpeg.zip"
        data = open_data(DataSpec(text=f"imagefolder:{path}", seed=seed))
        if not self.asked.images:
            return data
        # An evenly spread choice of the training part; the test part stays whole.
        return replace(data, train=data.train.first(self.asked.images))

    @property
    def reference_s(self) -> float:
        """Seconds of the reference, when the prices were made."""
        return float(json.loads((self.work / "prices.json").read_text())["reference_s"])

    def prices(self) -> Prices:
        """The prices that the first part wrote."""
        value = json.loads((self.work / "prices.json").read_text())
        tables = tuple(np.array(table) for table in value["tables"])
        return Prices(space=self.space, constant_s=value["constant_s"], tables=tables)

    def supernet(self) -> Supernet:
        """A supernet as drawn, with prices."""
        torch.manual_seed(0)
        net = Supernet(self.space)
        net.set_prices(self.prices())
        return net

    def plans(self) -> dict[str, ArchPlan]:
        """The winner and the random networks."""
        made = {f"random-{number}": plan for number, plan in enumerate(self.found["random"])}
        if "targets" in self.found:
            made |= {"winner": self.found["targets"][-1]["architecture"], "likeliest": self.found["likeliest"]}
        return {name: plan_of(blocks) for name, blocks in made.items()}


def part_device(job: Comparison) -> None:
    """Gets to know the device, once."""
    with LatencyDatabase(job.work / "latency.sqlite") as database:
        runtime, book = open_device(DeviceRequest(), database=database)
        print(overheads_of(runtime, book, database, progress=Watch(1e9)))


def part_prices(job: Comparison) -> None:
    """Prices of every choice, calibrated by the smallest and the largest network."""
    with LatencyDatabase(job.work / "latency.sqlite") as database:
        predicted = prices_on(job.space, DeviceRequest(), database=database, progress=Watch(1e9))
        bench = bench_of(job, database)
        plans = (job.space.smallest, job.space.largest)
        reference, samples = bench.measure(plans)
    prices = calibrated(predicted, [(predicted.latency_s(plan), sample.min_s) for plan, sample in zip(plans, samples, strict=True)])
    tables = [table.tolist() for table in prices.tables]
    write_json(job.work / "prices.json", {"constant_s": prices.constant_s, "tables": tables, "reference_s": reference.min_s})
    job.write(
        prices={
            "reference_s": reference.min_s,
            "predicted_range_s": list(predicted.range_s),
            "measured_range_s": [sample.min_s for sample in samples],
            "target_s": reference.min_s * TARGETS[-1],
        }
    )


def part_draw(job: Comparison) -> None:
    """Random networks at the target's latency; they need no search."""
    prices, rng = job.prices(), np.random.default_rng(0)
    drawn = [draw_in_window(prices, window_of(job), rng) for _ in range(N_RANDOM)]
    job.write(random=[[choice.to_json() for choice in plan.blocks] for plan in drawn])


def window_of(job: Comparison) -> Window:
    """Latencies that count as the target's."""
    target_s = job.reference_s * TARGETS[-1]
    return Window(least_s=target_s * 0.98, most_s=target_s)


def bench_of(job: Comparison, database: LatencyDatabase) -> Bench:
    """Measures networks beside the reference."""
    reference = reference_space()
    runtime = open_runtime(RuntimeSettings(device="onnxruntime-cpu"))
    return Bench(job.space, network_of(reference, reference.largest), runtime=runtime, database=database, progress=Watch(1e9))


def part_search(job: Comparison) -> None:
    """The search itself."""
    settings = SearchSettings(epochs=job.asked.search_epochs, whole=job.asked.whole)
    target_s = job.reference_s * TARGETS[-1]
    checkpoint = Checkpoint(path=job.work / "search.safetensors", resume=True)
    outcome = search(
        job.supernet(), job.data(), targets_s=(target_s,), settings=settings, checkpoint=checkpoint, progress=Watch(job.asked.seconds)
    )
    save_weights(outcome.net, job.work / "supernet.safetensors")
    row = {"images": job.asked.images or "all", "seconds": outcome.seconds, "settings": asdict(settings)}
    job.write(search=row | {"history": [asdict(record) for record in outcome.history]})


def part_choose(job: Comparison) -> None:
    """Networks for every target, measured and aimed again."""
    net, prices = job.supernet(), job.prices()
    load_weights(net, job.work / "supernet.safetensors")
    reference_s, rows = job.reference_s, []
    with LatencyDatabase(job.work / "latency.sqlite") as database:
        bench = bench_of(job, database)
        for share in TARGETS:
            target = LatencyTarget(ratio=share)
            hit = aim(
                lambda most_s: choose(net, prices, most_s),
                prices,
                target,
                measure=bench.measure,
                reference_s=reference_s,
                progress=Watch(1e9),
            )
            if share == TARGETS[-1]:
                likeliest = hit.plan
                refiner = Refiner(prices=prices, score=score_of(job, net), n=N_JUDGED, progress=Watch(1e9))
                refined = refiner.refined(hit, partial(shoot, prices=prices, target=target, measure=bench.measure, reference_s=reference_s))
                hit = refined.hit
            counts = counts_of(job.space, hit.plan)
            rows.append(
                {"target": share, "predicted_s": hit.predicted_s, "measured_s": hit.latency_s, "miss": hit.miss, "tries": hit.tries}
                | asdict(counts)
                | {"architecture": [choice.to_json() for choice in hit.plan.blocks]}
            )
    job.write(
        targets=rows,
        likeliest=[choice.to_json() for choice in likeliest.blocks],
        refined=refined.to_json(),
    )


def score_of(job: Comparison, net: Supernet) -> Score:
    """Accuracy with the supernet's weights on validation images."""
    data = job.data()
    return cache(inherited_score(net, data.train, data.validation))


def plan_of(blocks: Any) -> ArchPlan:  # noqa: ANN401 - what the result file holds
    """An architecture as the result file writes it."""
    return ArchPlan.from_json({"kind": "architecture", "blocks": blocks})


def part_inherited(job: Comparison) -> None:
    """What the supernet's weights say of networks, and how that goes with what training made of the random ones."""
    net = job.supernet()
    load_weights(net, job.work / "supernet.safetensors")
    job.write(inherited=judged(job, net))


def part_evenly(job: Comparison) -> None:
    """What the supernet's weights say of the networks that were trained, as the search left them and after even training."""
    net, data, prices = job.supernet(), job.data(), job.prices()
    load_weights(net, job.work / "supernet.safetensors")
    rows = {"as searched": judged(job, net)}
    window = window_of(job)
    optimizer, rng, loss_of = weight_optimizer(net, SearchSettings()), np.random.default_rng(5), cross_entropy(0.0)
    n_steps = round(job.asked.epochs * len(data.train))
    batches = chain.from_iterable(batches_of_epoch(data.train, 100 + epoch, start=0) for epoch in count())
    net.to(memory_format=torch.channels_last).train()
    for step, (images, target) in enumerate(islice(batches, n_steps)):
        for group in optimizer.param_groups:
            group["lr"] = one_cycle(step, n_steps, max_lr=EVEN_LR)
        steering = Steering(mode="given", values=values_of(net.space, draw_in_window(prices, window, rng)))
        with mixed_precision(net.thresholds.device, bf16=uses_bf16("auto", net.thresholds.device)):
            scores, _ = net(channels_last(images), steering)
        optimizer.zero_grad()
        loss_of(scores.float(), target).backward()
        optimizer.step()
    rows[f"after {job.asked.epochs:g} even epochs"] = judged(job, net.eval())
    job.write(judging=rows)


def judged(job: Comparison, net: Supernet) -> dict[str, Any]:
    """Scores by these weights, and how those of random networks go with test accuracies after either training."""
    score = score_of(job, net)
    scores = {name: score(plan) for name, plan in job.plans().items()}
    print(scores, flush=True)
    told: dict[str, Any] = {"scores": scores}
    for way in ("trained", "trained_inherited"):
        rows = job.found.get(way, {})
        drawn = [name for name in scores if name.startswith("random") and name in rows]
        if len(drawn) > 2:
            pairs = [[scores[name] for name in drawn], [rows[name]["accuracy"] for name in drawn]]
            told[f"random_{way}"] = {"networks": len(drawn), "correlation": float(np.corrcoef(pairs)[0, 1])}
    return told


def part_train(job: Comparison) -> None:
    """One network, from the start or from the supernet's weights, as all of them."""
    name, inherits = job.asked.network, job.asked.inherit
    seed = int(name.rpartition("-")[2]) if name.startswith(("winner", "likeliest")) else 0
    if name == "reference":
        space, plan = reference_space(), reference_space().largest
    else:
        space, plan = job.space, job.plans()[name if name.startswith("random") else name.rpartition("-")[0]]
    data = job.data(seed)
    model = started(job, plan, data) if inherits else drawn_anew(network_of(space, plan).model, seed)
    data = replace(data, validation=data.validation.first(500))  # looked at after every epoch; nothing is decided by it
    kept = f"{name}-inherited" if inherits else name
    checkpoint = Checkpoint(path=job.work / f"{kept}.safetensors", resume=True)
    config = FineTune(epochs=job.asked.epochs, lr=LR, seed=seed)
    goal = Goal(gate=untimed)
    tuned = fine_tune(model, data, config=config, goal=goal, checkpoint=checkpoint, progress=Watch(job.asked.seconds))
    row = {
        "accuracy": accuracy(tuned.model, data.test),
        "accuracy_validation": tuned.accuracy_validation,
        "seconds": tuned.seconds,
        **asdict(counts_of(space, plan)),
    }
    save_weights(tuned.model, job.work / f"{kept}-trained.safetensors")
    way = "trained_inherited" if inherits else "trained"
    rows = {**figures_of(job.asked.label, "setting").get(way, {}), name: row}
    job.write(**{way: rows, f"verdict_{way}": verdict(rows)})


def started(job: Comparison, plan: ArchPlan, data: Dataset) -> nn.Module:
    """A network with the supernet's weights."""
    net = job.supernet()
    load_weights(net, job.work / "supernet.safetensors")
    return at_training_scale(inherited(net, plan, data.train))


def drawn_anew(model: nn.Module, seed: int) -> nn.Module:
    """A network with weights drawn by a seed; those of seed 0 are its own."""
    torch.manual_seed(seed)
    for module in model.modules() if seed else ():
        if hasattr(module, "reset_parameters"):
            module.reset_parameters()
    return model


def verdict(rows: Mapping[str, Any]) -> dict[str, Any] | None:
    """Winner against reference and against chance, as far as networks are trained."""
    drawn = [one["accuracy"] for key, one in rows.items() if key.startswith("random")]
    winners = [one["accuracy"] for key, one in rows.items() if key.startswith("winner")]
    if len(drawn) < 2 or not winners:
        return None
    mean, deviation = statistics.mean(drawn), statistics.stdev(drawn)
    return {
        "winner_mean": statistics.mean(winners),
        "winner_seeds": len(winners),
        "random_mean": mean,
        "random_deviation": deviation,
        "random_networks": len(drawn),
        "deviations_above": (statistics.mean(winners) - mean) / deviation if deviation else None,
        "reference": rows.get("reference", {}).get("accuracy"),
    }


def part_measure(job: Comparison) -> None:
    """Every network interleaved with the reference, after training where it was trained."""
    rows: dict[str, Any] = {}
    plans = {f"target-{row['target']:g}": row["architecture"] for row in job.found["targets"]}
    named = {name: plan_of(blocks) for name, blocks in plans.items()}
    named |= {name: plan for name, plan in job.plans().items() if name != "winner"}
    with LatencyDatabase(job.work / "latency.sqlite") as database:
        reference, samples = bench_of(job, database).measure(list(named.values()))
    for name, sample in zip(named, samples, strict=True):
        rows[name] = {"min_s": sample.min_s, "median_s": sample.latency_s, "ratio": sample.min_s / reference.min_s, "noisy": sample.noisy}
    rows["reference"] = {"min_s": reference.min_s, "median_s": reference.latency_s, "ratio": 1.0, "noisy": reference.noisy}
    misses = {f"{share:g}": rows[f"target-{share:g}"]["ratio"] / share - 1 for share in TARGETS}
    job.write(measured=rows, misses=misses)


PARTS = {
    "device": part_device,
    "prices": part_prices,
    "draw": part_draw,
    "search": part_search,
    "choose": part_choose,
    "inherited": part_inherited,
    "train": part_train,
    "measure": part_measure,
    "evenly": part_evenly,
}


def main() -> int:
    """Does one part; 75 where it is to be called again."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("part", choices=PARTS)
    arguments.add_argument("--shared", default="../shared")
    arguments.add_argument("--work", required=True, help="folder for checkpoints")
    arguments.add_argument("--label", default="search-accuracy", help="name of the result file")
    arguments.add_argument("--space", default="cifar")
    arguments.add_argument("--network", default="reference")
    arguments.add_argument("--epochs", type=float, default=10.0)
    arguments.add_argument("--inherit", action="store_true", help="train from the supernet's weights")
    arguments.add_argument("--whole", type=float, default=0.5, help="share of the exploring steps in which all is open")
    arguments.add_argument("--search-epochs", type=float, default=8.0)
    arguments.add_argument("--images", type=int, default=0, help="training images; 0 for all")
    arguments.add_argument("--seconds", type=float, default=1e9, help="then stop, to go on with the next call")
    asked = arguments.parse_args()
    Path(asked.work).mkdir(parents=True, exist_ok=True)
    job = Comparison(asked=asked, space=load_space(asked.space), found=figures_of(asked.label, "setting"))
    try:
        PARTS[asked.part](job)
    except KeyboardInterrupt:
        return 75
    return 0


if __name__ == "__main__":
    sys.exit(main())
