"""Tables 3 and 4: ReRAM latency, efficiency, area and power; quoted, decoded, consistent, and ours.

The source of the published rows is not known: neither mapping, array size, precision, baseline nor pruning ratios.
What can be checked is arithmetic, and it shows what the cells contain (reference, section 5.1).
"""

from collections.abc import Mapping
from dataclasses import dataclass

from edgewise._core.progress import Progress
from edgewise.recipes.tables import Row

UNKNOWN = "mapping, array size, precision, baseline chip and pruning ratios are not published"
_OPS = {"VGG": 3.13e8, "ResNet": 1.28e8}
"""Dense work as the tutorial's Table I prints it, 1 multiply-accumulate counted as 1."""
_RATIOS = {"VGG": (0.2, 0.2, 0.6, 0.9, 0.9), "ResNet": (0.3, 0.3, 0.6)}
"""VGG: the tutorial's. ResNet: one setting consistent with its Table I, not the authors'."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Published:
    """One row of the published tables.

    Attributes:
        latency_ms: Table 3.
        per_mm2: Computational efficiency, GOPs/s/mm2.
        per_w: Power efficiency, GOPs/W.
        area_mm2: Area.
        power_mw: Power.
    """

    latency_ms: float
    per_mm2: float
    per_w: float
    area_mm2: float
    power_mw: float


PUBLISHED: Mapping[tuple[str, str], Published] = {
    ("VGG", "baseline"): Published(latency_ms=0.39, per_mm2=736.30, per_w=290.3, area_mm2=1.09, power_mw=1078.48),
    ("VGG", "ours"): Published(latency_ms=0.31, per_mm2=938.42, per_w=1262, area_mm2=0.25, power_mw=248.88),
    ("ResNet", "baseline"): Published(latency_ms=2.87, per_mm2=530.94, per_w=154.4, area_mm2=0.084, power_mw=82.96),
    ("ResNet", "ours"): Published(latency_ms=2.67, per_mm2=570.71, per_w=205.8, area_mm2=0.063, power_mw=62.22),
}
_FITTED_MS = {("VGG", "ours"): 0.306}
"""0.31 as printed gives 926.3; 0.306, which prints as 0.31, gives the cell."""


def decoded_per_mm2(network: str, row: str) -> float:
    """Computational efficiency as the cell really is: dense work over latency over the *baseline's* area.

    Example:
        >>> round(decoded_per_mm2("VGG", "baseline"), 1), round(decoded_per_mm2("VGG", "ours"), 1)
        (736.3, 938.4)
    """
    latency_ms = _FITTED_MS.get((network, row), PUBLISHED[(network, row)].latency_ms)
    return _OPS[network] / (latency_ms * 1e-3) / PUBLISHED[(network, "baseline")].area_mm2 / 1e9


def decoded_per_w(network: str, row: str) -> float:
    """Power efficiency as the cell really is: dense work over power, without a time; of ResNet a further 1/10.

    Example:
        >>> round(decoded_per_w("VGG", "ours")), round(decoded_per_w("ResNet", "baseline"), 1)
        (1258, 154.3)
    """
    scale = 1e6 if network == "VGG" else 1e7
    return _OPS[network] / (PUBLISHED[(network, row)].power_mw * 1e-3) / scale


def consistent(network: str, row: str) -> tuple[float, float, float]:
    """GOPS/mm2, GOPS/W and energy in uJ that follow from the published latency, power and own area.

    Example:
        >>> [round(value, 1) for value in consistent("VGG", "baseline")]
        [736.3, 744.2, 420.6]
    """
    cell = PUBLISHED[(network, row)]
    seconds, watts = cell.latency_ms * 1e-3, cell.power_mw * 1e-3
    return _OPS[network] / seconds / cell.area_mm2 / 1e9, _OPS[network] / (watts * seconds) / 1e9, watts * seconds * 1e6


def table_3(progress: Progress) -> tuple[Row, ...]:
    """Latencies: quoted, and ours under each accounting."""
    rows = [
        Row(table="reram-3", row=f"{network} {row}", column="latency, ms", quoted=cell.latency_ms, note=UNKNOWN)
        for (network, row), cell in PUBLISHED.items()
    ]
    return (*rows, *(row for row in _ours("reram-3", progress) if row.column == "latency, ms"))


def table_4(progress: Progress) -> tuple[Row, ...]:
    """Efficiency, area and power: quoted, decoded, consistent, and ours under each accounting."""
    rows = []
    for (network, row), cell in PUBLISHED.items():
        label = f"{network} {row}"
        per_mm2, per_w, energy_uj = consistent(network, row)
        for column, value in (
            ("GOPs/s/mm2", cell.per_mm2),
            ("GOPs/W", cell.per_w),
            ("area, mm2", cell.area_mm2),
            ("power, mW", cell.power_mw),
        ):
            rows.append(Row(table="reram-4", row=label, column=column, quoted=value, note=UNKNOWN))
        decoded = f"{label}, decoded"
        rows.append(
            _derived(
                decoded,
                "GOPs/s/mm2",
                decoded_per_mm2(network, row),
                "from quoted cells: dense MACs / latency / baseline's area" + _fit_note(network, row),
            )
        )
        rows.append(
            _derived(
                decoded,
                "GOPs/W",
                decoded_per_w(network, row),
                "from quoted cells: dense MACs / power, no time in it" + (", a stray 1/10" if network == "ResNet" else ""),
            )
        )
        for column, value in (("GOPs/s/mm2", per_mm2), ("GOPs/W", per_w), ("energy, uJ", energy_uj)):
            rows.append(_derived(f"{label}, consistent", column, value, "from quoted latency, power and own area; 1 MAC = 1 operation"))
    return (*rows, *(row for row in _ours("reram-4", progress) if row.column != "latency, ms"))


def _fit_note(network: str, row: str) -> str:
    return "; latency 0.306 ms fitted, printed 0.31" if (network, row) in _FITTED_MS else ""


def _derived(row: str, column: str, value: float, note: str) -> Row:
    # Arithmetic on quoted figures is still quoted: no model of ours is in it.
    return Row(table="reram-4", row=row, column=column, quoted=value, note=note)


def _ours(table: str, progress: Progress) -> list[Row]:
    from edgewise.cost.chip.masks import draw_masks
    from edgewise.cost.chip.pricing import price_network
    from edgewise.cost.chip.reading import load_chip
    from edgewise.cost.chip.settings import ACCOUNTINGS, ChipSettings
    from edgewise.dynamic.placement import place_gates
    from edgewise.recipes.runs import load_model
    from edgewise.trace import trace

    chip, rows = load_chip("isaac"), []
    for network, model in (("VGG", "vgg16"), ("ResNet", "resnet56")):
        loaded = load_model(model)
        net = trace(loaded.model, loaded.inputs(), name=model, verify=False).net
        plan = place_gates(net, channel_ratios=_RATIOS[network])
        masks = draw_masks(plan, n_images=16, seed=0)
        for accounting in ("dense", *ACCOUNTINGS):
            progress.note(f"{model}, {accounting}")
            cost = price_network(net, chip, ChipSettings(accounting=accounting, convolutions_only=True), plan=plan, masks=masks)
            note = f"ISAAC, 16 bits, one copy of each layer, convolutions, drawn masks at {_RATIOS[network]}"
            for column, value in (
                ("latency, ms", None if cost.latency_s is None else cost.latency_s * 1e3),
                ("GOPs/s/mm2", cost.gops_per_mm2(cost.ops_dense / 2)),
                ("GOPs/W", cost.gops_per_w(cost.ops_dense / 2)),
                ("area, mm2", cost.area_mm2),
                ("power, mW", None if cost.power_w is None else cost.power_w * 1e3),
                ("energy, uJ", None if cost.energy_j is None else cost.energy_j * 1e6),
            ):
                counted = "; dense MACs, 1 MAC = 1 operation" if "GOPs" in column else ""
                rows.append(Row(table=table, row=f"{network}, edgewise {accounting}", column=column, simulated=value, note=note + counted))
    return rows
