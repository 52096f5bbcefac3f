"""Schemas in PostgreSQL as storages of tests: each is made once, and emptied for the next test."""

import atexit
from functools import cache
from itertools import count

from aiq.backends.postgres.migrate import migrate
from tests.postgres_servers import WORKER, Postgres, aside, connect, postgres_server

LOCK_SECONDS = 10
MAX_BYTES = 1 << 20


class Schemas:
    """The schemas of one server that no test has just now. A test may have several at a time."""

    def __init__(self, server: Postgres) -> None:
        self._server = server
        self._free: list[str] = []
        self._names = count(1)
        # It stays open, because a new connection learns about every table anew, and that takes longer than the rest.
        self._connection = aside(connect(server.port))
        aside(self._connection.execute(f"SET lock_timeout = '{LOCK_SECONDS}s'"))
        atexit.register(lambda: aside(self._connection.close(timeout=5)))

    def name(self) -> str:
        """A name for one that is to be made."""
        return f"t{next(self._names)}"

    async def take(self) -> str:
        """The name of one that is made and empty, and that a worker may use. Nobody else has it."""
        return self._free.pop() if self._free else await self.make()

    async def make(self) -> str:
        """A new one, made by its owner, past any pooler."""
        schema = self.name()
        await migrate(self._server.url(schema))
        self._server.tell(
            f"GRANT USAGE ON SCHEMA {schema} TO {WORKER};"
            f"GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA {schema} TO {WORKER};"
            f"REVOKE INSERT, UPDATE, DELETE ON {schema}.aiq_migrations FROM {WORKER};"
        )
        # What it is like now is what it can become again.
        aside(self._remember(schema))
        return schema

    async def _remember(self, schema: str) -> None:
        named = "SELECT relname::text FROM pg_class WHERE relnamespace = $1::text::regnamespace AND relkind::text = $2"
        steps = []
        for (name,) in await self._connection.fetch(named, schema, "r"):
            rows = await self._connection.fetchval(rows_of(f"{schema}.{name}"))
            steps.append(emptying(f"{schema}.{name}") if rows is None else restoring(f"{schema}.{name}", rows))
        for (name,) in await self._connection.fetch(named, schema, "S"):
            # One that nobody has asked yet is left alone: to set it back is to write.
            steps.append(f"PERFORM setval('{schema}.{name}', 1, false) FROM {schema}.{name} WHERE is_called;")
        body = "\n".join(steps)
        await self._connection.execute(
            f"CREATE FUNCTION {emptier(schema)} RETURNS void LANGUAGE plpgsql AS $$ BEGIN\n{body}\nEND $$"
        )

    def give_back(self, schema: str) -> None:
        """Let the next test have a schema, which must be nobody's any more."""
        assert schema not in self._free, f"{schema} was given back before."
        self.empty(schema)
        self._free.append(schema)

    def empty(self, schema: str) -> None:
        """Let a schema be as it was made. This fails where a test has left a transaction open."""
        aside(self._connection.execute(f"SELECT {emptier(schema)}"))


def emptier(schema: str) -> str:
    """What empties a schema, as it is called."""
    return f"public.empty_{schema}()"


def rows_of(table: str) -> str:
    """The rows of a table as one text."""
    return f"SELECT json_agg(whole.*)::text FROM {table} AS whole"


def emptying(table: str) -> str:
    """Nothing was in this table."""
    return (
        f"IF EXISTS (SELECT FROM {table}) THEN "
        # What is deleted is still there to be passed over. With few rows that is faster than a new file.
        f"IF pg_relation_size('{table}') > {MAX_BYTES} THEN TRUNCATE {table}; ELSE DELETE FROM {table}; END IF; END IF;"
    )


def restoring(table: str, rows: str) -> str:
    """These rows were in this table."""
    return (
        f"IF ({rows_of(table)}) IS DISTINCT FROM $rows${rows}$rows$ THEN DELETE FROM {table}; "
        f"INSERT INTO {table} SELECT * FROM json_populate_recordset(NULL::{table}, $rows${rows}$rows$); END IF;"
    )


@cache
def schemas() -> Schemas:
    """The schemas on the server of this process."""
    return Schemas(postgres_server())
