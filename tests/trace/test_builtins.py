import pytest
import torch

from edgewise.ir import WidthPlan
from edgewise.models.catalog import BUILT_IN
from edgewise.trace import apply_plan, trace


@pytest.mark.parametrize("name", ["vgg16", "resnet20", "resnet56-hrank"])
def test_a_trace_of_a_built_in_network_has_free_ties_and_counts_every_parameter(name: str) -> None:
    model = BUILT_IN[name].build().eval()
    traced = trace(model, (torch.randn(BUILT_IN[name].input_shape, generator=torch.Generator().manual_seed(0)),))
    assert all(tie.growable for tie in traced.net.ties[:-1])
    assert traced.net.params == sum(tensor.numel() for tensor in model.parameters())
    assert [layer.reason for layer in traced.net.left_alone] == ["the network returns it"]


def test_an_empty_plan_changes_no_bit() -> None:
    model = BUILT_IN["resnet20"].build().eval()
    images = torch.randn(1, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    same = apply_plan(model, WidthPlan(), trace(model, (images,)))
    assert same is not model
    assert all(torch.equal(tensor, same.state_dict()[name]) for name, tensor in model.state_dict().items())
    assert torch.equal(model(images), same(images))
