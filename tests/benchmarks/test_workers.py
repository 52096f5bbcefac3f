"""What the benchmark of several workers measures; how fast they are is not asserted."""

from pathlib import Path

from benchmarks.spread import Spread
from benchmarks.workers import Drain, drain, ratio


async def test_two_workers_do_all_jobs_of_a_storage(tmp_path: Path) -> None:
    found = await drain(f"sqlite:///{tmp_path}/a.db", workers=2, jobs=50)

    assert found.jobs_per_second > 0


def test_a_ratio_compares_the_two_sides_of_one_round() -> None:
    one, several = [Drain(100, 1, 1), Drain(10, 1, 1)], [Drain(200, 1, 1), Drain(30, 1, 1)]

    assert ratio(one, several) == Spread(2.5, 2, 3)
