"""Which pool a job stands in, and whose turn it is: lines, lifts and credits. Spec: chapter 12."""

from collections.abc import Mapping

from aiq.model import JobRecord, LimitSpec

PLAIN = ""
"""The pool of jobs that take no limit without `by` and have no tenant."""
SHARED = "~"
"""The pool of jobs that take no limit without `by` and have a tenant."""


def pool_of(limits: Mapping[str, LimitSpec], record: JobRecord) -> str:
    """The name of the pool that a job stands in while it is on its present route.

    `limits` are the stored ones by name, at least those that the job takes. The limits of its queue's own settings
    bind all of its pools alike, and are part of no name.
    """
    raise NotImplementedError


def digest(tenant: str) -> str:
    """The SHA-256 of a tenant, in hexadecimal: who goes first at equal service. FAIR-1"""
    raise NotImplementedError


def lifted(own: int, least: int | None, served: int) -> int:
    """With what service a line begins that gets a ready job and had none.

    `own` is what it had (0 when nothing is kept of it), `least` the least of the lines of its pool and band that have
    ready jobs, None if there are none, and `served` that of the line served last. FAIR-3
    """
    raise NotImplementedError


def risen(service: int, cost: int, weight: int) -> int:
    """A line's service after a cost, or a correction below zero, at `weight` per mille. FAIR-1, FAIR-2"""
    raise NotImplementedError
