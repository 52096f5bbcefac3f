"""What calls have used: what reports add up to, what it costs, and what is counted of it. Spec: chapter 13."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from aiq.model import FIRST, INPUT, OUTPUT, PRODUCED, CallState, JobRecord, Need, Reservation, Usage
from aiq.rules import drawing, estimates, prices
from aiq.rules.alike import Account, Counted, Lines
from aiq.rules.books import Books, UsageOf

MINUTE_MS = 60_000


NOTHING: Final = Counted()


def merged(known: Iterable[Usage], told: Iterable[Usage], model: str) -> tuple[Usage, ...]:
    """Everything that a call has used by what was said of it so far; `model` is that of a use that names none.

    Of each category the most that was said counts, so that reports may come twice and in any order. USAGE-2
    """
    most: dict[str, dict[str, int]] = {}
    for usage in (*known, *told):
        tokens = most.setdefault(usage.model or model, {})
        for category, count in usage.tokens.items():
            tokens[category] = max(count, tokens.get(category, 0))
    return tuple(_usage(name, most[name]) for name in sorted(most))


def expected(need: Need) -> tuple[Usage, ...]:
    """What stands for a call of which nobody says what it used. USAGE-4"""
    return (Usage.known(need.model, {INPUT: need.input, OUTPUT: need.output}),)


def guess(reservation: Reservation, how: CallState) -> Need:
    """What may stand for the use of an open call: its need, if somebody declared it, or tokens were taken for it.

    Of a job that ran to its end without opening a call, and that nobody declared anything of, nothing: it may never
    ask a model, and must not be charged for what it did not do. USAGE-4"""
    need = reservation.need
    if need.declared:
        return need
    reserved = reservation.draws or any(part.charge or part.rest for part in reservation.parts)
    ended = reservation.call == FIRST and how is CallState.SETTLED
    return need if reserved and not ended else Need(model=need.model)


def standing(state: CallState, used: tuple[Usage, ...], need: Need) -> tuple[tuple[Usage, ...], bool]:
    """What is counted of a call in some state, and whether it is an estimate."""
    if used or state not in (CallState.SETTLED, CallState.EXPIRED):
        return used, False
    return expected(need), True


def reported(books: Books, reservation: Reservation, used: tuple[Usage, ...]) -> Account:
    """What stands for a call that has said what it used, or that has used nothing."""
    return Account(used, used, lines(books, reservation, used))


def silent(books: Books, reservation: Reservation, how: CallState, need: Need) -> Account:
    """What stands for a call of which nobody says what it used, where `need` is the guess. Limits follow what was
    reserved all the same. CALL-12"""
    alike = (how, need, reservation.need, *reservation.prices.items())
    found = books.alike.accounts.get(alike)
    if found is None:
        counted, guessed = standing(how, (), need)
        charged = counted if need is reservation.need else standing(how, (), reservation.need)[0]
        entered = lines(books, reservation, counted, estimated=guessed)
        found = books.alike.accounts[alike] = Account(counted, charged, entered, guessed=guessed)
    return found


def lines(books: Books, reservation: Reservation, used: Sequence[Usage], *, estimated: bool = False) -> Lines:
    """Use by model and category, at the prices that held when the call was admitted.

    What a model costs is rounded up once; a category counts for what it adds to those before it, so that the sum is
    exact. USAGE-5, USAGE-6, USAGE-9
    """
    if not used:
        return {}
    found = [_lines_of(usage, _prices(books, reservation, usage.model), estimated) for usage in used]
    return found[0] if len(found) == 1 else {place: line for one in found for place, line in one.items()}


def _lines_of(usage: Usage, charged: Mapping[str, int], estimated: bool) -> Lines:
    if not charged:
        each = usage.tokens.items()
        return {(usage.model, name): Counted(count, 0, count, count if estimated else 0) for name, count in each}
    found: dict[tuple[str, str], Counted] = {}
    paid, sums = 0, prices.so_far(usage.tokens, charged)
    for (category, tokens), usd_micros in zip(usage.tokens.items(), sums, strict=True):
        unpriced = 0 if category in charged else tokens
        line = Counted(tokens, usd_micros - paid, unpriced, tokens if estimated else 0)
        found[usage.model, category], paid = line, usd_micros
    return found


def count(books: Books, record: JobRecord | None, job_id: str, old: Lines, new: Lines) -> None:
    """Count the difference between two states of a call, in the present minute. USAGE-1"""
    more = _more(old, new) if old else new
    if more:
        books.add_usage(
            UsageOf(
                minute_ms=books.now_ms - books.now_ms % MINUTE_MS,
                job_id=job_id,
                flow=record.flow if record else None,
                tenant=record.tenant if record else "",
                queue=record.queue if record else "",
                task=record.task if record else "",
            ),
            more,
        )


def _more(old: Lines, new: Lines) -> Lines:
    """What is counted now and was not before, or the other way round."""
    found: dict[tuple[str, str], Counted] = {}
    for place in sorted(old.keys() | new.keys()):
        before, after = old.get(place, NOTHING), new.get(place, NOTHING)
        if before != after:
            found[place] = Counted(*[now - then for now, then in zip(after, before, strict=True)])
    return found


def teach(books: Books, record: JobRecord, model: str, used: Iterable[Usage]) -> None:
    """Let a task and model learn from what a call was reported to have used. EST-3"""
    told = [(category in PRODUCED, tokens) for usage in used for category, tokens in usage.tokens.items()]
    output = sum(tokens for produced, tokens in told if produced)
    sent = sum(tokens for produced, tokens in told if not produced)
    known = books.learned(record.task, model)
    books.put_learned(record.task, model, estimates.taught(known, sent, output))


def _usage(model: str, tokens: Mapping[str, int]) -> Usage:
    rest = dict(tokens)
    return Usage(model, rest.pop("input", 0), rest.pop("output", 0), **rest)


def _prices(books: Books, reservation: Reservation, model: str) -> Mapping[str, int]:
    if model == reservation.need.model:
        return reservation.prices
    return drawing.prices_of(books, model, reservation.opened_at_ms)
