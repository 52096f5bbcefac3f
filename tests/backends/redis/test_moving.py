"""Moving between a namespace in Redis and a file of SQLite, with more in it than one page holds."""

from aiq.bounds import MAX_BATCH
from aiq.model import moving
from aiq.moving import move
from aiq.storage import Storage
from aiq.testing.actions import job, look
from aiq.testing.clock import Clock
from aiq.testing.moves import everything
from tests import stores
from tests.conformance.test_moving import a_flow_in_the_middle

TENANTS = 600
"""More than a table may have rows to be read in the order of their names."""


async def fill(storage: Storage) -> None:
    await a_flow_in_the_middle(storage)
    for first in range(0, 3 * MAX_BATCH, MAX_BATCH):
        batch = [job(f"job {first + place}", unique=f"key {first + place}") for place in range(MAX_BATCH)]
        await storage.enqueue(batch)
    for number in range(TENANTS):
        await storage.weigh(f"tenant {number}", 1 + number)


def told(records: list[moving.Record]) -> set[str]:
    """What is the same wherever it stands: cursors are its own, and nothing is nothing in any writing."""
    return {repr(one).replace("mappingproxy({})", "{}") for one in records if not isinstance(one, moving.Event)}


async def test_a_storage_moves_from_a_file_into_redis_and_back_whole(clock: Clock) -> None:
    async with stores.sqlite(clock) as file, stores.redis(clock) as namespace, stores.sqlite(clock) as other:
        await fill(file)

        assert await move(file, namespace) == await move(namespace, other)

        assert await namespace.audit() == []
        assert await other.audit() == []
        assert await look(namespace) == await look(file)
        assert told(await everything(other)) == told(await everything(file))


async def test_a_large_table_is_read_whole_whatever_the_size_of_the_pages(clock: Clock) -> None:
    async with stores.redis(clock) as namespace:
        await fill(namespace)

        pages = [await everything(namespace, limit) for limit in (7, 256)]

        assert told(pages[0]) == told(pages[1])
        assert len(pages[0]) == len(pages[1]) == len({repr(record) for record in pages[0]})
