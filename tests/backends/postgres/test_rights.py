"""The roles of docs/postgres.md can do what the page says, and no more."""

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import asyncpg
import pytest

import aiq
from aiq.backends.postgres.migrate import migrate
from aiq.backends.relational import door
from aiq.errors import Misconfigured, StorageMismatch
from aiq.model import Level, State
from tests.postgres_servers import Postgres, connect, private_server

PAGE = Path(__file__).parents[3] / "docs" / "postgres.md"


@aiq.task
async def ship(ctx: aiq.Context, order: int) -> int:
    await ctx.emit("packed")
    return await ctx.step("send", lambda: order, returns=int)


@pytest.fixture
def server() -> Iterator[Postgres]:
    with private_server() as made:
        yield made


@pytest.fixture
async def address(server: Postgres) -> Callable[[str], str]:
    """The address of a storage that was made as the page says, for each of the roles there."""
    before, after = re.findall(r"^```sql\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    server.tell(before)
    await migrate(server.url().replace("//aiq@", "//aiq_owner@"))
    server.tell(after)
    return lambda role: server.url().replace("//aiq@", f"//{role}@")


async def test_each_role_can_do_its_work(server: Postgres, address: Callable[[str], str]) -> None:
    async with aiq.Queue(address("shop")) as shop:
        connection = await connect(server.port, "shop")
        async with connection.transaction():
            left = await shop.within(connection, wake="notify").enqueue(ship.job(1))
        await connection.close()

    async with aiq.Queue(address("aiq_worker")) as queue:
        await queue.enqueue(ship.job(2))
        await aiq.Worker(queue, tasks=[ship]).run_until_idle()
        assert not [fact for fact in await queue.storage.facts() if fact.advice and fact.name != "durability"]

    async with aiq.Queue(address("aiq_dashboard")) as dashboard:
        assert await dashboard.count() == {State.SUCCEEDED: 2}
        assert await dashboard.storage.get([left.id]) != [None]
        assert await dashboard.storage.audit() == []
        with pytest.raises(Misconfigured, match="permission denied"):
            await dashboard.enqueue(ship.job(3))


async def test_whoever_only_reads_tries_to_store_what_was_left_once_in_a_while_and_not_with_each_look(
    server: Postgres, address: Callable[[str], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    async with aiq.Queue(address("shop")) as shop, aiq.Queue(address("aiq_dashboard")) as dashboard:
        connection = await connect(server.port, "shop")
        async with connection.transaction():
            await shop.within(connection).enqueue(ship.job(1))
        await connection.close()

        for _ in range(3):
            assert await dashboard.count() == {}
        assert server.log().count("permission denied") == 1

    monkeypatch.setattr(door, "LEFT_TO_OTHERS_S", 0)
    async with aiq.Queue(address("aiq_dashboard")) as dashboard:
        assert await dashboard.count() == {}
        server.tell("GRANT aiq_worker TO aiq_dashboard")
        assert await dashboard.count() == {State.READY: 1}


async def test_what_doctor_may_not_see_of_other_users_it_says(server: Postgres, address: Callable[[str], str]) -> None:
    async with aiq.Queue(address("aiq_worker")) as queue:
        told = {fact.name: fact for fact in await queue.storage.facts()}["snapshots"]
        assert told.level is Level.OK
        assert "pg_read_all_stats" in told.text

        server.tell("GRANT pg_read_all_stats TO aiq_worker")
        told = {fact.name: fact for fact in await queue.storage.facts()}["snapshots"]
        assert "pg_read_all_stats" not in told.text


async def test_whoever_only_leaves_jobs_reads_none(address: Callable[[str], str]) -> None:
    async with aiq.Queue(address("shop")) as shop:
        with pytest.raises(Misconfigured, match="permission denied"):
            await shop.list()


async def test_who_does_not_see_the_schema_takes_it_for_missing(
    server: Postgres, address: Callable[[str], str]
) -> None:
    server.tell("CREATE ROLE guest LOGIN")

    with pytest.raises(StorageMismatch, match="aiq migrate"):
        async with aiq.Queue(address("guest")):
            pass


@pytest.mark.parametrize("role", ["aiq_worker", "aiq_dashboard", "shop"])
async def test_nobody_but_the_owner_says_which_migrations_were_applied(
    role: str, server: Postgres, address: Callable[[str], str]
) -> None:
    for change in ("DELETE FROM", "UPDATE", "INSERT INTO"):
        what = {"UPDATE": "SET number = 0", "INSERT INTO": "VALUES (0, 0)"}.get(change, "")
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            server.tell(f"{change} aiq.aiq_migrations {what}", user=role)
