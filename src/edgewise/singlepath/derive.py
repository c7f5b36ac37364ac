"""The child of a supernet: a network of its own whose weights are those that the decisions leave."""

from collections.abc import Iterator
from typing import cast

import torch
from torch import Tensor, nn

from edgewise.ir.arch import ArchPlan, BlockChoice
from edgewise.models.initial import drawn_deviation
from edgewise.models.mobile import InvertedBlock, MobileNet
from edgewise.singlepath.block import SuperBlock
from edgewise.singlepath.supernet import Supernet
from edgewise.train.batches import Batches
from edgewise.train.calibrate import N_BATCHES, recalibrate_batch_norm
from edgewise.train.gate import Gate


def inherited(supernet: Supernet, plan: ArchPlan, train: Batches, *, n_batches: int = N_BATCHES, gate: Gate | None = None) -> MobileNet:
    """The network of a plan with inherited weights and batch norms measured anew, in evaluation mode.

    Args:
        supernet: The supernet; unchanged.
        plan: A network of its space.
        train: Batches for the statistics.
        n_batches: How many of them.
        gate: Passed before every batch.
    """
    child = derive(supernet, plan).eval()
    recalibrate_batch_norm(child, train, n_batches=n_batches, gate=gate)
    return child


@torch.no_grad()
def derive(supernet: Supernet, plan: ArchPlan) -> MobileNet:
    """The network of a plan with inherited weights: kernels cropped to their core, channels cut to the first ones.

    It computes what the supernet computes when held at the plan: in training and in evaluation in the form ``exact``.
    In the form ``published`` closed channels and skipped blocks emit constants, which are folded into the next norm's
    mean and into the shift of the block before, so that evaluation is the same.

    Args:
        supernet: The supernet; unchanged.
        plan: A network of its space.

    Returns:
        A new network, in the mode of the supernet.

    Raises:
        PlanError: The plan is not of the space.
    """
    child = MobileNet(supernet.space, plan)
    for name in ("stem", "head", "classifier"):
        getattr(child, name).load_state_dict(getattr(supernet, name).state_dict())
    before: InvertedBlock | None = None
    for block, choice in zip(supernet.superblocks, plan.blocks, strict=True):
        if choice.skip:
            if supernet.form == "published" and before is not None:
                before.project_norm.bias.add_(_constant(block))
            continue
        before = cast(InvertedBlock, child.blocks[str(choice.block)])
        _inherit(before, block, choice)
    return child.train(supernet.training)


@torch.no_grad()
def at_training_scale(child: MobileNet) -> MobileNet:
    """Scales a derived network's kernels to what its own would be drawn with, in place, so that they go on learning.

    A norm undoes the scale of the weights before it, so that the network computes what it did (but for the norms' epsilon). A step of
    training turns weights by the inverse of their squared norm (van Laarhoven 2017): depthwise superkernels, drawn some ten
    times as large as a network's own, would hardly move.

    Args:
        child: A network from :func:`derive` or :func:`inherited`.

    Returns:
        The same network.
    """
    for conv, norm in _normed(child):
        size = float(conv.weight.square().mean().sqrt())
        if size > 0 and norm.running_mean is not None and norm.running_var is not None:
            scale = drawn_deviation(conv) / size
            conv.weight.mul_(scale)
            norm.running_mean.mul_(scale)
            norm.running_var.mul_(scale * scale)
    return child


def _normed(net: MobileNet) -> Iterator[tuple[nn.Conv2d, nn.BatchNorm2d]]:
    """Every convolution that a norm follows, and the norm."""
    for part in (net.stem, net.head):
        yield cast(nn.Conv2d, part[0]), cast(nn.BatchNorm2d, part[1])
    for module in net.blocks.values():
        block = cast(InvertedBlock, module)
        if block.expand is not None:
            yield block.expand, block.expand_norm
        yield block.depthwise, block.depthwise_norm
        yield block.project, block.project_norm


def _inherit(child: InvertedBlock, parent: SuperBlock, choice: BlockChoice) -> None:
    inner = parent.block.in_channels * choice.expansion
    if child.expand is not None and parent.expand is not None and parent.expand_norm is not None:
        child.expand.weight.copy_(parent.expand.weight[:inner])
        _copy_norm(child.expand_norm, parent.expand_norm, inner)
    edge = (parent.block.kernels[-1] - choice.kernel) // 2
    core = slice(edge, parent.block.kernels[-1] - edge)
    child.depthwise.weight.copy_(parent.depthwise.weight[:inner, :, core, core])
    _copy_norm(child.depthwise_norm, parent.depthwise_norm, inner)
    if child.se is not None and parent.se is not None:
        reduced = parent.block.reduced(choice.se)
        child.se.reduce.weight.copy_(parent.se.reduce.weight[:reduced, :inner])
        _bias(child.se.reduce).copy_(_bias(parent.se.reduce)[:reduced])
        child.se.expand.weight.copy_(parent.se.expand.weight[:inner, :reduced])
        _bias(child.se.expand).copy_(_bias(parent.se.expand)[:inner])
    child.project.weight.copy_(parent.project.weight[:, :inner])
    _copy_norm(child.project_norm, parent.project_norm, parent.block.out_channels)
    if parent.form == "published" and child.project_norm.running_mean is not None:
        child.project_norm.running_mean -= parent.project.weight[:, inner:, 0, 0] @ _dead(parent)[inner:]


def _copy_norm(child: nn.BatchNorm2d, parent: nn.BatchNorm2d, channels: int) -> None:
    for name, tensor in parent.state_dict().items():
        held = child.state_dict()[name]
        held.copy_(tensor[:channels] if tensor.ndim else tensor)


def _dead(parent: SuperBlock) -> Tensor:
    """What channels with an all-zero kernel emit in evaluation: the activation of their norm at 0."""
    norm = parent.depthwise_norm
    assert norm.running_mean is not None and norm.running_var is not None
    emitted: Tensor = parent.act(norm.bias - norm.weight * norm.running_mean / torch.sqrt(norm.running_var + norm.eps))
    return emitted


def _constant(parent: SuperBlock) -> Tensor:
    """What a block with an all-zero kernel adds to its input in evaluation."""
    norm = parent.project_norm
    assert norm.running_mean is not None and norm.running_var is not None
    projected = parent.project.weight[:, :, 0, 0] @ _dead(parent)
    return norm.bias + norm.weight * (projected - norm.running_mean) / torch.sqrt(norm.running_var + norm.eps)


def _bias(conv: nn.Conv2d) -> Tensor:
    assert conv.bias is not None
    return conv.bias
