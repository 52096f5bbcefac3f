"""What is seen of a digest from outside: everything here is read from the storage, nothing is asked of the worker."""

import asyncio
import time
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final

import aiq
from examples.digesting.tasks import OVERVIEW, Answer, Outcome, Plan, digest, publish, summarize

LOOKS_PER_S: Final = 10
STANDING: Final = (aiq.State.READY, aiq.State.HELD)
LIMITED: Final = (aiq.Gate.LIMIT, aiq.Gate.CALL)
LINE: Final = (*LIMITED, aiq.Gate.TURN)


class Transcript:
    """The text of a stream as it stands: what a lost run emitted is cut out of it when the stream says so."""

    def __init__(self) -> None:
        self._numbers: list[int] = []
        self._texts: list[str] = []
        self.cut = 0
        """Tokens that were cut, over all resets."""

    def __len__(self) -> int:
        return len(self._texts)

    @property
    def text(self) -> str:
        """What counts."""
        return "".join(self._texts)

    def add(self, chunk: aiq.Chunk) -> None:
        """Take the next item of the stream."""
        if chunk.kind is aiq.ChunkKind.DATA:
            self._numbers.append(chunk.number)
            self._texts.append(chunk.text)
        for first, last in chunk.void:
            begin, end = bisect_left(self._numbers, first), bisect_left(self._numbers, last + 1)
            del self._numbers[begin:end], self._texts[begin:end]
            self.cut += end - begin


@dataclass(frozen=True, slots=True)
class Row:
    """One job, as it is shown.

    `runs` counts how often a worker took it, `attempt` only what failed before, plus 1, and `stalls` how often its
    worker fell silent.
    """

    name: str
    job_id: str
    state: aiq.State
    runs: int = 0
    attempt: int = 1
    stalls: int = 0
    tokens_in: int = 0
    tokens_out: int = 0
    seconds: float = 0.0
    text: str = ""
    cut: int = 0
    error: str = ""
    why: aiq.Why | None = None
    """What it waits for, of a job that stands in line, is held, or runs and may wait for a call."""


@dataclass(frozen=True, slots=True)
class Picture:
    """All jobs of a digest at one moment."""

    digest: Row
    waits_for: str | None
    documents: tuple[Row, ...] = ()
    publication: Row | None = None
    waited_s: float = 0.0
    """How long jobs have waited for limits until now, all of them together."""

    @property
    def rows(self) -> Iterator[Row]:
        """Every job there is."""
        yield self.digest
        yield from self.documents
        if self.publication is not None:
            yield self.publication

    @property
    def states(self) -> Counter[aiq.State]:
        """How many jobs stand in each state."""
        return Counter(row.state for row in self.rows)

    @property
    def summarised(self) -> int:
        """Documents that are done."""
        return sum(row.state is aiq.State.SUCCEEDED for row in self.documents)

    @property
    def limited(self) -> list[Row]:
        """Jobs that wait until a limit has room: the first of a line, and with it all that stand behind."""
        waiting = [row for row in (*self.documents, self.digest) if row.why is not None and row.why.gate in LINE]
        return waiting if any(row.why is not None and row.why.gate in LIMITED for row in waiting) else []

    @property
    def streaming(self) -> list[Row]:
        """Jobs that are running and have something to show."""
        return [row for row in (*self.documents, self.digest) if row.state is aiq.State.RUNNING and row.text]


class Watch:
    """Looks at a digest, and follows the streams of its jobs while they run."""

    def __init__(self, queue: aiq.Queue, job: aiq.Job[Outcome], plan: Plan, tasks: asyncio.TaskGroup) -> None:
        self._queue, self._job, self._plan, self._tasks = queue, job, plan, tasks
        self._transcripts: dict[str, Transcript] = {}
        self._followers: list[asyncio.Task[None]] = []
        self._looked_s: float | None = None
        self._waited_s = 0.0

    async def look(self) -> Picture:
        """Read every job of the digest, as they are now."""
        record = await self._job.record()
        children = await self._children()
        documents = [child for child in children if child.task == summarize.name]
        published = [child for child in children if child.task == publish.name]
        picture = Picture(
            await self._row("the digest", record),
            record.wait_key,
            # Children are listed in the order in which they were spawned, which is that of the plan.
            tuple([await self._row(d.name, c) for d, c in zip(self._plan.documents, documents, strict=False)]),
            await self._row("publication", published[0]) if published else None,
        )
        return replace(picture, waited_s=self._waited(picture))

    def _waited(self, picture: Picture) -> float:
        """Add what has been waited since the last look: as long as that is ago, for each job that waits now."""
        now_s = time.monotonic()
        if self._looked_s is not None:
            self._waited_s += len(picture.limited) * (now_s - self._looked_s)
        self._looked_s = now_s
        return self._waited_s

    def stop(self) -> None:
        """Follow nothing any more."""
        for follower in self._followers:
            follower.cancel()

    async def _children(self) -> list[aiq.JobRecord]:
        found: list[aiq.JobRecord] = []
        cursor: str | None = None
        while True:
            page = await self._queue.list(aiq.JobFilter(parent_id=self._job.id), cursor=cursor)
            found += page.jobs
            cursor = page.cursor
            if cursor is None:
                return found

    async def _row(self, name: str, record: aiq.JobRecord) -> Row:
        transcript = self._transcript(record)
        answer = answer_of(record)
        asks = record.state in STANDING or (record.task == digest.name and record.state is aiq.State.RUNNING)
        return Row(
            name=name,
            job_id=record.id,
            state=record.state,
            runs=record.fence,
            attempt=record.attempt,
            stalls=record.stalls,
            tokens_in=answer.tokens_in if answer else 0,
            tokens_out=answer.tokens_out if answer else len(transcript),
            seconds=_seconds(record),
            text=transcript.text,
            cut=transcript.cut,
            error=record.errors[-1].message if record.errors else "",
            why=await self._queue.explain(record.id) if asks else None,
        )

    def _transcript(self, record: aiq.JobRecord) -> Transcript:
        """What a job has emitted so far. Followed from the first time that it is seen to run."""
        known = self._transcripts.get(record.id)
        if known is None:
            known = Transcript()
            if record.state is aiq.State.RUNNING or (record.chunks and not record.state.terminal):
                self._transcripts[record.id] = known
                self._followers.append(self._tasks.create_task(self._follow(record.id, known)))
        return known

    async def _follow(self, job_id: str, transcript: Transcript) -> None:
        try:
            async for chunk in self._queue.job(job_id).stream():
                transcript.add(chunk)
        except aiq.JobFailed:
            pass  # the row of the job says so


def answer_of(record: aiq.JobRecord) -> Answer | None:
    """What a finished job paid for; None if it is not finished, or paid for nothing."""
    if record.state is not aiq.State.SUCCEEDED or record.result is None:
        return None
    if record.task == summarize.name:
        return summarize.decode_result(record.result)
    return digest.decode_result(record.result).overview if record.task == digest.name else None


def changes(before: Picture | None, after: Picture) -> Iterator[str]:
    """Say in words what happened between two looks."""
    if before is None:
        return
    old = {row.job_id: row for row in before.rows}
    pairs = [(old[row.job_id], row) for row in (*after.documents, after.digest) if row.job_id in old]
    yield from _kills(pairs)
    if after.waited_s and not before.waited_s:
        yield _limited(after.limited)
    held = [row for row in after.rows if row.state is aiq.State.HELD]
    if any(row.job_id not in old or old[row.job_id].state is not aiq.State.HELD for row in held):
        yield _held(held)
    for was, row in pairs:
        yield from _ends(was, row)
    if before.waits_for != after.waits_for and not after.digest.state.terminal:
        yield from _waits(before.waits_for, after)


def _kills(pairs: Sequence[tuple[Row, Row]]) -> Iterator[str]:
    """What a dead worker leaves behind, in three acts."""
    freed = [row.name for was, row in pairs if row.stalls > was.stalls]
    taken = [row.name for was, row in pairs if row.stalls and row.runs > was.runs and row.error == was.error]
    cut = [row.name for was, row in pairs if row.cut > was.cut]
    tokens = sum(row.cut - was.cut for was, row in pairs)
    if freed:
        yield f"The leases of the dead worker have ended: {_listed(freed)} can be claimed again."
    if taken:
        yield f"Resumed by another worker: {_listed(taken)}."
    if cut:
        yield f"{tokens} tokens of lost runs are void, and cut from {_listed(cut)}."


def _limited(rows: Sequence[Row]) -> str:
    """How many wait for a limit; and which one it is, with figures, from the first of the line."""
    name, why = next((row.name, row.why.text) for row in rows if row.why is not None and row.why.gate in LIMITED)
    return f"{len(rows)} could run, were it not for a limit. Why does {name} wait? {why}"


def _held(rows: Sequence[Row]) -> str:
    """What is held, with the reason of the first, and what to do if it is a budget."""
    names, why = [row.name for row in rows], rows[0].why
    if why is None or why.gate is not aiq.Gate.BUDGET:
        return f"Held: {_listed(names)}."
    return f"Held: {_listed(names)}. {why.text} With `aiq budgets grant {why.name} --usd 1` they go on."


def _ends(was: Row, row: Row) -> Iterator[str]:
    if row.state is not was.state and row.state.terminal:
        if row.state is aiq.State.SUCCEEDED:
            yield f"{row.name}: done, {row.tokens_in:,} tokens in, {row.tokens_out:,} out."
        else:
            yield f"{row.name}: {row.state}. {row.error}"
    elif row.error != was.error and row.stalls == was.stalls:
        yield f"{row.name}: failed, and will be tried again. {row.error}"


def _waits(before: str | None, after: Picture) -> Iterator[str]:
    if before == "documents":
        yield f"All {len(after.documents)} documents are done: the digest wakes up, on any worker, and composes."
    if after.waits_for == "documents":
        yield "The digest is parked until every document is done. It holds no worker, slot or connection."
    if after.waits_for == "approval":
        yield f"The {OVERVIEW} and the draft are remembered steps. The digest is parked until a person says yes or no."


def _listed(names: Iterable[str]) -> str:
    *most, last = names
    return f"{', '.join(most)} and {last}" if most else last


def _seconds(record: aiq.JobRecord) -> float:
    """From the first start to the end, or to now by our own clock, which is good enough to look at."""
    if record.started_at_ms is None:
        return 0.0
    end_ms = record.finished_at_ms or time.time_ns() // 1_000_000
    return max(0, end_ms - record.started_at_ms) / 1000
