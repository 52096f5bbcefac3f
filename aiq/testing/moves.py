"""Moving a storage into another, as tests do it."""

from aiq.backends import open_storage
from aiq.bounds import MAX_PAGE
from aiq.model import moving
from aiq.moving import dumped
from aiq.storage import Storage
from aiq.testing.clock import Clock


async def reference(clock: Clock) -> Storage:
    """A storage of its own that every other one is held against."""
    return await open_storage("memory://", clock=clock)


async def everything(storage: Storage, limit: int = MAX_PAGE) -> list[moving.Record]:
    """All that a storage dumps."""
    return [record async for record in dumped(storage, limit)]


async def move(source: Storage, target: Storage, limit: int = MAX_PAGE) -> None:
    """Load into `target` what `source` holds."""
    records = await everything(source, limit)
    for first in range(0, len(records), limit):
        await target.load("move", records[first : first + limit])
    await target.load("move", [], last=True)
