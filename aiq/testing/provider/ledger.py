"""What the simulator was asked and what became of it: the truth that tests compare a queue's own accounts with."""

import asyncio
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from copy import copy
from dataclasses import dataclass, replace
from enum import StrEnum
from itertools import islice
from pathlib import Path
from typing import BinaryIO, Final

import msgspec

from aiq.testing.provider.calls import Call
from aiq.testing.provider.faults import FaultKind
from aiq.testing.provider.styles import Kind

MAX_ENTRIES: Final = 100_000
"""Entries kept in memory; older ones are dropped and counted. The file keeps them all."""


class Outcome(StrEnum):
    """What became of a call."""

    RUNNING = "running"
    ANSWERED = "answered"
    """The whole answer was handed to the connection."""
    FAILED = "failed"
    """An injected error or malformed JSON was sent in place of the answer."""
    CUT = "cut"
    """An injected fault broke the connection."""
    ABANDONED = "abandoned"
    """The client went away before the end."""
    STOPPED = "stopped"
    """The simulator was stopped before the end."""
    REJECTED = "rejected"
    """A rate limit was reached: answered with HTTP 429, and no work was done."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One call. Instants are milliseconds UTC; sizes are tokens as `text.tokens` counts them."""

    number: int
    """1, 2, 3… in the order of arrival at one simulator."""
    id: str
    """Also the `id` of the answer that the client got."""
    prompt_digest: str
    """`prompt_digest(messages)`: equal prompts have equal digests."""
    model: str
    stream: bool
    idempotency_key: str | None
    fault: FaultKind | None
    tokens_in: int
    tokens_out: int = 0
    """Tokens made until the call ended, whether or not the client was still there to get them."""
    status: int | None = None
    """The HTTP status sent; None while nothing has been sent."""
    outcome: Outcome = Outcome.RUNNING
    started_at_ms: int
    finished_at_ms: int | None = None
    refused_by: Kind | None = None
    """What the bucket counts that a rejected call would have had to wait for longest."""

    @property
    def client_gone(self) -> bool:
        """Whether the client went away before the end."""
        return self.outcome is Outcome.ABANDONED


class Totals(msgspec.Struct):
    """Sums over calls. Sizes are tokens."""

    calls: int = 0
    tokens_in: int = 0
    tokens_out: int = 0


class Ledger:
    """Every call, oldest first. Any thread may read it.

    With a file, each entry is appended to it as a JSON line when the call starts and again when it ends, before
    the client can see the end; nothing is buffered, so that the file survives the death of any process.
    """

    def __init__(self, file: Path | None = None, *, max_entries: int = MAX_ENTRIES) -> None:
        self._changed = threading.Condition()
        self._entries: OrderedDict[str, Entry] = OrderedDict()
        self._totals: dict[Outcome, Totals] = {}
        self._max_entries = max_entries
        self._count = 0
        self._file = None if file is None else _open_for_append(file)

    @property
    def dropped(self) -> int:
        """How many entries memory has let go of."""
        with self._changed:
            return self._count - len(self._entries)

    def entries(self, *, after: int = 0, limit: int | None = None) -> tuple[Entry, ...]:
        """List up to `limit` entries whose number is greater than `after`."""
        with self._changed:
            # Numbers have no gaps, so it is known how many to pass over.
            start = max(0, after - (self._count - len(self._entries)))
            stop = None if limit is None else start + limit
            return tuple(islice(self._entries.values(), start, stop))

    def totals(self) -> dict[Outcome, Totals]:
        """Sum up every call that has ended, those that memory has let go of too, by what became of it."""
        with self._changed:
            return {outcome: copy(totals) for outcome, totals in self._totals.items()}

    def start(self, call: Call, fault: FaultKind | None) -> Entry:
        """Record that a call has come."""
        with self._changed:
            entry = self._entry(call, fault)
            self._keep(entry)
            return entry

    def reject(self, call: Call, refused_by: Kind) -> Entry:
        """Record that a call has come and was refused for its rate."""
        with self._changed:
            came = self._entry(call, None)
            entry = replace(
                came, outcome=Outcome.REJECTED, status=429, refused_by=refused_by, finished_at_ms=came.started_at_ms
            )
            self._keep(entry)
            self._sum(entry)
            return entry

    def finish(self, entry: Entry, outcome: Outcome, *, tokens_out: int, status: int | None) -> None:
        """Record how a call ended, from what `start` returned. The caller does so once."""
        ended = replace(entry, outcome=outcome, tokens_out=tokens_out, status=status, finished_at_ms=_now_ms())
        with self._changed:
            self._write(ended)
            self._sum(ended)
            if entry.id in self._entries:
                self._entries[entry.id] = ended
            self._changed.notify_all()

    async def until(self, satisfied: Callable[[tuple[Entry, ...]], bool], timeout: float = 5.0) -> tuple[Entry, ...]:
        """Wait until the entries satisfy a condition, looked at whenever one starts or ends, and return them.

        Raises:
            TimeoutError: they did not within `timeout` seconds.
        """
        return await asyncio.to_thread(self._wait, satisfied, timeout)

    def close(self) -> None:
        """Close the file; the entries in memory stay readable."""
        with self._changed:
            if self._file is not None:
                self._file.close()
                self._file = None

    def _entry(self, call: Call, fault: FaultKind | None) -> Entry:
        return Entry(
            number=self._count + 1,
            id=call.id,
            prompt_digest=call.prompt_digest,
            model=call.model,
            stream=call.stream,
            idempotency_key=call.idempotency_key,
            fault=fault,
            tokens_in=call.tokens_in,
            started_at_ms=_now_ms(),
        )

    def _keep(self, entry: Entry) -> None:
        self._write(entry)
        self._count += 1
        self._entries[entry.id] = entry
        if len(self._entries) > self._max_entries:
            self._entries.popitem(last=False)
        self._changed.notify_all()

    def _sum(self, ended: Entry) -> None:
        totals = self._totals.setdefault(ended.outcome, Totals())
        totals.calls += 1
        totals.tokens_in += ended.tokens_in
        totals.tokens_out += ended.tokens_out

    def _wait(self, satisfied: Callable[[tuple[Entry, ...]], bool], timeout: float) -> tuple[Entry, ...]:
        with self._changed:
            if not self._changed.wait_for(lambda: satisfied(tuple(self._entries.values())), timeout):
                raise TimeoutError(f"the ledger was not as awaited after {timeout} s")
            return tuple(self._entries.values())

    def _write(self, entry: Entry) -> None:
        if self._file is not None:
            self._file.write(msgspec.json.encode(entry) + b"\n")


def read_ledger(file: Path) -> tuple[Entry, ...]:
    """Read a ledger's file: each call once, as it was last recorded, oldest first.

    Calls of several simulators that wrote to one file follow each other. A line that a kill cut short is
    passed over; one that is whole and not an entry raises.

    Raises:
        msgspec.ValidationError: the file is not a ledger.
    """
    entries: dict[str, Entry] = {}
    for line in file.read_bytes().splitlines():
        try:
            entry = msgspec.json.decode(line, type=Entry)
        except msgspec.ValidationError:
            raise
        except msgspec.DecodeError:
            continue
        entries[entry.id] = entry
    return tuple(entries.values())


def _open_for_append(file: Path) -> BinaryIO:
    opened = open(file, "ab", buffering=0)  # noqa: SIM115 (the ledger closes it)
    # A killed predecessor may have left half a line; it must not swallow our first one.
    if opened.tell() and not file.read_bytes().endswith(b"\n"):
        opened.write(b"\n")
    return opened


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
