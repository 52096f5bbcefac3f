"""Jobs that have ended stand in a table of their own, and nobody who looks for work looks there."""

import pytest

from aiq.backends.postgres.sql import TEXTS
from aiq.backends.postgres.storage import PostgresStorage
from aiq.model import Succeeded
from aiq.testing.actions import BAD, GOOD, end_one, enqueue_one, start
from aiq.testing.burials import die, revive
from aiq.testing.clock import Clock
from tests.backends.postgres.whole_tables import Stepwise, opened
from tests.postgres_servers import postgres_server

LOOKING_FOR_WORK = {"claim", "heads", "sweeps", "lanes", "gates"}


@pytest.fixture
def clock() -> Clock:
    return Clock()


def standing(schema: str) -> tuple[list[str], list[str]]:
    """The ids of the jobs that can still move, and of those that have ended."""
    live, ended = (
        [job_id for (job_id,) in postgres_server().ask(f"SELECT id FROM {schema}.{table} ORDER BY id")]
        for table in ("aiq_live", "aiq_ended")
    )
    return live, ended


@pytest.mark.parametrize("kind", [PostgresStorage, Stepwise], ids=["by a function", "by a step"])
async def test_a_job_that_succeeds_leaves_the_table_of_those_that_can_still_move(
    clock: Clock, kind: type[PostgresStorage]
) -> None:
    async with opened(clock, kind) as (storage, schema):
        for job_id in ("a", "b", "c"):
            await enqueue_one(storage, job_id)

        await end_one(storage, Succeeded(b"1"))

        assert standing(schema) == (["b", "c"], ["a"])


async def test_a_job_that_dies_or_is_cancelled_leaves_it_too(clock: Clock) -> None:
    async with opened(clock) as (storage, schema):
        for job_id in ("a", "b", "c"):
            await enqueue_one(storage, job_id)

        await end_one(storage, BAD)
        await storage.cancel(["c"])

        assert standing(schema) == (["b"], ["a", "c"])


async def test_a_job_that_is_redriven_comes_back(clock: Clock) -> None:
    async with opened(clock) as (storage, schema):
        await die(storage, "a")

        await revive(storage, "a")

        assert standing(schema) == (["a"], [])


async def test_what_looks_for_work_knows_of_no_job_that_has_ended() -> None:
    looking = {name: text for name, (text, _) in TEXTS.items() if name.partition(".")[0] in LOOKING_FOR_WORK}

    assert [name for name, text in looking.items() if "aiq_jobs" in text or "aiq_ended" in text] == []
    assert any("aiq_live" in text for text in looking.values())


@pytest.mark.parametrize(("column", "told"), [("id", "a stands twice"), ("n", "number 1 stands twice")])
async def test_an_audit_names_a_job_that_somebody_has_stored_among_both(clock: Clock, column: str, told: str) -> None:
    async with opened(clock) as (storage, schema):
        await enqueue_one(storage, "a")
        await end_one(storage, GOOD)
        await start(storage, "b")
        postgres_server().tell(f"UPDATE {schema}.aiq_live AS l SET {column} = e.{column} FROM {schema}.aiq_ended AS e")

        texts = [violation.text for violation in await storage.audit()]

        assert f"the storage is damaged: {told}" in texts
