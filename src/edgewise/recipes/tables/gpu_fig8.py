"""Figure 8: EfficientNets on Titan V before and after width optimisation."""

from edgewise._core.progress import Progress
from edgewise.recipes.tables import Row
from edgewise.recipes.tables.gpu_rows import optimised

DEVICE, BATCH = "titan-v", 128
MODELS = ("efficientnet_b0", "efficientnet_b1", "efficientnet_b2", "efficientnet_b3")
_CLAIM = "the slide's claim, without a table; quoted only, not reproduced"


def rows(progress: Progress) -> tuple[Row, ...]:
    """Latency before and after at no fewer parameters; accuracy quoted only."""
    made = [
        Row(table="gpu-fig8", row="EfficientNet", column="latency before over after", quoted=1.5, note=_CLAIM),
        Row(table="gpu-fig8", row="EfficientNet", column="accuracy gain, points", quoted=3.97, note=_CLAIM),
    ]
    for model in MODELS:
        found = optimised(f"timm:{model}", DEVICE, batch=BATCH, change=None, progress=progress)
        share = f"extrapolated: {found.before.extrapolated_share:.0%} of the time is depthwise, 1x1, strided or memory-bound"
        kept = "the fastest at no fewer parameters with --width-floor 0.7x"
        made += [
            Row(table="gpu-fig8", row=model, column="time before, ms", simulated=round(found.before.latency_s * 1e3, 3), note=share),
            Row(table="gpu-fig8", row=model, column="time after, ms", simulated=round(found.after.latency_s * 1e3, 3), note=kept),
            Row(table="gpu-fig8", row=model, column="parameters before, M", simulated=round(found.profile.net.params / 1e6, 3)),
            Row(table="gpu-fig8", row=model, column="parameters after, M", simulated=round(found.net.params / 1e6, 3)),
            Row(
                table="gpu-fig8", row=model, column="latency before over after",
                simulated=round(found.before.latency_s / found.after.latency_s, 3), note="extrapolated",
            ),
        ]  # fmt: skip
    return tuple(made)
