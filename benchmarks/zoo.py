"""Which convolutional networks of timm and torchvision can be traced and cut, and how exactly.

For the smallest model of each of timm's model files and for each of torchvision's families:
trace it (random weights, a small input where it allows one), halve every free width, run the
result, and compare it with the whole network whose removed units are silenced. Writes
``benchmarks/results/zoo-DATE.json`` and ``docs/zoo.md``::

    python benchmarks/zoo.py                   everything, continuing where it stopped
    python benchmarks/zoo.py --seconds 100     stop starting models after that time
    python benchmarks/zoo.py --only res2net    some families, anew
    python benchmarks/zoo.py --table           the table from the last results
"""

import argparse
import datetime
import json
import platform
import re
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.utils._pytree import tree_leaves

from edgewise._core.errors import EdgewiseError
from edgewise._core.files import write_json, write_text
from edgewise.ir import TiePlan, WidthPlan
from edgewise.trace import Traced, apply_plan, trace
from edgewise.trace.trials import Trial, close, silenced, stand_in

ROOT = Path(__file__).resolve().parents[1]
SMALL_SIZES = (96, 128, 224)
"""Image sizes tried before a model's own."""
TORCHVISION = {
    "classification": (
        "alexnet convnext_tiny densenet121 efficientnet_b0 efficientnet_v2_s googlenet inception_v3 maxvit_t mnasnet0_5 mobilenet_v2 "
        "mobilenet_v3_small regnet_x_400mf regnet_y_400mf resnet18 resnext50_32x4d shufflenet_v2_x0_5 squeezenet1_1 swin_t vgg11_bn "
        "vit_b_16 wide_resnet50_2"
    ),
    "segmentation": "lraspp_mobilenet_v3_large deeplabv3_mobilenet_v3_large fcn_resnet50",
    "detection": "ssdlite320_mobilenet_v3_large fasterrcnn_mobilenet_v3_large_320_fpn retinanet_resnet50_fpn",
    "video": "r3d_18",
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Entry:
    """A model of the zoo: where it comes from, and how it is built with a given image size (None: its own)."""

    library: str
    family: str
    model: str
    build: Callable[[int | None], tuple[nn.Module, tuple[Tensor, ...]]]


class OneImage(nn.Module):
    """A detector called with one image tensor instead of a list."""

    def __init__(self, detector: nn.Module) -> None:
        """Keeps the detector."""
        super().__init__()
        self.detector = detector

    def forward(self, images: Tensor) -> Any:  # noqa: ANN401 - boxes, labels and scores
        """What the detector finds in the first image."""
        return self.detector([images[0]])


def timm_entries(known: Mapping[str, str]) -> Iterator[Entry]:
    """The smallest model of each of timm's model files that has a convolution; ``known`` ones are not searched again."""
    import timm

    folder = Path(timm.__file__).parent / "models"
    for file in sorted(folder.glob("[a-z]*.py")):
        names = [name for name in timm.list_models(module=file.stem) if not name.startswith("test_")]
        smallest = known.get(file.stem) or _smallest(timm, names)
        if smallest is not None:
            yield Entry(library="timm", family=file.stem, model=smallest, build=lambda size, name=smallest: _build_timm(timm, name, size))


def _smallest(timm: Any, names: list[str]) -> str | None:  # noqa: ANN401 - a module
    """The model with the fewest parameters among those whose names promise few."""
    hints = r"zepto|atto|femto|pico|nano|xxs|xxt|tiny|small|lite|mini|_xs|_s\b|_t\b|_0|050|035|10|14|18|26|b0|a0|s0|m0|t0|t2"
    likely = sorted(names, key=lambda name: (-len(re.findall(hints, name)), len(name)))[:6]
    sizes, built = {}, False
    for name in likely:
        with warnings.catch_warnings(), torch.device("meta"):
            warnings.simplefilter("ignore")
            try:
                model = timm.create_model(name)
            except Exception:  # a builder may need real tensors; another model of the file will do
                continue
        built = True
        if any(isinstance(module, nn.Conv1d | nn.Conv2d | nn.Conv3d) for module in model.modules()):
            sizes[name] = sum(tensor.numel() for tensor in model.parameters())
    if sizes:
        return min(sizes, key=sizes.__getitem__)
    return likely[0] if likely and not built else None


def _build_timm(timm: Any, name: str, size: int | None) -> tuple[nn.Module, tuple[Tensor, ...]]:  # noqa: ANN401 - a module
    model = timm.create_model(name).eval()
    shape = list(model.default_cfg.get("input_size", (3, 224, 224)))
    if size is not None:
        shape[-2:] = [size, size]
    return model, (torch.randn(1, *shape, generator=torch.Generator().manual_seed(0)),)


def torchvision_entries() -> Iterator[Entry]:
    """One model of each of torchvision's families."""
    for task, names in TORCHVISION.items():
        for name in names.split():
            yield Entry(
                library="torchvision", family=task, model=name, build=lambda size, name=name, task=task: _build_vision(name, task, size)
            )


def _build_vision(name: str, task: str, size: int | None) -> tuple[nn.Module, tuple[Tensor, ...]]:
    import torchvision

    extra = {"init_weights": False} if name in ("googlenet", "inception_v3") else {}
    weights = {"weights_backbone": None} if task in ("segmentation", "detection") else {}
    model = torchvision.models.get_model(name, weights=None, **weights, **extra).eval()
    generator = torch.Generator().manual_seed(0)
    if task == "video":
        return model, (torch.randn(1, 3, 8, 64, 64, generator=generator),)
    images = torch.rand(1, 3, size or 224, size or 224, generator=generator)
    return (OneImage(model) if task == "detection" else model), (images,)


def examine(entry: Entry) -> dict[str, Any]:
    """One row of the table."""
    row: dict[str, Any] = {"library": entry.library, "family": entry.family, "model": entry.model, "error": None}
    try:
        model, inputs = _smallest_input(entry)
    except Exception as error:  # the library's own fault: told in the table
        return row | {"error": f"does not run: {type(error).__name__}: {' '.join(str(error).split())[:160]}"}
    started = time.perf_counter()
    try:
        traced = trace(model, inputs, name=entry.model)
    except EdgewiseError as error:
        return row | {"error": str(error)[:200], "input": list(inputs[0].shape)}
    row |= {"input": list(inputs[0].shape), "trace_s": round(time.perf_counter() - started, 2)}
    return row | _counts(model, inputs, traced) | _halved(model, inputs, traced)


def _smallest_input(entry: Entry) -> tuple[nn.Module, tuple[Tensor, ...]]:
    for size in SMALL_SIZES:
        model, inputs = entry.build(size)
        try:
            with torch.no_grad():
                model(*inputs)
        except Exception:  # too small for this one
            continue
        return model, inputs
    model, inputs = entry.build(None)
    with torch.no_grad():
        model(*inputs)
    return model, inputs


def _counts(model: nn.Module, inputs: tuple[Tensor, ...], traced: Traced) -> dict[str, Any]:
    net = traced.net
    conv_ties = {tie for layer in net.layers if layer.op.startswith("conv") for tie in layer.out_dim.ties}
    ties = [tie for tie in net.ties if tie.name in conv_ties]
    reasons = sorted({tie.reason for tie in ties if not tie.free})
    return {
        "ties": len(net.ties),
        "ties_of_convolutions": len(ties),
        "free": sum(tie.free for tie in ties),
        "growable": sum(tie.growable for tie in ties),
        "free_of_all": sum(tie.free for tie in net.ties),
        "macs": net.macs,
        "macs_by_hooks": hooked_macs(model, inputs),
        "params": net.params,
        "params_of_module": sum(tensor.numel() for tensor in model.parameters()),
        "reasons": reasons,
    }


def hooked_macs(model: nn.Module, inputs: tuple[Tensor, ...]) -> int:
    """Multiply-accumulates counted another way: by hooks on torch's own layer classes."""
    total = 0

    def count(module: nn.Module, _inputs: Any, output: Tensor) -> None:  # noqa: ANN401 - whatever a module takes
        nonlocal total
        weight = module.weight
        if isinstance(module, nn.Linear):
            total += output.numel() // output.shape[-1] * weight.numel()
        elif isinstance(module, nn.ConvTranspose2d):
            total += _inputs[0][0, 0].numel() * weight.numel()
        else:
            total += output[0, 0].numel() * weight.numel() * output.shape[0]

    kinds = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.ConvTranspose2d)
    hooks = [module.register_forward_hook(count) for module in model.modules() if isinstance(module, kinds)]
    with torch.no_grad():
        model(*inputs)
    for hook in hooks:
        hook.remove()
    return total


def _halved(model: nn.Module, inputs: tuple[Tensor, ...], traced: Traced) -> dict[str, Any]:
    """Half of every free width removed: does it run, is it as predicted, and is it exact?"""
    free = [tie for tie in traced.net.ties if tie.free and tie.width > 1]
    if not free:
        return {"halved": "nothing to cut", "exact": None}
    rng = np.random.default_rng(0)
    keep = {tie.name: tuple(sorted(rng.choice(tie.width, size=tie.width - tie.width // 2, replace=False).tolist())) for tie in free}
    plan = WidthPlan(ties=tuple(TiePlan(tie=name, keep=kept) for name, kept in keep.items()))
    other = stand_in(model, inputs).eval()
    try:
        halved = apply_plan(other, plan, traced).eval()
        with torch.no_grad():
            halved(*inputs)
        after = trace(halved, inputs, verify=False).net
    except Exception as error:  # surgery that fails is the finding
        return {"halved": f"fails: {type(error).__name__}: {' '.join(str(error).split())[:160]}", "exact": False}
    predicted = traced.net.with_widths(plan.widths)
    agrees = (after.macs, after.params) == (predicted.macs, predicted.params)
    verdict = {
        "halved": "as predicted" if agrees else "other counts than predicted",
        "macs_halved": after.macs,
        "params_halved": after.params,
    }
    return verdict | {"exact": _is_exact(other, inputs, traced, rng)}


def _is_exact(other: nn.Module, inputs: tuple[Tensor, ...], traced: Traced, rng: np.random.Generator) -> bool | None:
    """Halved ties that nothing averages across, against the whole network with those units silenced."""
    exact = [tie for tie in traced.net.ties if tie.free and tie.growable and tie.width > 1]
    if not exact:
        return None
    plans = [
        TiePlan(tie=tie.name, keep=tuple(sorted(rng.choice(tie.width, size=(tie.width + 1) // 2, replace=False).tolist()))) for tie in exact
    ]
    trial = Trial(plan=WidthPlan(ties=tuple(plans)), grows=False, exact=True)
    changed, weights = apply_plan(other, trial.plan, traced).eval(), silenced(other, trial, traced)
    if isinstance(other, OneImage):  # boxes are sorted by score, which rounding upsets: compare what they are made from
        fixed = [layer.name for layer in traced.net.layers if layer.op == "conv2d" and not set(layer.out_dim.ties) & set(plan_ties(trial))]
        expected = watched(other, fixed, lambda: functional_call(other, weights, inputs))
        return _all_close(expected, watched(changed, fixed, lambda: changed(*inputs)))
    with torch.no_grad():
        return _all_close(functional_call(other, weights, inputs), changed(*inputs))


def plan_ties(trial: Trial) -> list[str]:
    """The ties that a trial changes."""
    return [tie_plan.tie for tie_plan in trial.plan.ties]


def watched(model: nn.Module, names: list[str], run: Callable[[], Any]) -> list[Tensor]:
    """What the named modules return while the network runs, in order."""
    seen: list[Tensor] = []
    modules = dict(model.named_modules())
    hooks = [modules[name].register_forward_hook(lambda _module, _inputs, output: seen.append(output)) for name in names if name in modules]
    with torch.no_grad():
        run()
    for hook in hooks:
        hook.remove()
    return seen


def _all_close(expected: Any, found: Any) -> bool:  # noqa: ANN401 - whatever networks return
    pairs = zip(tree_leaves(expected), tree_leaves(found), strict=True)
    return all(close(first, second) for first, second in pairs if isinstance(first, Tensor))


def render(rows: list[dict[str, Any]], provenance: dict[str, str]) -> str:
    """The table as Markdown."""
    exact = sum(row.get("exact") is True for row in rows)
    ran = [row for row in rows if not row["error"]]
    cut = [row for row in ran if row.get("halved") == "as predicted"]
    lines = [
        "# What can be traced and cut",
        "",
        "Made by `benchmarks/zoo.py`; do not edit. The smallest model of each model file of timm that has a convolution,",
        "and of each family of torchvision; random weights, the smallest of 96, 128, 224 pixels or its own size that it runs on.",
        "",
        f"{len(rows)} families: {len(ran)} traced, {len(cut)} halve as predicted, {exact} of these exactly.",
        "",
        "*ties*: sets of channels of convolutions that change together; *free*: may shrink; *growable*: may also grow",
        "without changing the function. *halved*: half of every free width was removed, and the result has the",
        "multiply-accumulates and parameters predicted. *exact*: with half of all growable widths removed the output equals",
        "that of the whole network with those units silenced, to rounding (a dash: no such width; what is read across channels",
        "by a norm, softmax or mean cannot be compared). *MACs*: our count over that by hooks on torch's own layers",
        "(layers that a model calls as functions are in our count only).",
        "",
        "| library | family | model | input | ties | free | growable | MACs | halved | exact | left alone because |",
        "|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    lines.extend(_line(row) for row in rows)
    return "\n".join([*lines, "", ", ".join(f"{key} {value}" for key, value in provenance.items()), ""])


def _line(row: dict[str, Any]) -> str:
    if row["error"]:
        return f"| {row['library']} | {row['family']} | {row['model']} | | | | | | | | {row['error']} |"
    share = row["macs"] / row["macs_by_hooks"] if row["macs_by_hooks"] else float("nan")
    size = "x".join(map(str, row["input"][2:]))
    exact = {True: "yes", False: "**no**", None: "-"}[row["exact"]]
    reasons = "; ".join(reason for reason in row["reasons"][:3]).replace("|", "/") + ("; ..." if len(row["reasons"]) > 3 else "")
    cells = (row["library"], row["family"], row["model"], size, row["ties_of_convolutions"], row["free"], row["growable"])
    return "| " + " | ".join(map(str, cells)) + f" | {share:.3f} | {row['halved']} | {exact} | {reasons} |"


def main() -> None:
    """Examines what is missing and writes the results."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--seconds", type=float, default=float("inf"), help="start no further model after that time")
    parser.add_argument("--only", default="", help="families or models to examine anew, separated by commas")
    parser.add_argument("--library", default="", help="timm or torchvision")
    parser.add_argument("--table", action="store_true", help="only write the table")
    parser.add_argument("--date", default=str(datetime.date.today()))
    options = parser.parse_args()
    target = ROOT / "benchmarks" / "results" / f"zoo-{options.date}.json"
    held = json.loads(target.read_text()) if target.exists() else {"rows": []}
    rows = {(row["library"], row["family"], row["model"]): row for row in held["rows"]}
    if not options.table:
        _fill(rows, options, target)
    write_text(ROOT / "docs" / "zoo.md", render(_sorted(rows), _provenance()))


def _fill(rows: dict[tuple[str, str, str], dict[str, Any]], options: argparse.Namespace, target: Path) -> None:
    started = time.perf_counter()
    only = set(filter(None, options.only.split(",")))
    warnings.simplefilter("ignore")
    known = {family: model for library, family, model in rows if library == "timm"}
    for entry in _entries(options.library, known):
        key = (entry.library, entry.family, entry.model)
        wanted = bool(only & {entry.family, entry.model}) if only else key not in rows
        if not wanted:
            continue
        if time.perf_counter() - started > options.seconds:
            print("time is up; run again to go on")
            raise SystemExit(3)
        begun = time.perf_counter()
        rows[key] = examine(entry)
        row = rows[key]
        print(
            f"{entry.library}:{entry.model} {time.perf_counter() - begun:.1f}s",
            row["error"] or [row[name] for name in ("free", "growable", "halved", "exact")],
        )
        write_json(target, {"provenance": _provenance(), "rows": _sorted(rows)})


def _entries(library: str, known: Mapping[str, str]) -> Iterator[Entry]:
    if library in ("", "torchvision"):
        yield from torchvision_entries()
    if library in ("", "timm"):
        yield from timm_entries(known)


def _sorted(rows: dict[tuple[str, str, str], dict[str, Any]]) -> list[dict[str, Any]]:
    return [rows[key] for key in sorted(rows)]


def _provenance() -> dict[str, str]:
    from importlib.metadata import version

    names = ("torch", "torchvision", "timm")
    return {name: version(name) for name in names} | {"python": platform.python_version(), "date": str(datetime.date.today())}


if __name__ == "__main__":
    main()
