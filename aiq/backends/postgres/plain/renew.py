"""Restarting leases by one function of the schema, see migrations/0004_plain/3_renew.sql."""

from collections.abc import Callable, Sequence

from aiq.backends.postgres.atomic import Home, alone, call
from aiq.backends.postgres.line import Line
from aiq.errors import LeaseLost
from aiq.model import Lease, Renewed


def renew(
    home: Home, line: Line, unwanted: Callable[[], bool], leases: Sequence[Lease], lease_ms: int | None, *, shrink: bool
) -> list[Renewed | LeaseLost] | None:
    """Restart all of these leases, or answer nothing where one is lost. Spec: LEASE-3"""
    columns = ([lease.job_id for lease in leases], [lease.fence for lease in leases])
    given = (*columns, [lease.lease_id for lease in leases], lease_ms, shrink)
    told = call(home, line, unwanted, "aiq_renew_4", (*alone(home), *given))
    return None if told[0] is None else [Renewed(*one) for one in zip(*told, strict=True)]
