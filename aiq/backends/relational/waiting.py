"""The calls of running jobs that stand in line for their limits. Spec: CALL-5, CALL-6

Few runs wait at a time, so every change is written at once. What was read is kept up with: each call of a batch looks
at all that go before it, and reading them anew for each would take the square of their number.
"""

from collections.abc import Sequence
from typing import Final, TypeAlias

import msgspec

from aiq.backends.relational.connection import Question
from aiq.backends.relational.statements import load
from aiq.backends.relational.transaction import Transaction
from aiq.bounds import MAX_BATCH, PLACE_KEPT_MS
from aiq.model import Band
from aiq.rules.books import WaitingCall

SQL: Final = load("waiting")

ANYBODY: Final[Question] = (SQL["any"], {})
"""What asks whether any call waits for anything."""
_Need: TypeAlias = tuple[str, str, int, int, int, int]


class _Body(msgspec.Struct, array_like=True):
    """A WaitingCall as it is stored: JSON has no keys of two texts."""

    job_id: str
    fence: int
    call: int
    band: Band
    number: int
    limits: list[_Need]
    asked_at_ms: int
    next_ms: int


_calls: Final = msgspec.json.Decoder(list[_Body])


class WaitingLine:
    """Who waits, as it stands in a step."""

    def __init__(self, tx: Transaction) -> None:
        self._tx = tx
        self._any: bool | None = None
        self._lines: dict[tuple[str, str], Sequence[WaitingCall]] = {}
        """Those that were read, by limit."""
        self._runs: dict[tuple[str, int], dict[int, WaitingCall]] = {}
        """The same by run, and by their number in it."""

    def any(self) -> bool:
        """Whether any call waits for anything."""
        if self._any is None:
            self._any = bool(self._tx.rows(*ANYBODY)[0][0])
        return self._any

    def of(self, name: str, part: str) -> Sequence[WaitingCall]:
        """The calls that wait for a limit, first come first, as long as they ask."""
        if self._any is False or not self.any():
            return ()
        if (name, part) not in self._lines:
            place = {"name": name, "part": part, "since_ms": self._since_ms(), "limit": MAX_BATCH}
            self._lines[name, part] = sorted(self._read("line", place), key=_turn)
        return self._lines[name, part]

    def count(self, name: str, part: str) -> int:
        """How many there are."""
        place = {"name": name, "part": part, "since_ms": self._since_ms()}
        return int(self._tx.rows(SQL["count"], place)[0][0]) if self.any() else 0

    def of_run(self, job_id: str, fence: int) -> Sequence[WaitingCall]:
        """The calls of one run, by their number in it."""
        calls = self._of_run(job_id, fence)
        return [calls[number] for number in sorted(calls)]

    def find(self, job_id: str, fence: int, call: int) -> WaitingCall | None:
        """One call, if it stands in line."""
        return self._of_run(job_id, fence).get(call)

    def next_number(self) -> int:
        """A new last place. Those that have left line give theirs away only behind everybody else."""
        return int(self._tx.rows(SQL["last"])[0][0]) + 1

    def put(self, call: WaitingCall) -> None:
        """Let a call stand in line, or keep its place."""
        self._leave(call)
        limits = [(name, part, *need) for (name, part), need in call.limits.items()]
        body = _Body(call.job_id, call.fence, call.call, call.band, call.number, limits, call.asked_at_ms, call.next_ms)
        self._tx.run(
            SQL["put"],
            {
                "number": call.number,
                "job_id": call.job_id,
                "fence": call.fence,
                "call": call.call,
                "asked_at_ms": call.asked_at_ms,
                "body": msgspec.json.encode(body).decode(),
            },
        )
        for name, part in call.limits:
            place = {"name": name, "part": part, "band": call.band, "number": call.number}
            self._tx.run(SQL["stand"], place)
        calls = self._of_run(call.job_id, call.fence)
        self._follow(calls.get(call.call), call)
        calls[call.call] = call
        self._any = True

    def drop(self, call: WaitingCall) -> None:
        """Take a call out of line."""
        self._leave(call)
        self._follow(self._of_run(call.job_id, call.fence).pop(call.call, None), None)

    def _leave(self, call: WaitingCall) -> None:
        """Under whatever number it stood: one that has lost its place comes back under another."""
        if call.call in self._of_run(call.job_id, call.fence):
            place = {"job_id": call.job_id, "fence": call.fence, "call": call.call}
            self._tx.run(SQL["leave"], place)
            self._tx.run(SQL["drop"], place)

    def _follow(self, stood: WaitingCall | None, stands: WaitingCall | None) -> None:
        """Let the lines that were read follow a call that leaves them, comes into them, or keeps its place."""
        before, after = (call.limits if call else {} for call in (stood, stands))
        kept = stood is not None and stands is not None and stood.number == stands.number
        for limit in before.keys() | after.keys():
            line = self._lines.pop(limit, None)
            if line is None:
                continue
            rest = [one for one in line if stood is None or one.number != stood.number]
            # Of a long line no more was read; others come up when one has left it.
            if len(rest) == len(line) or len(line) < MAX_BATCH or (kept and limit in after):
                comes = [stands] if stands is not None and limit in after else []
                self._lines[limit] = sorted((*rest, *comes), key=_turn)[:MAX_BATCH]

    def _of_run(self, job_id: str, fence: int) -> dict[int, WaitingCall]:
        run = (job_id, fence)
        if run not in self._runs:
            found = self._read("of_run", {"job_id": job_id, "fence": fence}) if self.any() else ()
            self._runs[run] = {call.call: call for call in found}
        return self._runs[run]

    def _since_ms(self) -> int:
        return self._tx.now_ms - PLACE_KEPT_MS

    def _read(self, name: str, parameters: dict[str, object]) -> list[WaitingCall]:
        self._tx.flush()
        found: list[_Body] = self._tx.peek(SQL[name], parameters, _calls)
        return [_call(body) for body in found]


def _turn(call: WaitingCall) -> tuple[Band, int]:
    """The order of a line. Spec: CALL-5"""
    return (call.band, call.number)


def _call(body: _Body) -> WaitingCall:
    return WaitingCall(
        job_id=body.job_id,
        fence=body.fence,
        call=body.call,
        band=body.band,
        number=body.number,
        limits={(name, part): tuple(need) for name, part, *need in body.limits},  # type: ignore[misc]
        asked_at_ms=body.asked_at_ms,
        next_ms=body.next_ms,
    )
