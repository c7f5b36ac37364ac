"""Weights, read without running any code and written whole."""

import re
import struct
import warnings
import zipfile
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor, nn

from edgewise._core.errors import WeightsError
from edgewise._core.files import write_bytes

_MOST_HEADER_BYTES = 100 * 2**20
"""The longest header that safetensors itself accepts."""
_PREFIXES = ("module.", "_orig_mod.")
"""What DistributedDataParallel and torch.compile put before every name."""
_NAMES_SHOWN = 3


def load_weights(model: nn.Module, path: Path) -> None:
    """Copies the tensors of a file into ``model``, or leaves it as it was.

    The file is safetensors, or a state dict that ``torch.save`` wrote (read with
    ``weights_only=True``), bare or under ``state_dict``, with or without the prefixes that
    DistributedDataParallel and torch.compile put before names. Floating-point tensors take
    the model's precision. Every name and shape must match; only the counters of batch norm
    (``num_batches_tracked``) may be missing, and all but one name of a shared tensor.

    Args:
        model: The network to fill, in place.
        path: The file.

    Raises:
        WeightsError: The file is missing, truncated, or holds more than tensors; names,
            shapes or types differ; or a value is NaN or infinite.
    """
    stored = _without_prefix(read_tensors(path))
    expected = _state(model)
    _check_fit(stored, expected, model=model, path=path)
    cast = {name: tensor.to(expected[name].dtype) for name, tensor in stored.items()}
    broken = [name for name, tensor in cast.items() if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all())]
    if broken:
        raise WeightsError(f"weights must be finite, got NaN or infinity in {_some(broken)} of {path}; use a checkpoint from before that")
    with torch.no_grad():
        for name, tensor in cast.items():
            expected[name].copy_(tensor)


def save_weights(model: nn.Module, path: Path) -> None:
    """Writes all parameters and buffers of ``model`` as safetensors, whole or not at all.

    Equal tensors give equal bytes. A tensor with two names is written under both.

    Args:
        model: The network; on any device.
        path: The file to make or replace.

    Raises:
        WeightsError: The model's state holds something that is not a dense tensor.
        StorageError: The disk is full or not writable.
    """
    tensors = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in _state(model).items()}
    write_bytes(path, save(tensors))


def read_tensors(path: Path) -> dict[str, Tensor]:
    """All tensors of a file of weights by name, on the CPU. Runs no code of the file.

    Args:
        path: safetensors, or what ``torch.save`` wrote.

    Raises:
        WeightsError: The file is missing, empty, truncated, or holds more than tensors.
    """
    try:
        size = path.stat().st_size
        if path.is_dir():
            raise WeightsError(f"weights must be a file, got the folder {path}; a run folder is given as MODEL")
        with path.open("rb") as content:
            start = content.read(16)
    except FileNotFoundError:
        raise WeightsError(f"no file of weights {path}") from None
    except OSError as error:
        raise WeightsError(f"cannot read the weights {path}: {error.strerror or error}") from error
    if size == 0:
        raise WeightsError(f"the file of weights {path} is empty")
    if path.suffix.lower() == ".safetensors" or start[8:9] == b"{":
        return _read_safetensors(path, start, size=size)
    return _read_torch(path)


def _read_safetensors(path: Path, start: bytes, *, size: int) -> dict[str, Tensor]:
    if len(start) < 8:
        raise WeightsError(f"{path} is not a safetensors file: it has only {size} bytes; copy it again")
    header = int(struct.unpack("<Q", start[:8])[0])
    if header > _MOST_HEADER_BYTES or header + 8 > size:
        raise WeightsError(
            f"{path} is truncated or not a safetensors file: its header claims {header} bytes, the file has {size}; copy it again"
        )
    try:
        return dict(load_file(path))
    except (SafetensorError, ValueError, KeyError, OSError, MemoryError, RuntimeError) as error:
        raise WeightsError(f"{path} is truncated or not a safetensors file ({_one_line(error)}); copy it again") from error


def _read_torch(path: Path) -> dict[str, Tensor]:
    _refuse_compressed(path)
    try:
        with warnings.catch_warnings():
            # torch warns about its own legacy formats; what matters here is only whether it can read them.
            warnings.simplefilter("ignore")
            value = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        raise WeightsError(
            f"{path} is truncated, or holds more than tensors (which could run code, so it is not read): {_one_line(error)}; "
            "save the state dict alone, as safetensors or by torch.save(model.state_dict(), FILE)"
        ) from error
    if isinstance(value, Mapping) and isinstance(value.get("state_dict"), Mapping):
        value = value["state_dict"]
    if not isinstance(value, Mapping):
        raise WeightsError(f"{path} must hold a state dict, got {type(value).__name__}; save it by torch.save(model.state_dict(), FILE)")
    odd = [str(name) for name, tensor in value.items() if not isinstance(name, str) or not _is_plain(tensor)]
    if odd:
        raise WeightsError(f"{path} must hold a state dict of dense tensors, got something else under {_some(odd)}")
    return dict(value)


def _refuse_compressed(path: Path) -> None:
    """torch.save never compresses; a compressed archive may unpack to any size."""
    if not zipfile.is_zipfile(path):
        return
    try:
        with zipfile.ZipFile(path) as archive:
            compressed = [entry.filename for entry in archive.infolist() if entry.compress_type != zipfile.ZIP_STORED]
    except (zipfile.BadZipFile, OSError, ValueError) as error:
        raise WeightsError(f"{path} is truncated ({_one_line(error)}); copy it again") from error
    if compressed:
        raise WeightsError(f"{path} is a compressed archive, not what torch.save writes; unpack it first")


def _is_plain(value: object) -> bool:
    return isinstance(value, Tensor) and value.layout == torch.strided and not value.is_quantized


def _state(model: nn.Module) -> dict[str, Tensor]:
    state = model.state_dict()
    odd = [name for name, tensor in state.items() if not _is_plain(tensor)]
    if odd:
        raise WeightsError(f"the state of {type(model).__name__} must be dense tensors, got something else under {_some(odd)}")
    return dict(state)


def _without_prefix(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    for prefix in _PREFIXES:
        if tensors and all(name.startswith(prefix) for name in tensors):
            tensors = {name.removeprefix(prefix): tensor for name, tensor in tensors.items()}
    return tensors


def _check_fit(stored: Mapping[str, Tensor], expected: Mapping[str, Tensor], *, model: nn.Module, path: Path) -> None:
    filled = {(expected[name].data_ptr(), expected[name].shape) for name in stored if name in expected}
    missing = [
        name
        for name, tensor in expected.items()
        if name not in stored and not name.endswith("num_batches_tracked") and (tensor.data_ptr(), tensor.shape) not in filled
    ]
    unexpected = [name for name in stored if name not in expected]
    shaped = [_difference(name, stored[name], expected[name]) for name in stored if name in expected]
    different = [text for text in shaped if text]
    counts = ((missing, "missing"), (unexpected, "not in the model"), (different, "of another shape or type"))
    found = [f"{len(names)} {what} ({_some(names)})" for names, what in counts if names]
    if found:
        raise WeightsError(f"the weights {path} do not fit {type(model).__name__}: {', '.join(found)}; are they of another model?")


def _difference(name: str, stored: Tensor, expected: Tensor) -> str:
    if stored.shape != expected.shape:
        return f"{name} {_shape(stored)} instead of {_shape(expected)}"
    if stored.is_floating_point() != expected.is_floating_point() or stored.is_complex():
        return f"{name} {_type(stored)} instead of {_type(expected)}"
    return ""


def _shape(tensor: Tensor) -> str:
    return "x".join(str(size) for size in tensor.shape) or "scalar"


def _type(tensor: Tensor) -> str:
    return str(tensor.dtype).removeprefix("torch.")


def _some(names: list[str]) -> str:
    shown = ", ".join(names[:_NAMES_SHOWN])
    return shown if len(names) <= _NAMES_SHOWN else f"{shown}, ..."


def _one_line(error: BaseException) -> str:
    # torch's own advice is to switch the check off; what it found is somewhere in the midst of that.
    text = str(error)
    if asked := re.search(r"GLOBAL (\S+)", text):
        return f"it asks for {asked[1]}"
    if found := re.search(r"WeightsUnpickler error: (.+)", text):
        text = found[1]
    text = " ".join(text.split()) or type(error).__name__
    return text if len(text) <= 160 else f"{text[:157]}..."
