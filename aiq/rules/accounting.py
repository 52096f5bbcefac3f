"""What use so far, the end of a call, and a correction change of each limit and budget that it was admitted on.

Each function writes one limit or budget, and answers with the part or the draw as it stands from then on.
"""

from typing import Final

from msgspec.structs import replace

from aiq.model import FIRST, CallState, Draw, Part, Reservation
from aiq.rules import budgets, calls, charging, drawing, limits, standing
from aiq.rules.alike import Account, charged
from aiq.rules.books import Books
from aiq.rules.standing import Bound

UNUSED: Final = (CallState.UNSENT, CallState.THROTTLED)
"""How a call ends that has used no tokens."""


def part_so_far(books: Books, part: Part, account: Account) -> Part:
    """Move use so far out of what a part holds. CALL-10"""
    spec = books.limit(part.limit)
    if spec is None:
        return part
    bound = Bound(spec, part.key)
    state = standing.state_of(books, bound)
    changed, part = limits.reported(spec, state, part, account.on_limit(spec))
    standing.put(books, bound, state, changed)
    return part


def closed_part(books: Books, how: CallState, part: Part, account: Account, *, units: bool, times: int = 1) -> Part:
    """Close a reservation's part of a limit, and with `units` its unit; `times` over where so many are alike.

    What comes back says what stands charged of each."""
    spec = books.limit(part.limit)
    if spec is None:
        return part
    bound = Bound(spec, part.key)
    state = standing.state_of(books, bound)
    # All of it moves a level to one side, so that the bounds of the level cut the sum as they would cut one by one.
    whole = part if times == 1 else _multiplied(part, times)
    if how is CallState.EXPIRED:
        after, closed = limits.expired(spec, state, whole), charged(part, part.charge + part.rest)
    elif how in UNUSED and not account.charged:
        given = _given_back(how, whole)
        after, closed = limits.returned(spec, state, given), _kept(how, part)
    else:
        used, closed = account.on_part(spec, part)
        after = limits.settled(spec, state, whole, used * times)
    if part.slot and units:
        after, closed = limits.released(after, times), replace(closed, slot=False)
    standing.put(books, bound, state, after)
    return closed


def corrected_part(books: Books, closed: Reservation, part: Part) -> Part:
    """Count what was used in the place of what a part that is closed was charged. CALL-13"""
    spec = books.limit(part.limit)
    if spec is None:
        return part
    bound = Bound(spec, part.key)
    state = standing.state_of(books, bound)
    if closed.state in UNUSED and not closed.used:
        after, part_after = limits.returned(spec, state, _given_back(closed.state, part)), _kept(closed.state, part)
    else:
        used = charging.counted(spec, closed.used)
        after, part_after = limits.corrected(spec, state, part.charge, used), replace(part, charge=used)
    standing.put(books, bound, state, after)
    return part_after


def draw_so_far(books: Books, draw: Draw, account: Account) -> Draw:
    """Move use so far out of what a draw holds. BUDGET-6"""
    spec = books.budget(draw.budget)
    if spec is None:
        return draw
    state = books.budget_state(draw.budget, draw.window_ms)
    changed, draw = budgets.reported(state, draw, account.on_budget(spec))
    drawing.put(books, draw.budget, state, changed)
    return draw


def closed_draw(books: Books, how: CallState, draw: Draw, account: Account) -> Draw:
    """Close a draw on a budget. What comes back says what stands spent, for a late correction."""
    spec = books.budget(draw.budget)
    if spec is None:
        return draw
    state = books.budget_state(draw.budget, draw.window_ms)
    if how is CallState.EXPIRED:
        after = budgets.spent_in_full(state, draw)
    else:
        amounts = account.on_budget(spec)
        if account.guessed and amounts != draw.held:
            amounts = {kind: min(amount, draw.held.get(kind, 0)) for kind, amount in amounts.items()}
        after = budgets.settled(state, draw, amounts)
    drawing.put(books, draw.budget, state, after)
    return drawing.settled(draw, state, after)


def pass_units_on(books: Books, closed: Reservation) -> None:
    """A call that had no unit of its own ran on one that its run holds anyway: where another call took one, the run
    now holds one too many. CALL-4"""
    for part in closed.parts:
        spec = books.limit(part.limit)
        if spec is None or spec.concurrency is None:
            continue
        bound = Bound(spec, part.key)
        if not part.slot:
            _release_another(books, closed, bound)
        if any(call.job_id == closed.job_id for call in books.waiting(spec.name, part.key)):
            # Its own calls in line may not need a unit any more.
            books.freed(spec.name, part.key)


def _release_another(books: Books, closed: Reservation, bound: Bound) -> None:
    for other in books.open_reservations(closed.job_id, closed.fence):
        part = calls.part_of(other, bound)
        if other.call != FIRST and part is not None and part.slot:
            parts = tuple(replace(one, slot=one.slot and one is not part) for one in other.parts)
            books.put_reservation(replace(other, parts=parts))
            state = standing.state_of(books, bound)
            standing.put(books, bound, state, limits.released(state))
            return


def _given_back(how: CallState, part: Part) -> Part:
    """What goes back of what was never used: the request only of a call that was never sent, and a job's start never.
    CALL-11, QUEUE-2"""
    kept = how is CallState.THROTTLED or part.limit.startswith(standing.QUEUE)
    return replace(part, requests=0) if kept else part


def _kept(how: CallState, part: Part) -> Part:
    """What stands charged once that has gone back."""
    return replace(part, requests=part.requests - _given_back(how, part).requests, charge=0, rest=0)


def _multiplied(part: Part, times: int) -> Part:
    """What several parts that are alike have taken together."""
    requests, charge, rest = part.requests * times, part.charge * times, part.rest * times
    return replace(part, requests=requests, charge=charge, rest=rest)
