"""Two processes that share a run end with the same network, and it is that of one process."""

import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from edgewise.measure.lock import timing_lock
from edgewise.train.hints import Hints
from edgewise.train.loop import FineTune, Loaders, fine_tune
from edgewise.train.sharding import rank_and_size, shard
from train.networks import random_batches

TESTS = Path(__file__).resolve().parents[1]
PROGRAM = """
import sys
from datetime import timedelta
import torch
from safetensors.torch import save_file
from torch import distributed as dist
from edgewise.measure.lock import untimed
from edgewise.train.loop import FineTune, Goal, Loaders, fine_tune
from train.networks import random_batches, small_cnn
from train.test_sharding import HINTS, plain_cnn

rank, store, out = int(sys.argv[1]), sys.argv[2], sys.argv[3]
dist.init_process_group("gloo", init_method=f"file://{store}", rank=rank, world_size=2, timeout=timedelta(seconds=300))
plain, taught = Goal(gate=untimed), Goal(gate=untimed, teacher=small_cnn().eval(), hints=HINTS)
for name, network, goal in (("norms", small_cnn(), plain), ("plain", plain_cnn(), plain), ("hints", small_cnn(), taught)):
    data = Loaders(train=random_batches(4), validation=random_batches(2, seed=1))
    config = FineTune(epochs=2, lr=0.05, bf16=False, distill_weight=0.5 if goal.hints else 0.0)
    result = fine_tune(network, data, config=config, goal=goal)
    save_file(result.model.state_dict(), f"{out}/{name}-{rank}.safetensors")
    print([(record.loss, record.score) for record in result.history])
dist.destroy_process_group()
"""


HINTS = Hints(modules=(("3", "3"),))


def plain_cnn() -> nn.Sequential:
    """Without batch norms, so that half batches give the same gradients as whole ones."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return nn.Sequential(nn.Conv2d(1, 6, 3), nn.ReLU(), nn.Flatten(), nn.Linear(216, 10))


def test_alone_there_is_one_process_and_a_batch_stays_whole() -> None:
    batch = torch.arange(5)
    assert rank_and_size() == (0, 1)
    assert shard(batch, rank=0, size=1) is batch


def test_shares_are_disjoint_and_of_one_length() -> None:
    batch = (torch.arange(7), {"label": torch.arange(7)})
    shares = [shard(batch, rank=rank, size=3) for rank in range(3)]
    assert [share[0].tolist() for share in shares] == [share[1]["label"].tolist() for share in shares] == [[0, 3], [1, 4], [2, 5]]


def test_two_processes_agree_with_each_other_and_with_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))  # a timing lock of the test's own
    paths = {"PYTHONPATH": f"{TESTS.parent / 'src'}:{TESTS}", "PATH": "/usr/bin:/bin", "TMPDIR": str(tmp_path)}
    environment = {**paths, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", PROGRAM]
    processes = [
        subprocess.Popen(
            [*command, str(rank), str(tmp_path / "store"), str(tmp_path)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=environment,
        )
        for rank in range(2)
    ]
    # A timing that comes between the two must not leave one waiting for the other's gradients.
    while any(process.poll() is None for process in processes):
        with timing_lock():
            time.sleep(0.01)
        time.sleep(0.01)
    outputs = [process.communicate(timeout=300) for process in processes]
    assert [process.returncode for process in processes] == [0, 0], outputs
    assert outputs[0][0] == outputs[1][0]
    for name in ("norms", "plain", "hints"):
        one, two = (load_file(tmp_path / f"{name}-{rank}.safetensors") for rank in range(2))
        assert all(torch.equal(one[key], two[key]) for key in one)
    alone = fine_tune(plain_cnn(), Loaders(train=random_batches(4)), config=FineTune(epochs=2, lr=0.05, bf16=False)).model
    shared = load_file(tmp_path / "plain-0.safetensors")
    assert all(torch.allclose(value, shared[key], atol=1e-5) for key, value in alone.state_dict().items())
