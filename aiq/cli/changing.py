"""Verbs by which a person steps in: send, cancel, hold, unhold, update."""

from argparse import ArgumentTypeError, Namespace
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from datetime import datetime
from functools import partial

import msgspec

from aiq.bounds import MAX_BATCH
from aiq.cli import arguments
from aiq.cli.exits import Exit
from aiq.cli.output import Output
from aiq.cli.verbs import Verbs, add_verb, asking
from aiq.errors import InvalidInput, Unavailable
from aiq.job import fresh_id, until_known
from aiq.model import Band, CancelAnswer, Edit, JobRecord, Sent, State
from aiq.policy import band_of, duration_ms, instant_ms
from aiq.storage import Storage, all_records


def add_verbs(verbs: Verbs) -> None:
    """Declare send, cancel, hold, unhold and update."""
    _add_send(verbs)
    _add_cancel(verbs)
    _add_holding(verbs)
    _add_update(verbs)


def _add_send(verbs: Verbs) -> None:
    parser = add_verb(
        verbs,
        "send",
        asking(_send),
        help="send a signal to a job; if nothing waits for it yet, it is kept",
        example="  aiq send 019a2b… approval true\n"
        '  aiq send 019a2b… correction \'{"page": 3, "text": "…"}\'\n'
        "  aiq send 019a2b… approval true --id ticket-4711     # twice is once",
    )
    parser.add_argument("id", metavar="ID", help="the job")
    parser.add_argument("signal", metavar="SIGNAL", help="the name that the job waits for")
    parser.add_argument("payload", metavar="JSON", type=_json, help="the value; a text needs its quotes: '\"yes\"'")
    parser.add_argument(
        "--id", dest="signal_id", metavar="SIGNAL_ID", help="what this message is known by: sent again, it counts once"
    )


def _add_cancel(verbs: Verbs) -> None:
    parser = add_verb(
        verbs,
        "cancel",
        asking(_cancel),
        help="cancel jobs and their children; one that runs is asked to stop",
        example="  aiq cancel 019a2b… 019a2c…\n"
        "  aiq cancel --force 019a2b…            # do not wait for its handler\n"
        "  aiq ls --flow digest-7 --json --limit 1000 | jq -r .id | xargs aiq cancel",
    )
    parser.add_argument("ids", metavar="ID", nargs="+", help="the jobs")
    parser.add_argument("--force", action="store_true", help="take running jobs from their workers, now")


def _add_holding(verbs: Verbs) -> None:
    hold = add_verb(
        verbs,
        "hold",
        asking(_hold),
        help="keep ready jobs from being started, until unhold",
        example="  aiq hold 019a2b… 019a2c…",
    )
    unhold = add_verb(
        verbs,
        "unhold",
        asking(_unhold),
        help="let held jobs go, whatever they are held for; a budget without room holds its job again",
        example="  aiq unhold 019a2b…\n  aiq ls --state held --json --limit 1000 | jq -r .id | xargs aiq unhold",
    )
    for parser in (hold, unhold):
        parser.add_argument("ids", metavar="ID", nargs="+", help="the jobs")


def _add_update(verbs: Verbs) -> None:
    parser = add_verb(
        verbs,
        "update",
        asking(_update),
        help="change jobs that wait to run: their band, when they may start, or the arguments of one",
        example="  aiq update 019a2b… --band interactive\n"
        "  aiq update 019a2b… --payload '[\"another text\"]' --tasks myapp.jobs:worker\n"
        "  aiq update 019a2b… --payload @arguments.json\n"
        "  aiq update 019a2b… 019a2c… --delay 3600\n"
        "  aiq update 019a2b… --at 2027-01-01T09:00:00+01:00",
    )
    parser.add_argument("ids", metavar="ID", nargs="+", help="the jobs")
    parser.add_argument("--band", choices=[band.name.lower() for band in Band], help="the priority")
    when = parser.add_mutually_exclusive_group()
    when.add_argument(
        "--delay", metavar="SECONDS", type=float, help="start no earlier than so long from now; 0 is at once"
    )
    when.add_argument("--at", metavar="INSTANT", type=_instant, help="start no earlier than this, with its time zone")
    parser.add_argument(
        "--payload", metavar="JSON", type=arguments.payload, help=f"until the job first starts: {arguments.FORMS}"
    )
    parser.add_argument("--tasks", metavar="MODULE:NAME", help=arguments.TASKS)


def _instant(text: str) -> int:
    try:
        return instant_ms("the instant", datetime.fromisoformat(text))
    except ValueError as error:
        raise ArgumentTypeError(f"{text!r} is no instant ({error}); write 2027-01-01T09:00:00+01:00") from error


def _json(text: str) -> bytes:
    """JSON from the command line, in the one form that is stored: so that a repeat is the same message."""
    try:
        return msgspec.json.encode(msgspec.json.decode(text))
    except (msgspec.MsgspecError, UnicodeEncodeError, RecursionError) as error:
        raise ArgumentTypeError(f"{text!r} is not JSON ({error}); a text needs its quotes: '\"yes\"'") from error


async def _send(storage: Storage, args: Namespace, output: Output) -> Exit:
    signal_id = args.signal_id or fresh_id()
    try:
        sent = await until_known(lambda: storage.send(args.id, args.signal, signal_id, args.payload))
    except Unavailable as error:
        raise Unavailable(f"{error} To send it again, and once at most, add --id {signal_id}.") from error
    fact = {"job_id": args.id, "signal": args.signal, "id": signal_id, "bound": sent.bound, "existed": sent.existed}
    output.fact(fact, f"{_what_became(sent)} (id {signal_id})")
    return Exit.DONE


def _what_became(sent: Sent) -> str:
    found = "sent before, and " if sent.existed else ""
    return f"{found}taken by the job's wait" if sent.bound else f"{found}kept until the job waits for it"


async def _cancel(storage: Storage, args: Namespace, output: Output) -> Exit:
    status = Exit.DONE
    for start in range(0, len(args.ids), MAX_BATCH):
        batch: list[str] = args.ids[start : start + MAX_BATCH]
        for answer in await until_known(partial(storage.cancel, batch, force=args.force)):
            output.fact(
                {"job_id": answer.job_id, "state": answer.state, "requested": answer.requested},
                f"{answer.job_id}  {_what_was_done(answer)}",
            )
            if not _stops(answer):
                status = Exit.NO
    return status


async def _hold(storage: Storage, args: Namespace, output: Output) -> Exit:
    return await _each(storage, storage.hold, args.ids, output)


async def _unhold(storage: Storage, args: Namespace, output: Output) -> Exit:
    return await _each(storage, storage.unhold, args.ids, output)


async def _update(storage: Storage, args: Namespace, output: Output) -> Exit:
    if (args.band, args.delay, args.at, args.payload) == (None, None, None, None):
        raise InvalidInput("Nothing is to be changed. Pass --band, --delay, --at or --payload.")
    arguments.check_tasks(args.payload, args.tasks)
    content = None
    if args.payload is not None:
        content = await arguments.content(storage, args.ids, args.payload, args.tasks)
    edit = Edit(
        job_id="",
        band=None if args.band is None else band_of(args.band),
        delay_ms=None if args.delay is None else duration_ms("delay", args.delay),
        at_ms=args.at,
        content=content,
    )

    def deed(ids: Sequence[str]) -> Awaitable[list[JobRecord | None]]:
        return storage.update([replace(edit, job_id=job_id) for job_id in ids])

    return await _each(storage, deed, args.ids, output)


async def _each(
    storage: Storage,
    deed: Callable[[Sequence[str]], Awaitable[list[JobRecord | None]]],
    ids: Sequence[str],
    output: Output,
) -> Exit:
    status = Exit.DONE
    for start in range(0, len(ids), MAX_BATCH):
        batch = ids[start : start + MAX_BATCH]
        records = await all_records(storage, batch, await until_known(partial(deed, batch)))
        for job_id, record in zip(batch, records, strict=True):
            state = None if record is None else record.state
            output.fact({"job_id": job_id, "state": state}, f"{job_id}  {state or 'not found'}")
            if record is None:
                status = Exit.NO
    return status


def _stops(answer: CancelAnswer) -> bool:
    return answer.requested or answer.state is State.CANCELLED


def _what_was_done(answer: CancelAnswer) -> str:
    if answer.state is None:
        return "not found"
    if answer.state is State.CANCELLED:
        return "cancelled"
    return "asked to stop" if answer.requested else f"too late: it is {answer.state}"
