"""Nodes of a Ray cluster for tests: started like a person would, on this machine, and gone afterwards whatever happens."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

TESTS = Path(__file__).resolve().parents[2]
_MARK = "EDGEWISE_TEST_CLUSTER"
_START = "import sys; from ray.scripts.scripts import main; sys.exit(main())"
_STORE_BYTES = 80_000_000


def free_port() -> int:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        return int(bound.getsockname()[1])


@dataclass
class Cluster:
    """Nodes on this machine, found again by a mark in the environment of all their processes."""

    # Unix sockets lie in it, whose paths must be short.
    folder: Path = field(default_factory=lambda: Path(tempfile.mkdtemp(prefix="ew-ray-", dir="/tmp")))
    port: int = field(default_factory=free_port)

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    @property
    def environment(self) -> dict[str, str]:
        temporary = self.folder / "tmp"
        temporary.mkdir(exist_ok=True)
        known = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
        paths = {"PYTHONPATH": f"{TESTS.parent / 'src'}:{TESTS}", "EDGEWISE_HOME": str(self.folder / "home"), "TMPDIR": str(temporary)}
        # A dead node is noticed in two seconds, not fifteen.
        hasty = {"RAY_health_check_initial_delay_ms": "500", "RAY_health_check_period_ms": "500", "RAY_health_check_failure_threshold": "4"}
        return {**known, **paths, **hasty, "OMP_NUM_THREADS": "1", "RAY_USAGE_STATS_ENABLED": "0", _MARK: str(self.folder)}

    def start(self, name: str, *, head: bool = False, cpus: int = 1, resources: Mapping[str, float] | None = None) -> subprocess.Popen[str]:
        """Starts a node; does not wait until it runs."""
        where = ["--head", f"--port={self.port}", f"--temp-dir={self.folder / 'ray'}", "--include-dashboard=false"]
        words = [*(where if head else [f"--address={self.address}"]), f"--num-cpus={cpus}", f"--object-store-memory={_STORE_BYTES}"]
        words += ["--node-ip-address=127.0.0.1", "--min-worker-port=0", "--max-worker-port=0", "--disable-usage-stats"]
        words += [f"--resources={json.dumps(dict(resources or {}))}"]
        with (self.folder / f"{name}.log").open("w") as log:
            return subprocess.Popen(
                [sys.executable, "-c", _START, "start", *words],
                stdout=log,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
                text=True,
                env={**self.environment, f"{_MARK}_NODE": name},
                start_new_session=True,
            )

    def started(self, *starting: subprocess.Popen[str]) -> None:
        """Waits until nodes run."""
        for process in starting:
            assert process.wait(timeout=180) == 0, [path.read_text()[-2000:] for path in self.folder.glob("*.log")]

    def processes(self, *, node: str | None = None, named: str = "") -> list[int]:
        """Processes of all nodes, or of one, whose command line holds a text."""
        mark = f"{_MARK}={self.folder}" if node is None else f"{_MARK}_NODE={node}"
        found = []
        for place in Path("/proc").iterdir():
            if not place.name.isdigit() or int(place.name) == os.getpid():
                continue
            with suppress(OSError):
                variables = (place / "environ").read_bytes().split(b"\0")
                words = (place / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
                whole = f"{_MARK}={self.folder}".encode() in variables and mark.encode() in variables
                if whole and named in words and words:
                    found.append(int(place.name))
        return found

    def kill(self, node: str) -> None:
        """Ends a node like a power cut: all of its processes at once."""
        for process in self.processes(node=node):
            with suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)

    def stop(self) -> None:
        ends = time.monotonic() + 30
        while (left := self.processes()) and time.monotonic() < ends:
            for process in left:
                with suppress(ProcessLookupError):
                    os.kill(process, signal.SIGKILL)
            time.sleep(0.1)
        shutil.rmtree(self.folder, ignore_errors=True)
