"""What the errors of providers say, in shapes as they were recorded."""

import json
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from types import SimpleNamespace
from typing import Any

import httpx2
import openai
import pytest

import aiq
from aiq.bounds import MAX_DELAY_MS
from aiq.context import retry_after_of
from aiq.context.refusals import Refusal, refusal_of, status_of, wait_for_room_ms, whole_ms

RATE = {"message": "Rate limit reached for gpt-5.4 in organization org-x on tokens per min (TPM).", "type": "tokens"}
OPENAI_RATE = {"error": {**RATE, "param": None, "code": "rate_limit_exceeded"}}
OPENAI_SPENT = {
    "error": {
        "message": "You exceeded your current quota, please check your plan and billing details.",
        "type": "insufficient_quota",
        "param": None,
        "code": "insufficient_quota",
    }
}
ANTHROPIC_RATE = {
    "type": "error",
    "error": {"type": "rate_limit_error", "message": "This request would exceed your organization's rate limit."},
}
ANTHROPIC_SPENT = {
    "type": "error",
    "error": {
        "type": "rate_limit_error",
        "message": "You have reached your API usage limits.",
        "details": {"error_code": "enforced_spend_limit_reached"},
    },
}
ANTHROPIC_CAPPED = {
    "type": "error",
    "error": {
        "type": "invalid_request_error",
        "message": "You have reached your specified API usage limits. You will regain access on 2026-08-01.",
    },
}
GEMINI_TEXT = "You exceeded your current quota, please check your plan and billing details."
GEMINI_SPENT = {"error": {"code": 429, "message": GEMINI_TEXT, "status": "RESOURCE_EXHAUSTED"}}
RETRY_INFO = {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "36.5s"}
GEMINI_RATE = {"error": {"code": 429, "message": GEMINI_TEXT, "status": "RESOURCE_EXHAUSTED", "details": [RETRY_INFO]}}


def with_status(status: int, body: object = "", headers: dict[str, str] | None = None) -> httpx2.HTTPStatusError:
    """As a plain HTTP client raises it: the body is only in the response."""
    request = httpx2.Request("POST", "http://127.0.0.1/v1")
    response = httpx2.Response(status, json=body, headers=headers, request=request)
    return httpx2.HTTPStatusError(f"Client error '{status}'", request=request, response=response)


def by_openai(body: dict[str, Any], headers: dict[str, str] | None = None) -> openai.RateLimitError:
    response = with_status(429, body, headers).response
    return openai.RateLimitError(f"Error code: 429 - {body}", response=response, body=body["error"])


class GoogleError(Exception):
    """As google.genai.errors.APIError: the status is `code`, and `status` a word."""

    def __init__(self, body: dict[str, Any]) -> None:
        super().__init__(f"429 RESOURCE_EXHAUSTED. {body}")
        self.code, self.status, self.details = body["error"]["code"], body["error"]["status"], body


class Answered(Exception):
    def __init__(self, **fields: Any) -> None:
        super().__init__("an answer")
        for name, value in fields.items():
            setattr(self, name, value)


@pytest.mark.parametrize(
    "error",
    [
        Answered(status_code=429),
        Answered(status=429),
        Answered(code=429),
        Answered(response=SimpleNamespace(status_code=429)),
        Answered(response=SimpleNamespace(status=429)),
        Answered(status="RESOURCE_EXHAUSTED", code=429),
        with_status(429),
        by_openai(OPENAI_RATE),
    ],
)
def test_a_status_is_found_where_clients_keep_it(error: Exception) -> None:
    assert status_of(error) == 429
    assert refusal_of(error) == Refusal()


@pytest.mark.parametrize("error", [ValueError(), Answered(status_code=True), Answered(code="429"), Answered(status=42)])
def test_what_is_no_status_is_not_taken_for_one(error: Exception) -> None:
    assert status_of(error) is None
    assert refusal_of(error) is None


@pytest.mark.parametrize(
    "error",
    [
        by_openai(OPENAI_SPENT),
        by_openai(
            {"error": {"message": "No credit.", "type": "insufficient_quota", "code": "credit_balance_exhausted"}}
        ),
        by_openai({"error": {"message": "Stop.", "type": "tokens", "code": "project_spend_limit_exceeded"}}),
        with_status(429, OPENAI_SPENT),
        with_status(429, ANTHROPIC_SPENT),
        with_status(400, ANTHROPIC_CAPPED),
        with_status(400, {"error": {"message": "Your credit balance is too low to access the Anthropic API."}}),
        with_status(429, GEMINI_SPENT),
        GoogleError(GEMINI_SPENT),
        aiq.QuotaExhausted(),
    ],
)
def test_a_quota_that_is_used_up_is_no_matter_of_rate(error: Exception) -> None:
    assert refusal_of(error) == Refusal(quota=True)


@pytest.mark.parametrize(
    "error",
    [with_status(429, OPENAI_RATE), with_status(429, ANTHROPIC_RATE), with_status(429, {"error": {"code": 429}})],
)
def test_a_rate_that_is_reached_is_no_matter_of_quota(error: Exception) -> None:
    assert refusal_of(error) == Refusal()


@pytest.mark.parametrize("error", [with_status(429, GEMINI_RATE), GoogleError(GEMINI_RATE)])
def test_gemini_says_the_same_of_a_rate_and_of_a_quota_but_for_the_time_to_wait(error: Exception) -> None:
    assert refusal_of(error) == Refusal(retry_after_ms=36_500)


@pytest.mark.parametrize("status", [400, 401, 404, 500, 503, 529])
def test_an_error_of_another_kind_is_no_refusal(status: int) -> None:
    assert refusal_of(with_status(status, {"error": {"message": "Overloaded"}}, {"retry-after": "3"})) is None


def test_a_body_that_was_never_read_does_not_hide_the_status() -> None:
    response = httpx2.Response(429, stream=httpx2.ByteStream(b"{}"), request=httpx2.Request("GET", "http://127.0.0.1"))
    with pytest.raises(httpx2.ResponseNotRead):
        str(response.text)
    assert refusal_of(httpx2.HTTPStatusError("429", request=response.request, response=response)) == Refusal()


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry-after-ms": "1500", "retry-after": "2"}, 1.5),
        ({"Retry-After": "20"}, 20.0),
        ({"retry-after": "0.25"}, 0.25),
        ({"retry-after": "0"}, 0.0),
        ({"retry-after": "7", "x-ratelimit-reset-tokens": "6m0s"}, 7.0),
        ({"x-ratelimit-reset-requests": "120ms", "x-ratelimit-reset-tokens": "6m0s"}, None),
        ({}, None),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "-3"}, None),
        ({"retry-after": "nan"}, None),
        ({"retry-after": "inf"}, None),
        ({"retry-after-ms": "1e9"}, None),
        ({"retry-after": "9" * 400}, None),
    ],
)
def test_the_time_to_wait_is_read_from_the_headers(headers: dict[str, str], seconds: float | None) -> None:
    assert retry_after_of(with_status(429, OPENAI_RATE, headers)) == seconds
    assert retry_after_of(SimpleNamespace(headers=headers)) == seconds


def standing(kind: str, limit: str, remaining: str, reset: str) -> dict[str, str]:
    words = {"limit": limit, "remaining": remaining, "reset": reset}
    return {f"x-ratelimit-{word}-{kind}": value for word, value in words.items() if value}


@pytest.mark.parametrize(
    ("headers", "tokens", "wait_ms"),
    [
        (standing("tokens", "450000", "900", "59.88s"), 1_000, 14),
        (standing("tokens", "6000", "0", "1m0s"), 150, 1_500),
        (standing("tokens", "6000", "0", "1m0s"), 7_000, 60_000),
        (standing("tokens", "6000", "5999", "10ms"), 6_000, 10),
        (standing("tokens", "3600", "0", "1h2m3.5s"), 1, 1_035),
        (standing("tokens", "6000", "150", "58.5s"), 150, None),
        (standing("tokens", "6000", "6000", "0s"), 9_000, None),
        (standing("tokens", "6000", "0", "1m0s"), None, None),
        (standing("requests", "60", "0", "1m0s"), None, 1_000),
        (standing("requests", "60", "1", "59s"), None, None),
        ({**standing("requests", "60", "0", "1m0s"), **standing("tokens", "6000", "0", "1m0s")}, 150, 1_500),
        ({**standing("requests", "60", "0", "1m0s"), **standing("tokens", "6000", "0", "1m0s")}, 50, 1_000),
        ({**standing("requests", "", "", "1m0s"), **standing("tokens", "6000", "0", "1m0s")}, 150, 1_500),
        (standing("tokens", "", "900", "59.88s"), 1_000, None),
        (standing("tokens", "450000", "", "59.88s"), 1_000, None),
        (standing("tokens", "450000", "900", ""), 1_000, None),
        (standing("tokens", "450000", "900", "tomorrow"), 1_000, None),
        (standing("tokens", "many", "900", "1s"), 1_000, None),
        ({}, 1_000, None),
    ],
)
def test_how_full_a_bucket_is_tells_how_long_it_has_no_room_for_a_call(
    headers: dict[str, str], tokens: int | None, wait_ms: int | None
) -> None:
    assert wait_for_room_ms(with_status(429, OPENAI_RATE, headers), tokens) == wait_ms
    assert retry_after_of(with_status(429, OPENAI_RATE, headers)) is None


def test_a_date_to_wait_for_is_counted_by_the_providers_own_clock() -> None:
    headers = {"retry-after": "Wed, 21 Oct 2026 07:28:30 GMT", "date": "Wed, 21 Oct 2026 07:28:00 GMT"}
    assert retry_after_of(SimpleNamespace(headers=headers)) == 30.0


def test_a_date_is_counted_by_our_clock_where_the_provider_does_not_tell_its_own() -> None:
    later = datetime.now(UTC) + timedelta(hours=1)
    told = retry_after_of(SimpleNamespace(headers={"retry-after": format_datetime(later, usegmt=True)}))
    assert told is not None
    assert 3_500 < told <= 3_600


def test_a_date_that_is_over_means_now() -> None:
    assert retry_after_of(SimpleNamespace(headers={"retry-after": "Wed, 21 Oct 2015 07:28:00 GMT"})) == 0.0


def test_the_time_of_our_own_error_is_what_it_was_given() -> None:
    assert retry_after_of(aiq.RateLimited(retry_after=2.5)) == 2.5
    assert refusal_of(aiq.RateLimited(retry_after=2.5)) == Refusal(retry_after_ms=2_500)


@pytest.mark.parametrize(
    ("seconds", "ms"),
    [(None, None), (0.0, 0), (0.0001, 1), (2, 2_000), (float("nan"), None), (float("inf"), None), (-1.0, None)],
)
def test_a_time_is_rounded_up_and_what_is_none_is_dropped(seconds: float | None, ms: int | None) -> None:
    assert whole_ms(seconds) == ms


def test_a_time_beyond_all_bounds_is_cut() -> None:
    assert whole_ms(1e15) == MAX_DELAY_MS


def test_an_error_that_cannot_say_what_it_is_still_has_its_status() -> None:
    class Mute(Exception):
        status_code = 429

        def __str__(self) -> str:
            raise RuntimeError("no words")

    assert refusal_of(Mute()) == Refusal()


class Truthless:
    """As an array of numbers is: whether it is empty cannot be asked."""

    def __bool__(self) -> bool:
        raise ValueError("ambiguous")


@pytest.mark.parametrize(
    "odd",
    [
        {"headers": {"retry-after": "Mon, 01 Jan 2024 00:00:00 +99999999999999"}},
        {"headers": {"retry-after": f"{10**24} Jan 1 00:00:00"}},
        {"headers": {1: "x"}},
        {"body": Truthless()},
    ],
)
def test_what_cannot_be_read_of_an_answer_hides_nothing_else(odd: dict[str, Any]) -> None:
    assert refusal_of(Answered(status_code=429, **odd)) == Refusal()


def test_an_error_that_nothing_can_be_read_of_is_no_refusal() -> None:
    error = aiq.RateLimited()
    error.retry_after = "soon"  # type: ignore[assignment]
    assert refusal_of(error) is None


def test_a_text_of_megabytes_is_not_searched_to_its_end() -> None:
    assert refusal_of(Answered(status_code=429, body=" " * 10**6 + json.dumps(OPENAI_SPENT))) == Refusal()


def test_the_helpers_are_public() -> None:
    assert aiq.retry_after_of is retry_after_of
