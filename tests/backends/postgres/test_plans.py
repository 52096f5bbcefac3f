"""Plans: what a writer looks for is found by an index however large a table is, and a plan grows with its table."""

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest

from aiq.backends.postgres import session as sessions
from aiq.backends.postgres.address import parse
from aiq.backends.postgres.atomic import Home, _writing
from aiq.backends.postgres.line import Line
from aiq.backends.postgres.migrate import migrate
from aiq.backends.postgres.plain import exchange
from aiq.backends.postgres.sql import TEXTS
from aiq.backends.postgres.storage import PostgresStorage, open_lines
from aiq.model import Lease, Settlement, Succeeded
from aiq.testing.actions import wish
from aiq.testing.clock import Clock
from tests.postgres_servers import aside, connect, postgres_server
from tests.schemas import schemas

JOBS = 20_000
WHOLE_TABLE_IS_MEANT = {"read.count", "load.any_job", "load.count_events"}
"""The counts of everything, and what is counted once, when a storage is moved."""
LARGE = {"aiq_live", "aiq_ended", "aiq_specs", "aiq_events", "aiq_chunks", "aiq_results", "aiq_errors", "aiq_steps"}
LARGE |= {"aiq_signals", "aiq_edges", "aiq_tombstones"}
FILL = f"""
    INSERT INTO aiq_jobs (
        n, id, state, queue, band, pool, tenant, lane, position, due_ms, expires_at_ms, finished_at_ms,
        task, lease_ms, max_attempts, max_stalls, delay_ms, on_upstream, created_at_ms
    )
    SELECT
        n, 'job ' || n, (ARRAY['ready', 'running', 'scheduled', 'succeeded'])[1 + n % 4], 'queue ' || n % 7,
        n % 4, '', '', n % 2, n, n, n, CASE WHEN n % 4 = 3 THEN n END, 'work', 1, 1, 1, 0, 'fail', 0
    FROM generate_series(1, {JOBS}) AS counted(n);
    INSERT INTO aiq_specs (n, digest, payload, depends_on, limits, routes)
    SELECT n, '', '', '[]', '[]', '[]' FROM aiq_jobs;
    INSERT INTO aiq_events (change, n, number, at_ms, transition, target, fence)
    SELECT n, n, 1, 0, '', '', 0 FROM aiq_jobs ORDER BY n;
    INSERT INTO aiq_results (n, result) SELECT n, '' FROM aiq_jobs;
    INSERT INTO aiq_errors (n, number, type, message, traceback, cause, at_ms, fence, attempt)
    SELECT n, 1, '', '', '', '', 0, 0, 0 FROM aiq_jobs;
    INSERT INTO aiq_chunks (change, n, number, kind, data, fence, at_ms) SELECT n, n, 1, '', '', 1, 0 FROM aiq_jobs;
    INSERT INTO aiq_steps (n, step_key, kind, value, digest, fence) SELECT n, '', '', '', '', 1 FROM aiq_jobs;
    INSERT INTO aiq_signals (n, signal_id, name, payload, kept, bound) SELECT n, '', '', '', 1, 0 FROM aiq_jobs;
    INSERT INTO aiq_edges (dependent, wait_key, upstream, dependent_id) SELECT n, '', n + 1, '' FROM aiq_jobs;
    INSERT INTO aiq_tombstones (n, id, digest, state, task, queue, until_ms)
    SELECT -n, 'gone ' || n, '', '', '', '', n FROM aiq_jobs;
"""
PARTIAL = "SELECT indexrelid::regclass::text FROM pg_index WHERE indpred IS NOT NULL"
EXPLAINED = """
    LOAD 'auto_explain';
    SET auto_explain.log_min_duration TO 0;
    SET auto_explain.log_nested_statements TO on;
    SET auto_explain.log_format TO json;
    SET client_min_messages TO log;
"""
"""The plan of each statement within a function comes as a notice."""
CALLS = [
    """
    SELECT aiq_enqueue_4(1, 1000, NULL, NULL, '{a,b}', '{"",""}', '{"",""}', '{0,0}', '{queue 1,queue 1}', '[{
        "kind": 0, "task": "work", "queue": "queue 1", "band": 0, "lease_ms": 1, "max_attempts": 1, "max_stalls": 1,
        "delay_ms": 0, "max_deferral_ms": 0, "on_upstream": "fail"
    }]')
    """,
    "UPDATE aiq_jobs SET fence = 1, lease_id = 'held', expires_at_ms = 9, chunks = 1 WHERE id = 'job 1'",
    "SELECT aiq_renew_4(1, 1000, NULL, 1, '{job 1}', '{1}', '{held}', NULL, false)",
    "SELECT aiq_save_step_4(1, 1000, NULL, 1, 'job 1', 1, 'held', 9, 'key', 'value', '', '')",
    """
    SELECT aiq_append_4(
        1, 1000, NULL, 1, '{job 1}', '{1}', '{held}', '{1}', '{9}', '{3}', '{true}',
        '{1,1,1}', '{1,2,3}', '{data,log,progress}', '{"","",""}', '{a,b,c}', '{1}', '{true}', '{1}', '{1}', '{a}', 99
    )
    """,
]


@pytest.fixture
async def url() -> str:
    """A schema for one test alone: what is put in here, past the storage, is not to be emptied by its rules."""
    found = postgres_server().url(schemas().name())
    await migrate(found)
    return found


async def put(url: str, script: str) -> None:
    postgres_server().tell(f"SET search_path TO {parse(url).schema}; {script}")


def plan_of(answer: str) -> Iterator[dict[str, Any]]:
    """All nodes of a plan, each with that above it under "above"."""
    todo = [{**json.loads(answer)[0]["Plan"], "above": {}}]
    while todo:
        node = todo.pop()
        yield node
        todo += [{**child, "above": node} for child in node.get("Plans", ())]


def reads_all(node: dict[str, Any], partial: set[str]) -> bool:
    """Whether a node goes through all rows of a large table. A partial index has few; below a limit few are read."""
    if node.get("Relation Name") not in LARGE or node["above"].get("Node Type") == "Limit":
        return False
    return "Seq Scan" in node["Node Type"] or (
        node["Node Type"].startswith("Index") and "Index Cond" not in node and node["Index Name"] not in partial
    )


async def test_no_statement_of_a_writer_reads_all_of_a_large_table(url: str) -> None:
    await put(url, FILL + "ANALYZE " + ", ".join(sorted(LARGE)))
    connection = aside(connect(postgres_server().port))
    partial = {name.rpartition(".")[2] for (name,) in aside(connection.fetch(PARTIAL))}
    aside(connection.execute(_writing(parse(url))))
    reading = set()
    for name, statement in TEXTS.items():
        if not name.startswith("audit."):
            aside(connection.execute(f"PREPARE asked AS {statement.text}"))
            values = ", ".join("NULL" for _ in statement.parameters)
            explain = "EXPLAIN (FORMAT JSON) EXECUTE asked" + (f"({values})" if values else "")
            answer = aside(connection.fetchval(explain))
            aside(connection.execute("DEALLOCATE asked"))
            reading |= {name for node in plan_of(answer) if reads_all(node, partial)}
    aside(connection.close(timeout=5))

    assert reading == WHOLE_TABLE_IS_MEANT


async def test_what_is_about_given_jobs_does_not_go_through_all_that_run_since_none_did_when_it_was_planned(
    url: str,
) -> None:
    await put(url, FILL.replace("'running'", "'ready'"))
    for table in ("aiq_live", "aiq_ended"):
        postgres_server().tell(f"VACUUM ANALYZE {parse(url).schema}.{table}")
    connection = aside(connect(postgres_server().port))
    aside(connection.execute(_writing(parse(url))))
    through_all = set()
    for name in ("transaction.succeed", "transaction.move", "claim.lease", "claim.still_running"):
        statement = TEXTS[name]
        aside(connection.execute(f"PREPARE asked AS {statement.text}"))
        values = ", ".join("NULL" for _ in statement.parameters)
        answer = aside(connection.fetchval(f"EXPLAIN (FORMAT JSON) EXECUTE asked({values})"))
        aside(connection.execute("DEALLOCATE asked"))
        nodes = [node for node in plan_of(answer) if node["Node Type"].startswith("Index")]
        through_all |= {name for node in nodes if "Index Cond" not in node}
    aside(connection.close(timeout=5))

    assert through_all == set()


async def test_no_statement_of_a_function_reads_all_of_a_large_table(url: str) -> None:
    counted = f"UPDATE aiq_counters SET jobs = {JOBS}, positions = {JOBS}, changes = {JOBS};"
    await put(url, f"{FILL}{counted} ANALYZE " + ", ".join(sorted(LARGE)))
    connection = aside(connect(postgres_server().port))
    partial = {name.rpartition(".")[2] for (name,) in aside(connection.fetch(PARTIAL))}
    told: list[str] = []
    connection.add_log_listener(lambda _, message: told.append(message.message))
    aside(connection.execute(EXPLAINED))
    for call in CALLS:
        aside(connection.execute(f"SET search_path TO {parse(url).schema}; {call}"))
    aside(connection.close(timeout=5))

    plans = [message.partition("plan:")[2] for message in told if "plan:" in message]
    assert len(plans) > len(CALLS)
    assert [node for plan in plans for node in plan_of(f"[{plan}]") if reads_all(node, partial)] == []


PLAIN = """
    INSERT INTO aiq_jobs (
        n, id, state, queue, band, pool, tenant, lane, position, fence, lease_id, expires_at_ms,
        task, lease_ms, max_attempts, max_stalls, delay_ms, on_upstream, created_at_ms
    )
    SELECT
        -n, 'plain ' || n, (ARRAY['ready', 'running'])[1 + n % 2], 'plain', 2, '', '', 1, n, 1, 'lease', 100000,
        'work', 1, 1, 1, 0, 'fail', 0
    FROM generate_series(1, 20) AS counted(n);
    INSERT INTO aiq_specs (n, digest, payload, depends_on, limits, routes)
    SELECT n, '', '', '[]', '[]', '[]' FROM aiq_jobs WHERE n < 0;
    UPDATE aiq_counters SET changes = 1000000;
"""


@pytest.mark.parametrize("settled", [[], ["plain 1", "plain 3"]])
async def test_no_statement_of_a_claim_by_a_function_reads_all_of_a_large_table(url: str, settled: list[str]) -> None:
    await put(url, FILL + PLAIN + "ANALYZE " + ", ".join(sorted(LARGE)))
    connection = aside(connect(postgres_server().port))
    found = aside(connection.fetch(PARTIAL))
    plans: list[str] = []
    connection.add_log_listener(lambda _, message: plans.append(message.message.partition("plan:")[2]))
    aside(connection.execute(EXPLAINED))
    settlements = [Settlement(Lease(job_id, 1, "lease"), "", Succeeded(b"")) for job_id in settled]
    given = exchange.given(Home(parse(url), Clock(0)), settlements, wish(5, "plain"))
    places = ", ".join(f"${number}" for number in range(1, len(given) + 1))
    call = f"SELECT * FROM {parse(url).schema}.aiq_exchange_4({places})"

    row = aside(connection.fetchrow(call, *given))
    aside(connection.close(timeout=5))

    assert row is not None
    assert len(row["given"]) == 5
    partial = {name.rpartition(".")[2] for (name,) in found}
    nodes = [node for plan in plans for node in plan_of(f"[{plan}]")]
    tables = {node["Relation Name"] for node in nodes if "Relation Name" in node}
    assert tables > {"aiq_live", "aiq_specs", "aiq_claims"}
    assert "aiq_ended" not in tables
    assert [node for node in nodes if reads_all(node, partial)] == []


async def test_what_was_planned_for_an_empty_table_is_planned_anew_once_it_is_large(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    await put(url, "ANALYZE aiq_jobs")
    storage = PostgresStorage(*await opened(url))
    monkeypatch.setattr(sessions, "PLANS_S", 0)
    await storage.cancel(["nobody"])
    await put(url, FILL)
    for_an_empty_table = await planned(storage, "jobs.hot")
    storage._home.news.publish([], range(JOBS))

    await storage.cancel(["nobody"])

    assert "Index Cond: (id = " not in for_an_empty_table
    assert "Index Cond: (id = " in await planned(storage, "jobs.hot")
    await storage.close()


async def test_plans_are_kept_while_little_has_changed(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    await put(url, "ANALYZE aiq_jobs")
    storage = PostgresStorage(*await opened(url))
    monkeypatch.setattr(sessions, "PLANS_S", 0)
    await storage.cancel(["nobody"])
    await put(url, FILL)
    storage._home.news.publish([], range(sessions.FEW_CHANGES))

    await storage.cancel(["nobody"])

    assert "Index Cond: (id = " not in await planned(storage, "jobs.hot")
    await storage.close()


async def test_plans_are_not_kept_for_ever_where_nobody_tells_of_changes(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    await put(url, "ANALYZE aiq_jobs")
    storage = PostgresStorage(*await opened(url))
    await storage.cancel(["nobody"])
    await put(url, FILL)
    monkeypatch.setattr(sessions, "QUIET_PLANS_S", 0)

    await storage.cancel(["nobody"])

    assert "Index Cond: (id = " in await planned(storage, "jobs.hot")
    await storage.close()


async def opened(url: str) -> tuple[Home, Line, Line]:
    home = Home(parse(url), Clock())
    return home, *await open_lines(home)


async def planned(storage: PostgresStorage, name: str) -> str:
    """The plan that the connection of the writer has of a statement."""
    text = re.escape(TEXTS[name].text)

    def ask(line: Line, unwanted: object) -> str:
        session = line.session(float("inf"))
        known = session.do(session.connection.fetch("SELECT name, statement FROM pg_prepared_statements"))
        (found,) = [name for name, statement in known if re.fullmatch(text, statement)]
        session.script(_writing(storage._home.address))
        rows = session.do(session.connection.fetch(f"EXPLAIN EXECUTE {found} ('[]')"))
        session.script("ROLLBACK")
        return "\n".join(row[0] for row in rows)

    return await storage._writer.perform(ask)
