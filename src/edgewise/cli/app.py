"""The commands. Each makes a request, hands it to one recipe, and shows what came back."""

from pathlib import Path
from typing import Annotated

import typer

from edgewise._core.units import parse_latency, parse_ratio
from edgewise._core.version import VERSION
from edgewise.cli import options as opt
from edgewise.cli import render
from edgewise.cli.output import check_destination, show
from edgewise.cli.progress import watch
from edgewise.cli.sparsify import sparsify
from edgewise.recipes.crossbar_request import AnalogRequest, CrossbarRequest, LayoutRequest, PruningRequest
from edgewise.recipes.requests import (
    BenchRequest,
    DemoRequest,
    DeviceRequest,
    ExportRequest,
    FitRequest,
    ModelRequest,
    ProfileRequest,
    ReportRequest,
)

_DEVICE = "onnxruntime-cpu"

app = typer.Typer(
    name="edgewise",
    help="Makes a convolutional network fast on the device you have, and tells you why.",
    add_completion=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _show_version(wanted: bool) -> bool:
    if wanted:
        typer.echo(f"edgewise {VERSION}")
        raise typer.Exit
    return wanted


app.command()(sparsify)


@app.callback()
def common(
    version: Annotated[bool, typer.Option("--version", help="Print the version.", callback=_show_version, is_eager=True)] = False,
) -> None:
    """Makes a convolutional network fast on the device you have, and tells you why."""


@app.command()
def devices(json: opt.Json = None) -> None:
    """Lists the runtimes found here, and the devices that are simulated."""
    check_destination(json)
    with watch("looking for runtimes", results=json):
        from edgewise.recipes.devices import list_devices

        found = list_devices()
    show(found, render=render.devices, path=json)


@app.command()
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


@app.command()
def profile(
    model: opt.Model,
    device: opt.Device = _DEVICE,
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
        width_floor=_share(width_floor, flag="--width-floor"),
        keep=opt.words(keep),
        only=opt.words(only),
        seed=seed,
    )
    with watch(f"reading {model}", results=json) as progress:
        from edgewise.recipes.profile import run_profile

        result = run_profile(request, progress=progress)
    show(result, render=render.profile, path=json)


@app.command()
def fit(
    model: opt.Model,
    latency: Annotated[str, typer.Option("--latency", metavar="0.7x|2ms", help="Latency to reach.", show_default=False)],
    device: opt.Device = _DEVICE,
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
        width_floor=_share(width_floor, flag="--width-floor"),
        keep=opt.words(keep),
        only=opt.words(only),
        keep_blocks=keep_blocks,
        solver=solver,
        objective=objective,
        importance=importance,
        params_at_least=_share(params_at_least, flag="--params-at-least"),
        macs_at_most=_share(macs_at_most, flag="--macs-at-most"),
        data=opt.data_request(data, epochs=epochs, mean=mean, std=std, seed=seed),
        distill=distill,
        seed=seed,
        out=out,
        resume=resume,
    )
    with watch(f"reading {model}", results=json) as progress:
        from edgewise.recipes.fit import run_fit

        result = run_fit(request, progress=progress)
    show(result, render=render.fit, path=json)


@app.command()
def bench(
    models: opt.Models,
    device: opt.Devices = _DEVICE,
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


@app.command()
def export(
    model: opt.Model,
    format: Annotated[str, typer.Option("--format", metavar="F", help="onnx or openvino.")] = "onnx",
    out: Annotated[
        Path | None, typer.Option("--out", metavar="FILE", help="File to write; by default named after the model.", show_default=False)
    ] = None,
    threads: opt.Threads = 1,
    batch: opt.Batch = 1,
    precision: opt.Precision = "fp32",
    weights: opt.Weights = None,
    pretrained: opt.Pretrained = False,
    input: opt.Input = None,
    db: opt.Database = None,
    json: opt.Json = None,
) -> None:
    """Writes a file for a runtime, checks that it computes the same, and measures it."""
    check_destination(json)
    request = ExportRequest(
        model=ModelRequest(model=model, weights=weights, pretrained=pretrained, input=input),
        format=format,
        out=out,
        device=DeviceRequest(threads=threads, batch=batch, precision=precision, db=db),
    )
    with watch(f"reading {model}", results=json) as progress:
        from edgewise.recipes.export import run_export

        result = run_export(request, progress=progress)
    show(result, render=render.export, path=json)


@app.command()
def report(
    runs: Annotated[list[Path], typer.Argument(metavar="RUN…", help="Run folders.", show_default=False)],
    out: Annotated[
        Path | None,
        typer.Option("--out", metavar="FILE", help="File to write; by default report.html in the first run.", show_default=False),
    ] = None,
    json: opt.Json = None,
) -> None:
    """Describes runs in one self-contained HTML file."""
    check_destination(json)
    request = ReportRequest(runs=tuple(runs), out=out)
    with watch("reading the runs", results=json):
        from edgewise.recipes.report import run_report

        result = run_report(request)
    show(result, render=render.report, path=json)


@app.command()
def tables(
    only: Annotated[
        str | None, typer.Option("--only", metavar="ID[,ID…]", help="Tables to make; all by default.", show_default=False)
    ] = None,
    pictures: Annotated[
        Path | None, typer.Option("--pictures", metavar="DIR", help="Also draw the figures there, as SVG.", show_default=False)
    ] = None,
    json: opt.Json = None,
) -> None:
    """Makes the tutorial's tables: quoted, simulated and measured side by side."""
    check_destination(json)
    names = opt.words([only] if only else None)
    with watch("making tables", results=json) as progress:
        from edgewise.recipes.tables import draw_pictures, make_tables, tables_to_json

        rows = make_tables(names, progress=progress)
        if pictures is not None:
            draw_pictures(pictures, names)
    show(tables_to_json(rows), render=render.tables, path=json)


@app.command()
def crossbar(
    model: opt.Model,
    chip: Annotated[str, typer.Option("--chip", metavar="C", help="isaac, puma, prime or a TOML file.")] = "isaac",
    accounting: Annotated[str, typer.Option("--accounting", metavar="A", help="gating, reload, static or static-both.")] = "gating",
    channel_ratios: Annotated[
        str | None, typer.Option("--channel-ratios", metavar="R[,R…]", help="Pruned share of channels of each block.", show_default=False)
    ] = None,
    spatial_ratios: Annotated[
        str | None, typer.Option("--spatial-ratios", metavar="R[,R…]", help="Pruned share of positions of each block.", show_default=False)
    ] = None,
    masks: Annotated[
        str, typer.Option("--masks", metavar="M", help="recorded, random or random:R[:channels|positions|both].")
    ] = "recorded",
    channel_group: Annotated[str, typer.Option("--channel-group", metavar="N|array", help="Channels pruned together.")] = "1",
    spatial_block: Annotated[int, typer.Option("--spatial-block", metavar="N", help="Side of blocks of positions pruned together.")] = 1,
    row_order: Annotated[str, typer.Option("--row-order", metavar="O", help="Rows by channels or by taps.")] = "channels",
    aligned: Annotated[bool, typer.Option("--aligned", help="Never split a channel (or a tap's channels) over row blocks.")] = False,
    sort_channels: Annotated[bool, typer.Option("--sort-channels", help="Lay out often-kept channels first.")] = False,
    replication: Annotated[str, typer.Option("--replication", metavar="N", help="Copies of each layer, balanced, or freed.")] = "1",
    schedule: Annotated[str, typer.Option("--schedule", metavar="S", help="serial or pipelined.")] = "serial",
    mechanisms: Annotated[
        str, typer.Option("--mechanisms", metavar="M[,M…]", help="What masks save: rows, blocks, positions.")
    ] = "rows,blocks,positions",
    adc_rule: Annotated[str, typer.Option("--adc-rule", metavar="R", help="Fewer ADC bits for fewer rows: none, exact or puma.")] = "none",
    weight_bits: opt.Bits = None,
    input_bits: opt.Bits = None,
    cell_bits: opt.Bits = None,
    adc_bits: opt.Bits = None,
    convolutions_only: Annotated[bool, typer.Option("--convolutions-only", help="Leave linear layers out.")] = False,
    skip_unsupported: Annotated[bool, typer.Option("--skip-unsupported", help="Price what runs on arrays, name the rest.")] = False,
    mode: Annotated[str, typer.Option("--mode", metavar="M", help="folded, or bitwise: every bit and slice converted.")] = "folded",
    noise: Annotated[str, typer.Option("--noise", metavar="S[,S…]", help="Programming noise to judge at; the last is reported.")] = "0",
    noise_model: Annotated[
        str, typer.Option("--noise-model", metavar="M", help="proportional, range, wan2022 or milo2021.")
    ] = "proportional",
    stuck: Annotated[str, typer.Option("--stuck", metavar="OFF,ON", help="Shares of cells stuck at either end.")] = "0,0",
    read_noise: Annotated[float, typer.Option("--read-noise", metavar="S", help="Noise of every read of a cell.")] = 0.0,
    drift: Annotated[float, typer.Option("--drift", metavar="SECONDS", help="Time since programming.")] = 0.0,
    wire_ohm: Annotated[float, typer.Option("--wire-ohm", metavar="OHM", help="Wire between neighbouring cells.")] = 0.0,
    adc_range: Annotated[str, typer.Option("--adc-range", metavar="R", help="max, granular or calibrated.")] = "max",
    chips: Annotated[int, typer.Option("--chips", metavar="N", help="Chips to draw.")] = 5,
    images: Annotated[int, typer.Option("--images", metavar="N", help="Images to record masks from, and to judge on.")] = 1000,
    noise_aware: Annotated[int, typer.Option("--noise-aware", metavar="STEPS", help="Fine-tune under noise first.")] = 0,
    weights: opt.Weights = None,
    pretrained: opt.Pretrained = False,
    input: opt.Input = None,
    data: opt.Data = None,
    mean: opt.Mean = opt.MEAN,
    std: opt.Std = opt.STD,
    seed: opt.Seed = 0,
    out: opt.Out = None,
    resume: opt.Resume = False,
    neurosim: Annotated[
        Path | None, typer.Option("--neurosim", metavar="FOLDER", help="Write NetWork.csv and bit traces there.", show_default=False)
    ] = None,
    json: opt.Json = None,
) -> None:
    """Prices a network on a ReRAM crossbar chip, dense and pruned, and judges its accuracy there."""
    check_destination(json)
    bits = {"weight_bits": weight_bits, "input_bits": input_bits, "cell_bits": cell_bits, "adc_bits": adc_bits}
    stuck_off, stuck_on = opt.pair(stuck, flag="--stuck")
    cells: dict[str, float | str] = {
        "programming_model": noise_model,
        "stuck_off": stuck_off,
        "stuck_on": stuck_on,
        "read": read_noise,
        "drift_s": drift,
        "wire_ohm": wire_ohm,
    }
    request = CrossbarRequest(
        model=ModelRequest(model=model, weights=weights, pretrained=pretrained, input=input),
        chip=chip,
        accounting=accounting,
        pruning=PruningRequest(
            channel_ratios=opt.numbers(channel_ratios, flag="--channel-ratios") if channel_ratios else (),
            spatial_ratios=opt.numbers(spatial_ratios, flag="--spatial-ratios") if spatial_ratios else (),
            masks=masks,
            channel_group=channel_group,
            spatial_block=spatial_block,
        ),
        layout=LayoutRequest(
            row_order=row_order,
            aligned=aligned,
            sort_channels=sort_channels,
            replication=replication,
            schedule=schedule,
            mechanisms=opt.words([mechanisms]),
            adc_rule=adc_rule,
            convolutions_only=convolutions_only,
            skip_unsupported=skip_unsupported,
            bits=tuple((name, value) for name, value in bits.items() if value is not None),
        ),
        analog=AnalogRequest(
            mode=mode,
            noise=opt.numbers(noise, flag="--noise"),
            cells=tuple(cells.items()),
            adc_range=adc_range,
            chips=chips,
            images=images,
            noise_aware=noise_aware,
        ),
        data=opt.data_request(data, epochs=0.0, mean=mean, std=std, seed=seed),
        seed=seed,
        out=out,
        neurosim=neurosim,
        resume=resume,
    )
    with watch(f"reading {model}", results=json) as progress:
        from edgewise.recipes.crossbar import run_crossbar

        result = run_crossbar(request, progress=progress)
    show(result, render=render.crossbar, path=json)


@app.command()
def demo(
    out: Annotated[Path, typer.Option("--out", metavar="RUN", help="Run folder to write.")] = Path("runs/demo"),
    device: opt.Device = _DEVICE,
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


@app.command()
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


@app.command()
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


@app.command()
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


def _share(text: str | None, *, flag: str) -> float | None:
    return None if text is None else parse_ratio(text, flag=flag)
