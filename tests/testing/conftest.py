"""A provider that answers at once, and a client of it."""

from collections.abc import AsyncIterator

import openai
import pytest

from aiq.testing.provider import Provider
from tests.testing.asking import client_of


@pytest.fixture
async def provider() -> AsyncIterator[Provider]:
    async with Provider(latency_first_token=0, latency_per_token=0) as made:
        yield made


@pytest.fixture
async def client(provider: Provider) -> AsyncIterator[openai.AsyncOpenAI]:
    async with client_of(provider) as made:
        yield made
