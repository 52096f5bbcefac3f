"""Verbs about what is taken from providers: limits, and what bounds a queue."""

import math
from argparse import ArgumentParser, ArgumentTypeError, Namespace
from collections.abc import Iterable, Iterator
from typing import Any, Final

from aiq.admin import Admin
from aiq.cli.exits import Exit
from aiq.cli.facts import span
from aiq.cli.loading import load_worker
from aiq.cli.output import Fact, Output
from aiq.cli.verbs import Verbs, add_actions, add_verb, asking
from aiq.errors import InvalidInput, NotFound
from aiq.model import Charge
from aiq.policy import Limit, counted
from aiq.reports import Difference, LimitReport, QueueReport
from aiq.storage import Storage

_PARTS: Final = ("requests", "tokens", "per", "burst", "ramp", "concurrency", "by", "charge", "refund", "weights")
"""What a limit is made of, besides its name: options of `aiq limits set`, and names of its fact."""
_AMOUNTS: Final = (
    *("key", "used", "requests_left", "tokens_left", "tokens_held", "debt"),
    *("pace", "frozen", "running", "waiting"),
)
"""How one stands: names of its fact."""
_ABOUT_TOKENS: Final = ("charge", "refund", "weights")
NONE: Final = "none"


def add_verbs(verbs: Verbs) -> None:
    """Declare limits and queue."""
    _add_limits(verbs)
    _add_queue(verbs)


def _add_limits(verbs: Verbs) -> None:
    parser = add_verb(
        verbs,
        "limits",
        asking(_show),
        help="show limits and what is left of them, or change them at run time",
        example="  aiq limits\n"
        "  aiq limits openai.gpt\n"
        "  aiq limits set openai.gpt --tokens 900000       # the rest stays as it is\n"
        "  aiq limits diff myapp.jobs:worker               # what an operator changed\n"
        "  aiq limits reset myapp.jobs:worker              # what code says counts again",
    )
    actions = add_actions(parser, "show")
    shown = "show the limits that are named, or all; it is meant where no action is"
    show = add_verb(actions, "show", asking(_show), help=shown, example="  aiq limits openai.gpt claude")
    show.add_argument("names", metavar="NAME", nargs="*", help="a limit")
    _add_set(actions)
    for name, question, does in (
        ("diff", _diff, "show the limits that are stored otherwise than a worker's tasks name them"),
        ("reset", _reset, "store the limits of a worker's tasks as code names them; what an operator changed is lost"),
    ):
        action = add_verb(actions, name, asking(question), help=does, example=f"  aiq limits {name} myapp.jobs:worker")
        action.add_argument("worker", metavar="MODULE:WORKER", help="as for `aiq worker`")


def _add_set(actions: Verbs) -> None:
    parser = add_verb(
        actions,
        "set",
        asking(_set),
        help="make a limit, or change the parts of it that are named; it counts from the next claim on",
        example="  aiq limits set openai.gpt --requests 500 --tokens 200000 --per 60\n"
        "  aiq limits set gpu --concurrency 4\n"
        "  aiq limits set bedrock --weight output=5 --charge reserve",
    )
    parser.add_argument("name", metavar="NAME", help="the limit")
    whole = f"a whole number, or {NONE}"
    parser.add_argument("--requests", type=number_or_none, metavar="N", help=f"in each period: {whole}")
    parser.add_argument("--tokens", type=number_or_none, metavar="N", help=f"in each period: {whole}")
    parser.add_argument("--per", type=_seconds, metavar="SECONDS", help="the period (60 for a new limit)")
    parser.add_argument("--burst", type=_seconds, metavar="SECONDS", help="time whose worth may be taken at once (30)")
    parser.add_argument("--ramp", type=_seconds, metavar="SECONDS", help="how long a new limit takes to reach its rate")
    parser.add_argument("--concurrency", type=number_or_none, metavar="N", help=f"how many at once: {whole}")
    parser.add_argument("--by", choices=("tenant", "key"), help="amounts of their own for each; fixed once stored")
    parser.add_argument("--charge", choices=list(Charge), help="what the provider takes when a call arrives")
    parser.add_argument("--refund", type=_yes_or_no, metavar="yes|no", help="whether unused tokens come back")
    parser.add_argument(
        "--weight", action="append", dest="weights", type=_weight, metavar="CATEGORY=WEIGHT",
        help="what a token of a category counts; give it again for more",
    )  # fmt: skip


def _add_queue(verbs: Verbs) -> None:
    parser = add_verb(
        verbs,
        "queue",
        asking(_queue),
        help="show what bounds a queue, or change it",
        example="  aiq queue bulk\n"
        "  aiq queue bulk --max-ready 10000 --concurrency 8 --rate 50\n"
        f"  aiq queue bulk --rate {NONE}\n"
        "  aiq queue news --lifo yes                       # the newest first",
    )
    _add_queue_options(parser)


def _add_queue_options(parser: ArgumentParser) -> None:
    parser.add_argument("queue", metavar="QUEUE", help="the queue")
    none = f"or {NONE}; what is not named stays as it is"
    parser.add_argument("--max-ready", type=number_or_none, metavar="N", help=f"jobs that have not started, {none}")
    parser.add_argument("--concurrency", type=number_or_none, metavar="N", help=f"jobs that run at once, {none}")
    parser.add_argument("--rate", type=_rate_or_none, metavar="N", help=f"jobs that start in a second, {none}")
    parser.add_argument(
        "--lifo", choices=("yes", "no"), help="the newest first, of the jobs that become ready from now on"
    )


def number_or_none(text: str) -> int | str:
    """A whole number, or the word for no bound, for argparse: None itself means that nothing was said."""
    if text != NONE and not text.isdecimal():
        raise ArgumentTypeError(f"{text!r} is no whole number; to take the bound away, say {NONE}")
    return text if text == NONE else int(text)


def _rate_or_none(text: str) -> float | str:
    try:
        return text if text == NONE else float(text)
    except ValueError:
        raise ArgumentTypeError(f"{text!r} is no number; to take the bound away, say {NONE}") from None


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not math.isfinite(seconds):
        raise ArgumentTypeError(f"{text!r} is no number of seconds; say 60 or 0.5")
    return seconds


def _yes_or_no(text: str) -> bool:
    if text not in ("yes", "no"):
        raise ArgumentTypeError(f"{text!r} is neither yes nor no")
    return text == "yes"


def _weight(text: str) -> tuple[str, float]:
    category, _, weight = text.partition("=")
    try:
        return category, float(weight)
    except ValueError:
        raise ArgumentTypeError(f"{text!r} is no weight; say output=5") from None


async def _show(storage: Storage, args: Namespace, output: Output) -> Exit:
    found = await Admin(storage).limits(*args.names)
    if output.json:
        for report in found:
            output.fact(_limit_fact(report))
    elif found:
        output.table(_COLUMNS, [_row(report) for report in found])
    elif not args.names:
        output.note("No limit is stored. Those that tasks name are stored when the first worker starts.")
    return not_there("limit", set(args.names) - {report.limit.name for report in found}, output)


def not_there(kind: str, names: Iterable[str], output: Output) -> Exit:
    """Say of each what was asked for and is not stored."""
    missing = [f"No {kind} {name} is stored." for name in sorted(names)]
    for text in missing:
        output.error({"error": NotFound.__name__, "message": text}, text)
    return Exit.NO if missing else Exit.DONE


async def _set(storage: Storage, args: Namespace, output: Output) -> Exit:
    said = {name: getattr(args, name) for name in _PARTS if getattr(args, name) is not None}
    if not said:
        raise InvalidInput(f"Say what to change: aiq limits set {args.name} --tokens 900000.")
    admin = Admin(storage)
    standing = await admin.limits(args.name)
    stands = await admin.put_limit(_changed(args.name, standing[0].limit if standing else None, said))
    (report, *_) = await admin.limits(stands.name)
    output.fact(_limit_fact(report), f"{stands.name}: {_told(stands)}")
    return Exit.DONE


# Any: each option has a type of its own, which its own check in argparse gave it.
def _changed(name: str, standing: Limit | None, said: dict[str, Any]) -> Limit:
    parts = {} if standing is None else {part: getattr(standing, part) for part in _PARTS}
    if "charge" in said and "refund" not in said:
        # Whether tokens come back follows from the charge, unless somebody says otherwise.
        parts.pop("refund", None)
    if "weights" in said:
        said["weights"] = {**parts.get("weights", {}), **dict(said["weights"])}
    parts |= {part: None if value == NONE else value for part, value in said.items()}
    _check_bounds(name, parts)
    if parts.get("tokens") is None:
        about_tokens = [part for part in _ABOUT_TOKENS if part in said]
        if about_tokens:
            raise InvalidInput(f"--charge, --refund and --weight are about tokens: say --tokens too, for limit {name}.")
        parts = {part: value for part, value in parts.items() if part not in _ABOUT_TOKENS}
    return Limit(name, **parts)


# Any: as above.
def _check_bounds(name: str, parts: dict[str, Any]) -> None:
    if all(parts.get(part) is None for part in ("requests", "tokens", "concurrency")):
        raise InvalidInput(f"Limit {name} would bound nothing; say --requests, --tokens or --concurrency.")


async def _diff(storage: Storage, args: Namespace, output: Output) -> Exit:
    found = await Admin(storage).differences(load_worker(args.worker).tasks)
    for difference in found:
        output.fact(_difference_fact(difference), str(difference))
    if not found:
        output.note("The limits stand as code names them.")
    return Exit.NO if found else Exit.DONE


def _limits(found: Iterable[Difference]) -> Iterator[Limit]:
    return (one.code for one in found if isinstance(one.code, Limit))


async def _reset(storage: Storage, args: Namespace, output: Output) -> Exit:
    tasks = load_worker(args.worker).tasks
    admin = Admin(storage)
    changed = {one.name for one in _limits(await admin.differences(tasks))}
    for limit in await admin.reset_limits(tasks):
        word = "reset" if limit.name in changed else "unchanged"
        output.fact({**_parts(limit), "changed": limit.name in changed}, f"{limit.name}: {word}, {_told(limit)}")
    return Exit.DONE


async def _queue(storage: Storage, args: Namespace, output: Output) -> Exit:
    admin = Admin(storage)
    report = await admin.queue(args.queue)
    said = {name: getattr(args, name) for name in ("max_ready", "concurrency", "rate")}
    if args.lifo is not None or any(value is not None for value in said.values()):
        # Any: as above.
        bounds: dict[str, Any] = {
            name: getattr(report, name) if value is None else None if value == NONE else value
            for name, value in said.items()
        }
        lifo = report.lifo if args.lifo is None else args.lifo == "yes"
        report = await admin.configure(args.queue, lifo=lifo, **bounds)
    output.fact(_queue_fact(report), *_queue_lines(report))
    return Exit.DONE


_COLUMNS: Final = ("LIMIT", "BOUNDS", "REQUESTS LEFT", "TOKENS LEFT", "HELD", "RUNNING", "WAITING", "PACE", "FROZEN")


def _row(report: LimitReport) -> list[str]:
    name = f"{report.limit.name} ({report.key})" if report.key else report.limit.name
    left = [_left(report.requests_left, report), _left(report.tokens_left, report), f"{report.tokens_held:,}"]
    frozen = f"{report.frozen:g}s" if report.frozen else ""
    return [name, _told(report.limit), *left, str(report.running), str(report.waiting), f"{report.pace:.0%}", frozen]


def _left(level: int | None, report: LimitReport) -> str:
    if level is None:
        return ""
    return f"{level:,}" if level >= 0 else f"owes {-level:,}, paid in {span(round(report.debt * 1000))}"


def _told(limit: Limit) -> str:
    """What a limit bounds, in a few words."""
    rates = [counted(count, what) for count, what in ((limit.requests, "request"), (limit.tokens, "token")) if count]
    told = [f"{' and '.join(rates)} per {limit.per:g}s"] if rates else []
    told += [f"{limit.concurrency:,} at once"] if limit.concurrency else []
    return ", ".join(told) + (f", by {limit.by}" if limit.by else "")


def _parts(limit: Limit) -> dict[str, object]:
    return {"name": limit.name, **{part: getattr(limit, part) for part in _PARTS}, "weights": dict(limit.weights)}


def _limit_fact(report: LimitReport) -> Fact:
    return {**_parts(report.limit), **{name: getattr(report, name) for name in _AMOUNTS}}


def _difference_fact(difference: Difference) -> Fact:
    code, stored = difference.code, difference.stored
    # Tasks name limits, and nothing else that could differ.
    assert isinstance(code, Limit)
    return {"name": code.name, "code": _parts(code), "stored": _parts(stored) if isinstance(stored, Limit) else None}


def _queue_fact(report: QueueReport) -> Fact:
    names = ("name", "paused", "max_ready", "concurrency", "rate", "ready", "lifo")
    return {name: getattr(report, name) for name in names}


def _queue_lines(report: QueueReport) -> list[str]:
    bounds = (("max ready", report.max_ready), ("concurrency", report.concurrency), ("rate a second", report.rate))
    lines = [f"{report.name}{' (paused)' if report.paused else ''}"]
    lines += [f"  {label:<14} {'no bound' if bound is None else format(bound, ',')}" for label, bound in bounds]
    lines += [f"  {'order':<14} newest first"] if report.lifo else []
    return [*lines, f"  {'ready':<14} {report.ready:,}"] if report.ready is not None else lines
