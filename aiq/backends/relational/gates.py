"""Gates: where the jobs of one line stand aside that one limit by key refuses. Spec: LIMIT-16

Through a gate that opens goes its first job alone, and the next when that has left its lane: of thousands with one key
no more than one at a time stands in the way of those behind them.
"""

from collections.abc import Iterable
from typing import Any, Final, NamedTuple, TypeAlias

import msgspec

from aiq.backends.relational.shelf import decoder_of
from aiq.backends.relational.statements import load
from aiq.backends.relational.transaction import Transaction
from aiq.bounds import MAX_INSTANT_MS

SQL: Final = load("gates")

Place: TypeAlias = tuple[int, int, str]
"""Lane, position and id: the order of a line. Spec: BAND-4"""


class Gate(NamedTuple):
    """One line, and the limit and key (or "") that keep jobs of it aside."""

    queue: str
    pool: str
    band: int
    tenant: str
    name: str
    part: str


_FIRST: Final[Any] = tuple[int, int, int, str, int, bool]
"""Position, and which gate was asked for; lane, id and number of a job; whether another stays."""


class Gates:
    """The gates as they stand in a step."""

    def __init__(self, tx: Transaction) -> None:
        self._tx = tx

    def shut(self, gate: Gate, n: int, wake_at_ms: int) -> None:
        """Let a job stand behind a gate, which opens by itself at the earliest of the instants that were named."""
        self._tx.run(SQL["set_aside"], {"n": n, "name": gate.name, "part": gate.part})
        self._tx.run(SQL["shut"], {**gate._asdict(), "wake_at_ms": wake_at_ms})

    def open(self, gates: Iterable[Gate]) -> list[tuple[Gate, Place]]:
        """Let the first job behind each of these gates come out, by their positions, and say where they stand; they
        join their lanes next. What is no gate, or not shut, is left alone."""
        asked = list(gates)
        if not asked:
            return []
        self._tx.flush()
        parameters = {"gates": msgspec.json.encode(asked).decode()}
        found = sorted(self._tx.peek(SQL["first"], parameters, decoder_of(_FIRST)))
        for _, at, _, job_id, n, others in found:
            self._tx.later(SQL["let_through"], (n,))
            self._tx.later(SQL["keep_shut"] if others else SQL["remove"], (*asked[at], MAX_INSTANT_MS))
            job = self._tx.known(job_id)
            if job is not None:
                job.aside = None
        return [(asked[at], (lane, position, job_id)) for position, at, lane, job_id, _, _ in found]

    def drop_if_empty(self, gate: Gate) -> None:
        """Take away a gate of which a job has left that was not let through, if it was the last."""
        self._tx.run(SQL["drop_if_empty"], gate._asdict())

    def free(self, name: str, part: str) -> list[str]:
        """Let the next claims open the gates that a limit keeps shut, and say of which queues they are."""
        queues = self._tx.names(SQL["queues_behind"], {"name": name, "part": part})
        if queues:
            self._tx.run(SQL["free"], {"name": name, "part": part})
        return queues

    def due(self, queue: str, limit: int) -> list[Gate]:
        """The first gates of a queue whose instant has come, at most `limit`, in the order of (instant, gate)."""
        self._tx.flush()
        parameters: dict[str, object] = {"queue": queue, "now_ms": self._tx.now_ms, "limit": limit}
        found: list[Gate] = self._tx.peek(SQL["due"], parameters, decoder_of(Gate))
        return found
