"""Jobs, of which those that are plain go a shorter way."""

from collections.abc import Sequence

from aiq.backends.postgres.atomic import Home
from aiq.backends.postgres.door import ServerDoor
from aiq.backends.postgres.line import Line
from aiq.backends.postgres.plain.enqueue import enqueue, plain
from aiq.backends.postgres.plain.exchange import exchange, may_be_plain
from aiq.backends.postgres.plain.habit import Habit
from aiq.backends.postgres.plain.renew import renew
from aiq.backends.relational import enqueue as steps
from aiq.backends.relational.face.jobs import JobsFace
from aiq.errors import LeaseLost
from aiq.model import ClaimRequest, Enqueued, Exchanged, JobSpec, Lease, Renewed, Settlement
from aiq.rules.validation import check_batch, check_claim, check_renewal, check_settlements


class ServerJobs(ServerDoor, JobsFace):
    """As all stores in SQL have them. A function of the schema is asked first, and answers nothing where it cannot."""

    def __init__(self, home: Home, writer: Line, reader: Line) -> None:
        super().__init__(home, writer, reader)
        self._exchanges = Habit()

    async def enqueue(self, batch: Sequence[JobSpec], parent: Lease | None = None) -> list[Enqueued]:
        """See `aiq.storage.Jobs`."""
        check_batch(batch, parent)
        all_plain = plain(batch) if parent is None else None
        if all_plain is not None:
            answer = await self._plain(enqueue, all_plain)
            if answer is not None:
                return answer
        return await self._write(steps.enqueue, batch, parent)

    async def renew(
        self, leases: Sequence[Lease], *, lease_ms: int | None = None, shrink: bool = False
    ) -> list[Renewed | LeaseLost]:
        """See `aiq.storage.Jobs`."""
        check_renewal(leases, lease_ms)
        answer = await self._plain(renew, leases, lease_ms, shrink=shrink)
        return await super().renew(leases, lease_ms=lease_ms, shrink=shrink) if answer is None else answer

    async def exchange(self, settlements: Sequence[Settlement], claim: ClaimRequest | None = None) -> Exchanged:
        """See `aiq.storage.Jobs`."""
        check_settlements(settlements)
        if claim is not None:
            check_claim(claim)
        if self._exchanges.is_worth_asking() and may_be_plain(settlements, claim):
            answer = await self._plain(exchange, settlements, claim)
            self._exchanges.learn(made=answer is not None)
            if answer is not None:
                return answer
        return await super().exchange(settlements, claim)
