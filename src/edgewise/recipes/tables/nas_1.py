"""Table 1: accuracy, latency on a Pixel 1 phone and search cost of mobile networks, ImageNet."""

import os
from dataclasses import dataclass
from pathlib import Path

from edgewise._core.errors import UnknownLayerError
from edgewise._core.progress import Progress
from edgewise.cost.blocks import BlockTable, LutDevice, read_table
from edgewise.recipes.tables import Row

TABLE = "nas-1"
TABLE_FILE = Path("data") / "pixel1-lut.csv"
_SHARED, _DEFAULT_SHARED = "EDGEWISE_SHARED", "../shared"


@dataclass(frozen=True, kw_only=True, slots=True)
class Published:
    """A row as printed.

    Attributes:
        label: Its first column.
        top1: Accuracy of the first guess, in per cent.
        top5: Accuracy of five guesses, in per cent.
        ms: Milliseconds on the phone.
        epochs: Search cost in epochs.
        model: The built-in network, where there is one.
        note: What to know.
    """

    label: str
    top1: float | None = None
    top5: float | None = None
    ms: float | None = None
    epochs: float | None = None
    model: str = ""
    note: str = ""


_OWN = "retrained by the paper's authors"
PUBLISHED = (
    Published(label="MobileNetV1", top1=70.60, top5=89.50, ms=113, model="mobilenet-v1"),
    Published(label="MobileNetV2 1.0x", top1=72.00, top5=91.00, ms=75.00, model="mobilenet-v2"),
    Published(label="MobileNetV2 1.0x (our impl.)", top1=73.59, top5=91.41, ms=73.57, note=_OWN),
    Published(label="Random search", top1=73.78, top5=91.42, ms=77.31, note="mean; +- 0.85, 0.56 and 0.9 ms"),
    Published(label="MnasNet 1.0x", top1=74.00, top5=91.80, ms=76.00, epochs=40000, model="mnasnet-a1", note="the variant is not said"),
    Published(label="MnasNet 1.0x (our impl.)", top1=74.61, top5=91.95, ms=74.65, epochs=40000, model="mnasnet-b1", note=_OWN),
    Published(label="ChamNet-B", top1=73.80, epochs=240, note="marked ++ there, not explained"),
    Published(label="ProxylessNAS-R", top1=74.60, top5=92.20, ms=78.00, epochs=200, model="proxylessnas-r", note="marked * there"),
    Published(label="ProxylessNAS-R (our impl.)", top1=74.65, top5=92.18, ms=77.48, epochs=200, note=_OWN),
    Published(label="FBNet-B", top1=74.1, epochs=90, model="fbnet-b"),
    Published(label="FBNet-B (our impl.)", top1=73.70, top5=91.51, ms=78.33, epochs=90, note=_OWN),
    Published(label="Single-Path NAS", top1=74.96, top5=92.21, ms=79.48, epochs=8, model="single-path-nas", note="3.75 hours"),
)
"""The tutorial's Table 1."""


def rows(progress: Progress) -> tuple[Row, ...]:
    """The table: quoted; priced by the Pixel 1 table where it is at hand and covers the network; measured here.

    The phone's table is not part of edgewise; ``$EDGEWISE_SHARED`` (default ``../shared``) is where it is looked for.
    Accuracies on ImageNet and latencies on the phone cannot be measured here, so those cells stay empty; what is
    measured here is the latency of the same networks on this machine's ONNX Runtime, in a column of its own.
    """
    path = Path(os.environ.get(_SHARED, _DEFAULT_SHARED)) / TABLE_FILE
    table = read_table(path) if path.is_file() else None
    made: list[Row] = []
    for one in PUBLISHED:
        columns = (("top-1, %", one.top1), ("top-5, %", one.top5), ("Pixel 1, ms", one.ms), ("search, epochs", one.epochs))
        made += [Row(table=TABLE, row=one.label, column=name, quoted=value, note=one.note) for name, value in columns if value is not None]
        if one.model:
            made += _ours(one, table, progress)
    return (*made, *_measured(progress))


def _ours(one: Published, table: BlockTable | None, progress: Progress) -> list[Row]:
    from edgewise.recipes.runs import load_model
    from edgewise.trace import trace

    progress.note(f"pricing {one.model}")
    loaded = load_model(one.model)
    net = trace(loaded.model, loaded.inputs(), name=one.model, verify=False).net
    exact = "counted by edgewise; the tutorial prints none"
    made = [
        Row(table=TABLE, row=one.label, column="parameters", simulated=net.params, note=exact),
        Row(table=TABLE, row=one.label, column="MACs", simulated=net.macs, note=exact),
    ]
    priced, note = None, f"no table {TABLE_FILE.name} here; set {_SHARED}"
    if table is not None:
        device = LutDevice(table=table)
        try:
            pieces = device.pieces(net)
            priced = round(device.total(pieces, device.estimate(pieces)).latency_s * 1e3, 4)
            note = "priced: the sum of the phone's table of blocks"
        except UnknownLayerError as error:
            note = f"not covered: {error}"
    return [*made, Row(table=TABLE, row=one.label, column="Pixel 1 by table, ms", simulated=priced, note=note)]


def _measured(progress: Progress) -> list[Row]:
    from edgewise.recipes.bench import run_bench
    from edgewise.recipes.requests import BenchRequest, ModelRequest

    labels = {one.model: one.label for one in PUBLISHED if one.model}
    result = run_bench(BenchRequest(models=tuple(ModelRequest(model=name) for name in labels)), progress=progress)
    made = []
    for row in result.rows:
        note = f"minimum, batch 1, 1 thread, fp32, {row.device} on this machine" + ("; noisy" if row.noisy else "")
        made.append(Row(table=TABLE, row=labels[row.model], column="here, ms", measured=round(row.min_s * 1e3, 4), note=note))
    return made
