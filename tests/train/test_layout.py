"""Networks run with channels last where they can, and are judged alike either way."""

import pytest
import torch
from torch import Tensor, nn

from edgewise.train.calibrate import recalibrate_batch_norm
from edgewise.train.evaluate import accuracy
from edgewise.train.layout import LaidOut, evaluation_mode, takes_channels_last


class Recorder(nn.Module):
    """A small network that notes how its inputs lie; ``view`` cannot flatten channels that lie last."""

    def __init__(self, *, by_view: bool) -> None:
        super().__init__()
        self.conv, self.norm, self.classifier = nn.Conv2d(3, 4, 3, padding=1), nn.BatchNorm2d(4), nn.Linear(4 * 64, 5)
        self.by_view = by_view
        self.last: list[bool] = []

    def forward(self, images: Tensor) -> Tensor:
        self.last.append(images.is_contiguous(memory_format=torch.channels_last) and not images.is_contiguous())
        maps = self.norm(self.conv(images)).relu()
        flat = maps.view(len(maps), -1) if self.by_view else maps.flatten(1)
        scores: Tensor = self.classifier(flat)
        return scores


def batches() -> list[tuple[Tensor, Tensor]]:
    generator = torch.Generator().manual_seed(0)
    return [(torch.randn(6, 3, 8, 8, generator=generator), torch.randint(0, 5, (6,), generator=generator)) for _ in range(3)]


@pytest.mark.parametrize("by_view", [True, False])
def test_judging_uses_channels_last_where_the_network_takes_them(by_view: bool) -> None:
    torch.manual_seed(0)
    network, data = Recorder(by_view=by_view), batches()
    recalibrate_batch_norm(network, data)
    assert network.last[1:] == [not by_view] * 3
    network.last.clear()
    found = accuracy(network, data)
    assert network.last[1:] == [not by_view] * 3
    with evaluation_mode(network), torch.no_grad():
        right = sum(int((network(images).argmax(1) == classes).sum()) for images, classes in data)
    assert found == right / 18


def test_statistics_are_those_of_either_layout() -> None:
    torch.manual_seed(0)
    network, other = Recorder(by_view=True), Recorder(by_view=False)
    other.load_state_dict(network.state_dict())
    for one in (network, other):
        recalibrate_batch_norm(one, batches())
    torch.testing.assert_close(network.norm.running_var, other.norm.running_var)


def test_trying_a_layout_leaves_modes_and_statistics_alone() -> None:
    network = Recorder(by_view=False).train()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    assert takes_channels_last(network, batches()[0][0]) and network.training and network.norm.training
    torch.testing.assert_close(dict(network.state_dict()), before, rtol=0, atol=0)


def test_inputs_that_are_no_images_pass_as_they_are() -> None:
    rows = torch.randn(4, 7)
    assert LaidOut(nn.Linear(7, 2))(rows) is rows
