"""A storage behind codecs: values are encoded on their way in, and decoded on their way out.

Whoever holds it sees plain values, and the storage behind it coded ones. A value that cannot be decoded comes out as
it is stored, with the reason (`rules.coding.Unreadable`), so that one of them hides no other.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, Self, TypeVar, cast

from aiq.bounds import MAX_DECODED_BYTES, MAX_PAGE
from aiq.codecs import Codec, Undecodable, Value
from aiq.errors import AiqError, Conflict, LeaseLost, NotFound, TooLarge, Unavailable
from aiq.model import (
    Append,
    Appended,
    Chunk,
    ChunkKind,
    ClaimRequest,
    Died,
    DueSchedules,
    Edit,
    Enqueued,
    Exchanged,
    Fire,
    Fired,
    JobFilter,
    JobRecord,
    JobSpec,
    Lease,
    NewChunk,
    Page,
    Read,
    Redrive,
    Redriven,
    Retried,
    Saved,
    ScheduleSpec,
    ScheduleStatus,
    Sent,
    Settled,
    Settlement,
    Step,
    StepKind,
    StreamPage,
    Succeeded,
)
from aiq.rules.coding import MAGIC, Sealed, Unreadable, check_readable, coded, parted, told
from aiq.storage import AppendRefused, ReadRefused, Storage, all_records

T = TypeVar("T")

AT_ONCE: Final = 16
"""Values that are decoded at the same time: those kept elsewhere would else come one by one."""
_NOWHERE: Final = Value("payload", "")
"""The place of a payload for a job that is not stored, which the storage refuses."""
_PROGRESS: Final = ChunkKind.PROGRESS.value
_WRITTEN: Final = frozenset({ChunkKind.DATA, ChunkKind.LOG, ChunkKind.PROGRESS})
"""What runs write into a stream; the rest is the storage's own."""
_PLAIN: Final = (
    "It was stored without {}, which is required here: by somebody who may write to the storage and has no key, or "
    "by a process without these codecs"
)


@dataclass(frozen=True, slots=True)
class Chain:
    """The codecs, in the order in which they encode."""

    codecs: tuple[Codec, ...]

    @property
    def hides(self) -> bool:
        """Whether one of them encrypts."""
        return any(codec.hides for codec in self.codecs)

    async def encode(self, data: bytes, value: Value) -> bytes:
        """A value as it is stored; plain if no codec wants it.

        Raises:
            TooLarge: it is over MAX_DECODED_BYTES, and could not be read back.
            PayloadInvalid: it is one that was read in vain, and would be stored as if it had been read.
            Unavailable: what keeps values elsewhere did not take it.
        """
        if isinstance(data, Unreadable):
            check_readable(data)
        if len(data) > MAX_DECODED_BYTES:
            raise TooLarge(value.kind, len(data), MAX_DECODED_BYTES, unit=" bytes")
        tags, body = [], data
        for codec in self.codecs:
            done = await _kept(codec, body, value)
            if done is not None:
                tags.append(f"{codec.name}={done[0]}" if done[0] else codec.name)
                body = done[1]
        # Plain bytes that look like coded ones get a header that names nothing.
        return coded(tags, body) if tags or data.startswith(MAGIC) else data

    async def decode(self, data: bytes, value: Value) -> bytes:
        """A stored value as it was; as it is stored, with the reason, if it cannot be read."""
        tags, body = parted(data) or ((), data)
        names = [tag.partition("=")[0] for tag in tags]
        lacking = [codec.name for codec in self.codecs if codec.required and codec.name not in names]
        if lacking:
            # Behind a header, so that nobody takes it for a value who does not ask whether it is one.
            return Unreadable.of(coded(tags, body), _PLAIN.format(lacking[0]))
        try:
            if len(set(names)) < len(names):
                raise Undecodable("Its header names a codec twice; its bytes were changed")
            for tag in reversed(tags):
                body = await self._undone(tag, body, value)
        except Undecodable as error:
            return Unreadable.of(data, f"{error}. It is encoded with {told(tags)}", passing=error.passing)
        return body

    async def _undone(self, tag: str, body: bytes, value: Value) -> bytes:
        name, _, note = tag.partition("=")
        codec = next((codec for codec in self.codecs if codec.name == name), None)
        if codec is None:
            raise Undecodable(f'There is no codec "{name}" here: add it to the codecs of the queue')
        try:
            plain = await codec.decode(body, note, value)
        except Undecodable:
            raise
        except Exception as error:
            # One value must not keep a claim from its answer, whatever the codec does.
            text = f'Codec "{name}" failed at it ({type(error).__name__}), and may do better later'
            raise Undecodable(text, passing=True) from error
        if len(plain) > MAX_DECODED_BYTES:
            raise Undecodable(f"It decodes to more than the {MAX_DECODED_BYTES:,} bytes that are allowed")
        return plain


async def _kept(codec: Codec, body: bytes, value: Value) -> tuple[str, bytes] | None:
    try:
        return await codec.encode(body, value)
    except AiqError:
        raise
    except Exception as error:
        # Clients of buckets have errors of all kinds. Nothing was stored, and nothing is lost: try again.
        raise Unavailable(
            f'Codec "{codec.name}" could not keep a {value.kind}: {type(error).__name__}: {error}'
        ) from error


def behind(storage: Storage, codecs: Sequence[Codec]) -> Storage:
    """The storage, behind codecs if there are any."""
    # Every operation is there: those below, and the others by name from the storage itself.
    return cast(Storage, CodedStorage(storage, Chain(tuple(codecs)))) if codecs else storage


async def sealed(storage: Storage, specs: Sequence[JobSpec]) -> Sequence[JobSpec]:
    """Jobs with their payloads as they will be stored, so that they are measured by that."""
    return await storage.seal(specs) if isinstance(storage, CodedStorage) else specs


async def sealed_result(storage: Storage, job_id: str, result: bytes) -> bytes:
    """A result as it will be stored, so that it is measured by that, and one that cannot be kept holds up no other.

    Raises:
        TooLarge, PayloadInvalid, Unavailable: as `Chain.encode`.
    """
    return await storage.seal_result(job_id, result) if isinstance(storage, CodedStorage) else result


def is_coded(storage: Storage) -> bool:
    """Whether values are of other lengths there than here, by which its calls and answers are bounded."""
    return isinstance(storage, CodedStorage)


def beneath(storage: Storage) -> Storage:
    """What lies behind the codecs, for whoever asks for several callers: a value that is long in coming for one of them
    is not to hold up the others."""
    return storage.beneath if isinstance(storage, CodedStorage) else storage


async def decoded(storage: Storage, job_id: str, page: StreamPage) -> StreamPage:
    """A page of a job's stream that was read beneath."""
    return await storage.read_page(job_id, page) if isinstance(storage, CodedStorage) else page


class CodedStorage:
    """Encodes what goes into a storage, and decodes what comes out. What holds no value passes as it is."""

    def __init__(self, storage: Storage, chain: Chain) -> None:
        self._storage, self._chain = storage, chain

    # Any: whatever the storage has under the name.
    def __getattr__(self, name: str) -> Any:
        return getattr(self._storage, name)

    @property
    def beneath(self) -> Storage:
        """What lies behind the codecs."""
        return self._storage

    async def sibling(self) -> Self:
        """A sibling behind the same codecs."""
        return type(self)(await self._storage.sibling(), self._chain)

    async def seal(self, specs: Sequence[JobSpec]) -> list[JobSpec]:
        """Jobs with their payloads encoded; those that are stay so."""
        return [spec if isinstance(spec.payload, Sealed) else await self._seal(spec) for spec in specs]

    async def seal_result(self, job_id: str, result: bytes) -> Sealed:
        """A result encoded."""
        return Sealed(await self._in(result, "result", job_id))

    async def enqueue(self, batch: Sequence[JobSpec], parent: Lease | None = None) -> list[Enqueued]:
        """As the contract says."""
        return await self._storage.enqueue(await self._specs(batch), parent)

    async def exchange(self, settlements: Sequence[Settlement], claim: ClaimRequest | None = None) -> Exchanged:
        """As the contract says."""
        told = await self._storage.exchange([await self._settlement(one) for one in settlements], claim)
        settled = [await self._settled(one, answer) for one, answer in zip(settlements, told.settled, strict=True)]
        return replace(told, settled=tuple(settled), claimed=tuple(await self._records(told.claimed)))

    async def hold(self, job_ids: Sequence[str]) -> list[JobRecord | None]:
        """As the contract says."""
        return await self._records(await self._storage.hold(job_ids))

    async def unhold(self, job_ids: Sequence[str]) -> list[JobRecord | None]:
        """As the contract says."""
        return await self._records(await self._storage.unhold(job_ids))

    async def update(self, edits: Sequence[Edit]) -> "list_of[JobRecord | None]":
        """As the contract says."""
        places = await self._places([edit.job_id for edit in edits if edit.content is not None])
        return await self._records(await self._storage.update([await self._edit(one, places) for one in edits]))

    async def get(self, job_ids: Sequence[str]) -> list[JobRecord | None]:
        """As the contract says."""
        return await self._records(await self._storage.get(job_ids))

    async def list(self, query: JobFilter, *, cursor: str | None = None, limit: int = MAX_PAGE) -> Page:
        """As the contract says."""
        page = await self._storage.list(query, cursor=cursor, limit=limit)
        return replace(page, jobs=tuple(await self._records(page.jobs)))

    async def redrive(self, request: Redrive) -> Sequence[Redriven | Conflict | NotFound]:
        """As the contract says."""
        if request.payload is None:
            return await self._storage.redrive(request)
        ids = [target.job_id for target in request.targets]
        places = await self._places(ids[:1])
        payload = await self._chain.encode(request.payload, places.get(ids[0], _NOWHERE) if ids else _NOWHERE)
        return await self._storage.redrive(replace(request, payload=payload))

    async def save_step(self, lease: Lease, step: Step) -> Saved:
        """As the contract says."""
        value = await self._in(step.value, "step", lease.job_id, step.key)
        saved = await self._storage.save_step(lease, replace(step, value=value))
        return replace(saved, step=await self._step(saved.step, lease.job_id))

    async def get_steps(self, job_id: str, *, after: str = "", limit: int = MAX_PAGE) -> "list_of[Step]":
        """As the contract says."""
        steps = await self._storage.get_steps(job_id, after=after, limit=limit)
        return await _each(steps, lambda step: self._step(step, job_id))

    async def send(self, job_id: str, name: str, signal_id: str, payload: bytes) -> Sent:
        """As the contract says."""
        stored = await self._in(payload, "signal", job_id, write=signal_id)
        return await self._storage.send(job_id, name, signal_id, stored)

    async def append(self, appends: Sequence[Append]) -> "list_of[Appended | AppendRefused]":
        """As the contract says."""
        return await self._storage.append(await _each(appends, self._append))

    async def _append(self, one: Append) -> Append:
        return replace(one, chunks=[await self._new_chunk(one.lease, chunk) for chunk in one.chunks])

    async def read(self, reads: Sequence[Read], *, limit: int = MAX_PAGE) -> "list_of[StreamPage | ReadRefused]":
        """As the contract says."""
        pages = await self._storage.read(reads, limit=limit)
        return [
            page if isinstance(page, ReadRefused) else await self.read_page(one.job_id, page)
            for one, page in zip(reads, pages, strict=True)
        ]

    async def read_page(self, job_id: str, page: StreamPage) -> StreamPage:
        """A page of a job's stream as the storage beneath has it, decoded."""
        return replace(page, chunks=tuple(await _each(page.chunks, lambda chunk: self._chunk(chunk, job_id))))

    async def put_schedules(
        self, schedules: Sequence[ScheduleSpec], *, absent_only: bool = False
    ) -> "list_of[ScheduleStatus]":
        """As the contract says."""
        stored = [replace(spec, template=await self._template_in(spec)) for spec in schedules]
        return await self._statuses(await self._storage.put_schedules(stored, absent_only=absent_only))

    async def get_schedules(
        self, names: Sequence[str] = (), *, after: str = "", limit: int = MAX_PAGE
    ) -> "list_of[ScheduleStatus]":
        """As the contract says."""
        return await self._statuses(await self._storage.get_schedules(names, after=after, limit=limit))

    async def due_schedules(self, limit: int = MAX_PAGE) -> DueSchedules:
        """As the contract says."""
        due = await self._storage.due_schedules(limit)
        return replace(due, schedules=tuple(await self._statuses(due.schedules)))

    async def fire(self, fires: Sequence[Fire]) -> "list_of[Fired]":
        """As the contract says."""
        return await self._storage.fire([replace(one, jobs=tuple(await self._specs(one.jobs))) for one in fires])

    async def run_schedule(self, name: str, job: JobSpec) -> Fired:
        """As the contract says."""
        [stored] = await self._specs([job])
        return await self._storage.run_schedule(name, stored)

    async def pause_schedules(self, names: Sequence[str]) -> "list_of[ScheduleStatus | None]":
        """As the contract says."""
        return await self._statuses(await self._storage.pause_schedules(names))

    async def resume_schedules(self, names: Sequence[str]) -> "list_of[ScheduleStatus | None]":
        """As the contract says."""
        return await self._statuses(await self._storage.resume_schedules(names))

    async def _seal(self, spec: JobSpec) -> JobSpec:
        return replace(spec, payload=Sealed(await self._chain.encode(spec.payload, place_of(spec))))

    async def _specs(self, specs: Sequence[JobSpec]) -> "list_of[JobSpec]":
        """Jobs as the storage is handed them: encoded, with bytes and nothing but bytes, which any store can write."""
        return [replace(spec, payload=bytes(spec.payload)) for spec in await self.seal(specs)]

    async def _in(self, data: bytes, kind: str, owner: str, part: str = "", *, write: str = "") -> bytes:
        return await self._chain.encode(data, Value(kind, owner, part, write))

    async def _out(self, data: bytes, kind: str, owner: str, part: str = "") -> bytes:
        return await self._chain.decode(data, Value(kind, owner, part))

    async def _places(self, job_ids: Sequence[str]) -> dict[str, Value]:
        """Where the payloads of stored jobs belong. A job keeps its task and key, so this is true for ever. UNIQ-12"""
        if not job_ids:
            return {}
        records = await all_records(self._storage, job_ids)
        return {record.id: place_of(record) for record in records if record is not None}

    async def _new_chunk(self, lease: Lease, chunk: NewChunk) -> NewChunk:
        # Its number in the run: else equal tokens of a stream would be equal bytes, and could be counted.
        write = f"{lease.fence}.{chunk.seq}"
        return replace(chunk, data=await self._in(chunk.data, "chunk", lease.job_id, chunk.kind.value, write=write))

    async def _chunk(self, chunk: Chunk, job_id: str) -> Chunk:
        if chunk.kind not in _WRITTEN:
            return chunk
        return replace(chunk, data=await self._out(chunk.data, "chunk", job_id, chunk.kind.value))

    async def _settlement(self, one: Settlement) -> Settlement:
        if isinstance(one.outcome, Died | Retried) and self._chain.hides:
            # A sample is for people to read, and what is encrypted is not.
            return replace(one, outcome=replace(one.outcome, sample=None))
        outcome = one.outcome
        if not isinstance(outcome, Succeeded):
            return one
        result = outcome.result
        if not isinstance(result, Sealed):
            result = await self.seal_result(one.lease.job_id, result)
        # Bytes and nothing but bytes, which any store can write.
        return replace(one, outcome=Succeeded(bytes(result)))

    async def _template_in(self, spec: ScheduleSpec) -> JobSpec:
        return replace(spec.template, payload=await self._in(spec.template.payload, "template", spec.name))

    async def _statuses(self, found: Sequence[T]) -> "list_of[T]":
        return await _each(found, lambda one: cast(Awaitable[T], self._status(cast("ScheduleStatus | None", one))))

    async def _status(self, status: ScheduleStatus | None) -> ScheduleStatus | None:
        if status is None:
            return None
        template = status.spec.template
        plain = replace(template, payload=await self._out(template.payload, "template", status.name))
        return replace(status, spec=replace(status.spec, template=plain))

    async def _edit(self, edit: Edit, places: Mapping[str, Value]) -> Edit:
        if edit.content is None:
            return edit
        payload = await self._chain.encode(edit.content.payload, places.get(edit.job_id, _NOWHERE))
        return replace(edit, content=replace(edit.content, payload=payload))

    async def _settled(self, one: Settlement, answer: Settled | LeaseLost | TooLarge) -> Settled | LeaseLost | TooLarge:
        if not isinstance(answer, Settled) or answer.step is None:
            return answer
        return replace(answer, step=await self._step(answer.step, one.lease.job_id))

    async def _step(self, step: Step, job_id: str) -> Step:
        match step.kind:
            case StepKind.VALUE:
                return replace(step, value=await self._out(step.value, "step", job_id, step.key))
            case StepKind.SIGNAL:
                return replace(step, value=await self._out(step.value, "signal", job_id))
            case _:
                return step  # the storage's own

    async def _records(self, records: Sequence[T]) -> "list_of[T]":
        # `T` is a record, or a record or None: what comes in is what goes out.
        return await _each(records, lambda one: cast(Awaitable[T], self._record(cast("JobRecord | None", one))))

    async def _record(self, record: JobRecord | None) -> JobRecord | None:
        if record is None:
            return None
        result, progress = record.result, record.progress
        return replace(
            record,
            payload=await self._chain.decode(record.payload, place_of(record)),
            result=None if result is None else await self._out(result, "result", record.id),
            progress=None if progress is None else await self._out(progress, "chunk", record.id, _PROGRESS),
        )


def place_of(job: JobSpec) -> Value:
    """Where the payload of a job belongs: to the job. That of one with a unique key belongs to the key: a newer job
    that replaces its content is sealed before anybody knows the id under which it will stand."""
    return Value("payload", job.id) if job.unique is None else Value("payload", job.task, job.unique)


list_of = list
"""Inside the class `list` is the operation."""


async def _each(items: Sequence[Any], work: Callable[[Any], Awaitable[T]]) -> list[T]:
    """Do something with each of some items, AT_ONCE at the same time, in their order."""
    done: list[T] = []
    for start in range(0, len(items), AT_ONCE):
        done += await asyncio.gather(*map(work, items[start : start + AT_ONCE]))
    return done
