"""What the pools of a queue offer to a claim: the head of one band each, with a share for less urgent bands.

Spec: BAND-1 to BAND-3
"""

from collections.abc import Sequence
from dataclasses import replace
from heapq import heapify, heappop, heappush
from typing import Any, NamedTuple

from aiq.model import Band, JobRecord
from aiq.rules import booking
from aiq.rules.books import Books, Front, Line, Pool, Yard
from aiq.rules.fairness import FLOOR, WHOLE, credited, with_credit


class Head(NamedTuple):
    """The job that a line offers."""

    line: Line
    record: JobRecord


class Offer(NamedTuple):
    """What a pool offers: a head, which stands in the band `rank`, its own or the one that its credit displaces.

    `favoured` says that the queue's credit lets the rank go first; `passing` that the job passes the pool's head.
    """

    stand: "Stand"
    head: Head
    rank: Band
    favoured: bool = False
    passing: bool = False


class Stand:
    """An open pool, with the heads of its bands as far as they were looked at."""

    def __init__(self, pool: Pool, bands: Sequence[Band]) -> None:
        self.pool, self.bands = pool, bands
        self.changed = False
        self.heads: dict[Band, Head | None] = {}
        self.served: dict[Band, int] = {}
        self.offer: Offer | None = None
        self.several = False
        """Whether several lines of a band were found to have jobs. It may be one by now."""

    def change(self, **fields: Any) -> None:  # Any: the fields of Pool, which are checked there
        """Change the pool's row; `Floor.flush` writes it."""
        self.pool = replace(self.pool, **fields)
        self.changed = True

    def forget(self, band: Band) -> None:
        """Look at a band anew: its jobs have moved."""
        self.heads.pop(band, None)
        self.offer = None


def front_of(yard: Yard, pool: str) -> Front | None:
    """The front of an open pool, for a yard whose lines and heads cost little to look at."""
    lines = [line for band in yard.bands(pool) if (line := yard.line(pool, band)) is not None]
    heads = [head for line in lines if (head := yard.head(line)) is not None]
    return Front(heads[0].band, min(head.position for head in heads), pool) if heads else None


class Floor:
    """The open pools of a queue, during one claim. One is looked at when none that was not can go before it."""

    def __init__(self, yard: Yard, books: Books) -> None:
        self._yard, self._books = yard, books
        self._stands: dict[str, Stand] = {}
        """Those that were looked at."""
        self._places: dict[Band, list[tuple[int, str]]] = {}
        """By rank a heap: a position before which a pool offers nothing, and its name."""
        self._ranks: list[Band] = []
        self._offered: Stand | None = None
        self.read()

    def read(self) -> None:
        """Look at the pools anew."""
        self._stands, self._offered = {}, None
        self._places = {band: [] for band in Band}
        for rank, position, pool in self._yard.fronts():
            self._places[rank].append((position, pool))
        for places in self._places.values():
            heapify(places)

    def flush(self) -> None:
        """Write what has changed of the pools' rows."""
        for stand in self._stands.values():
            self._write(stand)

    def close(self, stand: Stand) -> None:
        """Write a pool that is parked, and leave it out from now on."""
        self._write(stand)
        self._offered = None

    def offer(self) -> Offer | None:
        """The head that is next: of the most urgent band, save for the floor, and of the lowest position. BAND-1"""
        if self._offered is not None:
            if not any(self._places.values()):
                return self._only(self._offered)
            self._let_in(self._offered)
        while True:
            self._ranks = [band for band, places in self._places.items() if places]
            if not self._ranks:
                return None
            favoured = self._favoured()
            rank = self._ranks[0] if favoured is None else favoured
            found = self._first(rank)
            if found is not None:
                self._offered = found.stand
                return found._replace(favoured=favoured is not None)

    def only_line(self, stand: Stand, band: Band) -> Line | None:
        """The one line that has jobs yet, where a pool of which one was given is the only one and has no other band."""
        if stand.several or len(stand.bands) > 1 or any(self._places.values()):
            return None
        line = self._yard.line(stand.pool.name, band)
        if line is not None:
            stand.several = self._yard.line(stand.pool.name, band, (line.service, line.digest)) is not None
        return None if stand.several else line

    def _only(self, stand: Stand) -> Offer | None:
        """What the one pool offers that is left: it is its turn, wherever its jobs stand."""
        if any(stand.pool.credits):
            self._leave_out(stand)
        found = self._of(stand)
        self._ranks = [] if found is None else [found.rank]
        self._offered = None if found is None else stand
        return found

    def _let_in(self, stand: Stand) -> None:
        """Let a pool of which something was offered stand where it stands now."""
        if any(stand.pool.credits):
            self._leave_out(stand)
        front = self._yard.front(stand.pool.name)
        if front is not None:
            heappush(self._places[front.rank], (front.position, front.pool))

    def _first(self, rank: Band) -> Offer | None:
        """The first offer of a rank, which is taken out; None where it turned out to be another pool's turn."""
        place = heappop(self._places[rank])
        offer = self._of(self._stand(place[1]))
        if offer is None:
            return None
        real = (offer.head.record.position, place[1])
        if offer.rank == rank and real <= (self._places[rank] or [real])[0]:
            return offer
        heappush(self._places[offer.rank], real)
        return None

    def _stand(self, name: str) -> Stand:
        if name not in self._stands:
            self._stands[name] = Stand(self._yard.pool(name), self._yard.bands(name))
        return self._stands[name]

    def pay(self, offer: Offer, cost: int) -> None:
        """Count the credits of a job that is given: what less urgent bands gain, and what its own band pays.

        It is called before the job leaves its lane. BAND-2, BAND-3
        """
        self._pay_pool(offer, cost)
        others = [band for band in self._ranks if band > offer.rank]
        if not others and not offer.favoured:
            return
        purse = self._yard.queue_credits()
        if offer.favoured and purse[offer.rank] >= WHOLE:
            # Of several jobs that pass a favoured head the first has paid.
            purse = with_credit(purse, offer.rank, purse[offer.rank] - WHOLE)
        for band in others:
            purse = credited(purse, band, FLOOR, WHOLE)
        self._yard.put_queue_credits(purse)

    def _of(self, stand: Stand) -> Offer | None:
        if stand.offer is None:
            first = next((band for band in stand.bands if self._head(stand, band)), None)
            if first is not None:
                band = self._earned(stand, first)
                head = self._head(stand, first if band is None else band)
                stand.offer = None if head is None else Offer(stand, head, first)
        return stand.offer

    def _head(self, stand: Stand, band: Band) -> Head | None:
        if band not in stand.heads:
            line = self._yard.line(stand.pool.name, band)
            record = None if line is None else self._yard.head(line)
            stand.heads[band] = None if line is None or record is None else Head(line, record)
            if line is None:
                self._leave_out(stand)
        return stand.heads[band]

    def _leave_out(self, stand: Stand) -> None:
        """A band with no job in its lanes any more loses its credit."""
        bands = self._yard.bands(stand.pool.name)
        for band in set(stand.bands).difference(bands):
            if stand.pool.credits[band]:
                stand.change(credits=with_credit(stand.pool.credits, band, 0))
        stand.bands = bands

    def _earned(self, stand: Stand, first: Band) -> Band | None:
        """The first band whose credit lets it go before a more urgent one."""
        if not any(stand.pool.credits):
            return None
        for band in stand.bands:
            credit = stand.pool.credits[band]
            head = self._head(stand, band) if band > first and credit else None
            if head is not None and credit >= self._price(head.record, first):
                return band
        return None

    def _price(self, record: JobRecord, displaced: Band) -> int:
        """The credit for which a job goes before a more urgent band.

        That waits for all that must be admitted first, so it is for the calls in line before the job too. BAND-2
        """
        ahead = booking.ahead(self._books, record, displaced)
        return WHOLE * (booking.quote(self._books, record) + ahead)

    def _favoured(self) -> Band | None:
        if len(self._ranks) < 2:
            return None
        purse = self._yard.queue_credits()
        return next((band for band in self._ranks[1:] if purse[band] >= WHOLE), None)

    def _pay_pool(self, offer: Offer, cost: int) -> None:
        stand, band = offer.stand, offer.head.record.band
        purse = stand.pool.credits
        if purse[band]:
            # All of it, and whether it displaced anybody or not: a floor is for a band that gets nothing else. What was
            # saved while a dear head waited would let others behind it go before urgent jobs, soon after its turn.
            paid = min(purse[band], WHOLE * cost) if offer.passing else purse[band]
            purse = with_credit(purse, band, purse[band] - paid)
        for other in stand.bands if len(stand.bands) > 1 else ():
            head = self._head(stand, other) if other > band else None
            if head is not None:
                purse = credited(purse, other, FLOOR * cost, self._price(head.record, band))
        if purse != stand.pool.credits:
            stand.change(credits=purse)

    def _write(self, stand: Stand) -> None:
        for band, service in stand.served.items():
            stand.change(served=with_credit(stand.pool.served, band, service))
        stand.served.clear()
        if stand.changed:
            self._yard.put_pool(stand.pool)
            stand.changed = False
