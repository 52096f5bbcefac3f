"""Which pool a job stands in, and whose turn it is: lines, lifts and credits. Spec: chapter 12.

Source: the virtual token counter of Sheng et al., "Fairness in Serving Large Language Models" (OSDI 2024): the tenant
that was served least is next, is charged what is expected, and what was used sets that right afterwards.
"""

from collections.abc import Mapping
from functools import lru_cache
from hashlib import sha256
from typing import Final

from aiq.model import JobRecord, LimitSpec

PLAIN: Final = ""
"""The pool of jobs that take no limit, but by key, and have no tenant."""
SHARED: Final = "~"
"""The pool of jobs that take no limit, but by key, and have a tenant."""

Credits = tuple[int, int, int, int]
FLOOR: Final = 100
"""The share of a less urgent band, per mille of what is given before it."""
WHOLE: Final = 1000


def pool_of(limits: Mapping[str, LimitSpec], record: JobRecord) -> str:
    """The name of the pool that a job stands in while it is on its present route.

    `limits` are the stored ones by name, at least those that the job takes. The limits of its queue's own settings
    bind all of its pools alike, and are part of no name.
    """
    shared = sorted(name for name in set(record.taken_limits) if name in limits and _shared(limits[name], record))
    if shared:
        return f"{','.join(shared)}|{record.model}"
    return SHARED if record.tenant else PLAIN


def _shared(spec: LimitSpec, record: JobRecord) -> bool:
    """Whether a limit binds all who stand in the line of a job: by tenant too, but by key each job for itself."""
    return spec.by is None or (spec.by == "tenant" and record.tenant != "")


@lru_cache(maxsize=4096)
def digest(tenant: str) -> str:
    """The SHA-256 of a tenant, in hexadecimal: who goes first at equal service. FAIR-1"""
    return sha256(tenant.encode(errors="surrogatepass")).hexdigest()


def lifted(own: int, least: int | None, served: int) -> int:
    """With what service a line begins that gets a ready job and had none.

    `own` is what it had (0 when nothing is kept of it), `least` the least of the lines of its pool and band that have
    ready jobs, None if there are none, and `served` that of the line served last. FAIR-3
    """
    return max(own, served if least is None else least)


def adds_nothing(own: int, least: int | None, served: int) -> bool:
    """Whether a line without ready jobs would begin the same if nothing were kept of it. FAIR-6"""
    return lifted(own, least, served) == lifted(0, least, served)


def risen(service: int, cost: int, weight: int) -> int:
    """A line's service after a cost, or a correction below zero, at `weight` per mille. FAIR-1, FAIR-2"""
    rise = cost * WHOLE // weight
    # However great its weight, a line that is served is served more than before; else it would never be another's turn.
    return service + (max(1, rise) if cost > 0 else rise)


def credited(credits: Credits, band: int, added: int, most: int) -> Credits:
    """What a band has after it was passed over once more; never more than `most`. BAND-2, BAND-3"""
    return with_credit(credits, band, min(credits[band] + added, most))


def with_credit(credits: Credits, band: int, credit: int) -> Credits:
    """All credits, with another one for one band."""
    zero, one, two, three = (credit if place == band else old for place, old in enumerate(credits))
    return zero, one, two, three
