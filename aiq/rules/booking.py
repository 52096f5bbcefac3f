"""What is taken of limits and budgets: by a job before it runs, and by each call that it makes.

Functions over `Books`, within one atomic step: each looks first, and takes only when everything fits. Spec: chapters
10 and 11
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TypeAlias

from aiq import bounds
from aiq.errors import NeverFits, NotFound, PriceUnknown, TooLarge, UnknownLimit
from aiq.model import (
    Admitted,
    Band,
    CallRequest,
    Estimate,
    Exceeded,
    JobRecord,
    JobSpec,
    MustWait,
    Need,
    Refused,
)
from aiq.rules import calls, charging, drawing, estimates, limits, planning, standing
from aiq.rules.books import Books
from aiq.rules.drawing import Hopeless, Short
from aiq.rules.planning import Blocked, Plan


@dataclass(frozen=True, slots=True)
class Granted:
    """Everything was taken. `cost` is what the job counts for in its order."""

    cost: int


Claimed: TypeAlias = Granted | Blocked | Short | Hopeless


def check_at_enqueue(books: Books, spec: JobSpec) -> None:
    """Refuse a job that could never run as it is, on any of its routes. Writes nothing.

    Raises:
        UnknownLimit: it names a limit that is not stored. CALL-18
        NeverFits: it declares to need more than a limit can ever give. CALL-17
        PriceUnknown: a budget of its record's own chain counts money, and its model has no price. HOLD-8
        NotFound: a budget that it names is not stored.
        TooLarge: it draws from more than MAX_CHAIN budgets.
    """
    ways = [(route.limits, route.model) for route in spec.routes] or [(spec.limits, "")]
    alike = (spec.limits, spec.routes, spec.estimate)
    if alike not in books.alike.fitting:
        for names, model in ways:
            for name in names:
                _check_fits(books, spec.estimate, model, name)
        books.alike.fitting.add(alike)
    if spec.budgets:
        _check_budgets(books, spec, [model for _, model in ways])


def quote(books: Books, record: JobRecord) -> int:
    """What a ready job counts for in order and credits. Spec: chapter 12, cost"""
    ask = planning.ask_of(books, record)
    return charging.cost((), ask.cost_limit) if planning.resumes(record) else ask.cost


def ahead(books: Books, record: JobRecord, displaced: Band) -> int:
    """What the calls count for that go before a ready job, and not before those of the band that it displaces, on the
    limit that its cost is counted on. CALL-5, BAND-2"""
    name = planning.cost_limit(books, record)
    if name is None:
        return 0
    calls = standing.before(books.waiting(name, ""), record.band, None)
    needs = (call.limits[name, ""] for call in calls if call.band > displaced)
    return sum(charge + rest for _, charge, rest, _ in needs)


def claim(books: Books, record: JobRecord, fence: int) -> Claimed:
    """Reserve what a ready job's first call needs, as call 0 of the run that `fence` begins; all of it, or nothing.

    `record` is the job as it stands, still ready. Only `Granted` has taken anything. Spec: CALL-1, CALL-2, BUDGET-1
    """
    found = planning.plan(books, record)
    if isinstance(found, Plan):
        return Granted(planning.book(books, record, fence, found))
    if isinstance(found, Blocked):
        planning.keep(books, found.seen)
    return found


def acquire(books: Books, record: JobRecord, request: CallRequest) -> Admitted | MustWait | Exceeded | Refused:
    """Reserve for one more call of a running job, whose lease the store has found to be live; all of it, or nothing.

    One that must wait is put in line. After `Admitted` the store sets the record's `opened_calls`.
    Spec: CALL-1, CALL-3 to CALL-8, BUDGET-8
    """
    known = books.reservation(record.id, record.fence, request.number)
    if known is not None:
        return _admitted(known.need)
    found = calls.plan(books, record, request)
    if isinstance(found, calls.Opening):
        calls.open_call(books, record, request.number, found)
        return _admitted(found.plan.need)
    if isinstance(found, MustWait):
        return found
    calls.leave_line(books, record.id, record.fence, request.number)
    return found


def _admitted(need: Need) -> Admitted:
    """What was assumed of a call of which nobody said it is set aside, and must not cut its answer. BUDGET-8"""
    return Admitted(max_output=None if need.open_ended else need.max_output)


def _check_fits(books: Books, estimate: Estimate | None, model: str, name: str) -> None:
    spec = books.limit(name)
    if spec is None:
        raise UnknownLimit(name, books.limit_names())
    if estimate is not None:
        part = charging.part(spec, "", estimates.declared(estimate, model))
        if limits.never_fits(spec, part):
            raise NeverFits(planning.too_large(spec, part))


def _check_budgets(books: Books, spec: JobSpec, models: Iterable[str]) -> None:
    for name in spec.budgets:
        if books.budget(name) is None:
            raise NotFound(spec.id, f'No budget "{name}" is stored. Store it with `queue.admin.put_budget` first.')
    chain = drawing.own_chain(books, spec)
    if len(chain) > bounds.MAX_CHAIN:
        advice = "Let the job draw from fewer budgets, or give them fewer parents."
        raise TooLarge("chain of budgets", len(chain), bounds.MAX_CHAIN, advice)
    priced = drawing.in_money(chain)
    named = spec.estimate.model if spec.estimate else ""
    for model in (model or named for model in models):
        if priced is not None and model and not drawing.prices_of(books, model, books.now_ms):
            raise PriceUnknown(model, priced.id)
