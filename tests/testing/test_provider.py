"""The provider simulator's answers, streamed and whole, and what it refuses to answer."""

import time
from typing import Any

import openai
import pytest

from aiq.testing.provider import Provider
from aiq.testing.provider.calls import MAX_REQUEST_BYTES
from aiq.testing.provider.text import count_tokens
from tests.testing.asking import ASK, OTTERS, ask, client_of, stream, text_of


async def test_an_answer_is_made_of_sentences_of_the_document(client: openai.AsyncOpenAI) -> None:
    answer = await ask(client, max_tokens=30)

    text = answer.choices[0].message.content
    assert text
    assert all(f"{sentence}." in OTTERS for sentence in text.removesuffix(".").split(". "))
    assert "Otters" in text


async def test_the_same_prompt_is_answered_the_same_every_time(client: openai.AsyncOpenAI) -> None:
    first, second = await ask(client), await ask(client)

    assert first.choices == second.choices
    assert first.id != second.id


async def test_usage_counts_the_tokens_of_the_texts(client: openai.AsyncOpenAI) -> None:
    messages = [{"role": "system", "content": "Be brief."}, *ASK]

    answer = await ask(client, messages)

    assert answer.usage is not None
    assert answer.usage.prompt_tokens == count_tokens("Be brief.") + count_tokens(ASK[0]["content"])
    assert answer.usage.completion_tokens == count_tokens(answer.choices[0].message.content or "")
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + answer.usage.completion_tokens


@pytest.mark.parametrize("option", ["max_tokens", "max_completion_tokens"])
async def test_a_limit_on_tokens_is_kept_and_named_as_the_reason(client: openai.AsyncOpenAI, option: str) -> None:
    answer = await ask(client, **{option: 15})

    assert answer.usage is not None
    assert 0 < answer.usage.completion_tokens <= 15
    assert answer.choices[0].finish_reason == "length"


async def test_the_last_user_message_is_the_one_that_is_answered(client: openai.AsyncOpenAI) -> None:
    earlier = "Volcanoes erupt where volcanoes have grown on volcanic ground. " * 20
    messages = [
        {"role": "system", "content": earlier},
        {"role": "user", "content": earlier},
        {"role": "assistant", "content": earlier},
        {"role": "user", "content": [{"type": "text", "text": OTTERS}]},
    ]

    answer = await ask(client, messages)

    assert "Otters" in (answer.choices[0].message.content or "")
    assert "olcan" not in (answer.choices[0].message.content or "")


async def test_models_are_listed(client: openai.AsyncOpenAI) -> None:
    assert [model.id async for model in client.models.list()] == ["simulated"]


async def test_a_stream_is_the_same_answer_token_by_token(client: openai.AsyncOpenAI) -> None:
    whole = await ask(client)

    chunks = [chunk async for chunk in await stream(client)]

    assert text_of(chunks) == whole.choices[0].message.content
    assert chunks[0].choices[0].delta.role == "assistant"
    assert whole.usage is not None
    assert len(chunks) == 1 + whole.usage.completion_tokens + 1
    assert [chunk.choices[0].finish_reason for chunk in chunks if chunk.choices[0].finish_reason] == ["stop"]


async def test_a_stream_that_is_asked_for_usage_ends_with_it(client: openai.AsyncOpenAI) -> None:
    whole = await ask(client)

    *chunks, last = [chunk async for chunk in await stream(client, stream_options={"include_usage": True})]

    assert last.choices == []
    assert last.usage == whole.usage
    assert all(chunk.usage is None for chunk in chunks)


async def test_a_stream_that_is_not_asked_for_usage_has_none(client: openai.AsyncOpenAI) -> None:
    assert all([chunk.usage is None and chunk.choices async for chunk in await stream(client)])


async def test_tokens_come_no_faster_than_they_are_made() -> None:
    async with Provider(latency_first_token=0.05, latency_per_token=0.004) as provider, client_of(provider) as client:
        began = time.monotonic()
        chunks = [chunk async for chunk in await stream(client, max_tokens=20)]
        elapsed = time.monotonic() - began

    assert elapsed >= 0.05 + 0.004 * (count_tokens(text_of(chunks)) - 1)


async def test_a_whole_answer_takes_as_long_as_its_stream_would() -> None:
    async with Provider(latency_first_token=0.05, latency_per_token=0.004) as provider, client_of(provider) as client:
        began = time.monotonic()
        answer = await ask(client, max_tokens=20)
        elapsed = time.monotonic() - began

    assert answer.usage is not None
    assert elapsed >= 0.05 + 0.004 * (answer.usage.completion_tokens - 1)


@pytest.mark.parametrize(
    ("options", "where"),
    [
        ({"n": 2}, "$.n"),
        ({"max_tokens": 0}, "$.max_tokens"),
        ({"stop": ["."]}, "$.stop"),
        ({"messages": []}, "$.messages"),
        ({"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "x"}}]}]}, "type"),
        ({"messages": [{"role": "system", "content": "Be brief."}]}, "user"),
    ],
)
async def test_what_is_not_simulated_is_refused_by_name(
    provider: Provider, client: openai.AsyncOpenAI, options: dict[str, Any], where: str
) -> None:
    with pytest.raises(openai.BadRequestError) as refused:
        await ask(client, **options)

    assert where in refused.value.message
    assert provider.ledger.entries() == ()


async def test_a_request_over_the_limit_is_refused(client: openai.AsyncOpenAI) -> None:
    with pytest.raises(openai.APIStatusError) as refused:
        await ask(client, [{"role": "user", "content": "x" * MAX_REQUEST_BYTES}])

    assert refused.value.status_code == 413
