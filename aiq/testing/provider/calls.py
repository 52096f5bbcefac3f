"""The request of a chat completion: what is understood, what is refused, and the call it becomes."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Final, Literal
from uuid import uuid4

import msgspec
from msgspec import Meta, Struct

from aiq.testing.provider.text import count_tokens

MAX_REQUEST_BYTES: Final = 2 * 1024 * 1024
"""The body of a request: room for half a million tokens of plain text."""


MAX_SIMULATED_TOKENS: Final = 100_000_000
MAX_SIMULATED_LATENCY: Final = 3_600.0
"""Seconds, for each of the latencies that a request may ask for."""
CHARS_PER_TOKEN: Final = 4
"""By which providers are said to estimate the tokens of a text that they have not read yet."""


class BadRequest(ValueError):
    """The request cannot be answered; `status` is the HTTP status that says so."""

    def __init__(self, message: str, *, status: int = 400) -> None:
        super().__init__(message)
        self.status = status


class TextPart(Struct, frozen=True, tag_field="type", tag="text"):
    """A piece of a message; images and sounds are refused."""

    text: str


class Message(Struct, frozen=True):
    """One message of a conversation."""

    role: str
    content: str | list[TextPart] | None = None

    @property
    def text(self) -> str:
        """The whole text of the message."""
        if isinstance(self.content, list):
            return "".join(part.text for part in self.content)
        return self.content or ""


class _StreamOptions(Struct):
    include_usage: bool | None = None


class _TextFormat(Struct, tag_field="type", tag="text"):
    pass


_PositiveInt = Annotated[int, Meta(ge=1)]
_Tokens = Annotated[int, Meta(ge=0, le=MAX_SIMULATED_TOKENS)]
_PositiveTokens = Annotated[int, Meta(ge=1, le=MAX_SIMULATED_TOKENS)]
_Seconds = Annotated[float, Meta(ge=0, le=MAX_SIMULATED_LATENCY)]


class Simulate(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The simulator's own extension of a request, `aiq_simulate`: sizes without their weight.

    A call of 95,000 tokens is counted, limited and slow as one, but carries one sentence each way. What is left out
    is as it would be without: the text is counted, and the latencies are those of the simulator, in seconds.
    """

    input: _Tokens | None = None
    output: _PositiveTokens | None = None
    """The length of the answer, unless `max_tokens` is less."""
    latency_first_token: _Seconds | None = None
    latency_per_input_token: _Seconds | None = None
    latency_per_token: _Seconds | None = None


class _ChatRequest(Struct):
    """What is read of a request. Options that would change the answer's shape are typed so that they are refused.

    Options that only colour it (temperature, seed, user …) are not listed, and ignored.
    """

    model: Annotated[str, Meta(min_length=1, max_length=256)]
    messages: Annotated[list[Message], Meta(min_length=1)]
    stream: bool | None = None
    stream_options: _StreamOptions | None = None
    max_tokens: _PositiveInt | None = None
    max_completion_tokens: _PositiveInt | None = None
    n: Literal[1] | None = None
    response_format: _TextFormat | None = None
    stop: None = None
    tools: None = None
    functions: None = None
    modalities: None = None
    aiq_simulate: Simulate = Simulate()


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """A request that was understood."""

    id: str
    model: str
    messages: tuple[Message, ...]
    max_tokens: int | None
    stream: bool
    include_usage: bool
    idempotency_key: str | None
    tokens_in: int
    estimated_tokens_in: int
    """What a provider makes of the number of characters before it has counted the tokens."""
    simulate: Simulate

    @property
    def prompt(self) -> str:
        """The text of every message, one after the other: what faults are matched with."""
        return "\n".join(message.text for message in self.messages)

    @property
    def prompt_digest(self) -> str:
        """The digest by which the ledger knows equal prompts."""
        return prompt_digest([(message.role, message.text) for message in self.messages])

    @property
    def question(self) -> str:
        """The last user message: what the answer is made from."""
        return next(message.text for message in reversed(self.messages) if message.role == "user")


def parse(body: bytes, *, idempotency_key: str | None = None) -> Call:
    """Read the body of a request.

    `usage` counts the text of all messages and nothing else: no roles, no separators.

    Raises:
        BadRequest: it is no chat completion, or asks for what is not simulated; the message says where.
    """
    try:
        request = msgspec.json.decode(body, type=_ChatRequest)
    except msgspec.DecodeError as error:
        raise BadRequest(f"This request cannot be answered here: {error}") from error
    if not any(message.role == "user" for message in request.messages):
        raise BadRequest("There is no message of the role `user` to answer.")
    simulated = request.aiq_simulate.input
    return Call(
        id=f"chatcmpl-{uuid4().hex}",
        model=request.model,
        messages=tuple(request.messages),
        max_tokens=request.max_completion_tokens or request.max_tokens,
        stream=bool(request.stream),
        include_usage=bool(request.stream_options and request.stream_options.include_usage),
        idempotency_key=idempotency_key,
        tokens_in=_tokens_in(request) if simulated is None else simulated,
        estimated_tokens_in=_estimate(request) if simulated is None else simulated,
        simulate=request.aiq_simulate,
    )


def _tokens_in(request: _ChatRequest) -> int:
    return sum(count_tokens(message.text) for message in request.messages)


def _estimate(request: _ChatRequest) -> int:
    return -(-sum(len(message.text) for message in request.messages) // CHARS_PER_TOKEN)


def prompt_digest(messages: Sequence[tuple[str, str]]) -> str:
    """Digest a prompt given as (role, text) pairs: SHA-256 of their JSON, in hexadecimal."""
    return hashlib.sha256(msgspec.json.encode(list(messages))).hexdigest()
