"""The least that a queue in Postgres can do: a row that comes, is taken, and goes. Nothing is kept of it."""

from typing import Any, Final

import asyncpg

from benchmarks.ceiling.bare import PAYLOAD

TABLE: Final = """
CREATE TABLE bare (
    n bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    queue text NOT NULL DEFAULT 'default',
    taken boolean NOT NULL DEFAULT false,
    payload bytea NOT NULL
) WITH (fillfactor = 70);
CREATE INDEX ON bare (queue, n) WHERE NOT taken
"""
PUT: Final = "INSERT INTO bare (payload) SELECT unnest($1::bytea[])"
TURN: Final = """
WITH ended AS (DELETE FROM bare WHERE n = ANY($1::bigint[]) AND taken),
head AS MATERIALIZED (
    SELECT n FROM bare WHERE queue = 'default' AND NOT taken ORDER BY n LIMIT $2 FOR UPDATE SKIP LOCKED
)
UPDATE bare SET taken = true FROM head WHERE bare.n = head.n RETURNING bare.n, bare.payload
"""


class BarePostgres:
    """See `benchmarks.ceiling.bare.Bare`."""

    def __init__(self) -> None:
        self._taken: list[int] = []

    async def open(self, url: str) -> None:
        """One connection, and what it says prepared."""
        # Any: the driver's connections are generic in their records.
        self._connection: Any = await asyncpg.connect(url)
        await self._connection.execute(TABLE)
        self._put, self._turn = await self._connection.prepare(PUT), await self._connection.prepare(TURN)

    async def put(self, jobs: int) -> None:
        """One statement."""
        await self._put.fetch([PAYLOAD] * jobs)

    async def turn(self, jobs: int) -> int:
        """One statement."""
        self._taken = [row[0] for row in await self._turn.fetch(self._taken, jobs)]
        return len(self._taken)

    async def close(self) -> None:
        """Disconnect."""
        await self._connection.close()
