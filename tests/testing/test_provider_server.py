"""The provider simulator as a server: its thread, its port, its end, and as a process of its own."""

import asyncio
import json
import socket
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import openai
import pytest

from aiq.testing.provider import Outcome, Provider, read_ledger
from tests.testing.asking import FAR, ask, client_at, client_of, drain, stream


async def test_it_answers_while_the_loop_of_its_owner_is_blocked(provider: Provider) -> None:
    # This blocks the loop that the provider was entered in; served by that loop it would wait for ever.
    with urllib.request.urlopen(f"{provider.base_url}/models", timeout=30) as answer:  # noqa: ASYNC210 (on purpose)
        assert answer.status == 200


async def test_it_listens_on_loopback_only(provider: Provider) -> None:
    port = int(provider.url.rpartition(":")[2])

    # The whole of 127.0.0.0/8 is this machine; a server on every address would answer at each of them.
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.2", port), timeout=5)


async def test_stopping_ends_the_calls_under_way_and_leaves_nothing_behind() -> None:
    async with Provider(latency_first_token=0, latency_per_token=FAR) as provider:
        client = client_of(provider)
        answer = await stream(client)

    with pytest.raises(openai.APIConnectionError):
        await drain([], answer)
    await client.close()
    assert [entry.outcome for entry in provider.ledger.entries()] == [Outcome.STOPPED]
    assert "aiq-provider" not in {thread.name for thread in threading.enumerate()}


async def test_stopping_does_not_wait_for_an_answer_that_has_not_begun() -> None:
    async with Provider(latency_first_token=FAR) as provider:
        client = client_of(provider)
        call = asyncio.create_task(ask(client))
        await provider.ledger.until(lambda entries: len(entries) == 1)

    with pytest.raises(openai.APIError):
        await call
    await client.close()
    assert [(entry.outcome, entry.status) for entry in provider.ledger.entries()] == [(Outcome.STOPPED, None)]


def test_it_can_be_entered_without_a_loop() -> None:
    with Provider() as provider, urllib.request.urlopen(f"{provider.base_url}/models", timeout=30) as answer:
        assert answer.status == 200


async def test_a_port_that_is_taken_is_an_error_on_entry(provider: Provider) -> None:
    with pytest.raises(OSError, match="in use"):
        async with Provider(port=int(provider.url.rpartition(":")[2])):
            pass


async def test_a_provider_comes_back_on_the_same_port() -> None:
    async with Provider() as first:
        client = client_of(first)
        await ask(client)
        port = int(first.url.rpartition(":")[2])

    # The first one closed a connection from its side, and so the system still remembers its port.
    async with client, Provider(port=port):
        assert await ask(client)


@contextmanager
def process(*options: str) -> Iterator[tuple[subprocess.Popen[str], dict[str, Any]]]:
    command = [sys.executable, "-m", "aiq.testing.provider", *options]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as running:
        try:
            assert running.stdout is not None
            yield running, json.loads(running.stdout.readline())
        finally:
            running.kill()


async def test_as_a_process_it_says_where_it_is_and_ends_cleanly_when_told(tmp_path: Path) -> None:
    file = tmp_path / "ledger.jsonl"
    with process("--ledger", str(file), "--latency-per-token", "0") as (running, ready):
        async with client_at(ready["base_url"]) as client:
            answer = await ask(client)
        running.terminate()
        _, complaints = running.communicate(timeout=30)

    assert (running.returncode, complaints, ready["pid"]) == (0, "", running.pid)
    assert [(entry.id, entry.outcome) for entry in read_ledger(file)] == [(answer.id, Outcome.ANSWERED)]


async def test_the_ledger_of_a_killed_process_knows_what_was_under_way(tmp_path: Path) -> None:
    file = tmp_path / "ledger.jsonl"
    with process("--ledger", str(file), "--latency-per-token", str(FAR)) as (running, ready):
        async with client_at(ready["base_url"]) as client:
            answer = await stream(client)
            assert await anext(answer)
            running.kill()
            running.wait(timeout=30)
            await answer.close()

    assert [entry.outcome for entry in read_ledger(file)] == [Outcome.RUNNING]


async def test_a_process_that_cannot_start_says_why(provider: Provider) -> None:
    port = provider.url.rpartition(":")[2]
    command = [sys.executable, "-m", "aiq.testing.provider", "--port", port]

    ended = await asyncio.to_thread(subprocess.run, command, capture_output=True, text=True, timeout=30)

    assert ended.returncode == 1
    assert "in use" in ended.stderr
