"""The order of a claim: which ready job of a queue is next, and what becomes of one that cannot be given.

Spec: chapter 12
"""

from collections.abc import Callable

from msgspec.structs import replace

from aiq import bounds
from aiq.model import Band, Cause, HeldFor, JobError, JobRecord, OnExceeded, none
from aiq.rules import booking, planning, standing
from aiq.rules.books import Books, Line, Yard
from aiq.rules.drawing import Hopeless, Short
from aiq.rules.fairness import PLAIN
from aiq.rules.offers import Floor, Head, Offer, Stand
from aiq.rules.planning import Blocked, Plan
from aiq.rules.rows import Row

BYPASS = 4
"""What may pass a pool's head is one part in so many of its cost: a head waits at most that much longer for them."""


def dispatch(yard: Yard, books: Books, count: int, takes: Callable[[JobRecord], bool]) -> bool:
    """Give up to `count` ready jobs, at least one, of the yard's queue to the claim, in the order of chapter 12.

    `takes` is asked once about each job that is about to be given, and its first False ends the claim (CLAIM-11):
    nothing was taken for that job. The store's `Yard.give` leases it, lets the lines, pools and bands follow.
    Every candidate that must be refused is parked, held, refused, rerouted or set aside; at most MAX_REFUSED of them.
    The answer is whether the claim ended at that bound: then more may be had at once, and it must answer that it is
    due in 1 ms.
    """
    if standing.full_queue(books, yard.queue):
        return False
    return _Claim(yard, books, count, takes).run()


class _Claim:
    """One claim on one queue, under way."""

    def __init__(self, yard: Yard, books: Books, count: int, takes: Callable[[JobRecord], bool]) -> None:
        self._yard, self._books, self._takes = yard, books, takes
        self._left, self._tries = count, bounds.MAX_REFUSED
        self._floor = Floor(yard, books)

    def run(self) -> bool:
        """Give what can be given, and tell whether the bound on refusals ended it."""
        offer = self._floor.offer()
        while offer is not None and self._tries > 0:
            found = planning.plan(self._books, offer.head.record)
            if isinstance(found, Plan):
                self._give(offer, found)
                if self._goes_on():
                    self._give_row(offer)
            elif isinstance(found, Blocked) and found.by is None:
                self._park_pool(offer, found)
            else:
                self._refuse(offer.stand, offer.head, found)
            offer = self._floor.offer() if self._goes_on() else None
        self._floor.flush()
        return offer is not None

    def _goes_on(self) -> bool:
        """Whether another job is wanted. Of a queue that runs all that it may no pool has a head that could go: none is
        looked at. QUEUE-3"""
        return self._left > 0 and not standing.full_queue(self._books, self._yard.queue)

    def _give(self, offer: Offer, found: Plan) -> int:
        """Give a job to the claim, and tell what it cost; 0 when the claim has no room for it and ends. FAIR-1"""
        record = offer.head.record
        if not self._takes(record):
            self._left = 0
            return 0
        cost = planning.book(self._books, record, record.fence + 1, found)
        self._floor.pay(offer, cost)
        self._hand_over(offer.stand, record, cost)
        offer.stand.forget(record.band)
        return cost

    def _hand_over(self, stand: Stand, record: JobRecord, cost: int) -> None:
        if stand.pool.name != PLAIN:
            stand.served[record.band] = self._books.serve(record, cost)
        if stand.pool.head == record.id:
            stand.change(head="", bypass=0)
        self._yard.give(record)
        self._left -= 1

    def _give_row(self, offer: Offer) -> None:
        """Give what stands behind a job in the only line that is left, as long as it asks for the same: it is its turn,
        and there is no other pool, band or line that could gain by it."""
        line = self._floor.only_line(offer.stand, offer.head.record.band)
        if line is None:
            return
        row = Row(self._books, offer.head.record)
        while self._left > 0:
            record = self._yard.head(line)
            found = None if record is None else row.plan(record)
            if record is None or found is None:
                break
            if not self._takes(record):
                self._left = 0
                break
            self._hand_over(offer.stand, record, row.book(record, record.fence + 1, found))
        row.close()

    def _refuse(self, stand: Stand, head: Head, found: Blocked | Short | Hopeless) -> None:
        """Put a job where it is in nobody's way, other than its own tenant's or key's."""
        self._tries -= 1
        record = head.record
        if isinstance(found, Blocked):
            planning.keep(self._books, found.seen)
        if isinstance(found, Hopeless):
            self._yard.hold(record, found.reason, found.by, none())
        elif isinstance(found, Short):
            self._exceed(record, found)
        elif found.by == "tenant":
            # A limit by tenant refuses all that stand in the line; the lines of others go on. LIMIT-15
            self._yard.put_line(replace(head.line, wake_at_ms=self._wake_ms(found), parked_by=found.limit))
        else:
            self._yard.set_aside(record, found.limit, found.key, self._wake_ms(found))
        stand.forget(record.band)

    def _exceed(self, record: JobRecord, found: Short) -> None:
        """Do with a job what its budget says. HOLD-1, HOLD-5, HOLD-6"""
        budget, way = found.budget, found.budget.on_exceeded
        onward = _next_open(record) if way is OnExceeded.DEGRADE else None
        if way is OnExceeded.FAIL:
            self._yard.refuse(record, JobError(type="BudgetExceeded", message=found.text, cause=Cause.BUDGET))
        elif onward is not None:
            self._floor.flush()
            self._yard.reroute(record, onward)
            self._floor.read()
        else:
            reason = HeldFor.APPROVAL if way is OnExceeded.APPROVE else HeldFor.BUDGET
            self._yard.hold(record, reason, budget.id, found.need)

    def _park_pool(self, offer: Offer, found: Blocked) -> None:
        """Let a few small jobs pass, and leave the pool until its head may be admitted. POOL-1, POOL-2"""
        self._tries -= 1
        stand, record = offer.stand, offer.head.record
        if stand.pool.head != record.id:
            stand.change(head=record.id, bypass=booking.quote(self._books, record) // BYPASS)
        if self._let_pass(offer):
            # What has passed has taken from what the head waits for.
            again = planning.plan(self._books, record)
            found = again if isinstance(again, Blocked) and again.by is None else found
        planning.keep(self._books, found.seen)
        stand.change(wake_at_ms=self._wake_ms(found), parked_by=found.limit)
        self._floor.close(stand)

    def _let_pass(self, offer: Offer) -> bool:
        """Offer what the head leaves to the heads of other lines of its band, in the order of service. POOL-2"""
        stand, band, passed = offer.stand, offer.head.record.band, False
        line: Line | None = offer.head.line
        for _ in range(bounds.MAX_BYPASSED):
            line = self._after(stand, band, line)
            record = None if line is None else self._yard.head(line)
            if line is None or record is None:
                break
            cost = self._pass(offer, Head(line, record))
            if cost:
                stand.change(bypass=stand.pool.bypass - cost)
                passed = True
        return passed

    def _after(self, stand: Stand, band: Band, line: Line | None) -> Line | None:
        if line is None or not (self._left and self._tries and stand.pool.bypass):
            return None
        return self._yard.line(stand.pool.name, band, (line.service, line.digest))

    def _pass(self, offer: Offer, head: Head) -> int:
        """Give a job that stands behind the pool's head, and tell what it cost; 0 if it must not or cannot be given."""
        if booking.quote(self._books, head.record) > offer.stand.pool.bypass:
            self._tries -= 1
            return 0
        found = planning.plan(self._books, head.record)
        if isinstance(found, Plan):
            return self._give(offer._replace(head=head, passing=True), found)
        if isinstance(found, Blocked) and found.by is None:
            self._tries -= 1
        else:
            self._refuse(offer.stand, head, found)
        return 0

    def _wake_ms(self, found: Blocked) -> int:
        if found.wait_ms is None:
            return bounds.MAX_INSTANT_MS
        return min(bounds.MAX_INSTANT_MS, self._books.now_ms + found.wait_ms)


def _next_open(record: JobRecord) -> int | None:
    """The next open route behind the one that a job stands on: degrading never leads back. HOLD-6"""
    places = range(record.route + 1, len(record.routes))
    return next((place for place in places if not record.closed_routes >> place & 1), None)
