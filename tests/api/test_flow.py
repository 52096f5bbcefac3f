"""Flows: edges follow from outputs, and a flow is stored whole or not at all."""

from dataclasses import dataclass

import pytest

import aiq
from aiq.model import Died, JobError, JobFilter, Succeeded
from aiq.rules.arguments import upstream
from aiq.testing import Faulty, LoseReply
from aiq.testing.actions import end_one, get_one, keep_up


@dataclass
class Section:
    text: str
    source: str = ""


@aiq.task
def summarize(text: str) -> str:
    return text


@aiq.task
def merge(parts: list[str]) -> str:
    return "\n".join(parts)


@aiq.task
def merge_what_came(parts: list[str | aiq.Failure]) -> str:
    return ""


@aiq.task
def publish(section: Section, footer: str = "") -> None: ...


def digest_flow() -> tuple[aiq.Flow, list[aiq.Node[str]], aiq.Node[str]]:
    flow = aiq.Flow("digest")
    parts = [flow.add(summarize.job(text)) for text in ("one", "two")]
    return flow, parts, flow.add(merge.job([part.output for part in parts]))


async def test_edges_follow_from_the_outputs_that_are_used(queue: aiq.Queue) -> None:
    flow, parts, whole = digest_flow()

    run = await queue.run(flow)

    record = await run[whole].record()
    assert record.state is aiq.State.WAITING
    assert record.depends_on == tuple(run[part].id for part in parts)
    assert [await run[part].state() for part in parts] == [aiq.State.READY] * 2


async def test_the_payload_says_whose_results_belong_where(queue: aiq.Queue) -> None:
    flow, parts, whole = digest_flow()
    run = await queue.run(flow)
    payload = (await run[whole].record()).payload

    assert upstream(payload) == tuple(run[part].id for part in parts)
    outputs = {run[parts[0]].id: b'"1"', run[parts[1]].id: b'"2"'}
    assert merge.decode(payload, outputs) == ((["1", "2"],), {})


async def test_an_output_can_stand_inside_a_dataclass(queue: aiq.Queue) -> None:
    flow = aiq.Flow("digest")
    part = flow.add(summarize.job("one"))
    last = flow.add(publish.job(Section(part.output, source="spec"), footer=part.output))
    run = await queue.run(flow)

    payload = (await run[last].record()).payload

    assert publish.decode(payload, {run[part].id: b'"x"'}) == ((Section("x", "spec"), "x"), {})


async def test_after_orders_jobs_that_pass_no_value(queue: aiq.Queue) -> None:
    flow = aiq.Flow("digest")
    first = flow.add(summarize.job("one"))
    second = flow.add(summarize.job("two"), after=[first])
    run = await queue.run(flow)

    assert (await run[second].record()).depends_on == (run[first].id,)


async def test_a_flow_runs_in_the_order_of_its_edges(queue: aiq.Queue, storage: Faulty) -> None:
    flow, _, whole = digest_flow()
    run = await queue.run(flow)

    for _ in range(2):
        await end_one(storage, Succeeded(b'"part"'))
    await end_one(storage, Succeeded(b'"whole"'))

    assert await run[whole].result(timeout=0) == "whole"


async def test_a_failed_upstream_kills_what_waits_for_it(queue: aiq.Queue, storage: Faulty) -> None:
    flow, _, whole = digest_flow()
    run = await queue.run(flow)

    await end_one(storage, Died(JobError(type="ValueError", message="no")))
    await keep_up(storage)

    with pytest.raises(aiq.JobDead, match=r"is dead \(upstream\): UpstreamFailed"):
        await run[whole].result(timeout=0)


async def test_a_job_that_continues_is_ready_although_an_upstream_failed(queue: aiq.Queue, storage: Faulty) -> None:
    flow = aiq.Flow("digest")
    part = flow.add(summarize.job("one"))
    whole = flow.add(merge_what_came.job([part.output]), on_upstream="continue")
    run = await queue.run(flow)

    await end_one(storage, Died(JobError(type="ValueError", message="no")))

    assert await run[whole].state() is aiq.State.READY


def test_a_job_that_continues_must_say_that_it_takes_failures() -> None:
    flow = aiq.Flow("digest")
    part = flow.add(summarize.job("one"))

    with pytest.raises(aiq.FlowInvalid, match=r'argument parts of task "merge" may be given a Failure'):
        flow.add(merge.job([part.output]), on_upstream="continue")


def test_a_node_of_another_flow_is_refused() -> None:
    other = aiq.Flow("other")
    stranger = other.add(summarize.job("one"))
    flow = aiq.Flow("digest")

    with pytest.raises(aiq.FlowInvalid, match=r'node 0 \(summarize\) of flow "other" is not in flow "digest"'):
        flow.add(merge.job([stranger.output]))
    with pytest.raises(aiq.FlowInvalid, match=r'is not in flow "digest"'):
        flow.add(summarize.job("x"), after=[stranger])
    assert flow.nodes == ()


async def test_the_run_of_one_flow_has_no_job_for_a_node_of_another(queue: aiq.Queue) -> None:
    flow, _, _ = digest_flow()
    _, _, stranger = digest_flow()
    run = await queue.run(flow)

    with pytest.raises(aiq.FlowInvalid, match="was not in this run"):
        run[stranger]


async def test_a_job_that_uses_an_output_can_only_run_in_its_flow(queue: aiq.Queue, storage: Faulty) -> None:
    flow = aiq.Flow("digest")
    part = flow.add(summarize.job("one"))

    with pytest.raises(aiq.FlowInvalid, match=r'output of node 0 \(summarize\) of flow "digest"> is only a place'):
        await queue.enqueue(merge.job([part.output]))
    assert await storage.count() == {}


def test_using_the_value_of_an_output_is_refused_with_an_explanation() -> None:
    part = aiq.Flow("digest").add(summarize.job("one"))

    with pytest.raises(aiq.FlowInvalid, match="work with the value there"):
        part.output.upper()


def test_a_word_for_on_upstream_that_does_not_exist_is_refused() -> None:
    with pytest.raises(aiq.InvalidInput, match="on_upstream is 'ignore'; it can be 'fail' or 'continue'"):
        aiq.Flow("digest").add(summarize.job("one"), on_upstream="ignore")  # type: ignore[arg-type]


async def test_an_empty_flow_is_refused(queue: aiq.Queue) -> None:
    with pytest.raises(aiq.FlowInvalid, match="has no jobs"):
        await queue.run(aiq.Flow("digest"))


async def test_running_a_flow_twice_makes_two_sets_of_jobs(queue: aiq.Queue) -> None:
    flow, _, whole = digest_flow()
    one, two = await queue.run(flow), await queue.run(flow)

    assert not set(one.job_ids) & set(two.job_ids)
    assert one[whole].id != two[whole].id


async def test_running_a_flow_twice_under_one_id_finds_the_same_jobs(queue: aiq.Queue) -> None:
    one = await queue.run(digest_flow()[0], id="digest of today")
    two = await queue.run(digest_flow()[0], id="digest of today")

    assert one.job_ids == two.job_ids
    assert (one.existed, two.existed) == (False, True)


async def test_another_flow_under_the_same_id_is_a_conflict(queue: aiq.Queue) -> None:
    await queue.run(digest_flow()[0], id="today")
    other = aiq.Flow("digest")
    other.add(summarize.job("another text"))

    with pytest.raises(aiq.Conflict) as caught:
        await queue.run(other, id="today")
    assert caught.value.reason == "content"


async def test_the_jobs_of_a_flow_are_found_by_its_id(queue: aiq.Queue) -> None:
    run = await queue.run(digest_flow()[0])

    page = await queue.list(JobFilter(flow=run.id))

    assert tuple(record.id for record in page.jobs) == run.job_ids
    assert run.id.startswith("digest:")


async def test_tenant_and_band_of_a_run_are_for_jobs_that_say_nothing(queue: aiq.Queue) -> None:
    flow = aiq.Flow("digest")
    silent = flow.add(summarize.job("one"))
    outspoken = flow.add(summarize.job("two").using(tenant="other", band="batch"))

    run = await queue.run(flow, tenant="acme", band="high")

    one, two = await run[silent].record(), await run[outspoken].record()
    assert [(one.tenant, one.band), (two.tenant, two.band)] == [("acme", aiq.Band.HIGH), ("other", aiq.Band.BATCH)]


async def test_a_job_of_a_flow_may_choose_its_own_id(queue: aiq.Queue) -> None:
    flow = aiq.Flow("digest")
    part = flow.add(summarize.job("one").using(id="mine"))
    whole = flow.add(merge.job([part.output]))
    run = await queue.run(flow)

    assert run[part].id == "mine"
    assert (await run[whole].record()).depends_on == ("mine",)


async def test_a_flow_whose_reply_was_lost_is_stored_once(queue: aiq.Queue, storage: Faulty) -> None:
    storage.plan(LoseReply("enqueue"))

    run = await queue.run(digest_flow()[0])

    assert sum((await queue.count()).values()) == len(run.job_ids) == 3


async def test_when_nobody_knows_the_error_names_the_id_to_repeat_with(queue: aiq.Queue, storage: Faulty) -> None:
    storage.plan(*[LoseReply("enqueue")] * 3)
    flow, _, _ = digest_flow()

    with pytest.raises(aiq.Unavailable) as caught:
        await queue.run(flow)

    (note,) = caught.value.__notes__
    flow_id = note.partition("id=")[2].strip("').")
    assert (await queue.run(flow, id=flow_id)).existed


async def test_the_record_of_a_job_says_its_flow(queue: aiq.Queue, storage: Faulty) -> None:
    run = await queue.run(digest_flow()[0], id="today")

    assert (await get_one(storage, run.job_ids[2])).flow == "today"
