"""What work costs: wall time, and CPU time of this process and of the server, where that runs on this machine."""

import os
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from benchmarks.private import store_of
from benchmarks.stores import apart, ask_redis, connect_postgres
from tests.postgres_servers import children

Clock = Callable[[], float]
LOOPBACK = ("127.0.0.1", "::1", "localhost", None)


@dataclass(frozen=True, slots=True)
class Cost:
    """Microseconds a job. That of the server has in it what the server did besides, such as to clean up."""

    wall_us: float
    client_us: float
    server_us: float

    @property
    def cpu_us(self) -> float:
        """Of both sides."""
        return self.client_us + self.server_us

    @property
    def per_second(self) -> float:
        """Jobs."""
        return 1_000_000 / self.wall_us


@dataclass(frozen=True, slots=True)
class Instant:
    """What the clocks showed."""

    wall: float
    client: float
    server: float

    def until(self, end: "Instant", jobs: int) -> Cost:
        """What jobs cost between two instants."""
        spent = (end.wall - self.wall, end.client - self.client, end.server - self.server)
        return Cost(*(seconds * 1_000_000 / jobs for seconds in spent))


@dataclass(frozen=True, slots=True)
class Clocks:
    """Those of this process and of the server behind an address."""

    server: Clock

    @classmethod
    def of(cls, url: str) -> "Clocks":
        """What a server elsewhere does is not known, and counts as nothing; SQLite works in this process."""
        match store_of(url):
            case "redis":
                return cls(lambda: _redis_seconds(url))
            case "postgres" if urlsplit(url).hostname in LOOPBACK and (pid := _postmaster(url)):
                return cls(lambda: sum(map(seconds_of, (pid, *children(pid)))))
            case _:
                return cls(lambda: 0.0)

    def now(self) -> Instant:
        """Read them."""
        return Instant(time.perf_counter(), time.process_time(), self.server())

    async def cost(self, jobs: int, work: Callable[[], Awaitable[object]]) -> Cost:
        """What each of so many jobs costs."""
        began = self.now()
        await work()
        return began.until(self.now(), jobs)


def _redis_seconds(url: str) -> float:
    used = ask_redis(url, "INFO", "cpu")
    return float(used["used_cpu_user"]) + float(used["used_cpu_sys"])


def _postmaster(url: str) -> int | None:
    """The process that has started the one that serves us."""

    async def parent() -> int:
        connection, _ = await connect_postgres(url)
        try:
            backend = await connection.fetchval("SELECT pg_backend_pid()")
            return int(_stat(backend)[1])
        finally:
            await connection.close()

    try:
        return apart(parent())
    except OSError:
        return None


def seconds_of(pid: int) -> float:
    """CPU time of a process, and of those of its children that have ended."""
    try:
        return sum(int(ticks) for ticks in _stat(pid)[11:15]) / os.sysconf("SC_CLK_TCK")
    except OSError:
        return 0.0


def _stat(pid: int) -> list[str]:
    """The fields from the state on: the name before them may be anything."""
    return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
