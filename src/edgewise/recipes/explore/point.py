"""A network to try, said in full: what decides its accuracy, and nothing else."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from edgewise._core.errors import UsageError

BASES = ("given", "searched")
"""What a point starts from: the given network, or one that was searched in a space."""
ORIGINS = ("given", "solver", "sampler")
"""Who proposed a point: a person, the solvers, or the sampler."""
METHODS = ("given", "widths", "dynamic", "widths+dynamic", "searched", "searched+dynamic")
"""All methods, in the order that they are listed in."""
_DIGITS = 4


@dataclass(frozen=True, kw_only=True, slots=True)
class Point:
    """A network to try. Two equal points end with the same accuracy, whatever was tried or measured beside them.

    Attributes:
        base: ``given`` or ``searched``.
        widths: Width of every tie that changes, by name, 0 for those of blocks left out; empty where none does.
        channel_ratios: Pruned share of channels of each block; empty for none.
        spatial_ratios: Pruned share of positions of each block; empty for none.
        architecture: Operation of every block of the space, for a searched network; empty else.
        epochs: Passes over the training data in full; 0 to leave the weights alone (new widths are recalibrated).
        seed: Seed of everything drawn in training.
        origin: Who proposed it; decides nothing.

    Example:
        >>> Point(widths=(("conv1", 8),), channel_ratios=(0.5, 0.0), epochs=3).method
        'widths+dynamic'
    """

    base: str = "given"
    widths: tuple[tuple[str, int], ...] = ()
    channel_ratios: tuple[float, ...] = ()
    spatial_ratios: tuple[float, ...] = ()
    architecture: tuple[str, ...] = ()
    epochs: float = 0.0
    seed: int = 0
    origin: str = field(default="given", compare=False)

    def __post_init__(self) -> None:
        """Checks the ranges, and brings equal points to the same form."""
        if self.base not in BASES or self.origin not in ORIGINS:
            raise UsageError(
                f"a point's base must be one of {BASES} and its origin one of {ORIGINS}, got {self.base!r} and {self.origin!r}"
            )
        if (self.base == "searched") != bool(self.architecture):
            raise UsageError(f"a point has an architecture exactly where it is searched, got {self.base!r} with {self.architecture}")
        if self.architecture and self.widths:
            raise UsageError("a searched point has no widths of its own; leave out `widths`")
        if any(width < 0 for _, width in self.widths):
            raise UsageError(f"widths of a point must be at least 1, or 0 for blocks left out, got {dict(self.widths)}")
        if self.epochs < 0 or self.seed < 0:
            raise UsageError(f"a point's epochs and seed must not be negative, got {self.epochs:g} and {self.seed}")
        object.__setattr__(self, "widths", tuple(sorted(self.widths)))
        for name in ("channel_ratios", "spatial_ratios"):
            object.__setattr__(self, name, _usual(name, getattr(self, name)))
        object.__setattr__(self, "epochs", float(self.epochs))

    @property
    def dynamic(self) -> bool:
        """Whether maps are pruned for each input."""
        return bool(self.channel_ratios or self.spatial_ratios)

    @property
    def method(self) -> str:
        """What was done to the network, as the results name it."""
        if self.base == "searched":
            return "searched+dynamic" if self.dynamic else "searched"
        if not self.widths:
            return "dynamic" if self.dynamic else "given"
        return "widths+dynamic" if self.dynamic else "widths"

    @property
    def key(self) -> str:
        """Twelve hexadecimal digits of what decides the outcome."""
        value = self.to_json()
        del value["origin"]
        return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:12]

    def to_json(self) -> dict[str, Any]:
        """The point as JSON values."""
        return {
            "base": self.base,
            "widths": dict(self.widths) or None,
            "channel_ratios": list(self.channel_ratios),
            "spatial_ratios": list(self.spatial_ratios),
            "architecture": list(self.architecture) or None,
            "epochs": self.epochs,
            "seed": self.seed,
            "origin": self.origin,
        }

    @staticmethod
    def from_json(value: Mapping[str, Any], **defaults: Any) -> "Point":  # noqa: ANN401 - any field
        """The point that :meth:`to_json` wrote.

        Args:
            value: JSON values; what is left out has its default.
            defaults: Other defaults of fields.

        Raises:
            UsageError: It is no such point.
        """
        known = set(Point.__dataclass_fields__)
        strange = sorted(set(value) - known)
        if strange:
            raise UsageError(f"a point has no field {strange[0]!r}; it has {', '.join(sorted(known))}")
        try:
            found = {**defaults, **{name: held for name, held in value.items() if held is not None}}
            widths = found.get("widths") or {}
            return Point(
                base=str(found.get("base", "given")),
                widths=tuple((str(tie), int(width)) for tie, width in dict(widths).items()),
                channel_ratios=tuple(float(ratio) for ratio in found.get("channel_ratios", ())),
                spatial_ratios=tuple(float(ratio) for ratio in found.get("spatial_ratios", ())),
                architecture=tuple(str(label) for label in found.get("architecture", ())),
                epochs=float(found.get("epochs", 0.0)),
                seed=int(found.get("seed", 0)),
                origin=str(found.get("origin", "given")),
            )
        except (TypeError, ValueError) as error:
            if isinstance(error, UsageError):
                raise
            raise UsageError(f"not a point: {error}") from error


def read_points(path: Path, *, epochs: float, seed: int) -> tuple[Point, ...]:
    """The points in a JSON file: a list of them, or an object that holds the list as ``points``.

    Args:
        path: The file.
        epochs: Passes over the training data of points that do not say.
        seed: Seed of those.

    Raises:
        UsageError: It is missing, no such file, or holds no point or one twice.
    """
    try:
        value = json.loads(path.read_bytes())
        rows = value["points"] if isinstance(value, dict) else value
        points = tuple(Point.from_json(dict(row), epochs=epochs, seed=seed) for row in rows)
    except UsageError as error:
        raise UsageError(f"--points {path}: {error}") from error
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UsageError(f"--points needs a JSON file with a list of points, got {path} ({' '.join(str(error).split())})") from error
    keys = [point.key for point in points]
    twice = next((place for place, key in enumerate(keys) if key in keys[:place]), None)
    if not points or twice is not None:
        raise UsageError(f"--points {path} must hold points, each once, got " + ("none" if twice is None else f"entry {twice + 1} twice"))
    return points


def _usual(name: str, ratios: tuple[float, ...]) -> tuple[float, ...]:
    wrong = [ratio for ratio in ratios if not 0 <= ratio < 1]
    if wrong:
        raise UsageError(f"{name} of a point must lie in [0, 1), got {wrong[0]:g}")
    rounded = tuple(round(float(ratio), _DIGITS) for ratio in ratios)
    return rounded if any(rounded) else ()
