"""One start of the program: find or store the job, keep a worker at it, show it, ask, and report."""

import asyncio
import os
import sys
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, replace
from decimal import Decimal
from pathlib import Path
from typing import Final

import aiq
from aiq.testing.provider import Entry, read_ledger
from aiq.testing.provider import Outcome as CallOutcome
from examples.digesting import prove
from examples.digesting.asking import ask_person
from examples.digesting.comparison import calls_without_limits
from examples.digesting.folder import job_id, make_plan
from examples.digesting.processes import ROOT, Child, Crew, ProcessFailed, start
from examples.digesting.prove import Epoch, Proof
from examples.digesting.provider import simulated
from examples.digesting.report import Calls, Costs, Report, calls_of, documents_of, spent_in
from examples.digesting.show import Show
from examples.digesting.tasks import (
    APPROVAL,
    BUDGET,
    DRAFT,
    OVERVIEW,
    PRICES,
    QUEUE,
    SIMULATED,
    SUMMARY,
    TENANT,
    Outcome,
    Plan,
    Published,
    digest,
)
from examples.digesting.watch import LOOKS_PER_S, Picture, Watch, changes

DECISION: Final = "decision"
"""The id of the signal. One that is sent twice under one id counts once: two starts cannot decide differently."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What the command line said."""

    folder: Path
    url: str
    model: str
    output: Path
    ledger: Path
    live: bool = False
    approve: bool = False
    prove: bool = False
    again: bool = False


async def run(options: Options, show: Show) -> Report:
    """Do one start, from the folder to the report.

    Raises:
        CannotDigest, OSError, ProcessFailed, AiqError: each with a text that says what to do.
    """
    began, earlier_calls = time.monotonic(), len(_ledger(options))
    async with aiq.Queue(options.url, QUEUE) as queue, asyncio.TaskGroup() as beside:
        plan = await _edition(queue, make_plan(options.folder, options.model, options.output), options)
        await _cancel_outdated(queue, plan, show)
        job = await _stored(queue, plan, options)
        comparison = beside.create_task(calls_without_limits(plan, show.hear)) if options.prove else None
        this = Start(options, show, queue, plan, job)
        before, picture = await this.work()
        show.summary(picture)
        proof = await this.proof(picture) if options.prove and picture.digest.state.terminal else None
        if proof is not None:
            show.proof(proof)
        calls = None if options.live else calls_of(_ledger(options)[earlier_calls:])
        costs = await _costs(queue, picture, calls, await comparison if comparison else None)
        show.costs(costs)
        ended = sum(row.state.terminal for row in picture.rows) - sum(row.state.terminal for row in before.rows)
        seconds = time.monotonic() - began
        return Report(
            job=job.id,
            existed=job.existed,
            state=picture.digest.state,
            published=await _published(job, picture),
            documents=documents_of(picture),
            calls=calls,
            costs=costs,
            proof=proof,
            proved=None if proof is None else proof.holds,
            jobs_ended=ended,
            jobs_per_second=round(ended / seconds, 2),
            seconds=round(seconds, 2),
            error=picture.digest.error,
        )


class Start:
    """What one start works with, and what it has seen of its workers."""

    def __init__(self, options: Options, show: Show, queue: aiq.Queue, plan: Plan, job: aiq.Job[Outcome]) -> None:
        self._options, self._show, self._queue, self._plan, self._job = options, show, queue, plan, job
        self._epochs: list[Epoch] = []
        self._decided = self._killed = False

    async def work(self) -> tuple[Picture, Picture]:
        """Keep a worker at it until the digest has ended, or nobody would decide. How it looked first, and last."""
        async with asyncio.TaskGroup() as tasks:
            seen = Watch(self._queue, self._job, self._plan, tasks)
            try:
                first = last = await seen.look()
                self._show.begin(self._plan, first, existed=self._job.existed)
                if not first.digest.state.terminal:
                    self._epochs.append(await self._epoch())
                    async with self._provider() as (environment, provider):
                        crew = Crew(lambda: self._hire(environment), self._bury, self._show.tell)
                        last = await self._with(crew, provider, seen, first)
            finally:
                seen.stop()
        return first, last

    async def proof(self, picture: Picture) -> Proof:
        """Start once more, as anybody would, and then read the ledger."""
        self._show.tell("Starting the same digest a second time …")
        written_ns, calls = _written_ns(self._plan), len(_ledger(self._options))
        await self._start_again()
        entries = _ledger(self._options)
        unchanged = written_ns is not None and _written_ns(self._plan) == written_ns
        accounts = prove.judge(entries, self._keys(picture), self._epochs)
        return Proof(accounts, len(self._epochs) - 1, len(entries) - calls, unchanged)

    async def _with(self, crew: Crew, provider: Child | None, seen: Watch, before: Picture) -> Picture:
        """Look and act until there is nothing left to wait for."""
        keeping = asyncio.create_task(crew.keep_working())
        try:
            with self._show.moving():
                while not keeping.done():
                    if provider is not None and not provider.running:
                        raise ProcessFailed("The simulator has ended. Start again: the digest goes on where it was.")
                    picture = await seen.look()
                    for change in changes(before, picture):
                        self._show.tell(change)
                    self._show.draw(picture, crew.pid)
                    if picture.digest.state.terminal or not await self._act(crew, picture):
                        return picture
                    before = picture
                    await asyncio.sleep(1 / LOOKS_PER_S)
            keeping.result()
        finally:
            keeping.cancel()
            with suppress(asyncio.CancelledError):
                await keeping

    async def _act(self, crew: Crew, picture: Picture) -> bool:
        """Do what the moment asks for. False when nobody is there to decide, and nothing can go on."""
        if self._options.prove and not self._killed and prove.worth_killing(picture):
            await self._kill(crew, picture)
        if picture.waits_for != APPROVAL.name or self._decided:
            return True
        return await self._decide()

    async def _kill(self, crew: Crew, picture: Picture) -> None:
        """Kill the worker, unless an answer is on its way from the provider to the storage: then at the next look.

        The ledger is read last, so that as little time as possible lies between it and the kill.
        """
        stored = (await self._epoch()).remembered
        answered = {call.idempotency_key for call in _ledger(self._options) if call.outcome is CallOutcome.ANSWERED}
        if stored.issuperset(answered.intersection(self._keys(picture))) and (pid := crew.kill()) is not None:
            self._killed = True
            self._show.tell(f"Killing the worker (SIGKILL to {pid}) in the middle of its work.", "bold red")

    async def _decide(self) -> bool:
        """Show the draft, have it approved or not, and send that to the digest."""
        with self._show.still():
            self._show.page("The draft", await self._draft(), whole=self._options.approve)
            approved = await ask_person("Publish this?") if self._options.approve else True
        if approved is None:
            self._show.tell("Nobody answered. The digest waits; start again when somebody can.", "bold magenta")
            return False
        who = "You" if self._options.approve else "The demo, in place of a person,"
        try:
            await self._job.send(APPROVAL, approved, id=DECISION)
            self._show.tell(f"{who} said {'yes' if approved else 'no'}: the signal is sent.", "magenta")
        except aiq.Conflict:
            self._show.tell("Somebody else has decided already, and differently.", "bold magenta")
        self._decided = True
        return True

    async def _draft(self) -> str:
        return await self._job.step(DRAFT, str) or ""

    async def _hire(self, environment: Mapping[str, str]) -> Child:
        slots = prove.slots_for(len(self._plan.documents)) if self._options.prove else prove.SLOTS
        arguments = ["--url", self._options.url, "--slots", str(slots)]
        return await start("examples.digesting.worker", arguments, environment, self._show.hear)

    async def _bury(self) -> None:
        self._epochs.append(await self._epoch())

    async def _epoch(self) -> Epoch:
        """What is remembered at this moment, at which nobody works."""
        at_ms = time.time_ns() // 1_000_000
        page = await self._queue.list(aiq.JobFilter(parent_id=self._job.id))
        stored = [self._job.id, *(record.id for record in page.jobs)]
        keys = [f"{job}/{step.key}" for job in stored for step in await self._queue.storage.get_steps(job)]
        return Epoch(at_ms, frozenset(keys))

    def _keys(self, picture: Picture) -> dict[str, str]:
        """What each paid call is called by the pipeline, and by us."""
        names = {f"{row.job_id}/{SUMMARY}": row.name for row in picture.documents}
        return {**names, f"{self._job.id}/{OVERVIEW}": "the overview"}

    @asynccontextmanager
    async def _provider(self) -> AsyncIterator[tuple[Mapping[str, str], Child | None]]:
        """Who is asked: as the variables that the `openai` package reads, and as a process if it is one of ours."""
        if self._options.live:
            self._show.tell("--live: a real provider is asked, and this costs money.", "bold yellow")
            yield os.environ, None
            return
        async with simulated(self._options.ledger, self._show.hear) as (environment, simulator):
            self._show.tell(f"A simulated provider listens at {simulator.ready['base_url']}. It costs nothing.")
            yield environment, simulator

    async def _start_again(self) -> None:
        options, plan = self._options, self._plan
        child = await asyncio.create_subprocess_exec(
            *(sys.executable, str(ROOT / "examples" / "digest.py"), plan.folder, "--json"),
            *("--url", options.url, "--output", plan.output, "--ledger", str(options.ledger)),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
        )
        await child.wait()


async def _stored(queue: aiq.Queue, plan: Plan, options: Options) -> aiq.Job[Outcome]:
    """The job of a plan, which is stored with its budget if it is not there yet."""
    if not (options.live or await queue.admin.prices(SIMULATED)):
        await queue.admin.put_prices(PRICES)
    return await queue.enqueue(digest.job(plan), id=job_id(plan), tenant=TENANT, budget=BUDGET)


async def _edition(queue: aiq.Queue, plan: Plan, options: Options) -> Plan:
    """The edition of this content to work on: the newest, or one more if that has ended and another is wanted."""
    newest: aiq.JobRecord | None = None
    while (record := (await queue.storage.get([job_id(plan)]))[0]) is not None:
        newest, plan = record, replace(plan, edition=plan.edition + 1)
    if newest is None:
        return plan
    another = options.again or (options.prove and newest.state.terminal)
    return plan if another else replace(plan, edition=plan.edition - 1)


async def _cancel_outdated(queue: aiq.Queue, plan: Plan, show: Show) -> None:
    """Give up unfinished digests of the folder as it was: nobody wants to pay for those any more."""
    unfinished = frozenset(state for state in aiq.State if not state.terminal)
    page = await queue.list(aiq.JobFilter(task=digest.name, states=unfinished))
    for record in page.jobs:
        (other,), _ = digest.decode(record.payload)
        assert isinstance(other, Plan)
        if record.id != job_id(plan) and (other.folder, other.output) == (plan.folder, plan.output):
            await queue.job(record.id).cancel()
            show.tell("An unfinished digest of this folder, as it was before, is cancelled.", "yellow")


async def _published(job: aiq.Job[Outcome], picture: Picture) -> Published | None:
    return (await job.result(timeout=0)).published if picture.digest.state is aiq.State.SUCCEEDED else None


def _written_ns(plan: Plan) -> int | None:
    path = Path(plan.output)
    return path.stat().st_mtime_ns if path.exists() else None


def _ledger(options: Options) -> tuple[Entry, ...]:
    return read_ledger(options.ledger) if not options.live and options.ledger.exists() else ()


async def _costs(queue: aiq.Queue, picture: Picture, calls: Calls | None, without: Calls | None) -> Costs:
    """Read in the books what the jobs have used, and what their budget has come to."""
    used = [await queue.admin.usage(job=row.job_id) for row in picture.rows]
    stands = await queue.admin.budget(f"job:{picture.digest.job_id}")
    budget_usd = (stands.budget.usd or 0) + (stands.granted.usd or Decimal(0))
    return Costs(spent_in(used), budget_usd, round(picture.waited_s, 1), calls, without)
