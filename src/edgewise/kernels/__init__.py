"""The sparse convolution: C++ sources, how they are compiled, and their bindings."""

from edgewise.kernels.chain import CompiledChain
from edgewise.kernels.library import PATHS, extension_file, kernel_file, kernel_library, variants
from edgewise.kernels.program import CONV, SHORTCUT, Program, Step

__all__ = [
    "CONV",
    "PATHS",
    "SHORTCUT",
    "CompiledChain",
    "Program",
    "Step",
    "extension_file",
    "kernel_file",
    "kernel_library",
    "variants",
]
