"""What a job brings to its admission, as one JSON text: most jobs of a task bring the same, so it is read once."""

from functools import lru_cache
from itertools import chain
from operator import attrgetter, is_
from typing import Final

import msgspec
from msgspec.structs import replace

from aiq.model import BudgetSpec, Estimate, JobSpec, RouteSpec

_KEPT: Final = 4_096
_OWN: Final = ""
"""The id under which a job's own budget is kept, so that the texts of many jobs are the same. No budget has it."""


class Terms(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """Fields of JobSpec that are there for admission alone. `own` says that some of the budgets are the job's own."""

    limits: tuple[str, ...] = ()
    routes: tuple[RouteSpec, ...] = ()
    estimate: Estimate | None = None
    budgets: tuple[str, ...] = ()
    creates: tuple[BudgetSpec, ...] = ()
    own: bool = False

    def renamed(self, before: str, after: str) -> "Terms":
        """The same with another id for one of the budgets."""
        budgets = tuple([after if name == before else name for name in self.budgets])
        creates = tuple([replace(one, id=after) if one.id == before else one for one in self.creates])
        return Terms(self.limits, self.routes, self.estimate, budgets, creates, self.own)


def plain(value: object) -> object:
    """A read-only mapping as one that JSON knows."""
    return dict(value)  # type: ignore[call-overload]


_encoder: Final = msgspec.json.Encoder(enc_hook=plain)
_decoder: Final = msgspec.json.Decoder(Terms)
_ceiling: Final = attrgetter("parent", "caps", "weights", "window", "on_exceeded")
"""What a budget says beside its id."""


def terms_of(spec: JobSpec) -> str | None:
    """What a job brings, None for one that brings nothing."""
    return Texts().of(spec)


class Texts:
    """The terms of many jobs: where all values of a job's terms are the very same as those of the job before, so is the
    text."""

    def __init__(self) -> None:
        self._before: tuple[object, ...] = ()
        self._text = ""

    def of(self, spec: JobSpec) -> str | None:
        """What a job brings, None for one that brings nothing."""
        if not brings(spec):
            return None
        own = _own_of(spec.id)
        values = _values(spec, own)
        if len(values) != len(self._before) or not all(map(is_, values, self._before)):
            self._before, self._text = values, _text(spec, own)
        return self._text


def _values(spec: JobSpec, own: str) -> tuple[object, ...]:
    """What the terms of a job are made of."""
    budgets = [_OWN if name == own else name for name in spec.budgets]
    creates = [(_OWN if one.id == own else one.id, *_ceiling(one)) for one in spec.creates]
    return (spec.limits, spec.routes, spec.estimate, len(budgets), *budgets, *chain.from_iterable(creates))


def _text(spec: JobSpec, own: str) -> str:
    found = own in spec.budgets or any(one.id == own for one in spec.creates)
    terms = Terms(spec.limits, spec.routes, spec.estimate, spec.budgets, spec.creates, found)
    return _encoder.encode(terms.renamed(own, _OWN) if found else terms).decode()


def brings(spec: JobSpec) -> bool:
    """Whether a job brings anything."""
    return bool(spec.limits or spec.routes or spec.estimate or spec.budgets or spec.creates)


def read_terms(text: str, job_id: str) -> tuple[Terms, tuple[str, ...], tuple[BudgetSpec, ...]]:
    """Read what `terms_of` wrote of a job: what it shares with others, then its budgets and those that it creates."""
    terms = _read(text)
    if not terms.own:
        return terms, terms.budgets, terms.creates
    own = _own_of(job_id)
    creates = tuple([one if one.id != _OWN else replace(one, id=own) for one in terms.creates])
    return terms, tuple([own if name == _OWN else name for name in terms.budgets]), creates


@lru_cache(maxsize=_KEPT)
def _read(text: str) -> Terms:
    return _decoder.decode(text)


def _own_of(job_id: str) -> str:
    return f"job:{job_id}"
