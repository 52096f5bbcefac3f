"""The way into a store: a step that may write, or a look that does not. How either is made is the store's own."""

import time
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Collection
from contextlib import suppress
from functools import partial
from typing import Concatenate, Final, ParamSpec, TypeVar

from aiq.backends.relational.inbox import REFUSED, anything_left, oldest_left, put_aside, take_in
from aiq.backends.relational.retire import JobsLeft, require_open
from aiq.backends.relational.transaction import Transaction
from aiq.errors import Misconfigured, ReadOnly, StorageError
from aiq.model import Fact

_P = ParamSpec("_P")
_A = TypeVar("_A")

LEFT_TO_OTHERS_S: Final = 30.0
"""How long whoever may not write leaves to others what was left, before he tries again."""


class Door(ABC):
    """What every operation of an open storage goes through. The faces of the storage share it."""

    _left_to_others_until = float("-inf")
    """Until when, by time.monotonic(), this one does not try to store what was left: it was told that it may not."""

    @abstractmethod
    async def _step(
        self, operation: Callable[[Transaction], _A], look: Callable[[Transaction], _A | None] | None = None
    ) -> _A:
        """Make one atomic step, with what follows from it (`step.make`). `look` may answer without writing."""

    @abstractmethod
    async def _look(self, operation: Callable[[Transaction], _A]) -> _A:
        """Look at one state of the storage, however many statements that takes."""

    @abstractmethod
    async def _wait(self, topics: Collection[str], *, after: str | None, timeout_ms: int) -> str:
        """As `aiq.storage.Wakeups.wait`."""

    @abstractmethod
    def _facts(self, tx: Transaction) -> list[Fact]:
        """What the storage stands on. Spec: FACT-1"""

    @abstractmethod
    def _check_usable(self) -> None:
        """Refuse where the storage is closed, or belongs to another process."""

    async def _write(
        self, operation: Callable[Concatenate[Transaction, _P], _A], *args: _P.args, **kwargs: _P.kwargs
    ) -> _A:
        """Make one step that may write. Spec: MOVE-3, MOVE-4"""
        return await self._after_all_left(lambda tx: operation(tx, *args, **kwargs))

    async def _note(
        self, operation: Callable[Concatenate[Transaction, _P], _A], *args: _P.args, **kwargs: _P.kwargs
    ) -> _A:
        """As `_write`, of what nobody relies on: it may not be on disk yet."""
        return await self._after_all_left(lambda tx: operation(tx, *args, **kwargs), sure=False)

    async def _move(
        self, operation: Callable[Concatenate[Transaction, _P], _A], *args: _P.args, **kwargs: _P.kwargs
    ) -> _A:
        """Make one step that moves the storage, and that may be made when nothing else may be written."""
        self._check_usable()
        try:
            return await self._step(lambda tx: operation(tx, *args, **kwargs))
        except JobsLeft:
            await self._store_left()
        return await self._move(operation, *args, **kwargs)

    async def _write_unless(
        self,
        look: Callable[[Transaction], _A | None],
        operation: Callable[Concatenate[Transaction, _P], _A],
        *args: _P.args,
        **kwargs: _P.kwargs,
    ) -> _A:
        """As `_write`, unless a look finds that there is nothing to write, and what to answer."""

        def looked(tx: Transaction) -> _A | None:
            answer = look(tx)
            return None if answer is not None and require_open(tx) else answer

        return await self._after_all_left(lambda tx: operation(tx, *args, **kwargs), looked)

    async def _read(
        self, operation: Callable[Concatenate[Transaction, _P], _A], *args: _P.args, **kwargs: _P.kwargs
    ) -> _A:
        """Look at one state of the storage, after what was left there was stored, if that can be. Spec: ENQ-9"""
        return await self._after_what_can_be(self._look, lambda tx: operation(tx, *args, **kwargs))

    async def _read_all(
        self, operation: Callable[Concatenate[Transaction, _P], _A], *args: _P.args, **kwargs: _P.kwargs
    ) -> _A:
        """As `_read`, of everything that is stored: that may take long."""
        return await self._after_what_can_be(self._survey, lambda tx: operation(tx, *args, **kwargs))

    async def _peek(
        self, operation: Callable[Concatenate[Transaction, _P], _A], *args: _P.args, **kwargs: _P.kwargs
    ) -> _A:
        """As `_read`, of what nobody relies on: it may not be on disk yet."""
        return await self._after_what_can_be(self._glance, lambda tx: operation(tx, *args, **kwargs))

    async def _glance(self, operation: Callable[[Transaction], _A]) -> _A:
        """As `_look`, where nobody relies on what is seen."""
        return await self._look(operation)

    async def _jot(self, operation: Callable[[Transaction], _A]) -> _A:
        """As `_step`, where nobody relies on what is written."""
        return await self._step(operation)

    async def _survey(self, operation: Callable[[Transaction], _A]) -> _A:
        """As `_look`, for however long it takes."""
        return await self._look(operation)

    async def _after_what_can_be(
        self, read: Callable[[Callable[[Transaction], _A]], Awaitable[_A]], operation: Callable[[Transaction], _A]
    ) -> _A:
        """Read after what was left was stored. Who may only read finds what is stored."""
        self._check_usable()

        def looked(tx: Transaction) -> _A:
            if time.monotonic() >= self._left_to_others_until and anything_left(tx):
                raise JobsLeft
            return operation(tx)

        try:
            return await read(looked)
        except JobsLeft:
            await self._store_left_if_that_can_be()
        self._check_usable()
        return await read(operation)

    async def _after_all_left(
        self,
        operation: Callable[[Transaction], _A],
        look: Callable[[Transaction], _A | None] | None = None,
        *,
        sure: bool = True,
    ) -> _A:
        """Make a step after what was left before it has been stored; most often nothing was. Spec: ENQ-9"""
        self._check_usable()

        def first(tx: Transaction) -> _A:
            if require_open(tx):
                raise JobsLeft
            return operation(tx)

        def then(tx: Transaction) -> _A:
            require_open(tx)
            return operation(tx)

        try:
            return await (self._step(first, look) if sure else self._jot(first))
        except JobsLeft:
            await self._store_left()
        self._check_usable()
        return await self._step(then)

    async def _store_left_if_that_can_be(self) -> None:
        """For those who read: what cannot be stored now they do not find."""
        with suppress(StorageError):
            try:
                await self._store_left()
            except (Misconfigured, ReadOnly):
                self._left_to_others_until = time.monotonic() + LEFT_TO_OTHERS_S

    async def _store_left(self) -> None:
        """Store all that was left, each row in a step of its own; what cannot be stored is put aside. Spec: ENQ-10"""
        while (number := await self._look(oldest_left)) is not None:
            self._check_usable()
            try:
                await self._step(partial(take_in, number=number))
            except REFUSED as error:
                await self._step(partial(put_aside, number=number, error=error))
