"""From a call to the bytes that answer it, and when each is due. Pure: a script that the server then plays."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final, assert_never

import msgspec

from aiq.testing.provider.calls import Call
from aiq.testing.provider.extract import Extract, FinishReason, summarise
from aiq.testing.provider.faults import Fault, FaultKind
from aiq.testing.provider.ledger import Outcome
from aiq.testing.provider.styles import Style, failure_body
from aiq.testing.provider.text import tokens

OVERLOADED_STATUS: Final = 529
"""No number of the HTTP standard; several providers answer it when all of their customers come at once."""

QUOTA_MESSAGE: Final = "The quota of this account is used up (its monthly spend limit): see its plan and billing."
"""Clients tell by such words, for the status and often the type are those of a rate limit."""
SIMULATED_TEXT: Final = "So many tokens were to be simulated."
"""What is sent in place of an answer whose length was simulated."""

_JSON: Final = "application/json"
_EVENTS: Final = "text/event-stream; charset=utf-8"
_Json = Mapping[str, object]


@dataclass(frozen=True, slots=True)
class Pace:
    """How fast tokens are made, in seconds: the first after `first_token`, each other `per_token` later.

    Reading a prompt, `per_input_token` for each of its tokens, comes before the first.

    Raises:
        ValueError: one of them is negative.
    """

    first_token: float
    per_token: float
    per_input_token: float = 0.0

    def __post_init__(self) -> None:
        latencies = (self.first_token, self.per_token, self.per_input_token)
        if not all(latency >= 0 for latency in latencies):
            raise ValueError(f"latencies must not be negative: {', '.join(f'{latency} s' for latency in latencies)}")

    def of(self, call: Call) -> "Pace":
        """Say how fast one call is answered: with its own latencies, and its prompt read."""
        own = call.simulate
        first = _or(own.latency_first_token, self.first_token)
        reading = call.tokens_in * _or(own.latency_per_input_token, self.per_input_token)
        return Pace(first + reading, _or(own.latency_per_token, self.per_token))

    def due(self, count: int) -> float:
        """Say when this many tokens are made; none is made before the first."""
        return self.first_token + max(count - 1, 0) * self.per_token

    def made(self, elapsed: float, total: int) -> int:
        """Count the tokens made by now, of `total`."""
        if elapsed < self.first_token:
            return 0
        return (
            total if self.per_token == 0 else min(total, 1 + math.floor((elapsed - self.first_token) / self.per_token))
        )


@dataclass(frozen=True, slots=True)
class Frame:
    """Bytes of a body, and the seconds after the call's arrival when they are due."""

    due: float
    body: bytes


@dataclass(frozen=True, slots=True)
class Script:
    """All of an answer: what is sent, when, and what the ledger says of it once it has been."""

    status: int
    content_type: str
    frames: Sequence[Frame]
    """At least one. Headers go out with the first."""
    pace: Pace
    tokens_out: int
    outcome: Outcome

    def tokens_by(self, elapsed: float) -> int:
        """Count the tokens made by now: what was worked for a client that then went away."""
        return self.pace.made(elapsed, self.tokens_out)


def write_script(call: Call, fault: Fault | None, usual: Pace, *, created: int, style: Style = "openai") -> Script:
    """Write what the provider answers to a call, under a fault or none. `created` is seconds UTC."""
    pace = usual.of(call)
    if fault is None:
        return _answer(call, pace, created)
    match fault.kind:
        case FaultKind.SERVER_ERROR:
            return _failure(style, 500, "The simulator was told to fail.")
        case FaultKind.OVERLOADED:
            return _failure(style, OVERLOADED_STATUS, "The simulator was told to be overloaded.")
        case FaultKind.UNAVAILABLE:
            return _failure(style, 503, "The simulator was told to be unavailable.")
        case FaultKind.QUOTA:
            return _failure(style, 429, QUOTA_MESSAGE)
        case FaultKind.SLOW:
            return _answer(call, replace(pace, first_token=pace.first_token + fault.delay), created)
        case FaultKind.CUT:
            return _cut(_answer(call, pace, created), fault.after_tokens)
        case FaultKind.MALFORMED:
            return _malformed(_answer(call, pace, created))
        case _:
            assert_never(fault.kind)


def error_body(message: str, kind: str) -> bytes:
    """Write an error in the shape from which the `openai` package makes its exceptions."""
    return _encode({"error": {"message": message, "type": kind, "param": None, "code": None}})


def _answer(call: Call, pace: Pace, created: int) -> Script:
    extract, pieces, count = _text(call)
    usage = {"prompt_tokens": call.tokens_in, "completion_tokens": count, "total_tokens": call.tokens_in + count}
    if call.stream:
        frames = tuple(_events(call, pieces, count, extract.finish_reason, usage, pace, created))
        return Script(200, _EVENTS, frames, pace, count, Outcome.ANSWERED)
    body = _encode(_completion(call, extract, usage, created))
    return Script(200, _JSON, (Frame(pace.due(count), body),), pace, count, Outcome.ANSWERED)


def _text(call: Call) -> tuple[Extract, list[str], int]:
    """Say what is answered, in pieces to stream, and for how many tokens it counts."""
    length = call.simulate.output
    if length is None:
        extract = summarise(call.question, call.max_tokens)
        pieces = tokens(extract.text)
        return extract, pieces, len(pieces)
    count = length if call.max_tokens is None else min(length, call.max_tokens)
    return Extract(SIMULATED_TEXT, "stop" if count == length else "length"), [SIMULATED_TEXT], count


def _failure(style: Style, status: int, message: str) -> Script:
    frame = Frame(0.0, failure_body(style, status, message))
    return Script(status, _JSON, (frame,), Pace(0.0, 0.0), 0, Outcome.FAILED)


def _cut(answer: Script, after_tokens: int) -> Script:
    """Leave out everything after so many tokens; the last frame of a stream, its end, always."""
    made = min(after_tokens, answer.tokens_out)
    if len(answer.frames) == 1:
        frames: Sequence[Frame] = (Frame(answer.pace.due(made), _half(answer.frames[0].body)),)
    else:
        frames = answer.frames[: made + 1]
    return replace(answer, frames=frames, tokens_out=made, outcome=Outcome.CUT)


def _malformed(answer: Script) -> Script:
    """Break the JSON of the answer in the middle: of a stream, that of the event in the middle."""
    if len(answer.frames) == 1:
        (whole,) = answer.frames
        return replace(answer, frames=(replace(whole, body=_half(whole.body)),), outcome=Outcome.FAILED)
    made = answer.tokens_out // 2
    broken = answer.frames[made + 1]
    frames = (*answer.frames[: made + 1], replace(broken, body=_half(broken.body) + b"\n\n"))
    return replace(answer, frames=frames, tokens_out=made, outcome=Outcome.FAILED)


def _half(body: bytes) -> bytes:
    return body[: len(body) // 2]


def _completion(call: Call, extract: Extract, usage: _Json, created: int) -> _Json:
    message = {"role": "assistant", "content": extract.text, "refusal": None}
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": extract.finish_reason}
    head = {"id": call.id, "object": "chat.completion", "created": created, "model": call.model}
    return {**head, "choices": [choice], "usage": usage}


def _events(
    call: Call, pieces: Sequence[str], count: int, finish_reason: FinishReason, usage: _Json, pace: Pace, created: int
) -> Iterator[Frame]:
    """Write the events of a stream: the role, one a piece, and in one last frame all that ends it.

    The end is one frame, so that a client that stops reading at the finish reason has not gone away too early.
    """
    head: _Json = {"id": call.id, "object": "chat.completion.chunk", "created": created, "model": call.model}
    if call.include_usage:
        head = {**head, "usage": None}
    yield Frame(pace.due(1), _event(head, {"role": "assistant", "content": ""}, None))
    for number, piece in enumerate(pieces, start=1):
        yield Frame(pace.due(number), _event(head, {"content": piece}, None))
    end = _event(head, {}, finish_reason)
    if call.include_usage:
        end += _data(_encode({**head, "choices": [], "usage": usage}))
    yield Frame(pace.due(count), end + _data(b"[DONE]"))


def _event(head: _Json, delta: _Json, finish_reason: FinishReason | None) -> bytes:
    choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish_reason}
    return _data(_encode({**head, "choices": [choice]}))


def _data(payload: bytes) -> bytes:
    return b"data: " + payload + b"\n\n"


def _or(own: float | None, usual: float) -> float:
    return usual if own is None else own


def _encode(value: object) -> bytes:
    return msgspec.json.encode(value)
