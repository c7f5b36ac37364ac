"""Table 5: the same on a Jetson Nano, batch 32."""

from edgewise._core.progress import Progress
from edgewise.recipes.tables import Row
from edgewise.recipes.tables.gpu_rows import Published, pair_rows, recovered_rows

DEVICE, BATCH = "jetson-nano", 32
_FLOP_NOTE = "consistent: #FLOPs x 32 / time, so the batch was 32"
_LOW = "the simulation misses most of what the Nano's own software stack costs; trust ratios only"
PUBLISHED = (
    Published(
        model="vgg16-hrank",
        label="VGG16 HRank",
        params_m=(1.90, 2.04),
        flops_per_s=(35.5e9, 39.4e9),
        accuracy=(93.1, 92.9),
        time_s=(60.5e-3, 48.1e-3),
        change=-0.205,
        note=_LOW,
    ),
    Published(
        model="resnet56-hrank",
        label="ResNet56 HRank-1",
        params_m=(0.48, 0.50),
        flops_per_s=(25.6e9, 28.8e9),
        accuracy=(93.6, 93.7),
        time_s=(82.1e-3, 68.0e-3),
        change=-0.171,
        note=_LOW,
    ),
    Published(
        model="resnet56-hrank2",
        label="ResNet56 HRank-2",
        params_m=(0.24, 0.39),
        flops_per_s=(16.7e9, 24.3e9),
        accuracy=(92.3, 92.5),
        time_s=(67.2e-3, 58.1e-3),
        change=-0.133,
        note=_LOW,
    ),
)
"""The tutorial's Table 5."""


def rows(progress: Progress) -> tuple[Row, ...]:
    """The table: quoted beside simulated."""
    made = [
        row for one in PUBLISHED for row in pair_rows("gpu-5", one, device=DEVICE, batch=BATCH, progress=progress, flop_note=_FLOP_NOTE)
    ]
    return (*made, *recovered_rows("gpu-5", DEVICE, batch=BATCH, quoted_ms=48.1, quoted_change=-0.205))
