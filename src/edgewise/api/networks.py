"""Looking at networks: loading, inspecting, timing, writing files and reports."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from edgewise.api.arguments import Inputs, Model, Watcher, device_of, in_python, names_of, network_of, request_of, watcher_of
from edgewise.recipes.requests import BenchRequest, DeviceRequest, ExportRequest, ReportRequest

if TYPE_CHECKING:
    from edgewise.recipes.bench import BenchResult
    from edgewise.recipes.export import ExportResult
    from edgewise.recipes.inspect import InspectResult
    from edgewise.recipes.records import LoadedModel
    from edgewise.recipes.report import ReportResult

_SUFFIXES = {".onnx": "onnx", ".xml": "openvino"}


@in_python
def load(
    model: "Model",
    *,
    inputs: "Inputs" = None,
    weights: str | Path | None = None,
    pretrained: bool = False,
    saved: str | Path | None = None,
    trained: bool = True,
) -> "LoadedModel":
    """A network ready to use; every other function takes it in place of a name.

    Args:
        model: A name, a run folder, or a module.
        inputs: What a module is called with; for names a shape other than the usual one.
        weights: A file of weights to load: safetensors, or a state dict.
        pretrained: Let timm or torchvision download the weights that they publish.
        saved: A folder that :meth:`~edgewise.recipes.fit.FitResult.save` filled; ``model`` is then the original module.
        trained: Whether a module's weights are more than initial draws.

    Returns:
        The network; its ``model`` is a plain module in evaluation mode.

    Raises:
        EdgewiseError: Of the kind that says what is wrong: an unknown name, weights that do not fit, a broken run.

    Example:
        >>> import edgewise
        >>> edgewise.load("digits-cnn")
        digits-cnn: inputs 1x1x8x8, 190,658 parameters, not trained
    """
    loaded = network_of(model, inputs=inputs, weights=weights, pretrained=pretrained, trained=trained)
    if saved is None:
        return loaded
    from edgewise.recipes.saving import load_saved

    return load_saved(loaded, Path(saved))


@in_python
def inspect(model: "Model", *, inputs: "Inputs" = None, weights: str | Path | None = None) -> "InspectResult":
    """A network as hardware sees it: layers, multiply-accumulates, parameters, ties.

    Args:
        model: The network.
        inputs: What a module is called with.
        weights: A file of weights to load.

    Returns:
        Layers in running order, the ties between their widths, and what is left alone and why.

    Raises:
        EdgewiseError: The network cannot be loaded or traced; the text says why.

    Example:
        >>> import edgewise
        >>> seen = edgewise.inspect("resnet20")
        >>> seen.macs, seen.params, seen.layers[0].name
        (40551040, 269722, 'conv1')
    """
    from edgewise.recipes.inspect import inspect_model

    loaded = network_of(model, inputs=inputs, weights=weights)
    return inspect_model(request_of(loaded), loaded=loaded)


@in_python
def bench(
    *models: "Model",
    device: str | Sequence[str] = "onnxruntime-cpu",
    why: bool = False,
    threads: int = 1,
    batch: int = 1,
    precision: str = "fp32",
    inputs: "Inputs" = None,
    db: str | Path | None = None,
    progress: Watcher = None,
) -> "BenchResult":
    """Times networks on devices, everything interleaved in one run.

    Args:
        models: The networks, the baseline first.
        device: Where: one device or several.
        why: Explain layer by layer, of exactly two networks, where multiply-accumulates saved became time saved.
        threads: Threads the runtime may use.
        batch: Inputs at once.
        precision: ``fp32`` or ``bf16``.
        inputs: What modules are called with.
        db: Latency database; none for the one in the cache folder.
        progress: Is told how far it is.

    Returns:
        One row for each network and device, in the order models x devices; ``why`` where asked for.

    Raises:
        EdgewiseError: A network cannot be loaded, or a device refuses it.
    """
    from torch import nn

    from edgewise.recipes.bench import run_bench

    loaded = [network_of(model, inputs=inputs if isinstance(model, nn.Module) else None) for model in models]
    wanted = tuple(device_of(name, threads=threads, batch=batch, precision=precision, db=db) for name in names_of(device))
    request = BenchRequest(models=tuple(request_of(one) for one in loaded), devices=wanted, why=why)
    return run_bench(request, loaded=loaded, progress=watcher_of(progress))


@in_python
def export(
    model: "Model",
    file: str | Path | None = None,
    *,
    format: str | None = None,
    inputs: "Inputs" = None,
    weights: str | Path | None = None,
    threads: int = 1,
    batch: int = 1,
    precision: str = "fp32",
    db: str | Path | None = None,
    progress: Watcher = None,
) -> "ExportResult":
    """Writes a file for a runtime, checks that it computes the same, and times it.

    Args:
        model: The network.
        file: File to write, ``.onnx`` or ``.xml``; none for the network's name in this folder.
        format: ``onnx`` or ``openvino``; none for what the file's suffix says, else ``onnx``.
        inputs: What a module is called with.
        weights: A file of weights to load.
        threads: Threads the runtime may use when the file is timed.
        batch: Inputs at once, fixed in the file.
        precision: ``fp32`` or ``bf16``, when the file is timed.
        db: Latency database; none for the one in the cache folder.
        progress: Is told how far it is.

    Returns:
        The file, how near it comes to the network, and its timings.

    Raises:
        ExportError: The network cannot be written so, or the file computes something else.
        EdgewiseError: Something else is wrong.
    """
    from edgewise.recipes.export import run_export

    path = None if file is None else Path(file)
    known = format or (_SUFFIXES.get(path.suffix.lower(), "onnx") if path is not None else "onnx")
    settings = DeviceRequest(threads=threads, batch=batch, precision=precision, db=None if db is None else Path(db))
    loaded = network_of(model, inputs=inputs, weights=weights)
    request = ExportRequest(model=request_of(loaded), format=known, out=path, device=settings)
    return run_export(request, loaded=loaded, progress=watcher_of(progress))


@in_python
def report(*runs: str | Path, out: str | Path | None = None) -> "ReportResult":
    """Describes runs in one self-contained HTML file.

    Args:
        runs: Run folders, or files that ``--json`` wrote.
        out: File to write; none for ``report.html`` in the first run's folder.

    Returns:
        The file written.

    Raises:
        RunError: A run is missing, unfinished or damaged.
        StorageError: The page cannot be written.
    """
    from edgewise.recipes.report import run_report

    return run_report(ReportRequest(runs=tuple(Path(run) for run in runs), out=None if out is None else Path(out)))
