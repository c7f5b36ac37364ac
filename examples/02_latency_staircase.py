"""The latency staircase of one convolution on this machine: steps, not a slope.

Run ``python examples/02_latency_staircase.py``. Times a 3x3 convolution alone in ONNX Runtime,
wider and wider, and draws a bar for each width.
"""

import argparse
import tempfile
from pathlib import Path

from edgewise._core.units import format_seconds
from edgewise.cost import Workload
from edgewise.measure.database import LatencyDatabase
from edgewise.measure.footprint import footprint_class
from edgewise.measure.pricing import open_price_book
from edgewise.measure.runtimes import open_runtime
from edgewise.measure.settings import RuntimeSettings
from edgewise.widths.candidates import envelope

CONV = Workload(
    kernel="nchwc", op="conv2d", in_channels=64, out_channels=64, window=(3, 3), stride=(1, 1), padding=(1, 1), dilation=(1, 1),
    in_hw=(16, 16), out_hw=(16, 16), activation="relu",
)  # fmt: skip


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--smoke", action="store_true", help="as short as possible")
    widths = [16, 17, 32] if arguments.parse_args().smoke else list(range(8, 100, 3))

    settings = RuntimeSettings(device="onnxruntime-cpu")
    calls = [CONV.with_widths(64, width) for width in widths]
    # A database of its own: this example times for real every time.
    with tempfile.TemporaryDirectory() as folder, LatencyDatabase(Path(folder) / "latency.sqlite") as database:
        book = open_price_book(settings, open_runtime(settings).identity(), database)
        prices_s = book.prices(calls, footprint_bytes=footprint_class(CONV.weight_bytes))

    # A wider layer, its extra channels zero, computes the same: no width need cost more than a wider one.
    latency_s = envelope([prices_s[call] for call in calls])
    for width, seconds in zip(widths, latency_s, strict=True):
        print(f"{width:4} channels  {format_seconds(seconds):>8}  {'█' * round(60 * seconds / latency_s[-1])}")


if __name__ == "__main__":
    main()
