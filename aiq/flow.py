"""Flows: jobs that are stored together, each waiting for those whose output it uses."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Generic, Literal, TypeVar, cast

from aiq.bounds import MAX_FLOW
from aiq.errors import FlowInvalid
from aiq.job import Job
from aiq.misuse import check_job, check_word
from aiq.model import CancelAnswer, JobSpec
from aiq.needs import parts
from aiq.newjob import ALONE, NewJob, Place
from aiq.policy import Budget, budget_of
from aiq.rules.ids import node_id
from aiq.rules.validation import check_name
from aiq.rules.writing import Output
from aiq.storage import Storage

R = TypeVar("R")
R_co = TypeVar("R_co", covariant=True)


class Node(Generic[R_co]):
    """The place of one job in a flow. Made by `Flow.add`.

    part = flow.add(summarize.job(document))             # Node[str]
    whole = flow.add(merge.job([part.output]))           # an edge from part to whole follows from this
    run = await queue.run(flow)
    text = await run[whole].result()
    """

    __slots__ = ("after", "flow", "index", "job", "on_upstream")

    def __init__(
        self,
        flow: "Flow",
        index: int,
        job: NewJob[R_co],
        after: tuple["Node[object]", ...],
        on_upstream: Literal["fail", "continue"],
    ) -> None:
        self.flow, self.index, self.job, self.after, self.on_upstream = flow, index, job, after, on_upstream

    @property
    def output(self) -> R_co:
        """What the job will return. Only a place: pass it to other jobs of the flow, whole or inside a list,
        dict or dataclass. Anything else done with it raises FlowInvalid."""
        return cast(R_co, Output(self))

    def __repr__(self) -> str:
        return f'node {self.index} ({self.job.task.name}) of flow "{self.flow.name}"'


class Flow:
    """A graph of jobs, made at once. Running it twice makes two sets of jobs.

        flow = aiq.Flow("digest")
        parts = [flow.add(summarize.job(d)) for d in documents]
        digest = flow.add(merge.job([p.output for p in parts]))
        run = await queue.run(flow)
        text = await run[digest].result()

    All its jobs, and their children, draw from its `budget` if it has one: a Budget, or the id of a stored one.
    An output can only be used once its node is there, so a flow has no cycles.

    Raises:
        InvalidName: the name is outside the alphabet.
        InvalidInput: what was passed is no budget.
    """

    def __init__(self, name: str, *, budget: Budget | str | None = None) -> None:
        check_name("flow", name)
        self.name = name
        self.budget = None if budget is None else budget_of(budget)
        self._nodes: list[Node[object]] = []

    @property
    def nodes(self) -> tuple[Node[object], ...]:
        """The nodes, in the order in which they were added."""
        return tuple(self._nodes)

    def add(
        self,
        job: NewJob[R],
        *,
        after: Iterable[Node[object]] = (),
        on_upstream: Literal["fail", "continue"] = "fail",
    ) -> Node[R]:
        """Give a job a place. It starts when all nodes have ended whose outputs it uses, or that `after` names.

        When one of them ends badly this job dies too, without running. With `on_upstream="continue"` it runs, and
        finds a Failure where the output would be: say so in the annotation, `parts: list[str | aiq.Failure]`.

        Raises:
            FlowInvalid: it names a node of another flow, or is to continue without a place for a Failure.
            InvalidInput: what was passed is no job.
        """
        check_job(job, "flow.add({})")
        check_word("on_upstream", on_upstream, "fail", "continue")
        upstream = [output.node for _, output in job.arguments.places]
        wanted = [cast(Node[object], node) for node in (*upstream, *after)]
        for other in wanted:
            self._check_own(other)
        if on_upstream == "continue":
            _check_open_to_failure(job)
        for other in wanted:
            _check_stored_here(other)
        node = Node(self, len(self._nodes), job, tuple(dict.fromkeys(wanted)), on_upstream)
        self._nodes.append(node)
        return node

    def specs(
        self,
        flow_id: str,
        *,
        queue_default: str,
        common: Place = ALONE,
        jobs: Sequence[NewJob[object]] | None = None,
    ) -> list[JobSpec]:
        """What a storage is handed: each job after those it waits for, under ids that follow from `flow_id`. `common`
        has the tenant and the band of those that say nothing themselves, and a budget in the place of the flow's own.
        `jobs` are those of its nodes as a middleware hands them on.

        Raises:
            FlowInvalid: it is empty, or has more than MAX_FLOW jobs.
            InvalidInput: the estimate of a task fails.
        """
        if not self._nodes:
            raise FlowInvalid(f'Flow "{self.name}" has no jobs; add one.')
        if len(self._nodes) > MAX_FLOW:
            raise FlowInvalid(
                f'Flow "{self.name}" has {len(self._nodes):,} jobs, and {MAX_FLOW:,} are the most. '
                "Let a task fan out with ctx.gather, which stores its children as it goes."
            )
        ids = {node.index: self._id_of(node, flow_id) for node in self._nodes}
        budget = self.budget if common.budget is None else common.budget
        common = replace(common, flow=flow_id, budget=budget)
        # The budget is stored with the first job, in the first step, so the others only name it.
        named = replace(common, budget=budget.spec(f"flow:{flow_id}").id if isinstance(budget, Budget) else budget)
        handed = [node.job for node in self._nodes] if jobs is None else jobs
        return [
            job.spec(
                job_id=ids[node.index],
                queue_default=queue_default,
                place=_place(node, ids, named if node.index else common),
            )
            for node, job in zip(self._nodes, handed, strict=True)
        ]

    def _id_of(self, node: Node[object], flow_id: str) -> str:
        chosen = node.job.chosen.id
        return node_id(flow_id, node.index) if chosen is None else chosen

    def _check_own(self, node: Node[object]) -> None:
        if node.flow is not self:
            raise FlowInvalid(f'{node!r} is not in flow "{self.name}". Add its job here too, or make one flow of both.')


def _place(node: Node[object], ids: Mapping[int, str], common: Place) -> Place:
    """Where a node's job stands, beside what is common to all jobs of the flow."""
    return replace(
        common,
        depends_on=tuple(ids[other.index] for other in node.after),
        on_upstream=node.on_upstream,
        id_of=lambda output: ids[cast(Node[object], output.node).index],
    )


def _check_stored_here(node: Node[object]) -> None:
    """Refuse to wait for a job that may be answered with one of another flow. Spec: UNIQ-4"""
    if node.job.chosen.unique is not None:
        raise FlowInvalid(
            f"{node!r} has a unique key, so it may be found elsewhere, and no other node can wait for it. "
            "Leave out the key, or enqueue it by itself."
        )


def _check_open_to_failure(job: NewJob[object]) -> None:
    """Refuse a Failure that would be read as something else, a dataclass whose fields all have defaults above all."""
    name = job.task.closed_to_failure(job.arguments)
    if name is not None:
        raise FlowInvalid(
            f'With on_upstream="continue", argument {name} of task "{job.task.name}" may be given a Failure. '
            "Say so in its annotation, for instance list[str | aiq.Failure]."
        )


@dataclass(frozen=True, slots=True)
class FlowRun:
    """A flow that is stored. `id` finds its jobs again: `queue.list(JobFilter(flow=run.id))`.

    run = await queue.run(flow)
    async for text in run[digest].text(): ...
    text = await run[digest].result()
    await run.cancel()
    """

    id: str
    flow: Flow
    job_ids: tuple[str, ...]
    existed: bool
    """It was there already: `run` had been called with this id before."""
    _storage: Storage

    async def cancel(self, *, force: bool = False) -> list[CancelAnswer]:
        """Cancel its jobs, in their order, and so their children; those that have ended keep their state.

        One that runs is asked to stop, or with `force` taken from its worker.
        """
        answers: list[CancelAnswer] = []
        for batch in parts(self.job_ids):
            answers += await self._storage.cancel(batch, force=force)
        return answers

    def __getitem__(self, node: Node[R]) -> Job[R]:
        """The job at a node.

        Raises:
            FlowInvalid: the node is of another flow.
        """
        if node.flow is not self.flow or node.index >= len(self.job_ids):
            raise FlowInvalid(f"{node!r} was not in this run.")
        return Job(self._storage, self.job_ids[node.index], node.job.task.decode_result, existed=self.existed)
