"""Short sentences for tests of dead letters: let a job die of something, redrive it, look at its group."""

from typing import Any, Final

from aiq.errors import AiqError
from aiq.model import (
    Cause,
    DeadGroup,
    DeadQuery,
    Died,
    GroupStatus,
    JobError,
    JobRecord,
    Redrive,
    Redriven,
    Target,
)
from aiq.storage import Storage
from aiq.testing.actions import claim_one, end, get_one, start

PRINT: Final = "f" * 32
"""The fingerprint of an error, unless a test says another."""


def error(fingerprint: str = PRINT, message: str = "no row 7", **options: Any) -> JobError:
    """A failure with a fingerprint. The options are those of JobError, hence Any."""
    return JobError(**{"type": "KeyError", "fingerprint": fingerprint, "message": message, **options})


def deadly(fingerprint: str = PRINT, sample: str | None = None, **options: Any) -> Died:
    """An outcome by which a job dies. For the options see JobError."""
    return Died(error(fingerprint, **options), sample)


async def die(
    storage: Storage, job_id: str = "job", fingerprint: str = PRINT, sample: str | None = None, **options: Any
) -> JobRecord:
    """Store a job, run it and let it die; the record is that of the run. The options are those of JobSpec."""
    run = await start(storage, job_id, **options)
    await end(storage, run, deadly(fingerprint, sample))
    return run


async def die_of(storage: Storage, job_id: str, cause: Cause, **options: Any) -> JobRecord:
    """The same, of a cause. The options are those of JobSpec."""
    run = await start(storage, job_id, **options)
    await end(storage, run, deadly(cause=cause))
    return run


async def redrive(storage: Storage, *job_ids: str, id: str = "again", **options: Any) -> list[Redriven | AiqError]:
    """Redrive jobs in the generation in which they stand. The options are those of Redrive, hence Any."""
    targets = [Target(job_id, (await get_one(storage, job_id)).generation) for job_id in job_ids]
    return list(await storage.redrive(Redrive(id=id, targets=tuple(targets), **options)))


async def revive(storage: Storage, job_id: str = "job", **options: Any) -> JobRecord:
    """Redrive a job that may be, and read it."""
    (answer,) = await redrive(storage, job_id, **options)
    assert isinstance(answer, Redriven), answer
    return await get_one(storage, job_id)


async def run_again(storage: Storage, job_id: str = "job", **options: Any) -> JobRecord:
    """Redrive a job, and claim it."""
    await revive(storage, job_id, **options)
    return await claim_one(storage)


async def groups(storage: Storage, **query: Any) -> list[GroupStatus]:
    """The first page of groups. The options are those of DeadQuery, hence Any."""
    return list((await storage.dead_groups(DeadQuery(**query))).groups)


async def the_status(storage: Storage, fingerprint: str = PRINT) -> GroupStatus:
    """A group that must be there, as it stands."""
    (status,) = await groups(storage, fingerprint=fingerprint)
    return status


async def the_group(storage: Storage, fingerprint: str = PRINT) -> DeadGroup:
    """A group that must be there."""
    return (await the_status(storage, fingerprint)).group


async def members(storage: Storage) -> dict[str, int]:
    """How many jobs stand in each group in which some do."""
    return {status.group.fingerprint: status.group.dead for status in await groups(storage) if status.group.dead}


def reasons(answers: list[Redriven | AiqError]) -> list[str]:
    """What a redrive answered, in a word each."""
    return ["redriven" if isinstance(one, Redriven) else getattr(one, "reason", "not found") for one in answers]
