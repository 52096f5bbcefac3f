"""Why a provider refused a call, read from the error of whatever client met it; no client is imported.

Sources, as of 2026:
    openai: platform.openai.com/docs/guides/error-codes and help article 6614457: the codes of a spent quota.
    anthropic: platform.claude.com/docs/en/api/errors and "Rate limits": a spend limit of one's own is a 400, that of
        the tier a 429 without `retry-after`, of code `enforced_spend_limit_reached`.
    gemini: ai.google.dev/gemini-api/docs/troubleshooting: a rate and a spent quota have one status and one text, and
        only a rate comes with a `RetryInfo`.
"""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Final

from aiq.bounds import MAX_DELAY_MS
from aiq.context.providers import headers_of, read
from aiq.errors import QuotaExhausted, RateLimited

TOO_MANY: Final = 429
UNANSWERED: Final = frozenset({408, 504})
"""Statuses of a time-out: the provider may have done the work all the same."""
MAX_TEXT: Final = 16 * 1024
"""Characters of an error that are looked at."""

_SPENT = re.compile(
    r"insufficient_quota|credit_balance_exhausted|enforced_spend_limit_reached"
    r"|(organization|project)_(usage|spend)_limit_exceeded"
    r"|reached your (specified )?(workspace )?API usage limits|credit balance is too low",
    re.IGNORECASE,
)
_GOOGLE_QUOTA = re.compile(r"exceeded your current quota|quota exceeded for", re.IGNORECASE)
_RETRY_DELAY = re.compile(r"""retryDelay["']?\s*:\s*["'](\d+(?:\.\d+)?)s""")
_DURATION = re.compile(r"(?:(\d+)h)?(?:(\d+)m(?!s))?(?:(\d+(?:\.\d+)?)s)?(?:(\d+(?:\.\d+)?)ms)?")


@dataclass(frozen=True, slots=True)
class Refusal:
    """A provider did not take a call. `quota` says that no waiting of seconds helps; else `retry_after_ms` is what it
    said, None if it said nothing."""

    quota: bool = False
    retry_after_ms: int | None = None


def refusal_of(error: BaseException) -> Refusal | None:
    """What an error says of a rate limit or of a spent quota; None if it is about something else, or cannot be read."""
    try:
        return _refusal_of(error)
    except Exception:  # noqa: BLE001 - an error of somebody else's class may raise anything, and has failed its run
        return None


def _refusal_of(error: BaseException) -> Refusal | None:
    if isinstance(error, QuotaExhausted):
        return Refusal(quota=True)
    if isinstance(error, RateLimited):
        return Refusal(retry_after_ms=whole_ms(error.retry_after))
    status = status_of(error)
    if status is None or not 400 <= status < 500:
        return None
    if _is_spent(_text(error)):
        return Refusal(quota=True)
    return Refusal(retry_after_ms=whole_ms(retry_after_of(error))) if status == TOO_MANY else None


def status_of(error: BaseException) -> int | None:
    """The HTTP status that an error stands for, by the names under which clients keep it."""
    for source in (error, read(error, "response")):
        for name in ("status_code", "status", "code"):
            value = read(source, name)
            if isinstance(value, int) and 100 <= value <= 599:
                return int(value)
    return None


def retry_after_of(error: object) -> float | None:
    """The seconds after which a provider wants to be asked again, from the headers of an error or a response, or from
    what Gemini writes into its text; None if nothing says so.

    Reads `retry-after-ms`, `retry-after` as seconds or as a date, and `retryDelay`; not `x-ratelimit-reset-…`, which
    say when a limit is full again, long after it has room for a call.
    """
    if isinstance(error, RateLimited):
        return error.retry_after
    headers = headers_of(error)
    exact = _number(headers.get("retry-after-ms"))
    if exact is not None:
        return exact / 1000
    told = _retry_after(headers)
    if told is None and (found := _RETRY_DELAY.search(_text(error))):
        told = float(found[1])
    return told


def wait_for_room_ms(error: object, tokens: int | None) -> int | None:
    """How long a provider that says only when its limits are full again has no room for a call of so many tokens; None
    where it says too little, or says that there is room.

    For each of requests and tokens a bucket of `limit`, with `remaining` now, is full after `reset`: so it has n after
    (n - remaining) * reset / (limit - remaining). Without `tokens` the requests alone count.
    """
    headers = headers_of(error)
    waits = [_refilled_ms(headers, "requests", 1)]
    if tokens is not None:
        waits.append(_refilled_ms(headers, "tokens", tokens))
    return max(waits) or None


def whole_ms(seconds: float | None) -> int | None:
    """Whole milliseconds, rounded up, at most MAX_DELAY_MS; None for what is no time."""
    if seconds is None or not math.isfinite(seconds) or seconds < 0:
        return None
    return min(math.ceil(seconds * 1000), MAX_DELAY_MS)


def _is_spent(text: str) -> bool:
    if _SPENT.search(text):
        return True
    if not _GOOGLE_QUOTA.search(text) or "RESOURCE_EXHAUSTED" not in text:
        return False
    return not _RETRY_DELAY.search(text) and "PerMinute" not in text


def _text(error: object) -> str:
    """All that an error says: its own text, its code, and the body of its response."""
    told = [read(error, name) for name in ("code", "type", "status", "body", "details")]
    said = [*told, error, read(read(error, "response"), "text")]
    return "\n".join(_said(part)[:MAX_TEXT] for part in said if part is not None)


def _said(part: object) -> str:
    try:
        return str(part)
    except Exception:  # noqa: BLE001 - a body that was not read, or a __str__ that raises: what else is told must do
        return ""


def _retry_after(headers: Mapping[str, str]) -> float | None:
    value = headers.get("retry-after")
    seconds = _number(value)
    if seconds is not None or value is None:
        return seconds
    at = _date(value)
    if at is None:
        return None
    # By the provider's own clock where it tells it: ours may be wrong by more than the wait.
    now = _date(headers.get("date", "")) or datetime.now(UTC)
    return max(0.0, (at - now).total_seconds())


def _date(value: str) -> datetime | None:
    try:
        read_date = parsedate_to_datetime(value)
    except (ValueError, OverflowError):
        return None
    return read_date if read_date.tzinfo else read_date.replace(tzinfo=UTC)


def _refilled_ms(headers: Mapping[str, str], kind: str, needed: int) -> int:
    """How long until a bucket holds what is needed, at most all that it can; 0 where it does, or where nobody knows."""
    limit, remaining = (_number(headers.get(f"x-ratelimit-{word}-{kind}")) for word in ("limit", "remaining"))
    reset_ms = whole_ms(_duration(headers.get(f"x-ratelimit-reset-{kind}", "")))
    if limit is None or remaining is None or reset_ms is None or remaining >= min(needed, limit):
        return 0
    return min(math.ceil((min(needed, limit) - remaining) * reset_ms / (limit - remaining)), MAX_DELAY_MS)


def _duration(value: str) -> float | None:
    """Seconds of `6m0s`, `1.5s` or `17ms`."""
    found = _DURATION.fullmatch(value)
    if not value or found is None:
        return None
    hours, minutes, seconds, ms = (float(part or 0) for part in found.groups())
    return hours * 3600 + minutes * 60 + seconds + ms / 1000


def _number(value: str | None) -> float | None:
    if value is None or not re.fullmatch(r"\s*\d{1,12}(\.\d{1,12})?\s*", value):
        return None
    return float(value)
