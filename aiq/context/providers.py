"""What the answers of providers say: what was used, and what is left. Read by their shape; no client is imported.

Sources, as of 2026:
    openai: platform.openai.com/docs/api-reference, the usage of chat completions (`prompt_tokens`) and of responses
        (`input_tokens` with details), cached and reasoning tokens being a part of them; guide "Rate limits".
    anthropic: platform.claude.com/docs/en/api, the usage of messages, where what was read from or written to the
        cache is not in `input_tokens`; "Rate limits" for the headers.
"""

import re
from collections.abc import Mapping

from aiq.bounds import MAX_AMOUNT, MAX_OPAQUE_BYTES
from aiq.model import Remaining, Usage

_REQUESTS = ("x-ratelimit-remaining-requests", "anthropic-ratelimit-requests-remaining")
# The input first: what remains of "tokens" is that of the scarcest limit, which may be one on output.
_TOKENS = (
    "x-ratelimit-remaining-tokens",
    "anthropic-ratelimit-input-tokens-remaining",
    "anthropic-ratelimit-tokens-remaining",
)

_DIGITS = re.compile(r"[0-9]{1,20}")


def usage_of(response: object) -> Usage | None:
    """What a response says that it has used, or None if it says nothing.

    Takes what `openai` and `anthropic` return, or the JSON of it as dicts: completions, responses, embeddings,
    messages, and the part of a stream that has the usage. Categories do not overlap: what was read from a cache is
    `cache_read`, what was written to it `cache_write`, and neither is in `input`; `reasoning` is not in `output`.
    """
    tokens = _tokens(read(response, "usage"))
    if tokens is None:
        return None
    return Usage(_model(response), tokens.pop("input"), tokens.pop("output"), **tokens)


def remaining_of(limit: str, headers: Mapping[str, str]) -> Remaining | None:
    """What the headers of a response say is left of a limit; None if they say nothing."""
    values = lowered(headers)
    requests, tokens = _first(values, _REQUESTS), _first(values, _TOKENS)
    return None if requests is None and tokens is None else Remaining(limit=limit, requests=requests, tokens=tokens)


def headers_of(answer: object) -> Mapping[str, str]:
    """The headers that come with a response or an error, by their names in lower case."""
    for source in (answer, read(answer, "response")):
        headers = read(source, "headers")
        if isinstance(headers, Mapping):
            return lowered(headers)
    return {}


def lowered(headers: Mapping[str, object]) -> dict[str, str]:
    """Headers by their names in lower case: a plain dict does not know that case does not count."""
    texts = {name: value for name, value in headers.items() if isinstance(value, str)}
    # A dict of somebody else's may have keys that are no texts.
    return {str(name).lower(): value for name, value in texts.items()}


def read(source: object, name: str) -> object:
    """A field of an object or of a dict, None if it has none."""
    if isinstance(source, Mapping):
        return source.get(name)
    try:
        return getattr(source, name, None)
    except Exception:  # noqa: BLE001 - a property of somebody else's class may raise anything
        return None


def _tokens(usage: object) -> dict[str, int] | None:
    prompt = _count(usage, "prompt_tokens")
    if prompt is not None:
        return _parts(prompt, _count(usage, "completion_tokens"), usage, "prompt_tokens", "completion_tokens")
    given, made = _count(usage, "input_tokens"), _count(usage, "output_tokens")
    if given is None and made is None:
        return None
    if read(usage, "input_tokens_details") is not None:
        return _parts(given, made, usage, "input_tokens", "output_tokens")
    return {
        "input": given or 0,
        "output": made or 0,
        "cache_read": _count(usage, "cache_read_input_tokens") or 0,
        "cache_write": _count(usage, "cache_creation_input_tokens") or 0,
    }


def _parts(given: int | None, made: int | None, usage: object, into: str, out: str) -> dict[str, int]:
    """Categories that do not overlap, of totals with details beside them."""
    cached = _count(read(usage, f"{into}_details"), "cached_tokens") or 0
    reasoning = _count(read(usage, f"{out}_details"), "reasoning_tokens") or 0
    return {
        "input": _without(given or 0, cached),
        "output": _without(made or 0, reasoning),
        "cache_read": cached,
        "reasoning": reasoning,
    }


def _without(total: int, part: int) -> int:
    """The rest of a total. A part that is larger is none of it: some count reasoning beside the output."""
    return total - part if part <= total else total


def _count(source: object, name: str) -> int | None:
    value = read(source, name)
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        return None
    return min(value, MAX_AMOUNT)


def _model(response: object) -> str:
    model = read(response, "model")
    return model if isinstance(model, str) and len(model.encode(errors="replace")) <= MAX_OPAQUE_BYTES else ""


def _first(headers: Mapping[str, str], names: tuple[str, ...]) -> int | None:
    found = (headers[name] for name in names if name in headers)
    return next((min(int(value), MAX_AMOUNT) for value in found if _DIGITS.fullmatch(value)), None)
