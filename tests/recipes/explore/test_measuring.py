"""A study's networks are timed beside the given one, which is loaded once."""

from dataclasses import replace
from pathlib import Path

import pytest

from edgewise._core.progress import SilentProgress
from edgewise.measure.database import LatencyDatabase
from edgewise.measure.session import Session
from edgewise.recipes import timing
from edgewise.recipes.explore import measuring
from edgewise.recipes.explore.measuring import StudyTimer
from edgewise.recipes.requests import DeviceRequest
from edgewise.recipes.runs import load_model, write_run
from edgewise.recipes.timing import TimingJob, open_job


def test_the_given_network_is_loaded_once_and_others_are_closed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[Session] = []

    def counted(job: TimingJob) -> Session:
        opened.append(open_job(job))
        return opened[-1]

    for place in (measuring, timing):  # the given network is opened in one, the others in the other
        monkeypatch.setattr(place, "open_job", counted)
    for name in ("given", "other"):
        loaded = load_model("digits-cnn")
        write_run(tmp_path / name, loaded.model, record=replace(loaded.record, trained=True), result={})
    timer, given, other = StudyTimer(DeviceRequest(device="onnxruntime-cpu")), tmp_path / "given", tmp_path / "other"
    with LatencyDatabase(tmp_path / "latency.sqlite") as database:
        (first,) = timer.measure(given, [other], database=database, progress=SilentProgress())
        second = timer.measure(given, [other, given], database=database, progress=SilentProgress())
        assert timer.measure(given, [], database=database, progress=SilentProgress()) == []
        assert len(database.stored()) == 5
    assert len(opened) == 1 + 1 + 2
    assert 0.5 < first.ratio < 2 and len(second) == 2 and first.kind == "measured" and first.runtime == "onnxruntime-cpu"
    assert opened[0].time_once_s() > 0
    timer.close()
    timer.close()
    with pytest.raises(Exception, match="closed"):
        opened[0].time_once_s()
    with pytest.raises(Exception, match="closed"):
        opened[1].time_once_s()
