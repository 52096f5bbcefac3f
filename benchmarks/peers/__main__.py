"""Ours beside the best other queues of a store, in turns of one run.

    python -m benchmarks.peers --store postgres
    python -m benchmarks.peers --store sqlite --rounds 5 --json
    python -m benchmarks.peers --store redis --queues aiq,taskiq,bullmq,arq,saq,streaq

Each queue has an environment of its own, made once in build/peers with the releases that `queues.py` pins, and each lap
an empty server of its own with the defaults of the store (Redis without persistence), unless --url names one. No-op
jobs that answer with a number, which is stored as far as the queue stores results. Compare only within one run.
"""

import argparse
from pathlib import Path

from benchmarks.peers.bars import svg
from benchmarks.peers.places import place
from benchmarks.peers.queues import OURS, QUEUES, queues_of
from benchmarks.peers.race import Course, race
from benchmarks.private import STORES, store_of
from benchmarks.report import about, report
from benchmarks.spread import Spread, table


def main() -> None:
    """Parse, measure, print."""
    given = parsed()
    store = given.store
    concurrencies = tuple(int(number) for number in given.concurrency.split(","))
    course = Course(store, given.url, given.jobs, concurrencies, given.rounds)
    queues = queues_of(store, given.queues and given.queues.split(","))
    with place(store, given.url) as here:
        told = about(here.url, jobs=course.jobs, rounds=course.rounds)
    found, missing = race(queues, course)
    told |= {queue.name: " ".join(queue.packages) for queue in queues if queue.packages}
    report(told, {"queues": found, "missing": missing}, show(found, missing), as_json=given.json)
    if given.plot:
        figures = [name for name in figures_of(found) if counted(name)]
        given.plot.write_text(svg(f"{told['store']}, {told['processor']}", found, figures), encoding="utf-8")


def parsed() -> argparse.Namespace:
    """What was asked for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--store", choices=STORES, default="redis", help="default: %(default)s")
    parser.add_argument("--url", help="on this server; on Postgres its user must be allowed to make databases")
    parser.add_argument(
        "--queues", help=f"instead of the best: some of {', '.join(sorted({queue.name for queue in QUEUES}))}"
    )
    parser.add_argument("--jobs", type=int, default=10_000, help="in a lap; default: %(default)s")
    parser.add_argument("--concurrency", default="100,10", help="jobs at once, a lap for each; default: %(default)s")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--plot", type=Path, metavar="FILE", help="draw what is done in a second, as an SVG")
    given = parser.parse_args()
    given.store = store_of(given.url) if given.url else given.store
    known = [queue.name for queue in QUEUES if queue.store == given.store]
    if unknown := set((given.queues or OURS).split(",")) - set(known):
        parser.error(f"{', '.join(sorted(unknown))} is not measured on {given.store}; choose among {', '.join(known)}.")
    return given


def show(found: dict[str, dict[str, Spread | None]], missing: dict[str, str]) -> list[str]:
    """A table with a line for each figure, and ours as a multiple of the best of the others."""
    names = list(found)
    rows = [
        [figure, *[str(found[name][figure] or "–") for name in names], times(found, figure)]
        for figure in figures_of(found)
    ]
    return [table(["", *names, "× best"], rows), *[f"{name} was not measured. {why}" for name, why in missing.items()]]


def figures_of(found: dict[str, dict[str, Spread | None]]) -> list[str]:
    """The figures that any of them has."""
    return [figure for figure in next(iter(found.values())) if any(each[figure] for each in found.values())]


def times(found: dict[str, dict[str, Spread | None]], figure: str) -> str:
    """How many times the best of the others ours does of what is counted in a second."""
    others = [value.median for name, each in found.items() if name != OURS and (value := each[figure]) is not None]
    ours = found[OURS][figure] if OURS in found else None
    if ours is None or not others or not counted(figure):
        return ""
    return f"{ours.median / max(others):.2f}"


def counted(figure: str) -> bool:
    """Whether a figure is jobs a second."""
    return figure in ("one_by_one", "concurrent", "bulk") or figure.startswith("drain c=")


if __name__ == "__main__":
    main()
