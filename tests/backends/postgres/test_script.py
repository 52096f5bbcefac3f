"""What a step writes goes as one script, whatever the values are."""

import re
import time
from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import pytest

from aiq.backends.postgres.atomic import _leave
from aiq.backends.postgres.line import Line
from aiq.backends.postgres.script import GATHERED, MOST_BYTES, execution
from aiq.backends.postgres.sql import TEXTS
from aiq.backends.postgres.storage import PostgresStorage
from aiq.testing.actions import job
from aiq.testing.clock import Clock
from tests import stores
from tests.postgres_servers import connect, postgres_server

NAME = "metrics.add"
"""One that may go in a script."""
CONTENT = re.compile(r"\b(payload|result|message|traceback|data|sample|progress)\b")
ODD = ["", "it's", "a\\", "\\'", "E'", "$1", "%s", "line\nbreak", "–", "𝄞", "'); DROP TABLE aiq_jobs; --"]


@pytest.fixture
async def connection() -> AsyncIterator["asyncpg.Connection[asyncpg.Record]"]:
    made = await connect(postgres_server().port)
    yield made
    await made.close(timeout=5)


async def heard(connection: "asyncpg.Connection[asyncpg.Record]", kind: str, value: object) -> Any:
    """What a prepared statement of one parameter is given by a script."""
    await connection.execute("CREATE TEMPORARY TABLE IF NOT EXISTS told (value text)")
    statement = await connection.prepare(f"INSERT INTO told VALUES ($1::{kind}::text)", name=NAME)
    script = execution(NAME, [value])
    assert script is not None
    await connection.execute(script)
    del statement
    return await connection.fetchval("DELETE FROM told RETURNING value")


@pytest.mark.parametrize("conforming", ["on", "off"])
@pytest.mark.parametrize("text", ODD)
async def test_a_text_is_heard_as_it_was_told_whatever_the_server_makes_of_backslashes(
    connection: "asyncpg.Connection[asyncpg.Record]", text: str, conforming: str
) -> None:
    await connection.execute(f"SET standard_conforming_strings TO {conforming}; SET backslash_quote TO safe_encoding")

    assert await heard(connection, "text", text) == text


@pytest.mark.parametrize(
    ("kind", "value", "answer"),
    [
        ("bigint", -(2**63), str(-(2**63))),
        ("smallint", True, "1"),
        ("boolean", False, "false"),
        ("text", None, None),
        ("bytea", bytes(range(256)), "\\x" + bytes(range(256)).hex()),
        ("bytea", b"", "\\x"),
    ],
)
async def test_a_value_takes_the_type_of_its_parameter(
    connection: "asyncpg.Connection[asyncpg.Record]", kind: str, value: object, answer: str | None
) -> None:
    assert await heard(connection, kind, value) == answer


@pytest.mark.parametrize("value", ["a\0b", "x" * (MOST_BYTES + 1), b"x" * (MOST_BYTES + 1), ["a"], 1.5])
def test_what_cannot_stand_in_a_script_or_is_too_long_for_one_goes_by_itself(value: object) -> None:
    assert execution(NAME, [1, value]) is None


def test_nothing_that_a_job_works_on_or_has_come_to_goes_in_a_script_which_a_server_may_log() -> None:
    assert [name for name in GATHERED if CONTENT.search(TEXTS[name].text)] == []
    assert execution("settle.result", [b"", "[]"]) is None


async def test_what_a_step_that_is_given_up_would_have_written_is_written_by_nobody_else() -> None:
    def give_up(line: Line, _: object) -> None:
        session = line.session(time.monotonic() + 5)
        # As where the role finds the schema by itself: else the statement would fail where it is sent too late.
        session.script(f"SET search_path TO {line.address.schema}")
        session.begin("BEGIN", 0)
        session.write("transaction.tell", {"rows": '[[7, "stale"]]'})
        _leave(line, session)

    async with stores.postgres(Clock()) as storage:
        assert isinstance(storage, PostgresStorage)
        await storage._writer.perform(give_up)

        # A function of the schema begins no transaction of its own, and neither does the notice that follows.
        await storage.enqueue([job("next")])
        await storage._writer.perform(lambda line, _: line._tell())
        await storage.pause("default")

        news = f"SELECT topic FROM {storage._home.address.schema}.aiq_news"
        assert ("stale",) not in postgres_server().ask(news)
