"""What does a worker cost that has nothing to do? (Under half a percent of a core, and under one command a second.)

    python -m benchmarks.idle --store redis
    python -m benchmarks.idle --url "sqlite:///bench.db" --queues 4 --seconds 60 --json

A worker in a process of its own serves queues that are empty. The figures are the share of one core that it uses, all
its threads together, and how often it comes to the store in a second for each queue: scripts and other commands that a
client of Redis sends (what a script does inside is not one), transactions in the database of Postgres (on a private
server without those of its own vacuuming, which count alike), and transactions that write to the file of SQLite.
"""

import argparse
import asyncio
import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import aiq
from benchmarks.asking import asked_storage, storage_parser
from benchmarks.private import store_of
from benchmarks.processes import line_of, process, until_left
from benchmarks.report import about, report
from benchmarks.spread import Spread, spread
from benchmarks.stores import ask_postgres, ask_redis, files, remove

SETTLED_S: Final = 16.0
"""An idle worker is looked at only after this, so that its start does not count: what it does every few seconds it has
done once, and a connection to Postgres says up to 10 s later how many transactions it has made."""
_SENT: Final = ("evalsha", "eval", "script|load", "xread", "xrevrange", "ping")
"""Commands that an idle client of ours sends to Redis. What a script does inside counts under names of its own, and
whoever asks how many there were sends `info`."""
_WAL_CHANGES: Final = slice(8, 12)
"""Where the index of SQLite's log counts the transactions: see "WAL-Index Format" in its documentation."""


@aiq.task
async def noop() -> None:
    """What nobody enqueues."""


@dataclass(frozen=True, slots=True)
class Idle:
    """The share of one core that an idle worker uses, and what it asks of the store in a second for each queue."""

    cpu_share: float
    commands_per_second: float


async def measure(url: str, queues: int, seconds: float, settled_s: float = SETTLED_S) -> Idle:
    """Start a worker that finds nothing, and watch it."""
    remove(url)
    arguments = ("--serve", str(queues), "--seconds", str(seconds), "--settled", str(settled_s), "--url", url)
    try:
        async with process("benchmarks.idle", *arguments) as worker:
            await line_of(worker)
            before = commands(url)
            share = json.loads(await line_of(worker))
            return Idle(share, (commands(url) - before) / seconds / queues)
    finally:
        remove(url)


def commands(url: str) -> int:
    """What the store has been asked so far."""
    return _COMMANDS[store_of(url)](url)


def _of_redis(url: str) -> int:
    asked = ask_redis(url, "INFO", "commandstats")
    return sum(asked.get(f"cmdstat_{name}", {"calls": 0})["calls"] for name in _SENT)


def _of_postgres(url: str) -> int:
    done = "SELECT xact_commit + xact_rollback FROM pg_stat_database WHERE datname = current_database()"
    return int(ask_postgres(url, done))


def _of_sqlite(url: str) -> int:
    index = Path(f"{files(url)[0]}-shm")
    return int.from_bytes(index.read_bytes()[_WAL_CHANGES], "little")


_COMMANDS: Final[dict[str, Callable[[str], int]]] = {
    "redis": _of_redis,
    "postgres": _of_postgres,
    "sqlite": _of_sqlite,
}


def without_vacuum(url: str) -> None:
    """Let a private server of Postgres do nothing by itself that counts as a transaction."""
    if store_of(url) == "postgres":
        for setting in ("ALTER SYSTEM SET autovacuum TO off", "SELECT pg_reload_conf()"):
            ask_postgres(url, setting)


async def serve(url: str, queues: int, seconds: float, settled_s: float) -> None:
    """What the process of the worker does: it tells when it is watched, and what share of a core it used."""
    async with aiq.Worker(url, tasks=[noop], slots={f"queue-{number}": 10 for number in range(queues)}):
        left = asyncio.create_task(until_left())
        await asyncio.sleep(settled_s)
        print("idle", flush=True)
        wall, cpu = time.monotonic(), time.process_time()
        await asyncio.sleep(seconds)
        print((time.process_time() - cpu) / (time.monotonic() - wall), flush=True)
        await left


def main() -> None:
    """Parse, measure, print."""
    parser = storage_parser(__doc__)
    parser.add_argument("--queues", type=int, default=1, help="that the worker serves; default: %(default)s")
    parser.add_argument("--seconds", type=float, default=20.0, help="of one round; default: %(default)s")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--serve", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--settled", type=float, default=SETTLED_S, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.serve is not None:
        asyncio.run(serve(given.url, given.serve, given.seconds, given.settled))
        return
    with asked_storage(parser, given) as url:
        if not given.url:
            without_vacuum(url)
        told = about(url, queues=given.queues, seconds=given.seconds, rounds=given.rounds)
        rounds = [asyncio.run(measure(url, given.queues, given.seconds)) for _ in range(given.rounds)]
    found = figures(rounds)
    report(told, {"figures": found}, [f"{name}: {value}" for name, value in found.items()], as_json=given.json)


def figures(rounds: list[Idle]) -> dict[str, Spread]:
    """Over the rounds."""
    return {
        "% of a core": spread([100 * one.cpu_share for one in rounds]),
        "commands a second for each queue": spread([one.commands_per_second for one in rounds]),
    }


if __name__ == "__main__":
    main()
