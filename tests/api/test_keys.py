"""Ordered keys and the newest first, as users say them."""

from typing import Any

import pytest

import aiq
from aiq.bounds import MAX_PER_KEY


@aiq.task
async def note(text: str) -> str:
    return text


async def ready(queue: aiq.Queue, *jobs: aiq.Job[Any]) -> list[str]:
    """What each job waits for."""
    return [str((await queue.explain(job)).gate) for job in jobs]


def test_a_key_alone_orders_its_jobs_one_at_a_time() -> None:
    spec = note.job("x").using(key="talk").spec(job_id="job")

    assert (spec.key, spec.per_key, spec.while_parked) == ("talk", 1, "hold")


def test_a_job_without_a_key_is_in_no_order() -> None:
    spec = note.job("x").spec(job_id="job")

    assert (spec.key, spec.per_key, spec.ordered) == (None, 0, False)


def test_what_is_said_of_a_key_wins() -> None:
    spec = note.job("x").using(key="talk", per_key=2, while_parked="free").spec(job_id="job")

    assert (spec.per_key, spec.while_parked, spec.ordered) == (2, "free", True)
    assert not note.job("x").using(key="talk", per_key=0).spec(job_id="job").ordered


@pytest.mark.parametrize("options", [{"per_key": MAX_PER_KEY + 1}, {"per_key": -1}, {"while_parked": "perhaps"}])
def test_what_a_key_cannot_have_is_refused_where_it_is_said(options: dict[str, Any]) -> None:
    with pytest.raises(aiq.InvalidInput):
        note.job("x").using(**options)


async def test_per_key_without_a_key_says_what_is_missing(queue: aiq.Queue) -> None:
    with pytest.raises(aiq.InvalidInput, match="Give it a key"):
        await queue.enqueue(note.job("x"), per_key=2)


async def test_jobs_of_a_key_run_in_order_and_say_who_holds_it(queue: aiq.Queue) -> None:
    first, second = await queue.enqueue_many([note.job("a"), note.job("b")], key="talk")

    why = await queue.explain(second)
    assert (why.gate, why.name) == ("key", "talk")
    assert first.id in why.text


async def test_a_key_of_a_queue_is_paused_and_resumed(queue: aiq.Queue) -> None:
    job = await queue["chat"].enqueue(note.job("a"), key="talk")
    await queue["chat"].pause_key("talk")
    assert await ready(queue, job) == ["key"]
    await queue["chat"].resume_key("talk")

    assert await ready(queue, job) == ["worker"]
    with pytest.raises(aiq.InvalidInput):
        await queue.pause_key("")


async def test_a_queue_is_told_to_give_the_newest_first(queue: aiq.Queue) -> None:
    assert (await queue.admin.configure("default", lifo=True)).lifo
    old, new = await queue.enqueue_many([note.job("old"), note.job("new")])

    assert await ready(queue, old, new) == ["turn", "worker"]
    assert not (await queue.admin.configure("default", max_ready=9)).lifo
