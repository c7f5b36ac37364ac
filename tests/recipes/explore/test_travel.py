"""Run folders travel as bytes, and nothing else gets onto a disk; addresses where no Ray is are refused at once."""

import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from edgewise._core.errors import EdgewiseError, RunError, UsageError
from edgewise.recipes.explore import ray_cluster, travel
from edgewise.recipes.explore.ray_cluster import Node, hosts_of, joined
from edgewise.recipes.explore.travel import pack, unpack
from edgewise.recipes.runs import load_model, load_run, write_run


@pytest.fixture
def run(tmp_path: Path) -> Path:
    loaded = load_model("digits-cnn")
    write_run(tmp_path / "run", loaded.model, record=loaded.record, result={"command": "test"})
    return tmp_path / "run"


def test_a_run_arrives_as_it_was_and_whatever_else_lies_there_stays_behind(run: Path, tmp_path: Path) -> None:
    (run / "log.jsonl").write_text("{}\n")
    files = pack(run)
    assert set(files) == {"model.safetensors", "result.json", "spec.json"}
    unpack(files, tmp_path / "there")
    assert pack(tmp_path / "there") == files
    assert load_run(tmp_path / "there").result == {"command": "test"}


def test_an_unfinished_run_does_not_travel(run: Path) -> None:
    (run / "spec.json").unlink()
    with pytest.raises(RunError, match=r"unfinished \(it has no spec\.json\)"):
        pack(run)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda files: {**files, "../escaped": b"x"},
        lambda files: {**files, "/tmp/escaped": b"x"},
        lambda files: {name: files[name] for name in files if name != "spec.json"},
        lambda files: {**files, "spec.json": "text"},
        lambda files: {**files, 7: b"x"},
        lambda files: list(files.items()),
        lambda files: None,
    ],
)
def test_what_is_no_run_is_refused_and_nothing_is_written(spoil: Callable[[dict[str, bytes]], object], run: Path, tmp_path: Path) -> None:
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(RunError, match="from another machine"):
        unpack(spoil(pack(run)), tmp_path / "there")
    assert sorted(tmp_path.rglob("*")) == before


def test_a_file_that_is_too_large_is_refused(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = pack(run)
    monkeypatch.setitem(travel.LARGEST_BYTES, "model.safetensors", len(files["model.safetensors"]) - 1)
    for refused in (lambda: pack(run), lambda: unpack(files, tmp_path / "there")):
        with pytest.raises(RunError, match=r"model\.safetensors must have at most \d+ bytes"):
            refused()
    assert not (tmp_path / "there").exists()


def _listening(answer: bytes | None) -> tuple[str, threading.Thread]:
    """A server of another kind; with no answer it only listens."""
    server = socket.socket()
    server.bind(("127.0.0.1", 0))
    server.listen()

    def serve() -> None:
        with suppress(ConnectionError), server, server.accept()[0] as line:
            line.recv(100)
            if answer is not None:
                line.sendall(answer)
            line.settimeout(20)
            line.recv(1)

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    return f"127.0.0.1:{server.getsockname()[1]}", thread


def refused(address: str) -> str:
    """What is said of an address, within the time promised."""
    pytest.importorskip("ray", reason="Ray is not installed")
    begun = time.monotonic()
    with pytest.raises(UsageError) as error, joined(address):
        pass
    assert time.monotonic() - begun < 15
    return str(error.value)


def test_where_no_ray_answers_it_is_said_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ray_cluster, "_PATIENCE_S", 0.5)
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        free = f"127.0.0.1:{bound.getsockname()[1]}"
    assert "no Ray answers at" in refused(free)
    for answer, said in ((b"SSH-2.0-OpenSSH_9.6\r\n", "is not Ray"), (None, "no Ray answers")):
        address, thread = _listening(answer)
        assert said in refused(address)
        thread.join(timeout=30)


@pytest.mark.parametrize("address", ["nonsense", ":6379", "host:", "host:0", "host:70000", "host:port", "ray://host:10001"])
def test_what_is_no_address_is_refused(address: str) -> None:
    assert "must be auto or HOST:PORT" in refused(address)


def test_hosts_are_those_that_offer_the_device() -> None:
    board = Node(key="1", host="board", cpus=4, devices=frozenset({"openvino-cpu"}))
    other = Node(key="2", host="desk", cpus=8, devices=frozenset())
    assert hosts_of([board, other], "openvino-cpu", address="h:1") == [board]
    with pytest.raises(EdgewiseError, match=r"it offers no device\).*--resources '\{\"device:cuda\": 1\}'"):
        hosts_of([other], "cuda", address="h:1")
