"""Storages on servers of a benchmark's own: on loopback, with the defaults of their store, and gone afterwards."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from tests.postgres_servers import SUPERUSER, Postgres
from tests.servers import Server

DURABLE: Final = ("fsync=on", "full_page_writes=on")
"""The defaults of a server. Those of the tests do without them."""
_PLAIN: Final = "CREATE DATABASE bench TEMPLATE template0 LC_COLLATE 'C' LC_CTYPE 'C'"
"""The order of a language costs an index of texts much, and not every queue asks for that of bytes by itself."""
_SINCE_15: Final = " LOCALE_PROVIDER libc"


def private(store: str) -> AbstractContextManager[str]:
    """The address of an empty storage: its whole server, or folder, is its own."""
    return STORES[store]()


@contextmanager
def _redis() -> Iterator[str]:
    server = Server("--appendonly", "no").start()
    try:
        # As its owner: not every queue makes do with few rights.
        yield f"redis://127.0.0.1:{server.port}/0"
    finally:
        server.end()


@contextmanager
def _postgres() -> Iterator[str]:
    server = Postgres(*DURABLE).start()
    try:
        ((version,),) = server.ask("SELECT current_setting('server_version_num')::int / 10000")
        server.tell(_PLAIN + (_SINCE_15 if version >= 15 else ""))
        server.tell("CHECKPOINT")
        yield f"postgresql://{SUPERUSER}@127.0.0.1:{server.port}/bench"
    finally:
        server.end()


@contextmanager
def _sqlite() -> Iterator[str]:
    with TemporaryDirectory() as folder:
        yield f"sqlite:///{Path(folder, 'bench.db')}"


STORES: Final[dict[str, Callable[[], AbstractContextManager[str]]]] = {
    "redis": _redis,
    "postgres": _postgres,
    "sqlite": _sqlite,
}
"""What makes a storage of each kind."""


def store_of(url: str) -> str:
    """The kind of a storage, by its address."""
    scheme = url.partition("://")[0]
    return next((store for store in STORES if scheme.startswith(store)), scheme)
