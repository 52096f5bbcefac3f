"""Our own operations, with all that they promise."""

from itertools import count

from aiq.backends import migrate_storage, open_storage
from aiq.model import ClaimRequest, JobRecord, JobSpec, Settlement, Succeeded, Want
from benchmarks.ceiling.bare import PAYLOAD, RESULT

LEASE_MS = 3_600_000


class Operations:
    """See `benchmarks.ceiling.bare.Bare`."""

    def __init__(self) -> None:
        self._runs: tuple[JobRecord, ...] = ()
        self._jobs, self._claims = count(1), count(1)

    async def open(self, url: str) -> None:
        """Open the storage."""
        await migrate_storage(url)
        self._storage = await open_storage(url)

    async def put(self, jobs: int) -> None:
        """One `enqueue`."""
        await self._storage.enqueue([self._job() for _ in range(jobs)])

    def _job(self) -> JobSpec:
        return JobSpec(id=f"{next(self._jobs):032x}", task="noop", payload=PAYLOAD, lease_ms=LEASE_MS)

    async def turn(self, jobs: int) -> int:
        """One `exchange`."""
        number = next(self._claims)
        claim = ClaimRequest("ceiling", number, f"{number:032x}", (Want("default", jobs),))
        settlements = [Settlement(run.lease, "settled", Succeeded(RESULT)) for run in self._runs]
        self._runs = (await self._storage.exchange(settlements, claim)).claimed
        return len(self._runs)

    async def close(self) -> None:
        """Close the storage."""
        await self._storage.close()
