"""Verbs about what has ended: dead, redrive, replay, purge."""

from argparse import ArgumentParser, BooleanOptionalAction, Namespace
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Final, TypeAlias

from aiq.bounds import MAX_PAGE
from aiq.cli import arguments
from aiq.cli.exits import Exit
from aiq.cli.facts import ago
from aiq.cli.filters import add_filters, add_states, filter_of, now_ms, positive
from aiq.cli.output import Output
from aiq.cli.verbs import Verbs, add_verb, asking
from aiq.errors import InvalidInput, NotFound
from aiq.job import fresh_id
from aiq.model import TERMINAL, DeadQuery, GroupStatus, JobFilter, Redrive, State
from aiq.outcomes import Outcomes
from aiq.policy import band_of, counted, dollars, duration_ms, money
from aiq.revival import REVIVED, SUCCEEDED, Walk, how_many, purge, redrive, replay
from aiq.storage import Storage

Deed: TypeAlias = Callable[..., Awaitable[Outcomes]]
"""What is done to the jobs that are meant; it hears, as `told`, who is to be told of each batch."""

DEFAULT_LIMIT: Final = 20
SHOWN: Final = 20
"""Refusals that a person is shown one by one."""
COLUMNS: Final = ("GROUP", "DEAD", "DIED", "LAST", "OLDEST", "TASK", "TOKENS", "USD", "RECOVERED", "ERROR")
AGES: Final = ("1h", "6h", "1d", "7d", "30d", "older")


def add_verbs(verbs: Verbs) -> None:
    """Declare dead, redrive, replay and purge."""
    _add_dead(verbs)
    _add_redrive(verbs)
    _add_replay(verbs)
    _add_purge(verbs)


def _add_dead(verbs: Verbs) -> None:
    parser = add_verb(
        verbs,
        "dead",
        asking(_dead),
        help="show what jobs died of, in groups, the newest death first",
        example="  aiq dead\n"
        "  aiq dead --by dead                    # the largest group first\n"
        "  aiq dead 3f7a…                        # one group, with ages and samples of what it worked on",
    )
    parser.add_argument("group", metavar="FINGERPRINT", nargs="?", help="only this group, in full")
    parser.add_argument("--by", choices=("last_seen", "dead"), default="last_seen", help="what comes first")
    parser.add_argument("--limit", type=positive, default=DEFAULT_LIMIT, help="at most so many (default: %(default)s)")


def _add_redrive(verbs: Verbs) -> None:
    parser = add_verb(
        verbs,
        "redrive",
        asking(_redrive),
        help="give jobs that are dead or cancelled all their attempts again",
        example="  aiq redrive 019a2b…\n"
        "  aiq redrive --group 3f7a… --spread 0.5        # two a second\n"
        "  aiq redrive --task summarize --route claude --dry-run\n"
        "  aiq redrive 019a2b… --payload '[\"a shorter text\"]' --tasks myapp.jobs:worker",
    )
    _add_which(parser, State.DEAD, State.CANCELLED)
    parser.add_argument("--to-queue", metavar="QUEUE", help="let them run in this queue")
    parser.add_argument("--band", help="in this band: interactive, high, normal or batch")
    parser.add_argument("--route", help="begin with this route")
    parser.add_argument("--budget", help="let them draw from this stored budget instead of their own")
    parser.add_argument("--payload", metavar="JSON", type=arguments.payload, help=f"for one job: {arguments.FORMS}")
    parser.add_argument("--tasks", metavar="MODULE:NAME", help=arguments.TASKS)
    parser.add_argument("--delay", type=float, default=0, help="seconds before the first may start")
    parser.add_argument("--spread", type=float, default=0, help="seconds between one and the next")
    parser.add_argument(
        "--forget-steps",
        action=BooleanOptionalAction,
        help="do everything again, also what is remembered; so it is with --payload, unless it is kept",
    )
    parser.add_argument("--detach", action="store_true", help="also children whose parent has ended, on their own")


def _add_replay(verbs: Verbs) -> None:
    parser = add_verb(
        verbs,
        "replay",
        asking(_replay),
        help="enqueue jobs that have succeeded once more, as new jobs",
        example="  aiq replay 019a2b…\n  aiq replay --task embed --limit 1000 --id new-model --spread 0.1",
    )
    _add_which(parser)
    parser.add_argument("--id", dest="replay_id", help="the same replay again makes no job twice")
    parser.add_argument("--to-queue", metavar="QUEUE", help="let the new jobs run in this queue")
    parser.add_argument("--spread", type=float, default=0, help="seconds between one and the next")


def _add_purge(verbs: Verbs) -> None:
    parser = add_verb(
        verbs,
        "purge",
        asking(_purge),
        help="remove jobs that have ended, with everything that belongs to them; it cannot be undone",
        example="  aiq purge 019a2b…\n  aiq purge --state dead --task old --dry-run",
    )
    _add_which(parser, State.SUCCEEDED, State.DEAD, State.CANCELLED)


def _add_which(parser: ArgumentParser, *states: State) -> None:
    """Which jobs are meant: ids, or what a filter finds."""
    parser.add_argument("ids", metavar="ID", nargs="*", help="the jobs; or say by options which")
    parser.add_argument("--group", metavar="FINGERPRINT", help="the dead of this group")
    add_filters(parser)
    if states:
        add_states(parser, *states)
    parser.add_argument("--all", action="store_true", help="all of them")
    parser.add_argument("--limit", type=positive, help="at most so many")
    parser.add_argument("--after", metavar="CURSOR", help="go on where another one ended, as that has told")
    parser.add_argument("--dry-run", action="store_true", help="only say how many there are")


def _walk(args: Namespace) -> Walk:
    query = filter_of(args, group=args.group)
    narrowed = query != JobFilter()
    if args.ids and (narrowed or args.all):
        raise InvalidInput("Name jobs by their ids, or by options; not both.")
    if not args.ids and not narrowed and not args.all:
        raise InvalidInput("Say which jobs: their ids, --group, --queue, --task, --flow, --tenant, --since, or --all.")
    return Walk(args.ids or query, args.limit, args.after)


async def _dead(storage: Storage, args: Namespace, output: Output) -> Exit:
    if args.group is not None:
        found = (await storage.dead_groups(DeadQuery(fingerprint=args.group))).groups
        if not found:
            raise NotFound(args.group, f"No group of dead jobs has the fingerprint {args.group!r}. See `aiq dead`.")
        output.fact(_fact(found[0]) | {"samples": [_sample_fact(found[0], n) for n in range(len(found[0].samples))]},
                    *_lines(found[0]))  # fmt: skip
        return Exit.DONE
    page = await storage.dead_groups(DeadQuery(by=args.by), limit=min(args.limit, MAX_PAGE))
    for status in page if output.json else ():
        output.fact(_fact(status))
    if not output.json:
        output.table(COLUMNS, [_row(status) for status in page])
    if page.cursor is not None:
        output.flush()
        output.note("There are more groups; raise --limit.")
    return Exit.DONE


async def _redrive(storage: Storage, args: Namespace, output: Output) -> Exit:
    walk, payload = _walk(args), await _payload(storage, args)
    request = Redrive(
        id=fresh_id(),
        targets=(),
        queue=args.to_queue,
        band=None if args.band is None else band_of(args.band),
        route=args.route,
        budget=args.budget,
        payload=payload,
        delay_ms=duration_ms("--delay", args.delay),
        spread_ms=duration_ms("--spread", args.spread),
        forget_steps=args.payload is not None if args.forget_steps is None else args.forget_steps,
        detach=args.detach,
    )
    return await _do(storage, args, output, "redriven", REVIVED, partial(redrive, storage, walk, request))


async def _payload(storage: Storage, args: Namespace) -> bytes | None:
    """The arguments that a job is to run with instead of its own; None if it keeps those, or is not stored."""
    arguments.check_tasks(args.payload, args.tasks)
    if args.payload is None:
        return None
    content = await arguments.content(storage, args.ids, args.payload, args.tasks)
    return None if content is None else content.payload


async def _replay(storage: Storage, args: Namespace, output: Output) -> Exit:
    if args.after is not None and args.replay_id is None:
        raise InvalidInput("A replay goes on under its own id: pass the --id with which it began.")
    args.replay_id = args.replay_id or fresh_id()
    spread_ms = duration_ms("--spread", args.spread)
    deed = partial(replay, storage, _walk(args), args.replay_id, queue=args.to_queue, spread_ms=spread_ms)
    return await _do(storage, args, output, "replayed", SUCCEEDED, deed)


async def _purge(storage: Storage, args: Namespace, output: Output) -> Exit:
    return await _do(storage, args, output, "purged", TERMINAL, partial(purge, storage, _walk(args)))


async def _do(
    storage: Storage, args: Namespace, output: Output, word: str, states: frozenset[State], deed: Deed
) -> Exit:
    """Do it, and tell of each job or how far it has come, and in the end the account; or only count."""
    if args.dry_run:
        count = await how_many(storage, _walk(args), states)
        output.fact({"jobs": count}, f"{counted(count, 'job')} would be {word}.")
        return Exit.DONE
    teller = _Teller(output, word, named=bool(args.ids))
    outcomes = await deed(told=teller.hear)
    output.end_progress()
    if not args.ids:
        output.fact(_account(outcomes, word), *_account_lines(outcomes, word))
    output.flush()
    if outcomes.stopped is not None:
        output.note(f"Stopped early: {outcomes.stopped}")
    if outcomes.stopped is not None or outcomes.after is not None:
        output.note(f"There may be more. {_how_to_go_on(args, outcomes)}")
    return Exit.NO if outcomes.reasons or outcomes.stopped is not None else Exit.DONE


def _how_to_go_on(args: Namespace, outcomes: Outcomes) -> str:
    replay_id = getattr(args, "replay_id", None)
    words = [] if outcomes.after is None else [f"--after {outcomes.after}"]
    words += [] if replay_id is None else [f"--id {replay_id}"]
    return f"Go on with the same command and {' '.join(words)}" if words else "Go on with the same command."


class _Teller:
    """Tells what became of the jobs of each batch: to programs all of them, to people those that they have named, and
    of the others a few that were refused."""

    def __init__(self, output: Output, word: str, *, named: bool) -> None:
        self._output, self._word, self._named = output, word, named
        self._count = self._refused = 0

    def hear(self, batch: Outcomes) -> None:
        """Tell of a batch."""
        for job_id in batch.done:
            line = [f"{job_id}  {self._word}"] if self._named else []
            self._output.fact({"job_id": job_id, "done": self._word}, *line)
        for refused in batch.refused:
            self._refused += 1
            fact = {"job_id": refused.job_id, "refused": refused.reason, "text": refused.text}
            shown = self._named or self._refused <= SHOWN
            self._output.fact(fact, *([f"{refused.job_id}  refused: {refused.text}"] if shown else []))
        self._count += batch.done_count + batch.refused_count
        self._output.progress(f"{self._count:,} jobs")


def _account(outcomes: Outcomes, word: str) -> dict[str, object]:
    reasons = {"refused": outcomes.refused_count, "reasons": dict(outcomes.reasons)}
    return {word: outcomes.done_count, **reasons, "stopped": outcomes.stopped, "after": outcomes.after}


def _account_lines(outcomes: Outcomes, word: str) -> list[str]:
    line = f"{counted(outcomes.done_count, 'job')} {word}, {outcomes.refused_count:,} refused"
    if not outcomes.reasons:
        return [f"{line}."]
    reasons = sorted(outcomes.reasons.items(), key=lambda item: -item[1])
    left_out = [f"({outcomes.refused_count - SHOWN:,} more are told with --json)"]
    told = f"{line}: {', '.join(f'{count:,} {reason}' for reason, count in reasons)}."
    return [*(left_out if outcomes.refused_count > SHOWN else []), told]


def _fact(status: GroupStatus) -> dict[str, object]:
    group = status.group
    return {
        "fingerprint": group.fingerprint,
        "task": group.task,
        "cause": group.cause.value,
        "type": group.type,
        "code": group.code,
        "place": group.place,
        "pattern": group.pattern,
        "first_seen_ms": group.first_seen_ms,
        "last_seen_ms": group.last_seen_ms,
        "oldest_ms": status.oldest_ms,
        "dead": group.dead,
        "died": group.died,
        "attempts": group.attempts,
        "tokens": group.tokens,
        "usd_micros": group.usd_micros,
        "redriven": group.redriven,
        "recovered": group.recovered,
        "relapsed": group.relapsed,
        "ages": dict(zip(AGES, status.ages, strict=True)),
    }


def _sample_fact(status: GroupStatus, place: int) -> dict[str, object]:
    sample = status.samples[place]
    return {"job_id": sample.job_id, "died_at_ms": sample.died_at_ms, "text": sample.text}


def _row(status: GroupStatus) -> list[str]:
    group, now = status.group, now_ms()
    error = f"{group.cause}: {group.type}" + (f" {group.code}" if group.code else "")
    oldest = "" if status.oldest_ms is None else ago(status.oldest_ms, now)
    dead = [group.fingerprint, f"{group.dead:,}", f"{group.died:,}", ago(group.last_seen_ms, now), oldest, group.task]
    return [*dead, f"{group.tokens:,}", money(dollars(group.usd_micros)), _rate(status), f"{error}: {group.pattern}"]


def _redriven(status: GroupStatus) -> str:
    group = status.group
    if not group.redriven:
        return ""
    rate = f" ({_rate(status)})" if group.success_rate is not None else ""
    return f"{group.redriven:,}, of which {group.recovered:,} recovered and {group.relapsed:,} died again{rate}"


def _rate(status: GroupStatus) -> str:
    rate = status.group.success_rate
    return "" if rate is None else f"{rate:.0%}"


def _lines(status: GroupStatus) -> list[str]:
    group, now = status.group, now_ms()
    ages = ", ".join(f"{name} {count:,}" for name, count in zip(AGES, status.ages, strict=True) if count)
    told = {
        "error": f"{group.cause}: {group.type}" + (f" (code {group.code})" if group.code else ""),
        "message": group.pattern,
        "place": group.place,
        "task": group.task,
        "dead": f"{group.dead:,} now, {counted(group.died, 'death')} in all, {counted(group.attempts, 'attempt')}",
        "wasted": f"{counted(group.tokens, 'token')}, {money(dollars(group.usd_micros))}",
        "seen": f"first {ago(group.first_seen_ms, now)} ago, last {ago(group.last_seen_ms, now)} ago",
        "oldest": "" if status.oldest_ms is None else f"died {ago(status.oldest_ms, now)} ago",
        "ages": ages,
        "redriven": _redriven(status),
    }
    lines = [group.fingerprint, *(f"  {label:<9} {text}" for label, text in told.items() if text)]
    if status.samples:
        lines += ["samples", *(f"  {one.job_id}  {ago(one.died_at_ms, now)} ago  {one.text}" for one in status.samples)]
    return lines
