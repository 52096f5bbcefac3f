"""Servers that the tests start for themselves: on loopback, on free ports, ended by their own process id."""

import atexit
import os
import re
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable
from functools import cache, partial
from pathlib import Path
from random import SystemRandom
from tempfile import mkdtemp
from typing import Any

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from tests.rights import USER, rights

READY_SECONDS = 20.0
LOOK_SECONDS = 0.01
PASSWORD = "of-the-tests"
"""The servers are private, and gone after the test."""


class Server:
    """One Redis server. Its folder, hence what it keeps there, is the same after it is started again."""

    def __init__(self, *options: str, sentinel: bool = False) -> None:
        self.folder = Path(mkdtemp())
        self.port = free_port()
        self._options = options
        self._sentinel = sentinel
        self._process: subprocess.Popen[bytes] | None = None
        atexit.register(self.end)

    def start(self, *more: str, ready: bool = True) -> "Server":
        """Start it, and wait until it answers. It knows the user as whom the tests come, who has the least rights."""
        config = self.folder / "redis.conf"
        if not config.exists():
            config.write_text(
                "" if self._sentinel else f"user {USER} reset on >{PASSWORD} {' '.join(rights('aiq:*'))}\n"
            )
        command = [executable(), str(config), "--port", str(self.port), "--bind", "127.0.0.1", *self._options, *more]
        if self._sentinel:
            command.append("--sentinel")
        else:
            command += [] if "--dir" in command else ["--dir", str(self.folder)]
            command += [] if "--save" in command else ["--save", ""]
        log = (self.folder / "log").open("ab")
        self._process = subprocess.Popen(command, stdout=log, stderr=log)
        log.close()
        if ready:
            self.until(lambda: self.ask("PING"))
        return self

    def until(self, true: Callable[[], Any], seconds: float = READY_SECONDS) -> None:
        """Wait until something holds. What is refused meanwhile does not hold yet."""
        until = time.monotonic() + seconds
        while True:
            try:
                if true():
                    return
            except (redis.RedisError, OSError):
                if self._process is None or self._process.poll() is not None:
                    raise AssertionError(self.log()) from None
            assert time.monotonic() < until, self.log()
            time.sleep(LOOK_SECONDS)

    def ask(self, *command: str | int | bytes) -> Any:
        """Send it a command as its owner, whom nothing is forbidden."""
        with redis.Redis(
            port=self.port,
            retry=Retry(NoBackoff(), 0),
            socket_timeout=5,
            decode_responses=True,
            encoding_errors="surrogateescape",
        ) as client:
            return client.execute_command(*command)

    def info(self, name: str) -> Any:
        """A line of INFO."""
        found = self.ask("INFO")
        return found[name]

    def send(self, number: signal.Signals) -> None:
        """Send its process a signal."""
        assert self._process is not None
        os.kill(self._process.pid, number)

    def kill(self) -> None:
        """SIGKILL, and wait until it is gone."""
        if self._process is not None and self._process.poll() is None:
            self._process.kill()
            self._process.wait()

    def end(self) -> None:
        """Kill it, and remove its folder."""
        self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)

    def log(self) -> str:
        """What it has said."""
        return (self.folder / "log").read_text(errors="replace")[-4000:]

    def url(self, namespace: str = "default", more: str = "") -> str:
        """The address of a namespace there, for the user with the least rights."""
        return f"redis://{USER}:{PASSWORD}@127.0.0.1:{self.port}/0?namespace={namespace}{more}"


@cache
def server() -> Server:
    """A private Redis server of this process, without persistence."""
    return Server("--appendonly", "no").start()


def redis_port() -> int:
    """The port of that server, where whoever comes is its owner."""
    return server().port


class Cluster:
    """Three nodes, a third of the slots each."""

    def __init__(self) -> None:
        self.nodes = [
            Server("--cluster-enabled", "yes", "--cluster-port", str(free_port()), "--cluster-node-timeout", "2000")
            for _ in range(3)
        ]
        self._bus = [int(node._options[3]) for node in self.nodes]

    def start(self) -> "Cluster":
        """Start the nodes, let them meet, and wait until all of them agree."""
        bounds = [0, 5461, 10923, 16384]
        for node, first, last in zip(self.nodes, bounds, bounds[1:], strict=False):
            node.start().ask("CLUSTER", "ADDSLOTSRANGE", first, last - 1)
        for node, bus in zip(self.nodes[1:], self._bus[1:], strict=True):
            self.nodes[0].ask("CLUSTER", "MEET", "127.0.0.1", node.port, bus)
        for node in self.nodes:
            node.until(partial(self._is_whole, node))
        return self

    def _is_whole(self, node: Server) -> bool:
        found = node.ask("CLUSTER", "INFO")
        told = found if isinstance(found, dict) else dict(line.split(":") for line in found.split())
        return bool(told["cluster_state"] == "ok" and told["cluster_known_nodes"] == "3")

    def owner(self, namespace: str) -> Server:
        """The node that holds a namespace."""
        slot = int(self.nodes[0].ask("CLUSTER", "KEYSLOT", f"{{aiq:{namespace}}}"))
        return self.nodes[0 if slot < 5461 else 1 if slot < 10923 else 2]

    def url(self, namespace: str = "default", more: str = "") -> str:
        """The address of a namespace there. Any node of the list may be asked first."""
        hosts = ",".join(f"127.0.0.1:{node.port}" for node in self.nodes)
        return f"redis+cluster://{USER}:{PASSWORD}@{hosts}?namespace={namespace}{more}"

    def end(self) -> None:
        """End the nodes."""
        for node in self.nodes:
            node.end()


@cache
def cluster() -> Cluster:
    """A private cluster of this process."""
    return Cluster().start()


class Watched:
    """A primary with a replica, and a sentinel that lets the one follow the other.

    At first nobody is taken for gone, however busy the machine is: a silence must be longer than `PATIENT_MS`. Tests in
    which one is gone say for how long, and when it is over.
    """

    SERVICE = "jobs"
    PATIENT_MS = 60_000
    ALERT_MS = 2_000
    """More than a second. A sentinel connects to a server once a second, and connects anew to the one that it has just
    promoted: with less it may take that one for gone before it has connected, and promote the other one again."""

    def __init__(self) -> None:
        self.primary = Server("--appendonly", "no", "--repl-diskless-sync-delay", "0")
        self.replica = Server("--replicaof", "127.0.0.1", str(self.primary.port), "--repl-diskless-sync-delay", "0")
        self.sentinel = Server(sentinel=True)

    def start(self) -> "Watched":
        """Start all three, and wait until the sentinel has seen both servers."""
        self.primary.start()
        self.replica.start()
        self.replica.until(lambda: self.replica.info("master_link_status") == "up")
        (self.sentinel.folder / "redis.conf").write_text(
            f"sentinel monitor {self.SERVICE} 127.0.0.1 {self.primary.port} 1\n"
            f"sentinel down-after-milliseconds {self.SERVICE} {self.PATIENT_MS}\n"
            f"sentinel failover-timeout {self.SERVICE} 3000\n"
        )
        self.sentinel.start()
        self.sentinel.until(self._knows_the_replica)
        return self

    def _knows_the_replica(self) -> bool:
        """Whether the sentinel would choose it: it has been told by the replica itself that it follows."""
        return any(
            _told(one)["master-link-status"] == "ok" for one in self.sentinel.ask("SENTINEL", "REPLICAS", self.SERVICE)
        )

    def lose_the_primary(self) -> None:
        """Kill it, and let the sentinel see that."""
        self.primary.kill()
        self._patience(self.ALERT_MS)

    def switched(self) -> None:
        """Wait until the sentinel holds the replica for the primary, is connected to it, and does nothing more."""
        self.sentinel.until(lambda: self._watched()["port"] == str(self.replica.port), 60)
        self._patience(self.PATIENT_MS)
        self.sentinel.until(lambda: self._watched()["flags"] == "master", 60)

    def _patience(self, down_after_ms: int) -> None:
        self.sentinel.ask("SENTINEL", "SET", self.SERVICE, "down-after-milliseconds", down_after_ms)

    def _watched(self) -> dict[str, str]:
        return _told(self.sentinel.ask("SENTINEL", "MASTER", self.SERVICE))

    def url(self, namespace: str = "default", more: str = "") -> str:
        """The address of a namespace there."""
        user = f"{USER}:{PASSWORD}@"
        return f"redis+sentinel://{user}127.0.0.1:{self.sentinel.port}/{self.SERVICE}/0?namespace={namespace}{more}"

    def end(self) -> None:
        """End all three."""
        for one in (self.sentinel, self.replica, self.primary):
            one.end()


def _told(found: Any) -> dict[str, str]:
    """What a sentinel tells of a server. The driver makes a mapping of it, or leaves it as a list."""
    return found if isinstance(found, dict) else dict(zip(found[::2], found[1::2], strict=True))


@cache
def watched() -> Watched:
    """A private primary of this process, its replica and their sentinel."""
    return Watched().start()


@cache
def executable() -> str:
    """Where redis-server is. `AIQ_REDIS_SERVER` names another one, such as one of Valkey."""
    found = shutil.which(os.environ.get("AIQ_REDIS_SERVER", "redis-server"))
    assert found, (
        "The tests of the storage in Redis start servers of their own, and there is no redis-server on the PATH. "
        "Install it (`apt-get install redis-server`, 7.0 or newer), or name it in AIQ_REDIS_SERVER."
    )
    told = subprocess.run([found, "--version"], capture_output=True, text=True, check=False).stdout
    version = re.search(r"v=(\d+)", told)
    # Valkey counts on from 7.2.
    assert version is None or int(version[1]) >= 7, (
        f"{found} is too old ({told.strip()}): 7.0 or newer is needed. Install one, or name it in AIQ_REDIS_SERVER."
    )
    return found


_ports = iter(SystemRandom().sample(range(10_000, 32_000), 22_000))


def free_port() -> int:
    """A port that nobody listens on just now, and that this process has given to nobody.

    It lies below those that a system hands out by itself: a connection of somebody else would hold one of these while
    our server is away for a moment.
    """
    for port in _ports:
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise AssertionError("This process has given out every port that servers of the tests may have.")
