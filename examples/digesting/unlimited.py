"""The same questions as most programs ask them, without a queue and limits: so many at once, and again when refused.

It is what the demo is compared with. The `openai` package tries again by itself, after the time that the provider
names. The answers are thrown away: what counts is the ledger of the provider.
"""

import argparse
import asyncio
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import openai

from examples.digesting.folder import make_plan
from examples.digesting.model import opened, prompt_of
from examples.digesting.tasks import COMPOSE, MAX_ANSWER_TOKENS, OVERVIEW, SUMMARISE, Plan
from examples.digesting.tether import when_input_ends

RETRIES: Final = 20
"""Far more than the two that the package has by default: with those, documents would be missing."""


def main() -> int:
    """Ask all questions of a digest."""
    parser = argparse.ArgumentParser(prog="python -m examples.digesting.unlimited")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--model", required=True)
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--slots", type=int, required=True)
    options = parser.parse_args()
    asyncio.run(_digest(make_plan(options.folder, options.model, options.output), options.slots))
    return 0


async def _digest(plan: Plan, slots: int) -> None:
    digesting = asyncio.current_task()
    assert digesting is not None
    when_input_ends(digesting.cancel)
    sys.stdout.write('{"ready": true}\n')
    sys.stdout.flush()
    asker = Asker(plan.model, slots)
    answers = [asker.ask(d.name, SUMMARISE, [(d.name, d.read(plan.folder))]) for d in plan.documents]
    texts = zip((d.name for d in plan.documents), await asyncio.gather(*answers), strict=True)
    await asker.ask(OVERVIEW, COMPOSE, [(name, text) for name, text in texts if text])


class Asker:
    """Asks a model, `slots` questions at once."""

    def __init__(self, model: str, slots: int) -> None:
        self._model, self._slots = model, asyncio.Semaphore(slots)
        self._client = openai.AsyncOpenAI(max_retries=RETRIES)

    async def ask(self, name: str, question: str, documents: Sequence[tuple[str, str]]) -> str:
        """What the model answers; nothing, if it was refused too often."""
        prompt, parts = prompt_of(question, documents), list[str]()
        async with self._slots:
            try:
                async with await opened(self._client, self._model, prompt, MAX_ANSWER_TOKENS, name) as stream:
                    async for chunk in stream:
                        parts += [choice.delta.content or "" for choice in chunk.choices]
            except openai.OpenAIError:
                return ""
        return "".join(parts)


if __name__ == "__main__":
    sys.exit(main())
