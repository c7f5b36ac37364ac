"""The command ``crossbar``."""

from pathlib import Path
from typing import Annotated

import typer

from edgewise.cli import options as opt
from edgewise.cli import render
from edgewise.cli.output import check_destination, show
from edgewise.cli.progress import watch
from edgewise.recipes.crossbar_request import AnalogRequest, CrossbarRequest, LayoutRequest, PruningRequest
from edgewise.recipes.requests import ModelRequest


def crossbar(
    model: opt.Model,
    chip: Annotated[str, typer.Option("--chip", metavar="C", help="isaac, puma, prime or a TOML file.")] = "isaac",
    accounting: Annotated[str, typer.Option("--accounting", metavar="A", help="gating, reload, static or static-both.")] = "gating",
    channel_ratios: opt.ChannelRatios = None,
    spatial_ratios: opt.SpatialRatios = None,
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
            channel_ratios=opt.ratios(channel_ratios, flag="--channel-ratios"),
            spatial_ratios=opt.ratios(spatial_ratios, flag="--spatial-ratios"),
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
