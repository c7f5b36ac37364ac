"""Grids of thread blocks against rows of the traces and numbers worked by hand."""

import numpy as np
import pytest

from edgewise._core.errors import SpecError
from edgewise.cost.gpu.families import Family, family_named, family_of
from edgewise.cost.gpu.shapes import ConvShapes, conv_shapes


def _one(batch: int, read: int, written: int, size: int) -> ConvShapes:
    values = {"batch": batch, "in_channels": read, "out_channels": written, "size": size}
    return conv_shapes({name: np.array([float(value)]) for name, value in values.items()})


@pytest.mark.parametrize(
    ("kind", "tile", "shape", "blocks"),
    [
        # Rows of the traces: v100 B=37, C=11, K=401, 41x41 and p4 B=16, C=130, K=616, 23x23.
        ("ig", (128, 64), (37, 11, 401, 41), 486 * 7),
        ("nf", (32, 128), (16, 130, 616, 23), 18 * 5 * 36),
        # By hand: three channels more double the work of a fused Winograd layer.
        ("fw", (1, 4, 8), (128, 35, 32, 32), 1024),
        ("fw", (1, 4, 8), (128, 35, 35, 32), 2048),
    ],
)
def test_grids_are_those_of_the_traces(kind: str, tile: tuple[int, ...], shape: tuple[int, int, int, int], blocks: int) -> None:
    assert Family(kind=kind, tile=tile).blocks(_one(*shape)).tolist() == [blocks]


def test_work_of_a_block_counts_padding() -> None:
    shapes = _one(1, 10, 5, 8)
    assert Family(kind="ig", tile=(128, 64)).block_flops(shapes).tolist() == [2 * 9 * 10 * 128 * 64]
    assert Family(kind="fw", tile=(1, 4, 8)).block_flops(shapes).tolist() == [2 * 16 * 10 * 32 * 32]
    assert Family(kind="nf", tile=(64, 64)).block_flops(shapes).tolist() == [2 * 10 * 64 * 64]


def test_winograd_carries_3x3_of_stride_1_only() -> None:
    strided = conv_shapes(
        {name: np.array([8.0]) for name in ("batch", "in_channels", "out_channels", "size")} | {"stride": np.array([2.0])}
    )
    assert not Family(kind="fw", tile=(1, 4, 8)).carries(strided)[0]
    assert Family(kind="ig", tile=(128, 64)).carries(strided)[0]


@pytest.mark.parametrize(
    ("kernel", "kernels", "name"),
    [
        ("cudnn_infer_volta_scudnn_winograd_128x128_ldg1_ldg4_relu_tile148t_nt_v1", "", "fw-1x4x8"),
        ("volta_sgemm_64x64_nn", "void cudnn::winograd_nonfused::winogradforwarddata4x4;volta_sgemm_64x64_nn", "nf-64x64"),
        ("cudnn_infer_maxwell_scudnn_128x32_relu_small_nn_v1", "", "ig-128x32"),
    ],
)
def test_kernel_names_give_families(kernel: str, kernels: str, name: str) -> None:
    found = family_of(kernel, kernels)
    assert found is not None and found.name == name
    assert family_named(name) == found


@pytest.mark.parametrize("kernel", ["volta_gcgemm_64x64_nt", "void explicit_convolve_sgemm<float, int, 128>", "volta_sgemm_64x64_nn"])
def test_other_kernels_belong_to_no_family(kernel: str) -> None:
    assert family_of(kernel, kernel) is None


@pytest.mark.parametrize("name", ["ig", "ig-128", "xx-1x2", "fw-1x2", "ig-axb"])
def test_a_wrong_family_is_refused(name: str) -> None:
    with pytest.raises(SpecError):
        family_named(name)
