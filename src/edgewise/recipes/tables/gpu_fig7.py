"""Figure 7: widths of VGG-16 (HRank) layer by layer, before and after."""

from edgewise._core.progress import Progress, SilentProgress
from edgewise.recipes.fit import widths_of
from edgewise.recipes.tables import Row
from edgewise.recipes.tables.gpu_rows import RECOVERED, Optimised, optimised
from edgewise.report.data import LayerWidth
from edgewise.report.picture import widths_svg

DEVICE, BATCH, CHANGE = "titan-v", 128, -0.177
_INFERRED = "inferred from the printed counts of Tables 4 and 5, neither quoted nor simulated, not confirmed by the authors"


def rows(progress: Progress) -> tuple[Row, ...]:
    """Widths before, after by our exact solver, and those recovered for the 2.04M network."""
    found = optimised("vgg16-hrank", DEVICE, batch=BATCH, change=CHANGE, progress=progress)
    made = []
    for place, (name, before, after) in enumerate(_widths(found), start=1):
        row = f"Conv{place} ({name})"
        made += [
            Row(table="gpu-fig7", row=row, column="width before", quoted=before, simulated=before, note="HRankPlus compress rates, exact"),
            Row(table="gpu-fig7", row=row, column="width after", simulated=after, note="the figure prints no numbers; our exact solver"),
            Row(table="gpu-fig7", row=row, column="width after, 2.04M network", note=f"{RECOVERED[place - 1]}: {_INFERRED}"),
        ]
    return tuple(made)


def picture() -> str:
    """Widths before and after, as SVG."""
    found = optimised("vgg16-hrank", DEVICE, batch=BATCH, change=CHANGE, progress=SilentProgress())
    layers = tuple(LayerWidth(layer=f"Conv{place}", before=old, after=new) for place, (_, old, new) in enumerate(_widths(found), start=1))
    caption = f"VGG-16 (HRank) on {DEVICE}, batch {BATCH}: {found.change:+.1%} simulated latency, {found.net.params / 1e6:.2f}M parameters."
    return widths_svg(layers, caption=caption)


def _widths(found: Optimised) -> list[tuple[str, int, int]]:
    before, after = widths_of(found.profile.net), widths_of(found.net)
    return [(name, before[name], after[name]) for name in before if found.profile.net.layer(name).op == "conv2d"]
