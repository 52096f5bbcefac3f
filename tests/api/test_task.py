"""Tasks: what they are made of, and what they refuse."""

import asyncio
import functools
import inspect
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from datetime import timedelta
from typing import Any

import pytest

import aiq
from aiq.task import AsyncTask, ContextTask, SyncTask


@aiq.task
async def research(ctx: aiq.Context, topic: str, depth: int = 1) -> list[str]:
    """Find out."""
    return [topic] * depth


@aiq.task(name="reports.render", queue="slow", lease=60, timeout=timedelta(minutes=2), band="batch", max_stalls=1)
def render(pages: list[str]) -> str:
    return "\n".join(pages)


@aiq.task
async def fetch(url: str) -> bytes:
    return url.encode()


def test_a_task_stays_the_function_that_it_was() -> None:
    assert render(["a", "b"]) == "a\nb"
    assert asyncio.run(fetch("x")) == b"x"
    assert (research.__name__, research.__doc__) == ("research", "Find out.")  # type: ignore[attr-defined]
    assert list(inspect.signature(research).parameters) == ["ctx", "topic", "depth"]


def test_the_kind_follows_from_the_function() -> None:
    assert isinstance(research, ContextTask)
    assert isinstance(render, SyncTask)
    assert isinstance(fetch, AsyncTask)
    assert [research.kind, render.kind, fetch.kind] == ["async", "thread", "async"]


def test_a_task_without_options_has_the_published_defaults() -> None:
    assert (research.name, research.queue, research.band) == ("research", None, None)
    assert (research.lease_ms, research.timeout_ms, research.max_stalls) == (30_000, None, 3)
    assert research.retry == aiq.Retry()


def test_options_are_kept_in_milliseconds() -> None:
    assert (render.name, render.queue, render.band) == ("reports.render", "slow", aiq.Band.BATCH)
    assert (render.lease_ms, render.timeout_ms, render.max_stalls) == (60_000, 120_000, 1)


def test_a_decorator_with_options_makes_many_tasks_and_can_be_refined() -> None:
    slow = aiq.task(queue="slow", lease=600)

    @slow(lease=900)
    def one() -> None: ...

    @slow
    def two() -> None: ...

    assert [(one.queue, one.lease_ms), (two.queue, two.lease_ms)] == [("slow", 900_000), ("slow", 600_000)]


def test_a_coroutine_function_under_a_decorator_of_its_own_is_still_async() -> None:
    def traced(function: Callable[[int], Coroutine[Any, Any, int]]) -> Callable[[int], Coroutine[Any, Any, int]]:
        @functools.wraps(function)
        def traced_function(x: int) -> Coroutine[Any, Any, int]:
            return function(x)

        return traced_function

    @aiq.task
    @traced
    async def double(x: int) -> int:
        return 2 * x

    assert double.kind == "async"
    assert double.decode(double.job(2).spec(job_id="1").payload) == ((2,), {})


def test_a_context_is_found_under_any_name() -> None:
    from aiq import Context as Run

    @aiq.task
    async def one(run: "Run", x: int) -> None: ...

    @aiq.task
    async def two(run: Run, x: int) -> None: ...

    # A name that cannot be looked up, as under `if TYPE_CHECKING`, is known by its last part.
    @aiq.task
    async def three(run: "unknown.Context", x: int) -> None: ...  # type: ignore[name-defined]  # noqa: F821

    @aiq.task
    async def four(context: str) -> None: ...

    assert [two.takes_context, three.takes_context, four.takes_context] == [True, True, False]
    # `Run` is local to this test, so its text means nothing outside: it counts as an argument.
    assert not one.takes_context


def yields(x: int) -> Iterator[int]:
    yield x


async def yields_async(x: int) -> AsyncIterator[int]:
    yield x


def takes_context(ctx: aiq.Context) -> None: ...


async def runs_on_the_loop() -> None: ...


def local() -> Callable[[], None]:
    def hidden() -> None: ...

    return hidden


class Callme:
    def __call__(self) -> None: ...


@pytest.mark.parametrize(
    ("function", "options", "message"),
    [
        (yields, {}, r"yields\. A task returns its result"),
        (yields_async, {}, r"yields\. A task returns its result"),
        (takes_context, {}, r"Make it `async def`"),
        (runs_on_the_loop, {"kind": "thread"}, r'kind="thread" needs a `def`'),
        (local(), {"kind": "async"}, r"Leave `kind` out"),
        (local(), {"kind": "process"}, r"Move it out"),
        (len, {}, r"decorate a function"),
        (Callme(), {}, r"decorate a function"),
        (functools.partial(local), {}, r"decorate a function"),
        (local(), {"name": "two words"}, r"'two words' is not a name for a task"),
        (lambda: None, {}, r"'<lambda>' is not a name for a task"),
        (local(), {"queue": ""}, r"'' is not a name for a queue"),
        (local(), {"lease": 0}, r"lease is 0 s; it must be from 0\.01 s to 86,400 s"),
        (local(), {"lease": -1}, r"lease is -1 s"),
        (local(), {"timeout": 0}, r"timeout is 0 s"),
        (local(), {"max_stalls": 0}, r"max_stalls is 0"),
        (local(), {"max_stalls": "3"}, r"max_stalls is '3'; pass a whole number"),
        (local(), {"lease": "30"}, r"lease is '30'; pass seconds as a number"),
        (local(), {"timeout": "30"}, r"timeout is '30'; pass seconds as a number"),
        (local(), {"retry": 3}, r"retry is 3; pass a policy, for instance aiq\.Retry\(attempts=3\)"),
        (local(), {"retry": None}, r"retry is None; pass a policy"),
        (local(), {"name": 7}, r"7 is not a name for a task"),
        (local(), {"queue": 7}, r"7 is not a name for a queue"),
        (local(), {"kind": "proces"}, r"kind is 'proces'; the kinds are async, thread, process"),
        (local(), {"band": "urgent"}, r"the bands are interactive, high, normal, batch"),
        (local(), {"budget": 1}, r"There is no option 'budget' of a task\. There are: name, queue"),
    ],
)
def test_what_cannot_be_a_task_is_refused_where_it_is_decorated(
    function: Callable[..., object], options: dict[str, Any], message: str
) -> None:
    with pytest.raises(aiq.InvalidInput, match=message):
        aiq.task(**options)(function)


def test_a_result_is_checked_against_the_return_annotation_on_its_way_in_and_out() -> None:
    assert render.decode_result(render.encode_result("text")) == "text"
    with pytest.raises(aiq.ResultInvalid, match=r'Task "reports\.render" returned .* Expected `str`, got `int`'):
        render.encode_result(3)
    with pytest.raises(aiq.ResultInvalid, match="Expected `str`, got `int`"):
        render.decode_result(b"3")


def test_a_result_that_has_no_form_in_json_is_refused_with_its_place() -> None:
    @aiq.task
    def loose() -> dict[str, object]:
        return {}

    with pytest.raises(aiq.ResultInvalid, match=r"got `object` - at `\$\.found\[1\]`"):
        loose.encode_result({"found": [1, object()]})


def test_arguments_that_do_not_fit_are_refused_where_the_job_is_made() -> None:
    with pytest.raises(aiq.PayloadInvalid, match=r'Task "research", argument topic: Expected `str`, got `int`'):
        research.job(3)  # type: ignore[arg-type]
    with pytest.raises(aiq.PayloadInvalid, match="got an unexpected keyword argument 'queue'"):
        research.job("x", queue="slow")  # type: ignore[call-arg]
