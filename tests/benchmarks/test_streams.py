"""What the benchmark of streams measures; how soon a token is seen is not asserted."""

from pathlib import Path

import pytest

import aiq
from benchmarks import streams
from benchmarks.cost import Cost
from benchmarks.streams import Scene, Seen, figure, measure, seen, talk, watch

FREE = Cost(0, 0, 0)


@pytest.fixture(autouse=True)
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams, "WARM_S", 0)


async def test_every_reader_of_every_job_is_measured() -> None:
    async with aiq.Queue("memory://") as queue, aiq.Worker(queue, tasks=[talk], slots=2):
        found = await watch(queue, Scene(jobs=2, rate=1_000, readers=3), 0.02, "memory://", lambda: 0)

    assert 0 < found.p50_ms <= found.p99_ms <= found.max_ms


async def test_the_jobs_run_in_another_process(tmp_path: Path) -> None:
    (found,) = await measure(f"sqlite:///{tmp_path}/a.db", [Scene(jobs=1, rate=1_000, readers=1)], 0.02, 1)

    assert found.worker_cpu_us.median > 0


async def test_a_reader_who_missed_a_token_makes_the_figures_void(monkeypatch: pytest.MonkeyPatch) -> None:
    async def miss(job: aiq.Job[int]) -> list[int]:
        return [1]

    monkeypatch.setattr(streams, "read", miss)
    async with aiq.Queue("memory://") as queue:
        with pytest.raises(SystemExit, match="missed a token"):
            await watch(queue, Scene(jobs=1, rate=1_000, readers=1), 0.02, "memory://", lambda: 0)


def test_delays_are_told_in_milliseconds() -> None:
    found = seen([place * 1_000_000 for place in range(200)], FREE, 0)

    assert (found.p50_ms, found.p99_ms, found.max_ms) == (99.5, 198, 199)


def test_a_figure_is_the_median_of_the_rounds() -> None:
    rounds = [Seen(ms, ms, ms, FREE, 0) for ms in (3, 1, 2)]

    assert figure(rounds).p99_ms.median == 2
