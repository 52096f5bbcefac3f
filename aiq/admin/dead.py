"""Dead letters: what jobs died of, and what becomes of jobs that have ended."""

from typing import Literal

from aiq import revival
from aiq.admin.room import Room
from aiq.bounds import MAX_AMOUNT, MAX_PAGE
from aiq.errors import InvalidInput, NotFound
from aiq.flow import FlowRun
from aiq.job import fresh_id
from aiq.misuse import check_word
from aiq.model import Band, DeadQuery, JobFilter, Redrive
from aiq.outcomes import Outcomes
from aiq.policy import BandName, Duration, band_of, duration_ms
from aiq.revival import DeadReport, Walk, Which
from aiq.rules.validation import check_opaque, check_range


class DeadLetterAdmin(Room):
    """The part of `Admin` that is about jobs that have ended."""

    async def dead(self, *, by: Literal["last_seen", "dead"] = "last_seen", limit: int = MAX_PAGE) -> list[DeadReport]:
        """What jobs died of, in groups: those of the newest death first, or those with the most dead; at most `limit`.

        for group in await queue.admin.dead():
            print(group.dead, group.type, group.place, group.pattern, group.usd, group.success_rate)
        await queue.admin.redrive(JobFilter(fingerprint=group.fingerprint), spread=0.1)
        """
        check_word("by", by, "last_seen", "dead")
        check_range("limit", limit, 1, MAX_AMOUNT)
        query, cursor = DeadQuery(by=by), None
        found: list[DeadReport] = []
        while True:
            page = await self._storage.dead_groups(query, cursor=cursor, limit=min(MAX_PAGE, limit - len(found)))
            found += map(DeadReport.of, page)
            cursor = page.cursor
            if cursor is None or len(found) == limit:
                return found

    async def dead_group(self, fingerprint: str) -> DeadReport:
        """One group, by its fingerprint.

        Raises:
            NotFound: no job has died so, or none for long.
        """
        found = (await self._storage.dead_groups(DeadQuery(fingerprint=fingerprint))).groups
        if not found:
            raise NotFound(fingerprint, f"No group of dead jobs has the fingerprint {fingerprint!r}. See admin.dead().")
        return DeadReport.of(found[0])

    async def redrive(
        self,
        which: Which,
        *,
        queue: str | None = None,
        band: BandName | Band | None = None,
        route: str | None = None,
        budget: str | None = None,
        delay: Duration = 0,
        spread: Duration = 0,
        forget_steps: bool = False,
        detach: bool = False,
        limit: int | None = None,
        after: str | None = None,
    ) -> Outcomes:
        """Give jobs that are dead or cancelled another generation: by handle or id, or all that a filter finds.

        They have all their attempts again, and keep what they remember, unless `forget_steps`. What is named takes the
        place of their own: another `queue`, `band`, `route`, or `budget` by its id. The first may start after `delay`,
        each further one `spread` later. A child whose parent has ended is refused, unless it is to be on its own from
        now on (`detach`): redrive the parent, and what failed of its children goes with it.

        At most `limit` jobs, done or refused; the next ones come with `after`, which is `Outcomes.after`.

        Raises:
            NotFound: the budget is not stored; nothing was changed.
            InvalidInput: a value is out of range.
            StorageError: nothing was changed. If something was, `Outcomes.stopped` says what ended it.
        """
        request = Redrive(
            id=fresh_id(),
            targets=(),
            queue=queue,
            band=None if band is None else band_of(band),
            route=route,
            budget=budget,
            delay_ms=duration_ms("delay", delay),
            spread_ms=duration_ms("spread", spread),
            forget_steps=forget_steps,
            detach=detach,
        )
        return await revival.redrive(self._storage, Walk(which, limit, after), request)

    async def replay(
        self,
        which: "Which | FlowRun",
        *,
        id: str | None = None,
        queue: str | None = None,
        spread: Duration = 0,
        limit: int | None = None,
        after: str | None = None,
    ) -> Outcomes:
        """Enqueue jobs that have succeeded once more, each as a job of its own that names the first as its `origin`.

        Jobs of a flow that are replayed together are a flow again, whose id the new ones tell: each waits for the new
        ones of those it depended on. One that is replayed without these reads the results that they once had.

        With an `id` of your own, the same replay again makes no job twice. `done` has the ids of the new jobs. `limit`
        and `after` are as for `redrive`; going on takes the same `id`.

        Raises:
            StorageError: nothing was stored. If something was, `Outcomes.stopped` says what ended it: a queue that is
                full, for instance.
        """
        if id is not None:
            check_opaque("replay id", id)
        if after is not None and id is None:
            raise InvalidInput("A replay goes on under its own id: pass the `id` with which it began.")
        meant = JobFilter(flow=which.id) if isinstance(which, FlowRun) else which
        name, spread_ms = fresh_id() if id is None else id, duration_ms("spread", spread)
        return await revival.replay(self._storage, Walk(meant, limit, after), name, queue=queue, spread_ms=spread_ms)

    async def purge(self, which: Which, *, limit: int | None = None, after: str | None = None) -> Outcomes:
        """Remove jobs that have ended now, with all that belongs to them: results, steps, streams, samples.

        One that another job needs is refused, unless a filter without `limit` finds that one too: a child goes with
        its parent. `limit` and `after` are as for `redrive`.
        """
        return await revival.purge(self._storage, Walk(which, limit, after))
