"""Servers that the tests start for themselves: on loopback, on free ports, ended by their own process id."""

import atexit
import shutil
import socket
import subprocess
import time
from functools import cache
from tempfile import mkdtemp

READY_SECONDS = 10.0


@cache
def redis_port() -> int:
    """The port of a private Redis server of this process, without persistence."""
    folder, port = mkdtemp(), _free_port()
    options = ["--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--dir", folder]
    server = subprocess.Popen(["redis-server", "--port", str(port), *options], stdout=subprocess.DEVNULL)
    atexit.register(_end, server, folder)
    _await(port)
    return port


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _await(port: int) -> None:
    until = time.monotonic() + READY_SECONDS
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return
        except OSError:
            if time.monotonic() > until:
                raise
            time.sleep(0.01)


def _end(server: "subprocess.Popen[bytes]", folder: str) -> None:
    server.kill()
    server.wait()
    shutil.rmtree(folder, ignore_errors=True)
