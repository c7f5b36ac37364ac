import sys
import time
from pathlib import Path

import pytest
import torch
from torch import nn

from edgewise._core.errors import DeviceError, UsageError
from edgewise.measure.runtimes import open_runtime
from edgewise.measure.runtimes.exec_command import ExecCommand, ExecSession
from edgewise.measure.sampling import Schedule, measure_interleaved
from edgewise.measure.settings import RuntimeSettings


@pytest.fixture
def script(tmp_path: Path) -> Path:
    return tmp_path / "time it.py"


def session_of(script: Path, body: str, *, timeout_s: float = 60.0) -> ExecSession:
    """A session whose command is a Python script with that body; ``sys`` is imported."""
    script.write_text(f"import sys\n{body}\n")
    model = script.with_name("model.onnx")
    model.write_bytes(b"")
    settings = RuntimeSettings(device=f"exec:{sys.executable} '{script}' --fast")
    return ExecCommand(settings, timeout_s=timeout_s).load_file(model)


def test_the_last_line_is_the_time_and_the_file_the_last_argument(script: Path) -> None:
    session = session_of(
        script, "assert sys.argv[1] == '--fast' and sys.argv[2].endswith('model.onnx'); print('warming up'); print(' 0.0125 ')"
    )
    assert session.time_once_s() == 0.0125
    assert session.run() is None


def test_samples_hold_what_the_command_prints_not_our_clock(script: Path) -> None:
    (sample,) = measure_interleaved([session_of(script, "print(7.5)")], Schedule(warmup=0, repeats=3, min_seconds=0, max_seconds=0.1))
    assert sample.times_s == (7.5,) * sample.n


@pytest.mark.parametrize("printed", ["", "fast", "nan", "inf", "-1", "0", "12 ms"])
def test_garbage_is_refused(script: Path, printed: str) -> None:
    session = session_of(script, f"print({printed!r}); print('adb: no device', file=sys.stderr)")
    with pytest.raises(DeviceError, match=r"must print a positive number of seconds as its last line, got .*adb: no device"):
        session.time_once_s()


def test_a_failure_shows_the_last_line_of_its_errors(script: Path) -> None:
    session = session_of(script, "print(1.0); print('first', file=sys.stderr); print('phone is asleep', file=sys.stderr); sys.exit(3)")
    with pytest.raises(DeviceError, match="ended with status 3: phone is asleep") as caught:
        session.time_once_s()
    assert "\n" not in str(caught.value)


def test_a_command_that_hangs_is_given_up(script: Path) -> None:
    session = session_of(script, "import time; time.sleep(60)", timeout_s=0.3)
    with pytest.raises(DeviceError, match=r"did not end within 0\.3 s"):
        session.time_once_s()


def test_what_a_hanging_command_started_is_ended_with_it(script: Path, tmp_path: Path) -> None:
    note = tmp_path / "pid"
    body = (
        "import pathlib, subprocess\n"
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'])\n"
        f"pathlib.Path({str(note)!r}).write_text(str(child.pid))\n"
        "child.wait()"
    )
    session = session_of(script, body, timeout_s=3.0)
    with pytest.raises(DeviceError, match="did not end within"):
        session.time_once_s()
    state = Path(f"/proc/{note.read_text()}/stat")
    for _ in range(200):  # the kernel takes a moment, and a process without parent may stay as a zombie
        if not state.exists() or state.read_text().split()[2] == "Z":
            break
        time.sleep(0.02)
    else:
        pytest.fail("the child still runs")


def test_a_program_that_does_not_exist(tmp_path: Path) -> None:
    (tmp_path / "m.onnx").write_bytes(b"")
    session = open_runtime(RuntimeSettings(device="exec:no-such-program -x")).load_file(tmp_path / "m.onnx")
    with pytest.raises(DeviceError, match="'no-such-program' of device exec cannot be started"):
        session.time_once_s()


def test_no_shell_reads_the_command(script: Path, tmp_path: Path) -> None:
    script.write_text("import sys\nprint(len(sys.argv))\n")
    (tmp_path / "m.onnx").write_bytes(b"")
    session = open_runtime(RuntimeSettings(device=f"exec:{sys.executable} '{script}' $HOME ; touch x | y")).load_file(tmp_path / "m.onnx")
    assert session.time_once_s() == 8.0


def test_quotes_must_match() -> None:
    with pytest.raises(UsageError, match="matching quotes"):
        open_runtime(RuntimeSettings(device="exec:run 'it"))


def test_a_module_is_exported_for_the_command_and_removed_after(script: Path, network: nn.Module, image: tuple[torch.Tensor]) -> None:
    script.write_text(
        "import sys, pathlib\nprint(len(pathlib.Path(sys.argv[1]).read_bytes()) / 1e6)\nprint(sys.argv[1], file=sys.stderr)\n"
    )
    session = open_runtime(RuntimeSettings(device=f"exec:{sys.executable} '{script}'")).load_module(network, image)
    assert isinstance(session, ExecSession)
    assert session.time_once_s() > 1e-3
    (folder,) = Path(script.parent / "temporary").glob("edgewise-exec-*")
    session.close()
    session.close()
    assert not folder.exists()


def test_an_edited_script_is_another_device(script: Path) -> None:
    session_of(script, "print(1)")
    settings = RuntimeSettings(device=f"exec:{sys.executable} '{script}'")
    first = open_runtime(settings).identity()
    assert first == open_runtime(settings).identity()
    script.write_text("print(2)")
    assert open_runtime(settings).identity() != first
