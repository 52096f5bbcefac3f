"""The handle of a stored job: its result, its stream, and what can be said to it from outside."""

import asyncio
import secrets
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Collection
from typing import TYPE_CHECKING, Any, Final, Generic, Literal, TypeVar, cast

from aiq.errors import (
    OUTAGES,
    InvalidInput,
    JobCancelled,
    JobDead,
    NotFound,
    PayloadInvalid,
    ResultGone,
    ResultInvalid,
    ResultTimeout,
    Unavailable,
)
from aiq.looking import POLL_MS, first_look, next_look, read_end, read_on
from aiq.misuse import check_signal
from aiq.model import (
    Band,
    CancelAnswer,
    Chunk,
    ChunkKind,
    JobRecord,
    Redrive,
    Redriven,
    Sent,
    State,
    Step,
    StepKind,
    Target,
    Why,
)
from aiq.policy import BandName, Duration, Signal, band_of, duration_ms
from aiq.rules.codec import Codec
from aiq.rules.coding import check_there, why_unreadable
from aiq.rules.ids import new_id
from aiq.rules.retention import result_of
from aiq.rules.writing import Unfit
from aiq.storage import Storage, job_topic

if TYPE_CHECKING:
    from aiq.newjob import NewJob

R_co = TypeVar("R_co", covariant=True)
T = TypeVar("T")

PAUSES_S: Final = (0.05, 0.25)
"""Before the second and the third try of a call whose outcome is unknown."""

OUTPUT: Final = frozenset({ChunkKind.DATA, ChunkKind.RESET})
"""What makes up the text of a job: what was emitted, and what of it no longer counts."""


class Job(Generic[R_co]):
    """One stored job. Made by a Queue; it holds no connection of its own and can be made again from the id.

        job = await queue.enqueue(summarize.job(document))
        async for text in job.text():                        # while it comes
            print(text, end="")
        summary = await job.result(timeout=60)                # typed; JobDead, JobCancelled, ResultTimeout
        same = queue.job(job.id, summarize)                   # elsewhere, later

    `existed` says that the enqueue found the job there already, and `found_by` how: by its "id", with the same content,
    or as the one that has the "unique" key of the job that was to be enqueued. `gone` is how that one ended if it is no
    longer kept, and only remembered by its id or its key: then there is no result to be had.
    """

    __slots__ = ("_read", "_storage", "existed", "found_by", "gone", "id")

    def __init__(
        self,
        storage: Storage,
        job_id: str,
        read: Callable[[bytes], R_co],
        *,
        existed: bool = False,
        found_by: Literal["id", "unique"] | None = None,
        gone: State | None = None,
    ) -> None:
        self.id, self.existed, self.found_by, self.gone = job_id, existed, found_by, gone
        self._storage, self._read = storage, read

    async def result(self, timeout: Duration | None = None) -> R_co:
        """Wait for the job to end, and return what it returned. None waits for ever, 0 only looks.

        Giving up waiting does not stop the job, and the result can be asked for as often as it is needed.

        Raises:
            JobDead: it failed for good; the text has the last error.
            JobCancelled: it was cancelled.
            ResultTimeout: it has not ended in time.
            ResultGone: no such job is stored here, or not any more, or its result is kept no more.
            Moved: it had not ended when the storage moved; ask there.
            ResultInvalid: the stored result does not fit the task's annotation any more.
        """
        until = None if timeout is None else _now_ms() + duration_ms("timeout", timeout)
        topics = {job_topic(self.id)}
        mark = await self._mark(topics)
        while not (record := await self._stored()).state.terminal:
            left_ms = POLL_MS if until is None else max(0, min(POLL_MS, until - _now_ms()))
            # Also when the time is up: where the storage has moved from, nobody is to ask again.
            mark = await self._storage.wait(topics, after=mark, timeout_ms=left_ms)
            if left_ms == 0:
                raise ResultTimeout(self.id, record.state)
        _raise_unless_succeeded(record)
        return self._read(result_of(record))

    async def stream(
        self, after: int = 0, *, kinds: Collection[ChunkKind] = OUTPUT, follow: bool = True
    ) -> AsyncIterator[Chunk]:
        """Follow what the job emits, from the item after number `after`, until it ends.

        `chunk.number` is where to go on after a broken connection. A chunk of kind RESET means that a run was
        lost: the items numbered in its `void` no longer count, and a reader cuts them from what it shows.
        `kinds` may ask for log lines, progress and end markers too. With `follow=False` it ends with what is there
        already. Not reading does not stop the job.

        Raises:
            JobDead, JobCancelled: after the last item of a job that has ended, if it did not succeed.
            Moved: after the last item of a job that had not ended when the storage moved. Go on there, after
                `chunk.number`.
            NotFound: no such job.
        """
        page, mark = await first_look(self._storage, self.id, after)
        while True:
            for chunk in page.chunks:
                after = chunk.number
                if chunk.kind in kinds:
                    yield chunk
            if page.more:
                page = await read_on(self._storage, self.id, after)
                continue
            # The state was read in the same step as the items, so nothing can follow a terminal one.
            if page.state.terminal:
                break
            if not follow:
                return
            page, mark = await next_look(self._storage, self.id, after, mark)
        _raise_unless_succeeded(self._kept(await read_end(self._storage, self.id)))

    async def text(self, after: int = 0) -> AsyncIterator[str]:
        """Follow the text that the job emits. Resets are passed over: after a lost run, text may come twice.

        Raises:
            ResultInvalid: an item is encoded, and the queue has not the codecs.
            Unavailable: an item is kept elsewhere, and cannot be had now.
            JobDead, JobCancelled, NotFound: as `stream`.
        """
        async for chunk in self.stream(after):
            if chunk.kind is not ChunkKind.DATA:
                continue
            check_there(chunk.data)
            if (why := why_unreadable(chunk.data)) is not None:
                raise ResultInvalid(f"Item {chunk.number} of the stream cannot be read. {why}.")
            yield chunk.text

    async def cancel(self, *, force: bool = False) -> CancelAnswer:
        """Ask the job to stop; one that does not run stops at once. `force` takes it from its worker, now.

        A job that has ended keeps its state, and a running one may still succeed before it heeds.

        Raises:
            NotFound: no such job.
        """
        answer = (await self._storage.cancel([self.id], force=force))[0]
        if answer.state is None:
            raise NotFound(self.id)
        return answer

    async def hold(self) -> JobRecord:
        """Keep the job, which is ready, from running until `unhold`. Holding it twice changes nothing.

        Raises:
            Conflict("state"): it is neither ready nor held.
            NotFound: no such job.
        """
        return self._found((await self._storage.hold([self.id]))[0])

    async def unhold(self) -> JobRecord:
        """Let the job go, whatever holds it. A budget that still has no room holds it again.

        Raises:
            NotFound: no such job.
        """
        return self._found((await self._storage.unhold([self.id]))[0])

    async def redrive(
        self,
        *,
        instead: "NewJob[R_co] | None" = None,
        queue: str | None = None,
        band: BandName | Band | None = None,
        route: str | None = None,
        budget: str | None = None,
        delay: Duration = 0,
        forget_steps: bool | None = None,
        detach: bool = False,
    ) -> JobRecord:
        """Give the job, which is dead or cancelled, another generation, with all its attempts; see `Admin.redrive`.

            await job.redrive(route="claude")
            await job.redrive(instead=summarize.job(shorter))

        With `instead` it runs with other arguments; the id and what producers find under it stay, and what it remembers
        of the old ones is forgotten, unless `forget_steps` says otherwise.

        Raises:
            Conflict: "state", "parent_terminal", "upstream", "route"; or "generation", if another was faster.
            InvalidInput: `instead` is of another task.
            NotFound: no such job, or budget.
        """
        record = await self.record()
        request = Redrive(
            id=fresh_id(),
            targets=(Target(self.id, record.generation),),
            queue=queue,
            band=None if band is None else band_of(band),
            route=route,
            budget=budget,
            payload=None if instead is None else _payload_of(instead, record),
            delay_ms=duration_ms("delay", delay),
            forget_steps=instead is not None if forget_steps is None else forget_steps,
            detach=detach,
        )
        (answer,) = await until_known(lambda: self._storage.redrive(request))
        if not isinstance(answer, Redriven):
            raise answer
        return await self.record()

    async def explain(self) -> Why:
        """Say why the job does not run: the one gate it waits for, the figures, and when it may open.

        Raises:
            NotFound: no such job.
        """
        return await self._storage.explain(self.id)

    async def send(self, signal: Signal[T], value: T, *, id: str | None = None) -> Sent:
        """Hand a message to the job's wait for `signal`; one that comes early is kept for it.

        With an `id` of your own, sending twice is sending once, also from two processes.

        Raises:
            PayloadInvalid: the value is not of the signal's type.
            InvalidInput: `signal` is no Signal, or the id is no text of 1 to 256 bytes.
            Conflict("terminal"): the job has ended.
            NotFound: no such job.
        """
        check_signal(signal, "job.send({}, value)")
        try:
            payload = Codec(signal.type).encode(value)
        except Unfit as error:
            raise PayloadInvalid(f'Signal "{signal.name}" does not carry this value. {error}.') from error
        signal_id = fresh_id() if id is None else id
        return await until_known(lambda: self._storage.send(self.id, signal.name, signal_id, payload))

    async def state(self) -> State:
        """Where the job stands now.

        Raises:
            NotFound: no such job.
        """
        return (await self.record()).state

    async def progress(self) -> object:
        """The newest value that the handler gave to `ctx.progress`, as plain JSON: at most MAX_CHUNK_BYTES of it.
        None while there is none. It stays when the job is tried again, and when it has ended.

        Raises:
            NotFound: no such job.
        """
        newest = (await self.record()).progress
        return None if newest is None else plain_json(newest)

    async def step(self, key: str, type: type[T]) -> T | None:
        """What the job remembers under the name of a step, read as `type`; None while there is nothing.

            draft = await job.step("draft", str)             # for the person who is to approve it

        Raises:
            ResultInvalid: it is no value of this type, or the name is that of a wait.
            NotFound: no such job.
        """
        after = ""
        while page := await self._storage.get_steps(self.id, after=after):
            for step in page:
                if step.key == key:
                    return cast(T, _step_value(step, type))
            after = page[-1].key
        return None

    async def record(self) -> JobRecord:
        """Everything that is stored of the job but its stream and steps.

        Raises:
            NotFound: no such job.
        """
        return self._found((await self._storage.get([self.id]))[0])

    def __repr__(self) -> str:
        return f"<job {self.id}>"

    def _found(self, record: JobRecord | None) -> JobRecord:
        if record is None:
            raise NotFound(self.id)
        return record

    async def _mark(self, topics: Collection[str]) -> str:
        """Taken before the first look, so that no change falls between a look and a wait."""
        return await self._storage.wait(topics, after=None, timeout_ms=0)

    async def _stored(self) -> JobRecord:
        return self._kept((await self._storage.get([self.id]))[0])

    def _kept(self, record: JobRecord | None) -> JobRecord:
        if record is None:
            raise ResultGone(self.id, self.gone, self.found_by)
        return record


async def until_known(call: Callable[[], Awaitable[T]]) -> T:
    """Make a call that can be repeated, again while nobody knows whether it happened: three times in all.

    What was unknown once stays unknown until there is an answer, even if a later try surely did nothing: a server that
    fails with an answer on its way may take no writes when it is asked again.

    Raises:
        Unavailable: as the last try of unknown outcome did.
    Spec: OUTAGE-4
    """
    unknown: Unavailable | None = None
    for pause_s in (*PAUSES_S, None):
        try:
            return await call()
        except OUTAGES as error:
            unknown = error if isinstance(error, Unavailable) and error.outcome_unknown else unknown
            if unknown is None:
                raise
        if pause_s is not None:
            await asyncio.sleep(pause_s)
    assert unknown is not None
    raise unknown


def plain_json(data: bytes) -> object:
    """A stored value as plain JSON.

    Raises:
        ResultInvalid: it is none, or is encoded and the queue has not the codecs.
    """
    try:
        # Any: whatever JSON holds.
        return Codec(Any).decode(data)
    except Unfit as error:
        raise ResultInvalid(f"The stored value cannot be read. {error}.") from error


def fresh_id() -> str:
    """An id that nothing has yet. The host's clock only puts ids in order; no decision rests on it."""
    return new_id(time.time_ns(), secrets.token_bytes(8))


def _now_ms() -> int:
    return round(asyncio.get_running_loop().time() * 1000)


def _raise_unless_succeeded(record: JobRecord) -> None:
    if record.state is State.CANCELLED:
        raise JobCancelled(record.id)
    if record.state is State.DEAD:
        last = record.last_error
        raise JobDead(record.id, record.cause or "unknown", f"{last.type}: {last.message}" if last else "")


def _payload_of(instead: "NewJob[object]", record: JobRecord) -> bytes:
    if instead.task.name != record.task:
        text = f'Job {record.id} is of task "{record.task}", and its new arguments are of "{instead.task.name}".'
        raise InvalidInput(f"{text} Make them by its own task, or enqueue another job.")
    return instead.spec(job_id=record.id).payload


def _step_value(step: Step, type: type[object]) -> object:
    if step.kind is not StepKind.VALUE:
        raise ResultInvalid(f'"{step.key}" is a {step.kind}, not a step with a value.')
    try:
        return Codec(type).decode(step.value)
    except Unfit as error:
        raise ResultInvalid(f'What is remembered of step "{step.key}" is of another type. {error}.') from error
