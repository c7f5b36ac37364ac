"""The command ``explore``."""

from pathlib import Path
from typing import Annotated

import typer

from edgewise._core.errors import UsageError
from edgewise._core.units import LatencyTarget, parse_latency, parse_ratio
from edgewise.cli import options as opt
from edgewise.cli.output import Value, check_destination, show
from edgewise.cli.progress import watch
from edgewise.recipes.explore.request import EPOCHS, LATENCIES, STRENGTHS, ExploreRequest, parse_duration
from edgewise.recipes.requests import LEARNING_RATE, DeviceRequest, ModelRequest

_LATENCIES = ",".join(map(str, LATENCIES))
_STRENGTHS = ",".join(f"{share:g}x" for share in STRENGTHS)


def explore(
    model: opt.Model,
    device: opt.Device = opt.DEVICE,
    budget: Annotated[
        str | None, typer.Option("--budget", metavar="2h", help="Time that the whole study may take.", show_default=False)
    ] = None,
    trials: Annotated[
        int | None, typer.Option("--trials", metavar="N", help="Networks tried at most, the given one included.", show_default=False)
    ] = None,
    points: Annotated[
        Path | None, typer.Option("--points", metavar="FILE", help="Try the networks listed there, and no others.", show_default=False)
    ] = None,
    space: Annotated[
        str | None, typer.Option("--space", metavar="S", help="Also search this space, by name or TOML file.", show_default=False)
    ] = None,
    search_epochs: Annotated[
        float, typer.Option("--search-epochs", metavar="N", help="Passes of that search over the training data.")
    ] = 8.0,
    latencies: Annotated[str, typer.Option("--latencies", metavar="T[,T…]", help="Latencies that widths are solved for.")] = _LATENCIES,
    strengths: Annotated[
        str, typer.Option("--strengths", metavar="S[,S…]", help="Shares of the MACs that dynamic sparsity leaves.")
    ] = _STRENGTHS,
    sampler: Annotated[str, typer.Option("--sampler", metavar="S", help="nsga2, tpe or random.")] = "nsga2",
    lr: opt.LearningRate = LEARNING_RATE,
    distill: Annotated[
        bool, typer.Option("--distill/--no-distill", help="Learn from the given network's outputs too: better, a third slower.")
    ] = True,
    trial_threads: Annotated[
        int | None, typer.Option("--trial-threads", metavar="N", help="Threads that train; all cores by default.", show_default=False)
    ] = None,
    ray: Annotated[
        str | None, typer.Option("--ray", metavar="auto|ADDRESS", help="Run trials on a Ray cluster.", show_default=False)
    ] = None,
    threads: opt.Threads = 1,
    batch: opt.Batch = 1,
    precision: opt.Precision = "fp32",
    weights: opt.Weights = None,
    pretrained: opt.Pretrained = False,
    input: opt.Input = None,
    data: opt.Data = None,
    epochs: opt.Epochs = EPOCHS,
    mean: opt.Mean = opt.MEAN,
    std: opt.Std = opt.STD,
    seed: opt.Seed = 0,
    out: Annotated[
        Path | None, typer.Option("--out", metavar="DIR", help="Study folder; by default runs/explore-MODEL.", show_default=False)
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the study in --out.")] = False,
    db: opt.Database = None,
    json: opt.Json = None,
) -> None:
    """Finds the trade-off between accuracy and latency: widths, dynamic sparsity and searched networks as one front."""
    check_destination(json)
    request = ExploreRequest(
        model=ModelRequest(model=model, weights=weights, pretrained=pretrained, input=input),
        device=DeviceRequest(device=device, threads=threads, batch=batch, precision=precision, db=db),
        data=opt.data_request(data, epochs=epochs, mean=mean, std=std, seed=seed),
        budget_s=None if budget is None else parse_duration(budget),
        trials=trials,
        points=points,
        space=space,
        search_epochs=search_epochs,
        latencies=_targets(latencies),
        strengths=tuple(parse_ratio(part, flag="--strengths") for part in opt.words([strengths])),
        sampler=sampler,
        lr=lr,
        distill=distill,
        trial_threads=trial_threads,
        ray=ray,
        seed=seed,
        out=out,
        resume=resume,
    )
    with watch(f"reading {model}", results=json) as progress:
        from edgewise.recipes.explore.run import run_explore

        result = run_explore(request, progress=progress)
    show(result, render=render_explore, path=json)


def render_explore(value: Value) -> object:
    """The front, what each method brought, the point to take, and where the study lies."""
    from rich.console import Group

    from edgewise.report.explore_terminal import explore_summary

    places = [f"{name}: {value[name]}" for name in ("run", "report") if value.get(name)]
    return Group(explore_summary(value), *places)


def _targets(text: str) -> tuple[LatencyTarget, ...]:
    targets = tuple(parse_latency(part, flag="--latencies") for part in opt.words([text]))
    if not targets:
        raise UsageError(f"--latencies needs latencies such as 0.9x,0.7x, got {text!r}")
    return targets
