"""How four providers say that a limit is reached, and how much of it is left: headers and bodies. Pure.

Sources, as of 2026:
    openai: developers.openai.com, guide "Rate limits"; resets as durations, code `rate_limit_exceeded`.
    anthropic: platform.claude.com/docs/en/api/rate-limits; whole seconds to wait, resets in RFC 3339, what remains
        rounded to thousands of tokens, no time to wait where the spend limit of a month is reached.
    azure: learn.microsoft.com, "Manage Azure OpenAI quota"; the time to wait in milliseconds.
    gemini: ai.google.dev/gemini-api/docs/troubleshooting; nothing but a `RetryInfo` (google.rpc) in the body.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final, Literal, assert_never

import msgspec

Style = Literal["openai", "anthropic", "azure", "gemini"]
Kind = Literal["requests", "tokens", "input_tokens", "output_tokens"]
"""What a bucket counts."""
Headers = list[tuple[bytes, bytes]]

ROUNDED_TO: Final = 1_000
"""Tokens: the step in which the style `anthropic` says what remains."""
_NS_PER_MS: Final = 1_000_000

_FAILURES: Final[Mapping[Style, Mapping[int, str]]] = {
    "openai": {429: "insufficient_quota", 500: "server_error", 503: "service_unavailable", 529: "overloaded_error"},
    "anthropic": {429: "rate_limit_error", 500: "api_error", 503: "overloaded_error", 529: "overloaded_error"},
    "azure": {429: "insufficient_quota", 500: "InternalServerError", 503: "ServiceUnavailable", 529: "Overloaded"},
    "gemini": {429: "RESOURCE_EXHAUSTED", 500: "INTERNAL", 503: "UNAVAILABLE", 529: "UNAVAILABLE"},
}
"""What each calls the failures that can be injected, by their status. No injected 429 is a matter of rate."""


@dataclass(frozen=True, slots=True)
class Standing:
    """How one bucket stands after a call was let in or refused."""

    kind: Kind
    limit: int
    """The tokens or requests of a period."""
    remaining: int
    """In whole ones, and 0 in debt."""
    full_in_ns: int


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a call was refused: its need, and the bucket to be waited for longest."""

    model: str
    kind: Kind
    limit: int
    requested: int
    wait_ns: int | None
    """None: longer waiting would not help, for the bucket does not hold as much when it is full."""


def standing_headers(style: Style, standings: Sequence[Standing], *, now_ms: int) -> Headers:
    """Say how much is left of each bucket, as the style does; `now_ms` is UTC."""
    found: Headers = []
    for standing in standings:
        name = standing.kind.replace("_", "-")
        match style:
            case "openai":
                found += _three(
                    "x-ratelimit-{1}-{0}", name, standing, standing.remaining, _duration(standing.full_in_ns)
                )
            case "anthropic":
                instant = datetime.fromtimestamp(now_ms / 1_000, UTC) + timedelta(
                    microseconds=standing.full_in_ns // 1_000
                )
                reset = instant.isoformat(timespec="seconds").replace("+00:00", "Z")
                found += _three("anthropic-ratelimit-{0}-{1}", name, standing, _rounded(standing), reset)
            case "azure":
                found += _three("x-ratelimit-{1}-{0}", name, standing, standing.remaining, "")[:2]
            case "gemini":
                pass
            case _:
                assert_never(style)
    return found


def retry_headers(style: Style, wait_ns: int | None, *, exact: bool) -> Headers:
    """Say when to come again, as the style does; `exact` adds `retry-after-ms` to those that have it not."""
    if wait_ns is None:
        return []
    milliseconds = _up(wait_ns, _NS_PER_MS)
    found: Headers = []
    if style in {"openai", "anthropic"}:
        found.append((b"retry-after", b"%d" % _up(milliseconds, 1_000)))
    if style in {"openai", "azure"} or exact:
        found.append((b"retry-after-ms", b"%d" % milliseconds))
    return found


def refusal_body(style: Style, refusal: Refusal) -> bytes:
    """Say that a rate limit is reached."""
    what = refusal.kind.replace("_", " ")
    need = f"{refusal.requested} {what} requested"
    if refusal.wait_ns is None:
        reached = f"This call is too large for {refusal.model}: {need}, more than may come at once."
    else:
        wait = _duration(refusal.wait_ns)
        reached = f"The limit of {refusal.limit} {what} is reached for {refusal.model}: {need}. Try again in {wait}."
    match style:
        case "openai":
            return _openai(reached, refusal.kind, "rate_limit_exceeded")
        case "anthropic":
            return _anthropic(reached, "rate_limit_error")
        case "azure":
            return _azure(reached, "429")
        case "gemini":
            return _gemini(reached, 429, "RESOURCE_EXHAUSTED", refusal.wait_ns)
        case _:
            assert_never(style)


def failure_body(style: Style, status: int, message: str) -> bytes:
    """Say that something went wrong which is no matter of rate."""
    name = _FAILURES[style][status]
    match style:
        case "openai":
            return _openai(message, name, "insufficient_quota" if status == 429 else None)
        case "anthropic":
            return _anthropic(message, name)
        case "azure":
            return _azure(message, name)
        case "gemini":
            return _gemini(message, status, name, None)
        case _:
            assert_never(style)


def _openai(message: str, kind: str, code: str | None) -> bytes:
    return msgspec.json.encode({"error": {"message": message, "type": kind, "param": None, "code": code}})


def _anthropic(message: str, kind: str) -> bytes:
    return msgspec.json.encode({"type": "error", "error": {"type": kind, "message": message}})


def _azure(message: str, code: str) -> bytes:
    return msgspec.json.encode({"error": {"code": code, "message": message}})


def _gemini(message: str, code: int, status: str, wait_ns: int | None) -> bytes:
    details = []
    if wait_ns is not None:
        seconds, milliseconds = divmod(_up(wait_ns, _NS_PER_MS), 1_000)
        delay = f"{seconds}.{milliseconds:03}s"
        details.append({"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": delay})
    return msgspec.json.encode({"error": {"code": code, "message": message, "status": status, "details": details}})


def _three(pattern: str, name: str, standing: Standing, remaining: int, reset: str) -> Headers:
    values = (("limit", standing.limit), ("remaining", remaining), ("reset", reset))
    return [(pattern.format(name, word).encode(), str(value).encode()) for word, value in values]


def _rounded(standing: Standing) -> int:
    if standing.kind == "requests":
        return standing.remaining
    return (standing.remaining + ROUNDED_TO // 2) // ROUNDED_TO * ROUNDED_TO


def _duration(ns: int) -> str:
    """Write a time as `6m0s`, `1.5s` or `17ms`, rounded up."""
    whole_ms = _up(ns, _NS_PER_MS)
    if whole_ms < 1_000:
        return f"{whole_ms}ms" if whole_ms else "0s"
    minutes, rest_ms = divmod(whole_ms, 60_000)
    hours, minutes = divmod(minutes, 60)
    seconds = f"{rest_ms / 1_000:g}s"
    if hours:
        return f"{hours}h{minutes}m{seconds}"
    return f"{minutes}m{seconds}" if minutes else seconds


def _up(number: int, step: int) -> int:
    return -(-number // step)
