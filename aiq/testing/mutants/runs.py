"""Faults of chapters 2 to 4: leases, retries, time."""

from typing import Final

from aiq.testing.mutants.mutant import Mutant, mutant

_OWNS = "(record.fence, record.lease_id) == (lease.fence, lease.lease_id)"
_RELEASED = "_timed(number, delay_ms, Lane.RETURNED, failures, stalls)"
_REVOKED = 'Change("T9", State.READY, Lane.RETURNED, failures=failures, stalls=stalls)'

LEASES: Final[dict[str, Mutant]] = {
    "a_settlement_needs_no_lease": mutant(
        "LEASE-1",
        ("settle", "record = held(tx, lease)", "record = tx.tables.jobs.get(lease.job_id) or held(tx, lease)"),
    ),
    "an_append_needs_no_lease": mutant(
        "LEASE-1",
        ("append", "record = owned(tx, lease)", "record = tx.tables.jobs.get(lease.job_id) or owned(tx, lease)"),
    ),
    "a_step_needs_no_lease": mutant(
        "LEASE-1",
        ("save_step", "record = owned(tx, lease)", "record = tx.tables.jobs.get(lease.job_id) or owned(tx, lease)"),
    ),
    "a_child_needs_no_lease": mutant(
        "LEASE-1", ("enqueue", "    if parent is not None:\n        gone", "    if False:\n        gone")
    ),
    "a_renewal_needs_no_lease": mutant(
        "LEASE-1",
        ("renew", "record = held_live(tx, lease)", "record = tx.tables.jobs.get(lease.job_id) or held_live(tx, lease)"),
    ),
    "the_error_of_a_lost_run_is_written_down": mutant(
        "LEASE-1",
        (
            "settle",
            "    if isinstance(record, LeaseLost):\n",
            (
                "    if isinstance(record, LeaseLost):\n"
                "        stale = tx.tables.jobs.get(lease.job_id)\n"
                "        if stale is not None and isinstance(outcome, Retried):\n"
                "            tx.tables.put(replace(stale, errors=appended(stale, outcome.error, tx.now_ms)))\n"
            ),
        ),
    ),
    "only_the_fence_is_compared": mutant("LEASE-2", ("rules.leases", _OWNS, "record.fence == lease.fence")),
    "only_the_lease_id_is_compared": mutant("LEASE-2", ("rules.leases", _OWNS, "record.lease_id == lease.lease_id")),
    "a_repeat_is_recognised_by_its_id_alone": mutant(
        "LEASE-2",
        (
            "settle",
            "(last.fence, last.lease_id, last.id) == (lease.fence, lease.lease_id, settlement.id)",
            "last.id == settlement.id",
        ),
    ),
    "a_renewal_adds_to_the_lease": mutant(
        "LEASE-3", ("renew", "expires_at_ms=tx.now_ms + length_ms", "expires_at_ms=record.expires_at_ms + length_ms")
    ),
    "a_claim_ignores_the_length_of_the_job": mutant(
        "LEASE-3", ("claim", "expires_at_ms=tx.now_ms + record.lease_ms", "expires_at_ms=tx.now_ms + 30_000")
    ),
    "a_renewal_ignores_the_length_of_the_job": mutant(
        "LEASE-3",
        ("renew", "length_ms = record.lease_ms if lease_ms is None", "length_ms = 30_000 if lease_ms is None"),
    ),
    "an_expired_lease_is_renewed": mutant(
        "LEASE-4", ("holder", "    return gone if gone is not None else held(tx, lease)", "    return held(tx, lease)")
    ),
    "a_lease_lives_in_its_last_instant": mutant(
        "LEASE-4", ("rules.leases", "now_ms >= record.expires_at_ms", "now_ms > record.expires_at_ms")
    ),
    "a_late_settlement_is_refused": mutant(
        "LEASE-5",
        (
            "holder",
            "    gone = lost(record, lease)\n",
            "    gone = lost_or_expired(record, lease, tx.now_ms)\n",
        ),
    ),
    "a_late_settlement_is_not_marked": mutant(
        "LEASE-5", ("settle", "    late = expired(record, tx.now_ms)\n", "    late = False\n")
    ),
    "an_expired_run_may_spawn": mutant(
        "LEASE-6 FLOW-8",
        (
            "enqueue",
            "lost_or_expired(tx.tables.jobs.get(parent.job_id), parent, tx.now_ms)",
            "lost(tx.tables.jobs.get(parent.job_id), parent)",
        ),
        ("enqueue", "import lost_or_expired\n", "import lost\n"),
    ),
    "a_sweep_takes_live_leases": mutant(
        "LEASE-7",
        ("sweeps", "_sweep(tx, tx.tables.indexes.leases, limit, _revoke)", "_revoke_all(tx, limit)"),
        (
            "sweeps",
            "def _revoke(tx",
            (
                "def _revoke_all(tx, limit):\n"
                "    ids = [job_id for _, job_id in tx.tables.indexes.leases.first(limit)]\n"
                "    for job_id in ids:\n        _revoke(tx, tx.tables.jobs[job_id])\n    return len(ids)\n\n\n"
                "def _revoke(tx"
            ),
        ),
    ),
    "a_lease_ends_by_the_age_of_the_run": mutant(
        "LEASE-9",
        (
            "data",
            "yield self.leases, (record.expires_at_ms, record.id)",
            "yield self.leases, (record.started_at_ms + record.lease_ms, record.id)",
        ),
    ),
    "a_claim_of_a_worker_ends_its_other_leases": mutant(
        "LEASE-9",
        (
            "claim",
            "    if leased:\n",
            (
                "    for record in [r for r in tx.tables.jobs.values() if r.owner == request.worker]:\n"
                "        if record not in leased:\n"
                "            tx.tables.put(replace(record, expires_at_ms=tx.now_ms))\n    if leased:\n"
            ),
        ),
    ),
    "a_lost_lease_spoils_its_batch": mutant("LEASE-8", ("renew", "        return record\n", "        raise record\n")),
    "a_shorter_lease_is_granted_to_anybody": mutant("LEASE-10", ("renew", "    if not shrink:\n", "    if False:\n")),
    "a_lease_never_shrinks": mutant("LEASE-10", ("renew", "    if not shrink:\n", "    if True:\n")),
    "a_renewal_changes_the_length_of_the_job": mutant(
        "LEASE-10", ("renew", "replace(record, expires_at_ms", "replace(record, lease_ms=length_ms, expires_at_ms")
    ),
    "a_cancelled_run_hears_that_its_job_was_taken": mutant(
        "LEASE-11", ("rules.leases", "if record.state is State.CANCELLED:", "if False:")
    ),
    "an_expired_run_hears_that_its_job_was_taken": mutant(
        "LEASE-11", ("rules.leases", "LostReason.EXPIRED", "LostReason.TAKEN")
    ),
    "a_renewal_does_not_tell_of_a_cancel": mutant(
        "LEASE-12", ("renew", "record.cancel_requested_at_ms is not None", "False")
    ),
    "a_renewal_does_not_tell_of_a_pause": mutant("LEASE-12", ("renew", "record.queue in tx.tables.paused", "False")),
}

RETRIES: Final[dict[str, Mutant]] = {
    "a_failure_is_not_counted": mutant(
        "RETRY-1", ("rules.settling", "    failures = record.failures + 1\n", "    failures = record.failures\n")
    ),
    "a_retry_goes_first": mutant(
        "RETRY-1",
        ("rules.settling", '_timed("T6", outcome.delay_ms, Lane.FRESH', '_timed("T6", outcome.delay_ms, Lane.RETURNED'),
    ),
    "a_retry_waits_for_nothing": mutant(
        "RETRY-1", ("rules.settling", '_timed("T6", outcome.delay_ms,', '_timed("T6", 0,')
    ),
    "a_job_has_an_attempt_too_many": mutant(
        "RETRY-2",
        ("rules.settling", "isinstance(outcome, Died) or failures >=", "isinstance(outcome, Died) or failures >"),
    ),
    "the_cause_of_a_death_is_lost": mutant(
        "RETRY-2", ("rules.settling", "cause = outcome.error.cause", "cause = Cause.HANDLER")
    ),
    "a_death_without_failures_is_not_written_down": mutant(
        "RETRY-10", ("settle", "_TELLS = Retried | Died | Deferred", "_TELLS = Retried | Deferred")
    ),
    "a_fatal_error_is_tried_again": mutant(
        "RETRY-3",
        (
            "rules.settling",
            "isinstance(outcome, Died) or failures >= record.max_attempts",
            "failures >= record.max_attempts",
        ),
        ("rules.settling", '_timed("T6", outcome.delay_ms,', '_timed("T6", getattr(outcome, "delay_ms", 0),'),
    ),
    "a_delay_below_zero_is_waited_for": mutant(
        "RETRY-4", ("rules.settling", "    if delay_ms <= 0:\n", "    if delay_ms == 0:\n")
    ),
    "a_delay_has_no_bound": mutant(
        "RETRY-4", ("rules.settling", "return max(0, min(delay_ms, MAX_DELAY_MS))", "return max(0, delay_ms)")
    ),
    "a_release_is_a_failure": mutant(
        "RETRY-5", ("rules.settling", _RELEASED, _RELEASED.replace("failures", "failures + 1"))
    ),
    "a_wait_is_a_failure": mutant(
        "RETRY-5",
        (
            "rules.settling",
            "Lane.RETURNED, None, failures, stalls, wait_key=key)",
            "Lane.RETURNED, None, failures + 1, stalls, wait_key=key)",
        ),
    ),
    "a_released_job_goes_last": mutant(
        "RETRY-6", ("rules.settling", _RELEASED, _RELEASED.replace("RETURNED", "FRESH"))
    ),
    "a_delay_of_a_release_is_ignored": mutant(
        "RETRY-6", ("rules.settling", _RELEASED, _RELEASED.replace("delay_ms", "0"))
    ),
    "an_expiry_is_no_failure": mutant(
        "RETRY-7",
        (
            "rules.settling",
            "failures, stalls = record.failures + 1, record.stalls + 1",
            "failures, stalls = record.failures, record.stalls + 1",
        ),
    ),
    "an_expiry_is_no_stall": mutant(
        "RETRY-7",
        (
            "rules.settling",
            "failures, stalls = record.failures + 1, record.stalls + 1",
            "failures, stalls = record.failures + 1, record.stalls",
        ),
    ),
    "a_revoked_job_goes_last": mutant("RETRY-7", ("rules.settling", _REVOKED, _REVOKED.replace("RETURNED", "FRESH"))),
    "a_job_may_expire_once_too_often": mutant(
        "RETRY-8",
        ("rules.settling", "    if failures >= record.max_attempts or", "    if failures > record.max_attempts or"),
    ),
    "a_job_may_stall_as_often_as_it_has_attempts": mutant(
        "RETRY-8", ("rules.settling", " or stalls >= record.max_stalls:", ":")
    ),
    "a_stalled_job_does_not_say_so": mutant(
        "RETRY-8", ("rules.settling", "cause=Cause.STALLED", "cause=Cause.HANDLER")
    ),
    "a_job_of_one_attempt_is_run_twice": mutant(
        "RETRY-9",
        (
            "rules.settling",
            "    if failures >= record.max_attempts or",
            "    if failures >= max(2, record.max_attempts) or",
        ),
    ),
    "the_oldest_errors_are_kept": mutant("RETRY-10", ("rules.failures", "[-MAX_ERRORS:]", "[:MAX_ERRORS]")),
    "an_error_bears_the_wrong_attempt": mutant(
        "RETRY-10", ("rules.failures", "attempt=record.attempt", "attempt=record.fence")
    ),
    "an_expiry_is_not_written_down": mutant(
        "RETRY-10", ("sweeps", "errors=appended(record, lease_expired(record), tx.now_ms)", "errors=record.errors")
    ),
    "a_storage_changes_what_an_error_says": mutant(
        "RETRY-12",
        ("rules.failures", "traceback=cut(error.traceback)", 'traceback=cut(error.traceback.partition("=")[0])'),
    ),
    "a_long_error_is_kept_whole": mutant(
        "RETRY-10", ("rules.failures", "message=cut(error.message)", "message=error.message")
    ),
    "a_result_has_no_bound": mutant(
        "RETRY-11", ("rules.validation", '    check_size("result", result, bounds.MAX_RESULT_BYTES)\n', "")
    ),
    "a_result_that_is_too_large_ends_the_run": mutant(
        "RETRY-11",
        (
            "settle",
            "        return refusal\n",
            "        move(tx, 'T8', record, readied(record, Lane.RETURNED))\n        return refusal\n",
        ),
    ),
}

TIME: Final[dict[str, Mutant]] = {
    "a_clock_that_stepped_back_does_not_shorten_a_lease": mutant(
        "TIME-5",
        (
            "renew",
            "expires_at_ms=tx.now_ms + length_ms",
            "expires_at_ms=max(record.expires_at_ms, tx.now_ms + length_ms)",
        ),
    ),
    "the_storage_lives_by_the_clock_of_the_host": mutant(
        "TIME-1",
        ("door", "Transaction(home.tables, home.clock())", "Transaction(home.tables, host_clock())"),
        ("door", "import Clock\n", "import Clock, host_clock\n"),
    ),
    "time_never_goes_back": mutant(
        "TIME-2",
        ("door", "Transaction(home.tables, home.clock())", "Transaction(home.tables, _latest(home))"),
        (
            "door",
            "class Door:",
            (
                "def _latest(home):\n"
                "    home.tables.latest = max(getattr(home.tables, 'latest', 0), home.clock())\n"
                "    return home.tables.latest\n\n\nclass Door:"
            ),
        ),
        ("data", "@dataclass(slots=True)\nclass Tables:", "@dataclass\nclass Tables:"),
    ),
    "a_job_is_due_after_its_instant": mutant("TIME-3", ("index", "if at_ms <= now_ms]", "if at_ms < now_ms]")),
    "a_job_that_is_due_goes_first": mutant(
        "TIME-3", ("sweeps", "readied(record, record.lane)", "readied(record, Lane.RETURNED)")
    ),
    "sweeps_go_by_id": mutant(
        "TIME-4", ("sweeps", "job_ids = due(index, tx.now_ms, limit)", "job_ids = sorted(due(index, tx.now_ms, limit))")
    ),
    "upkeep_has_no_limit": mutant(
        "TIME-4", ("upkeep", "promoted = promote(tx, limit)", "promoted = promote(tx, MAX_SWEEP)")
    ),
    "upkeep_does_not_promote": mutant("TIME-4", ("upkeep", "promoted = promote(tx, limit)", "promoted = 0")),
    "upkeep_does_not_revoke": mutant("LIVE-2", ("upkeep", "revoked = revoke(tx, limit)", "revoked = 0")),
    "upkeep_does_not_end_waits": mutant("SIG-8", ("upkeep", "timed_out = time_out(tx, limit)", "timed_out = 0")),
    "a_sweep_stops_at_the_first_job_that_ends": mutant(
        "LIVE-2",
        (
            "sweeps",
            "        act(tx, tx.tables.jobs[job_id])\n",
            (
                "        act(tx, tx.tables.jobs[job_id])\n"
                "        if tx.tables.jobs[job_id].state.terminal:\n            break\n"
            ),
        ),
    ),
    "a_sleep_is_not_remembered": mutant(
        "TIME-6", ("settle", "    if isinstance(outcome, Sleeping):\n", "    if False:\n")
    ),
    "a_sleeper_wakes_last": mutant(
        "TIME-6",
        (
            "rules.settling",
            "State.SCHEDULED, Lane.RETURNED, clamp(delay_ms)",
            "State.SCHEDULED, Lane.FRESH, clamp(delay_ms)",
        ),
    ),
    "nobody_is_told_of_the_outbox": mutant(
        "FAN-2", ("sweeps", "if tx.tables.outbox or holds.letting_go:", "if holds.letting_go:")
    ),
    "nobody_is_told_of_the_next_expiry": mutant(
        "TIME-7", ("sweeps", "indexes.timeouts, indexes.leases, indexes.graces", "indexes.timeouts, indexes.graces")
    ),
    "what_is_overdue_is_told_as_a_debt": mutant(
        "TIME-7", ("sweeps", "max(0, min(instants) - tx.now_ms)", "min(instants) - tx.now_ms")
    ),
    "a_released_job_is_parked_for_a_year": mutant(
        "LIVE-1",
        (
            "rules.settling",
            "return _timed(number, delay_ms, Lane.RETURNED, failures, stalls)",
            'return Change("T20", State.SCHEDULED, Lane.RETURNED, MAX_DELAY_MS, failures, stalls)',
        ),
    ),
    "a_claim_finds_nothing_that_was_not_swept": mutant(
        "LIVE-3", ("claim", "    promote(tx, MAX_SWEEP)\n    revoke(tx, MAX_SWEEP)\n", "")
    ),
}

MUTANTS: Final = {**LEASES, **RETRIES, **TIME}
