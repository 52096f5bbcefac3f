"""Faults of chapter 1: enqueueing, claiming, cancelling, states."""

from typing import Final

from aiq.testing.mutants.mutant import Mutant, mutant

MUTANTS: Final[dict[str, Mutant]] = {
    "another_content_under_one_id_is_taken_for_the_same": mutant(
        "ENQ-3", ("enqueue", "elif standing.digest != spec.digest:", "elif False:")
    ),
    "enqueueing_an_ended_job_again_starts_it_again": mutant(
        "ENQ-2",
        ("enqueue", "    if standing is not None:\n", "    if standing is not None and not standing.state.terminal:\n"),
    ),
    "a_batch_is_half_stored_when_a_job_of_it_is_refused": mutant(
        "ENQ-4",
        (
            "enqueue",
            "    fresh = _check_ids(tx, [spec for spec in batch if spec.id not in taken], parent)\n",
            "    fresh = []\n",
        ),
        (
            "enqueue",
            "[_store(tx, spec, parent, taken.get(spec.id)) for spec in batch]",
            "[(_check_ids(tx, [spec], parent), _store(tx, spec, parent, None))[1] for spec in batch]",
        ),
    ),
    "an_unknown_dependency_counts_as_ended": mutant(
        "ENQ-7",
        ("enqueue", "if dependency not in tx.tables.jobs and dependency not in fresh:", "if False:"),
        (
            "enqueue",
            "    for dependency in dict.fromkeys(spec.depends_on):",
            "    for dependency in dict.fromkeys(d for d in spec.depends_on if d in tx.tables.jobs):",
        ),
    ),
    "a_batch_is_stored_backwards": mutant(
        "ENQ-5",
        (
            "enqueue",
            "answers = [_store(tx, spec, parent, taken.get(spec.id)) for spec in batch]",
            "answers = [_store(tx, spec, parent, taken.get(spec.id)) for spec in reversed(batch)][::-1]",
        ),
    ),
    "an_instant_that_is_now_is_waited_for": mutant(
        "ENQ-6", ("fan_in", "if due_ms > tx.now_ms:", "if due_ms >= tx.now_ms and record.at_ms is not None:")
    ),
    "a_delay_wins_over_an_instant": mutant(
        "ENQ-6",
        (
            "fan_in",
            "record.at_ms if record.at_ms is not None else",
            "record.at_ms if record.at_ms is not None and not record.delay_ms else",
        ),
    ),
    "a_lease_of_no_time_is_accepted": mutant(
        "ENQ-8",
        (
            "rules.validation",
            '    check_range("lease in ms", spec.lease_ms, bounds.MIN_LEASE_MS, bounds.MAX_LEASE_MS)\n',
            "",
        ),
    ),
    "a_payload_may_be_one_byte_too_large": mutant(
        "ENQ-8",
        ("rules.validation", "spec.payload, bounds.MAX_PAYLOAD_BYTES", "spec.payload[1:], bounds.MAX_PAYLOAD_BYTES"),
    ),
    "a_name_may_have_two_words": mutant(
        "ENQ-8",
        ("rules.validation", 'check_name("queue", spec.queue)', 'check_name("queue", spec.queue.replace(" ", ""))'),
    ),
    "claim_ignores_bands": mutant(
        "CLAIM-6",
        (
            "rules.offers",
            "first = next((band for band in stand.bands if self._head(stand, band)), None)",
            (
                "heads = {band: self._head(stand, band) for band in stand.bands}\n"
                "            heads = {band: head for band, head in heads.items() if head}\n"
                "            first = min(heads, key=lambda band: heads[band].record.position, default=None)"
            ),
        ),
    ),
    "claim_ignores_lanes": mutant(
        "CLAIM-6", ("lanes", "record.lane, record.position, record.id)", "0, record.position, record.id)")
    ),
    "claim_goes_by_id_among_equals": mutant(
        "CLAIM-6", ("lanes", "record.lane, record.position, record.id)", "record.lane, 0, record.id)")
    ),
    "claim_takes_the_newest_first": mutant(
        "CLAIM-6", ("lanes", "record.lane, record.position, record.id)", "record.lane, -record.position, record.id)")
    ),
    "claim_gives_one_more_than_was_asked": mutant(
        "CLAIM-2", ("claim", "min(want.count, MAX_BATCH - len(leased))", "min(want.count, MAX_BATCH - len(leased)) + 1")
    ),
    "claim_gives_more_than_a_batch": mutant(
        "CLAIM-2", ("claim", "min(want.count, MAX_BATCH - len(leased))", "want.count")
    ),
    "claim_gives_a_job_twice_when_asked_twice": mutant(
        "CLAIM-1",
        (
            "claim",
            "        found = _dispatch(tx, want, request, leased, room)\n",
            (
                "        again = [run for run in leased if run.queue == want.queue]\n"
                "        found = _dispatch(tx, want, request, leased, room)\n"
                "        leased += again\n"
            ),
        ),
    ),
    "claim_looks_in_one_step_and_leases_in_another": mutant(
        "CLAIM-1",
        (
            "transition",
            "    now_ms: int\n    topics",
            "    now_ms: int\n    stale: dict = field(default_factory=dict)\n    topics",
        ),
        (
            "door",
            "        await asyncio.sleep(0)\n        self._check_open()\n        home = self._home\n",
            (
                "        stale = {\n"
                "            name: sorted(place for index in lanes.jobs.values() for place in index.first(256))\n"
                "            for name, lanes in self._home.tables.lanes.items()\n"
                "        }\n"
                "        await asyncio.sleep(0)\n        self._check_open()\n        home = self._home\n"
            ),
        ),
        (
            "door",
            "tx = Transaction(home.tables, home.clock())",
            "tx = Transaction(home.tables, home.clock(), stale)",
        ),
        (
            "claim",
            "    yard = MemoryYard(",
            (
                "    for *_, job_id in tx.stale.get(want.queue, [])[:count]:\n"
                "        stale = replace(tx.tables.jobs[job_id], state=State.READY)\n"
                "        leased.append(_lease(tx, stale, request))\n"
                "    return False\n"
                "    yard = MemoryYard("
            ),
        ),
    ),
    "claim_changes_jobs_that_it_does_not_give": mutant(
        "CLAIM-2",
        (
            "claim",
            "    if leased:\n",
            (
                "    for job_id, record in list(tx.tables.jobs.items()):\n"
                "        if record.state is State.READY:\n"
                "            tx.tables.put(replace(record, owner=request.worker))\n    if leased:\n"
            ),
        ),
    ),
    "claim_is_not_kept_for_its_repeat": mutant(
        "CLAIM-3", ("claim", "if last is not None and request.number <= last.number:", "if False:")
    ),
    "claim_repeated_gives_jobs_that_have_left_it": mutant(
        "CLAIM-3", ("claim", "if record.lease_id == last.lease_id)", "if True)")
    ),
    "claim_repeated_promotes_and_revokes": mutant(
        "CLAIM-3",
        (
            "claim",
            "    last = _last_claim(tx, request.worker)\n",
            "    promote(tx, MAX_SWEEP)\n    revoke(tx, MAX_SWEEP)\n    last = _last_claim(tx, request.worker)\n",
        ),
    ),
    "claim_repeated_with_another_lease_id_gives_the_jobs_away": mutant(
        "CLAIM-3",
        (
            "claim",
            "(request.number, request.lease_id) != (last.number, last.lease_id)",
            "request.number != last.number",
        ),
    ),
    "claim_is_forgotten_too_soon": mutant(
        "CLAIM-3", ("claim", "tx.now_ms < last.at_ms + CLAIM_KEPT_MS else", "tx.now_ms < last.at_ms + 1_000 else")
    ),
    "claim_with_a_lower_number_claims": mutant(
        "CLAIM-4", ("claim", "request.number <= last.number", "request.number == last.number")
    ),
    "claim_that_gave_nothing_is_kept": mutant(
        "CLAIM-5",
        ("claim", "    if leased:\n", "    if True:\n"),
    ),
    "claim_gives_from_a_paused_queue": mutant("CLAIM-7", ("claim", "want.queue in tx.tables.paused or", "")),
    "claim_heeds_a_pause_only_when_it_asks_for_one_queue": mutant(
        "CLAIM-7",
        (
            "claim",
            "if want.queue in tx.tables.paused or",
            "if (len(request.wants) == 1 and want.queue in tx.tables.paused) or",
        ),
    ),
    "claim_gives_a_waiting_job": mutant(
        "FAN-4",
        ("data", "and before.state is State.READY\n", "and before.state in (State.READY, State.WAITING)\n"),
        ("data", "is_ready = record.state is State.READY", "is_ready = record.state in (State.READY, State.WAITING)"),
    ),
    "fence_does_not_rise_after_the_first_claim": mutant("CLAIM-8", ("claim", "fence=record.fence + 1,", "fence=1,")),
    "claim_does_not_promote": mutant("CLAIM-9", ("claim", "    promote(tx, MAX_SWEEP)\n", "")),
    "claim_does_not_revoke": mutant("CLAIM-9", ("claim", "    revoke(tx, MAX_SWEEP)\n", "")),
    "claim_revokes_before_it_promotes": mutant(
        "CLAIM-9",
        (
            "claim",
            "    promote(tx, MAX_SWEEP)\n    revoke(tx, MAX_SWEEP)\n",
            "    revoke(tx, MAX_SWEEP)\n    promote(tx, MAX_SWEEP)\n",
        ),
    ),
    "claim_promotes_without_a_bound": mutant("CLAIM-9", ("claim", "promote(tx, MAX_SWEEP)", "promote(tx, 10**9)")),
    "claim_serves_queues_by_name": mutant(
        "CLAIM-10",
        (
            "claim",
            "    for want in request.wants:\n        found",
            "    for want in sorted(request.wants, key=lambda want: want.queue):\n        found",
        ),
    ),
    "claim_gives_any_weight_of_payload": mutant("CLAIM-11", ("claim", "room.takes(len(record.payload))", "True")),
    "claim_lets_a_light_job_pass_a_heavy_one": mutant(
        "CLAIM-11",
        (
            "rules.batches",
            "        self._left -= size\n        fits = self._left >= 0",
            "        fits = self._left >= size",
        ),
        (
            "rules.batches",
            "        self._given = True\n",
            "        self._given = True\n        self._left -= size * fits\n",
        ),
    ),
    "claim_gives_less_payload_than_fits": mutant(
        "CLAIM-11", ("rules.batches", "self._left >= 0 or not self._given", "self._left > 0")
    ),
    "a_cancelled_job_is_ready_when_its_delay_is_over": mutant(
        "CANCEL-1",
        ("transition", "due_ms=record.due_ms if state in _TIMED else None", "due_ms=record.due_ms"),
        (
            "data",
            "self.scheduled if record.state is State.SCHEDULED else self.timeouts",
            "self.timeouts if record.state is State.SUSPENDED else self.scheduled",
        ),
    ),
    "a_waiting_job_is_only_asked_to_stop": mutant(
        "CANCEL-1 STATE-1",
        (
            "cancel",
            "    if record.state is not State.RUNNING:\n",
            "    if record.state not in (State.RUNNING, State.WAITING):\n",
        ),
    ),
    "a_cancel_ends_a_running_job_at_once": mutant("CANCEL-2", ("cancel", "    if force:\n", "    if True:\n")),
    "a_saved_step_does_not_tell_of_a_cancel": mutant(
        "CANCEL-2",
        ("save_step", "cancel_requested=record.cancel_requested_at_ms is not None", "cancel_requested=False"),
    ),
    "a_cancel_wins_over_a_success": mutant(
        "CANCEL-3",
        (
            "rules.settling",
            "    if isinstance(outcome, Succeeded):\n",
            "    if isinstance(outcome, Succeeded) and record.cancel_requested_at_ms is None:\n",
        ),
    ),
    "a_run_that_fails_after_a_cancel_is_tried_again": mutant(
        "CANCEL-4",
        (
            "rules.settling",
            "if record.cancel_requested_at_ms is not None or isinstance(outcome, Cancelled):",
            "if isinstance(outcome, Cancelled):",
        ),
    ),
    "a_run_that_expires_after_a_cancel_is_tried_again": mutant(
        "CANCEL-4", ("rules.settling", "    if record.cancel_requested_at_ms is not None:\n", "    if False:\n")
    ),
    "the_grace_of_a_cancel_never_ends": mutant(
        "CANCEL-5", ("upkeep", "cancelled = end_graces(tx, limit)", "cancelled = 0")
    ),
    "the_grace_of_a_cancel_ends_at_once": mutant(
        "CANCEL-5", ("data", "record.cancel_requested_at_ms + CANCEL_GRACE_MS", "record.cancel_requested_at_ms")
    ),
    "a_forced_cancel_only_asks": mutant("CANCEL-6", ("cancel", "    if force:\n", "    if False:\n")),
    "a_second_cancel_begins_the_grace_anew": mutant(
        "CANCEL-7", ("cancel", "    if record.cancel_requested_at_ms is not None:\n        return record\n", "")
    ),
    "a_cancel_changes_an_ended_job": mutant(
        "CANCEL-7",
        ("cancel", "    if record.state.terminal:\n        return record\n", ""),
    ),
    "children_outlive_a_parent_that_ended_badly": mutant(
        "CANCEL-8", ("ending", "ended.state is not State.SUCCEEDED and", "False and")
    ),
    "children_are_cancelled_when_their_parent_succeeds": mutant(
        "CANCEL-8", ("ending", "ended.state is not State.SUCCEEDED and", "True and")
    ),
    "a_failure_after_the_success_ends_a_job_twice": mutant(
        "STATE-2",
        ("rules.leases", "if record.state is State.RUNNING and (", "if ("),
        ("transition", "lease_id=record.lease_id if running else None", "lease_id=record.lease_id"),
    ),
    "counts_leave_out_what_is_scheduled": mutant(
        "STATE-3",
        (
            "count",
            "if queue is None or record.queue == queue:",
            "if record.due_ms is None and queue in (None, record.queue):",
        ),
    ),
    "a_request_to_stop_is_no_event": mutant(
        "STATE-4",
        (
            "cancel",
            'return move(tx, "T15", record, replace(record, cancel_requested_at_ms=tx.now_ms))',
            "asked = replace(record, cancel_requested_at_ms=tx.now_ms)\n    tx.tables.put(asked)\n    return asked",
        ),
    ),
    "a_renewal_is_an_event": mutant(
        "STATE-5",
        (
            "renew",
            "expires_at_ms=tx.now_ms + length_ms)",
            "expires_at_ms=tx.now_ms + length_ms, events=record.events + 1)",
        ),
    ),
    "a_settlement_sent_again_is_a_lost_lease": mutant(
        "STATE-6", ("settle", "if last is not None and (", "if False and (")
    ),
    "a_settlement_sent_again_is_never_late": mutant(
        "STATE-6", ("settle", "        return last.answer\n", "        return replace(last.answer, late=False)\n")
    ),
}
