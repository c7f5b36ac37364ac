"""The options that commands share, with their fixed names and defaults."""

import re
from pathlib import Path
from typing import Annotated, TypeAlias

import typer

from edgewise._core.errors import UsageError
from edgewise._core.units import parse_ratio
from edgewise.recipes.requests import IMAGENET_MEAN, IMAGENET_STD, DataRequest

MEAN = ",".join(f"{value:g}" for value in IMAGENET_MEAN)
"""Default of ``--mean``, as it is typed."""
STD = ",".join(f"{value:g}" for value in IMAGENET_STD)
"""Default of ``--std``, as it is typed."""
DEVICE = "onnxruntime-cpu"
"""Where latency counts, by default."""
# A comma ends a device where the name of another follows: commands behind `exec:` may hold commas.
_BETWEEN_DEVICES = re.compile(r",(?=\s*(?:exec:|lut:|gpu:|portable:|chip:|[A-Za-z][A-Za-z0-9-]*\s*(?:,|$)))")

Model: TypeAlias = Annotated[
    str,
    typer.Argument(
        metavar="MODEL",
        help="A built-in name (resnet56), timm:NAME, torchvision:NAME, file.py:factory, or a run folder.",
        show_default=False,
    ),
]
Models: TypeAlias = Annotated[
    list[str],
    typer.Argument(metavar="MODEL…", help="Networks or run folders, the baseline first.", show_default=False),
]
Weights: TypeAlias = Annotated[
    Path | None,
    typer.Option("--weights", metavar="FILE", help="Weights to load: safetensors, or a state dict.", show_default=False),
]
Pretrained: TypeAlias = Annotated[bool, typer.Option("--pretrained", help="Download the weights that timm or torchvision publish.")]
Input: TypeAlias = Annotated[
    str | None,
    typer.Option("--input", metavar="1x3x224x224", help="Input shape; known for named models.", show_default=False),
]
Device: TypeAlias = Annotated[str, typer.Option("--device", metavar="D", help="Where latency counts; `edgewise devices` lists them.")]
Devices: TypeAlias = Annotated[
    str, typer.Option("--device", metavar="D[,D…]", help="Devices, separated by commas; `edgewise devices` lists them.")
]
Threads: TypeAlias = Annotated[int, typer.Option("--threads", metavar="N", help="Threads the runtime may use.")]
Batch: TypeAlias = Annotated[int, typer.Option("--batch", metavar="N", help="Inputs at once.")]
Precision: TypeAlias = Annotated[str, typer.Option("--precision", metavar="P", help="fp32 or bf16.")]
Database: TypeAlias = Annotated[
    Path | None,
    typer.Option(
        "--db",
        metavar="FILE",
        help="Latency database; by default $EDGEWISE_HOME/latency.sqlite or in the cache folder.",
        show_default=False,
    ),
]
Residual: TypeAlias = Annotated[
    bool, typer.Option("--residual/--no-residual", help="Correct what the traces cover by the learned residual.")
]
Seed: TypeAlias = Annotated[int, typer.Option("--seed", metavar="N", help="Seed of everything drawn.")]
Json: TypeAlias = Annotated[
    Path | None,
    typer.Option("--json", metavar="FILE", help="Also write the result there as JSON; - for standard output.", show_default=False),
]
Out: TypeAlias = Annotated[Path | None, typer.Option("--out", metavar="RUN", help="Run folder to write.", show_default=False)]
Resume: TypeAlias = Annotated[bool, typer.Option("--resume", help="Go on with the unfinished run in --out.")]
Data: TypeAlias = Annotated[
    str | None,
    typer.Option(
        "--data",
        metavar="DATA",
        help="digits, imagefolder:PATH, npz:FILE or torchvision:NAME:ROOT. Without it nothing is trained.",
        show_default=False,
    ),
]
Epochs: TypeAlias = Annotated[float, typer.Option("--epochs", metavar="N", help="Passes over the training data; 0 only recalibrates.")]
LearningRate: TypeAlias = Annotated[float, typer.Option("--lr", metavar="R", help="Largest learning rate.")]
Mean: TypeAlias = Annotated[str, typer.Option("--mean", metavar="R,G,B", help="Mean of images in [0, 1].")]
Std: TypeAlias = Annotated[str, typer.Option("--std", metavar="R,G,B", help="Their standard deviation.")]
WidthFloor: TypeAlias = Annotated[
    str | None,
    typer.Option("--width-floor", metavar="0.25x", help="Smallest share of a layer's present width.", show_default=False),
]
ChannelRatios: TypeAlias = Annotated[
    str | None, typer.Option("--channel-ratios", metavar="R[,R…]", help="Pruned share of channels of each block.", show_default=False)
]
SpatialRatios: TypeAlias = Annotated[
    str | None, typer.Option("--spatial-ratios", metavar="R[,R…]", help="Pruned share of positions of each block.", show_default=False)
]
Bits: TypeAlias = Annotated[int | None, typer.Option(metavar="N", help="Instead of the chip's own.", show_default=False)]
Keep: TypeAlias = Annotated[
    list[str] | None, typer.Option("--keep", metavar="NAME", help="Layer whose width stays; may be repeated.", show_default=False)
]
Only: TypeAlias = Annotated[
    list[str] | None,
    typer.Option("--only", metavar="NAME", help="Layer whose width may change, no other; may be repeated.", show_default=False),
]


def numbers(text: str, *, flag: str) -> tuple[float, ...]:
    """The numbers in a comma-separated text.

    Args:
        text: What was typed, such as ``0.5,0.5,0.5``.
        flag: The option, for the error.

    Raises:
        UsageError: Something between the commas is not a number.

    Example:
        >>> numbers("0.5, 0.25", flag="--mean")
        (0.5, 0.25)
    """
    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError:
        raise UsageError(f"{flag} must be numbers separated by commas, such as 0.485,0.456,0.406, got {text!r}") from None


def ratios(text: str | None, *, flag: str) -> tuple[float, ...]:
    """The ratios in a comma-separated text; none without one.

    Raises:
        UsageError: Something between the commas is not a number.

    Example:
        >>> ratios(".2,.5", flag="--channel-ratios"), ratios(None, flag="--channel-ratios")
        ((0.2, 0.5), ())
    """
    return numbers(text, flag=flag) if text else ()


def share(text: str | None, *, flag: str) -> float | None:
    """The share in a text such as ``0.7x``; none without one.

    Raises:
        UsageError: It is no share.

    Example:
        >>> share("0.7x", flag="--width-floor")
        0.7
    """
    return None if text is None else parse_ratio(text, flag=flag)


def pair(text: str, *, flag: str) -> tuple[float, float]:
    """The two numbers in a comma-separated text.

    Raises:
        UsageError: Not two numbers.

    Example:
        >>> pair("0.01,0", flag="--stuck")
        (0.01, 0.0)
    """
    found = numbers(text, flag=flag)
    if len(found) != 2:
        raise UsageError(f"{flag} must be two numbers separated by a comma, got {text!r}")
    return found[0], found[1]


def words(texts: list[str] | None) -> tuple[str, ...]:
    """The names in repeated options, each of which may hold several separated by commas.

    Example:
        >>> words(["conv1,conv2", "fc"])
        ('conv1', 'conv2', 'fc')
    """
    return tuple(word.strip() for text in texts or [] for word in text.split(",") if word.strip())


def devices(text: str) -> list[str]:
    """The devices in a comma-separated text.

    Example:
        >>> devices("torch-cpu,exec:time.sh --cores 0,1")
        ['torch-cpu', 'exec:time.sh --cores 0,1']
    """
    return [name.strip() for name in _BETWEEN_DEVICES.split(text)]


def data_request(data: str | None, *, epochs: float, mean: str, std: str, seed: int) -> DataRequest | None:
    """The data asked for by the options that commands share; none without ``--data``."""
    if data is None:
        return None
    return DataRequest(data=data, epochs=epochs, mean=numbers(mean, flag="--mean"), std=numbers(std, flag="--std"), seed=seed)
