"""The README's picture: latency of one convolution as it gets wider, measured here.

python benchmarks/staircase_picture.py
"""

from pathlib import Path

from result_files import write_result

from edgewise.cost.workload import plain_conv
from edgewise.measure.database import LatencyDatabase
from edgewise.measure.pricing import open_price_book
from edgewise.measure.runtimes import open_runtime
from edgewise.measure.settings import RuntimeSettings
from edgewise.report.charts import StairsMarks
from edgewise.report.data import Staircase
from edgewise.report.picture import staircase_svg
from edgewise.widths.candidates import envelope

WIDTHS = tuple(range(36, 181, 4))
_PICTURE = Path(__file__).parents[1] / "docs" / "staircase.svg"


def main() -> None:
    """Times the widths and draws them."""
    settings = RuntimeSettings(device="onnxruntime-cpu")
    conv = plain_conv("nchwc", 64, 64, 28, activation="relu")
    with LatencyDatabase(None) as database:
        book = open_price_book(settings, open_runtime(settings).identity(), database)
        calls = {width: conv.with_widths(64, width) for width in WIDTHS}
        prices_s = book.prices(calls.values(), footprint_bytes=1 << 22)
    raw = [prices_s[calls[width]] for width in WIDTHS]
    stairs = Staircase(
        name="3×3 convolution, 64 channels in, 28×28",
        in_width=64,
        widths=WIDTHS,
        latency_s=tuple(envelope(raw)),
        latency_raw_s=tuple(raw),
        candidates=tuple(width for width in WIDTHS if width % 16 == 0),
    )
    caption = "ONNX Runtime, 1 thread, fp32, measured: 140 channels cost as much as 144; 128 cost a step less"
    _PICTURE.write_text(staircase_svg(stairs, StairsMarks(original=(140,), chosen=(128,)), caption=caption), encoding="utf-8")
    write_result("staircase-picture", {"widths": list(WIDTHS), "price_s": raw})


if __name__ == "__main__":
    main()
