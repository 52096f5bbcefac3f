"""Limits as users write them, how jobs name them, and that what code names never overrides what an operator stored."""

from datetime import timedelta
from typing import Any

import pytest

import aiq
from aiq.bounds import MAX_LIMITS
from aiq.model import Charge, LimitSpec
from aiq.testing import Faulty, LoseReply
from tests.api.seen import Seen

GPT = aiq.Limit("gpt", requests=600, tokens=450_000)
TENANTS = aiq.Limit("tenants", requests=60, by="tenant")


@aiq.task(limits=[GPT, TENANTS])
async def chat(prompt: str) -> str:
    return prompt


@aiq.task
async def plain(prompt: str) -> str:
    return prompt


def test_a_limit_is_kept_in_whole_milliseconds_and_thousandths() -> None:
    limit = aiq.Limit(
        "gpt",
        requests=600,
        tokens=450_000,
        per=timedelta(minutes=1),
        burst=2.5,
        ramp=600,
        concurrency=64,
        by="key",
        charge="reserve",
        weights={"output": 5.0, "cache_read": 0.1},
    )

    spec = limit.spec()

    assert (spec.name, spec.requests, spec.tokens, spec.concurrency) == ("gpt", 600, 450_000, 64)
    assert (spec.per_ms, spec.burst_ms, spec.ramp_ms) == (60_000, 2_500, 600_000)
    assert (spec.by, spec.charge, spec.refund) == ("key", Charge.RESERVE, True)
    assert dict(spec.weights) == {"output": 5_000, "cache_read": 100}


def test_a_limit_reads_back_as_it_was_written() -> None:
    limit = aiq.Limit("gpt", tokens=7, per=0.25, burst=timedelta(seconds=9), weights={"input": 0.333}, charge="max")

    assert aiq.Limit.of(limit.spec()) == limit
    assert hash(aiq.Limit.of(limit.spec())) == hash(limit)


def test_of_a_stored_limit_without_tokens_nothing_is_told_that_is_about_tokens() -> None:
    spec = LimitSpec(name="gpt", requests=1, charge=Charge.MAX, refund=False, weights={"output": 5_000})

    assert aiq.Limit.of(spec) == aiq.Limit("gpt", requests=1)


def test_unused_tokens_come_back_unless_the_provider_keeps_them_or_somebody_says_otherwise() -> None:
    defaults = {charge: aiq.Limit("x", tokens=1, charge=charge).refund for charge in Charge}

    assert defaults == {Charge.STREAM: True, Charge.RESERVE: True, Charge.MAX: False, Charge.INPUT: True}
    assert aiq.Limit("x", tokens=1, charge="max", refund=True).refund
    assert not aiq.Limit("x", tokens=1, refund=False).refund


@pytest.mark.parametrize(
    ("figures", "message"),
    [
        ({}, r'Limit "gpt" bounds nothing; pass requests=, tokens= or concurrency=\.'),
        ({"requests": 0}, r'requests of limit "gpt" is 0; pass a whole number from 1 to 1,000,000,000,000\.'),
        ({"tokens": -5}, r'tokens of limit "gpt" is -5; pass a whole number'),
        ({"tokens": 10**12 + 1}, r"is 1,000,000,000,001; pass a whole number"),
        ({"tokens": 450_000.0}, r"is 450000\.0; pass a whole number"),
        ({"tokens": float("nan")}, r"is nan; pass a whole number"),
        ({"requests": "600"}, r"is '600'; pass a whole number"),
        ({"requests": True}, r'requests of limit "gpt" is True; pass a whole number'),
        ({"concurrency": 0}, r'concurrency of limit "gpt" is 0; pass a whole number from 1 to 1,000,000\.'),
        ({"requests": 1, "per": 0}, r'per of limit "gpt" is 0 s; it must be from 0\.001 s to 2,678,400 s\.'),
        ({"requests": 1, "per": -60}, r"is -60 s; it must be from"),
        ({"requests": 1, "per": float("nan")}, r"is nan; pass seconds as a number, or a timedelta\."),
        ({"requests": 1, "per": timedelta(days=32)}, r"it must be from 0\.001 s to 2,678,400 s"),
        ({"requests": 1, "burst": 0}, r'burst of limit "gpt" is 0 s'),
        ({"requests": 1, "burst": float("inf")}, r"is inf; pass seconds"),
        ({"requests": 1, "ramp": -1}, r'ramp of limit "gpt" is -1 s; it must be from 0 s'),
        ({"requests": 1, "by": "user"}, r"by of limit \"gpt\" is 'user'; it can be None or 'tenant' or 'key'\."),
        ({"requests": 1, "charge": "all"}, r"is 'all'; it can be 'stream' or 'reserve' or 'max' or 'input'\."),
        ({"requests": 1, "refund": "no"}, r"is 'no'; it can be None or True or False\."),
        ({"requests": 1, "refund": 1}, r"is 1; it can be None or True or False\."),
        (
            {"requests": 1, "charge": "max"},
            r'charge=, refund= and weights= of limit "gpt" are about tokens; pass tokens=',
        ),
        ({"requests": 1, "refund": True}, r"are about tokens"),
        ({"concurrency": 1, "weights": {"output": 5}}, r"are about tokens"),
        ({"tokens": 1, "weights": [5.0]}, r'is \[5\.0\]; pass a mapping by category: \{"output": 5\.0\}\.'),
        ({"tokens": 1, "weights": {"a b": 1}}, r"'a b' is no name for a category"),
        ({"tokens": 1, "weights": {"output": -1}}, r"'output' in weights of limit \"gpt\" is -1; pass a number from 0"),
        ({"tokens": 1, "weights": {"output": float("nan")}}, r"is nan; pass a number from 0 to 1,000 with"),
        ({"tokens": 1, "weights": {"output": 1 / 3}}, r"with at most three decimals\."),
        ({"tokens": 1, "weights": {"output": 1_000.001}}, r"pass a number from 0 to 1,000"),
        ({"tokens": 1, "weights": {"output": True}}, r"is True; pass a number"),
        ({"tokens": 1, "weights": {f"c{n}": 1 for n in range(33)}}, r"is 33 categories, and at most 32"),
        (
            {"tokens": 999_999_999_989, "per": 60},
            r'Limit "gpt" cannot be counted exactly below 2\^53: 999,999,999,989 tokens in 60 s, 30 s of it at once\.',
        ),
    ],
)
def test_a_figure_that_cannot_work_is_refused_with_what_to_write(figures: dict[str, Any], message: str) -> None:
    with pytest.raises(aiq.InvalidInput, match=message):
        aiq.Limit("gpt", **figures)


@pytest.mark.parametrize("name", ["", "two words", "a:b", None, "x" * 129])
def test_a_limit_with_a_name_outside_the_alphabet_is_refused(name: Any) -> None:
    with pytest.raises(aiq.InvalidName, match="not a name for a limit"):
        aiq.Limit(name, requests=1)


def test_a_large_rate_that_divides_evenly_is_counted_exactly() -> None:
    assert aiq.Limit("day", tokens=10**9, per=timedelta(days=1)).spec().per_ms == 86_400_000


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (GPT, r"pass a list, even of a single one: limits=\[GPT\]"),
        ("gpt", r"limits is 'gpt'; pass a list"),
        ([GPT, 7], r"limits has 7; pass limits"),
        (["two words"], r"not a name for a limit"),
        ([aiq.Limit(f"l{n}", requests=1) for n in range(MAX_LIMITS + 1)], r"list of limits is 17, and at most 16"),
    ],
)
def test_what_is_no_list_of_limits_is_refused_by_tasks_and_jobs(given: Any, message: str) -> None:
    with pytest.raises(aiq.InvalidInput, match=message):
        aiq.task(limits=given)(lambda: None)
    with pytest.raises(aiq.InvalidInput, match=message):
        plain.job("x").using(limits=given)


def test_a_job_takes_the_limits_of_its_task_or_those_that_are_said_of_it() -> None:
    assert chat.job("x").spec(job_id="a").limits == ("gpt", "tenants")
    assert chat.job("x").using(limits=["gpu", "gpu", TENANTS]).spec(job_id="a").limits == ("gpu", "tenants")
    assert chat.job("x").using(limits=[]).spec(job_id="a").limits == ()


def test_limits_of_a_job_are_part_of_what_makes_it_the_same_job_and_their_figures_are_not() -> None:
    other = aiq.Limit("gpt", requests=1)
    digests = [
        job.spec(job_id="a").digest
        for job in (
            chat.job("x"),
            chat.job("x").using(limits=[GPT]),
            chat.job("x").using(limits=[other]),
            chat.job("x").using(limits=["gpt"]),
        )
    ]

    assert len(set(digests)) == 2
    assert digests[1] == digests[2] == digests[3]


async def test_limits_that_code_names_are_stored_with_the_first_job_that_needs_them(queue: aiq.Queue) -> None:
    job = await queue.enqueue(chat.job("x"), tenant="acme")

    assert {report.limit for report in await queue.admin.limits()} == {GPT, TENANTS}
    assert (await job.record()).limits == ("gpt", "tenants")


async def test_a_limit_that_an_operator_changed_stays_as_it_is(queue: aiq.Queue) -> None:
    await queue.admin.put_limit(aiq.Limit("gpt", requests=5))

    await queue.enqueue(chat.job("x"), tenant="acme")

    (report,) = await queue.admin.limits("gpt")
    assert report.limit == aiq.Limit("gpt", requests=5)


async def test_each_limit_is_handed_to_a_storage_once(storage: Faulty) -> None:
    seen = Seen(storage, "put_limits")
    queue = aiq.Queue(seen)

    await queue.enqueue(chat.job("x"), tenant="acme")
    await queue["bulk"].enqueue_many([chat.job("x"), chat.job("y")], tenant="acme")
    await queue.enqueue(plain.job("x"))

    assert len(seen.calls) == 1


async def test_jobs_without_limits_ask_the_storage_for_nothing_more(storage: Faulty) -> None:
    seen = Seen(storage, "put_limits", "put_prices", "enqueue")

    await aiq.Queue(seen).enqueue(plain.job("x"))

    assert seen.calls == ["enqueue"]


async def test_a_lost_reply_about_a_limit_does_not_keep_the_job_away(queue: aiq.Queue, storage: Faulty) -> None:
    storage.plan(LoseReply("put_limits"))

    await queue.enqueue(chat.job("x"), tenant="acme")

    assert [report.limit.name for report in await queue.admin.limits()] == ["gpt", "tenants"]


async def test_a_flow_brings_the_limits_of_all_its_jobs(queue: aiq.Queue) -> None:
    flow = aiq.Flow("chats")
    flow.add(chat.job("x").using(limits=[aiq.Limit("first", concurrency=1)]))
    flow.add(chat.job("y").using(limits=[aiq.Limit("second", concurrency=1)]))

    await queue.run(flow)

    assert [report.limit.name for report in await queue.admin.limits()] == ["first", "second"]


async def test_a_limit_that_is_only_named_and_not_stored_is_refused(queue: aiq.Queue) -> None:
    await queue.enqueue(chat.job("x"), tenant="acme")

    with pytest.raises(aiq.UnknownLimit, match=r'No limit "gpd" is stored\. Did you mean "gpt"\?'):
        await queue.enqueue(plain.job("x"), limits=["gpd"])


async def test_a_job_that_declares_more_than_its_limit_can_ever_give_is_refused(queue: aiq.Queue) -> None:
    small = aiq.Limit("small", tokens=1_000)

    with pytest.raises(aiq.NeverFits, match="small"):
        await queue.enqueue(plain.job("x"), limits=[small], estimate=aiq.Estimate(input=1_001, max_output=0))
    assert await queue.count() == {}


async def test_a_limit_that_would_go_by_something_else_is_a_conflict(queue: aiq.Queue) -> None:
    await queue.admin.put_limit(aiq.Limit("gpt", requests=5))

    with pytest.raises(aiq.Conflict) as caught:
        await queue.admin.put_limit(aiq.Limit("gpt", requests=5, by="tenant"))
    assert caught.value.reason == "by"


async def test_a_worker_stores_the_limits_of_its_tasks_before_it_claims(queue: aiq.Queue) -> None:
    await aiq.Worker(queue, tasks=[chat]).run_until_idle()

    assert [report.limit.name for report in await queue.admin.limits()] == ["gpt", "tenants"]


def test_a_worker_is_refused_two_limits_of_one_name(queue: aiq.Queue) -> None:
    other = aiq.task(name="other", limits=[aiq.Limit("gpt", requests=1)])(lambda: None)

    with pytest.raises(aiq.InvalidInput, match='Two limits are named "gpt", with other figures'):
        aiq.Worker(queue, tasks=[chat, other])


async def test_a_child_brings_the_limits_of_a_task_that_its_worker_does_not_run(queue: aiq.Queue) -> None:
    @aiq.task(queue="elsewhere", limits=[aiq.Limit("child", requests=5)])
    async def child() -> None: ...

    @aiq.task
    async def parent(ctx: aiq.Context) -> None:
        await ctx.gather("children", [child.job()])

    job = await queue.enqueue(parent.job())
    await aiq.Worker(queue, tasks=[parent]).run_until_idle()

    assert await job.state() is aiq.State.WAITING
    assert [report.limit.name for report in await queue.admin.limits()] == ["child"]


async def test_a_call_brings_a_limit_that_no_task_names(queue: aiq.Queue) -> None:
    inside = aiq.Limit("inside", tokens=5_000)

    @aiq.task
    async def ask(ctx: aiq.Context) -> int:
        async with ctx.call(inside, input=5, max_output=7) as call:
            call.settle(aiq.Usage(input=5, output=2))
        return call.max_output

    job = await queue.enqueue(ask.job())
    await aiq.Worker(queue, tasks=[ask]).run_until_idle()

    assert await job.result(timeout=0) == 7
    assert [report.limit for report in await queue.admin.limits()] == [inside]


async def test_a_job_runs_within_its_limit_and_the_next_one_says_why_it_waits(queue: aiq.Queue) -> None:
    one = aiq.Limit("one", concurrency=1)

    @aiq.task(limits=[one])
    async def look() -> str:
        (other,) = [job for job in await queue.list() if job.id != "first"]
        why = await queue.explain(other.id)
        return f"{why.gate} {why.name} {why.opens_in}"

    first = await queue.enqueue(look.job(), id="first")
    second = await queue.enqueue(aiq.task(name="wait", limits=[one])(lambda: None).job(), id="second")
    await aiq.Worker(queue, tasks=[look, aiq.task(name="wait")(lambda: None)]).run_until_idle()

    assert await first.result(timeout=0) == "limit one None"
    assert await second.state() is aiq.State.SUCCEEDED


async def test_a_held_job_waits_until_it_is_let_go(queue: aiq.Queue) -> None:
    job = await queue.enqueue(plain.job("x"))
    other = await queue.enqueue(plain.job("y"))

    await job.hold()
    await aiq.Worker(queue, tasks=[plain]).run_until_idle()
    why = await job.explain()
    held, missing = await queue.hold([job.id, "nobody"])
    assert held is not None
    assert (held.state, missing, await other.state()) == (aiq.State.HELD, None, aiq.State.SUCCEEDED)
    assert why.gate is aiq.Gate.OPERATOR

    assert (await job.unhold()).state is aiq.State.READY
    with pytest.raises(aiq.Conflict, match=r"succeeded|ended|ready"):
        await other.hold()
    assert [record.state for record in await queue.unhold([job.id]) if record] == [aiq.State.READY]


async def test_all_jobs_are_told_that_were_held_however_large_they_are(queue: aiq.Queue) -> None:
    names = [f"{number:02}" for number in range(20)]
    for name in names:
        await queue.enqueue(plain.job("x" * 250_000).using(id=name))

    assert [record and record.id for record in await queue.hold(names)] == names
    assert [record and record.state for record in await queue.unhold(names)] == [aiq.State.READY] * 20


async def test_a_job_that_is_not_there_cannot_be_held_or_explained(queue: aiq.Queue) -> None:
    missing = queue.job("nobody")

    for ask in (missing.hold, missing.unhold, missing.explain):
        with pytest.raises(aiq.NotFound):
            await ask()
    with pytest.raises(aiq.InvalidInput, match=r"Pass a list of ids: hold\(\['nobody'\]\)"):
        await queue.hold("nobody")
