"""What the answers of providers say, in shapes as they were recorded."""

from types import SimpleNamespace
from typing import Any

import pytest

import aiq
from aiq.bounds import MAX_AMOUNT
from aiq.context import usage_of
from aiq.context.providers import headers_of, remaining_of
from aiq.model import Remaining, Usage

CHAT = {
    "id": "chatcmpl-B9MBs8CjcvOU2jLn4n570S5qMJKcT",
    "object": "chat.completion",
    "created": 1_741_569_952,
    "model": "gpt-5.4",
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "Hello!"}, "finish_reason": "stop"}],
    "usage": {
        "prompt_tokens": 2_006,
        "completion_tokens": 300,
        "total_tokens": 2_306,
        "prompt_tokens_details": {"cached_tokens": 1_920, "audio_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": 192, "audio_tokens": 0, "accepted_prediction_tokens": 0},
    },
}
RESPONSE = {
    "id": "resp_67ccd3a9da748190baa7f1570fe91ac604becb25c45c1d41",
    "object": "response",
    "model": "gpt-5.4",
    "usage": {
        "input_tokens": 328,
        "input_tokens_details": {"cached_tokens": 128},
        "output_tokens": 52,
        "output_tokens_details": {"reasoning_tokens": 32},
        "total_tokens": 380,
    },
}
MESSAGE = {
    "id": "msg_013Zva2CMHLNnXjNJJKqJ2EF",
    "type": "message",
    "model": "claude-sonnet-5",
    "content": [{"type": "text", "text": "Hi!"}],
    "usage": {
        "input_tokens": 21,
        "cache_creation_input_tokens": 188_086,
        "cache_read_input_tokens": 4_096,
        "output_tokens": 393,
        "service_tier": "standard",
    },
}


def as_objects(value: Any) -> Any:
    """As a client gives it: attributes instead of keys."""
    if isinstance(value, dict):
        return SimpleNamespace(**{name: as_objects(inner) for name, inner in value.items()})
    return [as_objects(inner) for inner in value] if isinstance(value, list) else value


@pytest.mark.parametrize("shape", [dict, as_objects], ids=["dicts", "objects"])
def test_the_parts_of_a_chat_completion_are_counted_once_each(shape: Any) -> None:
    assert usage_of(shape(CHAT)) == Usage("gpt-5.4", input=86, cache_read=1_920, output=108, reasoning=192)


@pytest.mark.parametrize("shape", [dict, as_objects], ids=["dicts", "objects"])
def test_the_parts_of_a_response_are_counted_once_each(shape: Any) -> None:
    assert usage_of(shape(RESPONSE)) == Usage("gpt-5.4", input=200, cache_read=128, output=20, reasoning=32)


@pytest.mark.parametrize("shape", [dict, as_objects], ids=["dicts", "objects"])
def test_what_a_message_read_from_its_cache_is_beside_its_input(shape: Any) -> None:
    assert usage_of(shape(MESSAGE)) == Usage(
        "claude-sonnet-5", input=21, cache_read=4_096, cache_write=188_086, output=393
    )


def test_an_embedding_has_used_its_input() -> None:
    response = {"object": "list", "model": "embed-3", "usage": {"prompt_tokens": 8, "total_tokens": 8}}
    assert usage_of(response) == Usage("embed-3", input=8)


def test_the_usage_of_the_real_client_is_read() -> None:
    from openai.types.chat import ChatCompletion

    assert usage_of(ChatCompletion.model_validate(CHAT)) == usage_of(CHAT)


@pytest.mark.parametrize("details", [None, {}, {"cached_tokens": None}])
def test_details_that_are_not_there_count_nothing(details: object) -> None:
    usage = {"prompt_tokens": 10, "completion_tokens": 5, "prompt_tokens_details": details}
    assert usage_of({"usage": usage}) == Usage(input=10, output=5)


def test_reasoning_that_is_counted_beside_the_output_is_not_taken_from_it() -> None:
    usage = {"prompt_tokens": 10, "completion_tokens": 5, "completion_tokens_details": {"reasoning_tokens": 300}}
    assert usage_of({"usage": usage}) == Usage(input=10, output=5, reasoning=300)


@pytest.mark.parametrize(
    "response",
    [None, 7, "text", {}, {"usage": None}, {"usage": {"total_tokens": 3}}, {"usage": {"prompt_tokens": True}}],
)
def test_what_says_nothing_of_its_use_is_no_use_of_nothing(response: object) -> None:
    assert usage_of(response) is None


def test_a_figure_that_cannot_be_is_kept_within_the_bounds() -> None:
    usage = {"prompt_tokens": 10**30, "completion_tokens": -5}
    assert usage_of({"usage": usage}) == Usage(input=MAX_AMOUNT)


def test_a_property_that_raises_is_as_good_as_none() -> None:
    class Closed:
        @property
        def usage(self) -> object:
            raise RuntimeError("The stream was not read.")

    assert usage_of(Closed()) is None


def test_what_openai_says_is_left_is_read_whatever_the_case() -> None:
    headers = {"X-RateLimit-Remaining-Requests": "59", "x-ratelimit-remaining-tokens": "149984"}
    assert remaining_of("gpt", headers) == Remaining(limit="gpt", requests=59, tokens=149_984)


def test_what_anthropic_says_is_left_of_the_input_counts_before_that_of_its_scarcest_limit() -> None:
    headers = {
        "anthropic-ratelimit-requests-remaining": "49",
        "anthropic-ratelimit-tokens-remaining": "8000",
        "anthropic-ratelimit-input-tokens-remaining": "40000",
        "anthropic-ratelimit-output-tokens-remaining": "8000",
    }
    assert remaining_of("claude", headers) == Remaining(limit="claude", requests=49, tokens=40_000)
    del headers["anthropic-ratelimit-input-tokens-remaining"]
    assert remaining_of("claude", headers) == Remaining(limit="claude", requests=49, tokens=8_000)


@pytest.mark.parametrize("headers", [{}, {"x-ratelimit-remaining-tokens": "-1"}, {"x-ratelimit-remaining-tokens": "²"}])
def test_headers_that_say_nothing_of_what_is_left_lower_nothing(headers: dict[str, str]) -> None:
    assert remaining_of("gpt", headers) is None


def test_a_figure_of_thousands_of_digits_says_nothing() -> None:
    assert remaining_of("gpt", {"x-ratelimit-remaining-requests": "9" * 5_000}) is None


def test_headers_come_with_a_response_or_with_the_response_of_an_error() -> None:
    response = SimpleNamespace(headers={"Retry-After": "3"})
    assert headers_of(response) == headers_of(SimpleNamespace(response=response)) == {"retry-after": "3"}
    assert headers_of(SimpleNamespace(headers=None)) == {}


def test_the_helpers_are_public() -> None:
    assert aiq.usage_of is usage_of
