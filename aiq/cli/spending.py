"""Verbs about money and tokens: budgets, prices, usage."""

from argparse import ArgumentTypeError, Namespace
from datetime import UTC, datetime, timedelta
from decimal import Decimal, InvalidOperation
from typing import Any, Final

from aiq.admin import Admin
from aiq.cli.exits import Exit
from aiq.cli.filters import positive
from aiq.cli.limits import not_there
from aiq.cli.output import Fact, Output
from aiq.cli.verbs import Verbs, add_actions, add_verb, asking
from aiq.errors import InvalidInput
from aiq.model import OnExceeded
from aiq.policy import Budget, Price, counted, money
from aiq.reports import BudgetReport, Funds, UsageReport, Use
from aiq.storage import Storage

MICRO_DOLLAR: Final = Decimal("0.000001")
MOST_HOURS: Final = 400_000
"""That `aiq usage` looks back: 45 years, and not to before 1970."""


def add_verbs(verbs: Verbs) -> None:
    """Declare budgets, prices and usage."""
    _add_budgets(verbs)
    _add_prices(verbs)
    _add_usage(verbs)


def _add_budgets(verbs: Verbs) -> None:
    parser = add_verb(
        verbs,
        "budgets",
        asking(_show),
        help="show budgets and what is left of them, make one, or grant more",
        example="  aiq budgets\n"
        "  aiq budgets tenant:acme\n"
        "  aiq budgets set tenant:acme --usd 50 --window day\n"
        "  aiq budgets grant tenant:acme --usd 10 --id invoice-17   # twice is once",
    )
    actions = add_actions(parser, "show")
    shown = "show the budgets that are named, or all; it is meant where no action is"
    show = add_verb(actions, "show", asking(_show), help=shown, example="  aiq budgets tenant:acme flow:digest-7")
    show.add_argument("budgets", metavar="BUDGET", nargs="*", help="tenant:T, flow:ID, job:ID, or a name")
    put = add_verb(
        actions,
        "set",
        asking(_set),
        help="store a budget of a tenant (tenant:T) or of a name; what was spent stays",
        example="  aiq budgets set tenant:acme --usd 50 --window day --on-exceeded hold\n"
        "  aiq budgets set team-a --tokens 5000000 --window month",
    )
    put.add_argument("budget", metavar="BUDGET", help="tenant:T, or a name")
    put.add_argument("--usd", type=_dollars, metavar="DOLLARS", help="the most it may cost")
    put.add_argument("--tokens", type=positive, metavar="N", help="the most tokens")
    put.add_argument("--window", choices=("day", "month"), help="begin anew with each, in UTC")
    put.add_argument("--parent", metavar="BUDGET", help="the budget from which it draws as well")
    put.add_argument(
        "--on-exceeded", choices=list(OnExceeded), default=OnExceeded.HOLD, help="what becomes of a job (default: hold)"
    )
    grant = add_verb(
        actions,
        "grant",
        asking(_grant),
        help="add to a budget for its present window, and let held jobs go that it can hold now",
        example="  aiq budgets grant tenant:acme --usd 10\n  aiq budgets grant flow:digest-7 --tokens 50000",
    )
    grant.add_argument("budget", metavar="BUDGET", help="tenant:T, flow:ID, job:ID, or a name")
    grant.add_argument("--usd", type=_dollars, metavar="DOLLARS", help="so much more money")
    grant.add_argument("--tokens", type=positive, metavar="N", help="so many more tokens")
    grant.add_argument("--id", dest="grant_id", metavar="GRANT_ID", help="what this grant is known by: it counts once")


def _add_prices(verbs: Verbs) -> None:
    parser = add_verb(
        verbs,
        "prices",
        asking(_prices),
        help="show the prices of a model, or set one",
        example="  aiq prices gpt\n  aiq prices gpt --input 2.50 --output 10       # dollars for a million tokens",
    )
    parser.add_argument("model", metavar="MODEL", help="the model")
    parser.add_argument("--input", type=_dollars, metavar="DOLLARS", help="for a million tokens of input")
    parser.add_argument("--output", type=_dollars, metavar="DOLLARS", help="for a million tokens of output")
    parser.add_argument(
        "--category", action="append", type=_priced, metavar="CATEGORY=DOLLARS", default=[],
        help="of any other category, such as cache_read=0.25; give it again for more",
    )  # fmt: skip


def _add_usage(verbs: Verbs) -> None:
    parser = add_verb(
        verbs,
        "usage",
        asking(_usage),
        help="show what was used: tokens and dollars by model and category",
        example="  aiq usage --tenant acme --hours 24\n  aiq usage --flow digest-7 --json",
    )
    whose = parser.add_mutually_exclusive_group()
    whose.add_argument("--job", metavar="ID", help="of one job")
    whose.add_argument("--flow", metavar="ID", help="of one flow")
    whose.add_argument("--tenant", metavar="TENANT", help="of one tenant")
    parser.add_argument("--hours", type=_hours, metavar="N", help="of the last hours only")
    parser.add_argument("--minutes", action="store_true", help="minute by minute")


def _dollars(text: str) -> Decimal:
    try:
        usd = Decimal(text)
        if usd == usd.quantize(MICRO_DOLLAR):
            return usd
    except InvalidOperation:
        pass
    raise ArgumentTypeError(f"{text!r} is no number of dollars with at most six decimals; say 2.50")


def _hours(text: str) -> int:
    return min(positive(text), MOST_HOURS)


def _priced(text: str) -> tuple[str, Decimal]:
    category, equals, usd = text.partition("=")
    if not equals:
        raise ArgumentTypeError(f"{text!r} is no price of a category; say cache_read=0.25")
    return category, _dollars(usd)


async def _show(storage: Storage, args: Namespace, output: Output) -> Exit:
    found = await Admin(storage).budgets(*args.budgets)
    if output.json:
        for report in found:
            output.fact(_budget_fact(report))
    elif found:
        output.table(_COLUMNS, [_row(report) for report in found])
    elif not args.budgets:
        output.note("No budget is stored. Make one: aiq budgets set tenant:acme --usd 50 --window day")
    return not_there("budget", set(args.budgets) - {report.id for report in found}, output)


async def _set(storage: Storage, args: Namespace, output: Output) -> Exit:
    if args.usd is None and args.tokens is None:
        raise InvalidInput(f"Say what budget {args.budget} bounds: --usd 50, or --tokens 5000000.")
    prefix, _, tenant = args.budget.partition(":")
    # Any: what is left out is not passed, so that the Budget's own defaults count.
    whose: dict[str, Any] = {"tenant": tenant} if prefix == "tenant" and tenant else {"name": args.budget}
    budget = Budget(
        **whose,
        usd=args.usd,
        tokens=args.tokens,
        window=args.window,
        parent=args.parent,
        on_exceeded=args.on_exceeded,
    )
    return _told(await Admin(storage).put_budget(budget), output)


async def _grant(storage: Storage, args: Namespace, output: Output) -> Exit:
    if args.usd is None and args.tokens is None:
        raise InvalidInput(f"Say how much: aiq budgets grant {args.budget} --usd 10, or --tokens 50000.")
    admin = Admin(storage)
    # Asked first, for what it says of a budget that is not there.
    await admin.budget(args.budget)
    granted = await admin.grant(args.budget, usd=args.usd, tokens=args.tokens, id=args.grant_id)
    return _told(granted, output)


def _told(report: BudgetReport, output: Output) -> Exit:
    output.fact(_budget_fact(report), f"{report.id}: {_funds(report.left)} left, {_funds(report.spent)} spent")
    return Exit.DONE


async def _prices(storage: Storage, args: Namespace, output: Output) -> Exit:
    admin = Admin(storage)
    named = {"input": args.input, "output": args.output, **dict(args.category)}
    given = [Price(args.model, category, usd) for category, usd in named.items() if usd is not None]
    if given:
        await admin.put_prices(given)
    found = await admin.prices(args.model)
    for price in found:
        from_ = None if price.from_ is None else price.from_.isoformat()
        fact = {"model": price.model, "category": price.category, "usd_per_million": str(price.usd_per_million)}
        begun = f" from {from_}" if from_ else ""
        told = f"{price.category:<14} {money(price.usd_per_million)} for a million{begun}"
        output.fact({**fact, "from": from_}, told)
    if not found:
        output.note(f"No price of {args.model} is stored: aiq prices {args.model} --input 2.50 --output 10")
    return Exit.DONE if found else Exit.NO


async def _usage(storage: Storage, args: Namespace, output: Output) -> Exit:
    since = None if args.hours is None else datetime.now(UTC) - timedelta(hours=args.hours)
    report = await Admin(storage).usage(job=args.job, flow=args.flow, tenant=args.tenant, since=since)
    rows = _minutes(report) if args.minutes else _models(report)
    if output.json:
        for names, use in rows:
            output.fact({**names, **_use_fact(use)})
        return Exit.DONE
    if not rows:
        output.note("Nothing was used.")
        return Exit.DONE
    heads = [name.upper() for name in rows[0][0]]
    table = [[*(str(value) for value in names.values()), *_use_cells(use)] for names, use in rows]
    total = [*("TOTAL" if place == 0 else "" for place in range(len(heads))), *_use_cells(report.total)]
    output.table([*heads, "TOKENS", "USD", "UNPRICED", "ESTIMATED"], [*table, total])
    return Exit.DONE


def _models(report: UsageReport) -> list[tuple[dict[str, object], Use]]:
    groups: dict[tuple[str, str], list[Use]] = {}
    for row in report.rows:
        groups.setdefault((row.model, row.category), []).append(row)
    return [({"model": model, "category": category}, Use.sum(uses)) for (model, category), uses in groups.items()]


def _minutes(report: UsageReport) -> list[tuple[dict[str, object], Use]]:
    return [
        ({"minute": row.minute.isoformat(), "model": row.model, "category": row.category}, row) for row in report.rows
    ]


def _use_fact(use: Use) -> dict[str, object]:
    return {"tokens": use.tokens, "usd": str(use.usd), "unpriced": use.unpriced, "estimated": use.estimated}


def _use_cells(use: Use) -> list[str]:
    return [f"{use.tokens:,}", money(use.usd), f"{use.unpriced:,}", f"{use.estimated:,}"]


_COLUMNS: Final = ("BUDGET", "WINDOW", "LEFT", "HELD", "SPENT", "JOBS HELD", "WHEN EXCEEDED")


def _row(report: BudgetReport) -> list[str]:
    amounts = [_funds(report.left), _funds(report.held), _funds(report.spent)]
    return [report.id, report.budget.window or "", *amounts, str(report.waiting), report.budget.on_exceeded]


def _funds(funds: Funds) -> str:
    told = [] if funds.usd is None else [money(funds.usd)]
    told += [] if funds.tokens is None else [counted(funds.tokens, "token")]
    told += [f"{count:,} of {category}" for category, count in funds.per_category.items()]
    return ", ".join(told) or "nothing"


def _budget_fact(report: BudgetReport) -> Fact:
    budget = report.budget
    return {
        "id": report.id,
        "parent": budget.parent,
        "window": budget.window,
        "on_exceeded": budget.on_exceeded,
        **{name: _funds_fact(getattr(report, name)) for name in ("left", "held", "spent", "granted")},
        "jobs_held": report.waiting,
    }


def _funds_fact(funds: Funds) -> Fact:
    usd = None if funds.usd is None else str(funds.usd)
    return {"usd": usd, "tokens": funds.tokens, "per_category": dict(funds.per_category)}
