"""Joining a Ray cluster: found within seconds or refused, silent, and left as it was."""

import logging
import os
import platform
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from edgewise._core.errors import DeviceError, UsageError

PREFIX = "device:"
"""A node that offers a device has the resource ``device:NAME``, as many as timings may run on it at once: 1."""
_PATIENCE_S = 5.0
# What every HTTP/2 server, and so Ray's head, answers with settings of its own.
_HELLO = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes((0, 0, 0, 4, 0, 0, 0, 0, 0))
_SETTINGS_FRAME = 4
_QUIET = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0", "RAY_DISABLE_FAILURE_SIGNAL_HANDLER": "1"}
"""No usage statistics, no warning about accelerators, no stack of Ray's core where a person ends the command."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Node:
    """A machine of the cluster.

    Attributes:
        key: Ray's identifier of the node.
        host: Name of the machine.
        cpus: Processors that it offers for trials.
        devices: Devices that it offers for timings.
    """

    key: str
    host: str
    cpus: float
    devices: frozenset[str]


@contextmanager
def joined(address: str) -> Iterator[Any]:
    """Joins a cluster for the time being; gives the module ``ray``.

    A connection that this process has already is used and left open.

    Args:
        address: ``auto``, or HOST:PORT of the head node.

    Raises:
        UsageError: There is no Ray at the address, or this machine has not joined that cluster.
        DeviceError: Ray is not installed.
    """
    ray = _import_ray()
    if ray.is_initialized():
        yield ray
        return
    found = check_address(address)
    try:
        ray.init(address=found, log_to_driver=False, configure_logging=False, logging_level=logging.ERROR)
    except (ConnectionError, RuntimeError, ValueError, TimeoutError) as error:
        raise UsageError(
            f"--ray {address}: cannot join the cluster: {_first_line(error)}; "
            f"this machine must be one of its nodes: `ray start --address={found}`"
        ) from error
    try:
        yield ray
    finally:
        ray.shutdown()


def check_address(address: str) -> str:
    """Whether a cluster answers, found out in seconds: HOST:PORT of its head node.

    Raises:
        UsageError: There is no Ray at the address, or it is none.
        DeviceError: Ray is not installed.
    """
    _import_ray()
    found = _resolved(address)
    _check_answers(address, found)
    return found


def nodes_of(ray: Any) -> list[Node]:  # noqa: ANN401 - the module
    """The nodes that are alive, in the order of their identifiers."""
    found = []
    for node in ray.nodes():
        if not node["Alive"]:
            continue
        resources = node["Resources"]
        devices = frozenset(name.removeprefix(PREFIX) for name, count in resources.items() if name.startswith(PREFIX) and count >= 1)
        cpus = float(resources.get("CPU", 0.0))
        found.append(Node(key=node["NodeID"], host=node["NodeManagerHostname"], cpus=cpus, devices=devices))
    return sorted(found, key=lambda node: node.key)


def hosts_of(nodes: list[Node], device: str, *, address: str) -> list[Node]:
    """The nodes that offer a device.

    Raises:
        DeviceError: There is none; says how to start one.
    """
    found = [node for node in nodes if device in node.devices]
    if not found:
        offered = sorted({name for node in nodes for name in node.devices})
        offers = f"it offers {', '.join(offered)}" if offered else "it offers no device"
        raise DeviceError(
            f"no node of the Ray cluster offers the device {device} ({offers}); start one there: "
            f"ray start --address={address} --resources '{{\"{PREFIX}{device}\": 1}}'"
        )
    return found


def capacity_of(nodes: list[Node], threads: int) -> int:
    """Trials that run at once.

    Example:
        >>> nodes = [Node(key=str(cpus), host="a", cpus=cpus, devices=frozenset()) for cpus in (0.0, 1.0, 5.0)]
        >>> capacity_of(nodes, 2)
        2
    """
    return sum(int(node.cpus // threads) for node in nodes)


def head_address(ray: Any) -> str:  # noqa: ANN401 - the module
    """HOST:PORT by which other machines join."""
    return str(ray.get_runtime_context().gcs_address)


def _import_ray() -> Any:  # noqa: ANN401 - the module
    for name, value in _QUIET.items():
        os.environ.setdefault(name, value)
    try:
        import ray
    except ImportError:
        raise DeviceError(f"--ray needs Ray, which is not installed on {platform.node()}; pip install 'edgewise[ray]'") from None
    return ray


def _resolved(address: str) -> str:
    if address.strip().lower() != "auto":
        host, colon, port = address.strip().rpartition(":")
        if not (host and colon and port.isdigit() and 0 < int(port) < 65536) or "/" in host:
            raise UsageError(f"--ray must be auto or HOST:PORT of a head node, such as 192.168.0.10:6379, got {address!r}")
        return address.strip()
    from ray._private.services import canonicalize_bootstrap_address  # what `auto` means is Ray's affair

    try:
        found = canonicalize_bootstrap_address("auto")
    except (ConnectionError, ValueError):
        found = None
    if not found:
        raise UsageError("--ray auto: no Ray runs on this machine; start it with `ray start --head`, or give HOST:PORT of a head node")
    return str(found)


def _check_answers(address: str, found: str) -> None:
    """Asks whether a server of Ray's kind listens, as Ray itself would wait for one for minutes."""
    host, _, port = found.rpartition(":")
    try:
        with socket.create_connection((host.strip("[]"), int(port)), timeout=_PATIENCE_S) as line:
            line.settimeout(_PATIENCE_S)
            line.sendall(_HELLO)
            head = line.recv(9)
    except OSError as error:
        raise UsageError(f"--ray {address}: no Ray answers at {found} ({error.strerror or error}); {_REMEDY}") from error
    if len(head) < 9 or head[3] != _SETTINGS_FRAME:
        raise UsageError(f"--ray {address}: what answers at {found} is not Ray; {_REMEDY}")


_REMEDY = "`ray status` on the head node says its address, `ray start --head` starts one"


def _first_line(error: BaseException) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0][:200]
