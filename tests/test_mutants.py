"""The score of the conformance suite: how many wrong storages it refuses. Every one has to be."""

import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeAlias

import pytest

from aiq.testing.mutants import MUTANTS
from aiq.testing.mutants.mutant import Edit

ROOT = Path(__file__).parent.parent
SUITE = ROOT / "tests" / "conformance"
MODEL = SUITE / "test_model.py"
MODELS = [
    f"--ignore={model}"
    for model in (
        MODEL,
        *(SUITE / f"test_model_{chapter}.py" for chapter in ("admission", "keys", "schedules", "unique")),
    )
]
"""Random histories take long, and find most faults: the tests that say what is wrong must find them too."""
PROCESSES = 2
PARTS = 5
"""So many tests share the mutants, because one test has a time in which it must be done."""
# A mutant that trips over itself would be refused by any test, and prove nothing.
BROKEN = ("ImportError", "SyntaxError", "NameError", "UnboundLocalError", "AttributeError", "TypeError")

# The oldest faults of job queues, each of which somebody has shipped.
KNOWN_FROM_OTHER_QUEUES = [
    "a_settlement_needs_no_lease",
    "an_append_needs_no_lease",
    "a_step_needs_no_lease",
    "a_child_needs_no_lease",
    "the_error_of_a_lost_run_is_written_down",
    "only_the_fence_is_compared",
    "only_the_lease_id_is_compared",
    "fence_does_not_rise_after_the_first_claim",
    "an_expired_lease_is_renewed",
    "a_renewal_adds_to_the_lease",
    "a_claim_ignores_the_length_of_the_job",
    "a_lease_lives_in_its_last_instant",
    "a_sweep_takes_live_leases",
    "a_sweep_stops_at_the_first_job_that_ends",
    "claim_ignores_bands",
    "claim_goes_by_id_among_equals",
    "claim_gives_one_more_than_was_asked",
    "claim_is_not_kept_for_its_repeat",
    "claim_gives_a_job_twice_when_asked_twice",
    "claim_gives_from_a_paused_queue",
    "a_settlement_sent_again_is_a_lost_lease",
    "a_child_settled_again_counts_again",
    "a_failed_child_leaves_its_parent_waiting",
    "a_parent_without_children_waits_for_ever",
    "a_parent_whose_children_have_ended_waits_for_ever",
    "a_late_child_revives_its_parent",
    "a_signal_that_came_first_is_lost",
    "two_waits_take_one_signal",
    "a_release_is_a_failure",
    "a_run_that_fails_after_a_cancel_is_tried_again",
    "a_run_that_expires_after_a_cancel_is_tried_again",
    "numbers_begin_again_with_each_run",
    "a_new_run_writes_no_reset",
    "a_failure_after_the_success_ends_a_job_twice",
    "a_cancelled_job_is_ready_when_its_delay_is_over",
    "a_batch_is_half_stored_when_a_job_of_it_is_refused",
]

Failures: TypeAlias = dict[str, dict[str, str]]


def places_of(edit: Edit) -> int:
    path = ROOT / edit.module.replace(".", "/")
    source = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
    return source.read_text(encoding="utf-8").count(edit.old)


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


def test_every_fault_has_its_one_place_in_the_reference() -> None:
    """Whoever changes a line that a mutant edits is told at once, and which one."""
    places = {(name, edit): places_of(edit) for name, known in MUTANTS.items() for edit in known.edits}

    assert {name: (edit.module, edit.old) for (name, edit), count in places.items() if count != 1} == {}


@pytest.mark.parametrize("part", range(PARTS))
def test_every_mutant_is_refused_by_the_tests_of_the_clauses_it_breaks(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], part: int
) -> None:
    failures = try_all(list(MUTANTS)[part::PARTS], tmp_path, str(SUITE), *MODELS)

    reasons = {name: reason for name, failed in failures.items() for reason in failed.values()}
    assert missed_by("the tests of their clauses", failures, capsys) == []
    assert {name: reason for name, reason in reasons.items() if reason.startswith(BROKEN)} == {}


def test_the_reference_that_notices_nothing_passes_where_mutants_fail(tmp_path: Path) -> None:
    assert try_some(["control"], tmp_path / "control.json", [str(SUITE), *MODELS]) == {"control": {}}


@pytest.mark.faults
def test_random_histories_alone_refuse_what_other_queues_have_had(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    names = [f"anywhere_{name}" for name in KNOWN_FROM_OTHER_QUEUES]
    failures = try_all(names, tmp_path, str(MODEL), "--aiq-effort=ci")

    assert missed_by("random histories alone", failures, capsys) == []
