"""Residual networks for images of 32x32 (He et al. 2016, section 4.2), whole and pruned by widths."""

from typing import ClassVar, no_type_check

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from edgewise._core.errors import SpecError
from edgewise.models.initial import initialise

DEPTHS = (20, 32, 44, 56, 110)
"""Depths as published: ``6 n + 2`` layers for ``n`` blocks a stage."""
BASE_WIDTHS = (16, 32, 64)
"""Channels of the three stages as published."""
_STEM = 16


class ZeroPadShortcut(nn.Module):
    """The shortcut without weights ("option A"): drops rows and columns, and pads or crops channels.

    Channel ``i`` of the input becomes channel ``i + before`` of the output. The two counts
    are plain attributes, so that surgery on either side can edit them.

    Attributes:
        stride: Every how many rows and columns are kept.
        before: Zero channels put in front; negative: channels dropped there.
        after: Zero channels put behind; negative: channels dropped there.
    """

    channel_padding_attributes: ClassVar[tuple[str, str]] = ("before", "after")
    """Names of the two attributes that count channels."""

    def __init__(self, *, stride: int, before: int, after: int) -> None:
        """Takes the counts; ``stride`` is at least 1."""
        super().__init__()
        self.stride = stride
        self.before = before
        self.after = after

    @no_type_check  # fx, torch.compile and torch.export call it with stand-ins for tensors
    def forward(self, maps: Float[Tensor, "b c h w"]) -> Float[Tensor, "b k p q"]:
        """The maps with ``before + c + after`` channels and every ``stride``-th row and column."""
        kept = maps[:, :, :: self.stride, :: self.stride] if self.stride > 1 else maps
        return F.pad(kept, (0, 0, 0, 0, self.before, self.after)) if self.before or self.after else kept

    def extra_repr(self) -> str:
        """The counts, as torch prints modules."""
        return f"stride={self.stride}, before={self.before}, after={self.after}"


class BasicBlock(nn.Module):
    """Two 3x3 convolutions with batch norm, and a shortcut added before the last ReLU."""

    def __init__(self, in_channels: int, mid_channels: int, *, out_channels: int, stride: int) -> None:
        """Builds the block; channels that the shortcut lacks or has too many are split over both sides."""
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, mid_channels, 3, stride=stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(mid_channels)
        self.relu1 = nn.ReLU(inplace=True)
        self.conv2 = nn.Conv2d(mid_channels, out_channels, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(out_channels)
        self.shortcut = _shortcut(in_channels, out_channels, stride=stride)
        self.relu2 = nn.ReLU(inplace=True)

    @no_type_check  # see ZeroPadShortcut.forward
    def forward(self, maps: Float[Tensor, "b c h w"]) -> Float[Tensor, "b k p q"]:
        """The maps plus what the two convolutions add to them."""
        added = self.bn2(self.conv2(self.relu1(self.bn1(self.conv1(maps)))))
        return self.relu2(added + self.shortcut(maps))


class ResNet(nn.Module):
    """A stem, three stages of basic blocks at 32, 16 and 8 pixels, global average pooling, a linear layer.

    Parameters are named ``conv1``, ``bn1``, ``layer{1,2,3}.{i}.{conv1,bn1,conv2,bn2}``, ``linear``.
    """

    def __init__(
        self, depth: int, *, outputs: tuple[int, ...] = BASE_WIDTHS, mids: tuple[int, ...] = BASE_WIDTHS, n_classes: int = 10
    ) -> None:
        """Builds the network with initial weights.

        Args:
            depth: Layers with weights, ``6 n + 2``.
            outputs: Channels that the blocks of each of the three stages put out; at least 1.
            mids: Channels between the two convolutions of the blocks of each stage; at least 1.
            n_classes: Outputs; at least 1.

        Raises:
            SpecError: A depth that is not ``6 n + 2``, or not three widths of at least 1.
        """
        super().__init__()
        if depth < 8 or (depth - 2) % 6:
            raise SpecError(f"`depth` must be 6 n + 2 with n >= 1, got {depth}")
        if len(outputs) != 3 or len(mids) != 3 or min(*outputs, *mids) < 1:
            raise SpecError(f"`outputs` and `mids` must be 3 widths of at least 1 each, got {outputs} and {mids}")
        n_blocks = (depth - 2) // 6
        self.conv1 = nn.Conv2d(3, _STEM, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(_STEM)
        self.relu = nn.ReLU(inplace=True)
        self.layer1 = _stage(_STEM, outputs[0], mids[0], n_blocks=n_blocks, stride=1)
        self.layer2 = _stage(outputs[0], outputs[1], mids[1], n_blocks=n_blocks, stride=2)
        self.layer3 = _stage(outputs[1], outputs[2], mids[2], n_blocks=n_blocks, stride=2)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.linear = nn.Linear(outputs[2], n_classes)
        initialise(self)

    @no_type_check  # see ZeroPadShortcut.forward
    def forward(self, images: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b classes"]:
        """Scores of each class, before softmax."""
        maps = self.relu(self.bn1(self.conv1(images)))
        maps = self.layer3(self.layer2(self.layer1(maps)))
        return self.linear(self.pool(maps).flatten(1))


def resnet(depth: int, *, outputs: tuple[int, ...] = BASE_WIDTHS, mids: tuple[int, ...] = BASE_WIDTHS) -> ResNet:
    """A residual network for 10 classes of 32x32 images.

    Args:
        depth: ``6 n + 2``; published are 20, 32, 44, 56 and 110.
        outputs: Channels that the blocks of each stage put out.
        mids: Channels inside the blocks of each stage.

    Example:
        >>> sum(p.numel() for p in resnet(56).parameters())
        853018
    """
    return ResNet(depth, outputs=outputs, mids=mids)


def resnet56_hrank() -> ResNet:
    """The row "HRank" or "HRank-1" of the tutorial's tables: HRankPlus, 0.485M parameters, 65.94M by its counting.

    Widths follow from its rates ``[0.]+[0.15]*2+[0.4]*27`` by ``int(width * (1 - rate))``.
    """
    return resnet(56, outputs=(13, 27, 64), mids=(9, 19, 38))


def resnet56_hrank2() -> ResNet:
    """The row "HRank-2" of the tutorial's tables: HRankPlus, 0.241M parameters, 34.78M by its counting.

    Widths follow from the rates ``[0.]+[0.4]*2+[0.5]*9+[0.6]*9+[0.7]*9``.
    """
    return resnet(56, outputs=(9, 19, 64), mids=(8, 12, 19))


def resnet56_soft1() -> ResNet:
    """The row "SOFT-1" (0.53M, 68.8M), inferred: soft filter pruning keeping 0.7, last outputs whole.

    The widths are the closest fit found (0.540M parameters, 68.67M MACs), not published ones.
    """
    return resnet(56, outputs=(11, 22, 64), mids=(11, 22, 44))


def resnet56_soft2() -> ResNet:
    """The row "SOFT-2" (0.45M, 53.1M), inferred: soft filter pruning keeping 0.6, last outputs whole.

    The widths are the closest fit found (0.453M parameters, 53.22M MACs), not published ones.
    """
    return resnet(56, outputs=(9, 19, 64), mids=(9, 19, 38))


def _stage(in_channels: int, out_channels: int, mid_channels: int, *, n_blocks: int, stride: int) -> nn.Sequential:
    first = BasicBlock(in_channels, mid_channels, out_channels=out_channels, stride=stride)
    rest = [BasicBlock(out_channels, mid_channels, out_channels=out_channels, stride=1) for _ in range(n_blocks - 1)]
    return nn.Sequential(first, *rest)


def _shortcut(in_channels: int, out_channels: int, *, stride: int) -> nn.Module:
    missing = out_channels - in_channels
    if stride == 1 and missing == 0:
        return nn.Identity()
    # Floor division, also of negative counts, as HRankPlus writes it: 16 channels onto 13 lose 2 in front and 1 behind.
    before = missing // 2
    return ZeroPadShortcut(stride=stride, before=before, after=missing - before)
