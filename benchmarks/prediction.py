"""How well is a whole network's latency predicted from its layers timed alone?

Profiles each network once, then draws width configurations that no profile has seen (every
free tie uniform in 0.25x to 1.25x, to the channel; and once more on multiples of 16), predicts each, then
builds, exports and measures it: the median of the quietest of three interleaved rounds. Median and 90th
percentile of |predicted - measured| / measured.

    python benchmarks/prediction.py --networks vgg16,resnet56,mobilenet-v2 --configurations 40
"""

import argparse
import sys
import time
from pathlib import Path

import numpy as np
from result_files import read_result, write_result

from edgewise._core.progress import SilentProgress
from edgewise._core.rng import make_rng
from edgewise.cost.needs import highest_width
from edgewise.deploy.onnx_export import onnx_bytes
from edgewise.ir import NetSpec
from edgewise.measure.database import LatencyDatabase
from edgewise.measure.runtimes import open_runtime
from edgewise.measure.sampling import SETTLE_S, TURN, Sample, Schedule, measure_interleaved
from edgewise.measure.session import Session
from edgewise.measure.settings import RuntimeSettings
from edgewise.recipes.profile import Profiled, profile_model
from edgewise.recipes.requests import DeviceRequest, ModelRequest, ProfileRequest
from edgewise.recipes.runs import load_request
from edgewise.trace import apply_plan, choose_channels, score_channels

DEVICES = ("onnxruntime-cpu", "openvino-cpu")
_TOGETHER = 6
_ROUNDS = 3
_SCHEDULE = Schedule(warmup=3, repeats=25, min_seconds=0.15, max_seconds=0.5, settle_s=SETTLE_S, turn=TURN)


def random_widths(net: NetSpec, rng: np.random.Generator, *, step: int) -> dict[str, int]:
    """Widths of all free ties, uniform between 0.25x and 1.25x, rounded to the step."""
    drawn = {}
    for tie in net.ties:
        if not tie.free:
            continue
        high = highest_width(tie.width, step=1) if tie.growable else tie.width
        width = int(rng.integers(max(1, round(0.25 * tie.width)), high + 1))
        if step > 1:
            width = max(step, round(width / step) * step)
            width = width if tie.growable or width <= tie.width else tie.width
        drawn[tie.name] = width
    return drawn


def profiled_on(device: str, network: str, database: LatencyDatabase) -> tuple[Profiled, float]:
    """The network profiled on a device, and the seconds that took."""
    request = ProfileRequest(model=ModelRequest(model=network), device=DeviceRequest(device=device))
    start_s = time.monotonic()
    profiled = profile_model(load_request(request.model), request, database=database, progress=SilentProgress())
    return profiled, time.monotonic() - start_s


def audit(network: str, *, step: int, count: int, database: LatencyDatabase) -> dict[str, dict]:
    """Predicted and measured latencies of random configurations on every device."""
    profiles = {device: profiled_on(device, network, database) for device in DEVICES}
    first = profiles[DEVICES[0]][0]
    scores = score_channels(first.loaded.model, first.traced, kind="l2")
    rng = make_rng(0, "prediction", network, step)
    nets, contents = [], []
    for _ in range(count):
        widths = random_widths(first.net, rng, step=step)
        model = apply_plan(first.loaded.model, choose_channels(first.traced, widths, scores), first.traced)
        nets.append(first.net.with_widths(widths))
        contents.append(onnx_bytes(model, first.loaded.inputs()))
    feeds = [tensor.numpy() for tensor in first.loaded.inputs()]
    found = {}
    for device, (profiled, seconds) in profiles.items():
        runtime = open_runtime(RuntimeSettings(device=device))
        rows = []
        for start in range(0, count, _TOGETHER):
            sessions = [runtime.load_bytes(content, _named(content, feeds, device)) for content in contents[start : start + _TOGETHER]]
            for net, (sample, slowdown) in zip(nets[start : start + _TOGETHER], _quietest(sessions, profiled), strict=True):
                profiled.device.slowdown = slowdown
                predicted_s = profiled.device.predict_s(net)
                rows.append({"predicted_s": predicted_s, "measured_s": sample.latency_s, "min_s": sample.min_s, "slowdown": slowdown})
            for session in sessions:
                session.close()
        found[device] = {"profile_seconds": seconds, "probes": profiled.probes, **summary(rows), "configurations": rows}
    return found


def _quietest(sessions: list[Session], profiled: Profiled) -> list[tuple[Sample, float]]:
    """Of several interleaved rounds, each session's with the smallest median, and how slow the machine then was.

    Other tenants of the machine come and go.
    """
    speed, rounds = profiled.device.book.speed, []
    for _ in range(_ROUNDS):
        timed = measure_interleaved(sessions, _SCHEDULE, beside=speed.sessions())
        slowdown = speed.read(timed[len(sessions) :])
        rounds.append([(sample, slowdown) for sample in timed[: len(sessions)]])
    return [min(found, key=lambda one: one[0].latency_s) for found in zip(*rounds, strict=True)]


def _named(content: bytes, feeds: list[np.ndarray], device: str) -> object:
    if device != "onnxruntime-cpu":
        return feeds
    import onnx

    names = [value.name for value in onnx.load_from_string(content).graph.input]
    return dict(zip(names, feeds, strict=True))


def summary(rows: list[dict[str, float]]) -> dict[str, float]:
    """Median, 90th percentile and bias of the relative errors."""
    errors = np.array([row["predicted_s"] / row["measured_s"] - 1 for row in rows])
    return {
        "median_error": float(np.median(abs(errors))),
        "p90_error": float(np.quantile(abs(errors), 0.9)),
        "bias": float(np.median(errors)),
    }


def main() -> None:
    """Runs the benchmark and writes its result file."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--networks", default="vgg16,resnet56,mobilenet-v2")
    parser.add_argument("--configurations", type=int, default=40)
    parser.add_argument("--steps", default="1,16", help="widths are multiples of these, in turn")
    parser.add_argument("--db", type=Path, default=None)
    arguments = parser.parse_args()
    results = read_result("prediction").get("results", {})
    with LatencyDatabase(arguments.db) as database:
        for network in arguments.networks.split(","):
            for step in map(int, arguments.steps.split(",")):
                found = audit(network, step=step, count=arguments.configurations, database=database)
                results[f"{network}, widths {'of any size' if step == 1 else f'multiples of {step}'}"] = found
                write_result("prediction", {"results": results, "repeats": _SCHEDULE.repeats, "rounds": _ROUNDS})
                for device, figures in found.items():
                    sys.stdout.write(
                        f"{network} step {step} {device}: median {figures['median_error']:.1%}, p90 {figures['p90_error']:.1%}, "
                        f"bias {figures['bias']:+.1%}, profile {figures['profile_seconds']:.0f} s, {figures['probes']} probes\n"
                    )


if __name__ == "__main__":
    main()
