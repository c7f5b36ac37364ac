"""One front over everything."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from edgewise._core.errors import UsageError
from edgewise._core.units import LatencyTarget
from edgewise.api.arguments import Watcher, device_of, in_python, latency_of, share_of, watcher_of
from edgewise.recipes.explore.request import EPOCHS, LATENCIES, STRENGTHS, ExploreRequest, parse_duration
from edgewise.recipes.requests import IMAGENET_MEAN, IMAGENET_STD, LEARNING_RATE, DataRequest, DeviceRequest, ModelRequest

if TYPE_CHECKING:
    from edgewise.recipes.explore.result import ExploreResult


@in_python
def explore(
    model: str | Path,
    *,
    data: str,
    device: str | DeviceRequest = "onnxruntime-cpu",
    budget: str | float | None = None,
    trials: int | None = None,
    points: str | Path | None = None,
    space: str | Path | None = None,
    search_epochs: float = 8.0,
    latencies: Sequence[str | float | LatencyTarget] = LATENCIES,
    strengths: Sequence[float | str] = STRENGTHS,
    epochs: float = EPOCHS,
    sampler: str = "nsga2",
    lr: float = LEARNING_RATE,
    distill: bool = True,
    trial_threads: int | None = None,
    ray: str | None = None,
    out: str | Path | None = None,
    resume: bool = False,
    mean: Sequence[float] = IMAGENET_MEAN,
    std: Sequence[float] = IMAGENET_STD,
    threads: int = 1,
    batch: int = 1,
    precision: str = "fp32",
    inputs: str | None = None,
    weights: str | Path | None = None,
    pretrained: bool = False,
    seed: int = 0,
    db: str | Path | None = None,
    progress: Watcher = None,
) -> "ExploreResult":
    """Finds the trade-off between accuracy and latency: widths, dynamic sparsity and searched networks as one front.

    Give an end: ``budget``, ``trials`` or ``points``. Trials may run in other processes and on other machines, so model and
    data are named: a module of one's own is a ``file.py:factory``.

    Args:
        model: The network, with trained weights: a name, a ``file.py:factory`` or a run folder.
        data: ``digits``, ``imagefolder:PATH``, ``npz:FILE`` or ``torchvision:NAME:ROOT``.
        device: Where the latency counts, measured or simulated.
        budget: Time that the whole study may take: ``"2h"``, ``"40min"``, ``"90s"``, or seconds.
        trials: Networks tried at most, the given one included.
        points: A JSON file with the networks to try, and no others.
        space: A space to search too: its name or a TOML file.
        search_epochs: Passes of that search over the training data.
        latencies: Latencies that widths are solved for.
        strengths: Shares of the multiply-accumulates that dynamic sparsity leaves.
        epochs: Passes over the training data that a network gets in full.
        sampler: ``nsga2``, ``tpe`` or ``random``.
        lr: Largest learning rate.
        distill: Networks learn from the given one's outputs too: better, a third slower.
        trial_threads: Threads that train a network; none for all cores.
        ray: ``auto`` or the address of a Ray cluster; none for this process alone.
        out: Study folder to write; none for ``runs/explore-MODEL``.
        resume: Go on with the study in the folder.
        mean: Mean of each channel of images in [0, 1].
        std: Their standard deviation.
        threads: Threads the runtime may use when networks are timed.
        batch: Inputs at once.
        precision: ``fp32`` or ``bf16``.
        inputs: Input shape such as ``1x3x224x224``; none for the one known.
        weights: A file of weights to load.
        pretrained: Let timm or torchvision download the weights that they publish.
        seed: Seed of everything drawn.
        db: Latency database; none for the one in the cache folder.
        progress: Is told how far it is.

    Returns:
        Every network tried, the front, and the one to take for a latency; each is a run folder.

    Raises:
        UsageError: The budget is too small for one trial, or there is no end.
        EdgewiseError: Something else is wrong.
    """
    if not isinstance(model, str | Path):
        raise UsageError(
            f"`model` must be a name, file.py:factory or a run folder, which every process can load, got a {type(model).__name__}"
        )
    from edgewise.recipes.explore.run import run_explore

    request = ExploreRequest(
        model=ModelRequest(model=str(model), weights=None if weights is None else Path(weights), pretrained=pretrained, input=inputs),
        device=device_of(device, threads=threads, batch=batch, precision=precision, db=db),
        data=DataRequest(data=data, epochs=epochs, mean=tuple(mean), std=tuple(std), seed=seed),
        budget_s=parse_duration(budget, flag="`budget`") if isinstance(budget, str) else budget,
        trials=trials,
        points=None if points is None else Path(points),
        space=None if space is None else str(space),
        search_epochs=search_epochs,
        latencies=tuple(latency_of(target) for target in latencies),
        strengths=tuple(share for one in strengths if (share := share_of(one, name="strengths")) is not None),
        sampler=sampler,
        lr=lr,
        distill=distill,
        trial_threads=trial_threads,
        ray=ray,
        seed=seed,
        out=None if out is None else Path(out),
        resume=resume,
    )
    return run_explore(request, progress=watcher_of(progress))
