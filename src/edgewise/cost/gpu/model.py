"""The latency model of one GPU: a time for each kernel family, and the cheapest of them.

    t_f = sum_i c_fi * term_i          (terms: see :mod:`edgewise.cost.gpu.terms`)
    f*  = argmin_f  h_f * t_f          t = t_f* * exp(residual)

The library's heuristics do not always pick the fastest kernel; the handicap ``h_f`` says how
much faster than the others a family must look before it is picked. The residual, a sum of
small trees, is optional.

=========  ==========================================  ======
symbol     meaning                                     unit
=========  ==========================================  ======
``n``      convolutions priced                         1
``fam``    kernel families of the model                1
=========  ==========================================  ======
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from edgewise._core.errors import SpecError
from edgewise.cost.gpu.families import Family, family_named
from edgewise.cost.gpu.residual import Trees, trees_from_json
from edgewise.cost.gpu.shapes import ConvShapes, Many, up
from edgewise.cost.gpu.terms import TERMS, Machine, terms_of

_NEVER_S = 1e9
_FEATURE_STEPS = (32.0, 64.0, 128.0)
_ALIGNMENTS = (2.0, 4.0, 8.0)


@dataclass(frozen=True, kw_only=True, slots=True)
class FamilyFit:
    """What was fitted for one kernel family.

    Attributes:
        family: The family.
        coefficients: One for each of :data:`~edgewise.cost.gpu.terms.TERMS`, none negative, without dimension.
        handicap: Factor on its time in the choice of the family, not in the time itself.
        rows: Trace rows it was fitted to.
    """

    family: Family
    coefficients: tuple[float, ...]
    handicap: float
    rows: int

    def __post_init__(self) -> None:
        """Checks that there is one coefficient a term, none negative."""
        if len(self.coefficients) != len(TERMS) or min(self.coefficients) < 0 or not self.handicap > 0:
            raise SpecError(f"family {self.family.name} needs {len(TERMS)} coefficients >= 0 and a handicap > 0, got {self.coefficients}")


@dataclass(frozen=True, kw_only=True)
class Choice:
    """What the model says of ``n`` convolutions.

    Attributes:
        latency_s: Time of each, launch from Python included, as the traces have it.
        analytic_s: The same without the residual.
        place: Index of the family chosen.
        parts_s: The terms of the chosen family times their coefficients.
        blocks: Thread blocks.
        times_s: Analytic time in every family.
    """

    latency_s: Many
    analytic_s: Many
    place: Int[np.ndarray, " n"]
    parts_s: Float[np.ndarray, "n terms"]
    blocks: Many
    times_s: Float[np.ndarray, "fam n"]


@dataclass(frozen=True, kw_only=True)
class GpuModel:
    """Fitted coefficients of one GPU, or of several pooled.

    Attributes:
        families: The families, in a fixed order.
        launch_s: Least latency seen in a trace: about what launching one call from Python costs.
        residual: Trees that correct the analytic time; none where there are none.
    """

    families: tuple[FamilyFit, ...]
    launch_s: float
    residual: Trees | None = None

    def choose(self, shapes: ConvShapes, machine: Machine, *, residual: bool = False) -> Choice:
        """Prices convolutions.

        Args:
            shapes: The convolutions.
            machine: The GPU.
            residual: Correct the time of those that the traces cover by the trees.
        """
        parts = np.stack([terms_of(fit.family, shapes, machine) * np.array(fit.coefficients) for fit in self.families])
        times = parts.sum(axis=2)
        carried = np.stack([fit.family.carries(shapes) for fit in self.families])
        handicaps = np.array([fit.handicap for fit in self.families])[:, None]
        place = np.where(carried, times * handicaps, _NEVER_S).argmin(axis=0)
        here = np.arange(len(shapes))
        analytic = times[place, here]
        latency = analytic
        if residual and self.residual is not None:
            correction = self.residual.predict(features_of(shapes, times, analytic)) * shapes.traced
            latency = analytic * np.exp(correction)
        blocks = np.stack([fit.family.blocks(shapes) for fit in self.families])[place, here]
        return Choice(latency_s=latency, analytic_s=analytic, place=place, parts_s=parts[place, here], blocks=blocks, times_s=times)

    def to_json(self) -> dict[str, Any]:
        """The coefficients as JSON values."""
        families = [
            {
                "family": fit.family.name,
                "rows": fit.rows,
                "handicap": round(fit.handicap, 4),
                "coefficients": {name: round(value, 5) for name, value in zip(TERMS, fit.coefficients, strict=True) if value},
            }
            for fit in self.families
        ]
        return {
            "launch_s": self.launch_s,
            "families": families,
            "residual": None if self.residual is None else self.residual.to_json(),
        }


def features_of(shapes: ConvShapes, times_s: Float[np.ndarray, "fam n"], analytic_s: Many) -> Float[np.ndarray, "n features"]:
    """What the residual looks at: sizes, intensity, how well tiles are filled, alignment, and how far apart the families are."""
    b, c, k, p, rows = shapes.batch, shapes.in_channels, shapes.out_channels, shapes.out_h, shapes.rows
    moved = shapes.read_bytes + shapes.written_bytes
    intensity = shapes.macs / (moved + shapes.weight_bytes)
    sizes = [b, c, k, p, rows, c * k, rows * k, rows * c, analytic_s, shapes.macs, intensity, c / k, rows / k, moved]
    fill = [up(k, step) * step / k for step in _FEATURE_STEPS] + [up(p, step) * step / p for step in (4.0, 8.0)] + [up(b, 16.0) * 16 / b]
    # Rows of 4 values are 16 bytes, which kernels load at once where an axis allows it.
    aligned = [axis % step for axis in (p, k, c) for step in _ALIGNMENTS]
    apart = np.log(times_s) - np.log(analytic_s)
    return np.column_stack([*(np.log(size) for size in sizes), *fill, *aligned, *apart])


def model_from_json(value: Mapping[str, Any]) -> GpuModel:
    """The model that :meth:`GpuModel.to_json` wrote.

    Raises:
        SpecError: A part is missing or does not fit.
    """
    try:
        families = tuple(
            FamilyFit(
                family=family_named(one["family"]),
                coefficients=tuple(float(one["coefficients"].get(name, 0.0)) for name in TERMS),
                handicap=float(one["handicap"]),
                rows=int(one["rows"]),
            )
            for one in value["families"]
        )
        residual = None if value.get("residual") is None else trees_from_json(value["residual"])
        return GpuModel(families=families, launch_s=float(value["launch_s"]), residual=residual)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise SpecError(f"a GPU model must hold `launch_s` and `families` with coefficients, got a damaged one ({error!r})") from error
