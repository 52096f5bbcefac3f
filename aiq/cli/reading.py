"""Verbs that look at jobs: ls, show, count."""

from argparse import Namespace
from collections import Counter, defaultdict
from collections.abc import AsyncIterator
from typing import Final

from aiq.cli.exits import Exit
from aiq.cli.facts import (
    JOB_COLUMNS,
    error_lines,
    job_fact,
    job_lines,
    job_row,
    plain,
    whole_fact,
    why_fact,
    why_line,
)
from aiq.cli.filters import add_filters, add_states, filter_of, now_ms, positive
from aiq.cli.happening import show_events
from aiq.cli.output import Output
from aiq.cli.verbs import Verbs, add_verb, asking
from aiq.errors import NotFound
from aiq.model import Counts, JobFilter, JobRecord, State, Step
from aiq.storage import Storage

DEFAULT_LIMIT: Final = 50


def add_verbs(verbs: Verbs) -> None:
    """Declare ls, show and count."""
    _add_ls(verbs)
    _add_show(verbs)
    _add_count(verbs)


def _add_ls(verbs: Verbs) -> None:
    parser = add_verb(
        verbs,
        "ls",
        asking(_ls),
        help="list jobs in the order they were enqueued, oldest first",
        example="  aiq ls --queue default --state dead --state waiting\n"
        "  aiq ls --parent ID                    # the children of a job\n"
        "  aiq ls --json --limit 1000 | jq -r .id",
    )
    add_filters(parser)
    add_states(parser, *State)
    parser.add_argument("--parent", metavar="ID", help="only children of this job")
    parser.add_argument("--limit", type=positive, default=DEFAULT_LIMIT, help="at most so many (default: %(default)s)")


def _add_show(verbs: Verbs) -> None:
    parser = add_verb(
        verbs,
        "show",
        asking(_show),
        help="show all about one job: state, attempts, errors, what it waits for, steps, times",
        example="  aiq show 019a2b…\n"
        "  aiq show 019a2b… --why                # what it waits for, and until when\n"
        "  aiq show 019a2b… --payload --json | jq .result",
    )
    parser.add_argument("id", metavar="ID", help="the job")
    parser.add_argument("--events", action="store_true", help="only what happened to it, as far as that is kept")
    parser.add_argument("--why", action="store_true", help="only why it does not run: the one gate, with figures")
    parser.add_argument(
        "--payload",
        action="store_true",
        help="also payload, result and the values of steps, which may hold personal data",
    )


def _add_count(verbs: Verbs) -> None:
    parser = add_verb(
        verbs,
        "count",
        asking(_count),
        help="count jobs by queue and state",
        example="  aiq count\n"
        "  aiq count --queue default --json | jq .default.ready\n"
        "  aiq count --tenant acme --since 1d    # reads all these jobs, to count them",
    )
    add_filters(parser)


async def _ls(storage: Storage, args: Namespace, output: Output) -> Exit:
    query = filter_of(args, parent=args.parent)
    rows: list[list[str]] = []
    shown, more = 0, False
    async for record in _jobs(storage, query):
        if more := shown == args.limit:
            break
        shown += 1
        if output.json:
            output.fact(job_fact(record))
        else:
            rows.append(job_row(record, now_ms()))
    if not output.json:
        output.table(JOB_COLUMNS, rows)
    if more:
        output.flush()
        output.note(f"There are more than {shown}; raise --limit, or narrow by --state, --task, --tenant or --since.")
    return Exit.DONE


async def _jobs(storage: Storage, query: JobFilter) -> AsyncIterator[JobRecord]:
    cursor: str | None = None
    while True:
        page = await storage.list(query, cursor=cursor)
        for record in page.jobs:
            yield record
        cursor = page.cursor
        if cursor is None:
            return


async def _show(storage: Storage, args: Namespace, output: Output) -> Exit:
    if args.why:
        why = await storage.explain(args.id)
        output.fact(why_fact(why), why_line(why))
        return Exit.DONE
    if args.events:
        await show_events(storage, args.id, output)
        return Exit.DONE
    (record,) = await storage.get([args.id])
    if record is None:
        raise NotFound(args.id)
    steps = await _steps(storage, record.id)
    output.fact(whole_fact(record, steps, payload=args.payload), *_told(record, steps, payload=args.payload))
    return Exit.DONE


async def _steps(storage: Storage, job_id: str) -> list[Step]:
    steps: list[Step] = []
    while page := await storage.get_steps(job_id, after=steps[-1].key if steps else ""):
        steps += page
    return steps


def _told(record: JobRecord, steps: list[Step], *, payload: bool) -> list[str]:
    """The job for people, a section for each of its parts."""
    now = now_ms()
    lines = [record.id, *(f"  {label:<9} {text}" for label, text in job_lines(record, now))]
    if record.errors:
        lines += ["errors", *(f"  {line}" for error in record.errors for line in error_lines(error, now))]
    if steps:
        lines += ["steps", *(_step_line(step, payload=payload) for step in steps)]
    if payload:
        lines += ["payload", f"  {plain(record.payload)}"]
    if payload and record.result is not None:
        lines += ["result", f"  {plain(record.result)}"]
    return lines


def _step_line(step: Step, *, payload: bool) -> str:
    line = f"  {step.key}  {step.kind}, run {step.fence}, {len(step.value):,} bytes"
    return f"{line}: {plain(step.value)}" if payload else line


async def _count(storage: Storage, args: Namespace, output: Output) -> Exit:
    query = filter_of(args)
    counts = await (storage.count(args.queue) if query == JobFilter(queue=args.queue) else _counted(storage, query))
    if output.json:
        output.fact({queue: {state.value: number for state, number in by.items()} for queue, by in counts.items()})
        return Exit.DONE
    states = [state for state in State if any(state in by for by in counts.values())]
    rows = [[queue, *(str(by.get(state, 0)) for state in states)] for queue, by in sorted(counts.items())]
    output.table(["QUEUE", *(state.upper() for state in states)], rows)
    return Exit.DONE


async def _counted(storage: Storage, query: JobFilter) -> Counts:
    counts: defaultdict[str, Counter[State]] = defaultdict(Counter)
    async for record in _jobs(storage, query):
        counts[record.queue][record.state] += 1
    return counts
