"""Who is asked: a provider that the environment names, or a simulator of ours, which costs nothing."""

import os
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

from examples.digesting.processes import Child, start


@asynccontextmanager
async def simulated(ledger: Path, hear: Callable[[str], None]) -> AsyncIterator[tuple[Mapping[str, str], Child]]:
    """A simulator, as a process and as the variables that the `openai` package reads. It ends with the block."""
    simulator = await start("examples.digesting.simulator", ["--ledger", str(ledger)], _unpaid(), hear)
    try:
        address = str(simulator.ready["base_url"])
        yield {**_unpaid(), "OPENAI_BASE_URL": address, "OPENAI_API_KEY": "simulated"}, simulator
    finally:
        await simulator.stop()


def _unpaid() -> dict[str, str]:
    """The environment without anything that could lead to a real provider, or past the simulator."""
    return {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("OPENAI_") and not name.lower().endswith("_proxy")
    }
