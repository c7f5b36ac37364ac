"""``edgewise inspect``: a network as hardware sees it."""

from dataclasses import asdict, dataclass
from typing import Any

from edgewise.ir import LayerSpec, LeftAlone, NetSpec, Tie
from edgewise.recipes.records import LoadedModel
from edgewise.recipes.requests import ModelRequest
from edgewise.recipes.runs import load_request
from edgewise.recipes.showing import inspect_card
from edgewise.trace import trace


@dataclass(frozen=True, kw_only=True, slots=True)
class InspectedLayer:
    """One layer with weights.

    Attributes:
        name: Path of the module.
        op: torch's functional name.
        in_channels: Channels read.
        out_channels: Channels written.
        macs: Multiply-accumulates for one input; 0 unless a convolution or linear layer.
        params: Learnt parameters; 0 where they are another layer's.
        tie: The tie that its output width is known by (it need not be free); none where there is none.
    """

    name: str
    op: str
    in_channels: int
    out_channels: int
    macs: int
    params: int
    tie: str | None


@dataclass(frozen=True, kw_only=True, slots=True)
class InspectResult:
    """What ``inspect`` found.

    Attributes:
        model: What people call the network.
        input_shape: Shape of its first input with a batch of one.
        macs: Multiply-accumulates of convolutions and linear layers, for one input.
        params: Learnt parameters.
        layers: Layers with weights, in running order.
        ties: Channels that must change together.
        left_alone: Layers whose widths cannot change, or not grow, with the reason.
        blocks: Residual blocks that can be left out.
    """

    model: str
    input_shape: tuple[int, ...]
    macs: int
    params: int
    layers: tuple[InspectedLayer, ...]
    ties: tuple[Tie, ...]
    left_alone: tuple[LeftAlone, ...]
    blocks: tuple[str, ...]

    def __repr__(self) -> str:
        """The result as people read it."""
        return inspect_card(self.to_json()).text()

    def _repr_html_(self) -> str:
        return inspect_card(self.to_json()).html()

    def to_json(self) -> dict[str, Any]:
        """The result as JSON values."""
        return {
            "model": self.model,
            "input_shape": list(self.input_shape),
            "macs": self.macs,
            "params": self.params,
            "layers": [asdict(layer) for layer in self.layers],
            "ties": [{**asdict(tie), "writers": list(tie.writers)} for tie in self.ties],
            "blocks": list(self.blocks),
            "left_alone": [asdict(layer) for layer in self.left_alone],
        }


def inspect_model(request: ModelRequest, *, loaded: LoadedModel | None = None) -> InspectResult:
    """Reads a model and says what it is to hardware.

    Args:
        request: The model, as a command names it.
        loaded: The model where it is in memory already; the request's own is then not read.

    Returns:
        Layers, multiply-accumulates, parameters and ties.

    Raises:
        EdgewiseError: The model cannot be loaded or traced; the text says why.
    """
    dense = load_request(request, loaded=loaded, gates=True).without_gates()
    return inspect_net(trace(dense.model, dense.inputs(), name=dense.name).net)


def inspect_net(net: NetSpec) -> InspectResult:
    """What a traced network is to hardware."""
    return InspectResult(
        model=net.name,
        input_shape=net.input_shapes[0],
        macs=net.macs,
        params=net.params,
        layers=tuple(_inspected(net, layer) for layer in net.layers if _has_weights(layer)),
        ties=net.ties,
        left_alone=net.left_alone,
        blocks=tuple(block.name for block in net.blocks),
    )


def _has_weights(layer: LayerSpec) -> bool:
    return layer.priced or layer.params > 0 or layer.shares is not None


def _inspected(net: NetSpec, layer: LayerSpec) -> InspectedLayer:
    return InspectedLayer(
        name=layer.name,
        op=layer.op,
        in_channels=layer.in_channels,
        out_channels=layer.out_channels,
        macs=layer.macs,
        params=layer.params,
        tie=net.own_tie(layer),
    )
