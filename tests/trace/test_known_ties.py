"""Ties of small networks, worked out by hand."""

from collections.abc import Callable
from dataclasses import dataclass

import pytest
import torch
from torch import nn

from edgewise.ir import Dim, Term
from edgewise.trace import Traced, trace

Make = Callable[[str], tuple[nn.Module, tuple[torch.Tensor, ...]]]


@dataclass(frozen=True, kw_only=True, slots=True)
class Case:
    """``ties``: name -> (width, free, growable); ``dims``: layer -> output dimension in text such as ``2*a.0+b.0+3``."""

    name: str
    ties: dict[str, tuple[int, bool, bool]]
    dims: dict[str, str]
    reasons: dict[str, str]


def case(name: str, ties: dict[str, tuple[int, bool, bool]], dims: dict[str, str], reasons: dict[str, str] | None = None) -> Case:
    return Case(name=name, ties={**ties, "head": (5, False, False)}, dims=dims, reasons=reasons or {})


FREE8 = (8, True, True)
CASES = [
    case("Chain", {"a.0": FREE8, "b.0": FREE8}, {"a.0": "a.0", "b.1": "b.0"}),
    case("Residual", {"a.0": FREE8}, {"b.0": "a.0", "add": "a.0"}),
    case(
        "Restored",
        {"a.0": FREE8, "b.0": (3, False, False)},
        {"input": "b.0", "b.0": "b.0", "sub": "b.0"},
        {"b.0": "it is the network's input"},
    ),
    case(
        "Padded",
        {"a.0": FREE8, "b.0": (4, True, True)},
        {"b.0": "a.0+b.0", "shortcut": "a.0+b.0", "c.0": "a.0+b.0"},
    ),
    case(
        "PaddedInCode",
        {"a.0": FREE8, "b.0": (4, False, False)},
        {"b.0": "a.0+b.0"},
        {"b.0": "number of padded channels written in code (pad in the network itself)"},
    ),
    case("Cropped", {"a.0": (3, True, True), "a.0:2": (5, True, True)}, {"a.0": "a.0+a.0:2", "b.0": "a.0:2"}),
    case("Depthwise", {"a.0": FREE8, "c.0": FREE8}, {"b.0": "a.0", "c.0": "c.0"}),
    case("Multiplied", {"a.0": FREE8}, {"b.0": "2*a.0", "flatten": "2*a.0"}),
    case("Grouped", {"a.0": (4, True, True), "b.0": (4, True, True)}, {"a.0": "2*a.0", "b.0": "2*b.0"}),
    case("Grouped4", {"a.0": (2, True, True), "b.0": (2, True, True)}, {"a.0": "4*a.0", "b.0": "4*b.0"}),
    case("Grouped3", {"a.0": FREE8, "b.0.0": (2, True, True), "b.1.0": (3, True, True)}, {"b.0.0": "3*b.0.0", "b.1.0": "3*b.1.0"}),
    case("Grouped32", {"a.0": FREE8, "b.0.0": (2, True, True), "b.1.0": (2, True, True), "b.2.0": (64, True, True)}, {"b.0.0": "32*b.0.0"}),
    case("Concat", {"a.0": FREE8, "b.0": (6, True, True)}, {"cat": "a.0+b.0", "c.0": "a.0+b.0"}),
    case("Gate", {"a.0": FREE8, "b": (4, True, True)}, {"c": "a.0", "mul": "a.0"}),
    case("Shuffle", {"a.0": FREE8, "b.0": (4, True, True)}, {"b.0": "2*b.0", "c.0": "2*b.0"}),
    case("Chunk", {"a.0": (4, True, True), "b.0": (5, True, True)}, {"a.0": "2*a.0", "cat": "a.0+b.0"}),
    case("SplitByAttribute", {"a.0": (3, True, True), "a.0:2": (5, True, True), "b.0": (7, True, True)}, {"a.0": "a.0+a.0:2"}),
    case("Flat", {"a.0": FREE8, "b.0": FREE8}, {"flatten": "16*b.0"}),
    case("Shared", {"a.0": FREE8}, {"a.0": "a.0", "b.0": "a.0"}, {}),
    case("LayerScale", {"a.0": FREE8}, {"b.0": "a.0", "mul": "a.0"}),
    case(
        "ConvNeXt",
        {"a.0": (8, True, False), "up": (32, True, True)},
        {"dw": "a.0", "down": "a.0"},
        {"a.0": "layer_norm in norm normalises across channels"},
    ),
    case(
        "GroupNormed",
        {"a.0": FREE8, "b.0": (4, True, False), "b.3.0": FREE8},
        {"b.0": "2*b.0"},
        {"b.0": "group_norm in b.1 normalises across channels"},
    ),
    case(
        "WeightStandardised",
        {"a.0": (8, True, False), "b.0": (6, True, False), "b.2": (8, True, False)},
        {},
        {"b.0": "its weight is computed by batch_norm in b.0"},
    ),
    case("Transposed", {"a.0": FREE8, "b.0": (5, True, True), "b.2": (3, True, True)}, {"b.0": "2*b.0", "b.2": "2*b.2"}),
    case("Glu", {"a.0": FREE8, "b": (6, True, True)}, {"b": "2*b", "glu": "b"}),
    case("Pixels", {"a.0": FREE8, "b": (3, True, True)}, {"b": "4*b", "pixel_shuffle": "b"}),
]


@pytest.mark.parametrize("known", CASES, ids=lambda known: known.name)
def test_the_ties_are_those_found_by_hand(known: Case, subject: Make) -> None:
    net = trace(*subject(known.name)).net
    assert {tie.name: (tie.width, tie.free, tie.growable) for tie in net.ties} == known.ties
    for layer, text in known.dims.items():
        assert net.layer(layer).out_dim == parse(text), layer
    for tie, reason in known.reasons.items():
        assert net.tie(tie).reason == reason


def parse(text: str) -> Dim:
    terms, fixed = [], 0
    for part in text.split("+"):
        times, _, tie = part.rpartition("*")
        if tie.isdigit():
            fixed = int(tie)
        else:
            terms.append(Term(tie=tie, times=int(times or 1)))
    return Dim(terms=tuple(sorted(terms)), fixed=fixed)


@pytest.mark.parametrize(
    ("name", "layer", "reason"),
    [
        ("FlatInCode", "b.0", "size written in code (view in the network itself)"),
        ("SplitInCode", "a.0", "size written in code (split_with_sizes in the network itself)"),
        ("Attention", "q", "read by matmul in the network itself"),
        ("Mixed", "a.0", "linear in b runs once for each of them"),
        ("Twins", "c", "the network returns it"),
    ],
)
def test_what_cannot_change_is_named_with_the_reason(name: str, layer: str, reason: str, subject: Make) -> None:
    alone = {layer.name: layer.reason for layer in trace(*subject(name)).net.left_alone}
    assert alone[layer] == reason


def test_the_rest_of_a_network_with_sizes_in_its_code_stays_free(subject: Make) -> None:
    net = trace(*subject("FlatInCode")).net
    assert net.tie("a.0").growable
    assert not net.tie("b.0").free


def test_a_broadcast_map_of_one_channel_stays_and_a_mean_over_channels_forbids_growth(subject: Make) -> None:
    net = trace(*subject("Spatial")).net
    assert not net.tie("b").free
    assert net.tie("a.0").free
    assert net.tie("a.0").reason == "read across channels by mean in the network itself"


def test_two_inputs_and_a_dictionary_of_outputs_are_followed(subject: Make) -> None:
    net = trace(*subject("Twins")).net
    assert net.input_shapes == ((1, 3, 8, 8), (1, 1, 8, 8))
    assert net.tie("a.0").writers == ("a.0", "b.0")
    assert net.outputs == ("c", "mean")
    assert not net.tie("a.0").growable


def test_a_weight_used_twice_is_counted_once(subject: Make) -> None:
    model, inputs = subject("Shared")
    net = trace(model, inputs).net
    assert net.layer("b.0_2").shares == "b.0"
    assert net.params == sum(tensor.numel() for tensor in model.parameters())
    assert net.layer("b.0_2").macs == net.layer("b.0").macs == 8 * 8 * 9 * 64


def test_counts_of_every_small_network_agree_with_its_parameters(network: str, subject: Make) -> None:
    model, inputs = subject(network)
    traced: Traced = trace(model, inputs, verify=False)
    assert traced.net.params == sum(tensor.numel() for tensor in model.parameters())


def test_macs_of_a_chain_by_hand(subject: Make) -> None:
    assert trace(*subject("Chain")).net.macs == 64 * (3 * 8 * 9 + 8 * 8 * 9) + 8 * 5
