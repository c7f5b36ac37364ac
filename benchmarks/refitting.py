"""What choosing channels by their readers, and refitting these, saves before and after a short training.

All free widths of a trained network are cut to a share. Channels are chosen by Taylor importance or by what their
readers lose without them (``obs``), and the readers keep their weights or are refitted on 512 training images. All four
get their batch norms recalibrated, then the same short fine-tuning, and are judged on test images before and after.

    python benchmarks/refitting.py resnet20 --data imagefolder:cifar10.zip --weights resnet20.safetensors

Rows that are there already are kept: called for one network after the other, the file gathers them.
"""

import argparse
import sys
import time
from itertools import product
from pathlib import Path
from typing import Any

from result_files import read_result, write_result
from torch import nn
from torch.nn import functional

from edgewise.recipes.refitting import Refitter
from edgewise.recipes.runs import load_model
from edgewise.recipes.training import Lessons, first_batches
from edgewise.trace import apply_plan, choose_channels, score_channels, trace
from edgewise.train.batches import first_images
from edgewise.train.calibrate import recalibrate_batch_norm
from edgewise.train.data import Dataset, DataSpec, open_data
from edgewise.train.evaluate import accuracy
from edgewise.train.loop import FineTune, fine_tune

_QUESTION = "refitting"
_LR = 0.01
"""Of a short training: the usual 0.05 undoes more of a refitted network than a third of an epoch mends."""


def judged(model: nn.Module, data: Dataset, *, epochs: float, n_images: int) -> dict[str, Any]:
    """Accuracy with batch norms recalibrated, and after so much training."""
    test = first_images(data.test, n_images)
    recalibrate_batch_norm(model, data.train)
    found = {"accuracy_untrained": accuracy(model, test)}
    if epochs > 0:
        tuned = fine_tune(model, data, config=FineTune(epochs=epochs, lr=_LR))
        found |= {"accuracy_trained": accuracy(tuned.model, test), "kept": tuned.kept}
    return found


def main() -> None:
    """Judges one network at every share."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("network")
    parser.add_argument("--data", required=True)
    parser.add_argument("--weights", type=Path, required=True)
    parser.add_argument("--shares", default="0.75,0.5")
    parser.add_argument("--epochs", type=float, default=0.3, help="of the training; 0 to train nothing")
    parser.add_argument("--images", type=int, default=10_000, help="test images")
    arguments = parser.parse_args()
    loaded, data = load_model(arguments.network, weights=arguments.weights), open_data(DataSpec(text=arguments.data))
    lessons = Lessons(batches=first_batches(data.train), loss=functional.cross_entropy)
    traced = trace(loaded.model, loaded.inputs(), name=loaded.name)
    refitter = Refitter(loaded.model, traced, lessons)
    taylor = score_channels(loaded.model, traced, kind="taylor", batches=[(x, y) for x, y in lessons.batches], loss=lessons.loss)
    scores = {"taylor": taylor, "obs": {**taylor, **refitter.scores()}}
    settings = {"epochs": arguments.epochs, "lr": _LR, "images": arguments.images}
    rows: list[dict[str, Any]] = (read_result(_QUESTION) or {}).get("rows", [])
    dense = accuracy(loaded.model, first_images(data.test, arguments.images))
    shares = map(float, arguments.shares.split(","))
    for share, importance, refitted in product(shares, ("taylor", "obs"), (False, True)):
        wanted = {tie.name: max(1, round(share * tie.width)) for tie in traced.net.ties if tie.free}
        plan = choose_channels(traced, wanted, scores[importance])
        model = apply_plan(loaded.model, plan, traced)
        start_s = time.monotonic()
        layers = refitter.refit(model, plan) if refitted else ()
        key = {"network": loaded.name, "share": share, "importance": importance, "refitted": refitted, **settings}
        row = {**key, "layers_refitted": len(layers), "refitting_s": time.monotonic() - start_s, "accuracy_before": dense}
        row |= judged(model, data, epochs=arguments.epochs, n_images=arguments.images)
        rows = [*(one for one in rows if {name: one[name] for name in key} != key), row]
        write_result(_QUESTION, {"rows": rows})
        sys.stdout.write(f"{row}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
