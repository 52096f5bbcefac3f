"""A third party tries its own storage without writing a test."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
# A storage of somebody else: in a module of his own, opened by a factory that takes a clock.
THEIRS = """
from contextlib import asynccontextmanager
from aiq.backends import open_storage

@asynccontextmanager
async def open_theirs(clock):
    storage = await open_storage("memory://", clock=clock)
    try:
        yield storage
    finally:
        await storage.close()

class Deaf:
    def __init__(self, storage):
        self._storage = storage
    def __getattr__(self, name):
        return getattr(self._storage, name)
    @property
    def capabilities(self):
        return frozenset()
    async def renew(self, leases, *, lease_ms=None, shrink=False):
        return await self._storage.renew(leases, lease_ms=lease_ms, shrink=True)

@asynccontextmanager
async def open_deaf(clock):
    async with open_theirs(clock) as storage:
        yield Deaf(storage)
"""


def run_suite(folder: Path, *arguments: str) -> tuple[int, str]:
    """pytest as a third party runs it: in a folder, and with settings, of his own."""
    (folder / "theirs.py").write_text(THEIRS, encoding="utf-8")
    (folder / "pytest.ini").write_text("[pytest]\n", encoding="utf-8")
    command = [sys.executable, "-m", "pytest", "-c", "pytest.ini", "-p", "aiq.testing", "-p", "no:cacheprovider"]
    environment = {**os.environ, "PYTHONPATH": str(folder)}
    done = subprocess.run(
        [*command, *arguments], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    return done.returncode, done.stdout + done.stderr


def test_the_whole_suite_runs_on_a_storage_of_somebody_else(tmp_path: Path) -> None:
    report = tmp_path / "report.json"

    code, told = run_suite(
        tmp_path,
        "--pyargs",
        "aiq.testing.conformance",
        "--aiq-backend=theirs:open_theirs",
        f"--aiq-report={report}",
    )

    assert code == 0, told[-2_000:]
    written = json.loads(report.read_text(encoding="utf-8"))
    assert list(written["backends"]) == ["open_theirs"]
    assert len(written["clauses"]) > 100
    assert written["clauses"]["LEASE-4"]["open_theirs"]["passed"] > 0


def test_the_report_names_the_clause_that_does_not_hold_and_the_one_that_does_not_apply(tmp_path: Path) -> None:
    report = tmp_path / "report.json"
    suite = "aiq.testing.conformance"

    code, told = run_suite(
        tmp_path,
        "--pyargs",
        f"{suite}.test_leases",
        f"{suite}.test_storage",
        "--aiq-backend=theirs:open_deaf",
        "--aiq-backend=theirs:open_theirs",
        "-k",
        "shorter or pushes",
        f"--aiq-report={report}",
    )

    assert code == 1, told[-2_000:]
    assert "LEASE-10 does not hold on open_deaf" in told
    clauses = json.loads(report.read_text(encoding="utf-8"))["clauses"]
    assert clauses["LEASE-10"] == {
        "open_deaf": {"passed": 0, "failed": 1, "not_applicable": 0},
        "open_theirs": {"passed": 1, "failed": 0, "not_applicable": 0},
    }
    assert clauses["STORE-6"]["open_deaf"] == {"passed": 0, "failed": 0, "not_applicable": 1}
    assert "STORE-6 does not apply to open_deaf" in told


@pytest.mark.parametrize(
    "others",
    [
        ["-p", "no:asyncio", "-p", "no:anyio", "-W", "error"],
        ["-o", "asyncio_mode=strict"],
        ["-o", "asyncio_mode=auto"],
        ["-p", "no:asyncio", "-o", "anyio_mode=auto"],
    ],
    ids=["none", "strict", "auto", "anyio"],
)
def test_the_suite_suffers_any_asyncio_plugin_and_needs_none(tmp_path: Path, others: list[str]) -> None:
    suite = ["--pyargs", "aiq.testing.conformance.test_steps", "--aiq-backend=theirs:open_theirs"]

    code, told = run_suite(tmp_path, *suite, *others)

    assert code == 0, told[-2_000:]


def test_the_suite_asks_for_a_storage_when_none_is_named(tmp_path: Path) -> None:
    code, told = run_suite(tmp_path, "--pyargs", "aiq.testing.conformance.test_steps", "--noconftest")

    assert code != 0
    assert "Name a storage to try: --aiq-backend=MODULE:FACTORY" in told


def test_nobody_who_imports_aiq_or_its_helpers_imports_pytest() -> None:
    script = "import sys, aiq, aiq.testing, aiq.testing.actions, aiq.testing.mutants; print('pytest' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)

    assert done.stdout.strip() == "False"
