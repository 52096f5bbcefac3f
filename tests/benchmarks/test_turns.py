"""How benchmarks compare two storages; how long anything takes is not asserted."""

from pathlib import Path

import pytest

import aiq
from aiq.model import JobFilter
from benchmarks import turns
from benchmarks.cost import Clocks, Cost, Instant
from benchmarks.spread import Spread
from benchmarks.turns import Mile, Plan, Side, beside, compare, measure
from tests.postgres_servers import postgres_server
from tests.servers import redis_port


@pytest.fixture(autouse=True)
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(turns, "SINGLE", 20)
    monkeypatch.setattr(turns, "WARM", 10)


async def test_a_side_has_as_many_in_line_after_a_turn_as_before() -> None:
    async with aiq.Queue("memory://") as queue:
        side = Side("memory://", queue)
        await side.put(200)
        await side.turn(jobs=50)
        counts = await queue.count()

    # A worker that is stopped ends what it has begun.
    assert 200 - turns.SLOTS <= counts[aiq.State.READY] <= 200


async def test_the_jobs_of_a_side_are_as_they_are_dealt() -> None:
    async with aiq.Queue("memory://") as queue:
        await Side("memory://", queue, lambda job: job.using(tenant="a")).put(3)
        found = [job.tenant for job in (await queue.storage.list(JobFilter())).jobs]

    assert found == ["a", "a", "a"]


async def test_both_storages_are_filled_and_measured_in_every_round(tmp_path: Path) -> None:
    filled = []

    async def fill(side: Side) -> None:
        filled.append(side)
        await side.put(100)

    few, many = (Plan(f"sqlite:///{tmp_path}/{name}.db", fill) for name in ("few", "many"))
    found = await measure((few, many), jobs=20, rounds=1)

    assert len(filled) == 2
    assert found.figures.keys() == {"one_by_one", "enqueue_many", "drain"}


def test_only_the_jobs_after_the_first_few_are_measured() -> None:
    times = iter([Instant(10, 1, 0), Instant(12, 2, 4)])

    class Turned(Clocks):
        def now(self) -> Instant:
            return next(times)

    mile = Mile(Turned(lambda: 0.0), jobs=4)
    for _ in range(turns.WARM + 4 + 7):
        mile.up()

    assert mile.over.is_set()
    assert mile.cost() == Cost(wall_us=500_000, client_us=250_000, server_us=1_000_000)


def test_a_ratio_is_that_of_the_two_sides_of_one_round() -> None:
    few = [{"drain": Cost(10, 5, 5)}, {"drain": Cost(100, 50, 50)}, {"drain": Cost(1_000, 1, 1)}]
    many = [{"drain": Cost(12, 5, 10)}, {"drain": Cost(110, 50, 50)}, {"drain": Cost(1_000, 1, 1)}]

    found = compare(few, many)["drain"]

    assert found.ratio == Spread(1.1, 1, 1.2)
    assert found.ratio_cpu == Spread(1, 1, 1.5)


@pytest.mark.parametrize(
    ("url", "found"),
    [
        ("sqlite:////tmp/a.db?synchronous=normal", "sqlite:////tmp/a.db-few?synchronous=normal"),
        ("redis://h:1/0", "redis://h:1/0?namespace=growth_few"),
        ("redis://h:1/0?namespace=x", "redis://h:1/0?namespace=x_few"),
        ("postgresql://u@h/d?schema=x&sslmode=disable", "postgresql://u@h/d?schema=x_few&sslmode=disable"),
    ],
)
def test_both_storages_stand_beside_the_one_that_was_named(url: str, found: str) -> None:
    assert beside(url, "few") == found


def test_the_cpu_time_of_a_redis_server_is_known() -> None:
    assert Clocks.of(f"redis://127.0.0.1:{redis_port()}/0").now().server > 0


def test_the_cpu_time_of_a_postgres_server_on_this_machine_is_known() -> None:
    assert Clocks.of(postgres_server().url()).now().server > 0


def test_sqlite_works_in_this_process(tmp_path: Path) -> None:
    assert Clocks.of(f"sqlite:///{tmp_path}/a.db").now().server == 0
