"""Which residual blocks a network really computes on without: tried, not believed."""

import copy
import re
from collections.abc import Iterable
from dataclasses import replace

import torch
from torch import nn

from edgewise.ir import Block, LayerSpec, NetSpec
from edgewise.trace.record import Record, run_recorded
from edgewise.trace.surgery import without_modules
from edgewise.trace.traced import Traced
from edgewise.trace.trials import agree


def with_exact_blocks(traced: Traced, model: nn.Module, record: Record) -> Traced:
    """The trace with those blocks alone that can be left out.

    What a block adds is made zero by zeroing the weights of its last layer; the network must then compute the same with the
    block and without it. All blocks are tried together, and one by one where that fails.

    Args:
        traced: A trace with the blocks that look so.
        model: The traced network, in evaluation mode; it is not changed.
        record: Its run.
    """
    net = traced.net
    blocks = tuple(block for block in net.blocks if _last_of(block, net, model) is not None)
    if blocks and not _is_exact(blocks, net, model, record):
        blocks = tuple(block for block in blocks if _is_exact((block,), net, model, record))
    return traced if blocks == net.blocks else replace(traced, net=replace(net, blocks=blocks))


def _is_exact(blocks: Iterable[Block], net: NetSpec, model: nn.Module, record: Record) -> bool:
    """Whether the network computes the same without these blocks as with zeros added by them."""
    adding_nothing = copy.deepcopy(model)
    for block in blocks:
        last = _last_of(block, net, adding_nothing)
        assert last is not None
        with torch.no_grad():
            for parameter in last.parameters(recurse=False):
                parameter.zero_()
    before = run_recorded(adding_nothing, record.inputs)
    after = run_recorded(without_modules(adding_nothing, [block.name for block in blocks]), record.inputs)
    return before.error is None and after.error is None and agree(before.outputs, after.outputs)


def _last_of(block: Block, net: NetSpec, model: nn.Module) -> nn.Module | None:
    """The last module with weights whose output is what a block adds, up to a factor; none where that cannot be told."""
    layer = next(net.layer(name) for name in block.layers if block.source in net.layer(name).inputs and net.layer(name).op == "add")
    branch = next((name for name in layer.inputs if name != block.source), None)
    while branch in block.layers:
        layer = net.layer(branch)
        module = _module_of(layer, model)
        if module is not None:
            return module
        maps = [name for name in layer.inputs if name in block.layers and net.layer(name).out_hw == layer.out_hw]
        branch = maps[0] if maps else None
    return None


def _module_of(layer: LayerSpec, model: nn.Module) -> nn.Module | None:
    """The module that holds a layer's weights and is called once."""
    path = re.sub(r"_\d+$", "", layer.name)
    for name in dict.fromkeys((layer.name, path)):
        try:
            module = model.get_submodule(name)
        except AttributeError:
            continue
        if next(module.parameters(recurse=False), None) is not None and next(module.children(), None) is None:
            return module
    return None
