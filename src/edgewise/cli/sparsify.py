"""The command ``sparsify``."""

from typing import Annotated

import typer

from edgewise._core.units import parse_latency
from edgewise.cli import options as opt
from edgewise.cli.output import Value, check_destination, columns, show
from edgewise.cli.progress import watch
from edgewise.recipes.requests import LEARNING_RATE, DeviceRequest, ModelRequest
from edgewise.recipes.sparsify.request import CHANGING, DENSE_DEVICES, RAMP, RatioRequest, SparsifyRequest


def sparsify(
    model: opt.Model,
    channel_ratios: opt.ChannelRatios = None,
    spatial_ratios: opt.SpatialRatios = None,
    macs_at_most: Annotated[
        str | None,
        typer.Option("--macs-at-most", metavar="0.5x", help="Choose ratios for this share of the convolutions' MACs.", show_default=False),
    ] = None,
    latency: Annotated[
        str | None,
        typer.Option("--latency", metavar="0.7x|2ms", help="Choose ratios for this latency, as measured here.", show_default=False),
    ] = None,
    block_outputs: Annotated[
        bool, typer.Option("--block-outputs", help="Prune also what convolutions read of sums; never the shortcut.")
    ] = False,
    remove: Annotated[
        bool, typer.Option("--remove", help="Remove for good what no image is to keep: the layers before compute less, too.")
    ] = False,
    changing: Annotated[
        str, typer.Option("--changing", metavar="S[,S…]", help="Share of the kept channels that may be others for every image.")
    ] = f"{CHANGING:g}",
    images: Annotated[int, typer.Option("--images", metavar="N", help="Validation images that sensitivity is judged by.")] = 1000,
    one_for_all: Annotated[bool, typer.Option("--one-for-all", help="One set of weights for all ratios up to these.")] = False,
    ramp: Annotated[float, typer.Option("--ramp", metavar="S", help="Share of training in which ratios rise to their targets.")] = RAMP,
    lr: opt.LearningRate = LEARNING_RATE,
    device: Annotated[
        str, typer.Option("--device", metavar="D[,D…]", help="Runtimes of the dense network; the fastest is compared with.")
    ] = ",".join(DENSE_DEVICES),
    no_latency: Annotated[bool, typer.Option("--no-latency", help="Do not time anything.")] = False,
    threads: opt.Threads = 1,
    batch: opt.Batch = 1,
    precision: opt.Precision = "fp32",
    weights: opt.Weights = None,
    pretrained: opt.Pretrained = False,
    input: opt.Input = None,
    data: opt.Data = None,
    epochs: opt.Epochs = 6.0,
    mean: opt.Mean = opt.MEAN,
    std: opt.Std = opt.STD,
    distill: Annotated[
        bool, typer.Option("--distill", help="Learn from the dense network's outputs and maps, too: better, half slower.")
    ] = False,
    seed: opt.Seed = 0,
    out: opt.Out = None,
    resume: opt.Resume = False,
    db: opt.Database = None,
    json: opt.Json = None,
) -> None:
    """Prunes feature maps for each input while the network runs: trains for it, and measures what it saves."""
    check_destination(json)
    request = SparsifyRequest(
        model=ModelRequest(model=model, weights=weights, pretrained=pretrained, input=input),
        ratios=RatioRequest(
            channels=opt.ratios(channel_ratios, flag="--channel-ratios"),
            positions=opt.ratios(spatial_ratios, flag="--spatial-ratios"),
            macs_at_most=opt.share(macs_at_most, flag="--macs-at-most"),
            latency=None if latency is None else parse_latency(latency),
            block_outputs=block_outputs,
            remove=remove,
            changing=opt.ratios(changing, flag="--changing"),
            images=images,
        ),
        device=DeviceRequest(device="openvino-cpu", threads=threads, batch=batch, precision=precision, db=db),
        dense_devices=tuple(opt.devices(device)),
        data=opt.data_request(data, epochs=epochs, mean=mean, std=std, seed=seed),
        ramp=ramp,
        lr=lr,
        distill=distill,
        one_for_all=one_for_all,
        measure=not no_latency,
        seed=seed,
        out=out,
        resume=resume,
    )
    with watch(f"reading {model}", results=json) as progress:
        from edgewise.recipes.sparsify.run import run_sparsify

        result = run_sparsify(request, progress=progress)
    show(result, render=render_sparsify, path=json)


def render_sparsify(value: Value) -> str:
    """Dense against dynamic, ratios of the blocks, and where the run lies."""
    before, after, latency = value["baseline"], value["result"], value["latency"]
    rows: list[list[object]] = [
        ["accuracy (test)", _percent(before["accuracy"]), _percent(after["accuracy"])],
        ["accuracy (validation)", _percent(before["accuracy_validation"]), _percent(after["accuracy_validation"])],
        ["MACs counted (convolutions)", f"{before['macs']:,}", f"{after['macs_counted']:,.0f}"],
        ["MACs executed", f"{before['macs']:,}", f"{after['macs_executed']:,}"],
        ["reduction, counted", None, f"{after['reduction']:.2%}"],
        ["reduction, executed", None, f"{after['reduction_executed']:.2%}"],
    ]
    if value["widths"]:
        rows.append(["of it removed for good", None, f"{after['reduction_removed']:.2%}"])
    if latency is not None:
        rows += [
            ["latency, ms (median)", f"{latency['dense_s'] * 1e3:.3f}", f"{latency['dynamic_s'] * 1e3:.3f}"],
            ["runtime", latency["dense_runtime"], latency["dynamic_runtime"]],
            ["speed-up", None, f"{latency['speedup']:.2f}x of {latency['ideal_speedup']:.2f}x ideal"],
        ]
        if latency["left"] is not None:
            left = latency["left"]
            rows.append(["of it without gates", None, f"{left['speedup']:.2f}x in {left['runtime']}; gates {left['gates_speedup']:.2f}x"])
    parts = [columns(["", "dense", "dynamic"], rows, numeric=[1, 2])]
    parts.append(_blocks(value))
    if value["budgets"]:
        budgets: list[list[object]] = [
            [f"{one['share']:.2f}", f"{one['reduction']:.1%}", _percent(one["accuracy"]), _ms(one["latency_s"])] for one in value["budgets"]
        ]
        parts.append(columns(["share of the ratios", "reduction", "accuracy", "ms"], budgets, numeric=[0, 1, 2, 3]))
    parts += [f"warning: {warning}" for warning in value["warnings"]]
    parts += [f"{name}: {value[name]}" for name in ("run", "report") if value.get(name)]
    return "\n\n".join(parts)


def _blocks(value: Value) -> str:
    """A row for each block; what was removed where something was."""
    removed = bool(value["widths"])
    rows: list[list[object]] = [
        [
            one["block"],
            "x".join(map(str, one["hw"])),
            one["gates"],
            f"{one['macs']:,}",
            one["channel_ratio"],
            *([round(one["removed_ratio"], 3)] if removed else []),
            one["spatial_ratio"],
        ]
        for one in value["blocks"]
    ]
    header = [
        "block",
        "maps",
        "gates",
        "MACs reading them",
        "channels pruned",
        *(["channels removed"] if removed else []),
        "positions pruned",
    ]
    return columns(header, rows, numeric=list(range(2, len(header))))


def _percent(share: float | None) -> str | None:
    return None if share is None else f"{share:.2%}"


def _ms(seconds: float | None) -> str | None:
    return None if seconds is None else f"{seconds * 1e3:.3f}"
