"""Faults of chapter 14, and of editing and the children of a cancelled job in chapter 1."""

from typing import Final

from aiq.testing.mutants.mutant import Mutant, mutant

MUTANTS: Final[dict[str, Mutant]] = {
    "a_second_job_of_a_key_is_stored": mutant(
        "UNIQ-1", ("unique", "return answered(batch, stored, held, tx.now_ms) if keys else {}", "return {}")
    ),
    "a_key_belongs_to_all_tasks": mutant(
        "UNIQ-1", ("rules.unique", "    return (spec.task, spec.unique or", '    return ("", spec.unique or')
    ),
    "a_key_counts_before_an_id": mutant(
        "UNIQ-1", ("rules.unique", "if spec.unique is None or spec.id in known:", "if spec.unique is None:")
    ),
    "an_answer_by_key_names_the_new_job": mutant(
        "UNIQ-1", ("unique", "return Enqueued(taken.job_id, state,", "return Enqueued(spec.id, state,")
    ),
    "a_key_outlives_its_job": mutant(
        "UNIQ-2", ("ending", "    if ended.unique is not None:\n", "    if ended.unique is not None and False:\n")
    ),
    "a_key_outlives_a_job_that_ends_badly": mutant(
        "UNIQ-2",
        (
            "ending",
            "    if ended.unique is not None:\n",
            "    if ended.unique is not None and ended.state is State.SUCCEEDED:\n",
        ),
    ),
    "an_end_frees_the_key_of_another": mutant(
        "UNIQ-5 UNIQ-9", ("unique", "if holder is None or holder.job_id != ended.id:", "if holder is None:")
    ),
    "jobs_of_a_batch_do_not_see_each_others_keys": mutant(
        "UNIQ-3",
        (
            "rules.unique",
            "            keys[key_of(spec)] = Held(first_holder(spec, now_ms), spec)\n",
            "            pass\n",
        ),
    ),
    "a_dependency_may_be_answered_with_another_job": mutant(
        "UNIQ-4",
        ("enqueue", "if dependency not in tx.tables.jobs and dependency not in fresh:", "if False:"),
        (
            "enqueue",
            "dict.fromkeys(spec.depends_on):",
            "dict.fromkeys(d for d in spec.depends_on if d in tx.tables.jobs):",
        ),
    ),
    "a_key_for_a_time_is_free_with_its_job": mutant(
        "UNIQ-5", ("unique", "    if holder.until_ms is None:\n        tx", "    if True:\n        tx")
    ),
    "a_key_for_a_time_is_taken_an_instant_longer": mutant(
        "UNIQ-5", ("rules.unique", "return now_ms >= holder.until_ms", "return now_ms > holder.until_ms")
    ),
    "a_key_for_a_time_is_prolonged_by_each_job": mutant(
        "UNIQ-5",
        (
            "unique",
            "    holder, standing = keys.holders[key], holding(tx.tables.jobs.get(taken.job_id), key)\n",
            (
                "    holder, standing = keys.holders[key], holding(tx.tables.jobs.get(taken.job_id), key)\n"
                "    if holder.until_ms is not None and spec.unique_for_ms is not None:\n"
                "        keys.put(key, replace(holder, until_ms=tx.now_ms + spec.unique_for_ms))\n"
            ),
        ),
    ),
    "a_job_that_replaces_changes_nothing": mutant(
        "UNIQ-6", ("unique", "        edit_job(tx, standing, replaced(standing, spec, tx.now_ms))\n", "")
    ),
    "a_job_that_replaces_keeps_the_options": mutant(
        "UNIQ-6", ("rules.unique", "        max_attempts=spec.max_attempts,\n", "")
    ),
    "a_job_that_replaces_keeps_the_deadline": mutant(
        "UNIQ-6", ("rules.unique", "        deadline_ms=effective_ms(spec, None, now_ms),\n", "")
    ),
    "a_job_that_replaces_moves_to_another_queue": mutant(
        "UNIQ-6", ("rules.unique", "    _check_place(there.job, spec)\n", "")
    ),
    "a_replaced_job_goes_to_the_end_of_its_line": mutant(
        "UNIQ-6 EDIT-2",
        (
            "editing",
            "    edited = replace(after, events=before.events + 1)\n",
            (
                "    tx.tables.position += 1\n"
                "    edited = replace(after, events=before.events + 1, position=tx.tables.position)\n"
            ),
        ),
    ),
    "a_debounce_keeps_the_first_instant": mutant(
        "UNIQ-7", ("rules.unique", '    if spec.on_unique == "debounce" and record', "    if False and record")
    ),
    "a_debounce_lets_a_held_job_go": mutant(
        "UNIQ-7", ("rules.unique", '== "debounce" and record.state is not State.HELD:', '== "debounce":')
    ),
    "a_change_sent_again_changes_again": mutant(
        "UNIQ-8",
        ("rules.unique", "    if holder.last_id == spec.id:\n", "    if False:\n"),
        ("unique", "and holder.last_id != spec.id:", "and True:"),
    ),
    "a_change_sent_again_after_the_start_is_another_job": mutant(
        "UNIQ-8",
        (
            "rules.unique",
            "return _started(there) and to_be_replaced and holder.last_id != spec.id",
            "return _started(there) and to_be_replaced",
        ),
    ),
    "a_change_with_other_content_is_taken_for_a_repeat": mutant(
        "UNIQ-8", ("rules.unique", "        if holder.last_digest != spec.digest:\n", "        if False:\n")
    ),
    "a_job_that_has_started_keeps_what_would_replace_it": mutant(
        "UNIQ-9",
        ("rules.unique", 'to_be_replaced = holder.how != "keep" or spec.on_unique != "keep"', "to_be_replaced = False"),
    ),
    "a_job_that_has_started_is_replaced": mutant(
        "UNIQ-9",
        (
            "rules.unique",
            "(there.job.fence > 0 or there.job.state.terminal)",
            "there.job.state in (State.RUNNING, State.SUCCEEDED)",
        ),
    ),
    "keys_whose_time_is_over_are_kept": mutant(
        "UNIQ-10",
        (
            "unique",
            "    for until_ms, *key in windows.first(limit):\n",
            "    for until_ms, *key in windows.first(0):\n",
        ),
    ),
    "all_keys_are_forgotten_at_once": mutant(
        "UNIQ-10",
        (
            "unique",
            "    for until_ms, *key in windows.first(limit):\n",
            "    for until_ms, *key in windows.first(10**6):\n",
        ),
    ),
    "a_holder_that_is_gone_is_answered_as_if_it_were_there": mutant(
        "UNIQ-13", ("unique", "gone=standing is None", "gone=False")
    ),
    "whoever_has_the_id_of_a_holder_has_its_key": mutant(
        "UNIQ-13",
        ("rules.unique", "return record if record is not None and key_of(record) == key else None", "return record"),
    ),
    "a_key_goes_with_its_job": mutant(
        "UNIQ-13",
        (
            "unique",
            "    rows = {key: tables.unique.holders[key] for key in keys & tables.unique.holders.keys()}\n",
            (
                "    rows = {key: tables.unique.holders[key] for key in keys & tables.unique.holders.keys()}\n"
                "    rows = {key: row for key, row in rows.items() if row.job_id in tables.jobs}\n"
            ),
        ),
    ),
    "a_redriven_job_has_lost_its_key": mutant(
        "UNIQ-12",
        ("rules.redriving", "        late=False,\n", "        late=False,\n        unique=None,\n"),
    ),
    "a_child_that_is_to_be_left_goes_along": mutant(
        "CANCEL-9", ("outbox", '    return child.on_parent == "cancel"\n', "    return True\n")
    ),
    "a_job_without_a_parent_may_be_left": mutant(
        "CANCEL-9", ("rules.validation", 'if parent is None and spec.on_parent != "cancel":', "if False:")
    ),
    "a_child_may_have_a_key": mutant(
        "UNIQ-11", ("rules.validation", "if spec.unique is not None and spec.child_of is not None:", "if False:")
    ),
    "a_debounce_needs_no_delay": mutant(
        "UNIQ-11", ("rules.validation", "(spec.at_ms is not None or not spec.delay_ms):", "False:")
    ),
    "a_running_job_can_be_edited": mutant(
        "EDIT-1",
        (
            "rules.editing",
            "{State.SCHEDULED, State.READY, State.WAITING, State.HELD}",
            "{State.SCHEDULED, State.READY, State.WAITING, State.HELD, State.RUNNING}",
        ),
    ),
    "the_payload_of_a_job_that_has_run_is_changed": mutant(
        "EDIT-1", ("rules.editing", "    if record.fence:\n", "    if False:\n")
    ),
    "a_ready_job_that_is_put_off_stays_ready": mutant(
        "EDIT-3",
        (
            "rules.editing",
            "state=State.SCHEDULED if ahead else State.READY",
            "state=State.SCHEDULED if ahead and record.state is not State.READY else State.READY",
        ),
    ),
    "a_job_whose_instant_is_now_waits_on": mutant(
        "EDIT-3", ("rules.editing", "    ahead = at_ms > now_ms\n", "    ahead = at_ms >= now_ms\n")
    ),
    "nobody_is_woken_by_an_edit": mutant("EDIT-3", ("editing", "    tx.topics.add(queue_topic(after.queue))\n", "")),
    "a_held_job_is_put_off": mutant(
        "EDIT-4",
        (
            "rules.editing",
            "_TO_BEGIN: Final = frozenset({State.SCHEDULED, State.READY, State.WAITING})",
            "_TO_BEGIN: Final = _EDITABLE",
        ),
    ),
    "a_delay_wins_over_an_instant_in_an_edit": mutant(
        "EDIT-4",
        (
            "rules.editing",
            "edit.at_ms if edit.at_ms is not None else now_ms + (edit.delay_ms or 0)",
            "now_ms + edit.delay_ms if edit.delay_ms is not None else edit.at_ms or 0",
        ),
    ),
    "an_edit_that_says_nothing_new_is_an_event": mutant(
        "EDIT-5", ("update", "        if after != before:\n", "        if True:\n")
    ),
    "edits_are_made_one_by_one": mutant(
        "EDIT-6",
        ("update", "            changes.append((before, after))\n", "            edit_job(tx, before, after)\n"),
    ),
    "an_edit_asks_for_more_than_a_limit_gives": mutant(
        "EDIT-6", ("update", "            check_at_enqueue(MemoryBooks(tx), after)\n", "            MemoryBooks(tx)\n")
    ),
    "content_of_another_task_is_taken": mutant(
        "EDIT-6", ("rules.editing", "    if record.task != content.task:\n", "    if False:\n")
    ),
    "an_edit_forgets_what_its_job_was_enqueued_with": mutant(
        "EDIT-7", ("rules.editing", "payload=content.payload, estimate", 'digest="", payload=content.payload, estimate')
    ),
}
