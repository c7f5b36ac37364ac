"""The commands that write what was found: ``export``, ``report`` and ``tables``."""

from pathlib import Path
from typing import Annotated

import typer

from edgewise.cli import options as opt
from edgewise.cli import render
from edgewise.cli.output import check_destination, show
from edgewise.cli.progress import watch
from edgewise.recipes.requests import DeviceRequest, ExportRequest, ModelRequest, ReportRequest


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
