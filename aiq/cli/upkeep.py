"""Verbs that concern the storage as a whole, or a queue of it: migrate, audit, pause, resume."""

import asyncio
from argparse import Namespace
from functools import partial

from aiq.backends import Migrated, migrate_storage
from aiq.bounds import MAX_PAGE
from aiq.cli.exits import Exit
from aiq.cli.output import Output
from aiq.cli.verbs import Verbs, add_verb, asking, url_of
from aiq.storage import Storage


def add_verbs(verbs: Verbs) -> None:
    """Declare migrate, audit, pause and resume."""
    add_verb(
        verbs,
        "migrate",
        _migrate,
        help="make the storage, or bring its schema up to date; safe to repeat, and while workers run",
        example="  aiq migrate --url sqlite:///jobs.db\n"
        "  aiq migrate --url postgresql://owner@db.internal/jobs    # as a user who may make tables",
    )
    add_verb(
        verbs,
        "audit",
        asking(_audit),
        help="look for anything stored that the specification forbids; only reads, but reads everything",
        example="  aiq audit && echo clean",
    )
    pause = add_verb(
        verbs,
        "pause",
        asking(_pause),
        help="give out no more jobs of a queue, or of one key of it; what runs goes on, and new jobs are accepted",
        example="  aiq pause default\n  aiq pause default --key conversation-17",
    )
    resume = add_verb(
        verbs,
        "resume",
        asking(_resume),
        help="undo pause, at once",
        example="  aiq resume default\n  aiq resume default --key conversation-17",
    )
    for parser in (pause, resume):
        parser.add_argument("queue", metavar="QUEUE", help="the queue")
        parser.add_argument("--key", metavar="KEY", help="its ordered jobs of this key alone")


def _migrate(args: Namespace, output: Output) -> Exit:
    done = asyncio.run(migrate_storage(url_of(args)))
    # It is opened in any case: most stores bring themselves up to date then, and the others are seen to be right.
    return asking(partial(_ready, done), makes=True)(args, output)


async def _ready(done: Migrated | None, storage: Storage, _: Namespace, output: Output) -> Exit:
    applied = done.applied if done else []
    ready = f"{storage.url} is ready for this version of aiq."
    output.fact({"url": storage.url, "applied": applied}, f"{ready} {_what(done)}")
    return Exit.DONE


def _what(done: Migrated | None) -> str:
    if done is None:
        return "It needs no migration: whoever opens it makes what is missing."
    if not done.applied:
        return f"Nothing to do: it has schema {done.schema}."
    return f"Applied migration {', '.join(map(str, done.applied))}."


async def _audit(storage: Storage, _: Namespace, output: Output) -> Exit:
    found = await storage.audit()
    for violation in found:
        output.fact(
            {"clause": violation.clause, "job_id": violation.job_id, "text": violation.text},
            f"{violation.clause}  {violation.job_id}  {violation.text}",
        )
    if len(found) == MAX_PAGE:
        output.note("There may be more.")
    if not found:
        output.note("Nothing that the specification forbids.")
    return Exit.NO if found else Exit.DONE


async def _pause(storage: Storage, args: Namespace, output: Output) -> Exit:
    if args.key is None:
        await storage.pause(args.queue)
    else:
        await storage.pause_key(args.queue, args.key)
    return _told(args, output, paused=True)


async def _resume(storage: Storage, args: Namespace, output: Output) -> Exit:
    if args.key is None:
        await storage.resume(args.queue)
    else:
        await storage.resume_key(args.queue, args.key)
    return _told(args, output, paused=False)


def _told(args: Namespace, output: Output, *, paused: bool) -> Exit:
    what = f"Queue {args.queue}" if args.key is None else f"Key {args.key} of queue {args.queue}"
    key = {} if args.key is None else {"key": args.key}
    output.fact({"queue": args.queue, **key, "paused": paused}, f"{what} is {'paused' if paused else 'open'}.")
    return Exit.DONE
