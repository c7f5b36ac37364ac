"""The commands for GPUs that are not here: ``simulate``, ``predict`` and ``calibrate``."""

from pathlib import Path
from typing import Annotated

import typer

from edgewise.cli import options as opt
from edgewise.cli import render
from edgewise.cli.output import check_destination, show
from edgewise.cli.progress import watch
from edgewise.recipes.requests import DeviceRequest, ModelRequest


def simulate(
    model: opt.Model,
    device: Annotated[str, typer.Option("--device", metavar="D", help="A simulated device (titan-v), or lut:FILE.", show_default=False)],
    batch: opt.Batch = 1,
    precision: opt.Precision = "fp32",
    residual: opt.Residual = False,
    weights: opt.Weights = None,
    pretrained: opt.Pretrained = False,
    input: opt.Input = None,
    json: opt.Json = None,
) -> None:
    """Prices a network on a GPU that is not here, layer by layer, or by a table of its blocks."""
    check_destination(json)
    request = ModelRequest(model=model, weights=weights, pretrained=pretrained, input=input)
    target = DeviceRequest(device=device, batch=batch, precision=precision)
    with watch(f"reading {model}", results=json) as progress:
        from edgewise.recipes.simulated.simulate import run_simulate

        result = run_simulate(request, target, residual=residual, progress=progress)
    show(result, render=render.simulate, path=json)


def predict(
    csv: Annotated[Path, typer.Option("--csv", metavar="FILE", help="Trace of convolutions (CSV, or .csv.gz).", show_default=False)],
    out: Annotated[Path, typer.Option("--out", metavar="FILE", help="File to write: the trace and a column predicted_ms.")],
    device: Annotated[str, typer.Option("--device", metavar="D", help="A simulated device, such as V100.", show_default=False)],
    residual: Annotated[bool, typer.Option("--residual/--no-residual", help="Correct the analytic form by the learned residual.")] = True,
    json: opt.Json = None,
) -> None:
    """Predicts every convolution of a trace, and says how far that errs where measured times are there."""
    check_destination(json)
    with watch(f"reading {csv}", results=json):
        from edgewise.recipes.simulated.calibrate import run_predict

        result = run_predict(csv, device=device, out=out, residual=residual)
    show(result, render=render.predict, path=json)


def calibrate(
    traces: Annotated[list[Path], typer.Argument(metavar="TRACE.csv…", help="Measured convolutions of one GPU.", show_default=False)],
    device: Annotated[str, typer.Option("--device", metavar="NAME", help="The GPU they were measured on.", show_default=False)],
    out: Annotated[
        Path | None, typer.Option("--out", metavar="FILE", help="File to write; by default NAME.gpu.json.", show_default=False)
    ] = None,
    multiprocessors: Annotated[
        int | None, typer.Option("--multiprocessors", metavar="N", help="SMs of a GPU not known here.", show_default=False)
    ] = None,
    peak_tflops: Annotated[float | None, typer.Option("--peak-tflops", metavar="T", help="Its fp32 peak.", show_default=False)] = None,
    bandwidth: Annotated[
        float | None, typer.Option("--bandwidth", metavar="GB/s", help="Its memory bandwidth.", show_default=False)
    ] = None,
    json: opt.Json = None,
) -> None:
    """Fits the GPU model to traces, with a held-out error report; then --device gpu:FILE names that GPU."""
    check_destination(json)
    with watch("reading traces", results=json) as progress:
        from edgewise.recipes.simulated.calibrate import SheetRequest, run_calibrate

        sheet = SheetRequest(multiprocessors=multiprocessors, peak_tflops=peak_tflops, bandwidth_gb_per_s=bandwidth)
        result = run_calibrate(traces, device=device, sheet=sheet, out=out, progress=progress)
    show(result, render=render.calibrate, path=json)
