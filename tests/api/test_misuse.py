"""The likeliest mistakes of the first day, and what is said of them."""

import inspect
from collections.abc import Awaitable, Callable
from typing import Any, TypeAlias

import pytest

import aiq


@aiq.task
async def leaf(number: int) -> int:
    return number


@aiq.task
def plain(text: str) -> str:
    return text


async def add(_: aiq.Queue, given: Any) -> None:
    aiq.Flow("digest").add(given)


async def work(queue: aiq.Queue, given: Any) -> None:
    aiq.Worker(queue, tasks=given)


Call: TypeAlias = Callable[[aiq.Queue, Any], Awaitable[object]]

ONE: dict[str, Call] = {
    "enqueue({})": lambda queue, given: queue.enqueue(given),
    "ask({})": lambda queue, given: queue.ask(given),
    "flow.add({})": add,
    "enqueue_many([{}])": lambda queue, given: queue.enqueue_many([leaf.job(1), given, leaf.job(2)]),
}
MANY: dict[str, Call] = {"enqueue_many([{}])": lambda queue, given: queue.enqueue_many(given)}

every_call = pytest.mark.parametrize(("usage", "call"), [*ONE.items(), *MANY.items()], ids=[*ONE, "enqueue_many({})"])


async def refusal(call: Call, queue: aiq.Queue, given: object) -> str:
    with pytest.raises(aiq.InvalidInput) as caught:
        await call(queue, given)
    assert await queue.count() == {}
    return str(caught.value)


@every_call
async def test_a_call_of_a_task_where_a_job_is_meant_is_closed_and_told(
    usage: str, call: Call, queue: aiq.Queue
) -> None:
    called = leaf(1)

    told = await refusal(call, queue, called)

    right = usage.format("leaf.job(…)")
    assert told == f"To call leaf runs it here and now, and makes no job. Write {right}."
    assert inspect.getcoroutinestate(called) == inspect.CORO_CLOSED


@every_call
async def test_a_task_without_arguments_is_told(usage: str, call: Call, queue: aiq.Queue) -> None:
    told = await refusal(call, queue, leaf)

    assert told == f'Task "leaf" is no job before it has arguments. Write {usage.format("leaf.job(…)")}.'


@pytest.mark.parametrize(("usage", "call"), ONE.items(), ids=ONE)
async def test_what_a_task_that_was_called_returned_is_told_by_its_type_alone(
    usage: str, call: Call, queue: aiq.Queue
) -> None:
    told = await refusal(call, queue, plain("secret"))

    assert told == f"A `str` is no job. Write {usage.format('task.job(…)')}; to call a task runs it here and now."


async def test_a_function_that_is_no_task_is_no_job(queue: aiq.Queue) -> None:
    told = await refusal(ONE["enqueue({})"], queue, plain.function)

    assert told.startswith("A `function` is no job. Write enqueue(plain.job(…))")


async def test_a_list_is_no_job(queue: aiq.Queue) -> None:
    assert (await refusal(ONE["enqueue({})"], queue, [leaf.job(1)])).startswith("A `list` is no job.")


async def test_one_job_where_many_are_meant_is_told(queue: aiq.Queue) -> None:
    told = await refusal(MANY["enqueue_many([{}])"], queue, leaf.job(1))

    assert told == "Pass a list, even of a single job: enqueue_many([job])."


async def test_every_call_of_a_list_is_closed(queue: aiq.Queue) -> None:
    called = [leaf(number) for number in range(3)]

    await refusal(MANY["enqueue_many([{}])"], queue, iter(called))

    assert {inspect.getcoroutinestate(one) for one in called} == {inspect.CORO_CLOSED}


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (leaf, "Pass a list, even of a single task: Worker(queue, tasks=[leaf])."),
        (plain.function, "A `function` is not a task. Decorate the function with @aiq.task, and pass it without"),
        ([leaf, leaf.job(1)], "pass it without calling it: Worker(queue, tasks=[leaf])."),
        ([plain.function], "pass it without calling it: Worker(queue, tasks=[plain])."),
        (None, "A `NoneType` is not a task."),
    ],
)
async def test_what_a_worker_cannot_run_is_told(given: object, told: str, queue: aiq.Queue) -> None:
    assert told in await refusal(work, queue, given)


async def test_a_call_of_a_task_among_the_tasks_of_a_worker_is_closed(queue: aiq.Queue) -> None:
    called = leaf(1)

    assert "tasks=[leaf])" in await refusal(work, queue, [called])
    assert inspect.getcoroutinestate(called) == inspect.CORO_CLOSED
