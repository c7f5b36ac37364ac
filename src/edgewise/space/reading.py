"""Spaces by name, or from a file that a person wrote."""

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from edgewise._core.errors import SpecError, unknown_name
from edgewise.space.catalog import SPACES
from edgewise.space.space import Space, Stage


class _StageForm(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    width: int
    depth: int
    stride: int = 1
    kernels: tuple[int, ...] = (3, 5)
    expansions: tuple[int, ...] = (3, 6)
    ses: tuple[float, ...] = (0.0,)
    skip: bool = True
    in_channels: int | None = None


class _SpaceForm(BaseModel):
    """Form of a space file."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    input_shape: tuple[int, ...]
    stem: int
    stem_stride: int = 1
    stages: tuple[_StageForm, ...]
    head: int = 0
    n_classes: int
    activation: str = "relu"
    dropout: float = 0.0


def load_space(text: str) -> Space:
    """The space that a person named: one of the package's, or a TOML file.

    Args:
        text: A name such as ``imagenet`` (case does not matter), or the path of a file.

    Raises:
        UnknownNameError: No such space.
        SpecError: The file is missing, is not TOML, or breaks a rule; the text names the value.

    Example:
        >>> len(load_space("Imagenet").searchable)
        20
    """
    name = text.strip()
    if name.lower() in SPACES:
        return SPACES[name.lower()]
    path = Path(name).expanduser()
    if path.suffix.lower() != ".toml" and not path.is_file():
        raise unknown_name("space", name, (*SPACES, "FILE.toml"))
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise SpecError(f"no space file {path}; spaces that come with edgewise are {', '.join(SPACES)}") from None
    except (OSError, UnicodeDecodeError) as error:
        raise SpecError(f"cannot read the space file {path}: {' '.join(str(error).split())}") from error
    except tomllib.TOMLDecodeError as error:
        raise SpecError(f"the space file {path} is not TOML: {error}") from error
    return space_from_json({"name": path.stem, **values}, place=f"the space file {path}")


def space_from_json(value: Mapping[str, Any], *, place: str = "the space") -> Space:
    """The space that JSON or TOML values describe.

    Args:
        value: What :meth:`Space.to_json` wrote, or a person; stages may name their ``in_channels`` for a check.
        place: Where it comes from, for errors.

    Raises:
        SpecError: A value is missing, unknown or breaks a rule, or channels of neighbouring stages do not fit.
    """
    try:
        form = _SpaceForm.model_validate(dict(value))
    except ValidationError as error:
        fault = error.errors()[0]
        where = ".".join(str(part) for part in fault["loc"])
        raise SpecError(f"{place} breaks a rule: {where}: {fault['msg'][:1].lower()}{fault['msg'][1:]}") from error
    before = form.stem
    for number, stage in enumerate(form.stages):
        if stage.in_channels not in (None, before):
            raise SpecError(
                f"{place} has inconsistent channels: stage {number} reads {stage.in_channels}, but {before} are written before it; "
                "give it the same number, or leave in_channels out"
            )
        before = stage.width
    fields = {name: getattr(form, name) for name in _SpaceForm.model_fields if name != "stages"}
    stages = tuple(Stage(**{name: getattr(stage, name) for name in Stage.__dataclass_fields__}) for stage in form.stages)
    return Space(stages=stages, **fields)
