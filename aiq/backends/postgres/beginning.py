"""What begins a transaction: its isolation, and what it may take, whatever the role or the database says."""

from typing import Final

from aiq.backends.postgres.address import Address

IDLE_MS: Final = 5_000
"""How long a transaction may stand still before the server ends it: a process that is stopped keeps no lock longer."""

_SHARE_PERCENT: Final = 90
"""Of what a step may take in all, how much one statement may wait or take."""


def opening(address: Address, how: str, more: str = "") -> str:
    """The text of it. `more` stands behind.

    The server gives up a little before we do: then it is known that others were in the way, and the connection is kept.

    The statements are written for plans by index, and it does not depend on statistics that they get one: a storage
    that was empty when a plan was made may hold a million jobs a minute later.
    """
    limit_ms = patience_ms(address)
    return (
        f"BEGIN ISOLATION LEVEL {how}; SET LOCAL search_path TO '{address.schema}'; SET LOCAL jit TO off; "
        f"SET LOCAL lock_timeout TO {limit_ms}; SET LOCAL statement_timeout TO {limit_ms}; "
        f"SET LOCAL idle_in_transaction_session_timeout TO {IDLE_MS}; {more}"
    )


def patience_ms(address: Address) -> int:
    """How long one statement may wait for others at most."""
    return address.timeout_ms * _SHARE_PERCENT // 100
