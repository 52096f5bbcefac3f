"""What the benchmark of an idle worker counts; how much that is is not asserted."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

import aiq
from benchmarks import idle
from benchmarks.idle import Idle, commands, figures, measure
from benchmarks.private import STORES
from tests.postgres_servers import postgres_server
from tests.servers import redis_port


@pytest.fixture
def redis_url() -> str:
    return f"redis://127.0.0.1:{redis_port()}/0?namespace=idle"


async def test_a_worker_in_another_process_is_watched(redis_url: str) -> None:
    found = await measure(redis_url, queues=2, seconds=0.2, settled_s=3.0)

    assert 0 < found.cpu_share < 1


async def test_what_a_worker_asks_is_told_for_a_second_and_a_queue(
    redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = iter([100, 106])
    monkeypatch.setattr(idle, "commands", lambda _: next(asked))

    assert (await measure(redis_url, queues=3, seconds=0.2, settled_s=3.0)).commands_per_second == pytest.approx(10)


async def test_every_step_on_redis_is_one_command(redis_url: str) -> None:
    async with aiq.Queue(redis_url) as queue:
        await queue.count()
        before = commands(redis_url)
        for _ in range(3):
            await queue.count()
        after = commands(redis_url)

    assert after == before + 3


def test_transactions_of_a_postgres_database_are_counted() -> None:
    server = postgres_server()
    before = commands(server.url())
    for _ in range(50):
        server.ask("SELECT 1")

    assert commands(server.url()) > before


def test_a_transaction_that_writes_to_a_file_is_counted(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/a.db"
    with closing(sqlite3.connect(tmp_path / "a.db", isolation_level=None)) as file:
        file.execute("PRAGMA journal_mode = WAL")
        file.execute("CREATE TABLE seen (n)")
        before = commands(url)
        file.execute("INSERT INTO seen VALUES (1)")
        file.execute("INSERT INTO seen VALUES (2)")
        file.execute("SELECT n FROM seen").fetchall()

        assert commands(url) == before + 2


def test_a_share_of_a_core_is_told_in_percent() -> None:
    assert figures([Idle(0.004, 0.5)])["% of a core"].median == pytest.approx(0.4)


def test_every_store_that_a_benchmark_starts_can_be_watched() -> None:
    assert set(idle._COMMANDS) == set(STORES)
