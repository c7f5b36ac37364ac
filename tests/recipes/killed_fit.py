"""A fit that kills itself in the middle of fine-tuning: ``python -m recipes.killed_fit RUN``."""

import os
import signal
import sys
from pathlib import Path

import pytest

from edgewise._core.units import parse_latency
from edgewise.recipes.fit import run_fit
from edgewise.recipes.requests import DataRequest, DeviceRequest, FitRequest, ModelRequest
from recipes.interrupted import Interrupted
from recipes.known_device import KnownDevice


class Killer(Interrupted):
    """Ends the process without a chance to say goodbye, one step after so many of fine-tuning."""

    def __init__(self, steps: int) -> None:
        super().__init__(steps + 1)

    def end(self) -> None:
        os.kill(os.getpid(), signal.SIGKILL)


def request(run: Path, *, resume: bool) -> FitRequest:
    """A short fit of the demo's network, with training."""
    return FitRequest(
        model=ModelRequest(model="digits-cnn"),
        latency=parse_latency("0.7x"),
        device=DeviceRequest(db=run.parent / "latency.sqlite"),
        data=DataRequest(data="digits", epochs=2),
        distill=True,
        out=run,
        resume=resume,
    )


if __name__ == "__main__":
    with pytest.MonkeyPatch.context() as patch:
        KnownDevice().install(patch)
        # One epoch has 10 steps; the checkpoint after it is all that is left.
        run_fit(request(Path(sys.argv[1]), resume=False), progress=Killer(14))
