"""Asking the provider simulator, as its tests do: through the real `openai` package, with nothing retried."""

import asyncio
import json
import urllib.error
import urllib.request
from typing import Any, cast

import openai
from openai.types.chat import ChatCompletion, ChatCompletionChunk

from aiq.testing.provider import Provider

OTTERS = (
    "Otters live along rivers and coasts. The fur of otters is the densest of all mammals, and keeps otters warm. "
    "Otters eat fish, crabs and frogs, which they catch in rivers. A group of resting otters is called a raft. "
    "The weather was fine on the day of the count."
)
ASK = [{"role": "user", "content": f"Summarise the following document:\n\n{OTTERS}"}]
FAR = 600.0
"""Seconds that no test lives to see: whatever waits for this long is ended by something else."""


def client_of(provider: Provider) -> openai.AsyncOpenAI:
    return client_at(provider.base_url)


def client_at(base_url: str) -> openai.AsyncOpenAI:
    # Certificates are not loaded, which takes longer than most of these tests: it is plain HTTP.
    http = openai.DefaultAsyncHttpxClient(verify=False)
    return openai.AsyncOpenAI(base_url=base_url, api_key="none", max_retries=0, timeout=30, http_client=http)


async def ask(client: openai.AsyncOpenAI, messages: Any = ASK, **options: Any) -> ChatCompletion:
    options = {"model": "simulated", "messages": messages, **options}
    return cast(ChatCompletion, await client.chat.completions.create(**options))


async def stream(client: openai.AsyncOpenAI, **options: Any) -> openai.AsyncStream[ChatCompletionChunk]:
    options = {"model": "simulated", "messages": ASK, "stream": True, **options}
    return cast(openai.AsyncStream[ChatCompletionChunk], await client.chat.completions.create(**options))


async def drain(chunks: list[ChatCompletionChunk], answer: openai.AsyncStream[ChatCompletionChunk]) -> None:
    """Read a stream into a list that is the caller's, so that what came before an error is not lost."""
    async for chunk in answer:
        chunks.append(chunk)  # noqa: PERF401 (a comprehension would lose them)


def text_of(chunks: list[ChatCompletionChunk]) -> str:
    return "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)


async def control(provider: Provider, path: str, *, method: str = "GET", body: bytes | None = None) -> tuple[int, Any]:
    """Call a control endpoint; answers with the status and the JSON of the body."""

    def call() -> tuple[int, Any]:
        request = urllib.request.Request(f"{provider.url}{path}", data=body, method=method)
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                return answer.status, json.load(answer)
        except urllib.error.HTTPError as error:
            with error:
                return error.code, json.load(error)

    return await asyncio.to_thread(call)
