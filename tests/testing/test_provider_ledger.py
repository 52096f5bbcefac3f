"""The provider simulator's ledger: the truth about every call."""

import asyncio
import json
import time
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import msgspec
import openai
import pytest

from aiq.testing.provider import Outcome, Provider, prompt_digest, read_ledger
from aiq.testing.provider.calls import parse
from aiq.testing.provider.ledger import Ledger
from tests.testing.asking import ASK, FAR, ask, client_of, stream

CALL = parse(json.dumps({"model": "simulated", "messages": ASK}).encode())


async def test_each_call_is_in_the_ledger_when_its_client_has_the_answer(
    provider: Provider, client: openai.AsyncOpenAI
) -> None:
    before_ms = time.time_ns() // 1_000_000
    answer = await ask(client, extra_headers={"Idempotency-Key": "job-7"})
    after_ms = time.time_ns() // 1_000_000

    (entry,) = provider.ledger.entries()
    assert answer.usage is not None
    assert (entry.number, entry.id, entry.model, entry.stream) == (1, answer.id, "simulated", False)
    assert (entry.tokens_in, entry.tokens_out) == (answer.usage.prompt_tokens, answer.usage.completion_tokens)
    assert (entry.status, entry.outcome, entry.client_gone) == (200, Outcome.ANSWERED, False)
    assert (entry.idempotency_key, entry.fault) == ("job-7", None)
    assert entry.finished_at_ms is not None
    assert before_ms <= entry.started_at_ms <= entry.finished_at_ms <= after_ms


async def test_a_finished_stream_is_in_the_ledger_at_once(provider: Provider, client: openai.AsyncOpenAI) -> None:
    async for chunk in await stream(client):
        if chunk.choices[0].finish_reason:
            break

    assert [entry.outcome for entry in provider.ledger.entries()] == [Outcome.ANSWERED]


async def test_equal_prompts_have_equal_digests_and_others_do_not(
    provider: Provider, client: openai.AsyncOpenAI
) -> None:
    await ask(client)
    await ask(client, max_tokens=10)
    await ask(client, [*ASK, *ASK])

    first, second, third = (entry.prompt_digest for entry in provider.ledger.entries())
    assert first == second == prompt_digest([("user", ASK[0]["content"])])
    assert third != first


async def test_a_client_that_leaves_its_stream_is_noticed() -> None:
    async with Provider(latency_first_token=0, latency_per_token=FAR) as provider, client_of(provider) as client:
        answer = await stream(client)
        assert await anext(answer)
        (running,) = provider.ledger.entries()
        await answer.close()

        (entry,) = await provider.ledger.until(lambda entries: entries[0].client_gone)

    assert (running.outcome, running.finished_at_ms) == (Outcome.RUNNING, None)
    assert (entry.status, entry.tokens_out) == (200, 1)


async def test_a_cancelled_call_is_noticed() -> None:
    async with Provider(latency_first_token=FAR) as provider, client_of(provider) as client:
        call = asyncio.create_task(ask(client))
        await provider.ledger.until(lambda entries: len(entries) == 1)
        call.cancel()

        (entry,) = await provider.ledger.until(lambda entries: entries[0].client_gone)

    assert entry.status is None


async def test_waiting_for_what_does_not_come_ends() -> None:
    with pytest.raises(TimeoutError):
        await Ledger().until(bool, timeout=0.01)


def test_memory_keeps_the_newest_entries_and_counts_the_others() -> None:
    ledger = Ledger(max_entries=2)

    for number in range(3):
        entry = ledger.start(replace(CALL, id=f"call-{number}"), None)
        ledger.finish(entry, Outcome.ANSWERED, tokens_out=1, status=200)

    assert [entry.number for entry in ledger.entries()] == [2, 3]
    assert [entry.number for entry in ledger.entries(after=2)] == [3]
    assert ledger.dropped == 1


async def test_the_ledger_file_has_each_call_as_it_was_last_known(tmp_path: Path) -> None:
    file = tmp_path / "ledger.jsonl"
    async with Provider(latency_first_token=0, ledger_file=file) as provider, client_of(provider) as client:
        await ask(client)

        assert read_ledger(file) == provider.ledger.entries()
        assert len(file.read_text().splitlines()) == 2


def test_a_line_that_a_kill_cut_short_is_passed_over(tmp_path: Path) -> None:
    file = tmp_path / "ledger.jsonl"
    file.write_bytes(b'{"number": 1, "id": "chatc')

    with closing(Ledger(file)) as ledger:
        entry = ledger.start(CALL, None)

    assert read_ledger(file) == (entry,)


def test_a_file_that_is_no_ledger_is_an_error(tmp_path: Path) -> None:
    file = tmp_path / "ledger.jsonl"
    file.write_text('{"job": 1}\n')

    with pytest.raises(msgspec.ValidationError):
        read_ledger(file)
