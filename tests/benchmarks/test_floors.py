"""The floors beside which pick-ups are measured; how long they take is not asserted."""

from collections.abc import Callable

import pytest

import aiq
from benchmarks.floors import floor
from benchmarks.latency import Latency, latency, multiple, pick_up, wait_times
from tests.postgres_servers import postgres_server
from tests.servers import redis_port


def redis_url() -> str:
    return f"redis://127.0.0.1:{redis_port()}/0?namespace=floors"


@pytest.mark.parametrize("url", [redis_url, lambda: postgres_server().url()], ids=["redis", "postgres"])
async def test_a_process_that_waits_hears_at_once_what_is_sent(url: Callable[[], str]) -> None:
    async with floor(url()) as knock:
        assert knock is not None
        assert 0 < await knock() < 10_000
        assert 0 < await knock() < 10_000


async def test_a_store_without_a_server_has_no_floor() -> None:
    async with floor("sqlite:///bench.db") as knock:
        assert knock is None


async def test_the_floor_is_measured_as_often_as_jobs_are_picked_up() -> None:
    heard_ms: list[float] = []

    async def knock() -> float:
        return 1.0

    async with aiq.Queue("memory://") as queue, aiq.Worker(queue, tasks=[pick_up]):
        taken_ms = await wait_times(queue, 2, knock, heard_ms)

    assert len(heard_ms) == len(taken_ms) == 2
    assert latency(heard_ms).p50_ms == 1


def test_ours_is_told_as_a_multiple_of_the_floor() -> None:
    assert multiple(Latency(3, 8, 9), Latency(2, 4, 3)) == Latency(1.5, 2, 3)
