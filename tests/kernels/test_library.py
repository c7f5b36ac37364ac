"""How the kernels are found and compiled, and what happens without them."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from edgewise.kernels import kernel_file, variants
from edgewise.kernels.compiling import CompileError, compile_operator, find_compiler, sources_digest

_PROGRAM = """
import numpy as np, torch
from torch import nn
from edgewise.dynamic.running import as_torch
from edgewise.dynamic import gated
from edgewise.ir.gates import Gate, GatePlan
from edgewise.trace import trace
model = nn.Sequential(nn.Conv2d(3, 6, 3, padding=1), nn.ReLU(), nn.Conv2d(6, 4, 1)).eval()
images = torch.rand(2, 3, 4, 4)
plan = GatePlan(gates=(Gate(consumer="2", producer="0", block=0, channels=6, hw=(4, 4), channel_ratio=0.5),), n_blocks=1)
net = trace(model, (images[:1],), verify=False).net
with gated(model, plan), torch.no_grad():
    wanted = model(images)
with torch.no_grad():
    dynamic = as_torch(model, net, plan)
    dynamic(images)
    print(torch.allclose(dynamic(images), wanted, atol=1e-6))
"""


def _run(**environment: str) -> subprocess.CompletedProcess[str]:
    everything = {**os.environ, **environment}
    return subprocess.run([sys.executable, "-c", _PROGRAM], capture_output=True, text=True, env=everything, check=False, timeout=300)


def test_without_kernels_torch_computes_and_it_is_said_once() -> None:
    done = _run(EDGEWISE_KERNELS="none")
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["True"]
    assert done.stderr.count("no compiled kernels") == 1 and "install g++" in done.stderr


@pytest.mark.skipif(find_compiler() is None, reason="no C++ compiler here")
def test_the_library_was_made_from_these_sources() -> None:
    path = kernel_file()
    assert path is not None and sources_digest().encode() in path.read_bytes()
    assert variants()[-1] == "portable"


def test_a_wheel_without_headers_is_refused(tmp_path: Path) -> None:
    if find_compiler() is None:
        pytest.skip("no C++ compiler here")
    with pytest.raises(CompileError, match="must ship headers and libraries; reinstall openvino"):
        compile_operator(tmp_path / "made", openvino=tmp_path, kernels=tmp_path / "kernels.so")


def test_a_compiler_that_is_not_there(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("CXX", "no-such-compiler")
    assert find_compiler() is None
    with pytest.raises(CompileError, match=r"no C\+\+ compiler on Linux here; install g\+\+, or set CXX"):
        compile_operator(tmp_path, openvino=tmp_path, kernels=tmp_path)
