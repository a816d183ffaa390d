"""Hosts in network namespaces of Linux, joined by a bridge, between which packets can be dropped.

The namespaces have no names: they end with the processes in them, also if this one is killed.
"""

import ctypes
import os
import subprocess
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import count, product

CLONE_NEWNET = 0x40000000
BRIDGE = "switch"
OWN_ADDRESS = "10.0.0.1"
HERE = "/proc/thread-self/ns/net"

Path = tuple["Host", "Host"]
"""Where packets come from, and where they go."""

_libc = ctypes.CDLL(None, use_errno=True)


class Host:
    """A namespace with one address."""

    def __init__(self, address: str) -> None:
        self.address = address
        with _returning():
            _check(_libc.unshare(CLONE_NEWNET))
            self._namespace = os.open(HERE, os.O_RDONLY)

    @contextmanager
    def entered(self) -> Iterator[None]:
        """This thread is on the host, and so are the processes that it starts."""
        with _returning():
            _check(_libc.setns(self._namespace, CLONE_NEWNET))
            yield

    def attach(self, port: str) -> None:
        """Connect it to the bridge."""
        namespace = f"/proc/{os.getpid()}/fd/{self._namespace}"
        _ip("link", "add", port, "type", "veth", "peer", "name", "eth0", "netns", namespace)
        _ip("link", "set", port, "master", BRIDGE, "up")
        with self.entered():
            _ip("link", "set", "lo", "up")
            _ip("address", "add", f"{self.address}/24", "dev", "eth0")
            _ip("link", "set", "eth0", "up")


class Network:
    """This process is moved to a namespace of its own, which has the bridge."""

    def __init__(self) -> None:
        _check(_libc.unshare(CLONE_NEWNET))
        _ip("link", "set", "lo", "up")
        _ip("link", "add", BRIDGE, "type", "bridge")
        _ip("address", "add", f"{OWN_ADDRESS}/24", "dev", BRIDGE)
        _ip("link", "set", BRIDGE, "up")
        self._ports = count()

    def add(self, address: str) -> Host:
        host = Host(address)
        host.attach(f"port{next(self._ports)}")
        return host

    @contextmanager
    def cut(self, paths: Iterable[Path], ports: Sequence[int] = ()) -> Iterator[None]:
        """Drop packets, without a word to the sender. With `ports`, only those from and to them."""
        cut = list(paths)
        for path in cut:
            _drop("--append", path, ports)
        yield
        for path in cut:
            _drop("--delete", path, ports)


def both_ways(ones: Iterable[Host], others: Iterable[Host]) -> list[Path]:
    return [path for one, other in product(ones, others) for path in ((one, other), (other, one))]


def _drop(action: str, path: Path, ports: Sequence[int]) -> None:
    source, target = path
    some = ",".join(map(str, ports))
    only = ("--protocol", "tcp", "--match", "multiport", "--ports", some) if ports else ()
    with target.entered():
        _run("iptables", action, "INPUT", "--source", source.address, *only, "--jump", "DROP")


@contextmanager
def _returning() -> Iterator[None]:
    here = os.open(HERE, os.O_RDONLY)
    try:
        yield
    finally:
        _check(_libc.setns(here, CLONE_NEWNET))
        os.close(here)


def _check(result: int) -> None:
    if result:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def _ip(*arguments: str) -> None:
    _run("ip", *arguments)


def _run(*command: str) -> None:
    subprocess.run(command, check=True)
