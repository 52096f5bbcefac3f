"""Settling and claiming plain jobs by one function of the schema, see migrations/0004_plain/1_exchange.sql."""

from collections.abc import Callable, Sequence
from typing import Final

from aiq.backends.postgres.atomic import Home, alone, call, tell
from aiq.backends.postgres.line import Line
from aiq.backends.postgres.plain.claimed import claimed
from aiq.backends.relational.settle import settled_id
from aiq.bounds import (
    CANCEL_GRACE_MS,
    CLAIM_KEPT_MS,
    MAX_BATCH,
    MAX_BATCH_BYTES,
    MAX_INSTANT_MS,
)
from aiq.model import ClaimRequest, Exchanged, Settled, Settlement, State, Succeeded
from aiq.rules.metrics import MINUTE_MS
from aiq.storage import events_topic, job_topic

_BOUNDS: Final = (CANCEL_GRACE_MS, MAX_INSTANT_MS, CLAIM_KEPT_MS, MINUTE_MS, MAX_BATCH, MAX_BATCH_BYTES)
_NO_CLAIM: Final[tuple[object, ...]] = (None, None, None, [], [])
_NEVER: Final = -1
_SETTLED: Final = Settled(State.SUCCEEDED)


def exchange(
    home: Home,
    line: Line,
    unwanted: Callable[[], bool],
    settlements: Sequence[Settlement],
    request: ClaimRequest | None,
) -> Exchanged | None:
    """As `relational.exchange`, if all of it is plain. Spec: STORE-5"""
    # Where nothing is settled and nothing claimed, the answer promises nothing; and to a repeat, which is given jobs of
    # an earlier step, the function answers nothing.
    row = call(home, line, unwanted, "aiq_exchange_4", given(home, settlements, request), sure=bool(settlements))
    next_ms, first_change, changes, ns, *told = row
    if next_ms is None:
        return None
    runs = claimed(request, ns, told) if request is not None and ns else ()
    if changes:
        topics = {job_topic(settlement.lease.job_id) for settlement in settlements}
        topics.update([job_topic(record.id) for record in runs])
        tell(home, line, {*topics, events_topic()}, range(first_change, first_change + changes))
    return Exchanged((_SETTLED,) * len(settlements), runs, None if next_ms == _NEVER else next_ms)


def given(home: Home, settlements: Sequence[Settlement], request: ClaimRequest | None) -> tuple[object, ...]:
    """What the function is given."""
    claiming = _NO_CLAIM if request is None else _claiming(request)
    return (*alone(home), *_BOUNDS, *_settling(settlements), *claiming)


def _settling(settlements: Sequence[Settlement]) -> tuple[object, ...]:
    leases = [settlement.lease for settlement in settlements]
    return (
        [lease.job_id for lease in leases],
        [lease.fence for lease in leases],
        [lease.lease_id for lease in leases],
        [settled_id(settlement.lease, settlement.id) for settlement in settlements],
        [settlement.outcome.result for settlement in settlements if isinstance(settlement.outcome, Succeeded)],
    )


def _claiming(request: ClaimRequest) -> tuple[object, ...]:
    queues, counts = [want.queue for want in request.wants], [want.count for want in request.wants]
    return request.worker, request.number, request.lease_id, queues, counts
