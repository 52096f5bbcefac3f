"""A handler that calls a provider: run in a world, and what the provider may answer."""

from types import SimpleNamespace
from typing import Any

import aiq
from aiq.model import Usage
from tests.engine.world import World

GPT = SimpleNamespace(name="gpt")
USED = Usage("m", input=9, output=18)


class Answered(Exception):
    def __init__(self, status: int, headers: dict[str, str] | None = None, text: str = "no") -> None:
        super().__init__(text)
        self.status_code, self.headers = status, headers or {}


def task(handler: Any, **options: Any) -> Any:
    return aiq.task(retry=aiq.Retry(attempts=1), **options)(handler)


async def run(world: World, handler: Any, **settings: Any) -> str:
    """Run a job of a handler until nothing is left to do."""
    made = handler if isinstance(handler, aiq.Task) else task(handler)
    [job] = await world.enqueue(made.job())
    await world.drain(made, **settings)
    return job
