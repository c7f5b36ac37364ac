"""Table 4: the same on a Quadro P6000, batch 128."""

from edgewise._core.progress import Progress
from edgewise.recipes.tables import Row
from edgewise.recipes.tables.gpu_2 import FLOP_NOTE
from edgewise.recipes.tables.gpu_rows import Published, pair_rows, recovered_rows

DEVICE, BATCH = "p6000", 128
PUBLISHED = (
    Published(
        model="vgg16-hrank",
        label="VGG16 HRank",
        params_m=(1.90, 2.04),
        flops_per_s=(1.68e12, 1.86e12),
        accuracy=(93.1, 92.9),
        time_s=(4.15e-3, 3.02e-3),
        change=-0.272,
    ),
    Published(
        model="resnet56-hrank",
        label="ResNet56 HRank",
        params_m=(0.48, 0.50),
        flops_per_s=(0.84e12, 1.00e12),
        accuracy=(93.6, 93.7),
        time_s=(5.84e-3, 5.32e-3),
        change=-0.090,
    ),
)
"""The tutorial's Table 4."""


def rows(progress: Progress) -> tuple[Row, ...]:
    """The table: quoted beside simulated."""
    made = [row for one in PUBLISHED for row in pair_rows("gpu-4", one, device=DEVICE, batch=BATCH, progress=progress, flop_note=FLOP_NOTE)]
    return (*made, *recovered_rows("gpu-4", DEVICE, batch=BATCH, quoted_ms=3.02, quoted_change=-0.272))
