"""The verb that looks whether all is well, and says what to do: doctor."""

from argparse import Namespace
from typing import Final

from aiq.checkup import checkup
from aiq.cli.exits import Exit
from aiq.cli.loading import DEFAULT_QUEUE, load_code
from aiq.cli.output import Output
from aiq.cli.verbs import Verbs, add_verb, asking
from aiq.model import Level
from aiq.storage import Storage

_MARKS: Final = {Level.OK: "ok  ", Level.WARN: "WARN", Level.FAIL: "FAIL"}


def add_verbs(verbs: Verbs) -> None:
    """Declare doctor."""
    parser = add_verb(
        verbs,
        "doctor",
        asking(_doctor),
        help="look whether all is well with a storage, its workers and queues, and say what to do; only reads",
        example="  aiq doctor sqlite:///jobs.db\n"
        "  aiq doctor --tasks myapp.jobs:worker            # also what code names otherwise\n"
        "  aiq doctor --no-audit --json",
    )
    parser.add_argument("storage", metavar="URL", nargs="?", help="the storage; otherwise as for all verbs")
    parser.add_argument(
        "--tasks",
        metavar="MODULE:NAME",
        help="a worker, or a list of tasks, limits, budgets, prices and schedules, to compare with what is stored",
    )
    parser.add_argument("--no-audit", action="store_true", help="leave out the audit, which reads everything")


async def _doctor(storage: Storage, args: Namespace, output: Output) -> Exit:
    code, queue = load_code(args.tasks) if args.tasks else ((), DEFAULT_QUEUE)
    found = await checkup(storage, code, queue=queue, audit=not args.no_audit)
    for one in found:
        lines = [f"{_MARKS[one.level]}  {one.name}: {one.text}"]
        lines += [f"      {one.advice}"] if one.advice else []
        output.fact({"name": one.name, "level": one.level.value, "text": one.text, "advice": one.advice}, *lines)
    return Exit.NO if any(one.level is Level.FAIL for one in found) else Exit.DONE
