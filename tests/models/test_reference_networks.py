"""The reference networks have exactly the counts, names and behaviour that were published."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from edgewise._core.errors import SpecError
from edgewise.models.catalog import BUILT_IN
from edgewise.models.mobilenet_v2 import mobilenet_v2
from edgewise.models.resnet import BasicBlock, ResNet, ZeroPadShortcut, resnet
from edgewise.models.sources import build, parse_source
from edgewise.models.vgg import Vgg, hrank_widths, vgg16
from edgewise.models.weights import load_weights, read_tensors


@dataclass(frozen=True, kw_only=True, slots=True)
class Counts:
    """What a slow loop over the modules that ran counts."""

    macs: int
    thop: int
    params: int
    params_without_norms: int


def count_slowly(model: nn.Module, shape: tuple[int, ...]) -> Counts:
    """Counts by running the network and looking at every convolution, norm and linear layer."""
    totals = {"macs": 0, "thop": 0}

    def conv(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        assert isinstance(module, nn.Conv2d)
        _, channels, rows, columns = output.shape
        kernel_rows, kernel_columns = module.kernel_size
        macs = sum(module.in_channels // module.groups * kernel_rows * kernel_columns * rows * columns for _ in range(channels))
        totals["macs"] += macs
        totals["thop"] += macs + (channels * rows * columns if module.bias is not None else 0)

    def norm(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        totals["thop"] += 2 * output.numel()

    def linear(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        assert isinstance(module, nn.Linear)
        totals["macs"] += module.in_features * module.out_features
        totals["thop"] += module.in_features * module.out_features

    hooks: dict[type[nn.Module], Callable[..., None]] = {nn.Conv2d: conv, nn.BatchNorm2d: norm, nn.Linear: linear}
    for module in model.modules():
        if type(module) in hooks:
            module.register_forward_hook(hooks[type(module)])
    with torch.no_grad():
        model.eval()(torch.zeros(shape))
    norms = [module for module in model.modules() if isinstance(module, nn.BatchNorm2d | nn.BatchNorm1d)]
    params = sum(parameter.numel() for parameter in model.parameters())
    return Counts(params=params, params_without_norms=params - sum(2 * module.num_features for module in norms), **totals)


def counts_of(name: str) -> Counts:
    built_in = BUILT_IN[name]
    return count_slowly(built_in.build(), built_in.input_shape)


CIFAR = (1, 3, 32, 32)


class TestCounts:
    @pytest.mark.parametrize(
        ("name", "macs", "params"),
        [
            ("vgg16", 313_196_544 + 512 * 512 + 512 * 10, 14_987_722),
            ("resnet56", 125_485_696, 853_018),
            ("vgg16-hrank", 66_521_088, 1_901_836),
            ("resnet56-hrank", 65_168_128, 485_413),
            ("resnet56-hrank2", 34_197_184, 240_793),
            ("resnet56-soft1", 68_669_056, 540_133),
            ("resnet56-soft2", 53_224_192, 453_013),
            ("mobilenet-v2", 300_774_272, 3_504_872),
            ("mobilenet-v1", 568_740_352, 4_231_976),
            ("mnasnet-a1", 311_579_072, 3_887_038),
            ("mnasnet-b1", 314_415_872, 4_383_312),
            ("proxylessnas-r", 320_427_584, 4_080_512),
            ("fbnet-b", 291_004_424, 4_801_368),
            ("single-path-nas", 333_467_072, 4_421_616),
        ],
    )
    def test_equal_the_reference(self, name, macs, params):
        counts = counts_of(name)
        assert (counts.macs, counts.params) == (macs, params)

    @pytest.mark.parametrize(("depth", "published_millions"), [(20, 0.27), (32, 0.46), (44, 0.66), (56, 0.85), (110, 1.7)])
    def test_residual_networks_have_the_published_parameters(self, depth, published_millions):
        # Table 6 of He et al. 2016, in millions with as many digits as printed there.
        digits = 1 if depth == 110 else 2
        assert round(counts_of(f"resnet{depth}").params / 1e6, digits) == published_millions

    @pytest.mark.parametrize(
        ("build_network", "thop", "params"),
        [
            (lambda: vgg16(hrank_widths(), conv_bias=True), 66_949_248, 1_901_836),
            (lambda: vgg16(conv_bias=True), 314_293_248, 14_991_946),
            (lambda: vgg16(hrank_widths((0.3,) * 7 + (0.75,) * 5), conv_bias=True), 104_780_544, 2_505_793),
            (lambda: vgg16(hrank_widths((0.21,) * 7 + (0.75,) * 5), conv_bias=True), 131_172_864, 2_766_541),
            (lambda: vgg16((32, 32, 64, 64, *(128,) * 8, 512), conv_bias=True), 59_351_040, 2_035_114),
            (lambda: resnet(56), 126_550_656, 853_018),
            (lambda: resnet(56, outputs=(13, 27, 64), mids=(9, 19, 38)), 65_935_872, 485_413),
            (lambda: resnet(56, outputs=(9, 19, 64), mids=(8, 12, 19)), 34_781_760, 240_793),
            (lambda: resnet(56, outputs=(13, 26, 64), mids=(13, 26, 52)), 90_345_600, 660_157),
        ],
        ids=["vgg-hrank", "vgg-base", "vgg-2.50M", "vgg-2.76M", "vgg-aligned", "resnet-base", "hrank-1", "hrank-2", "light"],
    )
    def test_published_rows_follow_from_the_widths(self, build_network, thop, params):
        counts = count_slowly(build_network(), CIFAR)
        assert (counts.thop, counts.params) == (thop, params)

    def test_the_aligned_configuration_has_the_reference_macs(self):
        head = 512 * 512 + 512 * 10
        assert count_slowly(vgg16((32, 32, 64, 64, *(128,) * 8, 512), conv_bias=True), CIFAR).macs == 58_687_488 + head
        assert count_slowly(vgg16((32, 32, 64, 64, *(144,) * 3, *(112,) * 5, 512), conv_bias=True), CIFAR).params == 1_908_298

    def test_the_published_base_of_vgg_leaves_norms_out(self):
        assert count_slowly(vgg16(conv_bias=True), CIFAR).params_without_norms == 14_982_474


class TestShortcut:
    def test_pads_zeros_on_both_sides_and_drops_every_second_position(self):
        maps = torch.arange(2 * 16, dtype=torch.float32).reshape(1, 2, 4, 4)
        out = ZeroPadShortcut(stride=2, before=1, after=1)(maps)
        # Channel 0 holds 0..15 row by row: rows 0 and 2, columns 0 and 2.
        assert out.tolist() == [[[[0, 0], [0, 0]], [[0, 2], [8, 10]], [[16, 18], [24, 26]], [[0, 0], [0, 0]]]]

    def test_crops_where_the_counts_are_negative(self):
        maps = torch.arange(5.0).reshape(1, 5, 1, 1)
        assert ZeroPadShortcut(stride=1, before=-2, after=-1)(maps).flatten().tolist() == [2, 3]
        assert ZeroPadShortcut(stride=1, before=-2, after=1)(maps).flatten().tolist() == [2, 3, 4, 0]
        assert ZeroPadShortcut(stride=1, before=0, after=0)(maps) is maps

    @pytest.mark.parametrize(
        ("channels", "stride", "expected"), [((16, 32), 2, (8, 8)), ((13, 27), 2, (7, 7)), ((27, 64), 2, (18, 19)), ((16, 13), 1, (-2, -1))]
    )
    def test_blocks_split_the_difference(self, channels, stride, expected):
        shortcut = BasicBlock(channels[0], 4, out_channels=channels[1], stride=stride).shortcut
        assert isinstance(shortcut, ZeroPadShortcut)
        assert (shortcut.before, shortcut.after) == expected
        assert list(shortcut.state_dict()) == []

    def test_names_its_editable_counts(self):
        shortcut = ZeroPadShortcut(stride=2, before=8, after=7)
        assert [getattr(shortcut, name) for name in ZeroPadShortcut.channel_padding_attributes] == [8, 7]
        assert repr(shortcut) == "ZeroPadShortcut(stride=2, before=8, after=7)"

    def test_a_block_whose_convolutions_are_silent_returns_its_padded_input(self):
        block = BasicBlock(2, 3, out_channels=4, stride=2).eval()
        nn.init.zeros_(block.conv2.weight)
        maps = torch.rand(1, 2, 4, 4)
        expected = F.pad(maps[:, :, ::2, ::2], (0, 0, 0, 0, 1, 1))
        assert torch.equal(block(maps), expected)


class TestForm:
    @pytest.mark.parametrize("name", ["resnet20", "resnet56", "vgg16"])
    def test_trained_weights_match_name_by_name(self, name, shared_folder: Path):
        path = shared_folder / "models" / f"{name}.safetensors"
        model = build(parse_source(name))
        load_weights(model, path)
        stored = read_tensors(path)
        assert set(stored) == set(model.state_dict())
        assert all(torch.equal(tensor, stored[key].to(tensor.dtype)) for key, tensor in model.state_dict().items())

    def test_torchvision_weights_give_torchvision_outputs(self):
        models = pytest.importorskip("torchvision.models")
        theirs = models.mobilenet_v2(weights=None).eval()
        ours = mobilenet_v2().eval()
        ours.load_state_dict(theirs.state_dict())
        images = torch.randn((1, 3, 64, 64), generator=torch.Generator().manual_seed(0))
        assert list(ours.state_dict()) == list(theirs.state_dict())
        assert torch.equal(ours(images), theirs(images))

    @pytest.mark.parametrize("name", sorted(BUILT_IN))
    def test_names_say_what_is_built(self, name):
        built_in = BUILT_IN[name]
        assert name == name.lower()
        assert built_in.description and built_in.source
        with torch.no_grad():
            scores = built_in.build().eval()(torch.zeros(built_in.input_shape))
        assert scores.shape == (1, 1000 if built_in.input_shape[-1] == 224 else 10)
        assert bool(torch.isfinite(scores).all())

    def test_gradients_reach_every_parameter(self):
        model = resnet(20, outputs=(3, 5, 8), mids=(2, 3, 4))
        model(torch.rand(2, 3, 32, 32)).sum().backward()
        assert all(parameter.grad is not None for parameter in model.parameters())

    def test_hrank_convolutions_have_biases_and_the_others_none(self):
        biases = [module.bias is not None for module in vgg16(conv_bias=True).modules() if isinstance(module, nn.Conv2d)]
        assert biases == [True] * 13
        assert not any("conv" in key and key.endswith("bias") for key in resnet(20).state_dict())

    @pytest.mark.parametrize("depth", [2, 18, 57])
    def test_depths_without_whole_blocks_are_refused(self, depth):
        with pytest.raises(SpecError, match=rf"`depth` must be 6 n \+ 2 with n >= 1, got {depth}"):
            ResNet(depth)

    def test_wrong_widths_are_refused(self):
        with pytest.raises(SpecError, match="must be 13 numbers of at least 1"):
            Vgg((64, 64))
        with pytest.raises(SpecError, match="must be 13 numbers of at least 1"):
            Vgg((0,) * 13)
        with pytest.raises(SpecError, match="3 widths of at least 1 each"):
            resnet(20, outputs=(16, 32, 0))
        with pytest.raises(SpecError, match="3 widths of at least 1 each"):
            resnet(20, mids=(16, 32))
