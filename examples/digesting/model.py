"""Asking a language model, by the real `openai` package.

Only workers import this: the package takes its time, and whoever merely stores and watches jobs does not need it.
"""

from collections.abc import Sequence
from functools import cache
from typing import Final, TypeAlias

import openai
from openai.types.chat import ChatCompletionChunk

import aiq
from examples.digesting.tasks import CHARS_PER_TOKEN, MAX_ANSWER_TOKENS, PROVIDER, Answer

TIMEOUT_S: Final = 120.0
HOPELESS: Final = (
    openai.BadRequestError,
    openai.AuthenticationError,
    openai.PermissionDeniedError,
    openai.NotFoundError,
    openai.UnprocessableEntityError,
)
"""Asking again would get the same answer: the key, the address or the name of the model is wrong."""

Stream: TypeAlias = openai.AsyncStream[ChatCompletionChunk]


async def ask(ctx: aiq.Context, step: str, model: str, question: str, documents: Sequence[tuple[str, str]]) -> Answer:
    """Ask a model once its limit and the budget have room for it, and pass its tokens on as they come.

    Raises:
        Fatal: the provider will never answer this; no retry can help.
        ConnectionError: the answer broke off; half an answer is none.
        OpenAIError: anything else. The queue tries again; after a 429 it lets everybody wait, and counts no attempt.
    """
    prompt = prompt_of(question, documents)
    need = len(prompt) // CHARS_PER_TOKEN
    try:
        async with (
            ctx.call(PROVIDER, input=need, max_output=MAX_ANSWER_TOKENS, model=model) as call,
            # The same key in every run: a provider that heeds it does not even charge for what a kill has cut.
            await opened(client(), model, prompt, call.max_output, ctx.idempotency_key(step)) as stream,
        ):
            return await _streamed(ctx, call, stream)
    except HOPELESS as error:
        raise aiq.Fatal(f"The provider refused: {error}") from error


def prompt_of(question: str, documents: Sequence[tuple[str, str]]) -> str:
    """Put a question together with the named texts that it is about."""
    enclosed = [f'<document name="{name}">\n{text}\n</document>' for name, text in documents]
    return "\n\n".join([question, *enclosed])


async def opened(through: openai.AsyncOpenAI, model: str, prompt: str, max_output: int | None, key: str) -> Stream:
    """Send a prompt; what comes back is an answer that has begun."""
    return await through.chat.completions.create(
        model=model,
        messages=[{"role": "user", "content": prompt}],
        max_completion_tokens=max_output,
        stream=True,
        stream_options={"include_usage": True},
        extra_headers={"Idempotency-Key": key},
    )


async def _streamed(ctx: aiq.Context, call: aiq.Call, stream: Stream) -> Answer:
    parts: list[str] = []
    finished, tokens_in, tokens_out = False, 0, 0
    async for chunk in stream:
        if chunk.usage is not None:
            call.settle(chunk)  # what it used counts; the rest of what was set aside comes back
            tokens_in, tokens_out = chunk.usage.prompt_tokens, chunk.usage.completion_tokens
        for choice in chunk.choices:
            finished = finished or choice.finish_reason is not None
            if choice.delta.content:
                await ctx.emit(choice.delta.content)
                parts.append(choice.delta.content)
    if not finished or not parts:
        raise ConnectionError("The answer of the provider broke off.")
    return Answer("".join(parts), tokens_in, tokens_out)


@cache
def client() -> openai.AsyncOpenAI:
    """The client of this process. Its address and key come from the environment, which whoever starts it has prepared.

    It does not retry: that belongs to the queue, where it is counted, spread out, and survives the process.
    """
    return openai.AsyncOpenAI(max_retries=0, timeout=TIMEOUT_S)
