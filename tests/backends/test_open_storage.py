"""From an address to a storage, or to a sentence that says what is wrong with it."""

import subprocess
import sys
from collections.abc import Awaitable, Callable
from importlib.metadata import EntryPoint, EntryPoints

import pytest

from aiq import backends
from aiq.backends import migrate_storage, open_storage
from aiq.backends.clock import Clock
from aiq.backends.memory.storage import MemoryStorage, open_memory
from aiq.errors import Misconfigured


def offer(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    """Let a distribution offer a backend."""
    offered = EntryPoints([EntryPoint(name, value, backends.GROUP)])
    monkeypatch.setattr(backends, "entry_points", lambda group: offered.select(group=group))


async def test_an_unknown_scheme_names_those_that_are_known() -> None:
    with pytest.raises(Misconfigured, match=r"'mysql'.*memory://, .*sqlite://.*aiq\.backends"):
        await open_storage("mysql://localhost/jobs")


@pytest.mark.parametrize(
    ("use", "url", "client", "extra"),
    [
        (open_storage, "redis://localhost", "redis", "redis"),
        (open_storage, "postgresql://localhost", "asyncpg", "postgres"),
        (migrate_storage, "postgres://localhost", "asyncpg", "postgres"),
    ],
)
async def test_a_storage_whose_client_is_not_installed_says_what_to_install(
    use: Callable[[str], Awaitable[object]], url: str, client: str, extra: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours = f"aiq.backends.{extra}"
    for name in [name for name in sys.modules if name.partition(".")[0] == client or name.startswith(ours)]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, client, None)

    with pytest.raises(Misconfigured, match=rf"pip install 'aiq\[{extra}\]'"):
        await use(url)


async def test_what_is_no_address_is_shown_one() -> None:
    with pytest.raises(Misconfigured, match=r"sqlite:///jobs\.db"):
        await open_storage("jobs.db")


async def test_a_password_is_in_no_message() -> None:
    for url in ("user:hunter2@host/jobs", "mysql://user:hunter2@host/jobs", "user:hunter2@h://x"):
        with pytest.raises(Misconfigured) as told:
            await open_storage(url)
        assert "hunter2" not in str(told.value)


async def test_another_distribution_may_bring_a_backend(monkeypatch: pytest.MonkeyPatch) -> None:
    offer(monkeypatch, "mine", f"{__name__}:open_mine")

    assert isinstance(await open_storage("MINE://anything"), MemoryStorage)


async def test_a_backend_that_cannot_be_imported_says_what_to_reinstall(monkeypatch: pytest.MonkeyPatch) -> None:
    offer(monkeypatch, "mine", "no_such_module:open_mine")

    with pytest.raises(Misconfigured, match="Reinstall no_such_module"):
        await open_storage("mine://anything")


def test_a_backend_is_imported_only_when_it_is_asked_for() -> None:
    script = (
        "import asyncio, sys; from aiq.backends import migrate_storage, open_storage; asyncio.run(open_storage('memory://'));"
        "print(*(name for name in sys.modules if 'sqlite' in name))"
    )
    told = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60)

    assert told.stdout.split() == []


async def open_mine(url: str, clock: Clock | None) -> MemoryStorage:
    return await open_memory("memory://", clock)
