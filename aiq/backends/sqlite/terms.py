"""What a job brings to its admission, as one JSON text: most jobs of a task bring the same, so it is read once."""

from collections.abc import Mapping
from functools import lru_cache
from typing import Any, Final

import msgspec

from aiq.model import BudgetSpec, Estimate, JobSpec, RouteSpec

_KEPT: Final = 4_096


class Terms(msgspec.Struct, frozen=True, omit_defaults=True):
    """Fields of JobSpec that are there for admission alone."""

    limits: tuple[str, ...] = ()
    routes: tuple[RouteSpec, ...] = ()
    estimate: Estimate | None = None
    budgets: tuple[str, ...] = ()
    creates: tuple[BudgetSpec, ...] = ()


def plain(value: object) -> object:
    """A read-only mapping as one that JSON knows."""
    return dict(value)  # type: ignore[call-overload]


_encoder: Final = msgspec.json.Encoder(enc_hook=plain)
_decoder: Final = msgspec.json.Decoder(Terms)


def terms_of(spec: JobSpec) -> str | None:
    """What a job brings, None for one that brings nothing."""
    if not (spec.limits or spec.routes or spec.estimate or spec.budgets or spec.creates):
        return None
    terms = Terms(spec.limits, spec.routes, spec.estimate, spec.budgets, spec.creates)
    return _encoder.encode(terms).decode()


@lru_cache(maxsize=_KEPT)
def read_terms(text: str) -> Mapping[str, Any]:
    """Read what `terms_of` wrote, by the names that it has in a record; of as many types, hence Any."""
    return msgspec.structs.asdict(_decoder.decode(text))
