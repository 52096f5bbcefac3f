"""A storage in memory: its faces, one for each noun of the contract, and its own life."""

import threading
from typing import Final, Self

from aiq.backends.clock import Clock, host_clock
from aiq.backends.memory.door import Home
from aiq.backends.memory.face.budgets import BudgetsFace
from aiq.backends.memory.face.dead import DeadLettersFace
from aiq.backends.memory.face.events import EventsFace
from aiq.backends.memory.face.jobs import JobsFace
from aiq.backends.memory.face.keys import KeysFace
from aiq.backends.memory.face.limits import LimitsFace
from aiq.backends.memory.face.schedules import SchedulesFace
from aiq.backends.memory.face.signals import SignalsFace
from aiq.backends.memory.face.steps import StepsFace
from aiq.backends.memory.face.streams import StreamsFace
from aiq.backends.memory.face.upkeep import UpkeepFace
from aiq.backends.memory.face.wakeups import WakeupsFace
from aiq.backends.memory.face.workers import WorkersFace
from aiq.errors import InvalidName, Misconfigured
from aiq.model import Capability
from aiq.rules.validation import check_name
from aiq.storage import Storage


class MemoryStorage(
    JobsFace,
    DeadLettersFace,
    EventsFace,
    UpkeepFace,
    KeysFace,
    StepsFace,
    SignalsFace,
    StreamsFace,
    LimitsFace,
    BudgetsFace,
    SchedulesFace,
    WakeupsFace,
    WorkersFace,
):
    """A storage in this process's memory. Nothing outlives the process; every method may be cancelled at any time."""

    def __init__(self, home: Home) -> None:
        super().__init__(home)
        with _named_lock:
            home.holders += 1

    @property
    def url(self) -> str:
        """The address it was opened with."""
        return self._home.url

    @property
    def capabilities(self) -> frozenset[Capability]:
        """Whoever could change something is in this process, so every wake-up is at once."""
        return frozenset({Capability.PUSH_WAKEUPS})

    async def sibling(self) -> Self:
        """Open the same tables again: they belong to no loop, and the one lock serves every thread."""
        self._check_open()
        return type(self)(self._home)

    async def close(self) -> None:
        """Let go. A named storage is forgotten with its last holder."""
        home = self._home
        with _named_lock:
            if self._open:
                self._open = False
                home.holders -= 1
            if home.holders == 0 and _named.get(home.url) is home:
                del _named[home.url]


_named: Final[dict[str, Home]] = {}
_named_lock: Final = threading.RLock()
"""Also counts holders: a storage is not forgotten between being found and being opened."""


async def open_memory(url: str, clock: Clock | None = None) -> MemoryStorage:
    """Open `memory://`, which is new and empty, or `memory://NAME`, which is shared within this process.

    Raises:
        Misconfigured: there is more to the address than a name, or it is open already with another clock.
    """
    _, _, name = url.partition("://")
    if not name:
        return MemoryStorage(Home("memory://", clock or host_clock))
    _check_address(name)
    home = Home(f"memory://{name}", clock or host_clock)
    with _named_lock:
        home = _named.setdefault(home.url, home)
        if clock is not None and home.clock != clock:
            raise Misconfigured(f"{home.url} is open already with another clock. Pass the same one, or another name.")
        return MemoryStorage(home)


def _check_address(name: str) -> None:
    try:
        check_name("storage in memory", name)
    except InvalidName as error:
        raise Misconfigured(f"A storage in memory is opened as memory:// or memory://NAME. {error}") from error


def _conforms(storage: MemoryStorage) -> Storage:
    return storage
