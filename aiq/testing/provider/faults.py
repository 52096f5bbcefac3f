"""Faults as data: what goes wrong, how often, and for which prompts."""

import threading
from collections.abc import Iterable
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final

MAX_FAULTS: Final = 1_000
"""Faults that may be pending at once."""
MAX_TIMES: Final = 1_000_000
MAX_MATCH_CHARS: Final = 1_000
MAX_DELAY: Final = 3_600.0
"""Seconds."""


class FaultKind(StrEnum):
    """What goes wrong with a call."""

    SERVER_ERROR = "server_error"
    """Answered at once with HTTP 500."""
    OVERLOADED = "overloaded"
    """Answered at once with HTTP 529."""
    UNAVAILABLE = "unavailable"
    """Answered at once with HTTP 503."""
    QUOTA = "quota"
    """Answered at once with HTTP 429, as one whose money is used up: nothing says when to come again."""
    CUT = "cut"
    """The connection breaks after `after_tokens` tokens, in the middle of the answer."""
    SLOW = "slow"
    """Nothing is sent for `delay` seconds; then the answer comes as usual."""
    MALFORMED = "malformed"
    """HTTP 200 with JSON that breaks off, as a whole answer or as an event of the stream."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One kind of fault, for the next `times` calls whose prompt contains `match` (any prompt, if None).

    Raises:
        ValueError: a number or text is out of its bounds; the message names it.
    """

    kind: FaultKind
    times: int = 1
    match: str | None = None
    after_tokens: int = 3
    """Only CUT reads it; 0 breaks off before the first token."""
    delay: float = 1.0
    """Seconds; only SLOW reads it."""

    def __post_init__(self) -> None:
        if not 1 <= self.times <= MAX_TIMES:
            raise ValueError(f"times must be from 1 to {MAX_TIMES}, not {self.times}")
        if self.after_tokens < 0:
            raise ValueError(f"after_tokens must not be negative: {self.after_tokens}")
        if not 0 <= self.delay <= MAX_DELAY:
            raise ValueError(f"delay must be from 0 to {MAX_DELAY} seconds, not {self.delay}")
        if self.match is not None and len(self.match) > MAX_MATCH_CHARS:
            raise ValueError(f"match must be at most {MAX_MATCH_CHARS} characters long, not {len(self.match)}")


class Faults:
    """The faults still to come, first in first taken. Any thread may use it."""

    def __init__(self, faults: Iterable[Fault] = ()) -> None:
        self._lock = threading.Lock()
        self._pending: list[Fault] = []
        self.add(*faults)

    def add(self, *faults: Fault) -> None:
        """Append faults, all or none.

        Raises:
            ValueError: more than `MAX_FAULTS` would be pending; none was added.
        """
        with self._lock:
            if len(self._pending) + len(faults) > MAX_FAULTS:
                raise ValueError(f"at most {MAX_FAULTS} faults may be pending; `times` repeats one of them")
            self._pending.extend(faults)

    def take(self, prompt: str) -> Fault | None:
        """Use up one time of the first fault that fits this prompt."""
        with self._lock:
            for index, fault in enumerate(self._pending):
                if fault.match is None or fault.match in prompt:
                    left = [replace(fault, times=fault.times - 1)] if fault.times > 1 else []
                    self._pending[index : index + 1] = left
                    return fault
        return None

    def pending(self) -> tuple[Fault, ...]:
        """List what has not been used up, with the times that are left."""
        with self._lock:
            return tuple(self._pending)

    def clear(self) -> None:
        """Forget every pending fault."""
        with self._lock:
            self._pending.clear()
