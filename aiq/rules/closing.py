"""What becomes of reservations: reports, the end of a run, a lost lease, and a provider's 429.

Functions over `Books`, within one atomic step. Spec: chapters 10, 11 and 13
"""

from collections.abc import Iterable, Sequence
from itertools import groupby
from typing import NamedTuple

from msgspec.structs import replace

from aiq.errors import LeaseLost, LostReason
from aiq.model import (
    FIRST,
    CallState,
    Deferred,
    Draw,
    Held,
    JobRecord,
    Need,
    Outcome,
    Part,
    Released,
    Remaining,
    Report,
    Reported,
    Reservation,
    Throttle,
    Usage,
)
from aiq.rules import calls, drawing, limits, standing, usage
from aiq.rules.accounting import closed_draw, closed_part, corrected_part, draw_so_far, part_so_far, pass_units_on
from aiq.rules.alike import Account
from aiq.rules.books import Books
from aiq.rules.leases import lost
from aiq.rules.standing import Bound


class Ending(NamedTuple):
    """A call that ends with its run."""

    record: JobRecord
    found: Reservation
    how: CallState


def report(books: Books, record: JobRecord | None, told: Report, *, current: bool) -> Reported | LeaseLost:
    """Count what a call has used so far, or in the end, and close it when the report says so. A repeat changes nothing.

    `current` says that the lease of the report owns the job (expired or not); `record` is None when the job is
    not stored any more. Without `current` only a call that was reserved is corrected, and the answer is `late`; else
    it is LeaseLost. When a settled report with use is answered and `current`, the store sets the record's
    `deferred_at_ms` to None. A THROTTLED one pauses the limits of its call. Spec: CALL-9 to CALL-14, USAGE-1 to
    USAGE-6, EST-3, LIMIT-10, LIMIT-12
    """
    lease = told.lease
    found = books.reservation(lease.job_id, lease.fence, told.call)
    if record is None or not current:
        if found is None:
            return lost(record, lease) or LeaseLost(lease.job_id, LostReason.TAKEN)
        _correct(books, record, found, told)
        return Reported(late=True)
    if found is None:
        found = _unreserved(books, record, told)
    if found is not None and found.state is CallState.OPEN:
        _heard(books, record, found, told)
    elif found is not None:
        _correct(books, record, found, told)
    return Reported(cancel_requested=record.cancel_requested_at_ms is not None)


def close_run(books: Books, record: JobRecord, outcome: Outcome) -> None:
    """Close what a run has open, and take its calls out of line. `record` still runs: before the move. CALL-12"""
    close_runs(books, (record,), outcome)


def close_runs(books: Books, records: Iterable[JobRecord], outcome: Outcome) -> None:
    """Close what several runs of one outcome have open, as if one after the other. What calls that are alike give back
    to their limits is then one sum: nobody looks at a limit in between."""
    endings = []
    for record in records:
        calls.leave_line(books, record.id, record.fence)
        unused = record.opened_calls or isinstance(outcome, Released | Deferred | Held)
        for found in books.open_reservations(record.id, record.fence):
            unsent = found.call == FIRST and unused and not found.used
            endings.append(Ending(record, found, CallState.UNSENT if unsent else CallState.SETTLED))
    for _, alike in groupby(endings, _likeness):
        same = list(alike)
        _close_alike(books, same, same[0].found.used)


def revoke_run(books: Books, record: JobRecord) -> None:
    """Charge all that a run has open, and take its calls out of line. `record` still runs: before the move.

    For an expired lease, a forced cancel, and the end of a cancel's grace. CALL-13, BUDGET-4
    """
    calls.leave_line(books, record.id, record.fence)
    for found in books.open_reservations(record.id, record.fence):
        _close(books, record, found, CallState.EXPIRED, found.used)


def throttle(books: Books, throttle: Throttle, record: JobRecord | None = None) -> None:
    """Pause a limit after a 429; a name that is not stored is left out. With the record of the job that met it, the
    part that pauses is the job's own, whatever the limit goes by: a worker knows only its name. LIMIT-10, LIMIT-11"""
    spec = books.limit(throttle.limit)
    key = throttle.key if spec is None or record is None else standing.key_of(spec, record)
    if spec is None or key is None:
        return
    state = standing.state_of(books, Bound(spec, key))
    state = limits.throttled(spec, state, throttle.tokens, throttle.retry_after_ms, books.now_ms)
    books.put_limit_state(spec.name, key, state)


def _unreserved(books: Books, record: JobRecord, told: Report) -> Reservation | None:
    """A reservation for a call that had none, if it has used something: that is counted, and drawn from the budgets of
    the job. A call that only stood in line leaves it."""
    if told.state is not CallState.OPEN:
        calls.leave_line(books, record.id, record.fence, told.call)
    if not told.used:
        return None
    model = record.model
    draws = (
        Draw(budget=spec.id, window_ms=drawing.state_of(books, spec).window_ms) for spec in drawing.chain(books, record)
    )
    return Reservation(
        job_id=record.id,
        fence=record.fence,
        call=told.call,
        need=Need(model=model),
        draws=tuple(draws),
        prices=drawing.prices_of(books, model, books.now_ms),
        cost=0,
        opened_at_ms=books.now_ms,
    )


def _heard(books: Books, record: JobRecord, found: Reservation, told: Report) -> None:
    used = usage.merged(found.used, told.used, found.need.model)
    sent = any(one.tokens for one in used)
    how = CallState.SETTLED if told.state is CallState.UNSENT and sent else told.state
    if how is CallState.OPEN:
        _count_so_far(books, record, found, used)
    elif found.call == FIRST:
        if used == found.used and not found.cost:
            return
        _settle_first(books, record, found, how, used)
    else:
        _close(books, record, found, how, used)
        pass_units_on(books, found)
    if told.state is CallState.THROTTLED:
        for part in found.parts:
            if not part.limit.startswith(standing.QUEUE):
                throttle(books, _throttle(part, told))
    for remaining in told.remaining:
        _sync(books, record, remaining)


def _throttle(part: Part, told: Report) -> Throttle:
    return Throttle(limit=part.limit, key=part.key, tokens=part.charge, retry_after_ms=told.retry_after_ms)


def _count_so_far(books: Books, record: JobRecord, found: Reservation, used: tuple[Usage, ...]) -> None:
    if used == found.used:
        return
    account = usage.reported(books, found, used)
    usage.count(books, record, found.job_id, usage.lines(books, found, found.used), account.lines)
    parts = tuple([part_so_far(books, part, account) for part in found.parts])
    draws = tuple([draw_so_far(books, draw, account) for draw in found.draws])
    books.put_reservation(replace(found, used=used, parts=parts, draws=draws))


def _settle_first(books: Books, record: JobRecord, found: Reservation, how: CallState, used: tuple[Usage, ...]) -> None:
    """Settle at once what call 0 has. It stays open with its units to the end of its run, and what is reported until
    then is counted too. Where nobody says what it used, the end of the run decides. CALL-4, CALL-12"""
    if how is CallState.SETTLED and not used:
        return
    account = usage.reported(books, found, used)
    usage.count(books, record, found.job_id, usage.lines(books, found, found.used), account.lines)
    parts = tuple([closed_part(books, how, part, account, units=False) for part in found.parts])
    draws = tuple([closed_draw(books, how, draw, account) for draw in found.draws])
    need = Need(model=found.need.model)
    books.put_reservation(replace(found, used=used, need=need, parts=parts, draws=draws, cost=0, cost_limit=None))
    _settle_order(books, record, found, account)


def _close(books: Books, record: JobRecord, found: Reservation, how: CallState, used: tuple[Usage, ...]) -> None:
    """Close an open reservation: what is counted of it from now on is what was used, or what stands for it."""
    _close_alike(books, (Ending(record, found, how),), used)


def _likeness(ending: Ending) -> tuple[object, ...]:
    """What the end of a call depends on, but for its run and its budgets. Stores read the reservations of calls that
    are alike as one, so that comparing these takes no time."""
    found = ending.found
    kept = (found.need, found.parts, found.prices, found.cost, found.cost_limit, found.used)
    # Models that a call was not admitted for cost what they did when it began.
    return (ending.how, found.call == FIRST, bool(found.draws), found.opened_at_ms if found.used else 0, *kept)


def _close_alike(books: Books, endings: Sequence[Ending], used: tuple[Usage, ...]) -> None:
    """Close calls that differ in their runs and their budgets alone.

    Where nobody said anything limits follow what was reserved: a provider may have been called all the same, and what
    was taken too much comes back by itself. Use and budgets, which nothing refills, follow `usage.guess`. CALL-12
    """
    first, how, times = endings[0].found, endings[0].how, len(endings)
    need = usage.guess(first, how)
    account = usage.reported(books, first, used) if used else usage.silent(books, first, how, need)
    before = usage.lines(books, first, first.used)
    parts = tuple([closed_part(books, how, part, account, units=True, times=times) for part in first.parts])
    for record, found, _ in endings:
        usage.count(books, record, found.job_id, before, account.lines)
        draws = tuple([closed_draw(books, how, draw, account) for draw in found.draws])
        closed = replace(found, state=how, used=used, need=need, parts=parts, draws=draws, closed_at_ms=books.now_ms)
        books.put_reservation(closed)
        if how is not CallState.EXPIRED:
            _settle_order(books, record, found, account)
        # One that used no tokens was refused for what it asked, and tells nothing of what others will need.
        if how is CallState.SETTLED and any(one.tokens for one in used):
            usage.teach(books, record, found.need.model, used)


def _settle_order(books: Books, record: JobRecord, found: Reservation, account: Account) -> None:
    """Let the service of the job's line follow what was used instead of what was expected. FAIR-2"""
    spec = books.limit(found.cost_limit) if found.cost_limit else None
    if spec is None or spec.name not in [part.limit for part in found.parts]:
        return
    used = account.on_limit(spec)
    difference = (min(used, found.cost) if account.guessed else used) - found.cost
    if difference:
        books.serve(record, difference)


def _correct(books: Books, record: JobRecord | None, found: Reservation, told: Report) -> None:
    """Let what a call has used take the place of what was assumed of it, once. It neither teaches, nor moves the order.

    CALL-13, USAGE-4
    """
    if told.state is CallState.OPEN or not _assumed(found):
        return
    used = usage.merged(found.used, told.used, found.need.model)
    if told.state is CallState.SETTLED and not used:
        return
    sent = any(one.tokens for one in used)
    how = CallState.SETTLED if told.state is CallState.UNSENT and sent else told.state
    closed = replace(found, state=how, used=used)
    before, guessed = usage.standing(found.state, found.used, found.need)
    account = usage.reported(books, found, used)
    usage.count(books, record, found.job_id, usage.lines(books, found, before, estimated=guessed), account.lines)
    parts = tuple(corrected_part(books, closed, part) for part in found.parts)
    draws = tuple([closed_draw(books, how, draw, account) for draw in found.draws])
    books.put_reservation(replace(closed, parts=parts, draws=draws))


def _assumed(found: Reservation) -> bool:
    """Whether what is counted of a closed call was never said to be all."""
    return found.state is CallState.EXPIRED or (found.state is CallState.SETTLED and not found.used)


def _sync(books: Books, record: JobRecord, remaining: Remaining) -> None:
    """Lower a limit to what its provider says is left. LIMIT-12"""
    spec = books.limit(remaining.limit)
    key = None if spec is None else standing.key_of(spec, record)
    if spec is not None and key is not None:
        state = standing.state_of(books, Bound(spec, key))
        books.put_limit_state(spec.name, key, limits.synced(spec, state, remaining))
