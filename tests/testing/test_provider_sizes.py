"""Sizes without their weight: what the extension `aiq_simulate` of a request changes, and what not."""

import json
import time
from typing import Any

import openai
import pytest
from openai.types.chat import ChatCompletion

from aiq.testing.provider import Provider
from aiq.testing.provider.answers import Pace, write_script
from aiq.testing.provider.calls import BadRequest, Call, parse
from tests.testing.asking import ask, client_of, stream

ONE = [{"role": "user", "content": "x"}]


async def simulate(client: openai.AsyncOpenAI, size: dict[str, Any], **options: Any) -> ChatCompletion:
    return await ask(client, ONE, extra_body={"aiq_simulate": size}, **options)


def asked(size: dict[str, Any], **options: Any) -> Call:
    return parse(json.dumps({"model": "m", "messages": ONE, "aiq_simulate": size, **options}).encode())


async def test_usage_and_ledger_have_the_simulated_sizes_and_the_text_stays_short(
    provider: Provider, client: openai.AsyncOpenAI
) -> None:
    answer = await simulate(client, {"input": 95_000, "output": 800})

    assert answer.usage is not None
    assert (answer.usage.prompt_tokens, answer.usage.completion_tokens) == (95_000, 800)
    assert answer.usage.total_tokens == 95_800
    assert 0 < len(answer.choices[0].message.content or "") < 100
    (entry,) = provider.ledger.entries()
    assert (entry.tokens_in, entry.tokens_out) == (95_000, 800)


async def test_a_stream_has_them_too(client: openai.AsyncOpenAI) -> None:
    size = {"aiq_simulate": {"input": 5_000, "output": 300}}

    chunks = [c async for c in await stream(client, stream_options={"include_usage": True}, extra_body=size)]

    assert chunks[-1].usage is not None
    assert (chunks[-1].usage.prompt_tokens, chunks[-1].usage.completion_tokens) == (5_000, 300)


async def test_a_limit_on_tokens_cuts_a_simulated_answer_as_any_other(client: openai.AsyncOpenAI) -> None:
    answer = await simulate(client, {"output": 800}, max_tokens=500)

    assert answer.usage is not None
    assert (answer.usage.completion_tokens, answer.choices[0].finish_reason) == (500, "length")


async def test_a_size_that_is_left_out_is_that_of_the_text(client: openai.AsyncOpenAI) -> None:
    usual, simulated = await ask(client), await ask(client, extra_body={"aiq_simulate": {"input": 7}})

    assert usual.usage is not None
    assert simulated.usage is not None
    assert simulated.choices == usual.choices
    assert (simulated.usage.prompt_tokens, simulated.usage.completion_tokens) == (7, usual.usage.completion_tokens)


@pytest.mark.parametrize("streamed", [False, True])
def test_an_answer_is_due_when_prompt_and_answer_would_have_been_read_and_made(streamed: bool) -> None:
    pace = Pace(first_token=0.4, per_token=0.0125, per_input_token=0.00004)

    script = write_script(asked({"input": 25_000, "output": 81}, stream=streamed), None, pace, created=0)

    assert script.frames[-1].due == pytest.approx(0.4 + 1.0 + 80 * 0.0125)


def test_a_request_may_bring_its_own_latencies() -> None:
    size = {"input": 100, "output": 11, "latency_first_token": 1.0, "latency_per_input_token": 0.02}

    script = write_script(asked({**size, "latency_per_token": 0.3}), None, Pace(0.4, 0.1), created=0)

    assert script.frames[-1].due == pytest.approx(1.0 + 2.0 + 10 * 0.3)


async def test_a_long_prompt_keeps_its_client_waiting() -> None:
    latencies = {"latency_first_token": 0.0, "latency_per_token": 0.0, "latency_per_input_token": 0.000_01}
    async with Provider(**latencies) as provider, client_of(provider) as client:
        began = time.monotonic()
        await simulate(client, {"input": 5_000, "output": 10})

    assert time.monotonic() - began >= 0.05


@pytest.mark.parametrize("wrong", [{"input": -1}, {"output": 0}, {"latency_per_token": -0.1}, {"outputs": 5}])
def test_a_size_that_makes_no_sense_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(BadRequest, match="aiq_simulate"):
        asked(wrong)
