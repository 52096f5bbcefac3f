"""Hearing that a file is written to, on systems that tell."""

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path

import pytest

from aiq.backends.sqlite import ear
from aiq.backends.sqlite.ear import Ear

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="Nobody tells of writes here.")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "log"
    path.write_bytes(b"begun")
    return path


class Listener:
    """Counts how often it is called, and wakes whoever waits for that."""

    def __init__(self) -> None:
        self.calls = 0
        self.called = asyncio.Event()

    def __call__(self) -> None:
        self.calls += 1
        self.called.set()


@pytest.fixture
async def listener() -> Listener:
    return Listener()


@pytest.fixture
async def opened(path: Path, listener: Listener) -> AsyncIterator[Ear]:
    found = Ear.open(str(path), listener)
    assert found is not None
    yield found
    with suppress(OSError):
        found.close()


def write(path: Path) -> None:
    with path.open("ab") as file:
        file.write(b"more")


def read(path: Path) -> bytes:
    return path.read_bytes()


async def called(listener: Listener) -> None:
    async with asyncio.timeout(10):
        await listener.called.wait()


async def all_ran() -> None:
    """Let the loop look at its descriptors, and call whom that concerns."""
    for _ in range(3):
        await asyncio.sleep(0)


async def test_a_write_is_heard(path: Path, opened: Ear, listener: Listener) -> None:
    opened.listen()
    write(path)

    await called(listener)


async def test_a_write_while_nobody_listened_is_heard_later(path: Path, opened: Ear, listener: Listener) -> None:
    write(path)
    opened.listen()

    await called(listener)


async def test_many_writes_are_told_once(path: Path, opened: Ear, listener: Listener) -> None:
    opened.listen()
    write(path)
    await called(listener)
    write(path)
    await all_ran()

    assert listener.calls == 1


async def test_what_was_forgotten_is_not_heard(path: Path, opened: Ear, listener: Listener) -> None:
    write(path)

    assert opened.forget()
    assert not opened.forget()
    opened.listen()
    await all_ran()
    assert not listener.calls


async def test_reading_is_no_writing(path: Path, opened: Ear) -> None:
    read(path)

    assert not opened.forget()


async def test_a_closed_ear_calls_nobody(path: Path, opened: Ear, listener: Listener) -> None:
    opened.listen()
    opened.close()
    write(path)
    await all_ran()

    assert not listener.calls


async def test_nobody_listens_to_a_file_that_is_not_there(tmp_path: Path, listener: Listener) -> None:
    assert Ear.open(str(tmp_path / "nothing"), listener) is None


async def test_nobody_listens_where_the_system_does_not_tell(
    path: Path, listener: Listener, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ear.sys, "platform", "darwin")

    assert Ear.open(str(path), listener) is None
