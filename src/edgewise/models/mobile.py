"""Networks of inverted-residual blocks: any network of a space, and the published ones that are no more than that."""

from typing import no_type_check

import torch
from jaxtyping import Float
from torch import Tensor, nn

from edgewise._core.errors import SpecError
from edgewise.ir.arch import ArchPlan, BlockChoice
from edgewise.models.initial import initialise
from edgewise.space import BlockSpace, Space


class SqueezeExcite(nn.Module):
    """Channels weighed by what a small network says of their means (Hu et al. 2018)."""

    def __init__(self, channels: int, reduced: int) -> None:
        """Builds the two pointwise convolutions, with biases."""
        super().__init__()
        self.reduce = nn.Conv2d(channels, reduced, 1)
        self.expand = nn.Conv2d(reduced, channels, 1)

    @no_type_check  # fx, torch.compile and torch.export call it with stand-ins for tensors
    def forward(self, maps: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
        """The maps times their channels' weights in (0, 1)."""
        means = maps.mean((2, 3), keepdim=True)
        return maps * torch.sigmoid(self.expand(torch.relu(self.reduce(means))))


class InvertedBlock(nn.Module):
    """Expand by a 1x1 convolution, filter each channel, weigh channels, project; added to the input where shapes allow.

    Args:
        block: Where it stands.
        choice: What it is; not skipped.
        activation: ``relu`` or ``relu6``.
    """

    def __init__(self, block: BlockSpace, choice: BlockChoice, *, activation: str = "relu") -> None:
        super().__init__()
        if choice.skip:
            raise SpecError(f"block {block.position} is left out, so it cannot be built")
        inner = block.in_channels * choice.expansion
        self.expand: nn.Conv2d | None = None
        if choice.expansion > 1:
            self.expand = nn.Conv2d(block.in_channels, inner, 1, bias=False)
            self.expand_norm = nn.BatchNorm2d(inner)
            self.expand_act = activation_of(activation)
        side = choice.kernel
        self.depthwise = nn.Conv2d(inner, inner, side, stride=block.stride, padding=side // 2, groups=inner, bias=False)
        self.depthwise_norm = nn.BatchNorm2d(inner)
        self.depthwise_act = activation_of(activation)
        reduced = block.reduced(choice.se)
        self.se = SqueezeExcite(inner, reduced) if reduced else None
        self.project = nn.Conv2d(inner, block.out_channels, 1, bias=False)
        self.project_norm = nn.BatchNorm2d(block.out_channels)
        self.adds_input = block.residual

    @no_type_check  # see SqueezeExcite.forward
    def forward(self, maps: Float[Tensor, "b c h w"]) -> Float[Tensor, "b k p q"]:
        """The block's maps, plus the input where shapes allow."""
        inner = maps if self.expand is None else self.expand_act(self.expand_norm(self.expand(maps)))
        inner = self.depthwise_act(self.depthwise_norm(self.depthwise(inner)))
        if self.se is not None:
            inner = self.se(inner)
        out = self.project_norm(self.project(inner))
        return maps + out if self.adds_input else out


class MobileNet(nn.Module):
    """A network of a space; its blocks are named by their positions, so that tables of blocks know them.

    Args:
        space: The space.
        plan: What every block is.

    Example:
        >>> from edgewise.space import SPACES
        >>> list(MobileNet(SPACES["digits"], SPACES["digits"].smallest).blocks)
        ['0', '2']
    """

    def __init__(self, space: Space, plan: ArchPlan) -> None:
        super().__init__()
        space.check(plan)
        self.stem = stem_of(space)
        built = {
            str(block.position): InvertedBlock(block, choice, activation=space.activation)
            for block, choice in zip(space.blocks, plan.blocks, strict=True)
            if not choice.skip
        }
        self.blocks = nn.ModuleDict(built)
        self.head = head_of(space)
        self.classifier = classifier_of(space)
        initialise(self)

    @no_type_check  # see SqueezeExcite.forward
    def forward(self, images: Float[Tensor, "b c h w"]) -> Float[Tensor, "b classes"]:
        """Scores of each class, before softmax."""
        maps = self.stem(images)
        for block in self.blocks.values():
            maps = block(maps)
        return self.classifier(self.head(maps).mean((2, 3)))


def activation_of(name: str) -> nn.Module:
    """A new activation of that name: ``relu`` or ``relu6``."""
    return nn.ReLU6(inplace=True) if name == "relu6" else nn.ReLU(inplace=True)


def stem_of(space: Space) -> nn.Sequential:
    """The first convolution of a space's networks, with norm and activation."""
    conv = nn.Conv2d(space.input_shape[1], space.stem, 3, stride=space.stem_stride, padding=1, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(space.stem), activation_of(space.activation))


def head_of(space: Space) -> nn.Sequential:
    """Their last pointwise convolution, with norm and activation; empty where the space has none."""
    if not space.head:
        return nn.Sequential()
    conv = nn.Conv2d(space.blocks[-1].out_channels, space.head, 1, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(space.head), activation_of(space.activation))


def classifier_of(space: Space) -> nn.Sequential:
    """Their classifier of pooled maps."""
    return nn.Sequential(nn.Dropout(space.dropout), nn.Linear(space.head or space.blocks[-1].out_channels, space.n_classes))
