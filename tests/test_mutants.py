"""The score of the conformance suite: how many wrong storages it refuses. Every one has to be."""

import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import ModuleType
from typing import TypeAlias

import pytest

from aiq.testing.mutants import MUTANTS, flows, jobs, runs, streams

ROOT = Path(__file__).parent.parent
SUITE = ROOT / "tests" / "conformance"
MODEL = SUITE / "test_model.py"
PROCESSES = 2
# A mutant that trips over itself would be refused by any test, and prove nothing.
BROKEN = ("ImportError", "SyntaxError", "NameError", "UnboundLocalError", "AttributeError", "TypeError")

Failures: TypeAlias = dict[str, dict[str, str]]


def try_some(names: list[str], report: Path, options: list[str]) -> Failures:
    """Run the suite on mutants, each until its first failure: the tests that it failed, with the reasons."""
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--tb=line", *options]
    command += [f"--aiq-backend=aiq.testing.mutants:{name}" for name in names]
    command += ["--aiq-first-failure", f"--aiq-report={report}"]
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    assert done.returncode in (0, 1), done.stdout[-2_000:]
    backends = json.loads(report.read_text(encoding="utf-8"))["backends"]
    return {name: backends.get(name, {}).get("failed", {}) for name in names}


def try_all(names: list[str], folder: Path, *options: str) -> Failures:
    failures: Failures = {}
    parts = [(names[n::PROCESSES], folder / f"{n}.json", list(options)) for n in range(PROCESSES)]
    with ThreadPoolExecutor(PROCESSES) as pool:
        for part in pool.map(try_some, *zip(*parts, strict=True)):
            failures |= part
    return failures


def missed_by(who: str, failures: Failures, capsys: pytest.CaptureFixture[str]) -> list[str]:
    """Tell the score, and name the mutants that were not refused."""
    missed = [name for name, failed in failures.items() if not failed]
    with capsys.disabled():
        sys.stdout.write(f"\n{len(failures) - len(missed)} of {len(failures)} mutants are refused by {who}\n")
    return missed


def test_every_mutant_is_refused_by_the_tests_of_the_clauses_it_breaks(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    failures = try_all(list(MUTANTS), tmp_path, str(SUITE), f"--ignore={MODEL}")

    reasons = {name: reason for name, failed in failures.items() for reason in failed.values()}
    assert missed_by("the tests of their clauses", failures, capsys) == []
    assert {name: reason for name, reason in reasons.items() if reason.startswith(BROKEN)} == {}


def test_the_reference_that_notices_nothing_passes_where_mutants_fail(tmp_path: Path) -> None:
    assert try_some(["control"], tmp_path / "control.json", [str(SUITE), f"--ignore={MODEL}"]) == {"control": {}}


@pytest.mark.faults
@pytest.mark.parametrize(
    "chapters", [jobs, runs, flows, streams], ids=lambda module: module.__name__.rpartition(".")[2]
)
def test_most_mutants_are_refused_by_random_histories_alone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], chapters: ModuleType
) -> None:
    names = [f"anywhere_{name}" for name in chapters.MUTANTS]
    missed = missed_by("random histories alone", try_all(names, tmp_path, str(MODEL)), capsys)

    assert len(missed) < len(names) / 3, missed
