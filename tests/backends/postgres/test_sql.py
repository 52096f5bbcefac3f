"""The statements: the same as SQLite's, static, and planned over an index where a table may be large."""

import asyncio
import re
from collections.abc import Iterator
from pathlib import Path

import asyncpg
import pytest

from aiq.backends import postgres, relational
from aiq.backends.postgres.migrate import migrate, migrations
from aiq.backends.postgres.sql import TEXTS, numbered
from aiq.backends.sqlite.sql import TEXTS as OF_SQLITE
from aiq.model import State
from tests.postgres_servers import postgres_server

FOLDER = Path(postgres.__file__).parent
STEPS = Path(relational.__file__).parent
OWN = {"watch", "opening", "facts", "plain_exchange", "plain_enqueue"}
"""What these ask is the store's own matter; plain steps are functions of the schema here."""
SCHEMA = "plans"
JOBS = 50_000

SMALL = {"aiq_counters", "aiq_claims", "aiq_outbox", "aiq_queues", "aiq_letting_go", "aiq_holds", "aiq_waiting"}
SMALL |= {"aiq_gates", "aiq_moving", "aiq_inbox", "aiq_retention", "aiq_limits", "aiq_budgets", "aiq_pools"}
SMALL |= {"aiq_workers"}
"""Tables of a row a worker, queue, limit or pool, or of which only the first row is taken."""
WHOLE_TABLE_IS_MEANT = {"read.count", "configure.fresh", "load.any_job", "load.count_events"}
"""The counts of everything, and what is counted once: for a new bound, and when a storage is moved."""


def test_both_stores_in_sql_have_the_same_statements() -> None:
    ours, theirs = ({name for name in texts if name.partition(".")[0] not in OWN} for texts in (TEXTS, OF_SQLITE))

    assert ours == theirs


def test_every_statement_is_used() -> None:
    sources = "\n".join(
        path.read_text(encoding="utf-8")
        for folder in (FOLDER, FOLDER / "plain", STEPS)
        for path in sorted(folder.glob("*.py"))
    )
    unused = [name for name in TEXTS if f'"{name}"' not in sources and f'"{name.partition(".")[2]}"' not in sources]

    assert not unused


def test_every_file_of_statements_says_what_it_does_and_for_which_clauses() -> None:
    for path in sorted((FOLDER / "sql").glob("*.sql")):
        header = path.read_text(encoding="utf-8").split("-- name:")[0]
        assert re.match(rf"-- {path.stem}: .+\.", header), path
        assert re.search(r"^-- spec: [A-Z]+-\d", header, re.MULTILINE), path


def test_parameters_are_numbered_in_the_order_in_which_they_come_and_casts_are_none() -> None:
    assert numbered("-- why\nSELECT :b::text, :a\n-- again\nWHERE x = :b;") == (
        "SELECT $1::text, $2\nWHERE x = $1",
        ("b", "a"),
    )


def test_the_states_of_the_schema_are_those_of_the_model() -> None:
    live, ended = re.findall(r"VALUES IN \(([^)]*)\)", migrations()[1])

    assert set(re.findall(r"'(\w+)'", live)) == {state.value for state in State if not state.terminal}
    assert set(re.findall(r"'(\w+)'", ended)) == {state.value for state in State if state.terminal}


# -- Plans


class Planner:
    """A connection to a storage of many jobs that tells how it would run a statement, whatever its parameters are."""

    def __init__(self) -> None:
        self._runner = asyncio.Runner()
        self._connection = self._runner.run(self._open())

    async def _open(self) -> "asyncpg.Connection[asyncpg.Record]":
        address = postgres_server().url(SCHEMA)
        await migrate(address)
        connection = await asyncpg.connect(address.partition("?")[0])
        await connection.execute(
            f"SET search_path TO {SCHEMA}; SET plan_cache_mode TO force_generic_plan; SET jit TO off"
        )
        await connection.execute("SET enable_seqscan TO off; SET enable_hashjoin TO off; SET enable_mergejoin TO off")
        await connection.execute(
            """
            INSERT INTO aiq_jobs (
                n, id, state, queue, band, pool, tenant, lane, position, due_ms, expires_at_ms, cancel_requested_at_ms,
                task, lease_ms, max_attempts, max_stalls, delay_ms, on_upstream, created_at_ms, events
            )
            SELECT
                n, 'job ' || n, (ARRAY['ready', 'running', 'scheduled', 'suspended'])[(1 + n % 4)::int],
                'queue ' || n % 7,
                n % 4, '', '', n % 2, n, n, n, n, 'work', 1, 1, 1, 0, 'fail', 0, 1
            FROM generate_series(1, $1::bigint) AS n
            """,
            JOBS,
        )
        await connection.execute(
            "INSERT INTO aiq_specs (n, digest, payload, depends_on, limits, routes) "
            "SELECT n, '', '', '[]', '[]', '[]' FROM aiq_jobs"
        )
        await connection.execute(
            "INSERT INTO aiq_events (change, n, number, at_ms, transition, target, fence) "
            "SELECT n, n, 1, n, 'T1', 'ready', 0 FROM aiq_jobs"
        )
        await connection.execute("ANALYZE")
        return connection

    def plan(self, name: str) -> str:
        """The plan of a statement."""
        return self._runner.run(self._plan(name))

    async def _plan(self, name: str) -> str:
        text, parameters = TEXTS[name]
        await self._connection.execute(f"PREPARE it AS {text}")
        nothing = f"({', '.join('NULL' for _ in parameters)})" if parameters else ""
        rows = await self._connection.fetch(f"EXPLAIN EXECUTE it{nothing}")
        await self._connection.execute("DEALLOCATE it")
        return "\n".join(row[0] for row in rows)

    def close(self) -> None:
        """End the connection."""
        self._runner.run(self._connection.close(timeout=5))
        self._runner.close()


@pytest.fixture(scope="module")
def planner() -> Iterator[Planner]:
    found = Planner()
    yield found
    found.close()


@pytest.mark.parametrize("name", sorted(name for name in TEXTS if name.partition(".")[0] not in {"audit", "facts"}))
def test_no_statement_looks_at_a_whole_table(planner: Planner, name: str) -> None:
    plan = planner.plan(name)

    assert set(re.findall(r"Seq Scan on (aiq_\w+)", plan)) <= SMALL or name in WHOLE_TABLE_IS_MEANT, plan


@pytest.mark.parametrize(
    ("name", "index"),
    [
        ("claim.next", "aiq_live_ready"),
        ("heads.next", "aiq_live_ready"),
        ("sweeps.due", "aiq_live_due"),
        ("sweeps.expired", "aiq_live_leases"),
        ("sweeps.timed_out", "aiq_live_timeouts"),
        ("sweeps.unheeded", "aiq_live_cancelling"),
        ("fan_in.open_edges", "aiq_edges_open"),
        ("outbox.children", "aiq_live_children"),
        ("list.of_flow", "aiq_live_flows"),
        ("list.of_tenant", "aiq_live_tenants"),
        ("lanes.next_lines", "aiq_lines_open"),
    ],
)
def test_what_is_next_is_found_by_an_index_in_its_order(planner: Planner, name: str, index: str) -> None:
    plan = planner.plan(name)

    assert f"using {index}" in plan or f"on {index}" in plan, plan
