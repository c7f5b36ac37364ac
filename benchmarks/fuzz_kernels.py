"""Do the sparse kernels ever differ from masked dense convolutions, or touch what is not theirs?

Random chains (shapes, kernels, strides, ratios, paths, batches, thread counts, variants), each against PyTorch's dense
convolution over the masked map. With ``--sanitize`` the kernels are compiled with AddressSanitizer and UBSan, and
any finding ends the run.

    python benchmarks/fuzz_kernels.py --chains 20000
    python benchmarks/fuzz_kernels.py --chains 20000 --sanitize
"""

import argparse
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
from result_files import read_result, write_result

from edgewise._core.folders import cache_folder
from edgewise.kernels.compiling import compile_kernels, find_compiler, sources_digest

_LARGE = {"most_channels": 200, "most_side": 7}  # several blocks, several groups, weights fetched ahead
_FLAGS = ("-O1", "-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-fno-omit-frame-pointer")


def fuzz(count: int, *, first: int, seconds: float) -> dict[str, object]:
    """Checks chains until there are enough or time is up; raises at the first difference."""
    import torch

    from edgewise.kernels import variants
    from edgewise.testing.sparse_chains import check, draw

    torch.set_num_threads(1)
    names, worst, end_s, done = variants(), 0.0, time.monotonic() + seconds, 0
    for seed in range(first, first + count):
        variant, threads = names[seed % len(names)], 1 + seed // len(names) % 3
        sizes = _LARGE if seed % 8 == 7 else {}
        worst = max(worst, check(draw(np.random.default_rng(seed), **sizes), variant=variant, threads=threads))
        done += 1
        if time.monotonic() > end_s:
            break
    return {"chains": done, "first_seed": first, "largest_difference": worst, "variants": list(names), "tolerance": 1e-5}


def _sanitized_again(arguments: list[str]) -> int:
    """Runs this script in a process that has the sanitizers' library from the start."""
    folder = cache_folder() / "kernels" / f"{sources_digest()}-sanitized"
    library = folder / "libedgewise_kernels.so"
    if not library.exists():
        compile_kernels(folder, flags=_FLAGS)
    asked = [str(find_compiler()), "-print-file-name=libasan.so"]
    runtime = subprocess.run(asked, capture_output=True, text=True, check=True).stdout.strip()
    environment = {
        **os.environ,
        "EDGEWISE_KERNELS": str(library),
        "LD_PRELOAD": runtime,
        "ASAN_OPTIONS": "detect_leaks=0:abort_on_error=1",  # the interpreter never frees all
        "UBSAN_OPTIONS": "print_stacktrace=1",
    }
    return subprocess.run([sys.executable, str(Path(__file__)), *arguments, "--sanitized"], env=environment, check=False).returncode


def main() -> None:
    """Runs the benchmark and writes its result file."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--chains", type=int, default=20_000)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--seconds", type=float, default=3600.0)
    parser.add_argument("--sanitize", action="store_true")
    parser.add_argument("--sanitized", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.sanitize:
        rest = [argument for argument in sys.argv[1:] if argument != "--sanitize"]
        sys.exit(_sanitized_again(rest))
    found = fuzz(arguments.chains, first=arguments.first, seconds=arguments.seconds)
    title = "AddressSanitizer and UBSan" if arguments.sanitized else "plain"
    runs = read_result("fuzz-kernels").get("runs", {})
    runs[title] = {**found, "sources": sources_digest(), "faults": 0}
    write_result("fuzz-kernels", {"kind": "measured", "runs": runs})
    sys.stdout.write(f"{title}: {found}\n")


if __name__ == "__main__":
    main()
