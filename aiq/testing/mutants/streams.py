"""Faults of chapters 6 to 8: steps, signals, streams."""

from typing import Final

from aiq.testing.mutants.mutant import Mutant, mutant

STEPS: Final[dict[str, Mutant]] = {
    "the_last_value_saved_stands": mutant(
        "STEP-1",
        ("save_step", "    first = tx.tables.step(record.id, step.key)\n", "    first = None\n"),
        (
            "transition",
            "tx.tables.steps[record.id].setdefault(step.key, step)",
            "tx.tables.steps[record.id][step.key] = step",
        ),
    ),
    "a_step_with_other_arguments_is_taken_for_the_same": mutant(
        "STEP-2", ("save_step", "if first is not None and first.digest != step.digest:", "if False:")
    ),
    "steps_are_forgotten_by_the_next_run": mutant(
        "STEP-3",
        (
            "claim",
            '    return move(tx, "T3", record, leased)\n',
            '    tx.tables.steps.pop(record.id, None)\n    return move(tx, "T3", record, leased)\n',
        ),
    ),
    "steps_are_forgotten_when_the_job_ends": mutant(
        "STEP-3",
        (
            "ending",
            "    flip_edges(tx, ended, MAX_FLIPS)\n",
            "    flip_edges(tx, ended, MAX_FLIPS)\n    tx.tables.steps.pop(ended.id, None)\n",
        ),
    ),
    "a_job_may_have_any_number_of_steps": mutant(
        "STEP-4", ("save_step", "    if count > MAX_STEPS:\n", "    if False:\n")
    ),
    "a_job_has_room_for_one_step_less": mutant(
        "STEP-4", ("save_step", "if count > MAX_STEPS:", "if count >= MAX_STEPS:")
    ),
    "a_step_has_no_bound": mutant(
        "STEP-4", ("rules.validation", '    check_size("step\'s value", step.value, bounds.MAX_STEP_BYTES)\n', "")
    ),
    "steps_are_read_in_the_order_they_were_saved": mutant(
        "STEP-5", ("get_steps", "for key in sorted(steps) if key > after", "for key in steps if key > after")
    ),
    "a_page_of_steps_repeats_the_last_of_the_page_before": mutant(
        "STEP-5", ("get_steps", "if key > after", "if key >= after")
    ),
    "a_wait_bears_no_fence": mutant(
        "STEP-6", ("send", "StepKind.SIGNAL, payload, fence=record.fence)", "StepKind.SIGNAL, payload)")
    ),
    "a_job_does_not_tell_that_it_remembers": mutant(
        "STEP-7", ("transition", "return replace(record, remembers=True)", "return record")
    ),
}

SIGNALS: Final[dict[str, Mutant]] = {
    "a_signal_does_not_wake": mutant(
        "SIG-1", ("send", "bound = tx.tables.awaited.get(job_id) == name", "bound = False")
    ),
    "a_signal_wakes_whatever_it_is_called": mutant(
        "SIG-2", ("send", "tx.tables.awaited.get(job_id) == name", "job_id in tx.tables.awaited")
    ),
    "a_woken_job_goes_last": mutant(
        "SIG-1",
        ("send", "Lane.RETURNED", "Lane.FRESH"),
        ("send", "from aiq.model import ", "from aiq.model import Lane as Lane, "),
    ),
    "a_signal_that_came_first_is_lost": mutant("SIG-2", ("send", "kept=not bound)", "kept=False)")),
    "a_wait_that_finds_a_signal_leaves_the_run": mutant(
        "SIG-2", ("settle", "if step is not None and not record.late:", "if False:")
    ),
    "a_wait_takes_the_signal_of_another_name": mutant(
        "SIG-3", ("settle", "if signal.kept and signal.name == outcome.signal:", "if signal.kept:")
    ),
    "two_waits_take_one_signal": mutant("SIG-3", ("settle", "            signal.kept = False\n", "")),
    "the_newest_signal_is_taken_first": mutant(
        "SIG-3",
        (
            "settle",
            "in tx.tables.signals.get(record.id, {}).values():",
            "in reversed(tx.tables.signals.get(record.id, {}).values()):",
        ),
    ),
    "a_signal_sent_again_is_another_signal": mutant(
        "SIG-4",
        ("send", "    if first is not None:\n", "    if False:\n"),
        (
            "send",
            "tx.tables.signals[job_id][signal_id] =",
            "tx.tables.signals[job_id][signal_id * (len(tx.tables.signals[job_id]) + 1)] =",
        ),
    ),
    "a_signal_sent_again_with_another_content_is_taken_for_the_same": mutant(
        "SIG-4", ("send", "if (first.name, first.payload) != (name, payload):", "if False:")
    ),
    "a_signal_sent_again_is_told_as_kept": mutant(
        "SIG-4", ("send", "Sent(first.bound, existed=True)", "Sent(False, existed=True)")
    ),
    "a_signal_sent_again_after_it_was_taken_is_told_as_bound": mutant(
        "SIG-4", ("send", "Sent(first.bound, existed=True)", "Sent(not first.kept, existed=True)")
    ),
    "an_ended_job_takes_signals": mutant("SIG-5", ("send", "    if record.state.terminal:\n", "    if False:\n")),
    "a_signal_to_nobody_is_accepted": mutant(
        "SIG-5", ("send", "        raise NotFound(job_id)\n", "        return Sent(bound=False)\n")
    ),
    "a_wait_that_is_remembered_takes_another_signal": mutant(
        "SIG-6", ("settle", "    step = tx.tables.step(record.id, outcome.key)\n", "    step = None\n")
    ),
    "a_time_out_comes_after_the_signal": mutant(
        "SIG-7", ("transition", "due_ms=record.due_ms if state in _TIMED else None", "due_ms=record.due_ms")
    ),
    "a_signal_after_the_time_out_is_lost": mutant(
        "SIG-7",
        (
            "send",
            "    else:\n        _keep(tx, record)\n",
            "    elif not record.remembers:\n        _keep(tx, record)\n",
        ),
        ("send", "kept=not bound)", "kept=not bound and not record.remembers)"),
    ),
    "a_wait_without_a_limit_times_out": mutant(
        "SIG-7",
        (
            "rules.settling",
            "limit_ms = None if timeout_ms is None else clamp(timeout_ms)",
            "limit_ms = clamp(timeout_ms or 60_000)",
        ),
    ),
    "a_time_out_is_not_remembered": mutant(
        "SIG-8", ("sweeps", "readied(remember(tx, record, step), Lane.RETURNED)", "readied(record, Lane.RETURNED)")
    ),
    "a_late_wait_that_finds_a_signal_runs_on": mutant(
        "SIG-9", ("settle", "if step is not None and not record.late:", "if step is not None:")
    ),
    "a_run_to_be_cancelled_takes_a_signal": mutant(
        "SIG-10",
        (
            "settle",
            "    change = after(outcome, record, tx.now_ms)\n",
            (
                "    change = after(outcome, record, tx.now_ms)\n"
                "    if isinstance(outcome, Suspended):\n        record = _take_signal(tx, record, outcome)[1]\n"
            ),
        ),
    ),
    "kept_signals_are_not_counted": mutant("SIG-11", ("send", "replace(record, kept_signals=count)", "record")),
    "any_number_of_signals_is_kept": mutant(
        "SIG-11", ("send", "    if count > MAX_KEPT_SIGNALS:\n", "    if False:\n")
    ),
    "a_signal_has_no_bound": mutant(
        "SIG-11", ("rules.validation", '    check_size("signal", payload, bounds.MAX_SIGNAL_BYTES)\n', "")
    ),
}

STREAMS: Final[dict[str, Mutant]] = {
    "numbers_begin_again_with_each_run": mutant(
        "STREAM-1",
        (
            "items",
            "    number = record.chunks + 1\n",
            "    number = len(tx.tables.streams[record.id].runs[record.fence]) + 1\n",
        ),
    ),
    "an_append_sent_again_is_appended_again": mutant(
        "STREAM-2", ("append", "_unknown(stream.runs.get(lease.fence, []), chunks)", "_unknown([], chunks)")
    ),
    "a_number_used_for_other_bytes_is_taken_for_the_same": mutant(
        "STREAM-3", ("append", "(first.kind, first.data, first.step) != (chunk.kind, chunk.data, chunk.step)", "False")
    ),
    "only_the_bytes_of_an_item_are_compared": mutant(
        "STREAM-3",
        (
            "append",
            "(first.kind, first.data, first.step) != (chunk.kind, chunk.data, chunk.step)",
            "first.data != chunk.data",
        ),
    ),
    "a_gap_is_accepted": mutant(
        "STREAM-3",
        ("append", "        if chunk.seq > count + 1:\n", "        if False:\n"),
        ("append", "        if chunk.seq == count + 1:\n", "        if chunk.seq >= count + 1:\n"),
    ),
    "what_comes_before_a_conflict_is_stored": mutant(
        "STREAM-3",
        (
            "append",
            "    new = _unknown(stream.runs.get(lease.fence, []), chunks)\n",
            (
                "    known = stream.runs.get(lease.fence, [])\n"
                "    for part in range(1, len(chunks) + 1):\n"
                "        try:\n            _unknown(known, chunks[:part])\n"
                "        except Conflict:\n"
                "            _add(tx, record, _unknown(known, chunks[: part - 1]))\n            raise\n"
                "    new = _unknown(known, chunks)\n"
            ),
        ),
    ),
    "a_new_run_writes_no_reset": mutant("STREAM-4", ("items", "in reset_bodies(void):", "in ():")),
    "a_log_line_writes_the_reset": mutant(
        "STREAM-4", ("append", "if chunk.kind is ChunkKind.DATA and not has_data(", "if not has_data(")
    ),
    "a_reset_names_one_range_only": mutant("STREAM-4", ("items", "reset_bodies(void)", "reset_bodies(void[:1])")),
    "a_reset_has_no_bound": mutant("STREAM-4", ("rules.streams", '+ len(",]}") <= MAX_CHUNK_BYTES:', '+ len(",]}"):')),
    "resets_after_the_first_are_left_out": mutant(
        "STREAM-4", ("items", "in reset_bodies(void):", "in reset_bodies(void)[:1]:")
    ),
    "a_reset_names_what_a_step_has_saved": mutant(
        "STREAM-5",
        ("items", "saved_by = {step.key: step.fence for step in tx.tables.steps[record.id].values()}", "saved_by = {}"),
    ),
    "a_step_saves_what_another_run_emitted_in_it": mutant(
        "STREAM-4", ("rules.streams", "saved_by.get(r.step) != r.fence", "r.step not in saved_by")
    ),
    "steps_of_one_run_are_one_range": mutant(
        "STREAM-5", ("append", "(last.fence, last.step) == (record.fence, step)", "last.fence == record.fence")
    ),
    "a_run_that_ends_silently_writes_no_reset": mutant(
        "STREAM-6",
        ("items", "    if before.state is State.RUNNING and not has_data(", "    if False and not has_data("),
    ),
    "a_reset_names_an_item_again": mutant(
        "STREAM-7",
        ("items", "    named = {r.first for r in void}\n", "    named = set[int]()\n"),
    ),
    "no_marker_closes_a_stream": mutant("STREAM-8", ("items", "    if not before.chunks:\n", "    if True:\n")),
    "a_marker_closes_a_stream_without_items": mutant(
        "STREAM-8", ("items", "    if not before.chunks:\n", "    if False:\n")
    ),
    "a_marker_does_not_say_what_went_wrong": mutant(
        "STREAM-8", ("items", "return record.errors[-1].message.encode()", 'return b""')
    ),
    "every_stream_ends_well": mutant("STREAM-8", ("items", "marker(after.state)", "ChunkKind.END")),
    "reading_repeats_the_last_item": mutant(
        "STREAM-9", ("read", "stream.chunks[one.after - trimmed :]", "stream.chunks[max(0, one.after - trimmed - 1) :]")
    ),
    "reading_ignores_the_limit": mutant("STREAM-9", ("read", "[min(limit, len(behind)) for", "[len(behind) for")),
    "reading_skips_resets": mutant(
        "STREAM-4 STREAM-9",
        (
            "read",
            "StreamPage(tuple(page),",
            'StreamPage(tuple(c for c in page if c.kind != "reset"),',
        ),
    ),
    "a_read_that_is_refused_refuses_all": mutant(
        "STREAM-15",
        ("read", "        return NotFound(one.job_id)\n", "        raise NotFound(one.job_id)\n"),
        ("read", "        return Gone(one.job_id, trimmed + 1)\n", "        raise Gone(one.job_id, trimmed + 1)\n"),
    ),
    "pages_are_those_of_other_reads": mutant(
        "STREAM-15",
        ("read", "in zip(reads, found, pages, strict=True)", "in zip(reads, found, pages[::-1], strict=True)"),
    ),
    "pages_of_one_read_have_no_bound_together": mutant(
        "STREAM-15", ("rules.streams", "left // (len(wanted) - shared)", "MAX_PAGE")
    ),
    "the_first_pages_of_a_read_take_all_the_room": mutant(
        "STREAM-15", ("rules.streams", "left // (len(wanted) - shared)", "left - (len(wanted) - shared - 1)")
    ),
    "what_a_page_does_not_take_of_its_part_is_left": mutant(
        "STREAM-15", ("rules.streams", "left // (len(wanted) - shared)", "MAX_PAGE // len(wanted)")
    ),
    "the_bytes_of_the_first_pages_keep_the_others_empty": mutant(
        "STREAM-15", ("rules.streams", "page_length(sizes, room) or min(1, len(page))", "page_length(sizes, room)")
    ),
    "each_page_of_a_read_has_all_the_room_in_bytes": mutant(
        "STREAM-15", ("rules.streams", "        room -= sum(sizes[:length])\n", "")
    ),
    "a_stream_has_no_bound": mutant("STREAM-10", ("append", "    if size > MAX_STREAM_BYTES:\n", "    if False:\n")),
    "an_item_without_data_is_free": mutant(
        "STREAM-10", ("rules.streams", "len(data) + ITEM_OVERHEAD_BYTES", "len(data)")
    ),
    "a_chunk_has_no_bound": mutant(
        "STREAM-10", ("rules.validation", '        check_size("chunk", chunk.data, bounds.MAX_CHUNK_BYTES)\n', "")
    ),
    "an_append_may_have_any_weight": mutant(
        "STORE-9", ("rules.validation", "size = sum([len(chunk.data) for chunk in chunks])", "size = 0")
    ),
    "an_append_does_not_tell_of_a_cancel": mutant(
        "STREAM-11", ("append", "record.cancel_requested_at_ms is not None", "False")
    ),
    "an_append_does_not_tell_how_full_the_stream_is": mutant(
        "STREAM-13", ("append", "expired(record, tx.now_ms), size)", "expired(record, tx.now_ms))")
    ),
    "an_append_tells_how_full_the_stream_was": mutant(
        "STREAM-13",
        ("append", "expired(record, tx.now_ms), size)", "expired(record, tx.now_ms), size - stored_bytes(new))"),
    ),
    "a_run_that_is_refused_refuses_all": mutant(
        "STREAM-14", ("append", "        return refusal.with_traceback(None)\n", "        raise\n")
    ),
    "runs_of_one_append_are_taken_in_another_order": mutant(
        "STREAM-14", ("append", "for one in appends]", "for one in reversed(appends)][::-1]")
    ),
    "progress_is_not_kept": mutant(
        "STREAM-12", ("append", "            record = replace(record, progress=chunk.data)\n", "            pass\n")
    ),
    "the_first_progress_stays": mutant(
        "STREAM-12", ("append", "progress=chunk.data)", "progress=record.progress or chunk.data)")
    ),
}

MUTANTS: Final = {**STEPS, **SIGNALS, **STREAMS}
