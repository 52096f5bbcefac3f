"""When a step is on disk: its lock goes first, and its answer comes after.

A commit that waits for the disk keeps the lock of its schema meanwhile, so that of any number of writers each would
wait for the disk of all before it. So a step commits without waiting, and what then waits is a transaction of its own
that needs no lock. The server writes its log in one order: what is built on a step cannot be there without it, and the
flush of one is that of all before it. Whatever is answered waits so, a look too, and a step that has found nothing to
write: nobody is told what a crash would take back.

Both are said in one script, hence in one round trip, and on one connection of the server even behind a pooler: a flush
on another one would not know that the server has crashed in between, and come back without the step.
"""

from typing import Final

from aiq.backends.postgres.address import Address

RELEASE: Final = (
    # Where commits wait for a standby the flush of the log here says too little, and a look could not know more.
    "SELECT set_config('synchronous_commit', 'off', true) WHERE current_setting('synchronous_standby_names') = ''"
)
"""What a step says before its COMMIT. In a transaction that was given up it fails."""
_WORD: Final = "pg_logical_emit_message(true, 'aiq', '')"
"""It writes a word into the log, and its commit waits for that. Anybody may, whatever the level of the log."""
_BEHIND: Final = "pg_current_wal_flush_lsn() < pg_current_wal_insert_lsn()"
_FLUSH: Final = (
    f"SELECT {_WORD} WHERE CASE WHEN pg_is_in_recovery() OR current_setting('synchronous_commit') = 'off' THEN false "
    f"ELSE {_BEHIND} END"
)
ALLOW: Final = "SET aiq.release TO 'allowed'"
"""Lets functions of the schema release as well, see `aiq_begin`. They are one statement, so that the flush is another:
nothing is allowed behind a pooler."""
RELEASED: Final = "current_setting('aiq.release', true) = 'done'"
"""Whether a function has released its step, so that it is still to be flushed."""
OWING: Final = (
    f"CASE WHEN step IS NULL OR pg_is_in_recovery() THEN false WHEN {RELEASED} THEN true "
    f"WHEN pg_current_xact_id_if_assigned() IS NULL AND current_setting('synchronous_commit') <> 'off' AND {_BEHIND} "
    f"THEN {_WORD} IS NULL ELSE false END"
)
"""The same, and one that has written nothing waits here for what it has seen."""


def flushing(address: Address) -> str:
    """The text of a transaction that waits until all that was committed before it is as durable as is asked for.

    Where that is so already, it writes nothing: who only looks at a storage that lies idle leaves no trace in its log.
    """
    chosen = address.synchronous_commit
    durable = "" if chosen is None else f"SET LOCAL synchronous_commit TO {chosen}; "
    return f"BEGIN ISOLATION LEVEL READ COMMITTED; {durable}{_FLUSH}; COMMIT"
