"""The networks that edgewise brings along, by name."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from types import MappingProxyType

from torch import nn

from edgewise.models import digits_cnn, mobilenet_v2, published_mobile, resnet, vgg

_CIFAR = (1, 3, 32, 32)
_IMAGENET = (1, 3, 224, 224)
_HE = "He et al. 2016, Deep Residual Learning, section 4.2"
_HRANK_PLUS = "HRankPlus (github lmbxmu/HRankPlus), widths from its rates"
_SOFT = "He et al. 2018, Soft Filter Pruning; widths inferred, closest fit"


@dataclass(frozen=True, kw_only=True, slots=True)
class BuiltIn:
    """A network that edgewise can build by itself.

    Attributes:
        build: Makes the network with initial weights drawn from torch's present generator.
        input_shape: Shape of its input with a batch of one.
        description: What it is, in a few words.
        source: Where it was published.
    """

    build: Callable[[], nn.Module]
    input_shape: tuple[int, ...]
    description: str
    source: str


def _published_resnet(depth: int) -> BuiltIn:
    return BuiltIn(build=partial(resnet.resnet, depth), input_shape=_CIFAR, description=f"ResNet-{depth} for CIFAR", source=_HE)


def _pruned(build: Callable[[], nn.Module], description: str, source: str) -> BuiltIn:
    return BuiltIn(build=build, input_shape=_CIFAR, description=description, source=source)


def _mobile(name: str, description: str, source: str) -> BuiltIn:
    return BuiltIn(build=partial(published_mobile.published, name), input_shape=_IMAGENET, description=description, source=source)


BUILT_IN: Mapping[str, BuiltIn] = MappingProxyType(
    {
        "vgg16": BuiltIn(
            build=vgg.vgg16, input_shape=_CIFAR, description="VGG-16 with batch norm for CIFAR", source="Simonyan and Zisserman 2015"
        ),
        **{f"resnet{depth}": _published_resnet(depth) for depth in resnet.DEPTHS},
        "vgg16-hrank": _pruned(partial(vgg.vgg16, vgg.hrank_widths(), conv_bias=True), "VGG-16 pruned, 1.902M", _HRANK_PLUS),
        "resnet56-hrank": _pruned(resnet.resnet56_hrank, "ResNet-56 pruned, 0.485M", _HRANK_PLUS),
        "resnet56-hrank2": _pruned(resnet.resnet56_hrank2, "ResNet-56 pruned, 0.241M", _HRANK_PLUS),
        "resnet56-soft1": _pruned(resnet.resnet56_soft1, "ResNet-56 pruned, 0.540M", _SOFT),
        "resnet56-soft2": _pruned(resnet.resnet56_soft2, "ResNet-56 pruned, 0.453M", _SOFT),
        "mobilenet-v2": BuiltIn(
            build=mobilenet_v2.mobilenet_v2,
            input_shape=_IMAGENET,
            description="MobileNetV2 at width 1.0 for ImageNet",
            source="Sandler et al. 2018, MobileNetV2",
        ),
        "mobilenet-v1": BuiltIn(
            build=published_mobile.mobilenet_v1,
            input_shape=_IMAGENET,
            description="MobileNetV1 at width 1.0 for ImageNet",
            source="Howard et al. 2017, MobileNets",
        ),
        "mnasnet-a1": _mobile("mnasnet-a1", "MnasNet-A1, with squeeze-and-excitation", "Tan et al. 2019, MnasNet"),
        "mnasnet-b1": _mobile("mnasnet-b1", "MnasNet-B1", "Tan et al. 2019, MnasNet"),
        "proxylessnas-r": _mobile("proxylessnas-r", "ProxylessNAS for mobile phones", "Cai et al. 2019, ProxylessNAS"),
        "fbnet-b": _mobile("fbnet-b", "FBNet-B", "Wu et al. 2019, FBNet"),
        "single-path-nas": _mobile("single-path-nas", "the network that Single-Path NAS found", "Stamoulis et al. 2019, Fig. 5"),
        "digits-cnn": BuiltIn(
            build=digits_cnn.DigitsCnn,
            input_shape=(1, 1, 8, 8),
            description="small residual network for the embedded digits",
            source="edgewise, for its demo",
        ),
    }
)
"""Every built-in network by its name, in lower case."""
