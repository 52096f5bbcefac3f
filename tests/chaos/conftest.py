from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

import aiq
from tests.chaos.fleet import Fleet


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[Fleet]:
    made = Fleet(tmp_path)
    try:
        yield made
    finally:
        made.end()


@pytest.fixture
async def queue(fleet: Fleet) -> AsyncIterator[aiq.Queue]:
    """The same file, held by the test: a producer in another process than any worker."""
    async with aiq.Queue(fleet.url) as opened:
        yield opened
        assert await opened.storage.audit() == []
