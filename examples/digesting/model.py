"""Asking a language model, by the real `openai` package.

Only workers import this: the package takes its time, and whoever merely stores and watches jobs does not need it.
"""

from collections.abc import Sequence
from functools import cache
from typing import Final

import openai
from openai.types.chat import ChatCompletionChunk

import aiq
from examples.digesting.tasks import Answer

MAX_ANSWER_TOKENS: Final = 1_000
TIMEOUT_S: Final = 120.0
HOPELESS: Final = (
    openai.BadRequestError,
    openai.AuthenticationError,
    openai.PermissionDeniedError,
    openai.NotFoundError,
    openai.UnprocessableEntityError,
)
"""Asking again would get the same answer: the key, the address or the name of the model is wrong."""


async def ask(ctx: aiq.Context, step: str, model: str, question: str, documents: Sequence[tuple[str, str]]) -> Answer:
    """Ask a model, and pass its tokens on as they come.

    Raises:
        Fatal: the provider will never answer this; no retry can help.
        ConnectionError: the answer broke off; half an answer is none.
        OpenAIError: anything else. The queue tries again.
    """
    enclosed = "\n\n".join(f'<document name="{name}">\n{text}\n</document>' for name, text in documents)
    try:
        stream = await _client().chat.completions.create(
            model=model,
            messages=[{"role": "user", "content": f"{question}\n\n{enclosed}"}],
            max_completion_tokens=MAX_ANSWER_TOKENS,
            stream=True,
            stream_options={"include_usage": True},
            # The same in every run: a provider that heeds it does not even charge for what a kill has cut.
            extra_headers={"Idempotency-Key": ctx.idempotency_key(step)},
        )
    except HOPELESS as error:
        raise aiq.Fatal(f"The provider refused: {error}") from error
    async with stream:
        return await _streamed(ctx, stream)


async def _streamed(ctx: aiq.Context, stream: openai.AsyncStream[ChatCompletionChunk]) -> Answer:
    parts: list[str] = []
    finished, tokens_in, tokens_out = False, 0, 0
    async for chunk in stream:
        if chunk.usage is not None:
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
def _client() -> openai.AsyncOpenAI:
    # Address and key come from the environment, which the program that starts the worker has prepared. No retries
    # here: a retry belongs to the queue, where it is counted, spread out, and survives the process.
    return openai.AsyncOpenAI(max_retries=0, timeout=TIMEOUT_S)
