"""A storage that is listened to: what it was asked, in order, and answers that can be held back."""

import asyncio
from collections.abc import Callable
from typing import Any

from aiq.storage import Storage


class Tapped:
    """In front of another storage. `calls` names each operation when it has happened, before its answer is heard."""

    def __init__(self, storage: Storage) -> None:
        self._storage = storage
        self._gates: dict[str, asyncio.Event] = {}
        self._changes: dict[str, Callable[[Any], Any]] = {}
        self.calls: list[tuple[str, Any]] = []

    def hold_answer(self, operation: str) -> asyncio.Event:
        """The next answer of an operation, which happens at once, is heard only when this is set."""
        gate = self._gates[operation] = asyncio.Event()
        return gate

    def change_answer(self, operation: str, change: Callable[[Any], Any]) -> None:
        """Every answer of an operation is heard as `change` makes it."""
        self._changes[operation] = change

    def names(self) -> list[str]:
        """The operations that write, in the order they happened."""
        return [name for name, _ in self.calls if name in ("append", "save_step", "exchange", "enqueue")]

    # Any: it stands for every method of a storage.
    def __getattr__(self, name: str) -> Any:
        method = getattr(self._storage, name)
        if not asyncio.iscoroutinefunction(method):
            return method

        async def call(*args: Any, **kwargs: Any) -> Any:
            answer = await method(*args, **kwargs)
            if name != "exchange" or args[0]:
                self.calls.append((name, args))
            gate = self._gates.pop(name, None)
            if gate is not None:
                await gate.wait()
            return self._changes.get(name, lambda same: same)(answer)

        return call
