"""Run folders, and the one way in which every command gets its model.

A run folder holds ``model.safetensors``, ``spec.json``, ``result.json``, and often
``report.html`` and ``log.jsonl``. The spec says where the model comes from and which plans
were applied to it in order; it never points at another run. ``spec.json`` is written last:
a folder without it is unfinished.
"""

import importlib.metadata
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, PositiveInt, ValidationError
from torch import nn

from edgewise._core.errors import EdgewiseError, PlanError, RunError, UsageError, WeightsError
from edgewise._core.files import sha256_of, storage_error, write_json
from edgewise._core.version import VERSION
from edgewise.dynamic.network import GatedNetwork
from edgewise.ir import ArchPlan, WidthPlan
from edgewise.ir.gates import GatePlan
from edgewise.models.catalog import BUILT_IN
from edgewise.models.shapes import parse_input_shape
from edgewise.models.sources import ModelSource, build, input_shape, parse_source
from edgewise.models.weights import load_weights, save_weights
from edgewise.recipes.records import LoadedModel, ModelRecord, Plan, example_inputs
from edgewise.recipes.requests import ModelRequest

FORMAT = 1
"""Version of the layout of run folders that this edgewise reads and writes."""
MODEL_FILE = "model.safetensors"
SPEC_FILE = "spec.json"
RESULT_FILE = "result.json"
REPORT_FILE = "report.html"
LOG_FILE = "log.jsonl"


@dataclass(frozen=True, kw_only=True, slots=True)
class Run:
    """A finished run, read from its folder.

    Attributes:
        folder: Where it lies.
        loaded: Its model.
        result: Content of ``result.json``.
    """

    folder: Path
    loaded: LoadedModel
    result: dict[str, Any]


class _SpecFile(BaseModel):
    """Form of ``spec.json``."""

    model_config = ConfigDict(frozen=True, strict=True)

    format: int
    versions: dict[str, str]
    source: dict[str, Any]
    input_shape: list[PositiveInt]
    plans: list[dict[str, Any]]
    trained: bool
    files: dict[str, str]


def load_request(request: ModelRequest, *, loaded: LoadedModel | None = None, gates: bool = False) -> LoadedModel:
    """The model that a command was asked to work on; see :func:`load_model`.

    Args:
        request: The model.
        loaded: The model itself where a Python caller has it in memory; the request is then not read.
        gates: Whether the command can work on a network that prunes its maps while it runs.

    Raises:
        UsageError: It is such a network, and the command cannot.
    """
    if loaded is None:
        loaded = load_model(request.model, weights=request.weights, pretrained=request.pretrained, shape=request.input)
    if loaded.gates is not None and not gates:
        raise UsageError(
            f"{loaded.name} is pruned for each input while it runs, which this command does not take; "
            "bench, export, crossbar, sparsify, inspect and report do"
        )
    return loaded


def load_model(text: str, *, weights: Path | None = None, pretrained: bool = False, shape: str | None = None) -> LoadedModel:
    """The model that a person named, with the weights asked for.

    Args:
        text: A built-in name, ``timm:NAME``, ``torchvision:NAME``, ``FILE.py:FACTORY``, ``space:NAME`` (the largest
            network of a space) or a run folder. A built-in name wins over a folder of that name: write ``./resnet56``
            for the folder.
        weights: A file of weights to load into it.
        pretrained: Let timm or torchvision load the weights that they publish.
        shape: Input shape such as ``1x3x224x224``; none for the one known.

    Returns:
        The model in evaluation mode.

    Raises:
        EdgewiseError: Of the kind that says what is wrong: an unknown name, a broken run,
            weights that do not fit, a shape that is not fixed.
    """
    if text.strip().lower() not in BUILT_IN and _looks_like_folder(text):
        if pretrained:
            raise UsageError(f"--pretrained does not go with a run folder, which holds its own weights, got {text!r}")
        loaded = load_run(Path(text)).loaded
        record = loaded.record if shape is None else replace(loaded.record, input_shape=parse_input_shape(shape))
    else:
        source = parse_source(text, pretrained=pretrained)
        record = ModelRecord(source=source, input_shape=input_shape(source, shape), trained=pretrained)
        loaded = LoadedModel(model=build(source), record=record, name=source.label)
    if weights is not None:
        load_weights(loaded.model, weights)
        record = replace(record, trained=True)
    return replace(loaded, record=record)


def load_run(folder: Path) -> Run:
    """The run in a folder: builds its source, applies its plans in order, loads its tensors.

    Nothing is unpickled, and no code runs but that of a user's own factory file, whose hash
    must be the recorded one. Nothing is downloaded.

    Args:
        folder: A folder that :func:`write_run` filled.

    Raises:
        RunError: It is missing, unfinished, of another version, has changed since it was
            written, or the library of its source builds another network today.
    """
    spec = _read_spec(folder)
    if set(spec.files) != {MODEL_FILE}:
        raise RunError(f"{folder / SPEC_FILE} must name the hash of {MODEL_FILE} alone, got {sorted(spec.files)}")
    _check_hash(folder / MODEL_FILE, spec.files[MODEL_FILE])
    try:
        plans = tuple(_plan_of(plan) for plan in spec.plans)
    except PlanError as error:
        raise RunError(f"{folder / SPEC_FILE} holds a plan that this edgewise cannot read: {error}") from error
    record = ModelRecord(source=ModelSource.from_json(spec.source), input_shape=tuple(spec.input_shape), plans=plans, trained=spec.trained)
    model = _rebuilt(folder, record, versions=spec.versions)
    result = _read_json(folder / RESULT_FILE, folder)
    return Run(folder=folder, loaded=LoadedModel(model=model, record=record, name=str(folder)), result=result)


def write_run(folder: Path, model: nn.Module, *, record: ModelRecord, result: Mapping[str, Any]) -> None:
    """Fills a run folder. A process killed on the way leaves it unfinished, never half right.

    Args:
        folder: The folder; made where it is missing. A finished run in it is replaced.
        model: The network to keep; ``record`` must rebuild its shapes.
        record: How to build it again.
        result: JSON values for ``result.json``.

    Raises:
        UsageError: The model was made in Python, and no file says how.
        StorageError: The disk is full or not writable.
    """
    if record.source.kind == "memory":
        raise UsageError(f"{record.source.name} lives in memory only, so no run folder can build it again; save its weights, or export it")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        # Without its spec a folder counts as unfinished, so this comes first and the spec last.
        (folder / SPEC_FILE).unlink(missing_ok=True)
    except OSError as error:
        raise storage_error(folder, error) from error
    save_weights(model, folder / MODEL_FILE)
    write_json(folder / RESULT_FILE, dict(result))
    spec = _SpecFile(
        format=FORMAT,
        versions=_versions(record.source),
        source=record.source.to_json(),
        input_shape=list(record.input_shape),
        plans=[plan.to_json() for plan in record.plans],
        trained=record.trained,
        files={MODEL_FILE: sha256_of(folder / MODEL_FILE)},
    )
    write_json(folder / SPEC_FILE, spec.model_dump())


def prepare_folder(folder: Path, *, resume: bool) -> None:
    """Makes the folder of a run about to start, and refuses one that holds something else.

    Args:
        folder: Where the run will be written.
        resume: Go on with the unfinished run in it, if there is one.

    Raises:
        UsageError: It holds a finished run, an unfinished one without ``resume``, or other files.
        StorageError: It cannot be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        names = {path.name for path in folder.iterdir()}
    except FileExistsError:
        raise UsageError(f"--out must be a folder for the run, got the file {folder}") from None
    except OSError as error:
        raise storage_error(folder, error) from error
    if resume or not names:
        return
    if SPEC_FILE in names:
        raise UsageError(f"--out {folder} already holds a finished run; choose another folder, or delete that one")
    if LOG_FILE in names or MODEL_FILE in names:
        raise UsageError(f"--out {folder} holds an unfinished run; add --resume to go on with it, or delete it")
    raise UsageError(f"--out {folder} must be empty or new, got {', '.join(sorted(names)[:3])} in it")


def is_finished(folder: Path) -> bool:
    """Whether the folder holds a run that was written to its end."""
    return (folder / SPEC_FILE).is_file()


def append_log(folder: Path, event: Mapping[str, Any]) -> None:
    """Adds one line of JSON to the run's log.

    Raises:
        StorageError: The disk is full or not writable.
    """
    path = folder / LOG_FILE
    try:
        with path.open("a", encoding="utf-8") as log:
            log.write(json.dumps(dict(event), allow_nan=False) + "\n")
    except OSError as error:
        raise storage_error(path, error) from error


def _looks_like_folder(text: str) -> bool:
    path = Path(text)
    if path.is_dir():
        return True
    is_file_source = ".py:" in text or text.endswith(".py")
    return not is_file_source and ":" not in text and ("/" in text or "\\" in text)


def _read_spec(folder: Path) -> _SpecFile:
    if not folder.is_dir():
        raise RunError(f"no run folder {folder}")
    if not (folder / SPEC_FILE).is_file():
        if any((folder / name).exists() for name in (MODEL_FILE, LOG_FILE, RESULT_FILE)):
            raise RunError(f"the run in {folder} is unfinished (it has no {SPEC_FILE}); finish it with --resume, or start again")
        raise RunError(f"{folder} is not a run folder: it has no {SPEC_FILE}")
    value = _read_json(folder / SPEC_FILE, folder)
    found = value.get("format")
    if found != FORMAT:
        raise RunError(f"{folder} is a run of format {found!r}, edgewise {VERSION} reads format {FORMAT}; use the version that wrote it")
    try:
        return _SpecFile.model_validate(value)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        raise RunError(f"{folder / SPEC_FILE} is damaged: {place}: {first['msg']}; restore the folder, or run again") from error


def _read_json(path: Path, folder: Path) -> dict[str, Any]:
    try:
        value = json.loads(path.read_bytes())
    except FileNotFoundError:
        raise RunError(f"the run in {folder} has lost its {path.name}; restore the folder, or run again") from None
    except (OSError, ValueError, RecursionError) as error:
        raise RunError(f"{path} is damaged: {' '.join(str(error).split())}; restore the folder, or run again") from error
    if not isinstance(value, dict):
        raise RunError(f"{path} is damaged: must hold a JSON object, got {type(value).__name__}; restore the folder, or run again")
    return value


def _check_hash(path: Path, expected: str) -> None:
    if not path.is_file():
        raise RunError(f"the run in {path.parent} has lost its {path.name}; restore the folder, or run again")
    found = sha256_of(path)
    if found != expected:
        raise RunError(
            f"{path} has changed since the run was written (SHA-256 {found[:12]}..., recorded {expected[:12]}...); "
            "restore it, or load it as plain weights by --weights"
        )


def _plan_of(value: Mapping[str, Any]) -> Plan:
    if value.get("kind") == "architecture":
        return ArchPlan.from_json(value)
    return GatePlan.from_json(value) if value.get("kind") == "gates" else WidthPlan.from_json(value)


def _rebuilt(folder: Path, record: ModelRecord, *, versions: Mapping[str, str]) -> nn.Module:
    # Surgery is imported where plans exist: reading a plain model does not need it.
    try:
        architectures = [plan for plan in record.plans if isinstance(plan, ArchPlan)]
        model = build(record.source, download=False, plan=architectures[-1] if architectures else None)
        surgery = [plan for plan in record.plans if not isinstance(plan, ArchPlan)]
        if surgery:
            from edgewise.trace import apply_plan, trace

            for plan in surgery:
                if isinstance(plan, GatePlan):
                    model = GatedNetwork(model, plan)
                    continue
                if isinstance(model, GatedNetwork):
                    raise PlanError("a plan of widths cannot follow one of gates")
                traced = trace(model, example_inputs(record.input_shape), name=record.source.label)
                model = apply_plan(model, plan, traced)
        load_weights(model, folder / MODEL_FILE)
    except RunError:
        raise
    except EdgewiseError as error:
        raise RunError(_misfit(folder, record.source, versions, error)) from error
    return model.eval()


def _misfit(folder: Path, source: ModelSource, versions: Mapping[str, str], error: EdgewiseError) -> str:
    now = _versions(source)
    changed = [f"{name} {version} then, {now.get(name, 'none')} now" for name, version in versions.items() if now.get(name) != version]
    remedy = f"install the versions that wrote it ({'; '.join(changed)})" if changed else "restore the folder, or run again"
    if isinstance(error, WeightsError | PlanError):
        return f"the run in {folder} does not fit {source.label} as it is built here: {error}; {remedy}"
    return f"cannot build the model of the run in {folder}: {error}" + (f"; {remedy}" if changed else "")


def _versions(source: ModelSource) -> dict[str, str]:
    libraries = ["torch", *([source.kind] if source.kind in {"timm", "torchvision"} else [])]
    found = {"edgewise": VERSION}
    for library in libraries:
        try:
            found[library] = importlib.metadata.version(library)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found
