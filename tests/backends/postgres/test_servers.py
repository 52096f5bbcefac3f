"""What the tests lean on: their servers begin again where they were, and their schemas as they were made."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import postgres_servers
from tests.postgres_servers import Pooler, Postgres, postgres_server, private_server
from tests.schemas import MAX_BYTES, schemas


@pytest.fixture
def server() -> Iterator[Postgres]:
    with private_server() as made:
        yield made


@pytest.fixture
async def schema() -> str:
    return await schemas().make()


def test_a_server_that_is_killed_or_stopped_begins_again_where_it_was(server: Postgres) -> None:
    server.tell("CREATE TABLE kept (word TEXT); INSERT INTO kept VALUES ('here')")

    server.kill()
    server.start()
    after_a_kill = server.ask("TABLE kept")
    server.stop()
    server.start()

    assert after_a_kill == server.ask("TABLE kept") == [("here",)]


def test_behind_a_pooler_a_server_that_comes_back_is_found_again(server: Postgres) -> None:
    pooler = Pooler(server, "default_pool_size=1").start()
    try:
        server.kill()
        server.start()

        pooler.until(lambda: pooler.ask("SELECT 1"))
    finally:
        pooler.end()


def test_a_schema_that_is_emptied_is_as_it_was_made(schema: str) -> None:
    server = postgres_server()
    tables = [name for (name,) in server.ask("SELECT tablename::text FROM pg_tables WHERE schemaname = $1", schema)]
    rows = {name: f"SELECT json_agg(whole.*)::text FROM {schema}.{name} AS whole" for name in tables}
    made = {name: server.ask(sql) for name, sql in rows.items()}
    large = MAX_BYTES // 1_000 * 2
    server.tell(
        f"UPDATE {schema}.aiq_counters SET jobs = 7, storage_id = 'another';"
        f"INSERT INTO {schema}.aiq_outbox (kind, n, wait_key) VALUES ('flip', 1, ''), ('flip', 2, '');"
        f"INSERT INTO {schema}.aiq_terms SELECT n, repeat('x', 1000) FROM generate_series(1, {large}) AS n"
    )

    schemas().empty(schema)

    assert {name: server.ask(sql) for name, sql in rows.items()} == made
    assert server.ask(f"SELECT nextval('{schema}.aiq_outbox_number_seq')") == [(1,)]


def test_no_two_tests_get_one_schema(schema: str) -> None:
    schemas().give_back(schema)

    with pytest.raises(AssertionError, match="given back before"):
        schemas().give_back(schema)


def test_where_no_server_is_installed_the_tests_say_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIQ_POSTGRES_BIN", str(tmp_path))

    with pytest.raises(AssertionError, match="apt-get install postgresql"):
        postgres_servers.programs.__wrapped__()
