"""The counting rules of the published tables, on networks small enough to count by hand."""

from dataclasses import replace

from edgewise.ir import Dim, LayerSpec, NetSpec
from edgewise.models.published_counts import parameters_without_norms, thop_operations


def small_net(*, bias: bool) -> NetSpec:
    """An image of 8x8, a 3x3 convolution to 4 channels, batch norm, pooling, a linear layer, batch norm of its vector."""
    image = LayerSpec(name="images", op="input", in_channels=3, out_channels=3, in_dim=Dim(fixed=3), out_dim=Dim(fixed=3), out_hw=(8, 8))
    four = {"in_channels": 4, "out_channels": 4, "in_dim": Dim(fixed=4), "out_dim": Dim(fixed=4)}
    conv = LayerSpec(
        name="conv", op="conv2d", inputs=("images",), in_channels=3, out_channels=4, in_dim=Dim(fixed=3), out_dim=Dim(fixed=4),
        in_hw=(8, 8), out_hw=(8, 8), kernel=(3, 3), stride=(1, 1), padding=(1, 1), dilation=(1, 1), bias=bias,
    )  # fmt: skip
    norm = LayerSpec(name="bn", op="batch_norm", inputs=("conv",), in_hw=(8, 8), out_hw=(8, 8), parameters_per_channel=2, **four)
    pool = LayerSpec(name="pool", op="mean", inputs=("bn",), in_hw=(8, 8), **four)
    linear = LayerSpec(name="fc", op="linear", inputs=("pool",), bias=True, **four)
    head_norm = LayerSpec(name="bn1d", op="batch_norm", inputs=("fc",), parameters_per_channel=2, **four)
    layers = (image, conv, norm, pool, linear, head_norm)
    return NetSpec(name="small", input_shapes=((1, 3, 8, 8),), layers=layers, ties=(), outputs=("bn1d",))


def test_operations_by_hand():
    macs = 4 * 3 * 9 * 64 + 4 * 4
    assert thop_operations(small_net(bias=False)) == macs + 2 * 4 * 64
    assert thop_operations(small_net(bias=True)) == macs + 3 * 4 * 64


def test_parameters_without_norms_by_hand():
    assert parameters_without_norms(small_net(bias=True)) == 4 * 3 * 9 + 4 + 4 * 4 + 4
    assert small_net(bias=True).params == 4 * 3 * 9 + 4 + 4 * 4 + 4 + 8 + 8


def test_a_shared_weight_counts_once():
    net = small_net(bias=False)
    again = replace(net.layer("fc"), name="fc_again", inputs=("fc",), shares="fc")
    twice = replace(net, layers=(*net.layers[:-1], again), outputs=("fc_again",))
    assert parameters_without_norms(twice) == parameters_without_norms(net)
    assert thop_operations(twice) == thop_operations(net) + 16
