"""Networks tried in an hour with one and with two Ray nodes of one core each, the pauses for timing included.

    python benchmarks/explore_ray.py

Both nodes run on this machine, each on a core of its own, and so does the timing, for which both pause: on two
machines only the one that times would. A study of listed networks of the digits CNN runs on the first node alone, and
then on both. Counted is the time from the first network asked for to the last one kept, all training, sending, timing
and writing in it. A timing takes 3 to 12 s, as in any study; the eight networks train for about half a minute each, which is
little: the longer they train, the less the pauses weigh. Takes about ten minutes, in which nothing else may run.
"""

import argparse
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from result_files import write_result

EPOCHS, WIDTHS = 25.0, (12, 14, 16, 18, 20, 24, 28)
TARGET = 1.6
_MARK = "EDGEWISE_BENCHMARK_CLUSTER"
_RAY = "import sys; from ray.scripts.scripts import main; sys.exit(main())"
_STUDY = "import sys; from edgewise.cli import main; sys.exit(main())"


def start_node(folder: Path, *, port: int, core: int, head: bool) -> None:
    """Starts a node that has one core and nothing else."""
    words = ["--head", f"--port={port}", f"--temp-dir={folder / 'ray'}", "--include-dashboard=false"] if head else []
    words += ["--resources", json.dumps({"device:onnxruntime-cpu": 1})] if head else [f"--address=127.0.0.1:{port}"]
    words += ["--num-cpus=1", "--node-ip-address=127.0.0.1", "--object-store-memory=80000000", "--disable-usage-stats"]
    with (folder / f"node-{core}.log").open("w") as log:
        command = ["taskset", "-c", str(core), sys.executable, "-c", _RAY, "start", *words]
        subprocess.run(command, env=environment(folder), stdout=log, stderr=log, stdin=subprocess.DEVNULL, check=True, timeout=120)


def environment(folder: Path) -> dict[str, str]:
    """Variables of all processes of the cluster: one timing lock, one cache, a mark to find them by."""
    known = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    own = {"TMPDIR": str(folder), "EDGEWISE_HOME": str(folder / "home"), "RAY_USAGE_STATS_ENABLED": "0", _MARK: str(folder)}
    return {**known, **own, "OMP_NUM_THREADS": "1"}


def stop(folder: Path) -> None:
    """Ends every process that carries the mark."""
    for _ in range(100):
        left = [int(place.name) for place in Path("/proc").iterdir() if place.name.isdigit() and _is_marked(place, folder)]
        if not left:
            return
        for process in left:
            with suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)
        time.sleep(0.1)


def study(folder: Path, name: str, *, port: int, epochs: float) -> dict[str, Any]:
    """One study on the nodes that are there: networks, seconds, and what of them went into timing."""
    points, weights, out = folder / "points.json", folder / "weights.safetensors", folder / name
    command = ["explore", "digits-cnn", "--data", "digits", "--epochs", f"{epochs:g}", "--weights", str(weights)]
    command += ["--points", str(points), "--trial-threads", "1", "--ray", f"127.0.0.1:{port}", "--out", str(out)]
    command += ["--db", str(folder / f"{name}.sqlite"), "--json", str(folder / f"{name}.json")]
    with (folder / f"{name}.log").open("w") as log:
        words = ["taskset", "-c", "0", sys.executable, "-c", _STUDY, *command]
        subprocess.run(words, env=environment(folder), stdout=log, stderr=log, check=True, timeout=900)
    events = [json.loads(line) for line in (out / "trials.jsonl").read_text().splitlines()]
    begun_s = min(event["spent_s"] for event in events if event["event"] == "asked")
    ended_s = max(event["spent_s"] for event in events if event["event"] == "trial")
    result = json.loads((folder / f"{name}.json").read_text())
    trained = [row for row in result["trials"] if row["epochs"] > 0]
    return {
        "networks": len(trained),
        "seconds": ended_s - begun_s,
        "per_hour": 3600 * len(trained) / (ended_s - begun_s),
        "measuring_s": result["measuring_s"],
        "training_s": sum(row["training_s"] for row in trained),
        "accuracies_validation": {row["key"]: row["accuracy_validation"] for row in trained},
    }


def prepare(folder: Path) -> None:
    """Weights to start from, and the networks to try."""
    from edgewise.models.weights import save_weights
    from edgewise.recipes.runs import load_model
    from edgewise.train.data import DataSpec, open_data
    from edgewise.train.loop import FineTune, fine_tune

    tuned = fine_tune(load_model("digits-cnn").model, open_data(DataSpec(text="digits")), config=FineTune(epochs=3, lr=0.1))
    save_weights(tuned.model, folder / "weights.safetensors")
    (folder / "points.json").write_text(json.dumps([{"widths": {"block1.conv1": width}} for width in WIDTHS]))


def main() -> None:
    """Runs both studies and writes the result."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--epochs", type=float, default=EPOCHS, help="training of each network; the committed figures are with the default")
    parser.add_argument("--keep", action="store_true", help="keep logs and studies")
    asked = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the nodes are ended then too
    folder = Path(tempfile.mkdtemp(prefix="ew-bench-", dir="/tmp"))  # Unix sockets lie in it, whose paths must be short
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        port = bound.getsockname()[1]
    try:
        prepare(folder)
        start_node(folder, port=port, core=0, head=True)
        one = study(folder, "one", port=port, epochs=asked.epochs)
        start_node(folder, port=port, core=1, head=False)
        two = study(folder, "two", port=port, epochs=asked.epochs)
    finally:
        stop(folder)
    same = one.pop("accuracies_validation") == two.pop("accuracies_validation")
    ratio = two["per_hour"] / one["per_hour"]
    figures = {"kind": "measured", "epochs": asked.epochs, "one_node": one, "two_nodes": two, "ratio": ratio, "target": TARGET}
    print(json.dumps(figures, indent=2))
    print(write_result("explore-ray", {**figures, "same_accuracies": same}))
    if not asked.keep:
        shutil.rmtree(folder, ignore_errors=True)


def _is_marked(place: Path, folder: Path) -> bool:
    if int(place.name) == os.getpid():
        return False
    with suppress(OSError):
        return f"{_MARK}={folder}".encode() in (place / "environ").read_bytes().split(b"\0")
    return False


if __name__ == "__main__":
    main()
