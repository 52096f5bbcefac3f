"""The calls that a run makes: what the first of them adopts, what each takes, and the line in which they wait.

Spec: CALL-1, CALL-3 to CALL-7
"""

from collections.abc import Sequence
from typing import NamedTuple

from msgspec.structs import replace

from aiq import bounds
from aiq.errors import UnknownLimit
from aiq.model import (
    FIRST,
    CallRequest,
    CallState,
    Draw,
    Estimate,
    Exceeded,
    JobRecord,
    LimitSpec,
    LimitState,
    MustWait,
    Need,
    Part,
    Refused,
    Reservation,
)
from aiq.rules import charging, drawing, limits, planning, standing
from aiq.rules.books import Books, WaitingCall
from aiq.rules.drawing import Hopeless, Short
from aiq.rules.planning import Plan, Taking
from aiq.rules.standing import Bound, Room


class Opening(NamedTuple):
    """A call that may be made, and the call 0 that it adopts."""

    plan: Plan
    first: Reservation | None


def plan(books: Books, record: JobRecord, request: CallRequest) -> Opening | MustWait | Exceeded | Refused:
    """Look for everything that a call needs. Takes nothing; a call that must wait is put in line."""
    names = tuple(dict.fromkeys(request.limits or record.taken_limits))
    missing = next((name for name in names if books.limit(name) is None), None)
    if missing is not None:
        return Refused(kind="unknown_limit", text=str(UnknownLimit(missing, books.limit_names())))
    bound = standing.named(books, record, names)
    full = _full_around(books, record, request.inside, bound) if request.inside else None
    if full is not None:
        return Refused(kind="own_units", text=_waits_for_itself(full))
    first = _adopted(books, record, [one.spec.name for one in bound])
    estimate = request.estimate if first is None else _filled(request.estimate, record.estimate)
    need = planning.need_of(books, record, estimate, request.estimate.model)
    chain = drawing.chain(books, record)
    if not need.model and drawing.in_money(chain) is not None:
        return Refused(kind="price_unknown", text="A budget counts money, so say which model is called: model=….")
    fit = drawing.fit(books, chain, drawing.want(books, need), first.draws if first else ())
    if isinstance(fit, Short):
        spec = fit.budget
        return Exceeded(budget=spec.id, on_exceeded=spec.on_exceeded, need=fit.need, text=fit.text)
    if isinstance(fit, Hopeless):
        return Refused(kind="price_unknown", text=fit.text)
    need = fit.want.need
    parts = [charging.part(spec, key, need) for spec, key in bound]
    too_large = planning.oversized(bound, parts, need)
    if too_large is not None:
        return Refused(kind="never_fits", text=too_large.text)
    name = planning.cost_limit(books, record)
    sketch = Plan(need, (), fit.drafts, fit.want.prices, charging.cost(parts, name), name)
    return _with_limits(books, record, request.number, Opening(sketch, first), bound, parts)


def open_call(books: Books, record: JobRecord, number: int, opening: Opening) -> None:
    """Take what was planned in this step, and what call 0 had of it or beside it into account."""
    found, first = opening
    for taking in found.takings:
        standing.put(books, taking.bound, taking.state, _after(taking, first))
    draws = drawing.hold_instead(books, found.drafts, first.draws if first else ())
    if first is not None:
        _hand_over(books, first, found)
    reservation = Reservation(
        job_id=record.id,
        fence=record.fence,
        call=number,
        need=found.need,
        parts=tuple(taking.part for taking in found.takings),
        draws=draws,
        prices=found.prices,
        cost=found.cost,
        cost_limit=found.cost_limit,
        opened_at_ms=books.now_ms,
    )
    books.put_reservation(reservation)
    if books.waiting_call(record.id, record.fence, number) is not None:
        books.drop_waiting(record.id, record.fence, number)
    more = found.cost - (first.cost if first else 0)
    if more:
        books.serve(record, more)


def leave_line(books: Books, job_id: str, fence: int, number: int | None = None) -> None:
    """Take a call that was not admitted, or all that a run has waiting, out of line, and let those behind go on."""
    if number is not None and books.waiting_call(job_id, fence, number) is None:
        return
    places = {place for call in books.drop_waiting(job_id, fence, number) for place in call.limits}
    for name, key in sorted(places):
        books.freed(name, key)


def _full_around(books: Books, record: JobRecord, inside: Sequence[int], bound: Sequence[Bound]) -> LimitSpec | None:
    """The first limit of whose concurrency the calls around this one have every unit: they end after it. CALL-19"""
    around = [one for one in books.open_reservations(record.id, record.fence) if one.call in inside]
    for one in bound:
        held = sum(part_of(reservation, one) is not None for reservation in around)
        if one.spec.concurrency is not None and held >= one.spec.concurrency:
            return one.spec
    return None


def _waits_for_itself(spec: LimitSpec) -> str:
    units = "the only unit" if spec.concurrency == 1 else f"all {spec.concurrency:,} units"
    return (
        f'The calls inside of which this one is asked for have {units} of limit "{spec.name}", and end after it: it '
        "would wait for itself. Leave the block of one ctx.call before the next."
    )


def part_of(reservation: Reservation | None, bound: Bound) -> Part | None:
    """What a reservation has taken of a limit."""
    parts = reservation.parts if reservation else ()
    return next((part for part in parts if (part.limit, part.key) == (bound.spec.name, bound.key)), None)


def _adopted(books: Books, record: JobRecord, names: Sequence[str]) -> Reservation | None:
    """Call 0, if nobody has adopted or used it yet, and it has reserved for such a call. CALL-3"""
    first = books.reservation(record.id, record.fence, FIRST)
    if first is None or first.state is not CallState.OPEN or not first.cost or first.used:
        return None
    taken = {part.limit for part in first.parts if not part.limit.startswith(standing.QUEUE)}
    return first if not taken or taken.issuperset(names) else None


def _filled(asked: Estimate, job: Estimate | None) -> Estimate:
    """What a first call did not say is what the job's estimate says of it."""
    if job is None:
        return asked
    silent = asked.output is None and asked.max_output is None
    return Estimate(
        model=asked.model,
        input=job.input if asked.input is None else asked.input,
        output=job.output if silent else asked.output,
        max_output=job.max_output if silent else asked.max_output,
        min_output=job.min_output if silent and asked.min_output is None else asked.min_output,
    )


def _with_limits(
    books: Books, record: JobRecord, number: int, opening: Opening, bound: Sequence[Bound], parts: Sequence[Part]
) -> Opening | MustWait:
    place = _place(books, record, number)
    takings, rooms, needs = [], [], {}
    for one, part in zip(bound, parts, strict=True):
        state = standing.state_of(books, one)
        unit = _wants_unit(books, record, one)
        own = part_of(opening.first, one)
        line = standing.before(books.waiting(one.spec.name, one.key), record.band, place)
        rooms.append(Room(one, _wait_ms(books, one, state, part, unit, own, line)))
        takings.append(Taking(one, state, planning.with_unit(part) if unit else part))
        more = _more(part, own)
        needs[one.spec.name, one.key] = (more.requests, more.charge, more.rest, int(unit))
    worst = standing.longest(rooms)
    if worst is None:
        return Opening(replace(opening.plan, takings=takings), opening.first)
    planning.keep(books, takings)
    wait_ms = worst.wait_ms
    books.put_waiting(
        WaitingCall(
            job_id=record.id,
            fence=record.fence,
            call=number,
            band=record.band,
            number=books.next_waiting_number() if place is None else place,
            limits=needs,
            asked_at_ms=books.now_ms,
            next_ms=bounds.MAX_INSTANT_MS if wait_ms is None else books.now_ms + wait_ms,
        )
    )
    return MustWait(limit=worst.bound.spec.name, key=worst.bound.key, wait_ms=wait_ms)


def _place(books: Books, record: JobRecord, number: int) -> int | None:
    """The place that a call has kept, if it has asked lately. CALL-6"""
    call = books.waiting_call(record.id, record.fence, number)
    if call is None or books.now_ms - call.asked_at_ms > bounds.PLACE_KEPT_MS:
        return None
    return call.number


def _wants_unit(books: Books, record: JobRecord, bound: Bound) -> bool:
    """Whether one more call needs one more unit: a run holds as many as it has calls open, and those of its job's
    limits at least once. CALL-4"""
    if bound.spec.concurrency is None:
        return False
    found = [
        (reservation.call, part)
        for reservation in books.open_reservations(record.id, record.fence)
        if (part := part_of(reservation, bound)) is not None
    ]
    units = sum(part.slot for _, part in found)
    return sum(call != FIRST for call, _ in found) >= units


def _wait_ms(
    books: Books,
    bound: Bound,
    state: LimitState,
    part: Part,
    unit: bool,
    own: Part | None,
    line: Sequence[WaitingCall],
) -> int | None:
    """As `standing.wait_ms`; a call that adopts enough waits for nobody, but where a provider said that all must."""
    if own is None:
        return standing.wait_ms(books, bound, state, part, unit, line)
    more = _more(part, own)
    if more.requests or more.charge or more.rest or unit:
        return standing.wait_ms(books, bound, limits.returned(bound.spec, state, own), part, unit, line)
    return max(0, state.frozen_until_ms - state.at_ms)


def _more(part: Part, own: Part | None) -> Part:
    """What a part has more than another one."""
    if own is None:
        return part
    return replace(
        part,
        requests=max(0, part.requests - own.requests),
        charge=max(0, part.charge - own.charge),
        rest=max(0, part.rest - own.rest),
    )


def _after(taking: Taking, first: Reservation | None) -> LimitState:
    """A limit once a call has taken its part, or the difference to what it adopts."""
    (spec, _), state, part = taking.bound, taking.state, taking.part
    own = part_of(first, taking.bound)
    if own is None:
        return limits.taken(spec, state, part)
    return limits.taken(spec, limits.returned(spec, state, _more(own, part)), _more(part, own))


def _hand_over(books: Books, first: Reservation, found: Plan) -> None:
    """Leave call 0 with its units of concurrency alone, and with nothing that another call could adopt."""
    adopted = {(taking.bound.spec.name, taking.bound.key) for taking in found.takings}
    for part in first.parts:
        if (part.limit, part.key) not in adopted:
            _give_back(books, part)
    books.put_reservation(
        replace(
            first,
            need=Need(model=first.need.model),
            parts=tuple(Part(limit=part.limit, key=part.key, slot=part.slot) for part in first.parts),
            draws=tuple(Draw(budget=draw.budget, window_ms=draw.window_ms) for draw in first.draws),
            cost=0,
        )
    )


def _give_back(books: Books, part: Part) -> None:
    """Give back what a part took that was never sent; its unit stays. A job's start is never taken back from its
    queue's rate. CALL-3, QUEUE-2"""
    spec = books.limit(part.limit)
    if spec is None:
        return
    bound = Bound(spec, part.key)
    state = standing.state_of(books, bound)
    given = replace(part, requests=0) if part.limit.startswith(standing.QUEUE) else part
    standing.put(books, bound, state, limits.returned(spec, state, given))
