"""Chips by name, or from a file that a person wrote."""

import math
import tomllib
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from edgewise._core.errors import SpecError, unknown_name
from edgewise.cost.chip.names import CHIPS
from edgewise.cost.chip.records import Chip, Component

Unpublished = Literal["unpublished"]
_Form = TypeVar("_Form", bound="_Strict")


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class _Sourced(_Strict):
    source: str

    @field_validator("source")
    @classmethod
    def _is_said(cls, source: str) -> str:
        if len(source.strip()) < 8 or source.strip() in ("derived:", "assumed:"):
            raise ValueError("must be a citation, `derived: ...` or `assumed: ...`")
        return source


class _Count(_Sourced):
    value: int = Field(gt=0)


class _Cycles(_Sourced):
    value: int = Field(ge=0)


class _Positive(_Sourced):
    value: float | Unpublished

    @field_validator("value")
    @classmethod
    def _is_positive(cls, value: float | str) -> float | str:
        if isinstance(value, float) and not (math.isfinite(value) and value > 0):
            raise ValueError(f'must be positive and finite, or "unpublished", got {value:g}')
        return value


class _NotNegative(_Sourced):
    value: float | Unpublished

    @field_validator("value")
    @classmethod
    def _is_not_negative(cls, value: float | str) -> float | str:
        if isinstance(value, float) and not (math.isfinite(value) and value >= 0):
            raise ValueError(f'must be 0 or more and finite, or "unpublished", got {value:g}')
        return value


class _Coding(_Sourced):
    value: Literal["offset", "differential"]


class _Flag(_Sourced):
    value: bool


class _Array(_Strict):
    rows: _Count
    columns: _Count
    cell_bits: _Count
    weight_bits: _Count
    input_bits: _Count
    dac_bits: _Count
    adc_bits: _Count
    encoding: _Coding
    flipped_columns: _Flag
    on_ohm: _Positive
    off_ohm: _Positive


class _Timing(_Strict):
    cycle_s: _Positive
    extra_cycles: _Cycles
    write_row_s: _Positive


class _Hierarchy(_Strict):
    arrays_per_ima: _Count
    imas_per_tile: _Count
    tiles: _Count


class _Energy(_Strict):
    write_cell_j: _NotNegative
    add_j: _NotNegative
    static_w: _NotNegative


class _Part(_Sourced):
    name: str = Field(min_length=1)
    per: Literal["ima", "tile", "chip"]
    follows: Literal["conversion", "wordline", "array", "tile", "none"]
    power_w: float | Unpublished
    area_mm2: float | Unpublished

    @field_validator("power_w", "area_mm2")
    @classmethod
    def _is_not_negative(cls, value: float | str) -> float | str:
        if isinstance(value, float) and not (math.isfinite(value) and value >= 0):
            raise ValueError(f'must be 0 or more and finite, or "unpublished", got {value:g}')
        return value

    @model_validator(mode="after")
    def _is_reachable(self) -> "_Part":
        if (self.per == "ima" and self.follows == "tile") or (self.per == "chip" and self.follows != "none"):
            raise ValueError(f"a part per {self.per} cannot follow {self.follows!r}")
        return self


class _Published(_Sourced):
    name: str
    value: float


class _ChipFile(_Strict):
    """Form of a chip file."""

    name: str = Field(min_length=1)
    title: str = ""
    array: _Array
    timing: _Timing
    hierarchy: _Hierarchy
    energy: _Energy
    component: list[_Part] = Field(min_length=1)
    published: list[_Published] = []


def load_chip(text: str) -> Chip:
    """The chip that a person named: one of the package's, or a TOML file.

    Args:
        text: ``isaac``, ``puma``, ``prime`` (case does not matter) or the path of a file.

    Raises:
        UnknownNameError: No such chip.
        SpecError: The file is missing, is not TOML, or breaks a rule; the text names the value.

    Example:
        >>> chip = load_chip("isaac")
        >>> chip.slices, chip.arrays, round(chip.peak_gops)
        (8, 16128, 41288)
    """
    name = text.strip()
    if name.lower() in CHIPS:
        content = (resources.files("edgewise.cost.chip") / "data" / f"{name.lower()}.toml").read_text(encoding="utf-8")
        return parse_chip(content, place=f"{name.lower()}.toml")
    path = Path(name).expanduser()
    if path.suffix.lower() != ".toml" and not path.is_file():
        raise unknown_name("chip", name, (*CHIPS, "FILE.toml"))
    try:
        return parse_chip(path.read_text(encoding="utf-8"), place=str(path))
    except FileNotFoundError:
        raise SpecError(f"no chip file {path}; chips that come with edgewise are {', '.join(CHIPS)}") from None
    except (OSError, UnicodeDecodeError) as error:
        raise SpecError(f"cannot read the chip file {path}: {' '.join(str(error).split())}") from error


def parse_chip(content: str, *, place: str) -> Chip:
    """The chip that a text in TOML describes.

    Args:
        content: The text.
        place: Where it comes from, for errors.

    Raises:
        SpecError: It is not TOML, or breaks a rule; the text names the value.
    """
    try:
        values = tomllib.loads(content)
    except tomllib.TOMLDecodeError as error:
        raise SpecError(f"the chip file {place} is not TOML: {error}") from error
    try:
        return _to_chip(_ChipFile.model_validate(values))
    except ValidationError as error:
        raise SpecError(f"the chip file {place} breaks a rule: {_first_fault(error, values)}") from error


def _to_chip(form: _ChipFile) -> Chip:
    sections = {**dict(form.array), **dict(form.timing), **dict(form.hierarchy), **dict(form.energy)}
    values: dict[str, Any] = {name: _or_none(held.value) for name, held in sections.items()}
    components = tuple(
        Component(
            name=part.name,
            per=part.per,
            follows=part.follows,
            power_w=_or_none(part.power_w),
            area_mm2=_or_none(part.area_mm2),
            source=part.source,
        )
        for part in form.component
    )
    return Chip(
        name=form.name,
        title=form.title or form.name,
        components=components,
        sources={name: held.source for name, held in sections.items()},
        published=tuple((one.name, one.value, one.source) for one in form.published),
        **values,
    )


def _or_none(value: Any) -> Any:  # noqa: ANN401 - numbers, flags and texts pass through
    return None if value == "unpublished" else value


def _first_fault(error: ValidationError, values: Mapping[str, Any]) -> str:
    """The first broken rule, with the path of the value as a person finds it in the file."""
    fault = error.errors()[0]
    path = [part for part in fault["loc"] if part not in ("float", "literal['unpublished']")]
    named = ".".join(_part_name(part, path[:place], values) for place, part in enumerate(path))
    if fault["type"] == "missing":
        if path[-1] == "source":
            return (
                f"{named.removesuffix('.source')} has no source line; say where the value comes from "
                "(a citation, `derived: ...` or `assumed: ...`)"
            )
        return f"{named} is missing"
    if fault["type"] == "extra_forbidden":
        return f"{named} is not known; remove it"
    message = fault["msg"].removeprefix("Value error, ")
    got = fault.get("input")
    shown = f", got {got!r}" if isinstance(got, int | float | str | bool) and "got" not in message else ""
    return f"{named}: {message[:1].lower()}{message[1:]}{shown}"


def _part_name(part: int | str, before: list[int | str], values: Mapping[str, Any]) -> str:
    """A component by its name rather than its place in the file."""
    if isinstance(part, int) and before and before[-1] in ("component", "published"):
        listed = values.get(str(before[-1]))
        if isinstance(listed, list) and isinstance(listed[part], Mapping) and "name" in listed[part]:
            return str(listed[part]["name"])
    return str(part)
