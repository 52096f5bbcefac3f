"""Short sentences for tests of ordered keys."""

from typing import Any, Final

from aiq.model import JobRecord, JobSpec
from aiq.storage import Storage
from aiq.testing.actions import claim_some, job, start

DELAY_MS: Final = 1_000
"""How long what is delayed here is."""
_KEY: Final[dict[str, Any]] = {"key": "talk", "per_key": 1}
"""The one key of most tests."""


def ordered(job_id: str, **options: Any) -> JobSpec:
    """An ordered job. The options are those of JobSpec, as wide as Any here as in `job`."""
    return job(job_id, **{**_KEY, **options})


async def line_up(storage: Storage, *job_ids: str, **options: Any) -> None:
    """Store ordered jobs in one batch. For the options see `ordered`."""
    await storage.enqueue([ordered(job_id, **options) for job_id in job_ids])


async def begin(storage: Storage, job_id: str = "first", **options: Any) -> JobRecord:
    """Store an ordered job and claim it. For the options see `ordered`."""
    return await start(storage, job_id, **{**_KEY, **options})


async def given(storage: Storage) -> list[str]:
    """The ids of the jobs that a claim is given now, at most ten."""
    return [run.id for run in await claim_some(storage, 10)]
