"""From an address to a storage. A backend, and its driver, are imported only when an address asks for them."""

from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from importlib.metadata import entry_points
from typing import Final, NamedTuple, TypeAlias, cast

from aiq.backends.clock import Clock
from aiq.errors import Misconfigured
from aiq.storage import Storage

Opener: TypeAlias = Callable[[str, Clock | None], Awaitable[Storage]]
"""What an entry point of the group `aiq.backends`, named like its scheme, leads to: (url, clock) -> storage."""

GROUP: Final = "aiq.backends"
_REDIS: Final = (
    "redis",
    "rediss",
    "redis+unix",
    "redis+sentinel",
    "rediss+sentinel",
    "redis+cluster",
    "rediss+cluster",
)
_POSTGRES: Final = ("postgresql", "postgres")
_OURS: Final = ("memory", "sqlite", *_REDIS, *_POSTGRES)


class Migrated(NamedTuple):
    """What was done: the numbers of the migrations applied, none if there was nothing to do, and the schema now."""

    applied: list[int]
    schema: int


async def open_storage(url: str, *, clock: Clock | None = None) -> Storage:
    """Open the storage at an address, and make it where that is the backend's custom.

    `memory://` is a new, empty one; `memory://NAME` is the one of that name in this process, as long as
    somebody holds it open. `sqlite:///relative.db` and `sqlite:////absolute.db` are files. Other schemes
    come from distributions that name them in the entry-point group `aiq.backends`. `clock` gives
    milliseconds; None is the store's own.

    Raises:
        Misconfigured: no such scheme is known here, or its address makes no sense.
    """
    scheme, separator, _ = url.partition("://")
    if not separator:
        raise Misconfigured(
            f"A storage is named by a URL such as sqlite:///jobs.db or memory://; {_told(url)} is none."
        )
    return await _opener(scheme.lower())(url, clock)


async def migrate_storage(url: str) -> Migrated | None:
    """Bring the storage at an address up to date where somebody has to do that, who may change its schema.

    None is the answer of all others: whoever opens one of them makes what is missing.

    Raises:
        Misconfigured: it makes no sense, or its user may not do this.
        StorageMismatch: a later version of aiq has migrated it.
        Unavailable: the server cannot be reached.
    """
    if url.partition("://")[0].lower() not in _POSTGRES:
        return None
    _postgres_opener()
    from aiq.backends.postgres.migrate import migrate, migrations

    return Migrated(await migrate(url), max(migrations()))


def _opener(scheme: str) -> Opener:
    if scheme == "memory":
        from aiq.backends.memory.storage import open_memory

        return open_memory
    if scheme == "sqlite":
        from aiq.backends.sqlite.storage import open_sqlite

        return open_sqlite
    if scheme in _REDIS:
        return _redis_opener()
    if scheme in _POSTGRES:
        return _postgres_opener()
    return _foreign_opener(scheme)


def _redis_opener() -> Opener:
    with _driver("redis", "A storage in Redis needs its client: pip install 'aiq[redis]'."):
        from aiq.backends.redis.storage import open_redis

    return open_redis


def _postgres_opener() -> Opener:
    with _driver("asyncpg", "A storage in Postgres needs its driver: pip install 'aiq[postgres]'."):
        from aiq.backends.postgres.storage import open_postgres

    return open_postgres


@contextmanager
def _driver(package: str, missing: str) -> Iterator[None]:
    """Say what to install where a driver is not there."""
    try:
        yield
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] != package:
            raise
        raise Misconfigured(missing) from error


def _foreign_opener(scheme: str) -> Opener:
    """The opener that another distribution offers for a scheme."""
    offers = {point.name: point for point in entry_points(group=GROUP)}
    if scheme not in offers:
        raise Misconfigured(_unknown(scheme, [*_OURS, *offers]))
    try:
        return cast(Opener, offers[scheme].load())
    except ImportError as error:
        owner = offers[scheme].dist
        name = owner.name if owner else offers[scheme].module
        raise Misconfigured(f"The backend for {scheme}:// cannot be imported ({error}). Reinstall {name}.") from error


def _unknown(scheme: str, known: list[str]) -> str:
    schemes = ", ".join(f"{name}://" for name in sorted(known))
    return (
        f"No backend for {_told(scheme)} is known. Known here: {schemes}. "
        f"Another one comes with a distribution that offers it in the entry-point group {GROUP}; install that."
    )


def _told(text: str) -> str:
    """A piece of an address, short enough for a message and without what may be a password."""
    return repr(text) if len(text) <= 32 and "@" not in text else "what was given"
