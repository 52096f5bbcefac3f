"""Chapter 10: limits by tenant and by key, and what stands aside for them."""

import pytest

from aiq.model import Band, Lane, LimitSpec, Released, State, Throttle
from aiq.storage import Storage, queue_topic
from aiq.testing.actions import (
    GOOD,
    LONG_MS,
    changed,
    claim_one,
    claim_some,
    end,
    enqueue_one,
    get_one,
    job,
    states,
)
from aiq.testing.clock import Clock
from aiq.testing.marks import clause
from aiq.testing.spending import need, offered, open_call, put_limit, the_limit, tokens, units, wait_of

S = State
GPT = ("gpt",)
HOUR_MS = 3_600_000


async def enqueue_of(storage: Storage, tenant: str, *inputs: int, **options: object) -> None:
    """Jobs of a tenant, "acme 1", "acme 2" …, each needing so many tokens of the limit "gpt"."""
    names = [f"{tenant} {n}" for n in range(1, len(inputs) + 1)]
    await storage.enqueue(
        [
            job(name, tenant=tenant, limits=GPT, estimate=need(count), lease_ms=HOUR_MS, **options)
            for name, count in zip(names, inputs, strict=True)
        ]
    )


@clause("LIMIT-15")
async def test_each_tenant_has_amounts_of_its_own(storage: Storage) -> None:
    await put_limit(storage, by="tenant")
    await enqueue_of(storage, "acme", 4_000, 4_000)
    await enqueue_of(storage, "bolt", 4_000, 4_000)

    given, due_ms = await offered(storage)
    assert (sorted(given), due_ms) == (["acme 1", "bolt 1"], 3_000)


@clause("LIMIT-15")
async def test_a_job_without_a_tenant_is_not_bound(storage: Storage) -> None:
    await put_limit(storage, by="tenant")
    await enqueue_of(storage, "", 4_000, 4_000, 70_000 - 10_000)
    assert len((await offered(storage))[0]) == 3
    assert not (await the_limit(storage)).used


@clause("LIMIT-15", "POOL-6")
async def test_a_tenant_that_is_refused_stands_aside_and_the_lines_of_others_go_on(
    storage: Storage, clock: Clock
) -> None:
    await put_limit(storage, by="tenant")
    await enqueue_of(storage, "acme", 5_000, 1, 1, 1)
    assert (await offered(storage))[0] == ["acme 1"]
    await enqueue_of(storage, "bolt", *[10] * 20)
    for n in range(20):
        given, due_ms = await offered(storage, count=1)
        assert (given, due_ms) == ([f"bolt {n + 1}"], 1)
    clock.advance_ms(2)

    assert await offered(storage) == (["acme 2", "acme 3"], 1)


@clause("LIMIT-15", "BAND-4")
async def test_a_line_that_stands_aside_keeps_its_order(storage: Storage, clock: Clock) -> None:
    await put_limit(storage, by="tenant")
    await enqueue_of(storage, "acme", 3_000, 3_000, 1_000)
    assert await offered(storage) == (["acme 1"], 1_000)
    # The third would fit now, but nothing passes the head of a lane.
    assert await offered(storage) == ([], 1_000)
    clock.advance_ms(2_000)
    assert (await offered(storage))[0] == ["acme 2", "acme 3"]


@clause("LIMIT-15", "POOL-1")
async def test_what_a_tenant_gives_back_lets_its_line_go_on_at_once(storage: Storage) -> None:
    await put_limit(storage, by="tenant")
    await enqueue_of(storage, "acme", 5_000, 3_000)
    run = await claim_one(storage)
    assert await offered(storage) == ([], 3_000)
    mark = await storage.wait([queue_topic("default")], after=None, timeout_ms=LONG_MS)
    await end(storage, run, Released(10))
    assert await changed(storage, mark, queue_topic("default"))
    assert (await offered(storage))[0] == ["acme 2"]


@clause("LIMIT-15")
async def test_the_calls_of_a_tenant_wait_for_their_tenant_alone(storage: Storage) -> None:
    await put_limit(storage, by="tenant")
    await storage.enqueue([job("acme", tenant="acme"), job("bolt", tenant="bolt")])
    runs = {run.id: run for run in await claim_some(storage, 2)}
    await open_call(storage, runs["acme"], 1, need(4_000), "gpt")
    assert await wait_of(storage, runs["acme"], 2, need(2_000), "gpt") == 1_000
    await open_call(storage, runs["bolt"], 1, need(5_000), "gpt")
    assert await wait_of(storage, runs["bolt"], 2, need(1), "gpt") == 1


@clause("LIMIT-16")
async def test_each_key_has_amounts_of_its_own(storage: Storage) -> None:
    await put_limit(storage, by="key")
    for name, key in (("a1", "a"), ("a2", "a"), ("b1", "b"), ("b2", "b")):
        await enqueue_one(storage, name, key=key, limits=GPT, estimate=need(3_000), lease_ms=HOUR_MS)
    assert await offered(storage) == (["a1", "b1"], 1_000)


@clause("LIMIT-16")
async def test_a_job_without_a_key_is_not_bound(storage: Storage) -> None:
    await put_limit(storage, by="key")
    await storage.enqueue([job(f"job {n}", limits=GPT, estimate=need(5_000)) for n in range(5)])
    assert len((await offered(storage))[0]) == 5
    assert not (await the_limit(storage)).used


@clause("LIMIT-16")
async def test_a_job_whose_key_is_taken_stands_aside_and_those_behind_it_go_on(storage: Storage) -> None:
    await storage.put_limits([units(by="key")])
    for name, key in (("a1", "a"), ("a2", "a"), ("a3", "a"), ("b1", "b"), ("free", None)):
        await enqueue_one(storage, name, key=key, limits=GPT)
    assert (await offered(storage))[0] == ["a1", "b1", "free"]

    assert await states(storage, "a2", "a3") == [S.READY, S.READY]
    assert (await storage.count())["default"] == {S.READY: 2, S.RUNNING: 3}


@clause("LIMIT-16")
async def test_the_next_of_a_key_goes_when_the_one_before_has_ended(storage: Storage) -> None:
    await storage.put_limits([units(by="key")])
    await storage.enqueue([job(f"a{n}", key="a", limits=GPT) for n in range(4)])
    given = []
    for _ in range(4):
        (run,) = await claim_some(storage, 10)
        given.append(run.id)
        assert await claim_some(storage, 10) == []
        await end(storage, run, GOOD)
    assert given == ["a0", "a1", "a2", "a3"]


@clause("LIMIT-16")
async def test_a_job_that_stood_aside_comes_back_to_its_old_place(storage: Storage) -> None:
    await storage.put_limits([units(by="key")])
    for name, key in (("a1", "a"), ("a2", "a"), ("b1", "b")):
        await enqueue_one(storage, name, key=key, limits=GPT)
    first, _ = await claim_some(storage, 2)
    for n in range(3):
        await enqueue_one(storage, f"later {n}", key=f"later {n}", limits=GPT)
    await end(storage, first, GOOD)

    assert (await offered(storage))[0] == ["a2", "later 0", "later 1", "later 2"]


@clause("LIMIT-16")
async def test_a_rate_by_key_keeps_a_job_aside_until_the_time_that_it_named(storage: Storage, clock: Clock) -> None:
    await put_limit(storage, by="key")
    for name, key, count in (("a1", "a", 4_000), ("a2", "a", 3_000), ("a3", "a", 10), ("b1", "b", 1_000)):
        await enqueue_one(storage, name, key=key, limits=GPT, estimate=need(count), lease_ms=HOUR_MS)

    # Those behind the second go on, one of its own key too, which makes it wait 10 ms longer.
    assert await offered(storage) == (["a1", "a3", "b1"], 2_010)
    clock.advance_ms(2_009)
    assert await offered(storage) == ([], 1)
    clock.advance_ms(1)
    assert (await offered(storage))[0] == ["a2"]


@clause("LIMIT-16", "POOL-3")
async def test_thousands_with_one_key_do_not_hinder_those_behind(storage: Storage) -> None:
    await storage.put_limits([units(by="key")])
    for start in range(0, 512, 256):
        await storage.enqueue([job(f"a{start + n}", key="a", limits=GPT) for n in range(256)])
    await storage.enqueue([job(f"b{n}", key=f"b{n}", limits=GPT) for n in range(5)])
    given: list[str] = []
    for _ in range(20):
        given += (await offered(storage))[0]
    assert given == ["a0", "b0", "b1", "b2", "b3", "b4"]


@clause("LIMIT-16", "CANCEL-1")
async def test_a_job_that_stands_aside_can_be_cancelled_and_held(storage: Storage) -> None:
    await storage.put_limits([units(by="key")])
    await storage.enqueue([job(f"a{n}", key="a", limits=GPT) for n in range(4)])
    run = await claim_one(storage)
    assert (await offered(storage))[0] == []
    await storage.cancel(["a1"])
    await storage.hold(["a2"])
    await end(storage, run, GOOD)

    assert (await offered(storage))[0] == ["a3"]
    assert await states(storage, "a1", "a2") == [S.CANCELLED, S.HELD]


@clause("LIMIT-16")
async def test_a_key_is_the_same_in_every_queue_and_line(storage: Storage) -> None:
    await storage.put_limits([units(by="key")])
    await enqueue_one(storage, "a1", key="a", limits=GPT, queue="q")
    await enqueue_one(storage, "a2", key="a", limits=GPT, queue="r")
    await enqueue_one(storage, "a3", key="a", limits=GPT, queue="r", band=Band.HIGH, tenant="acme")
    assert (await offered(storage, "q", "r"))[0] == ["a1"]
    await end(storage, await get_one(storage, "a1"), GOOD)
    assert (await offered(storage, "q", "r"))[0] == ["a3"]
    await end(storage, await get_one(storage, "a3"), GOOD)
    assert (await offered(storage, "q", "r"))[0] == ["a2"]


@clause("LIMIT-16")
async def test_a_key_that_is_frozen_keeps_its_jobs_aside(storage: Storage, clock: Clock) -> None:
    await put_limit(storage, by="key")
    await storage.throttled([Throttle(limit="gpt", key="a", tokens=5_000, retry_after_ms=500)])
    for name, key in (("a1", "a"), ("b1", "b")):
        await enqueue_one(storage, name, key=key, limits=GPT, estimate=need(10))
    assert await offered(storage) == (["b1"], 500)
    clock.advance_ms(500)
    assert (await offered(storage))[0] == ["a1"]


@clause("LIMIT-15", "LIMIT-16")
async def test_a_limit_by_something_is_listed_once_or_by_its_parts(storage: Storage) -> None:
    await storage.put_limits([tokens("by-tenant", by="tenant"), LimitSpec(name="plain", requests=60)])
    await enqueue_one(storage, tenant="acme", limits=("by-tenant",), estimate=need(1_000))
    await claim_one(storage)

    found = [status for status in await storage.get_limits() if status.spec.name == "by-tenant"]
    assert found
    assert all(status.tokens_left in (None, 4_000) for status in found)
    assert "plain" in [status.spec.name for status in await storage.get_limits()]


@clause("LIMIT-16", "LIMIT-5")
@pytest.mark.parametrize("by", ["tenant", "key"])
async def test_a_claim_is_told_when_the_first_of_those_aside_may_go(storage: Storage, clock: Clock, by: str) -> None:
    await put_limit(storage, by=by)
    for n, (name, count) in enumerate((("a", 5_000), ("b", 5_000), ("a", 300), ("b", 200))):
        whose = {by: name}
        await enqueue_one(storage, f"{name}{n}", limits=GPT, estimate=need(count), lease_ms=HOUR_MS, **whose)
    given, due_ms = await offered(storage)
    assert (sorted(given), due_ms) == (["a0", "b1"], 200)
    clock.advance_ms(200)
    assert await offered(storage) == (["b3"], 100)
    clock.advance_ms(100)
    assert (await offered(storage))[0] == ["a2"]
    assert (await get_one(storage, "a2")).lane is Lane.FRESH


async def a_job_that_met_a_second_limit(storage: Storage) -> None:
    """One of key "k" runs on "seat", and "b1" has let a rate of the same key run dry for an hour. Three more come: "ab"
    takes both, and stands before "a2" and "a3", which take "seat" alone; then the first ends, and a claim lets "ab"
    through for the seat, and finds that it must wait for the rate."""
    await storage.put_limits([units("seat", by="key"), dry_for_an_hour()])
    await enqueue_one(storage, "b1", key="k", limits=("slow",), queue="other")
    await end(storage, await claim_one(storage, "other"), GOOD)
    await enqueue_one(storage, "a1", key="k", limits=("seat",))
    run = await claim_one(storage)
    for name, limits in (("ab", ("seat", "slow")), ("a2", ("seat",)), ("a3", ("seat",))):
        await enqueue_one(storage, name, key="k", limits=limits)
    assert (await offered(storage))[0] == []
    await end(storage, run, GOOD)


def dry_for_an_hour() -> LimitSpec:
    """A limit by key of one request in an hour."""
    return LimitSpec(name="slow", requests=1, per_ms=HOUR_MS, burst_ms=HOUR_MS, by="key")


@clause("LIMIT-16")
async def test_a_job_that_a_second_limit_refuses_keeps_nobody_behind_the_first(storage: Storage) -> None:
    await a_job_that_met_a_second_limit(storage)
    given = []
    for _ in range(2):
        (run,) = await claim_some(storage, 10)
        given.append(run.id)
        assert await storage.audit() == []
        await end(storage, run, GOOD)
    assert (given, await claim_some(storage, 10)) == (["a2", "a3"], [])
    assert await storage.audit() == []


@clause("LIMIT-16")
@pytest.mark.parametrize("how", ["cancelled", "held"])
async def test_one_that_leaves_from_aside_keeps_nobody_behind_another_limit(storage: Storage, how: str) -> None:
    await a_job_that_met_a_second_limit(storage)
    (run,) = await claim_some(storage, 10)
    await (storage.cancel(["ab"]) if how == "cancelled" else storage.hold(["ab"]))
    await end(storage, run, GOOD)
    assert await storage.audit() == []
    assert (await offered(storage))[0] == ["a3"]


@clause("LIMIT-16", "CANCEL-1")
async def test_jobs_of_one_key_are_cancelled_together_wherever_they_stand(storage: Storage) -> None:
    await storage.put_limits([units(by="key")])
    await enqueue_one(storage, "a1", key="a", limits=GPT)
    await claim_one(storage)
    await enqueue_one(storage, "a2", key="a", limits=GPT)
    assert (await offered(storage))[0] == []
    await enqueue_one(storage, "a3", key="a", limits=GPT)
    # That the third leaves its lane lets the second into it, which is about to leave too.
    await storage.cancel(["a3", "a2"])
    assert await states(storage, "a2", "a3") == [S.CANCELLED, S.CANCELLED]
    assert await storage.audit() == []


@clause("LIMIT-15", "POOL-6")
async def test_what_takes_no_limit_by_tenant_is_kept_aside_by_none(storage: Storage) -> None:
    await storage.put_limits([units("mine", by="tenant")])
    for name, options in (("m1", {"tenant": "acme"}), ("m2", {"tenant": "acme"}), ("m3", {}), ("m4", {})):
        await enqueue_one(storage, name, limits=("mine",), **options)
    await enqueue_one(storage, "free", tenant="acme")
    await enqueue_one(storage, "plain")
    assert sorted((await offered(storage))[0]) == ["free", "m1", "m3", "m4", "plain"]
    await enqueue_one(storage, "free later", tenant="acme")
    assert (await offered(storage))[0] == ["free later"]
