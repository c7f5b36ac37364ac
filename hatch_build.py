"""Compiles the sparse kernels while edgewise is installed, also in editable installations.

Without a compiler the package is installed all the same: the kernels are compiled at first use if one has come, and
PyTorch computes otherwise. Why not scikit-build-core: its editable installations know only the files that were there
at the time, and the same sources must be compiled at first use too, so CMake would be a second description of them.
"""

import importlib.util
import sysconfig
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class KernelsHook(BuildHookInterface):  # type: ignore[type-arg, misc]
    """Puts the library beside the package's Python files."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Compiles; says so and goes on where that fails."""
        folder = Path(self.root) / "src" / "edgewise" / "kernels"
        spec = importlib.util.spec_from_file_location("edgewise_compiling", folder / "compiling.py")
        assert spec is not None and spec.loader is not None
        compiling = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(compiling)
        try:
            compiling.compile_kernels(folder)
        except (compiling.CompileError, OSError) as error:
            self.app.display_warning(f"edgewise is installed without its compiled kernels: {error}")
            return
        build_data["pure_python"] = False
        platform_tag = sysconfig.get_platform().replace("-", "_").replace(".", "_")
        build_data["tag"] = f"py3-none-{platform_tag}"
