"""Faults of chapter 16: groups of the dead, redrive, purge."""

from typing import Final

from aiq.testing.mutants.mutant import Mutant, mutant

MUTANTS: Final[dict[str, Mutant]] = {
    "only_what_a_handler_raised_is_a_dead_letter": mutant(
        "DEAD-1", ("deaths", "    if ended.state is State.DEAD:\n        _bury", "    if sample:\n        _bury")
    ),
    "a_redriven_job_stays_in_its_group": mutant(
        "DEAD-1",
        ("rules.deaths", "dead=group.dead - 1, redriven=group.redriven + 1", "redriven=group.redriven + 1"),
    ),
    "a_job_stands_in_the_group_of_its_first_error": mutant(
        "DEAD-1", ("deaths", "ended.last_error or deaths", "(ended.errors or (None,))[0] or deaths")
    ),
    "an_error_without_a_fingerprint_has_none": mutant(
        "DEAD-2", ("rules.fingerprints", "error.fingerprint or OF_CAUSE[error.cause]", "error.fingerprint")
    ),
    "a_group_tells_of_its_first_death": mutant(
        "DEAD-3", ("rules.deaths", "        code=error.code,\n", "        code=before.code,\n")
    ),
    "a_group_is_first_seen_with_its_newest_death": mutant(
        "DEAD-3",
        (
            "rules.deaths",
            "        last_seen_ms=now_ms,\n        dead=",
            "        first_seen_ms=now_ms,\n        last_seen_ms=now_ms,\n        dead=",
        ),
    ),
    "a_job_that_dies_again_is_not_counted_again": mutant(
        "DEAD-3", ("rules.deaths", "died=before.died + 1", "died=before.died + (record.generation == 1)")
    ),
    "a_group_counts_a_death_as_one_attempt": mutant(
        "DEAD-4", ("rules.deaths", "before.attempts + record.attempt", "before.attempts + 1")
    ),
    "a_second_death_counts_what_the_first_has_counted": mutant(
        "DEAD-4", ("deaths", "        following.tokens += death.tokens\n", "")
    ),
    "money_that_the_dead_have_spent_is_not_counted": mutant(
        "DEAD-4", ("rules.deaths", "usd_micros=group.usd_micros + usd_micros", "usd_micros=group.usd_micros")
    ),
    "late_use_of_the_dead_is_not_counted": mutant(
        "DEAD-5", ("report", "record.state is State.DEAD", "record.state is State.RUNNING and False")
    ),
    "late_use_of_the_dead_is_counted_on_top": mutant(
        "DEAD-5", ("deaths", "(tokens - death.tokens, usd_micros - death.usd_micros)", "(tokens, usd_micros)")
    ),
    "every_sample_is_kept": mutant("DEAD-6", ("rules.deaths", "sample is None or kept >= most", "sample is None")),
    "samples_are_not_cut": mutant("DEAD-6", ("rules.deaths", "cut(sample, MAX_SAMPLE_BYTES)", "sample")),
    "a_retry_without_attempts_left_leaves_no_sample": mutant(
        "DEAD-6",
        (
            "settle",
            "outcome.sample if isinstance(outcome, Retried | Died)",
            "outcome.sample if isinstance(outcome, Died)",
        ),
    ),
    "groups_come_by_their_oldest_death": mutant(
        "DEAD-7", ("rules.deaths", "group.last_seen_ms if query.by", "-group.last_seen_ms if query.by")
    ),
    "groups_always_come_by_their_newest_death": mutant(
        "DEAD-7", ("rules.deaths", 'if query.by == "last_seen" else group.dead', "if True else group.dead")
    ),
    "a_page_of_groups_begins_with_the_last_of_the_one_before": mutant(
        "DEAD-7", ("dead_groups", "order_of(query, group) > after", "order_of(query, group) >= after")
    ),
    "a_death_at_the_very_end_of_an_age_is_older": mutant(
        "DEAD-8", ("rules.deaths", "now_ms - at_ms > age_ms", "now_ms - at_ms >= age_ms")
    ),
    "the_oldest_death_is_the_first_that_was_ever_seen": mutant(
        "DEAD-8", ("dead_groups", "oldest_ms=min(at_ms.values(), default=None)", "oldest_ms=group.first_seen_ms")
    ),
    "a_listing_by_fingerprint_gives_all_jobs": mutant(
        "DEAD-9", ("list", "query.fingerprint is None or record.id in", "True or record.id in")
    ),
    "groups_are_kept_for_ever": mutant(
        "DEAD-10", ("deaths", "not group.dead and group.touched", "False and group.touched")
    ),
    "groups_are_forgotten_with_jobs_in_them": mutant(
        "DEAD-10",
        ("deaths", "not group.dead and group.touched", "group.touched"),
        (
            "deaths",
            "        del groups[group.fingerprint]\n",
            (
                "        del groups[group.fingerprint]\n"
                "        for job_id in tx.tables.graves.members.pop(group.fingerprint, ()):\n"
                "            del tx.tables.graves.deaths[job_id]\n"
            ),
        ),
    ),
    "a_redrive_keeps_the_generation": mutant(
        "DEAD-11", ("rules.redriving", "generation=record.generation + 1", "generation=record.generation")
    ),
    "a_redrive_keeps_the_failures": mutant("DEAD-11", ("rules.redriving", "        failures=0,\n", "")),
    "a_redrive_keeps_the_stalls": mutant("DEAD-11", ("rules.redriving", "        stalls=0,\n", "")),
    "a_redrive_sets_the_fence_back": mutant(
        "DEAD-11", ("rules.redriving", "        stalls=0,\n", "        stalls=0,\n        fence=0,\n")
    ),
    "a_redrive_keeps_the_cancel_request": mutant(
        "DEAD-11", ("rules.redriving", "        cancel_requested_at_ms=None,\n", "")
    ),
    "a_redrive_stays_on_the_last_route": mutant(
        "DEAD-11",
        ("rules.redriving", "route=0 if request.route is None", "route=record.route if request.route is None"),
    ),
    "a_redrive_forgets_steps": mutant("DEAD-11", ("redrive", "    if request.forget_steps:\n", "    if True:\n")),
    "a_redriven_job_goes_first": mutant(
        "DEAD-11",
        (
            "rules.redriving",
            'return Change("T17", State.READY, Lane.FRESH)',
            'return Change("T17", State.READY, Lane.RETURNED)',
        ),
    ),
    "redrive_twice_makes_two_runs": mutant(
        "DEAD-12", ("rules.redriving", "    if record.generation != generation:\n", "    if False:\n")
    ),
    "a_redrive_sent_again_is_a_conflict": mutant(
        "DEAD-12", ("redrive", "before.redrive_id == request.id and", "False and")
    ),
    "what_goes_on_is_redriven": mutant(
        "DEAD-13",
        ("rules.redriving", "    if record.state not in _REVIVED:\n", "    if record.state is State.RUNNING:\n"),
    ),
    "one_refusal_ends_a_redrive": mutant(
        "DEAD-13",
        (
            "redrive",
            "    return [_redrive(",
            (
                "    if any(target.job_id not in tx.tables.jobs for target in request.targets):\n"
                "        return [NotFound(target.job_id) for target in request.targets]\n"
                "    return [_redrive("
            ),
        ),
    ),
    "a_child_of_a_parent_that_ended_is_redriven": mutant(
        "DEAD-14", ("redrive", "parent is None or parent.state.terminal", "False and parent")
    ),
    "a_detached_child_keeps_its_parent": mutant(
        "DEAD-14",
        ("rules.redriving", "parent_id=None if request.detach else record.parent_id", "parent_id=record.parent_id"),
    ),
    "a_job_with_a_dead_dependency_is_redriven": mutant(
        "DEAD-15", ("rules.redriving", "    if doomed_by is not None:\n", "    if False:\n")
    ),
    "a_redriven_job_does_not_wait_for_its_dependencies": mutant(
        "DEAD-15",
        ("redrive", "    edges = [] if record.fence else _dependencies(tx, record)\n", "    edges: list[Edge] = []\n"),
    ),
    "a_job_that_continues_is_refused_for_its_dependency": mutant(
        "DEAD-15", ("redrive", 'if record.fence or record.on_upstream == "continue":', "if record.fence:")
    ),
    "a_redriven_parent_does_not_wait_for_its_children": mutant(
        "DEAD-16", ("redrive", "    if record.id not in tables.children:\n", "    if True:\n")
    ),
    "children_of_a_redriven_parent_stay_dead": mutant(
        "DEAD-16", ("outbox", "            redrive_child(tx, child)\n", "            pass\n")
    ),
    "children_that_a_run_saw_fail_are_redriven": mutant(
        "DEAD-16", ("rules.redriving", "return None if seen or not wait.failed", "return None if not wait.failed")
    ),
    "children_are_redriven_by_their_ids": mutant("DEAD-16", ("outbox", "key=numbers.__getitem__)", "key=str)")),
    "a_redriven_parent_cancels_its_children": mutant(
        "DEAD-16",
        (
            "outbox",
            "        case Kind.CANCEL_CHILDREN if not record.state.terminal:\n",
            "        case Kind.CANCEL_CHILDREN if False:\n",
        ),
    ),
    "a_redrive_stays_in_its_queue": mutant(
        "DEAD-17",
        ("rules.redriving", "queue=record.queue if request.queue is None else request.queue", "queue=record.queue"),
    ),
    "a_redrive_ignores_another_payload": mutant(
        "DEAD-17",
        (
            "rules.redriving",
            "payload=record.payload if request.payload is None else request.payload",
            "payload=record.payload",
        ),
    ),
    "a_redrive_ignores_another_budget": mutant(
        "DEAD-17",
        ("rules.redriving", "record.budgets if request.budget is None else (request.budget,)", "record.budgets"),
    ),
    "a_redrive_goes_on_without_its_budget": mutant(
        "DEAD-17",
        ("redrive", "request.budget is not None and request.budget not in", "False and request.budget not in"),
    ),
    "a_redrive_knows_no_pace": mutant(
        "DEAD-18", ("rules.redriving", "request.delay_ms + place * request.spread_ms", "request.delay_ms")
    ),
    "a_redrive_keeps_steps_that_it_is_to_forget": mutant(
        "DEAD-19", ("redrive", "    if request.forget_steps:\n", "    if False:\n")
    ),
    "the_end_of_a_stream_still_counts_after_a_redrive": mutant(
        "DEAD-20", ("redrive", "    void_marker(tx, record)\n", "")
    ),
    "a_run_of_the_generation_before_may_settle": mutant(
        "DEAD-21",
        ("rules.redriving", "        stalls=0,\n", "        stalls=0,\n        owner=None,\n"),
        (
            "rules.leases",
            "    if record is None",
            "    if record is not None and record.generation > 1:\n        return None\n    if record is None",
        ),
    ),
    "nobody_counts_who_recovered": mutant(
        "DEAD-22", ("rules.deaths", "recovered=group.recovered + 1", "recovered=group.recovered")
    ),
    "nobody_counts_who_relapsed": mutant(
        "DEAD-22", ("rules.deaths", "relapsed=group.relapsed + 1", "relapsed=group.relapsed")
    ),
    "a_cancelled_job_has_relapsed": mutant(
        "DEAD-22",
        ("deaths", "    elif group is not None and ended.state is State.DEAD:\n", "    elif group is not None:\n"),
    ),
    "a_redriven_job_leaves_its_unique_key_to_others": mutant(
        "DEAD-23", ("redrive", "record.unique is not None and not retake_key(tx, record)", "False")
    ),
    "a_redriven_job_takes_its_unique_key_from_others": mutant(
        "DEAD-23",
        ("rules.unique", "not own and not _is_free(there, record, now_ms)", "False"),
    ),
    "a_redriven_job_has_its_unique_key_for_a_time_that_is_over": mutant(
        "DEAD-23", ("rules.unique", "own and (there.holder.until_ms or 0) > now_ms", "own and there.holder.until_ms")
    ),
    "an_ordered_job_leaves_its_queue": mutant(
        "DEAD-24", ("rules.redriving", "record.ordered and request.queue not in", "False and request.queue not in")
    ),
    "a_redriven_job_keeps_its_deadline": mutant("DEAD-25", ("rules.redriving", "        deadline_ms=None,\n", "")),
    "purge_takes_what_goes_on": mutant(
        "PURGE-2",
        (
            "purge_jobs",
            "record is not None and may_go(tx, record)",
            "record is not None and record.state is not record.state.RUNNING",
        ),
    ),
    "purge_leaves_the_dead_in_their_groups": mutant("PURGE-1", ("gone", "    forget_death(tx, record.id)\n", "")),
    "a_purge_sent_again_knows_nothing": mutant("PURGE-3", ("purge_jobs", "gone=stone is not None)", "gone=False)")),
    "purge_looks_again_after_each_job": mutant(
        "PURGE-2",
        (
            "purge_jobs",
            "    for record in going.values():\n        gone(tx, record)\n",
            (
                "    for _ in range(2):\n"
                "        for job_id, record in found.items():\n"
                "            if record is not None and job_id in tx.tables.jobs and may_go(tx, record):\n"
                "                gone(tx, record)\n"
                "                going[job_id] = record\n"
            ),
        ),
    ),
    "a_replayed_job_waits_for_all_that_it_waited_for": mutant(
        "REPLAY-2",
        (
            "rules.replaying",
            " for name in record.depends_on if name in read)",
            " for name in record.depends_on)",
        ),
    ),
    "what_a_replayed_job_reads_may_go": mutant(
        "REPLAY-2",
        (
            "rules.replaying",
            "read = {*names, *read_by(record.payload)}",
            "read = set(names)",
        ),
    ),
    "a_replayed_flow_has_the_edges_of_the_first_one": mutant(
        "REPLAY-3",
        (
            "rules.replaying",
            " for name in record.depends_on if name in made}",
            " for name in ()}",
        ),
    ),
    "a_replayed_flow_reads_the_results_of_the_first_one": mutant(
        "REPLAY-3",
        (
            "rules.replaying",
            "payload=renamed(record.payload, names)",
            "payload=record.payload",
        ),
    ),
    "jobs_are_replayed_in_the_order_in_which_they_are_named": mutant(
        "REPLAY-3",
        (
            "rules.replaying",
            "return [by_id[job_id] for job_id in TopologicalSorter(graph).static_order()]",
            "return list(by_id.values())",
        ),
    ),
    "every_replay_makes_the_same_jobs": mutant(
        "REPLAY-4",
        (
            "rules.replaying",
            "        id=replay_id(record.id, replay),\n",
            '        id=replay_id(record.id, ""),\n',
        ),
    ),
    "a_replayed_flow_is_the_first_one": mutant(
        "REPLAY-4",
        (
            "rules.replaying",
            "None if record.flow is None else replay_id(record.flow, replay)",
            "record.flow",
        ),
    ),
    "a_replayed_job_draws_from_the_budget_of_the_first_one": mutant(
        "REPLAY-5",
        (
            "rules.replaying",
            " for budget in record.budgets if budget not in own)",
            " for budget in record.budgets)",
        ),
    ),
    "a_replayed_job_wants_the_unique_key": mutant(
        "REPLAY-5",
        (
            "rules.replaying",
            "        origin=record.id,\n",
            "        origin=record.id,\n        unique=record.unique,\n",
        ),
    ),
    "nobody_knows_where_a_replay_comes_from": mutant(
        "REPLAY-1", ("enqueue", "        **content,\n", '        **{**content, "origin": None},\n')
    ),
}
