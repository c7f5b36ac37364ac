"""Networks of timm and torchvision, which are imported only when one is asked for."""

import contextlib
import difflib
import importlib
import importlib.util
import inspect
import logging
from collections.abc import Iterator, Sequence
from types import ModuleType
from typing import Any

from torch import nn

from edgewise._core.errors import SpecError, UnknownNameError, UsageError, WeightsError

_DETECTION_INPUT = (1, 3, 320, 320)
_DENSE_INPUT = (1, 3, 520, 520)
_IMAGE = 224
_CLIP_FRAMES = 16
_EXAMPLES = {"timm": "timm:resnet18", "torchvision": "torchvision:resnet18"}


def check_name(zoo: str, name: str) -> None:
    """Makes sure that the zoo has a model of this name.

    Args:
        zoo: ``timm`` or ``torchvision``.
        name: Name of the model there; timm's may carry a tag of its weights (``resnet18.a1_in1k``).

    Raises:
        UnknownNameError: It has none; the text names near ones.
        UsageError: The zoo is not installed.
    """
    library = _library(zoo)
    if zoo == "timm":
        if not library.is_model(name):
            raise _unknown(zoo, name, library.list_models())
        _timm_config(library, name)
    elif name not in library.models.list_models():
        raise _unknown(zoo, name, library.models.list_models())


def build_timm(name: str, *, pretrained: bool) -> nn.Module:
    """The timm model of this name.

    Args:
        name: Name of the model, with or without the tag of its weights.
        pretrained: Download the weights that timm publishes for it, or take them from its cache.

    Returns:
        The model as timm makes it.

    Raises:
        WeightsError: Weights were asked for, but there are none or they cannot be downloaded.
        SpecError: timm cannot build it.
    """
    timm = _library("timm")
    if pretrained and not timm.is_model_pretrained(name):
        raise WeightsError(f"timm publishes no weights for {name!r}, got --pretrained; run without it, or give --weights FILE")
    return _made("timm", name, lambda: timm.create_model(name, pretrained=pretrained), pretrained=pretrained)


def build_torchvision(name: str, *, pretrained: bool, download: bool) -> nn.Module:
    """The torchvision model of this name.

    Args:
        name: Name of the model in ``torchvision.models.list_models()``.
        pretrained: Form the network as it is with published weights.
        download: Also load those weights, downloading them where torch has not cached them.

    Returns:
        The model as torchvision makes it; its backbone has random weights too unless ``download``.

    Raises:
        WeightsError: The weights cannot be downloaded.
        SpecError: torchvision cannot build it.
    """
    models = _library("torchvision").models
    arguments = _torchvision_arguments(models, name, pretrained=pretrained, download=download)
    return _made("torchvision", name, lambda: models.get_model(name, **arguments), pretrained=download)


def timm_input_shape(name: str) -> tuple[int, ...]:
    """The input shape that timm's configuration of the model names, with a batch of one."""
    config = _timm_config(_library("timm"), name)
    size = None if config is None else config.input_size
    return (1, 3, _IMAGE, _IMAGE) if size is None else (1, *(int(number) for number in size))


def torchvision_input_shape(name: str) -> tuple[int, ...]:
    """The shape of images or clips that the published weights were made for, with a batch of one.

    Detection takes images of any size: 320x320 there. Segmentation: 520x520, as published. Clips: 16 frames.

    Raises:
        UsageError: The model takes several inputs.
    """
    models = _library("torchvision").models
    family = models.get_model_builder(name).__module__
    if ".optical_flow." in family:
        raise UsageError(f"torchvision:{name} takes two images; use edgewise from Python with both inputs")
    if ".detection." in family:
        return _DETECTION_INPUT
    if ".segmentation." in family:
        return _DENSE_INPUT
    size = _crop_size(models, name)
    return (1, 3, _CLIP_FRAMES, *size) if ".video." in family else (1, 3, *size)


def _crop_size(models: Any, name: str) -> tuple[int, int]:  # noqa: ANN401 - torchvision has no types
    published = list(models.get_model_weights(name))
    crop = list(published[-1].transforms().crop_size) if published else [_IMAGE]
    return int(crop[0]), int(crop[-1])


def _timm_config(timm: Any, name: str) -> Any:  # noqa: ANN401 - timm has no types
    try:
        return timm.get_pretrained_cfg(name)
    except RuntimeError as error:
        raise UnknownNameError(f"unknown tag in timm model {name!r}: {_one_line(error)}") from error


def _torchvision_arguments(models: Any, name: str, *, pretrained: bool, download: bool) -> dict[str, Any]:  # noqa: ANN401
    parameters = inspect.signature(models.get_model_builder(name)).parameters
    if download:
        return {"weights": "DEFAULT"}
    arguments: dict[str, Any] = {"weights": None}
    if "weights_backbone" in parameters:
        arguments["weights_backbone"] = None
    if name in {"googlenet", "inception_v3"}:
        # Without this they draw their weights from scipy, slowly, and warn that they will change.
        arguments["init_weights"] = False
        if pretrained:
            arguments |= {"transform_input": True, "aux_logits": name == "inception_v3"}
    if pretrained and "aux_loss" in parameters:
        arguments["aux_loss"] = True
    return arguments


def _made(zoo: str, name: str, make: Any, *, pretrained: bool) -> nn.Module:  # noqa: ANN401
    try:
        with _quiet_hub():
            model = make()
    except Exception as error:
        if pretrained:
            raise WeightsError(
                f"cannot get the published weights of {zoo}:{name} ({_one_line(error)}); "
                "check the network connection, or run without --pretrained, or give --weights FILE"
            ) from error
        raise SpecError(f"{zoo} cannot build {name!r}: {_one_line(error)}") from error
    assert isinstance(model, nn.Module)
    return model


@contextlib.contextmanager
def _quiet_hub() -> Iterator[None]:
    """Keeps the hub's log of its retries off the terminal: the error says what matters."""
    logger = logging.getLogger("huggingface_hub")
    before = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        logger.setLevel(before)


def _library(zoo: str) -> ModuleType:
    if importlib.util.find_spec(zoo) is None:
        raise UsageError(f"{_EXAMPLES[zoo]} and its like need {zoo}, which is not installed; run: pip install 'edgewise[zoo]'")
    return importlib.import_module(zoo)


def _unknown(zoo: str, name: str, known: Sequence[str]) -> UnknownNameError:
    near = difflib.get_close_matches(name, known, n=3, cutoff=0.6)
    # A zoo has hundreds of names: without near ones, say where they are listed.
    listing = "timm.list_models()" if zoo == "timm" else "torchvision.models.list_models()"
    hint = f"did you mean {' or '.join(near)}?" if near else f"{listing} lists all {len(known)}"
    return UnknownNameError(f"unknown {zoo} model {name!r}; {hint}")


def _one_line(error: Exception) -> str:
    text = " ".join(str(error).split()) or type(error).__name__
    return text if len(text) <= 200 else f"{text[:197]}..."
