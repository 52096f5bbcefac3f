"""What a caller may pass, checked before anything is touched: by the queue, and again by every store.

Each check raises `InvalidInput` or one of its kinds, and returns nothing. Types are mypy's business, ranges are
ours; where users who run no type checker often pass another type, that is told too. Spec: chapter 9.
"""

from collections.abc import Iterable, Sequence
from dataclasses import fields
from itertools import chain
from operator import attrgetter, is_
from typing import Final

from aiq import bounds
from aiq.errors import FlowInvalid, InvalidInput, TooLarge
from aiq.model import (
    FIRST,
    Append,
    CallRequest,
    CallState,
    ChunkKind,
    ClaimRequest,
    Deferred,
    Held,
    HeldFor,
    JobSpec,
    Lease,
    Outcome,
    QueueSettings,
    Read,
    Report,
    RouteSpec,
    Settlement,
    Sleeping,
    Step,
    StepKind,
    Succeeded,
    Suspended,
    Throttle,
    Usage,
    UsageFilter,
    Waiting,
)
from aiq.model.usage import check_amount, check_model
from aiq.policy.figures import check_name
from aiq.rules.budgets import check_amounts, check_budget, check_whose
from aiq.rules.checks import (
    IN_PARTS,
    check_count,
    check_limit,
    check_opaque,
    check_range,
    check_size,
    check_step_name,
    cut,
)
from aiq.rules.limits import check_buckets, of_queue

__all__ = [
    "check_appends",
    "check_batch",
    "check_calls",
    "check_claim",
    "check_count",
    "check_limit",
    "check_name",
    "check_opaque",
    "check_range",
    "check_reads",
    "check_renewal",
    "check_reports",
    "check_result",
    "check_settings",
    "check_settlements",
    "check_signal",
    "check_size",
    "check_spec",
    "check_specs",
    "check_step",
    "check_step_name",
    "check_throttles",
    "check_weight",
    "cut",
]


_OWN: Final = frozenset({"id", "digest", "payload", "estimate", "budgets", "creates"})
"""What each job has of its own, however alike they are. An estimate was checked when it was made."""
_shared: Final = attrgetter(*(field.name for field in fields(JobSpec) if field.name not in _OWN))
_terms: Final = attrgetter("caps", "weights", "window", "on_exceeded")
"""What budgets of many jobs have in common."""


def check_spec(spec: JobSpec) -> None:
    """Refuse a job whose names, sizes or durations are out of range. Spec: ENQ-8, STORE-9."""
    check_specs([spec])


def check_specs(specs: Iterable[JobSpec]) -> None:
    """Refuse a list of which one job is refused.

    What a job shares with the one before it, the very same values, is not looked at again: most jobs of a list differ
    in little, and to look at all of each took longer than to store it.
    """
    before: tuple[object, ...] | None = None
    terms: Sequence[tuple[object, ...]] = ()
    for spec in specs:
        _check_own(spec)
        shared = _shared(spec)
        if before is None or not all(map(is_, shared, before)):
            _check_shared(spec)
        before = shared
        if spec.budgets or spec.creates:
            terms = _check_budgets(spec, terms)


def check_batch(batch: Sequence[JobSpec], parent: Lease | None = None) -> None:
    """Refuse a batch of which one job is refused, or which is too large for one step.

    With a parent every job says by `child_of` under which wait it counts; without one none does. Spec: FLOW-15.
    """
    check_count("batch", len(batch), bounds.MAX_BATCH)
    size = sum(len(spec.payload) for spec in batch)
    if size > bounds.MAX_BATCH_BYTES:
        raise TooLarge("batch", size, bounds.MAX_BATCH_BYTES, IN_PARTS, unit=" bytes")
    edges = sum(len(spec.depends_on) for spec in batch)
    check_count("list of dependencies of a batch", edges, bounds.MAX_DEPENDENCIES)
    check_specs(batch)
    before: set[str] = set()
    for spec in batch:
        if parent is None and spec.on_parent != "cancel":
            raise InvalidInput(f"Job {spec.id!r} says what becomes of it with its parent, and has none.")
        if (spec.child_of is None) is not (parent is None):
            raise InvalidInput(f"Job {spec.id!r}: `child_of` and the parent's lease go together; pass both or none.")
        if parent is not None and not before.issuperset(spec.depends_on):
            raise FlowInvalid(
                f"Job {spec.id!r} is a child and depends on a job outside of its batch, which may wait for its parent. "
                "Let it depend on earlier children of the same batch, or gather twice."
            )
        before.add(spec.id)


def check_settlements(settlements: Sequence[Settlement]) -> None:
    """Refuse settlements that no store could record. A result that is too large is `check_result`'s."""
    check_count("list of settlements", len(settlements), bounds.MAX_BATCH)
    size = 0
    for settlement in settlements:
        check_opaque("settlement id", settlement.id)
        _check_outcome(settlement.outcome)
        if isinstance(settlement.outcome, Succeeded) and len(settlement.outcome.result) <= bounds.MAX_RESULT_BYTES:
            size += len(settlement.outcome.result)
    if size > bounds.MAX_BATCH_BYTES:
        raise TooLarge("list of settlements", size, bounds.MAX_BATCH_BYTES, IN_PARTS, unit=" bytes")


def check_result(result: bytes) -> None:
    """Refuse a result over MAX_RESULT_BYTES. A store answers this as a value, and the job still runs."""
    check_size("result", result, bounds.MAX_RESULT_BYTES)


def check_claim(request: ClaimRequest) -> None:
    """Refuse a claim without a proper name. Counts may sum to more than MAX_BATCH; a claim gives at most that."""
    check_opaque("worker", request.worker)
    check_opaque("lease id", request.lease_id)
    check_range("claim number", request.number, 0, bounds.MAX_INSTANT_MS)
    check_count("list of wanted queues", len(request.wants), bounds.MAX_BATCH)
    for want in request.wants:
        check_name("queue", want.queue)
        check_range("wanted count", want.count, 0, bounds.MAX_INSTANT_MS)


def check_renewal(leases: Sequence[Lease], lease_ms: int | None) -> None:
    """Refuse a renewal of too many leases, or one for a time that no lease lasts."""
    check_count("list of leases", len(leases), bounds.MAX_BATCH)
    if lease_ms is not None:
        check_range("lease in ms", lease_ms, bounds.MIN_LEASE_MS, bounds.MAX_LEASE_MS)


def check_appends(appends: Sequence[Append]) -> None:
    """Refuse runs or items that are too many, and items that are too large, alone or together, or of a kind that the
    store alone writes."""
    check_count("list of appends", len(appends), bounds.MAX_BATCH)
    check_count("list of chunks", sum([len(one.chunks) for one in appends]), bounds.MAX_BATCH)
    chunks = list(chain.from_iterable([one.chunks for one in appends]))
    size = sum([len(chunk.data) for chunk in chunks])
    if size > bounds.MAX_BATCH_BYTES:
        raise TooLarge("list of chunks", size, bounds.MAX_BATCH_BYTES, IN_PARTS, unit=" bytes")
    for chunk in chunks:
        check_range("sequence number of a chunk", chunk.seq, 1, bounds.MAX_INSTANT_MS)
        check_size("chunk", chunk.data, bounds.MAX_CHUNK_BYTES)
        if chunk.kind not in (ChunkKind.DATA, ChunkKind.LOG, ChunkKind.PROGRESS):
            raise InvalidInput(f"A run may not write a {chunk.kind} item; the store does, when it is due.")
        if chunk.step is not None:
            check_opaque("step key", chunk.step)


def check_reads(reads: Sequence[Read], limit: int) -> None:
    """Refuse reads that are too many, numbers that are none of an item, and a limit that is none of a page."""
    check_count("list of reads", len(reads), bounds.MAX_BATCH)
    check_limit(limit)
    for one in reads:
        check_range("number of an item", one.after, 0, bounds.MAX_INSTANT_MS)


def check_step(step: Step) -> None:
    """Refuse a step that is too large, or that pretends to be a wait."""
    check_opaque("step key", step.key)
    check_size("step's value", step.value, bounds.MAX_STEP_BYTES)
    if step.digest:
        check_opaque("digest", step.digest)
    if step.kind is not StepKind.VALUE:
        raise InvalidInput(f"A run may save a value, not a {step.kind}; the store remembers waits by itself.")


def check_signal(name: str, signal_id: str, payload: bytes) -> None:
    """Refuse a signal with an improper name or id, or over MAX_SIGNAL_BYTES."""
    check_name("signal", name)
    check_opaque("signal id", signal_id)
    check_size("signal", payload, bounds.MAX_SIGNAL_BYTES)


def check_calls(calls: Sequence[CallRequest]) -> None:
    """Refuse requests for calls that are too many, numbered below 1, inside of too many, or of too many limits."""
    check_count("list of calls", len(calls), bounds.MAX_BATCH)
    for call in calls:
        check_range("number of a call", call.number, FIRST + 1, bounds.MAX_INSTANT_MS)
        check_count("list of calls around a call", len(call.inside), bounds.MAX_OPEN_CALLS)
        _check_limit_names(call.limits)


def check_reports(reports: Sequence[Report]) -> None:
    """Refuse reports of use that are too many or too wide, and what only a store says: that a call has expired."""
    check_count("list of reports", len(reports), bounds.MAX_BATCH)
    for report in reports:
        check_range("number of a call", report.call, FIRST, bounds.MAX_INSTANT_MS)
        if report.state is CallState.EXPIRED:
            raise InvalidInput("A run may not report a call as expired; the store does, when the run is lost.")
        check_count("list of models in a report", len(report.used), bounds.MAX_LIMITS)
        for usage in report.used:
            _check_usage(usage)
        _check_retry_after(report.retry_after_ms)
        check_count("list of what remains", len(report.remaining), bounds.MAX_LIMITS)
        for remaining in report.remaining:
            check_name("limit", remaining.limit)
            check_amount("remaining requests", remaining.requests or 0)
            check_amount("remaining tokens", remaining.tokens or 0)


def check_throttles(throttles: Sequence[Throttle]) -> None:
    """Refuse pauses of limits that are too many, or whose figures are out of range."""
    check_count("list of throttles", len(throttles), bounds.MAX_BATCH)
    for throttle in throttles:
        check_name("limit", throttle.limit)
        if throttle.key:
            check_opaque("key of a throttle", throttle.key)
        check_amount("tokens of a throttle", throttle.tokens)
        _check_retry_after(throttle.retry_after_ms)


def check_settings(queue: str, settings: QueueSettings) -> None:
    """Refuse settings of a queue that are out of range. None is no bound; who wants none to start pauses the queue.

    Spec: QUEUE-1, QUEUE-2
    """
    check_name("queue", queue)
    for kind, value, most in (
        ("max_ready", settings.max_ready, bounds.MAX_AMOUNT),
        ("concurrency", settings.concurrency, bounds.MAX_CONCURRENCY),
        ("rate", settings.rate, bounds.MAX_AMOUNT),
        ("period of the rate in ms", settings.rate_per_ms, bounds.MAX_PERIOD_MS),
    ):
        if value is not None:
            check_range(f"{kind} of a queue", value, 1, most)
    limit = of_queue(queue, settings)
    if limit is not None:
        check_buckets(limit)


def check_weight(tenant: str, weight: int) -> None:
    """Refuse a share of a tenant that is not from 1 to MAX_WEIGHT per mille of the usual one. Spec: FAIR-5"""
    check_opaque("tenant", tenant)
    check_range("weight of a tenant per mille", weight, 1, bounds.MAX_WEIGHT)


def check_usage_filter(query: UsageFilter) -> None:
    """Refuse a report of use for more than one job, flow or tenant at once, or of instants that cannot be. USAGE-8"""
    asked = [name for name in ("job_id", "flow", "tenant") if getattr(query, name) is not None]
    if len(asked) > 1:
        raise InvalidInput(f"A report of use is for one of {', '.join(asked)}; ask once for each.")
    for kind, instant in (("start", query.since_ms), ("end", query.until_ms)):
        if instant is not None:
            check_range(f"{kind} of a report of use, in ms since 1970,", instant, 0, bounds.MAX_INSTANT_MS)


def _check_own(spec: JobSpec) -> None:
    check_opaque("job id", spec.id)
    if spec.digest:
        check_opaque("digest", spec.digest)
    check_size("payload", spec.payload, bounds.MAX_PAYLOAD_BYTES)
    if spec.id in spec.depends_on:
        raise FlowInvalid(f"Job {spec.id!r} depends on itself, so it could never start.")


def _check_shared(spec: JobSpec) -> None:
    _check_texts(spec)
    _check_numbers(spec)
    check_count("list of dependencies", len(spec.depends_on), bounds.MAX_DEPENDENCIES)
    _check_limits(spec)
    _check_unique(spec)
    if spec.on_parent not in ("cancel", "leave"):
        raise InvalidInput(f"on_parent is {spec.on_parent!r}; pass cancel or leave.")


def _check_texts(spec: JobSpec) -> None:
    check_name("task", spec.task)
    check_name("queue", spec.queue)
    for dependency in spec.depends_on:
        check_opaque("id of a dependency", dependency)
    for kind, text in (
        ("key", spec.key),
        ("unique key", spec.unique),
        ("wait key", spec.child_of),
        ("flow", spec.flow),
        ("origin", spec.origin),
    ):
        if text is not None:
            check_opaque(kind, text)
    if spec.tenant:
        check_opaque("tenant", spec.tenant)


def _check_numbers(spec: JobSpec) -> None:
    check_range("band", spec.band, 0, 3)
    check_range("delay in ms", spec.delay_ms, 0, bounds.MAX_DELAY_MS)
    check_range("lease in ms", spec.lease_ms, bounds.MIN_LEASE_MS, bounds.MAX_LEASE_MS)
    check_range("number of attempts", spec.max_attempts, 1, bounds.MAX_ATTEMPTS)
    check_range("number of stalls", spec.max_stalls, 1, bounds.MAX_ATTEMPTS)
    check_range("longest deferral in ms", spec.max_deferral_ms, 0, bounds.MAX_DELAY_MS)
    check_range("per_key", spec.per_key, 0, bounds.MAX_PER_KEY)
    if spec.per_key and spec.key is None:
        raise InvalidInput(f"Job {spec.id!r} has a per_key of {spec.per_key} and no key. Give it a key, or no per_key.")
    if spec.while_parked not in ("hold", "free"):
        raise InvalidInput(f'while_parked is {spec.while_parked!r:.200}; use "hold" or "free".')
    if spec.while_parked == "free" and not spec.ordered:
        raise InvalidInput(f"Job {spec.id!r} has no key to give up while it is parked. Give it a key, and a per_key.")
    if spec.timeout_ms is not None:
        check_range("timeout in ms", spec.timeout_ms, 1, bounds.MAX_DELAY_MS)
    if spec.expires_ms is not None:
        check_range("time to the deadline in ms", spec.expires_ms, 1, bounds.MAX_DELAY_MS)
    if spec.keep_ms is not None:
        check_range("time that it is kept, in ms,", spec.keep_ms, 0, bounds.MAX_KEEP_MS)
    for kind, instant in (("start", spec.at_ms), ("deadline", spec.deadline_ms)):
        if instant is not None:
            check_range(f"{kind} in ms since 1970", instant, 0, bounds.MAX_INSTANT_MS)


def _check_unique(spec: JobSpec) -> None:
    """What a job says of its unique key. Spec: UNIQ-9, UNIQ-11"""
    if spec.unique is None and (spec.on_unique != "keep" or spec.unique_for_ms is not None):
        raise InvalidInput(f"Job {spec.id!r} says what its unique key is to do, and has none. Pass `unique` too.")
    if spec.on_unique not in ("keep", "replace", "debounce"):
        raise InvalidInput(f"on_unique is {spec.on_unique!r}; pass keep, replace or debounce.")
    if spec.unique_for_ms is not None:
        check_range("time of a unique key in ms", spec.unique_for_ms, 1, bounds.MAX_DELAY_MS)
        if spec.on_unique != "keep":
            raise InvalidInput("A key that is taken for a time keeps its job: pass `unique_for`, or replace, not both.")
    if spec.on_unique == "debounce" and (spec.at_ms is not None or not spec.delay_ms):
        raise InvalidInput("A debounce waits for so long after the last job: pass a delay over 0, and no instant.")
    if spec.unique is not None and spec.child_of is not None:
        raise InvalidInput(
            f"Job {spec.id!r} is a child, so its parent waits for it alone, and it cannot be answered with another. "
            "Give it an id of its own instead: a child that is spawned again with the same id is the same child."
        )


def _check_limits(spec: JobSpec) -> None:
    """What a job takes of limits, on each of its routes."""
    _check_limit_names(spec.limits)
    check_count("list of routes", len(spec.routes), bounds.MAX_LIMITS)
    for route in spec.routes:
        _check_route(route)


def _check_budgets(spec: JobSpec, before: Sequence[tuple[object, ...]]) -> Sequence[tuple[object, ...]]:
    """What a job draws from, and what comes with it. The very terms of those of the job `before` it are not looked at
    again; the answer is these of its own."""
    check_count("list of budgets", len(spec.budgets), bounds.MAX_CHAIN)
    for budget_id in spec.budgets:
        check_opaque("id of a budget", budget_id)
    check_count("list of budgets to create", len(spec.creates), bounds.MAX_CHAIN)
    found = [_terms(budget) for budget in spec.creates]
    for place, budget in enumerate(spec.creates):
        if place < len(before) and all(map(is_, found[place], before[place])):
            check_whose(budget)
        else:
            check_budget(budget)
    return found


def _check_route(route: RouteSpec) -> None:
    check_name("route", route.name)
    check_model(route.model)
    _check_limit_names(route.limits)
    if route.patience_ms is not None:
        check_range("patience of a route in ms", route.patience_ms, 0, bounds.MAX_DELAY_MS)


def _check_limit_names(names: Sequence[str]) -> None:
    check_count("list of limits", len(names), bounds.MAX_LIMITS)
    for name in names:
        check_name("limit", name)
    if len(set(names)) < len(names):
        raise InvalidInput(f"The limits {', '.join(names)} name one twice; a job takes each limit once.")


def _check_usage(usage: Usage) -> None:
    """Its numbers were checked when it was made, or summed by aiq from such."""
    check_count("list of categories in a usage", len(usage.tokens), bounds.MAX_CATEGORIES)


def _check_retry_after(retry_after_ms: int | None) -> None:
    if retry_after_ms is not None:
        check_range("time that a provider asks to wait, in ms,", retry_after_ms, 0, bounds.MAX_DELAY_MS)


def _check_outcome(outcome: Outcome) -> None:
    match outcome:
        case Suspended(key, signal):
            check_opaque("wait key", key)
            check_name("signal", signal)
        case Sleeping(key):
            check_opaque("wait key", key)
        case Waiting(key, need):
            check_opaque("wait key", key)
            if need is not None:
                check_range("need of a wait", need, 0, bounds.MAX_DEPENDENCIES)
        case Deferred():
            check_throttles(outcome.throttles)
        case Held():
            _check_held(outcome)
        case _:
            pass


def _check_held(outcome: Held) -> None:
    if outcome.by or outcome.reason in (HeldFor.BUDGET, HeldFor.APPROVAL):
        check_opaque("name of what holds a job", outcome.by)
    check_amounts("need of a held job", outcome.need)
