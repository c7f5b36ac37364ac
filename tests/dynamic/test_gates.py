"""Attention, masks and where gates go."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from cost.chip.networks import net
from edgewise._core.errors import PlanError, UsageError
from edgewise.dynamic import (
    GatedNetwork,
    GateRules,
    channel_attention,
    gate_masks,
    gated,
    place_gates,
    record_masks,
    spatial_attention,
    top_k_mask,
)
from edgewise.dynamic.gating import apply_masks
from edgewise.ir.gates import Gate, GatePlan, kept_count
from edgewise.recipes.runs import load_model


def _gate(channels: float, positions: float, *, n: int = 6, side: int = 4) -> Gate:
    return Gate(consumer="2", producer="0", block=0, channels=n, hw=(side, side), channel_ratio=channels, spatial_ratio=positions)


def test_attention_by_hand() -> None:
    maps = torch.tensor([[[[1.0, 3.0]], [[0.0, 2.0]]]])
    assert channel_attention(maps).tolist() == [[2.0, 1.0]]
    assert spatial_attention(maps).tolist() == [[[0.5, 2.5]]]


@settings(max_examples=40, deadline=None)
@given(n=st.integers(1, 30), kept=st.integers(0, 30), seed=st.integers(0, 99))
def test_exactly_kept_are_marked_and_ties_go_to_the_first(n: int, kept: int, seed: int) -> None:
    kept = min(kept, n)
    scores = torch.randint(0, 3, (4, n), generator=torch.Generator().manual_seed(seed)).float()
    mask = top_k_mask(scores, kept)
    assert mask.sum(1).tolist() == [kept] * 4
    for row, marked in zip(scores.tolist(), mask.tolist(), strict=True):
        wanted = sorted(range(n), key=lambda place: (-row[place], place))[:kept]
        assert [place for place in range(n) if marked[place]] == sorted(wanted)


def test_counts_have_no_float_traps() -> None:
    assert [kept_count(10, ratio) for ratio in (0.7, 0.9)] == [3, 1]
    assert all(kept_count(count, 0.0) == count for count in range(1, 20))


def test_both_masks_come_from_the_map_as_it_is() -> None:
    maps = torch.rand(3, 6, 4, 4, generator=torch.Generator().manual_seed(0))
    channels, positions = gate_masks(maps, _gate(0.5, 0.25))
    assert torch.equal(channels, top_k_mask(channel_attention(maps), 3))
    assert torch.equal(positions.flatten(1), top_k_mask(spatial_attention(maps).flatten(1), 12))


def test_channels_may_be_ranked_on_what_positions_left() -> None:
    # Means of the channels: 2.75 and 2.6; of the positions: 2.85 and 2.5. Without the second position: 0.25 and 2.6.
    maps = torch.tensor([[[[0.5, 5.0]], [[5.2, 0.0]]]])
    gate = Gate(consumer="2", producer="0", block=0, channels=2, hw=(1, 2), channel_ratio=0.5, spatial_ratio=0.5)
    channels, positions = gate_masks(maps, gate)
    assert channels.tolist() == [[True, False]] and positions.tolist() == [[[True, False]]]
    assert gate_masks(maps, gate, GateRules(sequential=True))[0].tolist() == [[False, True]]


def test_groups_and_blocks_are_kept_whole() -> None:
    maps = torch.rand(2, 6, 4, 4, generator=torch.Generator().manual_seed(0))
    channels, positions = gate_masks(maps, _gate(0.5, 0.5), GateRules(channel_group=4, spatial_block=2))
    assert channels.sum(1).tolist()[0] in (2, 4)  # one of a group of 4 and a rest of 2
    assert torch.equal(positions[:, ::2, ::2].repeat_interleave(2, 1).repeat_interleave(2, 2), positions)


def test_vgg16_has_twelve_gates_and_resnet56_one_a_block() -> None:
    vgg, resnet = (place_gates(net(name), channel_ratios=(0.5,)) for name in ("vgg16", "resnet56"))
    assert len(vgg.gates) == 12 and vgg.n_blocks == 5 and [gate.block for gate in vgg.gates] == [0, 0, 1, 1, 2, 2, 2, 3, 3, 3, 4, 4]
    assert len(resnet.gates) == 27 and all(gate.consumer.endswith("conv2") for gate in resnet.gates)


def test_block_outputs_are_gated_where_asked_for_and_the_shortcut_stays_whole() -> None:
    spec = net("resnet20")
    plan = place_gates(spec, channel_ratios=(0.5,), block_outputs=True)
    assert len(plan.gates) == 18 and plan.gates[0].producer == "conv1" and plan.gates[2].producer.endswith("add")
    assert len(place_gates(spec).gates) == 9
    model = GatedNetwork(load_model("resnet20").model, plan).eval()
    seen: dict[str, torch.Tensor] = {}
    for name in ("layer1.1", "layer1.1.conv1"):
        # Registered behind the gate's own hook, so that it sees what the convolution reads.
        model.network.get_submodule(name).register_forward_pre_hook(lambda _module, inputs, name=name: seen.update({name: inputs[0]}))
    with torch.no_grad():
        model(torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(0)))
    read = seen["layer1.1.conv1"].abs().sum((2, 3)) > 0
    assert bool((read.sum(1) <= 8).all()) and int((seen["layer1.1"].abs().sum((2, 3)) > 0).sum()) > int(read.sum())


def test_grouped_convolutions_read_whole_maps() -> None:
    spec = net("mobilenet-v2")
    gates = place_gates(spec, channel_ratios=(0.5,)).gates
    assert gates and all(spec.layer(gate.consumer).groups == 1 for gate in gates)


def test_masks_alone_save_no_work() -> None:
    model = nn.Sequential(nn.Conv2d(3, 6, 3, padding=1), nn.ReLU(), nn.Conv2d(6, 4, 3, padding=1)).eval()
    plan, images, counts = GatePlan(gates=(_gate(0.5, 0.5),), n_blocks=1), torch.rand(1, 3, 4, 4), []
    for network in (model, GatedNetwork(model, plan)):
        with FlopCounterMode(display=False) as counter, torch.no_grad():
            network(images)
        counts.append(counter.get_total_flops())
    assert counts[1] >= counts[0] > 0


def test_wrong_ratios_are_refused() -> None:
    with pytest.raises(PlanError, match=r"--channel-ratios needs 1 ratio or 5 \(one for each block\), got 3"):
        place_gates(net("vgg16"), channel_ratios=(0.1, 0.2, 0.3))
    with pytest.raises(PlanError, match=r"must lie in \[0, 1\), got 1"):
        place_gates(net("vgg16"), spatial_ratios=(1.0,))


def test_gates_act_only_while_they_are_open_and_masks_are_recorded() -> None:
    model = nn.Sequential(nn.Conv2d(3, 6, 3, padding=1), nn.ReLU(), nn.Conv2d(6, 4, 1)).eval()
    images = torch.rand(5, 3, 4, 4, generator=torch.Generator().manual_seed(0))
    plan = GatePlan(gates=(_gate(0.5, 0.5),), n_blocks=1)
    before = model(images)
    masks = record_masks(model, plan, [(images,)])
    with gated(model, plan), torch.no_grad():
        pruned = model(images)
    assert torch.equal(model(images), before) and not torch.allclose(pruned, before)
    mask = masks["2"]
    assert mask.channels.sum(1).tolist() == [3] * 5 and mask.positions.sum((1, 2)).tolist() == [8] * 5
    maps = model[1](model[0](images))
    kept = torch.from_numpy(mask.channels)[:, :, None, None] * torch.from_numpy(mask.positions)[:, None]
    torch.testing.assert_close(pruned, model[2](maps * kept))


def test_ratio_zero_is_the_dense_network_bit_for_bit() -> None:
    model = nn.Sequential(nn.Conv2d(3, 6, 3, padding=1), nn.ReLU(), nn.Conv2d(6, 4, 1)).eval()
    images = torch.rand(2, 3, 4, 4)
    with gated(model, GatePlan(gates=(_gate(0.0, 0.0),), n_blocks=1)):
        assert torch.equal(model(images), nn.Sequential(*model)(images))


def test_kept_outside_its_range() -> None:
    with pytest.raises(UsageError, match=r"must lie in \[0, 3\], got kept=4"):
        top_k_mask(torch.rand(1, 3), 4)


@pytest.mark.parametrize("order", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("kind", [torch.float32, torch.bfloat16, torch.float64])
def test_masks_multiply_maps_of_every_order_and_type_exactly(order: torch.memory_format, kind: torch.dtype) -> None:
    random = torch.Generator().manual_seed(0)
    maps = torch.randn(5, 16, 8, 6, generator=random).to(kind).contiguous(memory_format=order)
    channels, positions = torch.rand(5, 16, generator=random) > 0.2, torch.rand(5, 8, 6, generator=random) > 0.3
    for channel_ratio, spatial_ratio in ((0.2, 0.3), (0.2, 0.0), (0.0, 0.3)):
        gate = Gate(consumer="2", producer="0", block=0, channels=16, hw=(8, 6), channel_ratio=channel_ratio, spatial_ratio=spatial_ratio)
        kept = channels if channel_ratio else torch.ones_like(channels)
        wanted = maps * kept[:, :, None, None]
        if spatial_ratio:
            wanted = wanted * positions[:, None]
        with torch.autocast("cpu", dtype=torch.bfloat16):
            masked = apply_masks(maps, gate, kept, positions)
        assert torch.equal(masked, wanted)
        assert (masked.dtype, masked.stride()) == (maps.dtype, maps.stride())
