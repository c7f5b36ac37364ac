"""A study that kills itself: ``python -m recipes.explore.killed_study MODEL OUT POINTS MOMENT RESUME``.

A moment is ``before:N``, ``torn:N`` or ``after:N`` (around the N-th event written by this process), ``step:N`` (at the
N-th step of training), or ``plan`` (before the plan is kept).
"""

import json
import os
import signal
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from edgewise._core.progress import SilentProgress
from edgewise.recipes.explore.folder import EVENTS_FILE, StudyFolder
from edgewise.recipes.explore.run import run_explore
from edgewise.recipes.explore.watching import StudyProgress
from edgewise.recipes.requests import ModelRequest
from recipes.explore.known import install, request


def kill() -> None:
    """Ends the process without a chance to say goodbye."""
    os.kill(os.getpid(), signal.SIGKILL)


def arrange(patch: pytest.MonkeyPatch, moment: str) -> None:
    """Sets the trap."""
    kind, _, count = moment.partition(":")
    left = [int(count or 0)]

    def counted() -> bool:
        left[0] -= 1
        return left[0] == 0

    if kind == "plan":
        patch.setattr(StudyFolder, "keep_plan", lambda *_: kill())
    if kind == "step":
        tick = StudyProgress.advance

        def advance(self: StudyProgress, steps: float = 1.0) -> None:
            tick(self, steps)
            if counted():
                kill()

        patch.setattr(StudyProgress, "advance", advance)
    if kind in ("before", "torn", "after"):
        append = StudyFolder.append

        def trapped(self: StudyFolder, event: Mapping[str, Any]) -> None:
            here = counted()
            if here and kind == "torn":
                with (self.path / EVENTS_FILE).open("ab") as events:
                    events.write(json.dumps(dict(event)).encode()[:25])
            if here and kind != "after":
                kill()
            append(self, event)
            if here:
                kill()

        patch.setattr(StudyFolder, "append", trapped)


if __name__ == "__main__":
    model, out, points, moment, resume = sys.argv[1:]
    with pytest.MonkeyPatch.context() as patch:
        install(patch)
        arrange(patch, moment)
        wanted = ModelRequest(model=f"{model}/mine.py:small", weights=Path(model) / "small.safetensors", input="1x1x8x8")
        changes = {"points": Path(points), "trials": None} if points else {}
        run_explore(request(wanted, Path(out), resume=resume == "resume", **changes), progress=SilentProgress())
