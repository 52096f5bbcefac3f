"""The rows of jobs that are held, and of when they are to be looked at again. Spec: HOLD-1, HOLD-4, HOLD-8"""

from collections.abc import Callable
from typing import Any, Final

import msgspec

from aiq.backends.relational.ledger import HoldLine, Ledger
from aiq.backends.relational.shelf import decoder_of
from aiq.backends.relational.statements import load
from aiq.backends.relational.terms import plain
from aiq.backends.relational.transaction import Transaction
from aiq.model import Amounts, BudgetSpec, BudgetState, HeldFor
from aiq.rules.budgets import ceiling, room, window_end
from aiq.rules.drawing import state_of

SQL: Final = load("holds")

_WAIT_FOR_ROOM: Final = frozenset({HeldFor.BUDGET, HeldFor.APPROVAL})
_encoder: Final = msgspec.json.Encoder(enc_hook=plain)
_needs: Final = msgspec.json.Decoder(dict[str, int])


class Room(msgspec.Struct, array_like=True, frozen=True):
    """What is left of a budget for the jobs of a line; `granted` opens approvals too."""

    left: Amounts
    granted: bool


class Hold(msgspec.Struct, array_like=True, frozen=True):
    """A job that is held, and what its budget could not hold."""

    number: int
    job_id: str
    need: Amounts


_GOING_ON: Final[Any] = tuple[HeldFor, str, Room]


def line_of(reason: HeldFor, by: str) -> HoldLine:
    """The line in which a held job stands."""
    return (HeldFor.BUDGET if reason in _WAIT_FOR_ROOM else reason, by)


class Holds:
    """Who is held for what. Few steps have to do with it, so every change is written at once."""

    def __init__(self, tx: Transaction, ledger: Ledger) -> None:
        self._tx, self._ledger = tx, ledger
        self._any: bool | None = None
        self._thinned: set[HoldLine] = set()
        """Lines that jobs have left, of which nobody knows whether any is there still."""

    def any(self) -> bool:
        """Whether any job is held, or may be let go."""
        if self._any is None:
            self._any = bool(self._tx.rows(SQL["any"])[0][0])
        return self._any

    def add(self, n: int, reason: HeldFor, by: str, need: Amounts) -> None:
        """Put a job at the end of its line."""
        self._any = True
        line = line_of(reason, by)
        row = {"n": n, "line": line[0], "held_by": by, "reason": reason, "need": _encoder.encode(need).decode()}
        self._tx.run(SQL["add"], row)
        self.await_window(line)

    def drop(self, n: int, reason: HeldFor, by: str) -> None:
        """Take a job out of its line."""
        self._tx.later(SQL["drop"], (n,))
        self._thinned.add(line_of(reason, by))

    def need(self, n: int) -> Amounts:
        """What the budget of a held job could not hold."""
        row = self._tx.row(SQL["need"], {"n": n})
        return _needs.decode(row[0]) if row else {}

    def first(self, line: HoldLine, count: int, *, granted: bool) -> list[Hold]:
        """The first jobs of a line, in the order in which they were held, but for those that can never fit."""
        most = _encoder.encode(self._figures(line, ceiling)).decode()
        place = {"line": line[0], "held_by": line[1], "granted": granted, "most": most, "limit": count}
        self._tx.flush()
        found: list[Hold] = self._tx.peek(SQL["line"], place, decoder_of(Hold))
        return sorted(found, key=lambda hold: hold.number)

    def count(self, line: HoldLine) -> int:
        """How many jobs stand in a line."""
        return int(self._tx.rows(SQL["count"], {"line": line[0], "held_by": line[1]})[0][0])

    def left(self, line: HoldLine) -> Amounts:
        """What the budget of a line has room for now."""
        return self._figures(line, room)

    def await_window(self, line: HoldLine) -> None:
        """Note when the window ends in which the jobs of a line were last looked at, if there are any."""
        reason, budget = line
        spec = self._ledger.budget(budget) if reason is HeldFor.BUDGET else None
        end_ms = window_end(spec.window, self._tx.now_ms) if spec is not None and self.count(line) else None
        if end_ms is not None:
            self._tx.run(SQL["renew"], {"budget": budget, "at_ms": end_ms})
        elif reason is HeldFor.BUDGET:
            self._tx.run(SQL["renew_no_more"], {"budget": budget})

    def renewed(self, limit: int) -> list[HoldLine]:
        """Lines of budgets that have begun a new window, at most `limit`, in the order of (instant, budget)."""
        asked = {"now_ms": self._tx.now_ms, "limit": limit}
        return [(HeldFor.BUDGET, budget) for budget in self._tx.names(SQL["renewed"], asked)]

    def going_on(self) -> dict[HoldLine, Room]:
        """Lines that steps have left to others, and what they left of their budgets."""
        self._tx.flush()
        found = self._tx.peek(SQL["going_on"], {}, decoder_of(_GOING_ON))
        return {(reason, by): left for reason, by, left in found}

    def go_on(self, line: HoldLine, left: Room | None) -> None:
        """Leave the rest of a line to others, or nothing."""
        place = {"line": line[0], "held_by": line[1]}
        if left is None:
            self._tx.run(SQL["go_on_no_more"], place)
        else:
            self._tx.run(SQL["go_on"], {**place, "room": _encoder.encode(left).decode()})

    def tidy(self) -> None:
        """Forget the windows of lines that are empty."""
        for line in self._thinned:
            if line[0] is HeldFor.BUDGET and not self.count(line):
                self._tx.run(SQL["renew_no_more"], {"budget": line[1]})
        self._thinned.clear()

    def _figures(self, line: HoldLine, of: Callable[[BudgetSpec, BudgetState], Amounts]) -> Amounts:
        """Some amounts of the budget of a line, as it stands now; nothing bounds the other reasons."""
        spec = self._ledger.budget(line[1]) if line[0] is HeldFor.BUDGET else None
        return {} if spec is None else of(spec, state_of(self._ledger, spec))
