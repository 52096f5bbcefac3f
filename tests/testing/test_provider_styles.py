"""How the provider simulator says over HTTP that a limit is reached, in the words of each provider."""

import json
from collections.abc import AsyncIterator
from datetime import datetime
from typing import Any, cast

import openai
import pytest

from aiq.testing.provider import Fault, FaultKind, Outcome, Provider, RateLimit
from aiq.testing.provider.styles import Refusal, Standing, Style, refusal_body, retry_headers, standing_headers
from tests.testing.asking import ask, client_of

STYLES: tuple[Style, ...] = ("openai", "anthropic", "azure", "gemini")
MINUTE_NS = 60_000_000_000


class HandClock:
    ns = 0

    def __call__(self) -> int:
        return self.ns


@pytest.fixture
async def provider() -> AsyncIterator[Provider]:
    """A provider whose buckets do not refill: the time that they go by stands still."""
    async with Provider(latency_first_token=0, latency_per_token=0, clock=HandClock()) as made:
        yield made


def limited(provider: Provider, style: Style, **options: Any) -> None:
    provider.limits.set([RateLimit(requests=10, tokens=6_000, style=style, **options)])


async def simulate(client: openai.AsyncOpenAI, tokens_in: int, **options: Any) -> Any:
    """Make a call of so many tokens; answers with the headers and the completion."""
    size = {"aiq_simulate": {"input": tokens_in, "output": 10}}
    return await client.chat.completions.with_raw_response.create(
        model="simulated", messages=[{"role": "user", "content": "x"}], extra_body=size, **options
    )


async def refused(client: openai.AsyncOpenAI, tokens_in: int) -> tuple[dict[str, str], dict[str, Any]]:
    """Make a call that is answered with 429; answers with the headers and the whole body."""
    with pytest.raises(openai.RateLimitError) as error:
        await simulate(client, tokens_in)
    response = error.value.response
    return dict(response.headers), cast(dict[str, Any], json.loads(response.content))


async def test_openai_says_it_in_a_code_and_in_durations(provider: Provider, client: openai.AsyncOpenAI) -> None:
    limited(provider, "openai")
    await simulate(client, 5_990)

    headers, body = await refused(client, 150)

    assert body["error"]["code"] == "rate_limit_exceeded"
    assert body["error"]["type"] == "tokens"
    assert (headers["retry-after"], headers["retry-after-ms"]) == ("2", "1500")
    assert (headers["x-ratelimit-limit-tokens"], headers["x-ratelimit-remaining-tokens"]) == ("6000", "0")
    assert headers["x-ratelimit-reset-tokens"] == "1m0s"
    # A refused call costs a request here.
    assert (headers["x-ratelimit-limit-requests"], headers["x-ratelimit-remaining-requests"]) == ("10", "8")
    assert headers["x-ratelimit-reset-requests"] == "12s"


async def test_one_that_speaks_like_openai_may_say_only_how_its_buckets_stand(
    provider: Provider, client: openai.AsyncOpenAI
) -> None:
    limited(provider, "openai", retry_header=False)
    await simulate(client, 5_990)

    headers, _ = await refused(client, 150)

    assert not [name for name in headers if name.startswith("retry")]
    assert (headers["x-ratelimit-remaining-tokens"], headers["x-ratelimit-reset-tokens"]) == ("0", "1m0s")


def test_an_exact_time_cannot_be_told_without_a_header() -> None:
    with pytest.raises(ValueError, match="exact_retry"):
        RateLimit(tokens=1, exact_retry=True, retry_header=False)


async def test_anthropic_says_it_in_whole_seconds_and_instants(provider: Provider, client: openai.AsyncOpenAI) -> None:
    limited(provider, "anthropic")
    await simulate(client, 5_990)

    headers, body = await refused(client, 150)

    assert (body["type"], body["error"]["type"]) == ("error", "rate_limit_error")
    assert headers["retry-after"] == "2"
    assert "retry-after-ms" not in headers
    assert headers["anthropic-ratelimit-requests-remaining"] == "9"
    assert headers["anthropic-ratelimit-tokens-limit"] == "6000"
    assert datetime.fromisoformat(headers["anthropic-ratelimit-tokens-reset"]).tzinfo


async def test_azure_says_it_in_milliseconds(provider: Provider, client: openai.AsyncOpenAI) -> None:
    limited(provider, "azure")
    await simulate(client, 5_990)

    headers, body = await refused(client, 150)

    assert (body["error"]["code"], headers["retry-after-ms"]) == ("429", "1500")
    assert "retry-after" not in headers
    assert headers["x-ratelimit-remaining-tokens"] == "0"


async def test_gemini_says_it_in_the_body_alone(provider: Provider, client: openai.AsyncOpenAI) -> None:
    limited(provider, "gemini")
    await simulate(client, 5_990)

    headers, body = await refused(client, 150)

    assert (body["error"]["code"], body["error"]["status"]) == (429, "RESOURCE_EXHAUSTED")
    assert [detail["retryDelay"] for detail in body["error"]["details"]] == ["1.500s"]
    assert not [name for name in headers if "retry" in name or "ratelimit" in name]


@pytest.mark.parametrize("style", STYLES)
async def test_any_style_tells_the_exact_wait_when_it_is_told_to(
    provider: Provider, client: openai.AsyncOpenAI, style: Style
) -> None:
    limited(provider, style, exact_retry=True)
    await simulate(client, 5_990)

    headers, _ = await refused(client, 150)

    assert headers["retry-after-ms"] == "1500"


@pytest.mark.parametrize(
    ("style", "name", "value"),
    [
        ("openai", "x-ratelimit-remaining-tokens", "3790"),
        ("anthropic", "anthropic-ratelimit-tokens-remaining", "4000"),
        ("azure", "x-ratelimit-remaining-tokens", "3790"),
        ("gemini", "x-ratelimit-remaining-tokens", None),
    ],
)
async def test_an_answer_says_what_was_left_when_the_call_was_let_in(
    provider: Provider, client: openai.AsyncOpenAI, style: Style, name: str, value: str | None
) -> None:
    limited(provider, style)

    answer = await simulate(client, 2_210)

    assert answer.headers.get(name) == value


@pytest.mark.parametrize(
    ("style", "field", "word"),
    [
        ("openai", "code", "insufficient_quota"),
        ("anthropic", "type", "rate_limit_error"),
        ("azure", "code", "insufficient_quota"),
        ("gemini", "status", "RESOURCE_EXHAUSTED"),
    ],
)
async def test_a_quota_that_is_used_up_does_not_say_when_to_come_again(
    provider: Provider, client: openai.AsyncOpenAI, style: Style, field: str, word: str
) -> None:
    limited(provider, style, exact_retry=True)
    provider.faults.add(Fault(kind=FaultKind.QUOTA))

    headers, body = await refused(client, 10)

    assert body["error"][field] == word
    assert "spend limit" in body["error"]["message"]
    assert not body["error"].get("details")
    assert not [name for name in headers if name.startswith("retry")]
    (entry,) = provider.ledger.entries()
    assert (entry.outcome, entry.status, entry.fault) == (Outcome.FAILED, 429, FaultKind.QUOTA)


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize(("kind", "status"), [(FaultKind.UNAVAILABLE, 503), (FaultKind.OVERLOADED, 529)])
async def test_an_overload_is_no_matter_of_rate(
    provider: Provider, client: openai.AsyncOpenAI, style: Style, kind: FaultKind, status: int
) -> None:
    limited(provider, style)
    provider.faults.add(Fault(kind=kind))

    with pytest.raises(openai.InternalServerError) as failed:
        await simulate(client, 10)

    assert failed.value.status_code == status
    assert "retry-after" not in failed.value.response.headers


async def test_a_refused_call_is_in_the_ledger_and_uses_up_no_fault(
    provider: Provider, client: openai.AsyncOpenAI
) -> None:
    limited(provider, "anthropic")
    await simulate(client, 5_990)
    provider.faults.add(Fault(kind=FaultKind.SERVER_ERROR))

    await refused(client, 150)

    assert len(provider.faults.pending()) == 1
    entry = provider.ledger.entries()[-1]
    assert (entry.outcome, entry.status, entry.refused_by) == (Outcome.REJECTED, 429, "tokens")
    assert (entry.tokens_in, entry.tokens_out, entry.finished_at_ms) == (150, 0, entry.started_at_ms)


async def test_what_was_reserved_and_not_used_is_back_when_the_client_has_its_answer(
    provider: Provider, client: openai.AsyncOpenAI
) -> None:
    limited(provider, "azure", charge="reserve")

    await simulate(client, 100, max_tokens=4_000)

    assert [bucket.level for bucket in provider.limits.buckets()] == [9, 6_000 - 110]


async def test_a_client_gets_over_a_limit_by_coming_again_when_it_is_told() -> None:
    # Fifty milliseconds fill the bucket, so that the real clock is as good as one turned by hand.
    limit = RateLimit(requests=1, per=0.05, burst=0.05, style="openai")
    async with (
        Provider(latency_first_token=0, latency_per_token=0, limits=[limit]) as provider,
        client_of(provider).with_options(max_retries=5) as patient,
    ):
        for _ in range(3):
            assert await ask(patient)

    totals = provider.ledger.totals()
    assert totals[Outcome.ANSWERED].calls == 3


@pytest.mark.parametrize(
    ("wait_ns", "told"),
    [
        (1, b"1ms"),
        (17_000_000, b"17ms"),
        (1_500_000_000, b"1.5s"),
        (6 * MINUTE_NS, b"6m0s"),
        (61 * MINUTE_NS, b"1h1m0s"),
    ],
)
def test_a_duration_is_written_in_the_units_that_it_has(wait_ns: int, told: bytes) -> None:
    headers = dict(standing_headers("openai", [Standing("tokens", 10, 0, wait_ns)], now_ms=0))

    assert headers[b"x-ratelimit-reset-tokens"] == told


def test_an_instant_is_written_in_utc() -> None:
    headers = dict(standing_headers("anthropic", [Standing("input_tokens", 10, 0, MINUTE_NS)], now_ms=0))

    assert headers[b"anthropic-ratelimit-input-tokens-reset"] == b"1970-01-01T00:01:00Z"


@pytest.mark.parametrize("style", STYLES)
def test_a_call_that_is_too_large_is_told_so(style: Style) -> None:
    body = refusal_body(style, Refusal("gpt", "tokens", 10, 11, None))

    assert b"too large" in body
    assert b"retryDelay" not in body
    assert retry_headers(style, None, exact=True) == []
