"""One step of training: the loss of a batch, and the optimiser that follows it."""

from copy import deepcopy
from typing import Any

import torch
from torch import Tensor, nn

from edgewise._core.errors import UsageError
from edgewise.train.batches import call, map_tensors
from edgewise.train.hints import hint_loss, recorded_inputs
from edgewise.train.objective import as_float, cross_entropy, distillation
from edgewise.train.precision import mixed_precision, uses_bf16
from edgewise.train.settings import FineTune, Goal


class LossOfBatch:
    """The loss of a batch: the goal's own or cross entropy, mixed with distillation where there is a teacher.

    ``(1 - w) * loss + w * distillation`` for the distillation weight ``w``, and the weighted error of the maps where there are hints.
    Networks run under bf16 autocast where told; losses are summed in single precision.

    Args:
        config: Weights of the terms, and precision.
        goal: The loss and the teacher.
        device: Where the networks run.
    """

    def __init__(self, *, config: FineTune, goal: Goal, device: torch.device) -> None:
        self.bf16 = uses_bf16(config.bf16, device)
        self._config, self._device = config, device
        self._loss = goal.loss or cross_entropy(config.label_smoothing)
        self._regime = goal.regime
        self._hints = goal.hints
        self._maps: list[Tensor] = []
        self.teacher = None if goal.teacher is None else deepcopy(goal.teacher).to(device).eval()

    def __call__(self, model: nn.Module, inputs: Any, target: Any) -> Tensor:  # noqa: ANN401 - any model's inputs
        """A scalar that gradients flow through."""
        try:
            if self._regime is None:
                return self._plain(self._learn(model, inputs), inputs, target)
            return self._regime.loss(model, lambda: self._learn(model, inputs), lambda output: self._plain(output, inputs, target))
        finally:
            self._maps = []

    def _plain(self, output: Any, inputs: Any, target: Any) -> Tensor:  # noqa: ANN401 - any model's inputs and outputs
        loss = self._loss(output, target)
        if not isinstance(loss, Tensor) or loss.numel() != 1:
            raise UsageError(
                f"the loss must be a single number, got {tuple(loss.shape) if isinstance(loss, Tensor) else type(loss).__name__}"
            )
        if self.teacher is None:
            return loss
        weight = self._config.distill_weight
        with torch.no_grad():
            taught, maps = self._observed(self.teacher, inputs, side=1)
        found = (1 - weight) * loss + weight * distillation(_logits(output), _logits(taught), temperature=self._config.temperature)
        return found if self._hints is None else found + self._hints.weight * hint_loss(self._maps, self._hints.taught(maps))

    def _learn(self, model: nn.Module, inputs: Any) -> Any:  # noqa: ANN401 - any model's inputs and outputs
        output, self._maps = self._observed(model, inputs, side=0)
        return output

    def _observed(self, model: nn.Module, inputs: Any, *, side: int) -> tuple[Any, list[Tensor]]:  # noqa: ANN401 - any model's inputs
        """The output, and the maps that hints compare; ``side`` is the place of the model's names in a pair."""
        if self._hints is None:
            return self._forward(model, inputs), []
        names = [pair[side] for pair in self._hints.modules]
        with recorded_inputs(model, names) as maps:
            output = self._forward(model, inputs)
        return output, [maps[name] for name in names]

    def _forward(self, model: nn.Module, inputs: Any) -> Any:  # noqa: ANN401 - any model's inputs and outputs
        with mixed_precision(self._device, bf16=self.bf16):
            output = call(model, inputs)
        return map_tensors(output, as_float)


def make_optimizer(model: nn.Module, config: FineTune) -> torch.optim.SGD:
    """SGD with Nesterov momentum over the parameters that want gradients; weight decay on kernels and matrices only.

    Scales and biases (one dimension) are not decayed: pulling a batch norm's scale to zero
    regularises nothing, as the next layer undoes it.

    Raises:
        UsageError: No parameter wants a gradient.
    """
    wanted = [parameter for parameter in model.parameters() if parameter.requires_grad]
    if not wanted:
        raise UsageError("fine-tuning needs parameters with requires_grad, the model has none")
    groups = [
        {"params": [parameter for parameter in wanted if parameter.ndim > 1], "weight_decay": config.weight_decay},
        {"params": [parameter for parameter in wanted if parameter.ndim <= 1], "weight_decay": 0.0},
    ]
    return torch.optim.SGD([group for group in groups if group["params"]], lr=config.lr, momentum=config.momentum, nesterov=True)


def momenta(model: nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """The momentum of each parameter that has one, by the parameter's name."""
    buffers = {name: optimizer.state.get(parameter, {}).get("momentum_buffer") for name, parameter in model.named_parameters()}
    return {name: buffer for name, buffer in buffers.items() if buffer is not None}


def set_momenta(model: nn.Module, optimizer: torch.optim.Optimizer, values: dict[str, Tensor]) -> None:
    """Puts momenta back, laid out in memory as their parameters are: rounding may depend on it."""
    for name, parameter in model.named_parameters():
        if name in values:
            optimizer.state[parameter]["momentum_buffer"] = torch.empty_like(parameter.detach()).copy_(values[name])


def _logits(output: Any) -> Tensor:  # noqa: ANN401 - told apart here
    if not isinstance(output, Tensor) or output.ndim != 2:
        form = f"shape {tuple(output.shape)}" if isinstance(output, Tensor) else type(output).__name__
        raise UsageError(
            f"distillation needs networks that give logits (b, classes), got {form}; use distill_weight=0 and a loss of your own"
        )
    return output
