"""Losses and the schedule against numbers worked by hand."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional

from edgewise._core.errors import UsageError
from edgewise.train.objective import cross_entropy, distillation
from edgewise.train.precision import cpu_computes_bf16, mixed_precision, uses_bf16
from edgewise.train.schedule import one_cycle


def test_distillation_by_hand() -> None:
    student, teacher, temperature = [1.0, 2.0, -1.0], [0.5, 0.0, 3.0], 3.0

    def soft(logits: list[float]) -> list[float]:
        powers = [math.exp(value / temperature) for value in logits]
        return [power / sum(powers) for power in powers]

    divergence = sum(t * math.log(t / s) for s, t in zip(soft(student), soft(teacher), strict=True))
    twice = torch.tensor([student, student]), torch.tensor([teacher, teacher])
    assert distillation(*twice, temperature=temperature).item() == pytest.approx(9 * divergence, rel=1e-5)


def test_a_perfect_student_has_nothing_to_learn() -> None:
    logits = torch.randn(4, 5, generator=torch.Generator().manual_seed(0))
    assert abs(distillation(logits, logits.clone(), temperature=2.0).item()) < 1e-6


def test_smoothed_cross_entropy_by_hand() -> None:
    logits, target = torch.tensor([[2.0, 0.0]]), torch.tensor([0])
    right, wrong = -math.log(1 / (1 + math.exp(-2))), -math.log(1 / (1 + math.exp(2)))
    assert cross_entropy(0.0)(logits, target).item() == pytest.approx(right, rel=1e-5)
    assert cross_entropy(0.2)(logits, target).item() == pytest.approx(0.9 * right + 0.1 * wrong, rel=1e-5)


def test_cross_entropy_wants_logits() -> None:
    with pytest.raises(UsageError, match="pass your own loss"):
        cross_entropy(0.0)({"logits": torch.zeros(1, 2)}, torch.tensor([0]))


@given(st.integers(1, 500), st.floats(1e-4, 1.0))
def test_the_rate_rises_then_falls_within_its_bounds(n_steps: int, max_lr: float) -> None:
    rates = [one_cycle(step, n_steps, max_lr=max_lr) for step in range(n_steps)]
    assert all(1e-3 * max_lr * 0.999 <= rate <= max_lr * 1.001 for rate in rates)
    peak = rates.index(max(rates))
    assert rates[: peak + 1] == sorted(rates[: peak + 1])
    assert rates[peak:] == sorted(rates[peak:], reverse=True)


def test_the_processor_decides_where_nobody_does() -> None:
    assert uses_bf16(True, torch.device("cpu"))
    assert not uses_bf16(False, torch.device("cpu"))
    assert uses_bf16("auto", torch.device("cpu")) == cpu_computes_bf16(torch.cpu.get_capabilities())
    assert cpu_computes_bf16({"avx512_bf16": True, "avx2": True})
    assert cpu_computes_bf16({"amx_bf16": True})
    assert not cpu_computes_bf16({"avx2": True, "avx512_bf16": False})


def _backward(weight: torch.Tensor, images: torch.Tensor, *, bf16: bool) -> tuple[torch.Tensor, torch.Tensor]:
    """What a convolution gives for the images, and its kernel's gradient."""
    kernel = weight.clone().requires_grad_()
    with mixed_precision(torch.device("cpu"), bf16=bf16):
        maps = functional.conv2d(images, kernel, padding=1, groups=images.shape[1] // weight.shape[1])
    (maps.float() * torch.linspace(-1, 1, maps.numel()).reshape(maps.shape)).sum().backward()
    return maps.detach(), kernel.grad if kernel.grad is not None else torch.zeros(())


def test_depthwise_convolutions_stay_in_single_precision() -> None:
    torch.manual_seed(0)
    images = torch.randn(4, 6, 8, 8)
    for weight, exact in ((torch.randn(6, 1, 3, 3), True), (torch.randn(5, 6, 3, 3), False)):
        single, gradient = _backward(weight, images, bf16=False)
        mixed, mixed_gradient = _backward(weight, images, bf16=True)
        assert (single.dtype, mixed.dtype) == (torch.float32, torch.bfloat16)
        assert torch.equal(mixed, single.bfloat16()) is exact
        # The gradient that flows back is rounded to bf16 on its way either way.
        error = (mixed_gradient - gradient).abs().max() / gradient.abs().max()
        assert error < (5e-3 if exact else 5e-2)


def test_what_a_network_computes_in_single_precision_by_itself_stays_so() -> None:
    images, weight = torch.randn(1, 3, 5, 5), torch.randn(3, 1, 3, 3)
    with mixed_precision(torch.device("cpu"), bf16=True), torch.autocast("cpu", enabled=False):
        maps = functional.conv2d(images, weight, groups=3)
    assert maps.dtype == torch.float32
    assert torch.equal(maps, functional.conv2d(images, weight, groups=3))
