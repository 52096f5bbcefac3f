"""What a task says that its jobs need, asked where they are enqueued."""

from dataclasses import dataclass

import pytest

import aiq


@dataclass
class Page:
    text: str


@aiq.task
async def chat(ctx: aiq.Context, page: Page, *, depth: int = 1) -> str:
    return page.text * depth


@chat.estimate
def _(page: Page, *, depth: int = 1) -> aiq.Estimate:
    return aiq.Estimate(input=len(page.text) * depth, max_output=2_000, model="gpt")


@aiq.task
async def plain(text: str) -> str:
    return text


def test_an_estimate_is_made_of_the_arguments_as_the_handler_will_see_them() -> None:
    spec = chat.job(Page("four"), depth=3).spec(job_id="a")

    assert spec.estimate == aiq.Estimate(input=12, max_output=2_000, model="gpt")


def test_an_estimate_that_is_said_of_the_job_wins() -> None:
    spec = chat.job(Page("four")).using(estimate=aiq.Estimate(input=1)).spec(job_id="a")

    assert spec.estimate == aiq.Estimate(input=1)


def test_a_task_without_an_estimate_leaves_the_need_to_be_learned() -> None:
    assert plain.job("x").spec(job_id="a").estimate is None


def test_the_estimate_of_a_task_makes_no_other_job_of_it() -> None:
    @aiq.task(name="plain")
    async def estimated(text: str) -> str:
        return text

    @estimated.estimate
    def _(text: str) -> aiq.Estimate:
        return aiq.Estimate(input=7)

    assert estimated.job("x").spec(job_id="a").estimate == aiq.Estimate(input=7)
    assert estimated.job("x").spec(job_id="a").digest == plain.job("x").spec(job_id="a").digest


def test_a_job_that_waits_for_the_output_of_another_is_not_estimated() -> None:
    asked: list[str] = []

    @aiq.task
    async def shorten(text: str) -> str:
        return text

    @shorten.estimate
    def _(text: str) -> aiq.Estimate:
        asked.append(text)
        return aiq.Estimate()

    flow = aiq.Flow("shorten")
    flow.add(shorten.job(flow.add(plain.job("x")).output))
    specs = flow.specs("f", queue_default="default")

    assert ([spec.estimate for spec in specs], asked) == ([None, None], [])


def test_an_error_in_an_estimate_names_the_task() -> None:
    @aiq.task
    async def broken(text: str) -> None: ...

    @broken.estimate
    def _(text: str) -> aiq.Estimate:
        return aiq.Estimate(input=int(text))

    with pytest.raises(aiq.InvalidInput, match=r'The estimate of task "broken" failed: ValueError: invalid') as caught:
        broken.job("many").spec(job_id="a")
    assert isinstance(caught.value.__cause__, ValueError)


def test_an_estimate_that_is_none_is_refused() -> None:
    @aiq.task
    async def odd(text: str) -> None: ...

    @odd.estimate
    def _(text: str) -> aiq.Estimate:
        return len(text)  # type: ignore[return-value]

    with pytest.raises(aiq.InvalidInput, match=r'The estimate of task "odd" is 1; return an aiq\.Estimate\.'):
        odd.job("x").spec(job_id="a")


def test_an_estimate_is_a_plain_function() -> None:
    async def later(text: str) -> aiq.Estimate:
        return aiq.Estimate()

    for function in (later, aiq.Estimate()):
        with pytest.raises(aiq.InvalidInput, match=r'The estimate of task "plain" is .*; decorate a `def`\.'):
            plain.estimate(function)  # type: ignore[arg-type]


async def test_a_failing_estimate_stores_nothing(queue: aiq.Queue) -> None:
    @aiq.task
    async def broken(text: str) -> None: ...

    @broken.estimate
    def _(text: str) -> aiq.Estimate:
        return aiq.Estimate(input=-1)

    with pytest.raises(aiq.InvalidInput, match="broken"):
        await queue.enqueue_many([plain.job("x"), broken.job("x")])
    assert await queue.count() == {}


async def test_an_estimate_is_stored_with_the_job(queue: aiq.Queue) -> None:
    job = await queue.enqueue(chat.job(Page("four")))

    assert (await job.record()).estimate == aiq.Estimate(input=4, max_output=2_000, model="gpt")


@pytest.mark.parametrize("said", [{"max_output": 5}, {"output": 5}, {"output": 50, "max_output": 5}])
def test_no_more_may_be_of_use_than_is_asked_for(said: dict[str, int]) -> None:
    assert aiq.Estimate(**said, min_output=5).min_output == 5
    with pytest.raises(aiq.InvalidInput, match="min_output of an estimate is 6, more than the 5 that are asked for"):
        aiq.Estimate(**said, min_output=6)
