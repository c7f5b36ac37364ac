"""Table 2: widths optimised on published pruned networks, Titan V, batch 128."""

from edgewise._core.progress import Progress
from edgewise.recipes.tables import Row
from edgewise.recipes.tables.gpu_rows import Published, pair_rows

DEVICE, BATCH = "titan-v", 128
FLOP_NOTE = "not reproducible: does not equal #FLOPs x 128 / time (implied batch 36 to 104), probably a profiler's count"
_INFERRED = "inferred: the closest fit to the printed counts, not the authors' network"
PUBLISHED = (
    Published(
        model="vgg16-hrank",
        label="VGG16 HRank",
        params_m=(1.90, 2.85),
        flops_m=(67.0, 104.1),
        flops_per_s=(2.41e12, 3.90e12),
        accuracy=(93.1, 92.9),
        time_s=(2.50e-3, 2.05e-3),
        change=-0.177,
        note="the printed times give -18.0 %",
    ),
    Published(
        model="resnet56-hrank",
        label="ResNet56 HRank (ours-1)",
        params_m=(0.48, 0.50),
        flops_m=(65.9, 79.1),
        flops_per_s=(0.83e12, 1.00e12),
        accuracy=(93.6, 93.8),
        time_s=(4.20e-3, 3.72e-3),
        change=-0.113,
    ),
    Published(
        model="resnet56-hrank",
        label="ResNet56 HRank (ours-2)",
        params_m=(0.48, 0.50),
        flops_m=(65.9, 75.1),
        flops_per_s=(0.83e12, 0.95e12),
        accuracy=(93.6, 93.5),
        time_s=(4.20e-3, 3.51e-3),
        change=-0.163,
    ),
    Published(
        model="resnet56-soft1",
        label="ResNet56 SOFT-1",
        params_m=(0.53, 0.43),
        flops_m=(68.8, 71.4),
        flops_per_s=(0.88e12, 0.91e12),
        accuracy=(93.1, 93.2),
        time_s=(4.08e-3, 3.52e-3),
        change=-0.137,
        params_at_least=0.81,
        note=_INFERRED,
    ),
    Published(
        model="resnet56-soft2",
        label="ResNet56 SOFT-2",
        params_m=(0.45, 0.43),
        flops_m=(53.1, 66.0),
        flops_per_s=(0.68e12, 0.79e12),
        accuracy=(92.3, 92.3),
        time_s=(3.64e-3, 3.01e-3),
        change=-0.173,
        params_at_least=0.95,
        note=_INFERRED,
    ),
)
"""The tutorial's Table 2."""


def rows(progress: Progress) -> tuple[Row, ...]:
    """The table: quoted beside simulated."""
    return tuple(
        row for one in PUBLISHED for row in pair_rows("gpu-2", one, device=DEVICE, batch=BATCH, progress=progress, flop_note=FLOP_NOTE)
    )
