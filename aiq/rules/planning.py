"""What a job, or a call of one, must find room for, before anything is taken.

Functions over `Books`, within one atomic step. A store's `Books` answers the same question many times in a step, so
it keeps what it has read. Spec: chapters 10 and 11
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from msgspec import Struct

from aiq.model import (
    FIRST,
    By,
    Estimate,
    HeldFor,
    JobRecord,
    LimitSpec,
    LimitState,
    Need,
    Part,
    Reservation,
    none,
)
from aiq.policy import counted
from aiq.rules import charging, drawing, estimates, limits, standing
from aiq.rules.alike import Want
from aiq.rules.books import Books
from aiq.rules.drawing import Draft, Hopeless, Short
from aiq.rules.standing import Bound, Room


@dataclass(frozen=True, slots=True, kw_only=True)
class Blocked:
    """A limit has no room for so long, None until it is told: the one that keeps the job longest.

    `seen` are the limits as they stand now, which the time counts from: whoever heeds it keeps them. LIMIT-5
    """

    limit: str
    key: str = ""
    by: By | None = None
    wait_ms: int | None = None
    seen: "Sequence[Taking]" = ()


class Taking(Struct, frozen=True, gc=False):
    """What is to be taken of one limit, and how it stands before."""

    bound: Bound
    state: LimitState
    part: Part


class Ask(NamedTuple):
    """What jobs that are alike ask for: of which limits, what their first call wants, its part of each of these limits,
    and what that counts for. It says nothing of whether there is room."""

    bound: Sequence[Bound]
    want: Want
    parts: Sequence[Part]
    cost: int
    cost_limit: str | None
    too_large: Hopeless | None


class Plan(Struct, frozen=True, gc=False):
    """Everything that a job's first call needs, found to be there and not taken yet. `cost` 0 marks a call 0 that no
    call can adopt, because it has nothing but units of concurrency."""

    need: Need
    takings: Sequence[Taking] = ()
    drafts: Sequence[Draft] = ()
    prices: Mapping[str, int] = none()
    cost: int = charging.JOB
    cost_limit: str | None = None


FREE: Final = Plan(Need())
"""That of a job that nothing bounds."""


def plan(books: Books, record: JobRecord) -> Plan | Blocked | Short | Hopeless:
    """Look for everything that a ready job's first call needs. Writes nothing."""
    ask, chain = ask_of(books, record), drawing.chain(books, record)
    if not ask.bound and not chain:
        return FREE
    if resumes(record):
        takings = _takings(books, record, ask.bound, [Part(limit=spec.name, key=key) for spec, key in ask.bound])
        return takings if isinstance(takings, Blocked) else Plan(Need(model=record.model), takings, cost=0)
    if record.resumes and not ask.bound and not ask.want.need.declared:
        # It has gone on after a wait, and never said that it calls a model: its children's budget may well be used up.
        return FREE
    fit = drawing.fit(books, chain, ask.want)
    if not isinstance(fit, drawing.Fit):
        return fit
    if fit.want is not ask.want:
        ask = _asking(ask.bound, fit.want)
    if ask.too_large is not None:
        return ask.too_large
    takings = _takings(books, record, ask.bound, ask.parts)
    if isinstance(takings, Blocked):
        return takings
    return Plan(fit.want.need, takings, fit.drafts, fit.want.prices, ask.cost, ask.cost_limit)


def ask_of(books: Books, record: JobRecord) -> Ask:
    """What a ready job asks for, on its present route."""
    alike = (record.queue, record.task, record.taken_limits, record.model, record.tenant, record.key, record.estimate)
    found = books.alike.asks.get(alike)
    if found is None:
        want = drawing.want(books, need_of(books, record, record.estimate))
        found = books.alike.asks[alike] = _asking(standing.of_job(books, record), want)
    return found


def book(books: Books, record: JobRecord, fence: int, found: Plan) -> int:
    """Take what was planned in this step, and tell what the job counts for in its order."""
    if not found.takings and not found.drafts:
        return charging.JOB
    for taking in found.takings:
        take(books, taking)
    reserve(books, record, fence, found, tuple([taking.part for taking in found.takings]))
    return found.cost or charging.cost((), cost_limit(books, record))


def take(books: Books, taking: Taking, times: int = 1) -> None:
    """Take of one limit what was planned, `times` over where so many are alike."""
    spec, key = taking.bound
    books.put_limit_state(spec.name, key, limits.taken(spec, taking.state, taking.part, times))


def reserve(books: Books, record: JobRecord, fence: int, found: Plan, parts: tuple[Part, ...]) -> None:
    """Hold of its budgets what a job's first call may spend, and keep what it has taken: these parts of its limits."""
    reservation = Reservation(
        job_id=record.id,
        fence=fence,
        call=FIRST,
        need=found.need,
        parts=parts,
        draws=drawing.hold(books, found.drafts),
        prices=found.prices,
        cost=found.cost,
        cost_limit=found.cost_limit,
        opened_at_ms=books.now_ms,
    )
    books.put_reservation(reservation)


def resumes(record: JobRecord) -> bool:
    """Whether the next run of a job reserves units of concurrency only. Spec: CALL-16"""
    return record.resumes and record.opened_calls


def need_of(books: Books, record: JobRecord, estimate: Estimate | None, model: str = "") -> Need:
    """What a call of a job needs, with what was learned where nothing was declared. EST-1"""
    model = model or record.model
    return estimates.need(estimate, books.learned(record.task, model), model)


def cost_limit(books: Books, record: JobRecord) -> str | None:
    """The limit on which a job's pool counts costs."""
    specs = (books.limit(name) for name in record.taken_limits)
    return charging.cost_limit([spec for spec in specs if spec is not None])


def _asking(bound: Sequence[Bound], want: Want) -> Ask:
    parts = [charging.part(spec, key, want.need) for spec, key in bound]
    name = charging.cost_limit([one.spec for one in bound])
    return Ask(bound, want, parts, charging.cost(parts, name), name, oversized(bound, parts, want.need))


def oversized(bound: Iterable[Bound], parts: Iterable[Part], need: Need) -> Hopeless | None:
    """The first limit that can never give what was declared. CALL-17"""
    if not need.declared:
        return None
    for (spec, _), part in zip(bound, parts, strict=True):
        if limits.never_fits(spec, part):
            return Hopeless(reason=HeldFor.SIZE, by=spec.name, text=too_large(spec, part))
    return None


def keep(books: Books, seen: Iterable[Taking]) -> None:
    """Write what is left of limits that refused somebody: how long it lasts was counted from there, and a limit that
    nothing was taken of yet fills from there. LIMIT-5"""
    for one in seen:
        books.put_limit_state(one.bound.spec.name, one.bound.key, one.state)


def _takings(
    books: Books, record: JobRecord, bound: Sequence[Bound], parts: Sequence[Part]
) -> Sequence[Taking] | Blocked:
    """What is to be taken of the limits, if all of them have room."""
    takings, rooms = [], []
    for one, part in zip(bound, parts, strict=True):
        spec, key = one
        state = standing.state_of(books, one)
        unit = spec.concurrency is not None
        calls = books.waiting(spec.name, key)
        calls = standing.before(calls, record.band, None) if calls else ()
        if calls or not limits.has_plenty(spec, state, part):
            rooms.append(Room(one, standing.wait_ms(books, one, state, part, unit, calls)))
        takings.append(Taking(one, state, with_unit(part) if unit else part))
    worst = standing.longest(rooms)
    if worst is None:
        return takings
    (spec, key), wait_ms = worst
    return Blocked(limit=spec.name, key=key, by=spec.by, wait_ms=wait_ms, seen=takings)


def with_unit(part: Part) -> Part:
    """A part that takes a unit of concurrency with it."""
    return Part(limit=part.limit, key=part.key, requests=part.requests, charge=part.charge, rest=part.rest, slot=True)


def too_large(spec: LimitSpec, part: Part) -> str:
    """Say by how much a part is too large for its limit."""
    most = charging.most_at_once(spec, spec.tokens or 0)
    return (
        f'A call needs {counted(part.charge, "token")} of limit "{spec.name}" at once, which gives at most {most:,}. '
        "Ask for less, or raise the limit or its burst."
    )
