"""What begins a transaction: its isolation, and what it may take, whatever the role or the database says."""

import zlib
from typing import Final

from aiq.backends.postgres.address import Address

IDLE_MS: Final = 5_000
"""How long a transaction may stand still before the server ends it: a process that is stopped keeps no lock longer."""

ROW_MS: Final = 1_000
"""How long a step waits at most for a row that somebody holds who is no part of this storage."""

_CLASS: Final = 0x616971
"""The first half of our advisory locks, so that they are none of another program's."""
_SHARE_PERCENT: Final = 90
"""Of what a step may take in all, how much one statement may take, and of that, how much it may wait for others."""


def opening(address: Address, how: str, more: str = "") -> str:
    """The text of it. `more` stands behind.

    The server gives up a little before we do, and a wait a little before a statement does: then it is known that others
    were in the way, and the connection is kept.

    The statements are written for plans by index, and it does not depend on statistics that they get one: a storage
    that was empty when a plan was made may hold a million jobs a minute later.
    """
    return (
        f"BEGIN ISOLATION LEVEL {how}; SET LOCAL search_path TO '{address.schema}'; SET LOCAL jit TO off; "
        f"SET LOCAL lock_timeout TO {patience_ms(address)}; SET LOCAL statement_timeout TO {longest_ms(address)}; "
        f"SET LOCAL idle_in_transaction_session_timeout TO {IDLE_MS}; {more}"
    )


def session(address: Address) -> str:
    """The same for a step of one statement, which begins by itself: what holds for as long as a connection stays. A
    pooler does not pass on what it is told as the connection is made."""
    return f"SET default_transaction_isolation TO 'read committed'; SET statement_timeout TO {longest_ms(address)}"


def longest_ms(address: Address) -> int:
    """How long one statement may take at most."""
    return address.timeout_ms * _SHARE_PERCENT // 100


def patience_ms(address: Address) -> int:
    """How long one statement may wait for others at most."""
    return longest_ms(address) * _SHARE_PERCENT // 100


def row_patience_ms(address: Address) -> int:
    """How long a step waits for a row of somebody else's. All who write wait for that step, and for far longer than
    this, so that they do not lose patience with it."""
    return min(ROW_MS, address.timeout_ms // 5)


def writers_lock(address: Address) -> str:
    """What waits for the lock of those who write, which goes with the transaction."""
    return f"SELECT pg_advisory_xact_lock({_CLASS}, {lock_of(address)})"


def trying(address: Address) -> str:
    """What takes that lock where nobody has it, and notes whether somebody has."""
    tried = f"pg_try_advisory_xact_lock({_CLASS}, {lock_of(address)})"
    return f"SELECT set_config('aiq.waited', (NOT {tried})::text, true)"


HAS_WAITED: Final = "SELECT WHERE current_setting('aiq.waited') = 'true'"
"""What answers whether somebody had: a script answers how many rows its last word has."""


def lock_of(address: Address) -> int:
    """The second half of that lock: which schema it is."""
    return zlib.crc32(address.schema.encode()) - 2**31
