"""The run: every queue in turn, each lap in an empty store and in a process of the queue's own environment."""

import itertools
import json
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from benchmarks.cost import Clocks
from benchmarks.peers.places import Place, place
from benchmarks.peers.queues import ROOT, NotInstalled, Queue
from benchmarks.spread import Spread, spread

Lap = dict[str, float | None]

BY_CONCURRENCY: Final = ("drain", "drain_cpu_ms_per_job", "drain_server_cpu_ms_per_job", "rss_mib")
"""What depends on how many jobs a worker does at once. Everything else is measured in the laps of all numbers."""


@dataclass(frozen=True, slots=True)
class Course:
    """What each queue has to do."""

    store: str
    url: str | None
    jobs: int
    concurrencies: tuple[int, ...]
    rounds: int


def race(queues: list[Queue], course: Course) -> tuple[dict[str, dict[str, Spread | None]], dict[str, str]]:
    """The figures of each queue, and why those are missing that are missing.

    The turns go there and back, so that none is always first.
    """
    pythons, missing = interpreters(queues)
    running = [queue for queue in queues if queue.name in pythons]
    laps: dict[str, list[Lap]] = {queue.name: [] for queue in running}
    for number in range(course.rounds):
        for queue in running[:: -1 if number % 2 else 1]:
            print(f"round {number + 1}: {queue.name}", file=sys.stderr)
            laps[queue.name].append(turn(queue, pythons[queue.name], course))
    return {name: figures(found) for name, found in laps.items()}, missing


def interpreters(queues: Iterable[Queue]) -> tuple[dict[str, str], dict[str, str]]:
    """Who runs each queue, and what pip said of those that could not be installed."""
    found: dict[str, str] = {}
    missing: dict[str, str] = {}
    for queue in queues:
        try:
            found[queue.name] = queue.python()
        except NotInstalled as error:
            missing[queue.name] = f"{', '.join(queue.packages)} could not be installed: {error}"
    return found, missing


def turn(queue: Queue, python: str, course: Course) -> Lap:
    """One lap for each number of jobs at once; what does not depend on that is the mean of them."""
    laps: dict[int, Lap] = {}
    for concurrency in course.concurrencies:
        with place(course.store, course.url) as here:
            laps[concurrency] = lap(queue, python, here, course.jobs, concurrency)
    return one_of(laps)


def one_of(laps: dict[int, Lap]) -> Lap:
    """The laps of a turn as one."""
    found: Lap = {}
    for name in next(iter(laps.values())):
        if name in BY_CONCURRENCY:
            found |= {f"{name} c={concurrency}": one[name] for concurrency, one in laps.items()}
        else:
            known = [value for one in laps.values() if (value := one[name]) is not None]
            found[name] = sum(known) / len(known) if known else None
    return found


def lap(queue: Queue, python: str, here: Place, jobs: int, concurrency: int) -> Lap:
    """One lap in a process of the queue's own environment, which asks here what its jobs take."""
    asked = ["--url", here.url, "--jobs", str(jobs), "--concurrency", str(concurrency)]
    named = ["--variant", queue.variant] if queue.variant else []
    command = [python, "-m", f"benchmarks.peers.with_{queue.module}", *asked, *named]
    clocks, servers = Clocks.of(here.url), list[float]()
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        for line in process.stdout:
            if line == "weigh\n":
                servers.append(clocks.server())
                process.stdin.write(f"{here.bytes()}\n")
                process.stdin.flush()
            elif line.startswith("{"):
                found: Lap = json.loads(line)
                return found | served(servers, jobs, int(found.pop("done") or 0))
    raise SystemExit(f"{queue.name} on {queue.store} has not finished a lap; what it said stands above.")


def served(servers: list[float], jobs: int, done: int) -> Lap:
    """What a job costs the server to take in, and one that was done to give out and end.

    It is what the server had spent, in CPU seconds, whenever the store was weighed. There is no figure for what one
    elsewhere does, nor for SQLite, which works in the process of its user.
    """
    put, drained = (after - before for before, after in itertools.pairwise(servers))
    return {
        "put_server_cpu_ms_per_job": put * 1000 / jobs or None,
        "drain_server_cpu_ms_per_job": drained * 1000 / done or None,
    }


def figures(laps: list[Lap]) -> dict[str, Spread | None]:
    """Over all rounds that have the figure."""
    known = {name: [value for one in laps if (value := one[name]) is not None] for name in laps[0]}
    return {name: spread(values) if values else None for name, values in known.items()}
