"""Routes as users write them, and on which of them a job begins."""

from typing import Any

import pytest

import aiq
from aiq.model import JobRecord, RouteSpec, State

GPT = aiq.Limit("gpt", requests=600)
CLAUDE = aiq.Limit("claude", requests=600)
ALL = aiq.Limit("all", concurrency=8)
ROUTES = [
    aiq.Route("first", model="gpt", limits=[GPT]),
    aiq.Route("second", model="claude", limits=[CLAUDE], patience=30),
    aiq.Route("third", model="local"),
]


@aiq.task(routes=ROUTES, limits=[ALL], max_deferral=60)
async def write(topic: str) -> str:
    return topic


def parent_on(route: int, *routes: RouteSpec) -> JobRecord:
    return JobRecord(id="parent", task="work", state=State.RUNNING, routes=routes, route=route)


def names_of(spec: aiq.model.JobSpec) -> list[str]:
    return [route.name for route in spec.routes]


def test_a_job_has_the_routes_of_its_task_with_the_limits_that_all_of_them_take() -> None:
    spec = write.job("x").spec(job_id="a")

    assert spec.routes == (
        RouteSpec(name="first", model="gpt", limits=("gpt", "all")),
        RouteSpec(name="second", model="claude", limits=("claude", "all"), patience_ms=30_000),
        RouteSpec(name="third", model="local", limits=("all",)),
    )
    assert (spec.limits, spec.max_deferral_ms) == (("all",), 60_000)


def test_using_names_other_routes_and_another_patience_with_rate_limits() -> None:
    spec = write.job("x").using(routes=[aiq.Route("only", limits=["all", "gpt"])], max_deferral=5).spec(job_id="a")

    assert spec.routes == (RouteSpec(name="only", limits=("all", "gpt")),)
    assert spec.max_deferral_ms == 5_000
    assert write.job("x").using(routes=[]).spec(job_id="a").routes == ()


def test_a_route_reads_back_with_its_limits_named() -> None:
    assert aiq.Route.of(ROUTES[1].spec()) == aiq.Route("second", model="claude", limits=["claude"], patience=30)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (ROUTES[0], r"routes is .*; pass a list, even of a single one"),
        ([ROUTES[0], "gpt"], r"routes has 'gpt'; pass routes"),
        ([ROUTES[0], ROUTES[0]], r'Two routes are named "first"'),
        ([aiq.Route(f"r{n}") for n in range(17)], r"list of routes is 17, and at most 16"),
    ],
)
def test_what_are_no_routes_is_refused(given: Any, message: str) -> None:
    with pytest.raises(aiq.InvalidInput, match=message):
        aiq.task(routes=given)(lambda: None)
    with pytest.raises(aiq.InvalidInput, match=message):
        write.job("x").using(routes=given)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"name": "two words"}, r"not a name for a route"),
        ({"name": "a", "model": 5}, r"The model is 5"),
        ({"name": "a", "limits": GPT}, r"pass a list"),
        ({"name": "a", "patience": 0}, r'patience of route "a" is 0 s'),
        ({"name": "a", "patience": float("nan")}, r"is nan; pass seconds"),
    ],
)
def test_a_route_that_cannot_work_is_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(aiq.InvalidInput, match=message):
        aiq.Route(**options)


def test_a_child_begins_with_the_route_on_which_its_parent_stands_and_goes_round_from_there() -> None:
    parent = parent_on(1, RouteSpec(name="other"), RouteSpec(name="second"))

    assert names_of(write.job("x").spec(job_id="c", parent=parent, child_of="k")) == ["second", "third", "first"]


def test_a_child_without_a_route_of_that_name_begins_with_its_first() -> None:
    for parent in (parent_on(0, RouteSpec(name="other")), parent_on(0)):
        assert names_of(write.job("x").spec(job_id="c", parent=parent, child_of="k")) == ["first", "second", "third"]


def test_the_route_of_the_parent_makes_no_other_job_of_a_child() -> None:
    parents = [parent_on(route, RouteSpec(name="first"), RouteSpec(name="second")) for route in (0, 1)]

    digests = {write.job("x").spec(job_id="c", parent=parent, child_of="k").digest for parent in parents}

    assert len(digests) == 1


async def test_the_limits_of_every_route_are_stored_with_the_first_job(queue: aiq.Queue) -> None:
    job = await queue.enqueue(write.job("x"))

    assert [report.limit for report in await queue.admin.limits()] == [ALL, CLAUDE, GPT]
    assert (await job.record()).model == "gpt"


async def test_a_failure_that_may_be_retried_takes_the_next_route(queue: aiq.Queue) -> None:
    seen: list[str] = []

    @aiq.task(routes=ROUTES, retry=aiq.Retry(first_delay=0, max_delay=0))
    async def ask(ctx: aiq.Context) -> str:
        assert ctx.route is not None
        seen.append(ctx.route.name)
        if len(seen) < 3:
            raise ConnectionError
        return ctx.route.model

    job = await queue.enqueue(ask.job())
    await aiq.Worker(queue, tasks=[ask]).run_until_idle()

    assert (seen, await job.result(timeout=0)) == (["first", "second", "third"], "local")
