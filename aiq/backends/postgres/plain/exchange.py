"""Settling and claiming plain jobs by one function of the schema, see migrations/0004_plain/1_exchange.sql."""

from collections.abc import Callable
from typing import Final

from aiq.backends.postgres.atomic import Home, call, instant
from aiq.backends.postgres.line import Line
from aiq.bounds import CANCEL_GRACE_MS, CLAIM_KEPT_MS, MAX_INSTANT_MS
from aiq.model import ClaimRequest, Exchanged

_BOUNDS: Final = (CANCEL_GRACE_MS, MAX_INSTANT_MS, CLAIM_KEPT_MS)
_NEVER: Final = -1


def idle(home: Home, line: Line, unwanted: Callable[[], bool], request: ClaimRequest | None) -> Exchanged | None:
    """The answer to an exchange without settlements that would write nothing. It takes no lock. Spec: STORE-5"""
    asked = (None, None, []) if request is None else _asked(request)
    (next_ms,) = call(home, line, unwanted, "aiq_idle_4", (instant(home), *_BOUNDS, *asked))
    return None if next_ms is None else Exchanged((), (), None if next_ms == _NEVER else next_ms)


def _asked(request: ClaimRequest) -> tuple[object, ...]:
    return request.worker, request.number, [want.queue for want in request.wants if want.count]
