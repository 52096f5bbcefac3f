"""A SQLite file for each test; most verbs need one."""

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TypeAlias

import pytest

from aiq.storage import Storage
from tests.cli.command import within

Stored: TypeAlias = Callable[[Callable[[Storage], Awaitable[object]]], object]


@pytest.fixture
def url(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    address = f"sqlite:///{tmp_path}/jobs.db?synchronous=normal"
    monkeypatch.setenv("AIQ_URL", address)
    return address


@pytest.fixture
def stored(url: str) -> Stored:
    """Does something with the storage of the test, before the command is asked about it."""
    return lambda deed: within(url, deed)
