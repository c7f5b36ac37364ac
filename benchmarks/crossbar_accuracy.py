"""Accuracy of VGG16 and ResNet-56 on an ISAAC-like chip: programming noise, pruning, both modes, noise-aware tuning.

Everything is done in pieces, of which each call does as many as fit a time; a killed call loses one piece.

    python benchmarks/crossbar_accuracy.py vgg16 --shared ../shared --work WORK --seconds 50

Weights and data are those of the folder ``shared``. Trained weights between pieces lie in ``WORK``. The result file
holds the accuracies of every chip and the settings.
"""

import argparse
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from result_files import figures_of, write_result
from torch import nn
from torch.nn import functional as F

from edgewise.cost.chip.reading import load_chip
from edgewise.crossbar import AnalogSettings, CellNoise, Deployed, deploy
from edgewise.crossbar.monte_carlo import ChipAccuracy, accuracy_on_chip
from edgewise.crossbar.tuning import TuneSettings, tune
from edgewise.dynamic import gated, place_gates
from edgewise.ir.gates import GatePlan
from edgewise.models.weights import save_weights
from edgewise.recipes.runs import load_model
from edgewise.trace import trace
from edgewise.train.data import Dataset, DataSpec, open_data
from edgewise.train.evaluate import accuracy

N_CHIPS, N_IMAGES, N_BITWISE, PIECE_IMAGES = 5, 1000, 200, 20
NOISES = (0.0, 0.02, 0.05)
RATIOS = {"vgg16": (0.2, 0.2, 0.6, 0.9, 0.9), "resnet56": (0.3, 0.3, 0.6)}
TUNED_NOISE = {"vgg16": 0.1, "resnet56": 0.05}
MASKED_STEPS = {"vgg16": 320, "resnet56": 160}
TUNING = {
    "vgg16": TuneSettings(steps=40, lr=0.002),
    "resnet56": TuneSettings(steps=160, lr=0.01, clip_sigma=2.5, largest_gradient=0.0),
}
BATCH, STEPS_A_PIECE = 64, 20


@dataclass
class Bench:
    """One network with its data, and what is known so far."""

    name: str
    shared: Path
    work: Path
    data: Dataset
    found: dict[str, Any]

    def model(self, weights: Path | None = None) -> nn.Module:
        """The network with the given weights, or those of the shared folder."""
        return load_model(self.name, weights=weights or self.shared / "models" / f"{self.name}.safetensors").model

    def plan(self, share: float = 1.0) -> GatePlan:
        """The gates at a share of their ratios."""
        loaded = load_model(self.name)
        net = trace(loaded.model, loaded.inputs(), name=self.name, verify=False).net
        return place_gates(net, channel_ratios=tuple(share * ratio for ratio in RATIOS[self.name]))

    def test(self, count: int, start: int = 0, stop: int | None = None) -> list[Any]:
        """Test images, an even choice of ``count``, in batches of 50."""
        part = self.data.test.first(count)
        positions = part.positions[start:stop]
        return list(replace(part, positions=positions, batch_size=50))

    def images(self, start: int, stop: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Some of the images that both modes are compared on, and their classes."""
        batches = self.test(N_BITWISE, start, stop)
        return torch.cat([batch[0] for batch in batches]), torch.cat([batch[1] for batch in batches])

    def calibration(self) -> list[Any]:
        """Images of the validation part."""
        return list(replace(self.data.validation.first(128), batch_size=64))

    def train(self, start: int) -> Iterator[Any]:
        """Training batches from a step on."""
        return replace(self.data.train, batch_size=BATCH).epoch(0, start=start)

    def save(self) -> None:
        """Writes the result file."""
        write_result(f"crossbar-accuracy-{self.name}", self.found)


def masked_around(plan: GatePlan | None) -> Callable[[nn.Module], AbstractContextManager[Any]]:
    """Gates at work, or nothing."""
    return (lambda model: nullcontext(model)) if plan is None else (lambda model: gated(model, plan))


def settings_of(noise: float, *, mode: str = "folded") -> AnalogSettings:
    """ISAAC's arrays with programming noise."""
    return AnalogSettings.of_chip(load_chip("isaac"), mode=mode, noise=CellNoise(programming=noise))


def masked_training(bench: Bench) -> Iterator[str]:
    """Fine-tunes the pruned network, its ratios rising over the first half of the steps."""
    path, record = bench.work / f"{bench.name}-masked.safetensors", bench.found.setdefault("masked_training", {"steps": 0})
    total = MASKED_STEPS[bench.name]
    while record["steps"] < total:
        model = bench.model(path if path.exists() else None).train()
        optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9, weight_decay=5e-4, nesterov=True)
        share = min(1.0, (record["steps"] + STEPS_A_PIECE) / (0.5 * total))
        with gated(model, bench.plan(share)):
            for place, (images, classes) in enumerate(islice(bench.train(record["steps"]), STEPS_A_PIECE)):
                for group in optimizer.param_groups:
                    group["lr"] = 0.01 * (1 - (record["steps"] + place) / total)
                optimizer.zero_grad()
                F.cross_entropy(model(images), classes).backward()
                optimizer.step()
        save_weights(model, path)
        record.update(steps=record["steps"] + STEPS_A_PIECE, batch=BATCH, lr=0.01, ratios=list(RATIOS[bench.name]))
        yield f"masked training {record['steps']}/{total}"


def tuning(bench: Bench) -> Iterator[str]:
    """Fine-tunes the dense network under noise."""
    noise, config = TUNED_NOISE[bench.name], TUNING[bench.name]
    total = config.steps
    path, record = bench.work / f"{bench.name}-tuned.safetensors", bench.found.setdefault("tuning", {"steps": 0})
    while record["steps"] < total:
        model = bench.model(path if path.exists() else None)
        deployed = deploy(model, settings_of(noise), bench.calibration())
        tuned = tune(deployed, islice(bench.train(record["steps"]), STEPS_A_PIECE), settings=config, start=record["steps"])
        save_weights(_as_plain(model, tuned), path)
        record.update(steps=record["steps"] + STEPS_A_PIECE, batch=BATCH, noise=noise)
        record.update({name: getattr(config, name) for name in ("lr", "clip_sigma", "largest_gradient")})
        yield f"tuning {record['steps']}/{total}"


def _as_plain(model: nn.Module, deployed: Deployed) -> nn.Module:
    """The network itself with the weights of its deployed copy: their names are the same."""
    model.load_state_dict(deployed.model.state_dict())
    return model


def accuracies(bench: Bench) -> Iterator[str]:
    """Every variant on every chip."""
    masked, tuned = (bench.work / f"{bench.name}-{kind}.safetensors" for kind in ("masked", "tuned"))
    tuned_noise = TUNED_NOISE[bench.name]
    variants: list[tuple[str, Path | None, GatePlan | None, tuple[float, ...]]] = [
        ("dense", None, None, (*NOISES, *(() if tuned_noise in NOISES else (tuned_noise,)))),
        ("pruned, not trained for it", None, bench.plan(), ()),
        ("pruned, trained for it", masked, bench.plan(), NOISES),
        ("dense, tuned under noise", tuned, None, (tuned_noise,)),
    ]
    done = bench.found.get("tuning", {}).get("steps") == TUNING[bench.name].steps
    for title, weights, plan, noises in variants if done else variants[:-1]:
        row = bench.found.setdefault("variants", {}).setdefault(title, {"chips": {}})
        around = masked_around(plan)
        if "digital" not in row:
            model = bench.model(weights)
            with around(model):
                row["digital"] = accuracy(model, bench.test(N_IMAGES))
            yield f"{title}: digital {row['digital']:.3f}"
        for noise in noises:
            chips = row["chips"].setdefault(f"{noise:g}", [])
            n_chips = N_CHIPS if noise else 1
            while len(chips) < n_chips:
                deployed = deploy(bench.model(weights), settings_of(noise), bench.calibration(), around=around)
                chips.append(accuracy_on_chip(deployed, bench.test(N_IMAGES), chip=len(chips), around=around))
                found = ChipAccuracy(chips=tuple(chips))
                row.setdefault("summary", {})[f"{noise:g}"] = {"mean": found.mean, "ci95": found.ci95}
                yield f"{title}, noise {noise:g}, chip {len(chips)}: {chips[-1]:.3f}"


def both_modes(bench: Bench) -> Iterator[str]:
    """The same cells, digitally, folded and bit by bit, on fewer images: what each guesses, a digit an image."""
    for noise in NOISES[1:]:
        modes = bench.found.setdefault("modes", {})
        if "classes" not in modes.get(f"{noise:g}", {}):  # not begun, or counted by an earlier edition of this file
            modes[f"{noise:g}"] = {"classes": "", "digital": "", "bitwise": "", "folded": ""}
        row = modes[f"{noise:g}"]
        for mode in ("digital", "bitwise", "folded"):
            while len(row[mode]) < N_BITWISE:
                images, classes = bench.images(len(row[mode]), len(row[mode]) + PIECE_IMAGES)
                row["classes"] += _digits(classes) if mode == "digital" else ""
                row[mode] += _digits(_guesses(bench, images, mode=mode, noise=noise))
                row["right"] = {one: _same(row[one], row["classes"]) for one in ("digital", "bitwise", "folded")}
                row["agree"] = _same(row["folded"], row["bitwise"])
                yield f"modes, noise {noise:g}, {mode}: {len(row[mode])} images, {row['right']}, {row['agree']} alike"


def _guesses(bench: Bench, images: torch.Tensor, *, mode: str, noise: float) -> torch.Tensor:
    model = bench.model()
    if mode != "digital":
        deployed = deploy(model, settings_of(noise, mode=mode), bench.calibration()[:1])
        deployed.program(0, 0)
        model = deployed.model
    with torch.no_grad():
        return model(images).argmax(1)


def _digits(classes: torch.Tensor) -> str:
    return "".join(str(number) for number in classes.tolist())


def _same(some: str, others: str) -> int:
    return sum(one == other for one, other in zip(some, others, strict=False))


STAGES = {"tuning": tuning, "masked": masked_training, "accuracies": accuracies, "modes": both_modes}


def main() -> None:
    """Does as many pieces as fit the time."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("network", choices=sorted(RATIOS))
    parser.add_argument("--shared", type=Path, default=Path("../shared"))
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--seconds", type=float, default=50.0)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--stages", default=",".join(STAGES), help="which of them, in this order")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    start_s = time.monotonic()
    data = open_data(DataSpec(text=f"imagefolder:{arguments.shared / 'data' / 'cifar10-jpeg.zip'}"))
    found = figures_of(f"crossbar-accuracy-{arguments.network}")
    bench = Bench(name=arguments.network, shared=arguments.shared, work=arguments.work, data=data, found=found)
    bench.found["settings"] = {
        "chip": "isaac",
        "images": N_IMAGES,
        "chips": N_CHIPS,
        "noise": "programming, proportional to the conductance",
    }
    for stage in arguments.stages.split(","):
        for news in STAGES[stage](bench):
            bench.save()
            sys.stdout.write(f"{bench.name}: {news}\n")
            sys.stdout.flush()
            if time.monotonic() - start_s > arguments.seconds:
                return
    sys.stdout.write(f"{bench.name}: finished\n")


if __name__ == "__main__":
    main()
