"""The way into a SQLite file: a step in the writer's thread, or a look in the reader's."""

from collections.abc import Callable
from typing import Concatenate, ParamSpec, TypeVar

from aiq.backends.sqlite import atomic
from aiq.backends.sqlite.atomic import Home
from aiq.backends.sqlite.connection import WorkConnection
from aiq.backends.sqlite.retire import require_open
from aiq.backends.sqlite.transaction import Transaction
from aiq.backends.sqlite.watch import Watch
from aiq.errors import Unavailable

_P = ParamSpec("_P")
_A = TypeVar("_A")


class Door:
    """What every operation of an open file goes through. The faces of the storage share it."""

    def __init__(self, home: Home, writer: WorkConnection, reader: WorkConnection) -> None:
        self._home = home
        self._writer = writer
        self._reader = reader
        self._watch = Watch(home.path, home.news)
        self._open = True

    async def _write(
        self, operation: Callable[Concatenate[Transaction, _P], _A], *args: _P.args, **kwargs: _P.kwargs
    ) -> _A:
        """Make one step that may write. Spec: MOVE-3, MOVE-4"""
        return await self._move(_where_open(operation), *args, **kwargs)

    async def _move(
        self, operation: Callable[Concatenate[Transaction, _P], _A], *args: _P.args, **kwargs: _P.kwargs
    ) -> _A:
        """Make one step that moves the storage, and that may be made when nothing else may be written."""
        self._check_usable()
        home = self._home
        return await self._writer.perform(
            lambda connection, unwanted: atomic.write(
                home, connection, unwanted, lambda tx: operation(tx, *args, **kwargs)
            )
        )

    async def _write_unless(
        self,
        look: Callable[[Transaction], _A | None],
        operation: Callable[Concatenate[Transaction, _P], _A],
        *args: _P.args,
        **kwargs: _P.kwargs,
    ) -> _A:
        """As `_write`, unless a look finds that there is nothing to write, and what to answer."""
        self._check_usable()
        home = self._home

        step = _where_open(operation)

        def looked(tx: Transaction) -> _A | None:
            answer = look(tx)
            if answer is not None:
                require_open(tx)
            return answer

        return await self._writer.perform(
            lambda connection, unwanted: atomic.write(
                home, connection, unwanted, lambda tx: step(tx, *args, **kwargs), looked
            )
        )

    async def _read(
        self, operation: Callable[Concatenate[Transaction, _P], _A], *args: _P.args, **kwargs: _P.kwargs
    ) -> _A:
        self._check_usable()
        home = self._home
        return await self._reader.perform(
            lambda connection, unwanted: atomic.read(
                home, connection, unwanted, lambda tx: operation(tx, *args, **kwargs)
            )
        )

    def _check_usable(self) -> None:
        self._home.check_process()
        if not self._open:
            raise Unavailable(f"This storage ({self._home.address.url}) is closed; open it again.")


def _where_open(operation: Callable[Concatenate[Transaction, _P], _A]) -> Callable[Concatenate[Transaction, _P], _A]:
    def step(tx: Transaction, /, *args: _P.args, **kwargs: _P.kwargs) -> _A:
        require_open(tx)
        return operation(tx, *args, **kwargs)

    return step
