"""Where a model comes from: built in, timm, torchvision, or a user's own file."""

import difflib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from torch import nn

from edgewise._core.errors import EdgewiseError, RunError, SpecError, UnknownNameError, UsageError, unknown_name
from edgewise.ir import ArchPlan
from edgewise.models import factory, zoo
from edgewise.models.catalog import BUILT_IN
from edgewise.models.mobile import MobileNet
from edgewise.models.shapes import parse_input_shape
from edgewise.space import Space, load_space, space_from_json

Kind = Literal["built-in", "timm", "torchvision", "file", "space", "memory"]
# A module that lives in memory alone has no place in a file.
_KINDS: tuple[Kind, ...] = ("built-in", "timm", "torchvision", "file", "space")
_ZOOS: dict[str, Kind] = {"timm": "timm", "torchvision": "torchvision"}
_SPACE = "space"
_OTHER_FORMS = "other forms are timm:NAME, torchvision:NAME, FILE.py:FACTORY, space:NAME and a run folder"
_INITIAL_SEED = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelSource:
    """Where a model comes from, as a run folder records it.

    Attributes:
        kind: ``built-in``, ``timm``, ``torchvision``, ``file``, ``space``: the largest network of a space, or
            ``memory``: a module made in Python, which no run folder can build again.
        name: Name of the model there; of a file its absolute path.
        pretrained: The zoo's published weights were asked for.
        sha256: Hash of the factory's file; only of ``file``.
        factory: Function in that file; only of ``file``.
        space: The space itself, so that nothing else is needed to build it; only of ``space``.
    """

    kind: Kind
    name: str
    pretrained: bool = False
    sha256: str | None = None
    factory: str | None = None
    space: Space | None = None

    def __post_init__(self) -> None:
        """Checks that a file, and only a file, has a factory and a hash."""
        if (self.kind == "file") != (self.factory is not None) or (self.factory is None) != (self.sha256 is None):
            raise SpecError(f"a source has `factory` and `sha256` exactly if it is a file, got kind {self.kind!r} with {self.factory!r}")
        if (self.kind == _SPACE) != (self.space is not None):
            raise SpecError(f"a source has `space` exactly if it is a space, got kind {self.kind!r} with {self.space!r}")
        if self.pretrained and self.kind not in {"timm", "torchvision"}:
            raise UsageError(
                f"--pretrained is for timm and torchvision models only, got {self.label!r}; give its weights by --weights FILE"
            )

    @property
    def label(self) -> str:
        """The source as people type it, for example ``timm:resnet18``."""
        if self.kind == "file":
            return f"{Path(self.name).name}:{self.factory}"
        return self.name if self.kind in {"built-in", "memory"} else f"{self.kind}:{self.name}"

    def to_json(self) -> dict[str, Any]:
        """The source as JSON values."""
        value = {"kind": self.kind, "name": self.name, "pretrained": self.pretrained, "sha256": self.sha256, "factory": self.factory}
        return value if self.space is None else {**value, "space": self.space.to_json()}

    @staticmethod
    def from_json(value: Mapping[str, Any]) -> "ModelSource":
        """The source that :meth:`to_json` wrote.

        Raises:
            RunError: The value is not such a source.
        """
        kind = next((known for known in _KINDS if known == value.get("kind")), None)
        texts = [value.get("sha256"), value.get("factory")]
        if kind is None or not isinstance(value.get("name"), str) or not all(text is None or isinstance(text, str) for text in texts):
            raise RunError(f"not a model source: {dict(value)!r}")
        return ModelSource(
            kind=kind,
            name=value["name"],
            pretrained=value.get("pretrained") is True,
            sha256=texts[0],
            factory=texts[1],
            space=_space_of(value) if kind == _SPACE else None,
        )


def parse_source(text: str, *, pretrained: bool = False) -> ModelSource:
    """The source that a person named.

    Args:
        text: A built-in name (case does not matter), ``timm:NAME``, ``torchvision:NAME``, ``FILE.py:FACTORY``, or
            ``space:NAME`` for the largest network of a space.
        pretrained: Ask timm or torchvision for the weights that they publish.

    Returns:
        The source; its model exists, or its file does.

    Raises:
        UnknownNameError: No such model; the text names near ones.
        UsageError: A form that is none of these, no such file, or ``pretrained`` without a zoo.

    Example:
        >>> parse_source("ResNet56").label
        'resnet56'
    """
    name = text.strip()
    if name.lower() in BUILT_IN:
        return ModelSource(kind="built-in", name=name.lower(), pretrained=pretrained)
    prefix, colon, rest = name.partition(":")
    if colon and prefix.lower() == _SPACE:
        space = load_space(rest)
        return ModelSource(kind="space", name=space.name, pretrained=pretrained, space=space)
    kind: Kind | None = _ZOOS.get(prefix.lower()) if colon else None
    if kind is not None:
        zoo.check_name(kind, rest)
        return ModelSource(kind=kind, name=rest, pretrained=pretrained)
    file, _, function = name.rpartition(":")
    if name.endswith(".py") or file.endswith(".py"):
        return _file_source(file, function, name, pretrained=pretrained)
    raise _unknown_model(name)


def build(source: ModelSource, *, download: bool = True, plan: ArchPlan | None = None) -> nn.Module:
    """The model of a source, in evaluation mode.

    Weights that are not downloaded are drawn from a fixed seed, so that one source always
    gives the same tensors; torch's own generator is left as it was.

    Args:
        source: Where the model comes from.
        download: With a ``pretrained`` source, load the published weights; without, only form
            the network as it is with them (a run folder holds its own tensors).
        plan: Of a space, which of its networks; none for the largest.

    Raises:
        RunError: The factory's file is gone or has changed.
        SpecError: The model cannot be built.
        WeightsError: The published weights cannot be had.
    """
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(_INITIAL_SEED)
        model = _built(source, download=download) if source.space is None else MobileNet(source.space, plan or source.space.largest)
    return model.eval()


def input_shape(source: ModelSource, override: str | None = None) -> tuple[int, ...]:
    """The shape of the model's input, with a batch of one.

    Args:
        source: Where the model comes from.
        override: A shape such as ``1x3x224x224`` to use instead of the known one.

    Raises:
        UsageError: The shape is not readable, or none is known and none given.
    """
    if override is not None:
        return parse_input_shape(override)
    if source.kind == "built-in":
        return BUILT_IN[source.name].input_shape
    if source.kind == "timm":
        return zoo.timm_input_shape(source.name)
    if source.kind == "torchvision":
        return zoo.torchvision_input_shape(source.name)
    if source.space is not None:
        return source.space.input_shape
    raise UsageError(f"the input shape of {source.label} is not known; give it, for example --input 1x3x224x224")


def _built(source: ModelSource, *, download: bool) -> nn.Module:
    if source.kind == "built-in":
        if source.name not in BUILT_IN:
            raise unknown_name("model", source.name, BUILT_IN)
        return BUILT_IN[source.name].build()
    if source.kind == "memory":
        raise SpecError(f"{source.name} lives in memory only and cannot be built again; keep its code and its weights")
    if source.kind == "file":
        assert source.factory is not None and source.sha256 is not None
        return factory.build_from_file(Path(source.name), source.factory, sha256=source.sha256)
    if source.kind == "timm":
        return zoo.build_timm(source.name, pretrained=source.pretrained and download)
    return zoo.build_torchvision(source.name, pretrained=source.pretrained, download=source.pretrained and download)


def _space_of(value: Mapping[str, Any]) -> Space:
    try:
        return space_from_json(value["space"])
    except (KeyError, TypeError, EdgewiseError) as error:
        raise RunError(f"not a model source: its space is damaged ({error})") from error


def _file_source(file: str, function: str, text: str, *, pretrained: bool) -> ModelSource:
    if not file.endswith(".py") or not function.isidentifier():
        raise UsageError(f"a model from a file needs the name of a function that makes it, FILE.py:FACTORY, got {text!r}")
    path = Path(file).expanduser().resolve()
    sha256 = factory.hash_file(path)
    return ModelSource(kind="file", name=str(path), pretrained=pretrained, sha256=sha256, factory=function)


def _unknown_model(name: str) -> UnknownNameError:
    near = difflib.get_close_matches(name.lower(), sorted(BUILT_IN), n=3, cutoff=0.6)
    hint = f"did you mean {' or '.join(near)}?" if near else f"built in are {', '.join(sorted(BUILT_IN))}"
    return UnknownNameError(f"unknown model {name!r}; {hint} ({_OTHER_FORMS})")
