"""Are dynamic networks really faster? Whole networks in OpenVINO with the sparse operator, beside dense runtimes.

For each network, thread count and batch: OpenVINO, ONNX Runtime and torch.compile dense, OpenVINO with masks only
(what other implementations of such methods do), and the sparse operator, in one interleaved run. Random weights
where no trained ones are given: the counts of what is kept, and so the time, do not depend on them. The networks
``-trained`` are those of dynamic_accuracy.py: what no image keeps is removed, and what is left without gates is timed, too.

    python benchmarks/dynamic_networks.py --networks vgg16 --threads 1 --batch 1
"""

import argparse
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from dynamic_accuracy import CHANGING, RATIOS
from result_files import begun_result, write_result

from edgewise.dynamic import place_gates
from edgewise.dynamic.removing import plan_removal
from edgewise.dynamic.running import OpenVinoDynamicSession, as_torch, export_onnx, export_openvino
from edgewise.kernels.compiling import sources_digest
from edgewise.measure.runtimes import open_runtime
from edgewise.measure.sampling import SETTLE_S, TURN, Schedule, measure_interleaved
from edgewise.measure.settings import RuntimeSettings
from edgewise.recipes.runs import load_model
from edgewise.trace import trace
from edgewise.trace.surgery import apply_plan

RUNTIMES = ("openvino-cpu", "onnxruntime-cpu", "torch-compile-cpu")


@dataclass(frozen=True, kw_only=True, slots=True)
class Case:
    """A network (or the part of it of that name) with its ratios, and the speed-up asked for.

    With a share of the kept channels that may change, all that no image keeps are removed for good first.
    """

    model: str
    part: str = ""
    channels: tuple[float, ...] = ()
    positions: tuple[float, ...] = ()
    asked: float = 1.0
    batches: tuple[int, ...] = (1, 8)
    changing: tuple[float, ...] = ()


CASES = {
    "vgg16": Case(model="vgg16", channels=(0.2, 0.2, 0.6, 0.9, 0.9), asked=1.8),
    "resnet56": Case(model="resnet56", channels=(0.3, 0.3, 0.6), positions=(0.6,), asked=1.15, batches=(1,)),
    "vgg16_bn-224": Case(model="torchvision:vgg16_bn", positions=(0.5,), batches=(1,)),
    "vgg16_bn-224-convolutions": Case(model="torchvision:vgg16_bn", part="features", positions=(0.5,), asked=1.6, batches=(1,)),
    "vgg16-trained": Case(model="vgg16", channels=RATIOS["vgg16"][0], changing=CHANGING["vgg16"], batches=(1,)),
    "resnet56-trained": Case(model="resnet56", channels=RATIOS["resnet56"][0], changing=CHANGING["resnet56"], batches=(1,)),
    "vgg16-nearly-dense": Case(model="vgg16", channels=(0.02,), asked=0.97, batches=(1,)),
    "resnet56-nearly-dense": Case(model="resnet56", channels=(0.1,), asked=0.97, batches=(1,)),
}


def compare(case: Case, *, threads: int, batch: int, seconds: float, folder: Path) -> dict[str, Any]:
    """One network in all ways."""
    loaded = load_model(case.model)
    model, inputs = loaded.model.eval(), loaded.inputs()
    model = model.get_submodule(case.part)
    traced = trace(model, inputs, name=case.model, verify=False)
    net, given = traced.net, model
    plan = place_gates(net, channel_ratios=case.channels, spatial_ratios=case.positions)
    if case.changing:
        removal = plan_removal(model, net, plan, changing=case.changing)
        model, plan = apply_plan(model, removal.widths, traced).eval(), removal.gates
        net = trace(model, inputs, name=case.model, verify=False).net
    shape = (batch, *net.input_shapes[0][1:])
    images = torch.rand(shape, generator=torch.Generator().manual_seed(0))
    sessions: dict[str, Any] = {}
    for device in RUNTIMES:
        sessions[device] = open_runtime(RuntimeSettings(device=device, threads=threads, batch=batch)).load_module(given, (images,))
    if case.changing:
        for device in RUNTIMES[:2]:
            runtime = open_runtime(RuntimeSettings(device=device, threads=threads, batch=batch))
            sessions[f"left, {device}"] = runtime.load_module(model, (images,))
    masked = folder / "masked.onnx"
    export_onnx(model, net, plan, masked, batch=batch)
    sessions["masks only"] = open_runtime(RuntimeSettings(device="openvino-cpu", threads=threads, batch=batch)).load_file(masked)
    dynamic = OpenVinoDynamicSession(export_openvino(model, net, plan, folder, batch=batch, threads=threads), threads=threads)
    found = dynamic.run(images.numpy())
    with torch.no_grad():
        expected = as_torch(model, net, plan)(images).numpy()
    sessions["dynamic"] = dynamic
    schedule = Schedule(warmup=5, repeats=20, min_seconds=seconds, max_seconds=seconds, settle_s=SETTLE_S, turn=TURN)
    samples = dict(zip(sessions, measure_interleaved(list(sessions.values()), schedule), strict=True))
    rows = {title: {"min_s": sample.min_s, "latency_s": sample.latency_s, "n": sample.n} for title, sample in samples.items()}
    fastest = min(RUNTIMES, key=lambda device: samples[device].min_s)
    left = min((samples[title].min_s for title in sessions if title.startswith("left, ")), default=None)
    return {
        "rows": rows,
        "speedup_without_gates": None if left is None else samples[fastest].min_s / left,
        "fastest_dense": fastest,
        "speedup": samples[fastest].min_s / samples["dynamic"].min_s,
        "speedup_median": samples[fastest].latency_s / samples["dynamic"].latency_s,
        "speedup_by_rounds": samples[fastest].ratio_to(samples["dynamic"]),
        "speedup_of_masks": samples[fastest].min_s / samples["masks only"].min_s,
        "asked": case.asked,
        "difference": float(np.abs(found - expected).max() / np.abs(expected).max()),
    }


def main() -> None:
    """Runs the benchmark and writes its result file, case by case."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--networks", default=",".join(CASES))
    parser.add_argument("--threads", default="1,2")
    parser.add_argument("--batch", default="1,8")
    parser.add_argument("--seconds", type=float, default=2.0, help="of timing for each runtime")
    arguments = parser.parse_args()
    found = begun_result("dynamic-networks", sources=sources_digest()).get("cases", {})
    for name in arguments.networks.split(","):
        for threads in map(int, arguments.threads.split(",")):
            for batch in map(int, arguments.batch.split(",")):
                if batch not in CASES[name].batches:
                    continue
                with tempfile.TemporaryDirectory() as folder:
                    case = CASES[name]
                    row = compare(case, threads=threads, batch=batch, seconds=arguments.seconds, folder=Path(folder))
                found[f"{name}, {threads} threads, batch {batch}"] = row
                write_result("dynamic-networks", {"kind": "measured", "sources": sources_digest(), "cases": found})
                times = {title: f"{each['min_s'] * 1e3:.2f}" for title, each in row["rows"].items()}
                sys.stdout.write(
                    f"{name} threads {threads} batch {batch}: {row['speedup']:.2f}x (medians {row['speedup_median']:.2f}x, "
                    f"by rounds {row['speedup_by_rounds']:.2f}x) {times}\n"
                )
                sys.stdout.flush()


if __name__ == "__main__":
    main()
