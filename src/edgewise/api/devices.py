"""Devices, also those that are not here, and the tutorial's tables."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from edgewise.api.arguments import Inputs, Model, Watcher, device_of, in_python, names_of, network_of, request_of, watcher_of
from edgewise.api.listings import Calibration, DeviceList, Prediction, TableRows

if TYPE_CHECKING:
    from edgewise.recipes.simulated.lut import TableSimulation
    from edgewise.recipes.simulated.simulate import Simulation


def devices() -> DeviceList:
    """The runtimes found here, the GPUs and chips that are simulated, and the forms that name a file or a command.

    Example:
        >>> import edgewise
        >>> "onnxruntime-cpu" in edgewise.devices().available, "titan-v" in edgewise.devices().names
        (True, True)
    """
    from edgewise.recipes.devices import list_devices

    return DeviceList(value=list_devices())


@in_python
def simulate(
    model: "Model",
    *,
    device: str,
    batch: int = 1,
    precision: str = "fp32",
    residual: bool = False,
    inputs: "Inputs" = None,
    weights: str | Path | None = None,
    progress: Watcher = None,
) -> "Simulation | TableSimulation":
    """Prices a network on a device that is not here, layer by layer, or by a table of its blocks.

    Args:
        model: The network.
        device: A simulated device such as ``titan-v`` or ``isaac``, or ``gpu:FILE``, ``chip:FILE``, ``lut:FILE``.
        batch: Inputs at once.
        precision: ``fp32``, or what the device has.
        residual: Correct what the traces cover by the learned residual.
        inputs: What a module is called with.
        weights: A file of weights to load.
        progress: Is told how far it is.

    Returns:
        The latency and what bounds each layer; on a chip also energy and area.

    Raises:
        EdgewiseError: The network or the device is wrong.

    Example:
        >>> import edgewise
        >>> run = edgewise.simulate("resnet20", device="titan-v", batch=128)
        >>> run.device, run.latency_s > 0, run.layers[0].cost.bound_by in ("math", "memory", "launch")
        ('titan-v', True, True)
    """
    from edgewise.recipes.simulated.simulate import run_simulate

    loaded = network_of(model, inputs=inputs, weights=weights)
    wanted = device_of(device, batch=batch, precision=precision)
    return run_simulate(request_of(loaded), wanted, residual=residual, loaded=loaded, progress=watcher_of(progress))


@in_python
def predict(csv: str | Path, *, device: str, out: str | Path, residual: bool = True) -> Prediction:
    """Adds a column of predicted milliseconds to a trace of convolutions, and scores it where measured times are there.

    Args:
        csv: The trace: CSV, or ``.csv.gz``.
        device: A simulated GPU, such as ``V100``.
        out: File to write: the trace and a column ``predicted_ms``.
        residual: Correct the analytic form by the learned residual.

    Raises:
        DataError: The trace lacks a column or has an impossible row.
        UnknownNameError: No such GPU.
    """
    from edgewise.recipes.simulated.calibrate import run_predict

    return Prediction(value=run_predict(Path(csv), device=device, out=Path(out), residual=residual))


@in_python
def calibrate(
    traces: str | Path | Sequence[str | Path],
    *,
    device: str,
    out: str | Path | None = None,
    multiprocessors: int | None = None,
    peak_tflops: float | None = None,
    bandwidth_gb_per_s: float | None = None,
    progress: Watcher = None,
) -> Calibration:
    """Fits the GPU model to traces of one GPU, with held-out errors; the result's ``device`` then names that GPU.

    Args:
        traces: One file of measured convolutions, or several.
        device: The GPU they were measured on.
        out: File to write; none for ``NAME.gpu.json`` in this folder.
        multiprocessors: SMs of a GPU that edgewise does not know.
        peak_tflops: Its fp32 peak.
        bandwidth_gb_per_s: Its memory bandwidth.
        progress: Is told how far it is.

    Raises:
        DataError: A trace lacks a column, has an impossible row, or all have too few rows.
        UsageError: The GPU is not known, and not all figures are given.
    """
    from edgewise.recipes.simulated.calibrate import SheetRequest, run_calibrate

    files = [Path(traces)] if isinstance(traces, str | Path) else [Path(one) for one in traces]
    sheet = SheetRequest(multiprocessors=multiprocessors, peak_tflops=peak_tflops, bandwidth_gb_per_s=bandwidth_gb_per_s)
    path = None if out is None else Path(out)
    return Calibration(value=run_calibrate(files, device=device, sheet=sheet, out=path, progress=watcher_of(progress)))


@in_python
def tables(only: str | Sequence[str] = (), *, pictures: str | Path | None = None, progress: Watcher = None) -> TableRows:
    """The tutorial's tables: quoted, simulated and measured figures side by side.

    Args:
        only: Ids of tables, such as ``gpu-4``; empty for all, which takes about two minutes.
        pictures: Folder for the figures as SVG; none to draw none.
        progress: Is told how far it is.

    Raises:
        UnknownNameError: There is no such table.

    Example:
        >>> import edgewise
        >>> rows = edgewise.tables("reram-3").rows
        >>> {row.table for row in rows}
        {'reram-3'}
    """
    from edgewise.recipes.tables import draw_pictures, make_tables

    names = names_of(only)
    rows = make_tables(names, progress=watcher_of(progress))
    if pictures is not None:
        draw_pictures(Path(pictures), names)
    return TableRows(rows=rows)
