"""Short runs of ``edgewise sparsify`` on the demo's network, for the tests of it."""

from collections.abc import Sequence
from itertools import islice
from pathlib import Path

from torch.nn import functional

from edgewise.dynamic import GatedNetwork
from edgewise.measure.sampling import Sample
from edgewise.recipes.records import LoadedModel
from edgewise.recipes.requests import DataRequest, ModelRequest
from edgewise.recipes.sparsify.latency import DenseTimes, SideBySide
from edgewise.recipes.sparsify.request import RatioRequest, SparsifyRequest
from edgewise.recipes.training import Lessons
from edgewise.train.batches import JudgedData

RUN_FILES = ("model.safetensors", "spec.json", "result.json", "report.html", "log.jsonl")


def request(out: Path | None, **changes: object) -> SparsifyRequest:
    """A short run of the demo's network."""
    known: dict[str, object] = {
        "model": ModelRequest(model="digits-cnn"),
        "ratios": RatioRequest(channels=(0.5,)),
        "data": DataRequest(data="digits", epochs=2),
        "measure": False,
        "out": out,
    }
    return SparsifyRequest(**(known | changes))  # type: ignore[arg-type]


def other_images(data: JudgedData) -> Lessons:
    assert data.test is not None
    return Lessons(batches=tuple(islice(data.test, 1)), loss=functional.cross_entropy)


def side_by_side(request: SparsifyRequest, loaded: object, left: LoadedModel, networks: Sequence[GatedNetwork], **__: object) -> SideBySide:
    dense = DenseTimes(samples={"slow": Sample(times_s=(3e-3, 6e-3, 6e-3)), "fast": Sample(times_s=(4e-3, 5e-3, 4.5e-3))})
    samples = tuple(Sample(times_s=(1e-3, 2e-3 * (1 - 0.1 * place), 3e-3)) for place in range(len(networks)))
    without = None if left is loaded else DenseTimes(samples={"fast": Sample(times_s=(3e-3, 3e-3, 3e-3))})
    return SideBySide(
        dense=dense, left=without, dynamic=samples, runtime="known", threads=request.device.threads, batch=request.device.batch
    )
