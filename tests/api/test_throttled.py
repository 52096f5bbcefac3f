"""A job whose provider says no, in the words of a provider that is really there."""

import openai
import pytest

import aiq
from aiq.testing.provider import Provider, RateLimit
from tests.testing.asking import client_of

GPT = aiq.Limit("gpt", tokens=6_000, burst=60)


def noon() -> int:
    """A clock that stands still."""
    return 0


async def sent(client: openai.AsyncOpenAI, tokens: int) -> None:
    size = {"aiq_simulate": {"input": tokens, "output": 10}}
    await client.chat.completions.create(
        model="m", messages=[{"role": "user", "content": "x"}], max_tokens=10, extra_body=size
    )


@pytest.mark.parametrize("by_hand", [False, True])
async def test_a_refusal_that_says_only_when_a_limit_is_full_pauses_it_until_there_is_room(by_hand: bool) -> None:
    told: list[float | None] = []

    @aiq.task(limits=[GPT])
    async def asks(ctx: aiq.Context) -> None:
        try:
            async with ctx.call(input=150, max_output=0) as call:
                try:
                    await sent(client, 150)
                except openai.RateLimitError as error:
                    raise (call.throttled(error=error) if by_hand else error) from error
        except aiq.RateLimited as error:
            told.append(error.retry_after)

    @asks.estimate
    def _() -> aiq.Estimate:
        return aiq.Estimate(input=150, max_output=0)

    limit = RateLimit(requests=10, tokens=6_000, style="openai", retry_header=False)
    async with (
        Provider(limits=[limit], latency_first_token=0, latency_per_token=0, clock=noon) as provider,
        client_of(provider) as client,
        aiq.Queue("memory://") as queue,
    ):
        await sent(client, 5_990)
        await queue.enqueue(asks.job())
        await aiq.Worker(queue, tasks=[asks]).run_until_idle()
        (report,) = await queue.admin.limits("gpt")

    # A minute fills the provider's bucket, and a fortieth of it lets the call in.
    assert told == [1.5]
    assert 0 <= report.frozen <= 1.5
    assert report.tokens_left is not None
    assert report.tokens_left <= 150
