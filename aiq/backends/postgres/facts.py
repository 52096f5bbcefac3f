"""What a Postgres storage stands on: the server, the schema, its settings, the clock.

Each judgement is a pure function of what was found, so that it can be tested without such a server.
"""

from collections.abc import Iterator
from typing import Final

from aiq.backends.postgres.address import Address
from aiq.backends.postgres.isolation import ENOUGH
from aiq.backends.postgres.migrate import OLDEST_SERVER, migrations
from aiq.backends.relational.retire import marks
from aiq.backends.relational.statements import load
from aiq.backends.relational.transaction import Transaction
from aiq.model import Fact, Level
from aiq.rules.facts import clock_fact, inbox_fact, moving_fact

SQL: Final = load("facts")
INBOX: Final = load("inbox")

_LOCAL: Final = frozenset({"localhost", "127.0.0.1", "::1"})
_SAFE: Final = frozenset({"require", "verify-ca", "verify-full"})
_OLD_SNAPSHOT_MS: Final = 300_000
_CONNECTIONS_LEFT: Final = 10


def facts(tx: Transaction, address: Address) -> list[Fact]:
    """Look at the server, the schema, its settings, and whether it moves. Spec: FACT-1, FACT-3"""
    return list(_facts(tx, address))


def _facts(tx: Transaction, address: Address) -> Iterator[Fact]:
    (version, number, synchronous, fsync, used, most, snapshot_ms, sees_all, newest_ms, isolation) = tx.rows(
        SQL["server"]
    )[0]
    yield server_fact(int(version))
    yield schema_fact(number, max(migrations()))
    yield durability_fact(address.synchronous_commit or synchronous, fsync)
    yield transport_fact(address)
    yield isolation_fact(isolation)
    yield connections_fact(used, int(most))
    yield snapshot_fact(snapshot_ms, sees_all=sees_all)
    yield clock_fact(tx.now_ms if newest_ms is None else newest_ms, tx.now_ms)
    found = marks(tx)
    yield inbox_fact(*tx.rows(INBOX["counts"])[0], moved="moved" in found)
    yield moving_fact(found.get("moved"), found.get("loading"), f"run DROP SCHEMA {address.schema} CASCADE")


def server_fact(version: int) -> Fact:
    """Say which server it is."""
    text = f"PostgreSQL {version // 10_000}.{version % 10_000}."
    if version < OLDEST_SERVER * 10_000:
        return Fact("server", Level.FAIL, text, f"aiq needs PostgreSQL {OLDEST_SERVER} or newer.")
    return Fact("server", Level.OK, text)


def schema_fact(found: int, known: int) -> Fact:
    """Compare the schema with the newest that is known here. One that is newer has only more in it."""
    if found > known:
        return Fact("schema", Level.OK, f"Schema {found}; this version knows {known}, and uses what it knows.")
    return Fact("schema", Level.OK, f"Schema {found}, the newest that this version knows.")


def durability_fact(synchronous: str, fsync: str) -> Fact:
    """Say what the loss of power may take."""
    if fsync == "off":
        return Fact("durability", Level.FAIL, "fsync is off: a loss of power may damage all.", "Set fsync = on.")
    if synchronous == "off":
        return Fact(
            "durability",
            Level.WARN,
            "synchronous_commit=off: a loss of power may take the last commits, acknowledged jobs among them.",
            "Leave it on if an acknowledged job must survive that.",
        )
    return Fact(
        "durability", Level.OK, f"synchronous_commit={synchronous}: what is acknowledged survives a loss of power."
    )


def transport_fact(address: Address) -> Fact:
    """Warn of what may go over a network in clear: by default TLS is used where the server offers it."""
    is_safe = address.sslmode in _SAFE
    if is_safe or all(host in _LOCAL or host.startswith("/") for host in address.hosts):
        return Fact("transport", Level.OK, f"Over {'TLS' if is_safe else 'this machine only'}.")
    advice = "Use sslmode=verify-full, or require, where others can listen on the network."
    return Fact("transport", Level.WARN, "Passwords and payloads may go over the network in clear.", advice)


def isolation_fact(default: str) -> Fact:
    """Warn of steps that are slower than they need be. Without a pooler each connection sets its own."""
    text = f"Transactions are {default} by default."
    if default != ENOUGH:
        return Fact(
            "isolation",
            Level.WARN,
            f"{text} Behind a pooler each step takes a dozen round trips then.",
            f"ALTER ROLE … SET default_transaction_isolation TO '{ENOUGH}', or aiq migrate with this address, and let "
            "the pooler RECONNECT.",
        )
    return Fact("isolation", Level.OK, text)


def connections_fact(used: int, most: int) -> Fact:
    """Warn before there is no connection left: each storage takes two or three."""
    text = f"{used} of {most} connections are in use."
    if most - used < _CONNECTIONS_LEFT:
        return Fact("connections", Level.WARN, text, "Raise max_connections, or put pgbouncer before the server.")
    return Fact("connections", Level.OK, text)


def snapshot_fact(age_ms: int | None, *, sees_all: bool) -> Fact:
    """A transaction that stays open keeps what is dead from being cleared away, and every claim gets slower."""
    if age_ms is not None and age_ms >= _OLD_SNAPSHOT_MS:
        return Fact(
            "snapshots",
            Level.WARN,
            f"A transaction has been open for {age_ms / 1000:,.0f} s: what is dead cannot be cleared away meanwhile.",
            "Find it in pg_stat_activity (xact_start), and end it; set idle_in_transaction_session_timeout.",
        )
    if not sees_all:
        text = (
            "No transaction of this user has been open for long; those of others it sees with pg_read_all_stats alone."
        )
        return Fact("snapshots", Level.OK, text)
    return Fact("snapshots", Level.OK, "No transaction has been open for long.")


def wakeups_fact(address: Address, *, hears: bool) -> Fact:
    """Say whether notifications come through. Without them somebody who waits hears later, and asks more often."""
    if hears:
        return Fact("wake-ups", Level.OK, "Notifications are heard.")
    if address.pooled and not address.listen:
        return Fact("wake-ups", Level.OK, "Behind a pooler none are heard without &listen=: whoever waits looks often.")
    return Fact(
        "wake-ups",
        Level.WARN,
        "Notifications are not heard: whoever waits looks every half second.",
        "The log aiq.postgres says why, if there was an error. The user must be allowed to call pg_notify, and listen= "
        "must name the server itself.",
    )
