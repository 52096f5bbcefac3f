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
from aiq.testing.provider.text import tokens

OVERLOADED_STATUS: Final = 529
"""No number of the HTTP standard; several providers answer it when all of their customers come at once."""

_JSON: Final = "application/json"
_EVENTS: Final = "text/event-stream; charset=utf-8"
_Json = Mapping[str, object]


@dataclass(frozen=True, slots=True)
class Pace:
    """How fast tokens are made, in seconds: the first after `first_token`, each other `per_token` later.

    Raises:
        ValueError: one of them is negative.
    """

    first_token: float
    per_token: float

    def __post_init__(self) -> None:
        if self.first_token < 0 or self.per_token < 0:
            raise ValueError(f"latencies must not be negative: {self.first_token} s, {self.per_token} s")

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


def write_script(call: Call, fault: Fault | None, pace: Pace, *, created: int) -> Script:
    """Write what the provider answers to a call, under a fault or none. `created` is seconds UTC."""
    if fault is None:
        return _answer(call, pace, created)
    match fault.kind:
        case FaultKind.SERVER_ERROR:
            return _failure(500, "server_error", "The simulator was told to fail.")
        case FaultKind.OVERLOADED:
            return _failure(OVERLOADED_STATUS, "overloaded_error", "The simulator was told to be overloaded.")
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
    extract = summarise(call.question, call.max_tokens)
    pieces = tokens(extract.text)
    usage = {
        "prompt_tokens": call.tokens_in,
        "completion_tokens": len(pieces),
        "total_tokens": call.tokens_in + len(pieces),
    }
    if call.stream:
        frames = tuple(_events(call, pieces, extract.finish_reason, usage, pace, created))
        return Script(200, _EVENTS, frames, pace, len(pieces), Outcome.ANSWERED)
    body = _encode(_completion(call, extract, usage, created))
    return Script(200, _JSON, (Frame(pace.due(len(pieces)), body),), pace, len(pieces), Outcome.ANSWERED)


def _failure(status: int, kind: str, message: str) -> Script:
    frame = Frame(0.0, error_body(message, kind))
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
    call: Call, pieces: Sequence[str], finish_reason: FinishReason, usage: _Json, pace: Pace, created: int
) -> Iterator[Frame]:
    """Write the events of a stream: the role, one a token, and in one last frame all that ends it.

    The end is one frame, so that a client that stops reading at the finish reason has not gone away too early.
    """
    head: _Json = {"id": call.id, "object": "chat.completion.chunk", "created": created, "model": call.model}
    if call.include_usage:
        head = {**head, "usage": None}
    yield Frame(pace.due(1), _event(head, {"role": "assistant", "content": ""}, None))
    for count, piece in enumerate(pieces, start=1):
        yield Frame(pace.due(count), _event(head, {"content": piece}, None))
    end = _event(head, {}, finish_reason)
    if call.include_usage:
        end += _data(_encode({**head, "choices": [], "usage": usage}))
    yield Frame(pace.due(len(pieces)), end + _data(b"[DONE]"))


def _event(head: _Json, delta: _Json, finish_reason: FinishReason | None) -> bytes:
    choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish_reason}
    return _data(_encode({**head, "choices": [choice]}))


def _data(payload: bytes) -> bytes:
    return b"data: " + payload + b"\n\n"


def _encode(value: object) -> bytes:
    return msgspec.json.encode(value)
