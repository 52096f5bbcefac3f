"""Ours beside other queues on Redis, in turns of one run.

    python -m benchmarks.peers --jobs 5000 --rounds 3 --json

Each queue has an environment of its own, made once in build/peers with the releases that are pinned here, and each lap
a Redis server of its own, without persistence, on loopback. No-op jobs; results are stored. Compare ratios only.
"""

import argparse
import json
import os
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from venv import EnvBuilder

ROOT = Path(__file__).parents[2]
PINNED = {
    "arq": ["arq==0.28.0"],
    "saq": ["saq[redis]==0.26.4", "typing_extensions"],
    "taskiq": ["taskiq==0.13.0", "taskiq-redis==1.2.4"],
    "streaq": ["streaq==7.2.0"],
    "bullmq": ["bullmq==3.4.4"],
}
OURS = "aiq"
FIGURES = ("one_by_one", "enqueue_many", "drain", "drain_cpu_ms_per_job", "bytes_queued", "bytes_finished", "rss_mib")


def python_of(name: str) -> str:
    """The interpreter of a queue's own environment, which is made if it is not there."""
    if name == OURS:
        return sys.executable
    folder = ROOT / "build" / "peers" / name
    python = folder / "bin" / "python"
    if not (folder / ".ready").exists():
        EnvBuilder(with_pip=True, clear=True).create(folder)
        install = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "redis", "hiredis", *PINNED[name]]
        subprocess.run([python, *install], check=True)
        (folder / ".ready").touch()
    return str(python)


READY_SECONDS = 10


@contextmanager
def server() -> Iterator[str]:
    """An empty Redis server on a free port of loopback, and its address."""
    with socket.socket() as probe, TemporaryDirectory() as folder:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
        probe.close()
        options = ["--bind", "127.0.0.1", "--port", str(port), "--save", "", "--appendonly", "no", "--dir", folder]
        program = os.environ.get("AIQ_REDIS_SERVER", "redis-server")
        process = subprocess.Popen([program, *options], stdout=subprocess.DEVNULL)
        try:
            _await(port)
            yield f"redis://127.0.0.1:{port}/0"
        finally:
            process.kill()
            process.wait()


def _await(port: int) -> None:
    until = time.monotonic() + READY_SECONDS
    while time.monotonic() < until:
        with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return
        time.sleep(0.01)
    raise SystemExit("redis-server does not answer; is it installed?")


def lap(name: str, jobs: int, concurrency: int) -> dict[str, float]:
    """Measure one queue once."""
    with server() as url:
        asked = ["--url", url, "--jobs", str(jobs), "--concurrency", str(concurrency)]
        command = [python_of(name), "-m", f"benchmarks.peers.with_{name}", *asked]
        done = subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True)
        found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
        return found


def race(names: list[str], jobs: int, concurrency: int, rounds: int) -> dict[str, dict[str, list[float]]]:
    """Every queue in turn, there and back, so that none is always first: its figures, least, median and most."""
    laps: dict[str, list[dict[str, float]]] = {name: [] for name in names}
    for number in range(rounds):
        for name in names[:: -1 if number % 2 else 1]:
            print(f"round {number + 1}: {name}", file=sys.stderr)
            laps[name].append(lap(name, jobs, concurrency))
    return {
        name: {figure: _spread([one[figure] for one in found]) for figure in FIGURES} for name, found in laps.items()
    }


def _spread(values: list[float]) -> list[float]:
    return [round(value, 3) for value in (min(values), statistics.median(values), max(values))]


WIDTHS = (12, 10, 10, 9, 10, 8, 6)
HEADINGS = ("one by one", "at once", "drain", "ms CPU", "B queued", "B done", "MiB")


def show(found: dict[str, dict[str, list[float]]]) -> None:
    """A table of medians, and the range of the drain."""
    print(f"{'':10}" + "".join(f"{heading:>{width}}" for heading, width in zip(HEADINGS, WIDTHS, strict=True)))
    for name, figures in found.items():
        medians = zip((figures[figure][1] for figure in FIGURES), WIDTHS, strict=True)
        least, _, most = figures["drain"]
        cells = "".join(f"{value:{width},.{3 if width == WIDTHS[3] else 0}f}" for value, width in medians)
        print(f"{name:10}{cells}   (drain {least:,.0f} to {most:,.0f})")


def main() -> None:
    """Parse, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--queues", default=",".join([OURS, *PINNED]), help="some of them; default: %(default)s")
    parser.add_argument("--jobs", type=int, default=5_000)
    parser.add_argument("--concurrency", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument(
        "--json", action="store_true", help="print one JSON object: least, median and most of each figure"
    )
    given = parser.parse_args()
    names = given.queues.split(",")
    if unknown := sorted(set(names) - {OURS, *PINNED}):
        parser.error(f"{', '.join(unknown)} is not measured here; choose among {OURS}, {', '.join(PINNED)}.")
    found = race(names, given.jobs, given.concurrency, given.rounds)
    if given.json:
        print(
            json.dumps({"jobs": given.jobs, "concurrency": given.concurrency, "rounds": given.rounds, "queues": found})
        )
    else:
        show(found)


if __name__ == "__main__":
    main()
