"""Why a job does not run: one gate, named in the same sentence by every store. Spec: WHY-1."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import assert_never

from aiq.bounds import MAX_INSTANT_MS, MAX_PAGE
from aiq.model import Amounts, Cause, Gate, HeldFor, JobRecord, LimitStatus, Part, State, Why, none
from aiq.policy import counted
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
class KeyLine:
    """How the key of a ready job stands that is in no lane for it: whether it is `paused`, the first of those that hold
    it and how many they are, the first of its line, and how many stand there before the job (at most MAX_PAGE)."""

    paused: bool
    holder: str | None
    holders: int
    first: str
    before: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What a store has read about one job. Only what goes with its state needs to be there.

    Of a job that waits: `upstream` is the first id of `depends_on` that has not ended, None once it has run;
    `signal` the name that a suspended one waits for. Of a running one: `calls`, those that stand in line. Of a held
    one: `need`, what its budget could not hold. Of a ready one: whether its queue is `paused`, the `key` that keeps it
    out of its lane, where it was put `aside`, its `pool` and `line` as they are stored (None where nothing is), and
    `before`, how many jobs of its line go before it, `urgent`, how many ready jobs of its queue are of more urgent
    bands, and `others`, how many lines of its pool and band have less service; each counted to at most MAX_PAGE.
    """

    record: JobRecord
    upstream: str | None = None
    signal: str = ""
    calls: Sequence[WaitingCall] = ()
    need: Amounts = field(default_factory=none)
    paused: bool = False
    key: KeyLine | None = None
    aside: Aside | None = None
    pool: Pool | None = None
    line: Line | None = None
    before: int = 0
    urgent: int = 0
    others: int = 0


def why(books: Books, facts: Facts) -> Why:
    """Name the one gate that a job waits for, and by when it must have passed it. Reads only. Spec: DEADLINE-9"""
    found, record = _gate(books, facts), facts.record
    if record.deadline_ms is None or record.state.terminal:
        return found
    left_ms = record.deadline_ms - books.now_ms
    told = f"is in {left_ms:,} ms" if left_ms > 0 else "has passed"
    return replace(found, text=f"{found.text} Its deadline {told}.")


def _gate(books: Books, facts: Facts) -> Why:
    record = facts.record
    match record.state:
        case State.SUCCEEDED | State.DEAD | State.CANCELLED:
            return Why(gate=Gate.NOTHING, text=f"It is {record.state}.")
        case State.RUNNING:
            return _running(books, facts)
        case State.SCHEDULED:
            return _scheduled(books, record)
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


def _scheduled(books: Books, record: JobRecord) -> Why:
    """A job that a provider had no room for waits for the limits that paused with it, as far as they are its own."""
    opens_in_ms = _until(books, record.due_ms)
    error = record.last_error
    if error is None or error.cause is not Cause.RATE_LIMITED:
        return Why(gate=Gate.TIME, text="It waits for its time.", opens_in_ms=opens_in_ms)
    paused = [(_status(books, bound).frozen_ms, bound.spec.name) for bound in standing.of_job(books, record)]
    paused = sorted((one for one in paused if one[0]), reverse=True)
    if not paused:
        text = "Its provider had no room, so it was given back. It waits for its time."
        return Why(gate=Gate.TIME, text=text, opens_in_ms=opens_in_ms)
    told = [f'Limit "{name}" is paused for {frozen_ms:,} ms.' for frozen_ms, name in paused]
    text = " ".join(["Its provider had no room, so it was given back.", *told])
    return Why(gate=Gate.LIMIT, name=paused[0][1], text=text, opens_in_ms=opens_in_ms)


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
            text = f'Model "{by}" has no price, and a budget counts money. Store one, and it goes on.'
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
    if facts.key is not None:
        return Why(gate=Gate.KEY, name=record.key or "", text=_ordered(record, facts.key))
    if facts.aside is not None and facts.aside.wake_at_ms > now_ms:
        return _limited(books, record, Gate.KEY, facts.aside.limit, facts.aside.key, facts.aside.wake_at_ms)
    if facts.line is not None and facts.line.wake_at_ms > now_ms:
        return _limited(books, record, Gate.TENANT, facts.line.parked_by, record.tenant, facts.line.wake_at_ms)
    if facts.pool is not None and facts.pool.wake_at_ms > now_ms:
        return _limited(books, record, Gate.LIMIT, facts.pool.parked_by, "", facts.pool.wake_at_ms)
    if standing.full_queue(books, record.queue):
        return _limited(books, record, Gate.LIMIT, standing.QUEUE + record.queue, "", MAX_INSTANT_MS)
    return None


def _ordered(record: JobRecord, key: KeyLine) -> str:
    """What keeps a job in the line of its key. Spec: KEY-15"""
    if key.paused:
        return f'Key "{record.key}" of queue "{record.queue}" is paused.'
    if key.holder is None:
        return f'It stands in the line of key "{record.key}". Job {key.first} goes first, and is not ready.'
    more = "" if key.holders == 1 else f" and {_counted(key.holders - 1, 'other', 'others')}"
    before = f" {_counted(key.before, 'job goes', 'jobs go')} before it." if key.before else ""
    return f'It stands in the line of key "{record.key}", which job {key.holder}{more} {_has(key.holders)}.{before}'


def _has(number: int) -> str:
    return "holds" if number == 1 else "hold"


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
            return _limited(books, facts.record, gate, found.limit, found.key, wake_at_ms)
        case drawing.Short():
            return Why(gate=Gate.BUDGET, name=found.budget.id, text=found.text)
        case drawing.Hopeless():
            gate = Gate.SIZE if found.reason is HeldFor.SIZE else Gate.PRICE
            return Why(gate=gate, name=found.by, text=found.text)
        case _:
            assert_never(found)


def _limited(books: Books, record: JobRecord, gate: Gate, name: str, key: str, wake_at_ms: int) -> Why:
    opens_in_ms = None if wake_at_ms >= MAX_INSTANT_MS else _until(books, wake_at_ms)
    spec = books.limit(name)
    if spec is None:
        return Why(gate=gate, name=name, text=f'It waits for limit "{name}".', opens_in_ms=opens_in_ms)
    bound = Bound(spec, key)
    if name.startswith(standing.QUEUE):
        return Why(gate=gate, name=name, text=_queue_bound(books, bound), opens_in_ms=opens_in_ms)
    whose = {Gate.TENANT: f" of tenant {key!r}", Gate.KEY: f" of key {key!r}"}.get(gate, "")
    assumed = "" if spec.tokens is None else _assumed(books, record)
    text = f'It waits for limit "{name}"{whose}. {_figures(books, bound)}{assumed}'
    return Why(gate=gate, name=name, text=text, opens_in_ms=opens_in_ms)


def _queue_bound(books: Books, bound: Bound) -> str:
    """What a queue's own settings let through. QUEUE-2"""
    spec = bound.spec
    told = []
    if spec.requests is not None:
        told.append(f"starts {counted(spec.requests, 'job')} in {spec.per_ms / 1000:g} s")
    if spec.concurrency is not None:
        running = _status(books, bound).running
        told.append(f"runs {counted(spec.concurrency, 'job')} at once, and {running:,} {_are(running, 'runs', 'run')}")
    return f'Queue "{spec.name.removeprefix(standing.QUEUE)}" {", and ".join(told)}.'


def _assumed(books: Books, record: JobRecord) -> str:
    """What stands for a need that nobody declared, as a further sentence."""
    need = planning.need_of(books, record, record.estimate)
    if need.declared or planning.resumes(record):
        return ""
    said = record.estimate
    what = "Nothing" if said is None or (said.output is None and said.max_output is None) else "Not all"
    return f" {what} was declared, so {counted(need.input + need.max_output, 'token')} are assumed."


def _figures(books: Books, bound: Bound) -> str:
    """How a limit stands now."""
    spec, now = bound.spec, _status(books, bound)
    told = []
    if now.frozen_ms:
        told.append(f"it is paused for {now.frozen_ms:,} ms")
    if now.requests_left is not None and spec.requests is not None:
        told.append(_level(now.requests_left, spec.requests, "request"))
    if now.tokens_left is not None and spec.tokens is not None:
        held = f", {now.tokens_held:,}{' of them' if now.tokens_left >= 0 else ''} held" if now.tokens_held else ""
        told.append(_level(now.tokens_left, spec.tokens, "token") + held)
    if now.debt_ms:
        told.append(f"the debt is paid back in {now.debt_ms:,} ms")
    if spec.concurrency is not None:
        told.append(f"{now.running:,} of {counted(spec.concurrency, 'unit')} {_are(now.running)} taken")
    sentence = "; ".join(told)
    return f"{sentence[:1].upper()}{sentence[1:]}."


def _level(left: int, rate: int, noun: str) -> str:
    if left < 0:
        return f"{counted(-left, noun)} {_are(-left)} owed"
    return f"{left:,} of {counted(rate, noun)} {_are(left)} left"


def _status(books: Books, bound: Bound) -> LimitStatus:
    return limits.status(bound.spec, bound.key, books.limit_state(bound.spec.name, bound.key), books.now_ms, 0)


def _are(number: int, one: str = "is", many: str = "are") -> str:
    return one if number == 1 else many


def _counted(number: int, one: str, many: str) -> str:
    least = "At least " if number >= MAX_PAGE else ""
    return f"{least}{number:,} {one if number == 1 else many}"


def _until(books: Books, at_ms: int | None) -> int | None:
    return None if at_ms is None else max(0, at_ms - books.now_ms)
