"""Results on standard output for people, and the same as JSON for programs."""

import datetime
import json
import shlex
import sys
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import typer

from edgewise._core.errors import UsageError
from edgewise._core.files import write_json
from edgewise._core.showing import columns as columns
from edgewise._core.version import VERSION

_LONGEST_LINE = 400

Value = Mapping[str, Any]
"""A result as JSON values."""


@runtime_checkable
class Result(Protocol):
    """What a recipe returns when it returns more than JSON values."""

    def to_json(self) -> dict[str, Any]:
        """The result as JSON values."""
        ...


def check_destination(path: Path | None) -> None:
    """Finds out before the work, not after it, that a result cannot be written.

    Raises:
        UsageError: The path names a folder.
    """
    if path is not None and path.is_dir():
        raise UsageError(f"--json needs a file to write, got the folder {path}")


def show(result: Result | Value, *, render: Callable[[Value], object], path: Path | None) -> None:
    """Prints a result for people and, where asked for, writes it as JSON.

    Args:
        result: What a recipe returned.
        render: Turns it into what a terminal shows.
        path: File for the JSON; ``-`` prints it in place of the text.
    """
    value = result if isinstance(result, Mapping) else result.to_json()
    if path is not None:
        content = {**value, "provenance": value.get("provenance") or provenance()}
        if str(path) == "-":
            typer.echo(json.dumps(content, indent=2, allow_nan=False))
            return
        write_json(path, content)
    from rich.console import Console

    # Off a terminal, lines are as long as their content: files are searched, not looked at.
    console = Console(width=None if sys.stdout.isatty() else _LONGEST_LINE, markup=False, highlight=False, soft_wrap=True)
    console.print(render(value))


def provenance() -> dict[str, Any]:
    """What made a result: version, command, machine and time."""
    from edgewise.measure.host import describe_host

    host = describe_host()
    return {
        "edgewise": VERSION,
        "command": shlex.join(["edgewise", *sys.argv[1:]]),
        "time": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "host": {**asdict(host), "versions": dict(host.versions)},
    }
