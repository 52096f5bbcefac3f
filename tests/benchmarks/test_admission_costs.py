"""What the benchmarks of admission compare; how long anything takes is not asserted."""

import pytest

from benchmarks import blocked_pool, throughput
from benchmarks.loads import Load
from benchmarks.throughput import Round, compare, measure, ratios


async def test_the_halves_of_a_round_are_measured_in_turns_there_and_back(monkeypatch: pytest.MonkeyPatch) -> None:
    plain, loaded = Load(), Load(2, "own")
    measured: list[Load] = []

    async def remember(url: str, jobs: int, concurrency: int, load: Load) -> Round:
        measured.append(load)
        return Round(len(measured), 1, 1, 1)

    monkeypatch.setattr(throughput, "measure", remember)
    found = await compare("memory://", 10, 1, 3, [plain, loaded])

    assert measured == [plain, loaded, loaded, plain, plain, loaded]
    assert [[one.one_by_one for one in rounds] for rounds in found] == [[1, 4, 5], [2, 3, 6]]


def test_a_ratio_compares_the_halves_of_one_round() -> None:
    plain, loaded = [Round(100, 10, 8, 1), Round(10, 1, 4, 1)], [Round(50, 5, 2, 3), Round(20, 1, 2, 1)]

    assert ratios(plain, loaded) == [Round(0.5, 0.5, 0.25, 3), Round(2, 1, 0.5, 1)]


@pytest.mark.parametrize("load", [Load(), Load(2, "own"), Load(1, "shared"), Load(2, "own", calls=True)])
async def test_no_load_is_ever_refused(load: Load) -> None:
    # It ends the process if one job has not ended well.
    await measure("memory://", 40, 10, load)


async def test_the_pools_are_parked_whenever_they_are_asked() -> None:
    figures = await blocked_pool.measure("memory://", jobs=300, tenants=40, polls=3)

    assert set(figures) == {"poll", "woken", "upkeep"}


async def test_a_pool_that_gives_a_job_is_no_measure_of_a_parked_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blocked_pool, "NARROW", blocked_pool.LimitSpec(name="narrow", requests=1_000))

    with pytest.raises(SystemExit, match="not parked"):
        await blocked_pool.measure("memory://", jobs=20, tenants=4, polls=1)
