"""The statements: static text, begun right, planned over an index, and agreeing with the model."""

import ast
import re
import sqlite3
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path

import pytest

from aiq.backends import relational, sqlite
from aiq.backends.relational import audit
from aiq.backends.sqlite import migrate
from aiq.backends.sqlite.opening import TABLES
from aiq.backends.sqlite.sql import TEXTS
from aiq.errors import Misconfigured
from aiq.model import Band, BudgetSpec, Estimate, JobRecord, JobSpec, LimitSpec, RouteSpec, State
from aiq.testing.actions import job
from aiq.testing.clock import Clock
from tests.backends.sqlite_files import opened

FOLDER = Path(sqlite.__file__).parent
STEPS = Path(relational.__file__).parent
SPEC = [field.name for field in fields(JobSpec)]
JOBS = 50_000
WHOLE_TABLE_IS_MEANT = {("read", "count"), ("outbox", "oldest"), ("configure", "fresh")}
WHOLE_TABLE_IS_MEANT |= {("load", "any_job"), ("load", "count_events")}
"""The counts of everything, the first of a table that is read from its beginning, and what is counted once: for a new
bound, and when a storage is moved."""
RUNNERS = {"execute", "executemany", "rows", "row", "run", "many", "later"}
SMALL = ("aiq_counters", "aiq_claims", "aiq_outbox", "aiq_queues", "aiq_letting_go")
SMALL += ("aiq_holds", "aiq_waiting", "aiq_gates", "aiq_moving", "aiq_inbox", "aiq_moved", "aiq_new")
"""Tables of one row, a row a worker or queue, or of which only the first row is taken, and those of one step."""


def statements() -> Iterator[tuple[str, str, str]]:
    for full, text in TEXTS.items():
        operation, _, name = full.partition(".")
        yield operation, name, text


def modules() -> list[tuple[Path, ast.Module]]:
    paths = [path for folder in (FOLDER, FOLDER / "plain", STEPS) for path in sorted(folder.glob("*.py"))]
    return [(path, ast.parse(path.read_text(encoding="utf-8"))) for path in paths]


@pytest.fixture(scope="module")
def large() -> Iterator[sqlite3.Connection]:
    """A storage of many jobs in every state, with what the planner would like to know of it."""
    connection = sqlite3.connect(":memory:", isolation_level=None)
    migrate.migrate(connection, "memory", 0)
    for table in TABLES:
        connection.execute(TEXTS[table])
    connection.execute(
        """
        WITH RECURSIVE counted (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM counted WHERE n < ?)
        INSERT INTO aiq_jobs (
            n, id, state, queue, band, pool, tenant, lane, position, due_ms, expires_at_ms, cancel_requested_at_ms,
            task, lease_ms, max_attempts, max_stalls, delay_ms, on_upstream, created_at_ms
        )
        SELECT
            n, 'job ' || n, substr('ready    running  scheduledsuspended', 1 + 9 * (n % 4), 9), 'queue ' || n % 7,
            n % 4, '', '', n % 2, n, n, n, n, 'work', 1, 1, 1, 0, 'fail', 0
        FROM (SELECT n FROM counted)
        """.replace("substr(", "trim(substr(").replace("9), 'queue", "9)), 'queue"),
        (JOBS,),
    )
    connection.execute("ANALYZE")
    yield connection
    connection.close()


def plan_of(connection: sqlite3.Connection, text: str) -> list[str]:
    return [row[3] for row in connection.execute(f"EXPLAIN QUERY PLAN {text}", defaultdict(lambda: None)).fetchall()]


@pytest.mark.parametrize(("operation", "name", "text"), [s for s in statements() if s[0] != "audit"])
def test_no_statement_looks_at_a_whole_table(large: sqlite3.Connection, operation: str, name: str, text: str) -> None:
    made_here = set(re.findall(r"\) AS (\w+)", text)) | set(re.findall(r"(\w+)(?: \([\w, ]+\))? AS (?:MATER|\()", text))
    scanned = [re.match(r"SCAN (\w+)(?!.* VIRTUAL TABLE)", step) for step in plan_of(large, text)]
    tables = {found.group(1) for found in scanned if found} - made_here - {"CONSTANT", *SMALL}

    assert not tables or (operation, name) in WHOLE_TABLE_IS_MEANT


@pytest.mark.parametrize(
    ("operation", "name", "index"),
    [
        ("claim", "next", "aiq_jobs_ready"),
        ("claim", "any_ready", "aiq_jobs_ready"),
        ("heads", "next", "aiq_jobs_ready"),
        ("lanes", "next_lines", "aiq_lines_open"),
        ("lanes", "least_lines", "aiq_lines_busy"),
        ("lanes", "due_pools", "aiq_pools_due"),
        ("lanes", "due_lines", "aiq_lines_due"),
        ("gates", "due", "aiq_gates_due"),
        ("gates", "first", "aiq_jobs_aside"),
        ("sweeps", "due", "aiq_jobs_due"),
        ("sweeps", "expired", "aiq_jobs_leases"),
        ("sweeps", "timed_out", "aiq_jobs_timeouts"),
        ("sweeps", "unheeded", "aiq_jobs_cancelling"),
        ("fan_in", "open_edges", "aiq_edges_open"),
        ("outbox", "children", "aiq_jobs_children"),
        ("list", "of_flow", "aiq_jobs_flows"),
        ("list", "of_parent", "aiq_jobs_children"),
        ("list", "of_tenant", "aiq_jobs_tenants"),
        ("list", "of_group", "aiq_deaths_number"),
    ],
)
def test_what_is_next_is_found_by_an_index_in_its_order(
    large: sqlite3.Connection, operation: str, name: str, index: str
) -> None:
    plan = plan_of(large, TEXTS[f"{operation}.{name}"])

    assert any(f"USING INDEX {index}" in step or f"COVERING INDEX {index}" in step for step in plan), plan
    assert operation == "outbox" or not any("ORDER BY" in step for step in plan), plan


def test_a_look_at_a_queue_searches_an_index_for_each_of_its_questions(large: sqlite3.Connection) -> None:
    plan = plan_of(large, TEXTS["claim.look"])
    indexes = {found.group(1) for step in plan if (found := re.search(r"INDEX (aiq_\w+) \(", step))}

    assert indexes == {"aiq_jobs_ready", "aiq_jobs_gated", "aiq_pools_due", "aiq_lines_due"}, plan
    assert not any("TEMP B-TREE" in step for step in plan), plan


async def test_every_field_of_a_job_is_read_back_from_its_own_column(tmp_path: Path) -> None:
    options = {"band": Band.HIGH, "delay_ms": 11, "at_ms": 12, "lease_ms": 13, "timeout_ms": 14, "max_attempts": 15}
    options |= {"max_stalls": 16, "flow": "f", "on_upstream": "continue", "tenant": "t", "key": "k", "unique": "u"}
    options |= {"limits": ("l", "m"), "estimate": Estimate(input=18), "budgets": ("b",), "deadline_ms": 17}
    options |= {
        "routes": (RouteSpec(name="r", limits=("m",), patience_ms=19), RouteSpec(name="s")),
        "max_deferral_ms": 20,
    }
    options |= {"creates": (BudgetSpec(id="b", caps={"tokens": 21}),), "max_deferral_ms": 20}
    wanted = job("job", queue="q", payload=b"\xffp", digest="d", depends_on=("c", "b"), **options)
    async with opened(tmp_path / "jobs.db", Clock()) as storage:
        await storage.put_limits([LimitSpec(name=name, requests=1) for name in "lm"])
        await storage.enqueue([job("b"), job("c"), wanted])
        (record,) = await storage.get(["job"])

    content = {name: getattr(wanted, name) for name in SPEC}
    stored = {"state": State.WAITING, "wait_key": "", "pending": 2, "events": 1, "created_at_ms": Clock()()}
    assert record == JobRecord(**content, **stored)


def test_the_states_of_the_schema_are_those_of_the_model() -> None:
    schema = (migrate.FOLDER / "0001_jobs.sql").read_text(encoding="utf-8")
    (states,) = re.findall(r"CHECK \(\s*(state = [^)]*)\)", schema)

    assert set(re.findall(r"'(\w+)'", states)) == {state.value for state in State}


def test_no_table_checks_its_rows_by_a_list(large: sqlite3.Connection) -> None:
    """Of a list of more than two SQLite makes a table, anew for each row: it took as long as writing the row did."""
    tables = [row[0] for row in large.execute("SELECT sql FROM sqlite_master WHERE type = 'table'")]
    lists = re.findall(r"CHECK \(\s*\w+ IN \(([^)]*)\)", "\n".join(tables))

    assert lists
    assert all(len(values.split(",")) <= 2 for values in lists), lists


def test_every_table_and_index_of_ours_is_called_so(large: sqlite3.Connection) -> None:
    names = [row[0] for row in large.execute("SELECT name FROM sqlite_master WHERE name NOT LIKE 'sqlite_%'")]

    assert names
    assert all(name.startswith("aiq_") for name in names)


def test_every_file_of_statements_says_what_it_does_and_for_which_clauses() -> None:
    for path in sorted((FOLDER / "sql").glob("*.sql")):
        operation, header = path.stem, path.read_text(encoding="utf-8").split("-- name:")[0]
        assert re.match(rf"-- {operation}: .+\.", header), operation
        assert re.search(r"^-- spec: [A-Z]+-\d", header, re.MULTILINE), operation


def test_every_check_of_the_audit_has_its_statement() -> None:
    read_whole = {"waiting", "file", "reserved", "limit_states", "budget_states"}

    assert {name for operation, name, _ in statements() if operation == "audit"} == {*audit.CHECKS, *read_whole}


def test_every_statement_that_a_step_names_is_there() -> None:
    for path, _ in modules():
        source = path.read_text(encoding="utf-8")
        for book, operation in re.findall(r'^([A-Z]+): Final = load\("(\w+)"\)$', source, re.MULTILINE):
            named = {f"{operation}.{name}" for name in re.findall(rf'\b{book}\["(\w+)"\]', source)}
            assert named <= TEXTS.keys(), path


def test_every_statement_is_used() -> None:
    sources = "\n".join(path.read_text(encoding="utf-8") for path, _ in modules())
    unused = [
        (operation, name)
        for operation, name, _ in statements()
        if f'"{name}"' not in sources and f'"{operation}.{name}"' not in sources
    ]

    assert not unused


def test_statements_are_static_text_with_named_parameters() -> None:
    assert not [(operation, name) for operation, name, text in statements() if re.search(r"[?%{}]", text)]
    for path, tree in modules():
        for call in (node for node in ast.walk(tree) if isinstance(node, ast.Call)):
            if isinstance(call.func, ast.Attribute) and call.func.attr in {
                "execute",
                "executemany",
                "rows",
                "row",
                "run",
            }:
                made = [a for a in call.args[:1] if isinstance(a, ast.JoinedStr | ast.BinOp)]
                assert not made, f"{path.name}:{call.lineno}"


def test_no_write_begins_as_a_read() -> None:
    """A deferred transaction that comes to write is refused at once if somebody wrote since it began."""
    begins = [
        (path.name, node.value)
        for path, tree in modules()
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and re.match(r"BEGIN\b", node.value)
    ]

    assert sorted(begins) == [
        ("atomic.py", "BEGIN"),
        ("atomic.py", "BEGIN IMMEDIATE"),
        ("migrate.py", "BEGIN EXCLUSIVE"),
        ("opening.py", "BEGIN IMMEDIATE"),
    ]


def test_no_update_answers_with_rows() -> None:
    """A cursor that is left open would forbid the commit."""
    assert not [(operation, name) for operation, name, text in statements() if "RETURNING" in text]


def test_what_is_given_as_one_text_is_taken_apart_once_a_row() -> None:
    """Each look at a column of json_each writes the row as text again; materialised, it is written once."""
    given = [(operation, name, text) for operation, name, text in statements() if ":rows" in text]

    assert given
    for operation, name, text in given:
        assert "WITH given AS MATERIALIZED (SELECT value AS item FROM json_each(:rows))" in text, (operation, name)


def test_a_library_that_is_too_old_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite3, "sqlite_version_info", (3, 34, 1))

    with pytest.raises(Misconfigured, match=r"3\.35"):
        migrate.check_library()


def test_migrations_are_numbered_without_a_gap_and_applied_once() -> None:
    connection = sqlite3.connect(":memory:", isolation_level=None)
    numbers = list(migrate.migrations())

    assert numbers == list(range(1, len(numbers) + 1))
    assert migrate.migrate(connection, "memory", 5) == numbers
    assert migrate.migrate(connection, "memory", 6) == []
    assert connection.execute("SELECT * FROM aiq_migrations").fetchall() == [(number, 5) for number in numbers]
    connection.close()


def test_a_migration_that_fails_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    good = (migrate.FOLDER / "0001_jobs.sql").read_text(encoding="utf-8")
    (tmp_path / "0001_jobs.sql").write_text(f"{good}\nCREATE TABLE aiq_jobs (again);\n", encoding="utf-8")
    monkeypatch.setattr(migrate, "FOLDER", tmp_path)
    connection = sqlite3.connect(":memory:", isolation_level=None)

    with pytest.raises(sqlite3.OperationalError, match="already exists"):
        migrate.migrate(connection, "memory", 0)
    assert not connection.in_transaction
    assert connection.execute("SELECT count(*) FROM sqlite_master").fetchone() == (0,)
    connection.close()
