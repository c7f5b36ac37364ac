"""How far do prices of the same kernel calls scatter from one timing to the next, by the way in which they are read off?

Convolutions of a residual network are timed again and again, in chunks beside the reference convolution, as a profile times
them. Compared are: the minimum; the minimum over the slowdown of the last seconds (how prices were made before); the median
over the reference's median; and the median over the rounds of a time over the reference's of the same round (how they are
made). Figures are standard deviations of the logarithm, averaged over the calls. What neighbours the machine has meanwhile
decides much: the spread of the reference is written down too. Takes about a minute; nothing else may run.

    python benchmarks/price_scatter.py --repeats 8
"""

import argparse
import math
import statistics
import sys
from collections import deque
from dataclasses import replace
from typing import Any

from result_files import write_result

from edgewise.cost import Workload
from edgewise.measure.pricing import PROBE_SCHEDULE
from edgewise.measure.probes import Prober, open_prober
from edgewise.measure.sampling import Sample, measure_interleaved
from edgewise.measure.session import Session
from edgewise.measure.settings import RuntimeSettings
from edgewise.measure.speed import reference_call

DEVICES = ("openvino-cpu", "onnxruntime-cpu")
WIDTHS = ((16, 16), (16, 8), (8, 16), (32, 32), (24, 32), (64, 64), (48, 64))
SIDES = (32, 16, 8)
_CHUNK, _SMOOTHED, _FOOTPRINT_BYTES = 6, 9, 1 << 18


def estimates(sample: Sample, reference: Sample, smoothed_s: float) -> dict[str, float]:
    """A call's price by each way, in units of the reference or of a second."""
    return {
        "minimum": sample.min_s,
        "minimum over smoothed reference": sample.min_s / smoothed_s,
        "median over reference's median": sample.latency_s / reference.latency_s,
        "median of rounds over the reference": sample.ratio_to(reference),
    }


def timed_once(
    calls: list[Workload], reference: Session, prober: Prober, recent: deque[float]
) -> tuple[dict[Workload, dict], list[Sample]]:
    """All calls timed once, in chunks, and the samples of the reference."""
    found, references = {}, []
    for start in range(0, len(calls), _CHUNK):
        part = calls[start : start + _CHUNK]
        sessions = [prober.load(call, footprint_bytes=_FOOTPRINT_BYTES) for call in part]
        *samples, beside = measure_interleaved(sessions, PROBE_SCHEDULE, beside=(reference,))
        for session in sessions:
            session.close()
        recent.append(beside.min_s)
        references.append(beside)
        smoothed_s = statistics.median(recent)
        found |= {call: estimates(sample, beside, smoothed_s) for call, sample in zip(part, samples, strict=True)}
    return found, references


def scatter(device: str, repeats: int) -> dict[str, Any]:
    """Scatter of the prices on a device, by way."""
    prober, call = open_prober(RuntimeSettings(device=device)), reference_call(device)
    assert call is not None
    calls = [
        replace(call, in_channels=read, out_channels=written, in_hw=(side, side), out_hw=(side, side))
        for side in SIDES
        for read, written in WIDTHS
    ]
    reference, recent = prober.load(call, footprint_bytes=_FOOTPRINT_BYTES), deque[float](maxlen=_SMOOTHED)
    rounds, beside = [], []
    for _ in range(repeats):
        found, samples = timed_once(calls, reference, prober, recent)
        rounds.append(found)
        beside += samples
    ways = rounds[0][calls[0]]
    logs = {way: [[math.log(found[one][way]) for found in rounds] for one in calls] for way in ways}
    return {
        "standard_deviation": {way: statistics.mean(statistics.pstdev(values) for values in rows) for way, rows in logs.items()},
        "largest_deviation": {way: max(max(map(abs, _centred(values))) for values in rows) for way, rows in logs.items()},
        "reference_s": {"min": min(one.min_s for one in beside), "medians": sorted(one.latency_s for one in beside)},
    }


def _centred(values: list[float]) -> list[float]:
    middle = statistics.median(values)
    return [value - middle for value in values]


def main() -> None:
    """Times on both devices, and writes the result file."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=8)
    arguments = parser.parse_args()
    found = {device: scatter(device, arguments.repeats) for device in DEVICES}
    write_result("price-scatter", {"kind": "measured", "repeats": arguments.repeats, "calls": len(SIDES) * len(WIDTHS), "devices": found})
    for device, figures in found.items():
        sys.stdout.write(f"{device}: {figures['standard_deviation']}\n")


if __name__ == "__main__":
    main()
