from collections.abc import AsyncIterator

import pytest

from aiq.testing.provider import Outcome, Provider, RateLimit
from benchmarks.ratelimit.client import Client
from benchmarks.ratelimit.traces import Call

CALL = Call(95_000, 8, 1_000)
ONE_A_MINUTE = RateLimit(requests=1, burst=60.0, exact_retry=True)


@pytest.fixture
async def provider() -> AsyncIterator[Provider]:
    async with Provider(latency_first_token=0, latency_per_token=0) as running:
        yield running


@pytest.fixture
def client(provider: Provider) -> Client:
    return Client(provider.base_url)


async def test_a_call_uses_the_sizes_of_the_trace(client: Client) -> None:
    answer = await client.complete("large-0", 0, CALL)

    assert (answer.usage.prompt_tokens, answer.usage.completion_tokens) == (95_000, 8)
    client.close()


async def test_the_ledger_of_the_provider_knows_whose_call_it_was(client: Client, provider: Provider) -> None:
    await client.complete("large-0", 3, CALL)

    assert [entry.idempotency_key for entry in provider.ledger.entries()] == ["large-0/3"]
    client.close()


async def test_a_refused_call_says_when_to_come_back(client: Client, provider: Provider) -> None:
    provider.limits.set([ONE_A_MINUTE])
    await client.complete("large-0", 0, CALL)

    refused = await client.complete("large-1", 0, CALL)

    assert refused.throttled
    assert refused.retry_after_s is not None
    assert 0 < refused.retry_after_s <= 60
    assert provider.ledger.entries()[-1].outcome is Outcome.REJECTED
    client.close()


async def test_an_answer_that_is_neither_yes_nor_no_ends_the_benchmark(client: Client) -> None:
    with pytest.raises(RuntimeError, match="400"):
        await client.complete("large-0", 0, Call(95_000, 8, 0))
    client.close()


async def test_calls_one_after_the_other_share_a_connection(client: Client) -> None:
    for number in range(5):
        await client.complete("agent-0", number, CALL)

    assert len(client._idle) == 1
    client.close()
