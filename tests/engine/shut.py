"""A storage that has an outage for as long as the test likes: it is away, full, or read-only."""

from typing import Any, Final

from aiq.errors import StorageError, twin
from aiq.storage import Storage
from aiq.testing import Faulty
from tests.engine.world import World

WRITES: Final = frozenset(
    {"enqueue", "exchange", "renew", "upkeep", "fire", "save_step", "append", "acquire", "report", "beat", "leave"}
)


class Shut:
    """In front of a world's storage, behind its faults. Operations are refused from `shut` until `open`."""

    def __init__(self, world: World) -> None:
        self._storage: Storage = world.storage
        self._error: StorageError | None = None
        self._operations: frozenset[str] = frozenset()
        self.refused: list[str] = []
        """The operations that were refused, in the order they were asked for."""
        world.faults = Faulty(self)  # type: ignore[arg-type]  # it stands for every method

    def shut(self, error: StorageError, *operations: str) -> None:
        """Refuse some operations from now on, or else all that write."""
        self._error, self._operations = error, frozenset(operations) or WRITES

    def open(self) -> None:
        """The outage is over."""
        self._error = None

    # Any: it stands for every method of a storage.
    def __getattr__(self, name: str) -> Any:
        method = getattr(self._storage, name)
        if name not in WRITES:
            return method

        async def call(*args: Any, **kwargs: Any) -> Any:
            if self._error is not None and name in self._operations:
                self.refused.append(name)
                raise twin(self._error)
            return await method(*args, **kwargs)

        return call
