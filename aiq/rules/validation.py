"""What a caller may pass, checked before anything is touched: by the queue, and again by every store.

Each check raises `InvalidInput` or one of its kinds, and returns nothing. Types are mypy's business, ranges are
ours; where users who run no type checker often pass another type, that is told too. Spec: chapter 9.
"""

import re
from collections.abc import Sequence
from typing import Final

from aiq import bounds
from aiq.errors import FlowInvalid, InvalidInput, InvalidName, TooLarge
from aiq.model import (
    ChunkKind,
    ClaimRequest,
    JobSpec,
    Lease,
    NewChunk,
    Settlement,
    Sleeping,
    Step,
    StepKind,
    Succeeded,
    Suspended,
    Waiting,
)

_SHORTER: Final = "Use a shorter text, or a digest of it."
_IN_PARTS: Final = "Send it in several parts."
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_ORDINAL: Final = re.compile(r"#[0-9]+\Z")


def check_name(kind: str, name: object) -> None:
    """Refuse a name outside the alphabet of queues, tasks, signals and limits. `kind` is for the message."""
    if not isinstance(name, str) or not bounds.NAME.fullmatch(name):
        raise InvalidName(kind, name)


def check_step_name(name: object) -> None:
    """Refuse what is no text of 1 to MAX_STEP_NAME_BYTES bytes, or holds control characters, which no log or terminal
    shows; and what ends like the key of a name that is used again, since two steps would share that key."""
    if not isinstance(name, str) or not name or _CONTROL.search(name) or not _fits(name, bounds.MAX_STEP_NAME_BYTES):
        rule = f"Use a text of 1 to {bounds.MAX_STEP_NAME_BYTES} bytes in UTF-8, without control characters."
        raise InvalidName("step", name, rule)
    if _ORDINAL.search(name):
        raise InvalidName("step", name, 'Its end means a name that is used again: name#2. Use "name 2", or "name-2".')


def check_opaque(kind: str, text: object) -> None:
    """Refuse an id or key that is empty, longer than MAX_OPAQUE_BYTES, or no text that every store can keep."""
    if not isinstance(text, str):
        raise InvalidInput(f"The {kind} is {text!r:.200}; pass a text, for instance str(…) of it.")
    if not text:
        raise InvalidInput(f"The {kind} is empty. Pass a text of 1 to {bounds.MAX_OPAQUE_BYTES} bytes.")
    try:
        size = len(text.encode())
    except UnicodeEncodeError as error:
        raise InvalidInput(f"The {kind} {text!r} cannot be written as UTF-8.") from error
    if "\0" in text:
        raise InvalidInput(f"The {kind} {text!r} holds a NUL character, which not every store can keep.")
    if size > bounds.MAX_OPAQUE_BYTES:
        raise TooLarge(kind, size, bounds.MAX_OPAQUE_BYTES, _SHORTER, unit=" bytes")


def check_range(kind: str, value: object, low: int, high: int) -> None:
    """Refuse a number outside low..high, ends included, and what is no whole number."""
    if not isinstance(value, int):
        raise InvalidInput(f"The {kind} is {value!r:.200}; pass a whole number from {low:,} to {high:,}.")
    if not low <= value <= high:
        raise InvalidInput(f"The {kind} is {value:,}; it must be from {low:,} to {high:,}.")


def check_size(kind: str, data: bytes, bound: int) -> None:
    """Refuse bytes over their bound."""
    if len(data) > bound:
        raise TooLarge(kind, len(data), bound, unit=" bytes")


def check_count(kind: str, count: int, bound: int) -> None:
    """Refuse a list that is longer than one call takes."""
    if count > bound:
        raise TooLarge(kind, count, bound, _IN_PARTS)


def check_limit(limit: int, bound: int = bounds.MAX_PAGE) -> None:
    """Refuse a page or sweep of no rows, or of more than `bound`."""
    if limit < 1:
        raise InvalidInput(f"The limit is {limit:,}; ask for 1 to {bound:,}.")
    check_count("limit", limit, bound)


def check_spec(spec: JobSpec) -> None:
    """Refuse a job whose names, sizes or durations are out of range. Spec: ENQ-8, STORE-9."""
    _check_texts(spec)
    _check_numbers(spec)
    check_size("payload", spec.payload, bounds.MAX_PAYLOAD_BYTES)
    check_count("list of dependencies", len(spec.depends_on), bounds.MAX_DEPENDENCIES)
    if spec.id in spec.depends_on:
        raise FlowInvalid(f"Job {spec.id!r} depends on itself, so it could never start.")


def check_batch(batch: Sequence[JobSpec], parent: Lease | None = None) -> None:
    """Refuse a batch of which one job is refused, or which is too large for one step.

    With a parent every job says by `child_of` under which wait it counts; without one none does. Spec: FLOW-15.
    """
    check_count("batch", len(batch), bounds.MAX_BATCH)
    size = sum(len(spec.payload) for spec in batch)
    if size > bounds.MAX_BATCH_BYTES:
        raise TooLarge("batch", size, bounds.MAX_BATCH_BYTES, _IN_PARTS, unit=" bytes")
    edges = sum(len(spec.depends_on) for spec in batch)
    check_count("list of dependencies of a batch", edges, bounds.MAX_DEPENDENCIES)
    before: set[str] = set()
    for spec in batch:
        check_spec(spec)
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
        outcome = settlement.outcome
        if isinstance(outcome, Succeeded) and len(outcome.result) <= bounds.MAX_RESULT_BYTES:
            size += len(outcome.result)
        if isinstance(outcome, Suspended | Waiting | Sleeping):
            check_opaque("wait key", outcome.key)
        if isinstance(outcome, Suspended):
            check_name("signal", outcome.signal)
        if isinstance(outcome, Waiting) and outcome.need is not None:
            check_range("need of a wait", outcome.need, 0, bounds.MAX_DEPENDENCIES)
    if size > bounds.MAX_BATCH_BYTES:
        raise TooLarge("list of settlements", size, bounds.MAX_BATCH_BYTES, _IN_PARTS, unit=" bytes")


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


def check_chunks(chunks: Sequence[NewChunk]) -> None:
    """Refuse items that are too many, too large, or of a kind that the store alone writes."""
    check_count("list of chunks", len(chunks), bounds.MAX_BATCH)
    for chunk in chunks:
        check_range("sequence number of a chunk", chunk.seq, 1, bounds.MAX_INSTANT_MS)
        check_size("chunk", chunk.data, bounds.MAX_CHUNK_BYTES)
        if chunk.kind not in (ChunkKind.DATA, ChunkKind.LOG, ChunkKind.PROGRESS):
            raise InvalidInput(f"A run may not write a {chunk.kind} item; the store does, when it is due.")
        if chunk.step is not None:
            check_opaque("step key", chunk.step)


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


def cut(text: str) -> str:
    """At most MAX_ERROR_BYTES of a text, whole characters, and such that every store can keep it.

    What cannot be written as UTF-8 is escaped: a failure must always be recordable.
    """
    kept = text.replace("\0", "\\0").encode(errors="backslashreplace")[: bounds.MAX_ERROR_BYTES]
    return kept.decode(errors="ignore")


def _fits(text: str, bound: int) -> bool:
    try:
        return len(text.encode()) <= bound
    except UnicodeEncodeError:
        return False


def _check_texts(spec: JobSpec) -> None:
    check_opaque("job id", spec.id)
    check_name("task", spec.task)
    check_name("queue", spec.queue)
    for kind, names in (("limit", spec.limits), ("route", [route.name for route in spec.routes])):
        check_count(f"list of {kind}s", len(names), bounds.MAX_LIMITS)
        for name in names:
            check_name(kind, name)
    for dependency in spec.depends_on:
        check_opaque("id of a dependency", dependency)
    for kind, text in (
        ("key", spec.key),
        ("unique key", spec.unique),
        ("wait key", spec.child_of),
        ("flow", spec.flow),
    ):
        if text is not None:
            check_opaque(kind, text)
    for kind, text in (("tenant", spec.tenant), ("digest", spec.digest)):
        if text:
            check_opaque(kind, text)


def _check_numbers(spec: JobSpec) -> None:
    check_range("band", spec.band, 0, 3)
    check_range("delay in ms", spec.delay_ms, 0, bounds.MAX_DELAY_MS)
    check_range("lease in ms", spec.lease_ms, bounds.MIN_LEASE_MS, bounds.MAX_LEASE_MS)
    check_range("number of attempts", spec.max_attempts, 1, bounds.MAX_ATTEMPTS)
    check_range("number of stalls", spec.max_stalls, 1, bounds.MAX_ATTEMPTS)
    if spec.timeout_ms is not None:
        check_range("timeout in ms", spec.timeout_ms, 1, bounds.MAX_DELAY_MS)
    for kind, instant in (("start", spec.at_ms), ("deadline", spec.deadline_ms)):
        if instant is not None:
            check_range(f"{kind} in ms since 1970", instant, 0, bounds.MAX_INSTANT_MS)
