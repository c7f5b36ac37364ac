"""Result files: a benchmark's figures with where they come from."""

import json
import sys
import time
from pathlib import Path
from typing import Any

from edgewise._core.files import write_json
from edgewise.measure.host import describe_host

RESULTS = Path(__file__).parent / "results"


def write_result(question: str, figures: dict[str, Any]) -> Path:
    """Writes ``results/<question>.json`` with the figures and their provenance."""
    host = describe_host()
    provenance = {
        **made_here(),
        "isa": host.isa,
        "cores": host.cores,
        "system": host.system,
        "python": host.python,
        "versions": dict(host.versions),
    }
    path = RESULTS / f"{question}.json"
    write_json(path, {"question": question, "provenance": provenance, **figures})
    return path


def read_result(question: str) -> dict[str, Any]:
    """The figures of an earlier, perhaps unfinished run; empty where there is none."""
    path = RESULTS / f"{question}.json"
    return dict(json.loads(path.read_text())) if path.exists() else {}


def figures_of(question: str, *others: str) -> dict[str, Any]:
    """The figures alone of an earlier run, without their question, their provenance and the ``others`` named."""
    return {name: value for name, value in read_result(question).items() if name not in ("question", "provenance", *others)}


def made_here() -> dict[str, str]:
    """Processor and day, for rows of a file that several machines add to."""
    return {"date": time.strftime("%Y-%m-%d"), "cpu": describe_host().cpu}


def begun_result(question: str, *, sources: str | None = None) -> dict[str, Any]:
    """The figures of an earlier, perhaps unfinished run on this machine: a file has one provenance, so others start anew.

    With ``sources``, the digest of what was timed, figures of other sources (``sources`` in the file) are left out too.
    """
    found, host = read_result(question), describe_host()
    there = found.get("provenance", {})
    if found and (there.get("cpu"), there.get("isa"), there.get("cores")) != (host.cpu, host.isa, host.cores):
        sys.stderr.write(f"{question}: figures of {there.get('cpu')} are left out, this is {host.cpu}; run all cases\n")
        return {}
    if found and sources is not None and found.get("sources") != sources:
        sys.stderr.write(f"{question}: figures of other sources are left out; run all cases\n")
        return {}
    return found
