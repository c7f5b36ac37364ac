"""Small spaces and prices for tests of the search."""

import numpy as np
import torch
from torch import nn

from edgewise.space import Space, Stage
from edgewise.space.prices import Prices, price_space


def small_space(*, ses: tuple[float, ...] = (0.0,), kernels: tuple[int, ...] = (3, 5)) -> Space:
    """Two stages, one of three blocks with and without stride."""
    return Space(
        name="small",
        input_shape=(1, 3, 16, 16),
        stem=8,
        stem_stride=1,
        stages=(
            Stage(width=8, depth=1, kernels=(3,), expansions=(1,), skip=False),
            Stage(width=8, depth=3, stride=2, kernels=kernels, ses=ses),
            Stage(width=12, depth=2, stride=1, kernels=kernels, ses=ses),
        ),
        head=16,
        n_classes=4,
    )


def random_prices(space: Space, seed: int = 0) -> Prices:
    """Prices between 1 and 2 ms a block."""
    rng = np.random.default_rng(seed)
    return price_space(space, constant_s=5e-3, price_s=lambda choice: float(rng.uniform(1e-3, 2e-3)))


def images(space: Space, n: int = 6, *, dtype: torch.dtype = torch.float64) -> torch.Tensor:
    return torch.randn((n, *space.input_shape[1:]), generator=torch.Generator().manual_seed(1), dtype=dtype)


def with_odd_norms(model: nn.Module, seed: int = 3) -> nn.Module:
    """Batch norms with scales, shifts and statistics unlike those at the start."""
    generator = torch.Generator().manual_seed(seed)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            with torch.no_grad():
                module.weight.copy_(0.5 + torch.rand(module.weight.shape, generator=generator))
                module.bias.copy_(torch.randn(module.bias.shape, generator=generator))
            assert module.running_mean is not None and module.running_var is not None
            module.running_mean.copy_(torch.randn(module.running_mean.shape, generator=generator))
            module.running_var.copy_(0.5 + torch.rand(module.running_var.shape, generator=generator))
    return model
