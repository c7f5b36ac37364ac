"""The application: every command in the order that ``edgewise --help`` lists them.

Each command makes a request, hands it to one recipe, and shows what came back.
"""

from collections.abc import Callable, Mapping
from typing import Annotated

import typer

from edgewise._core.version import VERSION
from edgewise.cli.crossbar import crossbar
from edgewise.cli.explore import explore
from edgewise.cli.files import export, report, tables
from edgewise.cli.fit import demo, fit
from edgewise.cli.measuring import bench, devices, inspect, profile
from edgewise.cli.search import search
from edgewise.cli.simulated import calibrate, predict, simulate
from edgewise.cli.sparsify import sparsify

_COMMANDS: Mapping[Callable[..., None], str] = {
    demo: "The main job on embedded data, in about two minutes.",
    devices: "Lists what can measure here, and what is simulated.",
    inspect: "Shows a network as hardware sees it.",
    profile: "Finds the steps in latency as layers get wider.",
    fit: "Finds the widths that meet a latency at the least loss.",
    bench: "Measures networks on devices, and says why one is faster.",
    export: "Writes a checked file for a runtime.",
    report: "Describes runs in one HTML file.",
    sparsify: "Lets each input skip channels and positions, and is faster.",
    search: "Finds the network of a space that meets a latency.",
    explore: "Finds the front of accuracy and latency over all of these.",
    crossbar: "Prices a network on a ReRAM crossbar chip.",
    simulate: "Prices a network on a GPU that is not here.",
    predict: "Predicts every convolution of a trace.",
    calibrate: "Fits the GPU model to traces.",
    tables: "Makes the tutorial's tables.",
}

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


@app.callback()
def common(
    version: Annotated[bool, typer.Option("--version", help="Print the version.", callback=_show_version, is_eager=True)] = False,
) -> None:
    """Makes a convolutional network fast on the device you have, and tells you why."""


for _command, _short in _COMMANDS.items():
    app.command(short_help=_short)(_command)
