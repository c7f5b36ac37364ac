"""Fits the packaged coefficients of the simulated GPUs, and scores them on what they were not fitted to.

Reads the traces ``v100.csv.gz``, ``p4.csv.gz``, ``t4.csv.gz`` (NeuSight's format) from a folder, writes
``src/edgewise/cost/gpu/data/fits/*.json`` and ``results/gpu-model.json``: held-out errors of each GPU (five folds, kernel
family not told), and errors on a GPU that was left out of the fit, priced from its data sheet by the other two.

    python benchmarks/fit_gpus.py ../shared/data/gpu-conv
"""

import argparse
import json
import sys
import time
from dataclasses import asdict
from pathlib import Path

from result_files import write_result

from edgewise._core.files import sha256_of, write_text
from edgewise.cost.gpu.calibration import calibrate, traced_of, transfers
from edgewise.cost.gpu.fitting import fit_model
from edgewise.cost.gpu.library import Fit, fit_to_json
from edgewise.cost.gpu.specs import gpu_spec
from edgewise.cost.gpu.traces import read_trace

FITTED = ("v100", "p4", "t4")
SOURCE = "sitar-lab/NeuSight, commit 6945927, MIT licence: half of its convolution trace"
_FITS = Path(__file__).parent.parent / "src" / "edgewise" / "cost" / "gpu" / "data" / "fits"


def write_fit(name: str, fit: Fit) -> None:
    """Writes one file of coefficients, without the white space that would triple it."""
    write_text(_FITS / f"{name}.json", json.dumps(fit_to_json(fit), separators=(",", ":")) + "\n")


def main() -> int:
    """Fits, scores and writes."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="folder of the traces")
    folder = parser.parse_args().folder
    traces, rows = {}, {}
    for name in FITTED:
        path = folder / f"{name}.csv.gz"
        traces[name] = traced_of([read_trace(path, needs_latency=True)], gpu_spec(name).machine)
        done = calibrate(traces[name])
        provenance = {"trace": path.name, "sha256": sha256_of(path), "source": SOURCE, "rows": done.rows, "date": time.strftime("%Y-%m-%d")}
        write_fit(name, Fit(model=done.model, errors=done.errors_json(), provenance=provenance))
        rows[name] = {**done.errors_json(), "in_families": done.in_families, "trace_sha256": provenance["sha256"]}
        print(name, rows[name])
    moved = [asdict(one) for one in transfers(traces)]
    pooled = fit_model(list(traces.values()), residual=False)
    provenance = {"traces": list(FITTED), "source": SOURCE, "date": time.strftime("%Y-%m-%d")}
    write_fit("pooled", Fit(model=pooled, errors={"left_out": moved}, provenance=provenance))
    print(moved)
    print(write_result("gpu-model", {"held_out": rows, "left_out": moved}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
