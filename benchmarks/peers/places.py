"""An empty place for each lap, and what it takes there: a server of its own, or a part of one that was named."""

import os
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from urllib.parse import urlsplit

from benchmarks.private import private, store_of
from benchmarks.stores import ask_postgres, ask_redis, files


@dataclass(frozen=True, slots=True)
class Place:
    """Where a queue under test keeps its jobs."""

    url: str

    def bytes(self) -> int:
        """What is in it takes so much."""
        return _BYTES[store_of(self.url)](self.url)


@contextmanager
def place(store: str, url: str | None) -> Iterator[Place]:
    """An empty one, which is gone afterwards."""
    if url is None:
        with private(store) as found:
            yield Place(found)
    else:
        with _PARTS[store](url) as found:
            yield Place(found)


@contextmanager
def _database(url: str) -> Iterator[str]:
    """A database of its own on a Postgres server. Queues choose the names of their tables themselves."""
    name = f"aiq_peers_{os.getpid()}"
    ask_postgres(url, f"CREATE DATABASE {name} TEMPLATE template0 LC_COLLATE 'C' LC_CTYPE 'C'")
    try:
        yield urlsplit(url)._replace(path=f"/{name}", query="").geturl()
    finally:
        ask_postgres(url, f"DROP DATABASE {name} WITH (FORCE)")


@contextmanager
def _number(url: str) -> Iterator[str]:
    """A numbered database of a Redis server, which must be empty: nobody must lose one that he named by mistake."""
    if held := ask_redis(url, "DBSIZE"):
        raise SystemExit(f"{url} has {held} keys in it, and each lap would remove them. Name an empty database.")
    try:
        yield url
    finally:
        ask_redis(url, "FLUSHDB")


@contextmanager
def _file(url: str) -> Iterator[str]:
    """A file that does not exist yet."""
    if found := [file for file in files(url) if file.exists()]:
        raise SystemExit(f"{found[0]} exists, and each lap would remove it. Name a file that does not exist.")
    try:
        yield url
    finally:
        for file in files(url):
            file.unlink(missing_ok=True)


_PARTS = {"redis": _number, "postgres": _database, "sqlite": _file}


def _of_redis(url: str) -> int:
    """Memory but for scripts: these are there once, however many jobs there are."""
    ask_redis(url, "MEMORY", "PURGE")
    memory = ask_redis(url, "INFO", "memory")
    return int(memory["used_memory"]) - int(memory["used_memory_scripts_eval"])


def _of_postgres(url: str) -> int:
    """Tables, indexes, and what was not vacuumed yet."""
    return int(ask_postgres(url, "SELECT pg_database_size(current_database())"))


def _of_sqlite(url: str) -> int:
    """Pages in use."""
    with closing(sqlite3.connect(files(url)[0])) as file:
        size, pages, free = (file.execute(f"PRAGMA {name}").fetchone()[0] for name in _PAGES)
    return int(size * (pages - free))


_PAGES = ("page_size", "page_count", "freelist_count")
_BYTES: dict[str, Callable[[str], int]] = {"redis": _of_redis, "postgres": _of_postgres, "sqlite": _of_sqlite}
