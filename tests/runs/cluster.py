"""A Ray cluster on this machine, of small nodes that are processes: started, killed, ended."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

NODE = ["--num-cpus=1", "--num-gpus=0", "--object-store-memory=80000000", "--block"]
RAY = str(Path(sys.executable).with_name("ray"))


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


class Cluster:
    """A head and further nodes, of one core each."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.address = folder, f"127.0.0.1:{free_port()}"
        self.processes: list[subprocess.Popen[bytes]] = []
        port = self.address.partition(":")[2]
        self._start("--head", f"--port={port}", "--include-dashboard=false", f"--temp-dir={folder}")

    def add(self) -> subprocess.Popen[bytes]:
        """One more node; it joins in some seconds."""
        return self._start(f"--address={self.address}")

    def kill(self, node: subprocess.Popen[bytes]) -> None:
        """Kill all processes of a node at once, as a machine that loses its power."""
        for process in session(node.pid):
            with contextlib.suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)
        node.wait()

    def close(self) -> None:
        for node in reversed(self.processes):
            self.kill(node)

    def _start(self, *words: str) -> subprocess.Popen[bytes]:
        with (self.folder.parent / f"node{len(self.processes)}.log").open("wb") as log:
            process = subprocess.Popen(
                [RAY, "start", *words, *NODE], start_new_session=True, stdout=log, stderr=log
            )
        self.processes.append(process)
        return process


def wait_for_port(address: str, seconds: float = 40) -> None:
    """Wait until a cluster answers."""
    host, _, port = address.partition(":")
    end = time.monotonic() + seconds
    while True:
        with contextlib.suppress(OSError), socket.create_connection((host, int(port)), 1):
            return
        assert time.monotonic() < end, "the head did not start"
        time.sleep(0.2)


def session(leader: int) -> list[int]:
    """The processes of a session; those of a Ray node are all in its starter's."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            fields = path.read_text().rpartition(")")[2].split()
            found += [int(path.parent.name)] if int(fields[3]) == leader else []
    return found
