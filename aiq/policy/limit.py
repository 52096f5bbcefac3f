"""Limits: what a provider lets through in a time, or at once."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from math import gcd
from types import MappingProxyType
from typing import Final, Literal, Self, TypeAlias

from aiq import bounds
from aiq.errors import InvalidInput
from aiq.model import By, Charge, LimitSpec, none
from aiq.policy.durations import Duration, duration_ms
from aiq.policy.figures import check_name, listed, thousandths, weights_of, whole, word

ChargeName: TypeAlias = Literal["stream", "reserve", "max", "input"]
"""What a provider takes from its bucket when a call arrives; see `Charge`."""


@dataclass(frozen=True, slots=True, init=False)
class Limit:
    """A rate, a concurrency, or both, under one name that all queues of a storage share.

        GPT = aiq.Limit("openai.gpt", requests=600, tokens=450_000)                  # a minute
        OUT = aiq.Limit("anthropic.output", tokens=80_000, weights={"input": 0, "cache_read": 0})
        GPU = aiq.Limit("gpu", concurrency=4)
        FREE = aiq.Limit("free-plan", requests=100, per=3_600, burst=3_600, by="tenant")

    `requests` and `tokens` are what one `per` (60 s) gives; `burst` (30 s) is how much time's worth of that may be
    taken at once. With `ramp` a new limit takes so long to reach its rate. `concurrency` bounds what runs. `by` makes
    amounts of their own for each tenant, or for each key of a job. `charge` mirrors what the provider takes when a call
    arrives: the input, and output as it comes ("stream"); input and the most output asked for, returned if unused
    ("reserve"); the larger of the two, never returned ("max"); the input only ("input"). `refund` says otherwise
    whether unused tokens come back. `weights` say what a token of a category counts, 1.0 where nothing is said.

    A burst that is worth less than one request lets them through one by one: 20 an hour with 30 s of burst is one in
    three minutes, and with `burst=3_600` twenty at once. What a call takes beyond the burst is waited for after it.

    A limit that code names is stored at its first use if it is not stored yet; what an operator changes, stays.
    Times are seconds here, and whole milliseconds inside.

    Raises:
        InvalidName: the name is outside the alphabet.
        InvalidInput: a number is out of its bounds, a word is unknown, nothing is bounded, or something about tokens is
            said of a limit without any.
    """

    name: str
    requests: int | None
    tokens: int | None
    per: float
    burst: float
    ramp: float
    concurrency: int | None
    by: By | None
    charge: Charge
    refund: bool
    weights: Mapping[str, float]

    def __init__(
        self,
        name: str,
        *,
        requests: int | None = None,
        tokens: int | None = None,
        per: Duration = 60.0,
        burst: Duration = bounds.DEFAULT_BURST_MS / 1000,
        ramp: Duration = 0.0,
        concurrency: int | None = None,
        by: By | None = None,
        charge: ChargeName | Charge = "stream",
        refund: bool | None = None,
        weights: Mapping[str, float] = MappingProxyType({}),
    ) -> None:
        check_name("limit", name)
        kind = f'of limit "{name}"'
        keep = partial(object.__setattr__, self)
        keep("name", name)
        keep("requests", _some(f"requests {kind}", requests, bounds.MAX_AMOUNT))
        keep("tokens", _some(f"tokens {kind}", tokens, bounds.MAX_AMOUNT))
        keep("concurrency", _some(f"concurrency {kind}", concurrency, bounds.MAX_CONCURRENCY))
        keep("per", _seconds(f"per {kind}", per, low_ms=1))
        keep("burst", _seconds(f"burst {kind}", burst, low_ms=1))
        keep("ramp", _seconds(f"ramp {kind}", ramp, low_ms=0))
        keep("by", _one_of(f"by {kind}", by, None, "tenant", "key"))
        keep("charge", word(f"charge {kind}", charge, Charge))
        given = _one_of(f"refund {kind}", refund, None, True, False)
        keep("refund", self.charge is not Charge.MAX if given is None else given)
        keep("weights", weights_of(f"weights {kind}", weights))
        _check_whole(self)
        if tokens is None and (self.charge is not Charge.STREAM or given is not None or self.weights):
            raise InvalidInput(f'charge=, refund= and weights= of limit "{name}" are about tokens; pass tokens= too.')

    def spec(self) -> LimitSpec:
        """What a storage is handed."""
        return LimitSpec(
            name=self.name,
            requests=self.requests,
            tokens=self.tokens,
            per_ms=_ms(self.per),
            burst_ms=_ms(self.burst),
            ramp_ms=_ms(self.ramp),
            concurrency=self.concurrency,
            by=self.by,
            charge=self.charge,
            refund=self.refund,
            weights=thousandths(self.weights),
        )

    @classmethod
    def of(cls, spec: LimitSpec) -> Self:
        """The limit that a storage holds. Of one that bounds no tokens nothing is told that is about tokens."""
        if spec.tokens is None:
            spec = replace(spec, charge=Charge.STREAM, refund=True, weights=none())
        return cls(
            spec.name,
            requests=spec.requests,
            tokens=spec.tokens,
            per=spec.per_ms / 1000,
            burst=spec.burst_ms / 1000,
            ramp=spec.ramp_ms / 1000,
            concurrency=spec.concurrency,
            by=spec.by,
            charge=spec.charge,
            refund=None if spec.tokens is None else spec.refund,
            weights={name: weight / 1000 for name, weight in spec.weights.items()},
        )

    def __hash__(self) -> int:
        return hash(self.name)


Limits: TypeAlias = Iterable[Limit | str]
"""Limits, or the names of stored ones."""


def limits_of(given: object) -> tuple[Limit | str, ...]:
    """The limits of a list, each name once.

    Raises:
        InvalidInput: it is no list, or holds something else.
    """
    found: dict[str, Limit | str] = {}
    for one in listed("limits", given, "limits=[GPT]"):
        if not isinstance(one, Limit | str):
            raise InvalidInput(f'limits has {one!r:.200}; pass limits: GPT = aiq.Limit("gpt", requests=600).')
        name = limit_name(one)
        check_name("limit", name)
        found.setdefault(name, one)
    return tuple(found.values())


def limit_name(limit: Limit | str) -> str:
    """The name of a limit."""
    return limit if isinstance(limit, str) else limit.name


_BOUNDING: Final = "requests=, tokens= or concurrency="


def _check_whole(limit: Limit) -> None:
    """Refuse what bounds nothing, and a bucket whose sub-units (chapter 10) no store could count."""
    if limit.requests is None and limit.tokens is None and limit.concurrency is None:
        raise InvalidInput(f'Limit "{limit.name}" bounds nothing; pass {_BOUNDING}.')
    for kind, rate in (("requests", limit.requests), ("tokens", limit.tokens)):
        if rate is not None:
            capacity = _ms(limit.burst) * (rate // gcd(rate, _ms(limit.per))) * 1000
            if 2 * capacity > bounds.MAX_LEVEL:
                raise InvalidInput(
                    f'Limit "{limit.name}" cannot be counted exactly below 2^53: {rate:,} {kind} in {limit.per:,g} s, '
                    f"{limit.burst:,g} s of it at once. Use a smaller burst, or a rate and a period that divide evenly."
                )


def _some(kind: str, value: object, high: int) -> int | None:
    return None if value is None else whole(kind, value, 1, high)


def _seconds(kind: str, value: Duration, low_ms: int) -> float:
    return duration_ms(kind, value, low_ms=low_ms, high_ms=bounds.MAX_PERIOD_MS) / 1000


def _ms(seconds: float) -> int:
    return round(seconds * 1000)


def _one_of(kind: str, value: object, *words: object) -> object:
    # Compared by type too: 1 equals True, and means something else.
    if not any(value == known and isinstance(value, type(known)) for known in words):
        raise InvalidInput(f"{kind} is {value!r:.100}; it can be {' or '.join(map(repr, words))}.")
    return value
