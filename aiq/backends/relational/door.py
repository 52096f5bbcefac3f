"""The way into a store: a step that may write, or a look that does not. How either is made is the store's own."""

import time
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Collection, Sequence
from functools import partial
from typing import Any, Concatenate, Final, ParamSpec, TypeVar

from aiq.backends.relational.inbox import REFUSED, anything_left, put_aside, take_in
from aiq.backends.relational.retire import JobsLeft, require_open
from aiq.backends.relational.transaction import Transaction
from aiq.bounds import MAX_BATCH, MAX_LEFT_STEPS
from aiq.errors import Misconfigured, ReadOnly, StorageError
from aiq.model import Fact, JobSpec

_P = ParamSpec("_P")
_A = TypeVar("_A")

LEFT_TO_OTHERS_S: Final = 30.0
"""How long whoever may not write leaves to others what was left, before he tries again."""
LESS: Final = 4
"""Of rows that cannot be stored as one batch, a fourth is tried next. So the first of 256 is found to blame, and put
aside, within the steps that one operation makes."""


class Door(ABC):
    """What every operation of an open storage goes through. The faces of the storage share it."""

    _left_to_others_until = float("-inf")
    """Until when, by time.monotonic(), this one does not try to store what was left: it was told that it may not."""
    _left_at_once = MAX_BATCH
    """How many rows of what was left it tries to store as one batch: fewer after a refusal, twice as many after a
    success."""

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

    @abstractmethod
    def _store_plainly(self, tx: Transaction, batch: Sequence[JobSpec]) -> bool:
        """Store jobs that may be plain in a few statements of the step, or say that they have to be looked at."""

    # Any: each operation has parameters and an answer of its own.
    async def _shortly(self, operation: Callable[..., object], *args: Any, **kwargs: Any) -> Any:  # noqa: ARG002
        """Make a step by a way of the store's own, or answer nothing. Not every store has one."""
        return None

    def _shorter(
        self,
        operation: Callable[Concatenate[Transaction, _P], _A],
        *args: _P.args,  # noqa: ARG002 - as of all stores
        **kwargs: _P.kwargs,  # noqa: ARG002 - as of all stores
    ) -> Callable[Concatenate[Transaction, _P], _A]:
        """The step, or what tries a way of the store's own within it. Not every store has one."""
        return operation

    async def _write(
        self, operation: Callable[Concatenate[Transaction, _P], _A], *args: _P.args, **kwargs: _P.kwargs
    ) -> _A:
        """Make one step that may write, after what was left was stored. Spec: MOVE-3, MOVE-4, ENQ-9"""
        return await self._write_unless(None, operation, *args, **kwargs)

    async def _write_unless(
        self,
        look: Callable[[Transaction], _A | None] | None,
        operation: Callable[Concatenate[Transaction, _P], _A],
        *args: _P.args,
        **kwargs: _P.kwargs,
    ) -> _A:
        """As `_write`, unless a look finds that there is nothing to write, and what to answer."""
        self._check_usable()
        answer: _A | None = await self._shortly(operation, *args, **kwargs)
        if answer is not None:
            return answer
        step = self._shorter(operation, *args, **kwargs)

        def looked(tx: Transaction) -> _A | None:
            seen = look(tx) if look is not None else None
            return None if seen is not None and require_open(tx) else seen

        def made(tx: Transaction) -> _A:
            if require_open(tx) and self._may_store_left:
                raise JobsLeft
            return step(tx, *args, **kwargs)

        try:
            return await self._step(made, None if look is None else looked)
        except JobsLeft:
            await self._store_left_if_that_can_be()
        return await self._go_on(operation, *args, **kwargs)

    async def _go_on(
        self, operation: Callable[Concatenate[Transaction, _P], _A], *args: _P.args, **kwargs: _P.kwargs
    ) -> _A:
        """Make one step that may write, beside whatever was left. Spec: MOVE-3, MOVE-4, ENQ-11"""
        self._check_usable()
        answer: _A | None = await self._shortly(operation, *args, **kwargs)
        return (await self._go_on_in_full(operation, *args, **kwargs))[0] if answer is None else answer

    async def _go_on_and_tell(
        self, operation: Callable[Concatenate[Transaction, _P], _A], *args: _P.args, **kwargs: _P.kwargs
    ) -> tuple[_A, bool]:
        """As `_go_on`, and whether anything was left. Where it was, there is no shorter way. Spec: ENQ-11"""
        self._check_usable()
        answer: _A | None = await self._shortly(operation, *args, **kwargs)
        return (answer, False) if answer is not None else await self._go_on_in_full(operation, *args, **kwargs)

    async def _store_some_left(self) -> None:
        """Store as much of what was left as goes into one step, if that can be."""
        if self._may_store_left:
            await self._store_left_if_that_can_be(steps=1)

    async def _go_on_in_full(
        self, operation: Callable[Concatenate[Transaction, _P], _A], *args: _P.args, **kwargs: _P.kwargs
    ) -> tuple[_A, bool]:
        step = self._shorter(operation, *args, **kwargs)

        def made(tx: Transaction) -> tuple[_A, bool]:
            any_left = require_open(tx)
            return step(tx, *args, **kwargs), any_left

        return await self._step(made)

    async def _note(
        self, operation: Callable[Concatenate[Transaction, _P], _A], *args: _P.args, **kwargs: _P.kwargs
    ) -> _A:
        """As `_go_on`, of what nobody relies on: it may not be on disk yet."""
        self._check_usable()

        def made(tx: Transaction) -> _A:
            require_open(tx)
            return operation(tx, *args, **kwargs)

        return await self._jot(made)

    async def _move(
        self, operation: Callable[Concatenate[Transaction, _P], _A], *args: _P.args, **kwargs: _P.kwargs
    ) -> _A:
        """Make one step that moves the storage, and that may be made when nothing else may be written."""
        while True:
            self._check_usable()
            try:
                return await self._step(lambda tx: operation(tx, *args, **kwargs))
            except JobsLeft:
                await self._store_left()

    async def _read(
        self, operation: Callable[Concatenate[Transaction, _P], _A], *args: _P.args, **kwargs: _P.kwargs
    ) -> _A:
        """Look at one state of the storage, after what was left there was stored, if that can be. Spec: ENQ-9"""
        return await self._after_what_can_be(self._look, lambda tx: operation(tx, *args, **kwargs))

    async def _read_beside(
        self, operation: Callable[Concatenate[Transaction, _P], _A], *args: _P.args, **kwargs: _P.kwargs
    ) -> _A:
        """Look at one state of the storage, beside whatever was left. Spec: ENQ-11"""
        self._check_usable()
        return await self._look(lambda tx: operation(tx, *args, **kwargs))

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
            if self._may_store_left and anything_left(tx):
                raise JobsLeft
            return operation(tx)

        try:
            return await read(looked)
        except JobsLeft:
            await self._store_left_if_that_can_be()
        self._check_usable()
        return await read(operation)

    @property
    def _may_store_left(self) -> bool:
        return time.monotonic() >= self._left_to_others_until

    async def _store_left_if_that_can_be(self, steps: int = MAX_LEFT_STEPS) -> None:
        """For those who go on in any case: what cannot be stored now they do not find."""
        try:
            await self._store_left(steps)
        except (Misconfigured, ReadOnly):
            self._left_to_others_until = time.monotonic() + LEFT_TO_OTHERS_S
        except StorageError:
            # It may have been too much for the time that a step is given.
            self._left_at_once = max(1, self._left_at_once // LESS)

    async def _store_left(self, steps: int = MAX_LEFT_STEPS) -> None:
        """Store what was left, oldest first, as many rows at once as make a batch.

        Of a batch that is refused less is tried, until one row is to blame, which is put aside.
        Spec: ENQ-9, ENQ-10, ENQ-12
        """
        for _ in range(steps):
            self._check_usable()
            taken: list[int] = []
            store = partial(take_in, most=self._left_at_once, taken=taken, store_plainly=self._store_plainly)
            try:
                await self._step(store, _nothing_left)
            except REFUSED as error:
                if not taken:
                    raise
                if len(taken) == 1:
                    await self._step(partial(put_aside, number=taken[0], error=error))
                else:
                    self._left_at_once = max(1, len(taken) // LESS)
            else:
                if not taken:
                    return
                self._left_at_once = min(2 * self._left_at_once, MAX_BATCH)


def _nothing_left(tx: Transaction) -> bool | None:
    """What answers a step that is to store what was left, where nothing was: it takes no lock."""
    return None if anything_left(tx) else True
