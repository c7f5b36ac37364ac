"""Rankings that attention is compared with."""

import pytest
import torch
from torch import nn

from edgewise._core.errors import UsageError
from edgewise.dynamic import GateRules, gate_masks, gated
from edgewise.dynamic.rankings import oracle_scores, static_channels
from edgewise.ir.gates import Gate, GatePlan


def _gate(**changes: object) -> Gate:
    known: dict[str, object] = {"consumer": "2", "producer": "0", "block": 0, "channels": 6, "hw": (5, 5), "channel_ratio": 0.5}
    return Gate(**(known | changes))  # type: ignore[arg-type]


def _model() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 6, 3, padding=1), nn.ReLU(), nn.Conv2d(6, 4, 3, padding=1)).eval()


@pytest.mark.parametrize(
    "reader",
    [
        nn.Conv2d(6, 4, 3, padding=1),
        nn.Conv2d(6, 4, 3, padding=1, stride=2),
        nn.Conv2d(6, 4, 1, stride=2),
        nn.Conv2d(6, 4, 5, padding=2),
        nn.Conv2d(6, 4, 3, padding=0, dilation=2),
    ],
    ids=["3x3", "3x3 stride 2", "1x1 stride 2", "5x5", "dilated"],
)
def test_the_oracle_is_what_removing_one_entry_changes(reader: nn.Conv2d) -> None:
    maps = torch.rand(2, 6, 7, 6, generator=torch.Generator().manual_seed(1))
    channels, positions = oracle_scores(maps, reader)
    with torch.no_grad():
        whole = reader(maps)
        for channel in range(6):
            less = maps.clone()
            less[:, channel] = 0
            torch.testing.assert_close(channels[:, channel], (whole - reader(less)).square().sum((1, 2, 3)), rtol=1e-3, atol=1e-5)
        for place in ((0, 0), (3, 2), (6, 5), (1, 4)):
            less = maps.clone()
            less[:, :, place[0], place[1]] = 0
            expected = (whole - reader(less)).square().sum((1, 2, 3))
            torch.testing.assert_close(positions[:, place[0], place[1]], expected, rtol=1e-3, atol=1e-5)


def test_the_oracle_refuses_other_padding() -> None:
    with pytest.raises(UsageError, match="padded by a number of zeros, got 'same'"):
        oracle_scores(torch.rand(1, 6, 4, 4), nn.Conv2d(6, 4, 3, padding="same"))


def test_the_oracle_loses_less_of_one_channel_than_any_other_choice() -> None:
    model, images = _model(), torch.rand(3, 3, 5, 5, generator=torch.Generator().manual_seed(2))
    plan = GatePlan(gates=(_gate(channel_ratio=1 / 6),), n_blocks=1)
    with torch.no_grad():
        whole = model(images)
        with gated(model, plan, GateRules(ranking="oracle")):
            best = (model(images) - whole).square().sum((1, 2, 3))
        for ranking in ("attention", "random", "lowest", "static"):
            with gated(model, plan, GateRules(ranking=ranking)):
                assert bool((best <= (model(images) - whole).square().sum((1, 2, 3)) + 1e-6).all())


def test_static_ranking_keeps_the_heaviest_filters_for_every_image() -> None:
    model = _model()
    with torch.no_grad():
        for place, weight in enumerate((0.1, 0.6, 0.3, 0.5, 0.2, 0.4)):
            model[0].weight[place] = weight
    plan = GatePlan(gates=(_gate(),), n_blocks=1)
    assert static_channels(model, plan)["2"].tolist() == [False, True, False, True, False, True]
    kept: list[torch.Tensor] = []
    with gated(model, plan, GateRules(ranking="static"), watch=lambda _gate, channels, _positions: kept.append(channels)), torch.no_grad():
        model(torch.rand(3, 3, 5, 5))
    assert bool((kept[0] == kept[0][:1]).all())


def test_static_ranking_refuses_sums_and_positions() -> None:
    with pytest.raises(UsageError, match="'1' is none"):
        static_channels(_model(), GatePlan(gates=(_gate(producer="1"),), n_blocks=1))
    with pytest.raises(UsageError, match=r"for channels alone, got a spatial ratio of 0.5"):
        static_channels(_model(), GatePlan(gates=(_gate(spatial_ratio=0.5),), n_blocks=1))


def test_scores_given_take_the_place_of_attention() -> None:
    maps = torch.rand(1, 6, 2, 2)
    scores = torch.tensor([[6.0, 5.0, 4.0, 3.0, 2.0, 1.0]]), torch.zeros(1, 2, 2)
    channels, positions = gate_masks(maps, _gate(hw=(2, 2), spatial_ratio=0.5), scores=scores)
    assert channels.tolist() == [[True] * 3 + [False] * 3] and positions.flatten().tolist() == [True, True, False, False]


def test_attention_is_far_above_random_where_channels_differ() -> None:
    # Channels of very different size, as behind ReLU: what is small matters little to the reader.
    model, generator = _model(), torch.Generator().manual_seed(3)
    with torch.no_grad():
        model[0].weight *= torch.tensor([4.0, 0.1, 3.0, 0.1, 2.0, 0.1])[:, None, None, None]
        model[0].bias.zero_()
        images = torch.rand(64, 3, 5, 5, generator=generator)
        whole = model(images)
        lost = {}
        for ranking in ("attention", "random", "lowest"):
            with gated(model, GatePlan(gates=(_gate(),), n_blocks=1), GateRules(ranking=ranking)):
                lost[ranking] = float((model(images) - whole).square().mean())
    assert 4 * lost["attention"] < lost["random"] < lost["lowest"]


def test_attention_of_bf16_maps_is_not_rounded() -> None:
    maps = torch.ones(1, 2, 16, 16, dtype=torch.bfloat16)
    maps[0, 1, 0, 0] = 1.0078125  # the next bf16 number: lost in a mean that is rounded to bf16
    channels, _ = gate_masks(maps, _gate(channels=2, hw=(16, 16)))
    assert channels.tolist() == [[False, True]]
