"""The verb about who works: workers."""

from argparse import Namespace
from datetime import UTC, datetime

from aiq.admin import Admin
from aiq.cli.exits import Exit
from aiq.cli.facts import span
from aiq.cli.output import Fact, Output
from aiq.cli.verbs import Verbs, add_verb, asking
from aiq.reports import WorkerReport
from aiq.storage import Storage

COLUMNS = ("NAME", "STATE", "SLOTS", "LENT", "LAG", "UP", "SEEN", "PID", "HOST", "VERSION", "PYTHON")


def add_verbs(verbs: Verbs) -> None:
    """Declare workers."""
    add_verb(
        verbs,
        "workers",
        asking(_workers),
        help="show the workers that have told of themselves within a day; one that stops in order is struck off",
        example="  aiq workers\n  aiq workers --json",
    )


async def _workers(storage: Storage, _: Namespace, output: Output) -> Exit:
    found = await Admin(storage).workers()
    if output.json:
        for one in found:
            output.fact(worker_fact(one))
    elif found:
        output.table(COLUMNS, [worker_row(one) for one in found])
    else:
        output.note("No worker has told of itself within a day.")
    return Exit.DONE


def worker_fact(one: WorkerReport) -> Fact:
    """A worker as programs are told of it."""
    return {
        "name": one.name,
        "state": one.state.value,
        "host": one.host,
        "pid": one.pid,
        "version": one.version,
        "python": one.python,
        "slots": {queue: {"used": used, "total": total} for queue, (used, total) in one.slots.items()},
        "lent": one.lent,
        "lag_ms": round(one.lag * 1000),
        "started_at": one.started_at.isoformat(),
        "silent_ms": round(one.silent * 1000),
    }


def worker_row(one: WorkerReport) -> list[str]:
    """A worker as a row of a table: the columns of COLUMNS."""
    slots = ", ".join(f"{queue} {used}/{total}" for queue, (used, total) in one.slots.items())
    up = span(round((datetime.now(UTC) - one.started_at).total_seconds() * 1000))
    return [
        *(one.name, one.state.value, slots, str(one.lent), span(round(one.lag * 1000)), up),
        *(f"{span(round(one.silent * 1000))} ago", str(one.pid), one.host, one.version, one.python),
    ]
