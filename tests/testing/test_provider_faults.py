"""The provider simulator's faults, injected from Python and over HTTP."""

import json
import logging
import time
from typing import Any

import openai
import pytest
from openai.types.chat import ChatCompletionChunk

from aiq.testing.provider import Fault, FaultKind, Outcome, Provider
from aiq.testing.provider.faults import MAX_FAULTS
from aiq.testing.provider.text import count_tokens
from tests.testing.asking import FAR, ask, client_of, control, drain, stream, text_of


@pytest.mark.parametrize(("kind", "status"), [(FaultKind.SERVER_ERROR, 500), (FaultKind.OVERLOADED, 529)])
@pytest.mark.parametrize("call", [ask, stream])
async def test_an_injected_error_has_its_status_and_happens_as_often_as_it_was_told(
    provider: Provider, client: openai.AsyncOpenAI, call: Any, kind: FaultKind, status: int
) -> None:
    provider.faults.add(Fault(kind=kind, times=2))

    for _ in range(2):
        with pytest.raises(openai.InternalServerError) as failed:
            await call(client)
        assert failed.value.status_code == status
    assert await ask(client)

    *failures, _ = provider.ledger.entries()
    assert [(entry.outcome, entry.status, entry.fault, entry.tokens_out) for entry in failures] == [
        (Outcome.FAILED, status, kind, 0)
    ] * 2


async def test_the_client_gets_over_an_error_by_its_own_retries(provider: Provider) -> None:
    provider.faults.add(Fault(kind=FaultKind.OVERLOADED))

    async with client_of(provider).with_options(max_retries=1) as patient:
        assert await ask(patient)

    assert [entry.status for entry in provider.ledger.entries()] == [529, 200]


async def test_a_fault_waits_for_the_prompt_that_it_matches(provider: Provider, client: openai.AsyncOpenAI) -> None:
    provider.faults.add(Fault(kind=FaultKind.SERVER_ERROR, match="the densest of all"))

    assert await ask(client, [{"role": "user", "content": "Rivers carry water to the sea."}])
    with pytest.raises(openai.InternalServerError):
        await ask(client)

    assert provider.faults.pending() == ()


@pytest.mark.parametrize("after_tokens", [0, 1, 4])
async def test_a_cut_stream_breaks_off_after_so_many_tokens(
    provider: Provider, client: openai.AsyncOpenAI, after_tokens: int
) -> None:
    provider.faults.add(Fault(kind=FaultKind.CUT, after_tokens=after_tokens))
    chunks: list[ChatCompletionChunk] = []

    with pytest.raises(openai.APIConnectionError):
        await drain(chunks, await stream(client))

    assert count_tokens(text_of(chunks)) == after_tokens
    (entry,) = provider.ledger.entries()
    assert (entry.outcome, entry.tokens_out) == (Outcome.CUT, after_tokens)


async def test_a_cut_stream_never_has_its_end(provider: Provider, client: openai.AsyncOpenAI) -> None:
    provider.faults.add(Fault(kind=FaultKind.CUT, after_tokens=1_000))

    with pytest.raises(openai.APIConnectionError):
        assert all([chunk.choices[0].finish_reason is None async for chunk in await stream(client)])


async def test_a_cut_answer_is_a_broken_connection(provider: Provider, client: openai.AsyncOpenAI) -> None:
    provider.faults.add(Fault(kind=FaultKind.CUT))

    with pytest.raises(openai.APIConnectionError):
        await ask(client)


async def test_a_cut_on_purpose_is_not_logged_as_an_error(
    provider: Provider, client: openai.AsyncOpenAI, caplog: pytest.LogCaptureFixture
) -> None:
    provider.faults.add(Fault(kind=FaultKind.CUT))

    with caplog.at_level(logging.ERROR), pytest.raises(openai.APIConnectionError):
        await ask(client)

    assert caplog.records == []


async def test_malformed_json_reaches_the_client_as_such(provider: Provider, client: openai.AsyncOpenAI) -> None:
    provider.faults.add(Fault(kind=FaultKind.MALFORMED))

    with pytest.raises((ValueError, openai.APIError)):
        await ask(client)

    (entry,) = provider.ledger.entries()
    assert (entry.outcome, entry.status) == (Outcome.FAILED, 200)
    assert entry.tokens_out > 0


async def test_a_malformed_event_comes_in_the_middle_of_the_stream(
    provider: Provider, client: openai.AsyncOpenAI
) -> None:
    provider.faults.add(Fault(kind=FaultKind.MALFORMED))
    chunks: list[ChatCompletionChunk] = []

    with pytest.raises((ValueError, openai.APIError)):
        await drain(chunks, await stream(client))

    (entry,) = provider.ledger.entries()
    assert 0 < count_tokens(text_of(chunks)) == entry.tokens_out


async def test_a_slow_first_byte_keeps_the_client_waiting(provider: Provider, client: openai.AsyncOpenAI) -> None:
    provider.faults.add(Fault(kind=FaultKind.SLOW, delay=FAR))

    with pytest.raises(openai.APITimeoutError):
        await ask(client.with_options(timeout=0.2))

    (entry,) = await provider.ledger.until(lambda entries: entries[0].client_gone)
    assert (entry.status, entry.tokens_out) == (None, 0)


async def test_a_slow_answer_still_comes(provider: Provider, client: openai.AsyncOpenAI) -> None:
    provider.faults.add(Fault(kind=FaultKind.SLOW, delay=0.05))

    began = time.monotonic()
    answer = await ask(client)

    assert time.monotonic() - began >= 0.05
    assert answer.choices[0].finish_reason == "stop"


async def test_faults_are_injected_over_http(provider: Provider, client: openai.AsyncOpenAI) -> None:
    faults = b'[{"kind": "overloaded", "times": 2, "match": "otters"}, {"kind": "cut", "after_tokens": 1}]'

    status, answer = await control(provider, "/control/faults", method="POST", body=faults)

    assert (status, len(answer["pending"])) == (200, 2)
    assert provider.faults.pending() == (
        Fault(kind=FaultKind.OVERLOADED, times=2, match="otters"),
        Fault(kind=FaultKind.CUT, after_tokens=1),
    )
    with pytest.raises(openai.InternalServerError):
        await ask(client)


async def test_faults_are_listed_and_cleared_over_http(provider: Provider) -> None:
    provider.faults.add(Fault(kind=FaultKind.CUT, times=7))

    _, listed = await control(provider, "/control/faults")
    _, cleared = await control(provider, "/control/faults", method="DELETE")

    assert [fault["times"] for fault in listed["pending"]] == [7]
    assert cleared == {"pending": []}
    assert provider.faults.pending() == ()


@pytest.mark.parametrize(
    "body",
    [
        b"{",
        b'[{"kind": "earthquake"}]',
        b'[{"kind": "cut", "times": 0}]',
        b'[{"kind": "cut"}, {"kind": "slow", "delay": -1}]',
        json.dumps([{"kind": "cut"}] * (MAX_FAULTS + 1)).encode(),
    ],
    ids=["no JSON", "no kind", "no times", "one of two", "too many"],
)
async def test_faults_that_make_no_sense_are_refused_whole(provider: Provider, body: bytes) -> None:
    status, answer = await control(provider, "/control/faults", method="POST", body=body)

    assert status == 400
    assert "faults" in answer["error"]["message"]
    assert provider.faults.pending() == ()


async def test_the_ledger_is_read_over_http_page_by_page(provider: Provider, client: openai.AsyncOpenAI) -> None:
    for _ in range(3):
        await ask(client)

    _, first = await control(provider, "/control/ledger?limit=2")
    _, rest = await control(provider, "/control/ledger?after=2")

    assert [entry["number"] for entry in first["entries"]] == [1, 2]
    assert [entry["number"] for entry in rest["entries"]] == [3]
    assert rest["entries"][0]["outcome"] == "answered"


async def test_a_page_that_is_no_number_is_refused(provider: Provider) -> None:
    status, _ = await control(provider, "/control/ledger?after=-1")

    assert status == 400
