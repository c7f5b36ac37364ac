"""How long do the commands take? Whole commands, as a user starts them, with an empty latency database.

Run as ``python benchmarks/speed.py --only help,inspect,profile,fit``.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from result_files import read_result, write_result

_JSON = ["--json", "{folder}/figures.json"]
_FIT = ["--latency", "0.7x", "--out", "{folder}/run", *_JSON]

COMMANDS = {
    "help": (["--help"], 0.5, 7),
    "inspect": (["inspect", "resnet56"], 5.0, 3),
    "profile vgg16": (["profile", "vgg16", "--device", "onnxruntime-cpu", *_JSON], 120.0, 1),
    "profile resnet56": (["profile", "resnet56", "--device", "onnxruntime-cpu", *_JSON], 120.0, 1),
    "profile vgg16, OpenVINO": (["profile", "vgg16", "--device", "openvino-cpu", *_JSON], 120.0, 1),
    "profile resnet56, OpenVINO": (["profile", "resnet56", "--device", "openvino-cpu", *_JSON], 120.0, 1),
    "fit resnet50": (["fit", "torchvision:resnet50", *_FIT], 240.0, 1),
    "fit mobilenetv2": (["fit", "timm:mobilenetv2_100", *_FIT], 240.0, 1),
}
"""Arguments, seconds asked for at most, and how often it is run."""


def run_once(arguments: list[str]) -> dict[str, Any]:
    """One command in an empty folder with an empty database: its seconds, and what its JSON says."""
    with tempfile.TemporaryDirectory() as folder:
        given = [argument.format(folder=folder) for argument in arguments]
        command = [sys.executable, "-m", "edgewise", *given]
        start_s = time.monotonic()
        done = subprocess.run(
            command, cwd=folder, env=os.environ | {"EDGEWISE_HOME": folder}, capture_output=True, text=True, check=False, timeout=1200
        )
        row: dict[str, Any] = {"seconds": time.monotonic() - start_s, "status": done.returncode}
        if done.returncode:
            row["error"] = done.stderr.strip().splitlines()[-1:]
        elif "--json" in given:
            row |= _facts(json.loads((Path(folder) / "figures.json").read_text()))
    return row


def _facts(value: dict[str, Any]) -> dict[str, Any]:
    facts = {key: value[key] for key in ("probes", "probes_cached", "met") if key in value}
    if "network" in value:
        facts["predicted_over_measured"] = value["network"]["predicted_s"] / value["network"]["measured_s"]
    if "result" in value:
        facts["ratio"] = value["result"]["min_s"] / value["baseline"]["min_s"]
        facts["predicted_over_measured"] = value["result"]["predicted_s"] / value["result"]["latency_s"]
    return facts


def main() -> None:
    """Runs the commands and writes the result file."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", default="", help="parts of names, separated by commas")
    arguments = parser.parse_args()
    rows = read_result("speed").get("commands", {})
    for name, (command, most_s, times) in COMMANDS.items():
        if not any(part in name for part in arguments.only.split(",")):
            continue
        runs = [run_once(command) for _ in range(times)]
        best = min(runs, key=lambda row: row["seconds"])
        rows[name] = {
            "command": " ".join(["edgewise", *command]),
            "asked_s": most_s,
            "all_seconds": [run["seconds"] for run in runs],
            **best,
        }
        write_result("speed", {"commands": rows})
        sys.stdout.write(f"{name}: {best} (asked: {most_s:g} s)\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
