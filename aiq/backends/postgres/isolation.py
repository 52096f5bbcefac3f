"""The isolation of steps of one statement behind a pooler: that of the role, since nothing can be set there.

Where it is a stricter one, such a step finds that its snapshot may be older than its lock, and is made in Python
instead: nothing goes wrong, but a job that took one round trip takes a dozen.
"""

import logging
from typing import Final

import asyncpg

from aiq.backends.postgres.address import Address
from aiq.backends.postgres.beginning import opening
from aiq.backends.postgres.session import Session

_log = logging.getLogger("aiq.postgres")

ENOUGH: Final = "read committed"
_ASKED: Final = f"""
    SELECT current_setting('default_transaction_isolation'), format(
        'ALTER ROLE %I IN DATABASE %I SET default_transaction_isolation TO ''{ENOUGH}''',
        current_user, current_database()
    )
"""
"""The default of this user here, and what gives it another."""
_BEGIN: Final = "BEGIN ISOLATION LEVEL READ COMMITTED"


def check_isolation(address: Address, session: Session) -> None:
    """Warn of steps that are slower than they need be."""
    session.script(opening(address, "READ COMMITTED, READ ONLY"))
    try:
        default, mending = session.call(_ASKED, [])
    finally:
        session.script("ROLLBACK")
    if default != ENOUGH:
        _log.warning(
            "%s: behind a pooler each step takes a dozen round trips where transactions are %s by default. "
            "Run `aiq migrate` with this address, or: %s; and let the pooler RECONNECT.",
            *(address.url, default, mending),
        )


async def mend_isolation(address: Address, connection: "asyncpg.Connection[asyncpg.Record]") -> None:
    """Give our own user, in this database, the default that steps need, where he may; and say so, or what to run."""
    await connection.execute(_BEGIN)
    default, mending = await connection.fetchrow(_ASKED) or (ENOUGH, "")
    await connection.execute("COMMIT")
    if default == ENOUGH:
        return
    try:
        await connection.execute(str(mending))
    except asyncpg.InsufficientPrivilegeError as error:
        _log.warning("%s: have somebody who may (%s) run: %s", address.url, error, mending)
    else:
        _log.warning("%s: this was run, and holds once the pooler has been told to RECONNECT: %s", address.url, mending)
