"""Gates: where the jobs of one line stand aside that one limit by key refuses. Spec: LIMIT-16

Through a gate that opens goes its first job alone, and the next when that has left its lane: of thousands with one key
no more than one at a time stands in the way of those behind them. Gates are few, so each change is written at once.
"""

from dataclasses import asdict, dataclass
from typing import Any, Final, TypeAlias

from aiq.backends.sqlite.shelf import decoder_of
from aiq.backends.sqlite.sql import load
from aiq.backends.sqlite.transaction import Transaction
from aiq.bounds import MAX_INSTANT_MS

SQL: Final = load("gates")

Place: TypeAlias = tuple[int, int, str]
"""Lane, position and id: the order of a line. Spec: BAND-4"""

_GATE: Final[Any] = tuple[str, str, int, str, str, str]
_PLACE: Final[Any] = tuple[int, int, str, int]


@dataclass(frozen=True, slots=True)
class Gate:
    """One line, and the limit and key (or "") that keep jobs of it aside."""

    queue: str
    pool: str
    band: int
    tenant: str
    name: str
    part: str


class Gates:
    """The gates as they stand in a step."""

    def __init__(self, tx: Transaction) -> None:
        self._tx = tx

    def shut(self, gate: Gate, n: int, wake_at_ms: int) -> None:
        """Let a job stand behind a gate, which opens by itself at the earliest of the instants that were named."""
        first = self._tx.row(SQL["find"], asdict(gate))
        until_ms = wake_at_ms if first is None else min(first[0], wake_at_ms)
        self._tx.run(SQL["set_aside"], {"n": n, "name": gate.name, "part": gate.part})
        self._tx.run(SQL["shut"], {**asdict(gate), "wake_at_ms": until_ms})

    def open(self, gate: Gate) -> Place | None:
        """Let the first job behind a gate come out, and say where it stands; it joins its lane next."""
        places = self._places(gate)
        if not places:
            return None
        lane, position, job_id, n = places[0]
        self._tx.run(SQL["let_through"], {"n": n})
        if len(places) > 1:
            self._tx.run(SQL["shut"], {**asdict(gate), "wake_at_ms": MAX_INSTANT_MS})
        else:
            self._tx.run(SQL["remove"], asdict(gate))
        return lane, position, job_id

    def drop_if_empty(self, gate: Gate) -> None:
        """Take away a gate of which a job has left that was not let through."""
        if not self._places(gate):
            self._tx.run(SQL["remove"], asdict(gate))

    def behind(self, name: str, part: str) -> list[Gate]:
        """The gates that a limit keeps shut, by the positions of their first jobs."""
        return self._read("behind", {"name": name, "part": part})

    def due(self, queue: str) -> list[Gate]:
        """The gates of a queue whose instant has come, in the same order."""
        return self._read("due", {"queue": queue, "now_ms": self._tx.now_ms})

    def _read(self, name: str, parameters: dict[str, object]) -> list[Gate]:
        self._tx.flush()
        found = [Gate(*row) for row in self._tx.peek(SQL[name], parameters, decoder_of(_GATE))]
        return sorted(found, key=lambda gate: self._places(gate)[0][1])

    def _places(self, gate: Gate) -> list[tuple[int, int, str, int]]:
        self._tx.flush()
        places: list[tuple[int, int, str, int]] = self._tx.peek(SQL["first"], asdict(gate), decoder_of(_PLACE))
        return sorted(places)
