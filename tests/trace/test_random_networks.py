"""Random small networks and random plans: surgery is exact on every one."""

import numpy as np
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.func import functional_call

from edgewise.ir import TiePlan, WidthPlan
from edgewise.trace import apply_plan, trace
from edgewise.trace.trials import Trial, silenced

BLOCKS = ("plain", "residual", "concat", "depthwise", "gate", "grouped", "chunk")


class Block(nn.Module):
    def __init__(self, kind: str, width: int, other: int) -> None:
        super().__init__()
        self.kind = kind
        self.out = {"plain": other, "concat": width + other, "chunk": width // 2 + other}.get(kind, width)
        n_in = width - width // 2 if kind == "chunk" else width
        n_out = other if kind in ("plain", "concat", "chunk") else width
        self.conv = nn.Conv2d(n_in, n_out, 3, padding=1, groups={"depthwise": width, "grouped": 2}.get(kind, 1))
        self.norm = nn.BatchNorm2d(n_out)
        self.gate = nn.Conv2d(width, width, 1) if kind == "gate" else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        if self.kind == "chunk":
            first, second = x.chunk(2, 1)
            return torch.cat([first, torch.relu(self.norm(self.conv(second)))], 1)
        y = torch.relu(self.norm(self.conv(x)))
        if self.kind == "gate":
            return y * torch.sigmoid(self.gate(x.mean((2, 3), keepdim=True)))
        return torch.cat([x, y], 1) if self.kind == "concat" else x + y if self.kind == "residual" else y


class RandomNet(nn.Module):
    def __init__(self, kinds: list[str], widths: list[int]) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, padding=1)
        blocks, width = [], 8
        for kind, other in zip(kinds, widths, strict=True):
            chosen = kind if width % 2 == 0 or kind not in ("chunk", "grouped") else "plain"
            blocks.append(Block(chosen, width, other))
            width = blocks[-1].out
        self.blocks = nn.Sequential(*blocks)
        self.head = nn.Linear(width, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.blocks(torch.relu(self.stem(x))).mean((2, 3)))


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data(), n_blocks=st.integers(1, 4), seed=st.integers(0, 2**16))
def test_surgery_is_exact_on_random_networks(data: st.DataObject, n_blocks: int, seed: int) -> None:
    kinds = data.draw(st.lists(st.sampled_from(BLOCKS), min_size=n_blocks, max_size=n_blocks))
    widths = data.draw(st.lists(st.sampled_from([2, 3, 4, 6]), min_size=n_blocks, max_size=n_blocks))
    generator = torch.Generator().manual_seed(seed)
    model = RandomNet(kinds, widths).double().eval()
    with torch.no_grad():
        for tensor in model.parameters():
            tensor.copy_(torch.randn(tensor.shape, generator=generator, dtype=torch.float64) * 0.5)
    images = torch.randn(1, 3, 6, 6, generator=generator, dtype=torch.float64)
    traced = trace(model, (images,))
    # All can shrink; what cannot grow (a half of a chunk whose reader's groups begin elsewhere) says why.
    assert all(tie.free and (tie.growable or tie.reason) for tie in traced.net.ties[:-1])
    rng = np.random.default_rng(seed)
    plans = []
    for tie in traced.net.ties[:-1]:
        keep = rng.choice(tie.width, size=int(rng.integers(1, tie.width + 1)), replace=False)
        plans.append(TiePlan(tie=tie.name, keep=tuple(sorted(keep.tolist())), grow=int(rng.integers(0, 3)) if tie.growable else 0))
    plan = WidthPlan(ties=tuple(plans))
    silent = silenced(model, Trial(plan=plan, grows=True, exact=True), traced)
    with torch.no_grad():
        expected = functional_call(model, silent, (images,))
        torch.testing.assert_close(apply_plan(model, plan, traced)(images), expected, rtol=1e-9, atol=1e-9)


def test_one_unit_in_both_halves_of_a_map_does_not_grow() -> None:
    """Its two places lie side by side: new units belong behind each, as they would belong behind both in a flattened map."""
    images = torch.zeros(1, 3, 6, 6, dtype=torch.float64)
    traced = trace(RandomNet(["plain", "depthwise", "chunk"], [2, 2, 2]).double().eval(), (images,))
    halves = next(tie for tie in traced.net.ties if "blocks.0.conv" in tie.writers)
    assert (halves.width, halves.free, halves.growable) == (1, True, False)
    assert halves.reason.startswith("its only unit stands at places side by side")
