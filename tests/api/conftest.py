"""A queue in memory, on a clock that only the test moves."""

from collections.abc import AsyncIterator

import pytest

import aiq
from aiq.backends import open_storage
from aiq.testing import Clock, Faulty


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def storage(clock: Clock) -> AsyncIterator[Faulty]:
    memory = await open_storage("memory://", clock=clock)
    yield Faulty(memory)
    assert await memory.audit() == []
    await memory.close()


@pytest.fixture
def queue(storage: Faulty, monkeypatch: pytest.MonkeyPatch) -> aiq.Queue:
    # A call of unknown outcome is repeated at once, so that no test waits.
    monkeypatch.setattr("aiq.job.PAUSES_S", (0, 0))
    return aiq.Queue(storage)
