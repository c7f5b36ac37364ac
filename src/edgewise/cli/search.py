"""The command ``search``."""

from pathlib import Path
from typing import Annotated

import typer

from edgewise._core.errors import UsageError
from edgewise._core.units import LatencyTarget, parse_latency
from edgewise.cli import options as opt
from edgewise.cli import render
from edgewise.cli.output import check_destination, show
from edgewise.cli.progress import watch
from edgewise.recipes.requests import DataRequest, DeviceRequest
from edgewise.recipes.search_request import REFINED, SearchCourse, SearchRequest


def search(
    space: Annotated[
        str,
        typer.Option("--space", metavar="S", help="imagenet, cifar, cifar-deep, cifar-small, digits or a TOML file.", show_default=False),
    ],
    latency: Annotated[str, typer.Option("--latency", metavar="0.7x|2ms", help="Latency to reach.", show_default=False)],
    device: opt.Device = opt.DEVICE,
    reference: Annotated[
        str | None,
        typer.Option("--reference", metavar="MODEL", help="What 0.7x is a share of; by default the largest network.", show_default=False),
    ] = None,
    front: Annotated[
        str | None,
        typer.Option("--front", metavar="T[,T…]", help="Further targets: networks measured and not trained.", show_default=False),
    ] = None,
    refine: Annotated[
        int, typer.Option("--refine", metavar="N", help="Judge N networks of that latency with its weights, take the best; 0 for none.")
    ] = REFINED,
    compare: Annotated[
        int, typer.Option("--compare", metavar="N", help="Judge N random and N evolved networks of that latency as well; 0 for none.")
    ] = 0,
    search_epochs: Annotated[
        float, typer.Option("--search-epochs", metavar="N", help="Passes of the search over the training data.")
    ] = 8.0,
    explore: Annotated[float, typer.Option("--explore", metavar="S", help="Share of them that draws all choices equally.")] = 0.5,
    whole: Annotated[float, typer.Option("--whole", metavar="S", help="Share of those that trains the largest network first.")] = 0.5,
    even: Annotated[
        float, typer.Option("--even", metavar="S", help="Share of them, the last ones, that trains networks of that latency alike.")
    ] = 0.25,
    loss: Annotated[str, typer.Option("--loss", metavar="L", help="lagrangian (lands on the target), hinge or log.")] = "lagrangian",
    strength: Annotated[float, typer.Option("--strength", metavar="W", help="Weight of the runtime in the loss.")] = 1.0,
    form: Annotated[str, typer.Option("--form", metavar="F", help="exact, or published: the authors' masks and norms.")] = "exact",
    runtime: Annotated[str, typer.Option("--runtime", metavar="R", help="table, or ratio: the authors' runtime term.")] = "table",
    lr: Annotated[float, typer.Option("--lr", metavar="R", help="Largest learning rate of the search.")] = 0.1,
    threshold_lr: Annotated[float, typer.Option("--threshold-lr", metavar="R", help="Learning rate of the thresholds.")] = 0.02,
    widths_from: Annotated[
        Path | None,
        typer.Option("--widths-from", metavar="FILE", help="Stage widths from `profile space:S --json FILE`.", show_default=False),
    ] = None,
    inherit: Annotated[bool, typer.Option("--inherit/--from-scratch", help="Train from the supernet's weights.")] = True,
    batch_size: Annotated[int, typer.Option("--batch-size", metavar="N", help="Images of a training batch.")] = 128,
    threads: opt.Threads = 1,
    batch: opt.Batch = 1,
    precision: opt.Precision = "fp32",
    data: opt.Data = None,
    epochs: opt.Epochs = 10.0,
    mean: opt.Mean = opt.MEAN,
    std: opt.Std = opt.STD,
    seed: opt.Seed = 0,
    out: opt.Out = None,
    resume: opt.Resume = False,
    db: opt.Database = None,
    json: opt.Json = None,
) -> None:
    """Finds the network of a space that meets a latency target, in one over-parameterised network, and trains it."""
    check_destination(json)
    wanted = None
    if data is not None:
        statistics = {"mean": opt.numbers(mean, flag="--mean"), "std": opt.numbers(std, flag="--std")}
        wanted = DataRequest(data=data, epochs=epochs, seed=seed, **statistics)
    request = SearchRequest(
        space=space,
        latency=parse_latency(latency),
        device=DeviceRequest(device=device, threads=threads, batch=batch, precision=precision, db=db),
        data=wanted,
        reference=reference,
        widths_from=widths_from,
        course=SearchCourse(
            epochs=search_epochs,
            explore=explore,
            whole=whole,
            even=even,
            loss=loss,
            strength=strength,
            form=form,
            runtime=runtime,
            lr=lr,
            threshold_lr=threshold_lr,
        ),
        front=_targets(front),
        refine=refine,
        compare=compare,
        inherit=inherit,
        batch_size=batch_size,
        seed=seed,
        out=out,
        resume=resume,
    )
    with watch(f"opening space {space}", results=json) as progress:
        from edgewise.recipes.search import run_search

        result = run_search(request, progress=progress)
    show(result, render=render.search, path=json)


def _targets(text: str | None) -> tuple[LatencyTarget, ...]:
    """The latencies in a comma-separated text.

    Raises:
        UsageError: One is not a latency.
    """
    targets = tuple(parse_latency(part) for part in opt.words([text])) if text else ()
    if text and not targets:
        raise UsageError(f"--front needs latencies such as 0.5x,0.8x, got {text!r}")
    return targets
