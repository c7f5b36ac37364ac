"""What importing costs, and what it must not bring along."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
# `block` makes an import of the module fail, as if it were not installed.
PROGRAM = "import sys; [sys.modules.__setitem__(name, None) for name in {block!r}]; import {modules}"

TORCH_FREE = ("edgewise.ir", "edgewise.cost", "edgewise.widths.problem", "edgewise.widths.exact", "edgewise.recipes.requests")
LIGHT = ("edgewise", "edgewise.cli", "edgewise.recipes", "edgewise.recipes.tables", "edgewise.recipes.requests")
HEAVY = ("torch", "numpy", "scipy", "pydantic", "jinja2", "onnx", "onnxruntime", "openvino", "timm", "torchvision", "sklearn")


def _run(block: tuple[str, ...], modules: tuple[str, ...]) -> subprocess.CompletedProcess[str]:
    program = PROGRAM.format(block=list(block), modules=", ".join(modules))
    return subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False, env=os.environ | {"PYTHONPATH": "src"}, cwd=REPOSITORY
    )


def test_hardware_reasoning_imports_with_torch_blocked() -> None:
    done = _run(("torch", "torchvision", "onnx"), TORCH_FREE)
    assert done.returncode == 0, done.stderr


def test_the_command_line_imports_with_everything_heavy_blocked() -> None:
    done = _run(HEAVY, LIGHT)
    assert done.returncode == 0, done.stderr


def test_blocking_works() -> None:
    done = _run(("json",), ("json",))
    assert done.returncode == 1
    assert "ModuleNotFoundError" in done.stderr


@pytest.mark.parametrize("module", ["edgewise", "edgewise.cli", "edgewise.ir"])
def test_importing_writes_nothing_and_says_nothing(module: str, tmp_path: Path) -> None:
    environment = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "PYTHONPATH": str(REPOSITORY / "src"), "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(
        [sys.executable, "-c", f"import {module}"], capture_output=True, text=True, check=False, env=environment, cwd=tmp_path
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert list(tmp_path.iterdir()) == []
