"""What is told of jobs: as facts for programs, whose names are stable, and as words for people. No I/O."""

import json
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Final, TypeAlias

import msgspec

from aiq.model import Chunk, ChunkKind, JobError, JobRecord, State, Step, Why
from aiq.policy import counted
from aiq.rules.coding import why_unreadable

Lines: TypeAlias = list[tuple[str, str]]
"""Labels and what they label."""

_UNITS: Final = ((86_400_000, "d"), (3_600_000, "h"), (60_000, "m"), (1_000, "s"))


def job_fact(record: JobRecord) -> dict[str, object]:
    """A job without what may be personal: no payload, no result, no error texts. Instants are ms since 1970."""
    return {
        "id": record.id,
        "state": record.state.value,
        "queue": record.queue,
        "task": record.task,
        "band": record.band.name.lower(),
        "attempt": record.attempt,
        "max_attempts": record.max_attempts,
        "stalls": record.stalls,
        "fence": record.fence,
        "generation": record.generation,
        "flow": record.flow,
        "origin": record.origin,
        "parent_id": record.parent_id,
        "tenant": record.tenant,
        "owner": record.owner,
        "cause": record.cause.value if record.cause else None,
        "held": record.held.value if record.held else None,
        "held_by": record.held_by or None,
        "route": record.routes[record.route].name if record.routes else None,
        "limits": list(record.taken_limits),
        "wait": wait_fact(record),
        "cancel_requested_at_ms": record.cancel_requested_at_ms,
        "kept_signals": record.kept_signals,
        "chunks": record.chunks,
        "created_at_ms": record.created_at_ms,
        "started_at_ms": record.started_at_ms,
        "finished_at_ms": record.finished_at_ms,
        "due_ms": record.due_ms,
        "deadline_ms": record.deadline_ms,
        "expires_at_ms": record.expires_at_ms,
    }


def wait_fact(record: JobRecord) -> dict[str, object] | None:
    """What the job waits for now: its key, the kind, how many jobs have not ended, and until when it waits."""
    if record.wait_key is None:
        return None
    kinds = {State.SUSPENDED: "signal", State.SCHEDULED: "timer"}
    for_jobs = "children" if record.wait_key else "dependencies"
    return {
        "key": record.wait_key,
        "kind": kinds.get(record.state, for_jobs),
        "pending": record.pending,
        "until_ms": record.due_ms,
    }


def whole_fact(record: JobRecord, steps: Iterable[Step], *, payload: bool) -> dict[str, object]:
    """A job with its errors, progress and steps; payload, result and the values of steps only if asked for."""
    fact = job_fact(record) | {
        "errors": [error_fact(error) for error in record.errors],
        "steps": [step_fact(step, payload=payload) for step in steps],
    }
    fact |= readable("progress", record.progress)
    if payload:
        fact |= readable("payload", record.payload) | readable("result", record.result)
    return fact


def why_fact(why: Why) -> dict[str, object]:
    """Why a job does not run."""
    return {"gate": why.gate.value, "name": why.name, "text": why.text, "opens_in_ms": why.opens_in_ms}


def why_line(why: Why) -> str:
    """The same in a sentence."""
    opens = "" if why.opens_in_ms is None else f" (at the earliest in {span(why.opens_in_ms)})"
    return f"{why.gate}: {why.text}{opens}"


def error_fact(error: JobError) -> dict[str, object]:
    """One failure."""
    return {
        "at_ms": error.at_ms,
        "attempt": error.attempt,
        "fence": error.fence,
        "cause": error.cause.value,
        "type": error.type,
        "fingerprint": error.fingerprint,
        "code": error.code,
        "place": error.place,
        "message": error.message,
        "traceback": error.traceback,
    }


def step_fact(step: Step, *, payload: bool) -> dict[str, object]:
    """One remembered step, or wait that is over."""
    fact: dict[str, object] = {"key": step.key, "kind": step.kind.value, "fence": step.fence, "bytes": len(step.value)}
    return fact | readable("value", step.value) if payload else fact


def chunk_fact(chunk: Chunk) -> dict[str, object]:
    """One item of a stream."""
    fact: dict[str, object] = {
        "number": chunk.number,
        "kind": chunk.kind.value,
        "at_ms": chunk.at_ms,
        "fence": chunk.fence,
        "step": chunk.step,
    }
    match chunk.kind:
        case ChunkKind.RESET:
            return fact | {"void": chunk.void}
        case ChunkKind.PROGRESS:
            return fact | readable("progress", chunk.data)
        case _:
            return fact | _text("text", chunk.data)


def readable(name: str, data: bytes | None) -> dict[str, object]:
    """Stored bytes under `name` as what their JSON says; else as `name_text`, or at worst as `name_base64`.

    aiq itself stores JSON, but a storage takes any bytes, and what shows them must not fail.
    """
    if data is None:
        return {name: None}
    if (unreadable := _unreadable(name, data)) is not None:
        return unreadable
    try:
        value = msgspec.json.decode(data)
        json.dumps(value)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return _text(f"{name}_text", data, base64=f"{name}_base64")
    return {name: value}


def _text(name: str, data: bytes, *, base64: str = "base64") -> dict[str, object]:
    if (unreadable := _unreadable(name, data)) is not None:
        return unreadable
    try:
        return {name: data.decode()}
    except UnicodeDecodeError:
        return {base64: msgspec.to_builtins(data)}


def _unreadable(name: str, data: bytes) -> dict[str, object] | None:
    why = why_unreadable(data)
    return None if why is None else {f"{name}_unreadable": why, f"{name}_bytes": len(data)}


def plain(data: bytes) -> str:
    """Stored bytes for people, who see at once whether it is JSON. Encoded ones are told, and not shown."""
    why = why_unreadable(data)
    return data.decode(errors="backslashreplace") if why is None else f"({len(data):,} bytes. {why}.)"


def job_row(record: JobRecord, now_ms: int) -> list[str]:
    """A job as one row of a table: the columns of JOB_COLUMNS."""
    attempt = f"{record.attempt}/{record.max_attempts}"
    return [record.id, record.state, record.queue, record.task, attempt, ago(record.created_at_ms, now_ms),
            remark(record, now_ms)]  # fmt: skip


JOB_COLUMNS: Final = ("ID", "STATE", "QUEUE", "TASK", "TRY", "AGE", "NOTE")


def remark(record: JobRecord, now_ms: int) -> str:
    """What matters about a job in its state, in a few words: what it waits for, who runs it, why it died."""
    match record.state:
        case State.SCHEDULED:
            sleeping = f' ("{record.wait_key}")' if record.wait_key else ""
            return f"due {_when(record.due_ms, now_ms)}{sleeping}"
        case State.WAITING:
            return f"waits for {_jobs_of(record)}, {record.pending} not ended"
        case State.SUSPENDED:
            return f'needs a signal for "{record.wait_key}"{_until(record, now_ms)}'
        case State.RUNNING:
            asked = ", asked to stop" if record.cancel_requested_at_ms is not None else ""
            return f"lease ends {_when(record.expires_at_ms, now_ms)}{asked}"
        case State.HELD:
            return f"held for {record.held}" + (f': "{record.held_by}"' if record.held_by else "")
        case State.DEAD:
            return f"{record.cause}: {record.errors[-1].type}" if record.errors else f"{record.cause}"
        case _:
            return ""


def _jobs_of(record: JobRecord) -> str:
    return f'children "{record.wait_key}"' if record.wait_key else "dependencies"


def _until(record: JobRecord, now_ms: int) -> str:
    return f", gives up {_when(record.due_ms, now_ms)}" if record.due_ms is not None else ""


def job_lines(record: JobRecord, now_ms: int) -> Lines:
    """A job in full, but for what may be personal. What says nothing is left out."""
    told: Mapping[str, str] = {
        "state": record.state + (f": {note}" if (note := remark(record, now_ms)) else ""),
        "task": record.task,
        "queue": f"{record.queue}, band {record.band.name.lower()}",
        "tenant": record.tenant,
        "route": record.routes[record.route].name if record.routes else "",
        "limits": ", ".join(record.taken_limits),
        "budgets": ", ".join(record.budgets),
        "flow": record.flow or "",
        "parent": record.parent_id or "",
        "replay of": record.origin or "",
        "attempt": f"{record.attempt} of {record.max_attempts}"
        + (f", generation {record.generation}" if record.generation > 1 else ""),
        "runs": f"{record.fence}, of which {record.stalls} stalled" if record.stalls else str(record.fence),
        "worker": record.owner or "",
        "signals": f"{record.kept_signals} kept for later waits" if record.kept_signals else "",
        "stream": counted(record.chunks, "item") if record.chunks else "",
        "progress": plain(record.progress) if record.progress else "",
        "created": _instant(record.created_at_ms, now_ms),
        "started": _instant(record.started_at_ms, now_ms),
        "deadline": _instant(record.deadline_ms, now_ms),
        "finished": _instant(record.finished_at_ms, now_ms),
        "took": _took(record),
    }
    return [(label, text) for label, text in told.items() if text]


def error_lines(error: JobError, now_ms: int) -> list[str]:
    """One failure, with its traceback below."""
    head = f"attempt {error.attempt}, {ago(error.at_ms, now_ms)} ago, {error.cause}: {error.type}: {error.message}"
    return [head, *(f"  {line}" for line in error.traceback.rstrip().split("\n") if line)]


def ago(at_ms: int, now_ms: int) -> str:
    """How long since an instant, by the largest unit that fits: 42s, 5m, 3h, 12d."""
    return span(max(0, now_ms - at_ms))


def span(ms: int) -> str:
    """A duration by the largest unit that fits."""
    for unit_ms, letter in _UNITS:
        if ms >= unit_ms:
            return f"{ms // unit_ms}{letter}"
    return f"{ms}ms"


def _when(at_ms: int | None, now_ms: int) -> str:
    if at_ms is None:
        return "never"
    return f"in {span(at_ms - now_ms)}" if at_ms > now_ms else "now"


def _instant(at_ms: int | None, now_ms: int) -> str:
    if at_ms is None:
        return ""
    # Through an integer of microseconds: a float would show some milliseconds wrong.
    at = datetime.fromtimestamp(at_ms // 1000, UTC).replace(microsecond=at_ms % 1000 * 1000)
    return f"{at.isoformat(sep=' ', timespec='milliseconds').removesuffix('+00:00')}Z, {ago(at_ms, now_ms)} ago"


def _took(record: JobRecord) -> str:
    """From the first start to the end, waits included."""
    if record.started_at_ms is None or record.finished_at_ms is None:
        return ""
    return span(record.finished_at_ms - record.started_at_ms)
