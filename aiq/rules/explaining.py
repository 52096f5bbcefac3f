"""Why a job does not run: one gate, named in the same sentence by every store. Spec: WHY-1."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import assert_never

from aiq.bounds import MAX_INSTANT_MS, MAX_PAGE
from aiq.model import Amounts, Gate, HeldFor, JobRecord, Part, State, Why, none
from aiq.rules import budgets, drawing, limits, planning, standing
from aiq.rules.books import Books, Line, Pool, WaitingCall
from aiq.rules.planning import Blocked, Plan
from aiq.rules.standing import Bound, Room


@dataclass(frozen=True, slots=True, kw_only=True)
class Aside:
    """A ready job that was taken out of its lane, by which limit, and until when (MAX_INSTANT_MS: until it is told)."""

    limit: str
    key: str
    wake_at_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What a store has read about one job. Only what goes with its state needs to be there.

    Of a job that waits: `upstream` is the first id of `depends_on` that has not ended, None once it has run;
    `signal` the name that a suspended one waits for. Of a running one: `calls`, those that stand in line. Of a held
    one: `need`, what its budget could not hold. Of a ready one: whether its queue is `paused`, where it was put
    `aside`, its `pool` and `line` as they are stored (None where nothing is), and `before`, how many jobs of its line
    go before it, `urgent`, how many ready jobs of its queue are of more urgent bands, and `others`, how many lines of
    its pool and band have less service; each counted to at most MAX_PAGE.
    """

    record: JobRecord
    upstream: str | None = None
    signal: str = ""
    calls: Sequence[WaitingCall] = ()
    need: Amounts = field(default_factory=none)
    paused: bool = False
    aside: Aside | None = None
    pool: Pool | None = None
    line: Line | None = None
    before: int = 0
    urgent: int = 0
    others: int = 0


def why(books: Books, facts: Facts) -> Why:
    """Name the one gate that a job waits for. Reads only."""
    record = facts.record
    match record.state:
        case State.SUCCEEDED | State.DEAD | State.CANCELLED:
            return Why(gate=Gate.NOTHING, text=f"It is {record.state}.")
        case State.RUNNING:
            return _running(books, facts)
        case State.SCHEDULED:
            return Why(gate=Gate.TIME, text="It waits for its time.", opens_in_ms=_until(books, record.due_ms))
        case State.WAITING:
            return _waiting(facts)
        case State.SUSPENDED:
            text = f'It waits for the signal "{facts.signal}".'
            return Why(gate=Gate.SIGNAL, name=facts.signal, text=text, opens_in_ms=_until(books, record.due_ms))
        case State.HELD:
            return _held(books, facts)
        case State.READY:
            return _parked(books, facts) or _in_line(books, facts)
        case _:
            assert_never(record.state)


def _running(books: Books, facts: Facts) -> Why:
    if not facts.calls:
        return Why(gate=Gate.NOTHING, text=f'It runs on worker "{facts.record.owner}".')
    call = min(facts.calls, key=lambda waiting: waiting.number)
    worst = standing.longest([_room(books, call, place) for place in sorted(call.limits)])
    if worst is None:
        return Why(gate=Gate.CALL, text=f"Its call {call.call} may be made as soon as it asks again.", opens_in_ms=0)
    name = worst.bound.spec.name
    text = f'Its call {call.call} waits for limit "{name}". {_figures(books, worst.bound)}'
    return Why(gate=Gate.CALL, name=name, text=text, opens_in_ms=worst.wait_ms)


def _room(books: Books, call: WaitingCall, place: tuple[str, str]) -> Room:
    """How long a call has to wait for one of its limits yet."""
    name, key = place
    spec = books.limit(name)
    if spec is None:
        raise LookupError(f"a call waits for limit {name!r}, which is not stored")
    bound = Bound(spec, key)
    requests, charge, rest, units = call.limits[place]
    part = Part(limit=name, key=key, requests=requests, charge=charge, rest=rest)
    line = standing.before(books.waiting(name, key), call.band, call.number)
    return Room(bound, standing.wait_ms(books, bound, standing.state_of(books, bound), part, units > 0, line))


def _waiting(facts: Facts) -> Why:
    record = facts.record
    if facts.upstream is not None:
        text = f"It waits for job {facts.upstream} to end."
        return Why(gate=Gate.DEPENDENCY, name=facts.upstream, text=text)
    text = f"It waits for {_counted(record.pending, 'child', 'children')}."
    return Why(gate=Gate.CHILDREN, name=record.wait_key or "", text=text)


def _held(books: Books, facts: Facts) -> Why:
    record = facts.record
    by = record.held_by
    match record.held:
        case HeldFor.BUDGET | HeldFor.APPROVAL:
            return _short(books, by, facts.need, approval=record.held is HeldFor.APPROVAL)
        case HeldFor.QUOTA:
            text = "Every route of it is closed, since its provider's quota is used up. Let it go with `unhold`."
            return Why(gate=Gate.QUOTA, name=by, text=text)
        case HeldFor.PRICE:
            text = f'Model "{by}" has no price, and a budget counts money. Store one with `put_prices`.'
            return Why(gate=Gate.PRICE, name=by, text=text)
        case HeldFor.SIZE:
            text = f'It needs more of limit "{by}" at once than it ever gives. Raise the limit, then use `unhold`.'
            return Why(gate=Gate.SIZE, name=by, text=text)
        case HeldFor.OPERATOR | None:
            return Why(gate=Gate.OPERATOR, text="It is held by hand. Let it go with `unhold`.")
        case _:
            assert_never(record.held)


def _short(books: Books, budget_id: str, need: Amounts, *, approval: bool) -> Why:
    spec = books.budget(budget_id)
    if spec is None:
        return Why(gate=Gate.BUDGET, name=budget_id, text=f'It is held on budget "{budget_id}".')
    text = drawing.told(spec, drawing.state_of(books, spec), need)
    if approval:
        return Why(gate=Gate.BUDGET, name=spec.id, text=f"{text} It needs a grant.")
    end_ms = budgets.window_end(spec.window, books.now_ms)
    return Why(gate=Gate.BUDGET, name=spec.id, text=text, opens_in_ms=_until(books, end_ms))


def _parked(books: Books, facts: Facts) -> Why | None:
    """What keeps a ready job, or all that stand with it, from being looked at."""
    record, now_ms = facts.record, books.now_ms
    if facts.paused:
        return Why(gate=Gate.PAUSE, name=record.queue, text=f'Queue "{record.queue}" is paused.')
    if facts.aside is not None and facts.aside.wake_at_ms > now_ms:
        return _limited(books, Gate.KEY, facts.aside.limit, facts.aside.key, facts.aside.wake_at_ms)
    if facts.line is not None and facts.line.wake_at_ms > now_ms:
        return _limited(books, Gate.TENANT, facts.line.parked_by, record.tenant, facts.line.wake_at_ms)
    if facts.pool is not None and facts.pool.wake_at_ms > now_ms:
        return _limited(books, Gate.LIMIT, facts.pool.parked_by, "", facts.pool.wake_at_ms)
    return None


def _in_line(books: Books, facts: Facts) -> Why:
    """What a ready job waits for that may be looked at: its turn, room for itself, or somebody who asks."""
    if facts.before:
        text = f"{_counted(facts.before, 'job goes', 'jobs go')} before it in its line."
        return Why(gate=Gate.TURN, text=text)
    if facts.urgent:
        text = f"{_counted(facts.urgent, 'job', 'jobs')} of more urgent bands stand ready in its queue."
        return Why(gate=Gate.BAND, text=text)
    if facts.others:
        text = f"{_counted(facts.others, 'other tenant', 'other tenants')} had less of their share so far."
        return Why(gate=Gate.TENANT, name=facts.record.tenant, text=text)
    found = planning.plan(books, facts.record)
    match found:
        case Plan():
            return Why(gate=Gate.WORKER, text="It is next, and no worker has asked for it.")
        case Blocked():
            gate = {None: Gate.LIMIT, "tenant": Gate.TENANT, "key": Gate.KEY}[found.by]
            wake_at_ms = MAX_INSTANT_MS if found.wait_ms is None else books.now_ms + found.wait_ms
            return _limited(books, gate, found.limit, found.key, wake_at_ms)
        case drawing.Short():
            return Why(gate=Gate.BUDGET, name=found.budget.id, text=found.text)
        case drawing.Hopeless():
            gate = Gate.SIZE if found.reason is HeldFor.SIZE else Gate.PRICE
            return Why(gate=gate, name=found.by, text=found.text)
        case _:
            assert_never(found)


def _limited(books: Books, gate: Gate, name: str, key: str, wake_at_ms: int) -> Why:
    opens_in_ms = None if wake_at_ms >= MAX_INSTANT_MS else _until(books, wake_at_ms)
    spec = books.limit(name)
    if spec is None:
        return Why(gate=gate, name=name, text=f'It waits for limit "{name}".', opens_in_ms=opens_in_ms)
    whose = {Gate.TENANT: f" of tenant {key!r}", Gate.KEY: f" of key {key!r}"}.get(gate, "")
    text = f'It waits for limit "{name}"{whose}. {_figures(books, Bound(spec, key))}'
    return Why(gate=gate, name=name, text=text, opens_in_ms=opens_in_ms)


def _figures(books: Books, bound: Bound) -> str:
    """How a limit stands now."""
    spec, key = bound
    state = books.limit_state(spec.name, key)
    now = limits.status(spec, key, state, books.now_ms, 0)
    told = []
    if now.frozen_ms:
        told.append(f"it is paused for {now.frozen_ms:,} ms")
    if now.requests_left is not None:
        told.append(f"{now.requests_left:,} of {spec.requests:,} requests are left")
    if now.tokens_left is not None:
        held = f", {now.tokens_held:,} of them held" if now.tokens_held else ""
        told.append(f"{now.tokens_left:,} of {spec.tokens:,} tokens are left{held}")
    if spec.concurrency is not None:
        told.append(f"{now.running:,} of {spec.concurrency:,} units are taken")
    sentence = "; ".join(told)
    return f"{sentence[:1].upper()}{sentence[1:]}."


def _counted(number: int, one: str, many: str) -> str:
    least = "At least " if number >= MAX_PAGE else ""
    return f"{least}{number:,} {one if number == 1 else many}"


def _until(books: Books, at_ms: int | None) -> int | None:
    return None if at_ms is None else max(0, at_ms - books.now_ms)
