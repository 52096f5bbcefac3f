"""Faults of the log, of metrics, and of what is kept and goes."""

from typing import Final

from aiq.testing.mutants.mutant import Mutant, mutant

_LOST: Final = "lost=number < log.trimmed"

MUTANTS: Final[dict[str, Mutant]] = {
    "a_page_of_events_begins_with_the_last_of_the_one_before": mutant(
        "EVENT-1",
        (
            "data",
            "        start = max(0, number - self.trimmed)\n",
            "        start = max(0, number - self.trimmed - 1)\n",
        ),
    ),
    "a_page_of_events_says_that_there_are_no_more": mutant("EVENT-1", ("events", "more=end < log.last", "more=False")),
    "every_event_tells_a_cause": mutant(
        "EVENT-2", ("transition", "cause=told_cause(moved.state, moved.cause),", "cause=None,")
    ),
    "an_event_tells_the_state_before": mutant(
        "EVENT-2", ("transition", "        target=moved.state,\n", "        target=source or moved.state,\n")
    ),
    "from_now_on_is_from_the_beginning": mutant(
        "EVENT-3", ("events", "log.last if after == NOW else", "0 if after == NOW else")
    ),
    "nobody_is_told_that_events_are_lost": mutant("EVENT-4", ("events", _LOST, "lost=False")),
    "whoever_read_all_that_was_removed_has_lost_events": mutant(
        "EVENT-4", ("events", _LOST, "lost=number <= log.trimmed and after is not None")
    ),
    "events_wake_nobody": mutant("EVENT-5", ("transition", "    tx.topics.add(events_topic())\n", "")),
    "the_events_of_a_job_begin_anew_with_each_page": mutant(
        "EVENT-6", ("events", "if event.number > after][:limit]", "][:limit]")
    ),
    "any_number_is_a_cursor": mutant("EVENT-8", ("rules.events", "    if int(digits) > last:\n", "    if False:\n")),
    "a_cursor_is_good_in_any_storage": mutant(
        "EVENT-9", ("rules.events", "    if owner != storage_id:\n", "    if False:\n")
    ),
    "what_is_retried_has_not_failed": mutant(
        "METRIC-1", ("rules.metrics", 'frozenset({"T6", "T7", "T9"})', 'frozenset({"T7", "T9"})')
    ),
    "a_cancelled_run_has_not_ended": mutant(
        "METRIC-1",
        (
            "rules.metrics",
            "    if source is State.RUNNING and target is not State.RUNNING:\n        names",
            "    if source is State.RUNNING and target not in (State.RUNNING, State.CANCELLED):\n        names",
        ),
    ),
    "waiting_is_counted_from_the_enqueue": mutant(
        "METRIC-2",
        (
            "transition",
            "    if moved.state is not source:\n        tables.since",
            "    if source is None:\n        tables.since",
        ),
    ),
    "the_longest_wait_is_the_last": mutant(
        "METRIC-2",
        (
            "rules.metrics",
            "figures[_WAITED_MOST] = max(figures[_WAITED_MOST], lasted_ms)",
            "figures[_WAITED_MOST] = lasted_ms",
        ),
    ),
    "use_is_not_counted_by_task": mutant(
        "METRIC-3", ("books", "            if owner.task:\n", "            if False:\n")
    ),
    "metrics_are_of_all_queues": mutant(
        "METRIC-4", ("metrics", "(query.queue is None or query.queue == queue)", "(True)")
    ),
    "a_job_is_kept_one_instant_longer": mutant(
        "KEEP-1",
        ("rules.retention", "now_ms >= finished_at_ms + for_ms", "now_ms > finished_at_ms + for_ms"),
        (
            "rules.retention",
            "return -1 if keep.for_ms is None else now_ms - keep.for_ms",
            "return -1 if keep.for_ms is None else now_ms - keep.for_ms - 1",
        ),
    ),
    "what_a_job_says_of_its_period_does_not_count": mutant(
        "KEEP-1", ("data", "        if after.keep_ms is None:\n", "        if True:\n")
    ),
    "a_bound_takes_the_newest": mutant(
        "KEEP-2",
        (
            "purge",
            "for _, number in index.first(min(many, limit - len(numbers)))]",
            "for _, number in index.first(len(index))[-min(many, limit - len(numbers)) or len(index) :]]",
        ),
    ),
    "retention_is_not_kept": mutant("KEEP-3", ("retention", "    tx.tables.retention = spec\n", "")),
    "any_retention_is_taken": mutant("KEEP-3", ("retention", "    check_retention(spec)\n", "")),
    "a_stream_that_goes_takes_its_end_along": mutant(
        "KEEP-4", ("trim", "        del stream.chunks[:-1]\n", "        del stream.chunks[:]\n")
    ),
    "a_stream_goes_while_its_job_runs": mutant(
        "KEEP-4", ("trim", " for record in streams if record.state.terminal]", " for record in streams]")
    ),
    "a_stream_that_was_trimmed_is_read_with_a_hole": mutant(
        "KEEP-5", ("read", "    if one.after < trimmed:\n", "    if False:\n")
    ),
    "events_are_kept_for_ever": mutant(
        "KEEP-6", ("trim", "    return max(young, excess(keep, len(events)))\n", "    return 0\n")
    ),
    "minutes_are_kept_for_ever": mutant(
        "KEEP-7", ("trim", "    for place in _old_minutes(tx)[:limit]:\n", "    for place in _old_minutes(tx)[:0]:\n")
    ),
    "the_use_of_a_job_goes_by_the_minute": mutant(
        "KEEP-8", ("trim", '        if scope in ("all", "tenant")\n', "        if scope\n")
    ),
    "results_are_kept_for_ever": mutant(
        "KEEP-10", ("trim_jobs", "            tables.put(replace(record, result=None))\n", "            pass\n")
    ),
    "a_result_takes_its_job_along": mutant(
        "KEEP-10", ("trim_jobs", "replace(record, result=None)", "replace(record, state=State.CANCELLED, result=None)")
    ),
    "results_go_beyond_their_bound": mutant(
        "KEEP-10", ("trim_jobs", "    count = len(ended) -", "    count = 2 * len(ended) -")
    ),
    "a_result_goes_though_another_job_needs_it": mutant(
        "KEEP-11", ("trim_jobs", "        if not is_needed(tx, record.id):\n", "        if True:\n")
    ),
    "a_result_goes_before_the_period_of_its_own_job": mutant(
        "KEEP-11", ("data", "        if after.keep_ms is None:\n", "        if True:\n")
    ),
    "steps_are_kept_for_ever": mutant(
        "KEEP-12", ("trim_jobs", "in _old_steps(tx)[:limit]:\n", "in _old_steps(tx)[:0]:\n")
    ),
    "steps_go_while_their_job_runs": mutant(
        "KEEP-12",
        ("trim_jobs", " if (record := tables.jobs[job_id]).state.terminal]", " if (record := tables.jobs[job_id])]"),
    ),
    "steps_go_from_the_last_key_on": mutant(
        "KEEP-12",
        (
            "trim_jobs",
            "enumerate(sorted(tables.steps[record.id]))",
            "enumerate(sorted(tables.steps[record.id], reverse=True))",
        ),
    ),
    "signals_are_kept_for_ever": mutant(
        "KEEP-13 KEEP-14", ("trim_jobs", "in _old_signals(tx)[:limit]:\n", "in _old_signals(tx)[:0]:\n")
    ),
    "a_signal_goes_that_a_job_may_still_take": mutant(
        "KEEP-13",
        (
            "trim_jobs",
            "            if over_ms is not None:\n",
            "            over_ms = over_ms or 0\n            if True:\n",
        ),
    ),
    "a_signal_counts_from_when_its_job_was_made": mutant(
        "KEEP-13", ("settle", "signal.over_ms = tx.now_ms", "signal.over_ms = record.created_at_ms")
    ),
    "the_id_of_a_signal_is_remembered_with_its_content": mutant(
        "KEEP-14",
        (
            "trim_jobs",
            "        signal = tables.signals[job_id].pop(signal_id)\n",
            "        signal = tables.signals[job_id][signal_id]\n",
        ),
    ),
    "one_upkeep_lets_any_number_of_bytes_go": mutant(
        "KEEP-9", ("gone", "page_length((record.content_size for record in may), room)", "len(may)")
    ),
    "children_that_did_not_fit_are_put_off": mutant(
        "KEEP-9",
        (
            "gone",
            "    busy = {child.parent_id for child in may}\n",
            "    busy = {child.parent_id for child in ()}\n",
        ),
    ),
    "one_upkeep_lets_all_go": mutant(
        "KEEP-9", ("upkeep", "    purged = purge(tx, limit)\n", "    purged = purge(tx, 1_000)\n")
    ),
    "what_a_job_has_used_is_left_behind": mutant("GONE-1", ("gone", '    _forget_account(tx, "job", job_id)\n', "")),
    "an_id_is_forgotten_at_once": mutant(
        "GONE-2",
        ("gone", "tx.now_ms + tombstone_ms(tables.retention))", "tx.now_ms)"),
        ("purge", "if job_id not in tx.tables.events]", "]"),
    ),
    "a_job_that_is_gone_is_answered_as_if_it_were_there": mutant(
        "GONE-2", ("enqueue", 'by="id", gone=True)', 'by="id")')
    ),
    "any_content_is_the_same": mutant(
        "GONE-2", ("rules.retention", "    if spec.digest != digest:\n", "    if False:\n")
    ),
    "an_id_is_remembered_for_ever": mutant(
        "GONE-3", ("purge", "    for job_id in free[:limit]:\n", "    for job_id in free[:0]:\n")
    ),
    "a_job_goes_while_another_waits_for_it": mutant(
        "GONE-4",
        (
            "gone",
            "    return any(tx.tables.jobs[dependent].state is not State.SUCCEEDED",
            "    return any(False and tx.tables.jobs[dependent].state is not State.SUCCEEDED",
        ),
    ),
    "a_job_goes_though_a_dead_one_may_need_it": mutant(
        "GONE-4",
        (
            "gone",
            "tx.tables.jobs[dependent].state is not State.SUCCEEDED for",
            "not tx.tables.jobs[dependent].state.terminal for",
        ),
    ),
    "a_job_goes_before_its_children_have_ended": mutant(
        "GONE-5", ("gone", " and all(child.state.terminal for child in children)", "")
    ),
    "children_stay_behind": mutant(
        "GONE-6",
        ("gone", "    may = [child for child in children if may_go(tx, child)]\n", "    may: list[JobRecord] = []\n"),
    ),
    "the_budget_goes_before_the_grandchildren": mutant(
        "GONE-6",
        (
            "gone",
            "    return bool(tx.tables.children.get(job_id)) or any(left)",
            "    return bool(tx.tables.children.get(job_id)) and any(left)",
        ),
    ),
    "the_budget_of_a_flow_goes_with_its_first_job": mutant(
        "GONE-7", ("gone", "    if flow is not None and not _has_jobs(tx, flow):\n", "    if flow is not None:\n")
    ),
    "a_job_that_must_stay_is_looked_at_again_at_once": mutant(
        "GONE-8", ("purge", "            tx.tables.ended.put_off(", "            (lambda *_: None)(")
    ),
    "a_gone_job_is_spawned": mutant(
        "GONE-9", ("rules.retention", "    if parent is not None:\n        raise", "    if False:\n        raise")
    ),
}
