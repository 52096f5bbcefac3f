"""Servers of a test's own, to be broken."""

from collections.abc import Callable, Iterator

import pytest

from tests.servers import Server


@pytest.fixture
def started() -> Iterator[Callable[..., Server]]:
    """Start a server with some options; it is ended with the test."""
    servers = []

    def start(*options: str) -> Server:
        servers.append(Server(*options))
        return servers[-1].start()

    try:
        yield start
    finally:
        for one in servers:
            one.end()
