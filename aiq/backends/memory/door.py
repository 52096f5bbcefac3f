"""The way to the tables of the reference: one lock around each transition, and wake-ups once it is done."""

import asyncio
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Concatenate, ParamSpec, TypeVar

from aiq.backends.clock import Clock
from aiq.backends.memory.data import Tables
from aiq.backends.memory.holding import let_go_on_room
from aiq.backends.memory.pause_key import call_up
from aiq.backends.memory.retire import require_open
from aiq.backends.memory.transition import Transaction
from aiq.backends.wakeups import Wakeups
from aiq.errors import Unavailable

_P = ParamSpec("_P")
_A = TypeVar("_A")


@dataclass(eq=False, slots=True)
class Home:
    """What siblings share: the tables, the clock, the one lock, and the hub of wake-ups."""

    url: str
    clock: Clock
    tables: Tables = field(default_factory=Tables)
    lock: threading.Lock = field(default_factory=threading.Lock)
    wakeups: Wakeups = field(default_factory=Wakeups)
    holders: int = 0
    """Storages that hold it open."""


class Door:
    """What every operation of open tables goes through. The faces of the storage share it."""

    def __init__(self, home: Home) -> None:
        self._home = home
        self._open = True

    def _check_open(self) -> None:
        if not self._open:
            raise Unavailable(f"This storage ({self._home.url}) is closed; open it again.")

    async def _run(
        self, operation: Callable[Concatenate[Transaction, _P], _A], *args: _P.args, **kwargs: _P.kwargs
    ) -> _A:
        """Make one atomic step that may write. Spec: MOVE-3, MOVE-4"""
        return await self._look(_where_open(operation), *args, **kwargs)

    async def _look(
        self, operation: Callable[Concatenate[Transaction, _P], _A], *args: _P.args, **kwargs: _P.kwargs
    ) -> _A:
        """Make one atomic step that reads, or that moves the storage. Nothing waits inside it, so nothing can cut it in
        two. Spec: STORE-1, STORE-3

        The one turn that others get comes before it: a loop that only talks to this storage would else starve
        its neighbours, and a cancellation here finds nothing done.
        """
        await asyncio.sleep(0)
        self._check_open()
        home = self._home
        with home.lock:
            tx = Transaction(home.tables, home.clock())
            answer = operation(tx, *args, **kwargs)
            let_go_on_room(tx)
            call_up(tx)
        home.wakeups.notify(tx.topics)
        return answer


def _where_open(operation: Callable[Concatenate[Transaction, _P], _A]) -> Callable[Concatenate[Transaction, _P], _A]:
    def step(tx: Transaction, /, *args: _P.args, **kwargs: _P.kwargs) -> _A:
        require_open(tx)
        return operation(tx, *args, **kwargs)

    return step
