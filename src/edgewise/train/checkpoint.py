"""Where a training run stands, in one file that is whole or absent: tensors as safetensors, the rest as JSON in its header."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import safetensors
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from edgewise._core.errors import RunError
from edgewise._core.files import write_atomically

FORMAT = 1


@dataclass(frozen=True, kw_only=True, slots=True)
class Checkpoint:
    """Where to keep checkpoints, and whether to go on from the one that is there.

    Attributes:
        path: The file, by custom ``checkpoint.safetensors``; its folder is made.
        resume: Go on from it; where there is none the run starts from the beginning.
        every_s: Seconds between checkpoints within an epoch; each epoch ends with one anyway.
    """

    path: Path
    resume: bool = False
    every_s: float = 60.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Standing:
    """Where a run stands between two steps.

    Attributes:
        run: What makes the run what it is: settings, starting weights, steps.
        state: Counters, history and sums; JSON values.
        model: The model's state dict.
        momentum: The optimiser's momentum of each parameter that has one.
        rng: States of torch's generators, by device.
    """

    run: Mapping[str, Any]
    state: Mapping[str, Any]
    model: Mapping[str, Tensor]
    momentum: Mapping[str, Tensor]
    rng: Mapping[str, Tensor]


def save_checkpoint(path: Path, standing: Standing) -> None:
    """Writes where a run stands, whole or not at all.

    Raises:
        StorageError: The disk is full or not writable; the checkpoint before stays.
    """
    groups = {"model": standing.model, "momentum": standing.momentum, "rng": standing.rng}
    tensors = {f"{group}/{name}": _plain(tensor) for group, members in groups.items() for name, tensor in members.items()}
    header = {"format": str(FORMAT), "run": json.dumps(standing.run), "state": json.dumps(standing.state)}
    write_atomically(path, lambda temporary: save_file(tensors, temporary, metadata=header))


def load_checkpoint(path: Path, run: Mapping[str, Any]) -> Standing:
    """Where a run stood.

    Args:
        path: An existing checkpoint.
        run: What makes the present run what it is.

    Raises:
        RunError: Damaged, of another version, or of another run; the settings that differ are named.
    """
    try:
        with safetensors.safe_open(path, framework="pt") as content:
            header = content.metadata() or {}
            tensors = {name: content.get_tensor(name) for name in content.keys()}  # noqa: SIM118 - not a mapping
        if header.get("format") != str(FORMAT):
            raise RunError(
                f"checkpoint {path} has format {header.get('format')}, this version reads {FORMAT}; start again without --resume"
            )
        found, state = json.loads(header["run"]), json.loads(header["state"])
    except (OSError, safetensors.SafetensorError, KeyError, ValueError) as error:
        raise RunError(f"checkpoint {path} is unreadable ({error}); remove it and start again") from error
    _check_same_run(path, found, json.loads(json.dumps(run)))
    groups: dict[str, dict[str, Tensor]] = {"model": {}, "momentum": {}, "rng": {}}
    for name, tensor in tensors.items():
        group, _, rest = name.partition("/")
        groups.get(group, {})[rest] = tensor
    return Standing(run=found, state=state, **groups)


def fingerprint(model: nn.Module) -> str:
    """Hexadecimal digits that change when any tensor of the model does."""
    total = hashlib.sha256()
    for name, tensor in model.state_dict().items():
        plain = _plain(tensor)
        total.update(f"{name}/{plain.dtype}/{tuple(plain.shape)}".encode())
        total.update(plain.reshape(-1).view(torch.uint8).numpy().tobytes())
    return total.hexdigest()


def _plain(tensor: Tensor) -> Tensor:
    return tensor.detach().cpu().clone(memory_format=torch.contiguous_format)


def _check_same_run(path: Path, found: Mapping[str, Any], run: Mapping[str, Any]) -> None:
    differing = [name for name in sorted({*found, *run}) if found.get(name) != run.get(name)]
    if differing:
        listed = ", ".join(f"{name} ({found.get(name)} there, {run.get(name)} now)" for name in differing)
        raise RunError(f"checkpoint {path} is of another run: {listed}; use the same settings, or start again without --resume")
