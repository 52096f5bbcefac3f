"""What the benchmark of tenants and limits compares; how long anything takes is not asserted."""

from pathlib import Path

import pytest

import aiq
from aiq.model import JobFilter
from benchmarks import turns
from benchmarks.crowds import Crowd, compare
from benchmarks.turns import Side


async def test_jobs_are_of_one_tenant_after_the_other() -> None:
    crowd = Crowd("tenants", size=2, queued=5)
    async with aiq.Queue("memory://") as queue:
        await crowd.fill(Side("memory://", queue, crowd.deal()))
        found = sorted([job.tenant for job in (await queue.storage.list(JobFilter())).jobs])

    assert found == ["tenants-0"] * 3 + ["tenants-1"] * 2


async def test_jobs_are_spread_over_limits_that_are_stored() -> None:
    crowd = Crowd("limits", size=2, queued=4)
    async with aiq.Queue("memory://") as queue:
        await crowd.fill(Side("memory://", queue, crowd.deal()))
        stored = [limit.spec.name for limit in await queue.storage.get_limits()]
        found = sorted([limit for job in (await queue.storage.list(JobFilter())).jobs for limit in job.limits])

    assert stored == ["limits-0", "limits-1"]
    assert found == ["limits-0", "limits-0", "limits-1", "limits-1"]


@pytest.mark.parametrize("of", ["tenants", "limits"])
async def test_one_is_compared_with_many_on_storages_of_their_own(
    of: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(turns, "SINGLE", 5)
    monkeypatch.setattr(turns, "WARM", 5)
    found = await compare(f"sqlite:///{tmp_path}/a.db", of, size=3, queued=20, jobs=10, rounds=1)

    assert found.figures["drain"].ratio.median > 0
