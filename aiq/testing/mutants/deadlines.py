"""Faults of chapter 4, deadlines."""

from typing import Final

from aiq.testing.mutants.mutant import Mutant, mutant

MUTANTS: Final[dict[str, Mutant]] = {
    "of_two_deadlines_the_later_counts": mutant(
        "DEADLINE-1", ("rules.deadlines", "return min(named, default=None)", "return max(named, default=None)")
    ),
    "a_time_to_the_deadline_is_taken_for_an_instant": mutant(
        "DEADLINE-1", ("rules.deadlines", "else now_ms + spec.expires_ms", "else spec.expires_ms")
    ),
    "a_deadline_may_have_passed_at_the_enqueue": mutant(
        "DEADLINE-1",
        ("rules.validation", "spec.expires_ms, 1, bounds.MAX_DELAY_MS", "spec.expires_ms, -1, 2 * bounds.MAX_DELAY_MS"),
    ),
    "a_deadline_finds_only_what_is_ready": mutant(
        "DEADLINE-2",
        (
            "data",
            "record.cancel_requested_at_ms is None and not record.state.terminal:",
            "record.cancel_requested_at_ms is None and record.state in (State.READY, State.RUNNING):",
        ),
    ),
    "a_job_past_its_deadline_is_cancelled": mutant(
        "DEADLINE-2",
        (
            "sweeps",
            'end(tx, "T23", record, replace(record, state=State.DEAD, cause=Cause.DEADLINE, errors=errors))',
            'end(tx, "T23", record, replace(record, state=State.CANCELLED, errors=errors))',
        ),
    ),
    "a_deadline_that_finds_a_job_counts_a_failure": mutant(
        "DEADLINE-2",
        (
            "sweeps",
            "replace(record, state=State.DEAD, cause=Cause.DEADLINE, errors=errors))",
            "replace(record, state=State.DEAD, cause=Cause.DEADLINE, errors=errors, failures=record.failures + 1))",
        ),
    ),
    "a_deadline_tells_nobody_who_waits": mutant(
        "DEADLINE-2",
        ("sweeps", '    end(tx, "T23", record, replace(', '    move(tx, "T23", record, replace('),
    ),
    "a_claim_does_not_look_for_deadlines": mutant("DEADLINE-3", ("claim", "    end_overdue(tx, MAX_SWEEP)\n", "")),
    "a_claim_promotes_before_it_looks_for_deadlines": mutant(
        "DEADLINE-3",
        (
            "claim",
            "    end_overdue(tx, MAX_SWEEP)\n    promote(tx, MAX_SWEEP)\n",
            "    promote(tx, MAX_SWEEP)\n    end_overdue(tx, MAX_SWEEP)\n",
        ),
    ),
    "upkeep_looks_for_all_deadlines_at_once": mutant(
        "DEADLINE-3", ("upkeep", "end_overdue(tx, limit)", "end_overdue(tx, MAX_SWEEP)")
    ),
    "nobody_is_told_when_the_next_deadline_is": mutant(
        "DEADLINE-3",
        ("sweeps", "indexes.leases, indexes.graces, indexes.deadlines)", "indexes.leases, indexes.graces)"),
    ),
    "a_run_past_its_deadline_is_ended_at_once": mutant(
        "DEADLINE-4",
        (
            "sweeps",
            '    if record.state is State.RUNNING:\n        move(tx, "T15"',
            '    if record.state is State.RUNNING and record.lease_ms < 0:\n        move(tx, "T15"',
        ),
    ),
    "a_run_past_its_deadline_is_left_alone": mutant(
        "DEADLINE-4",
        (
            "data",
            "record.cancel_requested_at_ms is None and not record.state.terminal:",
            "record.expires_at_ms is None and not record.state.terminal:",
        ),
    ),
    "a_success_after_the_deadline_is_none": mutant(
        "DEADLINE-5",
        (
            "rules.settling",
            "    if isinstance(outcome, Succeeded):\n",
            "    if isinstance(outcome, Succeeded) and not overdue(record, now_ms):\n",
        ),
    ),
    "a_run_that_fails_after_its_deadline_is_tried_again": mutant(
        "DEADLINE-6",
        (
            "rules.settling",
            (
                "    if overdue(record, now_ms):\n        return _too_late(record, stalls)\n"
                "    if record.cancel_requested_at_ms is not None or"
            ),
            "    if record.cancel_requested_at_ms is not None or",
        ),
    ),
    "a_run_that_ends_at_its_very_deadline_is_tried_again": mutant(
        "DEADLINE-6", ("rules.deadlines", "since_ms >= record.deadline_ms", "since_ms > record.deadline_ms")
    ),
    "a_lease_revoked_after_the_deadline_is_not_the_last": mutant(
        "DEADLINE-6",
        (
            "rules.settling",
            "record.stalls + 1\n    if overdue(record, now_ms):\n",
            "record.stalls + 1\n    if False:\n",
        ),
    ),
    "a_grace_after_the_deadline_ends_in_a_cancel": mutant(
        "DEADLINE-6",
        (
            "rules.settling",
            "    if overdue(record, now_ms):\n        return _too_late(record, record.stalls)\n",
            "",
        ),
    ),
    "a_run_ended_by_its_deadline_counts_no_failure": mutant(
        "DEADLINE-6",
        (
            "rules.settling",
            'Change("T23", State.DEAD, failures=record.failures + 1,',
            'Change("T23", State.DEAD, failures=record.failures,',
        ),
    ),
    "a_run_ended_by_its_deadline_says_nothing": mutant(
        "DEADLINE-6", ("settle", "        error = deadline_passed(record)\n", "        pass\n")
    ),
    "a_deadline_wins_over_an_earlier_cancel": mutant(
        "DEADLINE-7",
        ("rules.deadlines", "since_ms = now_ms if asked_at_ms is None else asked_at_ms", "since_ms = now_ms"),
    ),
    "a_child_lives_on_past_its_parents_deadline": mutant(
        "DEADLINE-8",
        (
            "rules.deadlines",
            "(spec.deadline_ms, expires_at_ms, parent_deadline_ms)",
            "(spec.deadline_ms, expires_at_ms)",
        ),
    ),
    "a_childs_own_deadline_is_forgotten": mutant(
        "DEADLINE-8",
        (
            "rules.deadlines",
            "    return min(named, default=None)\n",
            "    return min(named, default=None) if parent_deadline_ms is None else parent_deadline_ms\n",
        ),
    ),
    "an_explanation_keeps_quiet_about_the_deadline": mutant(
        "DEADLINE-9",
        ("rules.explaining", "    if record.deadline_ms is None or record.state.terminal:\n", "    if True:\n"),
    ),
}
