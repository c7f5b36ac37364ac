"""The commands ``fit`` and ``demo``."""

from pathlib import Path
from typing import Annotated

import typer

from edgewise._core.units import parse_latency
from edgewise.cli import options as opt
from edgewise.cli import render
from edgewise.cli.output import check_destination, show
from edgewise.cli.progress import watch
from edgewise.recipes.requests import LEARNING_RATE, DemoRequest, DeviceRequest, FitRequest, ModelRequest


def fit(
    model: opt.Model,
    latency: Annotated[str, typer.Option("--latency", metavar="0.7x|2ms", help="Latency to reach.", show_default=False)],
    device: opt.Device = opt.DEVICE,
    threads: opt.Threads = 1,
    batch: opt.Batch = 1,
    precision: opt.Precision = "fp32",
    solver: Annotated[str, typer.Option("--solver", metavar="S", help="exact, algorithm2 or round.")] = "exact",
    objective: Annotated[
        str | None,
        typer.Option(
            "--objective",
            metavar="O",
            help="Give up least loss, or keep most importance or params; by default loss with weights and data.",
            show_default=False,
        ),
    ] = None,
    importance: Annotated[
        str | None,
        typer.Option("--importance", metavar="I", help="Judge channels by l2, batch_norm, taylor or obs.", show_default=False),
    ] = None,
    params_at_least: Annotated[
        str | None,
        typer.Option("--params-at-least", metavar="1.0x", help="Smallest share of the parameters.", show_default=False),
    ] = None,
    macs_at_most: Annotated[
        str | None, typer.Option("--macs-at-most", metavar="1.0x", help="Largest share of the MACs.", show_default=False)
    ] = None,
    width_floor: opt.WidthFloor = None,
    keep: opt.Keep = None,
    only: opt.Only = None,
    keep_blocks: Annotated[bool, typer.Option("--keep-blocks", help="Leave no residual block out.")] = False,
    weights: opt.Weights = None,
    pretrained: opt.Pretrained = False,
    input: opt.Input = None,
    data: opt.Data = None,
    epochs: opt.Epochs = 10.0,
    lr: opt.LearningRate = LEARNING_RATE,
    mean: opt.Mean = opt.MEAN,
    std: opt.Std = opt.STD,
    distill: Annotated[bool, typer.Option("--distill", help="Learn from the original network's outputs too.")] = False,
    seed: opt.Seed = 0,
    out: opt.Out = None,
    resume: opt.Resume = False,
    db: opt.Database = None,
    json: opt.Json = None,
) -> None:
    """Finds the widths that meet a latency target at the least loss, and applies them."""
    check_destination(json)
    request = FitRequest(
        model=ModelRequest(model=model, weights=weights, pretrained=pretrained, input=input),
        latency=parse_latency(latency),
        device=DeviceRequest(device=device, threads=threads, batch=batch, precision=precision, db=db),
        width_floor=opt.share(width_floor, flag="--width-floor"),
        keep=opt.words(keep),
        only=opt.words(only),
        keep_blocks=keep_blocks,
        solver=solver,
        objective=objective,
        importance=importance,
        params_at_least=opt.share(params_at_least, flag="--params-at-least"),
        macs_at_most=opt.share(macs_at_most, flag="--macs-at-most"),
        data=opt.data_request(data, epochs=epochs, mean=mean, std=std, seed=seed),
        lr=lr,
        distill=distill,
        seed=seed,
        out=out,
        resume=resume,
    )
    with watch(f"reading {model}", results=json) as progress:
        from edgewise.recipes.fit import run_fit

        result = run_fit(request, progress=progress)
    show(result, render=render.fit, path=json)


def demo(
    out: Annotated[Path, typer.Option("--out", metavar="RUN", help="Run folder to write.")] = Path("runs/demo"),
    device: opt.Device = opt.DEVICE,
    smoke: Annotated[bool, typer.Option("--smoke", help="The same path, as short as possible.")] = False,
    seed: opt.Seed = 0,
    resume: opt.Resume = False,
    db: opt.Database = None,
    json: opt.Json = None,
) -> None:
    """Does the main job on embedded data: train, profile, fit to 0.6x, fine-tune, measure, report."""
    check_destination(json)
    request = DemoRequest(out=out, device=DeviceRequest(device=device, db=db), seed=seed, size="smoke" if smoke else "full", resume=resume)
    with watch("starting the demo", results=json) as progress:
        from edgewise.recipes.demo import run_demo

        result = run_demo(request, progress=progress)
    show(result, render=render.demo, path=json)
