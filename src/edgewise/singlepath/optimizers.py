"""The optimisers of a search: momentum for weights, and steps of one common scale for thresholds."""

import torch
from torch import Tensor, nn

from edgewise.singlepath.settings import SearchSettings
from edgewise.singlepath.supernet import Supernet

_MOMENTUM, _MEMORY = 0.9, 0.99


def weight_optimizer(net: Supernet, settings: SearchSettings) -> torch.optim.SGD:
    """SGD with Nesterov momentum over all but the thresholds; weight decay on kernels and matrices only."""
    weights = [parameter for parameter in net.parameters() if parameter is not net.thresholds]
    groups = [
        {"params": [parameter for parameter in weights if parameter.ndim > 1], "weight_decay": settings.weight_decay},
        {"params": [parameter for parameter in weights if parameter.ndim <= 1], "weight_decay": 0.0},
    ]
    return torch.optim.SGD(groups, lr=settings.lr, momentum=_MOMENTUM, nesterov=True)


class ThresholdSteps:
    """Adam with one second moment for all thresholds.

    Each coordinate's own second moment would make a gate that nothing depends on move as fast as one that matters, as
    both are mostly noise; a common one keeps their means in proportion.

    Args:
        thresholds: What is trained, in place.
        lr: Size of a step of a coordinate of root-mean-square gradient.
    """

    def __init__(self, thresholds: nn.Parameter, lr: float) -> None:
        self._thresholds, self._lr = thresholds, lr
        self.mean = torch.zeros_like(thresholds.detach())
        self.square = torch.zeros((), dtype=thresholds.dtype, device=thresholds.device)
        self.count = 0

    @torch.no_grad()
    def step(self) -> None:
        """One step against the gradient; nothing without one."""
        gradient = self._thresholds.grad
        if gradient is None or not gradient.numel():
            return
        self.count += 1
        self.mean.mul_(_MOMENTUM).add_(gradient, alpha=1 - _MOMENTUM)
        self.square.mul_(_MEMORY).add_(gradient.square().mean(), alpha=1 - _MEMORY)
        size = torch.sqrt(self.square / (1 - _MEMORY**self.count)) + 1e-12
        self._thresholds.sub_(self.mean / size, alpha=self._lr / (1 - _MOMENTUM**self.count))

    def state(self) -> dict[str, Tensor]:
        """What it remembers, as tensors."""
        return {"mean": self.mean, "square": self.square, "count": torch.tensor(self.count)}

    def restore(self, state: dict[str, Tensor]) -> None:
        """Takes up what :meth:`state` gave."""
        self.mean.copy_(state["mean"])
        self.square.copy_(state["square"])
        self.count = int(state["count"])
