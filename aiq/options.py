"""What can be said of one job beside its arguments: the options of `using` and `enqueue`, read and checked."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, fields, replace
from datetime import datetime
from operator import attrgetter
from typing import Any, Final, Literal, TypedDict

from aiq.bounds import MAX_ATTEMPTS, MAX_PER_KEY
from aiq.errors import InvalidInput
from aiq.model import Band, Estimate, OnUnique
from aiq.policy import (
    BandName,
    Budget,
    Duration,
    Limit,
    Limits,
    Route,
    band_of,
    budget_of,
    duration_ms,
    instant_ms,
    keep_ms_of,
    lease_ms_of,
    limit_name,
    limits_of,
    max_deferral_ms_of,
    routes_of,
    timeout_ms_of,
)
from aiq.rules.validation import check_name, check_opaque, check_range


class JobOptions(TypedDict, total=False):
    """What can be said of one job, apart from its arguments. Durations are seconds, or timedeltas."""

    id: str
    """Enqueueing the same id and content again finds the same job; other content is a Conflict."""
    queue: str
    band: BandName | Band
    delay: Duration
    """The job can be claimed no earlier than this after it was enqueued."""
    at: datetime
    """The job can be claimed no earlier than this; instead of `delay`."""
    tenant: str
    """Whose job it is: fairness, limits by tenant and the tenant's budget count by it."""
    key: str
    """What the job is about: a conversation, a user. Jobs of one queue and key run one at a time, in the order in which
    they were enqueued, unless `per_key` says otherwise; and limits by key count by it."""
    per_key: int
    """How many jobs of the key may go on at once, 1 if it is not said; the job enqueued last decides. 0 orders nothing:
    then only limits by key look at the key."""
    while_parked: Literal["hold", "free"]
    """Whether the job keeps its key while it sleeps or waits ("hold", the default), or lets the next go ("free")."""
    lease: Duration
    """How long a worker may be silent before the job is given to another; renewed while it runs."""
    timeout: Duration
    """How long one run may take before it counts as failed."""
    attempts: int
    """Runs in all, the first included; the waits between them stay those of the task."""
    max_stalls: int
    """Leases that may expire before the job is dead."""
    limits: Limits
    """The limits that it takes, in the place of those of its task."""
    routes: Iterable[Route]
    """The ways in which it can be done, in the place of those of its task."""
    estimate: Estimate
    """What its first call needs, in the place of what its task estimates."""
    budget: Budget | str
    """A budget of its own, or the id of a stored one. It and its children draw from it."""
    keep: Duration
    """How long it is kept once it has ended, in the place of what the retention of the storage says."""
    max_deferral: Duration
    """How long rate limits alone may give it back before it is dead."""
    expires: Duration | datetime
    """By when it must have ended, counted from its enqueue or as an instant: else it is dead of its deadline."""
    unique: str
    """What names its work among the jobs of its task: while one with the same has not ended, enqueueing finds that."""
    unique_for: Duration
    """How long its unique key is taken, from the enqueue on, whether it has ended or not."""
    on_parent: Literal["cancel", "leave"]
    """Of a child: whether it is cancelled when its parent is cancelled or dies, as it is unless this says "leave"."""
    replace: bool
    """Change the job that has its unique key, as long as that has not started, instead of leaving it as it is."""
    debounce: Duration
    """The same, and start no earlier than this after the last job that was enqueued with the key."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Chosen:
    """Options of one job, checked and in the storage's units. None is not chosen."""

    id: str | None = None
    queue: str | None = None
    band: Band | None = None
    delay_ms: int | None = None
    at_ms: int | None = None
    tenant: str | None = None
    lease_ms: int | None = None
    timeout_ms: int | None = None
    max_attempts: int | None = None
    max_stalls: int | None = None
    key: str | None = None
    per_key: int | None = None
    while_parked: Literal["hold", "free"] | None = None
    limits: tuple[Limit | str, ...] | None = None
    routes: tuple[Route, ...] | None = None
    estimate: Estimate | None = None
    budget: Budget | str | None = None
    max_deferral_ms: int | None = None
    keep_ms: int | None = None
    expires_ms: int | None = None
    deadline_ms: int | None = None
    unique: str | None = None
    unique_for_ms: int | None = None
    replace: bool | None = None
    debounce_ms: int | None = None
    on_parent: Literal["cancel", "leave"] | None = None

    def using(self, options: JobOptions) -> "Chosen":
        """These and other options; what `options` says wins. `delay` and `at` replace each other.

        Raises:
            InvalidInput: an option that does not exist, or a value out of its range.
        """
        unknown = sorted(options.keys() - _READ.keys())
        if unknown:
            raise InvalidInput(f"There is no option {unknown[0]!r} of a job. There are: {', '.join(_READ)}.")
        if "delay" in options and "at" in options:
            raise InvalidInput("Pass `delay`, counted from the enqueue, or `at`, an instant; not both.")
        new: dict[str, Any] = {_READ[name][0]: _READ[name][1](value) for name, value in options.items()}
        if "expires" in options:
            new["deadline_ms"] = _deadline_ms(options["expires"])
        if "delay_ms" in new:
            new["at_ms"] = None
        if "at_ms" in new and new["at_ms"] is not None:
            new["delay_ms"] = None
        return replace(self, **new)

    @property
    def on_unique(self) -> OnUnique:
        """What becomes of it while another has its unique key.

        Raises:
            InvalidInput: what was said of the key does not go together, or there is none.
        """
        asked = [name for name, value in (("unique_for", self.unique_for_ms), ("debounce", self.debounce_ms)) if value]
        asked += ["replace"] if self.replace else []
        if asked and self.unique is None:
            raise InvalidInput(f"`{asked[0]}` is said of a unique key. Pass unique=… too.")
        if "unique_for" in asked and len(asked) > 1:
            raise InvalidInput(f"A key that is taken for a time keeps its job: pass `unique_for` or `{asked[1]}`.")
        if self.debounce_ms and (self.delay_ms is not None or self.at_ms is not None):
            raise InvalidInput("`debounce` says when it starts: so long after the last one. Leave out delay and at.")
        if self.debounce_ms:
            return "debounce"
        return "replace" if self.replace else "keep"

    def told(self) -> dict[str, object]:
        """All but the id that was said, for a digest. What was not said is left out, so that an option of a later
        release changes no digest."""
        values = zip(_CHOICES, _values(self), strict=True)
        return {name: plain(value) for name, value in values if value is not None}


def plain(value: object) -> object:
    """A policy as a digest sees it. Of a limit that is its name: its figures are the storage's, not the job's."""
    match value:
        case tuple():
            return [plain(one) for one in value]
        case Limit():
            return limit_name(value)
        case Route():
            return value.spec()
        case Budget():
            spec = value.spec("")
            return [spec.id, spec.parent, dict(spec.caps), dict(spec.weights), spec.window, spec.on_exceeded]
    return value


_CHOICES: Final = tuple(field.name for field in fields(Chosen) if field.name != "id")
_values: Final = attrgetter(*_CHOICES)


def _checked(check: Callable[[str, str], None], kind: str) -> Callable[[str], str]:
    def read(text: str) -> str:
        check(kind, text)
        return text

    return read


def _whole(kind: str) -> Callable[[int], int]:
    def read(number: int) -> int:
        check_range(kind, number, 1, MAX_ATTEMPTS)
        return number

    return read


def _per_key(number: int) -> int:
    check_range("per_key", number, 0, MAX_PER_KEY)
    return number


def _while_parked(value: str) -> str:
    if value not in ("hold", "free"):
        raise InvalidInput(f'while_parked is {value!r:.200}; use "hold" or "free".')
    return value


def _estimate(value: object) -> Estimate:
    if isinstance(value, Estimate):
        return value
    raise InvalidInput(f"estimate is {value!r:.200}; pass aiq.Estimate(input=1_000, max_output=2_000).")


def _on_parent(value: str) -> str:
    if value in ("cancel", "leave"):
        return value
    raise InvalidInput(f'on_parent is {value!r:.200}; pass "cancel" or "leave".')


def _flag(value: object) -> bool:
    if isinstance(value, bool):
        return value
    raise InvalidInput(f"replace is {value!r:.200}; pass True or False.")


def _expires_ms(value: Duration | datetime) -> int | None:
    return None if isinstance(value, datetime) else duration_ms("expires", value, low_ms=1)


def _deadline_ms(value: Duration | datetime) -> int | None:
    return instant_ms("expires", value) if isinstance(value, datetime) else None


# Any: each option has a type of its own, which JobOptions declares.
_READ: Final[Mapping[str, tuple[str, Callable[[Any], Any]]]] = {
    "id": ("id", _checked(check_opaque, "job id")),
    "queue": ("queue", _checked(check_name, "queue")),
    "band": ("band", band_of),
    "delay": ("delay_ms", lambda value: duration_ms("delay", value)),
    "at": ("at_ms", lambda value: instant_ms("at", value)),
    "tenant": ("tenant", _checked(check_opaque, "tenant")),
    "key": ("key", _checked(check_opaque, "key")),
    "per_key": ("per_key", _per_key),
    "while_parked": ("while_parked", _while_parked),
    "lease": ("lease_ms", lease_ms_of),
    "timeout": ("timeout_ms", timeout_ms_of),
    "attempts": ("max_attempts", _whole("number of attempts")),
    "max_stalls": ("max_stalls", _whole("number of stalls")),
    "limits": ("limits", limits_of),
    "routes": ("routes", routes_of),
    "estimate": ("estimate", _estimate),
    "budget": ("budget", budget_of),
    "max_deferral": ("max_deferral_ms", max_deferral_ms_of),
    "keep": ("keep_ms", keep_ms_of),
    "expires": ("expires_ms", _expires_ms),
    "unique": ("unique", _checked(check_opaque, "unique key")),
    "unique_for": ("unique_for_ms", lambda value: duration_ms("unique_for", value, low_ms=1)),
    "replace": ("replace", _flag),
    "on_parent": ("on_parent", _on_parent),
    "debounce": ("debounce_ms", lambda value: duration_ms("debounce", value, low_ms=1)),
}
