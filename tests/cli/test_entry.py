"""Exit status, and what stands on standard error."""

import json
import os
import resource
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from edgewise import __version__
from edgewise._core.errors import StorageError, TargetError
from edgewise.cli import entry, main
from edgewise.recipes.tables import TABLES

REPOSITORY = Path(__file__).resolve().parents[2]

BAD_INPUT = {
    "unknown command": (["fitt"], "no such command 'fitt'. Did you mean 'fit'?"),
    "unknown flag": (["inspect", "resnet56", "--layres"], "no such option: --layres"),
    "missing model": (["inspect"], "missing argument 'MODEL'"),
    "too many models": (["inspect", "a", "b"], "unexpected extra argument"),
    "missing target": (["fit", "resnet56"], "missing option '--latency'"),
    "flag without value": (["fit", "resnet56", "--latency"], "option '--latency' requires an argument"),
    "target without unit": (["fit", "resnet56", "--latency", "2"], "--latency needs one of the units"),
    "negative target": (["fit", "resnet56", "--latency", "-2ms"], "--latency must be positive"),
    "zero target": (["fit", "resnet56", "--latency", "0ms"], "--latency must be positive"),
    "target not a number": (["fit", "resnet56", "--latency", "nanms"], "--latency must be"),
    "unknown solver": (["fit", "resnet56", "--latency", "1ms", "--solver", "exakt"], "unknown solver 'exakt'; did you mean exact?"),
    "unknown objective": (["fit", "resnet56", "--latency", "1ms", "--objective", "speed"], "unknown objective 'speed'"),
    "floor above one": (["fit", "resnet56", "--latency", "1ms", "--width-floor", "2x"], "--width-floor must lie in (0x, 1x]"),
    "floor without unit": (["profile", "resnet56", "--width-floor", "0.5"], "--width-floor needs one of the units x"),
    "distil without data": (["fit", "resnet56", "--latency", "1ms", "--distill"], "--distill trains, and so needs --data"),
    "taylor without data": (["fit", "resnet56", "--latency", "1ms", "--importance", "taylor"], "--importance taylor needs gradients"),
    "obs without data": (["fit", "resnet56", "--latency", "1ms", "--importance", "obs"], "--importance obs looks at what layers read"),
    "resume without out": (["fit", "resnet56", "--latency", "1ms", "--resume"], "--resume needs --out RUN"),
    "kept and alone": (["fit", "resnet56", "--latency", "1ms", "--keep", "a", "--only", "a,b"], "both --keep and --only"),
    "threads not a number": (["profile", "resnet56", "--threads", "two"], "invalid value for '--threads'"),
    "no threads": (["profile", "resnet56", "--threads", "0"], "--threads must be at least 1, got 0"),
    "no batch": (["profile", "resnet56", "--batch", "0"], "--batch must be at least 1, got 0"),
    "int8": (["profile", "resnet56", "--precision", "int8"], "int8 does not exist yet; use fp32 or bf16"),
    "unknown precision": (["profile", "resnet56", "--precision", "fp23"], "unknown precision 'fp23'; did you mean fp32"),
    "weights twice": (["inspect", "resnet56", "--weights", "w", "--pretrained"], "--weights and --pretrained exclude each other"),
    "why without baseline": (["bench", "resnet56", "--why"], "--why compares exactly two models, got 1"),
    "unknown format": (["export", "resnet56", "--format", "onyx"], "unknown format 'onyx'; did you mean onnx?"),
    "unknown table": (["tables", "--only", "nas-99"], "no table nas-99 yet; known: "),
    "mean not numbers": (["fit", "resnet56", "--latency", "1ms", "--data", "digits", "--mean", "a,b"], "--mean must be numbers"),
    "std of zero": (["fit", "resnet56", "--latency", "1ms", "--data", "digits", "--std", "0,1,1"], "--std must hold positive numbers"),
    "epochs below zero": (["fit", "resnet56", "--latency", "1ms", "--data", "digits", "--epochs", "-1"], "--epochs must be 0 or more"),
    "seed below zero": (["fit", "resnet56", "--latency", "1ms", "--seed", "-1"], "--seed must be 0 or more, got -1"),
    "no device": (["profile", "resnet56", "--device", " "], "--device must name a device"),
    "no model": (["inspect", ""], "MODEL must name a network"),
    "json into a folder": (["tables", "--json", "."], "--json needs a file to write"),
}


@pytest.mark.parametrize(("arguments", "part"), BAD_INPUT.values(), ids=BAD_INPUT.keys())
def test_bad_input_gets_status_2_and_one_line(arguments: list[str], part: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments) == entry.BAD_INPUT
    said = capsys.readouterr().err
    assert part in said
    assert said.startswith("edgewise: ")
    assert said.count("\n") == 1


@pytest.fixture
def failing(monkeypatch: pytest.MonkeyPatch) -> Callable[[BaseException], int]:
    """Runs ``edgewise tables`` with its recipe raising that error."""

    def run(error: BaseException) -> int:
        def fail(*_: object, **__: object) -> None:
            raise error

        monkeypatch.setattr("edgewise.recipes.tables.make_tables", fail)
        return main(["tables"])

    return run


def test_a_refusal_of_several_lines_is_told_on_one(failing: Callable[[BaseException], int], capsys: pytest.CaptureFixture[str]) -> None:
    assert failing(TargetError("cannot reach 1 ms;\n  fastest is 2 ms")) == entry.BAD_INPUT
    assert capsys.readouterr().err == "edgewise: cannot reach 1 ms; fastest is 2 ms\n"


def test_a_full_disk_is_told_without_its_number(failing: Callable[[BaseException], int], capsys: pytest.CaptureFixture[str]) -> None:
    assert failing(StorageError(28, "no room left on the disk")) == entry.BAD_INPUT
    assert capsys.readouterr().err == "edgewise: no room left on the disk\n"


def test_a_full_disk_met_by_a_library_is_bad_input_too(failing: Callable[[BaseException], int], capsys: pytest.CaptureFixture[str]) -> None:
    assert failing(OSError(28, "No space left on device", "model.onnx")) == entry.BAD_INPUT
    assert "no room left on the disk to write model.onnx" in capsys.readouterr().err


def test_a_bug_is_called_one(failing: Callable[[BaseException], int], capsys: pytest.CaptureFixture[str]) -> None:
    assert failing(ZeroDivisionError("division by zero")) == entry.BUG
    assert capsys.readouterr().err.startswith("edgewise: ZeroDivisionError: division by zero (this is a bug in edgewise")


def test_a_bug_shows_its_place_on_demand(failing: Callable[[BaseException], int], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGEWISE_DEBUG", "1")
    with pytest.raises(ZeroDivisionError, match="here"):
        failing(ZeroDivisionError("here"))


def test_an_interrupt_has_its_own_status(failing: Callable[[BaseException], int], capsys: pytest.CaptureFixture[str]) -> None:
    assert failing(KeyboardInterrupt()) == entry.INTERRUPTED
    assert capsys.readouterr().err == "edgewise: interrupted; run the same command again: what was measured is kept\n"


@pytest.mark.parametrize(
    ("words", "advice"),
    [
        (["fit", "resnet56", "--out", "runs/a"], "run the same command with --resume to go on"),
        (["fit", "resnet56", "--resume", "--out", "runs/a"], "run the same command again to go on"),
        (["fit", "resnet56"], "run the same command again: what was measured is kept"),
        (["demo"], "run the same command with --resume to go on"),
        (["profile", "resnet56"], "run the same command again: what was measured is kept"),
    ],
)
def test_an_interrupt_says_how_to_go_on(words: list[str], advice: str) -> None:
    assert entry.how_to_go_on(words) == advice


def test_no_arguments_show_the_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == entry.DONE
    assert "Usage: edgewise" in capsys.readouterr().out


def test_the_version_is_the_packages(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == entry.DONE
    assert capsys.readouterr().out == f"edgewise {__version__}\n"


@pytest.fixture
def no_tables(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edgewise.recipes.tables.TABLES", {})


@pytest.mark.usefixtures("no_tables")
def test_json_on_standard_output_is_nothing_but_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["tables", "--json", "-"]) == entry.DONE
    value = json.loads(capsys.readouterr().out)
    assert value["rows"] == []
    assert value["provenance"]["edgewise"] == __version__


@pytest.mark.usefixtures("no_tables")
def test_json_in_a_file_comes_with_the_text(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "new" / "tables.json"
    assert main(["tables", "--json", str(path)]) == entry.DONE
    assert json.loads(path.read_text())["rows"] == []
    assert "no tables yet" in capsys.readouterr().out


def _edgewise(*arguments: str, **options: object) -> "subprocess.CompletedProcess[str]":
    environment = os.environ | {"PYTHONPATH": str(REPOSITORY / "src")}
    command = [sys.executable, "-m", "edgewise", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, env=environment, **options)  # type: ignore[call-overload]


def test_a_reader_who_goes_away_is_no_error() -> None:
    command = f"{sys.executable} -m edgewise devices --json - | true; exit ${{PIPESTATUS[0]}}"
    done = subprocess.run(
        ["bash", "-c", command], capture_output=True, text=True, check=False, env=os.environ | {"PYTHONPATH": str(REPOSITORY / "src")}
    )
    assert "Error" not in done.stderr
    assert "Traceback" not in done.stderr
    assert done.returncode in {entry.DONE, entry.READER_GONE}


def test_help_takes_less_than_half_a_second() -> None:
    # Processor time: other tests share the machine, and the clock on the wall would measure them too.
    times_s = []
    for _ in range(3):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        assert _edgewise("--help").returncode == entry.DONE
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        times_s.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    assert min(times_s) < 0.5


def test_bad_input_from_a_process_leaves_one_line() -> None:
    done = _edgewise("tables", "--only", "nas-99")
    assert done.returncode == entry.BAD_INPUT
    assert done.stderr == f"edgewise: no table nas-99 yet; known: {', '.join(sorted(TABLES))}\n"
