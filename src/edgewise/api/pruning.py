"""Pruning for each input, and what it costs on a crossbar chip."""

from collections.abc import Mapping, Sequence
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
    ratios_of,
    request_of,
    share_of,
    watcher_of,
)
from edgewise.recipes.crossbar_request import AnalogRequest, CrossbarRequest, LayoutRequest, PruningRequest
from edgewise.recipes.requests import IMAGENET_MEAN, IMAGENET_STD, LEARNING_RATE
from edgewise.recipes.sparsify.request import CHANGING, DENSE_DEVICES, RAMP, RatioRequest, SparsifyRequest

if TYPE_CHECKING:
    from edgewise.recipes.crossbar import CrossbarResult
    from edgewise.recipes.sparsify.run import SparsifyResult


@in_python
def sparsify(
    model: "Model",
    *,
    channel_ratios: float | Sequence[float] | None = None,
    spatial_ratios: float | Sequence[float] | None = None,
    macs_at_most: "Share" = None,
    latency: str | float | LatencyTarget | None = None,
    data: "Data" = None,
    epochs: float = 6.0,
    out: str | Path | None = None,
    resume: bool = False,
    block_outputs: bool = False,
    remove: bool = False,
    changing: float | Sequence[float] = CHANGING,
    images: int = 1000,
    one_for_all: bool = False,
    ramp: float = RAMP,
    lr: float = LEARNING_RATE,
    distill: bool = False,
    device: str | Sequence[str] = DENSE_DEVICES,
    measure: bool = True,
    mean: Sequence[float] = IMAGENET_MEAN,
    std: Sequence[float] = IMAGENET_STD,
    threads: int = 1,
    batch: int = 1,
    inputs: "Inputs" = None,
    weights: str | Path | None = None,
    seed: int = 0,
    db: str | Path | None = None,
    progress: Watcher = None,
) -> "SparsifyResult":
    """Prunes feature maps for each input while the network runs: trains for it, and measures what it saves.

    Give ratios, or one target that they are chosen for.

    Args:
        model: The network.
        channel_ratios: Pruned share of channels: one for all blocks, or one for each.
        spatial_ratios: The same for positions.
        macs_at_most: Choose ratios for this share of the convolutions' multiply-accumulates; needs data.
        latency: Choose ratios for this latency, as measured here; needs data.
        data: What to train and judge with; none to train nothing.
        epochs: Passes over the training part; 0 only recalibrates batch norm.
        out: Run folder to write; none to write none.
        resume: Go on with the unfinished run in ``out``.
        block_outputs: Prune also what convolutions read of sums; never the shortcut.
        remove: Remove for good what no image is to keep: the layers before compute less, too.
        changing: Share of the kept channels that may be others for every image: one for all blocks, or one for each.
        images: Validation images that blocks are judged by when ratios are chosen.
        one_for_all: Train one set of weights for all ratios up to these.
        ramp: Share of training in which ratios rise to their targets.
        lr: Largest learning rate.
        distill: Learn from the dense network's outputs and maps, too: better, half slower.
        device: Runtimes of the dense network; the fastest is compared with.
        measure: Time dense and pruned network side by side.
        mean: Mean of each channel of images in [0, 1], for data by name.
        std: Their standard deviation.
        threads: Threads the runtimes may use.
        batch: Inputs at once.
        inputs: What a module is called with.
        weights: A file of weights to load.
        seed: Seed of everything drawn.
        db: Latency database; none for the one in the cache folder.
        progress: Is told how far it is.

    Returns:
        The network with its gates, and all figures.

    Raises:
        TargetError: The target is out of reach.
        EdgewiseError: Something else is wrong.
    """
    from edgewise.recipes.sparsify.run import run_sparsify

    loaded = network_of(model, inputs=inputs, weights=weights)
    wanted, parts = data_of(data, epochs=epochs, seed=seed, mean=mean, std=std)
    request = SparsifyRequest(
        model=request_of(loaded),
        ratios=RatioRequest(
            channels=ratios_of(channel_ratios),
            positions=ratios_of(spatial_ratios),
            macs_at_most=share_of(macs_at_most, name="macs_at_most"),
            latency=None if latency is None else latency_of(latency),
            block_outputs=block_outputs,
            remove=remove,
            changing=ratios_of(changing),
            images=images,
        ),
        device=device_of("openvino-cpu", threads=threads, batch=batch, db=db),
        dense_devices=names_of(device),
        data=wanted,
        ramp=ramp,
        lr=lr,
        distill=distill,
        one_for_all=one_for_all,
        measure=measure,
        seed=seed,
        out=folder_of(out, loaded),
        resume=resume,
    )
    return run_sparsify(request, loaded=loaded, data=parts, progress=watcher_of(progress))


@in_python
def crossbar(
    model: "Model",
    *,
    chip: str | Path = "isaac",
    accounting: str = "gating",
    channel_ratios: float | Sequence[float] | None = None,
    spatial_ratios: float | Sequence[float] | None = None,
    masks: str = "recorded",
    channel_group: int | str = 1,
    spatial_block: int = 1,
    layout: LayoutRequest | None = None,
    noise: float | Sequence[float] = 0.0,
    cells: Mapping[str, float | str] | None = None,
    mode: str = "folded",
    adc_range: str = "max",
    chips: int = 5,
    images: int = 1000,
    noise_aware: int = 0,
    data: "Data" = None,
    out: str | Path | None = None,
    resume: bool = False,
    neurosim: str | Path | None = None,
    mean: Sequence[float] = IMAGENET_MEAN,
    std: Sequence[float] = IMAGENET_STD,
    inputs: "Inputs" = None,
    weights: str | Path | None = None,
    seed: int = 0,
    progress: Watcher = None,
) -> "CrossbarResult":
    """Prices a network on a ReRAM crossbar chip, dense and pruned, and with data judges its accuracy there.

    Every figure is simulated.

    Args:
        model: The network.
        chip: ``isaac``, ``puma``, ``prime`` or a TOML file.
        accounting: ``gating``, ``reload``, ``static`` or ``static-both``: what pruning is taken to save.
        channel_ratios: Pruned share of channels: one for all blocks, or one for each.
        spatial_ratios: The same for positions.
        masks: ``recorded``, ``random`` or ``random:R[:channels|positions|both]``.
        channel_group: Channels pruned together: a number, or ``"array"``.
        spatial_block: Side of the blocks of positions pruned together.
        layout: How the network lies on the chip; none for the usual.
        noise: Programming noise to judge at: one figure or several; the last is reported.
        cells: Further noise: ``programming_model``, ``stuck_off``, ``stuck_on``, ``read``, ``drift_s``, ``wire_ohm``.
        mode: ``folded``, or ``bitwise``: every bit and slice converted.
        adc_range: ``max``, ``granular`` or ``calibrated``.
        chips: Chips to draw.
        images: Images to record masks from, and to judge on.
        noise_aware: Steps of fine-tuning under noise first.
        data: Images: by their name, or an ``edgewise.train.data.Dataset``; none to judge nothing.
        out: Run folder to write; none to write none.
        resume: Go on with the unfinished run in ``out``.
        neurosim: Folder for NeuroSim's files; none to write none.
        mean: Mean of each channel of images in [0, 1], for data by name.
        std: Their standard deviation.
        inputs: What a module is called with.
        weights: A file of weights to load.
        seed: Seed of everything drawn.
        progress: Is told how far it is.

    Returns:
        Time, energy, area and arrays, dense and pruned, and the accuracy on the chip.

    Raises:
        EdgewiseError: Of the kind that says what is wrong: the chip file, a layer, a size, a ratio.

    Example:
        >>> import edgewise
        >>> cost = edgewise.crossbar("resnet20", chip="isaac", channel_ratios=0.5).to_json()
        >>> cost["kind"], cost["arrays"] == cost["dense"]["arrays"], cost["energy_j"] < cost["dense"]["energy_j"]
        ('simulated', True, True)
    """
    from edgewise.recipes.crossbar import run_crossbar

    loaded = network_of(model, inputs=inputs, weights=weights)
    wanted, parts = data_of(data, epochs=0.0, seed=seed, mean=mean, std=std)
    request = CrossbarRequest(
        model=request_of(loaded),
        chip=str(chip),
        accounting=accounting,
        pruning=PruningRequest(
            channel_ratios=ratios_of(channel_ratios),
            spatial_ratios=ratios_of(spatial_ratios),
            masks=masks,
            channel_group=str(channel_group),
            spatial_block=spatial_block,
        ),
        layout=layout or LayoutRequest(),
        analog=AnalogRequest(
            mode=mode,
            noise=ratios_of(noise),
            cells=tuple((cells or {}).items()),
            adc_range=adc_range,
            chips=chips,
            images=images,
            noise_aware=noise_aware,
        ),
        data=wanted,
        seed=seed,
        out=folder_of(out, loaded),
        neurosim=None if neurosim is None else Path(neurosim),
        resume=resume,
    )
    return run_crossbar(request, loaded=loaded, data=dataset_of(parts, what="a crossbar chip"), progress=watcher_of(progress))
