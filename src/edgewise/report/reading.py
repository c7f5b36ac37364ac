"""Reading what a run wrote: result files come from disks and are checked before they are shown."""

from collections.abc import Mapping
from typing import Any, TypeVar

from pydantic import TypeAdapter, ValidationError

from edgewise._core.errors import RunError
from edgewise.report.data import Profile, RunReport

Checked = TypeVar("Checked")
"""The class that values are checked against."""

_SETTINGS = ("model", "device", "threads", "batch", "precision", "target")
_TEXTS = ("model", "device", "precision", "target", "solver", "objective")


def from_json(result: Any, profile: Any = None, *, name: str = "") -> RunReport:  # noqa: ANN401 - any JSON value
    """The report of a run from the JSON that ``fit``, ``profile`` or ``bench`` wrote.

    Args:
        result: What the command wrote; may be empty where only a profile is to be shown.
        profile: What ``profile`` wrote; without it the ``profile`` part of ``result``, if any.
        name: Name of the run, usually its folder's.

    Returns:
        The checked report. Unknown keys are ignored, missing parts are absent.

    Raises:
        RunError: A part is not what its name promises; the message names the key.

    Example:
        >>> from_json({"baseline": {"min_s": 2e-3}, "result": {"min_s": 1e-3}, "target_s": 1.4e-3}).result.min_s
        0.001
    """
    if not isinstance(result, Mapping):
        raise RunError(f"a result must be a JSON object, got {type(result).__name__}; run the command again")
    values = {key: value for key, value in result.items() if value is not None}
    if profile is None and "widths" not in values and _is_profile(values):
        profile, values = values, {key: value for key, value in values.items() if key not in ("layers", "network", "seconds")}
    provenance = values.get("provenance")
    for key in _SETTINGS:
        values.setdefault(key, _setting(key, values, provenance, profile))
    for key in _TEXTS:
        values[key] = _text(values.get(key))
    if profile is not None:
        values["profile"] = profile
    values["provenance"] = flatten(provenance)
    values["name"] = name or _text(values.get("name"))
    return _checked({key: value for key, value in values.items() if value is not None})


def flatten(value: Any, *, prefix: str = "") -> tuple[tuple[str, str], ...]:  # noqa: ANN401 - any JSON value
    """Nested JSON as pairs of a dotted name and a text, for a table of two columns.

    Example:
        >>> flatten({"host": {"cpu": "Xeon"}, "seeds": [0, 1]})
        (('host.cpu', 'Xeon'), ('seeds', '0, 1'))
    """
    if isinstance(value, Mapping):
        return tuple(pair for key, part in value.items() for pair in flatten(part, prefix=f"{prefix}.{key}" if prefix else str(key)))
    if value is None or not prefix:
        return ()
    if isinstance(value, list | tuple):
        if any(isinstance(part, Mapping) for part in value):
            return tuple(pair for index, part in enumerate(value) for pair in flatten(part, prefix=f"{prefix}.{index}"))
        return ((prefix, ", ".join(str(part) for part in value)),)
    return ((prefix, str(value)),)


def _is_profile(values: Mapping[str, Any]) -> bool:
    layers = values.get("layers")
    return isinstance(layers, list | tuple) and "probes" in values


def _setting(key: str, values: Mapping[str, Any], *places: Any) -> Any:  # noqa: ANN401 - any JSON value
    """The first place that knows the setting: the result, its provenance, the settings in it, the profile."""
    inner = [place.get("settings") for place in (values, *places) if isinstance(place, Mapping)]
    found = (place[key] for place in (*places, *inner) if isinstance(place, Mapping) and place.get(key) is not None)
    return next(found, None)


def _text(value: Any) -> str:  # noqa: ANN401 - any JSON value
    if isinstance(value, Mapping):
        return _text(value.get("name") or value.get("device") or value.get("source"))
    return "" if value is None else str(value)


def _without_nulls(value: Any) -> Any:  # noqa: ANN401 - any JSON value
    """The value without its null members: null is how JSON says that something is absent."""
    if isinstance(value, Mapping):
        return {key: _without_nulls(part) for key, part in value.items() if part is not None}
    if isinstance(value, list | tuple):
        return [_without_nulls(part) for part in value]
    return value


def _checked(values: Mapping[str, Any]) -> RunReport:
    profile = values.get("profile")
    if isinstance(profile, Mapping):
        values = {**values, "profile": {**profile, "device": _text(profile.get("device"))}}
    return checked(RunReport, values)


def checked(kind: type[Checked], values: Mapping[str, Any]) -> Checked:
    """JSON values as an object of a frozen class; null members are absent, unknown ones ignored.

    Args:
        kind: The class, a dataclass.
        values: Its fields as JSON values.

    Returns:
        The object.

    Raises:
        RunError: A value is not what its field promises; the message names the field.

    Example:
        >>> checked(RunReport, {"model": "resnet20", "threads": None, "unknown": 1}).model
        'resnet20'
    """
    try:
        return TypeAdapter(kind).validate_python(_without_nulls(values))
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=True)[0]
        where = ".".join(str(part) for part in first["loc"]) or "the file"
        received = repr(first.get("input"))[:80]
        raise RunError(f"the run's result is damaged: `{where}`: {first['msg'].lower()}, got {received}; run the command again") from error


def profile_from_json(profile: Any) -> Profile:  # noqa: ANN401 - any JSON value
    """The checked profile that ``profile`` wrote.

    Raises:
        RunError: It is not one.
    """
    found = from_json({}, profile).profile
    assert found is not None
    return found
