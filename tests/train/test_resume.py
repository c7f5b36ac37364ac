"""Killed, interrupted and resumed runs end in the same bits as one that ran through."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from edgewise._core.errors import RunError
from edgewise.train.data import DataSpec, open_data
from edgewise.train.loop import Checkpoint, FineTune, Goal, Loaders, fine_tune
from train.networks import random_batches, random_loaders, same_weights, small_cnn

CONFIG = FineTune(epochs=3, lr=0.1, bf16=False)
TESTS = Path(__file__).resolve().parents[1]
PROGRAM = """
import signal, sys, time
from pathlib import Path
from safetensors.torch import save_file
from edgewise.train.data import DataSpec, open_data
from edgewise.train.loop import Checkpoint, FineTune, fine_tune
from train.networks import small_cnn

signal.signal(signal.SIGINT, signal.default_int_handler)  # what runs in the background starts with it ignored

class Slow:
    def start(self, label, total): pass
    def note(self, text): pass
    def advance(self, steps=1.0):
        print("step", flush=True)
        time.sleep(0.02)

path, out, resume = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3] == "resume"
data = open_data(DataSpec(text="digits", batch_size=64))
result = fine_tune(small_cnn(dropout=0.2), data, config=FineTune(epochs=3, lr=0.1), progress=Slow(),
                   checkpoint=Checkpoint(path=path, resume=resume, every_s=0.1))
save_file(result.model.state_dict(), out)
print("resumed" if result.resumed else "whole", [(record.loss, record.score) for record in result.history])
"""


def _start(tmp_path: Path, name: str, mode: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", PROGRAM, str(tmp_path / f"{name}.ckpt.safetensors"), str(tmp_path / f"{name}.safetensors"), mode]
    environment = {"PYTHONPATH": f"{TESTS.parent / 'src'}:{TESTS}", "OMP_NUM_THREADS": "1", "PATH": "/usr/bin:/bin"}
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment)


def _until_step(process: subprocess.Popen[str], n_steps: int) -> None:
    assert process.stdout is not None
    for _ in range(n_steps):
        assert process.stdout.readline() == "step\n"


def _finish(process: subprocess.Popen[str]) -> str:
    output, errors = process.communicate(timeout=300)
    assert process.returncode == 0, errors
    return output.splitlines()[-1]


def test_a_process_killed_then_interrupted_then_resumed_ends_in_the_same_bits(tmp_path: Path) -> None:
    whole, run = _start(tmp_path, "whole", "start"), _start(tmp_path, "run", "start")
    _until_step(run, 13)  # of the 20 in the first epoch
    run.send_signal(signal.SIGKILL)
    run.communicate()
    assert run.returncode == -signal.SIGKILL

    run = _start(tmp_path, "run", "resume")
    _until_step(run, 25)
    run.send_signal(signal.SIGINT)
    _, errors = run.communicate(timeout=300)
    assert errors.rstrip().endswith("KeyboardInterrupt")

    run = _start(tmp_path, "run", "resume")
    (_, expected), (word, history) = (_finish(process).split(" ", 1) for process in (whole, run))
    assert (word, history) == ("resumed", expected)
    one, two = (load_file(tmp_path / f"{name}.safetensors") for name in ("whole", "run"))
    assert all(torch.equal(one[name], two[name]) for name in one)


class _Interrupting:
    """Raises once, when so many steps are done."""

    def __init__(self, after: int) -> None:
        self._left = after

    def start(self, label: str, total: float) -> None:
        pass

    def advance(self, steps: float = 1.0) -> None:
        self._left -= 1
        if self._left == 0:
            raise KeyboardInterrupt

    def note(self, text: str) -> None:
        pass


def _loader() -> Loaders:
    batches = random_batches(6)
    images, target = torch.cat([batch[0] for batch in batches]), torch.cat([batch[1] for batch in batches])
    loader = DataLoader(TensorDataset(images, target), batch_size=8, shuffle=True)
    return Loaders(train=loader, validation=random_batches(2))


@pytest.mark.parametrize("after", [1, 5, 6, 7, 8, 16])
@pytest.mark.parametrize("origin", ["loader", "split"])
def test_a_run_interrupted_anywhere_ends_in_the_same_bits(tmp_path: Path, after: int, origin: str) -> None:
    data = _loader() if origin == "loader" else open_data(DataSpec(text="digits", batch_size=256))
    path = tmp_path / "checkpoint.safetensors"
    model = small_cnn(dropout=0.3)
    whole = fine_tune(model, data, config=CONFIG)
    with pytest.raises(KeyboardInterrupt):
        fine_tune(model, data, config=CONFIG, checkpoint=Checkpoint(path=path), progress=_Interrupting(after))
    resumed = fine_tune(model, data, config=CONFIG, checkpoint=Checkpoint(path=path, resume=True))
    assert resumed.resumed
    assert same_weights(resumed.model, whole.model)
    assert [(r.epoch, r.loss, r.score, r.lr) for r in resumed.history] == [(r.epoch, r.loss, r.score, r.lr) for r in whole.history]
    assert resumed.score_before == whole.score_before


def test_a_finished_run_resumed_trains_no_more(tmp_path: Path) -> None:
    keep = Checkpoint(path=tmp_path / "checkpoint.safetensors", resume=True)
    whole = fine_tune(small_cnn(), random_loaders(), config=CONFIG, checkpoint=keep)
    again = fine_tune(small_cnn(), random_loaders(), config=CONFIG, checkpoint=keep)
    assert (whole.resumed, again.resumed) == (False, True)
    assert again.images_per_s == 0
    assert same_weights(whole.model, again.model)
    assert again.accuracy_validation == whole.accuracy_validation
    assert again.seconds >= whole.history[-1].seconds


def test_an_error_within_a_step_saves_nothing(tmp_path: Path) -> None:
    path = tmp_path / "checkpoint.safetensors"

    def loss(output: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fine_tune(small_cnn(), random_loaders(), config=CONFIG, goal=Goal(loss=loss), checkpoint=Checkpoint(path=path))
    assert not path.exists()


def test_ctrl_c_is_handled_as_before_afterwards() -> None:
    before = signal.getsignal(signal.SIGINT)
    fine_tune(small_cnn(), random_loaders(), config=CONFIG)
    assert signal.getsignal(signal.SIGINT) is before


def _checkpointed(path: Path, model: nn.Module | None = None) -> None:
    fine_tune(model or small_cnn(), random_loaders(), config=CONFIG, checkpoint=Checkpoint(path=path))


def test_a_checkpoint_of_another_run_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "checkpoint.safetensors"
    _checkpointed(path)
    keep = Checkpoint(path=path, resume=True)
    with pytest.raises(RunError, match=r"another run: lr \(0.1 there, 0.2 now\); use the same settings"):
        fine_tune(small_cnn(), random_loaders(), config=FineTune(epochs=3, lr=0.2, bf16=False), checkpoint=keep)
    with pytest.raises(RunError, match="starting weights"):
        fine_tune(small_cnn(width=8), random_loaders(), config=CONFIG, checkpoint=keep)


def test_damaged_checkpoints_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "checkpoint.safetensors"
    _checkpointed(path)
    whole = path.read_bytes()
    for content in (b"", b"junk", whole[:100], whole[:-10]):
        path.write_bytes(content)
        with pytest.raises(RunError, match="unreadable"):
            fine_tune(small_cnn(), random_loaders(), config=CONFIG, checkpoint=Checkpoint(path=path, resume=True))
    save_file({"x": torch.zeros(1)}, path, metadata={"format": "99"})
    with pytest.raises(RunError, match="has format 99, this version reads 1"):
        fine_tune(small_cnn(), random_loaders(), config=CONFIG, checkpoint=Checkpoint(path=path, resume=True))


def test_resuming_without_a_checkpoint_starts_from_the_beginning(tmp_path: Path) -> None:
    result = fine_tune(
        small_cnn(), random_loaders(), config=CONFIG, checkpoint=Checkpoint(path=tmp_path / "new" / "c.safetensors", resume=True)
    )
    assert not result.resumed
    assert (tmp_path / "new" / "c.safetensors").exists()


def test_checkpoints_come_within_an_epoch_too(tmp_path: Path) -> None:
    path = tmp_path / "checkpoint.safetensors"
    seen = []

    class Watching(_Interrupting):
        def advance(self, steps: float = 1.0) -> None:
            seen.append(path.stat().st_mtime_ns if path.exists() else 0)
            time.sleep(0.01)

    fine_tune(small_cnn(), random_loaders(), config=CONFIG, checkpoint=Checkpoint(path=path, every_s=0.0), progress=Watching(0))
    assert len(set(seen)) > 5
