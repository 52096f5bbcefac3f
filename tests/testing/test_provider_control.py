"""The limits of the provider simulator from outside: over HTTP while it runs, and on its command line."""

import asyncio
import json
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import openai
import pytest

from aiq.testing.provider import Outcome, Provider, RateLimit, Totals
from tests.testing.asking import ask, control

LIMITS = [{"requests": 2, "tokens": 100_000, "per": 3_600, "burst": 3_600, "style": "anthropic"}]
THE_SAME = RateLimit(requests=2, tokens=100_000, per=3_600, burst=3_600, style="anthropic")


async def test_limits_are_set_and_read_over_http(provider: Provider, client: openai.AsyncOpenAI) -> None:
    status, _ = await control(provider, "/control/limits", method="POST", body=json.dumps(LIMITS).encode())
    answer = await ask(client, max_tokens=20)
    await ask(client, max_tokens=20)
    with pytest.raises(openai.RateLimitError):
        await ask(client)

    _, told = await control(provider, "/control/limits")

    assert status == 200
    assert provider.limits.limits() == (THE_SAME,)
    requests, tokens = told["buckets"]
    assert answer.usage is not None
    assert (requests["kind"], requests["level"], requests["admitted"], requests["rejected"]) == ("requests", 0, 2, 1)
    assert (tokens["kind"], tokens["rate"], tokens["capacity"]) == ("tokens", 100_000, 100_000)
    assert tokens["taken"] == 2 * answer.usage.total_tokens
    assert (told["totals"]["answered"]["calls"], told["totals"]["rejected"]["calls"]) == (2, 1)
    assert told["limits"][0]["style"] == "anthropic"


@pytest.mark.parametrize("wrong", [b"[{}]", b'[{"token": 5}]', b"{}", b"nonsense", b'[{"tokens": 5, "per": -1}]'])
async def test_wrong_limits_are_refused_and_change_nothing(provider: Provider, wrong: bytes) -> None:
    provider.limits.set([RateLimit(tokens=5)])

    status, answer = await control(provider, "/control/limits", method="POST", body=wrong)

    assert (status, answer["error"]["type"]) == (400, "invalid_request_error")
    assert provider.limits.limits() == (RateLimit(tokens=5),)


async def test_totals_sum_up_what_became_of_all_calls(provider: Provider, client: openai.AsyncOpenAI) -> None:
    provider.limits.set([RateLimit(requests=1)])
    answer = await ask(client)
    with pytest.raises(openai.RateLimitError):
        await ask(client)

    assert answer.usage is not None
    tokens_in, tokens_out = answer.usage.prompt_tokens, answer.usage.completion_tokens
    assert provider.ledger.totals() == {
        Outcome.ANSWERED: Totals(1, tokens_in, tokens_out),
        Outcome.REJECTED: Totals(1, tokens_in, 0),
    }


@contextmanager
def process(*options: str) -> Iterator[dict[str, Any]]:
    """A simulator as a process; gives the limits that it says it has."""
    command = [sys.executable, "-m", "aiq.testing.provider", *options]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as running:
        try:
            assert running.stdout is not None
            address = json.loads(running.stdout.readline())["control_url"]
            with urllib.request.urlopen(f"{address}/limits", timeout=30) as answer:
                yield json.load(answer)
        finally:
            running.kill()


def test_a_process_takes_one_limit_as_options_and_more_as_json() -> None:
    one = "--requests 600 --tokens 450000 --per 6 --burst 3 --charge reserve --style azure --hidden-share 0.3 --seed 7"
    with process("--limits", '[{"requests": 5, "model": "gpt"}]', *one.split(), "--exact-retry") as told:
        of_gpt, of_all = told["limits"]

    assert (of_gpt["requests"], of_gpt["model"], of_gpt["tokens"]) == (5, "gpt", None)
    assert (of_all["requests"], of_all["tokens"], of_all["per"], of_all["burst"]) == (600, 450_000, 6, 3)
    assert (of_all["charge"], of_all["style"], of_all["exact_retry"]) == ("reserve", "azure", True)
    assert (of_all["hidden_share"], of_all["seed"]) == (0.3, 7)


def test_a_process_without_limits_has_none() -> None:
    with process("--latency-per-input-token", "0.001") as told:
        assert (told["limits"], told["buckets"]) == ([], [])


@pytest.mark.parametrize(
    ("options", "named"),
    [(["--tokens", "0"], "tokens"), (["--per", "6"], "needs a rate"), (["--limits", "[{"], "--limits")],
)
async def test_a_process_that_is_given_wrong_limits_says_why(options: list[str], named: str) -> None:
    command = [sys.executable, "-m", "aiq.testing.provider", *options]

    ended = await asyncio.to_thread(subprocess.run, command, capture_output=True, text=True, timeout=30)

    assert ended.returncode == 1
    assert named in ended.stderr
