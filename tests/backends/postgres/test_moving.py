"""Moving between a schema in PostgreSQL and files of SQLite, with more in it than one page holds."""

from pathlib import Path

import pytest

from aiq.model import moving
from aiq.moving import move
from aiq.testing.actions import enqueue_one, look
from aiq.testing.clock import Clock
from aiq.testing.moves import everything
from tests import stores
from tests.backends.lived import live
from tests.backends.redis.test_moving import fill, told
from tests.backends.sqlite_files import opened
from tests.backends.test_sqlite_moving import differing, tables


async def test_a_storage_moves_from_a_file_into_a_schema_and_back_whole(clock: Clock) -> None:
    async with stores.sqlite(clock) as file, stores.postgres(clock) as schema, stores.sqlite(clock) as other:
        await fill(file)

        assert await move(file, schema) == await move(schema, other)

        assert await schema.audit() == []
        assert await other.audit() == []
        assert await look(schema) == await look(file)
        assert told(await everything(other)) == told(await everything(file))


async def test_every_column_of_a_file_comes_back_out_of_a_schema(clock: Clock, tmp_path: Path) -> None:
    old, new = tmp_path / "old.db", tmp_path / "new.db"
    async with opened(old, clock) as file, stores.postgres(clock) as schema, opened(new, clock) as other:
        await live(file, clock)

        await move(file, schema)
        await move(schema, other)

        assert await schema.audit() == []
    before, after = tables(old), tables(new)
    assert {name: differing(rows, after[name]) for name, rows in before.items() if differing(rows, after[name])} == {}


async def test_a_life_in_a_schema_moves_as_one_in_a_file_does(clock: Clock) -> None:
    async with stores.postgres(clock) as schema, stores.sqlite(clock) as file, stores.postgres(clock) as other:
        await live(schema, clock)

        await move(schema, file)
        await move(file, other)

        assert [await one.audit() for one in (schema, file, other)] == [[], [], []]
        assert told(await everything(other)) == told(await everything(schema))


@pytest.mark.parametrize("limit", [7, 256])
async def test_a_large_table_is_read_whole_whatever_the_size_of_the_pages(clock: Clock, limit: int) -> None:
    async with stores.sqlite(clock) as file, stores.postgres(clock) as schema:
        await fill(file)
        await move(file, schema)

        found = await everything(schema, limit)

        assert told(found) == told(await everything(file))
        assert len(found) == len({repr(record) for record in found})


async def test_whoever_is_held_after_a_move_stands_behind_those_who_were_held_before(clock: Clock) -> None:
    """They bring their places along, and a sequence would give the same ones again."""
    async with stores.sqlite(clock) as file, stores.postgres(clock) as schema:
        for name in ("a", "b", "c"):
            await file.hold([await enqueue_one(file, name)])
        await move(file, schema)

        await schema.hold([await enqueue_one(schema, "d")])

        jobs = [one for one in await everything(schema) if isinstance(one, moving.Job)]
        assert [one.record.id for one in sorted(jobs, key=lambda one: one.held_at)] == ["a", "b", "c", "d"]


async def test_a_signal_sent_after_a_move_comes_behind_those_sent_before(clock: Clock) -> None:
    async with stores.sqlite(clock) as file, stores.postgres(clock) as schema:
        await enqueue_one(file, "asks")
        for number in range(3):
            await file.send("asks", "go", f"signal {number}", b"early")
        await move(file, schema)

        await schema.send("asks", "go", "signal 3", b"late")

        signals = [one.id for one in await everything(schema) if isinstance(one, moving.Signal)]
        assert signals == [f"signal {number}" for number in range(4)]
