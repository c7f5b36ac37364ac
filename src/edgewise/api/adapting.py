"""Making networks fit a latency: profile, fit, search, explore."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from edgewise._core.units import LatencyTarget
from edgewise.api.arguments import (
    Data,
    Inputs,
    Model,
    Share,
    Watcher,
    data_of,
    dataset_of,
    device_of,
    folder_of,
    in_python,
    latency_of,
    names_of,
    network_of,
    request_of,
    share_of,
    watcher_of,
)
from edgewise.recipes.requests import IMAGENET_MEAN, IMAGENET_STD, LEARNING_RATE, DeviceRequest, FitRequest, ProfileRequest
from edgewise.recipes.search_request import REFINED, SearchCourse, SearchRequest

if TYPE_CHECKING:
    from torch import nn

    from edgewise.recipes.fit import FitResult
    from edgewise.recipes.profile import Profiled
    from edgewise.recipes.records import LoadedModel
    from edgewise.recipes.search import SearchResult
    from edgewise.recipes.simulated.profile import SimulatedProfile
    from edgewise.recipes.training import Course
    from edgewise.train.batches import JudgedData
    from edgewise.train.loop import FineTune
    from edgewise.train.objective import Loss


@in_python
def profile(
    model: "Model",
    *,
    device: str | DeviceRequest = "onnxruntime-cpu",
    threads: int = 1,
    batch: int = 1,
    precision: str = "fp32",
    width_floor: "Share" = None,
    keep: str | Sequence[str] = (),
    only: str | Sequence[str] = (),
    inputs: "Inputs" = None,
    weights: str | Path | None = None,
    calibrate: bool = True,
    seed: int = 0,
    db: str | Path | None = None,
    progress: Watcher = None,
) -> "Profiled | SimulatedProfile":
    """Finds the steps in latency as each layer gets wider, and the widths worth considering.

    Args:
        model: The network.
        device: Where latency counts; :func:`edgewise.devices` lists them.
        threads: Threads the runtime may use.
        batch: Inputs at once.
        precision: ``fp32`` or ``bf16``.
        width_floor: Smallest share of a layer's present width.
        keep: Layers whose widths stay.
        only: Layers whose widths alone may change; empty for all.
        inputs: What a module is called with.
        weights: A file of weights to load.
        calibrate: Get to know a new device first (once, about twenty seconds).
        seed: Seed of everything drawn.
        db: Latency database; none for the one in the cache folder.
        progress: Is told how far it is.

    Returns:
        Staircases with their candidate widths, and the whole network predicted and measured, or simulated.

    Raises:
        EdgewiseError: The network cannot be traced, or the device refuses it.
    """
    from edgewise.recipes.profile import run_profile

    loaded = network_of(model, inputs=inputs, weights=weights)
    request = ProfileRequest(
        model=request_of(loaded),
        device=device_of(device, threads=threads, batch=batch, precision=precision, db=db),
        width_floor=share_of(width_floor, name="width_floor"),
        keep=names_of(keep),
        only=names_of(only),
        seed=seed,
        calibrate=calibrate,
    )
    return run_profile(request, loaded=loaded, progress=watcher_of(progress))


@in_python
def fit(
    model: "Model",
    *,
    latency: str | float | LatencyTarget,
    device: str | DeviceRequest = "onnxruntime-cpu",
    data: "Data" = None,
    epochs: float = 10.0,
    lr: float = LEARNING_RATE,
    out: str | Path | None = None,
    resume: bool = False,
    solver: str = "exact",
    objective: str | None = None,
    importance: str | None = None,
    params_at_least: "Share" = None,
    macs_at_most: "Share" = None,
    width_floor: "Share" = None,
    keep: str | Sequence[str] = (),
    only: str | Sequence[str] = (),
    keep_blocks: bool = False,
    train: "Callable[[nn.Module], nn.Module | None] | None" = None,
    loss: "Loss | None" = None,
    evaluate: "Callable[[nn.Module], float] | None" = None,
    fine_tune: "FineTune | None" = None,
    distill: bool = False,
    mean: Sequence[float] = IMAGENET_MEAN,
    std: Sequence[float] = IMAGENET_STD,
    threads: int = 1,
    batch: int = 1,
    precision: str = "fp32",
    inputs: "Inputs" = None,
    weights: str | Path | None = None,
    calibrate: bool = True,
    seed: int = 0,
    db: str | Path | None = None,
    progress: Watcher = None,
) -> "FitResult":
    """Finds the widths that meet a latency at the least loss, applies them, trains, and measures the result.

    The network that was given is not changed.

    Args:
        model: The network.
        latency: The target: ``"0.7x"`` of what it takes now, a time such as ``"2ms"``, or seconds.
        device: Where the latency counts; :func:`edgewise.devices` lists them.
        data: What to train and judge with; none to train nothing.
        epochs: Passes over the training part; 0 only recalibrates batch norm.
        lr: Largest learning rate of the fine-tuning; short ones want less.
        out: Run folder to write, which every function and command takes as a model; none to write none.
        resume: Go on with the unfinished run in ``out``.
        solver: ``exact``, ``algorithm2`` (the tutorial's) or ``round``.
        objective: Give up least ``loss``, measured tie by tie, or keep as much ``importance`` or as many ``params`` as possible;
            none for the loss where weights are trained and there is data, and importance where there is one of both.
        importance: Judge channels by ``l2``, ``batch_norm``, ``taylor`` or ``obs``; none for obs (what the layers that read them lose,
            refitted) with trained weights and data, taylor with data, l2 without.
        params_at_least: Smallest share of the parameters.
        macs_at_most: Largest share of the multiply-accumulates.
        width_floor: Smallest share of a layer's present width.
        keep: Layers whose widths stay.
        only: Layers whose widths alone may change; empty for all.
        keep_blocks: Leave no residual block out; without, ``exact`` may, where what that loses can be measured.
        train: A training loop of one's own: trains the module that it is given.
        loss: Scalar from outputs and target; none for cross entropy.
        evaluate: Score of a module, higher is better; none for the accuracy.
        fine_tune: All settings of the built-in training; it brings its own epochs, rate and seed.
        distill: Learn from the original network's outputs too.
        mean: Mean of each channel of images in [0, 1], for data by name.
        std: Their standard deviation.
        threads: Threads the runtime may use.
        batch: Inputs at once.
        precision: ``fp32`` or ``bf16``.
        inputs: What a module is called with.
        weights: A file of weights to load.
        calibrate: Get to know a new device first (once, about twenty seconds).
        seed: Seed of everything drawn.
        db: Latency database; none for the one in the cache folder.
        progress: Is told how far it is.

    Returns:
        The network, the plan, and all figures.

    Raises:
        TargetError: The target is out of reach; says the fastest that is not.
        EdgewiseError: Something else is wrong; the text says what would be right.
    """
    from edgewise.recipes.fit import run_fit

    loaded = network_of(model, inputs=inputs, weights=weights)
    wanted, parts = data_of(data, epochs=epochs, seed=seed, mean=mean, std=std)
    request = FitRequest(
        model=request_of(loaded),
        latency=latency_of(latency),
        device=device_of(device, threads=threads, batch=batch, precision=precision, db=db),
        width_floor=share_of(width_floor, name="width_floor"),
        keep=names_of(keep),
        only=names_of(only),
        keep_blocks=keep_blocks,
        solver=solver,
        objective=objective,
        importance=importance,
        params_at_least=share_of(params_at_least, name="params_at_least"),
        macs_at_most=share_of(macs_at_most, name="macs_at_most"),
        data=wanted,
        lr=lr,
        distill=distill,
        seed=seed,
        out=folder_of(out, loaded),
        resume=resume,
        calibrate=calibrate,
    )
    course: Course | None = None
    if any(part is not None for part in (train, loss, evaluate, fine_tune)):
        course = _own_course(request, loaded, parts, train=train, loss=loss, evaluate=evaluate, settings=fine_tune)
    return run_fit(request, loaded=loaded, data=parts, course=course, progress=watcher_of(progress))


@in_python
def search(
    space: str | Path,
    *,
    latency: str | float | LatencyTarget,
    data: "Data",
    device: str | DeviceRequest = "onnxruntime-cpu",
    front: Sequence[str | float] = (),
    refine: int = REFINED,
    compare: int = 0,
    epochs: float = 10.0,
    out: str | Path | None = None,
    resume: bool = False,
    reference: str | None = None,
    widths_from: str | Path | None = None,
    course: SearchCourse | None = None,
    inherit: bool = True,
    batch_size: int = 128,
    mean: Sequence[float] = IMAGENET_MEAN,
    std: Sequence[float] = IMAGENET_STD,
    threads: int = 1,
    batch: int = 1,
    precision: str = "fp32",
    seed: int = 0,
    db: str | Path | None = None,
    progress: Watcher = None,
) -> "SearchResult":
    """Finds the network of a space that meets a latency, in one over-parameterised network, and trains it.

    Args:
        space: ``imagenet``, ``cifar``, ``cifar-deep``, ``cifar-small``, ``digits`` or a TOML file.
        latency: The target: ``"0.7x"`` of the reference, a time such as ``"2ms"``, or seconds.
        data: What to learn from: by its name, or an ``edgewise.train.data.Dataset``.
        device: Where the latency counts: measured, simulated, or a table of blocks (``lut:FILE``).
        front: Further targets, for networks that are measured and not trained.
        refine: Judge so many networks of that latency with the supernet's weights, and take the best; 0 for the likeliest.
        compare: Judge so many random networks of that latency, and as many found by evolution, beside the one found.
        epochs: Passes over the training part for the network found.
        out: Run folder to write; none to write none.
        resume: Go on with the unfinished run in ``out``.
        reference: The network that ``"0.7x"`` is a share of; none for the space's largest.
        widths_from: Stage widths from a file that ``profile --json`` wrote for ``space:NAME``.
        course: How the search itself goes; none for the usual.
        inherit: Training begins with the supernet's weights; else from the start.
        batch_size: Images of a training batch.
        mean: Mean of each channel of images in [0, 1], for data by name.
        std: Their standard deviation.
        threads: Threads the runtime may use.
        batch: Inputs at once, when networks are timed.
        precision: ``fp32`` or ``bf16``.
        seed: Seed of everything drawn.
        db: Latency database; none for the one in the cache folder.
        progress: Is told how far it is.

    Returns:
        The network, the operation of every block, and all figures.

    Raises:
        TargetError: The target lies outside what the space reaches.
        EdgewiseError: Something else is wrong.
    """
    from edgewise.recipes.search import run_search

    wanted, parts = data_of(data, epochs=epochs, seed=seed, mean=mean, std=std)
    request = SearchRequest(
        space=str(space),
        latency=latency_of(latency),
        data=wanted,
        device=device_of(device, threads=threads, batch=batch, precision=precision, db=db),
        reference=reference,
        widths_from=None if widths_from is None else Path(widths_from),
        course=course or SearchCourse(),
        front=tuple(latency_of(target) for target in front),
        refine=refine,
        compare=compare,
        inherit=inherit,
        batch_size=batch_size,
        seed=seed,
        out=None if out is None else Path(out),
        resume=resume,
    )
    return run_search(request, data=dataset_of(parts, what="a search"), progress=watcher_of(progress))


def _own_course(
    request: FitRequest,
    loaded: "LoadedModel",
    parts: "JudgedData | None",
    *,
    train: "Callable[[nn.Module], nn.Module | None] | None",
    loss: "Loss | None",
    evaluate: "Callable[[nn.Module], float] | None",
    settings: "FineTune | None",
) -> "Course":
    """Training and judging as a caller says; data by its name is opened."""
    from edgewise.recipes.own_training import OwnCourse, Training
    from edgewise.recipes.training import spec_of
    from edgewise.train.data import open_data
    from edgewise.train.loop import FineTune

    tuning = settings or FineTune(lr=request.lr, seed=request.seed)
    if request.data is not None:
        parts = open_data(spec_of(request.data, loaded)) if parts is None else parts
        tuning = settings or replace(tuning, epochs=request.data.epochs)
    return OwnCourse(Training(train=train, data=parts, loss=loss, evaluate=evaluate, settings=tuning, distill=request.distill))
