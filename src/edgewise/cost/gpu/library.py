"""Simulated GPUs by name, with the coefficients that ship in the package, and those of one's own files."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

from edgewise._core.errors import SpecError, UnknownNameError
from edgewise.cost.gpu.device import GpuDevice
from edgewise.cost.gpu.model import GpuModel, model_from_json
from edgewise.cost.gpu.portable import read_portable
from edgewise.cost.gpu.pricing import Pricer
from edgewise.cost.gpu.specs import GpuSpec, gpu_spec, gpu_specs

FILE_PREFIX = "gpu:"
"""``gpu:FILE`` names a GPU by a file that ``edgewise calibrate`` wrote."""
PORTABLE_PREFIX = "portable:"
"""``portable:FILE.toml`` names an accelerator by its channel granularity."""
FORMAT = 1
POOLED = "pooled"


@dataclass(frozen=True, kw_only=True)
class Fit:
    """Fitted coefficients, how far they err, and where they come from.

    Attributes:
        model: The coefficients.
        errors: Held-out errors by name, as JSON values.
        provenance: What they were fitted to.
    """

    model: GpuModel
    errors: Mapping[str, Any]
    provenance: Mapping[str, Any]


@cache
def packaged_fit(name: str) -> Fit:
    """The coefficients of that name in the package: a fitted GPU's, or ``pooled``.

    Raises:
        UnknownNameError: There are none.
    """
    file = resources.files("edgewise.cost.gpu") / "data" / "fits" / f"{name}.json"
    if not file.is_file():
        raise UnknownNameError(f"no fitted coefficients named {name!r}")
    return fit_from_json(json.loads(file.read_text(encoding="utf-8")))


def fit_from_json(value: Mapping[str, Any]) -> Fit:
    """The fit in a file's JSON.

    Raises:
        SpecError: It is damaged, or of another format.
    """
    if not isinstance(value, Mapping) or value.get("format") != FORMAT or not isinstance(value.get("model"), Mapping):
        raise SpecError(f"a GPU file must hold `format` {FORMAT} and `model`, got {str(value)[:60]}")
    return Fit(model=model_from_json(value["model"]), errors=value.get("errors") or {}, provenance=value.get("provenance") or {})


def fit_to_json(fit: Fit, *, spec: GpuSpec | None = None) -> dict[str, Any]:
    """A fit, and the data sheet it goes with, as the JSON of a file."""
    sheet = {} if spec is None else {"spec": asdict(spec)}
    return {"format": FORMAT, **sheet, "errors": dict(fit.errors), "provenance": dict(fit.provenance), "model": fit.model.to_json()}


def known_gpu(name: str) -> bool:
    """Whether a device name stands for a simulated GPU."""
    usual = name.strip()
    return usual.lower() in gpu_specs() or usual.lower().startswith((FILE_PREFIX, PORTABLE_PREFIX))


def usual_name(name: str) -> str:
    """A GPU's name in lower case, but for a file's path.

    Example:
        >>> usual_name("Titan-V"), usual_name("GPU:My.json")
        ('titan-v', 'gpu:My.json')
    """
    head, colon, tail = name.strip().partition(":")
    return head.lower() + colon + tail


def open_gpu(name: str, *, batch: int = 1, residual: bool = False) -> GpuDevice:
    """A simulated GPU, ready to price.

    Args:
        name: Its name, or ``gpu:FILE``.
        batch: Images at once.
        residual: Correct what the traces cover by the learned residual.

    Raises:
        UnknownNameError: No such GPU.
        SpecError: The file is damaged.
        UsageError: The batch is below 1.
    """
    usual = usual_name(name)
    if usual.startswith(PORTABLE_PREFIX):
        path = Path(usual[len(PORTABLE_PREFIX) :])
        return GpuDevice(name=usual, pricer=read_portable(path, batch=batch), about=(("simulated device", f"portable form, {path.name}"),))
    spec, fit = sheet_of(name)
    about = (
        ("simulated device", f"{spec.title}, {'fitted' if spec.fitted else 'transferred'} coefficients ({spec.model})"),
        ("data sheet", spec.sources),
        ("traces", ", ".join(f"{key} {value}" for key, value in fit.provenance.items())),
    )
    pricer = Pricer(model=fit.model, machine=spec.machine, batch=batch, residual=residual)
    return GpuDevice(name=usual, pricer=pricer, start_s=fit.model.launch_s, fitted=spec.fitted, about=about)


def sheet_of(name: str) -> tuple[GpuSpec, Fit]:
    """Data sheet and coefficients of a GPU.

    Raises:
        UnknownNameError: No such GPU.
        SpecError: The file is damaged.
    """
    usual = usual_name(name)
    if not usual.startswith(FILE_PREFIX):
        spec = gpu_spec(usual)
        return spec, packaged_fit(spec.model)
    path = Path(usual[len(FILE_PREFIX) :])
    try:
        value = json.loads(path.read_bytes())
        spec = GpuSpec(**value["spec"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise SpecError(f"{path} is no GPU file that `edgewise calibrate` wrote: {' '.join(str(error).split())}") from error
    return replace(spec, name=usual), fit_from_json(value)
