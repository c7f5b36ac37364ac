"""Samples on their way from one latency database to another, with where they come from."""

import datetime
import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from edgewise._core.errors import DatabaseError
from edgewise.measure.host import DeviceIdentity
from edgewise.measure.sampling import Sample
from edgewise.measure.settings import PRECISIONS

_LONGEST_NAME, _LONGEST_TEXT, _MOST_TIMES, _LARGEST_COUNT = 4096, 1 << 16, 1 << 20, 1 << 16
_CLOCK_TOLERANCE = datetime.timedelta(days=1)
_TEXTS = ("device", "cpu", "isa", "runtime", "version", "precision")
_COUNTS = ("threads", "batch")


@dataclass(frozen=True, kw_only=True, slots=True)
class StoredSample:
    """A sample as a latency database keeps it.

    Attributes:
        identity: The device that it belongs to.
        piece: What was timed, as `piece_key` writes it.
        sample: The timings.
        measured_at: When, in UTC, as ISO 8601 with seconds.
        load_average: Of the machine, at that time.
        edgewise_version: What measured.
        host: The machine, as JSON text.
    """

    identity: DeviceIdentity
    piece: str
    sample: Sample
    measured_at: str
    load_average: float
    edgewise_version: str
    host: str

    def to_json(self) -> dict[str, Any]:
        """The sample as JSON values."""
        plain = {name: getattr(self, name) for name in ("piece", "measured_at", "load_average", "edgewise_version", "host")}
        return {"identity": asdict(self.identity), "times_s": list(self.sample.times_s), **plain}

    @staticmethod
    def from_json(value: object) -> "StoredSample":
        """The sample that :meth:`to_json` gave on another machine, believed in nothing.

        Raises:
            DatabaseError: A field is missing, unknown, of another type, too long or out of its range.
        """
        fields = _fields(value, {"identity", "times_s", "piece", "measured_at", "load_average", "edgewise_version", "host"}, "sample")
        return StoredSample(
            identity=_identity(fields["identity"]),
            piece=_text("piece", fields["piece"], _LONGEST_TEXT),
            sample=Sample(times_s=_times(fields["times_s"])),
            measured_at=_moment(fields["measured_at"]),
            load_average=_number("load_average", fields["load_average"]),
            edgewise_version=_text("edgewise_version", fields["edgewise_version"], _LONGEST_NAME),
            host=_json_object("host", fields["host"]),
        )


def _fields(value: object, names: set[str], what: str) -> Mapping[str, Any]:
    if not isinstance(value, dict) or set(value) != names:
        got = sorted(map(str, value)) if isinstance(value, dict) else value
        raise _refusal(f"a {what} must have exactly the fields {', '.join(sorted(names))}", got)
    return value


def _identity(value: object) -> DeviceIdentity:
    fields = _fields(value, {*_TEXTS, *_COUNTS}, "device identity")
    texts: dict[str, Any] = {name: _text(name, fields[name], _LONGEST_NAME) for name in _TEXTS}
    counts: dict[str, Any] = {name: _count(name, fields[name]) for name in _COUNTS}
    if texts["precision"] not in PRECISIONS:
        raise _refusal(f"precision must be one of {', '.join(PRECISIONS)}", texts["precision"])
    return DeviceIdentity(**texts, **counts)


def _times(value: object) -> tuple[float, ...]:
    if not isinstance(value, list) or not 1 <= len(value) <= _MOST_TIMES:
        raise _refusal(f"times_s must be a list of 1 to {_MOST_TIMES} seconds", len(value) if isinstance(value, list) else value)
    times = tuple(_number("each of times_s", one) for one in value)
    if min(times) <= 0:
        raise _refusal("each of times_s must be positive", min(times))
    return times


def _moment(value: object) -> str:
    text = _text("measured_at", value, _LONGEST_NAME)
    try:
        moment = datetime.datetime.fromisoformat(text)
    except ValueError:
        raise _refusal("measured_at must be a time in ISO 8601", text) from None
    if moment.utcoffset() != datetime.timedelta():
        raise _refusal("measured_at must be in UTC", text)
    # The newest sample is the one that counts: one from the future would count for ever.
    if moment > datetime.datetime.now(datetime.UTC) + _CLOCK_TOLERANCE:
        raise _refusal("measured_at must not lie in the future; set the clock of the machine that measured", text)
    return moment.isoformat(timespec="seconds")


def _number(name: str, value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value) or value < 0:
        raise _refusal(f"{name} must be a finite number and not negative", value)
    return float(value)


def _count(name: str, value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= _LARGEST_COUNT:
        raise _refusal(f"{name} must be a whole number from 1 to {_LARGEST_COUNT}", value)
    return value


def _text(name: str, value: object, longest: int) -> str:
    if not isinstance(value, str) or len(value) > longest or "\x00" in value:
        raise _refusal(f"{name} must be text of at most {longest} characters", value)
    return value


def _json_object(name: str, value: object) -> str:
    text = _text(name, value, _LONGEST_TEXT)
    try:
        held = json.loads(text)
    except (ValueError, RecursionError):
        held = None
    if not isinstance(held, dict):
        raise _refusal(f"{name} must be a JSON object as text", text)
    return text


def _refusal(rule: str, got: object) -> DatabaseError:
    shown = repr(got)
    shown = shown if len(shown) <= 80 else f"{shown[:77]}..."
    return DatabaseError(f"a sample of another machine is refused: {rule}, got {shown}")
