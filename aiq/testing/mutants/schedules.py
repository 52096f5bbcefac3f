"""Faults of chapter 15: schedules that are lost, fired twice, too early, or beside what they should wait for."""

from typing import Final

from aiq.testing.mutants.mutant import Mutant, mutant

_RULES: Final = "rules.schedules"
_STALE: Final = "    if status is None or status.revision != fire.revision or status.paused:\n        return True\n"
_SLOT: Final = (
    "    return status.phase is not Phase.PLANNED or status.next_ms != fire.slot_ms or now_ms < fire.passed_ms\n"
)
_ENDED: Final = "        calendar.put(job_ended(calendar.standing[name], tx.now_ms))\n"

MUTANTS: Final[dict[str, Mutant]] = {
    "a_paused_schedule_begins_unpaused": mutant(
        "SCHED-1", (_RULES, "ScheduleStatus(spec=spec, paused=spec.paused)", "ScheduleStatus(spec=spec)")
    ),
    "putting_a_schedule_again_is_a_change": mutant(
        "SCHED-2", (_RULES, "    if absent_only or says_same(standing.spec, spec):\n", "    if absent_only:\n")
    ),
    "a_deploy_undoes_what_an_operator_changed": mutant(
        "SCHED-2",
        (_RULES, "    if absent_only or says_same(standing.spec, spec):\n", "    if says_same(standing.spec, spec):\n"),
    ),
    "the_content_of_a_template_is_what_codecs_make_of_it": mutant(
        "SCHED-2",
        (_RULES, "    if spec.template.digest and spec.template.digest ==", "    if False and spec.template.digest =="),
    ),
    "a_template_keeps_the_bytes_that_it_had_first": mutant(
        "SCHED-29", (_RULES, "else replace(standing, spec=spec)", "else standing")
    ),
    "other_bytes_of_a_template_are_a_change": mutant(
        "SCHED-29",
        (
            _RULES,
            "else replace(standing, spec=spec)",
            "else replace(standing, spec=spec, phase=Phase.UNPLANNED, next_ms=None)",
        ),
    ),
    "two_templates_without_a_digest_are_the_same": mutant(
        "SCHED-2", (_RULES, "    if spec.template.digest and spec.template.digest ==", "    if spec.template.digest ==")
    ),
    "a_change_keeps_the_revision": mutant(
        "SCHED-3", (_RULES, "revision=standing.revision + 1, error", "revision=standing.revision, error")
    ),
    "a_change_forgets_what_was_fired": mutant(
        "SCHED-3",
        (
            _RULES,
            '    changed = replace(standing, spec=spec, revision=standing.revision + 1, error="")\n',
            "    changed = ScheduleStatus(spec=spec, revision=standing.revision + 1, next_ms=standing.next_ms)\n",
        ),
    ),
    "a_change_undoes_a_pause": mutant("SCHED-3", (_RULES, 'revision + 1, error="")', "revision + 1, paused=False)")),
    "a_change_of_the_zone_keeps_the_next_slot": mutant("SCHED-4", (_RULES, '("cron", "tz", ', '("cron", ')),
    "a_change_of_the_template_loses_the_next_slot": mutant(
        "SCHED-4", (_RULES, '_TIMES: Final = ("cron",', '_TIMES: Final = ("template", "cron",')
    ),
    "a_new_schedule_is_never_planned": mutant(
        "SCHED-5",
        (
            "calendar",
            "        if status.due_ms is not None:\n            self.due.add",
            "        if status.due_ms:\n            self.due.add",
        ),
        ("calendar", "        if before.due_ms is not None:\n", "        if before.due_ms:\n"),
    ),
    "due_schedules_come_by_name": mutant(
        "SCHED-6",
        (
            "get_schedules",
            "for name in due(calendar.due, tx.now_ms, limit)]",
            "for name in sorted(due(calendar.due, tx.now_ms, 256))[:limit]]",
        ),
    ),
    "due_schedules_are_told_without_the_bound": mutant(
        "SCHED-6", ("get_schedules", "due(calendar.due, tx.now_ms, limit)", "due(calendar.due, tx.now_ms, 256)")
    ),
    "a_fire_of_an_old_revision_takes_effect": mutant(
        "SCHED-7", (_RULES, _STALE, "    if status is None or status.paused:\n        return True\n")
    ),
    "a_paused_schedule_is_fired": mutant(
        "SCHED-17",
        (_RULES, _STALE, "    if status is None or status.revision != fire.revision:\n        return True\n"),
    ),
    "a_fire_of_another_slot_takes_effect": mutant(
        "SCHED-7 SCHED-8", (_RULES, _SLOT, _SLOT.replace(" or status.next_ms != fire.slot_ms", ""))
    ),
    "a_slot_is_fired_before_its_instant": mutant(
        "SCHED-7", (_RULES, _SLOT, _SLOT.replace(" or now_ms < fire.passed_ms", ""))
    ),
    "a_slot_is_fired_one_ms_late": mutant("SCHED-7", (_RULES, _SLOT, _SLOT.replace("now_ms <", "now_ms <="))),
    "a_fire_does_not_move_the_schedule_on": mutant(
        "SCHED-7 SCHED-8",
        (_RULES, "    return _planned(after, fire.next_ms)\n", "    return _planned(after, status.next_ms)\n"),
    ),
    "a_fire_sent_again_is_stale": mutant(
        "SCHED-8", (_RULES, "    return status.passed_ms == fire.passed_ms\n", "    return False\n")
    ),
    "a_refused_job_stops_only_its_own_fire": mutant(
        "SCHED-9",
        (
            "fire",
            "    stored = iter(enqueue(tx, [job for jobs in made.values() for job in jobs], None))\n",
            "    stored = iter([one for jobs in made.values() for one in enqueue(tx, jobs, None)])\n",
        ),
    ),
    "the_last_job_is_cancelled_for_one_that_is_refused": mutant(
        "SCHED-9",
        (
            "fire",
            "    stored = iter(",
            "    for name in made:\n        _cancel_last(tx, standing[name])\n    stored = iter(",
        ),
    ),
    "a_schedule_does_not_show_why_a_slot_was_left_out": mutant("SCHED-9", (_RULES, "        error=fire.error,\n", "")),
    "a_slot_that_has_passed_is_next_again": mutant(
        "SCHED-10 SCHED-24",
        (_RULES, "    if fire.next_ms is not None and fire.next_ms <= status.passed_ms:\n", "    if False:\n"),
    ),
    "a_fire_may_go_back": mutant(
        "SCHED-10", (_RULES, "max(first_ms, fire.passed_ms + 1), bounds.MAX_SLOT_MS)", "0, bounds.MAX_SLOT_MS)")
    ),
    "slots_never_overlap": mutant(
        "SCHED-11", (_RULES, "        return jobs[:left]\n", "        return () if busy else jobs[:left]\n")
    ),
    "slots_overlap_though_they_may_not": mutant(
        "SCHED-12", (_RULES, "    return () if busy else jobs[:1][:left]\n", "    return jobs[:1][:left]\n")
    ),
    "slots_of_one_fire_overlap_though_they_may_not": mutant(
        "SCHED-12", (_RULES, "    return () if busy else jobs[:1][:left]\n", "    return () if busy else jobs[:left]\n")
    ),
    "what_does_not_overlap_is_not_counted": mutant(
        "SCHED-12",
        (_RULES, "status.skipped + fire.skipped + (len(fire.jobs) - len(made))", "status.skipped + fire.skipped"),
    ),
    "the_last_job_is_never_seen_to_have_ended": mutant(
        "SCHED-12", ("fire", "record.state.terminal", "record.finished_at_ms is None")
    ),
    "the_last_job_is_left_alone": mutant("SCHED-13", ("fire", "    if made:\n        _cancel_last(tx, status)\n", "")),
    "the_oldest_of_the_slots_that_cancel_each_other_is_fired": mutant(
        "SCHED-13", (_RULES, "        return jobs[-1:][:left]\n", "        return jobs[:1][:left]\n")
    ),
    "a_slot_without_a_job_cancels_the_last_one": mutant(
        "SCHED-13", ("fire", "    if made:\n        _cancel_last", "    if True:\n        _cancel_last")
    ),
    "a_schedule_fires_more_often_than_it_may": mutant(
        "SCHED-14", (_RULES, "        return jobs[:left]\n", "        return jobs\n")
    ),
    "a_schedule_that_has_fired_enough_goes_on": mutant(
        "SCHED-14", (_RULES, "    if next_ms is None or spent:\n", "    if next_ms is None:\n")
    ),
    "the_end_of_the_last_job_is_missed": mutant("SCHED-15", ("ending", _ENDED, "        pass\n")),
    "only_a_success_is_an_end": mutant(
        "SCHED-15", ("ending", _ENDED, f"        if ended.state is State.SUCCEEDED:\n    {_ENDED}")
    ),
    "the_time_after_counts_from_the_slot": mutant(
        "SCHED-15",
        (
            _RULES,
            "max(now_ms + (status.spec.after_ms or 0),",
            "max((status.last_fired_ms or 0) + (status.spec.after_ms or 0),",
        ),
    ),
    "a_schedule_waits_for_a_job_behind_its_end": mutant(
        "SCHED-15", (_RULES, "slot_ms if slot_ms < end_ms else None", "slot_ms")
    ),
    "a_clock_that_goes_back_fires_a_slot_after_the_last_job_twice": mutant(
        "SCHED-24", (_RULES, "(status.spec.after_ms or 0), status.passed_ms + 1)", "(status.spec.after_ms or 0), 0)")
    ),
    "upkeep_tells_of_no_schedule": mutant(
        "SCHED-16",
        ("upkeep", "    schedules = len(due(tx.tables.calendar.due, tx.now_ms, limit))\n", "    schedules = 0\n"),
    ),
    "upkeep_does_not_tell_of_the_next_slot": mutant(
        "SCHED-16", ("sweeps", "    instants += [at_ms for at_ms, _ in tx.tables.calendar.due.first(1)]\n", "")
    ),
    "a_resumed_schedule_makes_up_for_its_pause": mutant(
        "SCHED-17",
        (
            _RULES,
            "    return replace(status, paused=False, phase=Phase.UNPLANNED, next_ms=None)\n",
            "    return replace(status, paused=False)\n",
        ),
    ),
    "a_resumed_schedule_forgets_the_time_after_its_last_job": mutant(
        "SCHED-17",
        (
            _RULES,
            " or status.spec.after_ms is not None:\n        return replace(status, paused=False)",
            ":\n        return replace(status, paused=False)",
        ),
    ),
    "a_job_beside_the_slots_is_made_twice": mutant(
        "SCHED-18", ("fire", "    if job.id in tx.tables.jobs:\n", "    if False:\n")
    ),
    "a_job_beside_the_slots_overlaps": mutant(
        "SCHED-18", (_RULES, "    if busy and status.spec.overlap is Overlap.SKIP:\n", "    if False:\n")
    ),
    "a_job_beside_the_slots_counts_as_one_of_them": mutant(
        "SCHED-18",
        (
            _RULES,
            "last_job_id=job_id, last_fired_ms=now_ms)\n    counts",
            "last_job_id=job_id, last_fired_ms=now_ms, fires=status.fires + 1)\n    counts",
        ),
    ),
    "the_time_after_does_not_count_from_a_job_beside_the_slots": mutant(
        "SCHED-18", (_RULES, "return _waiting(after) if counts and not ended else after", "return after")
    ),
    "a_deleted_schedule_goes_on": mutant(
        "SCHED-19", ("put_schedules", "        tx.tables.calendar.drop(name)\n", "        pass\n")
    ),
    "schedules_are_listed_as_they_were_put": mutant(
        "SCHED-20",
        (
            "get_schedules",
            "sorted(name for name in standing if name > after)",
            "list(name for name in standing if name > after)",
        ),
    ),
    "a_template_may_have_an_id": mutant("SCHED-26", (_RULES, '("an id", template.id != "",', '("an id", False,')),
    "a_template_may_name_what_becomes_of_it_with_its_parent": mutant(
        "SCHED-26", (_RULES, 'template.on_parent != "cancel",', "False,")
    ),
    "a_schedule_of_a_job_that_could_never_be_stored_is_taken": mutant(
        "SCHED-27", ("put_schedules", "        check_for_ever(tx,", "        (lambda *_: None)(tx,")
    ),
    "a_schedule_in_no_order_of_its_key_is_taken": mutant("SCHED-27", ("enqueue", "    _check_order(tx, [spec])\n", "")),
    "a_schedule_that_stands_is_refused": mutant(
        "SCHED-27", ("put_schedules", "        if is_other(before, after):\n", "        if True:\n")
    ),
    "a_schedule_counts_no_refusals": mutant(
        "SCHED-28", (_RULES, "refused=status.refused + fire.refused,", "refused=status.refused,")
    ),
    "every_slot_that_is_left_out_was_refused": mutant(
        "SCHED-28", (_RULES, "refused=status.refused + fire.refused,", "refused=status.refused + fire.skipped,")
    ),
    "a_schedule_may_end_before_it_starts": mutant("SCHED-26", (_RULES, "spec.end_ms <= spec.start_ms", "False")),
    "a_template_may_have_an_instant": mutant(
        "SCHED-26", (_RULES, '("an instant", template.at_ms is not None,', '("an instant", False,')
    ),
}
