"""The commands that look and measure: ``devices``, ``inspect``, ``profile`` and ``bench``."""

from typing import Annotated

import typer

from edgewise.cli import options as opt
from edgewise.cli import render
from edgewise.cli.output import check_destination, show
from edgewise.cli.progress import watch
from edgewise.recipes.requests import BenchRequest, DeviceRequest, ModelRequest, ProfileRequest


def devices(json: opt.Json = None) -> None:
    """Lists the runtimes found here, and the devices that are simulated."""
    check_destination(json)
    with watch("looking for runtimes", results=json):
        from edgewise.recipes.devices import list_devices

        found = list_devices()
    show(found, render=render.devices, path=json)


def inspect(
    model: opt.Model,
    weights: opt.Weights = None,
    pretrained: opt.Pretrained = False,
    input: opt.Input = None,
    json: opt.Json = None,
) -> None:
    """Shows a network as hardware sees it: layers, MACs, parameters, ties."""
    check_destination(json)
    request = ModelRequest(model=model, weights=weights, pretrained=pretrained, input=input)
    with watch(f"reading {model}", results=json):
        from edgewise.recipes.inspect import inspect_model

        seen = inspect_model(request)
    show(seen, render=render.inspect, path=json)


def profile(
    model: opt.Model,
    device: opt.Device = opt.DEVICE,
    threads: opt.Threads = 1,
    batch: opt.Batch = 1,
    precision: opt.Precision = "fp32",
    width_floor: opt.WidthFloor = None,
    keep: opt.Keep = None,
    only: opt.Only = None,
    weights: opt.Weights = None,
    pretrained: opt.Pretrained = False,
    input: opt.Input = None,
    seed: opt.Seed = 0,
    db: opt.Database = None,
    json: opt.Json = None,
) -> None:
    """Finds the steps in latency as each layer gets wider, and the widths worth considering."""
    check_destination(json)
    request = ProfileRequest(
        model=ModelRequest(model=model, weights=weights, pretrained=pretrained, input=input),
        device=DeviceRequest(device=device, threads=threads, batch=batch, precision=precision, db=db),
        width_floor=opt.share(width_floor, flag="--width-floor"),
        keep=opt.words(keep),
        only=opt.words(only),
        seed=seed,
    )
    with watch(f"reading {model}", results=json) as progress:
        from edgewise.recipes.profile import run_profile

        result = run_profile(request, progress=progress)
    show(result, render=render.profile, path=json)


def bench(
    models: opt.Models,
    device: opt.Devices = opt.DEVICE,
    why: Annotated[bool, typer.Option("--why", help="Explain, layer by layer, where MACs saved became time saved.")] = False,
    threads: opt.Threads = 1,
    batch: opt.Batch = 1,
    precision: opt.Precision = "fp32",
    weights: opt.Weights = None,
    pretrained: opt.Pretrained = False,
    input: opt.Input = None,
    db: opt.Database = None,
    json: opt.Json = None,
) -> None:
    """Measures networks on devices, everything interleaved in one run."""
    check_destination(json)
    request = BenchRequest(
        models=tuple(ModelRequest(model=model, weights=weights, pretrained=pretrained, input=input) for model in models),
        devices=tuple(DeviceRequest(device=name, threads=threads, batch=batch, precision=precision, db=db) for name in opt.devices(device)),
        why=why,
    )
    with watch(f"reading {', '.join(models)}", results=json) as progress:
        from edgewise.recipes.bench import run_bench

        result = run_bench(request, progress=progress)
    show(result, render=render.bench, path=json)
